//! The one way a YAML file that a person wrote becomes values, with the place of everything in it.
//!
//! Every file of checks, of catalogues and of settings comes through here, so that whatever is found wrong, by the
//! parser or long after it, is reported with line, column and the line itself. Limits: 4 MiB of text, one document,
//! no anchors and aliases (a file that means what it says needs none), no key twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span, SpannedEventReceiver};
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

use crate::discretion::{Discretion, masked};
use crate::problem::{Excerpt, Problem, did_you_mean};

/// The greatest size of a file in bytes.
pub const GREATEST_SIZE: usize = 4 * 1024 * 1024;

/// Reads a file into a value; for later questions about places, keep a [`Document`] instead.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Vec<Problem>> {
    Document::read(file, text)?.parse()
}

/// A YAML file that was read, with the place of every key and value.
///
/// Places are asked for by path: keys joined by dots and positions in brackets, `sources.keycloak[0].url`. A key that
/// holds dots itself stands in the path as it is: `params.keycloak.realm.brute_force.max_failures`.
#[derive(Clone, Debug)]
pub struct Document {
    file: String,
    text: String,
    places: BTreeMap<String, Node>,
    /// What of it may be shown; `None`: everything.
    discretion: Option<Arc<Discretion>>,
}

/// A place in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters are meant; at least 1.
    pub width: usize,
}

/// What stands at one path.
#[derive(Clone, Debug)]
struct Node {
    /// The key; `None` for an item of a list and for the whole document.
    key: Option<Place>,
    /// The value's beginning.
    value: Place,
    /// A scalar's range of bytes in the text, quotes and all.
    scalar: Option<std::ops::Range<usize>>,
}

impl Document {
    /// Reads a file and notes where everything stands. Refuses what is not YAML, too large, more than one document, or
    /// has a key twice.
    pub fn read(file: &str, text: &str) -> Result<Document, Vec<Problem>> {
        Document::read_with(file, text, None)
    }

    /// The same for a file that could hold a secret by mistake: no problem of it ever shows more than `discretion`
    /// allows.
    pub fn read_discreetly(file: &str, text: &str, discretion: Arc<Discretion>) -> Result<Document, Vec<Problem>> {
        Document::read_with(file, text, Some(discretion))
    }

    /// Another text under the same name, with the same discretion.
    pub fn read_other(&self, text: &str) -> Result<Document, Vec<Problem>> {
        Document::read_with(&self.file, text, self.discretion.clone())
    }

    fn read_with(file: &str, text: &str, discretion: Option<Arc<Discretion>>) -> Result<Document, Vec<Problem>> {
        let (file, places) = (file.to_owned(), BTreeMap::new());
        let mut document = Document { file, text: text.to_owned(), places, discretion };
        if text.len() > GREATEST_SIZE {
            let message = format!("larger than {} MiB", GREATEST_SIZE / 1024 / 1024);
            return Err(vec![Problem::of_file(&document.file, message)]);
        }
        let mut walker = Walker::default();
        // Comments are kept back in a short queue until it is clear what they belong to, and nobody asks for them.
        let mut options = Options::default();
        options.emit_comments = false;
        let parsed = Parser::new_from_str_with_options(text, options).load(&mut walker, true);
        walker.note_open_keys();
        document.places = walker.places;
        if let Err(refused) = parsed {
            let at = refused.marker();
            let place = Place { line: at.line(), column: at.col() + 1, width: 1 };
            return Err(vec![document.problem_at(place, format!("not YAML: {}", refused.info()))]);
        }
        if let Some((place, name)) = walker.alias {
            return Err(vec![document.problem_at(place, format!("{name} is not allowed here; write the value out"))]);
        }
        let twice = |(path, first, second): (String, Place, Place)| {
            let message = format!("{}: stands here twice, first in line {}", document.shown(&path), first.line);
            // The place of the second one is noted nowhere, so the first one's word decides whether it is shown.
            let key = document.shows_key(&path).then_some(second);
            let mut problem = document.problem_at(second, message).with_remedy("keep one of the two");
            problem.excerpt = document.excerpt(second, key);
            problem
        };
        let twice: Vec<Problem> = walker.twice.into_iter().map(twice).collect();
        if twice.is_empty() { Ok(document) } else { Err(twice) }
    }

