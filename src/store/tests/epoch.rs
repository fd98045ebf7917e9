//! The end of a ledger, and what goes on in the one that continues it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use domain::ResourceKey;
use domain::entry::{Fact, HoldDetail};
use store::{Options, Read, Store, holds};

use crate::stopping::Stops;
use crate::{intent, new_store, options, run};

/// A ledger with a hold of Dora, one of everything, and one that was released.
fn with_holds(data: &Path) -> Vec<Fact> {
    let store = new_store(data);
    let begun = intent(&store, 1);
    store.record_run(begun, &run(1, &[("dora", true)])).unwrap();
    let two = HoldDetail { asked_by: "Legal".into(), approved_by: "Board".into() };
    let dora = ResourceKey { kind: "keycloak.user".parse().unwrap(), id: "id-dora".into() };
    let hers = store.hold(std::slice::from_ref(&dora), "case 7", &two).unwrap().entry;
    let over = store.hold(&[dora], "case 8", &two).unwrap().entry;
    let all = store.hold(&[], "case 9", &two).unwrap().entry;
    store.release(over, "settled", &two).unwrap();
    [hers, all].map(|entry| store.entry(entry).unwrap().unwrap().fact).to_vec()
}

#[test]
fn legal_holds_go_on_in_the_continuation_wherever_the_closing_was_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("template");
    let held = with_holds(&template);
    let (mut broken_off, mut torn) = (0, 0);
    for changes in 0.. {
        let data = dir.path().join(format!("data-{changes}"));
        assert!(Command::new("cp").arg("-a").args([&template, &data]).status().unwrap().success());
        let disk = Arc::new(Stops::after(changes));
        let first = store::close(&Options { disk, ..options(&data, 2_000_000) }, "the disk broke", "test 1");
        let whole = first.is_ok();
        let closed = match first {
            Ok(closed) => closed,
            Err(error) => {
                broken_off += 1;
                // The new seed is written past the disk that stops: before it has its name, it may be there in part.
                let seed = data.join("keys/ledger.seed.tmp");
                if let Ok(text) = std::fs::read(&seed) {
                    torn += 1;
                    std::fs::write(&seed, &text[..text.len() / 2]).unwrap();
                }
                // Before the plan is durable it was not begun, and wants its reason again. The clock went back meanwhile.
                let again = store::close(&options(&data, 1_500_000), "the disk broke", "test 1");
                again.unwrap_or_else(|again| panic!("after {changes} changes: {error}, then {again}"))
            }
        };
        assert_eq!(closed.holds, Ok(vec![1, 2]), "after {changes} changes");
        let (store, _) = Store::open(options(&data, 3_000_000)).unwrap();
        let in_force = holds(store.index().as_ref()).unwrap();
        let facts: Vec<Fact> = in_force.iter().map(|row| store.entry(row.entry).unwrap().unwrap().fact).collect();
        assert_eq!(facts, held, "after {changes} changes");
        let times: Vec<_> = (0..3).map(|number| store.entry(number).unwrap().unwrap().at).collect();
        assert!(times.is_sorted(), "after {changes} changes: {times:?}");
        drop(store);
        std::fs::remove_dir_all(&data).unwrap();
        if whole {
            break;
        }
    }
    assert!(broken_off > 20 && torn > 0, "it was broken off {broken_off} times only, {torn} in the middle of its seed");
}

#[test]
fn a_closing_says_so_when_it_cannot_tell_which_holds_were_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    with_holds(&data);
    // A hold's entry is damaged; the first entry, without which there is no closing, is whole.
    let segment = data.join("ledger/seg").read_dir().unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"case 7").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let closed = store::close(&options(&data, 2_000_000), "it is damaged", "test 1").unwrap();
    assert!(closed.holds.is_err(), "{closed:?}");
    assert_eq!(Store::open(options(&data, 3_000_000)).unwrap().0.head().unwrap().size, 1);
}
