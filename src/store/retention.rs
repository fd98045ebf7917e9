//! Retention: what no run has referred to for longer than its class is kept expires. Its keys are destroyed by the machinery of
//! an erasure ([`crate::erase`]), and an entry names them with the rule; ledger and packs keep every byte, and each proof holds.
//!
//! What cannot be told is kept: an error on the way leaves everything as it is, and what this ledger never referred to
//! has no age here.

mod answers;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use domain::entry::{Erase, Expired, Fact, RetentionClass};
use domain::{BodyId, Duration, Pseudonym, Timestamp};
use ledger::KeyId;
use ledger::disk::replace;
use serde::{Deserialize, Serialize};

use crate::erase::EraseError;
use crate::index::Op;
use crate::offline::Offline;
use crate::read::{Read, ReadError};
use crate::rows::{HoldRow, StreamRow, key};
use crate::walk::Walk;
use crate::writer::Store;
use crate::{catch_up, fold};

/// What rests on something that is kept, so that it does not expire, however old it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rest {
    /// The latest word on what a stream watches.
    Present,
    /// A deviation that is open.
    OpenDeviation,
    /// The legal hold in that entry.
    Held(u64),
}

/// What becomes of something that is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// It is destroyed.
    Due,
    /// It is due after that moment, unless a run refers to it before.
    Until(Timestamp),
    /// It stays as long as this rests on it.
    Kept(Rest),
    /// It stays: this ledger never referred to it, so that nobody knows how old it is.
    Unknown,
}

/// What becomes of something that a run last referred to at `last`, on which this rests, and which is kept for `after` that.
pub fn fate(last: Option<Timestamp>, rest: Option<Rest>, after: Duration, now: Timestamp) -> Fate {
    match (rest, last) {
        (Some(rest), _) => Fate::Kept(rest),
        (None, None) => Fate::Unknown,
        // A reference that lies ahead, since the clock was set back, is no age.
        (None, Some(last)) if now.since(last) > after => Fate::Due,
        (None, Some(last)) => Fate::Until(last.plus(after)),
    }
}

/// What of a class expires now, and what becomes of the rest.
#[derive(Clone, Debug)]
pub struct Expiring {
    /// The class.
    pub class: RetentionClass,
    /// How long it is kept after the last run that referred to it.
    pub after: Duration,
    /// As of when.
    pub now: Timestamp,
    /// How many are kept for the present state, for open deviations and for legal holds.
    pub kept: BTreeMap<Rest, u64>,
    /// How many will be due later unless a run refers to them before, and when the first of them is.
    pub later: Option<(u64, Timestamp)>,
    /// How many this ledger never referred to: they were kept by one that it continues, or by a run that nothing was recorded
    /// of. They stay.
    pub unknown: u64,
    /// What is due, the one that rested longest last.
    due: Vec<Due>,
    /// The size of the ledger that this was decided from.
    size: u64,
}

/// Something that is due.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Due {
    last: Timestamp,
    key: KeyId,
    /// The one body under this key, for an answer.
    body: Option<BodyId>,
}

/// Something that is kept under a key of its own.
struct Kept {
    key: KeyId,
    body: Option<BodyId>,
    last: Option<Timestamp>,
    rest: Option<Rest>,
}

impl Kept {
    fn new(key: KeyId, body: Option<BodyId>) -> Kept {
        Kept { key, body, last: None, rest: None }
    }

    /// Something of that time refers to it, and this rests on that.
    fn refer(&mut self, at: Timestamp, rest: Option<Rest>) {
        self.last = self.last.max(Some(at));
        self.rest = self.rest.max(rest);
    }
}

/// Answers or records that expire at once. Nothing is collected meanwhile.
const BATCH: usize = 4096;

impl Expiring {
    /// How many are due.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// When the one that rested longest was last referred to, and the one that rested shortest.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.due.last()?.last, self.due.first()?.last))
    }
}

