//! One message to one receiver, under an id that stays the same on every try.

use domain::entry::Delivery;
use query::{Alert, AlertClass, AlertState};
use sha2::{Digest, Sha256};

/// What a notification tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tells {
    /// That a condition holds.
    Firing,
    /// That it no longer does, because it was mended or because the resource is gone.
    Resolved,
    /// What a check found on its first look at a source.
    Baseline,
}

impl Tells {
    /// The word in [`Delivery::tells`].
    pub fn as_str(self) -> &'static str {
        match self {
            Tells::Firing => "firing",
            Tells::Resolved => "resolved",
            Tells::Baseline => "baseline",
        }
    }

    /// What there is to tell of an alert as it stands.
    pub(crate) fn of(alert: &Alert) -> Tells {
        match (alert.class, alert.state) {
            (AlertClass::Baseline, _) => Tells::Baseline,
            (_, AlertState::Firing) => Tells::Firing,
            (_, AlertState::Resolved | AlertState::Gone) => Tells::Resolved,
        }
    }
}

/// One message to one receiver.
#[derive(Clone, PartialEq, Debug)]
pub struct Notification {
    /// Its own id, the same on every try and after every restart: `ntf_` and 32 hexadecimal digits. Receivers that
    /// remember it take the message once.
    pub id: String,
    /// The receiver by its name in the settings.
    pub receiver: String,
    /// What it tells.
    pub tells: Tells,
    /// The condition, as it stands at the time of sending.
    pub alert: Alert,
    /// The receiver was told before that the condition holds. `false` in a resolve: it opened and ended before anyone
    /// could be told, and this one message says both.
    pub heard: bool,
}

impl Notification {
    /// The message about an alert as it stands.
    pub(crate) fn new(alert: &Alert, receiver: &str, heard: bool) -> Self {
        let tells = Tells::of(alert);
        Notification {
            id: id(alert, receiver, tells),
            receiver: receiver.to_owned(),
            tells,
            alert: alert.clone(),
            heard,
        }
    }

    /// The entries it tells of.
    pub fn about(&self) -> Vec<u64> {
        let Alert { opened_by, entry, .. } = self.alert;
        match self.tells {
            Tells::Firing => vec![opened_by],
            Tells::Resolved if !self.heard && opened_by != entry => vec![opened_by, entry],
            Tells::Resolved | Tells::Baseline => vec![entry],
        }
    }

    /// The fact to record once the receiver has answered, or could not be reached.
    pub(crate) fn delivery(&self, accepted: bool, answer: String, tries: u32) -> Delivery {
        Delivery {
            notification: self.id.clone(),
            receiver: self.receiver.clone(),
            tells: self.tells.as_str().to_owned(),
            about: self.about(),
            accepted,
            answer,
            tries,
        }
    }
}

/// The id of the message that tells this receiver this of the alert.
///
/// It is found again in the ledger after a restart, so its make is a stored format: the leading word says which.
/// Lengths stand before the parts, so that no two lists of parts give the same bytes.
pub(crate) fn id(alert: &Alert, receiver: &str, tells: Tells) -> String {
    let entry = match tells {
        Tells::Firing => alert.opened_by,
        Tells::Resolved | Tells::Baseline => alert.entry,
    };
    let mut hash = Sha256::new();
    for part in ["evidenced notification 1", &alert.key, receiver, tells.as_str(), &entry.to_string()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(32);
    format!("ntf_{text}")
}
