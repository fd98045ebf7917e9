//! Files that are not what was written into them: as an answer and as an alert.

use domain::{RowAddress, Severity, SourceId, UnknownActor};
use store::rows::{DamageRow, ScrubRow, key};
use store::{ReadError, fold};

use crate::{Alert, AlertClass, AlertState, Query};

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
        let malformed = || ReadError::Malformed("the name of the daemon does not read".to_owned());
        let source: SourceId = "evidenced:daemon".parse().map_err(|_| malformed())?;
        let stream = source.stream(&"scrub".parse().map_err(|_| malformed())?);
        let file = &row.file;
        let title = match row.lost {
            true => format!("What was recorded is damaged: {file} is not what was written"),
            false => format!("What was recorded reads again: {file} is whole"),
        };
        Ok(Alert {
            key: self.incident_key(&["damage", file, &row.opened_by.to_string()])?,
            class: AlertClass::Coverage,
            state: if row.lost { AlertState::Firing } else { AlertState::Resolved },
            title,
            subject: format!("the file {file} of the data directory of evidenced"),
            kind: None,
            check: None,
            severity: Severity::Critical,
            severity_why: "evidence that was recorded cannot be shown as it was, and the disk may lose more".to_owned(),
            controls: Vec::new(),
            owner: "whoever runs evidenced".to_owned(),
            first_action:
                "keep the file as it is and look after the disk; `evidenced verify` says what else is damaged. \
                           Stop the daemon and put the file of the newest copy that verifies in its place \
                           (`evidenced restore --verify`); the next pass of the scrub says that it is whole"
                    .to_owned(),
            permalink: self.catalogue.permalink(RowAddress { entry: row.last_entry, row: None }),
            was: None,
            is: None,
            who: Err(UnknownActor { reason: "a disk does not say who altered it".to_owned() }),
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
