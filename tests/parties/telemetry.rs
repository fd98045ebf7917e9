//! A real OpenTelemetry Collector, and Prometheus' own reader of metrics: what both make of what the daemon says of itself.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use world::World;

use super::needed;
use crate::support::{Setup, now};

/// What the collector was told by one instance of the daemon: the lines that name it.
fn told(instance: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(needed("OTELCOL_TOLD")).unwrap_or_default();
    // The last line may still be on its way.
    let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|line| line.to_string().contains(instance)).collect()
}

/// Every object below `value` that has `key`.
fn having<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            if map.contains_key(key) {
                found.push(value);
            }
            map.values().for_each(|below| having(below, key, found));
        }
        Value::Array(items) => items.iter().for_each(|below| having(below, key, found)),
        _ => {}
    }
}

fn attribute(of: &Value, name: &str) -> Option<Value> {
    let attributes = of["attributes"].as_array()?;
    let found = attributes.iter().find(|one| one["key"] == name)?;
    found["value"].as_object()?.values().next().cloned()
}

/// Traces, metrics and log lines arrive over `protocol`, named as OpenTelemetry names things, and joined: a log line and
/// a call carry the trace of their run, which names its entry.
fn arrives(protocol: &str, endpoint: &str, instance: &str) {
    let world = World::new(7, 12, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    let mut setup = Setup::of_world(&server)
        .with(&format!("telemetry: {{endpoint: '{endpoint}', protocol: {protocol}, every: 1s}}\n"));
    setup.env.push((
        "OTEL_RESOURCE_ATTRIBUTES".to_owned(),
        format!("service.instance.id={instance},k8s.namespace.name=evidence"),
    ));
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    assert_eq!(daemon.stop().0, Some(0), "whatever is left is told at the end");
    let lines = told(instance);
    let of = |kind: &str| -> Vec<&Value> { lines.iter().filter(|line| line[kind].is_array()).collect() };
    for kind in ["resourceSpans", "resourceMetrics", "resourceLogs"] {
        assert!(!of(kind).is_empty(), "{kind} did not arrive over {protocol}");
        let resource = &of(kind)[0][kind][0]["resource"];
        assert_eq!(attribute(resource, "service.name"), Some("evidenced".into()), "{resource:#}");
        assert_eq!(attribute(resource, "service.version"), Some(env!("CARGO_PKG_VERSION").into()));
        assert_eq!(attribute(resource, "k8s.namespace.name"), Some("evidence".into()));
    }
    let mut spans = Vec::new();
    of("resourceSpans").into_iter().for_each(|line| having(line, "spanId", &mut spans));
    let call = spans.iter().find(|span| span["name"] == "GET /admin/realms/{realm}").expect("a call");
    assert_eq!(call["kind"], 3, "a client's");
    for name in ["run", "collect", "record", "evaluate"] {
        let within = spans.iter().find(|span| span["name"] == name && span["traceId"] == call["traceId"]);
        let within = within.unwrap_or_else(|| panic!("{name} has no part in the trace of the call"));
        assert!(name != "run" || attribute(within, "entry").is_some(), "from the call to the evidence: {within:#}");
    }
    assert_eq!(attribute(call, "http.request.method"), Some("GET".into()));
    assert_eq!(attribute(call, "http.response.status_code"), Some("200".into()), "{call:#}");
    assert_eq!(attribute(call, "server.address"), Some("127.0.0.1".into()), "{call:#}");
    assert!(attribute(call, "url.full").is_none(), "an address may hold an id");
    let carriers = ["h2", "hyper", "tonic", "reqwest"];
    assert!(!spans.iter().any(|span| carriers.contains(&span["name"].as_str().unwrap())), "nothing of the carriers");

    let mut named = Vec::new();
    of("resourceMetrics").into_iter().for_each(|line| having(line, "name", &mut named));
    let names: BTreeSet<&str> = named.iter().filter_map(|metric| metric["name"].as_str()).collect();
    for name in ["evidenced.runs", "evidenced.run.duration", "evidenced.ledger.entries", "evidenced.stream.period"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    let mut logs = Vec::new();
    of("resourceLogs").into_iter().for_each(|line| having(line, "body", &mut logs));
    let collected = logs.iter().find(|log| log["body"]["stringValue"] == "collected").expect("a line of the log");
    assert!(spans.iter().any(|span| span["traceId"] == collected["traceId"]), "a line has the trace of its run");
    println!("{protocol}: {} spans, {} metrics, {} log lines arrived", spans.len(), names.len(), logs.len());
}

#[test]
#[ignore = "needs an OpenTelemetry Collector: run by tests/all"]
fn party_otelcol_traces_metrics_and_logs_arrive_over_grpc() {
    arrives("grpc", &needed("OTELCOL_URL"), "by-grpc");
}

#[test]
#[ignore = "needs an OpenTelemetry Collector: run by tests/all"]
fn party_otelcol_traces_metrics_and_logs_arrive_over_http() {
    arrives("http", &needed("OTELCOL_HTTP_URL"), "by-http");
}

#[test]
#[ignore = "needs promtool of Prometheus: run by tests/all"]
fn party_promtool_has_no_complaint_about_the_metrics() {
    let world = World::new(7, 12, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    daemon.wait("a delivery", |api| (!api.facts("delivery").is_empty()).then_some(()));
    let live = daemon.metrics().0;
    assert_eq!(daemon.stop().0, Some(0));
    for (what, text) in [("live", live), ("every one there is", evidenced::telemetry::every_metric().unwrap())] {
        let mut promtool = Command::new(needed("PROMTOOL_URL"))
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let words = [said.stdout, said.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        assert!(said.status.success() && words.trim().is_empty(), "{what}: {words}\n{text}");
    }
}
