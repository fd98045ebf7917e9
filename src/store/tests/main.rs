//! What the store promises, through its public door.
#![allow(clippy::unwrap_used, reason = "test code, helpers included")]

mod birth;
mod building;
mod epoch;
mod erase;
mod raw;
mod restore;
mod retention;
mod scrub;
mod stopping;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use domain::entry::{Fact, Intent, Missed, MissedReason, Schedule, TreeHead};
use domain::{Clock, Outcome, Slot, StreamId, Timestamp, Trigger};
use domain::{CollectionRun, Field, Population, Resource, ResourceKey};
use store::index::{Engine, Index};
use store::{InitError, LEAST_ROOM, Layout, Offline, OpenError, Options, Random, Read, Store, StoreError};

/// A clock that moves on by a second whenever it is asked.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

/// Numbers that are different every time and the same in every test.
struct Counting(AtomicU64);

impl Random for Counting {
    fn bytes(&self) -> Result<[u8; 32], String> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Ok(bytes)
    }
}

fn options(data: &Path, start: i64) -> Options {
    Options {
        data: data.to_owned(),
        guard: None,
        guard_copies: vec![],
        data_key: None,
        longest_body: ledger::GREATEST_BODY,
        index: Engine::default(),
        disk: ledger::RealDisk::shared(),
        clock: Arc::new(Ticking(AtomicI64::new(start))),
        random: Arc::new(Counting(AtomicU64::new(u64::try_from(start).unwrap() + 1))),
    }
}

fn new_store(data: &Path) -> Store {
    Store::init(&options(data, 0), "test/ledger", "test 1").unwrap();
    Store::open(options(data, 1_000_000)).unwrap().0
}

fn stream() -> StreamId {
    "keycloak:acme/people".parse().unwrap()
}

fn slot(n: i64) -> Slot {
    Slot(Timestamp::from_millis(n * 60_000))
}

fn intent(store: &Store, n: i64) -> u64 {
    let head = store.head().unwrap();
    let after = TreeHead { size: head.size, root: head.root };
    store.record_intent(Intent { stream: stream(), trigger: Trigger::Slot(slot(n)), after }).unwrap().entry
}

/// A run of the slot `n` that found these people.
fn run(n: i64, people: &[(&str, bool)]) -> CollectionRun {
    let resource = |(name, enabled): &(&str, bool)| Resource {
        key: ResourceKey { kind: "keycloak.user".parse().unwrap(), id: format!("id-{name}") },
        name: (*name).to_owned(),
        fields: [("enabled".to_owned(), Field::Read((*enabled).into()))].into(),
        exchanges: vec![],
    };
    let mut everybody = Population::new("keycloak.user".parse().unwrap());
    everybody.complete = true;
    everybody.extend(people.iter().map(resource));
    CollectionRun {
        stream: stream(),
        collector_version: 1,
        trigger: Trigger::Slot(slot(n)),
        started: slot(n).0,
        ended: Timestamp::from_millis(slot(n).0.millis() + 10),
        caller: Some("reader".into()),
        exchanges: vec![],
        populations: vec![everybody],
        gaps: vec![],
        changes: Ok(vec![]),
        outcome: Outcome::Collected,
    }
}

/// Everything in an index, for comparing.
fn rows(index: &dyn Index) -> Vec<(Vec<u8>, Vec<u8>)> {
    index.scan(b"", None, usize::MAX).unwrap()
}

#[test]
fn a_ledger_is_begun_once_and_never_in_a_folder_of_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert!(matches!(Store::open(options(&data, 0)), Err(OpenError::NotInitialised(_))));
    drop(new_store(&data));
    assert!(matches!(Store::init(&options(&data, 0), "other", "test 1"), Err(InitError::Exists(_))));
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter"), "dear").unwrap();
    assert!(matches!(Store::init(&options(&foreign, 0), "mine", "test 1"), Err(InitError::NotEmpty(_))));
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "nothing was left there");
}