impl Offline {
    /// What of a class is due as of `now`. Reads what every run says that it refers to.
    ///
    /// # Errors
    /// Something could not be read, so that it is not known what it refers to.
    pub fn expiring(&self, class: RetentionClass, after: Duration, now: Timestamp) -> Result<Expiring, ReadError> {
        expiring(self, class, after, now)
    }
}

impl Store {
    /// Like [`Offline::expiring`], in a store that runs. Runs may go on meanwhile: [`Store::expire`] looks again.
    ///
    /// # Errors
    /// Something could not be read, so that it is not known what it refers to.
    pub fn expiring(&self, class: RetentionClass, after: Duration, now: Timestamp) -> Result<Expiring, ReadError> {
        expiring(self, class, after, now)
    }

    /// Destroys some of what is due, the oldest first, and gives how many that were; none when nothing is left. No run may
    /// be under way. What was referred to since it was decided stays, and so does what a legal hold keeps since then.
    ///
    /// # Errors
    /// [`EraseError`]; nothing was destroyed, or all that the recorded entries name.
    pub fn expire(&self, plan: &mut Expiring) -> Result<u64, EraseError> {
        let _decided_once = self.deciding();
        self.settle_bodies()?;
        plan.look_again(self)?;
        let batch = plan.due.split_off(plan.due.len().saturating_sub(BATCH));
        let (Some(youngest), Some(oldest)) = (batch.first(), batch.last()) else { return Ok(0) };
        let expired = Expired { class: plan.class, after: plan.after, oldest: oldest.last, youngest: youngest.last };
        let keys: BTreeSet<KeyId> = batch.iter().map(|due| due.key).collect();
        // The same bytes are kept anew when a source gives them again.
        let (mut known_by, mut bodies) = (Vec::new(), 0);
        self.each_body(&|sealed_under| sealed_under.iter().any(|key| keys.contains(key)), &mut |body| {
            bodies += 1;
            known_by.extend(body.digest);
        })?;
        let (bodies, answers) = match plan.class {
            RetentionClass::Answers => (0, bodies),
            RetentionClass::Records => (bodies, 0),
        };
        let keys: Vec<KeyId> = keys.into_iter().collect();
        let facts = keys.chunks(Erase::KEYS).map(|keys| {
            Fact::Erase(Erase {
                of: None,
                keys: keys.iter().map(|id| Pseudonym::from_bytes(id.0)).collect(),
                bodies,
                answers,
                basis: format!("kept for {} after the last run that referred to it", plan.after),
                detail: None,
                expired: Some(expired.clone()),
            })
        });
        self.record(facts.collect())?;
        self.destroy(&keys)?;
        let forget = known_by.iter().map(|digest| Op::Delete(key::known_body(digest)));
        catch_up::apply_bodies(self.index().as_ref(), forget).map_err(ReadError::from)?;
        Ok(batch.len() as u64)
    }

    /// When it was last looked what of each class is due; nothing where that is not remembered, which costs another look.
    pub fn looks(&self) -> Looks {
        let kept = std::fs::read(self.layout().looks()).ok();
        kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Remembers that beside the ledger, which says only what went.
    ///
    /// # Errors
    /// The disk's; what was remembered before stays.
    pub fn remember_looks(&self, looks: &Looks) -> io::Result<()> {
        replace(self.options().disk.as_ref(), &self.layout().looks(), &serde_json::to_vec(looks)?)
    }
}

/// The last look at each class.
pub type Looks = BTreeMap<RetentionClass, Look>;

/// A look at what is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Look {
    /// When it was.
    pub at: Timestamp,
    /// How long the settings kept the class then.
    pub after: Duration,
}

