//! A disk in memory that keeps apart what a program sees and what would survive a power loss.
//!
//! Per file and per directory it holds the content as seen, the content as durable, and the operations between the
//! two. At a power loss any subset of them survives, writes in sectors of 512 bytes. One operation can be made to
//! fail, with its effect kept or lost; a failed sync forgets what it should have made durable, as Linux does.

mod files;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{SharedDisk, Step};

const SECTOR: usize = 512;

/// Randomness from a seed: SplitMix64, enough for choosing what a crash keeps.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of that seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end.max(1)
    }

    /// True in half of all cases.
    pub fn coin(&mut self) -> bool {
        self.next_u64() & 1 == 1
    }
}

/// What happens to one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Harm {
    /// The power fails during it: it and everything after it return errors until [`ModelDisk::lose_power`].
    PowerLoss,
    /// It returns an I/O error though its effect took place.
    FailsKept,
    /// It returns an I/O error and had no effect. A failed sync also forgets what it should have made durable.
    FailsLost,
    /// It is reported as done, but a write puts other bytes on the device than it was given.
    Garbles,
    /// It returns *no space left* after a part of its effect, when it needs space.
    NoSpace,
}

/// Which operation is harmed, counted from 0, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The operation.
    pub at: u64,
    /// What happens to it.
    pub harm: Harm,
}

/// The disk. Clones share their content.
#[derive(Clone)]
pub struct ModelDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<File>,
    dirs: BTreeMap<PathBuf, Dir>,
    locks: BTreeMap<PathBuf, u64>,
    /// Locks taken so far: each has its number, so that one from before a restart releases nothing.
    locked: u64,
    operations: u64,
    fault: Option<Fault>,
    dark: bool,
    free: u64,
    trace: Vec<String>,
    /// Steps that the writer announced, in order.
    steps: Vec<Step>,
}

#[derive(Clone, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone, Default)]
struct Dir {
    seen: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
    pending: Vec<Vec<(String, Option<Entry>)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(usize),
    Dir,
}

/// How an operation ends.
enum Verdict {
    Done,
    Garbles,
    Fails { kept: bool },
    NoSpace,
    Dark,
}

impl Default for ModelDisk {
    fn default() -> Self {
        ModelDisk::new()
    }
}

impl ModelDisk {
    /// An empty disk with a root directory and room enough.
    pub fn new() -> ModelDisk {
        let mut state = State { free: 1 << 40, ..State::default() };
        state.dirs.insert(PathBuf::from("/"), Dir::default());
        ModelDisk(Arc::new(Mutex::new(state)))
    }

    /// The disk as the ledger takes it.
    pub fn shared(&self) -> SharedDisk {
        Arc::new(self.clone())
    }