    /// The file by the name it was handed in under.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text as read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The document as a value. An unknown key, a missing one, a value of the wrong kind: a problem with its place.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true, emit_comments: false };
        serde_saphyr::from_str_with_options(&self.text, options).map_err(|error| vec![self.refused(&error)])
    }

    /// Where the value at `path` begins; where there is none, the nearest thing around it.
    pub fn value(&self, path: &str) -> Place {
        self.nearest_node(path).1.map_or(FIRST, |node| node.value)
    }

    /// Where the key at `path` stands; the value where there is no key.
    pub fn key(&self, path: &str) -> Place {
        self.nearest_node(path).1.map_or(FIRST, |node| node.key.unwrap_or(node.value))
    }

    /// Whether anything stands at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// A problem with the value at `path`.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        self.problem_at(self.value(path), message)
    }

    /// A problem with the key at `path`.
    pub fn problem_of_key(&self, path: &str, message: impl Into<String>) -> Problem {
        self.problem_at(self.key(path), message)
    }

    /// A problem at a place.
    pub fn problem_at(&self, place: Place, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: place.line.max(1),
            column: place.column.max(1),
            message: message.into(),
            remedy: None,
            excerpt: self.excerpt(place, None),
        }
    }

    /// The line of a place, as far as it may be shown; what stands at `also` may be.
    fn excerpt(&self, place: Place, also: Option<Place>) -> Option<Excerpt> {
        let line = self.text.lines().nth(place.line.saturating_sub(1))?;
        let (text, column) = match &self.discretion {
            None => (line.to_owned(), place.column),
            Some(discretion) => {
                let here = |place: &Place| place.line.max(1);
                let range = |place: Place| place.column.saturating_sub(1)..place.column.saturating_sub(1) + place.width;
                let keys = self.places.iter().filter(|(path, _)| discretion.shows_key(path));
                let keys = keys.filter_map(|(_, node)| node.key);
                let values = self.places.iter().filter(|(path, _)| discretion.shows_value(path));
                let values = values.filter(|(_, node)| node.scalar.is_some()).map(|(_, node)| node.value);
                let shown =
                    keys.chain(values).chain(also).filter(|found| here(found) == here(&place)).map(range).collect();
                masked(line, shown, place.column)
            }
        };
        // One mark stands for whatever was left out.
        let left = match text.chars().nth(column.saturating_sub(1)) {
            Some('…') => 1,
            _ => text.chars().count().saturating_sub(column.saturating_sub(1)),
        };
        Some(Excerpt { text, column: column.max(1), width: place.width.min(left).max(1) })
    }

    /// A path as it may stand in a message.
    fn shown(&self, path: &str) -> String {
        self.discretion.as_ref().map_or_else(|| path.to_owned(), |discretion| discretion.path(path))
    }

    /// Whether the last key of a path may stand in a message.
    fn shows_key(&self, path: &str) -> bool {
        self.discretion.as_ref().is_none_or(|discretion| discretion.shows_key(path))
    }

    /// Whether the value at a path may stand in a message.
    fn shows_value(&self, path: &str) -> bool {
        self.discretion.as_ref().is_none_or(|discretion| discretion.shows_value(path))
    }

    /// Where character `offset` of the text value at `path` stands in the file, whatever its quotes and line breaks;
    /// `width` characters are meant. `decoded` is the value as it was read.
    pub fn inside(&self, path: &str, decoded: &str, offset: usize, width: usize) -> Place {
        let around = self.value(path);
        let Some(range) = self.places.get(path).and_then(|node| node.scalar.clone()) else { return around };
        let Some(raw) = self.text.get(range.clone()) else { return around };
        let Some(byte) = align(raw, decoded, offset) else { return around };
        let Some(before) = self.text.get(..range.start + byte) else { return around };
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).map_or(1, |part| part.chars().count() + 1);
        Place { line: before.matches('\n').count() + 1, column, width: width.max(1) }
    }

    /// The node at `path`, or at its longest prefix that is there.
    fn nearest_node<'a>(&self, path: &'a str) -> (&'a str, Option<&Node>) {
        let mut prefix = path;
        loop {
            if let Some(node) = self.places.get(prefix) {
                return (prefix, Some(node));
            }
            match prefix.rfind(['.', '[']) {
                Some(at) => prefix = prefix.get(..at).unwrap_or_default(),
                None => return ("", self.places.get("")),
            }
        }
    }

    /// What begins at a place: the deepest key there, or else the deepest value.
    fn path_at(&self, line: usize, column: usize) -> Option<(&str, Place)> {
        let here = |place: &Place| place.line == line && place.column == column;
        let keys = self.places.iter().filter_map(|(path, node)| Some((path.as_str(), node.key.filter(here)?)));
        let values = || self.places.iter().filter(|(_, node)| here(&node.value)).map(|(p, n)| (p.as_str(), n.value));
        keys.max_by_key(|(path, _)| path.len()).or_else(|| values().max_by_key(|(path, _)| path.len()))
    }

    /// The mapping that lacks a key, by the place that the deserializer gives: its last key, or its beginning.
    fn mapping_at(&self, line: usize, column: usize) -> Option<(&str, Place)> {
        let (path, _) = self.path_at(line, column)?;
        let holds = |outer: &str| match path.strip_prefix(outer) {
            Some(rest) => outer.is_empty() || rest.starts_with('.'),
            None => false,
        };
        let around = self.places.iter().filter(|(outer, _)| outer.as_str() != path && holds(outer));
        around
            .max_by_key(|(outer, _)| outer.len())
            .map(|(outer, node)| (outer.as_str(), node.key.unwrap_or(node.value)))
    }

    /// Turns the deserializer's refusal into a problem in our words.
    fn refused(&self, error: &Error) -> Problem {
        let error = error.without_snippet();
        let (line, column) = error.location().map_or((1, 1), |at| (at.line() as usize, at.column() as usize));
        let found = match error {
            Error::SerdeMissingField { .. } => self.mapping_at(line, column),
            _ => self.path_at(line, column),
        };
        let (path, place) = found.unwrap_or(("", Place { line: line.max(1), column: column.max(1), width: 1 }));
        let said = |message: String| {
            let message = if path.is_empty() { message } else { format!("{}: {message}", self.shown(path)) };
            self.problem_at(place, message)
        };
        let proposed = |key: &&str| self.discretion.as_ref().is_none_or(|discretion| discretion.proposes(key));
        // The deserializer's own words, and those of our types, repeat what they refuse.
        let repeats = |message: &str| message.contains(['"', '\'', '`']);
        match error {
            Error::SerdeUnknownField { field, expected, .. } => said("unknown key".to_owned())
                .with_remedy(did_you_mean(field, expected.iter().copied().filter(proposed))),
            Error::SerdeUnknownVariant { variant, expected, .. } => {
                let value = if self.shows_value(path) { format!(" {variant:?}") } else { String::new() };
                said(format!("unknown value{value}")).with_remedy(did_you_mean(variant, expected.iter().copied()))
            }
            Error::SerdeMissingField { field, .. } => {
                said(format!("the key {field} is missing")).with_remedy(format!("add {field}: …"))
            }
            Error::Eof { .. } => said("the file ends where a value is expected".to_owned()),
            Error::MultipleDocuments { .. } => self.problem_at(place, "a second document; one file holds one"),
            Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => said("expected one word".to_owned()),
            Error::Unexpected { expected: "string scalar", .. } => said("expected text".to_owned()),
            Error::Unexpected { expected: "sequence start", .. } => {
                said("expected a list".to_owned()).with_remedy("write [one, two], or one item a line, each behind `- `")
            }
            Error::Unexpected { expected: "mapping start", .. } => {
                said("expected keys with values".to_owned()).with_remedy("write key: value, one a line")
            }
            Error::InvalidScalar { ty, .. } => said(format!("expected {}", kind_of_number(ty))),
            Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. }
                if !self.shows_value(path) =>
            {
                said(format!("expected {expected}"))
            }
            other => {
                let message = UserMessageFormatter.format_message(other);
                if repeats(&message) && !self.shows_value(path) {
                    return said("what stands here has not the right form".to_owned());
                }
                said(message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
            }
        }
    }
}

