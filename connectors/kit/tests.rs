//! What a run promises on days that a fixture cannot make, through the public door: a source, a connector, [`run`].

#[path = "walk_tests.rs"]
mod walk_tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::{BodyId, CollectionRun, CollectorName, Exchange, Field, GapReason, Outcome, SourceId, Trigger};
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::testing::{MemoryBodies, NoSecrets, surroundings};

static LIST: CallSpec = CallSpec::new("GET /things", &["things:read"], "the things").redacting(&["[].secret"]);
static COUNT: CallSpec = CallSpec::new("GET /things/count", &[], "their number");
static TOKEN: CallSpec = CallSpec::new("POST /token", &[], "signs in").secret();
static UNDECLARED: CallSpec = CallSpec::new("GET /others", &[], "nobody said so");

const THING: &str = "probe.thing";

static COLLECTORS: &[CollectorSpec] = &[CollectorSpec {
    name: "things",
    version: 1,
    about: "Reads things.",
    default_schedule: "every: 1h",
    calls: &[LIST, COUNT, TOKEN],
    yields: &[TypeSpec { kind: THING, about: "A thing.", fields: &["on"], second_count: SecondCount::None("a probe") }],
}];

/// How a probe asks.
type Ask = Arc<dyn for<'a> Fn(&'a Url, &'a mut RunBuilder) -> BoxFuture<'a, ()> + Send + Sync>;

/// A source whose connector does what a test says.
struct Probe {
    url: Url,
    ask: Ask,
    concurrency: u32,
}

struct Asking(Url, Ask);

#[async_trait]
impl Connector for Asking {
    async fn collect(&self, _: &CollectorName, run: &mut RunBuilder) {
        (self.1)(&self.0, run).await;
    }
}

impl AnySource for Probe {
    fn kind(&self) -> Kind {
        Kind { name: "probe", about: "", collectors: COLLECTORS, grant: "", documents: &[] }
    }
    fn id(&self) -> Result<SourceId, domain::IdError> {
        "probe:one".parse()
    }
    fn common(&self) -> Common<'_> {
        Common { name: "one", owner: "us", schedules: None, runbook: None }
    }
    fn problems(&self) -> Vec<FieldProblem> {
        Vec::new()
    }
    fn manners(&self) -> Manners {
        Manners {
            concurrency: self.concurrency,
            rate: None,
            throttles: throttles_by_headers,
            meaning: by_status,
            request_id: &["x-request-id"],
        }
    }
    fn transport(&self) -> Transport {
        Transport { addresses: vec![self.url.clone()], ca_file: None }
    }
    fn connect(&self, secrets: &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError> {
        let wanted = SecretRef::Env("PROBE_TOKEN".to_owned());
        let secret = secrets.resolve(&wanted);
        secret.map_err(|cause| ConnectError::Secret { setting: "token", cause })?;
        Ok(Box::new(Asking(self.url.clone(), Arc::clone(&self.ask))))
    }
}

