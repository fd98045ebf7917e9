//! Reading beside the writer.

use ledger::testing::ModelDisk;
use ledger::tree::{verify_consistency, verify_inclusion};
use ledger::{Level, Log, LogOptions, Reader, RealDisk, VerifyOptions, leaf_hash};

use crate::support::{create, dir, entries, entry, genesis, key, open, small_ledger};

#[test]
fn where_there_is_no_ledger_there_is_nothing_to_read() {
    let reader = Reader::open_on(ModelDisk::new().shared(), dir());
    assert_eq!(reader.head().unwrap(), None);
    assert_eq!(reader.size().unwrap(), 0);
    assert!(reader.entry(0).is_err() && reader.tlog_proof(0).is_err());
    assert_eq!(reader.entries(0, 0).unwrap().count(), 0);
}

#[test]
fn proofs_hold_at_every_size_while_the_ledger_grows_past_many_blocks() {
    let home = tempfile::tempdir().unwrap();
    let (dir, guard) = (home.path().join("ledger"), home.path().join("guard"));
    let options = LogOptions { segment_bytes: 30_000, ..LogOptions::default() };
    let mut log = Log::create_with(RealDisk::shared(), &dir, &guard, key(), &genesis(), options).unwrap();
    let reader = Reader::open(&dir);
    let mut heads = vec![log.head().unwrap().checkpoint.clone()];
    for batch in [254, 1, 1, 300, 456, 11, 1000, 25] {
        let next = log.size();
        log.append(&entries(next..next + batch)).unwrap();
        let head = log.head().unwrap().checkpoint.clone();
        assert_eq!(reader.root(head.size).unwrap(), head.root);
        for index in (1..head.size).step_by(97).chain([1, next, head.size - 1]) {
            let proof = reader.inclusion(index, head.size).unwrap();
            verify_inclusion(&leaf_hash(&entry(index)), index, head.size, &proof, &head.root).unwrap();
        }
        for old in &heads {
            let proof = reader.consistency(old.size, head.size).unwrap();
            verify_consistency(old.size, head.size, &proof, &old.root, &head.root).unwrap();
            assert_eq!(reader.root(old.size).unwrap(), old.root);
        }
        heads.push(head);
    }
    assert!(reader.consistency(3, log.size() + 1).is_err());
    assert!(reader.inclusion(log.size(), log.size()).is_err());
}

#[test]
fn beside_a_running_writer_readers_see_what_is_signed_for_and_verification_finds_nothing_wrong() {
    let home = tempfile::tempdir().unwrap();
    let (dir, guard) = (home.path().join("ledger"), home.path().join("guard"));
    let options = LogOptions { segment_bytes: 5_000, ..LogOptions::default() };
    let mut log = Log::create_with(RealDisk::shared(), &dir, &guard, key(), &genesis(), options).unwrap();
    let reader = Reader::open(&dir);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = 0;
            while seen < 1 + 200 * 3 {
                let head = reader.head().unwrap().unwrap().checkpoint;
                assert!(head.size >= seen);
                let all: Vec<_> = reader.entries(seen, head.size).unwrap().map(Result::unwrap).collect();
                assert_eq!(all.len() as u64, head.size - seen);
                if head.size > 1 {
                    assert_eq!(reader.entry(head.size - 1).unwrap(), entry(head.size - 1));
                    assert_eq!(reader.root(head.size).unwrap(), head.root);
                }
                seen = head.size;
            }
        });
        let verifying = scope.spawn(|| {
            let options = VerifyOptions { guard: Some(guard.clone()), ..VerifyOptions::default() };
            let mut entries = 0;
            while entries < 1 + 200 * 3 {
                let report = ledger::verify(&dir, &options, &mut |_| {});
                assert_eq!(report.exit_code(Level::Signed), 0, "{report:#?}");
                entries = report.entries;
            }
        });
        for _ in 0..200 {
            let next = log.size();
            log.append(&entries(next..next + 3)).unwrap();
        }
        watching.join().unwrap();
        verifying.join().unwrap();
    });
}

#[test]
fn a_missing_segment_ends_the_reading_with_its_name() {
    let disk = small_ledger(7);
    let segments = disk.files_below(&dir().join("seg"));
    for missing in &segments {
        let disk = disk.copy();
        disk.take_away(missing);
        let reader = Reader::open_on(disk.shared(), dir());
        let read: Vec<_> = reader.entries(0, reader.size().unwrap()).unwrap().collect();
        assert!(read.last().unwrap().is_err(), "{}", missing.display());
        assert_eq!(read.iter().filter(|entry| entry.is_err()).count(), 1);
    }
}

#[test]
fn bytes_behind_the_signed_size_are_not_read() {
    let disk = ModelDisk::new();
    drop(create(&disk).unwrap());
    let (mut log, _) = open(&disk).unwrap();
    log.append(&entries(1..3)).unwrap();
    let checkpoint = disk.content(&dir().join("checkpoint")).unwrap();
    log.append(&entries(3..5)).unwrap();
    disk.put(&dir().join("checkpoint"), &checkpoint);
    let reader = Reader::open_on(disk.shared(), dir());
    assert_eq!(reader.size().unwrap(), 3);
    assert!(reader.entry(3).is_err());
    assert_eq!(reader.entries(0, 3).unwrap().count(), 3);
}
