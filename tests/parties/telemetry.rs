//! A real OpenTelemetry Collector, and Prometheus' own reader of metrics: what both make of what the daemon says of itself.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use world::World;

use super::needed;
use crate::support::{PATIENCE, Setup, now, served};

/// What the collector was told by one instance of the daemon: the lines that name it.
fn told(instance: &str) -> Told {
    let text = std::fs::read_to_string(needed("OTELCOL_TOLD")).unwrap_or_default();
    // The last line may still be on its way.
    let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Told { lines: all.filter(|line| line.to_string().contains(instance)).collect() }
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

/// Everything that the collector was told, by kind.
struct Told {
    lines: Vec<Value>,
}

impl Told {
    fn of(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line[kind].is_array()).collect()
    }

    /// Every object of `kind` that has `key`.
    fn having(&self, kind: &str, key: &str) -> Vec<&Value> {
        let mut found = Vec::new();
        self.of(kind).into_iter().for_each(|line| having(line, key, &mut found));
        found
    }

    /// Every call whose run was recorded and judged: its trace has all the steps. One that the end of the daemon cut short
    /// has not.
    fn whole_calls(&self) -> Vec<&Value> {
        let spans = self.having("resourceSpans", "spanId");
        let in_trace_of = |call: &Value, name: &str| {
            spans.iter().any(|span| span["name"] == name && span["traceId"] == call["traceId"])
        };
        let calls = spans.iter().filter(|span| span["name"] == CALL);
        calls.copied().filter(|call| STEPS.iter().all(|name| in_trace_of(call, name))).collect()
    }

    /// What there is to be told and is not there yet.
    fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        if self.whole_calls().is_empty() {
            lacks.push(format!("{CALL} in a trace with {STEPS:?}"));
        }
        let traces: BTreeSet<&str> =
            self.having("resourceSpans", "spanId").iter().filter_map(|span| span["traceId"].as_str()).collect();
        let logs = self.having("resourceLogs", "body");
        let mut collected = logs.iter().filter(|log| log["body"]["stringValue"] == "collected");
        if !collected.any(|log| log["traceId"].as_str().is_some_and(|trace| traces.contains(trace))) {
            lacks.push("a line of the log that has the trace of its run".to_owned());
        }
        let metrics = self.having("resourceMetrics", "name");
        lacks.extend(
            METRICS.iter().filter(|name| !metrics.iter().any(|one| one["name"] == **name)).map(|&name| name.into()),
        );
        lacks
    }
}

const CALL: &str = "GET /admin/realms/{realm}";
const STEPS: [&str; 4] = ["run", "collect", "record", "evaluate"];
const METRICS: [&str; 4] =
    ["evidenced.runs", "evidenced.run.duration", "evidenced.ledger.entries", "evidenced.stream.period"];

fn attribute(of: &Value, name: &str) -> Option<Value> {
    let attributes = of["attributes"].as_array()?;
    let found = attributes.iter().find(|one| one["key"] == name)?;
    found["value"].as_object()?.values().next().cloned()
}

/// Traces, metrics and log lines arrive over `protocol`, named as OpenTelemetry names things, and joined: a log line and
/// a call carry the trace of their run, which names its entry.
fn arrives(protocol: &str, endpoint: &str, instance: &str) {
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let mut setup = Setup::of_world(&server)
        .with(&format!("telemetry: {{endpoint: '{endpoint}', protocol: {protocol}, every: 1s}}\n"));
    setup.env.push((
        "OTEL_RESOURCE_ATTRIBUTES".to_owned(),
        format!("service.instance.id={instance},k8s.namespace.name=evidence"),
    ));
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    assert_eq!(daemon.stop().0, Some(0), "whatever is left is told at the end");
    // The collector has taken it all by now, and writes it to its file in a while.
    let began = std::time::Instant::now();
    let told = loop {
        let told = told(instance);
        let lacks = told.lacks();
        if lacks.is_empty() {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "over {protocol} there did not arrive: {lacks:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    for kind in ["resourceSpans", "resourceMetrics", "resourceLogs"] {
        let resource = &told.of(kind)[0][kind][0]["resource"];
        assert_eq!(attribute(resource, "service.name"), Some("evidenced".into()), "{resource:#}");
        assert_eq!(attribute(resource, "service.version"), Some(env!("CARGO_PKG_VERSION").into()));
        assert_eq!(attribute(resource, "k8s.namespace.name"), Some("evidence".into()));
    }
    let spans = told.having("resourceSpans", "spanId");
    let names: Vec<&str> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
    let call = told.whole_calls()[0];
    assert_eq!(call["kind"], 3, "a client's");
    let run = spans.iter().find(|span| span["name"] == "run" && span["traceId"] == call["traceId"]).unwrap();
    assert!(attribute(run, "entry").is_some(), "from the call to the evidence: {run:#}");
    assert_eq!(attribute(call, "http.request.method"), Some("GET".into()));
    assert_eq!(attribute(call, "http.response.status_code"), Some("200".into()), "{call:#}");
    assert_eq!(attribute(call, "server.address"), Some("127.0.0.1".into()), "{call:#}");
    assert!(attribute(call, "url.full").is_none(), "an address may hold an id");
    let carriers = ["h2", "hyper", "tonic", "reqwest"];
    assert!(!names.iter().any(|name| carriers.contains(name)), "nothing of the carriers: {names:?}");

    let (metrics, logs) = (told.having("resourceMetrics", "name").len(), told.having("resourceLogs", "body").len());
    println!("{protocol}: {} spans, {metrics} metrics, {logs} log lines arrived", spans.len());
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
    let (_world, server) = served(World::new(7, 12, now().millis()));
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
