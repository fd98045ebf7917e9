//! Bringing an index up to date with the ledger, from wherever it stands.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::Timestamp;
use domain::entry::{Entry, Fact, Genesis, TreeHead};
use ledger::{Checkpoint, Frontier, Location, Progress, Reader, SignedCheckpoint, leaf_hash};

use crate::bodies::BodyStore;
use crate::fold;
use crate::index::{GREATEST_BATCH, Index, IndexError, Op, Pair};
use crate::read::{Head, ReadError, parse_entry};
use crate::rows::{VERSION, Watermark, key};
use crate::subjects::Subjects;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Entries folded before the index is written.
const FOLD_AT_ONCE: u64 = 128;

/// Folds what the index has not seen: bodies first, then entries. Returns how many entries that were.
///
/// An index that belongs to another ledger, another past of this ledger or another format is an error; so is one that
/// is ahead. The remedy is always to build it again.
pub(crate) fn catch_up(
    index: &dyn Index,
    reader: &Reader,
    bodies: &mut BodyStore,
    subjects: &Mutex<Subjects>,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, IndexError> {
    let failed = |e: AnyError| IndexError(e.to_string());
    let from =
        index.get(key::PACKS)?.map(|bytes| location_from(&bytes)).transpose().map_err(|e| failed(Box::new(e)))?;
    let mut done = 0;
    let taken = bodies.scan(subjects, from, |bodies, ops| {
        done += bodies;
        progress(Progress::Bodies { done });
        index.apply(ops)
    });
    taken.map_err(failed)?;
    catch_up_entries(index, reader, progress).map_err(failed)
}

/// Folds the entries that the index has not seen. `progress` is told of all that it has seen by then.
pub(crate) fn catch_up_entries(
    index: &dyn Index,
    reader: &Reader,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, AnyError> {
    let size = reader.size()?;
    let watermark: Option<Watermark> = fold::get(index, key::WATERMARK)?;
    let start = match &watermark {
        None => 0,
        Some(mark) if mark.version != VERSION => return Err(format!("it has format {}", mark.version).into()),
        Some(mark) if mark.head.size > size => {
            return Err(format!("it has folded {} entries, and the ledger holds {size}", mark.head.size).into());
        }
        Some(mark) => {
            let root = reader.root(mark.head.size)?;
            if hex::encode(root.0) != mark.head.root {
                return Err("its watermark is not a root of this ledger".into());
            }
            mark.head.size
        }
    };
    let mut at = watermark.map(|mark| mark.at).unwrap_or_default();
    // From the beginning the tree grows along; from anywhere else it is known only to the reader.
    let mut tree = (start == 0).then(Frontier::new);
    let mut next = start;
    let mut entries = reader.entries(start, size)?;
    while next < size {
        let end = size.min(next + FOLD_AT_ONCE);
        let mut overlay = Overlay::new(index);
        for (number, bytes) in (next..end).zip(entries.by_ref()) {
            let bytes = bytes?;
            if let Some(tree) = &mut tree {
                tree.push(leaf_hash(&bytes));
            }
            let entry = parse_entry(number, &bytes)?;
            at = at.max(entry.at);
            let ops = fold::fold(&overlay, number, &entry)?;
            overlay.take(ops);
        }
        let root = tree.as_ref().map_or_else(|| reader.root(end), |tree| Ok(tree.root()))?;
        overlay.commit(&Watermark { version: VERSION, head: TreeHead { size: end, root: hex::encode(root.0) }, at })?;
        next = end;
        progress(Progress::Entries { done: next, total: size });
    }
    Ok(size - start)
}

/// Folds entries that were just written, of which the first has the number `first`; `head` is the ledger's with all of
/// them. A batch of many is folded in parts, each with the root of the ledger up to it: a crash between two leaves the
/// index of a shorter ledger, which the next start brings up to date.
pub(crate) fn fold_written<'a>(
    index: &dyn Index,
    reader: &Reader,
    first: u64,
    entries: impl Iterator<Item = &'a Entry>,
    head: TreeHead,
) -> Result<(), IndexError> {
    let mut entries = (first..).zip(entries).peekable();
    while entries.peek().is_some() {
        let mut overlay = Overlay::new(index);
        let (mut size, mut at) = (first, Timestamp::default());
        for (number, entry) in entries.by_ref().take(FOLD_AT_ONCE as usize) {
            let ops = fold::fold(&overlay, number, entry)?;
            overlay.take(ops);
            (size, at) = (number + 1, entry.at);
        }
        let head = if size == head.size {
            head.clone()
        } else {
            let root = reader.root(size).map_err(|error| IndexError(error.to_string()))?;
            TreeHead { size, root: hex::encode(root.0) }
        };
        overlay.commit(&Watermark { version: VERSION, head, at })?;
    }
    Ok(())
}

/// The time of the last entry folded.
pub(crate) fn last_time(index: &dyn Index) -> Result<Timestamp, IndexError> {
    Ok(fold::get::<Watermark>(index, key::WATERMARK)?.map(|mark| mark.at).unwrap_or_default())
}

/// How a ledger begins: its entry 0.
pub fn genesis(reader: &Reader) -> Result<Genesis, ReadError> {
    let bytes = reader.entry(0).map_err(|e| ReadError::Ledger(e.into()))?;
    match parse_entry(0, &bytes)?.fact {
        Fact::Genesis(genesis) => Ok(genesis),
        other => Err(ReadError::Malformed(format!("entry #0 is of kind {}, not genesis", other.kind()))),
    }
}

/// The ledger as signed last.
pub(crate) fn head(reader: &Reader) -> Result<Head, ReadError> {
    let signed = reader.head().map_err(|e| ReadError::Ledger(e.into()))?;
    let signed = signed.ok_or_else(|| ReadError::Malformed("the ledger has no checkpoint".into()))?;
    Ok(head_from(&signed))
}

/// A signed checkpoint as readers are told of it.
pub(crate) fn head_from(signed: &SignedCheckpoint) -> Head {
    let head = tree_head(&signed.checkpoint);
    Head { origin: signed.checkpoint.origin.clone(), size: head.size, root: head.root, note: signed.note.clone() }
}

/// Size and root, as entries write them.
pub(crate) fn tree_head(checkpoint: &Checkpoint) -> TreeHead {
    TreeHead { size: checkpoint.size, root: hex::encode(checkpoint.root.0) }
}

/// An entry's bytes.
pub(crate) fn entry_bytes(reader: &Reader, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let failed = |e: ledger::ReadError| ReadError::Ledger(e.into());
    if number >= reader.size().map_err(failed)? {
        return Ok(None);
    }
    reader.entry(number).map(Some).map_err(failed)
}

/// An entry's proof.
pub(crate) fn proof(reader: &Reader, number: u64) -> Result<Option<String>, ReadError> {
    let failed = |e: ledger::ReadError| ReadError::Ledger(e.into());
    if number >= reader.size().map_err(failed)? {
        return Ok(None);
    }
    reader.tlog_proof(number).map(|proof| Some(proof.to_string())).map_err(failed)
}

/// Where a body lies, as the index writes it: pack, then offset.
pub(crate) fn location_to(location: &Location) -> Vec<u8> {
    [location.pack.to_be_bytes().as_slice(), &location.offset.to_be_bytes()].concat()
}

/// Reads what [`location_to`] wrote.
pub(crate) fn location_from(bytes: &[u8]) -> Result<Location, IndexError> {
    let damaged = || IndexError("the place of a body does not read".into());
    let (pack, offset) = bytes.split_first_chunk().ok_or_else(damaged)?;
    let offset = offset.try_into().map_err(|_| damaged())?;
    Ok(Location { pack: u32::from_be_bytes(*pack), offset: u64::from_be_bytes(offset) })
}

/// Teaches the index bodies, in batches it can take.
pub(crate) fn apply_bodies(index: &dyn Index, ops: impl Iterator<Item = Op>) -> Result<(), IndexError> {
    let mut ops = ops.peekable();
    while ops.peek().is_some() {
        index.apply(ops.by_ref().take(GREATEST_BATCH).collect())?;
    }
    Ok(())
}

/// An index with changes on top that are not written yet, so that one entry's fold sees the entry before it.
pub(crate) struct Overlay<'a> {
    below: &'a dyn Index,
    changed: Mutex<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(below: &'a dyn Index) -> Self {
        Overlay { below, changed: Mutex::default() }
    }

    pub(crate) fn take(&mut self, ops: Vec<Op>) {
        let changed = self.changed.get_mut().unwrap_or_else(PoisonError::into_inner);
        for op in ops {
            match op {
                Op::Put(key, value) => drop(changed.insert(key, Some(value))),
                Op::Delete(key) => drop(changed.insert(key, None)),
            }
        }
    }

    /// Writes everything, with the watermark, at once.
    pub(crate) fn commit(self, watermark: &Watermark) -> Result<(), IndexError> {
        let bytes = serde_json::to_vec(watermark).map_err(|e| IndexError(e.to_string()))?;
        let changed = self.changed.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
        let mut ops: Vec<Op> = changed
            .map(|(key, value)| match value {
                Some(value) => Op::Put(key, value),
                None => Op::Delete(key),
            })
            .collect();
        ops.push(Op::Put(key::WATERMARK.to_vec(), bytes));
        self.below.apply(ops)
    }
}

impl Index for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self.changed.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(&self, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<Pair>, IndexError> {
        Err(IndexError("a fold may not scan: it must not depend on how the index was built".into()))
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        self.scan(prefix, before, limit)
    }

    fn apply(&self, _: Vec<Op>) -> Result<(), IndexError> {
        Err(IndexError("an overlay is committed, not applied to".into()))
    }
}
