//! Days on which the daemon itself, or whoever it tells, is not there.

use std::thread::sleep;
use std::time::Duration;

use domain::entry::{Fact, MissedReason};
use domain::{FindingValue, GapReason, Outcome, Trigger};
use query::StreamView;
use world::{Drift, Fault, World};

use super::{ADMINS, Book, GUESSING, good, value};
use crate::support::{Api, PATIENCE, Setup, now, served};

/// The receiver is down while something drifts, and the daemon dies before it is back. Owed: nothing is lost; it is
/// told later, once for each episode, with the same id on every try.
#[test]
fn badday_07_what_a_receiver_could_not_take_is_told_later_and_once() {
    let (world, server) = good();
    let (receiver, mut hook) = served(World::new(1, 12, now().millis()));
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", hook.url()));
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    hook.outage();
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("the refused delivery", |api| (!api.facts("delivery").is_empty()).then_some(()));
    assert_eq!(daemon.api().facts("delivery")[0]["accepted"], false);
    assert!(daemon.api().deviation(GUESSING).is_some(), "recorded, whoever can be told of it");
    let metrics = daemon.metrics();
    assert!(metrics.sum("evidenced_outbox_pending", &[]) >= 1.0, "{}", metrics.0);
    daemon.kill();

    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    hook.restore().unwrap();
    let kinds = || -> Vec<String> {
        let of = |one: &world::Received| one.json()["data"]["check"] == GUESSING;
        let kind = |one: &world::Received| one.json()["type"].as_str().unwrap().to_owned();
        receiver.received().iter().filter(|one| of(one)).map(kind).collect()
    };
    daemon.wait("the alert", |_| (!kinds().is_empty()).then_some(()));
    world.undo(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("the resolve", |_| (kinds().len() > 1).then_some(()));
    daemon.wait("the last delivery's record", |api| {
        let accepted = |fact: &&serde_json::Value| fact["accepted"] == true && fact["tells"] == "resolved";
        api.facts("delivery").iter().any(|fact| accepted(&fact)).then_some(())
    });
    daemon.wait_for_runs(2);
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(kinds(), ["deviation.firing", "deviation.resolved"], "once each, however often it was tried");
    let book = Book::open(&setup.data());
    let deliveries = book.all(|fact| match fact {
        Fact::Delivery(delivery) => Some(delivery),
        _ => None,
    });
    let refused = deliveries.iter().find(|(_, one)| !one.accepted).unwrap().1;
    let taken = deliveries.iter().find(|(_, one)| one.accepted && one.tells == "firing").unwrap().1;
    assert_eq!(refused.notification, taken.notification);
    let header = receiver.received()[0].header("webhook-id").unwrap().to_owned();
    assert_eq!(header, taken.notification, "the receiver can tell a second try from a second alert");
}

/// `kill -9` in the middle of a run. Owed: the ledger says that a run had begun; after the restart that run is failed,
/// interrupted; half a population is never judged; and another run makes up for it.
#[test]
fn badday_08_a_run_that_was_killed_is_interrupted_and_never_judged() {
    let (world, server) = good();
    let setup = Setup::of_world(&server).every("every: 2s");
    let mut daemon = setup.start();
    daemon.wait("a good word on A.8.5", |api| (value(api, "A.8.5")? == FindingValue::Conforming).then_some(()));
    let book = Book::open(&setup.data());
    let whole = book.counts(book.runs("people")[0].0, ADMINS).unwrap();

    let credentials = "GET /admin/realms/{realm}/users/{id}/credentials";
    world.fault(credentials, Fault::Hang);
    world.clear_calls();
    daemon.wait("the middle of a run", |_| {
        world.calls().iter().any(|call| call.call == credentials && call.status.is_none()).then_some(())
    });
    daemon.kill();
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("under way when the ledger ends"), "{said}");
    let book = Book::open(&setup.data());
    let intent = book.all(|fact| match fact {
        Fact::Intent(intent) if intent.stream == super::stream("people") => Some(intent),
        _ => None,
    });
    let begun = intent.last().unwrap().0;
    assert!(book.runs("people").iter().all(|(_, run)| run.intent != begun), "it had begun and not ended");

    world.clear_faults();
    let mut daemon = setup.start();
    daemon.wait("a whole run", |api| (api.stream("people")?.last_collected?.entry > begun).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));
    let book = Book::open(&setup.data());
    let runs = book.runs("people");
    let place = runs.iter().position(|(_, run)| run.intent == begun).expect("the run has an end now");
    let (number, run) = runs[place];
    assert_eq!((run.outcome, run.gaps[0].reason), (Outcome::Failed, GapReason::Interrupted));
    assert!(book.judgement(number).is_none(), "a run that was broken off says nothing of the source");
    let next = runs[place + 1].1;
    assert_eq!(next.outcome, Outcome::Collected, "and another makes up for it: {:?}", next.gaps);
    let judged: Vec<_> = runs.iter().filter_map(|(number, _)| book.counts(*number, ADMINS)).collect();
    assert!(judged.iter().all(|said| *said == whole), "never half of them: {judged:?}");
    assert!(book.steps(ADMINS).is_empty());
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

