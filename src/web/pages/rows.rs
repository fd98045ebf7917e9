//! The rows of an entry, some at a time.

use domain::CheckId;
use query::{Query, RowView};
use serde_json::Value;

use super::card::{Pair, pairs};
use super::shown::{self, Mark};
use crate::problem::Problem;

/// Rows on one page; each is opened from its own body.
const PER_PAGE: u64 = 50;

/// Which rows of an entry to show: at most [`PER_PAGE`], beginning with `from`, before `end`.
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) end: u64,
}

/// A part of an entry's rows.
pub(super) struct Rows {
    pub(super) shown: Vec<Row>,
    pub(super) total: u64,
    /// They are observations, not resources.
    pub(super) observed: bool,
    /// Where the part before this one begins, and where the part after it.
    pub(super) before: Option<u64>,
    pub(super) after: Option<u64>,
}

/// A row in one line.
pub(super) struct Row {
    pub(super) row: u64,
    pub(super) check: Option<CheckId>,
    pub(super) mark: Option<Mark>,
    pub(super) name: String,
    pub(super) values: Vec<Pair>,
}

impl Rows {
    pub(super) fn of(query: &Query<'_>, entry: u64, window: Window) -> Result<Rows, Problem> {
        let from = window.from.min(window.end);
        let to = from.saturating_add(PER_PAGE).min(window.end);
        let number = |row: u64| u32::try_from(row).unwrap_or(u32::MAX);
        let views = query.rows_view(entry, number(from), number(to))?;
        let rows: Vec<Row> = (from..).zip(views).map(|(row, view)| Row::of(row, view)).collect();
        Ok(Rows {
            observed: rows.iter().any(|row| row.check.is_some()),
            shown: rows,
            total: window.end,
            before: (from > 0).then(|| from.saturating_sub(PER_PAGE)),
            after: (to < window.end).then_some(to),
        })
    }
}

impl Row {
    fn of(row: u64, view: RowView) -> Row {
        let blank = Row { row, check: None, mark: None, name: String::new(), values: Vec::new() };
        if let Some(observation) = view.observation {
            return Row {
                check: Some(observation.check),
                mark: Some(shown::observation(observation.value)),
                name: observation.name,
                values: pairs(&observation.fields),
                ..blank
            };
        }
        let name = match &view.resource {
            Some(resource) => resource.get("name").and_then(Value::as_str).unwrap_or("").to_owned(),
            None if view.erased => "erased".to_owned(),
            None => view.line,
        };
        Row { name, values: view.resource.as_ref().map(fields).unwrap_or_default(), ..blank }
    }
}

/// The fields of a resource as it was read, each in one line.
pub(super) fn fields(resource: &Value) -> Vec<Pair> {
    resource.get("fields").and_then(Value::as_object).map(pairs).unwrap_or_default()
}
