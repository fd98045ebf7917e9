//! PagerDuty, told through the Events API v2: `POST /v2/enqueue`.
//!
//! An event says `trigger` or `resolve`, under a `dedup_key` that ties both to one incident: here the key of the
//! episode, so that an episode is never two incidents and a regression is a new one. PagerDuty remembers what it was
//! told, so nothing is told again. What it takes and answers is described at
//! <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/> and, as a schema, in
//! <https://github.com/PagerDuty/api-schema/blob/main/reference/events-v2/openapiv3.json>.

use async_trait::async_trait;
use domain::{Severity, Timestamp};
use query::{Alert, AlertClass, AlertState, Seen};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::config::{Kind, SecretRef, Secrets, url_problem};
use crate::notification::Notification;
use crate::receiver::{Post, Receipt, Receiver, SendError, TIMEOUT, Transport, post};
use crate::text::{self, Budget, clean};

/// A PagerDuty service, by an integration of the kind *Events API v2*. 429 and 5xx are tried again, 400 is final.
///
/// It pages people, so it gets no summary of a first look, and of an episode that ended before it could be told it hears
/// the end alone, which pages nobody.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The integration key: 32 letters and digits, in PagerDuty under the service's *Integrations*.
    pub routing_key: SecretRef,
    /// Its address, for an account of the service region EU `https://events.eu.pagerduty.com`. Left out: that of the
    /// region US, `https://events.pagerduty.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://events.eu.pagerduty.com")]
    pub url: Option<Url>,
    /// Allow a private, loopback or link-local address, and http there: for a relay of your own.
    #[serde(default)]
    pub allow_private: bool,
}

/// <https://support.pagerduty.com/main/docs/service-regions>
const US_REGION: &str = "https://events.pagerduty.com";

/// The greatest `summary` in characters.
const GREATEST_SUMMARY: usize = 1024;
/// The length of an integration key.
const KEY_LENGTH: usize = 32;

impl Kind for Settings {
    fn problems(&self) -> Vec<(String, String)> {
        let problem = self.url.as_ref().and_then(|url| url_problem(url, self.allow_private));
        problem.map(|problem| ("url".to_owned(), problem)).into_iter().collect()
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        vec![&self.routing_key]
    }

    fn takes_summaries(&self) -> bool {
        false
    }

    fn build(&self, secrets: &Secrets<'_>) -> Result<Box<dyn Receiver>, String> {
        let key = secrets(&self.routing_key)?;
        let bare = key.expose_secret().trim();
        if bare.len() != KEY_LENGTH || !bare.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("no integration key of the Events API v2; expected {KEY_LENGTH} letters and digits"));
        }
        let mut url = match &self.url {
            Some(url) => url.clone(),
            None => Url::parse(US_REGION).map_err(|error| error.to_string())?,
        };
        url.set_query(None);
        url.set_path(&format!("{}/v2/enqueue", url.path().trim_end_matches('/')));
        Ok(Box::new(PagerDuty { url, key: SecretString::from(bare), allow_private: self.allow_private }))
    }
}

struct PagerDuty {
    url: Url,
    key: SecretString,
    allow_private: bool,
}

#[async_trait]
impl Receiver for PagerDuty {
    async fn send(
        &self,
        notification: &Notification,
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let request = Post {
            url: self.url.clone(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: event(notification, self.key.expose_secret()).to_string().into_bytes(),
            timeout: TIMEOUT,
            allow_private: self.allow_private,
        };
        post(transport, request, now).await
    }
}

/// The event. Of an end PagerDuty takes the key and nothing else.
fn event(notification: &Notification, routing_key: &str) -> Value {
    let alert = &notification.alert;
    if alert.state != AlertState::Firing {
        return json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": alert.key });
    }
    // The API refuses what is no address.
    let link = Url::parse(&alert.permalink).ok().filter(|link| matches!(link.scheme(), "http" | "https"));
    let links: Vec<Value> = link.iter().map(|link| json!({ "href": link, "text": "Evidence" })).collect();
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": alert.key,
        "client": "evidenced",
        "links": links,
        "payload": {
            "summary": text::summary(alert).chars().take(GREATEST_SUMMARY).collect::<String>(),
            "source": alert.source,
            "severity": severity(alert.severity),
            "timestamp": alert.opened_at,
            "component": clean(&alert.subject, Budget::SCREEN.line),
            "group": alert.stream,
            "class": class(alert),
            "custom_details": details(notification),
        },
    });
    if let (Some(link), Some(event)) = (link, event.as_object_mut()) {
        event.insert("client_url".to_owned(), link.to_string().into());
    }
    event
}

