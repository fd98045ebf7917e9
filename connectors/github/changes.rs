//! Who changed what lately, from the organisation's audit log, where there is one that can be asked.
//!
//! It names the actor and is never evidence of the state. It reaches back a day, or less when there are very many events.
//!
//! Without that log, which GitHub keeps for Enterprise Cloud alone, nobody is named, although two other places tempt to:
//!
//! - A ruleset has a history that names its editor by number (`GET /orgs/{org}/rulesets/{ruleset_id}/history`, and the same
//!   below a repository). GitHub gives it to whoever holds Administration with **write** access, at both levels:
//!   <https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>. A reader that could take the
//!   protection away is no reader. Classic protection and a repository's settings have no such history at all.
//! - The last commit to a file in the repository (`CODEOWNERS`, a workflow) names whoever changed that file. Rules,
//!   protection and settings are in no file, so it would name somebody who may have changed nothing.
//!
//! So the answer is *unknown*, with the reason; an auditor can defend that, and not a guess.

use domain::{Actor, ChangeEvent, Duration, GapReason, ResourceKey, Timestamp, UnknownActor};
use kit::view::View;
use kit::{RunBuilder, Unread, next_link};

use crate::session::Session;
use crate::spec::AUDIT_LOG;

/// How far back events are read.
const REACH: Duration = Duration::from_secs(24 * 3600);
/// Pages of one run.
const PAGES: usize = 5;

/// Why nobody is named where the settings ask for no audit log.
const NOT_ASKED: &str = "audit_log is off in the settings, and GitHub tells a reader in no other way who changed a setting \
    or rule: a ruleset's history takes the right to change it";

/// Nobody can be named, and why.
pub(crate) fn unknown(reason: &str) -> Result<Vec<ChangeEvent>, UnknownActor> {
    Err(UnknownActor { reason: reason.to_owned() })
}

/// Reads the latest events and tells the builder. `touches` says which resources, by type and id, an event touches.
pub(crate) async fn collect(
    session: &Session<'_>,
    run: &mut RunBuilder,
    touches: impl Fn(&View<'_>) -> Vec<(&'static str, String)>,
) {
    if !session.github.audit_log {
        run.changes(unknown(NOT_ASKED));
        return;
    }
    let changes = match events(session, run, touches).await {
        Ok(changes) => Ok(changes),
        Err(unread) => {
            run.missing(&unread, &[]);
            unknown("the audit log could not be read")
        }
    };
    run.changes(changes);
}

/// Newest first. A page is named by a cursor in the link to it.
async fn events(
    session: &Session<'_>,
    run: &mut RunBuilder,
    touches: impl Fn(&View<'_>) -> Vec<(&'static str, String)>,
) -> Result<Vec<ChangeEvent>, Unread> {
    let mut events = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let mut query = vec![("include", "web"), ("order", "desc"), ("per_page", "100")];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let answer = session.org(&AUDIT_LOG, &["audit-log"], &query).await?;
        let value = answer.json()?;
        for row in View::list(&value, answer.mark)? {
            let event = read(&row, touches(&row))?;
            if session.now().since(event.at) > REACH {
                return Ok(events);
            }
            events.push(event);
        }
        let next = next_link(&answer.headers, &session.github.rest);
        let next = next.filter(|next| next.origin() == session.github.rest.origin());
        after = next.and_then(|next| Some(next.query_pairs().find(|(name, _)| name == "after")?.1.into_owned()));
        if after.is_none() {
            return Ok(events);
        }
    }
    let oldest = events.last().map_or(session.now(), |event| event.at);
    let reach = session.now().since(oldest);
    let detail = format!("{} events of the audit log reach back {reach} only", events.len());
    run.missing(&Unread::unsent(&AUDIT_LOG, GapReason::OverLimit, detail), &[]);
    Ok(events)
}

fn read(row: &View<'_>, touches: Vec<(&'static str, String)>) -> Result<ChangeEvent, Unread> {
    let actor = match row.text("actor") {
        Ok(name) => {
            let id = row.number("actor_id").map_or_else(|_| name.to_owned(), |id| id.to_string());
            Ok(Actor { name: name.to_owned(), id, from: row.text("actor_ip").ok().map(str::to_owned) })
        }
        Err(_) => Err(UnknownActor { reason: "the audit log names nobody for this event".to_owned() }),
    };
    let key = |(kind, id): (&str, String)| Some(ResourceKey { kind: kind.parse().ok()?, id });
    Ok(ChangeEvent {
        id: row.text("_document_id")?.to_owned(),
        at: Timestamp::from_millis(row.number("@timestamp")?),
        actor,
        operation: row.text("action")?.to_owned(),
        touches: touches.into_iter().filter_map(key).collect(),
    })
}
