//! Pages, API, health and control: what is recorded, shown to people and programs, over [`query`] only.
//!
//! Nothing here can change anything, with one exception: [`control`], for a socket that only the daemon's owner can
//! open, lets runs be asked for, exports be recorded, and records be erased and held. There is no JavaScript, no cookie
//! and no request to another host.

mod access;
mod api;
mod backend;
mod escape;
mod guard;
mod health;
mod openapi;
mod pages;
mod privacy;
mod problem;
mod serve;
mod style;

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};

pub use access::{Access, Token};
pub use api::{ExportAnswer, ExportAsked, Listing, NowView, RunNowAnswer, RunNowAsked, openapi};
pub use backend::{Backend, Erasing, RunNow};
pub use privacy::{EraseAsked, Erased, ErasedRecord, HoldAnswer, HoldAsked, LeftBodies, PackageSent, ReleaseAsked};
pub use problem::ErrorBody;
pub use serve::{Connections, serve};

use backend::Asked;
use problem::Form;

/// The pages under `/` and the API under `/api/v1`, both for reading only.
pub fn pages(backend: Arc<dyn Backend>, access: Access) -> Router {
    let asked = Asked::new(backend);
    let router = pages::routes(asked.clone()).merge(api::routes(asked));
    // The style sheet tells nothing, and the page that asks for the token wants it too.
    let checked = |router: Router| {
        let router = router.layer(middleware::from_fn_with_state(access, access::check));
        router.route(&style::ADDRESS, get(style::sheet))
    };
    guard::surround(router, checked, guard::page_or_json, guard::LONGEST)
}

/// `/healthz` (the process lives), `/readyz` (it can record and schedule) and `/metrics`: no evidence, so no token.
pub fn health(backend: Arc<dyn Backend>) -> Router {
    guard::surround(health::routes(Asked::new(backend)), |router| router, |_| Form::Text, guard::LONGEST)
}

/// The API, and what only the daemon's owner may ask for, for a socket that nobody else can open.
pub fn control(backend: Arc<dyn Backend>) -> Router {
    let asked = Asked::new(backend);
    let router = api::routes(asked.clone()).merge(api::control(asked));
    guard::surround(router, |router| router, |_| Form::Json, guard::LONGEST_OF_OWNER)
}
