//! Retention, through the store's public door.

use std::path::Path;

use domain::entry::{Deviation, DeviationDetail, Fact, HoldDetail, RetentionClass};
use domain::{Actor, BodyId, Change, Duration, Exchange, ResourceKey, RowAddress, Severity, Timestamp};
use store::{Absent, Look, Looks, Offline, Read, Rest, Store};

use crate::{everything, intent, new_store, options, rows, run, slot};

/// A run of the slot `n` with one answer, which says `text`.
fn run_with(store: &Store, n: i64, text: &str) -> BodyId {
    let page = store.put_answer(text.as_bytes()).unwrap();
    let exchange: Exchange = serde_json::from_value(serde_json::json!({
        "seq": 0, "call": "GET /users", "method": "GET", "url": "https://idp.example/users", "sent": "2026-11-22T12:00:00Z",
        "ended": "2026-11-22T12:00:01Z", "status": 200, "bytes": 2, "body": [page],
    }))
    .unwrap();
    let found = domain::CollectionRun { exchanges: vec![exchange], ..run(n, &[("dora", true)]) };
    let begun = intent(store, n);
    store.record_run(begun, &found).unwrap();
    page
}

/// So many minutes after the first slot, which is when runs end.
fn minute(n: i64) -> Timestamp {
    Timestamp::from_millis(slot(n).0.millis() + 10)
}

const HOUR: Duration = Duration::from_secs(3600);

fn expire(store: &Store, now: Timestamp) -> u64 {
    let mut plan = store.expiring(RetentionClass::Answers, HOUR, now).unwrap();
    store.expire(&mut plan).unwrap()
}

fn verified(data: &Path) -> (usize, u64) {
    let offline = Offline::open(data).unwrap();
    let layout = store::Layout::new(data);
    let asked = ledger::VerifyOptions {
        keys: Some(offline.record_keys().unwrap()),
        bodies: Some(layout.bodies()),
        ..Default::default()
    };
    let report = ledger::verify(&layout.ledger(), &asked, &mut |_| {});
    (report.problems.len(), report.erased)
}

#[test]
fn an_answer_expires_once_no_run_has_referred_to_it_for_its_period_and_the_entry_says_by_which_rule() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    let again = run_with(&store, 1, "the same as ever");
    let (first, second) = (run_with(&store, 2, "once"), run_with(&store, 3, "twice"));
    // One that no run names, as when a run was broken off.
    store.put_answer(b"nobody's").unwrap();
    assert_eq!(run_with(&store, 100, "the same as ever"), again);
    let latest = run_with(&store, 101, "now");

    assert_eq!(expire(&store, minute(62)), 0, "none is older than the period");
    let plan = store.expiring(RetentionClass::Answers, HOUR, minute(63)).unwrap();
    assert_eq!((plan.due(), plan.span()), (1, Some((minute(2), minute(2)))));
    assert_eq!((plan.later, plan.unknown), (Some((2, minute(63))), 1));
    let plan = store.expiring(RetentionClass::Answers, HOUR, minute(9000)).unwrap();
    assert_eq!((plan.due(), plan.span()), (3, Some((minute(2), minute(100)))));
    assert_eq!(plan.kept.into_iter().collect::<Vec<_>>(), [(Rest::Present, 1)], "the latest run's, however old");

    let size = store.head().unwrap().size;
    assert_eq!(expire(&store, minute(150)), 2);
    let Fact::Erase(said) = store.entry(size).unwrap().unwrap().fact else { panic!("#{size} is no erasure") };
    let rule = said.expired.unwrap();
    assert_eq!((said.of, said.keys.len(), said.answers), (None, 2, 2));
    assert_eq!((rule.class, rule.after), (RetentionClass::Answers, HOUR));
    assert_eq!((rule.oldest, rule.youngest), (minute(2), minute(3)));
    for gone in [&first, &second] {
        assert_eq!(store.body(gone).unwrap(), None);
    }
    for here in [&again, &latest] {
        assert!(store.body(here).unwrap().is_some());
    }
    assert_eq!(expire(&store, minute(150)), 0, "once");
    // The same bytes are another answer now, and not the one that nobody can open.
    assert_ne!(run_with(&store, 151, "once"), first);
    let indexed = rows(store.index().as_ref());
    drop(store);
    let offline = Offline::open(&data).unwrap();
    assert!(matches!(offline.absent(&first).unwrap(), Absent::Erased(row) if row.entry == size));
    assert_eq!(verified(&data), (0, 2), "expired, and neither damaged nor missing");
    assert!(everything(&data).len() > 3);
    std::fs::remove_dir_all(data.join("index")).unwrap();
    assert_eq!(rows(Store::open(options(&data, 9_000_000)).unwrap().0.index().as_ref()), indexed, "built again, equal");
}

