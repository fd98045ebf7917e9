//! Power loss and failing disks, at every operation of a ledger's life, and again during the recovery from it.
//!
//! After each: every acknowledged entry is there, a batch is there whole or not at all, no two signed checkpoints
//! that were ever visible contradict each other, a second start changes nothing, and the ledger verifies and goes on.

use std::collections::BTreeMap;

use ledger::testing::{Fault, Harm, ModelDisk, Rng};
use ledger::{AppendError, Frontier, Hash, Level, Log, OpenError, Reader, SignedCheckpoint, leaf_hash};

use crate::support::{create, dir, entries, genesis, key, open, verify};

const HARMS: [Harm; 4] = [Harm::PowerLoss, Harm::FailsKept, Harm::FailsLost, Harm::NoSpace];
/// Batches of this many entries; with the small segments of these tests they fill four.
const BATCHES: [u64; 6] = [1, 3, 2, 5, 1, 4];

/// What the world outside knows of a ledger.
#[derive(Clone, Default)]
struct World {
    acknowledged: u64,
    /// The size that the batch under way would give.
    attempted: u64,
    /// Every root that was ever signed for and visible, by size.
    signed: BTreeMap<u64, Hash>,
}

/// The entries of every ledger in these tests: entry 0 is the genesis.
fn expected(from: u64, to: u64) -> Vec<Vec<u8>> {
    let mut all = vec![genesis()];
    all.extend(entries(1..to.max(1)));
    all[from as usize..to as usize].to_vec()
}

fn root(size: u64) -> Hash {
    let mut frontier = Frontier::new();
    expected(0, size).iter().for_each(|entry| frontier.push(leaf_hash(entry)));
    frontier.root()
}

impl World {
    /// Creates or opens the ledger and appends until all batches are in. Stops at the first failure; whether there
    /// was one.
    fn live(&mut self, disk: &ModelDisk) -> bool {
        let Ok(mut log) = self.start(disk) else { return true };
        let mut failed = false;
        while let Some(batch) = self.next_batch() {
            let (from, to) = (self.acknowledged, self.acknowledged + batch);
            self.attempted = to;
            match log.append(&expected(from, to)) {
                Ok(appended) => {
                    assert_eq!((appended.first, appended.checkpoint.checkpoint.size), (from, to));
                    self.acknowledged = to;
                }
                Err(AppendError::Full(_)) if !failed => failed = true,
                Err(AppendError::Fatal { .. }) => {
                    assert!(matches!(log.append(&expected(from, to)), Err(AppendError::Stopped)));
                    return true;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        failed
    }

    fn start(&mut self, disk: &ModelDisk) -> Result<Log, OpenError> {
        let log = match open(disk) {
            Err(OpenError::NotCreated(_)) if self.acknowledged == 0 => {
                self.attempted = 1;
                create(disk)?
            }
            opened => opened?.0,
        };
        self.acknowledged = self.acknowledged.max(log.size());
        Ok(log)
    }

    fn next_batch(&self) -> Option<u64> {
        let mut size = 1;
        for batch in BATCHES {
            if self.acknowledged < size + batch {
                return Some(size + batch - self.acknowledged);
            }
            size += batch;
        }
        None
    }

    /// Notes every signed checkpoint that can be seen now, in whatever file, and refuses a contradiction.
    fn look(&mut self, disk: &ModelDisk) {
        for name in ["checkpoint", "checkpoint.tmp", "checkpoints.log"] {
            let content = disk.content(&dir().join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&content).into_owned();
            for record in text.split("\n\n\u{2014}").zip(text.split("\n\n\u{2014}").skip(1)) {
                let head = record.0.rsplit("\n\n").next().unwrap();
                let signature = record.1.split('\n').next().unwrap();
                let note = format!("{head}\n\n\u{2014}{signature}\n");
                if let Ok(signed) = SignedCheckpoint::verify(note.as_bytes(), &[key().verifier()]) {
                    let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
                    let before = self.signed.insert(size, root);
                    assert!(before.is_none_or(|before| before == root), "two roots signed for size {size}");
                }
            }
        }
    }

    /// Starts after a fault, without another, and holds the ledger against all promises.
    fn recover_and_check(mut self, disk: &ModelDisk, told: &str) {
        let log = match self.start(disk) {
            Ok(log) => log,
            Err(error) => panic!("{told}: cannot start: {error:?}"),
        };
        let size = log.size();
        let head = log.head().cloned();
        drop(log);
        assert!(size >= self.acknowledged, "{told}: {size} of {} acknowledged entries", self.acknowledged);
        let whole = size == self.acknowledged || size == self.attempted;
        assert!(whole, "{told}: {size} entries, acknowledged {}, attempted {}", self.acknowledged, self.attempted);
        let reader = Reader::open_on(disk.shared(), dir());
        let found: Vec<_> = reader.entries(0, size).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, expected(0, size), "{told}");
        self.look(disk);
        for (signed, hash) in &self.signed {
            assert!(*signed <= size, "{told}: signed for {signed} entries, and there are {size}");
            assert_eq!(root(*signed), *hash, "{told}: forked at {signed}");
        }

        // What one start made of it is itself durable.
        disk.lose_everything_unsynced();
        let (log, again) = open(disk).unwrap_or_else(|error| panic!("{told}: cannot start again: {error:?}"));
        assert_eq!((log.size(), log.head().cloned()), (size, head), "{told}: a second start changed something");
        assert_eq!((again.dropped_bytes, again.finished), (0, 0), "{told}: a second start had work to do");
        drop(log);
        let report = verify(disk);
        assert_eq!(report.exit_code(Level::Signed), 0, "{told}: {report:#?}");

        let (mut log, _) = open(disk).unwrap();
        log.append(&expected(size, size + 2)).unwrap();
        drop(log);
        let report = verify(disk);
        assert_eq!((report.entries, report.exit_code(Level::Signed)), (size + 2, 0), "{told}: {report:#?}");
    }
}

/// The entries that stand in the segments, whatever any checkpoint says of them.
fn standing(disk: &ModelDisk) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for file in disk.files_below(&dir().join("seg")) {
        let content = disk.content(&file).unwrap();
        let mut rest = content.get(24..).unwrap_or_default();
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let Some((entry, after)) = after.split_at_checked(len) else { break };
            if head[4] == 1 {
                found.push(entry.to_vec());
            }
            rest = after;
        }
    }
    found
}

