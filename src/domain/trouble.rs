//! What is amiss with the daemon itself: a word against ourselves, of which evidence is kept like of any other.

use serde::{Deserialize, Serialize};

/// Where something can be amiss with the daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleIn {
    /// The settings, or something that they name, were changed and are not right; the ones before them stay in force.
    Settings,
    /// The disk takes so long to make evidence durable that slots are in danger.
    SlowDisk,
    /// A witness of the settings no longer cosigns the ledger.
    Witnesses,
}

impl TroubleIn {
    /// The name as in entries, metrics and the names of incidents.
    pub fn as_str(self) -> &'static str {
        match self {
            TroubleIn::Settings => "settings",
            TroubleIn::SlowDisk => "slow_disk",
            TroubleIn::Witnesses => "witnesses",
        }
    }
}

/// Something is amiss with the daemon from here on, or no longer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trouble {
    /// Where.
    #[serde(rename = "in")]
    pub place: TroubleIn,
    /// Whether it is amiss from here on (`true`), or right again (`false`).
    pub amiss: bool,
    /// What is amiss, or what ended it, in words.
    pub detail: String,
    /// The entry that began it, when this one ends it or tells more of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<u64>,
}