#[test]
fn invariant_02_a_slot_has_one_outcome_whoever_asks_and_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    let begun = intent(&store, 3);
    assert_eq!(intent(&store, 3), begun, "a second intent is the first");
    let first = store.record_run(begun, &run(3, &[("dora", true)])).unwrap();
    let again = store.record_run(begun, &run(3, &[])).unwrap();
    assert_eq!((again.entry, again.fresh), (first.entry, false), "a second outcome is the first");
    drop(store);

    let (store, _) = Store::open(options(&data, 2_000_000)).unwrap();
    let missed = |first: i64, last: i64| Missed {
        stream: stream(),
        first: slot(first),
        last: slot(last),
        count: (last - first + 1).unsigned_abs(),
        reason: MissedReason::NotRunning,
    };
    for (first, last) in [(1, 3), (2, 5)] {
        let refused = store.record_missed(missed(first, last)).unwrap_err();
        assert!(matches!(refused, StoreError::SlotTaken { entry, .. } if entry == begun + 1), "{refused}");
    }
    let recorded = store.record_missed(missed(4, 9)).unwrap();
    let again = store.record_missed(missed(4, 9)).unwrap();
    assert_eq!((again.entry, again.fresh), (recorded.entry, false), "the same range is recorded once");
    let longer = store.record_missed(missed(4, 12)).unwrap_err();
    assert!(matches!(longer, StoreError::SlotTaken { entry, .. } if entry == recorded.entry), "{longer}");
    assert!(matches!(store.record_run(intent(&store, 7), &run(7, &[])), Err(StoreError::SlotTaken { .. })));
    store.record_run(intent(&store, 10), &run(10, &[])).unwrap();
}

#[test]
fn invariant_21_the_same_bytes_are_kept_once_and_a_name_stands_in_no_entry() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    for n in 1..=3 {
        store.record_run(intent(&store, n), &run(n, &[("dora-the-admin", true), ("erik", true)])).unwrap();
    }
    let size = store.head().unwrap().size;
    let entries: Vec<_> = (0..size).map(|n| store.entry(n).unwrap().unwrap()).collect();
    let manifests: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.fact {
            Fact::Run(run) => Some(run.populations[0].manifest.clone().unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(manifests.len(), 3);
    assert!(manifests.iter().all(|manifest| *manifest == manifests[0]), "an unchanged population is one body");
    for n in 0..size {
        let text = String::from_utf8(store.entry_bytes(n).unwrap().unwrap()).unwrap();
        assert!(!text.contains("dora") && !text.contains("reader"), "#{n} names somebody: {text}");
    }
    let manifest = String::from_utf8(store.body(&manifests[0]).unwrap().unwrap()).unwrap();
    assert_eq!(manifest.lines().count(), 2);
    assert!(manifest.lines().is_sorted());
    assert!(!manifest.contains("dora"));
}

const ENGINES: [Engine; 2] = [Engine::Sled, Engine::Redb];

/// Options for a store whose index is kept by `engine`.
fn options_of(engine: Engine, data: &Path, start: i64) -> Options {
    Options { index: engine, ..options(data, start) }
}

/// A store whose index is kept by `engine`, with twenty runs and so many bodies beside each.
fn filled_store(engine: Engine, data: &Path, bodies: u64) -> Store {
    Store::init(&options(data, 0), "test/ledger", "test 1").unwrap();
    let store = Store::open(options_of(engine, data, 1_000_000)).unwrap().0;
    let (expression, from) = (Some("every: 1m".into()), slot(0).0);
    store.record_one(Fact::Schedule(Schedule { stream: stream(), expression, zone: None, from })).unwrap();
    for n in 1..=20 {
        for body in 0..bodies {
            store.put_body(format!("{n} {body}").as_bytes()).unwrap();
        }
        store.record_run(intent(&store, n), &run(n, &[("dora", n % 3 == 0), ("erik", true)])).unwrap();
    }
    store
}

/// The file in which the rows of an index stand.
fn rows_file(engine: Engine, data: &Path) -> std::path::PathBuf {
    Layout::new(data).index().join(if engine == Engine::Sled { "db" } else { "rows.redb" })
}

#[test]
fn invariant_11_the_index_may_be_deleted_or_damaged_and_comes_back_equal() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = filled_store(engine, &data, 0);
        let before = rows(store.index().as_ref());
        drop(store);
        let (index, file) = (Layout::new(&data).index(), rows_file(engine, &data));
        let cut = |length| fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length).unwrap();
        let spoil: [(&str, &dyn Fn()); 6] = [
            ("deleted", &|| fs::remove_dir_all(&index).unwrap()),
            ("truncated", &|| cut(100)),
            ("cut in the middle", &|| cut(fs::metadata(&file).unwrap().len() / 2)),
            ("emptied", &|| cut(0)),
            ("overwritten", &|| fs::write(&file, vec![0x5a; 4096]).unwrap()),
            ("a stray snapshot", &|| fs::write(index.join("snap.00000000FFFFFFFF.generating"), b"half").unwrap()),
        ];
        for (what, spoil) in spoil {
            spoil();
            let (store, recovered) = Store::open(options_of(engine, &data, 3_000_000)).unwrap();
            assert_eq!(rows(store.index().as_ref()), before, "{engine}, {what}: {recovered:?}");
        }
    }
}

