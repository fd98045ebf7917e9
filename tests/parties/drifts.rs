//! Changes that a realm administrator makes: each is seen, with before, after and who, and ends when it is undone.

use query::{Alert, ChangeView};
use serde_json::{Value, json};

use super::{Realm, collect, verdicts};
use crate::support::Daemon;

/// One change: its name in the script, the check that sees it, the resource, one field with its value before and after,
/// and how its undoing ends the deviation.
struct Drift {
    name: &'static str,
    check: &'static str,
    resource: &'static str,
    field: &'static str,
    before: Value,
    after: Value,
    /// Who is named: dora, unless the change itself keeps the server from saying so.
    named: bool,
    end: &'static str,
}

fn drifts() -> Vec<Drift> {
    let of_realm = |name, check, field, before, after| Drift {
        name,
        check,
        resource: "drifts",
        field,
        before,
        after,
        named: true,
        end: "resolved",
    };
    vec![
        of_realm("brute-force-off", "keycloak.realm.brute_force", "brute_force", json!(true), json!(false)),
        of_realm("tls-off", "keycloak.realm.tls_required", "ssl_required", json!("external"), json!("none")),
        of_realm("long-tokens", "keycloak.realm.session_limits", "access_token_seconds", json!(300), json!(7200)),
        Drift {
            // Who switched the events off stands in no event.
            named: false,
            ..of_realm(
                "admin-events-off",
                "keycloak.realm.events_kept",
                "admin_events_enabled",
                json!(true),
                json!(false),
            )
        },
        of_realm(
            "second-factor-step-off",
            "keycloak.realm.second_factor_in_flow",
            "strong_executions",
            json!(["auth-otp-form"]),
            json!([]),
        ),
        Drift {
            resource: "intranet",
            ..of_realm(
                "wildcard-return-address",
                "keycloak.client.hardened",
                "redirect_uris",
                json!(["https://intranet.acme.example/callback"]),
                json!(["https://*"]),
            )
        },
        Drift {
            resource: "wilma",
            end: "gone",
            ..of_realm(
                "administrator-without-factor",
                "keycloak.admin.second_factor",
                "credential_types",
                Value::Null,
                json!(["password"]),
            )
        },
    ]
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_every_kind_of_drift_is_seen_with_before_after_and_who_and_ends_when_undone() {
    // A good realm: every deviation is a drift.
    let realm = Realm::seed("drifts", "good", 40);
    let setup = realm.watched();
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    assert_eq!(daemon.api().deviations().len(), 0);
    println!("\n{:<30} {:<38} {:<14} {:<9} who", "drift", "seen by", "of", "ended");
    for drift in drifts() {
        let played = realm.play(&["drift", drift.name, "--as", "dora"]);
        assert_eq!(played["check"], drift.check);
        collect(&mut daemon);
        let open = daemon.api().deviations();
        assert_eq!(open.len(), 1, "{}: {open:#?}", drift.name);
        is_seen(&drift, &open[0], &played);

        realm.play(&["undo", drift.name, "--as", "dora"]);
        collect(&mut daemon);
        assert_eq!(daemon.api().deviations().len(), 0, "{} undone", drift.name);
        let steps = verdicts::steps(daemon.api());
        let [opened, ended] = &steps[steps.len() - 2..] else { panic!("{steps:?}") };
        assert_eq!(*opened, format!("{} opened", drift.check));
        assert_eq!(*ended, format!("{} {}", drift.check, drift.end));
        let who = open[0].who.as_ref().map_or_else(|unknown| unknown.reason.clone(), |actor| actor.name.clone());
        println!("{:<30} {:<38} {:<14} {:<9} {who}", drift.name, drift.check, open[0].subject, drift.end);
    }
    assert_eq!(verdicts::steps(daemon.api()).len(), 2 * drifts().len(), "and nothing else changed");
    last_change_names_its_evidence(&daemon);
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

fn is_seen(drift: &Drift, alert: &Alert, played: &Value) {
    let name = drift.name;
    assert_eq!(alert.check.as_ref().unwrap().as_str(), drift.check, "{name}");
    assert_eq!(alert.subject, drift.resource, "{name}");
    assert!(!alert.baseline, "{name}");
    let value = |side: &Option<query::Seen>| side.as_ref().and_then(|seen| seen.values.get(drift.field).cloned());
    assert_eq!(value(&alert.was).unwrap_or_default(), drift.before, "{name}: before");
    assert_eq!(value(&alert.is).unwrap_or_default(), drift.after, "{name}: after");
    if drift.named {
        let who = alert.who.as_ref().unwrap_or_else(|unknown| panic!("{name}: {}", unknown.reason));
        assert!(who.name.starts_with("dora"), "{name}: {}", who.name);
        assert_eq!(who.from.as_deref(), Some("127.0.0.1"), "{name}");
        let changed = alert.changed_at.unwrap().millis();
        let [from, to] = [&played["between"][0], &played["between"][1]].map(|at| at.as_i64().unwrap());
        assert!((from..=to).contains(&changed), "{name}: changed at {changed}, played from {from} to {to}");
    } else {
        assert!(!alert.who.as_ref().unwrap_err().reason.is_empty(), "{name}: why nobody can be named");
    }
}

fn last_change_names_its_evidence(daemon: &Daemon<'_>) {
    let changes: Vec<ChangeView> = daemon.api().changes();
    let last = changes.iter().find(|change| change.kind == "deviation").unwrap();
    assert_eq!(last.what, "GONE");
    let run = last.evidence.unwrap().entry;
    let entry: query::EntryView = daemon.api().get(&format!("entries/{run}")).unwrap();
    assert_eq!(entry.kind, "run", "that somebody is gone rests on a run that read everybody");
}