/// The ways to go on after a fault: the process alone ends, or the power is lost and keeps what some seeds choose.
fn aftermaths(disk: &ModelDisk, harm: Harm, seeds: std::ops::Range<u64>) -> Vec<(ModelDisk, String)> {
    let mut after = Vec::new();
    if harm != Harm::PowerLoss {
        let copy = disk.copy();
        copy.restart();
        after.push((copy, "restart".to_owned()));
    }
    for seed in seeds {
        let copy = disk.copy();
        copy.lose_power(&mut Rng::new(seed));
        after.push((copy, format!("power loss {seed}")));
    }
    after
}

#[test]
fn invariant_01_nothing_acknowledged_is_lost_and_nothing_forks_wherever_the_first_fault_strikes() {
    let calm = ModelDisk::new();
    calm.set_fault(None);
    assert!(!World::default().live(&calm));
    let operations = calm.operations();
    let trace = calm.trace();

    let mut points = 0;
    for at in 0..operations {
        for harm in HARMS {
            let disk = ModelDisk::new();
            disk.set_fault(Some(Fault { at, harm }));
            let mut world = World::default();
            if !world.live(&disk) {
                continue;
            }
            world.look(&disk);
            let seeds = at * 16..at * 16 + 9;
            for (after, how) in aftermaths(&disk, harm, seeds) {
                let told = format!("{harm:?} at {at} ({}), then {how}", trace[at as usize]);
                world.clone().recover_and_check(&after, &told);
                points += 1;
            }
        }
    }
    println!("{points} crash points over {operations} operations");
    assert!(points > 5_500, "{points}");
}