#[test]
fn invariant_11_another_engine_than_before_holds_the_same_rows_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = filled_store(Engine::Sled, &data, 10);
    let before = rows(store.index().as_ref());
    drop(store);
    for (engine, other) in [(Engine::Redb, "sled"), (Engine::Sled, "redb")] {
        let (store, recovered) = Store::open(options_of(engine, &data, 3_000_000)).unwrap();
        assert!(rows(store.index().as_ref()) == before, "{engine}");
        let said = format!("it was made by {other}, and the settings name {engine}; the index is built again");
        assert!(recovered.notes.iter().any(|note| note.contains(&said)), "{recovered:?}");
        drop(store);
        let (_store, recovered) = Store::open(options_of(engine, &data, 4_000_000)).unwrap();
        assert_eq!((recovered.notes, recovered.folded), (vec![], 0), "once");
    }
}

#[test]
fn invariant_12_an_index_that_somebody_holds_on_to_is_put_aside_and_built_again() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = filled_store(engine, &data, 0);
        let before = rows(store.index().as_ref());
        drop(store);
        let held = engine.open(&Layout::new(&data).index()).unwrap();
        let (store, recovered) = Store::open(options_of(engine, &data, 3_000_000)).unwrap();
        assert_eq!(rows(store.index().as_ref()), before, "{engine}");
        assert!(recovered.notes[0].contains("lock"), "{recovered:?}");
        drop(held);
    }
}

#[test]
fn invariant_12_damage_that_is_met_while_the_store_runs_has_the_index_built_again_and_ends_nothing() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = filled_store(engine, &dir.path().join("data"), 0);
        let before = rows(store.index().as_ref());
        let garbage = |key: &[u8]| {
            store.index().apply(vec![store::index::Op::Put(key.to_vec(), b"garbage".to_vec())]).unwrap();
            assert!(rows(store.index().as_ref()) != before, "{engine}");
        };
        let keys = store::rows::key::slots(&stream());
        let (last, _) = store.index().scan_back(&keys, None, 1).unwrap().remove(0);
        // Met by a reader, and met by the writer, which has to know what was settled before.
        garbage(&store::rows::key::stream(&stream()));
        assert_eq!(store.stream_row(&stream()).unwrap().last_run.unwrap().slot, Some(slot(20)));
        assert!(rows(store.index().as_ref()) == before, "{engine}");
        garbage(&last);
        let missed =
            Missed { stream: stream(), first: slot(20), last: slot(20), count: 1, reason: MissedReason::NotRunning };
        assert!(matches!(store.record_missed(missed), Err(StoreError::SlotTaken { .. })), "{engine}");
        assert!(rows(store.index().as_ref()) == before, "{engine}");
        assert_eq!((store.stopped(), store.mend_index().unwrap()), (None, false), "{engine}");
    }
}

