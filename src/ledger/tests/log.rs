//! The writer, its start, and the reader beside it.

use ledger::disk::Step;
use ledger::testing::{Fault, Harm, ModelDisk};
use ledger::{
    AppendError, GREATEST_BATCH, GREATEST_ENTRY, GuardPlaces, Level, Log, LogOptions, OpenError, Reader, RealDisk,
    SigningKey, VerifyOptions, verify_on,
};

use crate::support::{self, create, dir, entries, entry, genesis, guard, key, open, small_ledger, verify};

#[test]
fn what_was_acknowledged_is_read_back_and_proven() {
    let disk = small_ledger(8);
    let reader = Reader::open_on(disk.shared(), dir());
    let head = reader.head().unwrap().unwrap();
    assert_eq!(head.checkpoint.size, 1 + 36);
    let read: Vec<_> = reader.entries(0, 37).unwrap().map(Result::unwrap).collect();
    assert_eq!(read[0], genesis());
    assert_eq!(read[1..], entries(1..37));
    for index in 0..37 {
        assert_eq!(reader.entry(index).unwrap(), read[index as usize]);
        let proof = reader.tlog_proof(index).unwrap();
        assert_eq!(proof.verify(&read[index as usize], &[key().verifier()]).unwrap(), head.checkpoint);
        assert!(proof.verify(b"another entry", &[key().verifier()]).is_err());
    }
    assert!(reader.entry(37).is_err());
    assert!(disk.files_below(dir()).iter().filter(|file| file.extension().is_some_and(|e| e == "seg")).count() > 3);

    let report = verify(&disk);
    assert_eq!((report.problems.as_slice(), report.level), (&[][..], Level::Signed));
    assert_eq!((report.entries, report.checkpoints, report.root), (37, 9, head.checkpoint.root));
    assert_eq!(report.exit_code(Level::Signed), 0);
    assert_eq!(report.exit_code(Level::Pinned), 20);
}

#[test]
fn a_ledger_goes_on_after_a_clean_start_with_nothing_to_recover() {
    let disk = small_ledger(5);
    let (mut log, recovery) = open(&disk).unwrap();
    assert_eq!((recovery.size, recovery.dropped_bytes, recovery.finished), (16, 0, 0));
    assert_eq!(log.append(&entries(16..18)).unwrap().first, 16);
    assert_eq!(verify(&disk).exit_code(Level::Signed), 0);
}

#[test]
fn the_steps_of_an_append_come_in_their_order() {
    let disk = small_ledger(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.take_steps();
    disk.set_fault(None);
    log.append(&entries(2..3)).unwrap();
    assert_eq!(disk.take_steps(), Step::ALL);
    let changes = |line: &String| !["open", "free", "read /guard"].iter().any(|start| line.starts_with(start));
    let trace: Vec<_> = disk.trace().into_iter().filter(changes).map(|line| without_numbers(&line)).collect();
    let expected = [
        "write N bytes at N of /data/ledger/seg/N.seg",
        "sync /data/ledger/seg/N.seg",
        "read /data/ledger/seg/N.seg",
        "write N bytes at N of /guard/high-water",
        "sync /guard/high-water",
        "write N bytes at N of /data/ledger/checkpoints.log",
        "sync /data/ledger/checkpoints.log",
        "create /data/ledger/checkpoint.tmp",
        "write N bytes at N of /data/ledger/checkpoint.tmp",
        "sync /data/ledger/checkpoint.tmp",
        "rename to /data/ledger/checkpoint",
        "sync /data/ledger",
    ];
    assert_eq!(trace, expected, "{trace:#?}");
}

fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if text.ends_with('N') => {}
            '0'..='9' => text.push('N'),
            other => text.push(other),
        }
    }
    text
}

