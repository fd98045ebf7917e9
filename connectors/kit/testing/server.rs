//! Replays recorded answers over loopback, on a good day or a bad one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::{Fixture, Recorded};

/// What a source may do to us. Everything but `Good` happens to the calls that the day is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Day {
    /// Answers as recorded.
    Good,
    /// Answers 200 with nothing in the list or object.
    Empty,
    /// Answers with a status and an error object.
    Status(u16),
    /// Answers 429 for ever.
    Throttled,
    /// Answers 429 once, then as recorded.
    ThrottledOnce,
    /// Answers half of the body and closes.
    CutOff,
    /// Takes the request and never answers.
    Hangs,
    /// Answers every page but the first with an empty list.
    LaterPagesLost,
    /// Names a next page at another host.
    NextLinkElsewhere,
    /// Answers with a redirect to another host.
    Redirect,
    /// Answers 200 with a page for people.
    Html,
    /// Answers 200 with JSON that stops in the middle.
    BadJson,
    /// Answers 200 with an error object.
    ErrorObject,
}

impl Day {
    /// Every bad day.
    pub const BAD: &'static [Day] = &[
        Day::Empty,
        Day::Status(401),
        Day::Status(403),
        Day::Status(500),
        Day::Status(503),
        Day::Throttled,
        Day::ThrottledOnce,
        Day::CutOff,
        Day::Hangs,
        Day::LaterPagesLost,
        Day::NextLinkElsewhere,
        Day::Redirect,
        Day::Html,
        Day::BadJson,
        Day::ErrorObject,
    ];
}

