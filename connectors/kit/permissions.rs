//! The least that a reader must be granted, drawn from the calls that collectors declare.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::CollectorSpec;

/// What one kind of source must grant, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Permissions {
    /// The kind of source.
    pub kind: String,
    /// One row per permission, sorted by it.
    pub permissions: Vec<PermissionRow>,
    /// How to grant them, as the steps a person takes at the source.
    pub grant: String,
}

/// A document that grants a reader what a kind of source needs, in the form that a tool of that source takes.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    /// What `evidenced permissions --format` calls it; no two kinds of source have one of the same name.
    pub format: &'static str,
    /// Its file below `deploy/readers`.
    pub file: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Makes it from what the collectors declare, so that it cannot differ from what is asked.
    pub make: fn(&[CollectorSpec]) -> String,
}

/// One permission and what it is needed for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PermissionRow {
    /// The permission in the source's own words.
    pub permission: String,
    /// The collectors that need it.
    pub collectors: Vec<String>,
    /// The calls that need it, each with its purpose.
    pub calls: BTreeMap<String, String>,
}

impl Permissions {
    /// Draws the rows from the declared calls, so that the document cannot differ from what is asked.
    pub fn of(kind: &str, collectors: &[CollectorSpec], grant: &str) -> Self {
        let mut rows: BTreeMap<&str, (BTreeSet<&str>, BTreeMap<String, String>)> = BTreeMap::new();
        for collector in collectors {
            for call in collector.calls {
                for permission in call.permissions {
                    let (names, calls) = rows.entry(permission).or_default();
                    names.insert(collector.name);
                    calls.insert(call.name.to_owned(), call.purpose.to_owned());
                }
            }
        }
        let row = |(permission, (names, calls)): (&str, (BTreeSet<&str>, _))| PermissionRow {
            permission: permission.to_owned(),
            collectors: names.into_iter().map(str::to_owned).collect(),
            calls,
        };
        Permissions {
            kind: kind.to_owned(),
            permissions: rows.into_iter().map(row).collect(),
            grant: grant.trim().to_owned(),
        }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} permissions, all of them to read", self.kind, self.permissions.len())?;
        for row in &self.permissions {
            writeln!(f, "\n  {}   (for {})", row.permission, row.collectors.join(", "))?;
            let width = row.calls.keys().map(String::len).max().unwrap_or(0);
            for (call, purpose) in &row.calls {
                writeln!(f, "    {call:width$}  {purpose}")?;
            }
        }
        if !self.grant.is_empty() {
            writeln!(f, "\nHow to grant them\n")?;
            for line in self.grant.lines() {
                writeln!(f, "  {}", line.trim_end())?;
            }
        }
        Ok(())
    }
}
