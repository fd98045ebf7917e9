//! A start whose index has to be built from the ledger: watched, read, stopped and killed meanwhile.

use std::fs;
use std::path::PathBuf;

use domain::Duration;
use domain::entry::{ClockStep, Fact};
use evidenced::app::{BadDisk, open_store};
use kit::http::Method;
use serde_json::Value;
use world::World;

use crate::support::{Daemon, Metrics, Setup, now};

/// Entries that are added to those of the daemon, so that an index is built in several parts of 128.
const MORE: u64 = 400;

/// A data directory with several hundred entries, the latest of which have no bodies; gives how many there are.
fn long_ledger(setup: &Setup) -> u64 {
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("its judgement", |api| (!api.facts("observation").is_empty()).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));
    let (store, _) = open_store(&setup.data(), &setup.read(), &BadDisk::default()).unwrap();
    let step = |n| Fact::Clock(ClockStep { expected: now(), shown: now(), by: Duration::from_secs(n) });
    store.record((0..MORE).map(step).collect()).unwrap().last().unwrap().entry + 1
}

/// A file; while it says so, each part of an index that is being built takes a minute.
fn slow(setup: &Setup) -> PathBuf {
    let file = setup.dir.path().join("slow");
    fs::write(&file, "60000").unwrap();
    file
}

/// Waits until readiness says that the index is being built, and gives what it says.
fn wait_until_building(daemon: &mut Daemon<'_>) -> String {
    let ready = format!("{}/readyz", daemon.health());
    daemon.wait("a word how far the index is", |api| {
        let (status, said) = api.fetch(Method::GET, &ready, "")?;
        let building = status == 503 && said.starts_with("the index is being built again from the ledger: ");
        (building && said.contains(" entries\n")).then_some(said)
    })
}

/// What the program answers that says nothing of how long ago things were.
fn answers(daemon: &mut Daemon<'_>, run: u64) -> Vec<Value> {
    let paths = ["entries/0", "changes?limit=1000", "controls/iso27001-2022"].map(str::to_owned);
    let of_run = ["", "/0"].map(|row| format!("entries/{run}{row}"));
    paths.iter().chain(&of_run).map(|path| daemon.wait("an answer", |api| api.get(path))).collect()
}

