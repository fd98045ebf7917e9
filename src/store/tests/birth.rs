//! The beginning of a ledger, broken off at every step that it has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::entry::Fact;
use ledger::disk::{Disk, DiskDir, DiskFile, Held, Open, SharedDisk};
use ledger::{RealDisk, high_water};
use store::{InitError, Layout, Offline, OpenError, Options, Random, Read, Store};

use crate::options;

/// The machine's disk until so many changes were made: then it is as if the process had been killed, with its last write
/// half done. Nothing waits for the device, which would only take its time: no power is lost here.
#[derive(Clone)]
struct Stops(Arc<AtomicU64>);

impl Stops {
    fn after(changes: u64) -> Self {
        Stops(Arc::new(AtomicU64::new(changes)))
    }

    fn change(&self) -> io::Result<()> {
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
    fn read_back(&self, offset: u64, buf: &mut [u8]) -> io::Result<(usize, ledger::disk::ReadBack)> {
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

/// Random numbers that end as well: the files of keys are written past the disk that tests replace.
struct Ends(Stops, Arc<dyn Random>);

impl Random for Ends {
    fn bytes(&self) -> Result<[u8; 32], String> {
        self.0.change().map_err(|e| e.to_string())?;
        self.1.bytes()
    }
}

fn begun(data: &Path, guard: Option<&PathBuf>, start: i64, disk: SharedDisk) -> Options {
    Options { disk, guard: guard.cloned(), ..options(data, start) }
}

fn key_of(data: &Path) -> String {
    let first = Offline::open(data).unwrap().entry(0).unwrap().unwrap();
    let Fact::Genesis(genesis) = first.fact else { unreachable!("{first:?}") };
    genesis.key
}

#[test]
fn a_beginning_that_was_broken_off_at_any_step_is_no_ledger_and_the_next_one_comes_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    for (outside, every) in [(None, 1), (Some(dir.path().join("guard")), 3)] {
        let (mut finished, mut steps) = (0, 0);
        for n in (0..).step_by(every) {
            let data = dir.path().join(format!("{}-{n}", outside.is_some()));
            let guard = outside.as_ref().map(|folder| folder.join(n.to_string()));
            let stops = Stops::after(n);
            let mut broken = begun(&data, guard.as_ref(), 0, Arc::new(stops.clone()));
            broken.random = Arc::new(Ends(stops, broken.random.clone()));
            if Store::init(&broken, "test/ledger", "test 1").is_ok() {
                steps = n;
                break;
            }
            let whole = |start| begun(&data, guard.as_ref(), start, Arc::new(Stops::after(u64::MAX)));
            let opened = Store::open(whole(0));
            assert!(matches!(opened, Err(OpenError::NotInitialised(_))), "after {n} changes there is no ledger yet");
            let place = guard.clone().unwrap_or_else(|| Layout::new(&data).guard());
            let mark = high_water(&place).ok().filter(|mark| mark.size > 0);
            Store::init(&whole(500), "test/ledger", "test 1").unwrap_or_else(|e| panic!("after {n} changes: {e:?}"));
            if let Some(mark) = mark {
                finished += 1;
                assert_eq!(
                    high_water(&place).unwrap().root,
                    mark.root,
                    "what the guard knows of is brought to its end"
                );
            }
            let (store, recovered) = Store::open(whole(1000)).unwrap();
            assert_eq!((store.head().unwrap().size, recovered.notes), (1, vec![]), "after {n} changes");
            assert!(matches!(Store::init(&whole(0), "other", "test 1"), Err(InitError::Exists(_))));
        }
        assert!(steps > 30 && finished > 0, "{steps} steps, in {finished} of them the guard had moved");
    }
}

#[test]
fn a_beginning_that_only_lacks_its_end_keeps_its_key_and_what_is_somebody_elses_is_never_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Store::init(&options(&data, 0), "test/ledger", "test 1").unwrap();
    let key = key_of(&data);
    fs::write(data.join("beginning"), "").unwrap();
    assert!(matches!(Store::open(options(&data, 0)), Err(OpenError::NotInitialised(_))));
    fs::write(data.join("letter"), "dear").unwrap();
    assert!(matches!(Store::init(&options(&data, 70), "test/ledger", "test 1"), Err(InitError::NotEmpty(_))));
    fs::remove_file(data.join("letter")).unwrap();
    Store::init(&options(&data, 70), "another/name", "test 1").unwrap();
    assert_eq!(key_of(&data), key, "it was named to somebody, perhaps");

    // Keys that lie there without a beginning are somebody's.
    let keys = dir.path().join("other").join("keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("ledger.seed"), "precious").unwrap();
    let other = options(&dir.path().join("other"), 0);
    assert!(matches!(Store::init(&other, "test/ledger", "test 1"), Err(InitError::NotEmpty(_))));
    assert_eq!(fs::read_to_string(keys.join("ledger.seed")).unwrap(), "precious");
}
