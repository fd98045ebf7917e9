//! Days on which a source does not answer as it should.

use domain::entry::MissedReason;
use domain::{Change, FindingReason, FindingValue, GapReason, Outcome, Trigger};
use world::{Drift, Fault};

use super::{
    ADMINS, Book, CLIENTS, EVENTS, control, counts, good, own_check, stream, told_of_coverage, value, with_posture,
};
use crate::support::Setup;

/// One call is refused and everything else goes on. Owed: the check that needs it is undetermined, never in favour and
/// never against; a gap names the call, the permission and the fields; the loss is an alert of its own that names the
/// checks and controls gone blind; and controls that rest on other things keep their word.
#[test]
fn badday_01_one_call_denied_is_a_gap_and_never_a_good_word() {
    let (world, server) = good();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait("a good word on A.8.15", |api| (value(api, "A.8.15")? == FindingValue::Conforming).then_some(()));

    world.revoke("view-events");
    daemon.wait("the finding", |api| (value(api, "A.8.15")? == FindingValue::NotEvidenced).then_some(()));
    let view = daemon.api().stream("realm").unwrap();
    let gap = view.gaps.iter().find(|gap| !gap.fields.is_empty()).unwrap();
    assert_eq!(gap.reason, GapReason::Denied);
    assert_eq!(gap.call, "GET /admin/realms/{realm}/events/config");
    assert_eq!(gap.permission.as_deref(), Some("realm-management role view-events"));
    assert!(gap.fields.contains(&"keycloak.realm.admin_events_enabled".to_owned()), "{:?}", gap.fields);
    assert_eq!(view.coverage.unwrap().blind, [EVENTS.parse().unwrap()]);
    assert_eq!(control(daemon.api(), "A.8.15").unwrap().reason, Some(FindingReason::Undetermined));
    assert_eq!(value(daemon.api(), "A.8.5"), Some(FindingValue::Conforming), "it rests on other calls");
    assert!(daemon.api().deviations().is_empty());

    daemon.wait("the alert", |_| (!told_of_coverage(&world, "realm").is_empty()).then_some(()));
    let told = told_of_coverage(&world, "realm")[0].to_string();
    for word in ["coverage.firing", "denied", "events/config", "view-events", EVENTS, "A.8.15"] {
        assert!(told.contains(word), "{word}: {told}");
    }

    world.grant("view-events");
    daemon.wait("the good word again", |api| (value(api, "A.8.15")? == FindingValue::Conforming).then_some(()));
    daemon.wait("the end of the alert", |_| (told_of_coverage(&world, "realm").len() == 2).then_some(()));
    let book = Book::open(&setup.data());
    let partial: Vec<u64> =
        book.runs("realm").iter().filter(|(_, run)| run.outcome != Outcome::Collected).map(|(n, _)| *n).collect();
    assert!(!partial.is_empty());
    for run in partial {
        assert_eq!(book.counts(run, EVENTS).unwrap().0, counts(0, 0, 1, 0), "the judgement of #{run}");
    }
    assert!(book.steps(EVENTS).is_empty());
    let (good, gone) = (FindingValue::Conforming, FindingValue::NotEvidenced);
    assert!(book.findings("A.8.15").ends_with(&[good, gone, good]), "{:?}", book.findings("A.8.15"));
}

/// The call that lists everything is refused. Owed: a failed run, not silence; what was seen before is not kept as if
/// it were current; the controls that rest on it are not evidenced; and the loss is an alert of its own.
#[test]
fn badday_02_a_denied_list_leaves_nothing_current() {
    let (world, server) = good();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait("a good word on A.8.5", |api| (value(api, "A.8.5")? == FindingValue::Conforming).then_some(()));
    let known = daemon.api().stream("clients").unwrap().last_run.unwrap().resources;

    world.fault("GET /admin/realms/{realm}/clients", Fault::Denied);
    daemon.wait("the finding", |api| (value(api, "A.8.5")? == FindingValue::NotEvidenced).then_some(()));
    let view = daemon.wait("the failed run, and what was made of it", |api| {
        let failed =
            |view: &query::StreamView| view.last_run.as_ref().is_some_and(|run| run.outcome == Outcome::Failed);
        api.stream("clients").filter(|view| failed(view) && view.coverage.is_some())
    });
    let check = view.checks.iter().find(|check| check.check.as_str() == CLIENTS).unwrap();
    assert!(!check.complete);
    assert_eq!(check.counts, counts(0, 0, known, 0), "each that was known is undetermined now");
    assert_eq!(view.coverage.unwrap().blind, [CLIENTS.parse().unwrap()]);
    daemon.wait("both alerts", |_| {
        let told = |collector| !told_of_coverage(&world, collector).is_empty();
        (told("clients") && told("people")).then_some(())
    });
    let book = Book::open(&setup.data());
    // The first of them: a later one may still be waiting for its judgement.
    let (failed, run) = *book.runs("clients").iter().find(|(_, run)| run.outcome == Outcome::Failed).unwrap();
    assert_eq!((run.outcome, run.populations[0].complete, run.populations[0].count), (Outcome::Failed, false, 0));
    assert_eq!(book.counts(failed, CLIENTS).unwrap(), (counts(0, 0, known, 0), false));
    assert!(book.steps(CLIENTS).is_empty(), "nothing is gone and nothing deviates by the word of a failed run");
}

