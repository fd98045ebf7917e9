//! All checks and catalogues in force.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CheckId, CollectorName, ControlId, FrameworkId, Mapping, ResourceType, SourceId, StreamId};
use serde_json::{Value, json};

use crate::check::{Check, digest};
use crate::definition::Kind;
use crate::framework::Framework;
use crate::load::{problems_of, read_check, read_recorded};
use crate::problem::{Problem, did_you_mean};
use crate::yaml::Document;

mod embedded {
    //! What is built into the program; listed by build.rs.
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Thresholds that the settings give: by check, then by parameter.
pub type Params = BTreeMap<CheckId, BTreeMap<String, Value>>;

/// Texts of checks and catalogues that belong together: those built in, or those of one folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Texts {
    /// Checks: file name and text.
    pub checks: Vec<(String, String)>,
    /// Catalogues: file name and text.
    pub frameworks: Vec<(String, String)>,
}

impl Texts {
    /// Those built into the program.
    pub fn embedded() -> Texts {
        let own = |list: &[(&str, &str)]| list.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        Texts { checks: own(embedded::CHECKS), frameworks: own(embedded::FRAMEWORKS) }
    }
}

/// All checks and catalogues in force. One that was loaded is right in itself: every name is known, every example
/// gives what it says.
#[derive(Debug)]
pub struct CheckSet {
    checks: BTreeMap<CheckId, Check>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    framework_texts: BTreeMap<FrameworkId, String>,
}

impl CheckSet {
    /// The checks and catalogues built into the program.
    pub fn embedded() -> Result<CheckSet, Vec<Problem>> {
        CheckSet::load(&[Texts::embedded()])
    }

