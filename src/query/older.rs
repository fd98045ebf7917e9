//! The alert when a ledger is older than what is known of it, so that nothing may be recorded.

use domain::{RowAddress, Severity, SourceId, UnknownActor};
use store::ReadError;

use crate::{Alert, AlertClass, AlertState, Query};

impl Query<'_> {
    /// The alert about it, with what disagrees. It stands in no entry: there is no ledger to write it to.
    pub fn older_alert(&self, why: &str) -> Result<Alert, ReadError> {
        let malformed = || ReadError::Malformed("the name of the daemon does not read".to_owned());
        let source: SourceId = "evidenced:daemon".parse().map_err(|_| malformed())?;
        let stream = source.stream(&"ledger".parse().map_err(|_| malformed())?);
        let head = self.read.head()?;
        let entry = head.size.saturating_sub(1);
        Ok(Alert {
            key: self.incident_key(&["older", &head.size.to_string(), &head.root])?,
            class: AlertClass::Coverage,
            state: AlertState::Firing,
            title: "The ledger is not as long as it was, or not the same: nothing is recorded".to_owned(),
            subject: "the ledger of evidenced".to_owned(),
            kind: None,
            check: None,
            severity: Severity::Critical,
            severity_why: "no source is looked at, and evidence that was recorded is missing here".to_owned(),
            controls: Vec::new(),
            owner: "whoever runs evidenced".to_owned(),
            first_action:
                "find out who put an older copy in its place, and put the newest back; if that is lost for good: \
                           evidenced ledger close --because '…'"
                    .to_owned(),
            permalink: self.catalogue.permalink(RowAddress { entry, row: None }),
            was: None,
            is: None,
            who: Err(UnknownActor { reason: "a ledger does not know who changes its folder".to_owned() }),
            changed_at: None,
            opened_at: self.now,
            opened_by: entry,
            entry,
            at: self.now,
            baseline: false,
            unread_since: None,
            notes: vec![why.to_owned()],
            source,
            stream,
        })
    }
}
