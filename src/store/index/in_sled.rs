//! The index in sled.

use std::path::Path;

use super::{Engine, Index, IndexError, Op, Pair, after_prefix, contain, in_redb, once_unlocked};

/// An index in sled 0.34.
///
/// sled's calls can panic and its iterators can repeat one error for ever; so every call is contained, every scan is
/// bounded, and the first error ends the index.
pub struct SledIndex {
    db: sled::Db,
}

impl SledIndex {
    /// Opens or makes an index in `dir`; see [`Engine::open`].
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        if in_redb::path(dir).exists() {
            return Err(IndexError("it was made by redb, and the settings name sled".to_owned()));
        }
        let open =
            || sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_EVERY_MS)).open();
        let db = once_unlocked(|| contain(Engine::Sled, open), "could not acquire lock")?;
        Ok(SledIndex { db })
    }
}

/// sled takes more than this; it is its own measure of its page cache.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Freshness after a crash only: what is lost is folded again from the ledger.
const FLUSH_EVERY_MS: u64 = 1000;

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        contain(Engine::Sled, || self.db.get(key)).map(|value| value.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let start = from.filter(|from| *from > prefix).unwrap_or(prefix).to_vec();
        contain(Engine::Sled, || {
            let range = self.db.range(start..after_prefix(prefix)).take(limit);
            range.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect::<sled::Result<_>>()
        })
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let end = before.map_or_else(|| after_prefix(prefix), <[u8]>::to_vec);
        contain(Engine::Sled, || {
            let range = self.db.range(prefix.to_vec()..end).rev().take(limit);
            range.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect::<sled::Result<_>>()
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
        contain(Engine::Sled, || self.db.apply_batch(batch))
    }
}
