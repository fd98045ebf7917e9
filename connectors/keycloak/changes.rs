//! Who changed what lately, from the realm's admin events.
//!
//! They name the actor and are never evidence of the state. They reach back a day, or less when there are very many.

use std::collections::BTreeMap;

use domain::{Actor, ChangeEvent, Duration, GapReason, ResourceKey, Timestamp, UnknownActor};
use kit::view::View;
use kit::{RunBuilder, Unread};
use serde_json::Value;

use crate::session::Session;
use crate::spec::{ADMIN_EVENTS, EVENTS_CONFIG, USER};

/// How far back events are read.
const REACH: Duration = Duration::from_secs(24 * 3600);
/// How far they must reach at least; if the pages allowed do not get there, that is a gap.
const LEAST_REACH: Duration = Duration::from_secs(2 * 3600);
/// Events of one page.
const PAGE: usize = 100;
/// Pages of one run.
const PAGES: usize = 5;
/// People whose names are looked up in one run.
const LOOKUPS: usize = 20;

/// Nobody can be named, and why.
pub(crate) fn unknown(reason: &str) -> Result<Vec<ChangeEvent>, UnknownActor> {
    Err(UnknownActor { reason: reason.to_owned() })
}

/// Reads the events of some kinds and tells the builder. `recorded` is the word of [`recorded`]; `known` knows the names
/// of people by their id; `touches` says from an event's path which resources, by type and id, it touches.
pub(crate) async fn collect(
    session: &Session<'_>,
    run: &mut RunBuilder,
    recorded: Result<bool, Unread>,
    kinds: &[&str],
    known: impl Fn(&str) -> Option<String>,
    touches: impl Fn(&str) -> Vec<(&'static str, String)>,
) {
    let changes = match recorded {
        Err(unread) => {
            run.missing(&unread, &[]);
            unknown("whether admin events are recorded could not be read")
        }
        Ok(false) => unknown("admin events are switched off"),
        Ok(true) => match events(session, run, kinds).await {
            Ok(events) => Ok(name_them(session, run, events, known, touches).await),
            Err(unread) => {
                run.missing(&unread, &[]);
                unknown("admin events could not be read")
            }
        },
    };
    run.changes(changes);
}

/// Whether admin events are recorded at all; an empty list does not say so.
pub(crate) async fn recorded(session: &Session<'_>) -> Result<bool, Unread> {
    let answer = session.get(&EVENTS_CONFIG, &["events", "config"], &[]).await?;
    session.allowed("events", answer.mark).await?;
    let value = answer.json()?;
    View::object(&value, answer.mark)?.bool("adminEventsEnabled")
}

/// One event as Keycloak tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Event {
    id: String,
    at: Timestamp,
    operation: String,
    path: String,
    /// The realm of the event, and the realm its actor belongs to.
    realms: (String, String),
    user: String,
    address: Option<String>,
}

/// Newest first, each once: events that come in while pages are read push others onto the next page.
async fn events(session: &Session<'_>, run: &mut RunBuilder, kinds: &[&str]) -> Result<Vec<Event>, Unread> {
    let mut all: Vec<Event> = Vec::new();
    for page in 0..PAGES {
        let (first, max) = ((page * PAGE).to_string(), PAGE.to_string());
        let of_kind = kinds.iter().map(|kind| ("resourceTypes", *kind));
        let query: Vec<(&str, &str)> = of_kind.chain([("first", first.as_str()), ("max", max.as_str())]).collect();
        let answer = session.get(&ADMIN_EVENTS, &["admin-events"], &query).await?;
        session.allowed("events", answer.mark).await?;
        let value = answer.json()?;
        let rows = View::list(&value, answer.mark)?;
        for row in &rows {
            let event = read(row)?;
            if !all.iter().any(|known| known.id == event.id) {
                all.push(event);
            }
        }
        let oldest = all.last().map_or(session.now(), |event| event.at);
        let reach = session.now().since(oldest);
        if rows.len() < PAGE || reach >= REACH {
            return Ok(all);
        }
        if page + 1 == PAGES && reach < LEAST_REACH {
            let detail = format!("{} admin events reach back {reach} only", all.len());
            run.missing(&answer.mark.unread(GapReason::OverLimit, detail), &[]);
        }
    }
    Ok(all)
}

fn read(row: &View<'_>) -> Result<Event, Unread> {
    let actor = row.inner("authDetails")?;
    let kind = row.text("resourceType")?;
    Ok(Event {
        id: row.text("id")?.to_owned(),
        at: Timestamp::from_millis(row.number("time")?),
        operation: format!("{} {kind}", row.text("operationType")?),
        // Updates of the realm itself have none.
        path: row.text("resourcePath").unwrap_or_default().to_owned(),
        realms: (row.text("realmId")?.to_owned(), actor.text("realmId")?.to_owned()),
        user: actor.text("userId")?.to_owned(),
        address: actor.text("ipAddress").ok().map(str::to_owned),
    })
}

