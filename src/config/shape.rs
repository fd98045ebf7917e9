//! The shape of settings: every section and list item is read by itself, so that one fault does not hide the next.

use std::collections::BTreeSet;

use checks::Problem;
use checks::yaml::Document;
use serde_json::Value;

use super::manual::Manual;
use super::{Settings, in_order};

/// The settings of a document whose shape is right.
pub(super) fn settings(document: &Document) -> Result<Settings, Vec<Problem>> {
    // A file of comments alone is an empty one.
    let value: Value = document.parse().unwrap_or(Value::Null);
    let open = open_secrets(document, &value);
    if !open.is_empty() {
        return Err(open);
    }
    let first = match document.parse() {
        Ok(settings) => return Ok(settings),
        Err(first) => first,
    };
    let mut problems: Vec<Problem> = pieces(document, &value)
        .iter()
        .filter_map(|lines| only(document, lines).parse::<Settings>().err())
        .flatten()
        .collect();
    problems.extend(first);
    Err(in_order(problems).into_iter().map(with_remedy).collect())
}

/// Secrets that stand in the settings themselves: reported alone, since whoever wrote them has to learn that first.
fn open_secrets(document: &Document, value: &Value) -> Vec<Problem> {
    let manual = Manual::the();
    let open = manual.secrets(value).into_iter().filter(|(_, found)| !found.is_object() && !found.is_null());
    let problem = |(path, _): (String, &Value)| {
        let problem = document.problem(&path, format!("{path}: a secret may not stand in the settings"));
        problem.with_remedy("put it into a file or variable and write {file: PATH} or {env: NAME}")
    };
    open.map(problem).collect()
}

/// The lines of each section that can be read by itself, with the lines of the keys above it.
fn pieces(document: &Document, value: &Value) -> Vec<BTreeSet<usize>> {
    let end = document.text().lines().count() + 1;
    let mut found = Vec::new();
    split(document, "", value, 2, 1..end, &BTreeSet::new(), &mut found);
    found
}

/// Goes down into `value`, whose lines are `lines`, as long as each part has lines of its own.
fn split(
    document: &Document,
    path: &str,
    value: &Value,
    depth: usize,
    lines: std::ops::Range<usize>,
    above: &BTreeSet<usize>,
    found: &mut Vec<BTreeSet<usize>>,
) {
    let mut parts: Vec<(usize, String, &Value)> = match value {
        Value::Object(map) if depth > 0 => map
            .iter()
            .map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                (document.key(&path).line, path, value)
            })
            .collect(),
        // Sources and receivers stand in lists; an item is one piece.
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(place, value)| {
                let path = format!("{path}[{place}]");
                (document.value(&path).line, path, value)
            })
            .collect(),
        _ => Vec::new(),
    };
    parts.sort_by_key(|part| part.0);
    let starts: Vec<usize> = parts.iter().map(|part| part.0).collect();
    let own_lines = starts.windows(2).all(|pair| pair.first() < pair.last());
    let below = path.is_empty() || starts.first().is_some_and(|first| *first > lines.start);
    if parts.is_empty() || !own_lines || !below {
        found.push(above.iter().copied().chain(lines).collect());
        return;
    }
    let ends = starts.iter().skip(1).copied().chain([lines.end]);
    let mut above = above.clone();
    if !path.is_empty() {
        above.extend(lines.start..starts.first().copied().unwrap_or(lines.end));
    }
    for ((start, path, value), end) in parts.iter().zip(ends) {
        let depth = if matches!(value, Value::Array(_)) { depth } else { depth.saturating_sub(1) };
        let depth = if path.ends_with(']') { 0 } else { depth };
        let value = if depth == 0 && !matches!(value, Value::Array(_)) { &Value::Null } else { value };
        split(document, path, value, depth, *start..end, &above, found);
    }
}

/// The document with these lines only; the others stay, empty, so that places keep their numbers.
fn only(document: &Document, lines: &BTreeSet<usize>) -> Document {
    let kept =
        |(place, line): (usize, &str)| if lines.contains(&(place + 1)) { line.to_owned() } else { String::new() };
    let text: Vec<String> = document.text().lines().enumerate().map(kept).collect();
    // A part that does not read alone is covered by the reading of the whole.
    document.read_other(&text.join("\n")).unwrap_or_else(|_| document.clone())
}

/// Every problem says what to do: what stands behind a semicolon in the words of our types is that.
fn with_remedy(mut problem: Problem) -> Problem {
    if problem.remedy.is_some() {
        return problem;
    }
    if let Some((message, remedy)) = problem.message.clone().split_once("; ") {
        problem.message = message.to_owned();
        return problem.with_remedy(remedy);
    }
    problem.with_remedy("`evidenced config example` shows every setting")
}
