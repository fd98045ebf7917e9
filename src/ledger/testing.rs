//! Disks for tests: one that is a model and can lose power, and one that ends the process at a named step.

pub mod fuzz;
mod model_disk;

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use model_disk::{Fault, Harm, ModelDisk, Rng};

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

/// The machine's disk, on which the process aborts at a crash point: no destructor runs and nothing is flushed, as
/// with SIGKILL.
pub struct CrashAt {
    point: CrashPoint,
    reached: AtomicU64,
}

impl CrashAt {
    /// A disk that ends the process there.
    pub fn shared(point: CrashPoint) -> SharedDisk {
        Arc::new(CrashAt { point, reached: AtomicU64::new(0) })
    }
}

impl Disk for CrashAt {
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
        RealDisk.free_space(dir)
    }
    fn reached(&self, step: Step) {
        if step == self.point.step && self.reached.fetch_add(1, Ordering::SeqCst) + 1 == self.point.nth {
            std::process::abort();
        }
    }
}
