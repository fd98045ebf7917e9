//! The world on a loopback port: a thread of its own, so that an outage is a closed port and nothing less.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{DATE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::hook::{HookAnswer, Received};
use crate::reply::{self, Reply};
use crate::{Call, World, aws, github, keycloak};

/// The greatest body that is read from a caller.
const GREATEST_BODY: usize = 4 << 20;

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

/// A request, as far as its answer depends on it.
pub(crate) struct Asked<'a> {
    pub(crate) parts: &'a http::request::Parts,
    /// Path segments, percent-decoded.
    pub(crate) path: &'a [String],
    pub(crate) query: &'a str,
    /// Path and query as asked.
    pub(crate) target: &'a str,
    pub(crate) form: &'a Bytes,
    pub(crate) now: i64,
}

impl Asked<'_> {
    /// The value of a header, where it is a text.
    pub(crate) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Whose API a request belongs to: no two of them share a path.
#[derive(Clone, Copy)]
enum Vendor {
    Keycloak,
    Aws,
    GitHub,
}

impl Vendor {
    fn of(asked: &Asked) -> Vendor {
        match asked.path.first().map(String::as_str) {
            Some("") if asked.parts.method == http::Method::POST => Vendor::Aws,
            Some("api" | "app" | "graphql" | "organizations" | "orgs" | "repos" | "user") => Vendor::GitHub,
            _ => Vendor::Keycloak,
        }
    }

    fn call(self, asked: &Asked) -> String {
        match self {
            Vendor::Keycloak => keycloak::call(asked),
            Vendor::Aws => aws::call(asked),
            Vendor::GitHub => github::call(asked),
        }
    }

    fn page_number(self, asked: &Asked) -> Option<u64> {
        match self {
            Vendor::Keycloak => keycloak::page_number(asked),
            Vendor::Aws => aws::page_number(asked),
            Vendor::GitHub => github::page_number(asked),
        }
    }

    fn reply(self, world: &World, asked: &Asked) -> Reply {
        match self {
            Vendor::Keycloak => keycloak::reply(world, asked),
            Vendor::Aws => aws::reply(world, asked),
            Vendor::GitHub => github::reply(world, asked),
        }
    }

    fn struck(self, world: &World, asked: &Asked, fault: &Fault) -> Reply {
        match self {
            Vendor::Keycloak => keycloak::struck(world, asked, fault),
            Vendor::Aws => aws::struck(world, asked, fault),
            Vendor::GitHub => github::struck(world, asked, fault),
        }
    }
}

async fn ask(world: &World, parts: &http::request::Parts, form: &Bytes) -> Response {
    let path: Vec<String> = parts.uri.path().trim_start_matches('/').split('/').map(decode).collect();
    let asked = Asked {
        parts,
        path: &path,
        query: parts.uri.query().unwrap_or_default(),
        target: parts.uri.path_and_query().map_or("", |t| t.as_str()),
        form,
        now: world.now(),
    };
    let vendor = Vendor::of(&asked);
    let call = vendor.call(&asked);
    let fault = world.faults().strike(&call, vendor.page_number(&asked));
    let seen = |status: Option<StatusCode>| {
        let status = status.map(|s| s.as_u16());
        world.saw(Call { at: world.now(), call: call.clone(), target: asked.target.to_owned(), status });
    };
    let mut cut = None;
    let reply = match fault {
        Some(Fault::Hang) => {
            seen(None);
            std::future::pending::<()>().await;
            return Response::new(Body::empty());
        }
        Some(Fault::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            vendor.reply(world, &Asked { now: world.now(), ..asked })
        }
        Some(Fault::CutOff(after)) => {
            cut = Some(after);
            vendor.reply(world, &asked)
        }
        Some(Fault::Html) => {
            let page = "<!DOCTYPE html><html><body><h1>Sign in to continue</h1></body></html>";
            Reply::whole(StatusCode::OK, "text/html;charset=UTF-8", page)
        }
        Some(fault) => vendor.struck(world, &asked, &fault),
        None => vendor.reply(world, &asked),
    };
    seen(Some(reply.status));
    send(reply, cut)
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

/// Turns an answer into bytes, piece by piece; `cut` breaks the connection after so many bytes of body.
fn send(reply: Reply, cut: Option<usize>) -> Response {
    let body = match reply.body {
        reply::Body::Whole(bytes) if cut.is_none() => Body::from(bytes),
        reply::Body::Whole(bytes) => broken(std::iter::once(bytes), cut),
        reply::Body::Made(pieces) => broken(pieces, cut),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
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

fn throttled(retry_after: u32) -> Response {
    let mut response = with_status(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
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
