//! The one client a connector may talk through: every request passes [`Recorder::exchange`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::{Clock, Exchange, GapReason, StreamId, Timestamp, Try, in_full};
use http::HeaderMap;
use http::header::IF_NONE_MATCH;
use tokio::sync::{OnceCell, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use url::Url;

use crate::status::{Step, asked_wait, in_words, next_step, unusable};
use crate::view::Mark;
use crate::{
    Arrived, BodySink, Budget, CallSpec, Conditional, Earlier, Evidence, Jitter, Limits, Manners, Transport,
    action_asked, redact,
};

/// Room for so many bytes of a body is made before they come.
const EXPECTED_AT_MOST: usize = 1 << 20;

/// A usable answer.
#[derive(Clone)]
pub struct Answer {
    /// Which exchange it is.
    pub mark: Mark,
    /// HTTP status. An answer that confirms an earlier body (304) has the 200 of that body.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, secrets replaced; what a collector reads is what evidence keeps. Only of a call that is declared
    /// secret as a whole is it the body as received.
    pub body: Bytes,
    /// What [`crate::items`] reads in it, where that was done beside the keeping.
    pub(crate) items: Option<Vec<serde_json::Value>>,
}

impl Answer {
    /// The body as JSON; malformed otherwise.
    pub fn json(&self) -> Result<serde_json::Value, Unread> {
        serde_json::from_slice(&self.body).map_err(|_| self.mark.malformed("the answer is not JSON"))
    }
}

impl std::fmt::Debug for Answer {
    /// Without the body, which may be a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer {{ {} #{} {}, {} bytes }}", self.mark.call.name, self.mark.seq, self.status, self.body.len())
    }
}

/// Something that could not be read, and why: what a gap is made of.
#[derive(Clone, Debug)]
pub struct Unread {
    /// Why.
    pub reason: GapReason,
    /// The declared call, with its placeholders.
    pub call: &'static str,
    /// The permission that the call needs, when a missing one may be the cause.
    pub permission: Option<String>,
    /// What happened, in a few words that name no person and hold no secret.
    pub detail: String,
    /// The exchange that shows it; `None` when nothing was sent.
    pub exchange: Option<u32>,
    /// The answer, when there was one: some sources say more in its body.
    pub answer: Option<Box<Answer>>,
}

impl Unread {
    /// Something that was not even sent.
    pub fn unsent(call: &'static CallSpec, reason: GapReason, detail: impl Into<String>) -> Self {
        Unread { reason, call: call.name, permission: None, detail: detail.into(), exchange: None, answer: None }
    }
}

/// Sends requests to one source for one run, and keeps a record of each.
///
/// It refuses what the collector did not declare and every address but the source's own, redacts secrets before
/// anything is kept, honours the source's budget and waits, and ends every call inside the run's time.
pub struct Recorder {
    pub(crate) stream: StreamId,
    pub(crate) calls: &'static [CallSpec],
    pub(crate) transport: Transport,
    /// `None` when none could be made; the run then never begins to ask.
    pub(crate) client: Option<reqwest::Client>,
    pub(crate) limits: Limits,
    pub(crate) manners: Manners,
    pub(crate) budget: Arc<Budget>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bodies: Arc<dyn BodySink>,
    pub(crate) evidence: Arc<dyn Evidence>,
    pub(crate) jitter: Arc<dyn Jitter>,
    pub(crate) conditional: Option<Arc<dyn Conditional>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) deadline: Instant,
    pub(crate) log: Mutex<Vec<Exchange>>,
    /// How many bytes the last answer had, and a few more.
    pub(crate) last_length: AtomicUsize,
    /// Whether there are earlier answers that can be confirmed; looked up once a run, since most sources have none.
    pub(crate) knows_earlier: OnceCell<bool>,
}

impl Recorder {
    /// Makes one declared call and keeps the exchange, whatever comes of it.
    ///
    /// Dropping the future is safe: the exchange then stands as one whose answer nobody waited for.
    pub async fn exchange(&self, call: &'static CallSpec, request: http::Request<Bytes>) -> Result<Answer, Unread> {
        let arrived = self.ask(call, request).await?;
        self.kept(arrived).await
    }

