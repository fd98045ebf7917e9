//! What the scrub promises: whatever is damaged is found, named and told once, and nothing is put right.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use domain::Timestamp;
use domain::entry::{Damage, Fact};
use store::{Read, Store};

use crate::{ENGINES, filled_store};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(10_000_000 + minute * 60_000)
}

/// A whole pass in steps of so many bytes; how many steps it took.
fn pass(store: &Store, minute: i64, budget: u64) -> usize {
    let mut scrubber = store.scrubber(at(minute)).unwrap();
    let mut steps = 0;
    while !scrubber.ended() {
        scrubber.step(budget);
        steps += 1;
        assert!(steps < 100_000, "it goes on for ever");
    }
    store.record_scrubbed(&scrubber).unwrap();
    scrubber.keep().unwrap();
    steps
}

/// What was said of damage, in order.
fn told(store: &Store) -> Vec<Damage> {
    let entries = (0..store.head().unwrap().size).map(|number| store.entry(number).unwrap().unwrap().fact);
    entries.filter_map(|fact| if let Fact::Damage(damage) = fact { Some(damage) } else { None }).collect()
}

/// Alters one bit in place: what is appended to the file meanwhile stays.
fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x01], at).unwrap();
}

#[test]
fn invariant_10_damage_in_any_file_is_found_by_the_next_pass_of_the_scrub_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = filled_store(ENGINES[0], &data, 20);
    pass(&store, 0, 4096);
    assert_eq!(told(&store), vec![], "nothing is damaged yet");
    let files = ["ledger/seg/00000000000000000000.seg", "ledger/checkpoints.log", "body/pack-00000000"];
    let files = [files.as_slice(), &["keys/records", "keys/ledger.seed", "keys/data.key"]].concat();
    for (minute, file) in (0..).map(|n| 10 * (n + 1)).zip(files) {
        let before = told(&store).len();
        let middle = fs::metadata(data.join(file)).unwrap().len() / 2;
        flip(&data.join(file), middle);
        let altered = fs::read(data.join(file)).unwrap();
        pass(&store, minute, 4096);
        pass(&store, minute + 1, 4096);
        let left = fs::read(data.join(file)).unwrap()[middle as usize];
        assert_eq!(left, altered[middle as usize], "{file} was repaired without a word");
        flip(&data.join(file), middle);
        let said = told(&store).split_off(before);
        // Where the data key is another, the keys under it are out of reach.
        let named = if file == "keys/data.key" { "keys/records" } else { file };
        assert!(said.len() == 1 && said[0].lost && said[0].file == named, "{file}: {said:?}");
        pass(&store, minute + 2, 4096);
        let said = told(&store).split_off(before + 1);
        assert!(said.len() == 1 && !said[0].lost && said[0].file == named, "{file}: {said:?}");
        assert!(said[0].opened_by.is_some());
    }
    // Whatever is recorded replaces this one.
    let (before, file) = (told(&store).len(), "ledger/checkpoint");
    flip(&data.join(file), 3);
    pass(&store, 900, 4096);
    pass(&store, 901, 4096);
    let said: Vec<(String, bool)> = told(&store).split_off(before).into_iter().map(|d| (d.file, d.lost)).collect();
    assert_eq!(said, [(file.to_owned(), true), (file.to_owned(), false)]);
    let last = store.last_scrub().unwrap().unwrap().scrub;
    assert_eq!((last.damaged, last.entries), (0, store.head().unwrap().size - 2), "all but what the pass itself said");
}

#[test]
fn a_pass_reads_every_body_in_bounded_steps_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = filled_store(ENGINES[0], &data, 50);
    let steps = pass(&store, 0, 2048);
    let whole = store.last_scrub().unwrap().unwrap().scrub;
    let packs: u64 = fs::read_dir(data.join("body"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("pack-"))
        .map(|path| fs::metadata(path).unwrap().len() - 20)
        .sum();
    assert!(whole.bodies >= 1000 && whole.bytes > packs && steps as u64 >= whole.bytes / 4096, "{steps} {whole:?}");

    // Ended in the middle, by a restart or by nobody knows what.
    let mut scrubber = store.scrubber(at(1)).unwrap();
    for _ in 0..steps * 3 / 4 {
        assert!(scrubber.step(2048) <= 2048 + 16 * 1024);
    }
    assert!(!scrubber.ended());
    scrubber.keep().unwrap();
    drop(scrubber);
    let mut left: BTreeMap<&str, u64> = BTreeMap::new();
    let mut scrubber = store.scrubber(at(2)).unwrap();
    assert_eq!(scrubber.began(), at(1), "the same pass goes on");
    while !scrubber.ended() {
        *left.entry("steps").or_default() += 1;
        *left.entry("bytes").or_default() += scrubber.step(2048);
    }
    assert!(left["bytes"] < whole.bytes / 2, "{left:?} of {whole:?}");
    store.record_scrubbed(&scrubber).unwrap();
    assert!(!store.record_scrubbed(&scrubber).unwrap(), "it is said once");
    scrubber.keep().unwrap();
    let again = store.last_scrub().unwrap().unwrap().scrub;
    assert_eq!((again.began, again.bodies, again.damaged), (at(1), whole.bodies, 0));
    fs::write(data.join("scrub"), "half a pass").unwrap();
    assert_eq!(store.scrubber(at(9)).unwrap().began(), at(9), "what does not read is begun anew");
}

#[test]
fn of_what_a_pass_could_not_read_it_says_neither_that_it_is_whole_nor_that_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = filled_store(ENGINES[0], &data, 20);
    let (log, segment) = ("ledger/checkpoints.log", "ledger/seg/00000000000000000000.seg");
    let told_since = |before: usize| -> Vec<(String, bool)> {
        told(&store).split_off(before).into_iter().map(|damage| (damage.file, damage.lost)).collect()
    };
    let unread = || store.last_scrub().unwrap().unwrap().scrub.unread;
    flip(&data.join(log), 40);
    pass(&store, 0, 4096);
    assert_eq!(told_since(0), [(log.to_owned(), true)]);
    assert!(unread().is_empty());
    // Damage in the entries hides which keys may have signed: the checkpoints are not read, and not whole for that.
    flip(&data.join(segment), 200);
    pass(&store, 1, 4096);
    flip(&data.join(segment), 200);
    assert_eq!(told_since(1), [(segment.to_owned(), true)]);
    assert_eq!(unread(), ["keys/ledger.seed", "ledger"]);
    pass(&store, 2, 4096);
    assert_eq!(told_since(2), [(segment.to_owned(), false)], "the checkpoints were read, and are as they were");
    flip(&data.join(log), 40);
    pass(&store, 3, 4096);
    assert_eq!(told_since(3), [(log.to_owned(), false)]);

    // The same holds for a place that is out of reach, and for bodies whose keys are.
    fs::rename(data.join("guard"), data.join("unmounted")).unwrap();
    let mut scrubber = store.scrubber(at(4)).unwrap();
    while !scrubber.ended() {
        scrubber.step(4096);
    }
    assert_eq!(scrubber.unread().collect::<Vec<_>>(), ["guard/high-water"]);
    assert!(!scrubber.found_damage());
}
