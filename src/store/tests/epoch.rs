//! The end of a ledger, and what goes on in the one that continues it.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use domain::ResourceKey;
use domain::entry::{Fact, HoldDetail};
use ledger::disk::{Disk, DiskDir, DiskFile, Held, Open};
use ledger::{ReadBack, RealDisk};
use store::{Options, Read, Store, holds};

use crate::{intent, new_store, options, run};

/// The machine's disk until so many changes were made; then each fails, as when somebody pulls it out.
#[derive(Clone)]
struct Pulled(Arc<AtomicI64>);

impl Pulled {
    fn after(changes: i64) -> Pulled {
        Pulled(Arc::new(AtomicI64::new(changes)))
    }
    fn change(&self) -> io::Result<()> {
        match self.0.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => Ok(()),
            false => Err(io::Error::other("the disk is gone")),
        }
    }
}

struct File(Box<dyn DiskFile>, Pulled);

impl DiskFile for File {
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
        self.1.change().and_then(|()| self.0.write_at(offset, bytes))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.change().and_then(|()| self.0.set_len(len))
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

impl Disk for Pulled {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        if matches!(how, Open::New | Open::Empty) {
            self.change()?;
        }
        Ok(Box::new(File(RealDisk.open(path, how)?, self.clone())))
    }
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        RealDisk.open_dir(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change().and_then(|()| RealDisk.create_dir(dir))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change().and_then(|()| RealDisk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change().and_then(|()| RealDisk.remove(path))
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
}

/// A ledger with a hold of Dora, one of everything, and one that was released.
fn with_holds(data: &Path) -> Vec<Fact> {
    let store = new_store(data);
    let begun = intent(&store, 1);
    store.record_run(begun, &run(1, &[("dora", true)])).unwrap();
    let two = HoldDetail { asked_by: "Legal".into(), approved_by: "Board".into() };
    let dora = ResourceKey { kind: "keycloak.user".parse().unwrap(), id: "id-dora".into() };
    let hers = store.hold(std::slice::from_ref(&dora), "case 7", &two).unwrap().entry;
    let over = store.hold(&[dora], "case 8", &two).unwrap().entry;
    let all = store.hold(&[], "case 9", &two).unwrap().entry;
    store.release(over, "settled", &two).unwrap();
    [hers, all].map(|entry| store.entry(entry).unwrap().unwrap().fact).to_vec()
}

#[test]
fn legal_holds_go_on_in_the_continuation_wherever_the_closing_was_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("template");
    let held = with_holds(&template);
    let mut broken_off = 0;
    for changes in 0.. {
        let data = dir.path().join(format!("data-{changes}"));
        assert!(Command::new("cp").arg("-a").args([&template, &data]).status().unwrap().success());
        let disk = Arc::new(Pulled::after(changes));
        let first = store::close(&Options { disk, ..options(&data, 2_000_000) }, "the disk broke", "test 1");
        let whole = first.is_ok();
        let closed = match first {
            Ok(closed) => closed,
            Err(error) => {
                broken_off += 1;
                // Before the plan is durable it was not begun, and wants its reason again. The clock went back meanwhile.
                let again = store::close(&options(&data, 1_500_000), "the disk broke", "test 1");
                again.unwrap_or_else(|again| panic!("after {changes} changes: {error}, then {again}"))
            }
        };
        assert_eq!(closed.holds, Ok(vec![1, 2]), "after {changes} changes");
        let (store, _) = Store::open(options(&data, 3_000_000)).unwrap();
        let in_force = holds(store.index().as_ref()).unwrap();
        let facts: Vec<Fact> = in_force.iter().map(|row| store.entry(row.entry).unwrap().unwrap().fact).collect();
        assert_eq!(facts, held, "after {changes} changes");
        let times: Vec<_> = (0..3).map(|number| store.entry(number).unwrap().unwrap().at).collect();
        assert!(times.is_sorted(), "after {changes} changes: {times:?}");
        drop(store);
        std::fs::remove_dir_all(&data).unwrap();
        if whole {
            break;
        }
    }
    assert!(broken_off > 20, "it was broken off {broken_off} times only");
}

#[test]
fn a_closing_says_so_when_it_cannot_tell_which_holds_were_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    with_holds(&data);
    // A hold's entry is damaged; the first entry, without which there is no closing, is whole.
    let segment = data.join("ledger/seg").read_dir().unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"case 7").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let closed = store::close(&options(&data, 2_000_000), "it is damaged", "test 1").unwrap();
    assert!(closed.holds.is_err(), "{closed:?}");
    assert_eq!(Store::open(options(&data, 3_000_000)).unwrap().0.head().unwrap().size, 1);
}
