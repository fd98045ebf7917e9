//! Retention: what no run has referred to for longer than its class is kept expires. Its keys are destroyed by the machinery of
//! an erasure ([`crate::erase`]), and an entry names them with the rule; ledger and packs keep every byte, and each proof holds.
//!
//! What cannot be told is kept: an error on the way leaves everything as it is, and what this ledger never referred to
//! has no age here.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::{Erase, Expired, Fact, RetentionClass, Run};
use domain::{BodyId, Duration, Pseudonym, Timestamp};
use ledger::KeyId;
use serde::Deserialize;

use crate::erase::{EraseError, Word, held_words};
use crate::erased::erased;
use crate::holds::holds;
use crate::index::Op;
use crate::offline::Offline;
use crate::read::{Read, ReadError};
use crate::rows::{DeviationRow, HoldRow, RunRow, StreamRow, key};
use crate::subjects::Whose;
use crate::walk::Walk;
use crate::writer::{Store, StoreError};
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
}

/// What becomes of something that a run last referred to at `last`, on which this rests, and which is kept for `after` that.
pub fn fate(last: Timestamp, rest: Option<Rest>, after: Duration, now: Timestamp) -> Fate {
    match rest {
        Some(rest) => Fate::Kept(rest),
        // A reference that lies ahead, since the clock was set back, is no age.
        None if now.since(last) > after => Fate::Due,
        None => Fate::Until(last.plus(after)),
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
    /// What is due, the one that rested longest last, each with its key and when it was last referred to.
    due: Vec<(Timestamp, BodyId, KeyId)>,
    /// The size of the ledger that this was decided from.
    size: u64,
}

/// Answers that expire at once. Nothing is collected meanwhile.
const BATCH: usize = 4096;

impl Expiring {
    /// How many are due.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// When the one that rested longest was last referred to, and the one that rested shortest.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.due.last()?.0, self.due.first()?.0))
    }
}

impl Offline {
    /// What of a class is due as of `now`. Reads the list of every run.
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
    /// be under way. What was referred to since it was decided stays; a legal hold since then ends it.
    ///
    /// # Errors
    /// [`EraseError`]; nothing was destroyed, or all that the recorded entries name.
    pub fn expire(&self, plan: &mut Expiring) -> Result<u64, EraseError> {
        let _decided_once = self.deciding();
        self.settle_bodies()?;
        plan.look_again(self)?;
        let batch = plan.due.split_off(plan.due.len().saturating_sub(BATCH));
        let (Some((youngest, ..)), Some((oldest, ..))) = (batch.first(), batch.last()) else { return Ok(0) };
        let expired = Expired { class: plan.class, after: plan.after, oldest: *oldest, youngest: *youngest };
        let keys: Vec<KeyId> = batch.iter().map(|(.., key)| *key).collect();
        // The same bytes are kept anew when a source gives them again.
        let mut known_by = Vec::with_capacity(batch.len());
        for (_, id, key) in &batch {
            let Some(bytes) = self.body(id)? else { continue };
            known_by.extend(self.subjects().known_by(&[*key]).map(|owners| owners.digest(&bytes)));
        }
        let count = batch.len() as u64;
        let facts = keys.chunks(Erase::KEYS).map(|keys| {
            Fact::Erase(Erase {
                of: None,
                keys: keys.iter().map(|id| Pseudonym::from_bytes(id.0)).collect(),
                bodies: 0,
                answers: count,
                basis: format!("kept for {} after the last run that referred to it", plan.after),
                detail: None,
                expired: Some(expired.clone()),
            })
        });
        self.record(facts.collect())?;
        self.destroy(&keys)?;
        let forget = known_by.iter().map(|digest| Op::Delete(key::known_body(digest)));
        catch_up::apply_bodies(self.index().as_ref(), forget).map_err(ReadError::from)?;
        Ok(count)
    }

    /// When something expired last, by an entry of this ledger.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when that cannot be read.
    pub fn last_expired(&self) -> Result<Option<Timestamp>, StoreError> {
        let failed = |error: ReadError| StoreError::Stopped(error.to_string());
        let row = self.index().get(&key::latest(fold::EXPIRED)).map_err(|e| failed(e.into()))?;
        let Some(number) = row.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))) else {
            return Ok(None);
        };
        Ok(self.entry(number).map_err(failed)?.map(|entry| entry.at))
    }
}

impl Expiring {
    /// Leaves out what runs referred to since it was decided what is due; a legal hold since then leaves out everything.
    fn look_again(&mut self, on: &Store) -> Result<(), ReadError> {
        let size = on.head()?.size;
        for number in self.size..size {
            match on.entry(number)?.map(|entry| entry.fact) {
                Some(Fact::Run(run)) => {
                    let referred: BTreeSet<BodyId> = referred_by(on, number, &run)?.into_iter().collect();
                    self.due.retain(|(_, id, _)| !referred.contains(id));
                }
                Some(Fact::Hold(_)) => self.due.clear(),
                _ => {}
            }
        }
        self.size = size;
        Ok(())
    }
}

/// An answer that is kept.
struct Answer {
    key: KeyId,
    last: Option<Timestamp>,
    rest: Option<Rest>,
}