/// Damage that opening does not notice is met by whoever reads first, and that would be a daemon that is running.
#[test]
fn invariant_12_an_index_altered_anywhere_is_found_out_when_it_is_opened_and_comes_back_equal() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = filled_store(engine, &data, 150);
        let before = rows(store.index().as_ref());
        drop(store);
        let file = rows_file(engine, &data);
        let (mut again, places) = (0, 64);
        for place in 0..places {
            // Much of the file is older than its rows, and where they lie is another place each time.
            if place >= 8 && again > 0 {
                break;
            }
            let mut bytes = fs::read(&file).unwrap();
            // Zeros are room in which nothing stands; what is altered is something that was written.
            let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
            // Far from those before it.
            bytes[written[written.len() * (place * 39 % places) / places]] ^= 0x01;
            fs::write(&file, bytes).unwrap();
            let (store, recovered) = Store::open(options_of(engine, &data, 3_000_000)).unwrap();
            assert!(rows(store.index().as_ref()) == before, "{engine}, {place}: {recovered:?}");
            again += usize::from(recovered.notes.iter().any(|note| note.contains("the index is built again")));
        }
        assert!(again > 0, "damage that hits nothing proves nothing");
    }
}

#[test]
fn an_index_that_is_gone_is_built_again_and_whoever_is_on_call_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(new_store(&data));
    let index = Layout::new(&data).index();
    fs::remove_dir_all(&index).unwrap();
    let (store, recovered) = Store::open(options(&data, 2_000_000)).unwrap();
    assert_eq!(recovered.notes, Vec::<String>::new(), "a ledger that was just begun had none");
    store.record_run(intent(&store, 1), &run(1, &[("dora", true)])).unwrap();
    drop(store);
    assert_eq!(Store::open(options(&data, 3_000_000)).unwrap().1.notes, Vec::<String>::new());
    let a_file = || fs::remove_dir_all(&index).and_then(|()| fs::write(&index, "not a folder")).unwrap();
    let spoil: [(&str, &dyn Fn()); 2] =
        [("deleted", &|| fs::remove_dir_all(&index).unwrap()), ("of another kind", &a_file)];
    for (what, spoil) in spoil {
        spoil();
        let (_store, recovered) = Store::open(options(&data, 4_000_000)).unwrap();
        assert!(recovered.notes[0].contains("the index is built again from the ledger"), "{what}: {recovered:?}");
    }
}

#[test]
fn invariant_08_on_a_disk_that_is_nearly_full_bodies_are_refused_first_and_entries_last_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (data, room) = (dir.path().join("data"), dir.path().join("room"));
    drop(new_store(&data));
    let has = |bytes: u64| fs::write(&room, bytes.to_string()).unwrap();
    let disk =
        ledger::testing::BadDisk::shared(ledger::testing::Ill { room_in: Some(room.clone()), ..Default::default() });
    let (store, _) = Store::open(Options { disk, ..options(&data, 2_000_000) }).unwrap();
    let begun = intent(&store, 1);
    let found = run(1, &[("dora", true)]);

    has(LEAST_ROOM - 1);
    let refused = store.record_run(begun, &found).unwrap_err();
    let said = "the disk is nearly full: 127 MiB are free, and 128 MiB are needed to keep evidence";
    assert_eq!(refused.to_string(), said);
    let missed = |n: i64| {
        let (first, last, reason) = (slot(n), slot(n), MissedReason::DiskFull);
        Missed { stream: "keycloak:acme/realm".parse().unwrap(), first, last, count: 1, reason }
    };
    let named = store.record_missed(missed(1)).unwrap();
    assert_eq!(named.entry, begun + 1, "short entries find room in the reserve, and nothing of the run came before");
    has(LEAST_ROOM / 2);
    assert!(matches!(store.record_missed(missed(2)), Err(StoreError::DiskFull(_))));
    assert_eq!((store.stopped(), store.head().unwrap().size), (None, begun + 2));

    has(LEAST_ROOM);
    let kept = store.record_run(begun, &found).unwrap();
    assert_eq!((kept.entry, kept.fresh), (begun + 2, true));
    assert!(!store.record_run(begun, &found).unwrap().fresh, "however often it is tried, it is one outcome");
}