/// PagerDuty knows four words: `critical`, `error`, `warning` and `info`.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "info",
    }
}

/// What kind of trouble it is: the check, or that evidence is missing.
fn class(alert: &Alert) -> String {
    match (&alert.check, alert.class) {
        (Some(check), _) => check.to_string(),
        (None, AlertClass::Coverage) => "coverage lost".to_owned(),
        (None, AlertClass::Deviation | AlertClass::Baseline) => "deviation".to_owned(),
    }
}

/// All that a person needs to act, with the rest behind the link.
fn details(notification: &Notification) -> Value {
    let (alert, budget) = (&notification.alert, Budget::SCREEN);
    let side = |side: &Option<Seen>, other: &Option<Seen>| {
        side.as_ref().map(|side| {
            let (values, more) = text::data(side, other.as_ref(), budget);
            json!({ "values": values, "more": more, "address": side.address, "at": side.at })
        })
    };
    json!({
        "was": side(&alert.was, &alert.is),
        "is": side(&alert.is, &alert.was),
        "who": text::who(&alert.who, budget.line),
        "changed_at": alert.changed_at,
        "first_action": clean(&alert.first_action, budget.line),
        "owner": clean(&alert.owner, budget.line),
        "controls": text::some(&alert.controls, budget.notes, budget.line),
        "severity": alert.severity,
        "severity_why": clean(&alert.severity_why, budget.line),
        "resource_type": alert.kind,
        "still_open": text::still_open(alert),
        "notes": text::some(&alert.notes, budget.notes, budget.line),
        "evidence": alert.permalink,
        "notification": notification.id,
    })
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::dispatch::Dispatcher;
    use crate::receiver::Answer;
    use crate::remember::Remembered;
    use crate::samples::{Network, StoppedClock, at, baseline, coverage, firing, gone, resolved, status};

    const KEY: &str = "0123456789abcdef0123456789ABCDEF";

    fn settings(more: &str) -> crate::Settings {
        let text = format!("receivers: [{{name: pager, pagerduty: {{routing_key: {{env: KEY}}{more}}}}}]");
        serde_saphyr::from_str(&text).unwrap()
    }

    fn dispatcher(more: &str) -> Dispatcher {
        Dispatcher::build(&settings(more), Remembered::default()).unwrap()
    }

    fn posted(network: &Network) -> Vec<Value> {
        network.posts().iter().map(|post| serde_json::from_slice(&post.body).unwrap()).collect()
    }

    /// What PagerDuty publishes of an event, in our words: its schema (reference/events-v2/openapiv3.json of
    /// PagerDuty/api-schema, version 2.0) says what there may be and must be; its manual gives the lengths and that
    /// the whole is at most 512 KB (<https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>).
    fn published() -> jsonschema::Validator {
        let text = |most: u32| json!({ "type": "string", "minLength": 1, "maxLength": most });
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["routing_key", "event_action", "dedup_key"],
            "additionalProperties": false,
            "properties": {
                "routing_key": { "type": "string", "minLength": 32, "maxLength": 32 },
                "event_action": { "enum": ["trigger", "acknowledge", "resolve"] },
                "dedup_key": text(255),
                "client": { "type": "string" },
                "client_url": { "type": "string", "format": "uri" },
                "links": { "type": "array", "items": {
                    "type": "object",
                    "required": ["href"],
                    "additionalProperties": false,
                    "properties": { "href": { "type": "string", "format": "uri" }, "text": { "type": "string" } },
                } },
                "images": { "type": "array" },
                "payload": {
                    "type": "object",
                    "required": ["summary", "severity", "source"],
                    "additionalProperties": false,
                    "properties": {
                        "summary": text(1024),
                        "timestamp": { "type": "string", "format": "date-time" },
                        "severity": { "enum": ["critical", "warning", "error", "info"] },
                        "source": text(1024),
                        "component": { "type": "string" },
                        "group": { "type": "string" },
                        "class": { "type": "string" },
                        "custom_details": { "type": "object" },
                    },
                },
            },
            "if": { "properties": { "event_action": { "const": "trigger" } } },
            "then": { "required": ["payload"] },
        });
        jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
    }

    fn holds(event: &Value) {
        let faults: Vec<String> = published().iter_errors(event).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, [""; 0], "{event:#}");
        assert!(event.to_string().len() <= 512 * 1024);
    }

    #[test]
    fn what_is_published_is_held_against_events_in_earnest() {
        let good = event(&Notification::new(&firing(), "pager", false), KEY);
        let broken = |change: fn(&mut Value)| {
            let mut event = good.clone();
            change(&mut event);
            published().is_valid(&event)
        };
        assert!(broken(|_| ()), "nothing was changed");
        assert!(!broken(|event| event["payload"]["summary"] = "x".repeat(1025).into()));
        assert!(!broken(|event| event["payload"]["severity"] = "high".into()));
        assert!(!broken(|event| event["links"][0]["href"] = "not an address".into()));
        assert!(!broken(|event| event["payload"]["timestamp"] = "yesterday".into()));
        assert!(!broken(|event| drop(event.as_object_mut().unwrap().remove("payload"))));
    }

    #[test]
    fn an_episode_is_one_incident_that_is_triggered_and_resolved_by_its_key() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:15:12")));
        let mut dispatcher = dispatcher("");
        for alerts in [&[firing()], &[firing()], &[resolved()], &[resolved()]] {
            block_on(dispatcher.round(alerts, &network, &clock, &mut || 0));
        }
        let posts = network.posts();
        assert_eq!(posts.len(), 2, "each said once");
        assert!(posts.iter().all(|post| post.url.as_str() == "https://events.pagerduty.com/v2/enqueue"));
        assert!(posts.iter().all(|post| !post.allow_private));
        let events = posted(&network);
        events.iter().for_each(holds);
        let expected = json!({
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": "0123456789abcdef0123456789abcdef",
            "client": "evidenced",
            "client_url": "http://127.0.0.1:8461/deviations/166",
            "links": [{ "href": "http://127.0.0.1:8461/deviations/166", "text": "Evidence" }],
            "payload": {
                "summary": "HIGH  Passwords can be guessed without limit: realm acme",
                "source": "keycloak:acme",
                "severity": "error",
                "timestamp": "2026-11-22T00:15:10.000Z",
                "component": "realm acme",
                "group": "keycloak:acme/realm",
                "class": "keycloak.realm.brute_force",
                "custom_details": {
                    "was": {
                        "values": { "bruteForceProtected": true, "failureFactor": 5 },
                        "more": 0, "address": "#9/1", "at": "2026-11-22T00:01:02.000Z"
                    },
                    "is": {
                        "values": { "bruteForceProtected": false, "failureFactor": 5 },
                        "more": 0, "address": "#165/1", "at": "2026-11-22T00:15:10.000Z"
                    },
                    "who": "dora (u-7), from 127.0.0.1",
                    "changed_at": "2026-11-22T00:15:02.000Z",
                    "first_action": "Realm settings, Security defenses, Brute force detection: on",
                    "owner": "Identity team",
                    "controls": ["iso27001-2022/A.8.5", "iso27001-2022/A.5.17"],
                    "severity": "high",
                    "severity_why": "every account of the realm is behind this one setting",
                    "resource_type": "keycloak.realm",
                    "still_open": null,
                    "notes": [],
                    "evidence": "http://127.0.0.1:8461/deviations/166",
                    "notification": Notification::new(&firing(), "pager", false).id,
                },
            },
        });
        assert_eq!(events[0], expected, "{:#}", events[0]);
        let end = json!({ "routing_key": KEY, "event_action": "resolve", "dedup_key": firing().key });
        assert_eq!(events[1], end);
    }

    #[test]
    fn lost_evidence_and_what_is_gone_are_told_and_a_first_look_pages_nobody() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:20:05")));
        let mut dispatcher = dispatcher("");
        block_on(dispatcher.round(&[coverage(), gone(), baseline()], &network, &clock, &mut || 0));
        let mut told: Vec<(String, String)> = posted(&network)
            .iter()
            .inspect(|event| holds(event))
            .map(|event| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (text(&event["event_action"]), text(&event["payload"]["class"]))
            })
            .collect();
        told.sort();
        assert_eq!(told, [("resolve".into(), "".into()), ("trigger".into(), "coverage lost".into())]);
    }

    #[test]
    fn a_busy_pagerduty_is_asked_again_when_it_says_and_a_refusal_is_final_and_seen() {
        let clock = StoppedClock::at(at("00:15:12"));
        let busy = Answer { retry_after: Some("30".into()), ..status(429) };
        let refusal = Answer { body: r#"{"status":"invalid event"}"#.into(), ..status(400) };
        let network = Network::answering([Ok(busy), Ok(status(503)), Ok(status(202)), Ok(refusal)]);
        let mut dispatcher = dispatcher("");
        let first = block_on(dispatcher.round(&[firing()], &network, &clock, &mut || 0));
        assert_eq!(first.next, Some(at("00:15:42")), "PagerDuty's own word");
        let mut next = first.next;
        let mut answers = Vec::new();
        while let Some(due) = next {
            clock.forward(due.since(domain::Clock::now(&clock)));
            let round = block_on(dispatcher.round(&[firing()], &network, &clock, &mut || 0));
            answers.extend(round.deliveries.into_iter().map(|delivery| (delivery.accepted, delivery.answer)));
            next = round.next;
        }
        assert_eq!(answers, [(true, "202".to_owned())]);

        let other = Alert { key: "f".repeat(32), opened_by: 900, entry: 900, ..firing() };
        let alerts = [firing(), other.clone()];
        let refused = block_on(dispatcher.round(&alerts, &network, &clock, &mut || 0));
        assert_eq!(refused.deliveries.iter().map(|one| one.accepted).collect::<Vec<_>>(), [false]);
        let dead = dispatcher.dead_letters(&alerts, domain::Clock::now(&clock));
        assert_eq!(
            (dead.len(), dead[0].incident.as_str(), dead[0].error.to_string()),
            (1, other.key.as_str(), "answered 400".into())
        );
        assert_eq!(dead[0].error.detail, r#"{"status":"invalid event"}"#);
        assert_eq!(network.posts().len(), 4, "and it is not sent again");
    }

    #[test]
    fn every_severity_has_a_word_that_pagerduty_knows() {
        for (ours, theirs) in [
            (Severity::Critical, "critical"),
            (Severity::High, "error"),
            (Severity::Medium, "warning"),
            (Severity::Low, "info"),
        ] {
            let alert = Alert { severity: ours, ..firing() };
            let event = event(&Notification::new(&alert, "pager", false), KEY);
            holds(&event);
            assert_eq!(event["payload"]["severity"], theirs);
        }
    }

    #[test]
    fn the_region_is_a_setting_and_the_key_is_checked_and_never_shown() {
        let network = Network::default();
        let clock = StoppedClock::at(at("00:15:12"));
        let mut eu = dispatcher(", url: 'https://events.eu.pagerduty.com/'");
        block_on(eu.round(&[firing()], &network, &clock, &mut || 0));
        let post = &network.posts()[0];
        assert_eq!(post.url.as_str(), "https://events.eu.pagerduty.com/v2/enqueue");
        assert!(!format!("{post:?}").contains(KEY));
        for bad in ["", "hunter2", "0123456789abcdef0123456789abcde-"] {
            let secret = |_: &SecretRef| Ok(SecretString::from(bad));
            let refused = settings("").receivers[0].kind().unwrap().build(&secret).err().unwrap();
            assert!(refused.contains("expected 32 letters and digits"), "{refused}");
            assert!(bad.is_empty() || !refused.contains(bad), "{refused}");
        }
        let problems = settings(", url: 'http://relay'").problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(settings(", url: 'http://relay', allow_private: true").problems(), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_event_is_refused_for_what_strangers_wrote(piece in any::<String>(), times in 1_usize..2_000) {
            let text = piece.repeat(times);
            let alert = Alert {
                title: text.clone(),
                subject: text.clone(),
                owner: text.clone(),
                notes: vec![text.clone(); 40],
                who: Ok(domain::Actor { name: text.clone(), id: text.clone(), from: Some(text) }),
                permalink: format!("a:{piece}"),
                ..firing()
            };
            holds(&event(&Notification::new(&alert, "pager", false), KEY));
        }
    }
}
