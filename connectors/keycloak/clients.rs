//! The collector `clients`: which flows an application may use, and where it may return to.

use domain::GapReason;
use kit::view::{Mark, View};
use kit::{Found, Pages, RunBuilder, Unread};
use serde_json::Value;

use crate::changes;
use crate::session::Session;
use crate::spec::{CLIENT_KIND, CLIENTS};

/// The clients that Keycloak makes with every realm.
const BUILT_IN: &[&str] =
    &["account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"];

/// The kind of event that can change a client.
pub(crate) const EVENTS: &[&str] = &["CLIENT"];

/// Tells the builder of every client; `reader` is the client we are signed in as.
pub(crate) async fn collect(session: &Session<'_>, reader: &str, run: &mut RunBuilder) {
    let clients = list(session, reader).await;
    for (value, mark) in &clients.items {
        match client(session.realm_name(), value, *mark) {
            Ok(found) => run.found(found),
            Err(unread) => run.missing(&unread, &[CLIENT_KIND]),
        }
    }
    match &clients.stopped {
        Some(unread) => run.missing(unread, &[CLIENT_KIND]),
        None => run.complete(CLIENT_KIND),
    }
    let recorded = changes::recorded(session).await;
    changes::collect(session, run, recorded, EVENTS, |_| None, touched).await;
}

/// Every client of the realm, or why not. There is no count to hold the list against; but whoever may see clients sees
/// at least the one it is signed in as, and with the role in the token, all.
pub(crate) async fn list(session: &Session<'_>, reader: &str) -> Pages {
    let mut pages = session.list(&CLIENTS, &["clients"], &[]).await;
    let own = pages.items.iter().any(|(client, _)| client.get("clientId").and_then(Value::as_str) == Some(reader));
    if let (None, Some(mark)) = (&pages.stopped, pages.last) {
        let missing = mark.unread(GapReason::Truncated, "the reader's own client is not in the list");
        pages.stopped = session.allowed("clients", mark).await.err().or((!own).then_some(missing));
    }
    pages
}

fn client(realm: &str, value: &Value, mark: Mark) -> Result<Found, Unread> {
    let view = View::object(value, mark)?;
    let (id, name) = (view.text("id")?, view.text("clientId")?);
    let mut found = Found::new(CLIENT_KIND, id, name);
    found.from(mark);
    found.set("enabled", view.bool("enabled"));
    found.set("public_client", view.bool("publicClient"));
    found.set("redirect_uris", view.texts("redirectUris"));
    found.set("standard_flow", view.bool("standardFlowEnabled"));
    found.set("implicit_flow", view.bool("implicitFlowEnabled"));
    found.set("direct_grants", view.bool("directAccessGrantsEnabled"));
    found.set("pkce_method", pkce(&view));
    found.read("built_in", is_built_in(realm, name));
    Ok(found)
}

/// An attribute; a client without it asks for no proof.
fn pkce(client: &View<'_>) -> Result<Value, Unread> {
    const NAME: &str = "pkce.code.challenge.method";
    let attributes = client.inner("attributes")?;
    attributes.get(NAME).map_or(Ok(Value::Null), |_| attributes.text(NAME).map(Value::from))
}

/// In the realm `master` there is also one client for each realm, named after it.
fn is_built_in(realm: &str, client: &str) -> bool {
    BUILT_IN.contains(&client) || realm == "master" && client.ends_with("-realm")
}

/// The client in the path of an event: `clients/{id}` and whatever is below it.
fn touched(path: &str) -> Vec<(&'static str, String)> {
    let id = path.strip_prefix("clients/").and_then(|rest| rest.split('/').next());
    id.map(|id| vec![(CLIENT_KIND, id.to_owned())]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_touches_the_client_in_its_path() {
        assert_eq!(touched("clients/f76d/roles/x"), [(CLIENT_KIND, "f76d".to_owned())]);
        assert!(touched("users/f76d").is_empty());
    }

    #[test]
    fn the_master_realm_has_a_client_for_each_realm() {
        assert!(is_built_in("acme", "broker") && is_built_in("master", "acme-realm"));
        assert!(!is_built_in("acme", "acme-realm"));
    }
}