/// A source that answers what was recorded. Ends when dropped.
pub struct Replay {
    url: Url,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

/// Says by method, path and action whether the day is for a request.
type Affects = dyn Fn(&str, &str, Option<&str>) -> bool + Send + Sync;

/// What was asked.
struct Asked {
    method: String,
    /// Path and query; for a request that names an action in its body, the body stands in the place of the query.
    target: String,
    action: Option<String>,
    /// The tag of an earlier answer, which the source may confirm.
    tag: Option<String>,
}

struct State {
    fixture: Fixture,
    day: Day,
    affects: Box<Affects>,
    /// An address that must never be asked.
    elsewhere: Url,
    throttled: Mutex<Vec<String>>,
    affected: Mutex<u32>,
    unknown: Mutex<Vec<String>>,
}

impl Replay {
    /// Begins to answer on a free port of loopback. The day is for the calls that `affects` says yes to.
    pub async fn start(
        fixture: Fixture,
        day: Day,
        elsewhere: &Url,
        affects: impl Fn(&str, &str, Option<&str>) -> bool + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut url = elsewhere.clone();
        let _ = url.set_port(Some(listener.local_addr()?.port()));
        let state = Arc::new(State {
            fixture,
            day,
            affects: Box::new(affects),
            elsewhere: elsewhere.clone(),
            throttled: Mutex::default(),
            affected: Mutex::default(),
            unknown: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that went away is no fault of the replay.
                    let _ = answer(stream, &state).await;
                });
            }
        });
        Ok(Replay { url, state, task })
    }

    /// Where it answers.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Requests for which nothing is recorded.
    pub fn unknown(&self) -> Vec<String> {
        self.state.unknown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many answers the bad day changed.
    pub fn affected(&self) -> u32 {
        *self.state.affected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let Some(Asked { method, target, action, tag }) = read_request(&mut stream).await? else { return Ok(()) };
    let Some(recorded) = state.fixture.answer(&method, &target) else {
        state.unknown.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
        return send(&mut stream, 404, &[], b"{\"error\":\"not recorded\"}").await;
    };
    let path = target.split('?').next().unwrap_or(&target);
    let day = if (state.affects)(&method, path, action.as_deref()) { state.day } else { Day::Good };
    let first_time = {
        let mut seen = state.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        let new = !seen.contains(&target);
        seen.push(target.clone());
        new
    };
    let paged = recorded.headers.contains_key("link");
    let later = state.fixture.is_later_page(&target);
    let changes = match day {
        Day::Good => false,
        Day::ThrottledOnce => first_time,
        Day::LaterPagesLost => later || paged,
        Day::NextLinkElsewhere => paged,
        _ => true,
    };
    if !changes {
        if tag.is_some_and(|tag| recorded.headers.get("etag") == Some(&tag)) {
            // As scarce as GitHub's, which names neither the tag nor the next page.
            return send(&mut stream, 304, &[], b"").await;
        }
        return send_recorded(&mut stream, &recorded, recorded.body.as_bytes()).await;
    }
    *state.affected.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    let json = [("content-type", "application/json")];
    let elsewhere = state.elsewhere.as_str();
    match day {
        Day::Good => Ok(()),
        Day::Empty => {
            let body: &[u8] = if recorded.body.trim_start().starts_with('[') { b"[]" } else { b"{}" };
            send_recorded(&mut stream, &Recorded { headers: bare(&recorded), status: 200, ..recorded.clone() }, body)
                .await
        }
        Day::Status(status) => send(&mut stream, status, &json, b"{\"error\":\"it is a bad day\"}").await,
        Day::Throttled | Day::ThrottledOnce => send(&mut stream, 429, &[], b"").await,
        Day::CutOff => {
            let whole = recorded.body.as_bytes();
            let half = whole.get(..whole.len() / 2).unwrap_or_default();
            let head = head(200, &json, whole.len().max(2));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(half).await?;
            stream.shutdown().await
        }
        Day::Hangs => std::future::pending().await,
        // Lists by link lose their later pages with the link.
        Day::LaterPagesLost if paged => {
            let headers = bare(&recorded);
            send_recorded(&mut stream, &Recorded { headers, ..recorded.clone() }, recorded.body.as_bytes()).await
        }
        Day::LaterPagesLost => send(&mut stream, 200, &json, b"[]").await,
        Day::NextLinkElsewhere => {
            let mut changed = recorded.clone();
            changed.headers.insert("link".to_owned(), format!("<{elsewhere}stolen?page=2>; rel=\"next\""));
            send_recorded(&mut stream, &changed, recorded.body.as_bytes()).await
        }
        Day::Redirect => send(&mut stream, 302, &[("location", &format!("{elsewhere}stolen"))], b"").await,
        Day::Html => send(&mut stream, 200, &[("content-type", "text/html")], b"<html>Welcome back</html>").await,
        Day::BadJson => {
            // A number cut short is a number still; the brace makes an end of it.
            let half = recorded.body.get(..recorded.body.len() / 2).unwrap_or_default();
            send(&mut stream, 200, &json, format!("{half}{{").as_bytes()).await
        }
        Day::ErrorObject => send(&mut stream, 200, &json, b"{\"error\":\"unknown_error\"}").await,
    }
}

/// Reads one request; `None` when the client went away.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(asked(head, body));
            }
        }
        match stream.read(&mut piece).await? {
            0 => return Ok(None),
            n => got.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
}

fn asked(head: &str, body: &str) -> Option<Asked> {
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = words.next().zip(words.next())?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.parse::<http::HeaderName>().ok()?, value.trim().parse::<http::HeaderValue>().ok()?))
    };
    let headers: http::HeaderMap = head.lines().filter_map(header).collect();
    let action = crate::action_asked(&headers, target.split_once('?').map(|(_, query)| query), body.as_bytes());
    let target = if action.is_some() { format!("{target}?{body}") } else { target };
    let tag = headers.get(http::header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    Some(Asked { method, target, action, tag })
}

/// The headers without the link to the next page.
fn bare(recorded: &Recorded) -> std::collections::BTreeMap<String, String> {
    let mut headers = recorded.headers.clone();
    headers.remove("link");
    headers
}

async fn send_recorded(stream: &mut TcpStream, recorded: &Recorded, body: &[u8]) -> std::io::Result<()> {
    let headers: Vec<(&str, &str)> = recorded.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    send(stream, recorded.status, &headers, body).await
}

async fn send(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<()> {
    stream.write_all(head(status, headers, body.len()).as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

fn head(status: u16, headers: &[(&str, &str)], length: usize) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} \r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n")
}
