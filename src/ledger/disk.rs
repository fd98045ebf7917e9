//! What the ledger asks of a disk: the few operations whose order decides what survives a power loss.
//!
//! Every operation that can fail or be interrupted alone is an operation of its own here, so that a model disk can
//! fail or lose each of them; what is made of several ([`replace`], [`make_dir`]) is written once, over the trait.

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// A disk, shared by everything that reads or writes one ledger.
pub type SharedDisk = Arc<dyn Disk>;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; an error when it exists.
    New,
    /// A file for reading and writing, empty, whether it existed or not.
    Empty,
}

/// Whether bytes that were just written have been read from the device or may have come from memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadBack {
    /// Read around the page cache (`O_DIRECT`).
    Direct,
    /// The file system refuses that; the page cache was asked to let go first, which it need not.
    Cached,
}

/// The named steps of an append, in their order, and one of a fold: where a test may stop the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// Before the frames are written to the segment.
    Append,
    /// Before the segment is made durable.
    Sync,
    /// Before the frames are read again from the disk.
    ReadBack,
    /// Before the high-water mark moves.
    Guard,
    /// Before the signature is made.
    Sign,
    /// After the signature is durable, before the checkpoint is published.
    Publish,
    /// After everything, before the caller hears of it.
    Acknowledge,
    /// After a part of the entries was folded into an index.
    Fold,
}

impl Step {
    /// All steps of an append, in order.
    pub const ALL: [Step; 7] =
        [Step::Append, Step::Sync, Step::ReadBack, Step::Guard, Step::Sign, Step::Publish, Step::Acknowledge];

    /// The step's name in options: `append`, `sync`, `read_back`, `guard`, `sign`, `publish`, `acknowledge`; and `fold`.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Append => "append",
            Step::Sync => "sync",
            Step::ReadBack => "read_back",
            Step::Guard => "guard",
            Step::Sign => "sign",
            Step::Publish => "publish",
            Step::Acknowledge => "acknowledge",
            Step::Fold => "fold",
        }
    }
}

impl FromStr for Step {
    type Err = String;
    fn from_str(text: &str) -> Result<Step, String> {
        let mut known = Step::ALL.into_iter().chain([Step::Fold]);
        let found = known.find(|step| step.as_str() == text);
        let of_append = || Step::ALL.map(Step::as_str).join(", ");
        found.ok_or_else(|| format!("not a step: {text:?}; expected one of {}, or fold", of_append()))
    }
}

/// An open file. Positions are explicit: nothing depends on where an earlier, failed write ended.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Reads like `read_at`, from the device where that is possible.
    fn read_back(&self, offset: u64, buf: &mut [u8]) -> io::Result<(usize, ReadBack)>;
    /// Writes all of `bytes`. After an error any part of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or lengthens the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes content and length durable (`fdatasync`). After an error nothing may be assumed.
    fn sync(&self) -> io::Result<()>;
}

/// An open directory. It is opened before the change that it will make durable, so that no error is lost between.
pub trait DiskDir: Send + Sync {
    /// Makes the names in the directory durable.
    fn sync(&self) -> io::Result<()>;
}

/// What ends when it is dropped: the exclusive hold on a lock file.
pub trait Held: Send + Sync {}

/// A disk.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a directory.
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>>;
    /// Makes one directory whose parent exists. An error when it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file within its directory, over another if there is one, at once or not at all.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted. `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Whether a file or directory of that name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Takes the exclusive lock of a file, which is made if need be. `WouldBlock` when another holder does not let
    /// go within a short while: after a kill the system releases locks late.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Held>>;
    /// Bytes that may still be written in that directory's file system.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// The writer is about to take that step. Disks that tests use may end the process here.
    fn reached(&self, step: Step) {
        let _ = step;
    }
}

/// Replaces a file's content, at once and durably: a temporary file beside it, synced, renamed, the directory synced.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = disk.open_dir(parent(path))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let file = disk.open(&temporary, Open::Empty)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    dir.sync()
}

/// Makes a directory and its missing parents, durably. Existing directories are made durable again, which costs
/// little and mends a directory whose first sync was interrupted.
pub fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let above = parent(dir);
    if !disk.exists(dir)? {
        if above != dir {
            make_dir(disk, above)?;
        }
        match disk.create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    disk.open_dir(dir)?.sync()?;
    disk.open_dir(above)?.sync()
}

/// Reads a whole file of at most `limit` bytes.
pub fn read_file(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::Read)?;
    let len = file.length()?;
    if len > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether an error says that the device or the quota is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The directory of a path; `.` for a bare name, and the root for the root.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}