/// What a source does with one request.
enum Reply {
    Send(&'static str),
    /// Sends this much and then nothing more, with the connection open.
    Stall(&'static str),
}

struct Source {
    url: Url,
    requests: Arc<Mutex<Vec<String>>>,
    greatest_at_once: Arc<AtomicU32>,
}

/// A source that answers as `reply` says, by the number of the request.
async fn source(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Source {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (requests, reply) = (Arc::new(Mutex::new(Vec::new())), Arc::new(reply));
    let (at_once, greatest_at_once) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (seen, greatest) = (Arc::clone(&requests), Arc::clone(&greatest_at_once));
    // Ends with the test's runtime.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
            let (at_once, greatest) = (Arc::clone(&at_once), Arc::clone(&greatest));
            tokio::spawn(async move {
                let mut piece = vec![0; 8192];
                let length = stream.read(&mut piece).await.unwrap_or(0);
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(String::from_utf8_lossy(&piece[..length]).into_owned());
                    seen.len() - 1
                };
                greatest.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let (Reply::Send(text) | Reply::Stall(text)) = reply(number);
                at_once.fetch_sub(1, Ordering::SeqCst);
                let _ = stream.write_all(text.as_bytes()).await;
                if let Reply::Stall(_) = reply(number) {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    Source { url, requests, greatest_at_once }
}

fn get(url: &Url, path: &str) -> http::Request<Bytes> {
    let request = http::Request::get(url.join(path).unwrap().as_str()).header("authorization", "Bearer canary-token");
    request.body(Bytes::new()).unwrap()
}

/// Lists things once, and says what came of it.
fn list_once<'a>(url: &'a Url, run: &'a mut RunBuilder) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        match run.recorder().exchange(&LIST, get(url, "/things")).await {
            Ok(answer) => {
                let value = answer.json().unwrap();
                for thing in view::View::list(&value, answer.mark).unwrap() {
                    let mut found = Found::new(THING, thing.text("id").unwrap(), "a thing");
                    found.from(answer.mark).set("on", thing.bool("on"));
                    run.found(found);
                }
                run.complete(THING);
            }
            Err(unread) => run.missing(&unread, &[THING]),
        }
    })
}

async fn collect(url: &Url, ask: Ask, around: &Surroundings) -> CollectionRun {
    let probe = Probe { url: url.clone(), ask, concurrency: 2 };
    run(&probe, &COLLECTORS[0], &"probe:one/things".parse().unwrap(), Trigger::Manual, around).await
}

fn around() -> Surroundings {
    surroundings(MemoryBodies::default())
}

const THINGS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\netag: \"e1\"\r\nx-request-id: r-7\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n[{\"id\":\"a\",\"on\":true }] ";

fn only(run: &CollectionRun) -> (&Exchange, &domain::Gap) {
    (&run.exchanges[0], run.gaps.first().unwrap_or_else(|| panic!("no gap: {run:#?}")))
}

fn first_thing(run: &CollectionRun) -> domain::Resource {
    run.populations[0].resources().next().unwrap()
}

#[tokio::test]
async fn an_exchange_keeps_what_an_auditor_asks_for_and_no_credential() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let run = collect(&source.url, Arc::new(list_once), &around()).await;
    assert_eq!(run.outcome, Outcome::Collected);
    let exchange = &run.exchanges[0];
    assert_eq!((exchange.call.as_str(), exchange.method.as_str(), exchange.status), ("GET /things", "GET", Some(200)));
    assert_eq!(exchange.request_id.as_deref(), Some("r-7"));
    assert_eq!(exchange.date.as_deref(), Some("Sun, 22 Nov 2026 12:00:00 GMT"));
    assert_eq!((exchange.bytes, exchange.body.len(), exchange.error.as_deref()), (24, 1, None));
    assert!(source.requests.lock().unwrap()[0].contains("canary-token"), "the source is sent the token");
    assert!(!format!("{run:?}").contains("canary-token"), "and nobody else");
}

#[tokio::test]
async fn what_was_not_declared_is_refused_and_never_sent() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            let recorder = run.recorder();
            let foreign: Url = "http://127.0.0.1:1/".parse().unwrap();
            let post = http::Request::post(url.join("/things").unwrap().as_str()).body(Bytes::new()).unwrap();
            let refused = [
                recorder.exchange(&UNDECLARED, get(url, "/others")).await,
                recorder.exchange(&LIST, get(url, "/others")).await,
                recorder.exchange(&LIST, get(url, "/things/../others")).await,
                recorder.exchange(&LIST, get(&foreign, "/things")).await,
                recorder.exchange(&LIST, post).await,
                recorder.send(get(url, "/others")).await,
            ];
            for answer in refused {
                run.missing(&answer.unwrap_err(), &[THING]);
            }
        })
    });
    let run = collect(&source.url, ask, &around()).await;
    assert!(run.gaps.iter().all(|gap| gap.reason == GapReason::Refused && gap.exchange.is_none()), "{:#?}", run.gaps);
    assert_eq!((run.outcome, run.exchanges.len()), (Outcome::Failed, 0));
    assert_eq!(source.requests.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_request_that_an_sdk_made_finds_its_declaration() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            let answer = run.recorder().send(get(url, "/things")).await.unwrap();
            assert_eq!(answer.mark.call.name, LIST.name);
        })
    });
    let run = collect(&source.url, ask, &around()).await;
    assert_eq!(run.exchanges[0].call, LIST.name);
}

