//! The collector `realm`: settings, events, and the flow that signs people in.

use kit::view::{Mark, View};
use kit::{Found, RunBuilder, Unread};
use serde_json::Value;

use crate::changes;
use crate::flow::{self, Execution};
use crate::session::Session;
use crate::spec::{EVENTS_CONFIG, EXECUTIONS, REALM, REALM_KIND};

/// The kinds of event that can change what this collector reads.
pub(crate) const EVENTS: &[&str] =
    &["REALM", "AUTH_FLOW", "AUTH_EXECUTION_FLOW", "AUTH_EXECUTION", "AUTHENTICATOR_CONFIG", "REQUIRED_ACTION"];

pub(crate) async fn collect(session: &Session<'_>, run: &mut RunBuilder) {
    let read = match read_realm(session).await {
        Ok((value, mark)) => settings(session, run, &value, mark).await,
        Err(unread) => Err(unread),
    };
    match read {
        Ok((id, recorded)) => {
            let touches = |_: &str| vec![(REALM_KIND, id.clone())];
            changes::collect(session, run, recorded, EVENTS, |_| None, touches).await;
        }
        Err(unread) => {
            run.missing(&unread, &[REALM_KIND]);
            run.changes(changes::unknown("the realm could not be read"));
        }
    }
}

async fn read_realm(session: &Session<'_>) -> Result<(Value, Mark), Unread> {
    let answer = session.get(&REALM, &[], &[]).await?;
    session.allowed("realm", answer.mark).await?;
    Ok((answer.json()?, answer.mark))
}

/// Tells the builder of the realm, and gives back its id and whether it records admin events.
async fn settings(
    session: &Session<'_>,
    run: &mut RunBuilder,
    value: &Value,
    mark: Mark,
) -> Result<(String, Result<bool, Unread>), Unread> {
    let realm = View::object(value, mark)?;
    let (id, name) = (realm.text("id")?, realm.text("realm")?);
    let mut found = Found::new(REALM_KIND, id, name);
    found.from(mark);
    found.set("brute_force", realm.bool("bruteForceProtected"));
    found.set("failure_factor", realm.number("failureFactor"));
    let policy = match realm.get("passwordPolicy") {
        // Keycloak leaves it out when there is none; that this is no stub, the token's roles and the id say.
        None => Ok(""),
        Some(_) => realm.text("passwordPolicy"),
    };
    let length = policy
        .clone()
        .and_then(|p| least_length(p).ok_or_else(|| mark.malformed("length in the password policy is no number")));
    found.set("password_policy", policy);
    found.set("password_min_length", length);
    found.set("ssl_required", realm.text("sslRequired"));
    found.set("sso_idle_seconds", realm.number("ssoSessionIdleTimeout"));
    found.set("sso_max_seconds", realm.number("ssoSessionMaxLifespan"));
    found.set("access_token_seconds", realm.number("accessTokenLifespan"));
    found.set("admin_events_expiration_seconds", admin_events_expiration(&realm));
    let flow = realm.text("browserFlow");
    found.set("browser_flow", flow.clone());
    let strong = match flow {
        Ok(alias) => strong_executions(session, alias).await,
        Err(unread) => Err(unread),
    };
    if let Ok((_, mark)) = &strong {
        found.from(*mark);
    }
    found.set("strong_executions", strong.map(|(providers, _)| providers));
    let recorded = events(session, &mut found).await;
    run.found(found);
    run.complete(REALM_KIND);
    Ok((id.to_owned(), recorded))
}

/// What the realm records of events. The expiry of admin events is not among it. Gives back whether those are recorded.
async fn events(session: &Session<'_>, found: &mut Found) -> Result<bool, Unread> {
    let read = async {
        let answer = session.get(&EVENTS_CONFIG, &["events", "config"], &[]).await?;
        session.allowed("events", answer.mark).await?;
        Ok((answer.json()?, answer.mark))
    };
    let config = read.await;
    let view = config.as_ref().map_err(Unread::clone).and_then(|(value, mark)| View::object(value, *mark));
    if let Ok(view) = &view {
        found.from(view.mark);
    }
    let with = |read: &dyn Fn(&View<'_>) -> Result<Value, Unread>| view.clone().and_then(|view| read(&view));
    found.set("events_enabled", with(&|v| v.bool("eventsEnabled").map(Value::from)));
    found.set(
        "events_expiration_seconds",
        with(&|v| {
            // Left out or 0: kept for ever. An answer without the switch is not the whole of it.
            v.bool("eventsEnabled")?;
            v.get("eventsExpiration").map_or(Ok(Value::from(0)), |_| v.number("eventsExpiration").map(Value::from))
        }),
    );
    found.set("admin_events_enabled", with(&|v| v.bool("adminEventsEnabled").map(Value::from)));
    found.set("admin_events_details", with(&|v| v.bool("adminEventsDetailsEnabled").map(Value::from)));
    view.and_then(|view| view.bool("adminEventsEnabled"))
}

/// An attribute of the realm, as text; left out when admin events are kept for ever.
fn admin_events_expiration(realm: &View<'_>) -> Result<i64, Unread> {
    let attributes = realm.inner("attributes")?;
    if attributes.get("adminEventsExpiration").is_none() {
        return Ok(0);
    }
    let text = attributes.text("adminEventsExpiration")?;
    text.parse().map_err(|_| realm.mark.malformed("adminEventsExpiration is no number"))
}

async fn strong_executions(session: &Session<'_>, alias: &str) -> Result<(Vec<String>, Mark), Unread> {
    let answer = session.get(&EXECUTIONS, &["authentication", "flows", alias, "executions"], &[]).await?;
    session.allowed("realm", answer.mark).await?;
    let value = answer.json()?;
    let rows = View::list(&value, answer.mark)?;
    if rows.is_empty() {
        return Err(answer.mark.malformed("the flow that signs people in has no steps"));
    }
    let executions = rows.iter().map(Execution::read).collect::<Result<Vec<_>, _>>()?;
    Ok((flow::strong(&executions).into_iter().map(str::to_owned).collect(), answer.mark))
}

/// `n` in `length(n)` of a password policy such as `length(12) and passwordHistory(5)`; 0 when it has none, `None` when
/// it cannot be read.
fn least_length(policy: &str) -> Option<u32> {
    let rule = policy.split(" and ").map(str::trim).find_map(|rule| rule.strip_prefix("length("));
    match rule {
        None => Some(0),
        Some(rest) => rest.strip_suffix(')')?.trim().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_length_is_that_of_the_rule_length_and_of_no_other() {
        let table = [
            ("", Some(0)),
            ("length(12)", Some(12)),
            ("passwordHistory(5) and length(14) and notUsername(undefined)", Some(14)),
            ("maxLength(64) and digits(1)", Some(0)),
            ("length(undefined)", None),
            ("length(12", None),
        ];
        for (policy, length) in table {
            assert_eq!(least_length(policy), length, "{policy}");
        }
    }
}
