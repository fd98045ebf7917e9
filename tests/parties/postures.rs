//! A realm whose faults are known: all of them are found, and nothing else.

use domain::{ObservationValue, Outcome};

use super::{Realm, verdicts};

/// Watches the realm for one run of every collector, and holds every verdict and every count against the truth.
fn all_is_found_and_nothing_else(realm: &Realm, title: &str) {
    let setup = realm.watched();
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    let api = daemon.api();

    let found = verdicts::recorded(api);
    println!("{}", verdicts::table(title, &realm.truth.checks, &found));
    let wrong = verdicts::differences(&realm.truth.checks, &verdicts::expected(&realm.truth.checks), &found);
    assert!(wrong.is_empty(), "{title}: {wrong:#?}");
    let undetermined = found.values().flat_map(|of_check| of_check.values());
    assert_eq!(undetermined.filter(|value| **value == ObservationValue::Undetermined).count(), 0);
    assert_eq!(api.deviations().len(), realm.deviating(), "open deviations");

    for view in api.streams() {
        assert_eq!(view.last_run.unwrap().outcome, Outcome::Collected, "{}: {:?}", view.stream, view.gaps);
        assert!(view.checks.iter().all(|check| check.complete), "{}", view.stream);
    }
    // Every population is as large as the realm: also where a list would end silently after ten or a hundred.
    let runs = api.facts("run");
    let populations = runs.iter().flat_map(|run| run["populations"].as_array().unwrap());
    let counted: std::collections::BTreeMap<&str, u64> =
        populations.map(|one| (one["type"].as_str().unwrap(), one["count"].as_u64().unwrap())).collect();
    for (kind, count) in &realm.truth.populations {
        let kind = if kind == "users" { "keycloak.user" } else { kind };
        assert_eq!(counted.get(kind), Some(count), "{kind}");
    }
    let (code, _) = daemon.stop();
    assert_eq!(code, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_of_a_mixed_realm_all_faults_are_found_and_nothing_else() {
    let realm = Realm::seed("mixed", "mixed", 40);
    assert!(realm.deviating() > 8, "a realm with faults");
    all_is_found_and_nothing_else(&realm, "mixed posture, 40 people");
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_of_320_people_those_behind_silent_page_ends_are_found_as_well() {
    let realm = Realm::seed("large", "mixed", 320);
    assert!(realm.truth.populations["keycloak.admin"] > 200, "more administrators than fit two silent pages");
    all_is_found_and_nothing_else(&realm, "mixed posture, 320 people");
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_of_a_good_realm_nothing_deviates_and_nothing_is_undetermined() {
    let realm = Realm::seed("good", "good", 40);
    assert_eq!(realm.deviating(), 0, "a realm without faults");
    all_is_found_and_nothing_else(&realm, "good posture, 40 people");
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_of_a_bad_realm_every_check_deviates() {
    let realm = Realm::seed("bad", "bad", 40);
    assert!(realm.truth.checks.values().all(|verdicts| !verdicts["deviates"].is_empty()), "a realm with every fault");
    all_is_found_and_nothing_else(&realm, "bad posture, 40 people");
}
