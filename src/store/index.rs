//! The index: a rebuildable copy for reading, never the truth.
//!
//! It is a pure fold of ledger and packs. Anything wrong with it, an error, a panic, a watermark that does not fit the
//! ledger, ends in the same way: it is put aside and built again. [`SledIndex`] is the default on one machine;
//! [`MemoryIndex`] serves readers that open a data directory beside a running daemon, and tests.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

/// A change to one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// The key now has this value.
    Put(Vec<u8>, Vec<u8>),
    /// The key has none any more.
    Delete(Vec<u8>),
}

/// The index cannot be used. The remedy is always the same: build it again from the ledger.
#[derive(Debug, thiserror::Error)]
#[error("the index failed: {0}")]
pub struct IndexError(pub String);

/// A sorted map of bytes. What it must keep: a batch is applied whole or not at all.
pub trait Index: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Up to `limit` pairs in key order that begin with `prefix`, at or after `from` where one is given.
    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError>;

    /// Up to `limit` pairs that begin with `prefix`, in falling key order, strictly before `before` where one is given.
    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError>;

    /// Applies all of `ops`, or none. At most [`GREATEST_BATCH`] at once.
    fn apply(&self, ops: Vec<Op>) -> Result<(), IndexError>;
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The greatest number of changes in one batch: sled's memory grows steeply with larger ones.
pub const GREATEST_BATCH: usize = 1000;

/// An index in memory.
#[derive(Default)]
pub struct MemoryIndex(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Index for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let start = from.filter(|from| *from > prefix).unwrap_or(prefix);
        Ok(map
            .range(start.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let end = before.map_or_else(|| after_prefix(prefix), <[u8]>::to_vec);
        Ok(map
            .range(..end)
            .rev()
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, ops: Vec<Op>) -> Result<(), IndexError> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for op in ops {
            match op {
                Op::Put(key, value) => drop(map.insert(key, value)),
                Op::Delete(key) => drop(map.remove(&key)),
            }
        }
        Ok(())
    }
}

/// Reads every row once. An index checks what it reads, so damage is found here, where it can be built again, and not by
/// whoever asks first, at every start anew.
pub(crate) fn read_through(index: &dyn Index) -> Result<(), IndexError> {
    let mut from = Vec::new();
    loop {
        let pairs = index.scan(b"", Some(&from), GREATEST_BATCH)?;
        let Some((last, _)) = pairs.into_iter().next_back() else { return Ok(()) };
        from = last;
        from.push(0);
    }
}

/// The first key after all keys that begin with `prefix`. Prefixes here are ASCII, so the last byte can be raised.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    match end.last_mut() {
        Some(last) if *last < u8::MAX => *last += 1,
        _ => end.push(u8::MAX),
    }
    end
}

/// An index in sled 0.34.
///
/// sled's calls can panic and its iterators can repeat one error for ever; so every call is contained, every scan is
/// bounded, and the first error ends the index.
pub struct SledIndex {
    db: sled::Db,
}

impl SledIndex {
    /// Opens or makes an index in `dir`. Its lock may outlive a killed process for a moment, so a locked index is tried
    /// again for up to a second.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let mut tries = 0;
        loop {
            let opened = contain(|| {
                sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_EVERY_MS)).open()
            });
            match opened {
                Ok(db) => return Ok(SledIndex { db }),
                Err(e) if e.0.contains("could not acquire lock") && tries < 20 => {
                    tries += 1;
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// sled takes more than this; it is its own measure of its page cache.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Freshness after a crash only: what is lost is folded again from the ledger.
const FLUSH_EVERY_MS: u64 = 1000;

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        contain(|| self.db.get(key)).map(|value| value.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let start = from.filter(|from| *from > prefix).unwrap_or(prefix).to_vec();
        contain(|| {
            let range = self.db.range(start..after_prefix(prefix)).take(limit);
            range.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect()
        })
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let end = before.map_or_else(|| after_prefix(prefix), <[u8]>::to_vec);
        contain(|| {
            let range = self.db.range(prefix.to_vec()..end).rev().take(limit);
            range.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect()
        })
    }

    fn apply(&self, ops: Vec<Op>) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(key, value),
                Op::Delete(key) => batch.remove(key),
            }
        }
        contain(|| self.db.apply_batch(batch))
    }
}

/// Runs a sled call; its errors and its panics both become an [`IndexError`].
fn contain<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| IndexError(e.to_string())),
        Err(_) => Err(IndexError("sled panicked".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Op {
        Op::Put(key.as_bytes().to_vec(), value.as_bytes().to_vec())
    }

    fn keys(pairs: Vec<Pair>) -> Vec<String> {
        pairs.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    /// The contract that every index keeps.
    fn keeps_the_contract(index: &dyn Index) {
        index.apply(vec![put("a/1", "x"), put("a/2", "y"), put("a/3", "z"), put("b/1", "w")]).unwrap();
        assert_eq!(index.get(b"a/2").unwrap().as_deref(), Some(&b"y"[..]));
        assert_eq!(index.get(b"a/9").unwrap(), None);
        assert_eq!(keys(index.scan(b"a/", None, 10).unwrap()), ["a/1", "a/2", "a/3"]);
        assert_eq!(keys(index.scan(b"a/", Some(b"a/2"), 10).unwrap()), ["a/2", "a/3"]);
        assert_eq!(keys(index.scan(b"a/", None, 2).unwrap()), ["a/1", "a/2"]);
        assert_eq!(keys(index.scan_back(b"a/", None, 2).unwrap()), ["a/3", "a/2"]);
        assert_eq!(keys(index.scan_back(b"a/", Some(b"a/3"), 10).unwrap()), ["a/2", "a/1"]);
        index.apply(vec![Op::Delete(b"a/2".to_vec()), put("a/1", "new")]).unwrap();
        assert_eq!(keys(index.scan(b"a/", None, 10).unwrap()), ["a/1", "a/3"]);
        assert_eq!(index.get(b"a/1").unwrap().as_deref(), Some(&b"new"[..]));
        assert!(index.scan(b"z/", None, 10).unwrap().is_empty());
    }

    #[test]
    fn memory_keeps_the_contract() {
        keeps_the_contract(&MemoryIndex::default());
    }

    #[test]
    fn sled_keeps_the_contract_and_its_rows_survive_closing() {
        let dir = tempfile::tempdir().unwrap();
        keeps_the_contract(&SledIndex::open(dir.path()).unwrap());
        let again = SledIndex::open(dir.path()).unwrap();
        assert_eq!(keys(again.scan(b"", None, 10).unwrap()), ["a/1", "a/3", "b/1"]);
    }

    #[test]
    fn a_damaged_sled_is_an_error_not_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        drop(SledIndex::open(dir.path()).unwrap());
        std::fs::write(dir.path().join("db"), b"not a database").unwrap();
        std::fs::write(dir.path().join("conf"), b"nor a configuration").unwrap();
        assert!(SledIndex::open(dir.path()).is_err());
    }
}