fn expiring(on: &dyn Walk, class: RetentionClass, after: Duration, now: Timestamp) -> Result<Expiring, ReadError> {
    let RetentionClass::Answers = class;
    let size = on.head()?.size;
    let mut answers = answers(on)?;
    let resting = resting(on)?;
    let holds = holds(on.index().as_ref())?;
    // Of whoever cannot be named it cannot be told where they stand.
    let all = |hold: &&HoldRow| hold.of.is_empty() || hold.of.iter().any(|held| on.resource(held).is_none());
    let all_held = holds.iter().find(all).map(|hold| Rest::Held(hold.entry));
    for stream in streams(on)? {
        for (_, bytes) in on.index().scan(&key::runs(&stream.stream), None, usize::MAX)? {
            let row: RunRow = fold::read(&bytes)?;
            let Some(Fact::Run(run)) = on.entry(row.entry)?.map(|entry| entry.fact) else {
                return Err(ReadError::Malformed(format!("#{} is no run", row.entry)));
            };
            let rest = resting.get(&row.entry).copied();
            for id in referred_by(on, row.entry, &run)? {
                if let Some(answer) = answers.get_mut(&id) {
                    answer.last = answer.last.max(Some(run.ended));
                    answer.rest = answer.rest.max(rest).max(all_held);
                }
            }
        }
    }
    let held = held_words(on, &holds)?;
    let mut plan =
        Expiring { class, after, now, kept: BTreeMap::new(), later: None, unknown: 0, due: Vec::new(), size };
    for (id, answer) in answers {
        let Some(last) = answer.last else {
            plan.unknown += 1;
            continue;
        };
        let fate = match fate(last, answer.rest, after, now) {
            Fate::Due => held_in(on, &id, &held)?.map_or(Fate::Due, Fate::Kept),
            fate => fate,
        };
        match fate {
            Fate::Due => plan.due.push((last, id, answer.key)),
            Fate::Kept(rest) => *plan.kept.entry(rest).or_default() += 1,
            Fate::Until(until) => {
                let (count, first) = plan.later.unwrap_or((0, until));
                plan.later = Some((count + 1, first.min(until)));
            }
        }
    }
    plan.due.sort_unstable_by(|a, b| b.cmp(a));
    Ok(plan)
}

/// Every answer that can still be opened.
fn answers(on: &dyn Walk) -> Result<BTreeMap<BodyId, Answer>, ReadError> {
    let index = on.index();
    let (mut answers, mut failed) = (BTreeMap::new(), None);
    on.each_sealed(&mut |id, keys, whose| {
        if let (Whose::Answer(key), [_]) = (whose, keys) {
            match erased(index.as_ref(), &Pseudonym::from_bytes(key.0)) {
                Ok(None) => drop(answers.insert(id, Answer { key, last: None, rest: None })),
                Ok(Some(_)) => {}
                Err(error) => failed = Some(error),
            }
        }
    })?;
    failed.map_or(Ok(answers), Err)
}

/// The runs on which the present state and open deviations rest.
fn resting(on: &dyn Walk) -> Result<BTreeMap<u64, Rest>, ReadError> {
    let mut entries: Vec<(u64, Rest)> = Vec::new();
    for stream in streams(on)? {
        let runs = stream.last_run.iter().chain(&stream.last_collected).map(|run| run.entry);
        let observed = stream.observed.iter().flat_map(|observed| [observed.run, observed.rows_in]);
        entries.extend(runs.chain(observed).map(|entry| (entry, Rest::Present)));
    }
    for (_, bytes) in on.index().scan(key::DEVIATIONS, None, usize::MAX)? {
        let row: DeviationRow = fold::read(&bytes)?;
        if row.state.open {
            let said = [row.opened_in, row.state.observation.entry].into_iter().chain(row.was.map(|was| was.entry));
            entries.extend(said.map(|entry| (entry, Rest::OpenDeviation)));
        }
    }
    let mut runs: BTreeMap<u64, Rest> = BTreeMap::new();
    for (entry, rest) in entries {
        // What was observed rests on the run that it judges.
        let run = match on.entry(entry)?.map(|entry| entry.fact) {
            Some(Fact::Observation(observations)) => observations.run,
            _ => entry,
        };
        let known = runs.entry(run).or_insert(rest);
        *known = rest.max(*known);
    }
    Ok(runs)
}

fn streams(on: &dyn Walk) -> Result<Vec<StreamRow>, ReadError> {
    let rows = on.index().scan(key::STREAMS, None, usize::MAX)?;
    rows.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
}

/// What a line of the list of exchanges says of bodies.
#[derive(Deserialize)]
struct Kept {
    #[serde(default)]
    request_body: Option<BodyId>,
    #[serde(default)]
    body: Vec<BodyId>,
}

/// The answers that a run names.
fn referred_by(on: &dyn Read, entry: u64, run: &Run) -> Result<Vec<BodyId>, ReadError> {
    let mut referred: Vec<BodyId> = run.changes.iter().cloned().collect();
    if let Some(list) = &run.exchanges {
        let unread = || ReadError::Malformed(format!("the exchanges of #{entry} cannot be read"));
        let list = on.body(list)?.ok_or_else(unread)?;
        for line in list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let kept: Kept = serde_json::from_slice(line).map_err(|_| unread())?;
            referred.extend(kept.request_body);
            referred.extend(kept.body);
        }
    }
    Ok(referred)
}

/// The legal hold of somebody of whom an answer speaks.
fn held_in(on: &dyn Walk, id: &BodyId, held: &[(u64, Word)]) -> Result<Option<Rest>, ReadError> {
    if held.is_empty() {
        return Ok(None);
    }
    let body = on.body(id)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    Ok(held.iter().find(|(_, word)| word.stands_in(&text)).map(|(hold, _)| Rest::Held(*hold)))
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
            assert_eq!(fate(last, rest, after, now), expected, "{last} {rest:?}");
        }
        let strongest = [Rest::Present, Rest::OpenDeviation, Rest::Held(1)].into_iter().max();
        assert_eq!(strongest, Some(Rest::Held(1)), "of several reasons the hold is told");
    }
}
