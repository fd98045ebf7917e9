//! A check: an executable criterion, as data with a version.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CheckId, Duration, Mapping, ResourceType, Severity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::definition::{Definition, Example, FieldSource, Kind, Needs, Param};
use crate::expression::{ENGINE, Expression, Fault, canonical, compile};

/// A check that was loaded: every name in it is known, and its examples give what they say.
#[derive(Debug)]
pub struct Check {
    definition: Definition,
    file: String,
    text: String,
    params: BTreeMap<String, Value>,
    mappings: Vec<Mapping>,
    named: Vec<Named>,
    applies: Option<Expression>,
    expr: Expression,
    version: String,
}

/// A field that a check names.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) or_null: bool,
    pub(crate) in_applies: bool,
    pub(crate) in_expr: bool,
}

/// Which of a check's two expressions a fault is in.
pub(crate) enum In {
    Applies,
    Expr,
}

impl Check {
    /// Its name.
    pub fn id(&self) -> &CheckId {
        &self.definition.id
    }

    /// What holds when it conforms, in one line.
    pub fn title(&self) -> &str {
        &self.definition.title
    }

    /// What is wrong when it deviates, in one line: the headline of an alert.
    pub fn problem(&self) -> &str {
        &self.definition.problem
    }

    /// Why it matters.
    pub fn rationale(&self) -> &str {
        &self.definition.rationale
    }

    /// How much it matters when it deviates.
    pub fn severity(&self) -> Severity {
        self.definition.severity
    }

    /// Why it matters that much, in one line.
    pub fn severity_why(&self) -> &str {
        &self.definition.severity_why
    }

    /// The type of resource it speaks of.
    pub fn resource(&self) -> &ResourceType {
        &self.definition.resource
    }

    /// Kind of source, collector, and the least version of that collector.
    pub fn needs(&self) -> &Needs {
        &self.definition.needs
    }

    /// How old the evidence under it may be.
    pub fn greatest_age(&self) -> Duration {
        self.definition.greatest_age
    }

    /// The criterion, as written.
    pub fn expr(&self) -> &str {
        &self.definition.expr
    }

    /// Which resources it speaks of, as written; `None` means all of the type.
    pub fn applies(&self) -> Option<&str> {
        self.definition.applies.as_deref()
    }

    /// The thresholds: what they mean, and what they are where the settings say nothing.
    pub fn params(&self) -> &BTreeMap<String, Param> {
        &self.definition.params
    }

    /// The thresholds in force.
    pub fn param_values(&self) -> &BTreeMap<String, Value> {
        &self.params
    }

    /// The fields it names, what they are and which call gives them.
    pub fn fields(&self) -> &BTreeMap<String, FieldSource> {
        &self.definition.fields
    }

    /// The calls that feed it, each once, sorted.
    pub fn calls(&self) -> BTreeSet<&str> {
        self.definition.fields.values().map(|field| field.call.as_str()).collect()
    }

    /// How it bears on controls.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// What to do first when it deviates, for whoever was woken.
    pub fn first_action(&self) -> &str {
        &self.definition.first_action
    }

    /// How to put it right for good.
    pub fn remediation(&self) -> &str {
        &self.definition.remediation
    }

    /// Where to read more.
    pub fn references(&self) -> &[String] {
        &self.definition.references
    }

    /// Its own tests.
    pub fn examples(&self) -> &[Example] {
        &self.definition.examples
    }

    /// Digest of its meaning: 16 hexadecimal digits over the expressions, the thresholds in force, the fields' names
    /// and kinds, the resource type, what it needs, and the version of the language. Its prose does not count.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The file it came from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text of that file, as read.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(crate) fn named(&self) -> &[Named] {
        &self.named
    }

    pub(crate) fn compiled_applies(&self) -> Option<&Expression> {
        self.applies.as_ref()
    }

    pub(crate) fn compiled_expr(&self) -> &Expression {
        &self.expr
    }

    pub(crate) fn collector_version(&self) -> u32 {
        self.definition.needs.version
    }

    /// Compiles a definition with the given thresholds, which must be those it declares.
    pub(crate) fn compile(
        definition: Definition,
        file: String,
        text: String,
        params: BTreeMap<String, Value>,
    ) -> Result<Check, Vec<(In, Fault)>> {
        let fields: BTreeSet<&str> = definition.fields.keys().map(String::as_str).collect();
        let applies = definition.applies.as_deref().map(|source| compile(source, &fields, &params)).transpose();
        let expr = compile(&definition.expr, &fields, &params);
        let (applies, expr) = match (applies, expr) {
            (Ok(applies), Ok(expr)) => (applies, expr),
            (applies, expr) => {
                let first = applies.err().unwrap_or_default().into_iter().map(|fault| (In::Applies, fault));
                let second = expr.err().unwrap_or_default().into_iter().map(|fault| (In::Expr, fault));
                return Err(first.chain(second).collect());
            }
        };
        let names = |expression: &Expression, name: &str| expression.fields.contains(name);
        let named = definition.fields.iter().map(|(name, field)| Named {
            name: name.clone(),
            kind: field.kind,
            or_null: field.or_null,
            in_applies: applies.as_ref().is_some_and(|applies| names(applies, name)),
            in_expr: names(&expr, name),
        });
        let mappings = definition.controls.iter().map(|link| Mapping {
            framework: link.framework.clone(),
            control: link.control.clone(),
            bearing: link.bearing,
            why: link.why.clone(),
        });
        Ok(Check {
            named: named.collect(),
            mappings: mappings.collect(),
            version: version(&definition, &params),
            definition,
            file,
            text,
            params,
            applies,
            expr,
        })
    }

    /// The same check with other thresholds, and so with another version.
    pub(crate) fn with_params(&self, params: BTreeMap<String, Value>) -> Result<Check, Vec<(In, Fault)>> {
        Check::compile(self.definition.clone(), self.file.clone(), self.text.clone(), params)
    }
}

/// The thresholds as the file gives them.
pub(crate) fn defaults(definition: &Definition) -> BTreeMap<String, Value> {
    definition.params.iter().map(|(name, param)| (name.clone(), param.default.clone())).collect()
}

/// Digest of what a check means.
fn version(definition: &Definition, params: &BTreeMap<String, Value>) -> String {
    let fields: BTreeMap<&str, Value> = definition
        .fields
        .iter()
        .map(|(name, field)| (name.as_str(), json!([field.kind.as_str(), field.or_null])))
        .collect();
    let meaning = json!({
        "applies": definition.applies.as_deref().map(canonical),
        "engine": ENGINE,
        "expr": canonical(&definition.expr),
        "fields": fields,
        "needs": [definition.needs.source, definition.needs.collector.as_str(), definition.needs.version],
        "params": params,
        "resource": definition.resource,
    });
    digest(&meaning).chars().take(16).collect()
}

/// SHA-256 over the canonical text (RFC 8785) of a JSON value, as 64 hexadecimal digits.
pub(crate) fn digest(value: &Value) -> String {
    // A value made of text, whole numbers and finite numbers always has a canonical text.
    let text = serde_json_canonicalizer::to_vec(value).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}
