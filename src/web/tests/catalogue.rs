//! What the sample's daemon knows beside what is recorded.

use domain::{Bearing, Mapping, Severity};
use query::{Catalogue, CheckInfo, ControlInfo, FrameworkInfo, SourceInfo};

pub(crate) fn catalogue() -> Catalogue {
    let source = |owner: &str, collectors: &[&str]| SourceInfo {
        owner: owner.into(),
        collectors: collectors.iter().map(|c| c.parse().unwrap()).collect(),
    };
    let check = |title: &str,
                 problem: &str,
                 severity,
                 why: &str,
                 first: &str,
                 kind: &str,
                 collector: &str,
                 age: &str,
                 mappings: &[(&str, Bearing, &str)]| CheckInfo {
        title: title.into(),
        problem: problem.into(),
        severity,
        severity_why: why.into(),
        first_action: first.into(),
        kind: kind.parse().unwrap(),
        source_kind: "keycloak".into(),
        collector: collector.parse().unwrap(),
        greatest_age: age.parse().unwrap(),
        version: "00112233aabbccdd".into(),
        mappings: mappings
            .iter()
            .map(|(control, bearing, why)| Mapping {
                framework: "iso27001-2022".parse().unwrap(),
                control: control.parse().unwrap(),
                bearing: *bearing,
                why: (*why).into(),
            })
            .collect(),
    };
    let checks = [
        (
            "keycloak.realm.brute_force",
            check(
                "Brute-force protection is on",
                "Brute-force protection is off",
                Severity::High,
                "anyone can guess passwords without being slowed down",
                "Realm settings > Security defenses > Brute force detection: on",
                "keycloak.realm",
                "realm",
                "1h",
                &[
                    ("A.8.5", Bearing::Supports, "guessing is slowed down"),
                    ("A.5.17", Bearing::Proves, "authentication information is protected against guessing"),
                ],
            ),
        ),
        (
            "keycloak.realm.tls_required",
            check(
                "TLS is required of every address",
                "TLS is not required of every address",
                Severity::High,
                "tokens travel readable",
                "Realm settings > General > Require SSL: all requests",
                "keycloak.realm",
                "realm",
                "1h",
                &[("A.8.24", Bearing::Supports, "cryptography in transit")],
            ),
        ),
        (
            "keycloak.admin.second_factor",
            check(
                "Every realm administrator has a second factor",
                "A realm administrator has no second factor",
                Severity::Critical,
                "one stolen administrator's password opens every account of the realm",
                "Users > the administrator > Details > Required user actions: Configure OTP; end their sessions",
                "keycloak.admin",
                "people",
                "6h",
                &[
                    ("A.8.5", Bearing::Proves, "those whose account opens all others have a second factor set up"),
                    ("A.8.2", Bearing::Supports, "privileged accounts are guarded"),
                ],
            ),
        ),
    ];
    Catalogue {
        organisation: "Acme GmbH".into(),
        permalink_base: "http://127.0.0.1:8461".into(),
        sources: [
            ("keycloak:acme", source("Identity team", &["people", "realm"])),
            ("keycloak:lab", source("Lab", &["realm"])),
        ]
        .into_iter()
        .map(|(id, info)| (id.parse().unwrap(), info))
        .collect(),
        checks: checks.into_iter().map(|(id, info)| (id.parse().unwrap(), info)).collect(),
        frameworks: [("iso27001-2022".parse().unwrap(), annex_a())].into_iter().collect(),
    }
}

/// Ids and short titles, line by line out of the catalogue that the program embeds.
fn annex_a() -> FrameworkInfo {
    let text = include_str!("../../../config/frameworks/iso27001-2022.yaml");
    let mut controls = Vec::new();
    let mut id = None;
    for line in text.lines() {
        if let Some(found) = line.strip_prefix("  - id: A.") {
            id = Some(format!("A.{found}"));
        } else if let (Some(title), Some(number)) = (line.strip_prefix("    title: "), id.take()) {
            controls.push(ControlInfo {
                id: number.parse().unwrap(),
                title: title.trim_matches('"').into(),
                roles: vec![],
                corresponds: vec![],
            });
        }
    }
    FrameworkInfo {
        title: "ISO/IEC 27001:2022 Annex A".into(),
        edition: "3 (2022-10)".into(),
        replaced_by: None,
        controls,
    }
}
