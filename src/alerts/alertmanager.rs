//! A Prometheus Alertmanager, told through `POST /api/v2/alerts`.
//!
//! An Alertmanager takes alerts with the same labels for the same alert, lets an alert end when its `endsAt` passes,
//! and keeps nothing over its own restart. So the labels here are identity only, and everything that may change in the
//! life of an episode is an annotation; a condition that holds is posted again and again; and `endsAt` lies far enough
//! ahead that a restart of this daemon is not taken for a resolve.
//!
//! It passes on no alert that has ended before its own `group_wait`; such an alert is posted all the same, with its
//! true times.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{Duration, Timestamp};
use query::{Alert, AlertClass, AlertState};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::{Kind, SecretRef, Secrets, url_problem};
use crate::notification::Notification;
use crate::receiver::{Post, Receipt, Receiver, SendError, TIMEOUT, Transport, post};
use crate::text::{self, Budget, clean};

/// An Alertmanager (API v2, since 0.16). One receiver for each instance: members of a cluster each want to be told.
///
/// Labels: `alertname` (`EvidencedDeviation` or `EvidencedCoverageLost`), `severity`, `source`, `stream`, `check`,
/// `resource_type` and `incident`, the key of the episode. Annotations: `summary`, `description`, `was`, `is`, `who`,
/// `first`, `owner`, `controls`, `because`, `still_open` and `evidence`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its address, without `/api/v2/alerts`: `http://alertmanager:9093`.
    pub url: Url,
    /// A bearer token, where a proxy before it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretRef>,
    /// How often a condition that still holds is posted again; Alertmanager asks for every 30 s to 3 min.
    #[serde(default = "two_minutes")]
    #[schemars(with = "String")]
    pub repeat: Duration,
    /// How long it goes on firing when it hears nothing more from us, at least three times `repeat`. Until then a
    /// daemon that is down resolves nothing; afterwards Alertmanager ends the alert by itself.
    #[serde(default = "four_hours")]
    #[schemars(with = "String")]
    pub lasts: Duration,
    /// Allow a private, loopback or link-local address, and http there: where an Alertmanager usually lives.
    #[serde(default = "yes")]
    pub allow_private: bool,
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

/// As long as Alertmanager's own default `repeat_interval`: people are reminded once at most of what we cannot renew.
fn four_hours() -> Duration {
    Duration::from_secs(4 * 3600)
}

fn yes() -> bool {
    true
}

/// The shortest time between repeats.
const SHORTEST_REPEAT: Duration = Duration::from_secs(1);

impl Kind for Settings {
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if let Some(problem) = url_problem(&self.url, self.allow_private) {
            found.push(("url".to_owned(), problem));
        }
        if self.repeat < SHORTEST_REPEAT {
            found.push(("repeat".to_owned(), format!("{} is too short; at least {SHORTEST_REPEAT}", self.repeat)));
        }
        if self.lasts < self.repeat.times(3) {
            let least = self.repeat.times(3);
            found.push((
                "lasts".to_owned(),
                format!("{} is too short; at least three times `repeat`, {least}", self.lasts),
            ));
        }
        found
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.token.iter().collect()
    }

    fn repeats_every(&self) -> Option<Duration> {
        Some(self.repeat)
    }

    fn takes_summaries(&self) -> bool {
        false
    }

    fn build(&self, secrets: &Secrets<'_>) -> Result<Box<dyn Receiver>, String> {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_path(&format!("{}/api/v2/alerts", self.url.path().trim_end_matches('/')));
        Ok(Box::new(Alertmanager {
            url,
            token: self.token.as_ref().map(secrets).transpose()?,
            lasts: self.lasts,
            allow_private: self.allow_private,
        }))
    }
}

struct Alertmanager {
    url: Url,
    token: Option<SecretString>,
    lasts: Duration,
    allow_private: bool,
}

#[async_trait]
impl Receiver for Alertmanager {
    async fn send(
        &self,
        notification: &Notification,
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        self.repeat(std::slice::from_ref(notification), transport, now).await
    }

