//! Printing: facts to standard output, everything else to standard error, colour only where it helps.
//!
//! This is the one module that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use domain::{FindingValue, ObservationValue, Severity};
use serde::Serialize;

/// Where a command's words go.
pub(super) struct Output {
    json: bool,
    colour: bool,
    /// Why not all could be printed that was to be.
    unwritten: OnceLock<io::Error>,
}

/// How a word is set off. Nothing is told by colour alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    /// As it is.
    Plain,
    /// Less important.
    Faint,
    /// In order.
    Good,
    /// Deviates, or failed.
    Bad,
    /// Could not be seen.
    Unseen,
    /// A heading.
    Strong,
}

impl Output {
    /// With `json`, facts are JSON objects, one per line; colour only on a terminal that has it, and without `NO_COLOR`.
    pub(super) fn new(json: bool) -> Self {
        let colour = io::stdout().is_terminal() && crate::telemetry::colour_wanted();
        Output { json, colour, unwritten: OnceLock::new() }
    }

    /// Whether facts are printed as JSON.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Prints a line for people; with `--json` it goes nowhere, since its facts are printed as objects.
    pub(super) fn line(&self, line: impl AsRef<str>) {
        if !self.json {
            self.write(line.as_ref());
        }
    }

    /// Prints a line whatever the mode.
    pub(super) fn write(&self, line: &str) {
        match writeln!(io::stdout().lock(), "{line}") {
            // A reader that has gone away wants no more lines.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => drop(self.unwritten.set(error)),
            _ => {}
        }
    }

    /// Why something that was to be printed is not there, as on a disk that is full; nothing when all is.
    pub(super) fn unwritten(&self) -> Option<&io::Error> {
        self.unwritten.get()
    }

    /// Prints a fact as one JSON object; only with `--json`.
    pub(super) fn fact<T: Serialize>(&self, fact: &T) {
        if self.json {
            match serde_json::to_string(fact) {
                Ok(text) => self.write(&text),
                Err(error) => eprintln!("a fact does not write as JSON: {error}"),
            }
        }
    }

    /// Prints a note to standard error: progress, and what is not a fact.
    pub(super) fn note(&self, note: impl AsRef<str>) {
        eprintln!("{}", note.as_ref());
    }

    /// Prints an error with everything behind it.
    pub(super) fn error(&self, error: &anyhow::Error) {
        if self.json {
            self.fact(&serde_json::json!({ "error": format!("{error:#}") }));
        }
        eprintln!("error: {error}");
        for cause in error.chain().skip(1) {
            eprintln!("  because: {cause}");
        }
    }

    /// A word in a tone.
    pub(super) fn toned(&self, tone: Tone, word: impl AsRef<str>) -> String {
        let word = word.as_ref();
        let code = match tone {
            Tone::Plain => return word.to_owned(),
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Bad => "31;1",
            Tone::Unseen => "33",
            Tone::Strong => "1",
        };
        if self.colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}

/// A path, for a line of JSON: what is no text in it is shown as `�`.
pub(super) fn shown(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A number with its thousands apart, and what is counted: `1 call`, `1,390 calls`.
pub(super) fn counted(n: impl TryInto<u64>, what: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    format!("{} {what}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// A number with its thousands apart.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The tone of an observation.
pub(super) fn tone_of(value: ObservationValue) -> Tone {
    match value {
        ObservationValue::Conforms => Tone::Good,
        ObservationValue::Deviates => Tone::Bad,
        ObservationValue::Undetermined => Tone::Unseen,
        ObservationValue::NotApplicable => Tone::Faint,
    }
}

/// The tone of a finding.
pub(super) fn tone_of_finding(value: FindingValue) -> Tone {
    match value {
        FindingValue::Conforming => Tone::Good,
        FindingValue::Nonconforming | FindingValue::Excepted => Tone::Bad,
        FindingValue::NotEvidenced => Tone::Unseen,
        FindingValue::NotApplicable => Tone::Faint,
    }
}

/// The tone of a severity.
pub(super) fn tone_of_severity(severity: Severity) -> Tone {
    if severity >= Severity::High { Tone::Bad } else { Tone::Plain }
}

/// A table of text: columns as wide as they need be, numbers to the right.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<(String, Tone)>>,
    right: Vec<usize>,
}

impl Table {
    /// An empty table whose columns `right` are set to the right.
    pub(super) fn new(right: &[usize]) -> Self {
        Table { rows: Vec::new(), right: right.to_vec() }
    }

    /// Adds a row of plain cells.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.toned(cells.map(|cell| (cell, Tone::Plain)));
    }

    /// Adds a row of cells with their tones.
    pub(super) fn toned<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        self.rows.push(cells.into_iter().map(|(text, tone)| (alerts::text::clean(&text, 200), tone)).collect());
    }

    /// Prints it, each line behind `indent`.
    pub(super) fn print(&self, out: &Output, indent: &str) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (column, ((text, tone), width)) in row.iter().zip(&widths).enumerate() {
                let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
                let toned = out.toned(*tone, text);
                match self.right.contains(&column) {
                    true => line.push_str(&format!("{blanks}{toned}  ")),
                    false => line.push_str(&format!("{toned}{blanks}  ")),
                }
            }
            out.line(line.trim_end());
        }
    }
}
