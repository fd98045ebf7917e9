//! The first page: what changed, what deviates, what could not be seen, which sources are late.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use query::{Query, RoomView, TroubleView};

use super::card::Card;
use super::changes::Line;
use super::sources::{Stream, Unseen, unseen};
use super::{Frame, laid_out, shown};
use crate::api::now_view;
use crate::backend::Asked;
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "now.html")]
struct Now {
    frame: Frame,
    /// The disk is too full to keep evidence.
    room: Option<RoomView>,
    /// What is amiss with the daemon itself.
    troubles: Vec<TroubleView>,
    changes: Vec<Line>,
    changes_more: bool,
    deviations: Vec<Card>,
    deviations_total: u64,
    unseen: Vec<Unseen>,
    streams: Vec<Stream>,
}

pub(super) async fn page(State(asked): State<Asked>) -> Result<Html<String>, Problem> {
    laid_out(&asked, now).await
}

fn now(query: &Query<'_>) -> Result<Now, Problem> {
    let view = now_view(query)?;
    Ok(Now {
        frame: Frame::of(query, "now")?,
        room: view.overview.room,
        troubles: view.overview.troubles,
        changes: view.overview.changes.into_iter().map(Line::of).collect(),
        changes_more: view.changes_more,
        deviations: view.overview.deviations.into_iter().map(Card::of).collect(),
        deviations_total: view.deviations_total as u64,
        unseen: unseen(query, &view.overview.streams),
        streams: view.overview.streams.into_iter().map(Stream::of).collect(),
    })
}
