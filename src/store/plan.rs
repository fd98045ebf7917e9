//! A batch in the making: what will be written, and which slots it settles.

use std::collections::{BTreeMap, HashMap};

use domain::entry::{Entry, Fact};
use domain::{Slot, StreamId, Timestamp};

use crate::fold;
use crate::index::{Index, IndexError};
use crate::rows::{SlotRow, key};

/// One accepted entry of a batch.
pub(crate) struct Accepted {
    pub(crate) entry: Entry,
    pub(crate) bytes: Vec<u8>,
}

/// A batch in the making.
pub(crate) struct Plan {
    pub(crate) first: u64,
    pub(crate) entries: Vec<Accepted>,
    pub(crate) once: HashMap<String, u64>,
    slots: BTreeMap<StreamId, Vec<(Slot, Slot, u64)>>,
}

impl Plan {
    pub(crate) fn new(first: u64) -> Self {
        Plan { first, entries: Vec::new(), once: HashMap::new(), slots: BTreeMap::new() }
    }

    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn push(&mut self, entry: Entry, bytes: Vec<u8>) {
        let number = self.next();
        if let Some(once) = entry.fact.once() {
            self.once.insert(once, number);
        }
        if let Some((stream, first, last)) = slots_of(&entry.fact) {
            self.slots.entry(stream.clone()).or_default().push((first, last, number));
        }
        self.entries.push(Accepted { entry, bytes });
    }

    pub(crate) fn take(&mut self, part: Plan) {
        self.entries.extend(part.entries);
        self.once.extend(part.once);
        for (stream, slots) in part.slots {
            self.slots.entry(stream).or_default().extend(slots);
        }
    }

    pub(crate) fn settled(&self, stream: &StreamId, first: Slot, last: Slot) -> Option<(Slot, u64)> {
        let slots = self.slots.get(stream)?;
        slots.iter().find(|(from, to, _)| *from <= last && first <= *to).map(|(from, _, entry)| (*from, *entry))
    }
}

/// The slots to which a fact gives their outcome.
pub(crate) fn slots_of(fact: &Fact) -> Option<(&StreamId, Slot, Slot)> {
    match fact {
        Fact::Run(run) => run.trigger.slot().map(|slot| (&run.stream, slot, slot)),
        Fact::Missed(missed) => Some((&missed.stream, missed.first, missed.last)),
        _ => None,
    }
}

/// A settled slot between `first` and `last`, if there is one, and the entry with its outcome.
pub(crate) fn settled(
    index: &dyn Index,
    stream: &StreamId,
    first: Slot,
    last: Slot,
) -> Result<Option<(Slot, u64)>, IndexError> {
    let (prefix, after) =
        (key::slots(stream), key::slot(stream, Slot(Timestamp::from_millis(last.0.millis().saturating_add(1)))));
    let Some((_, bytes)) = index.scan_back(&prefix, Some(&after), 1)?.into_iter().next() else { return Ok(None) };
    let row: SlotRow = fold::read(&bytes)?;
    Ok((row.last >= first).then_some((row.first.max(first), row.entry)))
}
