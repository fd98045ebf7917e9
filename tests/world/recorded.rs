//! The world is held to recordings of a real server: whatever was asked there gets the same answer here.
//!
//! Statuses, the kinds of every value, the keys of every object, the number of items of every list and the names in
//! them must be the same. Ids and secrets are not compared, and the order of roles is nobody's promise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;

use crate::wire::Reader;
use crate::{Drift, Posture, READER_ROLES, World};

/// Calls that were recorded and that the world leaves out.
const NOT_SERVED: [(&str, &str); 2] = [
    ("/authentication/flows", "a reader asks for the steps of the flow in use, never for the list of flows"),
    ("/events", "sign-ins of people are no evidence of how the realm is set up"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors/keycloak/fixtures")
}

struct Recorded {
    target: String,
    method: String,
    status: u16,
    body: String,
}

/// The exchanges of one folder, and the reader's roles in it.
fn recording(folder: &str) -> (Vec<Recorded>, Option<Vec<String>>) {
    let folder = fixtures().join(folder);
    let read = |path: PathBuf| -> Value { serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() };
    let index = read(folder.join("index.json"));
    let exchanges = index["exchanges"].as_array().unwrap().iter().map(|row| {
        let exchange = read(folder.join(row["file"].as_str().unwrap()));
        Recorded {
            target: exchange["target"].as_str().unwrap().to_owned(),
            method: exchange["method"].as_str().unwrap().to_owned(),
            status: u16::try_from(exchange["status"].as_u64().unwrap()).unwrap(),
            body: exchange["body"].as_str().unwrap().to_owned(),
        }
    });
    let roles = index["reader_roles"].as_array();
    let roles = roles.map(|r| r.iter().map(|role| role.as_str().unwrap().to_owned()).collect());
    (exchanges.collect(), roles)
}

/// What the recorded ids are called: `user/dora`, `group//leads`, `client/intranet`.
fn names_of(exchanges: &[Recorded]) -> BTreeMap<String, String> {
    fn walk(value: &Value, names: &mut BTreeMap<String, String>) {
        if let Some(id) = value["id"].as_str() {
            for (key, kind) in [("username", "user"), ("path", "group"), ("clientId", "client")] {
                if let Some(name) = value[key].as_str() {
                    names.insert(id.to_owned(), format!("{kind}/{name}"));
                }
            }
        }
        value.as_array().into_iter().flatten().for_each(|item| walk(item, names));
    }
    let mut names = BTreeMap::new();
    for exchange in exchanges {
        walk(&serde_json::from_str(&exchange.body).unwrap_or_default(), &mut names);
    }
    names
}

/// The recorded target with the world's own ids.
fn translate(world: &World, names: &BTreeMap<String, String>, target: &str) -> String {
    let mut translated = target.to_owned();
    for (id, name) in names.iter().filter(|(id, _)| target.contains(id.as_str())) {
        let (kind, name) = name.split_once('/').unwrap();
        let ours = match kind {
            "user" => world.user_id(name).unwrap_or_else(|| panic!("nobody is called {name}")),
            "group" => world.group_id(name),
            _ => world.client_id(name),
        };
        translated = translated.replace(id, &ours);
    }
    translated.strip_prefix("/admin/realms/acme").unwrap().to_owned()
}

/// Every path in a value with the kinds found there; items of a list share one path.
fn shape(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        found.insert(format!("{path}: {kind}"));
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), found)),
            Value::Object(fields) => {
                fields.iter().for_each(|(name, field)| walk(field, &format!("{path}.{name}"), found))
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

/// What the items of a list are called, sorted.
fn called(value: &Value) -> Vec<String> {
    let name = |item: &Value| {
        let keys = ["username", "path", "clientId", "displayName", "name", "type", "operationType"];
        keys.iter().find_map(|key| item[*key].as_str()).map(str::to_owned).unwrap_or_default()
    };
    let mut names: Vec<String> = value.as_array().into_iter().flatten().map(name).collect();
    names.sort();
    names
}

/// Asks the world everything that was recorded, and says where its answers differ.
async fn differences(folder: &str, world: &World, names: &BTreeMap<String, String>) -> (usize, Vec<String>) {
    let (exchanges, roles) = recording(folder);
    if let Some(roles) = roles {
        READER_ROLES.iter().for_each(|role| world.revoke(role));
        roles.iter().for_each(|role| world.grant(role));
    }
    let server = world.serve(0).unwrap();
    let reader = Reader::sign_in(&server).await;
    let (mut compared, mut differences) = (0, Vec::new());
    for exchange in exchanges.iter().filter(|e| e.method == "GET") {
        let path = exchange.target.split('?').next().unwrap();
        if NOT_SERVED.iter().any(|(call, _)| path.strip_prefix("/admin/realms/acme") == Some(call)) {
            continue;
        }
        let target = translate(world, names, &exchange.target);
        let (status, ours) = reader.get(&target).await;
        let theirs: Value = serde_json::from_str(&exchange.body).unwrap();
        let mut differ = |what: &str| differences.push(format!("{folder}: {target}: {what}"));
        if status != exchange.status {
            differ(&format!("{status}, not {}", exchange.status));
        }
        let (our_shape, their_shape) = (shape(&ours), shape(&theirs));
        our_shape.difference(&their_shape).for_each(|more| differ(&format!("has {more}")));
        their_shape.difference(&our_shape).for_each(|less| differ(&format!("lacks {less}")));
        if called(&ours) != called(&theirs) {
            differ(&format!("lists {:?}, not {:?}", called(&ours), called(&theirs)));
        }
        if theirs.is_u64() && ours != theirs {
            differ(&format!("counts {ours}, not {theirs}"));
        }
        compared += 1;
    }
    (compared, differences)
}

/// The organisation of a recording, after the changes that were made before it was recorded.
fn world_of(posture: Posture) -> World {
    let world = World::with_posture(3, if posture == Posture::Mixed { 24 } else { 14 }, 1_793_000_000_000, posture);
    if posture == Posture::Mixed {
        for drift in [Drift::BruteForceOff, Drift::WildcardReturnAddress, Drift::AdministratorWithoutFactor] {
            world.drift(drift, "dora").unwrap();
            world.undo(drift, "dora").unwrap();
        }
    }
    world
}

#[tokio::test]
async fn every_recorded_question_gets_the_answer_of_the_real_server() {
    let mut all = Vec::new();
    for (folder, posture) in [("good", Posture::Good), ("bad", Posture::Bad), ("mixed", Posture::Mixed)] {
        let (compared, found) = differences(folder, &world_of(posture), &names_of(&recording(folder).0)).await;
        assert!(compared > 80, "{folder}: only {compared} exchanges were compared");
        all.extend(found);
    }
    assert!(all.is_empty(), "{} differences:\n{}", all.len(), all.join("\n"));
}

#[tokio::test]
async fn with_fewer_roles_the_refusals_and_stubs_are_those_of_the_real_server() {
    let names = names_of(&recording("mixed").0);
    let cases = [
        "no-roles",
        "no-view-realm",
        "no-view-users",
        "no-view-clients",
        "no-view-events",
        "only-query-users",
        "only-query-clients",
        "only-query-groups",
    ];
    let mut all = Vec::new();
    for folder in cases {
        let (compared, mut found) = differences(folder, &world_of(Posture::Mixed), &names).await;
        assert!(compared > 20, "{folder}: only {compared} exchanges were compared");
        // While recording, the reader's roles were changed: the server kept events of that, which these worlds never saw.
        found.retain(|difference| !difference.contains("/admin-events?") || difference.contains(", not 403"));
        all.extend(found);
    }
    assert!(all.is_empty(), "{} differences:\n{}", all.len(), all.join("\n"));
}

#[tokio::test]
async fn a_token_says_the_same_things_about_its_holder() {
    for (folder, roles) in
        [("mixed", &READER_ROLES[..]), ("no-roles", &[][..]), ("only-query-users", &["query-users"][..])]
    {
        let world = world_of(Posture::Mixed);
        READER_ROLES.iter().for_each(|role| world.revoke(role));
        roles.iter().for_each(|role| world.grant(role));
        let server = world.serve(0).unwrap();
        let ours = claims(&Reader::sign_in(&server).await.token);
        let recorded: Value = serde_json::from_str(&recording(folder).0[0].body).unwrap();
        let theirs = claims(recorded["access_token"].as_str().unwrap());
        assert_eq!(shape(&ours), shape(&theirs), "{folder}");
        let held = |claims: &Value| -> BTreeSet<String> {
            let roles = claims["resource_access"]["realm-management"]["roles"].as_array();
            roles.into_iter().flatten().map(|role| role.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(held(&ours), held(&theirs), "{folder}");
    }
}

#[tokio::test]
async fn a_wrong_secret_and_a_wrong_realm_are_refused_in_the_same_words() {
    let world = world_of(Posture::Mixed);
    let server = world.serve(0).unwrap();
    let reader = Reader::sign_in(&server).await;
    let refused = &recording("wrong-secret").0[0];
    let (status, answer) = reader.try_sign_in("not-the-secret").await;
    assert_eq!((status, answer.to_string()), (refused.status, refused.body.clone()));
    let nowhere = recording("unknown-realm").0.into_iter().find(|e| e.method == "GET").unwrap();
    let (status, answer) = reader.get("/../nowhere").await;
    assert_eq!((status, answer.to_string()), (nowhere.status, nowhere.body));
}

#[test]
fn the_truth_of_the_world_is_the_truth_of_the_real_realm() {
    for (folder, posture) in [("good", Posture::Good), ("bad", Posture::Bad), ("mixed", Posture::Mixed)] {
        let text = std::fs::read_to_string(fixtures().join(folder).join("truth.json")).unwrap();
        let theirs: Value = serde_json::from_str(&text).unwrap();
        let ours = world_of(posture).truth();
        assert_eq!(Value::from(ours.people), theirs["populations"]["users"], "{folder}");
        for (check, verdicts) in theirs["checks"].as_object().unwrap() {
            let ours = &ours.checks[check.as_str()];
            for (value, ours) in
                [("deviates", &ours.deviates), ("conforms", &ours.conforms), ("not_applicable", &ours.not_applicable)]
            {
                let theirs = verdicts[value].as_array().unwrap();
                let theirs: BTreeSet<&str> = theirs.iter().map(|r| r["name"].as_str().unwrap()).collect();
                let ours: BTreeSet<&str> = ours.values().map(String::as_str).collect();
                assert_eq!(ours, theirs, "{folder}: {check} {value}");
            }
        }
    }
}

fn claims(token: &str) -> Value {
    let middle = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap()
}
