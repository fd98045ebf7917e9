//! Runs against what a real Keycloak once answered, through the public door. `BLESS=1` accepts a run as expected.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CollectionRun, Field, Gap, GapReason, Outcome};
use kit::testing::{ConnectedBy, Fixture, Harness, check_kind};
use kit::{AnySource, Kind, SecretRef};
use serde_json::{Value, json};
use url::Url;

use super::*;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const BASE: &str = "/admin/realms/acme";

fn config(url: Url) -> Config {
    Config {
        name: "acme".to_owned(),
        owner: "identity-team".to_owned(),
        schedules: None,
        runbook: None,
        url,
        realm: "acme".to_owned(),
        client_id: "evidenced-reader".to_owned(),
        client_secret: SecretRef::Env("KEYCLOAK_SECRET".to_owned()),
        ca_file: None,
    }
}

/// A recorded folder. Two kinds of answer were not recorded and are made by hand, as a real Keycloak gives them: the
/// groups below a group without any, and the credentials of the account of a client.
fn fixture(folder: &str) -> Fixture {
    let mut fixture = Fixture::read(format!("{HERE}/fixtures/{folder}")).paged_by("first", "max");
    let children = |id: &str| format!("/groups/{id}/children?first=0&max=100&briefRepresentation=false");
    let mut groups = list(&fixture, "/groups?first=0&max=100&briefRepresentation=false");
    while let Some(group) = groups.pop() {
        let target = children(group["id"].as_str().unwrap());
        if group["subGroupCount"] == 0 {
            fixture = fixture.with("GET", &format!("{BASE}{target}"), 200, "[]");
        }
        groups.extend(list(&fixture, &target));
    }
    let provisioner = "/clients/{management}/roles/manage-users/users?first=0&max=100&briefRepresentation=true";
    let management = id_of(&list(&fixture, "/clients?first=0&max=100"), "clientId", "realm-management");
    let holders = list(&fixture, &provisioner.replace("{management}", &management));
    let account = id_of(&holders, "username", "service-account-provisioner");
    fixture.with("GET", &format!("{BASE}/users/{account}/credentials"), 200, "[]")
}

/// A recorded list; nothing when there is none.
fn list(fixture: &Fixture, target: &str) -> Vec<Value> {
    let answer = fixture.answer("GET", &format!("{BASE}{target}"));
    answer.and_then(|a| serde_json::from_str(&a.body).ok()).unwrap_or_default()
}

/// The id of the item whose member `name` is `value`, or no id at all.
fn id_of(items: &[Value], name: &str, value: &str) -> String {
    let item = items.iter().find(|item| item[name] == value);
    item.map_or("none", |item| item["id"].as_str().unwrap()).to_owned()
}

fn harness(folder: &str) -> Harness {
    Harness::new(fixture(folder), |url| Box::new(config(url)))
}

fn expected(name: &str) -> String {
    format!("{HERE}/expected/{name}.json")
}

/// The same source in small pages, so that lists have pages that can be lost.
fn in_small_pages() -> Harness {
    let small = |url| {
        Box::new(ConnectedBy::new(config(url), |config, _| {
            let Config { url, realm, client_id, .. } = config.clone();
            Ok(Box::new(Realm { url, realm, client_id, client_secret: "a-secret-for-tests".into(), page: 6 }))
        })) as Box<dyn AnySource>
    };
    Harness::new(fixture("mixed"), small).may_be_empty(&[
        // Keycloak counts neither the holders of a role nor the members or children of a group.
        spec::ROLE_USERS.name,
        spec::ROLE_GROUPS.name,
        spec::CLIENT_ROLE_USERS.name,
        spec::CLIENT_ROLE_GROUPS.name,
        spec::GROUP_CHILDREN.name,
        spec::GROUP_MEMBERS.name,
        // An account that signs in elsewhere has none.
        spec::CREDENTIALS.name,
        // That they are recorded is asked first, so an empty list means that nothing was changed.
        spec::ADMIN_EVENTS.name,
    ])
}