/// SIGTERM while a source does not answer. Owed: the runs are cancelled and recorded as broken off, and the process
/// ends within its grace.
#[test]
fn badday_09_asked_to_stop_it_does_not_wait_for_a_source_that_hangs() {
    let (world, server) = good();
    let setup = Setup::of_world(&server).every("every: 1h");
    let mut daemon = setup.start();
    let all = |api: &Api, is_so: fn(&StreamView) -> bool| {
        let views = api.streams();
        (views.len() >= 3 && views.iter().all(is_so)).then_some(())
    };
    daemon.wait("a first look at everything", |api| all(api, |view| view.last_collected.is_some()));
    world.fault("*", Fault::Hang);
    assert_eq!(setup.command(&["run-now"]).status.code(), Some(0));
    daemon.wait("runs under way", |api| all(api, |view| view.running_since.is_some()));
    daemon.wait("a call that hangs", |_| world.calls().iter().any(|call| call.status.is_none()).then_some(()));
    let (code, took) = daemon.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let book = Book::open(&setup.data());
    for collector in ["realm", "people", "clients"] {
        let runs = book.runs(collector);
        let (number, run) = runs.last().unwrap();
        assert_eq!((run.outcome, run.gaps[0].reason), (Outcome::Failed, GapReason::Cancelled), "{collector}");
        assert!(book.judgement(*number).is_none(), "{collector}: it says nothing of the source");
        assert!(book.coverage(collector).is_empty(), "{collector}: nor of what can be seen there");
    }
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
    assert!(!said.contains("under way"), "{said}");
}

/// Slots pass while the daemon does not run. Owed: at the start each of them is missed, as one range with its count and
/// reason, before anything else is begun; and one run makes up for all of them.
#[test]
fn badday_10_slots_that_passed_while_it_was_down_are_missed_and_caught_up_once() {
    let (_world, server) = good();
    let setup = Setup::of_world(&server).every("every: 3s");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("a slot", |api| api.streams().iter().all(|view| view.last_slot.is_some()).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));
    let before = Book::open(&setup.data());
    let last = before.runs("realm").last().unwrap().1.trigger.slot().unwrap();
    // The third slot from there is lost a little more than half a period after it: time must really pass.
    let lost = last.0.plus(domain::Duration::from_millis(3 * 3000 + 1600));
    let began = std::time::Instant::now();
    while now() < lost {
        assert!(began.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20));
    }
    let mut daemon = setup.start();
    daemon.wait("the lost slots", |api| api.streams().iter().all(|view| view.outcomes[3] >= 3).then_some(()));
    daemon.wait_for_runs(2);
    let metrics = daemon.metrics();
    assert!(metrics.sum("evidenced_missed_slots_total", &["collector=\"realm\""]) >= 3.0, "{}", metrics.0);
    assert_eq!(daemon.stop().0, Some(0));
    let book = Book::open(&setup.data());
    for collector in ["realm", "people", "clients"] {
        let missed = book.missed(collector);
        let (number, range) = missed.first().expect(collector);
        assert_eq!(range.reason, MissedReason::NotRunning);
        assert!(range.count >= 3, "{collector}: {range:?}");
        let after: Vec<_> = book.runs(collector).into_iter().filter(|(run, _)| run > number).collect();
        assert!(after[0].1.intent > *number, "what was lost is named before anything starts");
        let catch_ups = after.iter().filter(|(_, run)| run.trigger == Trigger::CatchUp).count();
        assert!(catch_ups <= 1, "one makes up for all: {catch_ups}");
        assert!(after[1..].iter().all(|(_, run)| run.trigger != Trigger::CatchUp), "and it is the first");
    }
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "every slot has one outcome: {said}");
}

/// What a first look found is mended, and breaks again. Owed: the summary of the first look was told once, and is not told
/// anew because its parts change; nobody is told the end of what nobody was told; what breaks again is an incident.
#[test]
fn a_first_look_is_summed_up_once_whatever_becomes_of_what_it_found() {
    let (world, server) = good();
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    world.drift(Drift::LongTokens, "dora").unwrap();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    let told = || -> Vec<serde_json::Value> { world.received().into_iter().map(|one| one.json()).collect() };
    daemon.wait("the summary", |_| (!told().is_empty()).then_some(()));
    assert!(daemon.api().deviations().iter().all(|alert| alert.baseline));
    for drift in [Drift::BruteForceOff, Drift::LongTokens] {
        world.undo(drift, "dora").unwrap();
        daemon.wait("its end", |api| api.deviation(drift.check()).is_none().then_some(()));
        daemon.wait_for_runs(1);
    }
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("the alert", |_| (told().len() > 1).then_some(()));
    daemon.wait_for_runs(2);
    let told = told();
    let kinds: Vec<_> = told.iter().map(|told| told["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["baseline.recorded", "deviation.firing"], "{told:#?}");
    assert_eq!(told[1]["data"]["check"], GUESSING);
}
