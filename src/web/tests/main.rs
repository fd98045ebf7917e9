//! What pages, API, health and control promise, tried through their routers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod api;
mod catalogue;
mod hostile;
mod html;
mod openapi;
mod pages;
mod sample;
mod serve;
mod style;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use sample::{Names, Sample, sample};
use tower::ServiceExt;
use web::Access;

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Asks a router once, as a browser on this machine would.
async fn ask(router: &Router, method: Method, path: &str) -> Answer {
    send(
        router,
        Request::builder().method(method).uri(path).header("host", "127.0.0.1:8461").body(Body::empty()).unwrap(),
    )
    .await
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn get(router: &Router, path: &str) -> Answer {
    ask(router, Method::GET, path).await
}

fn pages_of(sample: Sample) -> Router {
    web::pages(Arc::new(sample), Access::Loopback)
}

fn usual() -> Router {
    pages_of(sample(&Names::tame(), 120))
}

/// One address of every route for reading, pages and API.
const READS: [&str; 22] = [
    "/",
    "/changes",
    "/deviations",
    "/sources",
    "/controls/iso27001-2022",
    "/controls/iso27001-2022/A.8.5",
    "/entries/9",
    "/entries/25",
    "/entries/25/0",
    "/api/v1/overview",
    "/api/v1/changes",
    "/api/v1/deviations",
    "/api/v1/streams",
    "/api/v1/controls",
    "/api/v1/controls/iso27001-2022",
    "/api/v1/controls/iso27001-2022/A.8.5",
    "/api/v1/entries/25",
    "/api/v1/entries/25/0",
    "/api/v1/entries/25/proof",
    "/api/v1/checkpoint",
    "/api/v1/entries/6/rows",
    "/api/v1/openapi.json",
];
