//! Three-valued judgement of one resource by one check. What could not be looked at is undetermined: never a word for
//! the resource, and never one against it.

use std::collections::BTreeMap;
use std::fmt;

use cel::common::types::{CelBool, CelInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError};
use domain::{Field, GapReason, Observation, ObservationValue, Resource, Timestamp};

use crate::check::{Check, Named};
use crate::definition::Kind;
use crate::expression::Expression;
use crate::functions::{NOW, ROOT};
use crate::value::{Owned, convert};

/// How often the innermost loop of a check may turn. One turn takes about a microsecond and nothing can interrupt it,
/// so this bounds an evaluation to seconds at the worst.
const GREATEST_TURNS: usize = 4_000_000;

/// A resource made ready to be judged: converted once, for all the checks that speak of it.
#[derive(Debug)]
pub struct Prepared<'r> {
    resource: &'r Resource,
    collector_version: u32,
    /// Sorted by name.
    fields: Vec<(&'r str, Slot)>,
}

/// A field of a prepared resource.
#[derive(Debug)]
enum Slot {
    Read { kind: Kind, longest: usize, value: Owned },
    Unread(GapReason),
}

impl<'r> Prepared<'r> {
    /// Converts a resource that the collector of `collector_version` read.
    pub fn new(resource: &'r Resource, collector_version: u32) -> Self {
        // The map hands them out sorted by name. A name that no expression could spell is left out.
        let spelled = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let fields = resource.fields.iter().filter(|(name, _)| spelled(name)).map(|(name, field)| {
            let slot = match field {
                Field::Unread(reason, _) => Slot::Unread(*reason),
                Field::Read(value) => {
                    let mut longest = 0;
                    let converted = convert(value, &mut longest);
                    Slot::Read { kind: Kind::of(value), longest, value: converted }
                }
            };
            (name.as_str(), slot)
        });
        Prepared { resource, collector_version, fields: fields.collect() }
    }

    /// The resource as it was read.
    pub fn resource(&self) -> &'r Resource {
        self.resource
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        let found = self.fields.binary_search_by(|(field, _)| (*field).cmp(name));
        found.ok().and_then(|at| self.fields.get(at)).map(|(_, slot)| slot)
    }
}

/// A judgement without the values it rests on.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The word.
    pub value: ObservationValue,
    /// Why it is undetermined or not applicable.
    pub reason: Option<Reason<'a>>,
}

/// Why a judgement is neither *conforms* nor *deviates*.
#[derive(Debug)]
pub enum Reason<'a> {
    /// `applies` is false for this resource.
    OutsideApplies,
    /// A field that the check names could not be read.
    Unread(&'a str, GapReason),
    /// The collector did not give a field that the check names, not even as unread.
    NotCollected(&'a str),
    /// A field is of another kind than the check was written for.
    WrongKind(&'a str, Kind, Kind),
    /// The evidence was read by an older collector than the check was written for: needed, found.
    OlderCollector(u32, u32),
    /// Judging it could take longer than anyone should wait: the longest list, and how deep the check loops.
    TooMuch(usize, usize),
    /// The expression could not be evaluated.
    Failed(Box<ExecutionError>),
    /// The expression gave something else than true or false.
    NotTrueOrFalse(String),
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::OutsideApplies => f.write_str("the check does not speak of it"),
            Reason::Unread(field, reason) => write!(f, "could not read {field}: {}", reason.as_str()),
            Reason::NotCollected(field) => write!(f, "not collected: {field}"),
            Reason::WrongKind(field, expected, found) => {
                write!(f, "{field} is {}, expected {}", found.as_str(), expected.as_str())
            }
            Reason::OlderCollector(needs, found) => {
                write!(f, "read by version {found} of the collector, the check needs {needs}")
            }
            Reason::TooMuch(longest, loops) => {
                write!(f, "a list of {longest} is too long for a check that loops {loops} deep")
            }
            Reason::Failed(error) => {
                // One line of bounded length: some errors quote the values.
                let text: String = error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                let short: String = text.chars().take(200).collect();
                write!(f, "could not be evaluated: {short}")
            }
            Reason::NotTrueOrFalse(found) => write!(f, "gave {found} instead of true or false"),
        }
    }
}

