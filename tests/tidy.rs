//! The house rules, as tests. Each failure says file and line, and what to do.
//!
//! `ARCHITECTURE.md` says why the rules are there. An exception stands in a list beside its rule, with the reason; one
//! that is no longer needed fails as well, so that the lists cannot grow old.

mod code;
mod data;
mod guides;
mod repository;
mod words;
mod workspace;

use std::collections::BTreeSet;
use std::fmt::Display;

/// What a rule found.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// Something at a line of a file, and what to do about it.
    fn at(&mut self, file: &str, line: usize, what: impl Display, remedy: impl Display) {
        self.0.push(format!("{file}:{line}: {what}\n    {remedy}"));
    }

    /// Something about a file as a whole.
    fn of(&mut self, file: &str, what: impl Display, remedy: impl Display) {
        self.at(file, 1, what, remedy);
    }

    /// The end of a rule: all is well, or everything is shown at once.
    fn end(self) {
        assert!(self.0.is_empty(), "{} to mend\n{}\n", self.0.len(), self.0.join("\n"));
    }
}

/// Exceptions to a rule: each a file or folder (ending in `/`) with the reason.
struct Except {
    /// The file in which the list stands.
    list: &'static str,
    entries: &'static [(&'static str, &'static str)],
    used: BTreeSet<&'static str>,
}

impl Except {
    fn new(list: &'static str, entries: &'static [(&'static str, &'static str)]) -> Self {
        Except { list, entries, used: BTreeSet::new() }
    }

    /// Whether a fault in `path` is excepted.
    fn covers(&mut self, path: &str) -> bool {
        let covering = |entry: &str| path == entry || entry.ends_with('/') && path.starts_with(entry);
        let entry = self.entries.iter().map(|(entry, _)| *entry).find(|entry| covering(entry));
        self.used.extend(entry);
        entry.is_some()
    }

    /// Exceptions that cover nothing any more.
    fn unused(&self, faults: &mut Faults) {
        for (entry, reason) in self.entries.iter().filter(|(entry, _)| !self.used.contains(entry)) {
            faults.of(
                self.list,
                format!("the exception for {entry} ({reason}) covers nothing"),
                "take it out of the list",
            );
        }
    }
}
