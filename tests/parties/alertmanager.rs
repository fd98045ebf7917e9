//! A real Alertmanager: what it makes of our alerts, and what it tells others of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::Timestamp;
use serde_json::Value;
use world::{Drift, World};

use super::needed;
use crate::support::{Daemon, Setup, now, served};

/// The Alertmanager, and the receiver that it tells. It tells one address only, so one test at a time has it.
pub(super) struct Manager {
    url: String,
    hook: World,
    _server: world::Server,
    _turn: MutexGuard<'static, ()>,
}

/// What the Alertmanager told its own receiver of one incident.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) status: String,
    pub(super) fingerprint: String,
}

static TURN: Mutex<()> = Mutex::new(());

impl Manager {
    pub(super) fn listen() -> Manager {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (url, hook) = (needed("ALERTMANAGER_URL"), needed("ALERTMANAGER_HOOK"));
        let hook: url::Url = hook.parse().unwrap();
        assert_eq!(hook.path(), "/hook", "ALERTMANAGER_HOOK: the receiver of these tests listens on /hook");
        let world = World::new(1, 12, now().millis());
        world.follow(|| now().millis());
        let server = world.serve(hook.port().unwrap()).unwrap();
        Manager { url, hook: world, _server: server, _turn: turn }
    }

    /// It as a receiver, in the settings' list of receivers, told again every two seconds and forgetting after six.
    pub(super) fn settings(&self) -> String {
        format!("  - name: manager\n    alertmanager: {{url: '{}', repeat: 2s, lasts: 6s}}\n", self.url)
    }

    /// What it holds of an incident; `None` when it has ended.
    pub(super) fn holds(&self, incident: &str) -> Option<Value> {
        let alerts: Vec<Value> = super::get(&format!("{}/api/v2/alerts", self.url));
        alerts.into_iter().find(|alert| alert["labels"]["incident"] == incident)
    }

    /// What it told its receiver of an incident, each thing once, in order.
    pub(super) fn told(&self, incident: &str) -> Vec<Told> {
        let mut told: Vec<Told> = Vec::new();
        for message in self.hook.received() {
            for alert in message.json()["alerts"].as_array().into_iter().flatten() {
                let text = |field: &str| alert[field].as_str().unwrap().to_owned();
                let one = Told { status: text("status"), fingerprint: text("fingerprint") };
                if alert["labels"]["incident"] == incident && told.last() != Some(&one) {
                    told.push(one);
                }
            }
        }
        told
    }

    /// Waits until it has told its receiver these of an incident.
    pub(super) fn wait_told(&self, daemon: &mut Daemon<'_>, incident: &str, expected: &[&str]) {
        daemon.wait(&format!("{expected:?} from the Alertmanager"), |_| {
            let told = self.told(incident);
            told.iter().map(|one| one.status.as_str()).eq(expected.iter().copied()).then_some(())
        });
    }
}

fn ends_at(alert: &Value) -> Timestamp {
    alert["endsAt"].as_str().unwrap().parse().unwrap()
}

/// A daemon's settings that watch a simulated organisation and tell the Alertmanager.
fn watched(manager: &Manager) -> (World, world::Server, Setup) {
    let (world, server) = served(World::new(7, 40, now().millis()));
    let setup = Setup::of_world(&server).with(&format!("alerts:\n  receivers:\n{}", manager.settings()));
    (world, server, setup)
}

/// Plays a drift, and waits until it is an open deviation; gives its incident.
fn drift(world: &World, daemon: &mut Daemon<'_>) -> String {
    daemon.wait_for_runs(2);
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("the deviation", |api| api.deviation("keycloak.realm.brute_force")).key
}

#[test]
#[ignore = "needs a real Alertmanager: run by tests/all"]
fn party_alertmanager_is_told_again_while_it_holds_and_once_when_it_ends() {
    let manager = Manager::listen();
    let (world, _server, setup) = watched(&manager);
    let mut daemon = setup.start();
    let incident = drift(&world, &mut daemon);

    let first = daemon.wait("the alert", |_| manager.holds(&incident));
    println!("{first:#}");
    assert_eq!(first["status"]["state"], "active");
    let label = |name: &str| first["labels"][name].as_str().unwrap().to_owned();
    assert_eq!(label("alertname"), "EvidencedDeviation");
    assert_eq!(label("source"), "keycloak:acme");
    assert_eq!(label("check"), "keycloak.realm.brute_force");
    let told = |name: &str| first["annotations"][name].as_str().unwrap().to_owned();
    assert!(told("who").starts_with("dora"), "{first:#}");
    assert!(told("was").contains("brute_force: true") && told("is").contains("brute_force: false"), "{first:#}");
    assert!(told("controls").contains("A.8.5") && told("owner") == "identity team", "{first:#}");
    assert!(!told("first").is_empty() && told("evidence").starts_with("http"), "{first:#}");
    assert_eq!(first["generatorURL"], told("evidence"));

    // Its end moves on twice: each time it was told again, and the first word alone would have run out.
    for _ in 0..2 {
        let end = ends_at(&manager.holds(&incident).unwrap());
        daemon.wait("the same alert again", |_| manager.holds(&incident).filter(|alert| ends_at(alert) > end));
    }
    let lasted = ends_at(&manager.holds(&incident).unwrap());
    daemon.wait("the first word to run out", |_| (now() > ends_at(&first) && lasted > ends_at(&first)).then_some(()));
    manager.wait_told(&mut daemon, &incident, &["firing"]);
    assert!(manager.holds(&incident).is_some(), "it holds although the first word ran out");

    world.undo(Drift::BruteForceOff, "dora").unwrap();
    manager.wait_told(&mut daemon, &incident, &["firing", "resolved"]);
    assert_eq!(manager.told(&incident)[0].fingerprint, manager.told(&incident)[1].fingerprint, "one alert, not two");
    daemon.wait("its end", |_| manager.holds(&incident).is_none().then_some(()));
    // However often it was told, the ledger holds the two that were news.
    let deliveries = daemon.wait("both deliveries", |api| Some(api.facts("delivery")).filter(|all| all.len() >= 2));
    let tells: Vec<&str> = deliveries.iter().map(|fact| fact["tells"].as_str().unwrap()).collect();
    assert_eq!(tells, ["firing", "resolved"]);
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
#[ignore = "needs a real Alertmanager: run by tests/all"]
fn party_alertmanager_forgets_an_alert_only_when_the_daemon_is_gone_for_long_and_takes_it_up_again() {
    let manager = Manager::listen();
    let (world, _server, setup) = watched(&manager);
    let mut daemon = setup.start();
    let incident = drift(&world, &mut daemon);
    manager.wait_told(&mut daemon, &incident, &["firing"]);
    daemon.kill();
    let began = std::time::Instant::now();
    while manager.told(&incident).last().unwrap().status != "resolved" {
        assert!(began.elapsed() < crate::support::PATIENCE, "nothing repeats it, and it does not end");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    let mut daemon = setup.start();
    manager.wait_told(&mut daemon, &incident, &["firing", "resolved", "firing"]);
    let open = daemon.wait("the deviation", |api| api.deviation("keycloak.realm.brute_force"));
    assert_eq!(open.key, incident, "the same incident as before");
    let told = daemon.api().facts("delivery");
    assert_eq!(told.iter().filter(|fact| fact["tells"] == "firing").count(), 1, "{told:#?}");
}
