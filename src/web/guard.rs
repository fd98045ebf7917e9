//! What surrounds every route: limits before it, and headers and a readable refusal after it.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::CHALLENGES;
use crate::problem::{Form, Problem};

/// The longest address, in bytes.
const GREATEST_URI: usize = 2 * 1024;
/// All header names and values together, in bytes.
const GREATEST_HEADERS: usize = 16 * 1024;
/// The largest body of a request, in bytes. Only the owner's requests have one, and it is tiny.
const GREATEST_BODY: usize = 4 * 1024;
/// A request is answered within this time, or told that it was not.
pub(crate) const LONGEST: Duration = Duration::from_secs(15);
/// The same for what the owner asks: an erasure waits for the runs under way, and reads everything that is kept.
pub(crate) const LONGEST_OF_OWNER: Duration = Duration::from_secs(3600);

/// The form in which a router's askers read, by the address they asked.
pub(crate) type FormOf = fn(&Uri) -> Form;

/// Pages, but for everything under `/api/`.
pub(crate) fn page_or_json(uri: &Uri) -> Form {
    if uri.path() == "/api" || uri.path().starts_with("/api/") { Form::Json } else { Form::Page }
}

/// Puts limits and headers around every route of a router, its unknown ones included; `checked` adds what decides who
/// may ask.
pub(crate) fn surround(
    router: Router,
    checked: impl FnOnce(Router) -> Router,
    form_of: FormOf,
    longest: Duration,
) -> Router {
    checked(router.fallback(nothing_here).method_not_allowed_fallback(nothing_here))
        .layer(DefaultBodyLimit::max(GREATEST_BODY))
        .layer(middleware::from_fn_with_state(longest, within_limits))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(form_of, finish))
}

async fn nothing_here(method: Method) -> Problem {
    let read = method == Method::GET || method == Method::HEAD;
    Problem::of_status(if read { StatusCode::NOT_FOUND } else { StatusCode::METHOD_NOT_ALLOWED })
}

async fn within_limits(State(longest): State<Duration>, request: Request, next: Next) -> Response {
    if request.uri().to_string().len() > GREATEST_URI {
        return Problem::new(StatusCode::URI_TOO_LONG, "the address is too long", "ask for less").into_response();
    }
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > GREATEST_HEADERS {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Problem::new(status, "the request's headers are too large", "send fewer or smaller ones")
            .into_response();
    }
    match tokio::time::timeout(longest, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let error = format!("no answer within {} s", longest.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, "ask again later, or for less").into_response()
        }
    }
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::broken("a fault in the program itself").into_response()
}

/// Says a refusal in the form its asker reads, and adds the headers that every answer carries.
async fn finish(State(form_of): State<FormOf>, request: Request, next: Next) -> Response {
    let form = form_of(request.uri());
    let head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem = response.extensions_mut().remove().unwrap_or_else(|| Problem::of_status(status));
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(form);
        say_how(status, allow, response.headers_mut());
        if head {
            *response.body_mut() = Body::empty();
        }
    }
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Adds the headers of a refusal that say how to do better.
fn say_how(status: StatusCode, allow: Option<HeaderValue>, headers: &mut HeaderMap) {
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, allow.unwrap_or(HeaderValue::from_static("GET, HEAD")));
    }
    if status == StatusCode::UNAUTHORIZED {
        for challenge in CHALLENGES {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }
}

/// No script, no frame, nothing from elsewhere, nothing guessed, nothing told to other hosts.
const ALWAYS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
