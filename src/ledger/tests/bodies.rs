//! Bodies: stored once, bound by a salted commitment, durable after a sync and not before.

use std::path::Path;

use ledger::testing::{Fault, Harm, ModelDisk, Rng};
use ledger::{
    Bodies, BodyError, BodyReader, Commitment, GREATEST_BODY, LINES_TAG, Location, RealDisk, commit, commit_lines,
    commit_to_lines, line_salt,
};

fn dir() -> &'static Path {
    Path::new("/data/body")
}

fn salt(n: u64) -> [u8; 32] {
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&n.to_le_bytes());
    salt
}

/// Short and long bodies in turn; the long ones compress.
fn body(n: u64) -> Vec<u8> {
    format!(r#"{{"n":{n}}} "#).repeat(if n.is_multiple_of(3) { 60 } else { 1 + n as usize % 4 }).into_bytes()
}

fn open(disk: &ModelDisk) -> Result<Bodies, BodyError> {
    Bodies::open_with(disk.shared(), dir(), 2000)
}

#[test]
fn a_body_is_read_back_and_its_commitment_is_the_hash_of_salt_and_body() {
    let home = tempfile::tempdir().unwrap();
    let mut bodies = Bodies::open(RealDisk::shared(), home.path()).unwrap();
    let many: Vec<_> = (0..300).map(|n| (salt(n), body(n))).collect();
    let given: Vec<_> = many.iter().map(|(salt, body)| (*salt, body.as_slice())).collect();
    let stored = bodies.append_many(&given).unwrap();
    let reader = BodyReader::open(home.path());
    for (n, (commitment, location)) in stored.iter().enumerate() {
        assert_eq!(*commitment, commit(&salt(n as u64), &body(n as u64)));
        assert_eq!(bodies.read(*location).unwrap(), body(n as u64), "before the sync");
    }
    assert!(reader.scan(Location::default()).unwrap().next().is_none(), "nothing is durable yet");
    bodies.sync().unwrap();
    for (n, (_, location)) in stored.iter().enumerate() {
        assert_eq!(reader.read_salted(*location).unwrap(), (salt(n as u64), body(n as u64)));
    }
    let mut scan = reader.scan(Location::default()).unwrap();
    let scanned: Vec<_> = scan.by_ref().map(Result::unwrap).collect();
    assert_eq!(scanned, stored);
    assert_eq!(scan.position(), bodies.end());
    let later = bodies.append(salt(1), b"later").unwrap();
    bodies.sync().unwrap();
    assert_eq!(reader.scan(scan.position()).unwrap().map(Result::unwrap).collect::<Vec<_>>(), [later]);
}

#[test]
fn any_line_of_a_body_can_be_shown_while_the_others_stay_hidden() {
    let home = tempfile::tempdir().unwrap();
    let mut bodies = Bodies::open(RealDisk::shared(), home.path()).unwrap();
    let body = "name\n\nmail: dora@example.org\nlast".repeat(20);
    let (commitment, location) = bodies.append_lines(salt(7), body.as_bytes()).unwrap();
    bodies.sync().unwrap();
    assert_eq!(BodyReader::open(home.path()).read_salted(location).unwrap(), (salt(7), body.clone().into_bytes()));
    assert_eq!(commitment, commit_lines(&salt(7), body.as_bytes()));
    assert_ne!(commitment, commit(&salt(7), body.as_bytes()));
    let lines: Vec<Commitment> = (0..)
        .zip(body.split_inclusive('\n'))
        .map(|(number, line)| commit(&line_salt(&salt(7), number), line.as_bytes()))
        .collect();
    assert_eq!(lines.len(), 61);
    assert_eq!(commit_to_lines(lines.iter().copied()), commitment);
    // What `sha256sum` makes of the tag and the commitments to the lines.
    let digests: Vec<u8> = lines.iter().flat_map(|line| line.0).collect();
    assert_eq!(commit(LINES_TAG, &digests), commitment);
}

#[test]
fn the_commitment_is_what_sha256sum_says() {
    let commitment = commit(&[b'a'; 32], b"hello");
    // printf 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaahello' | sha256sum
    let expected = "4ef264b8a56055b186d0fc53436fed2c37584e06d577469535ac25bc86d0cd2d";
    assert_eq!(commitment.to_string(), expected);
    assert_eq!(commitment.to_string().parse::<Commitment>().unwrap(), commitment);
}

#[test]
fn packs_follow_each_other_and_a_scan_goes_through_all_of_them() {
    let disk = ModelDisk::new();
    let mut bodies = open(&disk).unwrap();
    let stored: Vec<_> = (0..60).map(|n| bodies.append(salt(n), &body(n)).unwrap()).collect();
    bodies.sync().unwrap();
    assert!(stored.last().unwrap().1.pack >= 3);
    assert!(stored.is_sorted_by_key(|(_, location)| *location));
    let reader = BodyReader::open_on(disk.shared(), dir());
    assert_eq!(reader.scan(Location::default()).unwrap().map(Result::unwrap).collect::<Vec<_>>(), stored);
    drop(bodies);
    let mut bodies = open(&disk).unwrap();
    let next = bodies.append(salt(60), &body(60)).unwrap();
    bodies.sync().unwrap();
    assert!(next.1 > stored.last().unwrap().1);
    assert_eq!(reader.scan(Location::default()).unwrap().count(), 61);
}

#[test]
fn a_body_over_the_limit_is_refused_and_a_second_writer_too() {
    let disk = ModelDisk::new();
    let mut bodies = open(&disk).unwrap();
    assert!(matches!(bodies.append(salt(0), &vec![0; GREATEST_BODY + 1]), Err(BodyError::TooLong { .. })));
    assert!(matches!(open(&disk), Err(BodyError::Locked(_))));
}

#[test]
fn invariant_10_damaged_bodies_are_never_given_out() {
    let disk = ModelDisk::new();
    let mut bodies = open(&disk).unwrap();
    let stored: Vec<_> = (0..3).map(|n| bodies.append(salt(n), &body(n)).unwrap().1).collect();
    bodies.sync().unwrap();
    let path = dir().join("pack-00000000");
    let whole = disk.content(&path).unwrap();
    let reader = BodyReader::open_on(disk.shared(), dir());
    for at in stored[0].offset as usize..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        disk.put(&path, &bytes);
        let hit = stored.iter().rposition(|location| location.offset as usize <= at).unwrap();
        for (n, location) in stored.iter().enumerate() {
            let read = reader.read(*location);
            assert_eq!(read.is_err(), n == hit, "byte {at}, body {n}");
            assert!(read.is_err() || read.unwrap() == body(n as u64));
        }
    }
}

