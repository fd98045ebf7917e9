//! Birth and every later start of a ledger.
//!
//! A start trusts nothing: it reads every entry again, holds the root against the published checkpoint and against
//! the guard, drops only what was never signed for, and finishes a batch whose guard had moved. Damage below the
//! signed size is named and left as it is.

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::checkpoints;
use crate::disk::{self, Disk, DiskDir, DiskFile, Open, SharedDisk};
use crate::guard::{self, Guard, GuardError, GuardPlaces};
use crate::hash::{Hash, leaf_hash};
use crate::keys::{KeyRing, Signers};
use crate::log::{AppendError, Log, LogOptions, OpenSegment};
use crate::reader;
use crate::segment::{self, Frame, ScanError, Scanner, Source};
use crate::tree::Frontier;

/// What a start found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Entries in the ledger, all signed for.
    pub size: u64,
    /// Bytes of an unfinished append that were dropped: nobody had been told of them.
    pub dropped_bytes: u64,
    /// Entries that were durable but not yet signed for, and are now.
    pub finished: u64,
}

/// Damage below the signed size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {offset}{}: {what}", of_entry(.entry))]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// The entry that is hit, when it is known.
    pub entry: Option<u64>,
    /// What is wrong there.
    pub what: &'static str,
}

fn of_entry(entry: &Option<u64>) -> String {
    entry.map_or_else(String::new, |entry| format!(", entry {entry}"))
}

/// Why a ledger could not be created or opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something is there already.
    #[error("{} is not empty: {found}", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// What is there.
        found: String,
    },
    /// The guard remembers a ledger; creating another in its place would fork it.
    #[error("the guard remembers a ledger of {size} entries named {origin:?}")]
    GuardRemembers {
        /// The ledger's name.
        origin: String,
        /// Its size.
        size: u64,
    },
    /// There is no ledger, or its birth was never finished.
    #[error("there is no ledger in {}", .0.display())]
    NotCreated(PathBuf),
    /// A ledger without its guard: signing could fork it.
    #[error("the high-water mark in {} is missing", .0.display())]
    GuardMissing(PathBuf),
    /// Another process has it open.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The ledger or its guard is older than the other: restored from a backup, or not the one that belongs here.
    #[error(
        "the ledger has {local} entries signed for or durable, its guard says {guard}; one of them was rolled back"
    )]
    RolledBack {
        /// Entries found.
        local: u64,
        /// Entries that the guard knows.
        guard: u64,
    },
    /// Ledger and guard, or ledger and checkpoint, disagree about the same entries.
    #[error("the root over {size} entries is {local}, {by} says {other}")]
    Diverged {
        /// The size at which they disagree.
        size: u64,
        /// The root computed from the entries, or the published one.
        local: Hash,
        /// The other root.
        other: Hash,
        /// Who says otherwise.
        by: &'static str,
    },
    /// Damage that is not repaired.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The key is not the one that signs for this ledger.
    #[error("the checkpoint in {}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
    /// The key's name is not the ledger's.
    #[error("the key is named {key:?}, the ledger {origin:?}")]
    Origin {
        /// The key's name.
        key: String,
        /// The ledger's.
        origin: String,
    },
    /// None of the keys may sign for this ledger any more, or yet; with the one that may.
    #[error("none of the signing keys that are here may sign for this ledger: it is signed by {}", .0.as_deref().unwrap_or("none"))]
    Retired(Option<String>),
    /// The guard could not be used.
    #[error("the high-water mark")]
    Guard(#[from] GuardError),
    /// The disk.
    #[error("{}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The first entry, or the batch being finished, could not be brought to its end.
    #[error("finishing an append")]
    Append(#[from] AppendError),
}

/// Names the file in which an operation failed.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Io { path: path.to_owned(), source })
}

