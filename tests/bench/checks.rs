//! How many judgements a second one core gives: `cargo bench -p checks`.
//!
//! The same criterion is timed as a check and as a plain Rust closure over the same JSON, in the same run, so that the
//! ratio means something on any machine. Every figure is the best of several rounds, since other work on the machine
//! only ever makes a round slower.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use checks::{CheckSet, Prepared, evaluate, verdict};
use domain::{Field, ObservationValue, Resource, ResourceKey, Timestamp};
use serde_json::{Value, json};

const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = CheckSet::embedded()
        .map_err(|problems| problems.iter().map(|p| p.headline()).collect::<Vec<_>>().join("\n"))?;
    let realm = resource(
        "keycloak.realm",
        json!({
            "brute_force": true, "failure_factor": 5, "password_policy": "length(14) and passwordHistory(5)",
            "password_min_length": 14, "ssl_required": "external", "sso_idle_seconds": 1800,
            "sso_max_seconds": 36000, "access_token_seconds": 300, "events_enabled": true,
            "events_expiration_seconds": 31_536_000, "admin_events_enabled": true, "admin_events_details": true,
            "admin_events_expiration_seconds": 31_536_000, "strong_executions": ["auth-otp-form"],
        }),
    )?;
    let admin = json!({"enabled": true, "service_account": false, "credential_types": ["password", "otp"]});
    let admin = resource("keycloak.admin", admin)?;
    let client = resource(
        "keycloak.client",
        json!({
            "enabled": true, "built_in": false, "public_client": true, "standard_flow": true, "implicit_flow": false,
            "redirect_uris": ["https://app.example.com/callback", "https://app.example.com/silent"],
            "direct_grants": false, "pkce_method": "S256",
        }),
    )?;

    let mut lines = vec![format!("{:<40} {:>14} {:>10}", "", "a second", "each")];
    let convert = rate(|| Prepared::new(black_box(&realm), 1));
    lines.push(line("convert a realm (14 fields)", convert));
    let mut simple = 0.0_f64;
    for (id, resource) in [
        ("keycloak.realm.second_factor_in_flow", &realm),
        ("keycloak.realm.tls_required", &realm),
        ("keycloak.realm.brute_force", &realm),
        ("keycloak.realm.password_rule", &realm),
        ("keycloak.realm.session_limits", &realm),
        ("keycloak.realm.events_kept", &realm),
        ("keycloak.admin.second_factor", &admin),
        ("keycloak.client.hardened", &client),
    ] {
        let check = set.check(&id.parse()?).ok_or("no such check")?;
        let prepared = Prepared::new(resource, 1);
        assert_eq!(verdict(check, &prepared, AT).value, ObservationValue::Conforms, "{id}");
        let judged = rate(|| verdict(black_box(check), black_box(&prepared), AT));
        if id == "keycloak.realm.brute_force" {
            simple = judged;
        }
        lines.push(line(id, judged));
    }
    let check = set.check(&"keycloak.realm.brute_force".parse()?).ok_or("no such check")?;
    let prepared = Prepared::new(&realm, 1);
    let observed = rate(|| evaluate(black_box(check), black_box(&prepared), AT));
    lines.push(line("brute_force with its observation", observed));
    let closure = rate(|| by_hand(black_box(&realm)));
    lines.push(line("brute_force as a Rust closure", closure));
    lines.push(format!("the closure is {:.1} times as fast as the check", closure / simple));
    for line in lines {
        // The figures are this program's output.
        #[allow(clippy::print_stdout)]
        {
            println!("{line}");
        }
    }
    Ok(())
}

/// The criterion of `keycloak.realm.brute_force`, three-valued too.
fn by_hand(realm: &Resource) -> Option<bool> {
    let Field::Read(Value::Bool(on)) = realm.fields.get("brute_force")? else { return None };
    let Field::Read(Value::Number(limit)) = realm.fields.get("failure_factor")? else { return None };
    let limit = limit.as_i64()?;
    Some(*on && limit > 0 && limit <= 10)
}

/// Calls a second, the best of several rounds of about 100 ms.
fn rate<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut calls = 1_u32;
    let mut time = |calls: u32| {
        let begun = Instant::now();
        for _ in 0..calls {
            drop(black_box(call()));
        }
        begun.elapsed()
    };
    while time(calls) < Duration::from_millis(100) {
        calls = calls.saturating_mul(2);
    }
    let best = (0..ROUNDS).map(|_| time(calls)).min().unwrap_or(Duration::MAX);
    f64::from(calls) / best.as_secs_f64()
}

fn line(what: &str, a_second: f64) -> String {
    format!("{what:<40} {a_second:>14.0} {:>7.0} ns", 1e9 / a_second)
}

fn resource(kind: &str, fields: Value) -> Result<Resource, Box<dyn std::error::Error>> {
    let fields: BTreeMap<String, Value> = serde_json::from_value(fields)?;
    let fields = fields.into_iter().map(|(name, value)| (name, Field::Read(value))).collect();
    let key = ResourceKey { kind: kind.parse()?, id: "1".to_owned() };
    Ok(Resource { key, name: "acme".to_owned(), fields, exchanges: Vec::new() })
}