#[test]
fn packs_whose_record_of_durability_is_gone_are_left_alone() {
    let disk = ModelDisk::new();
    let mut bodies = open(&disk).unwrap();
    bodies.append(salt(0), b"x").unwrap();
    bodies.sync().unwrap();
    drop(bodies);
    let before = disk.content(&dir().join("pack-00000000"));
    disk.take_away(&dir().join("synced"));
    assert!(matches!(open(&disk), Err(BodyError::Damaged(_))));
    assert_eq!(disk.content(&dir().join("pack-00000000")), before);
}

/// Stores bodies in groups of four, each group synced, until all are in. Stops at the first failure that is not for
/// want of space; whether there was one.
fn live(disk: &ModelDisk, durable: &mut Vec<(Commitment, Location)>) -> bool {
    let Ok(mut bodies) = open(disk) else { return true };
    let mut full = 0;
    let mut group = Vec::new();
    while durable.len() < 24 {
        let n = (durable.len() + group.len()) as u64;
        let step = if group.len() < 4 {
            bodies.append(salt(n), &body(n)).map(|stored| group.push(stored))
        } else {
            bodies.sync().map(|()| durable.append(&mut group))
        };
        match step {
            Ok(()) => {}
            Err(BodyError::Full(_)) if full == 0 => full += 1,
            Err(_) => return true,
        }
    }
    full > 0
}

#[test]
fn invariant_01_no_synced_body_is_lost_wherever_a_fault_strikes() {
    let calm = ModelDisk::new();
    calm.set_fault(None);
    assert!(!live(&calm, &mut Vec::new()));
    let operations = calm.operations();
    let trace = calm.trace();
    let mut points = 0;
    for at in 0..operations {
        for harm in [Harm::PowerLoss, Harm::FailsKept, Harm::FailsLost, Harm::NoSpace] {
            let disk = ModelDisk::new();
            disk.set_fault(Some(Fault { at, harm }));
            let mut durable = Vec::new();
            if !live(&disk, &mut durable) {
                continue;
            }
            for seed in 0..9 {
                let after = disk.copy();
                if seed < 2 && harm != Harm::PowerLoss {
                    after.restart();
                } else {
                    after.lose_power(&mut Rng::new(at * 5 + seed));
                }
                let told = format!("{harm:?} at {at} ({}), seed {seed}", trace[at as usize]);
                // What one start made of it must itself survive a power loss, which comes while a body is being
                // synced and keeps all or nothing of it.
                let mut bodies = open(&after).unwrap_or_else(|error| panic!("{told}: {error:?}"));
                bodies.append(salt(98), b"never synced").unwrap();
                after.set_fault(Some(Fault { at: 1, harm: Harm::PowerLoss }));
                assert!(bodies.sync().is_err());
                drop(bodies);
                if seed % 2 == 0 {
                    after.lose_everything_unsynced()
                } else {
                    after.keep_everything_unsynced()
                }
                let mut bodies = open(&after).unwrap_or_else(|error| panic!("{told}: {error:?}"));
                for (n, (commitment, location)) in durable.iter().enumerate() {
                    let read = bodies.read_salted(*location).unwrap_or_else(|error| panic!("{told}: {error:?}"));
                    assert_eq!(read, (salt(n as u64), body(n as u64)), "{told}");
                    assert_eq!(*commitment, commit(&read.0, &read.1));
                }
                let scanned: Vec<_> = bodies.scan(Location::default()).unwrap().map(|head| head.unwrap()).collect();
                assert_eq!(scanned[..durable.len()], durable, "{told}");
                for (_, location) in &scanned {
                    bodies.read(*location).unwrap_or_else(|error| panic!("{told}: {error:?}"));
                }
                let next = bodies.append(salt(99), b"the next").unwrap();
                bodies.sync().unwrap();
                assert_eq!(bodies.read(next.1).unwrap(), b"the next", "{told}");
                points += 1;
            }
        }
    }
    println!("{points} crash points of bodies over {operations} operations");
    assert!(points > 2_000, "{points}");
}
