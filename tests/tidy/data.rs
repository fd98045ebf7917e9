//! Connectors and checks: whatever is added is registered, fed, and has its examples.

use std::collections::BTreeSet;

use checks::{Check, CheckSet, Problem};
use kit::{CollectorSpec, Kind};
use serde_json::Value;

use super::Faults;
use super::repository::{File, file, files, root};

#[test]
fn every_connector_is_registered() {
    let mut faults = Faults::default();
    let folders = connector_folders();
    assert!(folders.contains("example"), "no connectors were found");
    for name in &folders {
        for (path, line) in [
            ("connectors/lib.rs", format!("    {name},")),
            ("connectors/Cargo.toml", format!("{name} = {{ path = \"{name}\" }}")),
        ] {
            if !file(path).lines().any(|(_, own)| own == line) {
                faults.of(
                    path,
                    format!("connectors/{name} is not registered"),
                    format!("add the line `{}`", line.trim()),
                );
            }
        }
    }
    for kind in connectors::KINDS.iter().filter(|kind| !folders.contains(kind.name)) {
        let remedy = "give the folder the name of the kind, so that one word is enough";
        faults.of("connectors/lib.rs", format!("the kind {} has no folder of its name", kind.name), remedy);
    }
    faults.end();
}

#[test]
fn every_collector_is_held_against_recorded_answers() {
    let mut faults = Faults::default();
    for kind in connectors::KINDS {
        let folder = format!("connectors/{}", kind.name);
        let recorded = files()
            .iter()
            .any(|file| file.path.starts_with(&format!("{folder}/fixtures/")) && file.path.ends_with("/index.json"));
        if !recorded {
            faults.of(
                &folder,
                "no recorded answers",
                format!("record a source into {folder}/fixtures, with its index.json"),
            );
        }
        for collector in kind.collectors {
            expected_file(kind, collector, &mut faults);
        }
    }
    faults.end();
}

/// The file of what a collector's good day gives holds every call that is always made, and every type it yields.
fn expected_file(kind: &Kind, collector: &CollectorSpec, faults: &mut Faults) {
    let path = format!("connectors/{}/expected/{}.json", kind.name, collector.name);
    let Some(expected) = files().iter().find(|file| file.path == path) else {
        let remedy = "test it with kit::testing::Harness::good_day, and write the file with BLESS=1";
        faults.of(&path, format!("the collector {} is not tested on a good day", collector.name), remedy);
        return;
    };
    let run: Value = serde_json::from_str(&expected.text).unwrap_or_else(|error| panic!("{path}:1: {error}"));
    let named = |list: &str, key: &str| -> BTreeSet<String> {
        let items = run[list].as_array().into_iter().flatten();
        items.filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
    };
    let (calls, types) = (named("exchanges", "call"), named("populations", "type"));
    for call in collector.calls.iter().filter(|call| call.per_run.0 > 0 && !calls.contains(call.name)) {
        let remedy = "record its answer into the fixtures; or declare it as one that is not always made";
        faults.of(&path, format!("{} is always made, and is not among the exchanges", call.name), remedy);
    }
    for yielded in collector.yields.iter().filter(|yielded| !types.contains(yielded.kind)) {
        faults.of(&path, format!("no population of {}", yielded.kind), "record a source that has one");
    }
}

#[test]
fn every_check_has_its_examples_and_its_controls_and_is_fed_by_a_collector() {
    let mut faults = Faults::default();
    // Loading refuses a check that lacks an example for a word it can say, or names an unknown control.
    let set = CheckSet::embedded().unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    });
    for check in set.checks() {
        fed(check, &mut faults);
    }
    faults.end();
}

/// The collector that a check needs is there, and yields every field that the check names, from the call it names.
fn fed(check: &Check, faults: &mut Faults) {
    let needs = check.needs();
    let kind = connectors::KINDS.iter().find(|kind| kind.name == needs.source);
    let collector = kind.and_then(|kind| kind.collectors.iter().find(|c| c.name == needs.collector.as_str()));
    let Some(collector) = collector else {
        let what = format!("there is no collector {} of {}", needs.collector, needs.source);
        return at(faults, check, "needs:", what, "name one that is declared in its connector");
    };
    if needs.version > collector.version {
        let what = format!("needs version {}, and the collector has {}", needs.version, collector.version);
        at(faults, check, "needs:", what, "write the check for the fields there are");
    }
    let Some(yielded) = collector.type_spec(check.resource().as_str()) else {
        let what = format!("{} yields no {}", collector.name, check.resource());
        return at(faults, check, "resource:", what, "name a type that the collector yields");
    };
    for (field, source) in check.fields() {
        let line = format!("  {field}:");
        if !yielded.fields.contains(&field.as_str()) {
            let remedy = format!("one of {}", yielded.fields.join(", "));
            at(faults, check, &line, format!("{} has no field {field}", yielded.kind), remedy);
        }
        if !collector.calls.iter().any(|call| call.name == source.call) {
            let what = format!("{} does not make the call {}", collector.name, source.call);
            at(faults, check, &line, what, "name one of the calls that the collector declares");
        }
    }
}

fn at(faults: &mut Faults, check: &Check, part: &str, what: impl std::fmt::Display, remedy: impl std::fmt::Display) {
    faults.at(check.file(), file(check.file()).line_of(part), what, remedy);
}

/// The folders of connectors: those with a manifest, kit left out.
fn connector_folders() -> BTreeSet<&'static str> {
    let name = |file: &'static File| file.path.strip_prefix("connectors/")?.strip_suffix("/Cargo.toml");
    files().iter().filter_map(name).filter(|name| !name.contains('/') && *name != "kit").collect()
}

#[test]
fn what_is_replaced_before_anything_is_kept_is_a_list_that_is_changed_on_purpose() {
    let mut text = String::from(
        "# What every collector replaces in answers before anything of them is kept: collector, call, path. `*` is the whole of\n\
         # request and answer; `|origin` keeps scheme and host of an address. Change it only on purpose:\n\
         # BLESS=1 cargo test --test main tidy\n",
    );
    for kind in connectors::KINDS {
        for collector in kind.collectors {
            for call in collector.calls {
                let whole = call.secret_body.then_some("*");
                for path in whole.iter().chain(call.redact) {
                    text.push_str(&format!("{}/{}  {}  {path}\n", kind.name, collector.name, call.name));
                }
            }
        }
    }
    const GOLDEN: &str = "tests/golden/redactions.txt";
    let path = root().join(GOLDEN);
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let mut faults = Faults::default();
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for line in text.lines().filter(|line| !golden.lines().any(|known| known == *line)) {
        faults.of(GOLDEN, format!("not in it: {line}"), "read what is newly hidden, then write it anew with BLESS=1");
    }
    for (number, line) in (1..).zip(golden.lines()).filter(|(_, line)| !text.lines().any(|found| found == *line)) {
        let remedy = "no collector does so any more: give it back its redaction, or decide anew with BLESS=1";
        faults.at(GOLDEN, number, line, remedy);
    }
    faults.end();
}
