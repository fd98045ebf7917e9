//! Who is let in, what is refused, and what every answer carries.

use std::sync::{Arc, Condvar, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use web::{Access, Token};

use crate::sample::{Names, sample};
use crate::{Answer, READS, ask, get, send, usual};

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

fn with_token(token: &str) -> Router {
    web::pages(Arc::new(sample(&Names::tame(), 6)), Access::Token(Token::new(token.to_owned().into())))
}

async fn shown(router: &Router, path: &str, authorization: Option<&str>) -> Answer {
    let request = Request::builder().uri(path).header("host", "evidence.acme.example");
    let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
    send(router, request.body(Body::empty()).unwrap()).await
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_a_browser_safe() {
    let (open, closed) = (usual(), with_token("secret"));
    let refused = ["/nothing", "/api/v1/nothing", "/entries/999999", "/api/v1/entries/x", "/changes?limit=x"];
    let mut answers = Vec::new();
    for path in READS.iter().chain(&refused) {
        answers.push((path, get(&open, path).await));
        answers.push((path, get(&closed, path).await));
        answers.push((path, ask(&open, Method::POST, path).await));
    }
    for (path, answer) in answers {
        assert_eq!(answer.header("content-security-policy"), POLICY, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(!answer.headers.contains_key("set-cookie"), "{path}");
        assert!(
            answer.header("content-type").contains("charset=utf-8")
                || answer.header("content-type") == "application/json",
            "{path}"
        );
    }
}

#[tokio::test]
async fn nothing_can_be_changed_from_the_network() {
    let router = usual();
    for path in READS.iter().chain(&["/api/v1/run-now", "/nothing"]) {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE"] {
            let answer = ask(&router, method.parse().unwrap(), path).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(answer.header("allow").contains("GET"), "{method} {path}");
        }
    }
    assert_eq!(get(&router, "/api/v1/run-now").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_head_gets_the_headers_of_a_get_and_no_body() {
    let router = usual();
    for path in READS.iter().chain(&["/nothing"]) {
        let (head, whole) = (ask(&router, Method::HEAD, path).await, get(&router, path).await);
        assert_eq!((head.status, head.body.as_str()), (whole.status, ""), "{path}");
        assert_eq!(head.header("content-type"), whole.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn on_loopback_another_host_name_is_refused_so_that_rebinding_reads_nothing() {
    let router = usual();
    let named =
        |host: &str| Request::builder().uri("/api/v1/overview").header("host", host).body(Body::empty()).unwrap();
    for host in ["evil.example", "127.0.0.1.evil.example:8461", "localhost.evil.example", "10.0.0.7", ""] {
        let answer = send(&router, named(host)).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host:?}");
        assert!(answer.json()["remedy"].as_str().unwrap().contains("127.0.0.1"), "{host:?}");
        assert!(!answer.body.contains("keycloak"), "{host:?}");
    }
    for host in ["127.0.0.1:8461", "localhost:8461", "[::1]:8461"] {
        assert_eq!(send(&router, named(host)).await.status, StatusCode::OK, "{host}");
    }
    let nameless = Request::builder().uri("/").body(Body::empty()).unwrap();
    assert_eq!(send(&router, nameless).await.status, StatusCode::MISDIRECTED_REQUEST);
    let absolute =
        Request::builder().uri("http://evil.example/").header("host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(send(&router, absolute).await.status, StatusCode::MISDIRECTED_REQUEST);
    let twice = Request::builder().uri("/").header("host", "localhost").header("host", "evil.example");
    assert_eq!(send(&router, twice.body(Body::empty()).unwrap()).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn with_a_token_only_the_token_opens_and_a_browser_is_asked_for_it() {
    let router = with_token("correct horse\n");
    let right = [
        "Bearer correct horse",
        "bearer correct horse",
        &basic("", "correct horse"),
        &basic("anyone", "correct horse"),
    ];
    for value in right {
        assert_eq!(shown(&router, "/", Some(value)).await.status, StatusCode::OK, "{value}");
    }
    let wrong = [
        "Bearer",
        "Bearer ",
        "Bearer correct",
        "Bearer correct horse battery",
        "Bearer Correct horse",
        "correct horse",
        "Basic",
        "Basic !",
        "Basic Y29ycmVjdCBob3JzZQ==",
        &basic("correct horse", ""),
        "Digest correct horse",
    ];
    for value in wrong.map(Some).into_iter().chain([None]) {
        for path in READS {
            let answer = shown(&router, path, value).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value:?} {path}");
            let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
            assert_eq!(challenges, ["Bearer realm=\"evidenced\"", "Basic realm=\"evidenced\", charset=\"UTF-8\""]);
            assert!(
                answer.body.contains("the token as the password") && !answer.body.contains("horse"),
                "{}",
                answer.body
            );
        }
    }
}

#[tokio::test]
async fn an_empty_token_opens_nothing() {
    for token in ["", " \n"] {
        let router = with_token(token);
        for value in [None, Some("Bearer "), Some("Bearer  "), Some("Basic Og==")] {
            assert_eq!(shown(&router, "/", value).await.status, StatusCode::UNAUTHORIZED, "{token:?} {value:?}");
        }
    }
}

#[tokio::test]
async fn requests_that_are_too_large_are_refused_with_a_remedy() {
    let router = usual();
    let long = get(&router, &format!("/api/v1/changes?before={}", "1".repeat(3000))).await;
    assert_eq!(long.status, StatusCode::URI_TOO_LONG);
    assert_eq!(long.json(), json!({"error": "the address is too long", "remedy": "ask for less"}));
    let large = Request::builder().uri("/").header("host", "localhost").header("x-filler", "x".repeat(20_000));
    let large = send(&router, large.body(Body::empty()).unwrap()).await;
    assert_eq!(large.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_fault_of_the_program_is_one_refused_request_and_no_more() {
    struct Faulty;
    impl web::Backend for Faulty {
        fn with_query(&self, _: &mut dyn FnMut(&query::Query<'_>)) {
            panic!("a fault");
        }
        fn ready(&self) -> Result<(), String> {
            panic!("a fault");
        }
        fn metrics(&self) -> Result<String, String> {
            Err("the registry is gone".into())
        }
        fn run_now<'a>(&'a self, _: Option<&'a str>) -> web::RunNow<'a> {
            Box::pin(async { Err("the daemon is ending".into()) })
        }
    }
    let router = web::pages(Arc::new(Faulty), Access::Loopback);
    for path in ["/", "/api/v1/overview"] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.header("content-security-policy"), POLICY);
        assert!(answer.body.contains("log"), "{}", answer.body);
    }
    let health = web::health(Arc::new(Faulty));
    assert_eq!(get(&health, "/readyz").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let metrics = get(&health, "/metrics").await;
    assert_eq!(metrics.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(metrics.body.starts_with("the registry is gone\n"));
    assert_eq!(get(&health, "/healthz").await.body, "alive\n");
}

/// A daemon whose index is being built.
struct Building;

impl web::Backend for Building {
    fn with_query(&self, _: &mut dyn FnMut(&query::Query<'_>)) {}
    fn ready(&self) -> Result<(), String> {
        Err(SO_FAR.to_owned())
    }
    fn building(&self) -> Option<String> {
        Some(SO_FAR.to_owned())
    }
    fn metrics(&self) -> Result<String, String> {
        Ok(String::new())
    }
    fn run_now<'a>(&'a self, _: Option<&'a str>) -> web::RunNow<'a> {
        panic!("nothing can be done yet")
    }
}

const SO_FAR: &str = "the index is being built again from the ledger: 128 of 1000 entries";

#[tokio::test]
async fn while_the_index_is_built_what_needs_it_is_refused_for_now_and_nothing_can_be_asked_to_be_done() {
    let (pages, control) = (web::pages(Arc::new(Building), Access::Loopback), web::control(Arc::new(Building)));
    for path in ["/", "/api/v1/overview"] {
        let answer = get(&pages, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.body.contains(SO_FAR) && answer.body.contains("ask again in a while"), "{}", answer.body);
    }
    let of_somebody = json!({"resources": [], "because": "b", "asked_by": "a", "approved_by": "c"});
    let export = json!({"recipient": "r", "of": [], "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z",
        "entries": 1, "rows": 1, "withheld": 0, "hidden": [], "digest": "d"});
    let erasure = json!({"resources": [], "also_named": [], "because": "b", "by": "a"});
    let release = json!({"hold": 1, "because": "b", "asked_by": "a", "approved_by": "c"});
    let orders = [
        ("run-now", json!({})),
        ("exports", export),
        ("erasures", erasure),
        ("holds", of_somebody),
        ("releases", release),
    ];
    for (order, body) in orders {
        let request = Request::builder().method("POST").uri(format!("/api/v1/{order}"));
        let request = request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap();
        let answer = send(&control, request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{order}: {}", answer.body);
        assert_eq!(answer.json()["error"], SO_FAR, "{order}");
    }
    let ready = get(&web::health(Arc::new(Building)), "/readyz").await;
    assert_eq!((ready.status, ready.body.lines().next()), (StatusCode::SERVICE_UNAVAILABLE, Some(SO_FAR)));
}

/// Holds every question until it is let go.
#[derive(Default)]
struct Held {
    /// Questions being answered, and whether they may end.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl web::Backend for Held {
    fn with_query(&self, _: &mut dyn FnMut(&query::Query<'_>)) {
        self.state.lock().unwrap().0 += 1;
        drop(self.changed.wait_while(self.state.lock().unwrap(), |(_, released)| !*released).unwrap());
    }
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn metrics(&self) -> Result<String, String> {
        Ok(String::new())
    }
    fn run_now<'a>(&'a self, _: Option<&'a str>) -> web::RunNow<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test]
async fn many_readers_wait_for_their_turn_instead_of_holding_all_threads() {
    let held = Arc::new(Held::default());
    let router = web::pages(held.clone(), Access::Loopback);
    let asking = |router: Router| tokio::spawn(async move { get(&router, "/api/v1/overview").await.status });
    let readers: Vec<_> = (0..50).map(|_| asking(router.clone())).collect();
    let inside = || held.state.lock().unwrap().0;
    while inside() < 8 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let at_once = inside();
    // Let go before judging: what is held would outlive a failed test.
    held.state.lock().unwrap().1 = true;
    held.changed.notify_all();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR, "nobody answered");
    }
    assert_eq!((at_once, inside()), (8, 50), "eight at once, and each in its turn");
}

#[tokio::test]
async fn health_tells_life_readiness_and_counts_without_a_token() {
    let mut daemon = sample(&Names::tame(), 6);
    daemon.ready = Err("the store stopped: no room".into());
    let router = web::health(Arc::new(daemon));
    assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
    let ready = get(&router, "/readyz").await;
    assert_eq!(
        (ready.status, ready.body.lines().next()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("the store stopped: no room"))
    );
    let metrics = get(&router, "/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.body.contains("evidenced_runs_total 7"));
    let ready = web::health(Arc::new(sample(&Names::tame(), 6)));
    assert_eq!(get(&ready, "/readyz").await.body, "ready\n");
    assert_eq!(get(&ready, "/").await.status, StatusCode::NOT_FOUND, "health shows no evidence");
    assert_eq!(get(&ready, "/api/v1/overview").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_the_daemons_own_socket_takes_an_order_to_collect() {
    let router = web::control(Arc::new(sample(&Names::tame(), 6)));
    let order = |body: &str| {
        let request =
            Request::builder().method("POST").uri("/api/v1/run-now").header("content-type", "application/json");
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let one = send(&router, order(r#"{"what": "keycloak:acme/realm"}"#)).await;
    assert_eq!((one.status, one.json()), (StatusCode::ACCEPTED, json!({"streams": ["keycloak:acme/realm"]})));
    let all = send(&router, order(r#"{"what": null}"#)).await;
    assert_eq!(all.json()["streams"].as_array().unwrap().len(), 3);
    let none = send(&router, order(r#"{"what": "aws:acme"}"#)).await;
    assert_eq!(
        (none.status, none.json()["error"].as_str()),
        (StatusCode::CONFLICT, Some("nothing is called that here"))
    );
    for bad in
        ["", "{", r#"{"what": 5}"#, r#"{"wat": "keycloak:acme"}"#, &format!(r#"{{"what": "{}"}}"#, "x".repeat(9000))]
    {
        let answer = send(&router, order(bad)).await;
        assert!(answer.status.is_client_error(), "{bad:.40}");
        assert!(!answer.json()["remedy"].as_str().unwrap().is_empty(), "{bad:.40}");
    }
    let nameless = Request::builder().uri("/api/v1/overview").body(Body::empty()).unwrap();
    assert_eq!(send(&router, nameless).await.status, StatusCode::OK, "a socket has no host name");
    assert_eq!(ask(&router, Method::DELETE, "/api/v1/overview").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get(&router, "/api/v1/run-now").await.header("allow"), "POST");
}
