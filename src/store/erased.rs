//! What was erased stays erased: the names of destroyed keys, kept beside the guard, and what a start does by them.
//!
//! The ledger names them in its erase entries. A copy of the data directory from before an erasure has neither those nor
//! gaps where the keys were; so the names lie beside the high-water mark as well, on the volume that no restore touches.
//! They are random numbers and tell of nobody.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use domain::Pseudonym;
use domain::entry::{Erase, Fact};
use ledger::disk::{self, Disk};
use ledger::{GuardPlaces, KeyId};

use crate::index::Index;
use crate::layout::Layout;
use crate::read::ReadError;
use crate::rows::{ErasedRow, key};
use crate::subjects::Subjects;
use crate::writer::{Options, Store, StoreError};
use crate::{data_key, fold};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The file beside the high-water mark: a line for each key, its name in hexadecimal.
const FILE: &str = "erased";
const GREATEST_FILE: u64 = 1 << 30;
/// Why an erasure is recorded again.
const AGAIN: &str = "erased before, by an entry that this copy of the ledger does not hold";

/// The erasure that a record key went with, as the index holds it.
pub fn erased(index: &dyn Index, id: &Pseudonym) -> Result<Option<ErasedRow>, ReadError> {
    Ok(fold::get(index, &key::erased(id))?)
}

/// The keys that the ledger itself names as erased.
pub(crate) fn in_ledger(index: &dyn Index) -> Result<BTreeSet<KeyId>, AnyError> {
    let rows = index.scan(key::ERASED, None, usize::MAX)?;
    let id = |key: &[u8]| key.strip_prefix(key::ERASED).and_then(|id| id.try_into().ok()).map(KeyId);
    Ok(rows.iter().filter_map(|(key, _)| id(key)).collect())
}

/// The keys that any place of the guard knows to be erased. A line that does not read is an error: what it named could
/// come back unseen.
pub(crate) fn remembered(disk: &dyn Disk, places: &GuardPlaces) -> Result<BTreeSet<KeyId>, AnyError> {
    let mut all = BTreeSet::new();
    for path in files(places) {
        all.extend(read(disk, &path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(all)
}

/// Has every place of the guard remember these keys, durably. A copy of the guard that is out of reach is passed over, as
/// it is for the mark: the next start that reaches it brings it up to date.
pub(crate) fn remember(disk: &dyn Disk, places: &GuardPlaces, keys: &BTreeSet<KeyId>) -> Result<(), AnyError> {
    for (place, path) in files(places).enumerate() {
        let brought = bring(disk, &path, keys);
        match brought {
            Err(error) if place > 0 => {
                tracing::warn!(path = %path.display(), %error, "this place of the guard does not know what was erased");
            }
            brought => brought.map_err(|error| format!("{}: {error}", path.display()))?,
        }
    }
    Ok(())
}

/// Destroys again, in the file of keys, what is known to be erased and was there again: after a crash, or where an older
/// file of keys was put back. Gives how many keys that were.
pub(crate) fn replay(subjects: &mut Subjects, keys: &BTreeSet<KeyId>) -> Result<usize, AnyError> {
    if keys.is_empty() {
        return Ok(0);
    }
    Ok(subjects.destroy(&keys.iter().copied().collect::<Vec<_>>())?)
}

/// The same in a data directory that is refused because it is an older copy: it holds keys that went since.
pub(crate) fn replay_in_refused(layout: &Layout, options: &Options) -> Result<usize, AnyError> {
    let keys = remembered(options.disk.as_ref(), &options.guard_places())?;
    if keys.is_empty() {
        return Ok(0);
    }
    let _held = options.disk.lock(&layout.bodies().join("lock"))?;
    let data_key = data_key::find(layout, options.data_key.as_ref())?;
    replay(&mut Subjects::open(options.disk.clone(), layout, &data_key, true)?, &keys)
}

impl Store {
    /// Says in the ledger which keys were erased by entries that it does not hold, so that what is sealed under them is
    /// known to be erased, and not lost.
    pub(crate) fn record_erased_before(&self, keys: &[KeyId]) -> Result<(), StoreError> {
        let again = |keys: &[KeyId]| {
            Fact::Erase(Erase {
                of: None,
                keys: keys.iter().map(|id| Pseudonym::from_bytes(id.0)).collect(),
                bodies: 0,
                answers: 0,
                basis: AGAIN.to_owned(),
                detail: None,
                expired: None,
            })
        };
        self.record(keys.chunks(Erase::KEYS).map(again).collect()).map(|_| ())
    }
}

fn files(places: &GuardPlaces) -> impl Iterator<Item = PathBuf> + '_ {
    std::iter::once(&places.guard).chain(&places.copies).map(|dir| dir.join(FILE))
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<BTreeSet<KeyId>> {
    if !disk.exists(path)? {
        return Ok(BTreeSet::new());
    }
    let bytes = disk::read_file(disk, path, GREATEST_FILE)?;
    let unreadable = |line: usize| io::Error::other(format!("line {} does not name a record key", line + 1));
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().enumerate();
    lines
        .map(|(number, line)| {
            let id = hex::decode(line).ok().and_then(|id| id.try_into().ok());
            id.map(KeyId).ok_or_else(|| unreadable(number))
        })
        .collect()
}

fn bring(disk: &dyn Disk, path: &Path, keys: &BTreeSet<KeyId>) -> io::Result<()> {
    let mut known = read(disk, path)?;
    let before = known.len();
    known.extend(keys);
    if known.len() == before {
        return Ok(());
    }
    let text: String = known.iter().map(|id| format!("{id}\n")).collect();
    disk::replace(disk, path, text.as_bytes())
}
