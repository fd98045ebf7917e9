//! How the daemon begins, bears a bad disk, and ends: each state has a name, people are told, and nothing is damaged.

use std::fs;
use std::time::{Duration, Instant};

use kit::http::Method;
use serde_json::Value;
use world::World;

use crate::support::{Setup, now, served};

fn world() -> (World, world::Server) {
    let (world, server) = served(World::new(7, 12, now().millis()));
    (world, server)
}

/// What the receiver was told under a title: the type of each message, and the incident it is about.
fn told(world: &World, title: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let said = world.received().into_iter().map(|one| one.json());
    let of_title = said.filter(|one| one["data"]["title"].as_str().is_some_and(|said| said.contains(title)));
    of_title.map(|one| (text(&one["type"]), text(&one["data"]["incident"]))).collect()
}

#[test]
fn it_is_ready_within_five_seconds_of_its_start() {
    let (_world, server) = world();
    let setup = Setup::of_world(&server).every("every: 12h");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
    // A machine that is busy elsewhere may delay one start, and hardly all of them.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let mut daemon = setup.start_as_written(&[]);
        let ready = format!("{}/readyz", daemon.health());
        daemon.wait("readiness", |api| (api.fetch(Method::GET, &ready, "")?.0 == 200).then_some(()));
        best = best.min(began.elapsed());
        assert_eq!(daemon.stop().0, Some(0));
    }
    println!("from start to ready: {best:?}");
    assert!(best <= Duration::from_secs(5), "{best:?}");
}

#[test]
fn a_disk_that_becomes_read_only_ends_the_daemon_by_name_and_once_told_and_harms_nothing() {
    let (world, server) = world();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    setup.write();
    let mark = setup.dir.path().join("read-only");
    let args = ["--read-only-by", mark.to_str().unwrap()];
    let mut daemon = setup.start_as_written(&args);
    daemon.wait_for_runs(1);
    fs::write(&mark, "").unwrap();
    assert_eq!(daemon.ended(), Some(2), "it ends, so that whoever runs it starts it elsewhere or looks");
    for _ in 0..2 {
        assert_eq!(setup.start_as_written(&args).ended(), Some(2), "and does not begin on such a disk");
    }
    let log = fs::read_to_string(setup.dir.path().join("daemon.log")).unwrap();
    assert!(log.contains("read-only filesystem"), "{log}");
    let said = told(&world, "Evidence cannot be kept");
    assert!(!said.is_empty() && said.iter().all(|(kind, _)| kind == "coverage.firing"), "{said:?}");
    assert!(said.iter().all(|(_, incident)| *incident == said[0].1), "however often it starts, one incident: {said:?}");
    let (exit, verified) = setup.verify();
    assert_eq!(exit, 0, "{verified}");

    fs::remove_file(&mark).unwrap();
    let mut daemon = setup.start_as_written(&args);
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, verified) = setup.verify();
    assert_eq!(exit, 0, "every slot has one outcome: {verified}");
}

#[test]
fn a_slow_disk_is_told_while_it_is_slow_and_every_slot_keeps_its_outcome() {
    let (world, server) = world();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    setup.write();
    let slow = setup.dir.path().join("slow");
    let mut daemon = setup.start_as_written(&["--slow-in", slow.to_str().unwrap()]);
    daemon.wait_for_runs(1);
    assert_eq!(daemon.metrics().sum("evidenced_disk_slow", &[]), 0.0);

    // Seven steps of each append wait for it.
    fs::write(&slow, "900").unwrap();
    let health = daemon.health();
    let metric = |api: &crate::support::Api| {
        let (_, text) = api.fetch(Method::GET, &format!("{health}/metrics"), "")?;
        Some(crate::support::Metrics(text).sum("evidenced_disk_slow", &[]))
    };
    daemon.wait("the metric", |api| (metric(api)? == 1.0).then_some(()));
    daemon.wait("the word of it", |api| {
        let overview: Value = api.get("overview")?;
        (overview["troubles"].as_array()?.first()?["in"] == "slow_disk").then_some(())
    });
    fs::remove_file(&slow).unwrap();
    daemon.wait("the alert", |_| (!told(&world, "The disk is slow").is_empty()).then_some(()));
    daemon.wait("its end", |_| (!told(&world, "as fast as before").is_empty()).then_some(()));
    assert_eq!(daemon.metrics().sum("evidenced_disk_slow", &[]), 0.0);
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "every slot has one outcome: {said}");
}
