//! Erasure, through the store's public door.

use std::fs;
use std::path::Path;

use domain::entry::Fact;
use domain::{BodyId, CollectionRun, Exchange, ResourceKey};
use ledger::VerifyOptions;
use store::read::exchange_lines;
use store::{Absent, EraseError, Layout, Left, Offline, OpenError, Options, Read, Store};

use crate::{everything, intent, new_store, options, rows, run};

fn person(name: &str) -> ResourceKey {
    ResourceKey { kind: "keycloak.user".parse().unwrap(), id: format!("id-{name}") }
}

/// A run that found Dora and Erik: a page with both, and an address with the id of each.
fn run_of_both(store: &Store, n: i64) -> CollectionRun {
    let page = store.put_answer(format!("[\"dora\", \"erik\", {n}]").as_bytes()).unwrap();
    let exchange = |seq: u32, url: &str, next: Option<&str>| -> Exchange {
        serde_json::from_value(serde_json::json!({
            "seq": seq, "call": "GET /users", "method": "GET", "url": url, "sent": "2026-11-22T12:00:00Z",
            "ended": "2026-11-22T12:00:01Z", "status": 200, "bytes": 2, "body": [page], "next": next,
        }))
        .unwrap()
    };
    let exchanges = vec![
        exchange(0, "https://idp.example/users?first=0", None),
        exchange(1, "https://idp.example/users/id-dora/credentials?max=1", Some("https://idp.example/users/id-dora")),
        exchange(2, "https://idp.example/users/id-erik/credentials~old", None),
        // Somebody who changed something, and is no resource yet.
        Exchange { call: "GET /users/{id}".into(), ..exchange(3, "https://idp.example/users/id-fred?a=/b", None) },
    ];
    CollectionRun { exchanges, ..run(n, &[("dora", true), ("erik", true)]) }
}

/// Three runs of two people.
fn watched(data: &Path) -> Store {
    let store = new_store(data);
    for n in 1..=3 {
        let begun = intent(&store, n);
        store.record_run(begun, &run_of_both(&store, n)).unwrap();
    }
    store
}

/// Every body that can be opened.
fn bodies(data: &Path) -> Vec<String> {
    let offline = Offline::open(data).unwrap();
    let ids = offline.index().scan(b"b/", None, usize::MAX).unwrap();
    let ids = ids.iter().map(|(key, _)| BodyId::from_bytes(*key.last_chunk().unwrap()));
    ids.filter_map(|id| offline.body(&id).unwrap()).map(|body| String::from_utf8_lossy(&body).into_owned()).collect()
}

fn erase(store: &Store, data: &Path, who: &str) -> Vec<store::Receipt> {
    let plan = Offline::open(data).unwrap().plan_erasure(&[person(who)], &[]).unwrap();
    assert!(plan.left.is_empty(), "{:?}", plan.left);
    store.erase(&plan, "request 2026-17", "Data protection officer").unwrap()
}

fn proofs(data: &Path) -> Vec<String> {
    let offline = Offline::open(data).unwrap();
    (0..offline.head().unwrap().size).map(|number| offline.proof(number).unwrap().unwrap()).collect()
}