#[tokio::test]
async fn a_wait_longer_than_the_run_is_not_waited_for() {
    let source = source(|_| Reply::Send("HTTP/1.1 429 \r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n")).await;
    let run = collect(&source.url, Arc::new(list_once), &around()).await;
    let (exchange, gap) = only(&run);
    assert_eq!((gap.reason, exchange.tries.len()), (GapReason::Throttled, 0));
    assert_eq!(source.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_source_that_wants_to_be_left_alone_is_not_asked_again_by_any_later_run() {
    let source = source(|_| Reply::Send("HTTP/1.1 429 \r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n")).await;
    let around = around();
    collect(&source.url, Arc::new(list_once), &around).await;
    let run = collect(&source.url, Arc::new(list_once), &around).await;
    assert_eq!((run.outcome, only_gap(&run), run.exchanges.len()), (Outcome::Failed, GapReason::Throttled, 0));
    assert!(run.gaps[0].detail.starts_with("the source asked to be left alone for another"), "{}", run.gaps[0].detail);
    assert_eq!(source.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn each_try_is_recorded_with_its_status_and_wait() {
    let source = source(|number| match number {
        0 => Reply::Send("HTTP/1.1 429 \r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"),
        1 => Reply::Send("HTTP/1.1 503 \r\ncontent-length: 0\r\n\r\n"),
        _ => Reply::Send(THINGS),
    })
    .await;
    let run = collect(&source.url, Arc::new(list_once), &around()).await;
    assert_eq!(run.outcome, Outcome::Collected, "throttled and then answered is complete");
    let tries: Vec<_> =
        run.exchanges[0].tries.iter().map(|t| (t.status, t.error.as_str(), t.waited.millis())).collect();
    assert_eq!(tries, [(Some(429), "429 Too Many Requests", 1), (Some(503), "503 Service Unavailable", 2)]);
}

#[tokio::test]
async fn a_body_without_end_and_a_body_too_long_are_told_apart() {
    let stalls = source(|_| Reply::Stall("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n[")).await;
    let mut around = around();
    around.limits.idle = Duration::from_millis(50);
    around.limits.tries = 1;
    let run = collect(&stalls.url, Arc::new(list_once), &around).await;
    assert_eq!(only(&run).1.reason, GapReason::TimedOut);
    assert_eq!(only(&run).1.detail, "the body stopped coming within 50 ms");

    let long = source(|_| Reply::Send(THINGS)).await;
    around.limits.body_bytes = 23;
    let run = collect(&long.url, Arc::new(list_once), &around).await;
    assert_eq!(only(&run).1.reason, GapReason::OverLimit);
}

#[tokio::test]
async fn a_source_that_is_not_there_is_unreachable_with_the_systems_own_word() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", gone.local_addr().unwrap()).parse().unwrap();
    drop(gone);
    let run = collect(&url, Arc::new(list_once), &around()).await;
    let (exchange, gap) = only(&run);
    assert_eq!((gap.reason, exchange.tries.len()), (GapReason::Unreachable, 2));
    assert!(gap.detail.contains("refused"), "{}", gap.detail);
}

#[tokio::test]
async fn a_run_out_of_time_keeps_what_it_found_in_a_population_that_is_not_complete() {
    let source = source(|number| if number == 0 { Reply::Send(THINGS) } else { Reply::Stall("") }).await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            list_once(url, run).await;
            let unread = run.recorder().exchange(&COUNT, get(url, "/things/count")).await.unwrap_err();
            run.missing(&unread, &[THING]);
        })
    });
    let mut around = around();
    around.limits.run = Duration::from_millis(300);
    let run = collect(&source.url, ask, &around).await;
    assert_eq!((run.outcome, run.gaps[0].reason), (Outcome::Partial, GapReason::TimedOut), "{:#?}", run.gaps);
    assert_eq!((run.populations[0].len(), run.populations[0].complete), (1, false));
    assert!(run.exchanges[1].error.is_some(), "the call that hung is recorded");
}

