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

    fn build(&self, secrets: &Secrets<'_>) -> Result<Box<dyn Receiver>, String> {
        let keys = std::iter::once(&self.secret).chain(&self.old_secrets).map(|secret| key(&secrets(secret)?));
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
