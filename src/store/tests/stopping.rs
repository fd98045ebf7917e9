//! A disk that a process stops writing to at a step of the test's choice.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::disk::{Disk, DiskDir, DiskFile, Held, Open};
use ledger::{ReadBack, RealDisk};

/// The machine's disk until so many changes were made: then it is as if the process had been killed, with its last write
/// half done. Nothing waits for the device, which would only take its time: no power is lost here.
#[derive(Clone)]
pub(crate) struct Stops(Arc<AtomicU64>);

impl Stops {
    pub(crate) fn after(changes: u64) -> Self {
        Stops(Arc::new(AtomicU64::new(changes)))
    }

    pub(crate) fn change(&self) -> io::Result<()> {
        let left = self.0.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| io::Error::other("it was killed"))
    }
}

struct StoppingFile(Box<dyn DiskFile>, Stops);

impl DiskFile for StoppingFile {
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
        let (half, _) = bytes.split_at(bytes.len() / 2);
        self.1.change().or_else(|gone| self.0.write_at(offset, half).and(Err(gone)))?;
        self.0.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.change()?;
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.change()
    }
}

impl DiskDir for Stops {
    fn sync(&self) -> io::Result<()> {
        self.change()
    }
}

impl Disk for Stops {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        if how != Open::Read {
            self.change()?;
        }
        Ok(Box::new(StoppingFile(RealDisk.open(path, how)?, self.clone())))
    }
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        RealDisk.open_dir(dir).map(|_| Box::new(self.clone()) as Box<dyn DiskDir>)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Held>> {
        self.change()?;
        RealDisk.lock(path)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_space(dir)
    }
}