#[test]
fn what_a_run_refers_to_between_the_look_and_the_end_stays_and_a_hold_in_between_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = new_store(&dir.path().join("data"));
    let (once, twice) = (run_with(&store, 1, "once"), run_with(&store, 2, "twice"));
    run_with(&store, 3, "now");
    let mut plan = store.expiring(RetentionClass::Answers, HOUR, minute(300)).unwrap();
    assert_eq!(plan.due(), 2);
    run_with(&store, 4, "once");
    assert_eq!(store.expire(&mut plan).unwrap(), 1);
    assert!(store.body(&once).unwrap().is_some() && store.body(&twice).unwrap().is_none());

    run_with(&store, 5, "later");
    let mut plan = store.expiring(RetentionClass::Answers, HOUR, minute(300)).unwrap();
    assert!(plan.due() > 0);
    let two = HoldDetail { asked_by: "Legal".into(), approved_by: "Board".into() };
    store.hold(&[], "case 7", &two).unwrap();
    assert_eq!(store.expire(&mut plan).unwrap(), 0);
}

#[test]
fn invariant_20_a_legal_hold_keeps_what_speaks_of_whoever_is_held_from_expiring() {
    let dir = tempfile::tempdir().unwrap();
    let store = new_store(&dir.path().join("data"));
    let (hers, theirs) = (run_with(&store, 1, "[\"dora\"]"), run_with(&store, 2, "[\"erik\"]"));
    run_with(&store, 3, "now");
    let dora = ResourceKey { kind: "keycloak.user".parse().unwrap(), id: "id-dora".into() };
    let two = HoldDetail { asked_by: "Legal".into(), approved_by: "Board".into() };
    let all = store.hold(&[], "case 7", &two).unwrap().entry;
    let her = store.hold(&[dora], "case 8", &two).unwrap().entry;
    let plan = store.expiring(RetentionClass::Answers, HOUR, minute(300)).unwrap();
    assert_eq!((plan.due(), plan.kept[&Rest::Held(all)]), (0, 3));
    store.release(all, "settled", &two).unwrap();
    let plan = store.expiring(RetentionClass::Answers, HOUR, minute(300)).unwrap();
    assert_eq!((plan.due(), plan.kept[&Rest::Held(her)]), (1, 1));
    assert_eq!(expire(&store, minute(300)), 1);
    assert!(store.body(&hers).unwrap().is_some() && store.body(&theirs).unwrap().is_none());
    store.release(her, "settled", &two).unwrap();
    assert_eq!(expire(&store, minute(300)), 1);
    assert_eq!(store.body(&hers).unwrap(), None);
}

fn person(name: &str) -> ResourceKey {
    ResourceKey { kind: "keycloak.user".parse().unwrap(), id: format!("id-{name}") }
}

/// A run of the slot `n` that found these people, and whether they are all.
fn run_of(store: &Store, n: i64, people: &[(&str, bool)], complete: bool) {
    let mut found = run(n, people);
    found.populations.iter_mut().for_each(|population| population.complete = complete);
    store.record_run(intent(store, n), &found).unwrap();
}

fn records(store: &Store, now: Timestamp) -> store::Expiring {
    store.expiring(RetentionClass::Records, HOUR, now).unwrap()
}

/// A step in the life of a deviation of Erik's, which somebody brought about.
fn deviation(store: &Store, change: Change, by: &str, opened_by: Option<u64>) -> u64 {
    let at = minute(1);
    let detail = DeviationDetail {
        resource: person("erik"),
        name: "erik".into(),
        before: Default::default(),
        before_at: None,
        after: Default::default(),
        after_at: at,
        actor: Ok(Actor { id: format!("id-{by}"), name: by.to_owned(), from: None }),
        changed_at: None,
    };
    let step = Deviation {
        check: "own.user.enabled".parse().unwrap(),
        source: "keycloak:acme".parse().unwrap(),
        kind: person("erik").kind,
        resource: store.pseudonym(&person("erik")).unwrap(),
        change,
        episode: 1,
        severity: Severity::High,
        baseline: false,
        is: RowAddress { entry: 2, row: None },
        was: None,
        opened_by,
        detail: store.put_detail(&detail).unwrap(),
    };
    store.record_one(Fact::Deviation(step)).unwrap().entry
}

