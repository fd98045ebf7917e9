//! Disks for tests: one that is a model and can lose power, and the machine's own that ends the process at a named step or is full.

pub mod fuzz;
mod model_disk;
mod witness;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use model_disk::{Fault, Harm, ModelDisk, Rng};
pub use witness::Witness;

use crate::disk::{Disk, DiskDir, DiskFile, Held, Open, ReadBack, SharedDisk, Step};
use crate::real_disk::RealDisk;

/// Where a process is to end: `guard:3` is the third time that the writer is about to move the guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashPoint {
    /// The step.
    pub step: Step,
    /// Which time, from 1.
    pub nth: u64,
}

impl FromStr for CrashPoint {
    type Err = String;
    fn from_str(text: &str) -> Result<CrashPoint, String> {
        let (step, nth) = text.split_once(':').unwrap_or((text, "1"));
        let nth = nth.parse().ok().filter(|nth| *nth > 0);
        let nth = nth.ok_or_else(|| format!("not a crash point: {text:?}; expected a step and a number from 1"))?;
        Ok(CrashPoint { step: step.parse()?, nth })
    }
}

/// What is wrong with a disk; what is left out is as it should be.
#[derive(Clone, Default, Debug)]
pub struct Ill {
    /// The process aborts there, with no destructor run and nothing flushed, as with SIGKILL.
    pub crash: Option<CrashPoint>,
    /// As many bytes are free as this file says; without a number in it, as many as there are.
    pub room_in: Option<PathBuf>,
    /// Every step waits for as many milliseconds as this file says while it does.
    pub slow_in: Option<PathBuf>,
    /// While this file is there, nothing can be written.
    pub read_only_by: Option<PathBuf>,
}

impl Ill {
    /// What a disk says that was mounted to be read only.
    fn writable(&self) -> io::Result<()> {
        match self.read_only_by.as_ref().is_some_and(|path| path.exists()) {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => Ok(()),
        }
    }
}

/// A slow step looks this often whether it is to be slow any longer, in milliseconds.
const LOOK_AGAIN: u64 = 10;

/// The machine's disk, made worse.
pub struct BadDisk {
    ill: Ill,
    reached: AtomicU64,
}

impl BadDisk {
    /// A disk of which that is wrong.
    pub fn shared(ill: Ill) -> SharedDisk {
        Arc::new(BadDisk { ill, reached: AtomicU64::new(0) })
    }
}

/// A file on it.
struct BadFile(Box<dyn DiskFile>, Ill);

impl DiskFile for BadFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
    fn read_back(&self, offset: u64, buf: &mut [u8]) -> io::Result<(usize, ReadBack)> {
        self.0.read_back(offset, buf)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.1.writable().and_then(|()| self.0.write_at(offset, bytes))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.writable().and_then(|()| self.0.set_len(len))
    }
    fn sync(&self) -> io::Result<()> {
        self.1.writable().and_then(|()| self.0.sync())
    }
}

impl Disk for BadDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        if how != Open::Read {
            self.ill.writable()?;
        }
        Ok(Box::new(BadFile(RealDisk.open(path, how)?, self.ill.clone())))
    }
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        RealDisk.open_dir(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.ill.writable().and_then(|()| RealDisk.create_dir(dir))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ill.writable().and_then(|()| RealDisk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ill.writable().and_then(|()| RealDisk.remove(path))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Held>> {
        RealDisk.lock(path)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let said = self.ill.room_in.as_ref().and_then(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
        said.map_or_else(|| RealDisk.free_space(dir), Ok)
    }
    fn reached(&self, step: Step) {
        let number = |path: &PathBuf| std::fs::read_to_string(path).ok()?.trim().parse().ok();
        let mut waited = 0;
        while self.ill.slow_in.as_ref().and_then(number).is_some_and(|millis: u64| waited < millis) {
            std::thread::sleep(std::time::Duration::from_millis(LOOK_AGAIN));
            waited += LOOK_AGAIN;
        }
        let Some(point) = self.ill.crash.filter(|point| point.step == step) else { return };
        if self.reached.fetch_add(1, Ordering::SeqCst) + 1 == point.nth {
            std::process::abort();
        }
    }
}
