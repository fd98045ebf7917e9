//! The beginning of a ledger, broken off at every step that it has.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::entry::Fact;
use ledger::disk::SharedDisk;
use ledger::high_water;
use store::{InitError, Layout, Offline, OpenError, Options, Random, Read, Store};

use crate::options;
use crate::stopping::Stops;

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
