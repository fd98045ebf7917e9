//! Any HTTP endpoint, told by Standard Webhooks 1.0: <https://www.standardwebhooks.com>.
//!
//! The body is JSON: `type`, `timestamp` and `data`, and in `data` all that a person needs to act, under 20,000 bytes.
//! The headers are `webhook-id` (the same on every try, so an endpoint can take each message once),
//! `webhook-timestamp` (the time of the try) and `webhook-signature`: one HMAC-SHA256 for each secret.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use query::{Alert, AlertClass, AlertState, Seen};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use crate::config::{Kind, SecretRef, Secrets, url_problem};
use crate::notification::Notification;
use crate::receiver::{Post, Receipt, Receiver, SendError, TIMEOUT, Transport, post};
use crate::text::{self, Budget, clean};

/// An endpoint for Standard Webhooks. Redirects are not followed; 2xx is success, 400, 410, 413 and 422 are final, and
/// everything else is tried again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The endpoint, https. The messages say what is wrong where: they must not be read on the way.
    pub url: Url,
    /// The secret that signs: `whsec_` and 24 to 64 bytes in base64, for example made by
    /// `echo whsec_$(openssl rand -base64 32)`. One for each endpoint.
    pub secret: SecretRef,
    /// Secrets that sign as well, while the endpoint changes from an old secret to a new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_secrets: Vec<SecretRef>,
    /// Allow an endpoint on a private, loopback or link-local address, and http there.
    #[serde(default)]
    pub allow_private: bool,
}

/// The greatest body in bytes; Standard Webhooks advises less than 20 kB.
const GREATEST_BODY: usize = 20_000;

/// How much of an alert goes into `data`, tried in this order until the body is small enough. The last one always is:
/// no character takes more than 4 bytes, and none needs to be escaped by more than one.
const BUDGETS: [Budget; 3] = [
    Budget { value: 400, line: 400, values: 16, notes: 16 },
    Budget { value: 120, line: 200, values: 8, notes: 8 },
    Budget { value: 40, line: 80, values: 4, notes: 4 },
];

impl Kind for Settings {
    fn problems(&self) -> Vec<(String, String)> {
        url_problem(&self.url, self.allow_private).map(|problem| ("url".to_owned(), problem)).into_iter().collect()
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.secret).chain(&self.old_secrets).collect()
    }

    fn build(&self, secrets: &Secrets<'_>) -> Result<Box<dyn Receiver>, String> {
        let keys = self.secrets().into_iter().map(|secret| key(&secrets(secret)?));
        Ok(Box::new(Webhook {
            url: self.url.clone(),
            keys: keys.collect::<Result<_, String>>()?,
            allow_private: self.allow_private,
        }))
    }
}

struct Webhook {
    url: Url,
    /// The signing keys, the newest first.
    keys: Vec<SecretBox<Vec<u8>>>,
    allow_private: bool,
}

#[async_trait]
impl Receiver for Webhook {
    async fn send(
        &self,
        notification: &Notification,
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let body = body(notification);
        let timestamp = now.seconds().to_string();
        let signatures: Vec<String> = self
            .keys
            .iter()
            .map(|key| sign(key.expose_secret(), &notification.id, &timestamp, body.as_bytes()))
            .collect();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", notification.id.clone()),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signatures.join(" ")),
        ];
        let request = Post {
            url: self.url.clone(),
            headers,
            body: body.into_bytes(),
            timeout: TIMEOUT,
            allow_private: self.allow_private,
        };
        post(transport, request, now).await
    }
}

/// The key in a secret. The error does not repeat it.
fn key(secret: &SecretString) -> Result<SecretBox<Vec<u8>>, String> {
    let form = "expected whsec_ and 24 to 64 bytes in base64";
    let encoded = secret.expose_secret().trim().strip_prefix("whsec_").ok_or(format!("no webhook secret; {form}"))?;
    let key = STANDARD.decode(encoded).map_err(|_| format!("the webhook secret is not base64; {form}"))?;
    if !(24..=64).contains(&key.len()) {
        return Err(format!("the webhook secret has {} bytes; {form}", key.len()));
    }
    Ok(SecretBox::new(Box::new(key)))
}