#[tokio::test]
async fn a_collector_that_hangs_outside_its_calls_is_ended_from_outside() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let ask: Ask = Arc::new(|_, _| Box::pin(std::future::pending()));
    let mut around = around();
    around.limits.run = Duration::from_millis(1);
    let run = collect(&source.url, ask, &around).await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Failed, GapReason::TimedOut));
}

fn only_gap(run: &CollectionRun) -> GapReason {
    assert_eq!(run.gaps.len(), 1, "{:#?}", run.gaps);
    run.gaps[0].reason
}

#[tokio::test]
async fn a_cancelled_run_ends_at_once_and_says_so() {
    let source = source(|_| Reply::Stall("")).await;
    let around = around();
    let cancel = around.cancel.clone();
    let requests = Arc::clone(&source.requests);
    tokio::spawn(async move {
        while requests.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cancel.cancel();
    });
    let run = collect(&source.url, Arc::new(list_once), &around).await;
    let (exchange, gap) = only(&run);
    assert_eq!((run.outcome, gap.reason), (Outcome::Failed, GapReason::Cancelled));
    assert_eq!(exchange.error.as_deref(), Some("the run was cancelled"));
}

#[tokio::test]
async fn a_collector_that_panics_loses_nothing_it_had_found() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            let answer = run.recorder().exchange(&LIST, get(url, "/things")).await.unwrap();
            let mut found = Found::new(THING, "a", "a thing");
            found.from(answer.mark).read("on", true);
            run.found(found);
            panic!("a defect");
        })
    });
    let run = collect(&source.url, ask, &around()).await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Partial, GapReason::Interrupted));
    assert_eq!((run.populations[0].len(), run.populations[0].complete), (1, false));
    assert_eq!(run.exchanges.len(), 1);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_a_failed_run_that_names_the_setting() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let mut around = around();
    around.secrets = Arc::new(NoSecrets);
    let run = collect(&source.url, Arc::new(list_once), &around).await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Failed, GapReason::Unauthenticated));
    assert_eq!(run.gaps[0].detail, "setting token: environment variable PROBE_TOKEN is empty");
    assert_eq!(source.requests.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_not_used() {
    struct Full;
    impl BodySink for Full {
        fn put(&self, _: &[Bytes]) -> Result<Vec<BodyId>, SinkError> {
            Err(SinkError("no space left".into()))
        }
    }
    let source = source(|_| Reply::Send(THINGS)).await;
    let mut around = around();
    around.bodies = Arc::new(Full);
    let run = collect(&source.url, Arc::new(list_once), &around).await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Failed, GapReason::NotKept));
    assert_eq!(run.gaps[0].detail, "an answer could not be kept: no space left");
    assert!(run.populations[0].is_empty());
}

#[tokio::test]
async fn not_modified_is_fresh_evidence_of_the_earlier_body() {
    struct Known(Earlier);
    impl Conditional for Known {
        fn earlier(&self, stream: &domain::StreamId, url: &str) -> Option<Earlier> {
            (stream.as_str() == "probe:one/things" && url.ends_with("/things")).then(|| self.0.clone())
        }
    }
    let id: BodyId = "ab".repeat(32).parse().unwrap();
    let body = Bytes::from_static(b"[{\"id\":\"a\",\"on\":false}]");
    let known = Earlier { etag: "\"e1\"".to_owned(), body, ids: vec![id.clone()], redacted: Vec::new(), next: None };
    let source = source(|_| Reply::Send("HTTP/1.1 304 Not Modified\r\netag: \"e1\"\r\n\r\n")).await;
    let mut around = around();
    around.conditional = Some(Arc::new(Known(known)));
    let run = collect(&source.url, Arc::new(list_once), &around).await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    assert_eq!(first_thing(&run).fields["on"], Field::Read(false.into()));
    let exchange = &run.exchanges[0];
    assert_eq!((exchange.status, exchange.not_modified, &exchange.body), (Some(304), true, &vec![id]));
    assert!(source.requests.lock().unwrap()[0].contains("if-none-match: \"e1\""));
}

