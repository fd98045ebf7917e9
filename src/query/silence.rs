//! The authorities that date the ledger from outside, and the alert when one of them is silent.

use domain::{RowAddress, Severity, SourceId, UnknownActor};
use store::rows::{AuthorityRow, SilenceRow, key};
use store::{ReadError, fold};

use crate::{Alert, AlertClass, AlertState, Query};

impl Query<'_> {
    /// The authorities that there are or were, by name.
    pub fn authorities(&self) -> Result<Vec<AuthorityRow>, ReadError> {
        let rows = self.read.index().scan(key::AUTHORITIES, None, usize::MAX)?;
        rows.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
    }

    /// The alert about a silence. It is a word against ourselves: its source is the daemon itself.
    pub(crate) fn silence_alert(&self, row: &AuthorityRow, silence: &SilenceRow) -> Result<Alert, ReadError> {
        let malformed = || ReadError::Malformed("the name of the daemon does not read".to_owned());
        let source: SourceId = "evidenced:daemon".parse().map_err(|_| malformed())?;
        let stream = source.stream(&"anchors".parse().map_err(|_| malformed())?);
        let (name, since) = (&row.name, silence.since.to_the_second());
        let title = match silence.lost {
            true => format!("Nobody outside dates the ledger: {name} has been silent since {since}"),
            false => format!("The ledger is dated from outside again, by {name}"),
        };
        let every = row.every.map_or_else(String::new, |every| format!(" every {every}"));
        Ok(Alert {
            key: self.incident_key(&["silence", name, &silence.opened_by.to_string()])?,
            class: AlertClass::Coverage,
            state: if silence.lost { AlertState::Firing } else { AlertState::Resolved },
            title,
            subject: format!("the time-stamping authority {name}"),
            kind: None,
            check: None,
            severity: Severity::Medium,
            severity_why: "evidence is kept and signed, and nobody but its operator says when it was recorded"
                .to_owned(),
            controls: Vec::new(),
            owner: "whoever runs evidenced".to_owned(),
            first_action: format!(
                "see whether this machine reaches the address of {name} in the settings (anchors), and whether its \
                 certificate still leads to the `ca` there; name a second authority if it stays away. It is asked again{every} \
                 and oftener, by itself"
            ),
            permalink: self.catalogue.permalink(RowAddress { entry: silence.last_entry, row: None }),
            was: None,
            is: None,
            who: Err(UnknownActor { reason: "an authority that is silent says nothing".to_owned() }),
            changed_at: None,
            opened_at: silence.since,
            opened_by: silence.opened_by,
            entry: silence.last_entry,
            at: silence.at,
            baseline: false,
            unread_since: None,
            notes: vec![silence.detail.clone()],
            source,
            stream,
        })
    }
}