    /// A separate disk with the same content, running, without fault.
    pub fn copy(&self) -> ModelDisk {
        let state = self.state();
        ModelDisk(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            dirs: state.dirs.clone(),
            free: state.free,
            ..State::default()
        })))
    }

    /// Harms one operation, counted from the next one as 0. `None` takes a fault back.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.operations = 0;
        state.trace.clear();
        state.fault = fault;
    }

    /// Operations since the last [`ModelDisk::set_fault`].
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Those operations in words.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }

    /// Takes the steps that the writer announced so far.
    pub fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.state().steps)
    }

    /// Sets the free space that the disk tells, in bytes.
    pub fn set_free(&self, bytes: u64) {
        self.state().free = bytes;
    }

    /// Loses power and starts again: only what was durable is there, and of what was not, what `rng` keeps. Locks
    /// are gone.
    pub fn lose_power(&self, rng: &mut Rng) {
        // Whole ways of losing things first: nothing kept, everything kept, a coin for each.
        let mode = rng.below(4);
        let mut keep = |rng: &mut Rng| match mode {
            0 => false,
            1 => true,
            _ => rng.coin(),
        };
        self.state().lose_power(&mut keep, rng);
    }

    /// Loses power and starts again with what was durable and nothing else. Locks are gone.
    pub fn lose_everything_unsynced(&self) {
        self.state().lose_power(&mut |_| false, &mut Rng::new(0));
    }

    /// Loses power and starts again with everything that was written, synced or not. Locks are gone.
    pub fn keep_everything_unsynced(&self) {
        self.state().lose_power(&mut |_| true, &mut Rng::new(0));
    }

    /// Ends the process and starts another without losing power: everything that was seen is still seen. Locks are
    /// gone.
    pub fn restart(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.dark = false;
        state.fault = None;
    }

    /// The content of a file as a program sees it; `None` when it does not exist.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.file(path)?;
        state.files.get(file).map(|file| file.seen.clone())
    }

    /// Puts a content into an existing or new file, durably, behind the program's back.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let file = match state.file(path) {
            Some(file) => file,
            None => {
                let Some((dir, name)) = parts(path) else { return };
                state.files.push(File::default());
                let file = state.files.len() - 1;
                let Some(dir) = state.dirs.get_mut(&dir) else { return };
                dir.seen.insert(name.clone(), Entry::File(file));
                dir.durable.insert(name, Entry::File(file));
                file
            }
        };
        if let Some(file) = state.files.get_mut(file) {
            *file = File { seen: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() };
        }
    }

    /// Removes a file, durably, behind the program's back.
    pub fn take_away(&self, path: &Path) {
        let mut state = self.state();
        if let Some((dir, name)) = parts(path)
            && let Some(dir) = state.dirs.get_mut(&dir)
        {
            dir.seen.remove(&name);
            dir.durable.remove(&name);
        }
    }

    /// All files below a directory, sorted.
    pub fn files_below(&self, root: &Path) -> Vec<PathBuf> {
        let state = self.state();
        let mut files = Vec::new();
        for (dir, content) in state.dirs.iter().filter(|(dir, _)| dir.starts_with(root)) {
            let names = content.seen.iter().filter(|(_, entry)| matches!(entry, Entry::File(_)));
            files.extend(names.map(|(name, _)| dir.join(name)));
        }
        files
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation and says how it ends.
    fn verdict(&mut self, what: impl FnOnce() -> String) -> Verdict {
        if self.dark {
            return Verdict::Dark;
        }
        let at = self.operations;
        self.operations += 1;
        self.trace.push(what());
        match self.fault.filter(|fault| fault.at == at).map(|fault| fault.harm) {
            None => Verdict::Done,
            Some(Harm::Garbles) => Verdict::Garbles,
            Some(Harm::PowerLoss) => {
                self.dark = true;
                Verdict::Fails { kept: true }
            }
            Some(Harm::FailsKept) => Verdict::Fails { kept: true },
            Some(Harm::FailsLost) => Verdict::Fails { kept: false },
            Some(Harm::NoSpace) => Verdict::NoSpace,
        }
    }

    /// For operations that need no space and change nothing.
    fn reads(&mut self, what: impl FnOnce() -> String) -> io::Result<()> {
        match self.verdict(what) {
            Verdict::Done | Verdict::Garbles | Verdict::NoSpace => Ok(()),
            Verdict::Fails { .. } => Err(broken()),
            Verdict::Dark => Err(dark()),
        }
    }

    /// Changes a directory's names, as one operation that happens at once or not at all.
    fn change_dir(
        &mut self,
        dir: &Path,
        change: Vec<(String, Option<Entry>)>,
        needs_space: bool,
        what: String,
    ) -> io::Result<()> {
        let (kept, result) = match self.verdict(|| what) {
            Verdict::Done | Verdict::Garbles => (true, Ok(())),
            Verdict::NoSpace if needs_space => (false, Err(no_space())),
            Verdict::NoSpace => (true, Ok(())),
            Verdict::Fails { kept } => (kept, Err(broken())),
            Verdict::Dark => (false, Err(dark())),
        };
        if kept {
            let dir = self.dirs.get_mut(dir).ok_or(io::ErrorKind::NotFound)?;
            apply(&mut dir.seen, change.clone());
            dir.pending.push(change);
        }
        result
    }

    fn file(&self, path: &Path) -> Option<usize> {
        match self.entry(path)? {
            Entry::File(file) => Some(file),
            Entry::Dir => None,
        }
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        if path == Path::new("/") {
            return Some(Entry::Dir);
        }
        let (dir, name) = parts(path)?;
        self.dirs.get(&dir)?.seen.get(&name).copied()
    }

    fn lose_power(&mut self, keep: &mut dyn FnMut(&mut Rng) -> bool, rng: &mut Rng) {
        for file in &mut self.files {
            file.crash(keep, rng);
        }
        for dir in self.dirs.values_mut() {
            for change in std::mem::take(&mut dir.pending) {
                if keep(rng) {
                    apply(&mut dir.durable, change);
                }
            }
            dir.seen = dir.durable.clone();
        }
        self.forget_unreachable();
        self.locks.clear();
        self.dark = false;
        self.fault = None;
    }

    /// Directories whose own name did not survive are gone with all they held.
    fn forget_unreachable(&mut self) {
        loop {
            let lost = self.dirs.keys().find(|dir| self.entry(dir) != Some(Entry::Dir)).cloned();
            match lost {
                Some(dir) => self.dirs.remove(&dir),
                None => return,
            };
        }
    }
}