async fn name_them(
    session: &Session<'_>,
    run: &mut RunBuilder,
    events: Vec<Event>,
    known: impl Fn(&str) -> Option<String>,
    touches: impl Fn(&str) -> Vec<(&'static str, String)>,
) -> Vec<ChangeEvent> {
    let mut names: BTreeMap<String, Result<String, String>> = BTreeMap::new();
    let mut lookups = 0;
    let mut changes = Vec::new();
    for event in events {
        if event.realms.0 == event.realms.1 && !names.contains_key(&event.user) {
            let name = match known(&event.user) {
                Some(name) => Ok(name),
                None if lookups < LOOKUPS => {
                    lookups += 1;
                    name_of(session, run, &event.user).await
                }
                None => Err(too_many()),
            };
            names.insert(event.user.clone(), name);
        }
        let key = |(kind, id): (&str, String)| Some(ResourceKey { kind: kind.parse().ok()?, id });
        changes.push(ChangeEvent {
            actor: actor(&event, session.realm_name(), names.get(&event.user)),
            touches: touches(&event.path).into_iter().filter_map(key).collect(),
            id: event.id,
            at: event.at,
            operation: event.operation,
        });
    }
    changes
}

fn too_many() -> String {
    format!("more than {LOOKUPS} people changed something")
}

/// Who it was. An administrator of another realm has an id that means nothing here, so it names nobody.
fn actor(event: &Event, realm: &str, name: Option<&Result<String, String>>) -> Result<Actor, UnknownActor> {
    let from = event.address.as_deref().unwrap_or("an address that is not recorded");
    let unknown = |why: &str| UnknownActor {
        reason: format!("{why}: user {} of realm {}, from {from}", event.user, event.realms.1),
    };
    if event.realms.0 != event.realms.1 {
        return Err(unknown("an administrator of another realm"));
    }
    match name {
        Some(Ok(name)) => {
            let name = format!("{name} (realm {realm})");
            Ok(Actor { name, id: event.user.clone(), from: event.address.clone() })
        }
        Some(Err(why)) => Err(unknown(why)),
        None => Err(unknown("no name")),
    }
}

/// The user name behind an id, or why there is none. Someone who was deleted since is no gap: nothing is left to read.
async fn name_of(session: &Session<'_>, run: &mut RunBuilder, id: &str) -> Result<String, String> {
    let read = async {
        let answer = session.get(&USER, &["users", id], &[]).await?;
        let value: Value = answer.json()?;
        View::object(&value, answer.mark)?.text("username").map(str::to_owned)
    };
    read.await.map_err(|unread: Unread| {
        if unread.reason == GapReason::NotSupported {
            return "an account that is no longer there".to_owned();
        }
        run.missing(&unread, &[]);
        "a name that could not be read".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::view::Mark;
    use serde_json::json;

    fn event(own: &str, actor_realm: &str) -> Event {
        let row = json!({
            "id": "e1", "time": 1_795_375_220_634_i64, "realmId": own, "operationType": "UPDATE", "resourceType": "REALM",
            "authDetails": {"realmId": actor_realm, "userId": "u1", "ipAddress": "192.0.2.7"},
        });
        read(&View::object(&row, Mark { call: &ADMIN_EVENTS, seq: 0 }).unwrap()).unwrap()
    }

    #[test]
    fn an_administrator_of_this_realm_is_named_with_the_address() {
        let actor = actor(&event("r", "r"), "acme", Some(&Ok("dora".to_owned()))).unwrap();
        assert_eq!(
            (actor.name.as_str(), actor.id.as_str(), actor.from.as_deref()),
            ("dora (realm acme)", "u1", Some("192.0.2.7"))
        );
    }

    #[test]
    fn an_administrator_of_another_realm_is_unknown_with_that_realm_even_if_the_id_occurs_here() {
        let unknown = actor(&event("r", "master-id"), "acme", Some(&Ok("dora".to_owned()))).unwrap_err();
        assert_eq!(unknown.reason, "an administrator of another realm: user u1 of realm master-id, from 192.0.2.7");
    }

    #[test]
    fn someone_whose_account_is_gone_is_unknown_for_that_reason() {
        let gone = Err("an account that is no longer there".to_owned());
        let unknown = actor(&event("r", "r"), "acme", Some(&gone)).unwrap_err();
        assert!(unknown.reason.starts_with("an account that is no longer there"), "{}", unknown.reason);
    }
}