#[test]
fn what_it_says_of_itself_holds_together() {
    check_kind(&Kind::of::<Config>());
}

#[tokio::test]
async fn a_good_day_reads_the_realm() {
    harness("mixed").good_day("realm", expected("realm")).await;
}

#[tokio::test]
async fn a_good_day_reads_people_and_administrators() {
    harness("mixed").good_day("people", expected("people")).await;
}

#[tokio::test]
async fn a_good_day_reads_clients() {
    harness("mixed").good_day("clients", expected("clients")).await;
}

#[tokio::test]
async fn bad_days_of_the_realm_are_gaps() {
    in_small_pages().bad_days("realm").await;
}

#[tokio::test]
async fn bad_days_of_people_are_gaps() {
    in_small_pages().bad_days("people").await;
}

#[tokio::test]
async fn bad_days_of_clients_are_gaps() {
    in_small_pages().bad_days("clients").await;
}

#[tokio::test]
async fn small_pages_give_the_same_people_as_large_ones() {
    for collector in ["people", "clients"] {
        let without_exchanges = |run: CollectionRun| {
            let resources = run.populations.iter().flat_map(|p| p.resources());
            resources.map(|r| (r.key, r.name, r.fields)).collect::<Vec<_>>()
        };
        let (large, small) = (harness("mixed").run(collector).await, in_small_pages().run(collector).await);
        assert_eq!(small.outcome, Outcome::Collected, "{:#?}", small.gaps);
        assert_eq!(without_exchanges(small), without_exchanges(large));
    }
}

