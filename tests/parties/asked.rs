//! What is asked of the real server, with which permissions, and what comes of it: the same as on the simulated one.

use std::collections::{BTreeMap, BTreeSet};

use query::RowView;
use serde_json::Value;
use world::World;

use super::{Realm, needed, verdicts};
use crate::support::{Api, Setup, now, served};

/// What `evidenced permissions keycloak` prints: by permission, the calls that need it.
fn declared(setup: &Setup) -> BTreeMap<String, BTreeSet<String>> {
    let printed = setup.command(&["--json", "permissions", "keycloak"]);
    assert!(printed.status.success());
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let calls = |one: &Value| one["calls"].as_object().unwrap().keys().cloned().collect();
    let all = printed["permissions"].as_array().unwrap().iter();
    all.map(|one| (one["permission"].as_str().unwrap().to_owned(), calls(one))).collect()
}

/// The calls that the ledger's exchanges name.
fn made(api: &Api) -> BTreeSet<String> {
    let runs = api.entries(0).into_iter().filter(|view| view.kind == "run");
    runs.flat_map(|run| run.exchanges.into_iter().map(|one| one.exchange.call)).collect()
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_the_permissions_printed_are_those_of_the_calls_made() {
    let realm = Realm::seed("asked", "mixed", 40);
    let setup = realm.watched();
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let (declared, made) = (declared(&setup), made(daemon.api()));

    let signing_in = "POST /realms/{realm}/protocol/openid-connect/token";
    let known: BTreeSet<&String> = declared.values().flatten().collect();
    let undeclared: Vec<&String> = made.iter().filter(|call| *call != signing_in && !known.contains(call)).collect();
    assert!(undeclared.is_empty(), "{undeclared:?}");
    let never: Vec<_> = known.iter().filter(|call| !made.contains(**call)).collect();
    println!("{} calls declared, {} kinds made; declared and not made in this run: {never:?}", known.len(), made.len());

    let used: BTreeSet<&String> = declared
        .iter()
        .filter(|(_, calls)| calls.iter().any(|call| made.contains(call)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(used, declared.keys().collect(), "permissions of the calls made, and permissions printed");
    // And those are the roles that the reader was given, no more: every answer was 200.
    let given: BTreeSet<String> =
        realm.truth.reader.roles.iter().map(|role| format!("realm-management role {role}")).collect();
    assert_eq!(declared.keys().cloned().collect::<BTreeSet<_>>(), given);
    let statuses = daemon.api().entries(0).into_iter().flat_map(|view| view.exchanges);
    assert!(statuses.map(|one| one.exchange.status).all(|status| status == Some(200)));
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_a_realm_that_did_not_change_is_kept_once() {
    let realm = Realm::seed("unchanged", "mixed", 320);
    let setup = realm.watched();
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    super::collect(&mut daemon);
    let mut populations: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let (mut answers, mut calls) = (BTreeSet::new(), 0);
    for run in daemon.api().entries(0).into_iter().filter(|view| view.kind == "run") {
        populations.entry(run.fact["stream"].to_string()).or_default().push(run.fact["populations"].clone());
        answers.extend(run.exchanges.iter().flat_map(|one| &one.exchange.body).map(ToString::to_string));
        calls += run.exchanges.len();
    }
    for (stream, seen) in populations {
        assert_eq!(seen.len(), 2, "{stream}");
        assert_eq!(seen[0], seen[1], "{stream}: the same resources, by the same commitments");
    }
    assert!(answers.len() < calls / 2, "{} answers kept of {calls} calls", answers.len());
    let same: Vec<_> = daemon.api().facts("observation").into_iter().filter(|fact| fact["same_as"].is_u64()).collect();
    assert_eq!(same.len(), 3, "the second judgement of every stream refers to the first");
    println!("{} answers kept of {calls} calls", answers.len());
}

/// By resource type and field: the kinds of JSON value it has.
type Shapes = BTreeMap<String, BTreeMap<String, BTreeSet<&'static str>>>;

fn shapes(setup: &Setup) -> Shapes {
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    let api = daemon.api();
    let mut shapes = Shapes::new();
    for run in api.entries(0).into_iter().filter(|view| view.kind == "run") {
        let rows = (run.exchanges.len() as u64..run.rows)
            .map(|row| api.get::<RowView>(&format!("entries/{}/{row}", run.entry)).unwrap());
        // Rows of calls beyond those that the entry's own view lists hold no resource.
        for resource in rows.filter_map(|row| row.resource) {
            assert!(resource["unread"].is_null(), "{resource}");
            let of_type = shapes.entry(resource["type"].as_str().unwrap().to_owned()).or_default();
            for (field, value) in resource["fields"].as_object().unwrap() {
                of_type.entry(field.clone()).or_default().insert(kind(value));
            }
        }
    }
    shapes
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_the_simulated_organisation_gives_the_same_fields() {
    needed("KEYCLOAK_URL");
    let realm = Realm::seed("shapes", "mixed", 320);
    let real = shapes(&realm.watched());
    let (_world, server) = served(World::new(7, 320, now().millis()));
    let simulated = shapes(&Setup::of_world(&server).every("every: 12h"));
    for (kind, fields) in &real {
        println!("{kind}: {}", fields.iter().map(|(f, k)| format!("{f} {k:?}")).collect::<Vec<_>>().join(", "));
    }
    assert_eq!(
        real.keys().collect::<Vec<_>>(),
        ["keycloak.admin", "keycloak.client", "keycloak.realm", "keycloak.user"]
    );
    assert_eq!(simulated, real);
}
