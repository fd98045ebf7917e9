//! The settings of alerting: receivers, routes and silences. Their doc comments are the manual.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use domain::{Duration, Severity, Timestamp};
use query::{Alert, AlertClass};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::receiver::Receiver;

/// Who is told when something drifts or can no longer be seen.
///
/// With receivers and nothing else, every receiver is told of everything that is new.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address of the pages as people reach them, for example `https://evidence.example.org`. Links in alerts begin
    /// with it. Left out: the address the page listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_url: Option<Url>,
    /// Where notifications go. Each has a name of its own and exactly one kind.
    pub receivers: Vec<ReceiverSettings>,
    /// Which alerts go to which receivers. An alert goes to the receivers of every route that it matches, once each.
    pub routes: Vec<Route>,
    /// Receivers of alerts that match no route. Left out: all receivers. An empty list: nobody, which `alerts` shows
    /// as *no route*.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_receivers: Option<Vec<String>>,
    /// Short quiet times, for planned work. They hold back notifications and touch no evidence.
    pub silences: Vec<Silence>,
}

/// Defines the settings of one receiver from the list of kinds. Each kind is a module of this crate with a type
/// `Settings` that implements [`Kind`].
macro_rules! receiver_kinds {
    ($($(#[$doc:meta])* $kind:ident),+ $(,)?) => {
        /// A place that notifications go to: its name, and the settings of exactly one kind.
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(extend("minProperties" = 2, "maxProperties" = 2))]
        pub struct ReceiverSettings {
            /// Its name in routes, in the ledger and in metrics. To rename a receiver is to have a new one: it is told
            /// of everything that is open.
            pub name: String,
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $kind: Option<crate::$kind::Settings>,
            )+
        }

        impl ReceiverSettings {
            /// The kinds there are.
            const KINDS: &'static [&'static str] = &[$(stringify!($kind)),+];

            /// The kind that is given; a receiver that was found right has one.
            pub(crate) fn kind(&self) -> Option<&dyn Kind> {
                self.kinds().first().map(|(_, kind)| *kind)
            }

            /// The kinds that are given, with their names.
            fn kinds(&self) -> Vec<(&'static str, &dyn Kind)> {
                let mut given: Vec<(&'static str, &dyn Kind)> = Vec::new();
                $(if let Some(settings) = &self.$kind { given.push((stringify!($kind), settings)); })+
                given
            }
        }
    };
}

receiver_kinds! {
    /// Any HTTP endpoint, by Standard Webhooks 1.0.
    webhook,
    /// A Prometheus Alertmanager.
    alertmanager,
    /// PagerDuty, by its Events API v2.
    pagerduty,
}

/// What the settings of one kind of receiver can do.
pub(crate) trait Kind: Send + Sync {
    /// What is wrong with them: the setting, as a path below the kind, and what was expected.
    fn problems(&self) -> Vec<(String, String)>;

    /// The secrets that it needs. They are read whenever something is sent, so one that was rotated is used at once.
    fn secrets(&self) -> Vec<&SecretRef>;

    /// The receiver, with its secrets as they are now.
    fn build(&self, secrets: &Secrets<'_>) -> Result<Box<dyn Receiver>, String>;

    /// How often a condition that still holds must be told again, because the receiver lets it end otherwise. `None`:
    /// it remembers.
    fn repeats_every(&self) -> Option<Duration> {
        None
    }

    /// Whether it takes the summary of a first run. One that only knows conditions that hold and end does not.
    fn takes_summaries(&self) -> bool {
        true
    }
}

/// Finds the secret behind a reference; the error says why it cannot be had, in words without the secret.
pub(crate) type Secrets<'a> = dyn Fn(&SecretRef) -> Result<SecretString, String> + Sync + 'a;

/// A receiver that was found right, by the name it was given.
pub(crate) type Named = (String, ReceiverSettings);

/// Where a secret stands. A secret itself never stands in the settings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// A file that holds the secret and nothing else; white space around it is ignored.
    File(PathBuf),
    /// An environment variable of the daemon.
    Env(String),
}

/// Which alerts go to which receivers. A condition that is left out matches everything.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Only alerts of this severity or above: `low`, `medium`, `high` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "severity_schema")]
    pub severity_at_least: Option<Severity>,
    /// Only these sources, for example `aws:prod` or `aws:*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Pattern>,
    /// Only these checks, for example `aws.iam.root.no_access_keys` or `aws.iam.*`. Alerts about coverage and baseline
    /// are of no check, so a route with `checks` never matches them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Pattern>,
    /// Only these classes: `deviation`, `coverage` (evidence can no longer be read), `baseline` (the one summary of
    /// what a check found on its first look).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "classes_schema")]
    pub classes: Vec<AlertClass>,
    /// The receivers, by name.
    pub receivers: Vec<String>,
}

