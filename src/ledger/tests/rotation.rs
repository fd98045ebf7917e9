//! The change of the signing key: what verifies across it, what never does, and a fault at every operation of it.

use ledger::disk::SharedDisk;
use ledger::testing::{Fault, Harm, ModelDisk, Rng};
use ledger::{
    Checkpoint, KeyFault, KeyRing, Level, Log, OpenError, Reader, Signers, SigningKey, VerifierKey, VerifyOptions,
    leaf_hash, succession, verify_on,
};

use crate::support::{OPTIONS, ORIGIN, dir, entries, genesis, guard, key};

fn next() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap()
}

fn stranger() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[9; 32]).unwrap()
}

fn names(now: &SigningKey, next: &SigningKey) -> Vec<u8> {
    let note = serde_json::Value::from(succession(now, next).unwrap());
    format!(r#"{{"at":"x","succession":{note},"t":"key","v":1}}"#).into_bytes()
}

fn retires(key: &SigningKey) -> Vec<u8> {
    format!(r#"{{"at":"x","retires":"{}","t":"key","v":1}}"#, key.verifier()).into_bytes()
}

/// The whole life: two entries, the successor, two more under both keys, the end of the old key, two more.
fn life() -> Vec<Vec<Vec<u8>>> {
    let both = names(&key(), &next());
    vec![entries(1..3), vec![both], entries(4..6), vec![retires(&key())], entries(7..9)]
}

fn open(disk: SharedDisk) -> Result<Log, OpenError> {
    let keys = Signers::from(key()).and(next());
    match Log::open_with(disk.clone(), dir(), guard(), keys, OPTIONS) {
        Err(OpenError::NotCreated(_)) => {
            Log::create_with(disk, dir(), guard(), Signers::from(key()).and(next()), &genesis(), OPTIONS)
        }
        opened => opened.map(|(log, _)| log),
    }
}

/// Lives until the end or the first failure; how many entries were acknowledged.
fn live(disk: &ModelDisk) -> u64 {
    let Ok(mut log) = open(disk.shared()) else { return 0 };
    let mut size = 1;
    for batch in life() {
        size += batch.len() as u64;
        if log.size() < size && log.append(&batch).is_err() {
            return log.size();
        }
    }
    log.size()
}

fn check(disk: &ModelDisk, key: Option<VerifierKey>) -> ledger::Report {
    let options = VerifyOptions { key, guard: Some(guard().to_owned()), ..VerifyOptions::default() };
    verify_on(disk.shared(), dir(), &options, &mut |_| {})
}

fn whole() -> ModelDisk {
    let disk = ModelDisk::new();
    assert_eq!(live(&disk), 9);
    disk
}

/// How many keys signed each checkpoint, by its size.
fn signatures(disk: &ModelDisk) -> Vec<(u64, usize)> {
    let log = disk.content(&dir().join("checkpoints.log")).unwrap();
    let text = String::from_utf8(log).unwrap();
    let records = text.split_inclusive("\n\n").collect::<Vec<_>>();
    let pairs = records.chunks(2).map(|pair| (pair[0], pair[1]));
    pairs
        .map(|(head, lines)| (head.lines().nth(1).unwrap().parse().unwrap(), lines.matches('\u{2014}').count()))
        .collect()
}

#[test]
fn invariant_26_entries_before_and_after_a_rotation_verify_by_either_key() {
    let disk = whole();
    assert_eq!(signatures(&disk), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 1), (9, 1)]);
    for given in [None, Some(key().verifier()), Some(next().verifier())] {
        let report = check(&disk, given.clone());
        assert_eq!((report.exit_code(Level::Signed), report.entries), (0, 9), "{given:?}: {report:#?}");
        assert_eq!((report.keys[0].from, report.keys[0].until), (0, Some(6)));
        assert_eq!((report.keys[1].from, report.keys[1].until), (4, None));
    }
    let report = check(&disk, Some(stranger().verifier()));
    assert_eq!(report.exit_code(Level::Signed), 40);
    let reader = Reader::open_on(disk.shared(), dir());
    let (ring, faults) = reader.key_ring().unwrap().unwrap();
    assert!(faults.is_empty());
    for index in 0..9 {
        reader.tlog_proof(index).unwrap().verify(&reader.entry(index).unwrap(), &ring.at(9)).unwrap();
    }
}