    /// Loads texts, the later over the earlier: a check or catalogue of a later layer takes the place of one with the
    /// same id. Two with the same id in one layer are refused, and so is everything that would make a check say
    /// something that its author did not mean. Reports all problems it finds, by file and place.
    pub fn load(layers: &[Texts]) -> Result<CheckSet, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut set =
            CheckSet { checks: BTreeMap::new(), frameworks: BTreeMap::new(), framework_texts: BTreeMap::new() };
        for layer in layers {
            let mut seen = BTreeMap::new();
            for (file, text) in &layer.frameworks {
                match Framework::read(file, text) {
                    Ok(framework) => {
                        problems.extend(twice(&mut seen, framework.id.as_str(), file, text));
                        set.framework_texts.insert(framework.id.clone(), text.clone());
                        set.frameworks.insert(framework.id.clone(), framework);
                    }
                    Err(refused) => problems.extend(refused),
                }
            }
        }
        // A catalogue names others, so all are read before their names are looked up.
        for (file, text) in layers.iter().flat_map(|layer| &layer.frameworks) {
            let in_force = set.frameworks.values().find(|known| set.framework_texts.get(&known.id) == Some(text));
            problems.extend(in_force.into_iter().flat_map(|known| known.strangers(file, text, &set.frameworks)));
        }
        for layer in layers {
            let mut seen = BTreeMap::new();
            for (file, text) in &layer.checks {
                match read_check(file, text, &set.frameworks) {
                    Ok(check) => {
                        problems.extend(twice(&mut seen, check.id().as_str(), file, text));
                        set.checks.insert(check.id().clone(), check);
                    }
                    Err(refused) => problems.extend(refused),
                }
            }
        }
        if problems.is_empty() { Ok(set) } else { Err(problems) }
    }

    /// The checks that [`CheckSet::recorded`] wrote, so that observations of their day can be computed again. Fails where
    /// this program understands one of them otherwise than the one that recorded it.
    pub fn from_recorded(recorded: &Value) -> Result<CheckSet, String> {
        let Some(checks) = recorded.get("checks").and_then(Value::as_object) else {
            return Err("no checks were recorded".to_owned());
        };
        let mut set =
            CheckSet { checks: BTreeMap::new(), frameworks: BTreeMap::new(), framework_texts: BTreeMap::new() };
        for (id, recorded) in checks {
            let text = recorded.get("text").and_then(Value::as_str).unwrap_or_default();
            let params = recorded.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
            let read = read_recorded(&format!("{id} as recorded"), text, params.into_iter().collect());
            let check =
                read.map_err(|problems| problems.iter().map(Problem::headline).collect::<Vec<_>>().join("; "))?;
            if recorded.get("version").and_then(Value::as_str) != Some(check.version()) {
                return Err(format!("{id}: this program reads another check from the recorded text"));
            }
            set.checks.insert(check.id().clone(), check);
        }
        Ok(set)
    }

    /// The same set with the thresholds that the settings give. `document` is the settings file and `path` the place
    /// of the thresholds in it (`params`), so that an unknown check or parameter, or a value of another kind than the
    /// default, is reported where it stands.
    pub fn with_params(mut self, params: &Params, document: &Document, path: &str) -> Result<CheckSet, Vec<Problem>> {
        let mut problems = Vec::new();
        for (id, given) in params {
            let here = format!("{path}.{id}");
            let Some(check) = self.checks.get(id) else {
                let remedy = did_you_mean(id.as_str(), self.checks.keys().map(CheckId::as_str));
                problems.push(document.problem_of_key(&here, format!("unknown check {id}")).with_remedy(remedy));
                continue;
            };
            let mut values = check.param_values().clone();
            let before = problems.len();
            for (name, value) in given {
                let at = format!("{here}.{name}");
                let Some(param) = check.params().get(name) else {
                    let remedy = did_you_mean(name, check.params().keys().map(String::as_str));
                    let message = format!("{id} has no parameter {name}");
                    problems.push(document.problem_of_key(&at, message).with_remedy(remedy));
                    continue;
                };
                let (expected, found) = (Kind::of(&param.default), Kind::of(value));
                if expected.accepts(found, false) {
                    values.insert(name.clone(), value.clone());
                } else {
                    let message = format!("{id}.{name} is {}, expected {}", found.as_str(), expected.as_str());
                    let remedy = format!("{}; its default is {}", param.means, param.default);
                    problems.push(document.problem(&at, message).with_remedy(remedy));
                }
            }
            if problems.len() > before {
                continue;
            }
            match check.with_params(values) {
                Ok(changed) => drop(self.checks.insert(id.clone(), changed)),
                // Only a pattern that does not compile can come to this.
                Err(faults) => problems.extend(
                    faults.into_iter().map(|(_, fault)| document.problem(&here, format!("{id}: {}", fault.message))),
                ),
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// A check by its name.
    pub fn check(&self, id: &CheckId) -> Option<&Check> {
        self.checks.get(id)
    }

    /// All checks, sorted by name.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.values()
    }

    /// A catalogue by its name.
    pub fn framework(&self, id: &FrameworkId) -> Option<&Framework> {
        self.frameworks.get(id)
    }

    /// All catalogues, sorted by name.
    pub fn frameworks(&self) -> impl Iterator<Item = &Framework> {
        self.frameworks.values()
    }

    /// The checks that bear on a control, each with its links to that control.
    pub fn by_control(&self, framework: &FrameworkId, control: &ControlId) -> impl Iterator<Item = (&Check, &Mapping)> {
        self.checks().flat_map(move |check| {
            let links = check.mappings().iter();
            links.filter(move |m| m.framework == *framework && m.control == *control).map(move |m| (check, m))
        })
    }

    /// The checks that speak of a type of resource.
    pub fn by_resource(&self, kind: &ResourceType) -> impl Iterator<Item = &Check> {
        self.checks().filter(move |check| check.resource() == kind)
    }

    /// The checks that a kind of source feeds (`keycloak`).
    pub fn by_source_kind(&self, kind: &str) -> impl Iterator<Item = &Check> {
        self.checks().filter(move |check| check.needs().source == kind)
    }

    /// The checks that one collector of a kind of source feeds.
    pub fn by_collector(&self, kind: &str, collector: &CollectorName) -> impl Iterator<Item = &Check> {
        self.by_source_kind(kind).filter(move |check| check.needs().collector == *collector)
    }

    /// The stream that feeds a check at a source; `None` when the source is of another kind.
    pub fn stream(&self, check: &CheckId, source: &SourceId) -> Option<StreamId> {
        let needs = self.check(check)?.needs();
        (source.kind() == needs.source).then(|| source.stream(&needs.collector))
    }

    /// The checks that go blind, in whole or in part, when fields cannot be read. `fields` are `type.field`, as a gap
    /// names them.
    pub fn blinded_by(&self, fields: &[String]) -> impl Iterator<Item = &Check> {
        self.checks().filter(move |check| {
            fields.iter().any(|field| {
                let own = field.strip_prefix(check.resource().as_str()).and_then(|rest| rest.strip_prefix('.'));
                own.is_some_and(|name| check.fields().contains_key(name))
            })
        })
    }

    /// Every call that feeds a check, with the fields it gives: by call, then `type.field`.
    pub fn fields_by_call(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let mut calls: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for check in self.checks() {
            for (name, field) in check.fields() {
                calls.entry(&field.call).or_default().insert(format!("{}.{name}", check.resource()));
            }
        }
        calls
    }

    /// SHA-256 over all checks in force, prose and thresholds included: 64 hexadecimal digits.
    pub fn checks_digest(&self) -> String {
        digest(&self.recorded())
    }

    /// SHA-256 over all catalogues in force: 64 hexadecimal digits.
    pub fn frameworks_digest(&self) -> String {
        digest(&json!(self.framework_texts))
    }

    /// The checks in force as they are kept with the evidence, so that any observation can be computed again: by
    /// name the file's text, the thresholds in force, and the version.
    pub fn recorded(&self) -> Value {
        let check =
            |check: &Check| json!({"params": check.param_values(), "text": check.text(), "version": check.version()});
        let checks: BTreeMap<&str, Value> = self.checks().map(|c| (c.id().as_str(), check(c))).collect();
        json!({"checks": checks})
    }
}

/// A problem when two files of one layer say the same id.
fn twice(seen: &mut BTreeMap<String, String>, id: &str, file: &str, text: &str) -> Option<Problem> {
    let first = seen.insert(id.to_owned(), file.to_owned())?;
    let message = format!("{id} is already in {first}");
    problems_of(file, text, "id", message)
}