/// Evidence is lost: when does anyone hear of it? Owed: at the very slot that failed, in the ledger, in the metrics and
/// by an alert, not at the end of some hour.
#[test]
fn badday_03_a_loss_is_heard_of_at_the_slot_that_failed() {
    let (world, server) = good();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let metrics = daemon.metrics();
    let realm = ["source=\"keycloak:acme\"", "collector=\"realm\""];
    assert_eq!(metrics.sum("evidenced_coverage_lost", &realm), 0.0, "{}", metrics.0);

    world.fault("GET /admin/realms/{realm}", Fault::Denied);
    daemon.wait("the alert", |_| told_of_coverage(&world, "realm").first().cloned());
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("evidenced_coverage_lost", &realm), 1.0, "{}", metrics.0);
    assert!(metrics.sum("evidenced_runs_total", &[realm[0], realm[1], "outcome=\"failed\""]) >= 1.0, "{}", metrics.0);
    assert!(metrics.sum("evidenced_gaps_total", &[realm[0], "reason=\"denied\""]) >= 1.0, "{}", metrics.0);
    let last = |metrics: &crate::support::Metrics, of| {
        metrics.sum("evidenced_stream_last_collected_timestamp_seconds", &["source=\"keycloak:acme\"", of])
    };
    let (stands, goes) = ("collector=\"realm\"", "collector=\"clients\"");
    let before = (last(&metrics, stands), last(&metrics, goes));
    daemon.wait_for_runs(2);
    let metrics = daemon.metrics();
    assert_eq!(last(&metrics, stands), before.0, "a failed run is no fresh evidence");
    assert!(last(&metrics, goes) > before.1, "{}", metrics.0);

    let book = Book::open(&setup.data());
    let (failed, run) = *book.runs("realm").iter().find(|(_, run)| run.outcome == Outcome::Failed).unwrap();
    assert!(matches!(run.trigger, Trigger::Slot(_)), "{:?}", run.trigger);
    let losses = book.coverage("realm");
    assert_eq!(losses.len(), 1, "told once, not at every slot");
    let (_, loss) = losses[0];
    assert!(loss.lost);
    assert_eq!((loss.by, loss.reason), (failed, Some(GapReason::Denied)), "by the first run that failed");
}

/// The source does not accept connections. Owed: it is tried again within the slot's own time, then the run is failed,
/// with every try recorded; and all is well by itself once the source is back.
#[test]
fn badday_04_a_source_that_is_down_is_tried_again_then_failed_with_every_try() {
    let (_world, mut server) = good();
    let setup = Setup::of_world(&server).with("limits: {run: 5s}\n");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    server.outage();
    daemon.wait("a failed run", |api| {
        api.stream("realm")?.last_run.filter(|run| run.outcome == Outcome::Failed && run.slot.is_some())
    });
    server.restore().unwrap();
    daemon.wait("good runs again", |api| {
        let whole = |view: &query::StreamView| view.last_run.is_some_and(|run| run.outcome == Outcome::Collected);
        api.streams().iter().all(|view| whole(view) && view.coverage.is_none()).then_some(())
    });
    let book = Book::open(&setup.data());
    let (failed, run) =
        *book.runs("realm").iter().find(|(_, run)| run.outcome == Outcome::Failed && run.calls > 0).unwrap();
    assert_eq!(run.gaps[0].reason, GapReason::Unreachable, "{:?}", run.gaps);
    let entry: query::EntryView = daemon.api().get(&format!("entries/{failed}")).unwrap();
    // The outage may have come between two calls of this run.
    let exchange = &entry.exchanges.iter().find(|view| view.exchange.error.is_some()).unwrap().exchange;
    assert!(exchange.tries.len() >= 2, "{exchange:?}");
    assert!(exchange.tries.iter().all(|tried| tried.status.is_none() && !tried.error.is_empty()), "{exchange:?}");
    assert_eq!((exchange.status, exchange.error.is_some()), (None, true), "{exchange:?}");
    assert!(run.ended.since(run.started) <= domain::Duration::from_secs(7), "the slot's own time, and a little grace");
}

