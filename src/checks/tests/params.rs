//! Thresholds of the organisation's own, and the version of a check's meaning.

use checks::yaml::Document;
use checks::{CheckSet, Params, Prepared, run_examples, verdict};
use domain::ObservationValue::{Conforms, Deviates};
use serde::Deserialize;
use serde_json::json;

use crate::support::{AT, DOOR, load, read};

#[derive(Deserialize)]
struct Settings {
    params: Params,
}

fn with(settings: &str) -> Result<CheckSet, Vec<checks::Problem>> {
    let document = Document::read("evidenced.yaml", settings)?;
    let read: Settings = document.parse()?;
    load(&[("door.yaml", DOOR)])?.with_params(&read.params, &document, "params")
}

#[test]
fn a_changed_threshold_changes_the_word_and_the_version_but_not_the_examples() {
    let before = load(&[("door.yaml", DOOR)]).unwrap();
    let after = with("params:\n  house.door.locked:\n    least_turns: 4\n").unwrap();
    let resource = read("house.door", json!({"outside": true, "locked": true, "turns": 2}));
    let prepared = Prepared::new(&resource, 2);
    let (old, new) = (before.checks().next().unwrap(), after.checks().next().unwrap());
    assert_eq!(verdict(old, &prepared, AT).value, Conforms);
    assert_eq!(verdict(new, &prepared, AT).value, Deviates);
    assert_ne!(old.version(), new.version());
    assert_ne!(before.checks_digest(), after.checks_digest());
    assert!(run_examples(&after).iter().all(checks::ExampleOutcome::holds));
}

#[test]
fn a_threshold_that_means_nothing_is_refused_where_it_stands() {
    let table = [
        (
            "params:\n  house.door.lokced:\n    least_turns: 4\n",
            "\
evidenced.yaml:2:3: unknown check house.door.lokced
    2 |   house.door.lokced:
      |   ^^^^^^^^^^^^^^^^^ did you mean house.door.locked?",
        ),
        (
            "params:\n  house.door.locked:\n    least_turn: 4\n",
            "\
evidenced.yaml:3:5: house.door.locked has no parameter least_turn
    3 |     least_turn: 4
      |     ^^^^^^^^^^ did you mean least_turns?",
        ),
        (
            "params:\n  house.door.locked:\n    least_turns: four\n",
            "\
evidenced.yaml:3:18: house.door.locked.least_turns is text, expected int
    3 |     least_turns: four
      |                  ^^^^ turns of the key; its default is 2",
        ),
    ];
    for (settings, expected) in table {
        let problems = with(settings).unwrap_err();
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), expected);
    }
}

#[test]
fn the_version_follows_the_meaning_and_not_the_prose() {
    let version = |text: &str| load(&[("door.yaml", text)]).unwrap().checks().next().unwrap().version().to_owned();
    let original = version(DOOR);
    assert_eq!(original.len(), 16);
    for prose in [
        DOOR.replace("Doors are locked", "Doors are shut"),
        DOOR.replace("severity: high", "severity: low"),
        DOOR.replace("locked == true && turns", "locked == true  &&   turns"),
        DOOR.replace("bearing: proves", "bearing: supports"),
    ] {
        assert_eq!(version(&prose), original, "{prose}");
    }
    for meaning in [
        DOOR.replace("locked == true && turns", "turns >= 0 && locked == true && turns"),
        DOOR.replace("outside == true", "outside != false"),
        DOOR.replace("default: 2", "default: 1"),
        DOOR.replace("or_null: true", "or_null: false"),
        DOOR.replace("version: 2", "version: 3"),
        DOOR.replace("resource: house.door", "resource: house.gate"),
    ] {
        assert_ne!(version(&meaning), original, "{meaning}");
    }
}

#[test]
fn what_is_recorded_is_enough_to_load_the_same_checks_again() {
    let set = load(&[("door.yaml", DOOR)]).unwrap();
    let recorded = set.recorded();
    let text = recorded["checks"]["house.door.locked"]["text"].as_str().unwrap();
    let again = load(&[("door.yaml", text)]).unwrap();
    assert_eq!(again.checks_digest(), set.checks_digest());
    assert_eq!(set.checks_digest().len(), 64);
    assert_eq!(set.frameworks_digest().len(), 64);
}
