//! Sources: when they were last read, what could not be read of them, and what each check says.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use domain::{CheckCounts, CheckId, Gap, StreamId, Timestamp};
use query::{Query, StreamView};

use super::shown::{self, Mark};
use super::{Frame, laid_out};
use crate::backend::Asked;
use crate::problem::Problem;

/// A stream, laid out.
pub(super) struct Stream {
    pub(super) view: StreamView,
    pub(super) outcome: Option<Mark>,
    /// The schedule in words, or that there is none any more.
    pub(super) schedule: String,
    /// What all checks say together.
    pub(super) counts: CheckCounts,
    /// Checks whose evidence is older than it may be.
    pub(super) late: u64,
}

impl Stream {
    pub(super) fn of(view: StreamView) -> Stream {
        let schedule = match &view.schedule {
            None => "no longer in the settings".to_owned(),
            Some(row) => match (&row.expression, &row.zone) {
                (Some(expression), Some(zone)) => format!("{expression} {zone}"),
                (Some(expression), None) => expression.clone(),
                (None, _) => "no longer in the settings".to_owned(),
            },
        };
        let mut counts = CheckCounts::default();
        for check in &view.checks {
            counts.conforms += check.counts.conforms;
            counts.deviates += check.counts.deviates;
            counts.undetermined += check.counts.undetermined;
            counts.not_applicable += check.counts.not_applicable;
        }
        let late = view.checks.iter().filter(|check| check.stale).count() as u64;
        Stream { outcome: view.last_run.as_ref().map(|run| shown::outcome(run.outcome)), schedule, counts, late, view }
    }

    /// Outcomes since the first run.
    fn so_far(&self) -> String {
        let [collected, partial, failed, missed] = self.view.outcomes.map(shown::count);
        format!("{collected} collected, {partial} partial, {failed} failed, {missed} missed")
    }
}

/// Something that could not be seen.
pub(super) struct Unseen {
    pub(super) stream: StreamId,
    pub(super) owner: String,
    /// Since when; `None` when it was never seen.
    pub(super) since: Option<Timestamp>,
    /// Why, in a word or two.
    pub(super) why: String,
    pub(super) gaps: Vec<Gap>,
    /// Checks that say nothing because of it, or rest on evidence that is too old.
    pub(super) blind: Vec<CheckId>,
    pub(super) entry: Option<u64>,
}

/// What could not be seen: lost coverage, gaps without it, streams that never ran, evidence grown too old.
pub(super) fn unseen(query: &Query<'_>, streams: &[StreamView]) -> Vec<Unseen> {
    let mut all = Vec::new();
    for view in streams {
        let blank = Unseen {
            stream: view.stream.clone(),
            owner: view.owner.clone(),
            since: None,
            why: String::new(),
            gaps: view.gaps.clone(),
            blind: Vec::new(),
            entry: view.last_run.as_ref().map(|run| run.entry),
        };
        if let Some(lost) = &view.coverage {
            let (since, entry) = (Some(lost.since), Some(lost.entry));
            all.push(Unseen { since, entry, why: lost.reason.clone(), blind: lost.blind.clone(), ..blank });
        } else if let (Some(run), false) = (&view.last_run, view.gaps.is_empty()) {
            all.push(Unseen { since: Some(run.ended), why: run.outcome.as_str().to_owned(), ..blank });
        } else if view.last_run.is_none() && view.schedule.is_some() {
            let checks = query.catalogue.checks_fed_by(&view.stream).map(|(check, _)| check.clone());
            all.push(Unseen { why: "not read yet".to_owned(), blind: checks.collect(), ..blank });
        }
        let stale: Vec<&query::CheckView> = view.checks.iter().filter(|check| check.stale).collect();
        if let Some(oldest) = stale.iter().map(|check| check.at).min() {
            all.push(Unseen {
                stream: view.stream.clone(),
                owner: view.owner.clone(),
                since: Some(oldest),
                why: "too old: not collected again in time".to_owned(),
                gaps: Vec::new(),
                blind: stale.iter().map(|check| check.check.clone()).collect(),
                entry: view.last_collected.as_ref().map(|run| run.entry),
            });
        }
    }
    all
}

#[derive(Template)]
#[template(path = "sources.html")]
struct Sources {
    frame: Frame,
    streams: Vec<Stream>,
}

pub(super) async fn page(State(asked): State<Asked>) -> Result<Html<String>, Problem> {
    laid_out(&asked, |query| {
        let streams = query.streams()?.into_iter().map(Stream::of).collect();
        Ok(Sources { frame: Frame::of(query, "sources")?, streams })
    })
    .await
}
