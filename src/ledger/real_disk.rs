//! The disk of the machine: `std::fs`, and rustix where the standard library stops.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::disk::{Disk, DiskDir, DiskFile, Held, Open, ReadBack, SharedDisk};

/// Offset, length and address of a read around the page cache must be multiples of the device's block, at most this.
const BLOCK: u64 = 4096;
/// A lock is tried this many times, with a pause between: about a second in all.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The disk, ready to be shared.
    pub fn shared() -> SharedDisk {
        Arc::new(RealDisk)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o640);
        match how {
            Open::Read => {}
            Open::Write => {
                options.write(true);
            }
            Open::New => {
                options.write(true).create_new(true);
            }
            Open::Empty => {
                options.write(true).create(true).truncate(true);
            }
        }
        Ok(Box::new(RealFile { file: options.open(path)?, path: path.to_owned(), direct: OnceLock::new() }))
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        Ok(Box::new(RealDir(File::open(dir)?)))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Held>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)?;
        for _ in 1..LOCK_TRIES {
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    // For people only, so that a message can name the holder; the lock itself is the system's.
                    let holder = format!("{}\n", std::process::id());
                    drop(file.set_len(0).and_then(|()| file.write_all_at(holder.as_bytes(), 0)));
                    return Ok(Box::new(RealLock(file)));
                }
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Who holds the ledger in `dir` open for writing, as the number of a process; `None` when nobody does. The number is
/// 0 when the holder did not write it down.
///
/// # Errors
/// When the lock file is there and cannot be opened.
pub fn held_by(dir: &Path) -> io::Result<Option<u32>> {
    let path = dir.join("lock");
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(fs::read_to_string(&path)?.trim().parse().unwrap_or_default())),
        Err(error) => Err(error.into()),
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
    /// The same file opened around the page cache; `None` inside when the file system refuses that.
    direct: OnceLock<Option<File>>,
}

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_full(&self.file, offset, buf)
    }

    fn read_back(&self, offset: u64, buf: &mut [u8]) -> io::Result<(usize, ReadBack)> {
        if let Some(direct) = self.direct() {
            match read_direct(direct, offset, buf) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {}
                read => return read.map(|read| (read, ReadBack::Direct)),
            }
        }
        // Advice only: a page that another process has mapped stays.
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
        self.read_at(offset, buf).map(|read| (read, ReadBack::Cached))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl RealFile {
    fn direct(&self) -> Option<&File> {
        let open = || {
            let flag = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
            OpenOptions::new().read(true).custom_flags(flag).open(&self.path).ok()
        };
        self.direct.get_or_init(open).as_ref()
    }
}

fn read_full(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads whole blocks into an aligned part of a larger buffer and copies out what was asked for.
fn read_direct(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let block = BLOCK as usize;
    let lead = (offset % BLOCK) as usize;
    let span = (lead + buf.len()).next_multiple_of(block);
    let mut space = vec![0u8; span + block];
    let skip = space.as_ptr().align_offset(block);
    let Some(aligned) = space.get_mut(skip..skip + span) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let mut filled = 0;
    while let Some(rest) = aligned.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset - lead as u64 + filled as u64) {
            Ok(read) => {
                filled += read;
                // The last block of a file comes short; a further read would not be aligned.
                if read == 0 || !read.is_multiple_of(block) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let wanted = aligned.get(lead..filled.min(lead + buf.len())).unwrap_or_default();
    if let Some(target) = buf.get_mut(..wanted.len()) {
        target.copy_from_slice(wanted);
    }
    Ok(wanted.len())
}

struct RealDir(File);

impl DiskDir for RealDir {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Closing the file releases the lock.
#[expect(dead_code, reason = "held for its drop")]
struct RealLock(File);

impl Held for RealLock {}