#[test]
fn invariant_19_who_is_erased_is_in_no_body_no_key_and_no_index_and_all_earlier_proofs_hold() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = watched(&data);
    let earlier = proofs(&data);
    let before = Offline::open(&data).unwrap();
    let pseudonym = before.pseudonym(&person("dora")).unwrap();
    assert!(bodies(&data).iter().any(|body| body.contains("dora")));

    let plan = before.plan_erasure(&[person("dora")], &[]).unwrap();
    assert_eq!((plan.records[0].bodies, plan.answers), (1, 3), "one row that never changed, three pages");
    assert!(matches!(store.erase(&plan, "what dora asked for", "dpo"), Err(EraseError::NamedInBasis)));
    assert!(matches!(store.erase(&plan, " ", "dpo"), Err(EraseError::Basis)));
    let size = store.head().unwrap().size;
    let receipts = erase(&store, &data, "dora");
    assert_eq!((receipts.len(), receipts[0].entry), (1, size));
    assert_eq!((store.resource(&pseudonym), store.pseudonym(&person("dora"))), (None, None));
    assert_eq!(store.resource(&store.pseudonym(&person("erik")).unwrap()), Some(person("erik")));
    let indexed = rows(store.index().as_ref());
    drop(store);

    let left = bodies(&data);
    assert!(!left.iter().any(|body| body.contains("dora")), "{left:?}");
    assert!(left.iter().any(|body| body.contains("\"erik\"")), "what is of others stays");
    for (path, bytes) in everything(&data) {
        assert!(!bytes.windows(4).any(|window| window == b"dora"), "{}", path.display());
    }
    let after = proofs(&data);
    let offline = Offline::open(&data).unwrap();
    for (number, proof) in (0..).zip(&earlier) {
        let proof: ledger::TlogProof = proof.parse().unwrap();
        let keys = offline.reader().key_ring().unwrap().unwrap().0.at(size);
        proof.verify(&offline.entry_bytes(number).unwrap().unwrap(), &keys).unwrap();
    }
    assert_eq!(after.len(), earlier.len() + 1);
    let keys = Some(offline.record_keys().unwrap());
    let layout = Layout::new(&data);
    let asked =
        VerifyOptions { keys, bodies: Some(layout.bodies()), guard: Some(layout.guard()), ..Default::default() };
    let report = ledger::verify(&layout.ledger(), &asked, &mut |_| {});
    assert_eq!((report.problems.len(), report.erased), (0, 4), "{:?}", report.problems);

    let Fact::Erase(said) = offline.entry(size).unwrap().unwrap().fact else { panic!("#{size} is no erasure") };
    assert_eq!((said.of.unwrap().resource, said.keys.len(), said.bodies, said.answers), (pseudonym, 4, 1, 3));
    assert_eq!(offline.body(&said.detail.unwrap()).unwrap().unwrap(), br#"{"by":"Data protection officer"}"#);
    assert_eq!(rows(Store::open(options(&data, 5_000_000)).unwrap().0.index().as_ref()), indexed);
    fs::remove_dir_all(data.join("index")).unwrap();
    assert_eq!(rows(Store::open(options(&data, 6_000_000)).unwrap().0.index().as_ref()), indexed, "built again, equal");
}

#[test]
fn an_address_names_nobody_in_the_list_of_exchanges_and_reads_as_it_was_asked_until_the_erasure() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = watched(&data);
    let urls = |store: &Store| -> Vec<String> {
        // The last run that asked anything.
        let entries = (0..store.head().unwrap().size).map(|number| store.entry(number).unwrap().unwrap());
        let lists = entries.filter_map(|entry| match entry.fact {
            Fact::Run(run) => run.exchanges,
            _ => None,
        });
        let list = store.body(&{ lists }.next_back().unwrap()).unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&list).contains("id-"), "{}", String::from_utf8_lossy(&list));
        let exchanges = exchange_lines(store, &list).map(Result::unwrap);
        exchanges.flat_map(|exchange| std::iter::once(exchange.url).chain(exchange.next)).collect()
    };
    let asked = [
        "https://idp.example/users?first=0",
        "https://idp.example/users/id-dora/credentials?max=1",
        "https://idp.example/users/id-dora",
        "https://idp.example/users/id-erik/credentials~old",
        "https://idp.example/users/id-fred?a=/b",
    ];
    assert_eq!(urls(&store), asked);
    let pseudonym = store.pseudonym(&person("dora")).unwrap();
    erase(&store, &data, "dora");
    let veiled = format!("https://idp.example/users/~{pseudonym}/credentials?max=1");
    assert_eq!(
        urls(&store),
        [asked[0], &veiled, &format!("https://idp.example/users/~{pseudonym}"), asked[3], asked[4]]
    );

    // Once he is a resource, both his keys go with him.
    let begun = intent(&store, 4);
    store.record_run(begun, &run(4, &[("fred", true)])).unwrap();
    let receipts = erase(&store, &data, "fred");
    let Fact::Erase(said) = store.entry(receipts[0].entry).unwrap().unwrap().fact else { panic!("no erasure") };
    assert_eq!(said.keys.len(), 2);
    assert!(!urls(&store).concat().contains("fred"));
}

#[test]
fn who_is_seen_again_after_an_erasure_is_somebody_new_and_the_same_answer_is_kept_anew() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = watched(&data);
    let before = store.pseudonym(&person("dora")).unwrap();
    erase(&store, &data, "dora");
    let begun = intent(&store, 4);
    let again = CollectionRun { trigger: run(4, &[]).trigger, ..run_of_both(&store, 3) };
    store.record_run(begun, &again).unwrap();
    assert_ne!(store.pseudonym(&person("dora")).unwrap(), before);
    assert_eq!(store.body(&again.exchanges[0].body[0]).unwrap().unwrap(), b"[\"dora\", \"erik\", 3]");
}