#[tokio::test]
async fn a_confirmed_page_still_leads_to_the_next_and_its_answer_can_be_confirmed_again() {
    struct Known(String);
    impl Conditional for Known {
        fn earlier(&self, _: &domain::StreamId, url: &str) -> Option<Earlier> {
            let body = Bytes::from_static(b"[{\"id\":\"a\",\"on\":true}]");
            let earlier = Earlier {
                etag: "\"e1\"".to_owned(),
                body,
                ids: vec!["ab".repeat(32).parse().unwrap()],
                redacted: Vec::new(),
                next: Some(self.0.clone()),
            };
            url.ends_with("/things").then_some(earlier)
        }
    }
    // GitHub's 304 names neither the tag nor the next page.
    let source = source(|number| match number {
        0 => Reply::Send("HTTP/1.1 304 Not Modified\r\n\r\n"),
        _ => Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n[{\"id\":\"b\",\"on\":true}]"),
    })
    .await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            let first = url.join("/things").unwrap();
            let recorder = run.recorder();
            let (mut ids, ask) = (Vec::new(), |at| recorder.ask(&LIST, get(&at, "")));
            let each = |item: serde_json::Value, _| ids.push(item["id"].clone());
            let walked = walk_by_link(&recorder, &LIST, first, ask, each).await;
            assert_eq!((walked.items, walked.stopped.is_none()), (2, true));
            assert_eq!(ids, ["a", "b"]);
        })
    });
    let mut around = around();
    let next = source.url.join("/things?page=2").unwrap().to_string();
    around.conditional = Some(Arc::new(Known(next.clone())));
    let run = collect(&source.url, ask, &around).await;
    assert_eq!((run.exchanges[0].etag.as_deref(), run.exchanges[0].next.as_ref()), (Some("\"e1\""), Some(&next)));
}

#[tokio::test]
async fn an_earlier_body_that_holds_what_is_secret_by_now_is_not_used_again() {
    struct Known;
    impl Conditional for Known {
        fn earlier(&self, _: &domain::StreamId, _: &str) -> Option<Earlier> {
            let body = Bytes::from_static(b"[{\"id\":\"a\",\"secret\":\"canary\",\"on\":true}]");
            Some(Earlier { etag: "\"e1\"".to_owned(), body, ids: Vec::new(), redacted: Vec::new(), next: None })
        }
    }
    let source = source(|_| Reply::Send(THINGS)).await;
    let mut around = around();
    around.conditional = Some(Arc::new(Known));
    let run = collect(&source.url, Arc::new(list_once), &around).await;
    assert_eq!(run.outcome, Outcome::Collected);
    assert!(!source.requests.lock().unwrap()[0].contains("if-none-match"));
}

#[tokio::test]
async fn not_modified_without_an_earlier_body_is_no_answer() {
    let source = source(|_| Reply::Send("HTTP/1.1 304 Not Modified\r\n\r\n")).await;
    let run = collect(&source.url, Arc::new(list_once), &around()).await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Failed, GapReason::Refused));
}

#[tokio::test]
async fn a_secret_call_leaves_no_byte_and_a_redacted_one_leaves_no_secret() {
    let source = source(|number| match number {
        0 => Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"t\":\"canary\"}"),
        1 => {
            Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 37\r\n\r\n[{\"id\":\"a\",\"secret\":\"canary\",\"on\":1}]")
        }
        _ => Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<p>canary</p>"),
    })
    .await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            let recorder = run.recorder();
            let token = http::Request::post(url.join("/token").unwrap().as_str()).body(Bytes::from("canary")).unwrap();
            let answer = recorder.exchange(&TOKEN, token).await.unwrap();
            assert_eq!(&answer.body[..], b"{\"t\":\"canary\"}", "the connector needs its token");
            assert!(!format!("{answer:?}").contains("canary"));
            for _ in 0..2 {
                let answer = recorder.exchange(&LIST, get(url, "/things?token=canary")).await.unwrap();
                assert!(!String::from_utf8_lossy(&answer.body).contains("canary"));
            }
        })
    });
    let bodies = MemoryBodies::default();
    let run = collect(&source.url, ask, &surroundings(bodies.clone())).await;
    assert_eq!(run.exchanges.len(), 3);
    assert!(!format!("{run:?} {:?}", bodies.all()).contains("canary"));
    let redacted: Vec<_> = run.exchanges.iter().map(|e| e.redacted.join(" ")).collect();
    let why = "the list, the list that is not JSON and so cannot be cleaned and is not kept, and the token";
    assert_eq!(redacted, ["[].secret", "*", "*"], "{why}");
}