/// A Rust number type in the words of the person who wrote the file.
fn kind_of_number(ty: &str) -> &str {
    match ty.as_bytes().first() {
        Some(b'u') => "a whole number, 0 or more",
        Some(b'i') => "a whole number",
        Some(b'f') => "a number",
        _ => ty,
    }
}

/// Where a file begins.
const FIRST: Place = Place { line: 1, column: 1, width: 1 };

/// The byte in a scalar's raw text at which character `offset` of its decoded text stands.
///
/// Walks both in step. Where they differ, the raw text holds something that decoding took away (indentation, a quote,
/// a backslash, the header of a block) or folded (a line break into a space).
fn align(raw: &str, decoded: &str, offset: usize) -> Option<usize> {
    let header = if raw.starts_with(['|', '>']) { raw.find('\n')? + 1 } else { 0 };
    let mut rest = raw.get(header..)?.char_indices().map(|(at, c)| (at + header, c)).peekable();
    for (index, wanted) in decoded.chars().enumerate() {
        loop {
            let (at, found) = *rest.peek()?;
            let same = found == wanted || (found.is_whitespace() && wanted.is_whitespace());
            if same {
                if index == offset {
                    return Some(at);
                }
                rest.next();
                break;
            }
            if found.is_whitespace() || matches!(found, '"' | '\'' | '\\') {
                rest.next();
            } else if wanted.is_whitespace() {
                break;
            } else {
                return None;
            }
        }
    }
    // One past the end: an expression that stops too early.
    (offset >= decoded.chars().count()).then(|| rest.peek().map_or(raw.len(), |(at, _)| *at))
}

