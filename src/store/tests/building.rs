//! What can be read while an index is built again, and that nobody waits for the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::ResourceKey;
use ledger::testing::{BadDisk, Ill};
use store::index::Op;
use store::{Options, Read, ReadError, Store};

use super::{intent, new_store, options, rows, run, stream};

/// A disk that lingers at each part of a fold while the file is there.
struct Slow {
    file: PathBuf,
}

impl Slow {
    fn beside(dir: &Path) -> Slow {
        Slow { file: dir.join("slow") }
    }

    fn options(&self, data: &Path, start: i64) -> Options {
        let ill = Ill { slow_in: Some(self.file.clone()), ..Ill::default() };
        Options { disk: BadDisk::shared(ill), ..options(data, start) }
    }

    fn begin(&self) {
        fs::write(&self.file, "60000").unwrap();
    }

    fn end(&self) {
        fs::remove_file(&self.file).unwrap();
    }
}

/// Waits until something is said that ends as it should.
fn until(mut said: impl FnMut() -> Option<String>, end: &str) {
    let began = Instant::now();
    loop {
        let now = said();
        if now.as_ref().is_some_and(|said| said.ends_with(end)) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(50), "{now:?} and not {end}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What reading cannot answer without the index, in words.
fn refused<T>(answer: Result<T, ReadError>) -> String {
    answer.err().map_or_else(|| "answered".to_owned(), |error| error.to_string())
}

const PEOPLE: [(&str, bool); 2] = [("ada", true), ("bob", false)];

/// 300 entries after the first: runs that found two people. Gives the body of an answer.
fn recorded(store: &Store) -> domain::BodyId {
    let answer = store.put_answer(b"ada and bob").unwrap();
    for n in 0..149 {
        let begun = intent(store, n);
        store.record_run(begun, &run(n, &PEOPLE)).unwrap();
    }
    intent(store, 149);
    intent(store, 150);
    answer
}

#[test]
fn while_a_start_builds_the_index_entries_and_proofs_can_be_read_and_everything_else_says_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (data, slow) = (dir.path().join("data"), Slow::beside(dir.path()));
    let store = new_store(&data);
    let answer = recorded(&store);
    let (found, head) = (rows(store.index().as_ref()), store.head().unwrap());
    let ada = ResourceKey { kind: "keycloak.user".parse().unwrap(), id: "id-ada".to_owned() };
    let (entry, proof, pseudonym) = (store.entry(2).unwrap(), store.proof(2).unwrap(), store.pseudonym(&ada).unwrap());
    drop(store);
    fs::remove_dir_all(data.join("index")).unwrap();

    slow.begin();
    let starting = Store::begin(slow.options(&data, 9_000_000)).unwrap();
    let meanwhile = starting.meanwhile();
    assert_eq!(meanwhile.said(), "the index is being read before it is used");
    let mut told = Vec::new();
    let (store, recovered) = std::thread::scope(|scope| {
        let finished = scope.spawn(|| starting.finish(&mut |progress| told.push(progress)).unwrap());
        until(|| Some(meanwhile.said()), "is being built again from the ledger: 128 of 301 entries");
        assert_eq!(meanwhile.indexed(), 128);
        assert_eq!(meanwhile.head().unwrap(), head);
        assert_eq!((meanwhile.entry(2).unwrap(), meanwhile.proof(2).unwrap()), (entry, proof));
        assert!(meanwhile.entry(head.size).unwrap().is_none());
        let why = refused(meanwhile.body(&answer));
        assert!(why.starts_with("the index failed: it is being built again from the ledger: "), "{why}");
        assert_eq!(refused(meanwhile.index().scan(b"", None, 10).map_err(ReadError::from)), why);
        // It may have been erased since this copy was made.
        assert_eq!((meanwhile.resource(&pseudonym), meanwhile.pseudonym(&ada)), (None, None));
        slow.end();
        finished.join().unwrap()
    });
    assert_eq!(recovered.folded, head.size);
    let last = ledger::Progress::Entries { done: head.size, total: head.size };
    assert_eq!((told.last(), meanwhile.indexed()), (Some(&last), head.size));
    assert!(rows(store.index().as_ref()) == found);
    assert!(store.body(&answer).unwrap().is_some() && store.resource(&pseudonym) == Some(ada));
}

#[test]
fn while_a_running_store_builds_its_index_again_nobody_waits_for_it_but_whoever_records() {
    let dir = tempfile::tempdir().unwrap();
    let (data, slow) = (dir.path().join("data"), Slow::beside(dir.path()));
    drop(new_store(&data));
    let (store, _) = Store::open(slow.options(&data, 2_000_000)).unwrap();
    let answer = recorded(&store);
    let found = rows(store.index().as_ref());
    let size = store.head().unwrap().size;
    let (broken, _) = found.iter().find(|(key, _)| key.ends_with(stream().as_str().as_bytes())).unwrap();
    let ada = ResourceKey { kind: "keycloak.user".parse().unwrap(), id: "id-ada".to_owned() };
    assert_eq!(store.rebuilding(), None);

    store.index().apply(vec![Op::Put(broken.clone(), b"not a row".to_vec())]).unwrap();
    slow.begin();
    std::thread::scope(|scope| {
        let mended = scope.spawn(|| store.stream_row(&stream()).unwrap());
        until(|| store.rebuilding(), "is being built again from the ledger: 128 of 301 entries");
        assert!(refused(store.body(&answer)).contains("it is being built again from the ledger"));
        assert!(store.entry(size - 1).unwrap().is_some() && store.proof(0).unwrap().is_some());
        let pseudonym = store.pseudonym(&ada).unwrap();
        assert_eq!(store.resource(&pseudonym), Some(ada.clone()));
        assert!(store.rebuilding().is_some(), "all of that was answered before it was there");
        slow.end();
        assert!(mended.join().unwrap().last_run.is_some());
    });
    assert_eq!(store.rebuilding(), None);
    assert!(rows(store.index().as_ref()) == found);
}