impl Change {
    /// The same with the last bit of a write turned over.
    fn garbled(mut self) -> Change {
        if let Change::Write { bytes, .. } = &mut self
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 1;
        }
        self
    }
}

impl File {
    fn apply(content: &mut Vec<u8>, change: &Change) {
        match change {
            Change::SetLen(len) => content.resize(*len, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(target) = content.get_mut(*offset..end) {
                    target.copy_from_slice(bytes);
                }
            }
        }
    }

    /// What the device would give if the cache were written out now, without anything having been forgotten.
    fn on_device(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.pending {
            File::apply(&mut content, change);
        }
        content
    }

    fn crash(&mut self, keep: &mut dyn FnMut(&mut Rng) -> bool, rng: &mut Rng) {
        let mut content = self.durable.clone();
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::SetLen(_) => {
                    if keep(rng) {
                        File::apply(&mut content, &change);
                    }
                }
                Change::Write { offset, bytes } => {
                    // The file's new length may survive without the data: then zeros stand there.
                    if keep(rng) && content.len() < offset + bytes.len() {
                        content.resize(offset + bytes.len(), 0);
                    }
                    for (at, sector) in sectors(offset, &bytes) {
                        if keep(rng) {
                            File::apply(&mut content, &Change::Write { offset: at, bytes: sector.to_vec() });
                        }
                    }
                }
            }
        }
        self.seen = content.clone();
        self.durable = content;
    }
}

/// The parts of a write that lie in one sector each.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut parts = Vec::new();
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = (SECTOR - at % SECTOR).min(rest.len());
        let (sector, more) = rest.split_at(len);
        parts.push((at, sector));
        at += len;
        rest = more;
    }
    parts
}

fn apply(names: &mut BTreeMap<String, Entry>, change: Vec<(String, Option<Entry>)>) {
    for (name, entry) in change {
        match entry {
            Some(entry) => names.insert(name, entry),
            None => names.remove(&name),
        };
    }
}

fn parts(path: &Path) -> Option<(PathBuf, String)> {
    Some((path.parent()?.to_owned(), path.file_name()?.to_string_lossy().into_owned()))
}

fn broken() -> io::Error {
    io::Error::other("the device failed")
}

fn dark() -> io::Error {
    io::Error::other("the power is gone")
}

fn no_space() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

fn name_of(path: &Path) -> String {
    path.display().to_string()
}
