//! What cannot be read: never a word in favour, never a new word against, never a false all-clear, and somebody is told.

use std::collections::BTreeSet;
use std::fs;

use domain::{FindingValue, GapReason, ObservationValue, Outcome};
use query::StreamView;
use serde_json::Value;
use world::World;

use super::gate::Gate;
use super::verdicts::{self, Verdicts};
use super::{Checks, Realm, collect};
use crate::support::{Daemon, Setup, now, served};

const REALM_CHECKS: &[&str] = &[
    "keycloak.realm.brute_force",
    "keycloak.realm.events_kept",
    "keycloak.realm.password_rule",
    "keycloak.realm.second_factor_in_flow",
    "keycloak.realm.session_limits",
    "keycloak.realm.tls_required",
];
const ADMIN_CHECK: &str = "keycloak.admin.second_factor";
const CLIENT_CHECK: &str = "keycloak.client.hardened";

/// What a daemon said of its source, before anything was taken from it.
pub(super) struct Before {
    pub(super) verdicts: Verdicts,
    steps: Vec<String>,
    open: usize,
}

/// Somebody who is told: the receiver of a simulated organisation that is not watched.
pub(super) fn listener() -> (World, world::Server) {
    let (world, server) = served(World::new(1, 12, now().millis()));
    (world, server)
}

/// Its first look, held against the truth.
pub(super) fn first_look(truth: &Checks, daemon: &mut Daemon<'_>) -> Before {
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    let before = Before {
        verdicts: daemon.wait("verdicts", |api| Some(verdicts::recorded(api)).filter(|found| !found.is_empty())),
        steps: verdicts::steps(daemon.api()),
        open: daemon.api().deviations().len(),
    };
    let wrong = verdicts::differences(truth, &verdicts::expected(truth), &before.verdicts);
    assert!(wrong.is_empty(), "at first: {wrong:#?}");
    before
}

/// Nothing that was known is now said otherwise: blind checks say *undetermined* of everything but `still_read`, the
/// others say what they said before, deviations stay as they were, and no control is conforming on the word of a blind
/// check.
pub(super) fn nothing_is_claimed(
    truth: &Checks,
    daemon: &Daemon<'_>,
    before: &Before,
    blind: &BTreeSet<&str>,
    still_read: &[&str],
) {
    let api = daemon.api();
    let found = verdicts::recorded(api);
    let named = truth.values().flat_map(|verdicts| verdicts.values().flatten());
    let still_read: BTreeSet<&str> =
        named.filter(|one| still_read.contains(&one.name.as_str())).map(|one| one.id.as_str()).collect();
    let mut expected = before.verdicts.clone();
    for (_, resources) in expected.iter_mut().filter(|(check, _)| blind.contains(check.as_str())) {
        for (_, value) in resources.iter_mut().filter(|(id, _)| !still_read.contains(id.as_str())) {
            *value = ObservationValue::Undetermined;
        }
    }
    println!("{}", verdicts::table("with the gap", truth, &found));
    let wrong = verdicts::differences(truth, &expected, &found);
    assert!(wrong.is_empty(), "with the gap: {wrong:#?}");
    assert_eq!(verdicts::steps(api), before.steps, "no deviation opened or ended on an absence");
    assert_eq!(api.deviations().len(), before.open, "what was open stays open");
    let controls: web::Listing<query::ControlView> = api.get("controls/iso27001-2022").unwrap();
    for control in &controls.items {
        let rests_on_it = control.links.iter().any(|link| blind.contains(link.state.check.as_str()));
        assert!(!rests_on_it || control.value != FindingValue::Conforming, "{}", control.control);
    }
}

/// Streams that feed a blind check say so, and somebody is told which call and which permission is missing.
pub(super) fn the_gap_is_named(daemon: &mut Daemon<'_>, world: &World, blind: &BTreeSet<&str>, gap: &Expected<'_>) {
    let streams = daemon.api().streams();
    let blinded: Vec<&StreamView> =
        streams.iter().filter(|view| view.checks.iter().any(|check| blind.contains(check.check.as_str()))).collect();
    assert!(!blinded.is_empty());
    for view in blinded {
        assert_ne!(view.last_run.unwrap().outcome, Outcome::Collected, "{}", view.stream);
        let named = view.gaps.iter().find(|found| {
            found.reason == gap.reason
                && !found.call.is_empty()
                && gap.permission.is_none_or(|role| found.permission.as_ref().is_some_and(|named| named.contains(role)))
        });
        assert!(named.is_some(), "{}: {:#?}", view.stream, view.gaps);
        let said: BTreeSet<&str> = view.coverage.as_ref().unwrap().blind.iter().map(|check| check.as_str()).collect();
        let own = view.checks.iter().map(|check| check.check.as_str()).filter(|check| blind.contains(check));
        assert_eq!(said, own.collect(), "{}: blind checks", view.stream);
        let alert = daemon.wait("the alert of lost coverage", |_| {
            received(world, "coverage.firing").into_iter().find(|alert| alert["stream"] == view.stream.as_str())
        });
        let text = alert["text"].as_str().unwrap();
        println!("{text}");
        assert!(text.contains(gap.reason.as_str()), "{text}");
        assert!(gap.permission.is_none_or(|role| text.contains(role)), "{text}");
    }
}

/// The gap as it should be named.
pub(super) struct Expected<'a> {
    pub(super) reason: GapReason,
    pub(super) permission: Option<&'a str>,
}

