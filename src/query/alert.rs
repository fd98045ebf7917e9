//! A condition that holds, as every receiver is told of it.

use std::collections::BTreeMap;

use domain::{
    Actor, CheckId, ControlAddress, ResourceType, RowAddress, Severity, SourceId, StreamId, Timestamp, UnknownActor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an alert is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertClass {
    /// A resource deviates from a check.
    Deviation,
    /// A stream stopped giving complete evidence: absence of a word, not a bad word.
    Coverage,
    /// What a check found when it first looked at a source: one summary, nobody paged.
    Baseline,
}

/// Whether the condition holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It holds.
    Firing,
    /// Evidence shows that it no longer does.
    Resolved,
    /// Evidence shows that the resource no longer exists.
    Gone,
}

/// Values as they were seen, and where that is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// The check's fields, as far as they were read.
    pub values: BTreeMap<String, Value>,
    /// The row that holds them.
    pub address: RowAddress,
    /// The end of the run that read them.
    pub at: Timestamp,
}

/// A condition that holds, or held, with all that a person needs at three in the morning.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// Key of the incident: a hash over ledger, check (or stream), resource and episode. 32 hexadecimal digits; it
    /// survives restarts and changes of wording, and a regression has another one.
    pub key: String,
    /// What it is about.
    pub class: AlertClass,
    /// Whether it holds.
    pub state: AlertState,
    /// One line that says what is wrong: the check's own words for a deviation.
    pub title: String,
    /// The resource or stream by the name people know.
    pub subject: String,
    /// What kind of resource; `None` for coverage and baseline.
    pub kind: Option<ResourceType>,
    /// The source.
    pub source: SourceId,
    /// The stream that saw it.
    pub stream: StreamId,
    /// The check; `None` for coverage and baseline.
    pub check: Option<CheckId>,
    /// How much it matters.
    pub severity: Severity,
    /// Why it matters that much.
    pub severity_why: String,
    /// Controls that rest on it, each with its catalogue; those of one catalogue stand together.
    pub controls: Vec<ControlAddress>,
    /// Who answers for the source.
    pub owner: String,
    /// What to do first.
    pub first_action: String,
    /// Link to the evidence page.
    pub permalink: String,
    /// Before; `None` where nothing was seen before.
    pub was: Option<Seen>,
    /// Now; `None` when gone or unread.
    pub is: Option<Seen>,
    /// Who changed it.
    pub who: Result<Actor, UnknownActor>,
    /// When the source says it was changed.
    pub changed_at: Option<Timestamp>,
    /// When the episode opened, by the evidence.
    pub opened_at: Timestamp,
    /// The entry that opened the episode.
    pub opened_by: u64,
    /// The entry its present state rests on: the opening, or the resolve.
    pub entry: u64,
    /// When `entry` was recorded.
    pub at: Timestamp,
    /// It was so on the first look: counted in the baseline summary, paging nobody.
    pub baseline: bool,
    /// Since when evidence of the source is incomplete, if this resource could not be read in the last run: then the alert
    /// still holds as far as anyone knows.
    pub unread_since: Option<Timestamp>,
    /// Further lines: for coverage the gaps, each as `reason call: consequence`; for a baseline the counts per check.
    pub notes: Vec<String>,
}
