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

use crate::disk::{Disk, DiskDir, DiskFile, Held, Open, SharedDisk, Step};
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

/// The machine's disk, made worse: the process aborts at a crash point, with no destructor run and nothing flushed, as
/// with SIGKILL; or the free space is what a file says.
pub struct BadDisk {
    crash: Option<CrashPoint>,
    room_in: Option<PathBuf>,
    reached: AtomicU64,
}

impl BadDisk {
    /// A disk that ends the process at `crash`, and that has as many bytes free as the file `room_in` says; without a
    /// number in it, as many as there are.
    pub fn shared(crash: Option<CrashPoint>, room_in: Option<PathBuf>) -> SharedDisk {
        Arc::new(BadDisk { crash, room_in, reached: AtomicU64::new(0) })
    }
}

impl Disk for BadDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path, how)
    }
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        RealDisk.open_dir(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
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
        let said = self.room_in.as_ref().and_then(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
        said.map_or_else(|| RealDisk.free_space(dir), Ok)
    }
    fn reached(&self, step: Step) {
        let Some(point) = self.crash.filter(|point| point.step == step) else { return };
        if self.reached.fetch_add(1, Ordering::SeqCst) + 1 == point.nth {
            std::process::abort();
        }
    }
}
