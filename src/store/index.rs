//! The index: a rebuildable copy for reading, never the truth.
//!
//! It is a pure fold of ledger and packs. Anything wrong with it, an error, a panic, a watermark that does not fit the
//! ledger, ends in the same way: it is put aside and built again. [`SledIndex`] is the default on one machine,
//! [`RedbIndex`] the other that the settings may name; [`MemoryIndex`] serves readers that open a data directory beside
//! a running daemon, and tests.

mod in_redb;
mod in_sled;
mod summed;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::in_redb::RedbIndex;
pub use self::in_sled::SledIndex;
pub(crate) use self::summed::Summed;

/// What keeps the index of a daemon. They hold the same rows and are held to the same contract; another one than before
/// is built again from the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// sled 0.34: fast; takes up to four times the room of its rows.
    #[default]
    Sled,
    /// redb: takes less room and memory, and syncs oftener.
    Redb,
}

impl Engine {
    /// Opens or makes an index in `dir`. Its lock may outlive a killed process for a moment, so a locked index is tried
    /// again for up to a second.
    pub fn open(self, dir: &Path) -> Result<Arc<dyn Index>, IndexError> {
        Ok(match self {
            Engine::Sled => Arc::new(SledIndex::open(dir)?),
            Engine::Redb => Arc::new(RedbIndex::open(dir)?),
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Sled => "sled",
            Engine::Redb => "redb",
        })
    }
}

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

/// The greatest number of changes in one batch, their sum apart: sled's memory grows steeply with larger ones.
pub const GREATEST_BATCH: usize = 1000;

const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

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

/// The first key after all keys that begin with `prefix`. Prefixes here are ASCII, so the last byte can be raised.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    match end.last_mut() {
        Some(last) if *last < u8::MAX => *last += 1,
        _ => end.push(u8::MAX),
    }
    end
}

/// Runs a call into an engine; its errors and its panics both become an [`IndexError`].
fn contain<T, E: fmt::Display>(engine: Engine, call: impl FnOnce() -> Result<T, E>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| IndexError(e.to_string())),
        Err(_) => Err(IndexError(format!("{engine} panicked"))),
    }
}

/// Opens what a process that is just dying may still have locked: tried again for up to a second.
fn once_unlocked<T>(open: impl Fn() -> Result<T, IndexError>, locked: &str) -> Result<T, IndexError> {
    let mut tries = 0;
    loop {
        match open() {
            Err(error) if error.0.contains(locked) && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
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
    fn every_engine_keeps_the_contract_and_its_rows_survive_closing() {
        for engine in [Engine::Sled, Engine::Redb] {
            let dir = tempfile::tempdir().unwrap();
            keeps_the_contract(engine.open(dir.path()).unwrap().as_ref());
            let again = engine.open(dir.path()).unwrap();
            assert_eq!(keys(again.scan(b"", None, 10).unwrap()), ["a/1", "a/3", "b/1"], "{engine}");
        }
    }

    #[test]
    fn a_damaged_index_is_an_error_and_not_a_crash() {
        for (engine, files) in [(Engine::Sled, ["db", "conf"]), (Engine::Redb, ["rows.redb", "rows.redb"])] {
            let dir = tempfile::tempdir().unwrap();
            drop(engine.open(dir.path()).unwrap());
            files.iter().for_each(|file| std::fs::write(dir.path().join(file), b"not what it should be").unwrap());
            assert!(engine.open(dir.path()).is_err(), "{engine}");
        }
    }
}