impl Log {
    /// Makes a new ledger with its first entry, durable and signed for. The key's name is the ledger's origin.
    ///
    /// The directory must be empty and the guard must not remember a ledger; what an interrupted birth left, before
    /// anything was signed, does not count. The guard's places should be on other volumes.
    pub fn create(
        disk: SharedDisk,
        dir: &Path,
        places: impl Into<GuardPlaces>,
        keys: impl Into<Signers>,
        first_entry: &[u8],
    ) -> Result<Log, OpenError> {
        Log::create_with(disk, dir, places, keys, first_entry, LogOptions::default())
    }

    /// Like [`Log::create`], with other limits.
    pub fn create_with(
        disk: SharedDisk,
        dir: &Path,
        places: impl Into<GuardPlaces>,
        keys: impl Into<Signers>,
        first_entry: &[u8],
        options: LogOptions,
    ) -> Result<Log, OpenError> {
        let (keys, GuardPlaces { guard: guard_dir, copies }) = (keys.into(), places.into());
        let guard_dir = guard_dir.as_path();
        let segments = segment::dir(dir);
        at(dir, disk::make_dir(disk.as_ref(), dir))?;
        at(&segments, disk::make_dir(disk.as_ref(), &segments))?;
        at(guard_dir, disk::make_dir(disk.as_ref(), guard_dir))?;
        let held = lock(disk.as_ref(), dir)?;
        let guard_held = at_lock(guard_dir, Guard::lock(disk.as_ref(), guard_dir))?;

        let interrupted = refuse_existing(disk.as_ref(), dir, guard_dir)?;
        let mark = Checkpoint { origin: keys.name().to_owned(), size: 0, root: Hash::of_empty_tree() };
        let mut guard = Guard::create(disk.as_ref(), guard_dir, mark, guard_held)?;
        guard.open_copies(disk.as_ref(), &copies);
        if let Some((_, mark)) = guard.copies().find(|(_, mark)| mark.size > 0) {
            return Err(OpenError::GuardRemembers { origin: mark.origin.clone(), size: mark.size });
        }
        let segment_dir = at(&segments, disk.open_dir(&segments))?;
        if interrupted {
            let path = segment::path(dir, 0);
            at(&path, disk.remove(&path))?;
            at(&segments, segment_dir.sync())?;
        }
        let path = checkpoints::log_path(dir);
        let ledger_dir = at(dir, disk.open_dir(dir))?;
        let checkpoints = at(&path, disk.open(&path, Open::Empty))?;
        at(&path, checkpoints.sync())?;
        at(dir, ledger_dir.sync())?;
        let mut log = Log {
            disk,
            dir: dir.to_owned(),
            options,
            keys,
            ring: KeyRing::default(),
            guard,
            frontier: Frontier::new(),
            head: None,
            segment: None,
            segment_dir,
            checkpoints,
            checkpoints_end: 0,
            stopped: false,
            _held: held,
        };
        log.append(&[first_entry.to_vec()])?;
        Ok(log)
    }

    /// Opens a ledger: reads all of it, drops what was never signed for, finishes what was.
    pub fn open(
        disk: SharedDisk,
        dir: &Path,
        places: impl Into<GuardPlaces>,
        keys: impl Into<Signers>,
    ) -> Result<(Log, Recovery), OpenError> {
        Log::open_with(disk, dir, places, keys, LogOptions::default())
    }