    async fn repeat(
        &self,
        notifications: &[Notification],
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let posted: Vec<Posted> =
            notifications.iter().map(|notification| posted(notification, now.plus(self.lasts))).collect();
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Some(token) = &self.token {
            headers.push(("authorization", format!("Bearer {}", token.expose_secret().trim())));
        }
        let request = Post {
            url: self.url.clone(),
            headers,
            body: serde_json::to_vec(&posted).unwrap_or_default(),
            timeout: TIMEOUT,
            allow_private: self.allow_private,
        };
        post(transport, request, now).await
    }
}

/// One alert as `PostableAlert` of Alertmanager's API description.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<Url>,
}

/// `until`: when the alert ends by itself if nothing more is heard of it.
fn posted(notification: &Notification, until: Timestamp) -> Posted {
    let alert = &notification.alert;
    let ends_at = match alert.state {
        AlertState::Firing => until,
        // An end before its beginning would be refused.
        AlertState::Resolved | AlertState::Gone => alert.at.max(alert.opened_at),
    };
    Posted {
        labels: labels(alert),
        annotations: annotations(notification),
        starts_at: alert.opened_at,
        ends_at,
        // The API refuses the whole post when this is not an address.
        generator_url: Url::parse(&alert.permalink).ok(),
    }
}

/// What makes it this alert and no other: nothing here changes while the episode lasts. Controls, owner and the
/// resource's name may, so they are annotations; were they labels, one episode would become two incidents.
fn labels(alert: &Alert) -> BTreeMap<&'static str, String> {
    let name = match alert.class {
        AlertClass::Deviation | AlertClass::Baseline => "EvidencedDeviation",
        AlertClass::Coverage => "EvidencedCoverageLost",
    };
    let mut labels = BTreeMap::from([
        ("alertname", name.to_owned()),
        ("incident", alert.key.clone()),
        ("severity", alert.severity.to_string()),
        ("source", alert.source.to_string()),
        ("stream", alert.stream.to_string()),
    ]);
    labels.extend(alert.check.as_ref().map(|check| ("check", check.to_string())));
    labels.extend(alert.kind.as_ref().map(|kind| ("resource_type", kind.to_string())));
    labels
}