    /// Makes one declared call, and gives its answer before that is kept, so that the next page can be asked for first.
    /// What it says is read from [`Recorder::kept`] only.
    pub async fn ask(&self, call: &'static CallSpec, request: http::Request<Bytes>) -> Result<Arrived, Unread> {
        let url = self.admit(call, &request).map_err(|why| Unread::unsent(call, GapReason::Refused, why))?;
        let earlier = self.earlier(call, &url).await;
        let mut permit = self.turn().await.map_err(|(why, text)| Unread::unsent(call, why, text))?;
        let seq = self.open(call, &request, &url)?;
        let mark = Mark { call, seq };
        if let Err(why) = self.keep_request(mark, request.body()).await {
            return Err(self.give_up(mark, GapReason::OverLimit, why));
        }
        let mut tries: Vec<Try> = Vec::new();
        loop {
            let sent = self.clock.now();
            let span = span_of(call, &request, &url, tries.len());
            let attempt = self.attempt(&request, &url, earlier.as_ref()).instrument(span.clone());
            let tried = match self.bounded(attempt).await {
                Ok(tried) => tried,
                Err((reason, why)) => return Err(self.give_up(mark, reason, why)),
            };
            drop(permit.take());
            match &tried {
                Tried::Answered(reply) => span.record("http.response.status_code", reply.status),
                Tried::Broke(reason, _) => span.record("error.type", reason.as_str()),
            };
            drop(span);
            let (reason, text, asked) = match tried {
                Tried::Answered(reply) => {
                    let confirmed = reply.status == 304 && earlier.is_some();
                    let throttled = (self.manners.throttles)(reply.status, &reply.headers);
                    let asked = asked_wait(&reply.headers, self.clock.now());
                    if let Some(wait) = asked {
                        self.budget.pause(wait); // For every call of the source, this run's and others'.
                    }
                    let meaning = (self.manners.meaning)(reply.status, &reply.headers, &reply.body);
                    let reason = meaning.or(unusable(reply.status, throttled)).filter(|_| !confirmed);
                    let Some(reason) = reason else {
                        return Ok(self.arrived(mark, reply, earlier.filter(|_| confirmed), None));
                    };
                    if self.step(reason, asked, &tries) == Step::Stop {
                        return Ok(self.arrived(mark, reply, None, Some(reason)));
                    }
                    (reason, TriedText { status: Some(reply.status), error: in_words(reply.status) }, asked)
                }
                Tried::Broke(reason, why) => {
                    if self.step(reason, None, &tries) == Step::Stop {
                        return Err(self.give_up(mark, reason, why));
                    }
                    (reason, TriedText { status: None, error: why }, None)
                }
            };
            let waited = match self.step(reason, asked, &tries) {
                Step::WaitExactly(wait) => wait,
                Step::WaitUpTo(bound) => self.jitter.below(bound).min(bound),
                Step::Stop => Duration::ZERO,
            };
            if reason == GapReason::Throttled {
                self.budget.pause(waited);
            }
            let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            tries.push(Try {
                sent,
                status: text.status,
                error: text.error,
                waited: domain::Duration::from_millis(millis),
            });
            self.amend(mark, |exchange| exchange.tries.clone_from(&tries));
            let again = async {
                tokio::time::sleep(waited).await;
                self.turn().await
            };
            permit = match self.bounded(again).await.and_then(|turn| turn) {
                Ok(permit) => permit,
                Err((stopped, why)) => {
                    // Still throttled when time ran out is throttled: the remedy is a larger quota, not a faster source.
                    let reason = if stopped == GapReason::TimedOut { reason } else { stopped };
                    return Err(self.give_up(mark, reason, why));
                }
            };
        }
    }

    /// Finds the declared call that a request is, and makes it: the door for SDKs that bring their own requests.
    pub async fn send(&self, request: http::Request<Bytes>) -> Result<Answer, Unread> {
        let url = Url::parse(&request.uri().to_string()).ok();
        let declared = url.as_ref().and_then(|url| self.calls.iter().find(|call| self.is_call(call, &request, url)));
        match declared {
            Some(call) => self.exchange(call, request).await,
            None => Err(Unread {
                reason: GapReason::Refused,
                call: "undeclared",
                permission: None,
                detail: format!("{} to an address that the collector did not declare", request.method()),
                exchange: None,
                answer: None,
            }),
        }
    }

    /// How many calls may be under way at once.
    pub(crate) fn at_once(&self) -> usize {
        self.manners.concurrency.max(1) as usize
    }

    /// The limits of the run.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes the exchanges, in the order of sending: the run is over.
    pub(crate) fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the request is the declared call it claims to be, at one of the source's own addresses.
    fn admit(&self, call: &CallSpec, request: &http::Request<Bytes>) -> Result<Url, String> {
        if !self.calls.iter().any(|declared| declared.name == call.name) {
            return Err("the collector did not declare this call".to_owned());
        }
        let url = Url::parse(&request.uri().to_string()).map_err(|_| "not an address".to_owned())?;
        self.transport.path_below(&url).ok_or("an address that does not belong to the source")?;
        if !self.is_call(call, request, &url) {
            return Err("the request is not the call it claims to be".to_owned());
        }
        Ok(url)
    }

