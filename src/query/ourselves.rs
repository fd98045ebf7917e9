//! Alerts about the daemon itself: words against ourselves, told like any other.

use domain::{RowAddress, Severity, SourceId, Timestamp, UnknownActor};
use store::ReadError;

use crate::{Alert, AlertClass, AlertState, Query};

/// Something that is amiss with the daemon, or was.
pub(crate) struct AgainstOurselves<'a> {
    /// What tells this incident from others, beside the entry that opened it.
    pub(crate) key: &'a [&'a str],
    /// The last part of the stream that it is told of: `evidenced:daemon/…`.
    pub(crate) stream: &'static str,
    /// Whether it is amiss now.
    pub(crate) amiss: bool,
    pub(crate) title: String,
    pub(crate) subject: String,
    pub(crate) severity: Severity,
    pub(crate) severity_why: &'static str,
    pub(crate) first_action: String,
    /// Why it is not known who caused it.
    pub(crate) nobody_because: &'static str,
    pub(crate) opened_at: Timestamp,
    pub(crate) opened_by: u64,
    /// The entry that says how it is now, when that was recorded, and what it says.
    pub(crate) entry: u64,
    pub(crate) at: Timestamp,
    pub(crate) detail: &'a str,
}

impl Query<'_> {
    /// The alert about it. Its class is coverage: what the daemon cannot do, it cannot see either.
    pub(crate) fn alert_against_ourselves(&self, what: AgainstOurselves<'_>) -> Result<Alert, ReadError> {
        // Cannot happen: constants of the right form always read.
        let malformed = || ReadError::Malformed("the name of the daemon does not read".to_owned());
        let source: SourceId = "evidenced:daemon".parse().map_err(|_| malformed())?;
        let stream = source.stream(&what.stream.parse().map_err(|_| malformed())?);
        let opened_by = what.opened_by.to_string();
        let key: Vec<&str> = what.key.iter().copied().chain([opened_by.as_str()]).collect();
        Ok(Alert {
            key: self.incident_key(&key)?,
            class: AlertClass::Coverage,
            state: if what.amiss { AlertState::Firing } else { AlertState::Resolved },
            title: what.title,
            subject: what.subject,
            kind: None,
            check: None,
            severity: what.severity,
            severity_why: what.severity_why.to_owned(),
            controls: Vec::new(),
            owner: "whoever runs evidenced".to_owned(),
            first_action: what.first_action,
            permalink: self.catalogue.permalink(RowAddress { entry: what.entry, row: None }),
            was: None,
            is: None,
            who: Err(UnknownActor { reason: what.nobody_because.to_owned() }),
            changed_at: None,
            opened_at: what.opened_at,
            opened_by: what.opened_by,
            entry: what.entry,
            at: what.at,
            baseline: false,
            unread_since: None,
            notes: vec![what.detail.to_owned()],
            source,
            stream,
        })
    }
}