/// Which resources of a type the recorder of the fixture knows to be there, by id, without those of which it says why
/// they are not to be judged.
fn truth(folder: &str, check: &str, verdicts: &[&str]) -> BTreeSet<String> {
    let text = std::fs::read_to_string(format!("{HERE}/fixtures/{folder}/truth.json")).unwrap();
    let truth: Value = serde_json::from_str(&text).unwrap();
    let rows = verdicts.iter().flat_map(|verdict| truth["checks"][check][verdict].as_array().unwrap().clone());
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn resources(run: &CollectionRun, kind: &str) -> BTreeMap<String, BTreeMap<String, Field>> {
    let of_kind = run.populations.iter().filter(|p| p.kind.as_str() == kind).flat_map(|p| p.resources());
    of_kind.map(|r| (r.key.id, r.fields)).collect()
}

fn value(fields: &BTreeMap<String, Field>, name: &str) -> Value {
    match &fields[name] {
        Field::Read(value) => value.clone(),
        Field::Unread(reason, why) => panic!("{name} is unread: {reason:?} {why}"),
    }
}

#[tokio::test]
async fn administrators_are_those_that_the_realm_was_made_with() {
    for folder in ["good", "bad", "mixed"] {
        let run = harness(folder).run("people").await;
        assert_eq!(run.outcome, Outcome::Collected, "{folder}: {:#?}", run.gaps);
        let found = resources(&run, "keycloak.admin");
        let ids: BTreeSet<String> = found.keys().map(|id| (*id).to_owned()).collect();
        assert_eq!(
            ids,
            truth(folder, "keycloak.admin.second_factor", &["conforms", "deviates", "not_applicable"]),
            "{folder}"
        );
        let judged = |fields: &BTreeMap<String, Field>| {
            value(fields, "enabled") == true && value(fields, "service_account") == false
        };
        let strong = |fields: &BTreeMap<String, Field>| {
            let types = value(fields, "credential_types");
            types
                .as_array()
                .unwrap()
                .iter()
                .any(|t| ["otp", "webauthn", "webauthn-passwordless"].contains(&t.as_str().unwrap()))
        };
        let having = |wanted: bool| -> BTreeSet<String> {
            let some = found.iter().filter(|(_, fields)| judged(fields) && strong(fields) == wanted);
            some.map(|(id, _)| (*id).to_owned()).collect()
        };
        assert_eq!(having(true), truth(folder, "keycloak.admin.second_factor", &["conforms"]), "{folder}");
        assert_eq!(having(false), truth(folder, "keycloak.admin.second_factor", &["deviates"]), "{folder}");
    }
}

#[tokio::test]
async fn a_role_of_another_client_that_holds_an_administrator_role_makes_administrators() {
    let mixed = fixture("mixed");
    let clients = list(&mixed, "/clients?first=0&max=100");
    let (intranet, management) =
        (id_of(&clients, "clientId", "intranet"), id_of(&clients, "clientId", "realm-management"));
    let roles = list(&mixed, &format!("/clients/{management}/roles?briefRepresentation=true"));
    let impersonation = roles.iter().find(|r| r["name"] == "impersonation").unwrap();
    let olaf = list(&mixed, "/users?first=0&max=100&briefRepresentation=true")
        .into_iter()
        .find(|user| user["username"] == "olaf")
        .unwrap();
    let page = "first=0&max=100&briefRepresentation=true";
    // The first answer to a request counts, so these come before the recorded ones.
    let mut own = Fixture::default();
    for (rest, body) in [
        ("?briefRepresentation=true".to_owned(), json!([{"id": "r1", "name": "ops", "composite": true}])),
        ("/ops/composites".to_owned(), json!([impersonation])),
        (format!("/ops/users?{page}"), json!([olaf])),
        (format!("/ops/groups?{page}"), json!([])),
    ] {
        own = own.with("GET", &format!("{BASE}/clients/{intranet}/roles{rest}"), 200, &body.to_string());
    }
    let run = Harness::new(own.then(mixed), |url| Box::new(config(url))).run("people").await;
    let admins = resources(&run, "keycloak.admin");
    let olaf = admins.get(olaf["id"].as_str().unwrap()).unwrap_or_else(|| panic!("{:#?}", run.gaps));
    assert_eq!(value(olaf, "roles"), json!(["impersonation"]));
}

#[tokio::test]
async fn where_the_list_of_people_says_nothing_of_one_time_codes_credentials_are_held_against_nothing_and_unread() {
    let (mixed, people) = (fixture("mixed"), "/users?first=0&max=100&briefRepresentation=true");
    let mut silent = list(&mixed, people);
    silent.iter_mut().for_each(|person| drop(person.as_object_mut().unwrap().remove("totp").unwrap()));
    let own = Fixture::default().with("GET", &format!("{BASE}{people}"), 200, &json!(silent).to_string());
    let run = Harness::new(own.then(mixed), |url| Box::new(config(url))).run("people").await;
    let admins = resources(&run, "keycloak.admin");
    let (services, persons): (Vec<_>, Vec<_>) =
        admins.values().partition(|fields| value(fields, "service_account") == true);
    assert!(!services.is_empty() && !persons.is_empty());
    for fields in services {
        assert!(value(fields, "credential_types").is_array(), "no person, so in no list");
    }
    for fields in persons {
        assert!(matches!(fields["credential_types"], Field::Unread(GapReason::Malformed, _)), "{fields:?}");
    }
}

#[tokio::test]
async fn the_steps_that_can_run_are_those_of_the_bound_flow() {
    for (folder, strong) in [("good", true), ("bad", false), ("mixed", false)] {
        let run = harness(folder).run("realm").await;
        let realm = resources(&run, "keycloak.realm").into_values().next().unwrap();
        assert_eq!(value(&realm, "strong_executions") != json!([]), strong, "{folder}");
        let sure = truth(folder, "keycloak.realm.second_factor_in_flow", &["conforms"]);
        assert_eq!(!sure.is_empty(), strong, "{folder}");
    }
}

fn gap<'a>(run: &'a CollectionRun, call: &str) -> &'a Gap {
    run.gaps.iter().find(|gap| gap.call == call).unwrap_or_else(|| panic!("{call}: no gap among {:#?}", run.gaps))
}

