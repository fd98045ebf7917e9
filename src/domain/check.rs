//! What a check says of one resource, and what all checks together say of one control.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CheckId, ControlId, Duration, FrameworkId, ResourceKey, SourceId, Timestamp};

/// What one check says of one resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObservationValue {
    /// The resource meets the criterion.
    Conforms,
    /// It does not.
    Deviates,
    /// A field that the criterion names could not be read, or the criterion could not be evaluated.
    Undetermined,
    /// The criterion does not speak of such a resource.
    NotApplicable,
}

impl ObservationValue {
    /// The words that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            ObservationValue::Conforms => "conforms",
            ObservationValue::Deviates => "deviates",
            ObservationValue::Undetermined => "undetermined",
            ObservationValue::NotApplicable => "not applicable",
        }
    }
}

impl fmt::Display for ObservationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much it matters when a check deviates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Tidy it up when you pass by.
    Low,
    /// Put it on the list.
    Medium,
    /// Today.
    High,
    /// Now.
    Critical,
}

impl Severity {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One check's word on one resource, with the values it rests on.
///
/// It holds no time: the same resource under the same check version gives the same bytes, so an unchanged observation
/// is stored once. The run's end, kept beside it, is the time of evaluation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// The check.
    pub check: CheckId,
    /// Digest of the check's definition and parameters: 16 hexadecimal digits.
    pub version: String,
    /// The resource.
    pub resource: ResourceKey,
    /// The name people know the resource by.
    pub name: String,
    /// The verdict.
    pub value: ObservationValue,
    /// Why it is undetermined or not applicable, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fields that the criterion names, as they were read.
    pub fields: BTreeMap<String, Value>,
    /// The fields it names that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// How many resources got which value from one check in one run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CheckCounts {
    /// Meet the criterion.
    #[serde(default)]
    pub conforms: u64,
    /// Do not.
    #[serde(default)]
    pub deviates: u64,
    /// Could not be determined.
    #[serde(default)]
    pub undetermined: u64,
    /// Not spoken of.
    #[serde(default)]
    pub not_applicable: u64,
}

impl CheckCounts {
    /// Counts one more.
    pub fn add(&mut self, value: ObservationValue) {
        match value {
            ObservationValue::Conforms => self.conforms += 1,
            ObservationValue::Deviates => self.deviates += 1,
            ObservationValue::Undetermined => self.undetermined += 1,
            ObservationValue::NotApplicable => self.not_applicable += 1,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.conforms + self.deviates + self.undetermined + self.not_applicable
    }
}

/// How a check bears on a control.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// When it conforms, the control works for what the check covers.
    Proves,
    /// It adds weight; alone it never makes a control conforming.
    Supports,
}

/// One link between a check and a control.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mapping {
    /// The catalogue the control is of.
    pub framework: FrameworkId,
    /// The control.
    pub control: ControlId,
    /// How the check bears on it.
    pub bearing: Bearing,
    /// Why, in one line.
    pub why: String,
}

/// The conclusion about one control.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingValue {
    /// Every proving link conforms, on fresh evidence.
    Conforming,
    /// At least one linked check deviates.
    Nonconforming,
    /// Nonconforming, with an accepted risk that has not expired.
    Excepted,
    /// Nothing fresh enough speaks for it. Never a word in its favour.
    NotEvidenced,
    /// The statement of applicability excludes it.
    NotApplicable,
}

impl FindingValue {
    /// The words that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingValue::Conforming => "conforming",
            FindingValue::Nonconforming => "nonconforming",
            FindingValue::Excepted => "excepted",
            FindingValue::NotEvidenced => "not evidenced",
            FindingValue::NotApplicable => "not applicable",
        }
    }
}

impl fmt::Display for FindingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one check of one source contributes to a control at the time of concluding.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LinkState {
    /// The check.
    pub check: CheckId,
    /// How it bears on the control.
    pub bearing: Bearing,
    /// The source it was evaluated on; `None` when no configured source can feed it.
    pub source: Option<SourceId>,
    /// The latest counts; `None` when it never ran.
    pub counts: Option<CheckCounts>,
    /// Whether the population under it was read completely.
    pub complete: bool,
    /// Resources whose open deviation this check could not look at again since. They still deviate.
    pub open: u64,
    /// When its evidence was collected.
    pub at: Option<Timestamp>,
    /// How old its evidence may be.
    pub greatest_age: Duration,
}

/// The named reason of a finding's value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingReason {
    /// A linked check deviates.
    Deviates,
    /// No check is linked to the control.
    NoCheck,
    /// Checks are linked, but none of them could prove it.
    OnlySupports,
    /// No configured source feeds a proving check.
    NoSource,
    /// A proving check never ran.
    NeverRan,
    /// A proving check's evidence is older than it may be.
    Stale,
    /// A proving check could not be determined for some resource, or its population is incomplete.
    Undetermined,
    /// The proving checks had no resource to speak of.
    NothingToAssess,
    /// Every proving check conforms.
    AllProvingConform,
}

impl FindingReason {
    /// The words that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingReason::Deviates => "a linked check deviates",
            FindingReason::NoCheck => "no check speaks to it",
            FindingReason::OnlySupports => "checks support it, none proves it",
            FindingReason::NoSource => "no configured source feeds a proving check",
            FindingReason::NeverRan => "a proving check has not run yet",
            FindingReason::Stale => "a proving check rests on evidence that is too old",
            FindingReason::Undetermined => "a proving check could not be determined",
            FindingReason::NothingToAssess => "the proving checks found nothing to assess",
            FindingReason::AllProvingConform => "every proving check conforms",
        }
    }
}

/// The conclusion about one control, and what it rests on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The catalogue.
    pub framework: FrameworkId,
    /// The control.
    pub control: ControlId,
    /// The conclusion.
    pub value: FindingValue,
    /// Its reason.
    pub reason: FindingReason,
    /// The links it was drawn from.
    pub links: Vec<LinkState>,
}
