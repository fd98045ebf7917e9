//! The chart and the objects without Helm, rendered by the real Helm and Kustomize.

use std::path::Path;
use std::process::{Command, Output};

use super::needed;
use crate::deploy::{path, text};

const CHART: &str = "deploy/helm/evidenced";
const VALUES: &str = "deploy/kustomize/values.yaml";

/// Runs one of the programs that `tests/parties/helm` compiles.
fn program(name: &str, args: &[&str]) -> Output {
    let folder = needed("HELM_URL");
    Command::new(Path::new(&folder).join(name)).args(args).current_dir(path("")).output().unwrap()
}

fn rendered(more: &[&str]) -> String {
    let output = program("helm", &[&["template", "evidenced", CHART, "-n", "evidenced", "-f", VALUES], more].concat());
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Objects in the one form that Kustomize gives them.
fn in_one_form(folder: &Path) -> String {
    let output = program("kustomize", &["build", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs helm: run by tests/all"]
fn party_helm_renders_the_same_bytes_twice_and_no_finding() {
    let everything = ["--set", "guard.enabled=true,serviceMonitor.enabled=true,prometheusRule.enabled=true"];
    assert_eq!(rendered(&everything), rendered(&everything));
    let lint = program("helm", &["lint", "--strict", CHART, "-f", VALUES]);
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}

#[test]
#[ignore = "needs helm: run by tests/all"]
fn party_helm_refuses_what_is_no_setting_and_no_value_by_its_name() {
    for (set, named) in [
        ("settings.organization=Acme", "organization"),
        ("settings.limits.run_at_once=3", "run_at_once"),
        ("replicas=2", "replicas"),
        ("guard.enabeld=true", "enabeld"),
        ("image.repository=", "image.repository"),
        ("ledger.key=evidenced/acme-ltd", "/ledger/key"),
    ] {
        let output = program("helm", &["template", "evidenced", CHART, "-f", VALUES, "--set", set]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{set}: {said}");
    }
    let output =
        program("helm", &["template", "evidenced", CHART, "--set", "image.repository=registry.example.com/evidenced"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("organisation") && said.contains("sources"), "{said}");
}

#[test]
#[ignore = "needs helm: run by tests/all"]
fn party_helm_and_kustomize_give_the_same_objects() {
    let folder = tempfile::tempdir().unwrap();
    let all = rendered(&["--no-hooks"]);
    let (settings, objects) = settings_and_objects(&all);
    for (name, fresh) in [("objects.yaml", &objects), ("evidenced.yaml", &settings)] {
        let name = format!("deploy/kustomize/{name}");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path(&name), fresh).unwrap();
        }
        assert!(text(&name) == *fresh, "{name} is not fresh: run this test with BLESS=1");
    }
    std::fs::write(folder.path().join("all.yaml"), all).unwrap();
    let alone = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: evidenced\n\
                 sortOptions: {order: legacy}\nresources: [all.yaml]\n";
    std::fs::write(folder.path().join("kustomization.yaml"), alone).unwrap();
    assert_eq!(in_one_form(folder.path()), in_one_form(&path("deploy/kustomize")));
}

#[test]
#[ignore = "needs helm: run by tests/all"]
fn party_helm_renders_the_example_of_the_guide() {
    let guide = text("deploy/README.md");
    let example = guide.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    std::fs::write(&values, example).unwrap();
    let output = program("helm", &["template", "evidenced", CHART, "-f", values.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("kubernetes.io/metadata.name: monitoring"),
        "the receiver's namespace may be reached:\n{said}"
    );
    assert!(said.contains("# id.example.com\n    - ports:\n        - {port: 443, protocol: TCP}"), "{said}");
}

#[test]
#[ignore = "needs promtool and helm: run by tests/all"]
fn party_promtool_with_helm_finds_each_rule_silent_before_its_cause_and_firing_after_it() {
    let rendered = rendered(&["--set", "prometheusRule.enabled=true", "--show-only", "templates/prometheusrule.yaml"]);
    let folder = tempfile::tempdir().unwrap();
    let groups = rendered.split("\nspec:\n").nth(1).unwrap();
    let groups: String = groups.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
    std::fs::write(folder.path().join("rules.yaml"), &groups).unwrap();
    let tests = text("tests/cluster/rules.test.yaml");
    for alert in groups.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("- name: {alert}\n")), "{alert} has no test in tests/cluster/rules.test.yaml");
    }
    std::fs::write(folder.path().join("tests.yaml"), tests).unwrap();
    for args in [["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]] {
        let output = Command::new(needed("PROMTOOL_URL")).args(args).current_dir(folder.path()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
    }
}

/// The settings as a file, and the objects but for the ConfigMap that holds them.
fn settings_and_objects(all: &str) -> (String, String) {
    let mut settings = String::new();
    let mut objects = "# Rendered from the chart by values.yaml; a test holds it fresh.\n".to_owned();
    for object in all.split("---\n").filter(|object| object.contains("kind: ")) {
        let object: String =
            object.lines().filter(|line| !line.starts_with("# Source: ")).map(|line| format!("{line}\n")).collect();
        if object.contains("\nkind: ConfigMap\n") {
            let lines = object.split("evidenced.yaml: |\n").nth(1).unwrap().lines();
            settings = lines.map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
        } else {
            objects.push_str("---\n");
            objects.push_str(&object);
        }
    }
    (settings, objects)
}
