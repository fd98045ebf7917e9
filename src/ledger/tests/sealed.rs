//! Sealed bodies and the keys of records: opened with the key, by nobody without it, and by nobody once it is destroyed.

use std::path::Path;
use std::sync::Arc;

use ledger::testing::{Fault, Harm, ModelDisk, Rng};
use ledger::{
    Bodies, BodyError, BodyReader, Commitment, DataKey, KeyId, KeyState, KeyStore, KeyStoreError, Location, NONCE,
    Owners, RecordKey, Report, Seal, VerifyOptions, commit, verify_on,
};

const NAME: &str = "dora@example.org";

fn dir() -> &'static Path {
    Path::new("/data/body")
}

fn keys_path() -> &'static Path {
    Path::new("/data/keys/records")
}

fn data_key() -> DataKey {
    DataKey::new([42; 32])
}

fn record(n: u8) -> RecordKey {
    RecordKey::new([n; 32])
}

fn seal(n: u8) -> Seal {
    Seal { owners: Owners::one(record(n)), nonce: [n; NONCE] }
}

fn body(n: u8) -> Vec<u8> {
    format!("{NAME} number {n}, ").repeat(if n.is_multiple_of(2) { 1 } else { 40 }).into_bytes()
}

fn open_keys(disk: &ModelDisk, key: &DataKey) -> Result<Arc<KeyStore>, KeyStoreError> {
    KeyStore::open(disk.shared(), keys_path(), key, true, &mut |_, _| {})
}

