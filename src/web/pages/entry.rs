//! One entry of the ledger, opened by its kind: what it says, its rows, and the proof that it is there.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as Params, State};
use axum::response::Html;
use domain::Trigger;
use domain::entry::{CheckLine, Coverage, Deviation, Entry, Fact, Finding, Observations, Run};
use query::{EntryView, ExchangeView, Query};
use serde::Deserialize;

use super::card::Card;
use super::rows::{Rows, Window};
use super::shown::{self, Mark};
use super::{Frame, laid_out};
use crate::api::entry_in;
use crate::backend::Asked;
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "entry.html")]
struct Page {
    frame: Frame,
    entry: EntryView,
    /// The entry as JSON.
    json: String,
    opened: Opened,
    rows: Rows,
}

/// An entry by its kind.
enum Opened {
    /// The step it records, and where the deviation stands by now if that is elsewhere.
    Deviation(Box<Card>, Option<Box<Card>>),
    Judged(Judged),
    Run(Box<Ran>),
    Coverage(Coverage),
    Finding(Finding, Mark, Option<Mark>),
    /// Its fields, each in one line.
    Other(Vec<(String, String)>),
}

/// What all checks say of one run.
struct Judged {
    observations: Observations,
    checks: Vec<CheckShown>,
}

/// One check's line, with its title and its first row.
struct CheckShown {
    line: CheckLine,
    title: String,
    first: u64,
    rows: u64,
}

/// A run.
struct Ran {
    run: Run,
    mark: Mark,
    exchanges: Vec<ExchangeView>,
}

/// Which rows are wanted.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// From this row on.
    from: Option<u64>,
    /// From the first row of this check on.
    check: Option<String>,
}

pub(super) async fn page(
    State(asked): State<Asked>,
    Path(number): Path<String>,
    wanted: Result<Params<Wanted>, QueryRejection>,
) -> Result<Html<String>, Problem> {
    let remedy = "give from (the number of a row) or check (the name of one)";
    let Params(wanted) = wanted.map_err(|error| Problem::unreadable(error.body_text(), remedy))?;
    laid_out(&asked, move |query| {
        let entry = entry_in(query, &number)?;
        let opened = opened(query, &entry)?;
        Ok(Page {
            frame: Frame::of(query, "entry")?,
            rows: Rows::of(query, entry.entry, opened.window(&entry, &wanted))?,
            json: serde_json::to_string_pretty(&entry.fact)?,
            opened,
            entry,
        })
    })
    .await
}

impl Opened {
    /// The rows to show: the wanted ones, or else the first that are not listed above them.
    fn window(&self, entry: &EntryView, wanted: &Wanted) -> Window {
        let usual = match self {
            Opened::Run(ran) => Some(u64::from(ran.run.calls)),
            Opened::Judged(judged) => {
                let named = wanted.check.as_deref();
                judged.checks.iter().find(|check| Some(check.line.check.as_str()) == named).map(|check| check.first)
            }
            _ => None,
        };
        Window { from: wanted.from.or(usual).unwrap_or(0), end: entry.rows }
    }
}

fn opened(query: &Query<'_>, view: &EntryView) -> Result<Opened, Problem> {
    let entry: Entry = serde_json::from_value(view.fact.clone())?;
    Ok(match entry.fact {
        Fact::Deviation(step) => {
            let detail = view.detail.clone().map(serde_json::from_value).transpose()?;
            let recorded = Card::recorded(query, (view.entry, view.at), &step, detail);
            Opened::Deviation(Box::new(recorded), later(query, view.entry, &step)?.map(Box::new))
        }
        Fact::Observation(observations) => {
            let lines = match observations.same_as {
                Some(same) => lines_of(query, same)?,
                None => observations.checks.clone(),
            };
            Opened::Judged(Judged { checks: checks_shown(query, lines), observations })
        }
        Fact::Run(run) => {
            let exchanges = view.exchanges.clone();
            Opened::Run(Box::new(Ran { mark: shown::outcome(run.outcome), exchanges, run }))
        }
        Fact::Coverage(coverage) => Opened::Coverage(coverage),
        Fact::Finding(finding) => {
            let (is, was) = (shown::finding(finding.value), finding.was.map(shown::finding));
            Opened::Finding(finding, is, was)
        }
        _ => Opened::Other(fields(view)),
    })
}

/// Where a deviation stands by now, when a later entry says so.
fn later(query: &Query<'_>, number: u64, step: &Deviation) -> Result<Option<Card>, Problem> {
    let rows = query.deviation_rows()?;
    let row = rows.iter().find(|row| row.check == step.check && row.resource == step.resource);
    let row = row.filter(|row| row.state.last_entry > number);
    row.map(|row| Ok(Card::of(query.deviation_alert(row)?))).transpose()
}

fn lines_of(query: &Query<'_>, number: u64) -> Result<Vec<CheckLine>, Problem> {
    let Some(view) = query.entry_view(number)? else { return Ok(Vec::new()) };
    match serde_json::from_value::<Entry>(view.fact)?.fact {
        Fact::Observation(observations) => Ok(observations.checks),
        _ => Ok(Vec::new()),
    }
}

/// Rows are sorted by check, so that each check's first row follows from the counts before it.
fn checks_shown(query: &Query<'_>, lines: Vec<CheckLine>) -> Vec<CheckShown> {
    let mut first = 0;
    let mut checks = Vec::with_capacity(lines.len());
    for line in lines {
        let title = query.catalogue.checks.get(&line.check).map(|info| info.title.clone()).unwrap_or_default();
        let counts = &line.counts;
        let rows = counts.conforms + counts.deviates + counts.undetermined + counts.not_applicable;
        checks.push(CheckShown { line, title, first, rows });
        first += rows;
    }
    checks
}

/// The fields of a fact that has no page of its own.
fn fields(view: &EntryView) -> Vec<(String, String)> {
    let Some(fact) = view.fact.as_object() else { return Vec::new() };
    let known = |name: &str| matches!(name, "v" | "at" | "t");
    fact.iter().filter(|(name, _)| !known(name)).map(|(name, value)| (name.clone(), shown::value(value))).collect()
}