#[tokio::test]
async fn without_view_realm_the_stub_of_a_realm_gives_no_value() {
    let run = harness("no-view-realm").run("realm").await;
    assert_eq!(run.outcome, Outcome::Failed);
    let gap = gap(&run, spec::REALM.name);
    assert_eq!((gap.reason, gap.permission.as_deref()), (GapReason::Denied, Some("realm-management role view-realm")));
    assert!(resources(&run, "keycloak.realm").is_empty(), "bruteForceProtected stands in the stub");
}

#[tokio::test]
async fn without_view_events_the_rest_of_the_realm_is_read_and_nobody_is_named() {
    let run = harness("no-view-events").run("realm").await;
    assert_eq!(run.outcome, Outcome::Partial);
    let gap = gap(&run, spec::EVENTS_CONFIG.name);
    assert_eq!((gap.reason, gap.permission.as_deref()), (GapReason::Denied, Some("realm-management role view-events")));
    assert_eq!(gap.fields.len(), 4, "{gap:#?}");
    let realm = resources(&run, "keycloak.realm").into_values().next().unwrap();
    assert_eq!(value(&realm, "brute_force"), true);
    assert!(matches!(realm["admin_events_enabled"], Field::Unread(GapReason::Denied, _)));
    assert!(run.changes.unwrap_err().reason.contains("could not be read"));
}

#[tokio::test]
async fn an_empty_list_that_the_reader_may_not_see_is_denied_not_empty() {
    let run = harness("only-query-clients").run("clients").await;
    assert_eq!(run.outcome, Outcome::Failed);
    assert_eq!(gap(&run, spec::CLIENTS.name).reason, GapReason::Denied);

    let run = harness("only-query-users").run("people").await;
    assert_eq!(run.outcome, Outcome::Failed);
    let gap = gap(&run, spec::USERS.name);
    assert_eq!((gap.reason, gap.permission.as_deref()), (GapReason::Denied, Some("realm-management role view-users")));
}

#[tokio::test]
async fn every_missing_role_is_named() {
    for (folder, collector, call, role) in [
        ("no-view-users", "people", spec::USERS.name, "realm-management role view-users"),
        ("no-view-clients", "people", spec::CLIENTS.name, "realm-management role view-clients"),
        ("no-view-clients", "clients", spec::CLIENTS.name, "realm-management role view-clients"),
        ("no-roles", "realm", spec::REALM.name, "realm-management role view-realm"),
    ] {
        let run = harness(folder).run(collector).await;
        let gap = gap(&run, call);
        assert_eq!((gap.reason, gap.permission.as_deref()), (GapReason::Denied, Some(role)), "{folder} {collector}");
        assert!(run.populations.iter().any(|p| !p.complete), "{folder} {collector}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_not_signed_in_and_nothing_else_is_asked() {
    let run = harness("wrong-secret").run("realm").await;
    assert_eq!(run.outcome, Outcome::Failed);
    assert_eq!(gap(&run, spec::TOKEN.name).reason, GapReason::Unauthenticated);
    assert_eq!(run.exchanges.len(), 1);
}

#[tokio::test]
async fn when_admin_events_are_off_nobody_is_named_for_that_reason() {
    let off = fixture("admin-events-off").answer("GET", &format!("{BASE}/events/config")).unwrap();
    let fixture = Fixture::default().with("GET", &off.target, 200, &off.body).then(fixture("mixed"));
    let run = Harness::new(fixture, |url| Box::new(config(url))).run("realm").await;
    assert_eq!(run.changes.unwrap_err().reason, "admin events are switched off");
    assert_eq!(
        run.populations[0].resources().next().unwrap().fields["admin_events_enabled"],
        Field::Read(json!(false))
    );
}