/// A key store and a writer of bodies; made where there are none.
fn open(disk: &ModelDisk) -> Result<(Arc<KeyStore>, Bodies), BodyError> {
    let shared = disk.shared();
    ledger::disk::make_dir(shared.as_ref(), keys_path().parent().unwrap()).map_err(|_| BodyError::Stopped)?;
    if !shared.exists(keys_path()).map_err(|_| BodyError::Stopped)? {
        KeyStore::create(shared.as_ref(), keys_path(), &data_key())?;
    }
    let keys = open_keys(disk, &data_key())?;
    let bodies = Bodies::open_with(shared, dir(), 2000)?.with_keys(keys.clone());
    Ok((keys, bodies))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_a_running_daemon_seals_after_the_keys_were_read_is_no_problem_of_the_ledger() {
    let disk = ModelDisk::new();
    let (keys, mut bodies) = open(&disk).unwrap();
    keys.add(record(1), b"", &[1; NONCE]).unwrap();
    bodies.append_sealed(&seal(1), [9; 32], &body(1), false).unwrap();
    bodies.sync().unwrap();
    let read = KeyStore::open(disk.shared(), keys_path(), &data_key(), false, &mut |_, _| {}).unwrap();
    keys.add(record(2), b"", &[2; NONCE]).unwrap();
    let (_, end) = bodies.append_sealed(&seal(2), [7; 32], &body(2), false).unwrap();
    bodies.sync().unwrap();
    // There is no ledger here, which is a problem of its own; only the bodies are looked at.
    let of_bodies = |bodies_until| {
        let options = VerifyOptions {
            bodies: Some(dir().to_owned()),
            keys: Some(read.clone()),
            bodies_until,
            ..VerifyOptions::default()
        };
        let Report { bodies, problems, .. } =
            verify_on(disk.shared(), Path::new("/data/ledger"), &options, &mut |_| {});
        (bodies, problems.iter().filter(|problem| problem.what.contains("record key")).count())
    };
    assert_eq!(of_bodies(None), (1, 1), "to the end, the second body has no key");
    assert_eq!(of_bodies(Some(end)), (1, 0), "as far as there was something when the keys were read");
}

#[test]
fn a_sealed_body_opens_with_its_key_and_shows_nothing_without() {
    let disk = ModelDisk::new();
    let (keys, mut bodies) = open(&disk).unwrap();
    for n in 1..=2 {
        keys.add(record(n), format!("user {NAME} {n}").as_bytes(), &[n; NONCE]).unwrap();
    }
    let plain = bodies.append([8; 32], b"of the time before").unwrap();
    let whole = bodies.append_sealed(&seal(1), [9; 32], &body(1), false).unwrap();
    let lines = bodies.append_sealed(&seal(2), [7; 32], &body(2), true).unwrap();
    let both = Seal { owners: Owners::two(record(1), record(2)), nonce: [3; NONCE] };
    let joint = bodies.append_sealed(&both, [6; 32], &body(3), false).unwrap();
    assert_eq!(bodies.read(joint.1).unwrap(), body(3), "before the sync");
    bodies.sync().unwrap();
    assert_eq!(whole.0, commit(&[9; 32], &body(1)));

    let reader = || BodyReader::open_on(disk.shared(), dir());
    let keyed = reader().with_keys(open_keys(&disk, &data_key()).unwrap());
    assert_eq!(keyed.read_salted(whole.1).unwrap(), ([9; 32], body(1)));
    assert_eq!(keyed.read_salted(lines.1).unwrap(), ([7; 32], body(2)));
    assert_eq!(keyed.read_salted(joint.1).unwrap(), ([6; 32], body(3)));
    for bodies in [&keyed, &reader()] {
        assert_eq!(bodies.read(plain.1).unwrap(), b"of the time before", "unsealed ones stay readable");
    }
    assert!(matches!(reader().read(whole.1), Err(BodyError::NoKey(id)) if id == record(1).id()));
    let mut scan = reader().scan(Location::default()).unwrap();
    let mut owners = Vec::new();
    while let Some(found) = scan.next() {
        found.unwrap();
        owners.push(scan.keys().to_vec());
    }
    let (one, two) = (record(1).id(), record(2).id());
    assert_eq!(owners, [vec![], vec![one], vec![two], vec![one, two]]);

    let pack = disk.content(&dir().join("pack-00000000")).unwrap();
    let file = disk.content(keys_path()).unwrap();
    for bytes in [&pack, &file] {
        for hidden in [NAME.as_bytes(), &[9; 32], &[7; 32], &[1; 32]] {
            assert!(!contains(bytes, hidden), "{hidden:?}");
        }
    }
    assert!(matches!(open_keys(&disk, &DataKey::new([1; 32])), Err(KeyStoreError::OtherKey { .. })));
}

#[test]
fn invariant_18_what_was_erased_is_said_to_be_erased_and_everything_else_opens() {
    let disk = ModelDisk::new();
    let (keys, mut bodies) = open(&disk).unwrap();
    let mut stored = Vec::new();
    for n in 1..=4 {
        keys.add(record(n), NAME.as_bytes(), &[n; NONCE]).unwrap();
        stored.push(bodies.append_sealed(&seal(n), [n; 32], &body(n), false).unwrap());
    }
    let both = Seal { owners: Owners::two(record(1), record(2)), nonce: [9; NONCE] };
    let joint = bodies.append_sealed(&both, [6; 32], &body(3), false).unwrap();
    bodies.sync().unwrap();
    let before = disk.content(keys_path()).unwrap();
    let id = record(2).id();
    assert_eq!(keys.destroy(&[id]).unwrap(), 1);
    assert_eq!(keys.destroy(&[id]).unwrap(), 0);
    let after = disk.content(keys_path()).unwrap();
    let line = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().lines().nth(2).unwrap().to_owned();
    assert!(line(&after).starts_with(&id.to_string()) && line(&after).ends_with("----"), "{}", line(&after));
    assert_eq!(before.len(), after.len());
    let mut learnt: Vec<(KeyId, bool)> = Vec::new();
    let again = KeyStore::open(disk.shared(), keys_path(), &data_key(), false, &mut |id, label| {
        learnt.push((id, label.is_some()));
    });
    assert_eq!(learnt, [1, 2, 3, 4].map(|n| (record(n).id(), n != 2)));
    let reader = BodyReader::open_on(disk.shared(), dir()).with_keys(again.unwrap());
    for (n, (_, location)) in (1..).zip(&stored) {
        match (n, reader.read(*location)) {
            (2, read) => assert!(matches!(read, Err(BodyError::Destroyed(gone)) if gone == id), "{read:?}"),
            (n, read) => assert_eq!(read.unwrap(), body(n)),
        }
    }
    assert!(matches!(reader.read(joint.1), Err(BodyError::Destroyed(_))), "it spoke of both");
    assert!(matches!(keys.add(record(2), b"", &[0; NONCE]), Err(KeyStoreError::Refused(_))), "no key comes back");
}

#[test]
fn invariant_10_every_flipped_bit_of_a_sealed_record_or_of_a_key_is_named() {
    let disk = ModelDisk::new();
    let (keys, mut bodies) = open(&disk).unwrap();
    let mut stored = Vec::new();
    for n in 1..=3 {
        keys.add(record(n), NAME.as_bytes(), &[n; NONCE]).unwrap();
        stored.push(bodies.append_sealed(&seal(n), [n; 32], &body(n), false).unwrap().1);
    }
    bodies.sync().unwrap();
    let (path, reader) = (dir().join("pack-00000000"), BodyReader::open_on(disk.shared(), dir()).with_keys(keys));
    let whole = disk.content(&path).unwrap();
    let mut flips = 0;
    for (at, bit) in (stored[0].offset as usize..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        disk.put(&path, &bytes);
        let hit = stored.iter().rposition(|location| location.offset as usize <= at).unwrap();
        match reader.read(stored[hit]) {
            Err(BodyError::Damaged(damage)) => {
                assert_eq!((damage.file, damage.offset), (path.clone(), stored[hit].offset))
            }
            other => panic!("byte {at}, bit {bit}: {other:?}"),
        }
        flips += 1;
    }
    assert!(flips > 3_000, "{flips}");
    disk.put(&path, &whole);
    let whole = disk.content(keys_path()).unwrap();
    for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        disk.put(keys_path(), &bytes);
        let line = whole[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        match KeyStore::open(disk.shared(), keys_path(), &data_key(), false, &mut |_, _| {}) {
            Err(KeyStoreError::Damaged { line: found, .. }) => assert_eq!(found, line, "byte {at}, bit {bit}"),
            Err(KeyStoreError::OtherKey { .. }) if line == 1 => {}
            other => panic!("byte {at}, bit {bit}: {other:?}"),
        }
    }
}

/// A record of its own for every body, each synced with the next. Whether a fault struck.
fn live(disk: &ModelDisk, durable: &mut Vec<(Commitment, Location)>) -> bool {
    let Ok((keys, mut bodies)) = open(disk) else { return true };
    let mut group = Vec::new();
    for n in 1..=12 {
        if keys.add(record(n), NAME.as_bytes(), &[n; NONCE]).is_err() {
            return true;
        }
        match bodies.append_sealed(&seal(n), [n; 32], &body(n), n.is_multiple_of(3)) {
            Ok(stored) => group.push(stored),
            Err(_) => return true,
        }
        if n.is_multiple_of(2) {
            if bodies.sync().is_err() {
                return true;
            }
            durable.append(&mut group);
        }
    }
    false
}

#[test]
fn invariant_01_a_key_is_durable_before_the_first_record_that_needs_it_wherever_a_fault_strikes() {
    let calm = ModelDisk::new();
    calm.set_fault(None);
    assert!(!live(&calm, &mut Vec::new()));
    let operations = calm.operations();
    let mut points = 0;
    for (at, harm) in (0..operations)
        .flat_map(|at| [Harm::PowerLoss, Harm::FailsKept, Harm::FailsLost, Harm::NoSpace].map(|harm| (at, harm)))
    {
        let disk = ModelDisk::new();
        disk.set_fault(Some(Fault { at, harm }));
        let mut durable = Vec::new();
        if !live(&disk, &mut durable) {
            continue;
        }
        for seed in 0..6 {
            let after = disk.copy();
            if seed < 2 && harm != Harm::PowerLoss {
                after.restart();
            } else {
                after.lose_power(&mut Rng::new(at * 7 + seed));
            }
            let told = format!("{harm:?} at {at}, seed {seed}");
            let (keys, mut bodies) = open(&after).unwrap_or_else(|error| panic!("{told}: {error:?}"));
            let scanned: Vec<_> = bodies.scan(Location::default()).unwrap().map(Result::unwrap).collect();
            assert_eq!(scanned[..durable.len()], durable, "{told}");
            // Not one record is there that cannot be opened, be it acknowledged or not.
            for (n, (commitment, location)) in (1..).zip(&scanned) {
                let (salt, found) = bodies.read_salted(*location).unwrap_or_else(|error| panic!("{told}: {error:?}"));
                assert_eq!((salt, &found), ([n; 32], &body(n)), "{told}, {commitment}");
            }
            keys.add(record(99), b"", &[99; NONCE]).unwrap();
            let next = bodies.append_sealed(&seal(99), [99; 32], b"the next", false).unwrap();
            bodies.sync().unwrap();
            assert_eq!(bodies.read(next.1).unwrap(), b"the next", "{told}");
            points += 1;
        }
    }
    println!("{points} crash points of sealed bodies over {operations} operations");
    assert!(points > 1_000, "{points}");
}

#[test]
fn a_key_that_was_being_destroyed_or_rewrapped_is_either_whole_or_finished_by_doing_it_again() {
    let other = DataKey::new([77; 32]);
    let ready = || {
        let disk = ModelDisk::new();
        let (keys, _bodies) = open(&disk).unwrap();
        for n in 1..=5 {
            keys.add(record(n), NAME.as_bytes(), &[n; NONCE]).unwrap();
        }
        keys.sync().unwrap();
        disk
    };
    let rewrap = |disk: &ModelDisk| {
        KeyStore::rewrap(disk.shared(), keys_path(), &data_key(), &other, &mut || Ok([5; NONCE])).is_ok()
    };
    let destroy =
        |disk: &ModelDisk| open_keys(disk, &data_key()).and_then(|keys| keys.destroy(&[record(3).id()])).is_ok();
    let mut points = 0;
    for (rewraps, at) in [true, false].into_iter().flat_map(|rewraps| (0..40).map(move |at| (rewraps, at))) {
        for (harm, seed) in [Harm::PowerLoss, Harm::FailsKept, Harm::FailsLost]
            .into_iter()
            .flat_map(|harm| (0..6).map(move |seed| (harm, seed)))
        {
            let disk = ready();
            disk.set_fault(Some(Fault { at, harm }));
            if if rewraps { rewrap(&disk) } else { destroy(&disk) } {
                continue;
            }
            disk.lose_power(&mut Rng::new(at * 11 + seed));
            let told = format!("rewraps {rewraps}, {harm:?} at {at}, seed {seed}");
            let under = if rewraps && open_keys(&disk, &other).is_ok() { &other } else { &data_key() };
            let keys = open_keys(&disk, under).unwrap_or_else(|error| panic!("{told}: {error:?}"));
            let expected =
                |n: u8, gone: bool| if n == 3 && gone { KeyState::Destroyed } else { KeyState::Here(record(n)) };
            let gone = !rewraps && keys.get(&record(3).id()) == KeyState::Destroyed;
            assert!((1..=5).all(|n| keys.get(&record(n).id()) == expected(n, gone)), "{told}");
            keys.destroy(&[record(3).id()]).unwrap();
            let text = String::from_utf8(disk.content(keys_path()).unwrap()).unwrap();
            let line = text.lines().find(|line| line.starts_with(&record(3).id().to_string())).unwrap();
            assert!(line[33..].bytes().all(|byte| byte == b'-'), "{told}: {line}");
            let again = open_keys(&disk, under).unwrap();
            assert!((1..=5).all(|n| again.get(&record(n).id()) == expected(n, true)), "{told}");
            points += 1;
        }
    }
    assert!(points > 100, "{points}");
}
