//! For whoever keeps the daemon running: it lives, it is ready, it counts.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::backend::Asked;
use crate::problem::Problem;

/// The type of Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn routes(asked: Asked) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(asked)
}

async fn ready(State(asked): State<Asked>) -> Result<&'static str, Problem> {
    let not_ready = |why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why, "see the daemon's log");
    asked.backend().ready().map(|()| "ready\n").map_err(not_ready)
}

async fn metrics(State(asked): State<Asked>) -> Result<impl IntoResponse, Problem> {
    let text = asked.blocking(|backend| backend.metrics().map_err(|why| Problem::broken(&why))).await?;
    Ok(([(header::CONTENT_TYPE, METRICS)], text))
}
