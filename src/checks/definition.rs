//! The shape of a check's file.

use std::collections::BTreeMap;

use domain::{
    Bearing, CheckId, CollectorName, ControlId, Duration, FrameworkId, ObservationValue, ResourceType, Severity,
    Timestamp,
};
use serde::Deserialize;
use serde_json::Value;

/// A check as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) id: CheckId,
    pub(crate) title: String,
    pub(crate) problem: String,
    pub(crate) rationale: String,
    pub(crate) severity: Severity,
    pub(crate) severity_why: String,
    pub(crate) resource: ResourceType,
    pub(crate) needs: Needs,
    pub(crate) greatest_age: Duration,
    #[serde(default)]
    pub(crate) applies: Option<String>,
    pub(crate) expr: String,
    #[serde(default)]
    pub(crate) params: BTreeMap<String, Param>,
    pub(crate) fields: BTreeMap<String, FieldSource>,
    pub(crate) controls: Vec<Link>,
    pub(crate) first_action: String,
    pub(crate) remediation: String,
    #[serde(default)]
    pub(crate) references: Vec<String>,
    pub(crate) examples: Vec<Example>,
}

/// What a check needs to be fed.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// The kind of source, which is the connector's name: `keycloak`.
    pub source: String,
    /// The collector that yields the resources.
    pub collector: CollectorName,
    /// The least version of that collector whose fields the check was written for.
    pub version: u32,
}

/// A threshold that an organisation sets for itself.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Its value where the settings say nothing.
    pub default: Value,
    /// What it means, in a few words.
    pub means: String,
}

/// What a field is, and which call gives it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSource {
    /// What it is, in a few words.
    pub is: String,
    /// What kind of value it holds.
    pub kind: Kind,
    /// Whether null is one of its values.
    #[serde(default)]
    pub or_null: bool,
    /// The declared call that gives it: `GET /admin/realms/{realm}`.
    pub call: String,
    /// Where in the answer it stands, or the rule it is derived by.
    pub path: String,
}

/// The kinds of value that a field can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number, whole or not.
    Number,
    /// Text; moments are text too.
    Text,
    /// A list of text.
    Texts,
    /// A list of anything.
    List,
    /// A map from text.
    Map,
    /// Nothing: never declared, only found.
    #[serde(skip)]
    Null,
}

impl Kind {
    /// The kind of a value.
    pub fn of(value: &Value) -> Kind {
        match value {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Number(n) if n.is_f64() => Kind::Number,
            Value::Number(_) => Kind::Int,
            Value::String(_) => Kind::Text,
            Value::Array(items) if items.iter().all(Value::is_string) => Kind::Texts,
            Value::Array(_) => Kind::List,
            Value::Object(_) => Kind::Map,
        }
    }

    /// Whether a value of kind `found` may stand where this kind is declared.
    pub fn accepts(self, found: Kind, or_null: bool) -> bool {
        match (self, found) {
            (Kind::Number, Kind::Int) | (Kind::List, Kind::Texts) => true,
            (_, Kind::Null) => or_null,
            _ => found == self,
        }
    }

    /// The word that people read and write.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Number => "number",
            Kind::Text => "text",
            Kind::Texts => "texts",
            Kind::List => "list",
            Kind::Map => "map",
            Kind::Null => "null",
        }
    }
}

/// How a check bears on a control, as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) framework: FrameworkId,
    pub(crate) control: ControlId,
    pub(crate) bearing: Bearing,
    pub(crate) why: String,
}

/// A resource and what the check must say of it: the check's own test.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What it shows, in a few words.
    pub title: String,
    /// What the check must say.
    pub expect: ObservationValue,
    /// Fields that were read.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
    /// Fields that could not be read.
    #[serde(default)]
    pub unread: Vec<String>,
    /// The time of evaluation; [`Example::AT`] where none is given.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

impl Example {
    /// 2026-01-01T00:00:00Z.
    pub const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);
}