    fn is_call(&self, call: &CallSpec, request: &http::Request<Bytes>, url: &Url) -> bool {
        let action = call.action().and_then(|_| action_asked(request.headers(), url.query(), request.body()));
        let path = self.transport.path_below(url);
        path.is_some_and(|path| call.matches(request.method().as_str(), path, action.as_deref()))
    }

    async fn earlier(&self, call: &CallSpec, url: &Url) -> Option<Earlier> {
        let cache = self.conditional.clone().filter(|_| !call.secret_body && call.method_and_path().0 == "GET")?;
        let knows = self.knows_earlier.get_or_init(|| {
            let (cache, stream) = (Arc::clone(&cache), self.stream.clone());
            async move { tokio::task::spawn_blocking(move || cache.knows(&stream)).await.unwrap_or(false) }
        });
        if !*knows.await {
            return None;
        }
        let (stream, url) = (self.stream.clone(), redact::address(url));
        let earlier = tokio::task::spawn_blocking(move || cache.earlier(&stream, &url)).await.ok().flatten()?;
        // It was kept by the redactions of its time; what is declared secret since then must not come back in it.
        let clean = redact::json(&earlier.body, call.redact).is_ok_and(|redacted| redacted.body == earlier.body);
        clean.then_some(earlier)
    }

