//! What went wrong with a request, said in the form that the asker reads: a page, JSON, or plain text.

use askama::Template;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pages::Bare;
use domain::in_full;

/// The body of every error of the API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// A request that gets no answer, and why.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Problem { status, body: ErrorBody { error: error.into(), remedy: remedy.into() } }
    }

    /// Something in us, or in what we hold, is broken.
    pub(crate) fn broken(error: &str) -> Self {
        tracing::error!(error, "a request could not be answered");
        let remedy = "see the daemon's log; evidenced verify tells whether what is recorded is whole";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error, remedy)
    }

    /// There is no answer while the index is being built, which ends by itself.
    pub(crate) fn for_now(so_far: String) -> Self {
        let remedy = "ask again in a while; meanwhile evidenced show, list and verify read the ledger itself";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, so_far, remedy)
    }

    /// There is no such thing.
    pub(crate) fn unknown(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, error, remedy)
    }

    /// The request does not read.
    pub(crate) fn unreadable(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, error, remedy)
    }

    /// A problem for an answer that has none: those the web framework gives by itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (error, remedy) = match status {
            StatusCode::NOT_FOUND => ("there is nothing at this address", "begin at / or at /api/v1/overview"),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("nothing can be changed here", "ask with GET; evidenced run-now collects, by the daemon's own socket")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("the request's body is too large", "send less"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("the request's body is not JSON", "send it as application/json"),
            _ => (status.canonical_reason().unwrap_or("the request was refused"), "see the daemon's log"),
        };
        Problem::new(status, error, remedy)
    }

    /// The answer in the form that is wanted.
    pub(crate) fn render(self, form: Form) -> Response {
        let Problem { status, body } = self;
        match form {
            Form::Json => (status, Json(body)).into_response(),
            Form::Text => (status, format!("{}\n{}\n", body.error, body.remedy)).into_response(),
            Form::Page => {
                let title = status.canonical_reason().unwrap_or("Refused");
                match (Bare { title, status: status.as_u16(), body: &body }).render() {
                    Ok(page) => (status, [(header::CONTENT_TYPE, HTML)], page).into_response(),
                    Err(_) => (status, body.error).into_response(),
                }
            }
        }
    }
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The form in which an asker reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Page,
    Json,
    Text,
}

/// Carries the problem to [`crate::guard`], which knows the form.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What cannot be read from store or index is ours to mend, never the asker's.
impl<E: std::error::Error> From<E> for Problem {
    fn from(error: E) -> Self {
        Problem::broken(&in_full(&error))
    }
}