    /// Like [`Log::open`], with other limits.
    pub fn open_with(
        disk: SharedDisk,
        dir: &Path,
        places: impl Into<GuardPlaces>,
        keys: impl Into<Signers>,
        options: LogOptions,
    ) -> Result<(Log, Recovery), OpenError> {
        let (keys, GuardPlaces { guard: guard_dir, copies }) = (keys.into(), places.into());
        let guard_dir = guard_dir.as_path();
        if !at(dir, disk.exists(&segment::dir(dir)))? {
            return Err(OpenError::NotCreated(dir.to_owned()));
        }
        let held = lock(disk.as_ref(), dir)?;
        // What the last life saw fail may be seen now and yet be lost: made durable before anything rests on it.
        for dir in [dir, &segment::dir(dir)] {
            at(dir, disk.open_dir(dir).and_then(|dir| dir.sync()))?;
        }
        if !at(guard_dir, guard::exists(disk.as_ref(), guard_dir))? {
            return Err(without_guard(disk.as_ref(), dir, guard_dir)?);
        }
        let guard_held = at_lock(guard_dir, Guard::lock(disk.as_ref(), guard_dir))?;
        let mut guard = Guard::open(disk.as_ref(), guard_dir, guard_held)?;
        guard.open_copies(disk.as_ref(), &copies);
        check_copies(&guard)?;
        let published = published(disk.as_ref(), dir, &keys)?;
        check_heads(&guard, &keys, published.as_ref().map(|signed| &signed.checkpoint), dir)?;
        let CheckpointLog { file: checkpoints, end: checkpoints_end, leftover } =
            open_checkpoints(disk.as_ref(), dir, published.as_ref())?;
        let published_size = published.as_ref().map_or(0, |signed| signed.checkpoint.size);
        check_leftover(&leftover, dir, (checkpoints_end, published_size), guard.mark(), &keys)?;

        let mut scan = scan(disk.as_ref(), dir, published.as_ref().map(|signed| &signed.checkpoint), &guard)?;
        if keys.at(&scan.ring, guard.mark().size).is_empty() {
            return Err(OpenError::Retired(scan.ring.at(guard.mark().size).first().map(ToString::to_string)));
        }
        let segments = segment::dir(dir);
        let segment_dir = at(&segments, disk.open_dir(&segments))?;
        let mut recovery = Recovery { size: guard.mark().size, dropped_bytes: scan.surplus_bytes(), finished: 0 };
        guard.mend()?;
        guard.bring_copies(disk.as_ref());
        let segment = scan.drop_surplus(disk.as_ref(), dir, segment_dir.as_ref())?;
        let mut log = Log {
            disk,
            dir: dir.to_owned(),
            options,
            keys,
            ring: std::mem::take(&mut scan.ring),
            guard,
            frontier: scan.at_published.clone(),
            head: published,
            segment,
            segment_dir,
            checkpoints,
            checkpoints_end,
            stopped: false,
            _held: held,
        };
        if scan.at_guard.size() > published_size {
            // The guard had moved: bring the batch to its end by the same road as an append.
            let to = log.segment.as_ref().map_or(0, |segment| segment.len);
            let settled = log.settle(&scan.at_published, &scan.at_guard, scan.published_offset, to);
            settled.map_err(|(doing, cause)| AppendError::Fatal { doing, cause })?;
            recovery.finished = scan.at_guard.size() - published_size;
        }
        Ok((log, recovery))
    }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn disk::Held>, OpenError> {
    at_lock(dir, disk.lock(&dir.join("lock")))
}

fn at_lock<T>(dir: &Path, result: io::Result<T>) -> Result<T, OpenError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OpenError::Locked(dir.to_owned())),
        other => at(dir, other),
    }
}

/// Refuses to create over anything that was ever signed for. Whether an interrupted birth left its first segment.
fn refuse_existing(disk: &dyn Disk, dir: &Path, guard_dir: &Path) -> Result<bool, OpenError> {
    let guard_exists = at(guard_dir, guard::exists(disk, guard_dir))?;
    if guard_exists {
        let mark = guard::read(disk, guard_dir)?;
        if mark.size > 0 {
            return Err(OpenError::GuardRemembers { origin: mark.origin, size: mark.size });
        }
    }
    let refuse = |found: String| Err(OpenError::NotEmpty { dir: dir.to_owned(), found });
    for name in at(dir, disk.list(dir))? {
        if !matches!(name.as_str(), "lock" | "seg" | "checkpoints.log") {
            return refuse(name);
        }
    }
    let log = checkpoints::log_path(dir);
    if at(&log, disk.exists(&log))? && at(&log, disk.open(&log, Open::Read).and_then(|file| file.length()))? > 0 {
        return refuse("checkpoints.log".to_owned());
    }
    let segments = segment::dir(dir);
    let names = at(&segments, disk.list(&segments))?;
    let first = segment::path(dir, 0);
    let leftover = guard_exists && names.len() == 1 && at(&first, disk.exists(&first))?;
    match names.into_iter().next() {
        Some(name) if !leftover => refuse(format!("seg/{name}")),
        _ => Ok(leftover),
    }
}

