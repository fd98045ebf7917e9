//! The single writer of a ledger.
//!
//! An append is: frames to the segment, sync, read back and hash again another way, move the guard, sign, write the
//! checkpoint to `checkpoints.log`, publish it, answer. Whatever fails in a way that leaves the outcome open stops
//! the log for good; the process ends and recovers by the same path as at every start.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::checkpoints;
use crate::disk::{self, DiskDir, DiskFile, Held, Open, ReadBack, SharedDisk, Step};
use crate::guard::{Guard, GuardError};
use crate::hash::leaf_hash;
use crate::keys::{KeyRing, Signers};
use crate::note::SigningKey;
use crate::reader;
use crate::segment::{self, GREATEST_ENTRY};
use crate::tree::{Frontier, root_by_definition};

/// The greatest number of entries in one batch. It is held in memory several times over: the most that may come at once
/// are the deviations that a first look at a large organisation finds, at about 1 kB each.
pub const GREATEST_BATCH: usize = 1 << 17;

/// Limits of a log. The defaults are those of the format; tests make them small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// A segment is sealed before a batch would make it longer than this many bytes.
    pub segment_bytes: u64,
    /// Free space, in bytes, that is left to the machine: an append that would go below is refused.
    pub low_water: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { segment_bytes: 64 << 20, low_water: 64 << 20 }
    }
}

/// What an append gives: the entries are durable, and a signed checkpoint over them is too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Index of the first entry of the batch.
    pub first: u64,
    /// The checkpoint that covers the batch.
    pub checkpoint: SignedCheckpoint,
    /// Whether the entries were read again from the device itself before signing.
    pub read_back: ReadBack,
}

/// Why nothing was appended. After `Fatal` nobody knows whether it was: the log refuses from then on.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A batch without entries.
    #[error("the batch is empty")]
    Empty,
    /// More than [`GREATEST_BATCH`] entries at once.
    #[error("the batch has {0} entries; at most {GREATEST_BATCH} go at once")]
    TooMany(usize),
    /// An entry of no bytes, or of more than [`GREATEST_ENTRY`].
    #[error("entry {at} of the batch has {len} bytes; it may have 1 to {GREATEST_ENTRY}")]
    EntrySize {
        /// Its place in the batch, from 0.
        at: usize,
        /// Its length in bytes.
        len: usize,
    },
    /// Too little free space to begin. Nothing was written; the log goes on when space returns.
    #[error("{free} bytes are free and {needed} are needed; nothing was written")]
    LowSpace {
        /// Bytes free.
        free: u64,
        /// Bytes needed, the low-water mark included.
        needed: u64,
    },
    /// The device or the quota is full. What had been written was taken back; the log goes on when space returns.
    #[error("the disk is full; what had been written was taken back")]
    Full(#[source] io::Error),
    /// The outcome is open. The process must end and open the log anew.
    #[error("the ledger stopped while it {doing}")]
    Fatal {
        /// The step: `wrote the entries`.
        doing: &'static str,
        /// What happened there.
        #[source]
        cause: FatalCause,
    },
    /// An earlier append was fatal.
    #[error("the ledger has stopped after an earlier failure; the process must end and open it anew")]
    Stopped,
}

/// What stopped a log.
#[derive(Debug, thiserror::Error)]
pub enum FatalCause {
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The guard.
    #[error("the high-water mark")]
    Guard(#[from] GuardError),
    /// What came back from the disk is not what was written, or hashes to another root.
    #[error("what was read back from the disk is not what was written")]
    Mismatch,
    /// The checkpoint could not be signed.
    #[error("the checkpoint")]
    Checkpoint(#[from] CheckpointError),
}

/// The single writer of one ledger. It holds the ledger's lock and the guard's until it is dropped.
pub struct Log {
    pub(crate) disk: SharedDisk,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) keys: Signers,
    /// Who may sign, by the entries so far.
    pub(crate) ring: KeyRing,
    pub(crate) guard: Guard,
    pub(crate) frontier: Frontier,
    /// The newest checkpoint; `None` only while a ledger is being born.
    pub(crate) head: Option<SignedCheckpoint>,
    pub(crate) segment: Option<OpenSegment>,
    pub(crate) segment_dir: Box<dyn DiskDir>,
    pub(crate) checkpoints: Box<dyn DiskFile>,
    /// Where the next record of `checkpoints.log` goes.
    pub(crate) checkpoints_end: u64,
    pub(crate) stopped: bool,
    pub(crate) _held: Box<dyn Held>,
}

/// The segment that takes new entries, or took the last ones.
pub(crate) struct OpenSegment {
    pub(crate) first: u64,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) len: u64,
    /// The digest of its bytes so far.
    pub(crate) digest: Sha256,
    pub(crate) sealed: bool,
}

