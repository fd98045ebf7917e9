//! Days on which somebody writes a check that does not mean what it says, or evidence grows old.

use std::fs;

use domain::{FindingReason, FindingValue};
use query::ControlView;
use world::Drift;

use super::{Book, control, counts, good, own_check, value};
use crate::support::Setup;

/// A daemon with this check does not start, and says why; nothing is begun. Gives what `config validate` says.
fn refused(name: &str, text: &str) -> String {
    let (_world, server) = good();
    let setup = Setup::of_world(&server).with_check(name, text);
    setup.write();
    assert_eq!(setup.start_as_written(&[]).ended(), Some(2));
    assert!(!setup.data().exists(), "not even the data directory was made");
    let output = setup.command(&["config", "validate"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    let folder = setup.dir.path().join("checks").display().to_string();
    assert!(said.contains(&folder), "the file is named: {said}");
    said.replace(&format!("{folder}/"), "")
}

/// A field is misspelt in a check. Owed: refused when it is loaded, with file, line and the nearest name.
#[test]
fn badday_13_a_misspelt_field_is_refused_with_its_place_and_the_nearest_name() {
    let misspelt = [("expr: enabled == true", "expr: enabeld == true")];
    let said = refused("own.yaml", &own_check("own.user.enabled", "keycloak.user", "enabled", "A.5.16", &misspelt));
    let expected = "\
own.yaml:10:7: expr: names enabeld, which is no field of this check
   10 | expr: enabeld == true
      |       ^^^^^^^ did you mean enabled?";
    assert!(said.contains(expected), "{said}");
}

/// A check has no rule. Owed: refused when it is loaded.
#[test]
fn badday_14_a_check_without_its_rule_is_refused() {
    let without = [("expr: enabled == true\n", "")];
    let said = refused("own.yaml", &own_check("own.user.enabled", "keycloak.user", "enabled", "A.5.16", &without));
    assert!(said.contains("own.yaml:1:1: the key expr is missing"), "{said}");
}

/// A check was written for another shape of what it is fed: it needs a later version of the collector, or a field that
/// the collector does not give. Owed: it is refused, or its word is undetermined, with the reason; never a good word.
#[test]
fn badday_15_a_check_for_another_shape_of_its_input_never_gives_a_good_word() {
    let newer = own_check("own.user.newer", "keycloak.user", "enabled", "A.5.16", &[("version: 1", "version: 99")]);
    let other = own_check("own.user.other", "keycloak.user", "retired", "A.5.18", &[]);
    let (_world, server) = good();
    let setup = Setup::of_world(&server).with_check("newer.yaml", &newer).with_check("other.yaml", &other);
    let mut daemon = setup.start();
    for id in ["A.5.16", "A.5.18"] {
        let view = daemon.wait("the finding", |api| {
            control(api, id).filter(|view| view.reason.is_some_and(|reason| reason != FindingReason::NeverRan))
        });
        assert_eq!((view.value, view.reason), (FindingValue::NotEvidenced, Some(FindingReason::Undetermined)), "{id}");
    }
    let book = Book::open(&setup.data());
    let (number, run) = *book.runs("people").first().unwrap();
    let people = run.populations.iter().find(|population| population.kind.as_str() == "keycloak.user").unwrap();
    for check in ["own.user.newer", "own.user.other"] {
        assert_eq!(book.counts(number, check).unwrap(), (counts(0, 0, people.count, 0), true), "{check}");
    }
    // Runs of other streams may be judged in between.
    let judges = |entry: &query::EntryView| entry.kind == "observation" && entry.fact["run"] == number;
    let entry = daemon.api().entries(number).into_iter().find(judges).unwrap().entry;
    let rows = (0..).map_while(|row| daemon.api().get::<query::RowView>(&format!("entries/{entry}/{row}")));
    let said: Vec<_> = rows.filter_map(|row| row.observation).collect();
    let reason = |check: &str| said.iter().find(|one| one.check.as_str() == check).unwrap().reason.clone().unwrap();
    assert_eq!(reason("own.user.newer"), "read by version 1 of the collector, the check needs 99");
    assert_eq!(reason("own.user.other"), "not collected: retired");
}

/// Evidence was good and nobody looked again for longer than the check allows. Owed: the control is not evidenced any
/// more, whatever the last word was; and looking again mends it.
#[test]
fn badday_20_evidence_older_than_its_check_allows_is_no_evidence() {
    let young = [("greatest_age: 6h", "greatest_age: 4s")];
    let check = own_check("own.realm.guessing", "keycloak.realm", "brute_force", "A.5.16", &young);
    let (_world, mut server) = good();
    let setup = Setup::of_world(&server).with_check("young.yaml", &check);
    // This one collector rests, as a stuck one would; the others go on and draw conclusions.
    let setup = setup.with_in_source("    schedules: {realm: 'every: 24h'}\n");
    let mut daemon = setup.start();
    daemon.wait("a good word", |api| (value(api, "A.5.16")? == FindingValue::Conforming).then_some(()));
    let view = daemon.wait("its end", |api| {
        control(api, "A.5.16").filter(|view| view.value == FindingValue::NotEvidenced && view.entry.is_some())
    });
    assert_eq!(view.reason, Some(FindingReason::Stale));
    assert!(view.links[0].stale, "{:?}", view.links);
    assert_eq!(view.links[0].state.counts, Some(counts(1, 0, 0, 0)), "its last word was good, and is too old");
    let realm = daemon.api().stream("realm").unwrap();
    assert!(realm.checks.iter().any(|check| check.check.as_str() == "own.realm.guessing" && check.stale));
    assert!(realm.checks.iter().any(|check| check.check.as_str() == super::GUESSING && !check.stale));
    assert_eq!(value(daemon.api(), "A.8.5"), Some(FindingValue::Conforming), "each check has an age of its own");

    let asked = daemon.api().send(kit::http::Method::POST, "/api/v1/run-now", r#"{"what":"keycloak:acme/realm"}"#);
    assert_eq!(asked.unwrap().0, 202);
    daemon.wait("the good word again", |api| (value(api, "A.5.16")? == FindingValue::Conforming).then_some(()));

    // And so at a start: with nothing to look at, what was good before is not good now.
    daemon.wait("its end again", |api| (value(api, "A.5.16")? == FindingValue::NotEvidenced).then_some(()));
    server.outage();
    assert_eq!(daemon.stop().0, Some(0));
    let mut daemon = setup.start();
    let view = daemon.wait("findings", |api| control(api, "A.5.16"));
    assert_eq!(view.value, FindingValue::NotEvidenced);
    let findings = Book::open(&setup.data()).findings("A.5.16");
    assert_eq!(findings.iter().filter(|value| **value == FindingValue::Conforming).count(), 2, "{findings:?}");
}

/// Somebody takes the source in which something deviates out of the settings. Owed: no control gets better by it.
#[test]
fn no_control_gets_better_because_a_source_is_taken_out_of_the_settings() {
    let (world, server) = good();
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait("a bad word", |api| (value(api, "A.8.5")? == FindingValue::Nonconforming).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));

    // The same realm under another name, and now in order: alone it would give a good word.
    world.undo(Drift::BruteForceOff, "dora").unwrap();
    let settings = fs::read_to_string(setup.settings()).unwrap();
    fs::write(setup.settings(), settings.replace("name: acme", "name: other")).unwrap();
    let mut daemon = setup.start_as_written(&[]);
    let of = |view: &ControlView, source: &str| {
        let links = view.links.iter().map(|link| &link.state).filter(|link| link.check.as_str() == super::GUESSING);
        links.clone().find(|link| link.source.as_ref().is_some_and(|id| id.as_str() == source)).cloned()
    };
    let view = daemon.wait("the other's good word", |api| {
        let view = control(api, "A.8.5")?;
        (of(&view, "keycloak:other")?.counts? == counts(1, 0, 0, 0)).then_some(view)
    });
    assert_eq!(of(&view, "keycloak:acme").unwrap().open, 1, "what deviated there is still open");
    assert_eq!(view.value, FindingValue::Nonconforming);
    assert_eq!(daemon.stop().0, Some(0));
    assert!(!Book::open(&setup.data()).findings("A.8.5").contains(&FindingValue::Conforming));
}
