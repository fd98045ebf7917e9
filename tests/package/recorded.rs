//! A small ledger with everything that a package can hold, made in a moment and the same every time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use anchor::testing::Authority;
use anchor::{Request, Roots};
use domain::entry::{CheckLine, Fact, Intent, Missed, MissedReason, Schedule, TreeHead, Version};
use domain::{
    CheckCounts, Clock, CollectionRun, Exchange, Field, Observation, ObservationValue, Outcome, Population, Resource,
    ResourceKey, Slot, StreamId, Timestamp, Trigger,
};
use evidenced::judge::judge_last;
use evidenced::knowledge::Knowledge;
use evidenced::package::{Asked, Made, PackageError, Source, make};
use query::Query;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Dated, Layout, Offline, Options, Random, Read, Store};
use tempfile::TempDir;

/// Names that a page, a table or a terminal could take for something else.
const NAMES: [&str; 4] =
    ["<script>alert(1)</script>", "=cmd()|' /C calc'!A0", "two\nlines, \"quoted\"", "\u{1b}[31m-dora@example.org"];

struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

struct Counting(AtomicU64);

impl Random for Counting {
    fn bytes(&self) -> Result<[u8; 32], String> {
        Ok(Sha256::digest(self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes()).into())
    }
}

/// Minutes of the test's time.
pub(super) fn slot(n: i64) -> Slot {
    Slot(Timestamp::from_millis(n * 60_000))
}

fn stream() -> StreamId {
    "keycloak:acme/realm".parse().unwrap()
}

fn options(data: &Path, minute: i64) -> Options {
    Options {
        data: data.to_owned(),
        guard: None,
        guard_copies: vec![],
        data_key: None,
        longest_body: ledger::GREATEST_BODY,
        index: store::index::Engine::default(),
        disk: ledger::RealDisk::shared(),
        clock: Arc::new(Ticking(AtomicI64::new(slot(minute).0.millis()))),
        random: Arc::new(Counting(AtomicU64::new(minute.unsigned_abs() << 20))),
    }
}

/// A run of a slot that found realms of those names, each protected against guessing or not.
fn run(store: &Store, knowledge: &Knowledge, n: i64, protected: impl Fn(usize) -> bool) {
    collect(store, n, protected);
    judge_last(store, knowledge, &stream()).unwrap();
}

/// The same, not judged yet: its entry.
fn collect(store: &Store, n: i64, protected: impl Fn(usize) -> bool) -> u64 {
    let (head, trigger) = (store.head().unwrap(), Trigger::Slot(slot(n)));
    let after = TreeHead { size: head.size, root: head.root };
    let begun = store.record_intent(Intent { stream: stream(), trigger, after }).unwrap().entry;
    let resource = |(place, name): (usize, &&str)| Resource {
        key: ResourceKey { kind: "keycloak.realm".parse().unwrap(), id: format!("id of {name}") },
        name: (*name).to_owned(),
        fields: [
            ("brute_force".to_owned(), Field::Read(protected(place).into())),
            ("failure_factor".to_owned(), Field::Read(5.into())),
            ("secret_field".to_owned(), Field::Read(format!("hush {name}").into())),
        ]
        .into(),
        exchanges: vec![0],
    };
    let answer = format!("{{\"realms\":{}}}\n", json!(NAMES));
    let segments = answer.as_bytes().chunks(40).map(|part| store.put_body(part).unwrap()).collect();
    let exchange = Exchange {
        seq: 0,
        call: "GET /admin/realms/{realm}".into(),
        method: "GET".into(),
        url: "http://localhost/admin/realms/acme".into(),
        request_body: None,
        sent: slot(n).0,
        ended: slot(n).0,
        tries: vec![],
        status: Some(200),
        request_id: None,
        date: None,
        etag: None,
        not_modified: false,
        next: None,
        bytes: answer.len() as u64,
        body: segments,
        redacted: vec![],
        error: None,
    };
    let mut population = Population::new("keycloak.realm".parse().unwrap());
    population.complete = true;
    population.extend(NAMES.iter().enumerate().map(resource));
    let ended = CollectionRun {
        stream: stream(),
        collector_version: 1,
        trigger,
        started: slot(n).0,
        ended: slot(n).0,
        caller: Some("reader".into()),
        exchanges: vec![exchange],
        populations: vec![population],
        gaps: vec![],
        changes: Ok(vec![]),
        outcome: Outcome::Collected,
    };
    store.record_run(begun, &ended).unwrap().entry
}

/// A ledger with the slots 1 to 9: runs, one of which drifts, and a range that nobody ran.
pub(super) struct Ledger {
    pub(super) dir: TempDir,
    pub(super) knowledge: Knowledge,
}

