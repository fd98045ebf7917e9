//! A sum over all rows of an index, kept beside them, so that a row that was lost or altered is found out when it is opened.
//!
//! An engine notices some damage and repairs other damage silently: sled 0.34, for one, opens without a word after a flip
//! of one bit, and lacks what stood there. So the index is not believed because it opens: every row is read once, and the
//! sum over what was read has to be the one that was written with the last batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{GREATEST_BATCH, Index, IndexError, Op, Pair};
use crate::rows::key;

/// An index whose rows are summed up.
pub(crate) struct Summed {
    index: Arc<dyn Index>,
    sum: Mutex<u128>,
}

impl Summed {
    /// Reads every row once and holds them against their sum.
    pub(crate) fn open(index: Arc<dyn Index>) -> Result<Summed, IndexError> {
        let (mut sum, mut from) = (0u128, Vec::new());
        loop {
            let pairs = index.scan(b"", Some(&from), GREATEST_BATCH)?;
            let Some((last, _)) = pairs.last() else { break };
            from.clone_from(last);
            from.push(0);
            let rows = pairs.iter().filter(|(key, _)| key != key::SUM);
            sum = rows.fold(sum, |sum, (key, value)| sum.wrapping_add(digest(key, value)));
        }
        let written = index.get(key::SUM)?.unwrap_or_else(|| 0u128.to_be_bytes().to_vec());
        if written != sum.to_be_bytes() {
            return Err(IndexError("its rows are not those that were written".to_owned()));
        }
        Ok(Summed { index, sum: Mutex::new(sum) })
    }
}

impl Index for Summed {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.index.get(key)
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        self.index.scan(prefix, from, limit)
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        self.index.scan_back(prefix, before, limit)
    }

    fn apply(&self, ops: Vec<Op>) -> Result<(), IndexError> {
        let mut changed: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Put(key, value) => drop(changed.insert(key, Some(value))),
                Op::Delete(key) => drop(changed.insert(key, None)),
            }
        }
        let mut kept = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = *kept;
        for (key, value) in &changed {
            let before = self.index.get(key)?.map_or(0, |before| digest(key, &before));
            let after = value.as_ref().map_or(0, |value| digest(key, value));
            sum = sum.wrapping_sub(before).wrapping_add(after);
        }
        let mut ops: Vec<Op> = changed
            .into_iter()
            .map(|(key, value)| match value {
                Some(value) => Op::Put(key, value),
                None => Op::Delete(key),
            })
            .collect();
        ops.push(Op::Put(key::SUM.to_vec(), sum.to_be_bytes().to_vec()));
        self.index.apply(ops)?;
        *kept = sum;
        Ok(())
    }
}

/// The part of one row in the sum.
fn digest(key: &[u8], value: &[u8]) -> u128 {
    let row = [(key.len() as u64).to_be_bytes().as_slice(), key, value].concat();
    let digest = ledger::leaf_hash(&row).0;
    digest.first_chunk().map_or(0, |first| u128::from_be_bytes(*first))
}
