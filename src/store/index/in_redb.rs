//! The index in redb.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::{Engine, Index, IndexError, Op, Pair, after_prefix, contain, once_unlocked};

/// An index in redb 4.
///
/// redb holds pages against their checksums when it opens a file, and not when it reads one later
/// (<https://docs.rs/redb/4.6.0/redb/struct.Builder.html#method.set_check_integrity_on_open>). So every value is kept
/// with a checksum of its own, over key and value, and a byte that flips while the daemon runs is found by whoever reads
/// the row. As with sled every call is contained, and the first error ends the index.
pub struct RedbIndex {
    db: Database,
    /// Batches since the last one that was made durable.
    pending: AtomicU32,
}

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Every so many batches are made durable together. What a crash takes is folded again from the ledger.
const DURABLE_EVERY: u32 = 32;

/// What redb's calls fail with, whichever it is.
type Failed = Box<redb::Error>;

/// The file of an index in `dir`.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("rows.redb")
}

impl RedbIndex {
    /// Opens or makes an index in `dir`; see [`Engine::open`].
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let prepared = || -> io::Result<bool> {
            fs::create_dir_all(dir)?;
            Ok(path(dir).exists() || fs::read_dir(dir)?.next().is_none())
        };
        match prepared() {
            Ok(true) => {}
            Ok(false) => return Err(IndexError("it was made by sled, and the settings name redb".to_owned())),
            Err(error) => return Err(IndexError(format!("{}: {error}", dir.display()))),
        }
        let open = || -> Result<Database, Failed> {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
            let db = builder.create(path(dir)).map_err(failed)?;
            let begun = db.begin_write().map_err(failed)?;
            begun.open_table(ROWS).map_err(failed)?;
            begun.commit().map_err(failed)?;
            Ok(db)
        };
        let db = once_unlocked(|| contain(Engine::Redb, open), "Cannot acquire lock")?;
        Ok(RedbIndex { db, pending: AtomicU32::new(0) })
    }

    /// Writes `ops` in one transaction.
    fn write(&self, ops: Vec<Op>, durability: Durability) -> Result<(), IndexError> {
        contain(Engine::Redb, || -> Result<(), Failed> {
            let mut writing = self.db.begin_write().map_err(failed)?;
            writing.set_durability(durability).map_err(failed)?;
            let mut rows = writing.open_table(ROWS).map_err(failed)?;
            for op in ops {
                match op {
                    Op::Put(key, value) => {
                        drop(rows.insert(key.as_slice(), sum(&key, &value).as_slice()).map_err(failed)?)
                    }
                    Op::Delete(key) => drop(rows.remove(key.as_slice()).map_err(failed)?),
                }
            }
            drop(rows);
            writing.commit().map_err(failed)
        })
    }
}

impl Drop for RedbIndex {
    fn drop(&mut self) {
        // What is lost here is folded again from the ledger.
        drop(self.write(Vec::new(), Durability::Immediate));
    }
}

impl Index for RedbIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let found = contain(Engine::Redb, || -> Result<_, Failed> {
            let rows = self.db.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
            Ok(rows.get(key).map_err(failed)?.map(|value| value.value().to_vec()))
        })?;
        found.map(|summed| held(key, &summed)).transpose()
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let start = from.filter(|from| *from > prefix).unwrap_or(prefix);
        self.read(start, &after_prefix(prefix), limit, false)
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let end = before.map_or_else(|| after_prefix(prefix), <[u8]>::to_vec);
        self.read(prefix, &end, limit, true)
    }

    fn apply(&self, ops: Vec<Op>) -> Result<(), IndexError> {
        let pending = self.pending.fetch_add(1, Ordering::Relaxed) + 1;
        let durable = pending.is_multiple_of(DURABLE_EVERY);
        self.write(ops, if durable { Durability::Immediate } else { Durability::None })
    }
}

impl RedbIndex {
    /// Up to `limit` pairs from `start` to before `end`, or `back` from there.
    fn read(&self, start: &[u8], end: &[u8], limit: usize, back: bool) -> Result<Vec<Pair>, IndexError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let pairs = contain(Engine::Redb, || -> Result<Vec<Pair>, Failed> {
            let rows = self.db.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
            let mut range = rows.range::<&[u8]>(start..end).map_err(failed)?;
            let mut pairs = Vec::new();
            while pairs.len() < limit
                && let Some(pair) = if back { range.next_back() } else { range.next() }
            {
                let (key, value) = pair.map_err(failed)?;
                pairs.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(pairs)
        })?;
        pairs.into_iter().map(|(key, summed)| held(&key, &summed).map(|value| (key, value))).collect()
    }
}

fn failed(error: impl Into<redb::Error>) -> Failed {
    Box::new(error.into())
}

/// A value behind the checksum of its row.
fn sum(key: &[u8], value: &[u8]) -> Vec<u8> {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(key), value);
    [checksum.to_le_bytes().as_slice(), value].concat()
}

/// The value of a row, which has to be what was written.
fn held(key: &[u8], summed: &[u8]) -> Result<Vec<u8>, IndexError> {
    let value = summed.get(4..).unwrap_or_default();
    match sum(key, value) == summed {
        true => Ok(value.to_vec()),
        false => Err(IndexError("a row is not what was written".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_what_was_written_is_refused_by_every_read() {
        let dir = tempfile::tempdir().unwrap();
        let index = RedbIndex::open(dir.path()).unwrap();
        index
            .apply(vec![Op::Put(b"a".to_vec(), b"right".to_vec()), Op::Put(b"b".to_vec(), b"right".to_vec())])
            .unwrap();
        let mut flipped = sum(b"b", b"right");
        *flipped.last_mut().unwrap() ^= 1;
        let writing = index.db.begin_write().unwrap();
        writing.open_table(ROWS).unwrap().insert(b"b".as_slice(), flipped.as_slice()).unwrap();
        writing.commit().unwrap();
        assert_eq!(index.get(b"a").unwrap().as_deref(), Some(&b"right"[..]));
        for answer in
            [index.get(b"b").map(drop), index.scan(b"", None, 9).map(drop), index.scan_back(b"", None, 9).map(drop)]
        {
            assert_eq!(answer.unwrap_err().to_string(), "the index failed: a row is not what was written");
        }
    }
}