#[tokio::test]
async fn no_more_calls_are_under_way_at_once_than_the_manners_allow() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            let recorder = run.recorder();
            let calls = (0..20).map(|_| recorder.exchange(&LIST, get(url, "/things")));
            assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
        })
    });
    let run = collect(&source.url, ask, &around()).await;
    assert_eq!(run.exchanges.iter().map(|e| e.seq).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(source.greatest_at_once.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn an_unchanged_resource_names_the_same_exchanges_however_the_calls_were_sent() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let asked_in = |order: [&'static str; 3]| -> Ask {
        Arc::new(move |url, run| {
            Box::pin(async move {
                let recorder = run.recorder();
                for target in order {
                    let answer = recorder.exchange(&LIST, get(url, target)).await.unwrap();
                    let mut found = thing(target, true);
                    found.from(answer.mark);
                    run.found(found);
                }
                run.complete(THING);
            })
        })
    };
    let once = collect(&source.url, asked_in(["/things?a", "/things?b", "/things?c"]), &around()).await;
    let again = collect(&source.url, asked_in(["/things?c", "/things?a", "/things?b"]), &around()).await;
    assert_eq!(once.populations, again.populations);
    for run in [&once, &again] {
        for resource in run.populations[0].resources() {
            let named = &run.exchanges[resource.exchanges[0] as usize];
            assert!(named.url.ends_with(resource.name.as_str()), "{} names {}", resource.name, named.url);
            assert_eq!(named.seq, resource.exchanges[0]);
        }
    }
}

#[tokio::test]
async fn a_run_makes_no_more_exchanges_than_its_limit() {
    let source = source(|_| Reply::Send(THINGS)).await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            list_once(url, run).await;
            list_once(url, run).await;
        })
    });
    let mut around = around();
    around.limits.exchanges = 1;
    let run = collect(&source.url, ask, &around).await;
    assert_eq!((run.outcome, only_gap(&run), run.exchanges.len()), (Outcome::Partial, GapReason::OverLimit, 1));
}

/// Runs a collector that asks nothing and only tells.
async fn told(tell: impl Fn(&mut RunBuilder) + Send + Sync + 'static) -> CollectionRun {
    let ask: Ask = Arc::new(move |_, run| {
        tell(run);
        Box::pin(std::future::ready(()))
    });
    collect(&"http://127.0.0.1:1/".parse().unwrap(), ask, &around()).await
}

fn thing(id: &str, on: bool) -> Found {
    let mut found = Found::new(THING, id, id);
    found.read("on", on);
    found
}

const MARK: view::Mark = view::Mark { call: &COUNT, seq: 0 };

#[tokio::test]
async fn a_collector_that_says_nothing_is_a_failed_run_with_a_gap() {
    let run = told(|_| {}).await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Failed, GapReason::Malformed));
    assert_eq!(run.populations.len(), 1, "the type that was not read is there, empty and incomplete");
}

#[tokio::test]
async fn an_empty_list_read_to_its_end_is_complete() {
    let run = told(|run| run.complete(THING)).await;
    assert_eq!((run.outcome, run.populations[0].complete, run.resource_count()), (Outcome::Collected, true, 0));
}

