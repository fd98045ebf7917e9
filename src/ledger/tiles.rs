//! A copy of the ledger in the form that other people's tools read: C2SP tlog-tiles.
//!
//! A folder of files to be served or handed over as it is: tiles of hashes (`tile/0/000`, 256 wide), bundles of entries
//! (`tile/entries/000`), and `checkpoint`. It is derived, never read back: every export computes all of it again from
//! the entries, writes what is missing, and publishes the checkpoint last, once everything under it is durable.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::disk::{self, Disk, Open};
use crate::hash::{Hash, leaf_hash};
use crate::reader::{ReadError, Reader};
use crate::report::Progress;
use crate::tree::{self, Frontier};

/// Hashes in a full tile, and entries in a full bundle.
const WIDTH: usize = 256;
/// A tile's hashes are roots of 2^8 of those one level below.
const HEIGHT: u32 = 8;
/// What a tool looks for first.
const PUBLISHED: &str = "checkpoint";
/// The checkpoint that an export is on its way to; it becomes the published one by being renamed.
const UNFINISHED: &str = "checkpoint.unfinished";
/// A checkpoint file longer than this is none.
const LONGEST_CHECKPOINT: u64 = 1 << 20;
/// Progress is told every so many entries.
const TELL_EVERY: u64 = 10_000;

/// What an export came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// The checkpoint that the folder now holds.
    pub checkpoint: Checkpoint,
    /// Entries that a finished export in that folder covered before; 0 when there was none.
    pub before: u64,
    /// Tiles and bundles that were written.
    pub written: u64,
    /// Tiles and bundles that were there already, byte for byte.
    pub present: u64,
}

/// Why nothing was published. Tiles that were written stay, and the next export goes on from them.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is nothing to export.
    #[error("there is no ledger")]
    NoLedger,
    /// The ledger's own checkpoint is not signed by the key that its first entry names.
    #[error("the ledger's checkpoint")]
    Unsigned(#[source] CheckpointError),
    /// The folder holds something that is no export, or tiles of which no checkpoint says whose they are.
    #[error("{} holds {found:?}, which is no part of an export; name an empty folder", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
        /// What is there.
        found: String,
    },
    /// The folder holds another log.
    #[error("{} holds the log {found:?}, and this ledger is {origin:?}; name another folder", dir.display())]
    AnotherLog {
        /// The folder.
        dir: PathBuf,
        /// The log in it.
        found: String,
        /// This ledger's name.
        origin: String,
    },
    /// The folder covers more entries than the ledger has.
    #[error(
        "{} covers {exported} entries and this ledger has {local}: the ledger is an older copy; \
         `evidenced verify --pin` with the checkpoint in there says so too", dir.display()
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Entries that it covers.
        exported: u64,
        /// Entries of the ledger.
        local: u64,
    },
    /// The folder and the ledger have different entries under one name.
    #[error(
        "{} contradicts this ledger: the first {size} entries have another root; keep that folder, \
         and run `evidenced verify --pin` with the checkpoint in there", dir.display()
    )]
    Contradicts {
        /// The folder.
        dir: PathBuf,
        /// The size at which the roots differ.
        size: u64,
    },
    /// A file of a finished export is not what it was.
    #[error("{} is not what was exported; remove it and export again", .0.display())]
    Changed(PathBuf),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// Names the file in which an operation failed.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, ExportError> {
    result.map_err(|source| ExportError::Io { path: path.to_owned(), source })
}