/// Notes the place of every key and value while the parser goes through the file.
#[derive(Default)]
struct Walker {
    places: BTreeMap<String, Node>,
    stack: Vec<Frame>,
    alias: Option<(Place, &'static str)>,
    /// Keys that stand twice in one mapping: path, first place, second place.
    twice: Vec<(String, Place, Place)>,
}

/// A list or mapping that has begun and not ended.
enum Frame {
    List { path: String, next: usize },
    Map { path: String, key: Option<(String, Place)>, seen: BTreeMap<String, Place> },
}

impl Walker {
    /// The path of the node that begins now, and its key. `None`: the node is itself a key of a mapping.
    fn begin(&mut self) -> Option<(String, Option<Place>)> {
        match self.stack.last_mut() {
            None => Some((String::new(), None)),
            Some(Frame::List { path, next }) => {
                let here = format!("{path}[{next}]");
                *next += 1;
                Some((here, None))
            }
            Some(Frame::Map { path, key, .. }) => {
                let (name, place) = key.take()?;
                let here = below(path, &name);
                Some((here, Some(place)))
            }
        }
    }

    /// Keys whose values never came, in a file that breaks off.
    fn note_open_keys(&mut self) {
        for frame in &mut self.stack {
            if let Frame::Map { path, key, .. } = frame
                && let Some((name, place)) = key.take()
            {
                let node = Node { key: Some(place), value: place, scalar: None };
                self.places.entry(below(path, &name)).or_insert(node);
            }
        }
    }

    fn note(&mut self, span: Span, scalar: Option<std::ops::Range<usize>>) -> String {
        let (path, key) = self.begin().unwrap_or_default();
        self.places.entry(path.clone()).or_insert(Node { key, value: place_of(span), scalar });
        path
    }
}

/// The path of a key below another.
fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl<'input> SpannedEventReceiver<'input> for Walker {
    fn on_event(&mut self, event: Event<'input>, span: Span) {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                if anchor > 0 {
                    self.alias.get_or_insert((place_of(span), "an anchor"));
                }
                if let Some(Frame::Map { path, key: key @ None, seen }) = self.stack.last_mut() {
                    let place = place_of(span);
                    match seen.get(text.as_ref()) {
                        Some(first) => self.twice.push((below(path, &text), *first, place)),
                        None => drop(seen.insert(text.to_string(), place)),
                    }
                    *key = Some((text.into_owned(), place));
                    return;
                }
                // An empty value has no text of its own to point at.
                let range = span.byte_range().filter(|_| style != ScalarStyle::Plain || !text.is_empty());
                self.note(span, range);
            }
            Event::SequenceStart(_, anchor, _) => {
                if anchor > 0 {
                    self.alias.get_or_insert((place_of(span), "an anchor"));
                }
                let path = self.note(span, None);
                self.stack.push(Frame::List { path, next: 0 });
            }
            Event::MappingStart(_, anchor, _) => {
                if anchor > 0 {
                    self.alias.get_or_insert((place_of(span), "an anchor"));
                }
                let path = self.note(span, None);
                self.stack.push(Frame::Map { path, key: None, seen: BTreeMap::new() });
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.stack.pop()),
            Event::Alias(_) => {
                self.alias.get_or_insert((place_of(span), "an alias"));
                self.note(span, None);
            }
            _ => {}
        }
    }
}

