//! What is amiss with the daemon itself, as an answer and as an alert.

use domain::{Severity, Timestamp, TroubleIn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::rows::{TroubleRow, key};
use store::{ReadError, fold};

use crate::ourselves::AgainstOurselves;
use crate::{Alert, Query};

/// Something that is amiss with the daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TroubleView {
    /// Where: `settings`, `slow_disk`, `witnesses`.
    #[serde(rename = "in")]
    pub place: String,
    /// What it is, in one line.
    pub title: String,
    /// Since when.
    pub since: Timestamp,
    /// The entry that says so.
    pub entry: u64,
    /// What is wrong, in words.
    pub detail: String,
}

impl TroubleView {
    fn of(row: TroubleRow) -> TroubleView {
        TroubleView {
            place: row.place.as_str().to_owned(),
            title: title(row.place, true).to_owned(),
            since: row.since,
            entry: row.opened_by,
            detail: row.detail,
        }
    }
}

/// What an alert says of a place, in one line: while it is amiss, or once it is right again.
fn title(place: TroubleIn, amiss: bool) -> &'static str {
    match (place, amiss) {
        (TroubleIn::Settings, true) => "The changed settings are not right: those before them stay in force",
        (TroubleIn::Settings, false) => "The settings are right again",
        (TroubleIn::SlowDisk, true) => "The disk is slow to keep evidence",
        (TroubleIn::SlowDisk, false) => "The disk keeps evidence as fast as before",
        (TroubleIn::Witnesses, true) => "A witness no longer cosigns the ledger",
        (TroubleIn::Witnesses, false) => "Every witness cosigns the ledger again",
    }
}

/// Why it matters, and what to do first.
fn consequence(place: TroubleIn) -> (Severity, &'static str, &'static str) {
    match place {
        TroubleIn::Settings => (
            Severity::Medium,
            "what the organisation wants watched, and by which rules, is not what is watched",
            "mend the settings: evidenced config validate names every fault; they are read again by themselves",
        ),
        TroubleIn::SlowDisk => (
            Severity::Medium,
            "runs wait until what they read is durable, and slots that pass meanwhile are missed",
            "look at the volume of the data directory: its latency, its quota of operations, its neighbours",
        ),
        TroubleIn::Witnesses => (
            Severity::Medium,
            "an older copy of the ledger in the place of this one would be known by the guard alone, which may go back with it",
            "see whether this machine reaches the witness, and whether it knows the ledger and its key: evidenced ledger key",
        ),
    }
}

impl Query<'_> {
    /// What the ledger said last of every place in which something was ever amiss with the daemon.
    pub fn trouble_rows(&self) -> Result<Vec<TroubleRow>, ReadError> {
        let rows = self.read.index().scan(key::TROUBLES, None, usize::MAX)?;
        rows.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
    }

    /// What is amiss now.
    pub fn troubles(&self) -> Result<Vec<TroubleView>, ReadError> {
        Ok(self.trouble_rows()?.into_iter().filter(|row| row.amiss).map(TroubleView::of).collect())
    }

    /// The alert about it: a word against ourselves, whose source is the daemon itself.
    pub(crate) fn trouble_alert(&self, row: &TroubleRow) -> Result<Alert, ReadError> {
        let (severity, why, first) = consequence(row.place);
        let subject = match row.place {
            TroubleIn::Settings => "the settings of evidenced",
            TroubleIn::SlowDisk => "the data directory of evidenced",
            TroubleIn::Witnesses => "the witnesses of the ledger of evidenced",
        };
        self.alert_against_ourselves(AgainstOurselves {
            key: &["trouble", row.place.as_str()],
            stream: row.place.as_str(),
            amiss: row.amiss,
            title: title(row.place, row.amiss).to_owned(),
            subject: subject.to_owned(),
            severity,
            severity_why: why,
            first_action: first.to_owned(),
            nobody_because: "the daemon does not see who changes its surroundings",
            opened_at: row.since,
            opened_by: row.opened_by,
            entry: row.last_entry,
            at: row.at,
            detail: &row.detail,
        })
    }
}
