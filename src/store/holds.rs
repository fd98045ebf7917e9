//! Legal holds: what is needed in a dispute is neither erased nor left to expire, whoever asks for it.
//!
//! A hold and its release are entries, each asked for by one person and approved by another. What holds is read from the
//! index, which is a fold of these entries.

use domain::entry::{Fact, Hold, HoldDetail, Release, Subject};
use domain::{Pseudonym, ResourceKey, ResourceType};

use crate::index::Index;
use crate::read::{Read, ReadError};
use crate::rows::{HoldRow, key};
use crate::writer::{Receipt, Store, StoreError};
use crate::{erase, fold};

/// Nothing was held or released.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// No record speaks of it.
    #[error("no {kind} with the id {id:?} was ever seen here, or it was erased")]
    Unknown {
        /// The type that was asked for.
        kind: ResourceType,
        /// The id.
        id: String,
    },
    /// There is no such hold in force.
    #[error("#{0} is no hold that is in force")]
    NoHold(u64),
    /// One person is not two.
    #[error("a hold is asked for by one person and approved by another, and so is its release: name two")]
    OnePerson,
    /// More than one entry takes.
    #[error("a hold names at most {} resources; make several, or hold everything", Hold::SUBJECTS)]
    TooMany,
    /// The reason cannot stand in the ledger for ever.
    #[error(transparent)]
    Basis(#[from] erase::EraseError),
    /// Something could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The holds that are in force.
pub fn holds(index: &dyn Index) -> Result<Vec<HoldRow>, ReadError> {
    let rows = index.scan(key::HOLDS, None, usize::MAX)?;
    rows.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
}

impl HoldRow {
    /// Whether it holds what was recorded of a resource.
    pub fn covers(&self, resource: &Pseudonym) -> bool {
        self.of.is_empty() || self.of.contains(resource)
    }
}

impl Store {
    /// Holds these resources, or everything when none is named. `because` names nobody: it stands in the ledger for ever.
    pub fn hold(&self, of: &[ResourceKey], because: &str, people: &HoldDetail) -> Result<Receipt, HoldError> {
        two(people)?;
        // No erasure is between its plan and its end meanwhile.
        let _decided_once = self.deciding();
        erase::may_stand(because, of.iter().map(|resource| resource.id.as_str()))?;
        if of.len() > Hold::SUBJECTS {
            return Err(HoldError::TooMany);
        }
        let subject = |resource: &ResourceKey| {
            let unknown = || HoldError::Unknown { kind: resource.kind.clone(), id: resource.id.clone() };
            let pseudonym = self.pseudonym(resource).ok_or_else(unknown)?;
            Ok(Subject { kind: resource.kind.clone(), resource: pseudonym })
        };
        let of = of.iter().map(subject).collect::<Result<_, HoldError>>()?;
        let detail = self.put_json(people)?;
        Ok(self.record_one(Fact::Hold(Hold { of, because: because.to_owned(), detail }))?)
    }

    /// Releases a hold, told its entry.
    pub fn release(&self, hold: u64, because: &str, people: &HoldDetail) -> Result<Receipt, HoldError> {
        two(people)?;
        let _decided_once = self.deciding();
        erase::may_stand(because, std::iter::empty())?;
        if !holds(self.index().as_ref())?.iter().any(|row| row.entry == hold) {
            return Err(HoldError::NoHold(hold));
        }
        let detail = self.put_json(people)?;
        Ok(self.record_one(Fact::Release(Release { hold, because: because.to_owned(), detail }))?)
    }
}

/// Two names, and not the same one twice.
fn two(people: &HoldDetail) -> Result<(), HoldError> {
    // Case, spaces and points make nobody another person.
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let words = |name: &str| name.split_whitespace().map(letters).filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let name = |name: &str| words(name).join(" ").to_lowercase();
    let (asked, approved) = (name(&people.asked_by), name(&people.approved_by));
    if asked.is_empty() || approved.is_empty() || asked == approved { Err(HoldError::OnePerson) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_people_are_not_one_in_two_ways_of_writing() {
        let people = |asked: &str, approved: &str| {
            two(&HoldDetail { asked_by: asked.to_owned(), approved_by: approved.to_owned() }).is_ok()
        };
        assert!(people("Legal", "Board") && people("Ann Lee", "Annlee"));
        for (asked, approved) in
            [("Ann", "ann"), ("a", "A."), (" Ann  Lee ", "ann lee"), ("O'Neil", "ONeil"), ("Ann", " . ")]
        {
            assert!(!people(asked, approved), "{asked:?} {approved:?}");
        }
    }
}