/// The source accepts and never answers. Owed: the run ends by its own limit and the slot is failed, timed out; other
/// runs follow.
#[test]
fn badday_05_a_source_that_never_answers_ends_the_slot_as_timed_out() {
    let (world, server) = good();
    let setup = Setup::of_world(&server).with("limits: {run: 2s}\n");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    world.fault("*", Fault::Hang);
    daemon.wait("failed slots of every stream", |api| {
        let failed = |view: &query::StreamView| {
            view.last_run.is_some_and(|run| run.outcome == Outcome::Failed && run.slot.is_some())
                && view.gaps.iter().all(|gap| gap.reason == GapReason::TimedOut)
                && view.coverage.as_ref().is_some_and(|lost| lost.reason == "timed out")
        };
        let views = api.streams();
        (views.len() == 3 && views.iter().all(failed)).then_some(())
    });
    world.clear_faults();
    daemon.wait("good runs again", |api| api.streams().iter().all(|view| view.coverage.is_none()).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

/// A run takes longer than the time between slots. Owed: the next does not start beside it, and its slot is recorded as
/// missed because the one before was still running, which is evidence as well.
#[test]
fn badday_06_a_slot_that_finds_a_run_going_on_is_recorded_as_missed() {
    let (world, server) = good();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    world.fault("GET /admin/realms/{realm}", Fault::Slow(std::time::Duration::from_millis(2600)));
    daemon.wait("missed slots", |api| (api.stream("realm")?.outcomes[3] >= 2).then_some(()));
    let metrics = daemon.metrics();
    assert!(metrics.sum("evidenced_missed_slots_total", &["collector=\"realm\""]) >= 2.0, "{}", metrics.0);
    assert!(daemon.api().changes().iter().any(|change| change.what == "MISSED"));
    world.clear_faults();
    assert_eq!(daemon.stop().0, Some(0));
    let book = Book::open(&setup.data());
    let missed = book.missed("realm");
    assert!(missed.iter().all(|(_, missed)| missed.reason == MissedReason::StillRunning), "{missed:?}");
    let runs = book.runs("realm");
    assert!(runs.windows(2).all(|pair| pair[0].1.ended <= pair[1].1.started), "one at a time");
    assert!(
        runs.iter().all(|(_, run)| run.outcome == Outcome::Collected || run.gaps[0].reason == GapReason::Cancelled)
    );
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "every slot has one outcome: {said}");
}

/// There is nothing of a kind. Owed: that is recorded as what was found: complete, count 0, with the call that says so;
/// and nothing found is no good word.
#[test]
fn badday_11_an_empty_population_is_recorded_as_complete_and_proves_nothing() {
    let (world, server) = good();
    world.fault("GET /admin/realms/{realm}/users", Fault::Body("[]".into()));
    world.fault("GET /admin/realms/{realm}/users/count", Fault::Body("0".into()));
    let check = own_check("own.user.enabled", "keycloak.user", "enabled", "A.5.16", &[]);
    let setup = Setup::of_world(&server).with_check("enabled.yaml", &check);
    let mut daemon = setup.start();
    let view = daemon.wait("the finding", |api| {
        control(api, "A.5.16").filter(|view| view.reason.is_some_and(|reason| reason != FindingReason::NeverRan))
    });
    assert_eq!((view.value, view.reason), (FindingValue::NotEvidenced, Some(FindingReason::NothingToAssess)));
    let book = Book::open(&setup.data());
    let (number, run) = *book.runs("people").first().unwrap();
    assert_eq!(run.outcome, Outcome::Collected, "{:?}", run.gaps);
    let people = run.populations.iter().find(|population| population.kind.as_str() == "keycloak.user").unwrap();
    assert!(people.complete);
    assert_eq!((people.count, &people.manifest), (0, &None));
    let second = people.reconciled.as_ref().unwrap();
    assert_eq!((second.call.as_str(), second.count, second.agrees), ("GET /admin/realms/{realm}/users/count", 0, true));
    assert_eq!(book.counts(number, "own.user.enabled").unwrap(), (counts(0, 0, 0, 0), true));
    let entry: query::EntryView = daemon.api().get(&format!("entries/{number}")).unwrap();
    let list = |call: &&query::ExchangeView| call.exchange.call == "GET /admin/realms/{realm}/users";
    assert_eq!(entry.exchanges.iter().find(list).unwrap().exchange.status, Some(200), "the call that says so");
}

/// Something that deviated is deleted at the source. Owed: it is gone, with the run that proves it; and a run that did
/// not see everything never makes anything gone.
#[test]
fn badday_12_what_was_deleted_is_gone_by_the_run_that_proves_it_and_by_no_partial_one() {
    let (world, server) = good();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    world.drift(Drift::AdministratorWithoutFactor, "dora").unwrap();
    let alert = daemon.wait("the deviation", |api| api.deviation(ADMINS));
    assert_eq!(alert.subject, "wilma");

    // Wilma rules by a group; without its members she is not in the list, and nobody may say that she is gone.
    world.fault("GET /admin/realms/{realm}/groups/{id}/members", Fault::Denied);
    daemon.wait("a partial run", |api| {
        api.stream("people")?.last_run.filter(|run| run.outcome == Outcome::Partial).map(drop)
    });
    daemon.wait_for_runs(2);
    let alert = daemon.api().deviation(ADMINS).expect("still open");
    assert!(alert.unread_since.is_some(), "and it says that it cannot be read");

    world.remove_person("wilma", "dora").unwrap();
    daemon.wait_for_runs(2);
    assert!(daemon.api().deviation(ADMINS).is_some(), "nobody can know yet");
    world.clear_faults();
    daemon.wait("the end", |api| api.deviation(ADMINS).is_none().then_some(()));

    let book = Book::open(&setup.data());
    let steps = book.steps(ADMINS);
    assert_eq!(steps.iter().map(|step| step.change).collect::<Vec<_>>(), [Change::Opened, Change::Gone]);
    let runs = book.runs("people");
    let (proof, run) = *runs.iter().find(|(number, _)| *number == steps[1].is.entry).expect("the run that proves it");
    let admins = run.populations.iter().find(|population| population.kind.as_str() == "keycloak.admin").unwrap();
    assert!(admins.complete, "#{proof}");
    let partial = runs.iter().filter(|(_, run)| run.outcome == Outcome::Partial);
    for (number, _) in partial {
        let (said, complete) = book.counts(*number, ADMINS).unwrap();
        assert!(!complete && said.undetermined > 0, "#{number}: {said:?}");
    }
}

/// One lookup inside a resource fails. Owed: the resource stays in the population, that field of it is unread, and it
/// alone is undetermined.
#[test]
fn badday_16_one_failed_lookup_costs_one_field_of_one_resource() {
    let (world, server) = with_posture(world::Posture::Good);
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    // A second one of every stream comes after the judgement of the first.
    daemon.wait_for_runs(2);
    let book = Book::open(&setup.data());
    let (first, run) = *book.runs("people").first().unwrap();
    let whole = book.counts(first, ADMINS).unwrap().0;
    let admins = run.populations.iter().find(|population| population.kind.as_str() == "keycloak.admin").unwrap();

    world.fault_times("GET /admin/realms/{realm}/users/{id}/credentials", Fault::Denied, 1);
    daemon.wait("a partial run", |api| (api.stream("people")?.outcomes[1] >= 1).then_some(()));
    daemon.wait_for_runs(1);
    let book = Book::open(&setup.data());
    let (number, run) = *book.runs("people").iter().find(|(_, run)| run.outcome == Outcome::Partial).unwrap();
    let gap = &run.gaps[0];
    assert_eq!((run.gaps.len(), gap.resources, gap.types.len()), (1, 1, 0), "{gap:?}");
    assert_eq!(gap.fields, ["keycloak.admin.credential_dates", "keycloak.admin.credential_types"]);
    let now = run.populations.iter().find(|population| population.kind.as_str() == "keycloak.admin").unwrap();
    assert_eq!((now.count, now.complete), (admins.count, true), "nobody was dropped");
    let (said, complete) = book.counts(number, ADMINS).unwrap();
    // Whose lookup failed is chance; if it was a disabled one or a client's, the check does not speak of it anyway.
    let expected =
        [counts(whole.conforms - 1, 0, 1, whole.not_applicable), counts(whole.conforms, 0, 0, whole.not_applicable)];
    assert!(complete && expected.contains(&said), "{said:?} of {whole:?}");
    assert!(book.steps(ADMINS).is_empty());
    let rows = (0..).map_while(|row| daemon.api().get::<query::RowView>(&format!("entries/{number}/{row}")));
    let unread = rows.filter_map(|row| row.resource).filter(|resource| resource["unread"].is_object());
    let unread: Vec<_> = unread.collect();
    assert_eq!(unread.len(), 1);
    assert_eq!(unread[0]["unread"]["credential_types"][0], "denied");
    assert!(unread[0]["fields"]["enabled"].is_boolean(), "what was read of it stays");
    assert_eq!(stream("people"), run.stream);
}