/// Tells an unfinished birth from a ledger that lost its guard.
fn without_guard(disk: &dyn Disk, dir: &Path, guard_dir: &Path) -> Result<OpenError, OpenError> {
    let signed = at(dir, checkpoints::read(disk, dir))?.is_some();
    let entries = !at(dir, segment::list(disk, dir))?.is_empty();
    Ok(if signed || entries {
        OpenError::GuardMissing(guard_dir.to_owned())
    } else {
        OpenError::NotCreated(dir.to_owned())
    })
}

/// Holds the guard against its copies in further places. It moves first, so none of them can be ahead; where one is, the
/// guard was put back together with the ledger.
fn check_copies(guard: &Guard) -> Result<(), OpenError> {
    let mark = guard.mark();
    for (_, copy) in guard.copies() {
        if copy.origin != mark.origin {
            return Err(OpenError::GuardRemembers { origin: copy.origin.clone(), size: copy.size });
        }
        if copy.size > mark.size {
            return Err(OpenError::RolledBack { local: mark.size, guard: copy.size });
        }
        if copy.size == mark.size && copy.root != mark.root {
            let (size, local, other) = (mark.size, mark.root, copy.root);
            return Err(OpenError::Diverged { size, local, other, by: "the guard's copy elsewhere" });
        }
    }
    Ok(())
}

/// The published checkpoint, signed by a key of ours. Whether that one may still sign is seen when all entries are read.
fn published(disk: &dyn Disk, dir: &Path, keys: &Signers) -> Result<Option<SignedCheckpoint>, OpenError> {
    let path = checkpoints::path(dir);
    let Some(note) = at(&path, checkpoints::read(disk, dir))? else { return Ok(None) };
    let signed = SignedCheckpoint::verify(&note, &keys.verifiers());
    signed.map(Some).map_err(|source| OpenError::Checkpoint { path, source })
}

/// Holds key, guard and published checkpoint against each other.
fn check_heads(guard: &Guard, keys: &Signers, published: Option<&Checkpoint>, dir: &Path) -> Result<(), OpenError> {
    let mark = guard.mark();
    if mark.origin != keys.name() {
        return Err(OpenError::Origin { key: keys.name().to_owned(), origin: mark.origin.clone() });
    }
    match published {
        None if mark.size == 0 => Err(OpenError::NotCreated(dir.to_owned())),
        // Only the very first checkpoint can be unpublished while the guard has moved.
        None if mark.size > 1 => Err(Damage {
            file: checkpoints::path(dir),
            offset: 0,
            entry: None,
            what: "the published checkpoint is missing",
        }
        .into()),
        None => Ok(()),
        Some(published) if published.size > mark.size => {
            Err(OpenError::RolledBack { local: published.size, guard: mark.size })
        }
        Some(published) if published.size == mark.size && published.root != mark.root => {
            Err(OpenError::Diverged { size: mark.size, local: published.root, other: mark.root, by: "the guard" })
        }
        Some(_) => Ok(()),
    }
}

/// The log of checkpoints: the file, where the published one's record ends, and what follows it.
struct CheckpointLog {
    file: Box<dyn DiskFile>,
    end: u64,
    leftover: Vec<u8>,
}

fn open_checkpoints(
    disk: &dyn Disk,
    dir: &Path,
    published: Option<&SignedCheckpoint>,
) -> Result<CheckpointLog, OpenError> {
    let path = checkpoints::log_path(dir);
    let missing = |what| Damage { file: path.clone(), offset: 0, entry: None, what };
    let file = match disk.open(&path, Open::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(missing("the log of checkpoints is missing").into());
        }
        opened => at(&path, opened)?,
    };
    let (end, leftover) = match published {
        Some(signed) => at(&path, checkpoints::find_last(file.as_ref(), &signed.note))?
            .ok_or_else(|| missing("the published checkpoint is not near its end"))?,
        None => {
            let len = at(&path, file.length())?.min(2 * checkpoints::LONGEST_RECORD as u64);
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            at(&path, file.read_at(0, &mut bytes))?;
            (0, bytes)
        }
    };
    Ok(CheckpointLog { file, end, leftover })
}