#[test]
fn a_start_that_builds_its_index_can_be_watched_and_read_meanwhile_and_answers_the_same_afterwards() {
    let world = World::new(7, 12, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    let setup = Setup::of_world(&server).every("every: 24h");
    let size = long_ledger(&setup);
    let mut daemon = setup.start_as_written(&[]);
    daemon.wait("an answer", |api| api.get::<Value>("overview"));
    let run = daemon.api().entries(0).into_iter().find(|view| view.kind == "run").unwrap().entry;
    let before = answers(&mut daemon, run);
    assert_eq!(daemon.stop().0, Some(0));
    let list = |what: &str| {
        let output = setup.command(&["list", what]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    let (sources, changes) = (list("sources"), list("changes"));

    fs::remove_dir_all(setup.data().join("index")).unwrap();
    let slow = slow(&setup);
    let mut daemon = setup.start_as_written(&["--slow-in", slow.to_str().unwrap()]);
    let said = wait_until_building(&mut daemon);
    let so_far = format!("the index is being built again from the ledger: 128 of {size} entries");
    assert_eq!(said.lines().next(), Some(so_far.as_str()));
    let (pages, health) = (daemon.page(), daemon.health());
    let api = daemon.api();
    let fetch = |url: String| api.fetch(Method::GET, &url, "").unwrap();
    assert_eq!(fetch(format!("{health}/healthz")), (200, "alive\n".to_owned()), "no probe ends it");
    let (status, metrics) = fetch(format!("{health}/metrics"));
    let figure = |name| Metrics(metrics.clone()).sum(name, &[]);
    assert_eq!((status, figure("evidenced_index_entries")), (200, 128.0), "{metrics}");
    assert_eq!(figure("evidenced_ledger_entries"), size as f64);

    // What needs the index, bodies or names is refused for now: nothing is answered in part.
    let needing = ["/", "/changes", "/deviations", "/sources", "/controls/iso27001-2022"];
    let rows = [format!("/api/v1/entries/{run}"), format!("/api/v1/entries/{run}/0"), format!("/entries/{run}")];
    let of_api = ["/api/v1/overview", "/api/v1/changes", "/api/v1/deviations", "/api/v1/streams"].map(String::from);
    for path in needing.map(String::from).iter().chain(&rows).chain(&of_api) {
        let (status, text) = fetch(format!("{pages}{path}"));
        assert!(status == 503 && text.contains(&so_far), "{path}: {status} {text}");
    }
    // What the ledger itself holds is answered.
    let entry = ["", "/proof"].map(|of| format!("/api/v1/entries/0{of}"));
    let last = [format!("/api/v1/entries/{}", size - 1), format!("/entries/{}", size - 1), "/api/v1/checkpoint".into()];
    for path in entry.iter().chain(&last) {
        let (status, text) = fetch(format!("{pages}{path}"));
        assert!(status == 200 && !text.is_empty(), "{path}: {status} {text}");
    }
    assert_eq!(api.get::<Value>("entries/0").unwrap(), before[0]);
    // Nothing can be asked to be done.
    let (status, text) = api.send(Method::POST, "/api/v1/run-now", "{}").unwrap();
    assert!(status == 503 && text.contains(&so_far), "{status} {text}");
    let refused = setup.command(&["run-now"]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && why.contains(&so_far), "{why}");

    // Commands beside it read the ledger, or say what they found.
    assert_eq!((list("sources"), list("changes")), (sources, changes));
    assert_eq!(setup.command(&["show", &run.to_string()]).status.code(), Some(0));
    let (exit, verified) = setup.verify();
    assert_eq!(exit, 0, "{verified}");
    let looked = setup.command(&["doctor"]);
    let looked = String::from_utf8(looked.stdout).unwrap();
    assert!(looked.contains(&so_far), "{looked}");

    fs::remove_file(slow).unwrap();
    daemon.wait("readiness", |api| (api.fetch(Method::GET, &format!("{health}/readyz"), "")?.0 == 200).then_some(()));
    assert_eq!(answers(&mut daemon, run), before);
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("evidenced_index_entries", &[]), metrics.sum("evidenced_ledger_entries", &[]));
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, verified) = setup.verify();
    assert_eq!(exit, 0, "{verified}");
}

#[test]
fn an_index_whose_building_was_killed_and_stopped_is_built_whole_and_slots_lost_meanwhile_say_why() {
    let world = World::new(7, 12, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    let setup = Setup::of_world(&server);
    let size = long_ledger(&setup);
    let (index, aside) = (setup.data().join("index"), setup.data().join("index.broken"));
    fs::remove_dir_all(&index).and_then(|()| fs::write(&index, b"not a folder")).unwrap();
    let killed = setup.start_as_written(&["--crash-at", "fold:2"]).ended();
    assert_eq!((killed, aside.exists()), (None, true), "it was to abort in the middle");

    let slow = slow(&setup);
    let args = ["--slow-in", slow.to_str().unwrap()];
    let mut daemon = setup.start_as_written(&args);
    wait_until_building(&mut daemon);
    assert_eq!(daemon.stop().0, Some(0), "it can be stopped meanwhile");
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");

    let mut daemon = setup.start_as_written(&args);
    wait_until_building(&mut daemon);
    let until = now().plus(Duration::from_secs(4));
    daemon.wait("some slots", |_| (now() > until).then_some(()));
    let head: String = daemon.api().send(Method::GET, "/api/v1/checkpoint", "").unwrap().1;
    assert_eq!(head.lines().nth(1), Some(size.to_string().as_str()), "nothing is recorded meanwhile");
    fs::remove_file(slow).unwrap();
    daemon.wait_for_runs(1);
    let missed = daemon.api().facts("missed");
    let by = |reason: &str| missed.iter().filter(|fact| fact["reason"] == reason).count();
    assert!(by("no_index") >= 3 && by("not_running") >= 3, "each of three streams: {missed:#?}");
    assert!(!aside.exists(), "what was put aside is gone once there is another");
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "every slot has one outcome: {said}");
    assert!(said.contains("the index was being built from the ledger"), "{said}");
}

#[test]
fn an_index_that_cannot_be_built_ends_the_start_and_says_what_is_in_the_way() {
    let world = World::new(7, 12, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    let setup = Setup::of_world(&server).every("every: 24h");
    long_ledger(&setup);
    fs::remove_dir_all(setup.data().join("index")).unwrap();
    let packs = fs::read_dir(setup.data().join("body")).unwrap().map(|entry| entry.unwrap().path());
    let pack = packs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();
    assert_eq!(setup.start_as_written(&[]).ended(), Some(2));
    let log = fs::read_to_string(setup.dir.path().join("daemon.log")).unwrap();
    let data = setup.data().display().to_string();
    let said = log.lines().rev().find(|line| line.contains("cannot use")).unwrap_or_default();
    let last: String = log.lines().rev().take(6).collect();
    assert!(said.contains(&data), "{log}");
    assert!(last.contains(pack.file_name().unwrap().to_str().unwrap()), "{log}");
}