#[test]
fn batches_outside_the_limits_are_refused_and_the_log_goes_on() {
    let disk = small_ledger(1);
    let (mut log, _) = open(&disk).unwrap();
    assert!(matches!(log.append(&[]), Err(AppendError::Empty)));
    assert!(matches!(log.append(&[vec![]]), Err(AppendError::EntrySize { at: 0, len: 0 })));
    let long = vec![b'x'; GREATEST_ENTRY + 1];
    assert!(matches!(log.append(&[entry(2), long]), Err(AppendError::EntrySize { at: 1, .. })));
    assert!(matches!(log.append(&vec![entry(2); GREATEST_BATCH + 1]), Err(AppendError::TooMany(_))));
    assert_eq!(log.append(&[vec![b'x'; GREATEST_ENTRY]]).unwrap().first, 2);
}

#[test]
fn a_second_ledger_is_not_made_over_a_first_nor_where_the_guard_remembers_one() {
    let disk = small_ledger(2);
    assert!(matches!(create(&disk), Err(OpenError::GuardRemembers { size: 4, .. })));
    disk.take_away(&guard().join("high-water"));
    assert!(matches!(create(&disk), Err(OpenError::NotEmpty { .. })));
    assert!(matches!(open(&disk), Err(OpenError::GuardMissing(_))));
}

#[test]
fn an_empty_folder_is_no_ledger_and_a_used_one_is_refused() {
    let disk = ModelDisk::new();
    assert!(matches!(open(&disk), Err(OpenError::NotCreated(_))));
    let real = tempfile::tempdir().unwrap();
    std::fs::write(real.path().join("notes.txt"), "mine").unwrap();
    let guard = tempfile::tempdir().unwrap();
    let made = Log::create(RealDisk::shared(), real.path(), guard.path(), key(), &genesis());
    assert!(matches!(made, Err(OpenError::NotEmpty { found, .. }) if found == "notes.txt"));
}

#[test]
fn invariant_05_two_writers_cannot_be_open_at_once_not_even_on_a_copy_with_the_same_guard() {
    let disk = small_ledger(1);
    let (_log, _) = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::Locked(_))));

    let real = tempfile::tempdir().unwrap();
    let (first, second, guard) = (real.path().join("a"), real.path().join("b"), real.path().join("guard"));
    let log = Log::create(RealDisk::shared(), &first, &guard, key(), &genesis()).unwrap();
    std::fs::create_dir_all(second.join("seg")).unwrap();
    for file in ["checkpoint", "checkpoints.log", "seg/00000000000000000000.seg"] {
        std::fs::copy(first.join(file), second.join(file)).unwrap();
    }
    assert!(matches!(Log::open(RealDisk::shared(), &second, &guard, key()), Err(OpenError::Locked(_))));
    assert_eq!(ledger::held_by(&first).unwrap(), Some(std::process::id()), "whoever asks is told who it is");
    drop(log);
    assert_eq!(ledger::held_by(&first).unwrap(), None);
    assert_eq!(ledger::held_by(&real.path().join("none")).unwrap(), None);
    Log::open(RealDisk::shared(), &second, &guard, key()).unwrap();
}

#[test]
fn another_key_is_refused() {
    let disk = small_ledger(1);
    let other = SigningKey::from_seed(support::ORIGIN, &[8; 32]).unwrap();
    let opened = Log::open_with(disk.shared(), dir(), guard(), other, support::OPTIONS);
    assert!(matches!(opened, Err(OpenError::Checkpoint { .. })), "{opened:?}");
    let other = SigningKey::from_seed("example.org/other", &support::SEED).unwrap();
    let opened = Log::open_with(disk.shared(), dir(), guard(), other, support::OPTIONS);
    assert!(matches!(opened, Err(OpenError::Checkpoint { .. } | OpenError::Origin { .. })), "{opened:?}");
}

#[test]
fn invariant_06_an_older_copy_of_the_data_under_a_newer_guard_is_refused_with_both_sizes() {
    let disk = small_ledger(2);
    let older: Vec<_> =
        disk.files_below(dir()).into_iter().map(|file| (file.clone(), disk.content(&file).unwrap())).collect();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&entries(4..9)).unwrap();
    drop(log);
    for file in disk.files_below(dir()) {
        disk.take_away(&file);
    }
    for (file, content) in older {
        disk.put(&file, &content);
    }
    assert!(matches!(open(&disk), Err(OpenError::RolledBack { local: 4, guard: 9 })));
    let report = verify(&disk);
    assert_eq!(report.exit_code(Level::Signed), 30, "{report:?}");
    assert_eq!(report.problems[0].file, guard().join("high-water"));
}

