//! What changed, newest first, page by page.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Params, State};
use axum::response::Html;
use query::ChangeView;

use super::{Frame, laid_out, shown};
use crate::api::{Part, changes_part};
use crate::backend::Asked;
use crate::problem::Problem;

/// Changes on one page.
const PER_PAGE: usize = 100;

/// A change, laid out.
pub(super) struct Line {
    pub(super) view: ChangeView,
    pub(super) shape: &'static str,
    pub(super) class: &'static str,
    /// The check, where the change is of one resource under one check; what it happened to stands in `name`.
    pub(super) check: Option<String>,
    pub(super) name: String,
    /// Where more of it is: the control, for a finding; its entry otherwise.
    pub(super) link: String,
}

impl Line {
    pub(super) fn of(view: ChangeView) -> Line {
        let (shape, class) = shown::change(&view.kind, &view.what);
        let (check, name) = match view.subject.split_once("  ").filter(|_| view.kind == "deviation") {
            Some((check, name)) => (Some(check.to_owned()), name.to_owned()),
            None => (None, view.subject.clone()),
        };
        let control = view.subject.split_once(' ').filter(|_| view.kind == "finding");
        let link = match control {
            Some((framework, control)) => format!("/controls/{framework}/{control}"),
            None => format!("/entries/{}", view.entry),
        };
        Line { link, view, shape, class, check, name }
    }
}

#[derive(Template)]
#[template(path = "changes.html")]
struct Changes {
    frame: Frame,
    changes: Vec<Line>,
    older: Option<String>,
    limit: u64,
}

pub(super) async fn page(
    State(asked): State<Asked>,
    part: Result<Params<Part>, QueryRejection>,
) -> Result<Html<String>, Problem> {
    let part = Part::read(part)?;
    laid_out(&asked, move |query| {
        let listing = changes_part(query, part, PER_PAGE)?;
        Ok(Changes {
            frame: Frame::of(query, "changes")?,
            changes: listing.items.into_iter().map(Line::of).collect(),
            older: listing.next.map(|next| next.replace("/api/v1/", "/")),
            limit: listing.limit as u64,
        })
    })
    .await
}