#[test]
fn invariant_12_an_index_of_another_past_is_never_used() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for (data, people) in [(&one, [("dora", true)]), (&two, [("erik", false)])] {
        let store = new_store(data);
        store.record_run(intent(&store, 1), &run(1, &people)).unwrap();
    }
    fs::remove_dir_all(Layout::new(&one).index()).unwrap();
    fs::rename(Layout::new(&two).index(), Layout::new(&one).index()).unwrap();
    let (store, recovered) = Store::open(options(&one, 2_000_000)).unwrap();
    assert!(recovered.notes.iter().any(|note| note.contains("built again")), "{recovered:?}");
    let Some(Fact::Run(run)) = store.entry(2).unwrap().map(|entry| entry.fact) else { panic!("no run") };
    let manifest = run.populations[0].manifest.clone().unwrap();
    assert!(store.body(&manifest).unwrap().is_some(), "its own bodies are found again");
}

#[test]
fn whoever_reads_beside_the_daemon_sees_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    store.record_run(intent(&store, 1), &run(1, &[("dora", true)])).unwrap();
    let offline = Offline::open(&data).unwrap();
    assert_eq!(offline.head().unwrap(), store.head().unwrap());
    for n in 0..store.head().unwrap().size {
        assert_eq!(offline.entry_bytes(n).unwrap(), store.entry_bytes(n).unwrap());
        assert!(offline.proof(n).unwrap().unwrap().starts_with("c2sp.org/tlog-proof@v1"));
    }
    let facts = |index: &dyn Index| {
        let keep =
            |key: &[u8]| !key.starts_with(b"h/") && !key.starts_with(b"b/") && key != b"m/packs" && key != b"m/sum";
        rows(index).into_iter().filter(|(key, _)| keep(key)).collect::<Vec<_>>()
    };
    assert_eq!(facts(offline.index().as_ref()), facts(store.index().as_ref()));
    let dora = ResourceKey { kind: "keycloak.user".parse().unwrap(), id: "id-dora".into() };
    let pseudonym = offline.pseudonym(&dora).unwrap();
    assert_eq!(offline.resource(&pseudonym), Some(dora));
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    let Err(OpenError::Failed { source, .. }) = Store::open(options(&data, 0)) else { panic!("two writers") };
    assert!(source.to_string().contains("in use by another process"), "{source}");
    drop(store);
    Store::open(options(&data, 0)).unwrap();
}

#[test]
fn invariant_15_time_never_runs_backwards_in_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    let late = store.record_run(intent(&store, 1), &run(1, &[])).unwrap().at;
    drop(store);
    let (store, _) = Store::open(options(&data, 5)).unwrap();
    assert!(store.record_run(intent(&store, 2), &run(2, &[])).unwrap().at >= late);
}

