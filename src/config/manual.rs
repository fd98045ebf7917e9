//! The manual of the settings, made from their doc comments: the commented example file and the JSON Schema.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, OnceLock};

use checks::Discretion;
use schemars::schema_for;
use serde_json::{Map, Value, json};

use super::Settings;

/// The width of the example file.
const WIDTH: usize = 100;

/// The example without its comments. A key behind `#` is a setting that is left out, shown with its default or an
/// example; `@` stands for what connectors and receivers say of themselves. Every setting stands here once, and
/// [`example`] puts its doc comment above it.
const TEMPLATE: &str = "\
organisation: Acme Ltd
#data: evidenced-data
#guard_dir: /var/lib/evidenced-guard
#guard_copies: [/mnt/elsewhere/evidenced-guard]
#data_key:
  #file: /run/secrets/evidenced-data-key
  #env: EVIDENCED_DATA_KEY
#index: sled
#ledger:
  #origin: evidenced/acme-ltd
#anchors:
  #- name: freetsa
    #url: https://freetsa.org/tsr
    #ca: /etc/evidenced/freetsa-ca.pem
    #every: 1h
#witnesses:
  #- key: witness.example.com/w1+2fdecb4e+BDKSVmNL4UaQWMwXsJcUq+iLiz7lZhyjU60nd1hmrbn/
    #url: https://witness.example.com
    #every: 5m
#retention:
  #answers: 1095d
  #records: 2190d
#scrub:
  #every: 7d
  #mib_per_second: 8
schedules:
  zone: Europe/Berlin
  #default: '*/15 * * * *'
sources:
@sources
alerts:
  #page_url: https://evidence.example.com
  receivers:
@receivers
  routes:
    - severity_at_least: high
      #sources: ['keycloak:*']
      #checks: ['keycloak.realm.*']
      classes: [deviation, coverage]
      receivers: [pagerduty, webhook]
  default_receivers: [alertmanager]
  #silences:
    #- sources: ['keycloak:acme']
      #checks: ['keycloak.realm.*']
      #from: 2026-07-01T22:00:00Z
      #until: 2026-07-02T02:00:00Z
      #why: upgrade of the realm
web:
  listen: 127.0.0.1:8461
  #token_file: /run/secrets/evidenced-token
health:
  listen: 127.0.0.1:8462
#checks_dir: /etc/evidenced/checks
#frameworks_dir: /etc/evidenced/frameworks
params:
  keycloak.realm.brute_force:
    max_failures: 5
log:
  format: auto
#telemetry:
  #endpoint: http://127.0.0.1:4317
  #protocol: grpc
  #authorization:
    #file: /run/secrets/evidenced-telemetry
    #env: EVIDENCED_TELEMETRY
  #every: 60s
#network:
  #proxy:
    #url: http://proxy.example.com:3128
    #except: [example.com, 10.0.0.0/8]
  #ca_file: /etc/evidenced/private-ca.pem
#limits:
  #runs_at_once: 32
  #run: 5m
  #calls: 20000
  #pages: 3000
  #answer_mib: 32
";

/// Settings whose values may be repeated in messages, with everything below them. A secret that stands where it should
/// not stands somewhere else: behind a misspelt key, in a reference, in an address.
const REPEATED: &[&str] = &[
    "organisation",
    "data",
    "guard_dir",
    "index",
    "checks_dir",
    "frameworks_dir",
    "ledger.origin",
    "schedules",
    "retention",
    "scrub",
    "sources.*.name",
    "sources.*.owner",
    "sources.*.schedules",
    "alerts.receivers.name",
    "alerts.routes",
    "alerts.default_receivers",
    "alerts.silences",
    "web.listen",
    "health.listen",
    "params",
    "log",
    "telemetry.protocol",
    "telemetry.every",
    "network",
    "limits",
];

/// The commented example file: every setting with its meaning, ready to be changed.
pub fn example() -> String {
    let manual = Manual::the();
    let template = TEMPLATE.replace("@sources\n", &manual.sources()).replace("@receivers\n", &manual.receivers());
    let mut text = String::from("# yaml-language-server: $schema=evidenced.schema.json\n#\n");
    comment(&mut text, "", manual.schema.get("description"));
    let mut keys: Vec<(usize, String)> = Vec::new();
    let mut said = BTreeSet::new();
    for line in template.lines() {
        let bare = line.trim_start();
        let left_out = bare.starts_with('#');
        let bare = bare.trim_start_matches('#');
        let item = bare.starts_with("- ");
        let indent = line.len() - line.trim_start().len();
        let key = bare.trim_start_matches("- ").split(": ").next().unwrap_or(bare).trim_end_matches(':');
        let depth = indent + if item { 2 } else { 0 };
        keys.retain(|(above, _)| *above < depth);
        keys.push((depth, key.to_owned()));
        let path: Vec<&str> = keys.iter().map(|(_, key)| key.as_str()).collect();
        let margin = " ".repeat(indent);
        if let Some(setting) = manual.at(&path).filter(|_| said.insert(path.join("\n"))) {
            if depth == 0 {
                text.push('\n');
            }
            comment(&mut text, &margin, setting.get("description"));
        }
        let mark = if left_out { "# " } else { "" };
        text.push_str(&format!("{margin}{mark}{bare}\n"));
    }
    text
}