    /// Ends `work` when the run is cancelled or its time is over.
    pub(crate) async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, (GapReason, String)> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err((GapReason::Cancelled, "the run was cancelled".to_owned())),
            () = tokio::time::sleep_until(self.deadline) => {
                Err((GapReason::TimedOut, format!("the run's {} were over", domain_duration(self.limits.run))))
            }
            done = work => Ok(done),
        }
    }

    /// Waits for this call's turn, unless the source wants to be left alone for longer than the run lasts.
    async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, (GapReason, String)> {
        let turn = self.bounded(self.budget.turn(self.deadline)).await?;
        turn.map_err(|wait| {
            let why = format!("the source asked to be left alone for another {}", domain_duration(wait));
            (GapReason::Throttled, why)
        })
    }

    fn step(&self, reason: GapReason, asked: Option<Duration>, tries: &[Try]) -> Step {
        let tried = u32::try_from(tries.len()).unwrap_or(u32::MAX).saturating_add(1);
        let left = self.deadline.saturating_duration_since(Instant::now());
        next_step(reason, asked, tried, left, &self.limits)
    }

    /// Enters the exchange into the record before it is sent.
    fn open(&self, call: &'static CallSpec, request: &http::Request<Bytes>, url: &Url) -> Result<u32, Unread> {
        self.enter(call, request.method().as_str(), redact::address(url))
    }

    pub(crate) fn enter(&self, call: &'static CallSpec, method: &str, url: String) -> Result<u32, Unread> {
        let now = self.clock.now();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = u32::try_from(log.len()).unwrap_or(u32::MAX);
        if seq >= self.limits.exchanges {
            let detail = format!("more than {} exchanges in one run", self.limits.exchanges);
            return Err(Unread::unsent(call, GapReason::OverLimit, detail));
        }
        log.push(Exchange {
            seq,
            call: call.name.to_owned(),
            method: method.to_owned(),
            url,
            request_body: None,
            sent: now,
            ended: now,
            tries: Vec::new(),
            status: None,
            request_id: None,
            date: None,
            etag: None,
            not_modified: false,
            next: None,
            bytes: 0,
            body: Vec::new(),
            redacted: Vec::new(),
            error: Some("nobody waited for the answer".to_owned()),
        });
        Ok(seq)
    }

    pub(crate) fn amend(&self, mark: Mark, change: impl FnOnce(&mut Exchange)) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exchange) = log.get_mut(mark.seq as usize) {
            change(exchange);
        }
    }

    /// The address that an exchange asked, as it is kept.
    pub(crate) fn address_of(&self, mark: Mark) -> Option<Url> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        Url::parse(&log.get(mark.seq as usize)?.url).ok()
    }

    async fn keep_request(&self, mark: Mark, body: &Bytes) -> Result<(), String> {
        if body.is_empty() || mark.call.secret_body {
            return Ok(());
        }
        let ids = self.put(body.clone()).await?;
        self.amend(mark, |exchange| exchange.request_body = ids.into_iter().next());
        Ok(())
    }

    pub(crate) async fn put(&self, body: Bytes) -> Result<Vec<domain::BodyId>, String> {
        let sink = Arc::clone(&self.bodies);
        let kept = tokio::task::spawn_blocking(move || sink.put(&[body])).await;
        kept.map_err(|_| "the store failed".to_owned())?.map_err(|error| in_full(&error))
    }

    /// Sends the request once and reads the answer to its end, each wait within its own limit.
    async fn attempt(&self, request: &http::Request<Bytes>, url: &Url, earlier: Option<&Earlier>) -> Tried {
        let mut outgoing = reqwest::Request::new(request.method().clone(), url.clone());
        *outgoing.headers_mut() = request.headers().clone();
        if let Some(etag) = earlier.and_then(|e| http::HeaderValue::from_str(&e.etag).ok()) {
            outgoing.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        if !request.body().is_empty() {
            *outgoing.body_mut() = Some(request.body().clone().into());
        }
        let limits = &self.limits;
        let Some(client) = &self.client else { return Tried::Broke(GapReason::Unreachable, "no client".to_owned()) };
        let mut response = match tokio::time::timeout(limits.headers, client.execute(outgoing)).await {
            Err(_) => return timed_out("no answer", limits.headers),
            Ok(Err(error)) => return Tried::broke(&error),
            Ok(Ok(response)) => response,
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body_ends = Instant::now() + limits.body;
        // Long enough from the start, where that is not much: by the source's own word, else by the answer before, since
        // the pages of a list are about as long.
        let said = response.content_length().and_then(|bytes| usize::try_from(bytes).ok());
        let expected = said.unwrap_or_else(|| self.last_length.load(Ordering::Relaxed));
        let mut body = Vec::with_capacity(expected.min(EXPECTED_AT_MOST));
        loop {
            let idle_ends = Instant::now() + limits.idle;
            match tokio::time::timeout_at(idle_ends.min(body_ends), response.chunk()).await {
                Err(_) if idle_ends < body_ends => return timed_out("the body stopped coming", limits.idle),
                Err(_) => return timed_out("the body did not end", limits.body),
                Ok(Err(error)) => return Tried::broke(&error),
                Ok(Ok(None)) => {
                    self.last_length.store(body.len() + body.len() / 16, Ordering::Relaxed);
                    return Tried::Answered(Reply { status, headers, body: body.into() });
                }
                Ok(Ok(Some(piece))) => {
                    if (body.len() + piece.len()) as u64 > limits.body_bytes {
                        let why = format!("a body of more than {} bytes", limits.body_bytes);
                        return Tried::Broke(GapReason::OverLimit, why);
                    }
                    body.extend_from_slice(&piece);
                }
            }
        }
    }

    /// Ends an exchange that got none.
    pub(crate) fn give_up(&self, mark: Mark, reason: GapReason, why: String) -> Unread {
        let ended = self.clock.now();
        self.amend(mark, |exchange| {
            exchange.ended = ended;
            exchange.error = Some(why.clone());
        });
        tracing::debug!(stream = %self.stream, call = mark.call.name, reason = reason.as_str(), "no answer");
        Unread { permission: None, ..mark.unread(reason, why) }
    }
}

/// The span of one try, by OpenTelemetry's names for clients (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>).
/// The address stands in it as it was declared: a real one may hold an id.
fn span_of(call: &CallSpec, request: &http::Request<Bytes>, url: &Url, tries: usize) -> tracing::Span {
    tracing::info_span!(
        "call",
        otel.name = call.name,
        otel.kind = "client",
        http.request.method = request.method().as_str(),
        http.request.resend_count = (tries > 0).then_some(tries),
        http.response.status_code = tracing::field::Empty,
        server.address = url.host_str().unwrap_or_default(),
        server.port = url.port_or_known_default(),
        url.scheme = url.scheme(),
        url.template = call.method_and_path().1,
        "error.type" = tracing::field::Empty,
    )
}

/// What one try gave.
enum Tried {
    Answered(Reply),
    Broke(GapReason, String),
}

/// An answer as it came.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

struct TriedText {
    status: Option<u16>,
    error: String,
}

impl Tried {
    /// Names the fault without the address, which may hold an id.
    fn broke(error: &reqwest::Error) -> Tried {
        let reason = if error.is_timeout() { GapReason::TimedOut } else { GapReason::Unreachable };
        let what = match () {
            () if error.is_timeout() => "no connection in time",
            () if error.is_connect() => "no connection",
            () => "the connection broke",
        };
        // The innermost cause is the system's own word: `Connection refused`.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let inner = cause.to_string();
        let known = inner.len() < 120 && !inner.contains("://");
        Tried::Broke(reason, if known { format!("{what}: {inner}") } else { what.to_owned() })
    }
}

fn timed_out(what: &str, limit: Duration) -> Tried {
    Tried::Broke(GapReason::TimedOut, format!("{what} within {}", domain_duration(limit)))
}

fn domain_duration(d: Duration) -> domain::Duration {
    domain::Duration::from_millis(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