#[test]
fn many_writers_at_once_get_places_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = new_store(&dir.path().join("data"));
    let schedule = |n: usize| {
        Fact::Schedule(Schedule {
            stream: format!("keycloak:acme/s{n}").parse().unwrap(),
            expression: None,
            zone: None,
            from: slot(0).0,
        })
    };
    let entries: Vec<u64> = std::thread::scope(|scope| {
        let store = &store;
        let writers: Vec<_> = (0..64)
            .map(|n| scope.spawn(move || store.record(vec![schedule(n), schedule(n)]).unwrap()[0].entry))
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let places: std::collections::BTreeSet<u64> = entries.iter().copied().collect();
    assert_eq!(places.len(), 64);
    assert!(places.iter().all(|place| (place - 1).is_multiple_of(2)), "nobody's facts stand among another's");
    assert_eq!(store.head().unwrap().size, 129);
}

#[test]
fn invariant_02_places_are_contiguous_and_a_fact_that_is_recorded_again_has_the_place_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut places: Vec<(i64, u64, u64)> = Vec::new();
    for life in 1..=3 {
        // Every life says again what the ones before it said, as after a crash whose answer was lost.
        let store = match life {
            1 => new_store(&data),
            _ => Store::open(options(&data, life * 1_000_000)).unwrap().0,
        };
        for n in 1..=2 * life {
            let begun = intent(&store, n);
            let ended = store.record_run(begun, &run(n, &[("dora", n % 2 == 0)])).unwrap().entry;
            let place = (n, begun, ended);
            match places.iter().find(|(known, ..)| *known == n) {
                Some(known) => assert_eq!(*known, place),
                None => places.push(place),
            }
        }
        let size = store.head().unwrap().size;
        assert_eq!(size, places.last().unwrap().2 + 1);
        assert!((0..size).all(|n| store.entry(n).unwrap().is_some()));
    }
    assert!(places.iter().zip(1..).all(|((_, begun, ended), n)| (*begun, *ended) == (2 * n - 1, 2 * n)), "{places:?}");
}

#[test]
fn invariant_10_a_changed_signing_key_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(new_store(&data));
    let path = Layout::new(&data).signing_key();
    let whole = fs::read(&path).unwrap();
    for at in (0..64).step_by(9) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Store::open(options(&data, 1)), Err(OpenError::Failed { .. })), "byte {at}");
    }
    fs::write(&path, whole).unwrap();
    Store::open(options(&data, 1)).unwrap();
}

#[test]
fn invariant_18_what_is_said_to_be_unchanged_is_there_and_is_what_was_committed_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = new_store(&dir.path().join("data"));
    let people = |n: i64| [("dora", true), ("erik", n != 3)];
    for n in 1..=5 {
        store.record_run(intent(&store, n), &run(n, &people(n))).unwrap();
    }
    let mut manifests = Vec::new();
    for number in 0..store.head().unwrap().size {
        let Some(Fact::Run(run)) = store.entry(number).unwrap().map(|entry| entry.fact) else { continue };
        let manifest = run.populations[0].manifest.clone().unwrap();
        let rows = store::read::population_lines(&store.body(&manifest).unwrap().unwrap()).unwrap();
        assert_eq!(rows.len() as u64, run.populations[0].count);
        // A body that is read is the one that its commitment names: the pack refuses any other.
        assert!(rows.iter().all(|(_, body)| store.body(body).unwrap().is_some()));
        manifests.push(manifest);
    }
    let [first, second, third, fourth, fifth] = manifests.as_slice() else { panic!("{manifests:?}") };
    assert!(first == second && second != third && third != fourth && fourth == fifth);
    assert_eq!(first, fourth, "what comes back is the version that it was");
}

#[test]
fn invariant_28_the_same_facts_clock_and_random_numbers_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let told = ["one", "two"].map(|name| {
        let data = dir.path().join(name);
        let store = new_store(&data);
        for n in 1..=4 {
            store.record_run(intent(&store, n), &run(n, &[("dora", n % 3 == 0), ("erik", true)])).unwrap();
        }
        drop(store);
        let tiles = dir.path().join(format!("{name}-tiles"));
        ledger::Reader::open(&Layout::new(&data).ledger()).export_tiles(&tiles, &mut |_| {}).unwrap();
        let files = |folder: &Path, names: &[&str]| -> Vec<Vec<u8>> {
            names.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
        };
        let kept = ["ledger/seg/00000000000000000000.seg", "ledger/checkpoints.log", "body/pack-00000000"];
        let exported = ["checkpoint", "tile/0/000.p/9", "tile/entries/000.p/9"];
        [files(&data, &kept), files(&tiles, &exported)].concat()
    });
    assert!(told[0] == told[1], "two lives of the same differ");
}