/// What follows the published checkpoint's record may only be what an interrupted append of the guard's checkpoint
/// left. A signed checkpoint is never dropped.
fn check_leftover(
    leftover: &[u8],
    dir: &Path,
    (offset, published_size): (u64, u64),
    mark: &Checkpoint,
    keys: &Signers,
) -> Result<(), OpenError> {
    if leftover.is_empty() {
        return Ok(());
    }
    let file = checkpoints::log_path(dir);
    if let Some(signed) = checkpoints::signed_record(leftover, &keys.verifiers())
        && signed.checkpoint != *mark
    {
        return Err(if signed.checkpoint.size == mark.size {
            let (size, local, other) = (mark.size, signed.checkpoint.root, mark.root);
            OpenError::Diverged { size, local, other, by: "the guard" }
        } else {
            OpenError::RolledBack { local: signed.checkpoint.size, guard: mark.size }
        });
    }
    // A torn record of the guard's checkpoint will be written over by the same one, whole.
    if leftover.len() > checkpoints::record_length(mark, keys.verifiers().len()) || published_size == mark.size {
        let what = "more follows the published checkpoint than one append leaves";
        return Err(Damage { file, offset, entry: None, what }.into());
    }
    Ok(())
}

/// What reading all entries gave.
struct Scan {
    /// Who may sign, by the entries up to the guard's size.
    ring: KeyRing,
    at_published: Frontier,
    at_guard: Frontier,
    /// Where in the last segment the entries after the published size begin.
    published_offset: u64,
    last: Option<OpenSegment>,
    /// Bytes beyond the guard in the last segment, and a whole segment without any signed entry.
    surplus: u64,
    empty: Option<(u64, u64)>,
}

/// Reads every entry up to the guard's size and compares the roots at the published size and at the guard's.
fn scan(disk: &dyn Disk, dir: &Path, published: Option<&Checkpoint>, guard: &Guard) -> Result<Scan, OpenError> {
    let mark = guard.mark();
    let segments = segment::dir(dir);
    let firsts = at(&segments, segment::list(disk, dir))?;
    let signed = published.map_or(0, |published| published.size);
    let mut scan = Scan {
        ring: KeyRing::default(),
        at_published: Frontier::new(),
        at_guard: Frontier::new(),
        published_offset: segment::HEADER,
        last: None,
        surplus: 0,
        empty: None,
    };
    let count = firsts.len();
    for (nth, first) in firsts.into_iter().enumerate() {
        let path = segment::path(dir, first);
        let file = at(&path, disk.open(&path, Open::Write))?;
        let reached = scan.at_guard.size();
        if reached == mark.size && nth + 1 == count {
            // Begun and never signed for: an append was interrupted between this and its guard.
            scan.empty = Some((first, at(&path, file.length())?));
            break;
        }
        if first != reached {
            let what = "the entries before this segment are missing";
            return Err(Damage { file: path, offset: 0, entry: Some(reached), what }.into());
        }
        let source = if nth + 1 == count { Source::Device } else { Source::Cache };
        scan.read_segment(&path, file, first, source, signed, guard)?;
    }
    let reached = scan.at_guard.size();
    if reached < mark.size {
        return Err(OpenError::RolledBack { local: reached, guard: mark.size });
    }
    let compare = |local: Hash, other: Hash, size: u64, by: &'static str| {
        if local == other { Ok(()) } else { Err(OpenError::Diverged { size, local, other, by }) }
    };
    if let Some(published) = published {
        compare(scan.at_published.root(), published.root, published.size, "the published checkpoint")?;
    }
    compare(scan.at_guard.root(), mark.root, mark.size, "the guard")?;
    Ok(scan)
}

