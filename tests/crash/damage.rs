//! Damage that is met at a start, and settings that break while the daemon runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::http::Method;
use serde_json::Value;
use world::{Drift, Server, World};

use crate::support::{Daemon, Setup, binary, free_port, now, signal};

fn acme() -> (World, Server) {
    let world = World::new(7, 20, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    (world, server)
}

/// All that the API says, apart from how long ago things were.
fn all_answers(daemon: &mut Daemon<'_>) -> BTreeMap<String, Value> {
    daemon.wait("an answer", |api| api.get::<Value>("overview"));
    let size = daemon.api().entries(0).len();
    let mut paths: Vec<String> = vec!["changes?limit=1000".into(), "deviations?limit=1000".into(), "streams".into()];
    paths.push("controls/iso27001-2022".into());
    paths.extend((0..size).map(|entry| format!("entries/{entry}")));
    paths.extend((0..size).map(|entry| format!("entries/{entry}/0")));
    let answer = |path: String| {
        let (status, text) = daemon.api().send(Method::GET, &format!("/api/v1/{path}"), "").unwrap();
        assert!([200, 404].contains(&status), "{path}: {text}");
        let mut value: Value = serde_json::from_str(&text).unwrap();
        without_ages(&mut value);
        (path, value)
    };
    paths.into_iter().map(answer).collect()
}

fn without_ages(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("age");
            map.values_mut().for_each(without_ages);
        }
        Value::Array(items) => items.iter_mut().for_each(without_ages),
        _ => {}
    }
}

/// The largest file of the index.
fn largest(folder: &Path) -> PathBuf {
    let mut found: Option<(u64, PathBuf)> = None;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found = found.max(Some((fs::metadata(&path).unwrap().len(), path)));
            }
        }
    }
    found.unwrap().1
}

#[test]
fn an_index_that_is_deleted_cut_or_altered_is_built_again_and_answers_the_same() {
    let (world, server) = acme();
    let setup = Setup::of_world(&server).every("every: 24h");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    assert_eq!(daemon.api().send(Method::POST, "/api/v1/run-now", "{}").unwrap().0, 202);
    daemon.wait_for_runs(1);
    daemon.wait("the deviation", |api| api.deviation("keycloak.realm.brute_force"));
    daemon.stop();
    let mut daemon = setup.start_as_written(&[]);
    let answers = all_answers(&mut daemon);
    daemon.stop();
    assert!(answers.len() > 40 && answers["streams"]["items"].as_array().unwrap().len() == 3);

    let index = setup.data().join("index");
    let damaged = |what: &str, damage: &dyn Fn(), built_again: Option<bool>| {
        damage();
        let mut daemon = setup.start_as_written(&[]);
        let before = daemon.log().matches("the index is built again from the ledger").count();
        let now = all_answers(&mut daemon);
        for (path, answer) in &answers {
            assert_eq!(&now[path], answer, "{what}: {path}");
        }
        let again = daemon.log().matches("the index is built again from the ledger").count() > before;
        assert!(built_again.is_none_or(|expected| expected == again), "{what}: built again: {again}");
        assert_eq!(daemon.stop().0, Some(0), "{what}");
        let (exit, said) = setup.verify();
        assert_eq!(exit, 0, "{what}: {said}");
    };
    damaged("left alone", &|| {}, Some(false));
    damaged("deleted", &|| fs::remove_dir_all(&index).unwrap(), Some(true));
    let altered = || {
        let path = largest(&index);
        let mut bytes = fs::read(&path).unwrap();
        // Zeros are room that nothing stands in; what is altered is something that was written.
        let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for part in 1..8 {
            bytes[written[written.len() * part / 8]] ^= 0x01;
        }
        fs::write(&path, bytes).unwrap();
    };
    damaged("altered in seven places", &altered, None);
    let a_file = || fs::remove_dir_all(&index).and_then(|()| fs::write(&index, b"not a folder")).unwrap();
    damaged("of another kind", &a_file, Some(true));
}