/// The JSON Schema of the settings, for editors.
pub fn schema() -> String {
    let mut schema = Manual::the().schema.clone();
    if let Some(kinds) = schema.pointer_mut("/$defs/Sources/properties").and_then(Value::as_object_mut) {
        kinds.remove(connectors::TO_LEARN_FROM);
    }
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".to_owned(), "Settings of evidenced".into());
    }
    format!("{schema:#}\n")
}

/// A value on one line of YAML.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text)
            if text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '…')
                && !text.contains(": ")
                && text.parse::<f64>().is_err() =>
        {
            text.clone()
        }
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Object(map) => {
            let items: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A description as comment lines.
fn comment(text: &mut String, margin: &str, description: Option<&Value>) {
    let Some(description) = description.and_then(Value::as_str) else { return };
    for paragraph in description.split("\n\n") {
        let mut line = format!("{margin}#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                text.push_str(&line);
                text.push('\n');
                line = format!("{margin}#");
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(&line);
        text.push('\n');
    }
}

/// The schema, for questions about single settings.
pub(super) struct Manual {
    schema: Value,
}

impl Manual {
    /// The one manual there is: it follows from the types alone.
    pub(super) fn the() -> &'static Manual {
        static MANUAL: LazyLock<Manual> = LazyLock::new(|| Manual { schema: schema_for!(Settings).to_value() });
        &MANUAL
    }

    /// Template lines of one source of each kind; all but the first are left out.
    fn sources(&self) -> String {
        let mut text = String::new();
        for (place, kind) in connectors::kinds().enumerate() {
            let mark = if place == 0 { "" } else { "#" };
            let mut item = String::new();
            for key in self.keys(&["sources", kind.name]) {
                let given = match (key.as_str(), kind.collectors.first()) {
                    ("schedules", Some(first)) => Some(json!({ first.name: first.default_schedule })),
                    ("runbook", _) => Some(json!(format!("https://wiki.example.com/{}", kind.name))),
                    _ => None,
                };
                item.push_str(&self.key(6, mark, &["sources", kind.name, &key], given));
            }
            let item = item.replacen(&format!("      {mark}"), &format!("    {mark}- "), 1);
            text.push_str(&format!("  {mark}{}:\n{item}", kind.name));
        }
        text
    }

    /// Template lines of one receiver of each kind, named after its kind.
    fn receivers(&self) -> String {
        let mut text = String::new();
        for kind in self.keys(&["alerts", "receivers"]).iter().filter(|kind| *kind != "name") {
            text.push_str(&format!("    - name: {kind}\n      {kind}:\n"));
            for key in self.keys(&["alerts", "receivers", kind]) {
                text.push_str(&self.key(8, "", &["alerts", "receivers", kind, &key], None));
            }
        }
        text
    }

    /// Template lines of one setting, those of the settings below it included: with a value when it must be there, left
    /// out when it need not.
    fn key(&self, indent: usize, mark: &str, path: &[&str], given: Option<Value>) -> String {
        let Some((key, above)) = path.split_last() else { return String::new() };
        let Some(node) = self.at(path) else { return String::new() };
        let mark = if self.required(above).contains(key) { mark } else { "#" };
        let (margin, inner) = (" ".repeat(indent), " ".repeat(indent + 2));
        let owner = above.last().copied().unwrap_or_default();
        let in_list = node.get("items").is_some_and(|items| self.wants_reference(items));
        if in_list || self.wants_reference(node) {
            let (first, second) = if in_list { ("- ", "  ") } else { ("", "") };
            let variable = format!("{owner}_{key}").to_uppercase();
            return format!(
                "{margin}{mark}{key}:\n{inner}{mark}{first}file: /run/secrets/{owner}\n{inner}{second}#env: {variable}\n"
            );
        }
        let below = if given.is_none() { self.keys(path) } else { Vec::new() };
        if !below.is_empty() {
            let is_list = self.variants(node).iter().any(|variant| variant.get("items").is_some());
            let indent = if is_list { indent + 4 } else { indent + 2 };
            let lines: String =
                below.iter().map(|key| self.key(indent, mark, &[path, &[key.as_str()]].concat(), None)).collect();
            let lines = match is_list {
                true => lines.replacen(&format!("{inner}  {mark}"), &format!("{inner}{mark}- "), 1),
                false => lines,
            };
            return format!("{margin}{mark}{key}:\n{lines}");
        }
        let said = given.or_else(|| node.get("examples")?.get(0).cloned()).or_else(|| node.get("default").cloned());
        let shown = said.filter(|value| !value.is_null()).unwrap_or_else(|| match node.get("format") {
            Some(format) if format == "uri" => json!(format!("https://{owner}.example.com")),
            _ => json!("…"),
        });
        format!("{margin}{mark}{key}: {}\n", flow(&shown))
    }

    /// The keys below a path: first those that must be there, in the order of their type.
    fn keys(&self, path: &[&str]) -> Vec<String> {
        let Some(node) = self.at(path) else { return Vec::new() };
        let mut keys: Vec<String> = self.required(path).into_iter().map(str::to_owned).collect();
        let all = self.variants(node).into_iter().filter_map(|variant| variant.get("properties")?.as_object());
        for key in all.flat_map(Map::keys) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// The keys that must be there below a path.
    fn required(&self, path: &[&str]) -> Vec<&str> {
        let node = self.at(path);
        let lists = node
            .into_iter()
            .flat_map(|node| self.variants(node))
            .filter_map(|variant| variant.get("required")?.as_array());
        lists.flatten().filter_map(Value::as_str).collect()
    }

    /// The setting at a path of keys, with its own description; positions in lists are left out of the path.
    fn at(&self, path: &[&str]) -> Option<&Value> {
        let below =
            |node, key: &&str| self.variants(node).into_iter().find_map(|node| node.get("properties")?.get(key));
        path.iter().try_fold(&self.schema, below)
    }

    /// What of a settings file may be shown in messages.
    pub(super) fn discretion(&self) -> Arc<Discretion> {
        static DISCRETION: OnceLock<Arc<Discretion>> = OnceLock::new();
        DISCRETION.get_or_init(|| Arc::new(self.made_discretion())).clone()
    }

    fn made_discretion(&self) -> Discretion {
        let settings = self.settings();
        let is_reference = |path: &&String| {
            let keys: Vec<&str> = path.split('.').collect();
            self.at(&keys).is_some_and(|node| {
                let items = self.variants(node).into_iter().filter_map(|variant| variant.get("items"));
                self.wants_reference(node) || items.into_iter().any(|items| self.wants_reference(items))
            })
        };
        let references: Vec<String> = settings.iter().filter(is_reference).cloned().collect();
        Discretion::new(settings, references, REPEATED).proposing_no(connectors::TO_LEARN_FROM)
    }

    /// All settings there are, as paths of keys joined by dots.
    pub(super) fn settings(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![(String::new(), &self.schema)];
        while let Some((path, node)) = open.pop() {
            for variant in self.variants(node) {
                for (key, node) in variant.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    found.insert(path.clone());
                    open.push((path, node));
                }
            }
        }
        found
    }

    /// Whether a setting, as keys joined by dots, has a doc comment.
    #[cfg(test)]
    pub(super) fn explains(&self, path: &str) -> bool {
        let keys: Vec<&str> = path.split('.').collect();
        self.at(&keys).and_then(|node| node.get("description")?.as_str()).is_some_and(|said| !said.is_empty())
    }

    /// What stands where references to secrets belong, with its path.
    pub(super) fn secrets<'v>(&self, value: &'v Value) -> Vec<(String, &'v Value)> {
        let mut found = Vec::new();
        self.secrets_below("", &self.schema, value, &mut found);
        found
    }

    fn secrets_below<'v>(&self, path: &str, node: &Value, value: &'v Value, found: &mut Vec<(String, &'v Value)>) {
        let is_reference =
            |node: &Value| node.get("$ref").and_then(Value::as_str).is_some_and(|name| name.contains("/SecretRef"));
        let choices = node.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let wants_reference = is_reference(node) || choices.into_iter().any(is_reference);
        match value {
            _ if wants_reference && !value.is_array() => found.push((path.to_owned(), value)),
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let below = self.variants(node).into_iter().find_map(|variant| variant.get("properties")?.get(key));
                    if let Some(below) = below {
                        self.secrets_below(&path, below, value, found);
                    }
                }
            }
            Value::Array(items) => {
                let below = self.variants(node).into_iter().find_map(|variant| variant.get("items"));
                for (place, value) in items.iter().enumerate() {
                    let path = format!("{path}[{place}]");
                    if let Some(below) = below.or_else(|| wants_reference.then_some(node)) {
                        self.secrets_below(&path, below, value, found);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a reference to a secret is to stand here.
    fn wants_reference(&self, node: &Value) -> bool {
        let is_reference =
            |node: &Value| node.get("$ref").and_then(Value::as_str).is_some_and(|name| name.contains("/SecretRef"));
        is_reference(node)
            || node.get("anyOf").and_then(Value::as_array).is_some_and(|all| all.iter().any(is_reference))
    }

    /// The schemas that a node stands for: behind a reference, an alternative, a list.
    fn variants<'a>(&'a self, node: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            found.push(node);
            let target = node.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
            open.extend(target.and_then(|pointer| self.schema.pointer(pointer)));
            open.extend(node.get("items"));
            for key in ["anyOf", "oneOf", "allOf"] {
                open.extend(node.get(key).and_then(Value::as_array).into_iter().flatten());
            }
        }
        found
    }
}
