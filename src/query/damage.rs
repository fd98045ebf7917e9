//! Files that are not what was written into them: as an answer and as an alert.

use domain::Severity;
use store::rows::{DamageRow, ScrubRow, key};
use store::{ReadError, fold};

use crate::ourselves::AgainstOurselves;
use crate::{Alert, Query};

impl Query<'_> {
    /// The files of the data directory that were found damaged, whole again or not, by name.
    pub fn damages(&self) -> Result<Vec<DamageRow>, ReadError> {
        let rows = self.read.index().scan(key::DAMAGES, None, usize::MAX)?;
        rows.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
    }

    /// The last time that everything was read again; `None` before the first.
    pub fn last_scrub(&self) -> Result<Option<ScrubRow>, ReadError> {
        Ok(fold::get(self.read.index().as_ref(), key::SCRUB)?)
    }

    /// The alert about one. It is a word against ourselves: its source is the daemon itself.
    pub(crate) fn damage_alert(&self, row: &DamageRow) -> Result<Alert, ReadError> {
        let file = &row.file;
        let title = match row.lost {
            true => format!("What was recorded is damaged: {file} is not what was written"),
            false => format!("What was recorded reads again: {file} is whole"),
        };
        self.alert_against_ourselves(AgainstOurselves {
            key: &["damage", file],
            stream: "scrub",
            amiss: row.lost,
            title,
            subject: format!("the file {file} of the data directory of evidenced"),
            severity: Severity::Critical,
            severity_why: "evidence that was recorded cannot be shown as it was, and the disk may lose more",
            first_action:
                "keep the file as it is and look after the disk; `evidenced verify` says what else is damaged. \
                           Stop the daemon and put the file of the newest copy that verifies in its place \
                           (`evidenced restore --verify`); the next pass of the scrub says that it is whole"
                    .to_owned(),
            nobody_because: "a disk does not say who altered it",
            opened_at: row.since,
            opened_by: row.opened_by,
            entry: row.last_entry,
            at: row.at,
            detail: &row.detail,
        })
    }
}