/// One signature of the header `webhook-signature`.
fn sign(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    // HMAC takes a key of any length; the error type is there for other constructions.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The body: as much of the alert as fits.
fn body(notification: &Notification) -> String {
    let mut body = String::new();
    for budget in BUDGETS {
        body = payload(notification, budget).to_string();
        if body.len() <= GREATEST_BODY {
            break;
        }
    }
    body
}

/// What happened, as the type of the event: `deviation.firing`, `coverage.resolved`, `baseline.recorded` …
fn event(alert: &Alert) -> &'static str {
    match (alert.class, alert.state) {
        (AlertClass::Deviation, AlertState::Firing) => "deviation.firing",
        (AlertClass::Deviation, AlertState::Resolved) => "deviation.resolved",
        (AlertClass::Deviation, AlertState::Gone) => "deviation.gone",
        (AlertClass::Coverage, AlertState::Firing) => "coverage.firing",
        (AlertClass::Coverage, AlertState::Resolved | AlertState::Gone) => "coverage.resolved",
        (AlertClass::Baseline, _) => "baseline.recorded",
    }
}

fn payload(notification: &Notification, budget: Budget) -> Value {
    let alert = &notification.alert;
    let line = |text: &str| clean(text, budget.line);
    let ended = (alert.state != AlertState::Firing && alert.class != AlertClass::Baseline).then_some(alert.at);
    let who = match &alert.who {
        Ok(actor) => json!({
            "name": line(&actor.name),
            "id": line(&actor.id),
            "from": actor.from.as_deref().map(line),
        }),
        Err(unknown) => json!({ "unknown": line(&unknown.reason) }),
    };
    json!({
        "type": event(alert),
        "timestamp": alert.at,
        "data": {
            "incident": alert.key,
            "title": line(&alert.title),
            "subject": line(&alert.subject),
            "resource_type": alert.kind,
            "source": alert.source,
            "stream": alert.stream,
            "check": alert.check,
            "severity": alert.severity,
            "severity_why": line(&alert.severity_why),
            "controls": text::some(&alert.controls, budget.notes, budget.line),
            "owner": line(&alert.owner),
            "first_action": line(&alert.first_action),
            "evidence": alert.permalink,
            "was": alert.was.as_ref().map(|was| side(was, alert.is.as_ref(), budget)),
            "is": alert.is.as_ref().map(|is| side(is, alert.was.as_ref(), budget)),
            "who": who,
            "changed_at": alert.changed_at,
            "opened_at": alert.opened_at,
            // How long the change went unseen; null where the source does not say when it was.
            "seen_after_ms": alert.changed_at.map(|changed| alert.opened_at.since(changed).millis()),
            "ended_at": ended,
            "open_for_ms": ended.map(|ended| ended.since(alert.opened_at).millis()),
            "told_before": notification.heard,
            "unread_since": alert.unread_since,
            // How many others it reaches. No check measures that yet, and null says so.
            "reach": Value::Null,
            "notes": text::some(&alert.notes, budget.notes, budget.line),
            "entries": notification.about(),
            "text": clean_page(&text::notification(notification), budget),
        },
    })
}

/// One side of the change.
fn side(side: &Seen, other: Option<&Seen>, budget: Budget) -> Value {
    let (values, more) = text::data(side, other, budget);
    json!({ "values": values, "more": more, "address": side.address, "at": side.at })
}