impl Scan {
    fn read_segment(
        &mut self,
        path: &Path,
        file: Box<dyn DiskFile>,
        first: u64,
        source: Source,
        signed: u64,
        guard: &Guard,
    ) -> Result<(), OpenError> {
        let mark = guard.mark();
        let damage = |offset, entry, what| Damage { file: path.to_owned(), offset, entry: Some(entry), what };
        let last = source == Source::Device;
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let len = at(path, file.length())?;
        let mut scanner = match Scanner::new(file.as_ref(), first, source, true) {
            Ok(scanner) => scanner,
            Err(ScanError::Io(error)) => return Err(io(error)),
            Err(ScanError::Bad { offset, what }) => return Err(damage(offset, first, what).into()),
        };
        let mut end = scanner.offset();
        let mut digest = scanner.digest();
        let mut sealed = false;
        if self.at_published.size() == signed {
            self.published_offset = end;
        }
        loop {
            let reached = self.at_guard.size();
            match scanner.next() {
                Ok(Some(Frame::Entry { bytes, .. })) if reached < mark.size => {
                    let leaf = leaf_hash(bytes);
                    if reached == 0 {
                        self.ring = reader::named_key_in(bytes).map(KeyRing::new).unwrap_or_default();
                    }
                    self.ring.take(reached, bytes).ok();
                    self.at_guard.push(leaf);
                    for (_, copy) in guard.copies().filter(|(_, copy)| copy.size == reached + 1) {
                        let (size, local, other) = (copy.size, self.at_guard.root(), copy.root);
                        if local != other {
                            return Err(OpenError::Diverged { size, local, other, by: "the guard's copy elsewhere" });
                        }
                    }
                    end = scanner.offset();
                    digest = scanner.digest();
                    if reached < signed {
                        self.at_published.push(leaf);
                        self.published_offset = end;
                    }
                }
                Ok(Some(Frame::Footer)) => {
                    // A footer counts when nothing follows it.
                    match scanner.next() {
                        Ok(None) => {
                            sealed = true;
                            end = scanner.offset();
                        }
                        Ok(Some(_)) | Err(ScanError::Bad { .. }) if reached < signed || !last => {
                            return Err(damage(scanner.offset(), reached, "there are bytes after the footer").into());
                        }
                        Ok(Some(_)) | Err(ScanError::Bad { .. }) => {}
                        Err(ScanError::Io(error)) => return Err(io(error)),
                    }
                    break;
                }
                Ok(None) if last => break,
                Ok(None) => return Err(damage(scanner.offset(), reached, "the segment has no footer").into()),
                Ok(Some(Frame::Entry { .. })) if last => break,
                Ok(Some(Frame::Entry { .. })) => {
                    return Err(damage(end, reached, "entries that were never signed for are followed by more").into());
                }
                Err(ScanError::Io(error)) => return Err(io(error)),
                Err(ScanError::Bad { offset, what }) if reached < mark.size || !last => {
                    return Err(damage(offset, reached, what).into());
                }
                Err(ScanError::Bad { .. }) => break,
            }
        }
        self.surplus = len.saturating_sub(end);
        let digest = digest.unwrap_or_default();
        self.last = Some(OpenSegment { first, file, len: end, digest, sealed });
        Ok(())
    }

    fn surplus_bytes(&self) -> u64 {
        self.surplus + self.empty.map_or(0, |(_, len)| len)
    }

    /// Drops what lies beyond the guard: never signed for, so nobody was told of it. Gives the segment to go on with.
    fn drop_surplus(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        segment_dir: &dyn DiskDir,
    ) -> Result<Option<OpenSegment>, OpenError> {
        if let Some((first, _)) = self.empty {
            let path = segment::path(dir, first);
            at(&path, disk.remove(&path).and_then(|()| segment_dir.sync()))?;
        }
        let Some(last) = self.last.take() else { return Ok(None) };
        let path = segment::path(dir, last.first);
        if self.surplus > 0 {
            at(&path, last.file.set_len(last.len))?;
        }
        at(&path, last.file.sync())?;
        Ok(Some(last))
    }
}
