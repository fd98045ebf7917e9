//! The program held against counterparts nobody here wrote: a real Keycloak and an AWS account on moto, whose faults are
//! known because scripts made them, GitHub's own published answers, and a real Alertmanager. `tests/all` brings them up
//! and runs these; `tests/parties/README.md` says how to do it by hand.
//!
//! Addresses come from the environment: KEYCLOAK_URL, ALERTMANAGER_URL, MOTO_URL and so on, and ALERTMANAGER_HOOK, the
//! address that the Alertmanager posts to, which the tests listen on. A test that lacks one fails.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use kit::http::{HeaderMap, HeaderName, HeaderValue, Method};
use kit::outbound::Outbound;
use serde_json::Value;

use crate::support::Setup;

mod alertmanager;
mod asked;
mod chart;
mod drifts;
mod gate;
mod github;
mod moto;
mod postures;
mod readers;
mod secrets;
mod telemetry;
mod tlog;
mod together;
mod unread;
mod verdicts;
mod witness;

/// A setting of the environment; without it the test that wants it fails.
fn needed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/all, or see tests/parties/README.md"))
}

/// A realm of the real Keycloak that a test has for itself; deleted with the test.
struct Realm {
    url: String,
    name: &'static str,
    truth: Truth,
}

/// What a seeding script says should be found: by check, then by what should be said, the resources.
type Checks = BTreeMap<String, BTreeMap<String, Vec<Named>>>;

/// What the seeding script says of the realm it made.
#[derive(serde::Deserialize)]
struct Truth {
    checks: Checks,
    populations: BTreeMap<String, u64>,
    reader: Reader,
    canaries: Vec<String>,
}

/// A resource by its name and by the server's immutable id.
#[derive(serde::Deserialize)]
struct Named {
    id: String,
    name: String,
}

/// The client that the daemon signs in as.
#[derive(serde::Deserialize)]
struct Reader {
    client_id: String,
    client_secret: String,
    roles: Vec<String>,
}

impl Realm {
    /// Makes the realm `name` anew.
    fn seed(name: &'static str, posture: &str, people: u32) -> Realm {
        let url = needed("KEYCLOAK_URL");
        let made = script(&url, name, &["seed", "--posture", posture, "--users", &people.to_string()]);
        Realm { url, name, truth: serde_json::from_value(made).unwrap() }
    }

    /// Has the script do something to the realm; gives what it says about it.
    fn play(&self, what: &[&str]) -> Value {
        script(&self.url, self.name, what)
    }

    /// Settings of a daemon that watches the realm, and collects at its start and then only when it is asked to.
    fn watched(&self) -> Setup {
        self.watched_at(&self.url)
    }

    /// The same, with the server at another address.
    fn watched_at(&self, url: &str) -> Setup {
        let Reader { client_id, client_secret, .. } = &self.truth.reader;
        Setup::new(url, self.name, client_id, client_secret).every("every: 12h")
    }

    /// How many resources deviate, over all checks.
    fn deviating(&self) -> usize {
        self.truth.checks.values().map(|verdicts| verdicts["deviates"].len()).sum()
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        // A realm that stays behind harms nobody: its name is made anew by the next seed.
        drop(seeder(&self.url, self.name, &["delete"]).output());
    }
}

fn script(url: &str, realm: &str, what: &[&str]) -> Value {
    let done = seeder(url, realm, what).output().unwrap();
    assert!(done.status.success(), "{what:?}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn seeder(url: &str, realm: &str, what: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parties/keycloak_seed.py"));
    command.args(what).env("KEYCLOAK_URL", url).env("KEYCLOAK_REALM", realm);
    command
}

/// An answer of another program's API.
fn get<T: serde::de::DeserializeOwned>(url: &str) -> T {
    serde_json::from_str(&send(Method::GET, url, &[], "").1).unwrap()
}

/// Asks another program; gives status and body.
fn send(method: Method, url: &str, headers: &[(&'static str, &'static str)], body: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = url.parse().unwrap();
    let known = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let client = Outbound::network(&kit::Network::default()).unwrap();
    let body = body.as_bytes().to_vec().into();
    let ask = client.ask(method, &url, known.collect::<HeaderMap>(), body, Duration::from_secs(10));
    let answer = runtime.block_on(ask).unwrap();
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

/// Asks the daemon to collect everything now, and waits for the runs to end.
fn collect(daemon: &mut crate::support::Daemon<'_>) {
    let before = daemon.api().streams();
    let asked = daemon.setup.command(&["run-now"]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    daemon.wait("the runs that were asked for", |api| {
        let after = api.streams();
        let ended = |view: &query::StreamView| {
            let was = before.iter().find(|was| was.stream == view.stream);
            view.last_run.map(|run| run.entry) > was.and_then(|was| was.last_run).map(|run| run.entry)
        };
        (!after.is_empty() && after.iter().all(ended)).then_some(())
    });
    daemon.wait("their judgement", |api| verdicts::all_judged(api).then_some(()));
}