#[test]
fn invariant_06_an_older_guard_under_newer_data_is_refused() {
    let disk = small_ledger(2);
    let older = disk.content(&guard().join("high-water")).unwrap();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&entries(4..9)).unwrap();
    drop(log);
    disk.put(&guard().join("high-water"), &older);
    assert!(matches!(open(&disk), Err(OpenError::RolledBack { local: 9, guard: 4 })));
}

#[test]
fn a_guard_that_another_process_moved_stops_the_log() {
    let disk = small_ledger(2);
    let older = disk.content(&guard().join("high-water")).unwrap();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&entries(4..6)).unwrap();
    disk.put(&guard().join("high-water"), &older);
    assert!(matches!(log.append(&entries(6..7)), Err(AppendError::Fatal { doing: "moved the high-water mark", .. })));
    assert!(matches!(log.append(&entries(6..7)), Err(AppendError::Stopped)));
}

#[test]
fn bytes_that_change_between_write_and_read_back_are_never_signed() {
    let disk = small_ledger(2);
    let (mut log, _) = open(&disk).unwrap();
    let head = log.head().unwrap().clone();
    // The write is reported as done, the sync as done, and the device holds something else.
    disk.set_fault(None);
    let probe = disk.copy();
    {
        let (mut log, _) = open(&probe).unwrap();
        probe.set_fault(None);
        log.append(&entries(4..5)).unwrap();
    }
    let write =
        probe.trace().iter().position(|line| line.starts_with("write") && line.contains(".seg")).unwrap() as u64;
    disk.set_fault(Some(Fault { at: write, harm: Harm::Garbles }));
    let appended = log.append(&entries(4..5));
    assert!(matches!(appended, Err(AppendError::Fatal { doing: "read the entries back", .. })), "{appended:?}");
    drop(log);
    disk.restart();
    let (log, recovery) = open(&disk).unwrap();
    assert_eq!(log.head().unwrap(), &head);
    assert!(recovery.dropped_bytes > 0);
}

#[test]
fn intake_stops_before_the_disk_is_full_and_goes_on_when_space_returns() {
    let disk = small_ledger(2);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_free(1000);
    assert!(matches!(log.append(&entries(4..5)), Err(AppendError::LowSpace { free: 1000, .. })));
    disk.set_free(1 << 30);
    assert_eq!(log.append(&entries(4..5)).unwrap().first, 4);
    assert_eq!(verify(&disk).exit_code(Level::Signed), 0);
}

#[test]
fn what_did_not_fit_is_taken_back_whole_and_a_shorter_batch_fits_in_its_place() {
    let disk = small_ledger(1);
    let (mut log, _) = open(&disk).unwrap();
    let segment = dir().join("seg/00000000000000000000.seg");
    let before = disk.content(&segment).unwrap();
    // Free space is asked for first; the write of the frames comes next.
    disk.set_fault(Some(Fault { at: 1, harm: Harm::NoSpace }));
    assert!(matches!(log.append(&entries(2..6)), Err(AppendError::Full(_))));
    assert_eq!(disk.content(&segment).unwrap(), before);
    log.append(&entries(2..3)).unwrap();
    drop(log);
    assert_eq!(open(&disk).unwrap().1.dropped_bytes, 0);
    assert_eq!(verify(&disk).exit_code(Level::Signed), 0);
}

#[test]
fn the_key_from_the_first_entry_is_named_as_such() {
    let disk = small_ledger(2);
    let report = verify_on(disk.shared(), dir(), &VerifyOptions::default(), &mut |_| {});
    assert_eq!(report.key_from, ledger::KeySource::FirstEntry);
    assert_eq!(report.exit_code(Level::Signed), 0);
}

