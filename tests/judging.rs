//! What the checks say of a run, when that is more than may be kept: it is recorded as a loss of coverage, once.

use std::path::Path;
use std::sync::Arc;

use domain::{
    Clock, CollectionRun, Field, GapReason, Outcome, Population, Resource, ResourceKey, StreamId, Trigger, UnknownActor,
};
use evidenced::clock::{SystemClock, SystemRandom};
use evidenced::judge::judge_last;
use evidenced::knowledge::Knowledge;
use evidenced::pipeline::{Done, intend, settle};
use evidenced::verify::meaning;
use query::{AlertClass, Query};
use serde_json::json;
use store::{Options, Store};

/// A manifest of the resources below fits into it, one of their observations does not.
const LIMIT: usize = 4096;
const ADMINISTRATORS: usize = 35;

fn open(data: &Path, longest_body: usize) -> Store {
    let options = || Options {
        data: data.to_owned(),
        guard: None,
        guard_copies: vec![],
        data_key: None,
        longest_body,
        index: store::index::Engine::default(),
        disk: ledger::RealDisk::shared(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    if !store::Layout::new(data).is_initialised() {
        Store::init(&options(), "test/ledger", "test 1").unwrap();
    }
    Store::open(options()).unwrap().0
}

fn stream() -> StreamId {
    "keycloak:acme/people".parse().unwrap()
}

/// A run that found administrators, of whom the first has no second factor.
fn run() -> CollectionRun {
    let administrator = |n: usize| {
        let types = if n == 0 { json!(["password"]) } else { json!(["password", "otp"]) };
        let fields = [
            ("enabled", json!(true)),
            ("service_account", json!(false)),
            ("roles", json!(["realm-admin"])),
            ("credential_types", types),
            ("credential_dates", json!([])),
        ];
        Resource {
            key: ResourceKey { kind: "keycloak.admin".parse().unwrap(), id: n.to_string() },
            name: n.to_string(),
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), Field::Read(value))).collect(),
            exchanges: vec![],
        }
    };
    let mut population = Population::new("keycloak.admin".parse().unwrap());
    population.complete = true;
    population.extend((0..ADMINISTRATORS).map(administrator));
    CollectionRun {
        stream: stream(),
        collector_version: 1,
        trigger: Trigger::Manual,
        started: SystemClock.now(),
        ended: SystemClock.now(),
        caller: None,
        exchanges: vec![],
        populations: vec![population],
        gaps: vec![],
        changes: Err(UnknownActor { reason: "nobody was asked".to_owned() }),
        outcome: Outcome::Collected,
    }
}

fn settled(store: &Store, knowledge: &Knowledge) -> Done {
    let intent = intend(store, &stream(), Trigger::Manual).unwrap();
    settle(store, knowledge, intent.entry, &run(), SystemClock.now()).unwrap()
}

/// Conforming, deviating and undetermined administrators, whether they are all there are, and what is amiss with it.
fn said(store: &Store, knowledge: &Knowledge) -> ([u64; 3], bool, Vec<String>) {
    let query = Query { read: store, catalogue: &knowledge.catalogue, now: SystemClock.now() };
    let views = query.streams().unwrap();
    let check = views[0].checks.iter().find(|check| check.check.as_str() == "keycloak.admin.second_factor").unwrap();
    let counts = [check.counts.conforms, check.counts.deviates, check.counts.undetermined];
    let alerts =
        query.alerts(domain::Duration::ZERO).unwrap().into_iter().filter(|alert| alert.class == AlertClass::Coverage);
    let amiss = alerts.filter(|alert| alert.unread_since.is_some()).flat_map(|alert| alert.notes).collect();
    (counts, check.complete, amiss)
}

#[test]
fn a_judgement_that_is_more_than_may_be_kept_is_a_loss_of_coverage_and_is_not_tried_again_at_every_start() {
    let dir = tempfile::tempdir().unwrap();
    let (data, knowledge) = (dir.path().join("data"), Knowledge::embedded().unwrap());
    let open_deviations = |store: &Store| {
        let query = Query { read: store, catalogue: &knowledge.catalogue, now: SystemClock.now() };
        let open = query.open_deviations().unwrap().into_iter();
        open.map(|alert| (alert.subject, alert.unread_since.is_some())).collect::<Vec<_>>()
    };
    let whole = ([ADMINISTRATORS as u64 - 1, 1, 0], true, vec![]);

    let store = open(&data, ledger::GREATEST_BODY);
    settled(&store, &knowledge);
    assert_eq!(said(&store, &knowledge), whole);
    drop(store);

    // Nobody is said to conform any more, and who deviated is not said to do so still.
    let blind = |said: &([u64; 3], bool, Vec<String>)| {
        let notes = [
            "over our limit what the checks say: a body of 4760 bytes; at most 4096 are taken",
            "blind keycloak.admin.second_factor: undetermined, not conforming",
        ];
        assert_eq!((said.0, said.1), ([0; 3], false));
        assert!(notes.iter().all(|note| said.2.iter().any(|said| said == note)), "{:?}", said.2);
    };
    let store = open(&data, LIMIT);
    let done = settled(&store, &knowledge);
    assert_eq!((done.outcome, done.judged.unwrap().coverage.is_some()), (Outcome::Collected, true));
    blind(&said(&store, &knowledge));
    assert_eq!(open_deviations(&store), [("0".to_owned(), true)]);

    // The process died between a run and its judgement; the next start judges it, once.
    let intent = intend(&store, &stream(), Trigger::Manual).unwrap();
    store.record_run(intent.entry, &run()).unwrap();
    drop(store);
    let store = open(&data, LIMIT);
    assert!(judge_last(&store, &knowledge, &stream()).unwrap().is_some());
    assert_eq!(judge_last(&store, &knowledge, &stream()).unwrap(), None);
    blind(&said(&store, &knowledge));
    drop(store);

    let store = open(&data, ledger::GREATEST_BODY);
    settled(&store, &knowledge);
    assert_eq!(said(&store, &knowledge), whole);
    assert_eq!(open_deviations(&store), [("0".to_owned(), false)]);
    drop(store);
    let problems = meaning(&data).unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_run_that_is_more_than_may_be_kept_is_recorded_as_failed_with_a_gap_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (data, knowledge) = (dir.path().join("data"), Knowledge::embedded().unwrap());
    let store = open(&data, LIMIT / 2);
    let done = settled(&store, &knowledge);
    assert_eq!(done.outcome, Outcome::Failed);
    let query = Query { read: &store, catalogue: &knowledge.catalogue, now: SystemClock.now() };
    let gaps = query.streams().unwrap().remove(0).gaps;
    let gaps: Vec<_> = gaps.iter().map(|gap| (gap.reason, gap.detail.as_str())).collect();
    assert_eq!(gaps, [(GapReason::OverLimit, "a body of 3430 bytes; at most 2048 are taken")]);
    assert_eq!(said(&store, &knowledge).0, [0; 3]);
}