impl Ledger {
    pub(super) fn new() -> Ledger {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger { dir, knowledge: Knowledge::embedded().unwrap() };
        Store::init(&options(&ledger.data(), 0), "example.org/evidence", "test 1").unwrap();
        let (store, _) = Store::open(options(&ledger.data(), 100)).unwrap();
        let checks = store.put_json(&ledger.knowledge.checks.recorded()).unwrap();
        let version = Version {
            program: "test 1".into(),
            binary: "00".into(),
            settings: "00".into(),
            checks: ledger.knowledge.checks.checks_digest(),
            frameworks: ledger.knowledge.checks.frameworks_digest(),
            checks_body: Some(checks),
        };
        store.record_one(Fact::Version(version)).unwrap();
        let schedule = Schedule { stream: stream(), expression: Some("every: 1m".into()), zone: None, from: slot(0).0 };
        store.record_one(Fact::Schedule(schedule)).unwrap();
        for n in 1..=3 {
            run(&store, &ledger.knowledge, n, |place| n < 3 || place > 0);
        }
        let (first, last) = (slot(4), slot(6));
        let missed = Missed { stream: stream(), first, last, count: 3, reason: MissedReason::NotRunning };
        store.record_missed(missed).unwrap();
        drop(store);
        ledger.go_on(7, 9, 0);
        ledger
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Goes on with the slots from `first` to `last`; `other` makes what it finds another history.
    pub(super) fn go_on(&self, first: i64, last: i64, other: i64) {
        let (store, _) = Store::open(options(&self.data(), 100 + first * 100 + other)).unwrap();
        for n in first..=last {
            run(&store, &self.knowledge, n, |place| place as i64 != other);
        }
    }

    /// One more slot, recorded by a clock that shows this minute.
    pub(super) fn go_on_at(&self, n: i64, minute: i64) {
        let (store, _) = Store::open(options(&self.data(), minute)).unwrap();
        run(&store, &self.knowledge, n, |_| true);
    }

    /// Has the ledger dated by an authority as it is now.
    pub(super) fn date(&self, name: &str, authority: &Authority) {
        let note = self.checkpoint();
        let request = Request::new(&note, [7; 8]).unwrap();
        let answer = authority.answer(request.der()).unwrap();
        let roots = Roots::from_pem(&fs::read(authority.ca()).unwrap()).unwrap();
        let stamp = anchor::accept(&answer, &note, &request, &roots).unwrap();
        let (store, _) = Store::open(options(&self.data(), 80_000_000)).unwrap();
        let head = store.head().unwrap();
        let dated = Dated {
            authority: name.to_owned(),
            head: TreeHead { size: head.size, root: head.root },
            time: Timestamp::from_millis(stamp.time),
            accuracy: stamp.accuracy.map(domain::Duration::from_millis),
            signer: stamp.signer.clone(),
            checkpoint: note,
            answer,
            chain: stamp.chain(&roots).unwrap(),
        };
        store.record_anchor(dated).unwrap();
    }

    /// A run in which nothing is protected, and a judgement that claims otherwise.
    pub(super) fn go_on_with_a_lie(&self, n: i64) {
        let (store, _) = Store::open(options(&self.data(), 100 + n * 100)).unwrap();
        let run = collect(&store, n, |_| false);
        let offline = Offline::open(&self.data()).unwrap();
        let Fact::Run(fact) = offline.entry(run).unwrap().unwrap().fact else { panic!("not a run") };
        let query = Query { read: &offline, catalogue: &self.knowledge.catalogue, now: slot(n).0 };
        let check = self.knowledge.checks.check(&"keycloak.realm.brute_force".parse().unwrap()).unwrap();
        let resources = query.population(&fact, check.resource()).unwrap();
        let observations: Vec<Observation> = resources
            .map(|resource| checks::evaluate(check, &checks::Prepared::new(&resource.unwrap(), 1), fact.ended))
            .map(|true_| Observation { value: ObservationValue::Conforms, ..true_ })
            .collect();
        let counts = CheckCounts { conforms: observations.len() as u64, ..CheckCounts::default() };
        let (id, version) = (check.id().clone(), check.version().to_owned());
        let line = CheckLine { check: id, version, complete: true, counts };
        let rows = observations.iter().map(|observation| store.put_observation(observation).unwrap()).collect();
        store.record_judgement(run, &stream(), vec![line], rows, |_| Vec::new()).unwrap();
    }

    /// A copy of the ledger as it is now.
    pub(super) fn copy(&self) -> Ledger {
        let dir = tempfile::tempdir().unwrap();
        copy(&self.data(), &dir.path().join("data"));
        Ledger { dir, knowledge: Knowledge::embedded().unwrap() }
    }

    pub(super) fn checkpoint(&self) -> Vec<u8> {
        fs::read(Layout::new(&self.data()).ledger().join("checkpoint")).unwrap()
    }

    pub(super) fn key(&self) -> ledger::VerifierKey {
        ledger::Reader::open(&Layout::new(&self.data()).ledger()).named_key().unwrap().unwrap()
    }

    pub(super) fn package(&self, out: &Path, asked: &Asked) -> Result<Made, PackageError> {
        self.package_at(out, asked, slot(10_000).0)
    }

    pub(super) fn package_at(&self, out: &Path, asked: &Asked, now: Timestamp) -> Result<Made, PackageError> {
        let data = self.data();
        let offline = Offline::open(&data).unwrap();
        let query = Query { read: &offline, catalogue: &self.knowledge.catalogue, now };
        make(&Source { data: &data, offline: &offline, query: &query }, asked, out, &mut |_, _| {})
    }

    pub(super) fn made(&self, out: &Path) -> Made {
        self.package(out, &usual()).unwrap()
    }
}

/// The slots 1 to 9 for a control.
pub(super) fn usual() -> Asked {
    let controls = vec!["iso27001-2022/A.8.5".parse().unwrap()];
    Asked { controls, from: slot(1).0, to: Some(slot(10).0), ..Asked::default() }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        match item.file_type().unwrap() {
            kind if kind.is_dir() => copy(&item.path(), &target),
            kind if kind.is_file() => drop(fs::copy(item.path(), target).unwrap()),
            _ => {}
        }
    }
}

/// Every file of a folder by its name.
pub(super) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(top: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for item in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match item.file_type().unwrap().is_dir() {
                true => walk(top, &item.path(), found),
                false => {
                    let name = item.path().strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read(item.path()).unwrap());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}