impl Reader {
    /// Writes the ledger, as signed last, to a folder in the form of C2SP tlog-tiles.
    ///
    /// The folder may be missing, empty, or hold an earlier or interrupted export of the same ledger, which is then
    /// carried on. Nothing is changed in a folder that holds anything else.
    pub fn export_tiles(&self, out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Exported, ExportError> {
        let head = self.head()?.ok_or(ExportError::NoLedger)?;
        let ring = self.key_ring()?.map(|(ring, _)| ring).unwrap_or_default();
        let head = SignedCheckpoint::verify_by(head.note.as_bytes(), &ring).map_err(ExportError::Unsigned)?;
        let before = self.exported_before(out, &head.checkpoint)?;

        let unfinished = out.join(UNFINISHED);
        let disk = self.disk();
        at(out, disk::make_dir(disk, out))?;
        at(&unfinished, disk::replace(disk, &unfinished, head.note.as_bytes()))?;
        let (dirs, unsynced) = (BTreeSet::new(), Vec::new());
        let folder = Folder { disk, out, covered: before, dirs, unsynced, present: 0 };
        let mut tiles = Tiles { folder, levels: Vec::new(), bundle: Bundle::default() };
        let mut frontier = Frontier::new();
        let size = head.checkpoint.size;
        for entry in self.entries(0, size)? {
            let entry = entry?;
            let leaf = leaf_hash(&entry);
            frontier.push(leaf);
            tiles.push_entry(&entry)?;
            tiles.push_hash(0, leaf)?;
            if frontier.size().is_multiple_of(TELL_EVERY) {
                progress(Progress::Entries { done: frontier.size(), total: size });
            }
        }
        if frontier.root() != head.checkpoint.root {
            return Err(ReadError::WrongRoot { size }.into());
        }
        let folder = tiles.finish()?;
        folder.sync()?;
        let published = out.join(PUBLISHED);
        let dir = at(out, disk.open_dir(out))?;
        at(&published, disk.rename(&unfinished, &published).and_then(|()| dir.sync()))?;
        let (written, present) = (folder.unsynced.len() as u64, folder.present);
        Ok(Exported { checkpoint: head.checkpoint, before, written, present })
    }

    /// How many entries a finished export in the folder covers. Refuses a folder that is not this ledger's.
    fn exported_before(&self, out: &Path, head: &Checkpoint) -> Result<u64, ExportError> {
        let disk = self.disk();
        let names = match disk.list(out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            names => at(out, names)?,
        };
        // Also the ledger's own folder holds a file named `checkpoint`: whatever else is there decides.
        let temporary = format!("{UNFINISHED}.tmp");
        let ours = [PUBLISHED, UNFINISHED, &temporary, "tile"];
        if let Some(found) = names.iter().find(|name| !ours.contains(&name.as_str())) {
            return Err(ExportError::NotEmpty { dir: out.to_owned(), found: found.clone() });
        }
        let checkpoint = [PUBLISHED, UNFINISHED].into_iter().find(|name| names.iter().any(|found| found == name));
        let name = match (checkpoint, names.iter().any(|name| name == "tile")) {
            (Some(name), _) => name,
            (None, true) => return Err(ExportError::NotEmpty { dir: out.to_owned(), found: "tile".to_owned() }),
            (None, false) => return Ok(0),
        };
        let path = out.join(name);
        let note = at(&path, disk::read_file(disk, &path, LONGEST_CHECKPOINT))?;
        let Ok(SignedCheckpoint { checkpoint: there, .. }) = SignedCheckpoint::parse_unverified(&note) else {
            return Err(ExportError::NotEmpty { dir: out.to_owned(), found: name.to_owned() });
        };
        let dir = out.to_owned();
        if there.origin != head.origin {
            return Err(ExportError::AnotherLog { dir, found: there.origin, origin: head.origin.clone() });
        }
        if there.size > head.size {
            return Err(ExportError::Newer { dir, exported: there.size, local: head.size });
        }
        if self.root(there.size)? != there.root {
            return Err(ExportError::Contradicts { dir, size: there.size });
        }
        Ok(if name == PUBLISHED { there.size } else { 0 })
    }
}

/// The folder that takes the files.
struct Folder<'a> {
    disk: &'a dyn Disk,
    out: &'a Path,
    /// Entries that the published checkpoint covers: files under it are never written over.
    covered: u64,
    /// Folders and files that are to be made durable before anything signed speaks of them.
    dirs: BTreeSet<PathBuf>,
    unsynced: Vec<PathBuf>,
    present: u64,
}

impl Folder<'_> {
    /// Sees to it that a file is there with these bytes.
    fn put(&mut self, name: &str, covered: bool, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.out.join(name);
        // What an interrupted export left may be in memory only, and a sync of it now would prove nothing: only what
        // a published checkpoint speaks of is known to be durable.
        if covered {
            match disk::read_file(self.disk, &path, bytes.len() as u64) {
                Ok(found) if found == bytes => {
                    self.present += 1;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() != io::ErrorKind::InvalidData => return at(&path, Err(error)),
                Ok(_) | Err(_) => return Err(ExportError::Changed(path)),
            }
        }
        let dir = path.parent().unwrap_or(self.out).to_owned();
        if !self.dirs.contains(&dir) {
            at(&dir, disk::make_dir(self.disk, &dir))?;
            self.dirs.insert(dir);
        }
        let file = at(&path, self.disk.open(&path, Open::Empty))?;
        at(&path, file.write_at(0, bytes))?;
        self.unsynced.push(path);
        Ok(())
    }

    /// Makes everything that the checkpoint will speak of durable.
    fn sync(&self) -> Result<(), ExportError> {
        for path in &self.unsynced {
            at(path, self.disk.open(path, Open::Write).and_then(|file| file.sync()))?;
        }
        for dir in &self.dirs {
            at(dir, self.disk.open_dir(dir).and_then(|dir| dir.sync()))?;
        }
        Ok(())
    }
}

