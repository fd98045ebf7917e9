//! A consistent copy of a ledger and its bodies, made beside the writer: which bytes of which files belong to it.
//!
//! Everything but the checkpoint only grows, and what a checkpoint covers is durable before it is published. So the
//! checkpoint is read first, and of the other files as much as it covers, whatever is appended meanwhile. The guard is not
//! part of it: an old copy that brought its own guard along would be believed.

use std::path::{Path, PathBuf};

use crate::bodies::{self, BodyError};
use crate::checkpoint::SignedCheckpoint;
use crate::checkpoints;
use crate::disk::{Disk, Open};
use crate::pack;
use crate::reader::{ReadError, Reader};
use crate::real_disk::RealDisk;
use crate::recover::Damage;
use crate::segment;

/// One file of a copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// The file holds these bytes.
    Bytes(Vec<u8>),
    /// The file holds so many bytes of that one, from its beginning.
    Head(PathBuf, u64),
}

/// Why no copy can be made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ReadError),
    /// The bodies.
    #[error(transparent)]
    Bodies(#[from] BodyError),
    /// Nothing was ever signed.
    #[error("nothing was ever signed here")]
    Empty,
    /// The disk.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
}

/// The checkpoint that a copy ends with, and its files by their names below the two folders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The checkpoint.
    pub head: SignedCheckpoint,
    /// Files of the ledger's folder.
    pub ledger: Vec<(PathBuf, Part)>,
    /// Files of the folder of bodies.
    pub bodies: Vec<(PathBuf, Part)>,
}

/// Lists the files of a consistent copy, as of now.
pub fn snapshot(ledger: &Path, bodies: &Path) -> Result<Snapshot, SnapshotError> {
    let disk = RealDisk;
    let head = Reader::open(ledger).head()?.ok_or(SnapshotError::Empty)?;
    let mut files = Vec::new();
    let at = |path: &Path, source| SnapshotError::Io { path: path.to_owned(), source };
    let length =
        |path: &Path| disk.open(path, Open::Read).and_then(|file| file.length()).map_err(|source| at(path, source));
    let below = |path: &Path, folder: &Path| path.strip_prefix(folder).unwrap_or(path).to_owned();
    for first in segment::list(&disk, ledger).map_err(|source| at(&segment::dir(ledger), source))? {
        if first < head.checkpoint.size {
            // What follows the last entry that is signed for is dropped when the copy is opened, as after a crash.
            let path = segment::path(ledger, first);
            files.push((below(&path, ledger), Part::Head(path.clone(), length(&path)?)));
        }
    }
    let log = checkpoints::log_path(ledger);
    let file = disk.open(&log, Open::Read).map_err(|source| at(&log, source))?;
    let end = checkpoints::find(file.as_ref(), &head.note).map_err(|source| at(&log, source))?;
    let what = "the published checkpoint is not in it";
    let end = end.ok_or_else(|| ReadError::from(Damage { file: log.clone(), offset: 0, entry: None, what }))?;
    files.push((below(&log, ledger), Part::Head(log.clone(), end)));
    files.push((below(&checkpoints::path(ledger), ledger), Part::Bytes(head.note.clone().into_bytes())));

    let end = bodies::synced(&disk, bodies)?;
    let mut packs = Vec::new();
    for number in bodies::packs(&disk, bodies)? {
        let path = pack::path(bodies, number);
        let len = if number < end.pack { length(&path)? } else { end.offset };
        if number <= end.pack {
            packs.push((below(&path, bodies), Part::Head(path.clone(), len)));
        }
    }
    let synced = bodies::synced_path(bodies);
    let name = below(&synced, bodies);
    packs.push((
        name,
        Part::Bytes(bodies::synced_file(end).map_err(|source| BodyError::Synced { path: synced, source })?),
    ));
    Ok(Snapshot { head, ledger: files, bodies: packs })
}
