//! A copy, read back: whole or not at all.

use std::fs;
use std::path::Path;

use ledger::Reader;
use store::{InitError, Layout, Offline, Read, RestoreError, Restoring, Store};

use crate::{intent, new_store, options, run};

/// A copy of a data directory with some entries.
fn copy(data: &Path) -> Vec<u8> {
    let store = new_store(data);
    let begun = intent(&store, 3);
    store.record_run(begun, &run(3, &[("dora", true)])).unwrap();
    drop(store);
    let mut copy = Vec::new();
    store::backup(data, &mut copy).unwrap();
    copy
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_that_ends_early_is_said_to_be_cut_short_wherever_it_ends_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy(&dir.path().join("data"));
    let to = dir.path().join("to");
    // Every end of a block, where a file may seem to be whole, and an end within each.
    let ends = (0..copy.len()).step_by(512).flat_map(|at| [at, at + 100]).filter(|at| *at < copy.len());
    let mut told = 0;
    for end in ends {
        match Restoring::unpack(&mut &copy[..end], &to).map(|copy| copy.about.clone()) {
            Err(RestoreError::CutShort) => told += 1,
            // Not even its name is there.
            Err(RestoreError::Form(_)) if end < 1024 => {}
            other => panic!("{end} of {} bytes: {other:?}", copy.len()),
        }
        assert_eq!(names(&to), Vec::<String>::new(), "after {end} bytes");
    }
    assert!(told > 20, "{told}");
    let about = Restoring::unpack(&mut copy.as_slice(), &to).unwrap().keep().unwrap();
    assert_eq!(names(&to), ["body", "keys", "ledger"], "the same folder takes the whole one");
    let head = Offline::open(&to).unwrap().head().unwrap();
    assert_eq!((about.entries, about.root), (head.size, head.root), "the count is that of the ledger");
}

#[test]
fn a_copy_whose_first_file_counts_other_entries_than_its_ledger_holds_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut copy = copy(&dir.path().join("data"));
    let said = br#""entries":3"#;
    let at = copy.windows(said.len()).position(|window| window == said).unwrap();
    copy[at + said.len() - 1] = b'9';
    let to = dir.path().join("to");
    let told = Restoring::unpack(&mut copy.as_slice(), &to).unwrap_err().to_string();
    assert!(told.contains("says that it holds 9 entries of test/ledger"), "{told}");
    assert!(told.contains("its ledger is 3 entries of test/ledger"), "{told}");
    assert_eq!(names(&to), Vec::<String>::new());
}

#[test]
fn a_restore_that_was_killed_is_done_again_and_nothing_else_is_ever_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy(&dir.path().join("data"));
    let to = dir.path().join("to");
    // As a process leaves it that was killed while it put everything in its place.
    fs::create_dir_all(to.join("restoring").join("ledger")).unwrap();
    fs::create_dir_all(to.join("body")).unwrap();
    fs::write(to.join("body").join("000000"), "half").unwrap();
    let begun = Store::init(&options(&to, 0), "test/ledger", "test 1");
    assert!(matches!(begun, Err(InitError::Restoring(_))), "{begun:?}");
    fs::write(to.join("letter"), "dear").unwrap();
    assert!(matches!(Restoring::unpack(&mut copy.as_slice(), &to), Err(RestoreError::NotEmpty(_))));
    assert_eq!(names(&to), ["body", "letter", "restoring"]);
    fs::remove_file(to.join("letter")).unwrap();
    drop(Restoring::unpack(&mut copy.as_slice(), &to).unwrap());
    assert_eq!(names(&to), Vec::<String>::new(), "what is not wanted after all is taken away");
    Restoring::unpack(&mut copy.as_slice(), &to).unwrap().keep().unwrap();
    assert_eq!(Reader::open(&Layout::new(&to).ledger()).size().unwrap(), 3);

    // A ledger that is in its place is never taken for a leftover.
    fs::create_dir(to.join("restoring")).unwrap();
    assert!(matches!(Restoring::unpack(&mut copy.as_slice(), &to), Err(RestoreError::NotEmpty(_))));
    assert_eq!(Reader::open(&Layout::new(&to).ledger()).size().unwrap(), 3);
}