/// The right edge of the tree of tiles: at each level the hashes of the tile that is not full.
struct Tiles<'a> {
    folder: Folder<'a>,
    levels: Vec<Row>,
    bundle: Bundle,
}

#[derive(Default)]
struct Row {
    number: u64,
    hashes: Vec<Hash>,
}

/// The entries that do not fill a bundle yet, each behind its length in two bytes.
#[derive(Default)]
struct Bundle {
    number: u64,
    entries: usize,
    bytes: Vec<u8>,
}

impl<'a> Tiles<'a> {
    fn push_entry(&mut self, entry: &[u8]) -> Result<(), ExportError> {
        // No entry is longer than `GREATEST_ENTRY`: a segment with one would not have been read.
        let len = (entry.len() as u16).to_be_bytes();
        self.bundle.bytes.extend_from_slice(&len);
        self.bundle.bytes.extend_from_slice(entry);
        self.bundle.entries += 1;
        if self.bundle.entries == WIDTH { self.write_bundle() } else { Ok(()) }
    }

    fn push_hash(&mut self, level: usize, hash: Hash) -> Result<(), ExportError> {
        if self.levels.len() <= level {
            self.levels.push(Row::default());
        }
        let Some(row) = self.levels.get_mut(level) else { return Ok(()) };
        row.hashes.push(hash);
        if row.hashes.len() < WIDTH {
            return Ok(());
        }
        let full = self.write_row(level)?;
        self.push_hash(level + 1, tree::perfect_root(full))
    }

    /// Writes what is left of every level, and gives the folder back.
    fn finish(mut self) -> Result<Folder<'a>, ExportError> {
        self.write_bundle()?;
        for level in 0..self.levels.len() {
            self.write_row(level)?;
        }
        Ok(self.folder)
    }

    /// Writes the tile of a level as far as it has come, and begins the next one.
    fn write_row(&mut self, level: usize) -> Result<Vec<Hash>, ExportError> {
        let Some(row) = self.levels.get_mut(level) else { return Ok(Vec::new()) };
        let (number, hashes) = (row.number, std::mem::take(&mut row.hashes));
        row.number += 1;
        if !hashes.is_empty() {
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            let covered = self.is_covered(level, number, hashes.len());
            self.folder.put(&path(&level.to_string(), number, hashes.len()), covered, &bytes)?;
        }
        Ok(hashes)
    }

    fn write_bundle(&mut self) -> Result<(), ExportError> {
        let Bundle { number, entries, bytes } = std::mem::take(&mut self.bundle);
        self.bundle.number = number + 1;
        if entries == 0 {
            return Ok(());
        }
        let covered = self.is_covered(0, number, entries);
        self.folder.put(&path("entries", number, entries), covered, &bytes)
    }

    /// Whether the checkpoint that is published already speaks of a tile that wide.
    fn is_covered(&self, level: usize, number: u64, width: usize) -> bool {
        let there = self.folder.covered.checked_shr(HEIGHT * level as u32).unwrap_or(0);
        number * WIDTH as u64 + width as u64 <= there
    }
}

/// The name of a tile or bundle: `tile/0/x001/x234/067`, and `tile/0/x001/x234/067.p/8` when it is not full.
fn path(kind: &str, number: u64, width: usize) -> String {
    let mut digits = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        digits = format!("x{:03}/{digits}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width < WIDTH { format!(".p/{width}") } else { String::new() };
    format!("tile/{kind}/{digits}{partial}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_named_as_the_specification_names_them() {
        assert_eq!(path("0", 0, 256), "tile/0/000");
        assert_eq!(path("3", 1_234_067, 256), "tile/3/x001/x234/067");
        assert_eq!(path("entries", 273, 112), "tile/entries/273.p/112");
        assert_eq!(path("entries", 1000, 1), "tile/entries/x001/000.p/1");
    }
}