/// A short quiet time. What is already told stays told; an alert that begins and ends inside the silence is never
/// told; one that outlives it is told when the silence ends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Only these sources; left out: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Pattern>,
    /// Only these checks; left out: all, and coverage too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Pattern>,
    /// When it begins: `2026-07-01T22:00:00Z`.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// When it ends, at most 7 days later. A risk that is accepted for longer is no silence.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Why, in one line.
    pub why: String,
}

impl Silence {
    /// The longest silence there may be.
    pub const LONGEST: Duration = Duration::from_secs(7 * 86_400);

    /// Whether it keeps this alert quiet at this moment.
    pub(crate) fn covers(&self, alert: &Alert, at: Timestamp) -> bool {
        self.from <= at
            && at < self.until
            && matches(&self.sources, Some(alert.source.as_str()))
            && matches(&self.checks, alert.check.as_ref().map(|check| check.as_str()))
    }
}

impl Route {
    /// Whether this route takes the alert.
    pub(crate) fn matches(&self, alert: &Alert) -> bool {
        self.severity_at_least.is_none_or(|least| alert.severity >= least)
            && matches(&self.sources, Some(alert.source.as_str()))
            && matches(&self.checks, alert.check.as_ref().map(|check| check.as_str()))
            && (self.classes.is_empty() || self.classes.contains(&alert.class))
    }
}

/// No patterns match everything, also what has no name at all.
fn matches(patterns: &[Pattern], name: Option<&str>) -> bool {
    patterns.is_empty() || name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
}

/// A name, or the beginning of names: `aws:prod`, `aws:*`, `*`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether it stands for this name.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.0,
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let stars = text.matches('*').count();
        if text.is_empty() || stars > 1 || (stars == 1 && !text.ends_with('*')) {
            return Err(format!("not a pattern: {text:?}; expected a name, or its beginning and one *"));
        }
        Ok(Pattern(text.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something in the settings that cannot stand.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// The setting, as a path below `alerts`: `routes[0].receivers[1]`.
    pub path: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// The settings cannot be put to work.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuildError {
    /// They contradict themselves.
    #[error("the settings of alerting do not hold: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<Problem>),
}

impl Settings {
    /// Everything that is wrong with them, in the order of the file. Secrets are not looked at.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut problem = |path: String, message: String| found.push(Problem { path, message });
        let mut names = BTreeSet::new();
        for (i, receiver) in self.receivers.iter().enumerate() {
            let at = format!("receivers[{i}]");
            if !is_name(&receiver.name) {
                let form = "expected lower-case letters, digits, '-' and '_', at most 63 of them";
                problem(format!("{at}.name"), format!("not a receiver's name: {:?}; {form}", receiver.name));
            } else if !names.insert(receiver.name.as_str()) {
                problem(format!("{at}.name"), format!("there are two receivers of the name {}", receiver.name));
            }
            match receiver.kinds().as_slice() {
                [(kind, settings)] => {
                    for (path, message) in settings.problems() {
                        problem(format!("{at}.{kind}.{path}"), message);
                    }
                }
                given => problem(
                    at,
                    format!(
                        "{} kinds given; expected exactly one of {}",
                        given.len(),
                        ReceiverSettings::KINDS.join(", ")
                    ),
                ),
            }
        }
        for (i, route) in self.routes.iter().enumerate() {
            if route.receivers.is_empty() {
                problem(format!("routes[{i}].receivers"), "a route needs at least one receiver".to_owned());
            }
            for (j, name) in route.receivers.iter().enumerate().filter(|(_, name)| !names.contains(name.as_str())) {
                problem(format!("routes[{i}].receivers[{j}]"), format!("there is no receiver of the name {name:?}"));
            }
        }
        let default = self.default_receivers.as_deref().unwrap_or_default();
        for (i, name) in default.iter().enumerate().filter(|(_, name)| !names.contains(name.as_str())) {
            problem(format!("default_receivers[{i}]"), format!("there is no receiver of the name {name:?}"));
        }
        for (i, silence) in self.silences.iter().enumerate() {
            if silence.until <= silence.from {
                problem(format!("silences[{i}].until"), format!("must lie after `from`, {}", silence.from));
            } else if silence.until.since(silence.from) > Silence::LONGEST {
                problem(format!("silences[{i}].until"), format!("a silence lasts at most {}", Silence::LONGEST));
            }
            if silence.why.trim().is_empty() {
                problem(format!("silences[{i}].why"), "a silence needs a reason".to_owned());
            }
        }
        found
    }

    /// The receivers by name, in the order of the file.
    pub(crate) fn build(&self) -> Result<Vec<Named>, BuildError> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(BuildError::Settings(problems));
        }
        Ok(self.receivers.iter().map(|receiver| (receiver.name.clone(), receiver.clone())).collect())
    }
}

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

/// What is wrong with the address of a receiver, if anything.
pub(crate) fn url_problem(url: &Url, allow_private: bool) -> Option<String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Some("holds a user name or password; a secret stands in a file or in the environment".to_owned());
    }
    match url.scheme() {
        _ if url.host().is_none() => Some("names no host".to_owned()),
        "https" => None,
        "http" if allow_private => None,
        "http" => Some("must be https; http is for private addresses, with `allow_private: true`".to_owned()),
        other => Some(format!("must be https, not {other}")),
    }
}