#[test]
fn invariant_26_a_signature_by_an_unlisted_key_or_by_a_retired_one_beyond_its_size_never_verifies() {
    let root = leaf_hash(b"x");
    let ring = {
        let disk = whole();
        Reader::open_on(disk.shared(), dir()).key_ring().unwrap().unwrap().0
    };
    for (by, from, to) in [(key(), 0, 6), (next(), 4, 99), (stranger(), 1, 0)] {
        for size in 0..12 {
            let signed = Checkpoint { origin: ORIGIN.into(), size, root }.sign(&by).unwrap();
            let accepted = ledger::SignedCheckpoint::verify_by(signed.note.as_bytes(), &ring).is_ok();
            assert_eq!(accepted, (from..=to).contains(&size), "{by:?} over {size} entries");
        }
    }
    // In a ledger: the newest checkpoint signed again by the retired key, or by one that nobody named.
    for by in [key(), stranger()] {
        let disk = whole();
        let path = dir().join("checkpoint");
        let now = String::from_utf8(disk.content(&path).unwrap()).unwrap();
        let text = now.split_once("\n\n").unwrap().0.to_owned() + "\n";
        disk.put(&path, by.sign(&text).unwrap().as_bytes());
        assert_eq!(check(&disk, None).exit_code(Level::Signed), 40, "{by:?}");
    }
    // The old key alone can neither be used to go on nor name another successor.
    let disk = whole();
    let opened = Log::open_with(disk.shared(), dir(), guard(), key(), OPTIONS);
    assert!(matches!(opened, Err(OpenError::Checkpoint { .. })), "{opened:?}");
}

#[test]
fn an_entry_that_speaks_of_keys_and_does_not_hold_changes_nothing_and_is_named() {
    let others =
        |note: String| format!(r#"{{"succession":{},"t":"key","v":1}}"#, serde_json::Value::from(note)).into_bytes();
    let one_signature = key().sign(succession(&key(), &next()).unwrap().split("\n\n").next().unwrap()).err();
    assert!(one_signature.is_some(), "a text needs its last newline");
    let text = succession(&key(), &next()).unwrap().split_once("\n\n").unwrap().0.to_owned() + "\n";
    let table = [
        (others(next().sign(&text).unwrap()), "signed by the new key alone"),
        (others(key().sign(&text).unwrap()), "signed by the old key alone"),
        (names(&stranger(), &next()), "named by a stranger"),
        (names(&key(), &key()), "itself"),
        (retires(&key()), "the only key retired"),
        (br#"{"t":"key","v":1}"#.to_vec(), "neither form"),
    ];
    for (entry, what) in table {
        let disk = ModelDisk::new();
        let mut log = open(disk.shared()).unwrap();
        log.append(std::slice::from_ref(&entry)).unwrap();
        log.append(&entries(2..4)).unwrap();
        assert_eq!(log.ring(), &KeyRing::new(key().verifier()), "{what}");
        let mut ring = KeyRing::new(key().verifier());
        assert!(ring.take(1, &entry).is_err(), "{what}");
        let report = check(&disk, None);
        assert_eq!(report.exit_code(Level::Signed), 40, "{what}");
        assert!(report.problems.iter().any(|problem| problem.entry == Some(1)), "{what}: {report:#?}");
    }
    let mut ring = KeyRing::new(key().verifier());
    ring.take(1, &names(&key(), &next())).unwrap();
    assert_eq!(ring.take(2, &names(&next(), &stranger())), Err(KeyFault::Early), "one change at a time");
}

#[test]
fn a_rotation_that_a_fault_interrupts_at_any_operation_goes_on_where_it_was() {
    let calm = ModelDisk::new();
    calm.set_fault(None);
    assert_eq!(live(&calm), 9);
    let mut points = 0;
    for at in 0..calm.operations() {
        for harm in [Harm::PowerLoss, Harm::FailsKept, Harm::FailsLost, Harm::NoSpace] {
            let disk = ModelDisk::new();
            disk.set_fault(Some(Fault { at, harm }));
            let acknowledged = live(&disk);
            for seed in 0..4 {
                let after = disk.copy();
                if seed == 0 && harm != Harm::PowerLoss {
                    after.restart();
                } else {
                    after.lose_power(&mut Rng::new(at * 8 + seed));
                }
                let told = format!("{harm:?} at {at}, seed {seed}");
                let log = open(after.shared()).unwrap_or_else(|error| panic!("{told}: {error:?}"));
                assert!(log.size() >= acknowledged, "{told}");
                drop(log);
                assert_eq!(live(&after), 9, "{told}");
                // A batch that was cut off and finished has the signatures of its size, as every other.
                for (size, count) in signatures(&after) {
                    assert_eq!(count, if (4..=6).contains(&size) { 2 } else { 1 }, "{told}: over {size}");
                }
                for given in [key(), next()] {
                    let report = check(&after, Some(given.verifier()));
                    assert_eq!(report.exit_code(Level::Signed), 0, "{told}: {report:#?}");
                }
                points += 1;
            }
        }
    }
    assert!(points > 1000, "{points}");
    println!("{points} ways to be interrupted");
}