#[test]
fn a_record_expires_once_its_resource_was_in_no_population_for_its_period_and_not_because_it_was_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    run_of(&store, 1, &[("dora", true), ("erik", true)], true);
    run_of(&store, 2, &[("dora", false), ("erik", true)], true);
    run_of(&store, 3, &[("erik", true)], false);
    let plan = records(&store, minute(900));
    assert_eq!((plan.due(), plan.kept[&Rest::Present]), (0, 2), "nobody looked whether she is gone");
    run_of(&store, 4, &[("erik", true)], true);
    let plan = records(&store, minute(62));
    assert_eq!((plan.due(), plan.later), (0, Some((1, minute(62)))));
    let mut plan = records(&store, minute(900));
    assert_eq!((plan.due(), plan.span()), (1, Some((minute(2), minute(2)))));

    // She comes back before her turn, and goes again.
    run_of(&store, 5, &[("dora", true), ("erik", true)], true);
    assert_eq!(store.expire(&mut plan).unwrap(), 0);
    run_of(&store, 6, &[("erik", true)], true);
    let pseudonym = store.pseudonym(&person("dora")).unwrap();
    let size = store.head().unwrap().size;
    assert_eq!(store.expire(&mut records(&store, minute(900))).unwrap(), 1);
    let Fact::Erase(said) = store.entry(size).unwrap().unwrap().fact else { panic!("#{size} is no erasure") };
    let rule = said.expired.unwrap();
    assert_eq!((rule.class, rule.oldest, rule.youngest), (RetentionClass::Records, minute(5), minute(5)));
    assert_eq!((said.keys, said.bodies, said.answers), (vec![pseudonym.clone()], 2, 0), "two rows of hers");
    assert_eq!((store.resource(&pseudonym), store.pseudonym(&person("dora"))), (None, None));
    assert!(store.pseudonym(&person("erik")).is_some());
    drop(store);
    assert_eq!(verified(&data), (0, 2));
    for (path, bytes) in everything(&data) {
        assert!(!bytes.windows(4).any(|window| window == b"dora"), "{}", path.display());
    }
}

#[test]
fn whoever_a_deviation_or_a_hold_speaks_of_stays_as_long_as_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = new_store(&dir.path().join("data"));
    run_of(&store, 1, &[("dora", true), ("erik", true), ("fred", true)], true);
    // Dora brought it about, and is gone since.
    let opened = deviation(&store, Change::Opened, "dora", None);
    run_of(&store, 2, &[("erik", true)], true);
    let two = HoldDetail { asked_by: "Legal".into(), approved_by: "Board".into() };
    let held = store.hold(&[person("fred")], "case 7", &two).unwrap().entry;
    let plan = records(&store, minute(9000));
    assert_eq!(plan.due(), 0);
    let kept: Vec<_> = plan.kept.into_iter().collect();
    assert_eq!(kept, [(Rest::OpenDeviation, 2), (Rest::Held(held), 1)]);

    deviation(&store, Change::Resolved, "erik", Some(opened));
    let closed = store.entry(store.head().unwrap().size - 1).unwrap().unwrap().at;
    let plan = records(&store, closed.plus(HOUR));
    assert_eq!(plan.due(), 0, "it was open until then");
    let mut plan = records(&store, closed.plus(HOUR).plus(Duration::from_secs(1)));
    assert_eq!(plan.due(), 1);
    store.release(held, "settled", &two).unwrap();
    assert_eq!(store.expire(&mut plan).unwrap(), 1);
    assert_eq!(store.pseudonym(&person("dora")), None);
    assert_eq!(store.expire(&mut records(&store, minute(9000))).unwrap(), 1);
    assert_eq!(store.pseudonym(&person("fred")), None);
    let erik = store.pseudonym(&person("erik"));
    assert!(erik.is_some(), "he is there still");
}

#[test]
fn when_it_was_last_looked_is_remembered_of_each_class_and_grows_no_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    assert_eq!(store.looks(), Looks::new());
    let looks = Looks::from([(RetentionClass::Records, Look { at: minute(7), after: HOUR })]);
    store.remember_looks(&looks).unwrap();
    assert_eq!(store.head().unwrap().size, 1);
    drop(store);
    let (store, _) = Store::open(options(&data, 2_000_000)).unwrap();
    assert_eq!(store.looks(), looks);
    std::fs::write(data.join("looks"), "not that").unwrap();
    assert_eq!(store.looks(), Looks::new(), "it costs another look, and nothing else");
}