#[test]
fn a_ledger_on_the_real_disk_is_written_read_and_verified() {
    let home = tempfile::tempdir().unwrap();
    let (dir, guard) = (home.path().join("ledger/main"), home.path().join("guard"));
    let options = LogOptions { segment_bytes: 20_000, ..LogOptions::default() };
    let mut log = Log::create_with(RealDisk::shared(), &dir, &guard, key(), &genesis(), options).unwrap();
    let reader = Reader::open(&dir);
    for batch in 0..40 {
        let next = 1 + batch * 20;
        assert_eq!(log.append(&entries(next..next + 20)).unwrap().first, next);
        assert_eq!(reader.entry(next + 19).unwrap(), entry(next + 19));
    }
    drop(log);
    let (log, recovery) = Log::open_with(RealDisk::shared(), &dir, &guard, key(), options).unwrap();
    assert_eq!((log.size(), recovery.dropped_bytes), (801, 0));
    assert_eq!(reader.entries(0, 801).unwrap().map(Result::unwrap).count(), 801);
    let options = VerifyOptions { guard: Some(guard), ..VerifyOptions::default() };
    let report = ledger::verify(&dir, &options, &mut |_| {});
    assert_eq!((report.entries, report.exit_code(Level::Signed)), (801, 0), "{report:?}");
}

#[test]
fn invariant_06_any_place_of_the_guard_that_is_ahead_or_differs_keeps_everything_from_being_signed() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let places = || GuardPlaces { guard: at("guard"), copies: vec![at("one"), at("two"), at("unmounted")] };
    std::fs::create_dir(at("one")).unwrap();
    std::fs::create_dir(at("two")).unwrap();
    let open = || Log::open(RealDisk::shared(), &at("ledger"), places(), key());
    let mut log = Log::create(RealDisk::shared(), &at("ledger"), places(), key(), &genesis()).unwrap();
    log.append(&entries(1..3)).unwrap();
    assert_eq!(log.unreachable_guards().iter().map(|(place, _)| place.clone()).collect::<Vec<_>>(), [at("unmounted")]);
    drop(log);
    let copy = |from: &str, to: &str| {
        for name in std::fs::read_dir(at(from)).unwrap().map(|entry| entry.unwrap().file_name()) {
            if at(from).join(&name).is_dir() {
                std::fs::create_dir_all(at(to).join(&name)).unwrap();
                for inner in std::fs::read_dir(at(from).join(&name)).unwrap().map(|entry| entry.unwrap().file_name()) {
                    std::fs::copy(at(from).join(&name).join(&inner), at(to).join(&name).join(&inner)).unwrap();
                }
            } else {
                std::fs::create_dir_all(at(to)).unwrap();
                std::fs::copy(at(from).join(&name), at(to).join(&name)).unwrap();
            }
        }
    };
    copy("ledger", "old-ledger");
    copy("guard", "old-guard");
    copy("one", "old-one");
    let (mut log, _) = open().unwrap();
    log.append(&entries(3..6)).unwrap();
    drop(log);

    // Ledger, guard and one copy put back together: the other copy alone remembers.
    for name in ["ledger", "guard", "one"] {
        copy(&format!("old-{name}"), name);
    }
    assert!(matches!(open(), Err(OpenError::RolledBack { local: 3, guard: 6 })));
    // While that one is out of reach another history is signed; once it is back it says so, whatever the size.
    std::fs::rename(at("two"), at("away")).unwrap();
    let (mut log, _) = open().unwrap();
    log.append(&[b"another".to_vec()]).unwrap();
    drop(log);
    std::fs::rename(at("away"), at("two")).unwrap();
    assert!(matches!(open(), Err(OpenError::RolledBack { local: 4, guard: 6 })));
    std::fs::rename(at("two"), at("away")).unwrap();
    let (mut log, _) = open().unwrap();
    log.append(&[b"another".to_vec(), b"and more".to_vec(), b"of it".to_vec()]).unwrap();
    drop(log);
    std::fs::rename(at("away"), at("two")).unwrap();
    assert!(matches!(open(), Err(OpenError::Diverged { size: 6, .. })));
}
