//! A disk that becomes full while the daemon runs, and has room again: nothing ends, and everybody is told.

use std::fs;
use std::time::Duration;

use kit::http::Method;
use serde_json::Value;
use world::{Drift, Fault, World};

use crate::support::{Api, Daemon, Setup, now};

const MIB: u64 = 1 << 20;
const REALM: &str = "GET /admin/realms/{realm}";

/// A daemon whose disk has as much room as a file says.
struct Disk {
    setup: Setup,
}

impl Disk {
    fn of(setup: Setup) -> Disk {
        setup.write();
        Disk { setup }
    }

    fn has(&self, mib: u64) {
        let (file, new) = (self.setup.dir.path().join("room"), self.setup.dir.path().join("room.new"));
        fs::write(&new, (mib * MIB).to_string()).unwrap();
        fs::rename(new, file).unwrap();
    }

    fn start(&self) -> Daemon<'_> {
        self.setup.start_as_written(&["--room-in", self.setup.dir.path().join("room").to_str().unwrap()])
    }

    /// What readiness says: the status, and the reason it gives.
    fn ready(&self, api: &Api) -> Option<(u16, String)> {
        api.fetch(Method::GET, &format!("http://{}/readyz", self.setup.read().health.listen), "")
    }

    fn wait_until_full(&self, daemon: &mut Daemon<'_>, free: &str) {
        daemon.wait("the wait for room", |api| {
            let (status, said) = self.ready(api)?;
            (status == 503 && said.contains(&format!("the disk is nearly full: {free} are free"))).then_some(())
        });
    }

    fn wait_until_ready(&self, daemon: &mut Daemon<'_>) {
        daemon.wait("readiness", |api| (self.ready(api)?.0 == 200).then_some(()));
    }
}

fn missed_by(api: &Api, reason: &str) -> u64 {
    let missed = api.facts("missed").into_iter().filter(|fact| fact["reason"] == reason);
    missed.map(|fact| fact["count"].as_u64().unwrap()).sum()
}

#[test]
fn a_full_disk_is_waited_for_and_told_and_nothing_that_was_promised_is_lost() {
    let world = World::new(7, 12, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    let disk = Disk::of(Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url())));
    disk.has(4096);
    let mut daemon = disk.start();
    daemon.wait_for_runs(1);
    assert_eq!(daemon.metrics().sum("evidenced_disk_nearly_full", &[]), 0.0);

    // In the middle of a run: its answers cannot be kept, and it cannot be recorded.
    world.fault_times(REALM, Fault::Slow(Duration::from_secs(6)), 1);
    let slow = |since| now().since(since) > domain::Duration::from_secs(1);
    let began = daemon.wait("a slow run", |api| api.stream("realm")?.running_since.filter(|since| slow(*since)));
    disk.has(100);
    disk.wait_until_full(&mut daemon, "100 MiB");
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("slots that are named while they are lost", |api| (missed_by(api, "disk_full") >= 3).then_some(()));
    let overview: Value = daemon.api().get("overview").unwrap();
    assert!(overview["room"]["detail"].as_str().unwrap().starts_with("100 MiB are free, and 128 MiB"), "{overview:#}");
    let (_, page) = daemon.api().fetch(Method::GET, &format!("{}/", daemon.page()), "").unwrap();
    assert!(page.contains("The disk is nearly full"), "{page}");
    assert_eq!(daemon.metrics().sum("evidenced_disk_nearly_full", &[]), 1.0);
    let told = |kind: &str, what: &str| {
        world.received().iter().any(|one| {
            let told = one.json();
            told["type"] == kind && told["data"]["title"].as_str().unwrap().contains(what)
        })
    };
    daemon.wait("the alert", |_| told("coverage.firing", "The disk is nearly full").then_some(()));
    assert_eq!(daemon.log().matches("the disk is nearly full: nothing is collected").count(), 1, "it is said once");
    assert!(daemon.api().deviation("keycloak.realm.brute_force").is_none(), "nothing is looked at");

    // Not before the slow answer came, and there was no room for it.
    daemon.wait("the slow answer", |_| (now().since(began) > domain::Duration::from_secs(9)).then_some(()));
    disk.has(4096);
    disk.wait_until_ready(&mut daemon);
    daemon.wait("the deviation", |api| api.deviation("keycloak.realm.brute_force"));
    daemon.wait("its end", |_| told("coverage.resolved", "The disk has room again").then_some(()));
    let not_kept =
        |fact: &Value| fact["gaps"].as_array().is_some_and(|gaps| gaps.iter().any(|g| g["reason"] == "not_kept"));
    assert!(daemon.api().facts("run").iter().any(not_kept), "the run that could not keep its answers is recorded");
    assert_eq!(missed_by(daemon.api(), "not_running"), 0, "it was running all the time");

    // So full that not even the ledger takes an entry.
    disk.has(1);
    disk.wait_until_full(&mut daemon, "1 MiB");
    let size = daemon.api().entries(0).len();
    let lost = missed_by(daemon.api(), "disk_full");
    // Slots pass, and none of them can be named yet.
    let until = now().plus(domain::Duration::from_secs(4));
    daemon.wait("some slots", |_| (now() > until).then_some(()));
    assert!(daemon.api().entries(0).len() <= size + 1, "a batch that was under way may have ended");
    disk.has(4096);
    daemon.wait("what was lost", |api| (missed_by(api, "disk_full") > lost + 2).then_some(()));
    daemon.wait_for_runs(1);
    assert_eq!(missed_by(daemon.api(), "not_running"), 0, "it was running all the time");
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = disk.setup.verify();
    assert_eq!(exit, 0, "every slot has one outcome: {said}");
    assert!(said.contains("the disk was nearly full"), "{said}");
}

#[test]
fn a_daemon_that_starts_on_a_full_disk_waits_for_room_and_ends_in_good_order() {
    let world = World::new(7, 12, now().millis());
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    let disk = Disk::of(Setup::of_world(&server));
    disk.has(4096);
    let mut daemon = disk.start();
    daemon.wait_for_runs(1);
    daemon.kill();
    disk.has(1);
    let mut daemon = disk.start();
    disk.wait_until_full(&mut daemon, "1 MiB");
    assert_eq!(daemon.stop().0, Some(0), "it can be stopped while it waits");
    let mut daemon = disk.start();
    disk.wait_until_full(&mut daemon, "1 MiB");
    disk.has(4096);
    disk.wait_until_ready(&mut daemon);
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = disk.setup.verify();
    assert_eq!(exit, 0, "{said}");
}
