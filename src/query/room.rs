//! The disk that became too full to keep evidence, as an answer and as an alert.

use domain::{Severity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::rows::{RoomRow, key};
use store::{ReadError, fold};

use crate::ourselves::AgainstOurselves;
use crate::{Alert, Query};

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
        let title = match row.lost {
            true => "The disk is nearly full: nothing is collected",
            false => "The disk has room again: it is collected again",
        };
        self.alert_against_ourselves(AgainstOurselves {
            key: &["room"],
            stream: "disk",
            amiss: row.lost,
            title: title.to_owned(),
            subject: "the data directory of evidenced".to_owned(),
            severity: Severity::High,
            severity_why: "no source is looked at, and what cannot be seen is not known to conform",
            first_action: "make room on the volume of the data directory; it goes on by itself".to_owned(),
            nobody_because: "the disk does not say",
            opened_at: row.since,
            opened_by: row.opened_by,
            entry: row.last_entry,
            at: row.at,
            detail: &row.detail,
        })
    }
}
