//! The description of the API: fresh, whole, and true of real answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::sample::{Names, sample};
use crate::{Answer, READS, ask, get, send, usual};

fn description() -> Value {
    serde_json::from_str(web::openapi()).unwrap()
}

/// The operations, by path.
fn operations(description: &Value) -> BTreeMap<String, (String, Value)> {
    let of = |(path, item): (&String, &Value)| {
        let item = item.as_object().unwrap();
        let (method, operation) = item.iter().find(|(key, _)| *key != "servers").unwrap();
        (path.clone(), (method.clone(), operation.clone()))
    };
    description["paths"].as_object().unwrap().iter().map(of).collect()
}

/// The described path that a real one is of.
fn described(description: &Value, path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap();
    let fits = |template: &&String| {
        let (mut parts, mut wanted) = (path.split('/'), template.split('/'));
        let same =
            wanted.by_ref().all(|wanted| parts.next().is_some_and(|part| wanted.starts_with('{') || part == wanted));
        same && parts.next().is_none()
    };
    // What is named in full comes before what a placeholder takes in.
    let paths = description["paths"].as_object().unwrap();
    paths.keys().filter(fits).min_by_key(|template| template.matches('{').count()).cloned()
}

/// A validator for one schema of the description, by which objects hold nothing that is not described.
fn validator(description: &Value, schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    let mut components = description["components"].clone();
    close(&mut components);
    whole["components"] = components;
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") {
                map.entry("additionalProperties").or_insert(false.into());
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn holds(description: &Value, path: &str, answer: &Answer) {
    let template = described(description, path).unwrap_or_else(|| panic!("{path} is not described"));
    let (_, operation) = &operations(description)[&template];
    let responses = &operation["responses"];
    let status = answer.status.as_u16().to_string();
    let content = match responses.get(&status) {
        Some(response) => &response["content"],
        None => &description["components"]["responses"]["Refused"]["content"],
    };
    let (media, body) = content.as_object().unwrap().iter().next().unwrap();
    assert!(answer.header("content-type").starts_with(media.as_str()), "{path}: {}", answer.header("content-type"));
    let value = if media == "application/json" { answer.json() } else { json!(answer.body) };
    let faults: Vec<String> = validator(description, &body["schema"])
        .iter_errors(&value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert_eq!(faults, [""; 0], "{path} answers what is not described");
}

#[test]
fn the_description_is_made_from_the_routes_and_their_types() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, web::openapi()).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == web::openapi(), "src/web/openapi.json is not fresh: run this test with BLESS=1");
}

#[test]
fn the_description_is_whole_in_itself() {
    let description = description();
    assert_eq!(description["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, (_, operation)) in operations(&description) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
        let placeholders: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters = operation["parameters"].as_array().unwrap();
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
        assert_eq!(in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect::<BTreeSet<_>>(), placeholders);
        assert!(parameters.iter().all(|parameter| parameter["description"] != ""), "{path}");
    }
    let mut references = BTreeSet::new();
    referred(&description, &mut references);
    for reference in &references {
        let found = description.pointer(reference.strip_prefix('#').unwrap());
        assert!(found.is_some(), "{reference} leads nowhere");
    }
    assert!(references.len() > 20, "{references:?}");
    let mut silent = Vec::new();
    for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
        assert!(references.contains(&format!("#/components/schemas/{name}")), "nobody refers to {name}");
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            if schema["description"].as_str().is_none_or(str::is_empty) {
                silent.push(format!("{name}.{property}"));
            }
        }
    }
    assert_eq!(silent, [""; 0], "properties without a doc comment");
}

