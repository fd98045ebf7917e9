//! What deviates, the worst first, each with what it was, what it is, who changed it and what to do first.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Params, State};
use axum::response::Html;

use super::card::Card;
use super::{Frame, laid_out, shown};
use crate::api::{Part, deviations_part};
use crate::backend::Asked;
use crate::problem::Problem;

/// Deviations on one page.
const PER_PAGE: usize = 50;

#[derive(Template)]
#[template(path = "deviations.html")]
struct Deviations {
    frame: Frame,
    cards: Vec<Card>,
    first: u64,
    total: u64,
    further: Option<String>,
}

pub(super) async fn page(
    State(asked): State<Asked>,
    part: Result<Params<Part>, QueryRejection>,
) -> Result<Html<String>, Problem> {
    let part = Part::read(part)?;
    laid_out(&asked, move |query| {
        let listing = deviations_part(query, part, PER_PAGE)?;
        Ok(Deviations {
            frame: Frame::of(query, "deviations")?,
            total: listing.total.unwrap_or(listing.items.len()) as u64,
            cards: listing.items.into_iter().map(Card::of).collect(),
            first: part.from() as u64 + 1,
            further: listing.next.map(|next| next.replace("/api/v1/", "/")),
        })
    })
    .await
}
