//! Replay: what was observed comes out again, byte for byte, and what did not follow from the evidence is found.

use std::process::Command;

use checks::yaml::Document;
use checks::{CheckSet, Params};
use domain::entry::Fact;
use evidenced::replay::{Asked, Replayed, replay};
use query::Query;
use serde_json::Value;
use store::{Offline, Read};

use super::recorded::{Ledger, slot};

fn replayed(ledger: &Ledger, today: &CheckSet, asked: &Asked) -> Replayed {
    let offline = Offline::open(&ledger.data()).unwrap();
    let query = Query { read: &offline, catalogue: &ledger.knowledge.catalogue, now: slot(10_000).0 };
    replay(&offline, &query, today, asked, &mut |_| {}).unwrap()
}

fn program(args: &[&str], ledger: &Ledger) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_evidenced"))
        .args(args)
        .arg("--data")
        .arg(ledger.data())
        .current_dir(ledger.dir.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn every_observation_comes_out_again_byte_for_byte_with_the_checks_of_its_day() {
    let ledger = Ledger::new();
    let found = replayed(&ledger, &ledger.knowledge.checks, &Asked::default());
    assert_eq!((found.judgements, found.erased), (6, 0));
    assert!(found.equal >= 24, "{found:?}");
    assert!(found.differing.is_empty() && found.impossible.is_empty() && found.flips.is_empty(), "{found:?}");
    let (code, said) = program(&["replay"], &ledger);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("6 judgements") && said.contains("today's checks say the same"), "{said}");
    // One entry alone: the run, or what was said of it.
    let offline = Offline::open(&ledger.data()).unwrap();
    let entries =
        (0..offline.head().unwrap().size).map(|number| (number, offline.entry(number).unwrap().unwrap().fact));
    let (number, run) = entries
        .filter_map(|(number, fact)| match fact {
            Fact::Observation(said) => Some((number, said.run)),
            _ => None,
        })
        .last()
        .unwrap();
    for entry in [number, run] {
        let asked = Asked { entry: Some(entry), ..Asked::default() };
        assert_eq!(replayed(&ledger, &ledger.knowledge.checks, &asked).judgements, 1);
    }
}

#[test]
fn what_other_checks_would_say_today_is_listed() {
    let ledger = Ledger::new();
    let id = "keycloak.realm.brute_force";
    let strict: Params = [(id.parse().unwrap(), [("max_failures".to_owned(), 3.into())].into())].into();
    let settings = Document::read("settings", &format!("params: {{{id}: {{max_failures: 3}}}}")).unwrap();
    let today = CheckSet::embedded().unwrap().with_params(&strict, &settings, "params").unwrap();
    let found = replayed(&ledger, &today, &Asked::default());
    assert!(found.differing.is_empty() && found.impossible.is_empty(), "the checks of its day still say the same");
    assert!(!found.flips.is_empty());
    for flip in &found.flips {
        assert_eq!(flip.check.as_str(), id);
        assert_eq!((flip.was.as_str(), flip.would_be.unwrap().as_str()), ("conforms", "deviates"));
    }
}

#[test]
fn an_observation_that_does_not_follow_from_the_evidence_is_found() {
    let ledger = Ledger::new();
    ledger.go_on_with_a_lie(12);
    let found = replayed(&ledger, &ledger.knowledge.checks, &Asked::default());
    assert!(
        found.differing.iter().any(|one| one.what.contains("conforms was recorded, deviates is computed")),
        "{found:?}"
    );
    assert!(found.equal >= 24, "the others come out");
    let (code, said) = program(&["replay"], &ledger);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("differs"), "{said}");
    // Hashes and signatures hold: a lie that was signed is only found by computing it again.
    assert_eq!(program(&["verify", "--json"], &ledger).0, 50);
}

#[test]
fn a_package_that_lacks_something_says_so_by_its_exit_code_and_is_recorded_all_the_same() {
    let ledger = Ledger::new();
    // The slots between are nobody's.
    ledger.go_on(11, 12, 0);
    let out = ledger.dir.path().join("lacking");
    let period = "1970-01-01T00:01:00Z..1970-01-01T00:13:00Z";
    let args = ["package", "--all", "--period", period, "--for", "Ada", "--out", out.to_str().unwrap()];
    let (code, said) = program(&args, &ledger);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("incomplete") && said.contains("recorded   for Ada"), "{said}");
    assert!(out.join("verify.py").exists());
}

#[test]
fn the_ledger_says_who_was_given_what() {
    let ledger = Ledger::new();
    let out = ledger.dir.path().join("room");
    let args = [
        "package",
        "--control",
        "iso27001-2022/A.8.5",
        "--period",
        "1970-01-01T00:01:00Z..1970-01-01T00:10:00Z",
        "--json",
    ];
    let made = |more: &[&str]| program(&[&args[..], &["--out", out.to_str().unwrap()], more].concat(), &ledger);
    let (code, said) = made(&["--for", "Ada of the audit firm"]);
    assert_eq!(code, 0, "{said}");
    let fact: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let offline = Offline::open(&ledger.data()).unwrap();
    let entry = fact["export"].as_u64().unwrap();
    let Fact::Export(export) = offline.entry(entry).unwrap().unwrap().fact else { panic!("#{entry} is no export") };
    assert_eq!(fact["package"]["digest"], export.digest.as_str());
    assert_eq!(export.of, ["iso27001-2022/A.8.5"]);
    let bytes = String::from_utf8(offline.entry_bytes(entry).unwrap().unwrap()).unwrap();
    assert!(!bytes.contains("Ada"), "a name stands beside the entries, where it can be erased: {bytes}");
    let (_, shown) = program(&["show", &entry.to_string()], &ledger);
    assert!(shown.contains("Ada of the audit firm"), "{shown}");
    assert_eq!(made(&["--for", "Ada"]).0, 2, "it is there already");
    // Whoever has the program at hand verifies with it, too.
    let (code, said) = program(&["verify", out.to_str().unwrap(), "--key", &ledger.key().to_string()], &ledger);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(export.digest.as_str()) && said.contains("SIGNED"), "{said}");
    assert_eq!(program(&["verify", out.to_str().unwrap(), "--require", "pinned"], &ledger).0, 20);
}