#[test]
fn a_file_of_keys_or_a_whole_copy_from_before_the_erasure_brings_nobody_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy, guard) = (dir.path().join("data"), dir.path().join("copy"), dir.path().join("guard"));
    let guarded = |data: &Path, start| Options { guard: Some(guard.clone()), ..options(data, start) };
    drop(watched(&data));
    fs::rename(data.join("guard"), &guard).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap();
    assert!(copied.success());
    let (store, _) = Store::open(guarded(&data, 3_000_000)).unwrap();
    let of = [person("dora")];
    let plan = Offline::open(&data).unwrap().plan_erasure(&of, &[]).unwrap();
    store.erase(&plan, "request 17", "dpo").unwrap();
    drop(store);

    // The keys of then beside the ledger of now.
    let named = |data: &Path| bodies(data).iter().any(|body| body.contains("dora"));
    for file in ["records", "records.synced"] {
        fs::copy(copy.join("keys").join(file), data.join("keys").join(file)).unwrap();
    }
    assert!(named(&data), "the older keys open it");
    let (store, recovered) = Store::open(guarded(&data, 4_000_000)).unwrap();
    let size = store.head().unwrap().size;
    drop(store);
    assert!(!named(&data));
    let noted = "4 record keys that were erased before were there again: destroyed";
    assert!(recovered.notes.iter().any(|note| note == noted), "{recovered:?}");

    // The whole of then: refused, and it tells of nobody all the same.
    assert!(named(&copy));
    assert!(matches!(Store::open(guarded(&copy, 5_000_000)), Err(OpenError::Older { .. })));
    assert!(!named(&copy));

    // Where that copy may go on, because the mark was lost with the newer part, its ledger says what was erased.
    fs::remove_file(guard.join("high-water")).unwrap();
    let mark = ledger::high_water(&guard);
    assert!(mark.is_err());
    let then = Options { guard: Some(copy.join("guard")), ..options(&copy, 6_000_000) };
    fs::create_dir_all(copy.join("guard")).unwrap();
    fs::copy(guard.join("erased"), copy.join("guard/erased")).unwrap();
    let checkpoint = fs::read(copy.join("ledger/checkpoint")).unwrap();
    let signed = ledger::SignedCheckpoint::parse_unverified(&checkpoint).unwrap();
    ledger::keep_high_water(&copy.join("guard"), &signed.checkpoint).unwrap();
    let (store, _) = Store::open(then).unwrap();
    let last = store.head().unwrap().size - 1;
    let Fact::Erase(said) = store.entry(last).unwrap().unwrap().fact else { panic!("#{last} is no erasure") };
    assert_eq!((said.of, said.keys.len()), (None, 4));
    assert!(last < size);
    drop(store);
    let offline = Offline::open(&copy).unwrap();
    let page = store_page(&offline);
    assert!(matches!(offline.absent(&page).unwrap(), Absent::Erased(row) if row.entry == last));
}

/// The answer that the first run kept.
fn store_page(offline: &Offline) -> BodyId {
    let entries = (0..offline.head().unwrap().size).map(|number| offline.entry(number).unwrap().unwrap());
    let lists = entries.filter_map(|entry| match entry.fact {
        Fact::Run(run) => run.exchanges,
        _ => None,
    });
    let list = offline.body(&lists.take(1).last().unwrap()).unwrap().unwrap();
    exchange_lines(offline, &list).next().unwrap().unwrap().body.first().unwrap().clone()
}

#[test]
fn what_else_speaks_of_a_resource_is_named_before_anything_is_erased_and_may_go_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = new_store(&data);
    // Erik's row names Dora, as that of somebody who reports to her would.
    store.put_body(b"a list of our own that names dora").unwrap();
    let mut found = run(1, &[("dora", true)]);
    found.populations[0].extend(run(1, &[("erik of dora", true)]).populations[0].resources());
    store.record_run(intent(&store, 1), &found).unwrap();
    let offline = Offline::open(&data).unwrap();
    let erik = ResourceKey { id: "id-erik of dora".into(), ..person("erik") };
    let plan = offline.plan_erasure(&[person("dora")], &[]).unwrap();
    let left: Vec<(&Left, u64)> = plan.left.iter().map(|(left, count)| (left, *count)).collect();
    assert_eq!(left, [(&Left::Record(erik.clone()), 1), (&Left::Lists, 1)]);
    let found: Vec<(ResourceKey, String)> = offline.records_with("dora").unwrap().into_iter().collect();
    assert_eq!(found, [(person("dora"), "dora".to_owned()), (erik.clone(), "erik of dora".to_owned())]);

    let plan = offline.plan_erasure(&[person("dora"), erik], &[]).unwrap();
    assert_eq!((plan.records.len(), plan.left.keys().collect::<Vec<_>>()), (2, vec![&Left::Lists]));
    assert_eq!(store.erase(&plan, "request 18", "dpo").unwrap().len(), 2);
    let unknown = offline.plan_erasure(&[person("nobody")], &[]);
    assert!(matches!(unknown, Err(EraseError::Unknown { id, .. }) if id == "id-nobody"));
}
