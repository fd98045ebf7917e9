//! A simulated organisation whose truth is known: an identity server, an AWS account, a GitHub organisation, and a
//! receiver of alerts, on one loopback port.
//!
//! It answers the part of Keycloak 26.4's token endpoint and admin API that a reader needs, with the same paths, page
//! sizes and refusals; recordings of a real server hold it to that. It answers the part of IAM and STS that a reader
//! needs, checks signatures, and is held to the services' published model; and the part of GitHub's REST API, held to
//! its published description. The people are the same everywhere; some accounts are nobody's on purpose. Everything follows from a seed and a settable clock. Changes are made by named
//! actors and leave the events that the real server keeps; bad days are made call by call. Lists of up to 100,000
//! people are made while they are sent.
//!
//! ```no_run
//! let world = world::World::new(7, 120, 1_793_000_000_000);
//! let server = world.serve(0)?;
//! world.drift(world::Drift::BruteForceOff, "dora").unwrap();
//! assert!(world.truth().checks["keycloak.realm.brute_force"].deviating().contains("acme"));
//! # std::io::Result::Ok(())
//! ```

#![allow(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed: reading a missing key gives null, and those written to are objects made here"
)]

mod answer;
mod aws;
mod drift;
mod fault;
mod github;
mod hook;
mod id;
mod keycloak;
mod organisation;
mod person;
mod reply;
mod server;
mod token;
mod truth;

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard};

use fault::Faults;
use hook::Hook;
use organisation::Organisation;

pub use aws::{AWS_ACCOUNT, AWS_EXTERNAL_ID, AWS_KEY_ID, AWS_READER, AWS_SECOND_ACCOUNT, AWS_SECRET_KEY};
pub use drift::{ChangeError, Drift};
pub use fault::Fault;
pub use github::{GITHUB_APP, GITHUB_INSTALLATION, GITHUB_MEMBER_TOKEN, GITHUB_ORG, GITHUB_TOKEN};
pub use hook::{HookAnswer, Received};
pub use organisation::{CANARY, MOST_PEOPLE, Posture, READER, READER_ROLES, READER_SECRET, REALM};
pub use person::Credential;
pub use server::Server;
pub use truth::{CHECKS, Truth, Verdicts};

/// The most calls that are remembered; older ones go first.
const MOST_CALLS: usize = 200_000;

/// The organisation. Clones are the same one.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    organisation: RwLock<Arc<Organisation>>,
    clock: RwLock<Clock>,
    faults: Mutex<Faults>,
    calls: Mutex<VecDeque<Call>>,
    hook: Mutex<Hook>,
    reports: Mutex<aws::Reports>,
    usage: Mutex<github::Usage>,
    app_key: OnceLock<github::AppKey>,
}

enum Clock {
    Set(AtomicI64),
    Followed(Box<dyn Fn() -> i64 + Send + Sync>),
}

/// One call that the organisation's servers got.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// When, in milliseconds since 1970 by the world's clock.
    pub at: i64,
    /// Method and path with placeholders, as in `GET /admin/realms/{realm}/users/{id}/credentials`; of AWS service and
    /// action, as in `iam:GetAccountSummary`.
    pub call: String,
    /// Path and query as asked.
    pub target: String,
    /// The status of the answer; `None` when there was none.
    pub status: Option<u16>,
}

impl World {
    /// An organisation with some of every fault, at the moment `start` in milliseconds since 1970.
    ///
    /// `people` is what the realm's own count will say; it is at least 12, the named cast, and at most 100,000. From 300
    /// on, one role and one group have so many administrators that a silent page of a hundred hides the last.
    pub fn new(seed: u64, people: usize, start: i64) -> World {
        World::with_posture(seed, people, start, Posture::Mixed)
    }

