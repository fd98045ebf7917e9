//! `checkpoints.log`, every checkpoint that was ever signed, and `checkpoint`, the newest.
//!
//! The log holds the signed notes as they are, each followed by one more newline.

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::disk::{self, Disk, DiskFile, Open};
use crate::note::VerifierKey;

/// A checkpoint of ours with one signature is a few hundred bytes; cosignatures are kept elsewhere.
pub(crate) const LONGEST_RECORD: usize = 4096;
/// The same limit for a file of one note, where cosignatures may have been added by hand.
const LONGEST_FILE: u64 = 1 << 20;
const CHUNK: usize = 64 * 1024;
/// Thousands of checkpoints.
const FURTHEST_BACK: u64 = 1 << 21;

/// The log of checkpoints.
pub(crate) fn log_path(ledger: &Path) -> PathBuf {
    ledger.join("checkpoints.log")
}

/// The newest checkpoint.
pub(crate) fn path(ledger: &Path) -> PathBuf {
    ledger.join("checkpoint")
}

/// The bytes of the newest checkpoint; `None` when there is no such file.
pub(crate) fn read(disk: &dyn Disk, ledger: &Path) -> io::Result<Option<Vec<u8>>> {
    match disk::read_file(disk, &path(ledger), LONGEST_FILE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The record of a note in the log.
pub(crate) fn record(note: &str) -> String {
    format!("{note}\n")
}

/// The length of the record of a checkpoint that so many keys named after its origin sign.
pub(crate) fn record_length(checkpoint: &Checkpoint, signatures: usize) -> usize {
    // An em dash and a space, the name, a space, 68 bytes in base64, and a newline; around all of them a blank line and
    // one more newline.
    let line = 4 + checkpoint.origin.len() + 1 + 92 + 1;
    checkpoint.to_string().len() + 1 + signatures * line + 1
}

/// Finds the record of `note` near the end of the log: where it ends, and the bytes that follow it, which an
/// interrupted append may have left. `None` when it is not there.
pub(crate) fn find_last(file: &dyn DiskFile, note: &str) -> io::Result<Option<(u64, Vec<u8>)>> {
    let record = record(note);
    let len = file.length()?;
    let start = len.saturating_sub((record.len() + LONGEST_RECORD) as u64);
    let mut tail = vec![0; usize::try_from(len - start).unwrap_or(0)];
    let read = file.read_at(start, &mut tail)?;
    tail.truncate(read);
    let found = tail.windows(record.len()).rposition(|window| window == record.as_bytes());
    Ok(found.map(|at| {
        let end = at + record.len();
        (start + end as u64, tail.get(end..).unwrap_or_default().to_vec())
    }))
}

/// Where the record of `note` ends, beside a running writer, which may have written others after it.
pub(crate) fn find(file: &dyn DiskFile, note: &str) -> io::Result<Option<u64>> {
    let record = record(note);
    let len = file.length()?;
    let start = len.saturating_sub(FURTHEST_BACK);
    let mut tail = vec![0; usize::try_from(len - start).unwrap_or(0)];
    let read = file.read_at(start, &mut tail)?;
    tail.truncate(read);
    let found = tail.windows(record.len()).rposition(|window| window == record.as_bytes());
    Ok(found.map(|at| start + (at + record.len()) as u64))
}

/// Reads the log from its beginning, one record at a time, in bounded memory.
pub(crate) struct Records {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    /// How much of the buffer is used up, and where in the file the buffer begins.
    used: usize,
    offset: u64,
}

/// One record, or the bytes that are none.
pub(crate) struct Record {
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// The note, byte for byte, or why it cannot be one.
    pub(crate) note: Result<Vec<u8>, &'static str>,
}

impl Records {
    /// Opens the log.
    pub(crate) fn open(disk: &dyn Disk, ledger: &Path) -> io::Result<Records> {
        Ok(Records { file: disk.open(&log_path(ledger), Open::Read)?, buffer: Vec::new(), used: 0, offset: 0 })
    }

    /// The next record; `None` at the end of the file. After a record that is none, nothing more can be told apart.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let rest = self.buffer.get(self.used..).unwrap_or_default();
            let offset = self.offset + self.used as u64;
            if let Some(len) = record_len(rest) {
                let note = rest.get(..len - 1).unwrap_or_default().to_vec();
                self.used += len;
                return Ok(Some(Record { offset, note: Ok(note) }));
            }
            let have = rest.len();
            if have <= LONGEST_RECORD && self.refill(have)? {
                continue;
            }
            if have == 0 {
                return Ok(None);
            }
            self.offset = self.file.length()?;
            self.buffer.clear();
            self.used = 0;
            let what = if have > LONGEST_RECORD { "a record has no end" } else { "the file ends within a record" };
            return Ok(Some(Record { offset, note: Err(what) }));
        }
    }

    /// Reads on; whether anything came.
    fn refill(&mut self, have: usize) -> io::Result<bool> {
        self.offset += self.used as u64;
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut chunk = vec![0; CHUNK];
        let read = self.file.read_at(self.offset + have as u64, &mut chunk)?;
        self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        Ok(read > 0)
    }
}

/// The length of the record at the beginning of `bytes`: up to the second blank line, when both are there.
fn record_len(bytes: &[u8]) -> Option<usize> {
    let blank = |from: usize| {
        let rest = bytes.get(from..)?;
        rest.windows(2).position(|pair| pair == b"\n\n").map(|at| from + at + 2)
    };
    blank(blank(0)?).filter(|len| *len <= LONGEST_RECORD)
}

/// Whether those bytes are the record of a checkpoint that one of these keys signed.
pub(crate) fn signed_record(bytes: &[u8], known: &[VerifierKey]) -> Option<SignedCheckpoint> {
    let note = bytes.strip_suffix(b"\n")?;
    SignedCheckpoint::verify(note, known).ok()
}