/// What a check says of a resource as of a moment, which is the end of the run that read it.
///
/// `applies` comes first. Then every field that `expr` names must have been read, or the word is *undetermined*
/// without evaluating: `true || unread` must not hide what is missing.
pub fn verdict<'a>(check: &'a Check, resource: &Prepared<'_>, at: Timestamp) -> Verdict<'a> {
    match judge(check, resource, at) {
        Ok(true) => Verdict { value: ObservationValue::Conforms, reason: None },
        Ok(false) => Verdict { value: ObservationValue::Deviates, reason: None },
        Err(reason @ Reason::OutsideApplies) => {
            Verdict { value: ObservationValue::NotApplicable, reason: Some(reason) }
        }
        Err(reason) => Verdict { value: ObservationValue::Undetermined, reason: Some(reason) },
    }
}

/// The same, with the values it rests on.
pub fn evaluate(check: &Check, resource: &Prepared<'_>, at: Timestamp) -> Observation {
    let Verdict { value, reason } = verdict(check, resource, at);
    let mut fields = BTreeMap::new();
    let mut unread = Vec::new();
    for name in check.named().iter().map(|named| named.name.as_str()) {
        match resource.resource.fields.get(name) {
            Some(Field::Read(value)) => drop(fields.insert(name.to_owned(), value.clone())),
            Some(Field::Unread(..)) | None => unread.push(name.to_owned()),
        }
    }
    Observation {
        check: check.id().clone(),
        version: check.version().to_owned(),
        resource: resource.resource.key.clone(),
        name: resource.resource.name.clone(),
        value,
        reason: reason.map(|reason| reason.to_string()),
        fields,
        unread,
    }
}

fn judge<'a>(check: &'a Check, resource: &Prepared<'_>, at: Timestamp) -> Result<bool, Reason<'a>> {
    if resource.collector_version < check.collector_version() {
        return Err(Reason::OlderCollector(check.collector_version(), resource.collector_version));
    }
    if let Some(applies) = check.compiled_applies() {
        looked_at(check.named().iter().filter(|named| named.in_applies), resource, applies)?;
        if !run(applies, resource, at)? {
            return Err(Reason::OutsideApplies);
        }
    }
    let expr = check.compiled_expr();
    looked_at(check.named().iter().filter(|named| named.in_expr), resource, expr)?;
    run(expr, resource, at)
}

/// Whether every field was read, and is what the expression was written for.
fn looked_at<'a>(
    named: impl Iterator<Item = &'a Named>,
    resource: &Prepared<'_>,
    expression: &Expression,
) -> Result<(), Reason<'a>> {
    let mut longest = 0;
    for Named { name, kind, or_null, .. } in named {
        match resource.slot(name) {
            None => return Err(Reason::NotCollected(name)),
            Some(Slot::Unread(reason)) => return Err(Reason::Unread(name, *reason)),
            Some(Slot::Read { kind: found, .. }) if !kind.accepts(*found, *or_null) => {
                return Err(Reason::WrongKind(name, *kind, *found));
            }
            Some(Slot::Read { longest: this, .. }) => longest = longest.max(*this),
        }
    }
    let turns = u32::try_from(expression.loops).ok().and_then(|loops| longest.checked_pow(loops));
    match turns {
        Some(turns) if turns <= GREATEST_TURNS => Ok(()),
        _ => Err(Reason::TooMuch(longest, expression.loops)),
    }
}

fn run<'a>(expression: &Expression, resource: &Prepared<'_>, at: Timestamp) -> Result<bool, Reason<'a>> {
    let view = View { resource, expression, now: CelInt::from(at.millis()) };
    // Made on the spot: it holds no variables of its own, so it costs nothing.
    let context = Context::Child { parent: &ROOT, variables: BTreeMap::new(), resolver: Some(&view) };
    let result = cel::Value::resolve_val(&expression.tree, &context).map_err(|e| Reason::Failed(Box::new(e)))?;
    match result.downcast_ref::<CelBool>() {
        Some(word) => Ok(*word.inner()),
        None => Err(Reason::NotTrueOrFalse(result.get_type().name().to_owned())),
    }
}

/// What the names in an expression mean during one evaluation. Hands out borrows only.
struct View<'a> {
    resource: &'a Prepared<'a>,
    expression: &'a Expression,
    now: CelInt,
}

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let found: &'b dyn Val = match name.strip_prefix('@') {
            None => match self.resource.slot(name)? {
                Slot::Read { value, .. } => value.as_ref(),
                Slot::Unread(_) => return None,
            },
            Some(number) => match number.parse::<usize>() {
                Ok(at) => self.expression.constants.get(at)?.as_ref(),
                Err(_) if name == NOW => &self.now,
                Err(_) => return None,
            },
        };
        Some(CowVal::Borrowed(found))
    }
}
