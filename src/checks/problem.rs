//! What is wrong with a file that a person wrote, where it stands, and what to do about it.

use std::fmt;

/// The longest line of a file that is shown; what is beyond the caret is cut.
const SHOWN: usize = 160;

/// One thing wrong with one file. Its text form is meant for the person who wrote the file:
///
/// ```text
/// evidenced.yaml:14:13: unknown zone "Europe/Berln"
///    14 |       zone: Europe/Berln
///       |             ^^^^^^^^^^^^ did you mean Europe/Berlin?
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file by the name it was handed in under.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, when that can be said: `did you mean title?`.
    pub remedy: Option<String>,
    /// The line of the file; `None` when there is none to show.
    pub excerpt: Option<Excerpt>,
}

/// A line of a file, with the part that is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt {
    /// The line without its end, as far as it may be shown.
    pub text: String,
    /// Where in `text` it is: the problem's own column, unless something before it is not shown.
    pub column: usize,
    /// How many characters are meant, from `column` on; at least 1.
    pub width: usize,
}

impl Problem {
    /// A problem of a whole file, such as one that cannot be read: line 1, column 1, no excerpt.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { file: file.into(), line: 1, column: 1, message: message.into(), remedy: None, excerpt: None }
    }

    /// The same problem with a word on what to do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The first line alone, `file:line:column: message`: for a log, since it shows no line of the file.
    pub fn headline(&self) -> String {
        format!("{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        let remedy = self.remedy.as_deref().unwrap_or_default();
        let Some(excerpt) = &self.excerpt else {
            return if remedy.is_empty() { Ok(()) } else { write!(f, "\n   {remedy}") };
        };
        // Tabs would put the caret elsewhere than under what is meant.
        let text: String = excerpt.text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "\n{:>5} | {}", self.line, text.trim_end())?;
        let before = excerpt.column.saturating_sub(1);
        if before >= SHOWN {
            return if remedy.is_empty() { Ok(()) } else { write!(f, "\n   {remedy}") };
        }
        let carets = "^".repeat(excerpt.width.clamp(1, SHOWN.saturating_sub(before)));
        write!(f, "\n      | {:before$}{carets}", "")?;
        // A long remedy behind a long line would be lost at the right edge of a terminal.
        match remedy {
            "" => Ok(()),
            short if before + carets.len() + short.chars().count() <= 100 => write!(f, " {short}"),
            long => write!(f, "\n   {long}"),
        }
    }
}

impl std::error::Error for Problem {}

/// The candidate that a misspelt name most likely means: at most a third of its letters wrong, two swapped letters
/// counting once. `None` when nothing is near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The remedy for a name that is not known: the nearest one, or else all there are.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = candidates.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => "nothing may stand here".to_owned(),
        None if known.len() > 24 => format!("none of the {} known ones is near", known.len()),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_the_line_the_place_and_the_remedy() {
        let problem = Problem {
            file: "evidenced.yaml".into(),
            line: 14,
            column: 13,
            message: "unknown zone \"Europe/Berln\"".into(),
            remedy: Some("did you mean Europe/Berlin?".into()),
            excerpt: Some(Excerpt { text: "      zone: Europe/Berln".into(), column: 13, width: 12 }),
        };
        let expected = "evidenced.yaml:14:13: unknown zone \"Europe/Berln\"
   14 |       zone: Europe/Berln
      |             ^^^^^^^^^^^^ did you mean Europe/Berlin?";
        assert_eq!(problem.to_string(), expected);
        assert_eq!(problem.headline(), expected.lines().next().unwrap());
    }

    #[test]
    fn a_long_remedy_stands_on_its_own_line_and_a_long_line_is_cut() {
        let problem = Problem {
            file: "a.yaml".into(),
            line: 1,
            column: 1,
            message: "no".into(),
            remedy: Some("x".repeat(120)),
            excerpt: Some(Excerpt { text: "y".repeat(5000), column: 1, width: 5000 }),
        };
        let text = problem.to_string();
        assert!(text.lines().all(|line| line.len() <= SHOWN + 8), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn the_nearest_name_is_named_and_a_far_one_is_not() {
        let known = ["brute_force", "failure_factor"];
        assert_eq!(nearest("brute_froce", known), Some("brute_force"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(did_you_mean("colour", known), "known here: brute_force, failure_factor");
    }
}