    /// The same, well or badly set up throughout.
    pub fn with_posture(seed: u64, people: usize, start: i64, posture: Posture) -> World {
        let mut organisation = Organisation::new(seed, people, posture, start);
        // Its only error is an actor that is nobody, and the server's administrator is not that.
        let _ = drift::found(&mut organisation, start);
        World(Arc::new(Inner {
            organisation: RwLock::new(Arc::new(organisation)),
            clock: RwLock::new(Clock::Set(AtomicI64::new(start))),
            faults: Mutex::default(),
            calls: Mutex::default(),
            hook: Mutex::default(),
            reports: Mutex::default(),
            usage: Mutex::default(),
            app_key: OnceLock::new(),
        }))
    }

    /// Listens on 127.0.0.1; port 0 takes a free one.
    pub fn serve(&self, port: u16) -> io::Result<Server> {
        Server::start(self.clone(), port)
    }

    /// What the checks of Keycloak should find at this moment.
    pub fn truth(&self) -> Truth {
        truth::truth(&self.organisation())
    }

    /// What the checks of AWS should find in the account with people at this moment, by their ids. Those that rest on
    /// the credential report find what was true when it was made, which is four hours ago at the most.
    pub fn aws_truth(&self) -> BTreeMap<&'static str, Verdicts> {
        let account = Arc::clone(&self.organisation().account);
        let reports = lock(&self.0.reports);
        aws::truth(&account, reports.of(account.id).unwrap_or(&account), self.now())
    }

    /// What the checks of GitHub should find at this moment, by their ids: asked with the token of an owner, every
    /// repository that is not archived being one in production, with [`World::github_approved`] in the settings.
    pub fn github_truth(&self) -> BTreeMap<&'static str, Verdicts> {
        github::truth(&self.organisation().code, self.now())
    }

    /// What the GitHub organisation has approved to come in from outside: the value of `approved` in a source's settings.
    pub fn github_approved(&self) -> serde_json::Value {
        let host = &self.organisation().code;
        github::approved(&host.accesses, &host.apps)
    }

    /// The private key of the App that reads GitHub, as GitHub gives it out; `None` when no random numbers are to be had.
    /// It is the one thing here that does not follow from the seed.
    pub fn github_app_key(&self) -> Option<String> {
        if self.0.app_key.get().is_none() {
            // Whoever comes second finds the key of the first.
            let _ = self.0.app_key.set(github::AppKey::generate()?);
        }
        self.0.app_key.get().map(|key| key.pem().to_owned())
    }

    /// How many calls an hour GitHub grants each token from here on; `None`: as many as the real one does.
    pub fn set_github_quota(&self, calls: Option<u64>) {
        lock(&self.0.usage).quota = calls;
    }

    /// The world's time in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        match &*self.0.clock.read().unwrap_or_else(PoisonError::into_inner) {
            Clock::Set(now) => now.load(Ordering::SeqCst),
            Clock::Followed(clock) => clock(),
        }
    }

    /// Sets the time; from here on it stands until it is set or advanced again.
    pub fn set_now(&self, millis: i64) {
        *self.0.clock.write().unwrap_or_else(PoisonError::into_inner) = Clock::Set(AtomicI64::new(millis));
    }

    /// Moves the time on by so many milliseconds, and stands still again.
    pub fn advance(&self, millis: i64) {
        self.set_now(self.now().saturating_add(millis));
    }

    /// From here on the time is what `clock` says, in milliseconds since 1970.
    pub fn follow(&self, clock: impl Fn() -> i64 + Send + Sync + 'static) {
        *self.0.clock.write().unwrap_or_else(PoisonError::into_inner) = Clock::Followed(Box::new(clock));
    }

    /// Gives the reader a role of `realm-management`. Tokens issued before keep the rights they were issued with.
    pub fn grant(&self, role: &str) {
        Arc::make_mut(&mut self.organisation_mut()).reader.roles.insert(role.to_owned());
        self.sync_reader();
    }

    /// Takes a role from the reader. Tokens issued before keep the rights they were issued with.
    pub fn revoke(&self, role: &str) {
        Arc::make_mut(&mut self.organisation_mut()).reader.roles.remove(role);
        self.sync_reader();
    }

    /// Gives the reader's client a new secret, and returns it. The old one is refused from here on.
    pub fn rotate_secret(&self) -> String {
        let mut organisation = self.organisation_mut();
        let organisation = Arc::make_mut(&mut organisation);
        organisation.reader.rotations += 1;
        let secret = format!("{CANARY}reader-client-secret-{}", organisation.reader.rotations);
        organisation.reader.secret.clone_from(&secret);
        for client in organisation.clients.iter_mut().filter(|c| c.client_id == READER) {
            client.secret.clone_from(&secret);
        }
        secret
    }

    /// How long the reader's tokens live, in seconds; `None`: as long as the realm says.
    pub fn set_token_seconds(&self, seconds: Option<u64>) {
        Arc::make_mut(&mut self.organisation_mut()).reader.token_seconds = seconds;
    }

    /// From here on this call goes wrong. `call` is as a connector declares it, whatever its placeholders are called:
    /// `GET /admin/realms/{realm}/users`, `iam:GetCredentialReport`; `*` is every call. Of several faults the first
    /// that fits strikes.
    pub fn fault(&self, call: &str, fault: Fault) {
        self.faults().add(call, fault, None);
    }

    /// The same, for the next `times` calls only.
    pub fn fault_times(&self, call: &str, fault: Fault, times: u32) {
        self.faults().add(call, fault, Some(times));
    }

    /// All is well again.
    pub fn clear_faults(&self) {
        self.faults().clear();
    }

    /// The calls that the servers got, oldest first; the last 200,000.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.0.calls).iter().cloned().collect()
    }

    /// Forgets them.
    pub fn clear_calls(&self) {
        lock(&self.0.calls).clear();
    }

    /// What `/hook` was sent, oldest first; the last 10,000.
    pub fn received(&self) -> Vec<Received> {
        self.hook().received()
    }

    /// How `/hook` answers the next messages, one answer each; after that it accepts with 204.
    pub fn hook_answers(&self, answers: impl IntoIterator<Item = HookAnswer>) {
        self.hook().script(answers);
    }

    /// Forgets what `/hook` was sent and was told to answer.
    pub fn clear_hook(&self) {
        self.hook().clear();
    }

    /// The id of somebody, when there is somebody of that user name.
    pub fn user_id(&self, username: &str) -> Option<String> {
        self.organisation().by_name(username).map(|person| person.id)
    }

    /// The id that a client of that name has, or would have.
    pub fn client_id(&self, client: &str) -> String {
        self.organisation().client_id(client)
    }

    /// The id that a group with that path has, or would have.
    pub fn group_id(&self, path: &str) -> String {
        self.organisation().group_id(path)
    }

    /// The realm's id.
    pub fn realm_id(&self) -> String {
        self.organisation().realm_id()
    }

    /// The reader's rights are the roles of its service account: one place for what is, one for what is shown.
    fn sync_reader(&self) {
        let mut organisation = self.organisation_mut();
        let organisation = Arc::make_mut(&mut organisation);
        let roles = organisation.reader.roles.iter().cloned().collect();
        if let Some(account) = organisation.named.get_mut(&format!("service-account-{READER}")) {
            account.management_roles = roles;
        }
    }

    fn organisation(&self) -> Arc<Organisation> {
        Arc::clone(&self.0.organisation.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn organisation_mut(&self) -> RwLockWriteGuard<'_, Arc<Organisation>> {
        self.0.organisation.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.0.faults)
    }

    fn hook(&self) -> MutexGuard<'_, Hook> {
        lock(&self.0.hook)
    }

    fn saw(&self, call: Call) {
        let mut calls = lock(&self.0.calls);
        if calls.len() == MOST_CALLS {
            calls.pop_front();
        }
        calls.push_back(call);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
