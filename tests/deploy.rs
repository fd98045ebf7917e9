//! What is in `deploy/`, as far as it can be held without Helm: the schema of the settings in the chart, versions, and the
//! page that alerts lead to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

const SCHEMA: &str = "deploy/helm/evidenced/values.schema.json";

#[test]
fn the_charts_schema_holds_that_of_the_settings() {
    let mut chart: Value = serde_json::from_str(&text(SCHEMA)).unwrap();
    let mut settings: Value = serde_json::from_str(&text("config/evidenced.schema.json")).unwrap();
    let settings = settings.as_object_mut().unwrap();
    chart["$defs"] = settings.remove("$defs").unwrap();
    settings.remove("$schema");
    chart["properties"]["settings"] = Value::Object(std::mem::take(settings));
    let fresh = format!("{chart:#}\n");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path(SCHEMA), &fresh).unwrap();
    }
    assert!(text(SCHEMA) == fresh, "{SCHEMA} is not fresh: run this test with BLESS=1");
}

#[test]
fn the_chart_and_the_objects_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = text("deploy/helm/evidenced/Chart.yaml");
    assert!(chart.contains(&format!("\nappVersion: {version}\n")), "deploy/helm/evidenced/Chart.yaml: appVersion");
    let objects = text("deploy/kustomize/kustomization.yaml");
    for line in [format!("newTag: {version}\n"), format!("app.kubernetes.io/version: {version}\n")] {
        assert!(objects.contains(&line), "deploy/kustomize/kustomization.yaml: {line}");
    }
}

#[test]
fn every_alert_of_the_chart_leads_to_what_to_do() {
    let rules = text("deploy/helm/evidenced/templates/prometheusrule.yaml");
    let guide = text("deploy/README.md");
    let named: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let explained: BTreeSet<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|name| name.starts_with("Evidenced"))
        .collect();
    assert!(named.len() >= 6, "{named:?}");
    assert_eq!(named, explained, "an alert and its paragraph in deploy/README.md");
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        let line = format!("runbook_url: {{{{ $page }}}}#{}\n", name.to_lowercase());
        assert!(alert.contains(&line), "{name} lacks {line}");
        assert!(alert.contains("            runbook: "), "{name} lacks the first command of its runbook");
    }
}

/// A file of the repository.
pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The path of a file of the repository.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
