//! The world on a loopback port: a thread of its own, so that an outage is a closed port and nothing less.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::hook::{HookAnswer, Received};
use crate::keycloak::{self, Reply};
use crate::{Call, World};

/// The greatest body that is read from a caller.
const GREATEST_BODY: usize = 4 << 20;
/// Items of a list are sent in chunks of about so many bytes.
const CHUNK: usize = 32 << 10;

/// A world that listens. Dropping it stops it.
pub struct Server {
    world: World,
    address: SocketAddr,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens on 127.0.0.1; port 0 takes a free one, and keeps it through outages.
    pub(crate) fn start(world: World, port: u16) -> io::Result<Server> {
        let mut server = Server { world, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), running: None };
        server.restore()?;
        Ok(server)
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the port and every connection: from here on, connecting is refused. Waits until it is so.
    pub fn outage(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Listens again on the same port; does nothing while it listens.
    pub fn restore(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        self.address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().fallback(serve).with_state(self.world.clone());
        let thread = std::thread::Builder::new().name("world".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime ends every task, and with it every open connection.
        })?;
        self.running = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.outage();
    }
}

async fn serve(State(world): State<World>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body = axum::body::to_bytes(body, GREATEST_BODY).await.unwrap_or_default();
    let mut response = if path == "/hook" || path.starts_with("/hook/") {
        hook(&world, path, &parts.headers, body).await
    } else {
        ask(&world, &parts, &body).await
    };
    if let Ok(date) = HeaderValue::from_str(&http_date(world.now())) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

async fn ask(world: &World, parts: &http::request::Parts, form: &Bytes) -> Response {
    let target = parts.uri.path_and_query().map_or("", |t| t.as_str()).to_owned();
    let path: Vec<String> = parts.uri.path().trim_start_matches('/').split('/').map(decode).collect();
    let query = parts.uri.query().unwrap_or_default();
    let call = keycloak::call(&parts.method, &path);
    let fault = world.faults().strike(&call, keycloak::page_number(query));
    let seen = |status: Option<StatusCode>| {
        world.saw(Call {
            at: world.now(),
            call: call.clone(),
            target: target.clone(),
            status: status.map(|s| s.as_u16()),
        });
    };
    if fault == Some(Fault::Hang) {
        seen(None);
        std::future::pending::<()>().await;
    }
    if let Some(Fault::Slow(wait)) = fault {
        tokio::time::sleep(wait).await;
    }
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let answer = || {
        let request = keycloak::Request {
            method: &parts.method,
            path: &path,
            query,
            token: header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")),
            form,
            host: header(HOST).unwrap_or("127.0.0.1"),
            now: world.now(),
        };
        keycloak::reply(&world.organisation(), &request)
    };
    let response = match fault {
        Some(Fault::Denied) => send(keycloak::denied(), None),
        Some(Fault::Unauthenticated) => send(keycloak::unauthenticated(), None),
        Some(Fault::Throttled { retry_after } | Fault::EveryNthThrottled { retry_after, .. }) => throttled(retry_after),
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let why = "For more on this error consult the server log.";
            send(Reply::One(status, serde_json::json!({ "error": "unknown_error", "error_description": why })), None)
        }
        Some(Fault::DroppedPage(_)) => send(Reply::Many(Box::new(std::iter::empty())), None),
        Some(Fault::CutOff(after)) => send(answer(), Some(after)),
        Some(Fault::Html) => {
            plain("text/html;charset=UTF-8", "<!DOCTYPE html><html><body><h1>Sign in to continue</h1></body></html>")
        }
        Some(Fault::Body(body)) => plain("application/json;charset=UTF-8", body),
        Some(Fault::Slow(_) | Fault::Hang) | None => send(answer(), None),
    };
    seen(Some(response.status()));
    response
}

async fn hook(world: &World, path: String, headers: &HeaderMap, body: Bytes) -> Response {
    let answer = world.hook().answer();
    if let HookAnswer::Slow(wait) = answer {
        tokio::time::sleep(wait).await;
    }
    let response = match answer {
        HookAnswer::Status(status) => with_status(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)),
        HookAnswer::Throttled { retry_after } => throttled(retry_after),
        HookAnswer::Slow(_) | HookAnswer::Hang => with_status(StatusCode::NO_CONTENT),
    };
    let hangs = answer == HookAnswer::Hang;
    let headers = headers.iter().filter_map(|(n, v)| Some((n.as_str().to_owned(), v.to_str().ok()?.to_owned())));
    let answered = (!hangs).then(|| response.status().as_u16());
    world.hook().keep(Received { at: world.now(), path, headers: headers.collect(), body, answered });
    if hangs {
        std::future::pending::<()>().await;
    }
    response
}

/// Turns an answer into bytes, a list piece by piece; `cut` breaks the connection after so many bytes of body.
fn send(reply: Reply, cut: Option<usize>) -> Response {
    let (status, body) = match reply {
        Reply::One(status, value) if cut.is_none() => (status, Body::from(value.to_string())),
        Reply::One(status, value) => (status, broken(std::iter::once(Bytes::from(value.to_string())), cut)),
        Reply::Many(items) => (StatusCode::OK, broken(Pieces { items, open: false, closed: false }, cut)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    let kind = if refused { "application/json" } else { "application/json;charset=UTF-8" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The pieces as a body, which breaks off with an error after `cut` bytes.
fn broken(pieces: impl Iterator<Item = Bytes> + Send + 'static, cut: Option<usize>) -> Body {
    let mut left = cut;
    let pieces = pieces.map(move |mut piece| {
        let whole = left.is_none_or(|left| piece.len() <= left);
        if let Some(left) = &mut left {
            piece.truncate(*left);
            *left -= piece.len();
        }
        (piece, whole)
    });
    let bytes = futures::stream::iter(pieces).flat_map(|(piece, whole)| {
        let broken = (!whole).then(|| Err(io::Error::from(io::ErrorKind::ConnectionReset)));
        // Half a piece first goes out on its own, so that what is cut off is really a beginning.
        futures::stream::iter([Some(Ok(piece)), broken].into_iter().flatten()).then(move |item| async move {
            if item.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            item
        })
    });
    Body::from_stream(bytes)
}

/// The bytes of a JSON list, some tens of kilobytes at a time.
struct Pieces {
    items: Box<dyn Iterator<Item = serde_json::Value> + Send>,
    open: bool,
    closed: bool,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.closed {
            return None;
        }
        let mut piece = BytesMut::with_capacity(CHUNK + 4096);
        while piece.len() < CHUNK {
            let Some(item) = self.items.next() else {
                piece.extend_from_slice(if self.open { b"]" } else { b"[]" });
                self.closed = true;
                break;
            };
            piece.extend_from_slice(if self.open { b"," } else { b"[" });
            self.open = true;
            piece.extend_from_slice(item.to_string().as_bytes());
        }
        Some(piece.freeze())
    }
}

fn throttled(retry_after: u32) -> Response {
    let mut response = plain("text/plain", "too many requests");
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

fn plain(kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn with_status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn decode(segment: &str) -> String {
    // A form's plus sign is a plain plus in a path, and has to survive the decoding.
    let plus = segment.replace('+', "%2B");
    url::form_urlencoded::parse(plus.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}

fn http_date(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