fn severity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "enum": ["low", "medium", "high", "critical", null] })
}

fn classes_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "enum": ["deviation", "coverage", "baseline"] } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Dispatcher;
    use crate::remember::Remembered;

    fn settings(text: &str) -> Settings {
        serde_saphyr::from_str(text).unwrap()
    }

    const WHOLE: &str = "
page_url: https://evidence.example.org
receivers:
  - name: on-call
    alertmanager: {url: 'http://alertmanager:9093', repeat: 1m, token: {file: /run/secrets/am}}
  - name: chat
    webhook:
      url: https://hooks.example.org/T0
      secret: {env: HOOK_SECRET}
      old_secrets: [{file: /run/secrets/hook.old}]
routes:
  - {severity_at_least: high, classes: [deviation, coverage], receivers: [on-call, chat]}
  - {sources: ['aws:*'], checks: [aws.iam.root.no_access_keys], receivers: [on-call]}
default_receivers: [chat]
silences:
  - {sources: ['keycloak:acme'], from: 2026-07-01T22:00:00Z, until: 2026-07-02T02:00:00Z, why: upgrade}
";

    #[test]
    fn the_whole_of_the_settings_is_read() {
        let settings = settings(WHOLE);
        assert_eq!(settings.problems(), []);
        assert!(Dispatcher::build(&settings, Remembered::default()).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let bad = settings(
            "
receivers:
  - {name: chat, webhook: {url: 'http://hooks.example.org', secret: {env: A}}}
  - {name: chat, alertmanager: {url: 'http://am:9093'}}
  - {name: 'On call', alertmanager: {url: 'http://am:9093'}}
  - {name: both, alertmanager: {url: 'http://am:9093'}, webhook: {url: 'https://h', secret: {env: A}}}
  - {name: none}
routes:
  - {receivers: []}
  - {receivers: [chat, pager]}
default_receivers: [nobody]
silences:
  - {from: 2026-07-02T00:00:00Z, until: 2026-07-01T00:00:00Z, why: x}
  - {from: 2026-07-01, until: 2026-08-01, why: ' '}
",
        );
        let found: Vec<String> = bad.problems().iter().map(ToString::to_string).collect();
        let expected = [
            "receivers[0].webhook.url: must be https; http is for private addresses, with `allow_private: true`",
            "receivers[1].name: there are two receivers of the name chat",
            "receivers[2].name: not a receiver's name: \"On call\"; expected lower-case letters, digits, '-' and '_', at most 63 of them",
            "receivers[3]: 2 kinds given; expected exactly one of webhook, alertmanager, pagerduty",
            "receivers[4]: 0 kinds given; expected exactly one of webhook, alertmanager, pagerduty",
            "routes[0].receivers: a route needs at least one receiver",
            "routes[1].receivers[1]: there is no receiver of the name \"pager\"",
            "default_receivers[0]: there is no receiver of the name \"nobody\"",
            "silences[0].until: must lie after `from`, 2026-07-02T00:00:00.000Z",
            "silences[1].until: a silence lasts at most 7 d",
            "silences[1].why: a silence needs a reason",
        ];
        assert_eq!(found, expected);
        let refused = Dispatcher::build(&bad, Remembered::default()).err().unwrap();
        let BuildError::Settings(problems) = refused;
        assert_eq!(problems.len(), expected.len());
    }

    #[test]
    fn unknown_settings_are_refused() {
        for text in ["recievers: []", "routes: [{receivers: [a], sevrity: high}]", "receivers: [{name: a, slack: {}}]"]
        {
            assert!(serde_saphyr::from_str::<Settings>(text).is_err(), "{text}");
        }
        assert!(serde_saphyr::from_str::<Route>("{sources: ['*:prod'], receivers: [a]}").is_err());
    }

    #[test]
    fn the_schema_describes_every_setting() {
        let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
        let mut undescribed = Vec::new();
        let mut types = vec![("Settings".to_owned(), &schema)];
        types.extend(schema["$defs"].as_object().unwrap().iter().map(|(name, schema)| (name.clone(), schema)));
        for (name, schema) in types {
            for (setting, schema) in schema["properties"].as_object().into_iter().flatten() {
                if schema["description"].as_str().is_none_or(str::is_empty) {
                    undescribed.push(format!("{name}.{setting}"));
                }
            }
        }
        assert_eq!(undescribed, [""; 0]);
        assert!(schema["$defs"].as_object().unwrap().len() >= 5, "{schema:#}");
    }

    #[test]
    fn a_pattern_is_a_name_or_its_beginning() {
        let table = [("aws:*", "aws:prod", true), ("aws:*", "gcp:prod", false), ("*", "x", true), ("a", "ab", false)];
        for (pattern, name, expected) in table {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(name), expected, "{pattern} {name}");
        }
        for bad in ["", "*a", "a**"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
