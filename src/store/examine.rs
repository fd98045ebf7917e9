//! Looking at a data directory without changing it: what whoever runs the daemon asks about index and keys.

use std::io;
use std::path::Path;

use domain::in_full;
use ledger::{DataKey, Disk as _, Reader, RealDisk};

use crate::index::{Engine, Summed};
use crate::layout::Layout;
use crate::rows::{VERSION, Watermark, key};
use crate::{catch_up, data_key, fold, keys};

/// How an index stands to its ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IndexState {
    /// It holds this many entries of this many; the next start folds the rest.
    InStep(u64, u64),
    /// There is none; the next start builds it.
    Missing,
    /// It cannot be used, and why; the next start builds it again.
    Unusable(String),
    /// A daemon holds it.
    InUse,
}

/// Reads all of the index of a data directory, unless a daemon holds it.
///
/// # Errors
/// The ledger beside it cannot be read, or the lock not be taken, in words.
pub fn examine_index(data: &Path, engine: Engine) -> Result<IndexState, String> {
    let layout = Layout::new(data);
    // No daemon starts while this is held, and none that runs is disturbed.
    let _held = match RealDisk.lock(&layout.bodies().join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(IndexState::InUse),
        held => held.map_err(|e| e.to_string())?,
    };
    if !layout.index().exists() {
        return Ok(IndexState::Missing);
    }
    let reader = Reader::open(&layout.ledger());
    let size = reader.size().map_err(|e| in_full(&e))?;
    let watermark = engine.open(&layout.index()).and_then(|index| {
        let index = Summed::open(index)?;
        fold::get::<Watermark>(&index, key::WATERMARK)
    });
    Ok(match watermark {
        Err(error) => IndexState::Unusable(error.to_string()),
        Ok(None) => IndexState::Missing,
        Ok(Some(mark)) if mark.version != VERSION => IndexState::Unusable(format!("it has format {}", mark.version)),
        Ok(Some(mark)) if mark.head.size > size => {
            IndexState::Unusable(format!("it holds {} entries, and the ledger {size}", mark.head.size))
        }
        Ok(Some(mark)) => match reader.root(mark.head.size) {
            Ok(root) if hex::encode(root.0) == mark.head.root => IndexState::InStep(mark.head.size, size),
            Ok(_) => IndexState::Unusable("its watermark is not a root of this ledger".to_owned()),
            Err(error) => return Err(in_full(&error)),
        },
    })
}

/// Whether the seed in the data directory is that of a key which signs for the ledger now; gives its name.
///
/// # Errors
/// Why it cannot sign, in words.
pub fn examine_signing_key(data: &Path) -> Result<String, String> {
    let layout = Layout::new(data);
    let reader = Reader::open(&layout.ledger());
    let genesis = catch_up::genesis(&reader).map_err(|e| in_full(&e))?;
    let size = reader.size().map_err(|e| in_full(&e))?;
    let ring = reader.key_ring().map_err(|e| in_full(&e))?;
    let (ring, _) = ring.ok_or_else(|| "the first entry names no key".to_owned())?;
    keys::fit(&layout, &genesis.origin, &ring, size).map_err(|e| in_full(e.as_ref()))?;
    Ok(genesis.origin)
}

/// Whether the data key opens the keys of records.
///
/// # Errors
/// Why it does not, in words.
pub fn examine_data_key(data: &Path, given: Option<&DataKey>) -> Result<(), String> {
    data_key::record_keys(data, given).map(drop).map_err(|e| in_full(&e))
}
