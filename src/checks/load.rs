//! From a check's text to a check, or to everything that is wrong with it.
//!
//! A check that could say something its author did not mean is never loaded: a misspelt field would otherwise be a
//! quiet *conforms* or an endless *undetermined*.

use std::collections::{BTreeMap, BTreeSet};

use domain::{FrameworkId, ObservationValue};

use crate::check::{Check, In, defaults};
use crate::definition::{Definition, Kind};
use crate::examples::run_example;
use crate::expression::Fault;
use crate::framework::Framework;
use crate::problem::{Problem, did_you_mean};
use crate::yaml::Document;

/// Reads one check and refuses it unless it is right in itself and in view of the catalogues.
pub(crate) fn read_check(
    file: &str,
    text: &str,
    frameworks: &BTreeMap<FrameworkId, Framework>,
) -> Result<Check, Vec<Problem>> {
    let document = Document::read(file, text)?;
    let definition: Definition = document.parse()?;
    let mut problems = words(&definition, &document);
    problems.extend(names(&definition, &document));
    problems.extend(links(&definition, &document, frameworks));
    problems.extend(examples(&definition, &document));
    let values = defaults(&definition);
    let compiled = Check::compile(definition.clone(), file.to_owned(), text.to_owned(), values);
    match &compiled {
        Ok(check) => problems.extend(unused(check, &document)),
        Err(faults) => {
            problems.extend(faults.iter().map(|(place, fault)| misspoken(&definition, &document, place, fault)))
        }
    }
    match compiled {
        Ok(check) if problems.is_empty() => {
            let broken = broken_examples(&check, &document);
            if broken.is_empty() { Ok(check) } else { Err(broken) }
        }
        _ => {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            Err(problems)
        }
    }
}

/// A check as it was recorded with its evidence: its text and the thresholds in force then. Its links and examples are not
/// looked up again, since they change no observation.
pub(crate) fn read_recorded(
    file: &str,
    text: &str,
    params: BTreeMap<String, serde_json::Value>,
) -> Result<Check, Vec<Problem>> {
    let document = Document::read(file, text)?;
    let definition: Definition = document.parse()?;
    let compiled = Check::compile(definition.clone(), file.to_owned(), text.to_owned(), params);
    compiled
        .map_err(|faults| faults.iter().map(|(place, fault)| misspoken(&definition, &document, place, fault)).collect())
}

/// A fault of an expression, at its place in the file.
fn misspoken(definition: &Definition, document: &Document, place: &In, fault: &Fault) -> Problem {
    let (path, source) = match place {
        In::Applies => ("applies", definition.applies.as_deref().unwrap_or_default()),
        In::Expr => ("expr", definition.expr.as_str()),
    };
    let place = document.inside(path, source, fault.offset, fault.width);
    Problem { remedy: fault.remedy.clone(), ..document.problem_at(place, format!("{path}: {}", fault.message)) }
}

/// A problem at a path of a file that was read before.
pub(crate) fn problems_of(file: &str, text: &str, path: &str, message: String) -> Option<Problem> {
    let document = Document::read(file, text).ok()?;
    Some(document.problem(path, message))
}

/// Texts that people need and that must not be empty; those for one line of a page or a telephone hold one line.
fn words(definition: &Definition, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut word = |path: String, text: &str, one_line: bool| {
        if text.trim().is_empty() {
            problems.push(document.problem(&path, format!("{path} is empty")));
        } else if one_line && text.trim().contains('\n') {
            problems.push(document.problem(&path, format!("{path} is for one line")));
        }
    };
    word("title".into(), &definition.title, true);
    word("problem".into(), &definition.problem, true);
    word("rationale".into(), &definition.rationale, false);
    word("severity_why".into(), &definition.severity_why, true);
    word("first_action".into(), &definition.first_action, true);
    word("remediation".into(), &definition.remediation, false);
    word("needs.source".into(), &definition.needs.source, true);
    for (name, field) in &definition.fields {
        word(format!("fields.{name}.is"), &field.is, true);
        word(format!("fields.{name}.call"), &field.call, true);
        word(format!("fields.{name}.path"), &field.path, false);
    }
    for (name, param) in &definition.params {
        word(format!("params.{name}.means"), &param.means, true);
    }
    for (place, link) in definition.controls.iter().enumerate() {
        word(format!("controls[{place}].why"), &link.why, true);
    }
    for (place, example) in definition.examples.iter().enumerate() {
        word(format!("examples[{place}].title"), &example.title, true);
    }
    if definition.greatest_age.millis() == 0 {
        problems.push(document.problem("greatest_age", "evidence would always be too old"));
    }
    problems
}

/// Names of fields and parameters that an expression can spell.
fn names(definition: &Definition, document: &Document) -> Vec<Problem> {
    let spelled = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let fields = definition.fields.keys().map(|name| ("fields", name));
    let params = definition.params.keys().map(|name| ("params", name));
    let mut problems: Vec<Problem> = fields
        .chain(params)
        .filter(|(_, name)| !spelled(name) || *name == "params")
        .map(|(list, name)| {
            let problem = document.problem_of_key(&format!("{list}.{name}"), format!("{name:?} cannot be a name"));
            problem.with_remedy("lower-case letters, digits and _, beginning with a letter; not params")
        })
        .collect();
    for (name, _) in definition.params.iter().filter(|(_, param)| param.default.is_null()) {
        problems.push(document.problem(&format!("params.{name}.default"), "a threshold cannot be nothing"));
    }
    problems
}