#[test]
fn the_body_of_a_row_has_each_field_on_a_line_of_its_own() {
    let mut resource = run(1, &[("dora\n=cmd()", true)]).populations[0].resources().next().unwrap();
    resource.fields.insert("roles".into(), Field::Read(serde_json::json!(["b", {"z": 1, "a": 2}])));
    let text = store::row_text(&resource).unwrap();
    let expected = r#"{
"fields":{
"enabled":true,
"roles":["b",{"a":2,"z":1}]
},
"id":"id-dora\n=cmd()",
"name":"dora\n=cmd()",
"type":"keycloak.user"
}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Resource>(&text).unwrap(), resource);
}

#[test]
fn every_value_in_a_row_is_written_as_rfc_8785_has_it() {
    let odd: String = (0..0x300).chain([0x2028, 0xfeff, 0x1f600]).filter_map(char::from_u32).collect();
    let edges = serde_json::json!([
        0, -7, 9_007_199_254_740_991_i64, 9_007_199_254_740_992_i64, -9_007_199_254_740_993_i64, u64::MAX, 0.1, -0.0, 1e3,
        1e21, "x", [], [[null]], {"b": [2.0], "a": {}}
    ]);
    for value in [odd.into(), serde_json::Value::Null, true.into(), false.into(), edges] {
        let text = store::row_text(&serde_json::json!({"fields": {"value": value}, "value": value})).unwrap();
        let canonical = store::canonical(&value).unwrap();
        assert_eq!(text, format!("{{\n\"fields\":{{\n\"value\":{canonical}\n}},\n\"value\":{canonical}\n}}"));
    }
}

#[test]
fn a_long_batch_of_entries_leaves_the_index_that_they_leave_one_by_one_and_a_start_has_nothing_to_fold() {
    let schedule = |n: i64| {
        let stream = format!("example:office/door-{}", n % 40).parse().unwrap();
        Fact::Schedule(Schedule { stream, expression: Some(format!("every: {}m", n + 1)), zone: None, from: slot(n).0 })
    };
    let told = [300, 1].map(|at_once| {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = new_store(&data);
        for n in (0..300).step_by(at_once) {
            store.record((n..n + at_once as i64).map(schedule).collect()).unwrap();
        }
        let found = rows(store.index().as_ref());
        drop(store);
        let (store, recovered) = Store::open(options(&data, 9_000_000)).unwrap();
        assert_eq!((recovered.notes, recovered.folded), (vec![], 0));
        assert!(rows(store.index().as_ref()) == found, "what was kept is what was seen");
        found
    });
    assert!(told[0] == told[1]);
}

#[test]
fn what_follows_from_one_judgement_is_recorded_at_once_however_much_and_too_much_is_refused_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = new_store(&dir.path().join("data"));
    let schedule = |n: usize| {
        let stream = format!("example:office/door-{n}").parse().unwrap();
        Fact::Schedule(Schedule { stream, expression: None, zone: None, from: slot(0).0 })
    };
    assert_eq!(store.record((0..5000).map(schedule).collect()).unwrap().len(), 5000);
    let refused = store.record(vec![schedule(0); ledger::GREATEST_BATCH]);
    assert!(matches!(refused, Err(StoreError::Unwritable(_))), "{:?}", refused.map(|receipts| receipts.len()));
    assert_eq!(store.record_one(schedule(1)).unwrap().entry, 5001);
}

