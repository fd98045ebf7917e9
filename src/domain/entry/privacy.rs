//! Entries about what may still be opened: erasures, and the holds that stand before them.

use serde::{Deserialize, Serialize};

use crate::{BodyId, Duration, Pseudonym, ResourceType, Timestamp};

/// Something was erased: because somebody asked for it, or because it is kept no longer. The entry comes first, then the
/// keys go; whatever starts on this ledger destroys them again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Erase {
    /// The resource; `None` for what expired, and where an earlier erasure is made good, whose own entry was lost with a
    /// newer part of the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Subject>,
    /// The names of the keys that were destroyed: its own, which is its pseudonym, and those of answers in which it stood.
    /// At most [`Erase::KEYS`]; an erasure of more is several entries.
    pub keys: Vec<Pseudonym>,
    /// How many bodies of its own that was, in all entries of the erasure together.
    pub bodies: u64,
    /// How many answers that was, in all entries of the erasure together.
    pub answers: u64,
    /// Why, in words that name nobody.
    pub basis: String,
    /// A body that says who asked for it: [`EraseDetail`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<BodyId>,
    /// By which rule it expired; `None` where somebody asked for the erasure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
}

/// A class of what is kept, as the settings name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionClass {
    /// Answers of sources, as they came.
    Answers,
    /// Records of resources that are in no population any more.
    Records,
}

impl RetentionClass {
    /// Its name in settings and entries.
    pub fn as_str(self) -> &'static str {
        match self {
            RetentionClass::Answers => "answers",
            RetentionClass::Records => "records",
        }
    }
}

/// The rule by which something expired, and of what age it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Expired {
    /// The class.
    pub class: RetentionClass,
    /// How long the settings kept it after the last run that referred to it.
    pub after: Duration,
    /// When a run last referred to the one that had rested longest.
    pub oldest: Timestamp,
    /// The same of the one that had rested shortest, in all entries that were recorded together.
    pub youngest: Timestamp,
}

impl Erase {
    /// How many keys one entry names.
    pub const KEYS: usize = 256;
    /// How many characters a basis has at most.
    pub const BASIS: usize = 300;
}

/// The resource of an erasure or a hold, as entries name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// What kind of resource it is.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Its pseudonym, as it stands in other entries and in manifests. After an erasure it leads to nobody.
    pub resource: Pseudonym,
}

/// A legal hold: until it is released, nothing that was recorded of these resources is erased or expires.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// The resources, at most [`Hold::SUBJECTS`]; none of them named means everything that is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<Subject>,
    /// Why, in words that name nobody.
    pub because: String,
    /// A body that says who asked for it and who approved it: [`HoldDetail`].
    pub detail: BodyId,
}

impl Hold {
    /// How many resources one hold names.
    pub const SUBJECTS: usize = 128;
}

/// A legal hold is released.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// The entry of the hold.
    pub hold: u64,
    /// Why, in words that name nobody.
    pub because: String,
    /// A body that says who asked for it and who approved it: [`HoldDetail`].
    pub detail: BodyId,
}

/// What stands in the body of a hold or its release: two people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldDetail {
    /// Who asked for it.
    pub asked_by: String,
    /// Who approved it.
    pub approved_by: String,
}

/// What stands in the body of an erasure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EraseDetail {
    /// Who asked for it.
    pub by: String,
}
