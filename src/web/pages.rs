//! The pages: plain HTML that a printer, a phone and a screen reader understand.

mod card;
mod changes;
mod controls;
mod deviations;
mod entry;
mod now;
mod row;
mod rows;
mod shown;
mod sources;

use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use domain::{Duration, FrameworkId, Timestamp};
use query::{LedgerView, Query};

use crate::backend::Asked;
use crate::problem::{ErrorBody, Problem};
use crate::style;

pub(crate) fn routes(asked: Asked) -> Router {
    Router::new()
        .route("/", get(now::page))
        .route("/changes", get(changes::page))
        .route("/deviations", get(deviations::page))
        .route("/sources", get(sources::page))
        .route("/controls/{framework}", get(controls::all))
        .route("/controls/{framework}/{control}", get(controls::one))
        .route("/entries/{entry}", get(entry::page))
        .route("/entries/{entry}/{row}", get(row::page))
        .with_state(asked)
}

/// What stands around every page.
struct Frame {
    organisation: String,
    now: Timestamp,
    ledger: LedgerView,
    frameworks: Vec<(FrameworkId, String)>,
    style: &'static str,
    /// The part of the site that this page belongs to.
    here: String,
}

impl Frame {
    fn of(query: &Query<'_>, here: &str) -> Result<Frame, Problem> {
        let catalogue = query.catalogue;
        Ok(Frame {
            organisation: catalogue.organisation.clone(),
            now: query.now,
            ledger: query.ledger()?,
            frameworks: catalogue.frameworks.iter().map(|(id, info)| (id.clone(), info.title.clone())).collect(),
            style: &style::ADDRESS,
            here: here.to_owned(),
        })
    }

    /// How long ago something was, as of this page.
    fn age(&self, at: &Timestamp) -> Duration {
        self.now.since(*at)
    }

    /// Marks the part of the site that is shown, for those who listen.
    fn current(&self, part: &str) -> &'static str {
        if self.here == part { "page" } else { "false" }
    }
}

/// A page that can say nothing but what went wrong.
#[derive(Template)]
#[template(path = "bare.html")]
pub(crate) struct Bare<'a> {
    pub(crate) title: &'a str,
    pub(crate) status: u16,
    pub(crate) body: &'a ErrorBody,
}

impl Bare<'_> {
    fn style(&self) -> &'static str {
        &style::ADDRESS
    }
}

/// Asks, and lays the answer out, both where waiting harms nobody.
async fn laid_out<T: Template>(
    asked: &Asked,
    question: impl FnOnce(&Query<'_>) -> Result<T, Problem> + Send + 'static,
) -> Result<Html<String>, Problem> {
    asked.ask(move |query| Ok(Html(question(query)?.render()?))).await
}