fn referred(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| referred(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| referred(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_answered() {
    let (description, router) = (description(), usual());
    for path in READS.iter().filter(|path| path.starts_with("/api/")) {
        assert!(described(&description, path).is_some(), "{path}");
    }
    let read: BTreeSet<String> = READS.iter().filter_map(|path| described(&description, path)).collect();
    for (path, (method, operation)) in operations(&description) {
        if method == "post" {
            // Only the owner's socket has it.
            assert_eq!(ask(&router, Method::POST, &path).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(get(&router, &path).await.status, StatusCode::NOT_FOUND, "{path}");
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let validator = validator(&description, schema);
            let owner = web::control(Arc::new(sample(&Names::tame(), 6)));
            let (accepted, refused) = (StatusCode::ACCEPTED, StatusCode::UNPROCESSABLE_ENTITY);
            let run_now = vec![
                (json!({ "what": "keycloak:acme/realm" }), accepted),
                (json!({ "what": null }), accepted),
                (json!({}), accepted),
                (json!({ "what": 7 }), refused),
            ];
            let moment = "2026-07-01T00:00:00.000Z";
            let export = json!({
                "recipient": "an auditor", "of": ["iso27001-2022/A.8.5"], "from": moment, "to": moment, "entries": 1,
                "rows": 2, "withheld": 0, "hidden": [], "digest": "00",
            });
            let exports = vec![(export, accepted), (json!({ "recipient": 7 }), refused), (json!({}), refused)];
            let dora = json!({ "type": "keycloak.user", "id": "7" });
            let erase = json!({ "resources": [dora], "also_named": ["dora"], "because": "request 17", "by": "dpo" });
            let erasures = vec![(erase, accepted), (json!({ "resources": ["dora"] }), refused), (json!({}), refused)];
            let two = json!({ "because": "case 7", "asked_by": "Legal", "approved_by": "Board" });
            let with = |name: &str, value: Value| {
                let mut body = two.clone();
                body[name] = value;
                body
            };
            let holds_asked = vec![(with("resources", json!([dora])), accepted), (two.clone(), refused)];
            let releases = vec![(with("hold", json!(7)), accepted), (with("hold", json!("#7")), refused)];
            let tried = match path.rsplit('/').next().unwrap() {
                "run-now" => run_now,
                "exports" => exports,
                "erasures" => erasures,
                "holds" => holds_asked,
                "releases" => releases,
                other => panic!("nothing is sent to {other}"),
            };
            for (body, status) in tried {
                let request =
                    Request::builder().method(Method::POST).uri(&path).header("content-type", "application/json");
                let answer = send(&owner, request.body(Body::from(body.to_string())).unwrap()).await;
                assert_eq!(answer.status, status, "{body}");
                assert_eq!(validator.is_valid(&body), status == StatusCode::ACCEPTED, "{body}");
                holds(&description, &path, &answer);
            }
            continue;
        }
        assert!(read.contains(&path), "no test reads {path}");
    }
    let served = get(&router, "/api/v1/openapi.json").await;
    assert_eq!(served.body, web::openapi());
}

#[tokio::test]
async fn real_answers_are_as_they_are_described() {
    let (description, router) = (description(), usual());
    let mut validated = 0;
    let more = ["/api/v1/changes?limit=3", "/api/v1/changes?limit=3&before=9", "/api/v1/deviations?from=1&limit=1"];
    // Every entry and the first rows of it, whatever their kind.
    let entries = (0..28).flat_map(|entry| {
        let rows = (0..3).map(move |row| format!("/api/v1/entries/{entry}/{row}"));
        std::iter::once(format!("/api/v1/entries/{entry}")).chain(rows)
    });
    let reads = READS.iter().filter(|path| path.starts_with("/api/")).chain(&more).map(|path| (*path).to_owned());
    let refused = ["/api/v1/entries/99", "/api/v1/controls/iso9001", "/api/v1/changes?limit=x"].map(str::to_owned);
    for path in reads.chain(entries).chain(refused) {
        holds(&description, &path, &get(&router, &path).await);
        validated += 1;
    }
    assert!(validated > 100, "{validated}");
}

#[tokio::test]
async fn an_answer_that_is_not_as_described_is_found_out() {
    let (description, router) = (description(), usual());
    let answer = get(&router, "/api/v1/streams").await.json();
    let schema =
        &operations(&description)["/api/v1/streams"].1["responses"]["200"]["content"]["application/json"]["schema"];
    let validator = validator(&description, schema);
    assert!(validator.is_valid(&answer));
    for (at, wrong) in [
        ("/items/0/owner", json!(7)),
        ("/items/0/stream", json!(null)),
        ("/items/0/outcomes", json!([1, 2, 3])),
        ("/items/0/gaps/0/reason", json!("forgotten")),
        ("/items/0/last_run/started", json!("yesterday")),
    ] {
        let mut broken = answer.clone();
        *broken.pointer_mut(at).unwrap_or_else(|| panic!("{at} is not there: {answer:#}")) = wrong;
        assert!(!validator.is_valid(&broken), "{at}");
    }
    let mut more = answer.clone();
    more["items"][0]["undescribed"] = json!(1);
    assert!(!validator.is_valid(&more));
}
