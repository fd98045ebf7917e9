//! The alerts when nothing can be recorded: the ledger is older than what is known of it, or the disk takes nothing. They
//! stand in no entry, since there is no ledger to write them to.

use domain::{RowAddress, Severity, SourceId, UnknownActor};
use store::ReadError;

use crate::{Alert, AlertClass, AlertState, Query};

impl Query<'_> {
    /// The alert that the ledger is older, with what disagrees.
    pub fn older_alert(&self, why: &str) -> Result<Alert, ReadError> {
        self.unrecorded_alert(
            "older",
            "The ledger is not as long as it was, or not the same: nothing is recorded",
            "no source is looked at, and evidence that was recorded is missing here",
            "find out who put an older copy in its place, and put the newest back; if that is lost for good: \
             evidenced ledger close --because '…'",
            why,
        )
    }

    /// The alert that the store stopped, or cannot begin, with what the disk said. Starting again under the same fault is
    /// the same incident; nobody else ends it, since the daemon that could not record it knows nothing of it afterwards.
    pub fn stopped_alert(&self, why: &str) -> Result<Alert, ReadError> {
        self.unrecorded_alert(
            "stopped",
            "Evidence cannot be kept: the daemon ends",
            "no source is looked at until the daemon runs again; what was recorded before is whole",
            "look at the volume of the data directory (mounted read-only, failing, gone?) and start the daemon again; once \
             it runs, end this incident by hand",
            why,
        )
    }

    fn unrecorded_alert(
        &self,
        what: &str,
        title: &str,
        severity_why: &str,
        first_action: &str,
        why: &str,
    ) -> Result<Alert, ReadError> {
        let malformed = || ReadError::Malformed("the name of the daemon does not read".to_owned());
        let source: SourceId = "evidenced:daemon".parse().map_err(|_| malformed())?;
        let stream = source.stream(&"ledger".parse().map_err(|_| malformed())?);
        let head = self.read.head()?;
        let entry = head.size.saturating_sub(1);
        Ok(Alert {
            key: self.incident_key(&[what, &head.size.to_string(), &head.root])?,
            class: AlertClass::Coverage,
            state: AlertState::Firing,
            title: title.to_owned(),
            subject: "the ledger of evidenced".to_owned(),
            kind: None,
            check: None,
            severity: Severity::Critical,
            severity_why: severity_why.to_owned(),
            controls: Vec::new(),
            owner: "whoever runs evidenced".to_owned(),
            first_action: first_action.to_owned(),
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
