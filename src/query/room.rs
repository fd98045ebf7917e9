//! The disk that became too full to keep evidence, as an answer and as an alert.

use domain::{RowAddress, Severity, SourceId, Timestamp, UnknownActor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::rows::{RoomRow, key};
use store::{ReadError, fold};

use crate::{Alert, AlertClass, AlertState, Query};

/// Too little room on the disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoomView {
    /// Since when.
    pub since: Timestamp,
    /// The entry that says so.
    pub entry: u64,
    /// How much there is and how much is needed.
    pub detail: String,
}

impl From<RoomRow> for RoomView {
    fn from(row: RoomRow) -> RoomView {
        RoomView { since: row.since, entry: row.opened_by, detail: row.detail }
    }
}

impl Query<'_> {
    /// What the ledger said last of the room on the disk; `None` when it never said anything.
    pub fn room(&self) -> Result<Option<RoomRow>, ReadError> {
        Ok(fold::get(self.read.index().as_ref(), key::ROOM)?)
    }

    /// The alert about it. It is a loss of coverage, of everything at once: its source is the daemon itself.
    pub(crate) fn room_alert(&self, row: &RoomRow) -> Result<Alert, ReadError> {
        let source: SourceId = "evidenced:daemon".parse().map_err(|_| malformed())?;
        let stream = source.stream(&"disk".parse().map_err(|_| malformed())?);
        let title = match row.lost {
            true => "The disk is nearly full: nothing is collected",
            false => "The disk has room again: it is collected again",
        };
        Ok(Alert {
            key: self.incident_key(&["room", &row.opened_by.to_string()])?,
            class: AlertClass::Coverage,
            state: if row.lost { AlertState::Firing } else { AlertState::Resolved },
            title: title.to_owned(),
            subject: "the data directory of evidenced".to_owned(),
            kind: None,
            check: None,
            severity: Severity::High,
            severity_why: "no source is looked at, and what cannot be seen is not known to conform".to_owned(),
            controls: Vec::new(),
            owner: "whoever runs evidenced".to_owned(),
            first_action: "make room on the volume of the data directory; it goes on by itself".to_owned(),
            permalink: self.catalogue.permalink(RowAddress { entry: row.last_entry, row: None }),
            was: None,
            is: None,
            who: Err(UnknownActor { reason: "the disk does not say".to_owned() }),
            changed_at: None,
            opened_at: row.since,
            opened_by: row.opened_by,
            entry: row.last_entry,
            at: row.at,
            baseline: false,
            unread_since: None,
            notes: vec![row.detail.clone()],
            source,
            stream,
        })
    }
}

/// Cannot happen: constants of the right form always read.
fn malformed() -> ReadError {
    ReadError::Malformed("the name of the daemon does not read".to_owned())
}
