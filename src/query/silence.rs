//! The authorities that date the ledger from outside, and the alert when one of them is silent.

use domain::Severity;
use store::rows::{AuthorityRow, SilenceRow, key};
use store::{ReadError, fold};

use crate::ourselves::AgainstOurselves;
use crate::{Alert, Query};

impl Query<'_> {
    /// The authorities that there are or were, by name.
    pub fn authorities(&self) -> Result<Vec<AuthorityRow>, ReadError> {
        let rows = self.read.index().scan(key::AUTHORITIES, None, usize::MAX)?;
        rows.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
    }

    /// The alert about a silence. It is a word against ourselves: its source is the daemon itself.
    pub(crate) fn silence_alert(&self, row: &AuthorityRow, silence: &SilenceRow) -> Result<Alert, ReadError> {
        let (name, since) = (&row.name, silence.since.to_the_second());
        let title = match silence.lost {
            true => format!("Nobody outside dates the ledger: {name} has been silent since {since}"),
            false => format!("The ledger is dated from outside again, by {name}"),
        };
        let every = row.every.map_or_else(String::new, |every| format!(" every {every}"));
        self.alert_against_ourselves(AgainstOurselves {
            key: &["silence", name],
            stream: "anchors",
            amiss: silence.lost,
            title,
            subject: format!("the time-stamping authority {name}"),
            severity: Severity::Medium,
            severity_why: "evidence is kept and signed, and nobody but its operator says when it was recorded",
            first_action: format!(
                "see whether this machine reaches the address of {name} in the settings (anchors), and whether its \
                 certificate still leads to the `ca` there; name a second authority if it stays away. It is asked again{every} \
                 and oftener, by itself"
            ),
            nobody_because: "an authority that is silent says nothing",
            opened_at: silence.since,
            opened_by: silence.opened_by,
            entry: silence.last_entry,
            at: silence.at,
            detail: &silence.detail,
        })
    }
}
