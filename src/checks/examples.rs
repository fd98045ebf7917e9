//! A check's own tests: resources beside the word it must say of them.

use std::collections::BTreeMap;

use domain::{CheckId, Field, GapReason, ObservationValue, Resource, ResourceKey};
use serde::Serialize;

use crate::check::{Check, defaults};
use crate::definition::Example;
use crate::evaluate::{Prepared, evaluate};
use crate::set::CheckSet;

/// What became of one example.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExampleOutcome {
    /// The check.
    pub check: CheckId,
    /// The file it is in.
    pub file: String,
    /// The example's title.
    pub title: String,
    /// What it says the check says.
    pub expected: ObservationValue,
    /// What the check says.
    pub given: ObservationValue,
    /// Why, when the check could not say.
    pub reason: Option<String>,
}

impl ExampleOutcome {
    /// Whether the example holds.
    pub fn holds(&self) -> bool {
        self.expected == self.given
    }
}

/// Runs every example of every check, with the thresholds that the checks' files give.
pub fn run_examples(set: &CheckSet) -> Vec<ExampleOutcome> {
    let run = |check: &Check| check.examples().iter().map(|example| run_example(check, example)).collect::<Vec<_>>();
    set.checks()
        .flat_map(|check| match check.with_params(defaults(check.definition())) {
            Ok(as_written) => run(&as_written),
            // It compiled with these very thresholds when it was loaded.
            Err(_) => run(check),
        })
        .collect()
}

/// Runs one example.
pub(crate) fn run_example(check: &Check, example: &Example) -> ExampleOutcome {
    let resource = resource(check, example);
    let prepared = Prepared::new(&resource, check.collector_version());
    let observation = evaluate(check, &prepared, example.at.unwrap_or(Example::AT));
    ExampleOutcome {
        check: check.id().clone(),
        file: check.file().to_owned(),
        title: example.title.clone(),
        expected: example.expect,
        given: observation.value,
        reason: observation.reason,
    }
}

/// The resource that an example describes.
fn resource(check: &Check, example: &Example) -> Resource {
    let read = example.fields.iter().map(|(name, value)| (name.clone(), Field::Read(value.clone())));
    let unread = |name: &String| (name.clone(), Field::Unread(GapReason::Denied, "403 Forbidden".to_owned()));
    let fields: BTreeMap<String, Field> = read.chain(example.unread.iter().map(unread)).collect();
    Resource {
        key: ResourceKey { kind: check.resource().clone(), id: "example".to_owned() },
        name: example.title.clone(),
        fields,
        exchanges: Vec::new(),
    }
}