/// The screen of text, cut to a share of the body where the alert is that large.
fn clean_page(page: &str, budget: Budget) -> String {
    let most = budget.line * 20;
    if page.chars().count() <= most {
        page.to_owned()
    } else {
        page.chars().take(most).chain("…\n".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::receiver::{Answer, Refusal, TransportError};
    use crate::samples::{Network, at, baseline, coverage, firing, gone, resolved, status};

    /// Secret and vector of the reference libraries of Standard Webhooks.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn webhook(secrets: &[&str]) -> Webhook {
        let keys = secrets.iter().map(|secret| key(&SecretString::from(*secret)).unwrap()).collect();
        Webhook { url: "https://hooks.example.org/T0".parse().unwrap(), keys, allow_private: false }
    }

    fn sent(alert: &Alert, heard: bool) -> Value {
        serde_json::from_str(&body(&Notification::new(alert, "chat", heard))).unwrap()
    }

    #[test]
    fn the_signature_is_the_one_of_the_standard() {
        let key = key(&SecretString::from(SECRET)).unwrap();
        let signature =
            sign(key.expose_secret(), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_post_carries_id_time_and_a_signature_for_each_secret() {
        let network = Network::default();
        let newer = "whsec_bmV3ZXItc2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXM=";
        let notification = Notification::new(&firing(), "chat", false);
        let receipt = block_on(webhook(&[newer, SECRET]).send(&notification, &network, at("00:15:12"))).unwrap();
        assert_eq!(receipt.answer, "200");
        let posts = network.posts();
        let headers: BTreeMap<_, _> = posts[0].headers.iter().cloned().collect();
        assert_eq!(headers["webhook-id"], notification.id);
        assert_eq!(headers["webhook-timestamp"], at("00:15:12").seconds().to_string());
        let old = key(&SecretString::from(SECRET)).unwrap();
        let expected = sign(old.expose_secret(), &notification.id, &headers["webhook-timestamp"], &posts[0].body);
        let signatures: Vec<&str> = headers["webhook-signature"].split(' ').collect();
        assert_eq!((signatures.len(), signatures[1]), (2, expected.as_str()));
        assert_ne!(signatures[0], signatures[1]);
    }

    #[test]
    fn the_same_news_has_the_same_id_and_body_on_every_try() {
        let network = Network::answering([Err(TransportError::TimedOut)]);
        let notification = Notification::new(&firing(), "chat", false);
        let webhook = webhook(&[SECRET]);
        let first = block_on(webhook.send(&notification, &network, at("00:15:12"))).unwrap_err();
        assert_eq!((first.permanent, first.to_string().as_str()), (false, "timed out"));
        block_on(webhook.send(&notification, &network, at("00:15:20"))).unwrap();
        let posts = network.posts();
        assert_eq!(posts[0].body, posts[1].body);
        assert_eq!(posts[0].headers[1], posts[1].headers[1]);
        assert_ne!(posts[0].headers[2], posts[1].headers[2]);
    }

    #[test]
    fn answers_mean_what_the_standard_says() {
        let table = [
            (200, None),
            (204, None),
            (301, Some(false)),
            (400, Some(true)),
            (401, Some(false)),
            (404, Some(false)),
            (410, Some(true)),
            (413, Some(true)),
            (422, Some(true)),
            (429, Some(false)),
            (500, Some(false)),
            (503, Some(false)),
        ];
        for (code, permanent) in table {
            let network = Network::answering([Ok(status(code))]);
            let result = block_on(webhook(&[SECRET]).send(
                &Notification::new(&firing(), "chat", false),
                &network,
                at("00:16:00"),
            ));
            assert_eq!(result.err().map(|error| error.permanent), permanent, "{code}");
        }
        let busy = Answer { retry_after: Some("90".into()), body: "wait\n<b>".into(), ..status(429) };
        let network = Network::answering([Ok(busy)]);
        let error =
            block_on(webhook(&[SECRET]).send(&Notification::new(&firing(), "chat", false), &network, at("00:16:00")))
                .unwrap_err();
        assert_eq!(error.retry_after, Some(domain::Duration::from_secs(90)));
        assert_eq!((error.reason, error.detail.as_str()), (Refusal::Status(429), "wait ‹b›"));
    }

    #[test]
    fn all_that_a_person_needs_is_in_the_payload() {
        let mut payload = sent(&firing(), false);
        let text = payload["data"]["text"].take();
        assert!(
            text.as_str().unwrap().starts_with("HIGH  Passwords can be guessed without limit: realm acme"),
            "{text}"
        );
        let expected = json!({
            "type": "deviation.firing",
            "timestamp": "2026-11-22T00:15:11.000Z",
            "data": {
                "incident": "0123456789abcdef0123456789abcdef",
                "title": "Passwords can be guessed without limit",
                "subject": "realm acme",
                "resource_type": "keycloak.realm",
                "source": "keycloak:acme",
                "stream": "keycloak:acme/realm",
                "check": "keycloak.realm.brute_force",
                "severity": "high",
                "severity_why": "every account of the realm is behind this one setting",
                "controls": ["iso27001-2022/A.8.5", "iso27001-2022/A.5.17"],
                "owner": "Identity team",
                "first_action": "Realm settings, Security defenses, Brute force detection: on",
                "evidence": "http://127.0.0.1:8461/deviations/166",
                "was": {
                    "values": { "bruteForceProtected": true, "failureFactor": 5 },
                    "more": 0, "address": "#9/1", "at": "2026-11-22T00:01:02.000Z"
                },
                "is": {
                    "values": { "bruteForceProtected": false, "failureFactor": 5 },
                    "more": 0, "address": "#165/1", "at": "2026-11-22T00:15:10.000Z"
                },
                "who": { "name": "dora", "id": "u-7", "from": "127.0.0.1" },
                "changed_at": "2026-11-22T00:15:02.000Z",
                "opened_at": "2026-11-22T00:15:10.000Z",
                "seen_after_ms": 8000,
                "ended_at": null,
                "open_for_ms": null,
                "told_before": false,
                "unread_since": null,
                "reach": null,
                "notes": [],
                "entries": [166],
                "text": null,
            },
        });
        assert_eq!(payload, expected, "{payload:#}");
    }

    #[test]
    fn the_type_says_what_became_of_it() {
        let table = [
            (resolved(), true, "deviation.resolved", json!([188])),
            (resolved(), false, "deviation.resolved", json!([166, 188])),
            (gone(), true, "deviation.gone", json!([188])),
            (coverage(), false, "coverage.firing", json!([201])),
            (baseline(), false, "baseline.recorded", json!([11])),
        ];
        for (alert, heard, kind, entries) in table {
            let payload = sent(&alert, heard);
            assert_eq!((&payload["type"], &payload["data"]["entries"]), (&json!(kind), &entries));
            assert_eq!(payload["data"]["told_before"], json!(heard));
        }
        assert_eq!(sent(&gone(), true)["data"]["who"], json!({ "unknown": "admin events are switched off" }));
        assert_eq!(sent(&resolved(), true)["data"]["open_for_ms"], json!(1_441_000));
    }

    #[test]
    fn no_secret_is_in_what_is_sent_shown_or_refused() {
        let canary = "Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ";
        let network = Network::default();
        let receiver = webhook(&[&format!("whsec_{canary}")]);
        block_on(receiver.send(&Notification::new(&firing(), "chat", false), &network, at("00:16:00"))).unwrap();
        let post = &network.posts()[0];
        let everything = format!("{post:?} {:?} {}", post.headers, String::from_utf8_lossy(&post.body));
        assert!(!everything.contains(canary) && !everything.contains("CANARY"), "{everything}");
        for bad in [canary.to_owned(), format!("whsec_{canary}!"), "whsec_Q0FOQVJZ".to_owned()] {
            let refused = key(&SecretString::from(bad.clone())).unwrap_err();
            assert!(!refused.contains("Q0FOQVJZ") && refused.contains("expected whsec_"), "{refused}");
        }
    }

    fn strange() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("<!everyone>".to_owned()),
            Just("\u{1}\"\\\n".to_owned()),
            Just("\u{202e}\u{10ffff}漢".to_owned()),
            any::<String>(),
        ];
        (piece, 1_usize..3_000).prop_map(|(piece, times)| piece.repeat(times))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_payload_is_too_big_or_not_json(text in strange(), fields in 0_usize..500, notes in 0_usize..500) {
            let mut alert = firing();
            alert.title = text.clone();
            alert.subject = text.clone();
            alert.owner = text.clone();
            alert.first_action = text.clone();
            alert.severity_why = text.clone();
            alert.who = Ok(domain::Actor { name: text.clone(), id: text.clone(), from: Some(text.clone()) });
            alert.notes = vec![text.clone(); notes];
            alert.controls = (0..notes).map(|n| format!("iso27001-2022/A.{n}").parse().unwrap()).collect();
            let values: BTreeMap<String, Value> =
                (0..fields).map(|n| (format!("{n}{text}"), json!({ "deep": [text.clone()] }))).collect();
            alert.is.as_mut().unwrap().values = values.clone();
            alert.was.as_mut().unwrap().values = values;
            let body = body(&Notification::new(&alert, "chat", false));
            prop_assert!(body.len() <= GREATEST_BODY, "{}", body.len());
            let payload: Value = serde_json::from_str(&body).unwrap();
            let shown = payload["data"]["is"]["values"].as_object().unwrap().len() as u64;
            prop_assert_eq!(shown + payload["data"]["is"]["more"].as_u64().unwrap(), fields as u64);
            prop_assert!(!body.contains("<!"));
        }
    }
}