#[test]
fn invariant_10_damage_on_the_disk_is_found_by_the_scrub_of_a_running_daemon_and_people_are_told_until_it_is_mended() {
    use std::os::unix::fs::FileExt as _;

    let (world, server) = acme();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    let setup = setup.with("scrub: {every: 1s, mib_per_second: 64}\n");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("a pass", |api| (!api.facts("scrub").is_empty()).then_some(()));
    assert!(daemon.api().facts("scrub").iter().all(|pass| pass["damaged"] == 0));
    // Nobody but the scrub reads the record of the checkpoints while a daemon runs.
    let log = fs::OpenOptions::new().read(true).write(true).open(setup.data().join("ledger/checkpoints.log")).unwrap();
    let flip = || {
        let mut byte = [0];
        log.read_exact_at(&mut byte, 40).unwrap();
        log.write_all_at(&[byte[0] ^ 1], 40).unwrap();
    };
    flip();
    let told = |kind: &str, words: &str| {
        let said = world.received().into_iter().map(|one| one.json());
        said.filter(|told| told["type"] == kind).find(|told| told["data"]["title"].as_str().unwrap().contains(words))
    };
    let named = "ledger/checkpoints.log is not what was written";
    let alert = daemon.wait("the alert", |_| told("coverage.firing", named));
    assert_eq!(alert["data"]["severity"], "critical");
    assert!(alert["data"]["first_action"].as_str().unwrap().contains("evidenced restore --verify"), "{alert}");
    daemon.wait_for_runs(2);
    assert_eq!(daemon.api().facts("damage").len(), 1, "it is said once, and collecting goes on");
    let looked = setup.command(&["doctor"]);
    let said = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(looked.status.code() == Some(2) && said.contains(named), "{said}");
    flip();
    daemon.wait("its end", |_| told("coverage.resolved", "ledger/checkpoints.log is whole"));
    let changes: Vec<String> = daemon.api().changes().into_iter().map(|change| change.what).collect();
    assert!(changes.iter().any(|what| what == "DAMAGED") && changes.iter().any(|what| what == "WHOLE AGAIN"));
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn a_second_daemon_on_the_same_data_directory_refuses_at_once_and_says_why() {
    let (_world, server) = acme();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let size = daemon.api().entries(0).len();
    // Other ports, so that only the data directory stands in its way.
    let mut text = fs::read_to_string(setup.settings()).unwrap();
    let settings = setup.read();
    for port in [settings.web.listen.port(), settings.health.listen.port()] {
        text = text.replace(&port.to_string(), &free_port().to_string());
    }
    let other = setup.dir.path().join("second.yaml");
    fs::write(&other, text).unwrap();
    let second = Command::new(binary()).args(["run", "--init", "--config"]).arg(&other).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8(second.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert!(last.contains("data") && last.contains("another process"), "{said}");
    daemon.wait_for_runs(1);
    assert!(daemon.api().entries(0).len() > size, "the first goes on");
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn a_folder_without_a_ledger_is_refused_unless_one_is_asked_for() {
    let (_world, server) = acme();
    let setup = Setup::of_world(&server);
    setup.write();
    for made in [false, true] {
        if made {
            fs::create_dir(setup.data()).unwrap();
        }
        let refused = Command::new(binary()).arg("--config").arg(setup.settings()).arg("run").output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("no ledger in") && said.contains("evidenced init"), "{said}");
        assert!(said.contains("a volume is not mounted"), "{said}");
        assert!(!setup.data().join("ledger").exists(), "an unmounted volume must not start a second ledger");
    }
    fs::write(setup.data().join("somebody's.txt"), "kept").unwrap();
    let refused = setup.start_as_written(&[]).ended();
    assert_eq!(refused, Some(2), "what is somebody else's is not written to, even when asked");
    assert_eq!(fs::read_dir(setup.data()).unwrap().count(), 1);
    fs::remove_file(setup.data().join("somebody's.txt")).unwrap();
    let mut daemon = setup.start_as_written(&[]);
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn settings_that_break_while_it_runs_leave_the_old_ones_in_force_and_a_metric_says_so() {
    let (_world, server) = acme();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let good = fs::read_to_string(setup.settings()).unwrap();
    let reloaded = |daemon: &Daemon<'_>| {
        let metrics = daemon.metrics();
        let at = metrics.sum("evidenced_config_last_reload_timestamp_seconds", &[]);
        (metrics.sum("evidenced_config_last_reload_successful", &[]), at)
    };
    let (ok, since) = reloaded(&daemon);
    assert!(ok == 1.0 && since > 0.0, "{ok} {since}");
    let versions = daemon.api().facts("version").len();

    // Seen by itself, within some seconds.
    fs::write(setup.settings(), good.replace("every: 1s", "every: 1 fortnight")).unwrap();
    daemon.wait("the metric", |_| {
        let text = fs::read_to_string(setup.dir.path().join("daemon.log")).unwrap();
        text.contains("the settings in force stay as they were").then_some(())
    });
    assert_eq!(metric_of(&setup, &daemon, &good), (0.0, since), "and since when the ones in force are in force");
    daemon.wait_for_runs(2);
    let every = |daemon: &Daemon<'_>| daemon.api().stream("realm").unwrap().schedule.unwrap().expression.unwrap();
    assert_eq!(every(&daemon), "every: 1s");
    assert_eq!(daemon.api().facts("version").len(), versions, "what does not read is never in force");

    // Asked for: seen at once, refused again; then mended and asked for.
    let refusals = |daemon: &Daemon<'_>| daemon.log().matches("the settings in force stay as they were").count();
    let before = refusals(&daemon);
    signal(&daemon.child, "HUP");
    daemon.wait("the refusal", |_| {
        let text = fs::read_to_string(setup.dir.path().join("daemon.log")).unwrap();
        (text.matches("the settings in force stay as they were").count() > before).then_some(())
    });
    fs::write(setup.settings(), good.replace("every: 1s", "every: 2s")).unwrap();
    signal(&daemon.child, "HUP");
    daemon.wait("the new schedule", |api| (api.stream("realm")?.schedule?.expression? == "every: 2s").then_some(()));
    let (ok, at) = reloaded(&daemon);
    assert!(ok == 1.0 && at > since, "{ok} {at}");
    assert_eq!(daemon.api().facts("version").len(), versions + 1, "what measures is recorded");
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "every slot of both schedules has one outcome: {said}");
}

/// The reload metrics, asked at the address of the settings in force.
fn metric_of(setup: &Setup, daemon: &Daemon<'_>, good: &str) -> (f64, f64) {
    let broken = fs::read_to_string(setup.settings()).unwrap();
    let health = evidenced::config::parse("evidenced.yaml", good).unwrap().health.listen;
    assert!(evidenced::config::parse("evidenced.yaml", &broken).is_err());
    let (_, text) = daemon.api().fetch(Method::GET, &format!("http://{health}/metrics"), "").unwrap();
    let metrics = crate::support::Metrics(text);
    let at = metrics.sum("evidenced_config_last_reload_timestamp_seconds", &[]);
    (metrics.sum("evidenced_config_last_reload_successful", &[]), at)
}
