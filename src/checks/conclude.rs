//! From what the checks say to what that means for a control.

use domain::{
    Bearing, CheckCounts, CheckId, Duration, Finding, FindingReason, FindingValue, LinkState, SourceId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::framework::{Control, Framework};
use crate::set::CheckSet;

/// Where one check stands at one configured source that can feed it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CheckState {
    /// The check.
    pub check: CheckId,
    /// The source.
    pub source: SourceId,
    /// The latest counts; `None` when it never ran.
    pub counts: Option<CheckCounts>,
    /// Whether the population under them was read completely.
    pub complete: bool,
    /// Resources whose open deviation the check could not look at again since.
    pub open: u64,
    /// When its evidence was collected.
    pub at: Option<Timestamp>,
}

/// The finding on every control of a catalogue, in the catalogue's order, as of a moment.
///
/// `states` holds one line per check and configured source of the kind it needs. A check without a line has no source.
pub fn conclude(framework: &Framework, set: &CheckSet, states: &[CheckState], at: Timestamp) -> Vec<Finding> {
    framework.controls.iter().map(|control| conclude_one(framework, control, set, states, at)).collect()
}

/// The value and reason that follow from a control's links.
///
/// In this order: a link that deviates, or whose open deviation could not be looked at, makes it *nonconforming*,
/// however old; else whatever keeps a proving link from speaking makes it *not evidenced*; only when every proving
/// link conforms, on fresh and complete evidence of at least one resource, is it *conforming*. Supporting links
/// can only speak against it. A kind of source that nobody ever configured is outside what is watched: its links are
/// listed as such and keep nobody else's from speaking. A source that was watched once is never outside again.
pub fn weigh(links: &[LinkState], at: Timestamp) -> (FindingValue, FindingReason) {
    if links.iter().any(deviates) {
        return (FindingValue::Nonconforming, FindingReason::Deviates);
    }
    let silent = |reason| (FindingValue::NotEvidenced, reason);
    if links.is_empty() {
        return silent(FindingReason::NoCheck);
    }
    let proving: Vec<&LinkState> = links.iter().filter(|link| link.bearing == Bearing::Proves).collect();
    if proving.is_empty() {
        return silent(FindingReason::OnlySupports);
    }
    let proving: Vec<&LinkState> = proving.into_iter().filter(|link| link.source.is_some()).collect();
    if proving.is_empty() {
        return silent(FindingReason::NoSource);
    }
    let reasons = [FindingReason::NeverRan, FindingReason::Stale, FindingReason::Undetermined];
    if let Some(reason) =
        reasons.into_iter().find(|reason| proving.iter().any(|link| silence(link, at) == Some(*reason)))
    {
        return silent(reason);
    }
    let conforms = |link: &&LinkState| link.counts.as_ref().is_some_and(|counts| counts.conforms > 0);
    if proving.iter().any(conforms) {
        (FindingValue::Conforming, FindingReason::AllProvingConform)
    } else {
        silent(FindingReason::NothingToAssess)
    }
}

fn conclude_one(
    framework: &Framework,
    control: &Control,
    set: &CheckSet,
    states: &[CheckState],
    at: Timestamp,
) -> Finding {
    let mut links = Vec::new();
    for (check, mapping) in set.by_control(&framework.id, &control.id) {
        let mut of_check: Vec<&CheckState> = states.iter().filter(|state| state.check == *check.id()).collect();
        of_check.sort_by(|a, b| a.source.cmp(&b.source));
        let before = links.len();
        links.extend(of_check.into_iter().map(|state| LinkState {
            check: state.check.clone(),
            bearing: mapping.bearing,
            source: Some(state.source.clone()),
            counts: state.counts.clone(),
            complete: state.complete,
            open: state.open,
            at: state.at,
            greatest_age: check.greatest_age(),
        }));
        if links.len() == before {
            links.push(nowhere(check.id(), mapping.bearing, check.greatest_age()));
        }
    }
    let (value, reason) = weigh(&links, at);
    Finding { framework: framework.id.clone(), control: control.id.clone(), value, reason, links }
}

/// The link of a check that no configured source feeds.
fn nowhere(check: &CheckId, bearing: Bearing, greatest_age: Duration) -> LinkState {
    LinkState {
        check: check.clone(),
        bearing,
        source: None,
        counts: None,
        complete: false,
        open: 0,
        at: None,
        greatest_age,
    }
}

fn deviates(link: &LinkState) -> bool {
    link.open > 0 || link.counts.as_ref().is_some_and(|counts| counts.deviates > 0)
}

/// What keeps a link that has a source from speaking, if anything does.
fn silence(link: &LinkState, at: Timestamp) -> Option<FindingReason> {
    match (&link.counts, link.at) {
        (None, _) | (_, None) => Some(FindingReason::NeverRan),
        (_, Some(read)) if at.since(read) > link.greatest_age => Some(FindingReason::Stale),
        (Some(counts), _) if counts.undetermined > 0 || !link.complete => Some(FindingReason::Undetermined),
        _ => None,
    }
}