#[test]
fn invariant_27_a_second_fault_during_the_recovery_from_the_first_changes_nothing_of_that() {
    let calm = ModelDisk::new();
    calm.set_fault(None);
    assert!(!World::default().live(&calm));
    let operations = calm.operations();

    let mut points = 0;
    let mut rng = Rng::new(1);
    for at in 0..operations {
        let harm = HARMS[rng.below(3) as usize];
        let disk = ModelDisk::new();
        disk.set_fault(Some(Fault { at, harm }));
        let mut world = World::default();
        if !world.live(&disk) {
            continue;
        }
        world.look(&disk);
        let mut chosen = aftermaths(&disk, harm, at..at + 2);
        let (after, how) = chosen.swap_remove(rng.below(chosen.len() as u64) as usize);
        let count = {
            let copy = after.copy();
            copy.set_fault(None);
            drop(world.clone().start(&copy));
            copy.operations()
        };
        // A start has some thirty operations; every fifth of them, another one each time.
        for second in (at % 5..count).step_by(5) {
            let second_harm = HARMS[rng.below(4) as usize];
            let disk = after.copy();
            disk.set_fault(Some(Fault { at: second, harm: second_harm }));
            let mut world = world.clone();
            drop(world.start(&disk));
            world.look(&disk);
            for (last, then) in aftermaths(&disk, second_harm, second..second + 1) {
                let told = format!("{harm:?} at {at}, {how}, {second_harm:?} at {second} of the start, then {then}");
                world.clone().recover_and_check(&last, &told);
                points += 1;
            }
        }
    }
    println!("{points} crash points with a second fault");
    assert!(points > 2_500, "{points}");
}

#[test]
fn invariant_03_whenever_a_signature_can_be_seen_its_entries_are_durable_and_lead_to_its_root() {
    let calm = ModelDisk::new();
    calm.set_fault(None);
    assert!(!World::default().live(&calm));
    let mut signatures = 0;
    for at in 0..calm.operations() {
        for harm in HARMS {
            let disk = ModelDisk::new();
            disk.set_fault(Some(Fault { at, harm }));
            let mut world = World::default();
            world.live(&disk);
            // What can be seen now was written, durable or not: somebody may have copied it.
            world.look(&disk);
            disk.lose_everything_unsynced();
            let durable = standing(&disk);
            for (size, hash) in &world.signed {
                let covered = durable.get(..*size as usize);
                assert_eq!(covered, Some(expected(0, *size).as_slice()), "{harm:?} at {at}: signed for {size}");
                assert_eq!(root(*size), *hash);
                signatures += 1;
            }
        }
    }
    println!("{signatures} signatures held against what was durable when they were seen");
    assert!(signatures > 1_000, "{signatures}");
}

#[test]
fn invariant_04_signed_sizes_only_grow_and_every_pair_of_signed_roots_is_consistent() {
    let mut pairs = 0;
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let disk = ModelDisk::new();
        let mut world = World::default();
        let mut told: Vec<u64> = Vec::new();
        // Twelve lives, each ended by a fault somewhere.
        for _ in 0..12 {
            disk.set_fault(Some(Fault { at: rng.below(90), harm: HARMS[rng.below(4) as usize] }));
            if let Ok(mut log) = world.start(&disk) {
                for _ in 0..4 {
                    let (from, to) = (log.size(), log.size() + 1 + rng.below(4));
                    let Ok(appended) = log.append(&expected(from, to)) else { break };
                    let size = appended.checkpoint.checkpoint.size;
                    assert!(told.last().is_none_or(|last| *last < size), "seed {seed}: {size} after {told:?}");
                    told.push(size);
                    world.acknowledged = size;
                }
            }
            world.look(&disk);
            if rng.coin() { disk.restart() } else { disk.lose_power(&mut rng) }
        }
        let (log, _) = open(&disk).unwrap();
        let reader = Reader::open_on(disk.shared(), dir());
        world.look(&disk);
        let signed: Vec<_> = world.signed.iter().collect();
        for (nth, (old, old_root)) in signed.iter().enumerate() {
            for (new, new_root) in &signed[nth..] {
                let proof = reader.consistency(**old, **new).unwrap();
                ledger::tree::verify_consistency(**old, **new, &proof, old_root, new_root).unwrap();
                pairs += 1;
            }
        }
        assert!(signed.last().is_some_and(|(size, _)| **size <= log.size()));
    }
    println!("{pairs} pairs of signed roots");
    assert!(pairs > 1_000, "{pairs}");
}