/// What is known of it at the moment; empty ones are left out.
fn annotations(notification: &Notification) -> BTreeMap<&'static str, String> {
    let alert = &notification.alert;
    let budget = Budget::SCREEN;
    let side = |seen: &Option<query::Seen>, other: &Option<query::Seen>| {
        seen.as_ref().map(|seen| text::values(seen, other.as_ref(), budget)).unwrap_or_default()
    };
    let mut annotations = BTreeMap::from([
        ("summary", text::summary(alert)),
        ("description", text::notification(notification)),
        ("was", side(&alert.was, &alert.is)),
        ("is", side(&alert.is, &alert.was)),
        ("who", text::who(&alert.who, budget.line)),
        ("first", clean(&alert.first_action, budget.line)),
        ("owner", clean(&alert.owner, budget.line)),
        ("controls", text::listed(&alert.controls, budget)),
        ("because", clean(&alert.severity_why, budget.line)),
        ("still_open", text::still_open(alert).unwrap_or_default()),
        ("evidence", alert.permalink.clone()),
    ]);
    annotations.retain(|_, text| !text.is_empty());
    annotations
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use serde_json::{Value, json};

    use super::*;
    use crate::samples::{Network, at, coverage, firing, gone, resolved};

    fn settings(text: &str) -> Settings {
        serde_saphyr::from_str(text).unwrap()
    }

    fn receiver(text: &str) -> Box<dyn Receiver> {
        settings(text).build(&|_| Ok(SecretString::from("CANARY\n"))).unwrap()
    }

    fn posts(alerts: &[Alert], now: &str) -> Value {
        let network = Network::default();
        let notifications: Vec<_> = alerts.iter().map(|alert| Notification::new(alert, "am", true)).collect();
        block_on(receiver("url: http://127.0.0.1:9093").repeat(&notifications, &network, at(now))).unwrap();
        serde_json::from_slice(&network.posts()[0].body).unwrap()
    }

    #[test]
    fn identity_goes_into_labels_and_what_may_change_into_annotations() {
        let posted = posts(&[firing()], "00:15:12");
        let mut alert = posted[0].clone();
        assert!(alert["annotations"]["description"].take().as_str().unwrap().contains("was     bruteForceProtected"));
        let expected = json!({
            "labels": {
                "alertname": "EvidencedDeviation",
                "check": "keycloak.realm.brute_force",
                "incident": "0123456789abcdef0123456789abcdef",
                "resource_type": "keycloak.realm",
                "severity": "high",
                "source": "keycloak:acme",
                "stream": "keycloak:acme/realm",
            },
            "annotations": {
                "because": "every account of the realm is behind this one setting",
                "controls": "iso27001-2022 A.8.5, A.5.17",
                "description": null,
                "evidence": "http://127.0.0.1:8461/deviations/166",
                "first": "Realm settings, Security defenses, Brute force detection: on",
                "is": "bruteForceProtected: false, failureFactor: 5",
                "owner": "Identity team",
                "summary": "HIGH  Passwords can be guessed without limit: realm acme",
                "was": "bruteForceProtected: true, failureFactor: 5",
                "who": "dora (u-7), from 127.0.0.1",
            },
            "startsAt": "2026-11-22T00:15:10.000Z",
            "endsAt": "2026-11-22T04:15:12.000Z",
            "generatorURL": "http://127.0.0.1:8461/deviations/166",
        });
        assert_eq!(alert, expected, "{alert:#}");
    }

    #[test]
    fn label_names_are_ones_that_an_alertmanager_takes() {
        for alert in [firing(), coverage()] {
            for (name, value) in labels(&alert) {
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                assert!(!value.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn what_may_change_in_an_episode_changes_no_label() {
        let unread = Some(at("00:20:00"));
        let changed = Alert {
            subject: "realm acme-2".into(),
            owner: "Platform".into(),
            controls: vec![],
            title: "New words".into(),
            unread_since: unread,
            ..firing()
        };
        for alert in [changed.clone(), resolved(), gone()] {
            assert_eq!(labels(&alert), labels(&firing()));
        }
        let posted = posts(&[changed], "00:30:00");
        assert_eq!(
            posted[0]["annotations"]["still_open"],
            "STILL OPEN, last seen 2026-11-22 00:15:10 UTC; keycloak:acme unreadable since 2026-11-22 00:20:00 UTC"
        );
    }

    #[test]
    fn an_end_lies_in_the_past_and_never_before_the_beginning() {
        let skewed = Alert { at: at("00:10:00"), ..resolved() };
        let posted = posts(&[resolved(), gone(), skewed], "00:40:00");
        let ends: Vec<_> = posted.as_array().unwrap().iter().map(|one| one["endsAt"].as_str().unwrap()).collect();
        assert_eq!(ends, ["2026-11-22T00:39:11.000Z", "2026-11-22T00:39:11.000Z", "2026-11-22T00:15:10.000Z"]);
        assert!(posted[0]["annotations"]["summary"].as_str().unwrap().starts_with("RESOLVED"));
        assert!(posted[1]["annotations"]["summary"].as_str().unwrap().starts_with("GONE"));
    }

    #[test]
    fn the_address_is_completed_and_the_token_goes_into_its_header_only() {
        let network = Network::default();
        let receiver = receiver("{url: 'https://proxy.example.org/am/', token: {env: AM_TOKEN}}");
        let alert = Alert { permalink: "no address".into(), ..firing() };
        block_on(receiver.send(&Notification::new(&alert, "am", false), &network, at("00:16:00"))).unwrap();
        let post = &network.posts()[0];
        assert_eq!(post.url.as_str(), "https://proxy.example.org/am/api/v2/alerts");
        assert_eq!(post.headers[1], ("authorization", "Bearer CANARY".to_owned()));
        let body = String::from_utf8(post.body.clone()).unwrap();
        assert!(!body.contains("CANARY") && !body.contains("generatorURL"), "{body}");
        assert!(!format!("{post:?}").contains("CANARY"));
    }

    #[test]
    fn settings_that_would_let_an_alert_end_by_itself_are_refused() {
        let problems = |text: &str| settings(text).problems();
        assert_eq!(problems("url: http://127.0.0.1:9093"), []);
        let found = problems("{url: 'http://127.0.0.1:9093', repeat: 5m, lasts: 10m}");
        assert_eq!(found, [("lasts".into(), "10 min is too short; at least three times `repeat`, 15 min".into())]);
        assert_eq!(problems("{url: 'ftp://a', repeat: 0s, lasts: 1h}").len(), 2);
        assert!(problems("url: https://user:canary@am")[0].1.contains("user name or password"));
    }
}
