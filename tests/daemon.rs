//! The daemon's day: a drift is seen, recorded, told and resolved, through the public doors only.

use std::time::Duration;

use domain::FindingValue;
use kit::http::Method;
use world::{Drift, Fault, World};

use crate::support::{Api, Daemon, Setup, now, served};

fn world() -> (World, world::Server) {
    let (world, server) = served(World::new(7, 40, now().millis()));
    (world, server)
}

#[test]
fn a_drift_is_seen_told_once_and_resolved_once_it_is_undone() {
    let (world, server) = world();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    let truth = world.truth();
    let deviating: usize = truth.checks.values().map(|verdicts| verdicts.deviates.len()).sum();
    assert_eq!(daemon.api().deviations().len(), deviating, "all that was wrong from the start, and nothing else");
    assert!(daemon.api().deviations().iter().all(|alert| alert.baseline), "a first look is a baseline");

    world.drift(Drift::BruteForceOff, "dora").unwrap();
    let alert = daemon.wait("the deviation", |api| api.deviation("keycloak.realm.brute_force"));
    assert!(!alert.baseline);
    assert_eq!(alert.was.as_ref().unwrap().values["brute_force"], true);
    assert_eq!(alert.is.as_ref().unwrap().values["brute_force"], false);
    assert!(alert.who.as_ref().unwrap().name.starts_with("dora"), "{:?}", alert.who);
    daemon.wait("the alert", |_| {
        world.received().iter().any(|one| one.json().to_string().contains("keycloak.realm.brute_force")).then_some(())
    });

    world.undo(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("the resolve", |api| api.deviation("keycloak.realm.brute_force").is_none().then_some(()));
    daemon.wait("both deliveries", |api| (api.facts("delivery").len() >= 4).then_some(()));
    let told: Vec<String> = daemon.api().facts("delivery").iter().map(|fact| fact["tells"].to_string()).collect();
    let count = |what: &str| told.iter().filter(|tells| tells.contains(what)).count();
    assert_eq!((count("firing"), count("resolved")), (1, 1), "{told:?}");

    let changes: Vec<_> = daemon.api().facts("deviation");
    let of_check = |fact: &&serde_json::Value| fact["check"] == "keycloak.realm.brute_force";
    let steps: Vec<_> = changes.iter().filter(of_check).map(|fact| fact["change"].clone()).collect();
    assert_eq!(steps, ["opened", "resolved"]);

    let (code, took) = daemon.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn findings_are_drawn_for_every_control_and_silence_is_never_in_favour() {
    let (_world, server) = world();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let drawn = |list: &web::Listing<query::ControlView>| {
        list.items.iter().any(|view| view.value == FindingValue::Nonconforming)
    };
    let controls = daemon.wait("findings", |api| api.get("controls/iso27001-2022").filter(drawn));
    assert_eq!(controls.items.len(), 93);
    for view in &controls.items {
        if view.links.is_empty() {
            assert_eq!(view.value, FindingValue::NotEvidenced, "{}", view.control);
        }
    }
    let mut last = std::collections::BTreeMap::new();
    for fact in daemon.api().facts("finding") {
        let word = (fact["value"].clone(), fact["reason"].clone());
        let control = format!("{}/{}", fact["framework"], fact["control"]);
        assert_ne!(last.insert(control, word.clone()), Some(word), "the same finding twice: {fact}");
    }
}

#[test]
fn a_stream_that_waits_for_its_turn_says_so_of_the_slots_it_loses() {
    let (world, server) = world();
    let setup = Setup::of_world(&server).with("limits: {runs_at_once: 1}\n");
    world.fault("GET /admin/realms/{realm}/clients", Fault::Slow(Duration::from_secs(3)));
    let mut daemon = setup.start();
    let lost = |api: &Api, collector: &str, reason: &str| {
        let stream = format!("keycloak:acme/{collector}");
        api.facts("missed").iter().any(|fact| fact["stream"] == stream && fact["reason"] == reason)
    };
    daemon.wait("the slots of those that wait", |api| lost(api, "realm", "held_back").then_some(()));
    daemon.wait("the slots of the slow one", |api| lost(api, "clients", "still_running").then_some(()));
    assert!(!lost(daemon.api(), "realm", "not_running"), "the daemon was running");
    let said = |change: &query::ChangeView| change.detail.ends_with("as many runs as may go on at once were going on");
    assert!(daemon.api().changes().iter().any(said), "{:#?}", daemon.api().changes());
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("as many runs as may go on at once were going on"), "{said}");
}

#[test]
fn only_what_could_not_be_read_in_the_last_run_says_that_it_was_not_read() {
    let (world, server) = world();
    let setup = Setup::of_world(&server).every("every: 24h");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let open = |api: &Api| -> Vec<query::Alert> {
        let of_check =
            |alert: &query::Alert| alert.check.as_ref().is_some_and(|id| id.as_str().ends_with("second_factor"));
        let admins = |alert: &query::Alert| alert.stream.collector().as_str() == "people";
        api.deviations().into_iter().filter(|alert| of_check(alert) && admins(alert)).collect()
    };
    let marked = |api: &Api| open(api).iter().filter(|alert| alert.unread_since.is_some()).count();
    let all = daemon.wait("the deviations", |api| Some(open(api).len()).filter(|all| *all >= 2));
    assert_eq!(marked(daemon.api()), 0);

    let credentials = "GET /admin/realms/{realm}/users/{id}/credentials";
    let look = |daemon: &mut Daemon<'_>| {
        let asked = daemon.api().send(Method::POST, "/api/v1/run-now", r#"{"what":"keycloak:acme/people"}"#);
        assert_eq!(asked.unwrap().0, 202);
        daemon.wait("the judgement", |api| {
            let view = api.stream("people")?;
            (view.running_since.is_none() && view.checks.first()?.at == view.last_run?.ended).then_some(())
        });
    };
    world.fault_times(credentials, Fault::Denied, 1);
    look(&mut daemon);
    daemon.wait("the loss", |api| api.stream("people")?.coverage.map(drop));
    assert!(marked(daemon.api()) <= 1 && open(daemon.api()).len() == all, "one could not be read, the others were");
    world.fault(credentials, Fault::Denied);
    look(&mut daemon);
    daemon.wait("the loss of all", |api| (marked(api) == all).then_some(()));
    world.clear_faults();
    look(&mut daemon);
    daemon.wait("the return", |api| (marked(api) == 0).then_some(()));
}
