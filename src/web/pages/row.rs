//! One row, the evidence card: where it comes from, what was asked, what came back, what was read out of it, what was
//! made of it, and how to prove and repeat all of it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Html;
use domain::RowAddress;
use domain::entry::{Entry, Fact, Run};
use query::{CheckInfo, EntryView, ExchangeView, Query, RowView};
use serde_json::Value;

use super::card::{ControlLink, Pair, pairs};
use super::rows::fields;
use super::shown::{self, Mark};
use super::{Frame, laid_out};
use crate::api::{entry_in, row_in};
use crate::backend::Asked;
use crate::problem::Problem;

/// Exchanges shown with a resource, and characters of each one's body; each has a page with more of it.
const EXCHANGES: usize = 10;
const BODY_HERE: usize = 8 * 1024;
/// Characters of a body on an exchange's own page; the API has all of it.
const BODY_ALONE: usize = 512 * 1024;

#[derive(Template)]
#[template(path = "row.html")]
struct Page {
    frame: Frame,
    row: RowView,
    entry: EntryView,
    title: String,
    mark: Option<Mark>,
    /// The check's title, why it matters and the controls that rest on it.
    check: Option<(CheckInfo, Vec<ControlLink>)>,
    values: Vec<Pair>,
    unread: Vec<(String, String)>,
    /// The run that the row was read in, and its entry.
    run: Option<(u64, Run)>,
    calls: Vec<Call>,
    calls_left: u64,
}

/// An exchange, with as much of its body as fits here.
struct Call {
    address: RowAddress,
    view: ExchangeView,
    body: Option<String>,
    /// Characters left out.
    left: u64,
}

pub(super) async fn page(
    State(asked): State<Asked>,
    Path((number, row)): Path<(String, String)>,
) -> Result<Html<String>, Problem> {
    laid_out(&asked, move |query| {
        let row = row_in(query, &number, &row)?;
        let entry = entry_in(query, &number)?;
        let run = run_of(query, &entry)?;
        let (calls, calls_left) = calls(query, &row, run.as_ref().map(|(number, _)| *number))?;
        let observation = row.observation.as_ref();
        let check = observation.and_then(|observation| {
            let info = query.catalogue.checks.get(&observation.check)?.clone();
            Some((info, super::card::control_links(query.catalogue.controls_of(&observation.check))))
        });
        let values = match (observation, &row.resource) {
            (Some(observation), _) => pairs(&observation.fields),
            (None, Some(resource)) => fields(resource),
            (None, None) => Vec::new(),
        };
        Ok(Page {
            frame: Frame::of(query, "entry")?,
            title: title(&row),
            mark: observation.map(|observation| shown::observation(observation.value)),
            unread: unread(&row),
            check,
            values,
            run,
            calls,
            calls_left,
            entry,
            row,
        })
    })
    .await
}

fn title(row: &RowView) -> String {
    match (&row.observation, &row.exchange, &row.resource) {
        (Some(observation), _, _) => observation.name.clone(),
        (_, Some(view), _) => view.exchange.call.clone(),
        (_, _, Some(resource)) => resource.get("name").and_then(Value::as_str).unwrap_or("a resource").to_owned(),
        _ => "erased".to_owned(),
    }
}

/// The run behind an entry: itself, or the run that it judges.
fn run_of(query: &Query<'_>, view: &EntryView) -> Result<Option<(u64, Run)>, Problem> {
    Ok(match serde_json::from_value::<Entry>(view.fact.clone())?.fact {
        Fact::Run(run) => Some((view.entry, run)),
        Fact::Observation(observations) => match query.entry_view(observations.run)? {
            Some(judged) => run_of(query, &judged)?,
            None => None,
        },
        _ => None,
    })
}

/// The exchanges that a row was read from, or is.
fn calls(query: &Query<'_>, row: &RowView, run: Option<u64>) -> Result<(Vec<Call>, u64), Problem> {
    if let Some(view) = &row.exchange {
        let call = Call::of(row.address, view.clone(), row.body.clone(), BODY_ALONE);
        return Ok((vec![call], 0));
    }
    let (Some(entry), Some(resource)) = (run, &row.resource) else { return Ok((Vec::new(), 0)) };
    let seqs: Vec<u32> =
        resource.get("exchanges").map(|seqs| serde_json::from_value(seqs.clone())).transpose()?.unwrap_or_default();
    let mut calls = Vec::new();
    for seq in seqs.iter().take(EXCHANGES) {
        let address = RowAddress { entry, row: Some(*seq) };
        if let Some(RowView { exchange: Some(view), body, .. }) = query.row_view(address)? {
            calls.push(Call::of(address, view, body, BODY_HERE));
        }
    }
    Ok((calls, seqs.len().saturating_sub(EXCHANGES) as u64))
}

impl Call {
    fn of(address: RowAddress, view: ExchangeView, body: Option<String>, most: usize) -> Call {
        let cut = body.as_deref().and_then(|text| shown::cut(text, most));
        match cut {
            Some((start, left)) => Call { address, view, body: Some(start.to_owned()), left: left as u64 },
            None => Call { address, view, body, left: 0 },
        }
    }
}

/// The fields that could not be read, each with its reason.
fn unread(row: &RowView) -> Vec<(String, String)> {
    let listed = row.resource.as_ref().and_then(|resource| resource.get("unread")).and_then(Value::as_object);
    let why = |name: &str| listed.and_then(|listed| listed.get(name)).map_or_else(String::new, reason);
    match (&row.observation, listed) {
        (Some(observation), _) => observation.unread.iter().map(|name| (name.clone(), why(name))).collect(),
        (None, Some(listed)) => listed.iter().map(|(name, value)| (name.clone(), reason(value))).collect(),
        (None, None) => Vec::new(),
    }
}

/// `[reason, words]` as text.
fn reason(value: &Value) -> String {
    let parts: Vec<String> = value.as_array().into_iter().flatten().map(shown::value).collect();
    parts.join(": ").replace('_', " ")
}
