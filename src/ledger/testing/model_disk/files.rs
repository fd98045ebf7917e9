//! The model disk as the ledger sees it: files, directories and locks, each operation counted and perhaps harmed.

use std::io;
use std::path::{Path, PathBuf};

use super::{Change, Entry, File, ModelDisk, Verdict, apply, broken, dark, name_of, no_space, parts};
use crate::disk::{Disk, DiskDir, DiskFile, Held, Open, ReadBack, Step};

impl Disk for ModelDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let existing = state.file(path);
        let file = match (how, existing) {
            (Open::New, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Open::Read | Open::Write, None) => {
                state.reads(|| format!("open {}", name_of(path)))?;
                return Err(io::ErrorKind::NotFound.into());
            }
            (Open::Read | Open::Write, Some(file)) => {
                state.reads(|| format!("open {}", name_of(path)))?;
                file
            }
            (Open::Empty, Some(file)) => {
                let handle = ModelFile { disk: self.clone(), file, path: path.to_owned() };
                drop(state);
                handle.set_len(0)?;
                return Ok(Box::new(handle));
            }
            (Open::New | Open::Empty, None) => {
                let (dir, name) = parts(path).ok_or(io::ErrorKind::InvalidInput)?;
                if !state.dirs.contains_key(&dir) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.files.push(File::default());
                let file = state.files.len() - 1;
                let change = vec![(name, Some(Entry::File(file)))];
                state.change_dir(&dir, change, true, format!("create {}", name_of(path)))?;
                file
            }
        };
        Ok(Box::new(ModelFile { disk: self.clone(), file, path: path.to_owned() }))
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        let mut state = self.state();
        state.reads(|| format!("open {}", name_of(dir)))?;
        if state.entry(dir) != Some(Entry::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(ModelDir { disk: self.clone(), dir: dir.to_owned() }))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.entry(dir).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (parent, name) = parts(dir).ok_or(io::ErrorKind::InvalidInput)?;
        let change = vec![(name, Some(Entry::Dir))];
        let made = state.change_dir(&parent, change, true, format!("mkdir {}", name_of(dir)));
        if state.entry(dir) == Some(Entry::Dir) {
            state.dirs.entry(dir.to_owned()).or_default();
        }
        made
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let file = state.file(from).ok_or(io::ErrorKind::NotFound)?;
        let ((dir, old), (_, new)) = parts(from).zip(parts(to)).ok_or(io::ErrorKind::InvalidInput)?;
        let change = vec![(old, None), (new, Some(Entry::File(file)))];
        state.change_dir(&dir, change, true, format!("rename to {}", name_of(to)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.file(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (dir, name) = parts(path).ok_or(io::ErrorKind::InvalidInput)?;
        state.change_dir(&dir, vec![(name, None)], false, format!("remove {}", name_of(path)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.reads(|| format!("list {}", name_of(dir)))?;
        let names = state.dirs.get(dir).ok_or(io::ErrorKind::NotFound)?;
        Ok(names.seen.keys().cloned().collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.state();
        state.reads(|| format!("look for {}", name_of(path)))?;
        Ok(state.entry(path).is_some())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Held>> {
        let mut state = self.state();
        state.reads(|| format!("lock {}", name_of(path)))?;
        if state.locks.contains_key(path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked += 1;
        let number = state.locked;
        state.locks.insert(path.to_owned(), number);
        Ok(Box::new(ModelLock { disk: self.clone(), path: path.to_owned(), number }))
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.reads(|| format!("free space of {}", name_of(dir)))?;
        Ok(state.free)
    }

    fn reached(&self, step: Step) {
        let mut state = self.state();
        if !state.dark {
            state.steps.push(step);
        }
    }
}

struct ModelFile {
    disk: ModelDisk,
    file: usize,
    path: PathBuf,
}

impl ModelFile {
    fn read(&self, offset: u64, buf: &mut [u8], content: impl FnOnce(&File) -> Vec<u8>) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.reads(|| format!("read {}", name_of(&self.path)))?;
        let content = state.files.get(self.file).map(content).unwrap_or_default();
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        if let (Some(target), Some(source)) = (buf.get_mut(..len), rest.get(..len)) {
            target.copy_from_slice(source);
        }
        Ok(len)
    }

    fn change(&self, change: Change, part: Option<Change>, what: String) -> io::Result<()> {
        let mut state = self.disk.state();
        let (applied, result) = match state.verdict(|| what) {
            Verdict::Done => (Some(change), Ok(())),
            Verdict::Garbles => (Some(change.garbled()), Ok(())),
            Verdict::NoSpace if part.is_some() => (part, Err(no_space())),
            Verdict::NoSpace => (Some(change), Ok(())),
            Verdict::Fails { kept } => (kept.then_some(change), Err(broken())),
            Verdict::Dark => (None, Err(dark())),
        };
        if let (Some(change), Some(file)) = (applied, state.files.get_mut(self.file)) {
            File::apply(&mut file.seen, &change);
            file.pending.push(change);
        }
        result
    }
}

impl DiskFile for ModelFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.reads(|| format!("length of {}", name_of(&self.path)))?;
        Ok(state.files.get(self.file).map_or(0, |file| file.seen.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.read(offset, buf, |file| file.seen.clone())
    }

    fn read_back(&self, offset: u64, buf: &mut [u8]) -> io::Result<(usize, ReadBack)> {
        self.read(offset, buf, File::on_device).map(|read| (read, ReadBack::Direct))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let half = bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
        let what = format!("write {} bytes at {offset} of {}", bytes.len(), name_of(&self.path));
        let part = Change::Write { offset, bytes: half };
        self.change(Change::Write { offset, bytes: bytes.to_vec() }, Some(part), what)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.change(Change::SetLen(len), None, format!("cut {} to {len}", name_of(&self.path)))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let (kept, result) = match state.verdict(|| format!("sync {}", name_of(&self.path))) {
            Verdict::Done | Verdict::Garbles | Verdict::NoSpace => (true, Ok(())),
            // A sync that the power loss interrupts has not begun: what is pending is lost or kept piece by piece.
            Verdict::Fails { .. } if state.dark => return Err(broken()),
            Verdict::Fails { kept } => (kept, Err(broken())),
            Verdict::Dark => return Err(dark()),
        };
        if let Some(file) = state.files.get_mut(self.file) {
            if kept {
                file.durable = file.on_device();
                file.pending.clear();
            } else {
                // Linux marks the pages clean: later syncs succeed without them. Lengths are the journal's matter.
                file.pending.retain(|change| matches!(change, Change::SetLen(_)));
            }
        }
        result
    }
}

struct ModelDir {
    disk: ModelDisk,
    dir: PathBuf,
}

impl DiskDir for ModelDir {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let (kept, result) = match state.verdict(|| format!("sync {}", name_of(&self.dir))) {
            Verdict::Done | Verdict::Garbles | Verdict::NoSpace => (true, Ok(())),
            Verdict::Fails { .. } if state.dark => return Err(broken()),
            Verdict::Fails { kept } => (kept, Err(broken())),
            Verdict::Dark => return Err(dark()),
        };
        if let Some(dir) = state.dirs.get_mut(&self.dir).filter(|_| kept) {
            for change in std::mem::take(&mut dir.pending) {
                apply(&mut dir.durable, change);
            }
        }
        result
    }
}

struct ModelLock {
    disk: ModelDisk,
    path: PathBuf,
    number: u64,
}

impl Held for ModelLock {}

impl Drop for ModelLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locks.get(&self.path) == Some(&self.number) {
            state.locks.remove(&self.path);
        }
    }
}