/// Links to controls that exist, each once.
fn links(definition: &Definition, document: &Document, frameworks: &BTreeMap<FrameworkId, Framework>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if definition.controls.is_empty() {
        problems.push(document.problem("controls", "a check names at least one control"));
    }
    let mut seen = BTreeSet::new();
    for (place, link) in definition.controls.iter().enumerate() {
        let at = |key: &str| format!("controls[{place}].{key}");
        if !seen.insert((&link.framework, &link.control)) {
            problems.push(document.problem(&at("control"), format!("{} stands here twice", link.control)));
        }
        let Some(framework) = frameworks.get(&link.framework) else {
            let remedy = did_you_mean(link.framework.as_str(), frameworks.keys().map(FrameworkId::as_str));
            let message = format!("unknown framework {}", link.framework);
            problems.push(document.problem(&at("framework"), message).with_remedy(remedy));
            continue;
        };
        if framework.control(&link.control).is_none() {
            let known = framework.controls.iter().map(|control| control.id.as_str());
            let remedy = did_you_mean(link.control.as_str(), known);
            let message = format!("{} has no control {}", link.framework, link.control);
            problems.push(document.problem(&at("control"), message).with_remedy(remedy));
        }
    }
    problems
}

/// Examples that can be run: of fields that exist, with values of their kind, and one of each word.
fn examples(definition: &Definition, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (place, example) in definition.examples.iter().enumerate() {
        let known = || definition.fields.keys().map(String::as_str);
        for (name, value) in &example.fields {
            let at = format!("examples[{place}].fields.{name}");
            match definition.fields.get(name) {
                None => {
                    let problem =
                        document.problem_of_key(&at, format!("names {name}, which is no field of this check"));
                    problems.push(problem.with_remedy(did_you_mean(name, known())));
                }
                Some(field) if !field.kind.accepts(Kind::of(value), field.or_null) => {
                    let found = Kind::of(value).as_str();
                    problems
                        .push(document.problem(&at, format!("{name} is {found}, expected {}", field.kind.as_str())));
                }
                Some(_) => {}
            }
        }
        for (item, name) in example.unread.iter().enumerate() {
            let at = format!("examples[{place}].unread[{item}]");
            if !definition.fields.contains_key(name) {
                let problem = document.problem(&at, format!("names {name}, which is no field of this check"));
                problems.push(problem.with_remedy(did_you_mean(name, known())));
            } else if example.fields.contains_key(name) {
                problems.push(document.problem(&at, format!("{name} is both read and unread")));
            }
        }
    }
    let shown = |value| definition.examples.iter().any(|example| example.expect == value);
    let mut wanted = vec![ObservationValue::Conforms, ObservationValue::Deviates, ObservationValue::Undetermined];
    if definition.applies.is_some() {
        wanted.push(ObservationValue::NotApplicable);
    }
    for value in wanted.into_iter().filter(|value| !shown(*value)) {
        let problem =
            document.problem_of_key("examples", format!("no example of a resource for which it says {value}"));
        problems.push(problem.with_remedy("add one: a check that was never seen to say it may never do so"));
    }
    problems
}

/// Fields and parameters that no expression uses: a misspelt name, or something forgotten.
fn unused(check: &Check, document: &Document) -> Vec<Problem> {
    let fields = check.named().iter().filter(|named| !named.in_applies && !named.in_expr);
    let fields = fields.map(|named| ("fields", named.name.as_str()));
    let used = |name: &str| {
        let applies = check.compiled_applies().is_some_and(|applies| applies.params.contains(name));
        applies || check.compiled_expr().params.contains(name)
    };
    let params = check.params().keys().filter(|name| !used(name)).map(|name| ("params", name.as_str()));
    let mut problems: Vec<Problem> = fields
        .chain(params)
        .map(|(list, name)| {
            let problem = document.problem_of_key(&format!("{list}.{name}"), format!("{name} is used nowhere"));
            problem.with_remedy("use it in expr or applies, or take it out")
        })
        .collect();
    if check.compiled_expr().fields.is_empty() {
        problems.push(document.problem("expr", "names no field, so it says the same of everything"));
    }
    problems
}

/// Examples that do not give what they say.
fn broken_examples(check: &Check, document: &Document) -> Vec<Problem> {
    let examples = check.examples().iter().enumerate();
    let outcomes = examples.map(|(place, example)| (place, run_example(check, example)));
    let broken = outcomes.filter(|(_, outcome)| !outcome.holds());
    broken
        .map(|(place, outcome)| {
            let why = outcome.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let message =
                format!("{:?} says {}, but the check gives {}{why}", outcome.title, outcome.expected, outcome.given);
            document.problem(&format!("examples[{place}].expect"), message)
        })
        .collect()
}
