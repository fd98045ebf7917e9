//! Words and shapes: how a value looks on a page. A shape always stands beside its word, never for it.

use std::borrow::Borrow;

use domain::{FindingValue, ObservationValue, Outcome, Severity};
use serde_json::Value;

/// A shape, a word, and the class that colours both.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) shape: &'static str,
    pub(super) word: &'static str,
    pub(super) class: &'static str,
}

const GOOD: (&str, &str) = ("●", "good");
const BAD: (&str, &str) = ("▲", "bad");
const UNSEEN: (&str, &str) = ("○", "unseen");
const ACCEPTED: (&str, &str) = ("◇", "accepted");
const SILENT: (&str, &str) = ("–", "silent");

/// For words that a page finds for itself.
pub(super) const GOOD_MARK: Mark = Mark { shape: GOOD.0, class: GOOD.1, word: "" };
/// See [`GOOD_MARK`].
pub(super) const BAD_MARK: Mark = Mark { shape: BAD.0, class: BAD.1, word: "" };
/// See [`GOOD_MARK`].
pub(super) const UNSEEN_MARK: Mark = Mark { shape: UNSEEN.0, class: UNSEEN.1, word: "" };

fn mark((shape, class): (&'static str, &'static str), word: &'static str) -> Mark {
    Mark { shape, word, class }
}

/// How a finding looks.
pub(super) fn finding(value: FindingValue) -> Mark {
    let look = match value {
        FindingValue::Conforming => GOOD,
        FindingValue::Nonconforming => BAD,
        FindingValue::Excepted => ACCEPTED,
        FindingValue::NotEvidenced => UNSEEN,
        FindingValue::NotApplicable => SILENT,
    };
    mark(look, value.as_str())
}

/// How an observation looks.
pub(super) fn observation(value: ObservationValue) -> Mark {
    let look = match value {
        ObservationValue::Conforms => GOOD,
        ObservationValue::Deviates => BAD,
        ObservationValue::Undetermined => UNSEEN,
        ObservationValue::NotApplicable => SILENT,
    };
    mark(look, value.as_str())
}

/// How the end of a run looks.
pub(super) fn outcome(outcome: Outcome) -> Mark {
    let look = match outcome {
        Outcome::Collected => GOOD,
        Outcome::Partial | Outcome::Failed => UNSEEN,
    };
    mark(look, outcome.as_str())
}

/// How the kind of a change looks: its shape and class.
pub(super) fn change(kind: &str, what: &str) -> (&'static str, &'static str) {
    match (kind, what) {
        ("deviation", "RESOLVED")
        | ("coverage", "READABLE")
        | ("room", "ROOM AGAIN")
        | ("trouble", "RIGHT AGAIN")
        | ("damage", "WHOLE AGAIN")
        | ("silence", "DATED AGAIN") => GOOD,
        ("deviation", "GONE") => SILENT,
        ("deviation" | "damage", _) => BAD,
        ("coverage" | "missed" | "clock" | "room" | "trouble" | "silence", _) => UNSEEN,
        ("finding", "conforming") => GOOD,
        ("finding", "nonconforming") => BAD,
        ("finding", "excepted") => ACCEPTED,
        ("finding", "not evidenced") => UNSEEN,
        _ => SILENT,
    }
}

/// How much it matters: filled bars of four.
pub(super) fn severity(severity: Severity) -> Mark {
    match severity {
        Severity::Critical => mark(("▮▮▮▮", "critical"), "critical"),
        Severity::High => mark(("▮▮▮▯", "high"), "high"),
        Severity::Medium => mark(("▮▮▯▯", "medium"), "medium"),
        Severity::Low => mark(("▮▯▯▯", "low"), "low"),
    }
}

/// The most of one value that a table shows; the row holds all of it.
const GREATEST_VALUE: usize = 240;

/// A value in one line.
pub(super) fn value(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    cut(&text, GREATEST_VALUE).map_or(text.clone(), |(start, left)| format!("{start} … {left} more characters"))
}

/// The first `most` characters, and how many are left out; `None` when nothing is.
pub(super) fn cut(text: &str, most: usize) -> Option<(&str, usize)> {
    let (end, _) = text.char_indices().nth(most)?;
    let (start, rest) = text.split_at(end);
    Some((start, rest.chars().count()))
}

/// A whole number with its thousands apart.
pub(super) fn count(n: impl Borrow<u64>) -> String {
    let digits = n.borrow().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`: a count and its noun.
pub(super) fn counted(n: impl Borrow<u64>, one: &str, many: &str) -> String {
    let n = *n.borrow();
    if n == 1 { format!("1 {one}") } else { format!("{} {many}", count(n)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_shape_of_its_own() {
        use FindingValue::{Conforming, Excepted, Nonconforming, NotApplicable, NotEvidenced};
        let shapes =
            [Conforming, Nonconforming, Excepted, NotEvidenced, NotApplicable].map(|value| finding(value).shape);
        for (at, shape) in shapes.iter().enumerate() {
            assert!(!shapes[at + 1..].contains(shape), "{shape} stands for two findings");
        }
    }

    #[test]
    fn long_values_are_cut_and_say_so() {
        let long = Value::String("ü".repeat(GREATEST_VALUE + 3));
        assert!(value(&long).ends_with("ü … 3 more characters"));
        assert_eq!(value(&Value::Bool(false)), "false");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
    }
}