/// An unsettled outcome inside an append: what was being done, and what happened.
pub(crate) type Fatal = (&'static str, FatalCause);

impl Log {
    /// The newest signed checkpoint.
    pub fn head(&self) -> Option<&SignedCheckpoint> {
        self.head.as_ref()
    }

    /// Number of entries, all of them signed for.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Who may sign for this ledger, by its entries.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Places of the guard that could not be reached so far, each with the reason.
    pub fn unreachable_guards(&self) -> &[(PathBuf, String)] {
        self.guard.unreachable()
    }

    /// Holds another key, which signs as soon as an entry names it as the successor.
    pub fn hold(&mut self, key: SigningKey) {
        self.keys.add(key);
    }

    /// Appends a batch and returns when it is durable and signed for. All of it or none.
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<Appended, AppendError> {
        if self.stopped {
            return Err(AppendError::Stopped);
        }
        check_batch(entries)?;
        let appended = self.append_checked(entries);
        self.stopped = matches!(appended, Err(AppendError::Fatal { .. }));
        appended
    }

    fn append_checked(&mut self, entries: &[Vec<u8>]) -> Result<Appended, AppendError> {
        let mut frames = Vec::new();
        let mut after = self.frontier.clone();
        let mut ring = self.ring.clone();
        for entry in entries {
            // One that does not hold changes nothing, here and for every verifier.
            ring.take(after.size(), entry).ok();
            segment::put_entry(&mut frames, after.size(), entry);
            after.push(leaf_hash(entry));
        }
        self.check_space(frames.len() as u64)?;
        let before = self.frontier.clone();
        let from = self.segment_with_room(frames.len() as u64)?;
        self.disk.reached(Step::Append);
        self.write_frames(from, &frames)?;
        let to = from + frames.len() as u64;
        if let (0, Some(first)) = (before.size(), entries.first()) {
            ring = reader::named_key_in(first).map(KeyRing::new).unwrap_or_default();
        }
        self.ring = ring;
        let settled = self.settle(&before, &after, from, to);
        let (checkpoint, read_back) = settled.map_err(fatal)?;
        if let Some(segment) = &mut self.segment {
            segment.len = to;
            segment.digest.update(&frames);
        }
        Ok(Appended { first: before.size(), checkpoint, read_back })
    }

    /// Makes what stands in the segment from `from` to `to` part of the signed ledger: the one road for an append
    /// and for a recovery that finishes one.
    pub(crate) fn settle(
        &mut self,
        before: &Frontier,
        after: &Frontier,
        from: u64,
        to: u64,
    ) -> Result<(SignedCheckpoint, ReadBack), Fatal> {
        let segment = self.segment.as_ref().ok_or(("looked for its segment", FatalCause::Mismatch))?;
        self.disk.reached(Step::Sync);
        segment.file.sync().map_err(|error| ("synced the entries", error.into()))?;

        self.disk.reached(Step::ReadBack);
        let doing = "read the entries back";
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
        let (read, read_back) = segment.file.read_back(from, &mut bytes).map_err(|error| (doing, error.into()))?;
        let entries = segment::entries_of(bytes.get(..read).unwrap_or_default(), before.size());
        let leaves: Vec<_> = entries.unwrap_or_default().into_iter().map(leaf_hash).collect();
        let same_size = before.size() + leaves.len() as u64 == after.size();
        if !same_size || root_by_definition(before, &leaves) != after.root() {
            return Err((doing, FatalCause::Mismatch));
        }

        self.disk.reached(Step::Guard);
        let checkpoint = Checkpoint { origin: self.keys.name().to_owned(), size: after.size(), root: after.root() };
        self.guard.advance(&checkpoint).map_err(|error| ("moved the high-water mark", error.into()))?;
        self.guard.bring_copies(self.disk.as_ref());

        self.disk.reached(Step::Sign);
        let signed = checkpoint
            .sign_together(&self.keys.at(&self.ring, after.size()))
            .map_err(|error| ("signed", error.into()))?;
        let record = checkpoints::record(&signed.note);
        let end = self.checkpoints_end + record.len() as u64;
        let written = self.checkpoints.write_at(self.checkpoints_end, record.as_bytes());
        written.and_then(|()| self.checkpoints.sync()).map_err(|error| ("recorded the checkpoint", error.into()))?;
        self.checkpoints_end = end;

        self.disk.reached(Step::Publish);
        disk::replace(self.disk.as_ref(), &checkpoints::path(&self.dir), signed.note.as_bytes())
            .map_err(|error| ("published the checkpoint", error.into()))?;
        self.frontier = after.clone();
        self.head = Some(signed.clone());
        self.disk.reached(Step::Acknowledge);
        Ok((signed, read_back))
    }

    fn check_space(&self, bytes: u64) -> Result<(), AppendError> {
        let free = self.disk.free_space(&self.dir).map_err(|error| fatal(("asked for free space", error.into())))?;
        let needed = self.options.low_water.saturating_add(bytes);
        if free < needed { Err(AppendError::LowSpace { free, needed }) } else { Ok(()) }
    }

    /// Where in the open segment the next frame goes; seals the segment and begins another when it is full.
    fn segment_with_room(&mut self, bytes: u64) -> Result<u64, AppendError> {
        if let Some(segment) = &mut self.segment {
            let holds_entries = segment.len > segment::HEADER;
            if holds_entries && !segment.sealed && segment.len + bytes > self.options.segment_bytes {
                seal(segment, self.frontier.size())?;
            }
            if !segment.sealed {
                return Ok(segment.len);
            }
        }
        let segment = self.new_segment()?;
        let len = segment.len;
        self.segment = Some(segment);
        Ok(len)
    }

    fn new_segment(&self) -> Result<OpenSegment, AppendError> {
        let doing = "began a segment";
        let first = self.frontier.size();
        let path = segment::path(&self.dir, first);
        let header = segment::header(first);
        let begun = self.disk.open(&path, Open::New).and_then(|file| {
            file.write_at(0, &header)?;
            Ok(file)
        });
        let file = match begun {
            Ok(file) => file,
            Err(error) if disk::is_full(&error) => return Err(self.take_back_segment(&path, error)),
            Err(error) => return Err(fatal((doing, error.into()))),
        };
        // The header becomes durable with the first entries; until then the name is all that matters.
        self.segment_dir.sync().map_err(|error| fatal((doing, error.into())))?;
        let len = header.len() as u64;
        Ok(OpenSegment { first, file, len, digest: Sha256::new_with_prefix(&header), sealed: false })
    }

    /// Removes a segment for which there was no room.
    fn take_back_segment(&self, path: &Path, full: io::Error) -> AppendError {
        let removed = match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        match removed.and_then(|()| self.segment_dir.sync()) {
            Ok(()) => AppendError::Full(full),
            Err(error) => fatal(("took back a segment", error.into())),
        }
    }

    fn write_frames(&mut self, from: u64, frames: &[u8]) -> Result<(), AppendError> {
        let Some(segment) = &self.segment else {
            return Err(fatal(("looked for its segment", FatalCause::Mismatch)));
        };
        write_or_take_back(segment.file.as_ref(), from, frames, "wrote the entries")
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("size", &self.size())
            .field("stopped", &self.stopped)
            .finish()
    }
}

fn check_batch(entries: &[Vec<u8>]) -> Result<(), AppendError> {
    if entries.is_empty() {
        return Err(AppendError::Empty);
    }
    if entries.len() > GREATEST_BATCH {
        return Err(AppendError::TooMany(entries.len()));
    }
    let wrong = entries.iter().position(|entry| entry.is_empty() || entry.len() > GREATEST_ENTRY);
    match wrong.and_then(|at| entries.get(at).map(|entry| (at, entry.len()))) {
        Some((at, len)) => Err(AppendError::EntrySize { at, len }),
        None => Ok(()),
    }
}

/// Writes the footer of a full segment, durably.
fn seal(segment: &mut OpenSegment, next: u64) -> Result<(), AppendError> {
    let mut footer = Vec::new();
    segment::put_footer(&mut footer, segment.first, next, &segment.digest.clone().finalize().into());
    write_or_take_back(segment.file.as_ref(), segment.len, &footer, "sealed a segment")?;
    segment.file.sync().map_err(|error| fatal(("sealed a segment", error.into())))?;
    segment.len += footer.len() as u64;
    segment.sealed = true;
    Ok(())
}

/// Writes at the end of a file. When the disk is full the file is cut back to where it was, durably; only then is
/// the failure harmless.
fn write_or_take_back(file: &dyn DiskFile, at: u64, bytes: &[u8], doing: &'static str) -> Result<(), AppendError> {
    match file.write_at(at, bytes) {
        Ok(()) => Ok(()),
        Err(full) if disk::is_full(&full) => match file.set_len(at).and_then(|()| file.sync()) {
            Ok(()) => Err(AppendError::Full(full)),
            Err(error) => Err(fatal(("took back what it wrote", error.into()))),
        },
        Err(error) => Err(fatal((doing, error.into()))),
    }
}

fn fatal((doing, cause): Fatal) -> AppendError {
    AppendError::Fatal { doing, cause }
}