#[tokio::test]
async fn a_second_count_that_disagrees_is_a_truncated_list() {
    let run = told(|run| {
        run.found(thing("a", true));
        run.complete(THING);
        run.count(THING, MARK, 2);
    })
    .await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Partial, GapReason::Truncated));
    assert_eq!(run.gaps[0].detail, "1 listed, 2 counted");
    assert!(!run.populations[0].complete && !run.populations[0].reconciled.as_ref().unwrap().agrees);
}

#[tokio::test]
async fn one_id_twice_is_one_resource_and_with_other_values_a_doubt() {
    let same = told(|run| {
        run.found(thing("a", true));
        run.found(thing("a", true));
        run.complete(THING);
    })
    .await;
    assert_eq!((same.outcome, same.resource_count()), (Outcome::Collected, 1));
    let other = told(|run| {
        run.found(thing("a", true));
        run.found(thing("a", false));
        run.complete(THING);
    })
    .await;
    assert_eq!((other.outcome, other.resource_count(), only_gap(&other)), (Outcome::Partial, 1, GapReason::Malformed));
}

#[tokio::test]
async fn more_resources_of_one_type_than_the_limit_are_a_gap_and_those_before_are_kept() {
    let ask: Ask = Arc::new(|_, run| {
        ["a", "b", "c", "a"].into_iter().for_each(|id| run.found(thing(id, true)));
        run.complete(THING);
        Box::pin(std::future::ready(()))
    });
    let mut around = around();
    around.limits.resources = 2;
    let run = collect(&"http://127.0.0.1:1/".parse().unwrap(), ask, &around).await;
    assert_eq!((run.outcome, run.resource_count(), only_gap(&run)), (Outcome::Partial, 2, GapReason::OverLimit));
    assert_eq!(run.gaps[0].detail, "more than 2 resources of one type");
}

#[tokio::test]
async fn a_declared_field_that_nobody_set_is_unread() {
    let run = told(|run| {
        run.found(Found::new(THING, "a", "a"));
        run.complete(THING);
    })
    .await;
    assert_eq!((run.outcome, only_gap(&run)), (Outcome::Partial, GapReason::Malformed));
    assert_eq!((run.gaps[0].fields.clone(), run.gaps[0].resources), (vec!["probe.thing.on".to_owned()], 1));
    assert!(matches!(first_thing(&run).fields["on"], Field::Unread(..)));
    assert!(run.populations[0].complete, "the list is whole, one field of it is not");
}

#[tokio::test]
async fn what_the_settings_leave_out_is_unread_and_no_gap() {
    let run = told(|run| {
        let mut found = Found::new(THING, "a", "a");
        found.set("on", Err::<bool, _>(MARK.unread(GapReason::NotAsked, "the settings leave it out")));
        run.found(found);
        run.complete(THING);
    })
    .await;
    assert_eq!((run.outcome, run.gaps.len()), (Outcome::Collected, 0));
    assert!(matches!(first_thing(&run).fields["on"], Field::Unread(GapReason::NotAsked, _)));
}

#[tokio::test]
async fn the_same_gap_in_many_resources_is_told_once_with_their_number() {
    let run = told(|run| {
        for id in ["a", "b", "c"] {
            let mut found = Found::new(THING, id, id);
            found.set("on", Err::<bool, _>(MARK.unread(GapReason::Denied, "403 Forbidden")));
            run.found(found);
        }
        run.complete(THING);
    })
    .await;
    assert_eq!((only_gap(&run), run.gaps[0].resources), (GapReason::Denied, 3));
}

#[test]
fn the_permissions_document_says_for_each_permission_which_calls_need_it() {
    let kind = Kind { name: "probe", about: "", collectors: COLLECTORS, grant: "Ask nicely.", documents: &[] };
    let document = kind.permissions();
    let calls: BTreeMap<String, String> = [("GET /things".to_owned(), "the things".to_owned())].into();
    assert_eq!(
        document.permissions,
        [PermissionRow { permission: "things:read".to_owned(), collectors: vec!["things".to_owned()], calls }]
    );
    assert!(document.to_string().contains("things:read   (for things)"), "{document}");
    assert_eq!(COLLECTORS[0].calls_per_run(), (3, 3));
}
