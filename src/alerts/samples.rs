//! Alerts, a network and a clock to test with.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::{Actor, Clock, Duration, RowAddress, Severity, Timestamp, UnknownActor};
use query::{Alert, AlertClass, AlertState, Seen};
use serde_json::{Value, json};

use secrecy::SecretString;

use crate::config::SecretRef;
use crate::receiver::{Answer, Post, Transport, TransportError};

/// A moment on the day that all samples play on.
pub(crate) fn at(clock: &str) -> Timestamp {
    format!("2026-11-22T{clock}Z").parse().unwrap()
}

pub(crate) fn seen(entry: u64, row: u32, clock: &str, values: Value) -> Seen {
    let values = values.as_object().unwrap().clone().into_iter().collect();
    Seen { values, address: RowAddress { entry, row: Some(row) }, at: at(clock) }
}

/// Dora switched brute-force detection off, and it was seen 8 seconds later.
pub(crate) fn firing() -> Alert {
    Alert {
        key: "0123456789abcdef0123456789abcdef".into(),
        class: AlertClass::Deviation,
        state: AlertState::Firing,
        title: "Passwords can be guessed without limit".into(),
        subject: "realm acme".into(),
        kind: Some("keycloak.realm".parse().unwrap()),
        source: "keycloak:acme".parse().unwrap(),
        stream: "keycloak:acme/realm".parse().unwrap(),
        check: Some("keycloak.realm.brute_force".parse().unwrap()),
        severity: Severity::High,
        severity_why: "every account of the realm is behind this one setting".into(),
        controls: ["iso27001-2022/A.8.5", "iso27001-2022/A.5.17"].map(|id| id.parse().unwrap()).into(),
        owner: "Identity team".into(),
        first_action: "Realm settings, Security defenses, Brute force detection: on".into(),
        permalink: "http://127.0.0.1:8461/deviations/166".into(),
        was: Some(seen(9, 1, "00:01:02", json!({ "bruteForceProtected": true, "failureFactor": 5 }))),
        is: Some(seen(165, 1, "00:15:10", json!({ "bruteForceProtected": false, "failureFactor": 5 }))),
        who: Ok(Actor { name: "dora".into(), id: "u-7".into(), from: Some("127.0.0.1".into()) }),
        changed_at: Some(at("00:15:02")),
        opened_at: at("00:15:10"),
        opened_by: 166,
        entry: 166,
        at: at("00:15:11"),
        baseline: false,
        unread_since: None,
        notes: vec![],
    }
}

/// It was switched on again.
pub(crate) fn resolved() -> Alert {
    Alert {
        state: AlertState::Resolved,
        was: firing().is,
        is: Some(seen(187, 1, "00:39:10", json!({ "bruteForceProtected": true, "failureFactor": 5 }))),
        changed_at: Some(at("00:39:00")),
        entry: 188,
        at: at("00:39:11"),
        ..firing()
    }
}

/// The realm is no more.
pub(crate) fn gone() -> Alert {
    let who = Err(UnknownActor { reason: "admin events are switched off".into() });
    Alert { state: AlertState::Gone, is: None, who, changed_at: None, ..resolved() }
}

/// The reader's credentials were revoked.
pub(crate) fn coverage() -> Alert {
    Alert {
        key: "c0ffee00c0ffee00c0ffee00c0ffee00".into(),
        class: AlertClass::Coverage,
        title: "Evidence can no longer be read: denied".into(),
        subject: "keycloak:acme/realm".into(),
        kind: None,
        check: None,
        severity_why: "14 checks are blind".into(),
        first_action: "Give view-realm back to the reader".into(),
        permalink: "http://127.0.0.1:8461/coverage/201".into(),
        was: None,
        is: None,
        who: Err(UnknownActor { reason: "not asked".into() }),
        changed_at: None,
        opened_at: at("00:20:00"),
        opened_by: 201,
        entry: 201,
        at: at("00:20:01"),
        notes: vec!["denied GET /admin/realms/{realm}: keycloak.realm.brute_force and 13 more undetermined".into()],
        ..firing()
    }
}

/// Three deviations were already there.
pub(crate) fn baseline() -> Alert {
    Alert {
        key: "ba5e0000ba5e0000ba5e0000ba5e0000".into(),
        class: AlertClass::Baseline,
        title: "3 deviations were already here".into(),
        subject: "keycloak:acme".into(),
        severity: Severity::Low,
        opened_by: 11,
        entry: 11,
        at: at("00:01:03"),
        opened_at: at("00:01:03"),
        permalink: "http://127.0.0.1:8461/sources/keycloak:acme".into(),
        baseline: true,
        notes: vec!["keycloak.client.redirect_uris: 2".into(), "keycloak.user.otp: 1".into()],
        ..coverage()
    }
}

/// A network that answers as told, then 200, and keeps what was posted. Its secrets have the form that each kind of
/// receiver wants.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) secrets: Mutex<Option<Result<&'static str, &'static str>>>,
    pub(crate) answers: Mutex<VecDeque<Result<Answer, TransportError>>>,
    pub(crate) posts: Mutex<Vec<Post>>,
}

impl Network {
    pub(crate) fn answering(answers: impl IntoIterator<Item = Result<Answer, TransportError>>) -> Self {
        Network { answers: Mutex::new(answers.into_iter().collect()), ..Network::default() }
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }
}

#[async_trait]
impl Transport for Network {
    async fn post(&self, post: Post) -> Result<Answer, TransportError> {
        self.posts.lock().unwrap().push(post);
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(status(200)))
    }

    async fn secret(&self, reference: &SecretRef) -> Result<SecretString, String> {
        let usual = match reference {
            SecretRef::Env(name) if name == "KEY" => "0123456789abcdef0123456789ABCDEF\n",
            _ => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        };
        let secret = self.secrets.lock().unwrap().unwrap_or(Ok(usual));
        secret.map(SecretString::from).map_err(str::to_owned)
    }
}

pub(crate) fn status(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

/// A clock that stands until it is moved.
pub(crate) struct StoppedClock(Mutex<Timestamp>);

impl StoppedClock {
    pub(crate) fn at(now: Timestamp) -> Self {
        StoppedClock(Mutex::new(now))
    }

    pub(crate) fn forward(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(by);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
