//! A deviation as the one who is woken by it reads it: what, was, is, who, first.

use std::collections::BTreeMap;

use domain::entry::{Deviation, DeviationDetail};
use domain::{Actor, Change, CheckId, ControlAddress, RowAddress, SourceId, Timestamp, UnknownActor};
use query::{Alert, AlertState, Query, Seen};
use serde_json::Value;

use super::shown::{self, Mark};

/// A deviation, laid out: as it stands now, or as one entry recorded it.
pub(super) struct Card {
    /// What is wrong; what is true again, once it is resolved.
    pub(super) title: String,
    pub(super) subject: String,
    pub(super) check: Option<CheckId>,
    pub(super) source: SourceId,
    pub(super) severity: Mark,
    pub(super) severity_why: String,
    pub(super) owner: String,
    pub(super) first_action: String,
    pub(super) controls: Vec<ControlLink>,
    pub(super) was: Option<Values>,
    pub(super) is: Option<Values>,
    pub(super) who: String,
    /// When the source says it was changed.
    pub(super) changed_at: Option<Timestamp>,
    pub(super) opened_at: Option<Timestamp>,
    pub(super) opened_by: u64,
    /// The entry of the last step, and when it was recorded.
    pub(super) entry: u64,
    pub(super) at: Timestamp,
    pub(super) baseline: bool,
    pub(super) unread_since: Option<Timestamp>,
    /// Where it stands, in a word.
    pub(super) state: &'static str,
    pub(super) open: bool,
    /// What shows it.
    pub(super) evidence: RowAddress,
}

/// A control, and the catalogue to find it in.
pub(super) struct ControlLink {
    pub(super) at: ControlAddress,
    /// It is the first one of its catalogue, so the catalogue is named before it.
    pub(super) first: bool,
}

/// A field and its value in one line.
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
    /// It is not what it was before, or not what it is after.
    pub(super) changed: bool,
}

/// Values as they were seen.
pub(super) struct Values {
    pub(super) pairs: Vec<Pair>,
    pub(super) at: Timestamp,
    pub(super) address: RowAddress,
}

impl Card {
    /// A deviation as it stands now.
    pub(super) fn of(alert: Alert) -> Card {
        let open = alert.state == AlertState::Firing;
        let (was, is) = compared(alert.was.as_ref().map(Values::of), alert.is.as_ref().map(Values::of));
        Card {
            severity: shown::severity(alert.severity),
            controls: control_links(alert.controls),
            was,
            is,
            who: who(&alert.who),
            state: match alert.state {
                AlertState::Firing if alert.unread_since.is_some() => "open, as far as anyone knows",
                AlertState::Firing => "open",
                AlertState::Resolved => "resolved",
                AlertState::Gone => "gone",
            },
            evidence: alert.is.as_ref().map_or(RowAddress { entry: alert.entry, row: None }, |seen| seen.address),
            title: alert.title,
            subject: alert.subject,
            check: alert.check,
            source: alert.source,
            severity_why: alert.severity_why,
            owner: alert.owner,
            first_action: alert.first_action,
            changed_at: alert.changed_at,
            opened_at: Some(alert.opened_at),
            opened_by: alert.opened_by,
            entry: alert.entry,
            at: alert.at,
            baseline: alert.baseline,
            unread_since: alert.unread_since,
            open,
        }
    }

    /// A deviation as one entry recorded a step of it; `detail` is `None` when it was erased.
    pub(super) fn recorded(
        query: &Query<'_>,
        (entry, at): (u64, Timestamp),
        step: &Deviation,
        detail: Option<DeviationDetail>,
    ) -> Card {
        let info = query.catalogue.checks.get(&step.check);
        let values = |values: &BTreeMap<String, Value>, at, address| Values { pairs: pairs(values), at, address };
        let before = detail.as_ref().and_then(|detail| Some((&detail.before, detail.before_at?, step.was?)));
        let after = detail.as_ref().filter(|_| step.change != Change::Gone);
        let (was, is) = compared(
            before.map(|(before, at, address)| values(before, at, address)),
            after.map(|detail| values(&detail.after, detail.after_at, step.is)),
        );
        Card {
            title: info.map_or_else(
                || step.check.to_string(),
                |info| if step.change.opens() { info.problem.clone() } else { info.title.clone() },
            ),
            subject: detail
                .as_ref()
                .map_or_else(|| format!("erased ({})", step.resource), |detail| detail.name.clone()),
            check: Some(step.check.clone()),
            source: step.source.clone(),
            severity: shown::severity(step.severity),
            severity_why: info.map_or_else(String::new, |info| info.severity_why.clone()),
            owner: query.catalogue.owner(&step.source),
            first_action: info.map_or_else(String::new, |info| info.first_action.clone()),
            controls: control_links(query.catalogue.controls_of(&step.check)),
            was,
            is,
            who: detail
                .as_ref()
                .map_or_else(|| "not known: the details were erased".to_owned(), |detail| who(&detail.actor)),
            changed_at: detail.as_ref().and_then(|detail| detail.changed_at),
            opened_at: step.change.opens().then_some(at),
            opened_by: step.opened_by.unwrap_or(entry),
            entry,
            at,
            baseline: step.baseline,
            unread_since: None,
            state: step.change.as_str(),
            open: step.change.opens(),
            evidence: step.is,
        }
    }
}

impl Values {
    fn of(seen: &Seen) -> Values {
        Values { pairs: pairs(&seen.values), at: seen.at, address: seen.address }
    }
}

/// Values by name, each in one line.
pub(super) fn pairs<'a>(values: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Vec<Pair> {
    let pair =
        |(name, value): (&String, &Value)| Pair { name: name.clone(), value: shown::value(value), changed: false };
    values.into_iter().map(pair).collect()
}

/// Marks what differs between before and after, where both were seen.
fn compared(mut was: Option<Values>, mut is: Option<Values>) -> (Option<Values>, Option<Values>) {
    if let (Some(was), Some(is)) = (&mut was, &mut is) {
        let same = |a: &Pair, b: &Pair| a.name == b.name && a.value == b.value;
        for before in &mut was.pairs {
            before.changed = !is.pairs.iter().any(|after| same(before, after));
        }
        for after in &mut is.pairs {
            after.changed = !was.pairs.iter().any(|before| same(before, after));
        }
    }
    (was, is)
}

/// The address of an entry's or a row's page on this site.
pub(super) fn link(address: &RowAddress) -> String {
    match address.row {
        Some(row) => format!("/entries/{}/{row}", address.entry),
        None => format!("/entries/{}", address.entry),
    }
}

/// The controls, each under the catalogue that holds it.
pub(super) fn control_links(controls: Vec<ControlAddress>) -> Vec<ControlLink> {
    let mut before = None;
    let link = |at: ControlAddress| {
        let first = before.replace(at.framework.clone()).as_ref() != Some(&at.framework);
        ControlLink { at, first }
    };
    controls.into_iter().map(link).collect()
}

/// Who changed it, or why nobody can be named.
fn who(actor: &Result<Actor, UnknownActor>) -> String {
    match actor {
        Ok(Actor { name, from: Some(from), .. }) => format!("{name}, from {from}"),
        Ok(actor) => actor.name.clone(),
        Err(unknown) => format!("not known: {}", unknown.reason),
    }
}