impl Expiring {
    /// Leaves out what was referred to or held since it was decided what is due.
    fn look_again(&mut self, on: &Store) -> Result<(), ReadError> {
        for number in self.size..on.head()?.size {
            match (self.class, on.entry(number)?.map(|entry| entry.fact)) {
                (RetentionClass::Answers, Some(Fact::Run(run))) => {
                    let referred: BTreeSet<BodyId> = answers::referred_by(on, number, &run)?.into_iter().collect();
                    self.due.retain(|due| due.body.as_ref().is_none_or(|id| !referred.contains(id)));
                }
                (RetentionClass::Records, Some(Fact::Run(_) | Fact::Observation(_)))
                | (_, Some(Fact::Deviation(_) | Fact::Hold(_))) => {
                    *self = expiring(on, self.class, self.after, self.now)?;
                    return Ok(());
                }
                _ => {}
            }
            self.size = number + 1;
        }
        Ok(())
    }
}

fn expiring(on: &dyn Walk, class: RetentionClass, after: Duration, now: Timestamp) -> Result<Expiring, ReadError> {
    let size = on.head()?.size;
    let fate_of = |kept: &Kept| fate(kept.last, kept.rest, after, now);
    let is_due = |kept: &Kept| fate_of(kept) == Fate::Due;
    let all = match class {
        RetentionClass::Answers => answers::kept(on, &is_due)?,
        RetentionClass::Records => records::kept(on, &is_due)?,
    };
    let mut plan =
        Expiring { class, after, now, kept: BTreeMap::new(), later: None, unknown: 0, due: Vec::new(), size };
    for kept in all {
        match (fate_of(&kept), kept.last) {
            (Fate::Due, Some(last)) => plan.due.push(Due { last, key: kept.key, body: kept.body }),
            (Fate::Kept(rest), _) => *plan.kept.entry(rest).or_default() += 1,
            (Fate::Until(until), _) => {
                let (count, first) = plan.later.unwrap_or((0, until));
                plan.later = Some((count + 1, first.min(until)));
            }
            (Fate::Unknown | Fate::Due, _) => plan.unknown += 1,
        }
    }
    plan.due.sort_unstable_by(|a, b| b.cmp(a));
    Ok(plan)
}

fn streams(on: &dyn Walk) -> Result<Vec<StreamRow>, ReadError> {
    let rows = on.index().scan(key::STREAMS, None, usize::MAX)?;
    rows.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
}

/// The hold that keeps everything: one of everything, or one of somebody who cannot be named, since of them it cannot be
/// told where they stand.
fn all_held(on: &dyn Walk, holds: &[HoldRow]) -> Option<Rest> {
    let all = |hold: &&HoldRow| hold.of.is_empty() || hold.of.iter().any(|held| on.resource(held).is_none());
    holds.iter().find(all).map(|hold| Rest::Held(hold.entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_older_than_its_class_is_kept_and_nothing_rests_on_it() {
        let day = |day: i64| Timestamp::from_millis(day * 86_400_000);
        let (after, now) = (Duration::from_secs(30 * 86_400), day(100));
        for (last, rest, expected) in [
            (day(0), None, Fate::Due),
            (day(69), None, Fate::Due),
            (day(70), None, Fate::Until(now)),
            (day(99), None, Fate::Until(day(129))),
            (day(101), None, Fate::Until(day(131))),
            (day(0), Some(Rest::Present), Fate::Kept(Rest::Present)),
            (day(0), Some(Rest::OpenDeviation), Fate::Kept(Rest::OpenDeviation)),
            (day(0), Some(Rest::Held(7)), Fate::Kept(Rest::Held(7))),
            (day(99), Some(Rest::Held(7)), Fate::Kept(Rest::Held(7))),
        ] {
            assert_eq!(fate(Some(last), rest, after, now), expected, "{last} {rest:?}");
        }
        assert_eq!(fate(None, None, after, now), Fate::Unknown, "of unknown age");
        let strongest = [Rest::Present, Rest::OpenDeviation, Rest::Held(1)].into_iter().max();
        assert_eq!(strongest, Some(Rest::Held(1)), "of several reasons the hold is told");
    }
}
