//! The one style sheet, served under an address that changes with it, so that it may be kept for ever.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use sha2::{Digest, Sha256};

const SHEET: &str = include_str!("style.css");

/// The address of the style sheet.
pub(crate) static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let mut digest = hex::encode(Sha256::digest(SHEET));
    digest.truncate(16);
    format!("/style-{digest}.css")
});

/// The style sheet.
pub(crate) async fn sheet() -> impl IntoResponse {
    let kept = "public, max-age=31536000, immutable";
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, kept)], SHEET)
}