/// All is as at first, and whoever was told of the loss is told of its end.
pub(super) fn all_is_well_again(truth: &Checks, daemon: &mut Daemon<'_>, world: &World, before: &Before) {
    let wrong = verdicts::differences(truth, &before.verdicts, &verdicts::recorded(daemon.api()));
    assert!(wrong.is_empty(), "given back: {wrong:#?}");
    assert_eq!(verdicts::steps(daemon.api()), before.steps);
    for view in daemon.api().streams() {
        assert_eq!(view.last_run.unwrap().outcome, Outcome::Collected, "{}: {:?}", view.stream, view.gaps);
        assert_eq!(view.coverage, None, "{}", view.stream);
    }
    let lost: BTreeSet<String> =
        received(world, "coverage.firing").iter().map(|alert| alert["incident"].to_string()).collect();
    assert!(!lost.is_empty());
    daemon.wait("the ends of the losses", |_| {
        let ended = received(world, "coverage.resolved");
        (ended.iter().map(|alert| alert["incident"].to_string()).collect::<BTreeSet<_>>() == lost).then_some(())
    });
    let deviations = ["deviation.firing", "deviation.resolved", "deviation.gone"];
    assert!(deviations.iter().all(|kind| received(world, kind).is_empty()), "nobody is told of a drift");
}

/// The alerts of one type that came in.
pub(super) fn received(world: &World, kind: &str) -> Vec<Value> {
    let all = world.received().into_iter().map(|message| message.json());
    all.filter(|message| message["type"] == kind).map(|mut message| message["data"].take()).collect()
}

/// Takes a role from the reader, and gives it back.
fn without(name: &'static str, role: &str, blind: &[&str], still_read: &[&str]) {
    let realm = Realm::seed(name, "mixed", 40);
    let (world, server) = listener();
    let setup = realm.watched().with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    let before = first_look(&realm.truth.checks, &mut daemon);
    let blind: BTreeSet<&str> = blind.iter().copied().collect();

    realm.play(&["revoke", role]);
    collect(&mut daemon);
    nothing_is_claimed(&realm.truth.checks, &daemon, &before, &blind, still_read);
    let gap = Expected { reason: GapReason::Denied, permission: Some(role) };
    the_gap_is_named(&mut daemon, &world, &blind, &gap);

    realm.play(&["grant", role]);
    collect(&mut daemon);
    all_is_well_again(&realm.truth.checks, &mut daemon, &world, &before);
    ends_well(daemon, &setup);
}

pub(super) fn ends_well(daemon: Daemon<'_>, setup: &Setup) {
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

fn all_checks() -> BTreeSet<&'static str> {
    REALM_CHECKS.iter().copied().chain([ADMIN_CHECK, CLIENT_CHECK]).collect()
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_without_view_users_administrators_are_undetermined() {
    // That kurt is disabled, and so not judged, the list of a role's holders says without it.
    without("no-users", "view-users", &[ADMIN_CHECK], &["kurt"]);
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_without_view_events_their_keeping_is_undetermined() {
    without("no-events", "view-events", &["keycloak.realm.events_kept"], &[]);
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_without_view_realm_its_settings_and_who_rules_by_a_composite_role_are_undetermined() {
    let blind: Vec<&str> = REALM_CHECKS.iter().copied().chain([ADMIN_CHECK]).collect();
    // Who holds an administrator role itself, or by a group, can still be read; ivan and jana hold theirs inside roles
    // of the realm.
    let directly = ["dora", "erik", "finn", "gita", "hana", "kurt", "lena", "nora", "service-account-provisioner"];
    without("no-realm", "view-realm", &blind, &directly);
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_without_view_clients_clients_and_administrators_are_undetermined() {
    without("no-clients", "view-clients", &[CLIENT_CHECK, ADMIN_CHECK], &[]);
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_while_it_is_down_everything_is_undetermined() {
    // Of a good realm, where nothing but the outage stands against conforming.
    let realm = Realm::seed("down", "good", 40);
    let (world, server) = listener();
    let mut gate = Gate::to(&realm.url);
    let setup = realm.watched_at(&gate.url()).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    let before = first_look(&realm.truth.checks, &mut daemon);

    gate.close();
    collect(&mut daemon);
    nothing_is_claimed(&realm.truth.checks, &daemon, &before, &all_checks(), &[]);
    let gap = Expected { reason: GapReason::Unreachable, permission: None };
    the_gap_is_named(&mut daemon, &world, &all_checks(), &gap);

    gate.open();
    collect(&mut daemon);
    all_is_well_again(&realm.truth.checks, &mut daemon, &world, &before);
    ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_that_refuses_the_readers_secret_leaves_everything_undetermined() {
    let realm = Realm::seed("secret", "mixed", 40);
    let (world, server) = listener();
    let setup = realm.watched().with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    let before = first_look(&realm.truth.checks, &mut daemon);

    let rotated = realm.play(&["rotate-secret"]);
    collect(&mut daemon);
    nothing_is_claimed(&realm.truth.checks, &daemon, &before, &all_checks(), &[]);
    let gap = Expected { reason: GapReason::Unauthenticated, permission: None };
    the_gap_is_named(&mut daemon, &world, &all_checks(), &gap);

    fs::write(setup.dir.path().join("reader.secret"), rotated["reader_secret"].as_str().unwrap()).unwrap();
    collect(&mut daemon);
    all_is_well_again(&realm.truth.checks, &mut daemon, &world, &before);
    ends_well(daemon, &setup);
}
