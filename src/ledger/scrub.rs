//! Reading what is kept, only to see that it still reads: what a scrub needs beside [`Reader`](crate::Reader) and
//! [`BodyReader`](crate::BodyReader).

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::SignedCheckpoint;
use crate::checkpoints::{self, Records};
use crate::disk::Disk;
use crate::keys::KeyRing;
use crate::{pack, segment};

/// Has the system forget what it keeps in memory of a file, so that the next read is one of the disk. Where a file system
/// does not do that, the next read may be answered from memory.
///
/// Source: <https://man7.org/linux/man-pages/man2/posix_fadvise.2.html> (POSIX_FADV_DONTNEED).
pub fn forget_cached(path: &Path) {
    if let Ok(file) = std::fs::File::open(path) {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).ok();
    }
}

/// The file of a pack of bodies.
pub fn pack_path(bodies: &Path, number: u32) -> PathBuf {
    pack::path(bodies, number)
}

/// The segments of the ledger in a directory.
pub fn segments(disk: &dyn Disk, ledger: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(segment::list(disk, ledger)?.into_iter().map(|first| segment::path(ledger, first)).collect())
}

/// Whether the published checkpoint and all that were recorded, up to one of `size` entries, are checkpoints that a key
/// of `ring` signed; else the files that are not what was written, and why.
pub fn check_checkpoints(disk: &dyn Disk, ledger: &Path, ring: &KeyRing, size: u64) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut add = |path: PathBuf, why: String| found.push((path, why));
    let published = checkpoints::path(ledger);
    match checkpoints::read(disk, ledger) {
        Ok(Some(note)) => {
            if let Err(error) = SignedCheckpoint::verify_by(&note, ring) {
                add(published, error.to_string());
            }
        }
        Ok(None) => add(published, "it is missing".to_owned()),
        Err(error) => add(published, error.to_string()),
    }
    let log = checkpoints::log_path(ledger);
    if let Err(why) = check_log(disk, ledger, ring, size) {
        add(log, why);
    }
    found
}

/// What the writer appends meanwhile lies behind the checkpoint of `size` entries, and is not looked at.
fn check_log(disk: &dyn Disk, ledger: &Path, ring: &KeyRing, size: u64) -> Result<(), String> {
    let mut records = Records::open(disk, ledger).map_err(|e| e.to_string())?;
    let mut last = 0;
    while last < size {
        let Some(record) = records.next().map_err(|e| e.to_string())? else {
            return Err(format!("it ends at {last} entries, and {size} were signed for"));
        };
        let at = |what: &dyn std::fmt::Display| format!("at byte {}: {what}", record.offset);
        let note = record.note.as_ref().map_err(|what| at(what))?;
        let signed = SignedCheckpoint::verify_by(note, ring).map_err(|error| at(&error))?;
        last = signed.checkpoint.size;
    }
    Ok(())
}