/// Every file below a folder, by its bytes.
fn everything(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(everything(&entry.path())),
            false if entry.file_type().unwrap().is_file() => all.push((entry.path(), fs::read(entry.path()).unwrap())),
            false => {}
        }
    }
    all
}

#[test]
fn no_file_shows_who_was_seen_and_with_the_data_key_everything_reads() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    let answer = store.put_answer(b"who is there: dora-lindqvist").unwrap();
    assert_eq!(store.put_answer(b"who is there: dora-lindqvist").unwrap(), answer, "kept once");
    let begun = intent(&store, 1);
    store.record_run(begun, &run(1, &[("dora-lindqvist", true)])).unwrap();
    assert_eq!(store.put_answer(b"who is there: dora-lindqvist").unwrap(), answer, "and once after it was indexed");
    drop(store);
    for (path, bytes) in everything(&data) {
        assert!(!bytes.windows(4).any(|window| window == b"dora"), "{}", path.display());
    }
    assert_eq!(Offline::open(&data).unwrap().body(&answer).unwrap().unwrap(), b"who is there: dora-lindqvist");

    fs::remove_dir_all(data.join("index")).unwrap();
    let (store, _) = Store::open(options(&data, 3_000_000)).unwrap();
    assert_eq!(store.put_answer(b"who is there: dora-lindqvist").unwrap(), answer, "and once after a rebuild");
    drop(store);

    let (key, aside) = (data.join("keys/data.key"), dir.path().join("aside"));
    fs::rename(&key, &aside).unwrap();
    let Err(error) = Offline::open(&data) else { panic!("opened without its key") };
    assert!(domain::in_full(&error).contains("keys/data.key"), "{}", domain::in_full(&error));
    let (offline, why) = Offline::open_even_sealed(&data, None).unwrap();
    assert!(why.is_some() && offline.record_keys().is_none());
    assert_eq!(offline.body(&answer).unwrap(), None);
    assert!(offline.entry(1).unwrap().is_some());
    let given = ledger::DataKey::parse(&fs::read_to_string(&aside).unwrap()).unwrap();
    assert!(Offline::open_with(&data, Some(&given)).unwrap().body(&answer).unwrap().is_some());
    assert!(Offline::open_with(&data, Some(&ledger::DataKey::new([1; 32]))).is_err());
    Store::open(Options { data_key: Some(given), ..options(&data, 4_000_000) }).unwrap();
}

#[test]
fn what_was_kept_before_anything_was_sealed_stays_readable_under_the_same_pseudonyms() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(new_store(&data));
    let mut packs = ledger::Bodies::open(ledger::RealDisk::shared(), &data.join("body")).unwrap();
    let (plain, _) = packs.append([3; 32], b"of old").unwrap();
    packs.sync().unwrap();
    drop(packs);
    for file in ["records", "records.synced", "data.key"] {
        fs::remove_file(data.join("keys").join(file)).unwrap();
    }
    let who = ResourceKey { kind: "keycloak.user".parse().unwrap(), id: "dora".into() };
    let mut line = serde_json::to_value(&who).unwrap();
    line["key"] = "07".repeat(32).into();
    line["sum"] = "00000000".into();
    fs::write(data.join("keys/subjects"), format!("{line}\n{{\"torn")).unwrap();
    fs::write(data.join("keys/bodies.key"), "09".repeat(32)).unwrap();
    for start in [2_000_000, 3_000_000] {
        let (store, _) = Store::open(options(&data, start)).unwrap();
        let expected = ledger::RecordKey::new([7; 32]).id().0;
        assert_eq!(store.pseudonym(&who), Some(domain::Pseudonym::from_bytes(expected)));
        assert_eq!(store.body(&domain::BodyId::from_bytes(plain.0)).unwrap().unwrap(), b"of old");
    }
    assert!(!data.join("keys/subjects").exists() && !data.join("keys/bodies.key").exists());
}