fn place_of(span: Span) -> Place {
    let one_line = span.start.line() == span.end.line();
    let width = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Place { line: span.start.line(), column: span.start.col() + 1, width: width.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Settings {
        sources: BTreeMap<String, Vec<Source>>,
        retries: Option<u32>,
        verbose: Option<bool>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Source {
        name: String,
        url: String,
        id: Option<domain::SourceId>,
    }

    const GOOD: &str = "\
# A comment.
sources:
  keycloak:
    - name: acme
      url: \"http://127.0.0.1\"
";

    #[test]
    fn a_good_file_is_read_and_its_places_can_be_asked_for() {
        let document = Document::read("evidenced.yaml", GOOD).unwrap();
        let settings: Settings = document.parse().unwrap();
        assert_eq!(settings.sources["keycloak"][0].name, "acme");
        assert_eq!(document.value("sources.keycloak[0].name"), Place { line: 4, column: 13, width: 4 });
        assert_eq!(document.key("sources.keycloak[0].url"), Place { line: 5, column: 7, width: 3 });
        assert_eq!(document.key("sources.keycloak[0].missing").line, 4, "falls back to what is around it");
        let problem = document.problem("sources.keycloak[0].url", "not https").with_remedy("begin it with https://");
        assert_eq!(
            problem.to_string(),
            "evidenced.yaml:5:12: not https
    5 |       url: \"http://127.0.0.1\"
      |            ^^^^^^^^^^^^^^^^^^ begin it with https://"
        );
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_stands_with_a_remedy() {
        let with = |line: &str| format!("{GOOD}{line}\n");
        let table = [
            (
                GOOD.replace("url", "ulr"),
                "evidenced.yaml:5:7: sources.keycloak[0].ulr: unknown key
    5 |       ulr: \"http://127.0.0.1\"
      |       ^^^ did you mean url?",
            ),
            (
                GOOD.replace("      url: \"http://127.0.0.1\"\n", ""),
                "evidenced.yaml:4:7: sources.keycloak[0]: the key url is missing
    4 |     - name: acme
      |       ^ add url: …",
            ),
            (
                GOOD.replace("acme", "[1, 2]"),
                "evidenced.yaml:4:13: sources.keycloak[0].name: expected text
    4 |     - name: [1, 2]
      |             ^",
            ),
            (
                with("retries: many"),
                "evidenced.yaml:6:10: retries: expected a whole number, 0 or more
    6 | retries: many
      |          ^^^^",
            ),
            (
                with("verbose: yes"),
                "evidenced.yaml:6:10: verbose: invalid boolean (true or false expected)
    6 | verbose: yes
      |          ^^^",
            ),
            (
                with("      id: nonsense"),
                "evidenced.yaml:6:11: sources.keycloak[0].id: not a source: \"nonsense\"; expected kind:name, for \
                 example keycloak:acme (lower-case letters, digits, '-', '_', '.')
    6 |       id: nonsense
      |           ^^^^^^^^",
            ),
            (
                with("sources: {}"),
                "evidenced.yaml:6:1: sources: stands here twice, first in line 2
    6 | sources: {}
      | ^^^^^^^ keep one of the two",
            ),
            (
                with("  x: &a 1\n  y: *a"),
                "evidenced.yaml:6:9: an anchor is not allowed here; write the value out
    6 |   x: &a 1
      |         ^",
            ),
            (
                "sources: [".to_owned(),
                "evidenced.yaml:1:10: not YAML: unclosed bracket '['
    1 | sources: [
      |          ^",
            ),
            (String::new(), "evidenced.yaml:1:1: the file ends where a value is expected"),
            (
                with("---\nretries: 1"),
                "evidenced.yaml:7:1: a second document; one file holds one
    7 | retries: 1
      | ^^^^^^^",
            ),
        ];
        for (text, expected) in table {
            let problems = parse::<Settings>("evidenced.yaml", &text).unwrap_err();
            let said: Vec<String> = problems.iter().map(Problem::to_string).collect();
            assert_eq!(said.join("\n"), expected, "{text}");
        }
    }

    #[test]
    fn a_place_inside_a_text_value_is_found_whatever_its_quotes_and_line_breaks() {
        let text = "\
plain: a && wrong
single: 'it''s && wrong'
double: \"say \\\"x\\\" && wrong\"
folded: >-
  a &&
  wrong
literal: |
  a &&
    wrong
continued: a &&
  wrong
";
        let document = Document::read("a.yaml", text).unwrap();
        let values: BTreeMap<String, String> = document.parse().unwrap();
        for (key, value) in &values {
            let offset = value.find("wrong").unwrap();
            let place = document.inside(key, value, offset, 5);
            let line: Vec<char> = text.lines().nth(place.line - 1).unwrap().chars().collect();
            let pointed: String = line.iter().skip(place.column - 1).take(5).collect();
            assert_eq!(pointed, "wrong", "{key} at {place:?}");
        }
        assert_eq!(document.inside("plain", &values["plain"], 999, 1), Place { line: 1, column: 18, width: 1 });
    }
}
