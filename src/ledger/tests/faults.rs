//! What a ledger promises of syncs that fail, disks that are full, a second signer, and bytes that changed at rest.

use std::path::Path;

use ledger::disk::make_dir;
use ledger::testing::{Fault, Harm, ModelDisk};
use ledger::{AppendError, FatalCause, GuardError, Level, Log, Reader};

use crate::support::{self, dir, entries, entry, genesis, guard, key, open, small_ledger, verify};

/// What an append of these entries does to the disk, one operation after the other.
fn operations(disk: &ModelDisk, batch: &[Vec<u8>]) -> Vec<String> {
    let probe = disk.copy();
    let (mut log, _) = open(&probe).unwrap();
    probe.set_fault(None);
    log.append(batch).unwrap();
    probe.trace()
}

#[test]
fn invariant_05_of_two_signers_on_one_guard_only_one_goes_on() {
    let disk = small_ledger(2);
    let other = Path::new("/data/other");
    make_dir(disk.shared().as_ref(), &other.join("seg")).unwrap();
    for file in disk.files_below(dir()) {
        disk.put(&other.join(file.strip_prefix(dir()).unwrap()), &disk.content(&file).unwrap());
    }
    for first_signs in [true, false] {
        let disk = disk.copy();
        // A lock that is not kept, as on a network file system that lost it: both are open.
        let (mut one, _) = open(&disk).unwrap();
        disk.restart();
        let (mut two, _) = Log::open_with(disk.shared(), other, guard(), key(), support::OPTIONS).unwrap();
        if !first_signs {
            std::mem::swap(&mut one, &mut two);
        }
        one.append(&entries(4..6)).unwrap();
        let late = two.append(&entries(7..9));
        let moved = FatalCause::Guard(GuardError::Moved);
        let AppendError::Fatal { cause, .. } = late.unwrap_err() else { panic!("it went on") };
        assert_eq!(cause.to_string(), moved.to_string());
        assert!(matches!(two.append(&entries(7..9)), Err(AppendError::Stopped)));
        one.append(&entries(6..7)).unwrap();
        assert_eq!(two.head().unwrap().checkpoint.size, 4, "the one that came late signed nothing");
    }
}

#[test]
fn invariant_07_a_sync_that_fails_stops_the_log_and_a_restart_rests_on_no_cached_byte() {
    let start = small_ledger(2);
    let batch = entries(4..12);
    let trace = operations(&start, &batch);
    let syncs: Vec<usize> = (0..trace.len()).filter(|at| trace[*at].starts_with("sync")).collect();
    assert!(syncs.len() >= 5, "{trace:#?}");
    for at in syncs {
        for harm in [Harm::FailsLost, Harm::FailsKept] {
            let told = format!("{harm:?} at {}", trace[at]);
            let disk = start.copy();
            let (mut log, _) = open(&disk).unwrap();
            disk.set_fault(Some(Fault { at: at as u64, harm }));
            assert!(matches!(log.append(&batch), Err(AppendError::Fatal { .. })), "{told}");
            assert!(matches!(log.append(&batch), Err(AppendError::Stopped)), "{told}: it is not tried again");
            drop(log);
            // The next process still sees in the page cache what never reached the device.
            disk.restart();
            let (log, _) = open(&disk).unwrap();
            let (size, head) = (log.size(), log.head().cloned());
            assert!(size == 4 || size == 12, "{told}: {size}");
            drop(log);
            disk.lose_everything_unsynced();
            let (mut log, again) = open(&disk).unwrap();
            assert_eq!((log.size(), log.head().cloned()), (size, head), "{told}");
            assert_eq!((again.dropped_bytes, again.finished), (0, 0), "{told}");
            let reader = Reader::open_on(disk.shared(), dir());
            let found: Vec<_> = reader.entries(1, size).unwrap().map(Result::unwrap).collect();
            assert_eq!(found, entries(1..size), "{told}");
            log.append(&entries(size..size + 1)).unwrap();
            assert_eq!(verify(&disk).exit_code(Level::Signed), 0, "{told}");
        }
    }
}

#[test]
fn invariant_08_a_full_disk_acknowledges_nothing_damages_nothing_and_service_resumes() {
    let start = small_ledger(2);
    let batch = entries(4..12);
    let trace = operations(&start, &batch);
    let mut full = 0;
    for at in 0..trace.len() as u64 {
        // As often as it is tried again while the disk is full; and then with the same batch, or with another.
        for (tries, then) in [(1, 4..12), (2, 4..12), (2, 4..6)] {
            let told = format!("at {} ({tries} times)", trace[at as usize]);
            let disk = start.copy();
            let (mut log, _) = open(&disk).unwrap();
            let mut refused = false;
            for _ in 0..tries {
                disk.set_fault(Some(Fault { at, harm: Harm::NoSpace }));
                match log.append(&batch) {
                    // Not every operation needs space.
                    Ok(_) => break,
                    Err(AppendError::Full(_)) => refused = true,
                    Err(AppendError::Fatal { .. }) => {
                        refused = true;
                        drop(log);
                        disk.restart();
                        log = open(&disk).unwrap().0;
                        break;
                    }
                    Err(other) => panic!("{told}: {other:?}"),
                }
                assert_eq!((log.size(), verify(&disk).exit_code(Level::Signed)), (4, 0), "{told}");
            }
            disk.set_fault(None);
            if log.size() == 4 {
                log.append(&entries(then)).unwrap();
            }
            let size = log.size();
            log.append(&entries(size..size + 1)).unwrap();
            drop(log);
            disk.lose_everything_unsynced();
            let (log, recovery) = open(&disk).unwrap();
            assert_eq!((log.size(), recovery.dropped_bytes), (size + 1, 0), "{told}");
            let reader = Reader::open_on(disk.shared(), dir());
            let found: Vec<_> = reader.entries(1, size + 1).unwrap().map(Result::unwrap).collect();
            assert_eq!(found, entries(1..size + 1), "{told}");
            assert_eq!(verify(&disk).exit_code(Level::Signed), 0, "{told}");
            full += usize::from(refused);
        }
    }
    assert!(full > 10, "{full} appends met a full disk");
}

#[test]
fn invariant_10_no_reader_gives_out_an_entry_or_a_proof_that_was_changed_at_rest() {
    let disk = small_ledger(4);
    let size = Reader::open_on(disk.shared(), dir()).size().unwrap();
    let truth: Vec<_> = std::iter::once(genesis()).chain((1..size).map(entry)).collect();
    let files = disk.files_below(&dir().join("seg")).into_iter().chain([dir().join("checkpoint")]);
    let (mut refused, mut changed) = (0, 0);
    for file in files {
        let whole = disk.content(&file).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            disk.put(&file, &bytes);
            let reader = Reader::open_on(disk.shared(), dir());
            let mut all = true;
            for (index, true_entry) in (0..).zip(&truth) {
                if let Ok(found) = reader.entry(index) {
                    assert_eq!(&found, true_entry, "byte {at} of {}", file.display());
                } else {
                    all = false;
                }
            }
            // A proof is given with the checkpoint it leads to, and whoever is given it holds it against the key.
            if let Ok(proof) = reader.tlog_proof(at as u64 % size)
                && let Ok(checkpoint) = proof.verify(&truth[at % size as usize], &[key().verifier()])
            {
                assert_eq!(checkpoint.size, size);
            } else {
                all = false;
            }
            refused += usize::from(!all);
            changed += 1;
        }
        disk.put(&file, &whole);
    }
    println!("{changed} bytes changed, one at a time: {refused} met by a read, and refused");
    assert!(refused * 10 > changed * 9, "{refused} of {changed}");
}
