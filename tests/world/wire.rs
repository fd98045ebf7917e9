//! What the world promises over the wire: refusals, pages, bad days, outages, and the receiver of alerts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Call, Credential, Drift, Fault, HookAnswer, Posture, READER, READER_SECRET, Server, World};

const START: i64 = 1_793_000_000_000;
const USERS: &str = "GET /admin/realms/{realm}/users";

/// A reader with a token, as a connector would be.
pub(crate) struct Reader<'a> {
    server: &'a Server,
    pub(crate) token: String,
    client: reqwest::Client,
}

impl<'a> Reader<'a> {
    pub(crate) async fn sign_in(server: &'a Server) -> Reader<'a> {
        let mut reader = Reader::signed_out(server);
        let (status, answer) = reader.try_sign_in(READER_SECRET).await;
        assert_eq!(status, 200, "{answer}");
        reader.token = answer["access_token"].as_str().unwrap().to_owned();
        reader
    }

    fn signed_out(server: &'a Server) -> Reader<'a> {
        Reader { server, token: String::new(), client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) async fn try_sign_in(&self, secret: &str) -> (u16, Value) {
        let form = format!("grant_type=client_credentials&client_id={READER}&client_secret={secret}");
        let url = format!("{}/realms/acme/protocol/openid-connect/token", self.server.url());
        let kind = "application/x-www-form-urlencoded";
        let answer = self.client.post(url).header("content-type", kind).body(form).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    pub(crate) async fn get(&self, target: &str) -> (u16, Value) {
        let answer = self.try_get(target).await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn try_get(&self, target: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}/admin/realms/acme{target}", self.server.url());
        self.client.get(url).bearer_auth(&self.token).send().await
    }

    async fn names(&self, target: &str) -> Vec<String> {
        let (status, list) = self.get(target).await;
        assert_eq!(status, 200, "{list}");
        list.as_array().unwrap().iter().map(|u| u["username"].as_str().unwrap().to_owned()).collect()
    }
}

fn world(people: usize) -> (World, Server) {
    let world = World::new(7, people, START);
    let server = world.serve(0).unwrap();
    (world, server)
}

#[tokio::test]
async fn the_same_seed_answers_the_same_bytes_and_another_seed_other_ids() {
    let mut bodies = Vec::new();
    for seed in [1, 1, 2] {
        let world = World::new(seed, 60, START);
        let server = world.serve(0).unwrap();
        bodies.push(Reader::sign_in(&server).await.get("/users?first=0&max=60").await.1);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[0], bodies[2]);
}

#[tokio::test]
async fn a_walk_in_pages_meets_everybody_once_and_agrees_with_the_count() {
    let (world, server) = world(1234);
    world.remove_person("person-00003", "dora").unwrap();
    world.remove_person("erik", "dora").unwrap();
    world.add_person("zoe", "dora").unwrap();
    let reader = Reader::sign_in(&server).await;
    let mut names = Vec::new();
    loop {
        let page = reader.names(&format!("/users?first={}&max=100&briefRepresentation=true", names.len())).await;
        if page.is_empty() {
            break;
        }
        names.extend(page);
    }
    assert_eq!(reader.get("/users/count").await.1, json!(1233));
    assert_eq!(names.len(), 1233);
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(names.iter().any(|n| n == "zoe"), "she joined");
    assert!(!names.iter().any(|n| n == "erik" || n == "person-00003"), "they left");
    assert!(!names.iter().any(|n| n.starts_with("service-account-")), "machines are not in the list");
}

#[tokio::test]
async fn pages_end_in_silence_after_a_hundred_people_and_ten_groups() {
    let (world, server) = world(400);
    let reader = Reader::sign_in(&server).await;
    assert_eq!(reader.names("/users").await.len(), 100);
    assert_eq!(reader.names("/users?max=-1").await.len(), 400);
    assert_eq!(reader.names("/roles/helpdesk/users").await.len(), 100);
    assert_eq!(reader.names("/roles/helpdesk/users?first=100&max=100").await.len(), 5);
    let field = format!("/groups/{}/members", world.group_id("/field"));
    assert_eq!(reader.names(&field).await.len(), 100);
    let staff = format!("/groups/{}/children", world.group_id("/staff"));
    assert_eq!(reader.get(&staff).await.1.as_array().unwrap().len(), 10);
    assert_eq!(reader.get(&format!("{staff}?first=0&max=100")).await.1.as_array().unwrap().len(), 12);
    assert_eq!(reader.get("/roles?max=1").await.1.as_array().unwrap().len(), 7, "without first, max means nothing");
}

#[tokio::test]
async fn a_hundred_thousand_people_come_in_one_answer_that_is_made_while_it_is_sent() {
    let (_world, server) = world(100_000);
    let reader = Reader::sign_in(&server).await;
    let mut answer =
        reader.try_get("/roles/default-roles-acme/users?first=0&max=-1&briefRepresentation=true").await.unwrap();
    assert_eq!(answer.content_length(), None, "nobody knew its length when it began");
    let (mut bytes, mut people) = (0, 0);
    while let Some(chunk) = answer.chunk().await.unwrap() {
        bytes += chunk.len();
        people += chunk.iter().filter(|b| **b == b'{').count();
    }
    assert_eq!(people, 100_002, "with the two service accounts");
    assert!(bytes > 10_000_000);
}

#[tokio::test]
async fn a_token_keeps_the_rights_it_was_issued_with_until_it_expires() {
    let (world, server) = world(20);
    world.set_token_seconds(Some(60));
    let old = Reader::sign_in(&server).await;
    world.revoke("view-events");
    let secret = world.rotate_secret();
    assert_eq!(old.get("/events/config").await.0, 200, "the old token still may");
    assert_eq!(old.try_sign_in(READER_SECRET).await.0, 401, "the old secret is refused");
    let (status, answer) = old.try_sign_in(&secret).await;
    assert_eq!(status, 200);
    let new = Reader { token: answer["access_token"].as_str().unwrap().to_owned(), ..Reader::signed_out(&server) };
    assert_eq!(new.get("/events/config").await, (403, json!({ "error": "HTTP 403 Forbidden" })));
    world.advance(60_000);
    assert_eq!(new.get("/users/count").await, (401, json!({ "error": "HTTP 401 Unauthorized" })));
}

#[tokio::test]
async fn a_forged_token_opens_nothing() {
    let (_world, server) = world(20);
    let mut reader = Reader::sign_in(&server).await;
    let (signed, _) = reader.token.rsplit_once('.').unwrap();
    reader.token = format!("{signed}.canary-token-0000000000000000");
    assert_eq!(reader.get("").await.0, 401);
}

#[tokio::test]
async fn nothing_can_be_changed_through_the_api() {
    let (world, server) = world(20);
    let reader = Reader::sign_in(&server).await;
    let dora = world.user_id("dora").unwrap();
    let url = format!("{}/admin/realms/acme/users/{dora}", server.url());
    let answer = reader.client.delete(url).bearer_auth(&reader.token).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(reader.get(&format!("/users/{dora}")).await.0, 200);
}

#[tokio::test]
async fn a_parameter_that_the_world_does_not_know_is_refused_and_not_overlooked() {
    let (_world, server) = world(20);
    let reader = Reader::sign_in(&server).await;
    assert_eq!(reader.get("/users?enabled=false").await.0, 501);
}

#[tokio::test]
async fn every_drift_of_the_realm_turns_its_own_check_names_its_actor_and_can_be_taken_back() {
    for drift in Drift::ALL.into_iter().filter(|drift| drift.check().starts_with("keycloak.")) {
        let world = World::with_posture(7, 40, START, Posture::Good);
        let server = world.serve(0).unwrap();
        let before = world.truth();
        assert!(before.checks.values().all(|v| v.deviates.is_empty()), "good means good");
        world.advance(1000);
        world.drift(drift, "dora").unwrap();
        let during = world.truth();
        for (check, verdicts) in &during.checks {
            assert_eq!(verdicts.deviates.len(), usize::from(*check == drift.check()), "{check} after {drift:?}");
        }
        let reader = Reader::sign_in(&server).await;
        let (_, events) = reader.get("/admin-events?first=0&max=100").await;
        let event = &events[0];
        assert_eq!(event["authDetails"]["userId"], json!(world.user_id("dora").unwrap()), "{drift:?}");
        assert_eq!(event["authDetails"]["realmId"], json!(world.realm_id()));
        assert_eq!(event["time"], json!(START + 1000));
        assert_eq!(event.get("resourcePath").is_none(), event["resourceType"] == "REALM");
        world.undo(drift, "dora").unwrap();
        assert_eq!(world.truth(), before, "{drift:?} taken back");
    }
}

#[tokio::test]
async fn with_admin_events_off_a_change_leaves_no_trace_and_switching_them_off_does() {
    let world = World::with_posture(7, 20, START, Posture::Good);
    let server = world.serve(0).unwrap();
    world.drift(Drift::AdminEventsOff, "dora").unwrap();
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    world.undo(Drift::AdminEventsOff, "dora").unwrap();
    let (_, events) = Reader::sign_in(&server).await.get("/admin-events?resourceTypes=REALM&first=0&max=10").await;
    let kept: Vec<&str> = events.as_array().unwrap().iter().map(|e| e["representation"].as_str().unwrap()).collect();
    assert_eq!(kept, [r#"{"adminEventsEnabled":false}"#]);
}

#[tokio::test]
async fn somebody_who_comes_back_under_an_old_name_is_somebody_else() {
    let (world, _server) = world(20);
    world.add_person("max", "dora").unwrap();
    let first = world.user_id("max");
    world.remove_person("max", "dora").unwrap();
    assert_eq!(world.user_id("max"), None);
    world.add_person("max", "admin").unwrap();
    assert!(first.is_some() && world.user_id("max").is_some() && world.user_id("max") != first);
    world.add_person("person-9", "dora").unwrap_err();
    world.drift(Drift::TlsOff, "nobody").unwrap_err();
    world.set_credentials("finn", &[Credential::Otp]).unwrap();
    assert!(!world.truth().checks["keycloak.admin.second_factor"].deviating().contains("finn"));
}

#[tokio::test]
async fn faults_strike_their_call_and_no_other() {
    let (world, server) = world(250);
    let reader = Reader::sign_in(&server).await;
    let page = "/users?first=100&max=100&briefRepresentation=true";
    let statuses = [
        (Fault::Denied, 403, json!({ "error": "HTTP 403 Forbidden" })),
        (Fault::Unauthenticated, 401, json!({ "error": "HTTP 401 Unauthorized" })),
        (Fault::DroppedPage(1), 200, json!([])),
        (Fault::Html, 200, Value::Null),
        (Fault::Body("{}".to_owned()), 200, json!({})),
        (Fault::Throttled { retry_after: 7 }, 429, Value::Null),
    ];
    for (fault, status, body) in statuses {
        world.fault(USERS, fault.clone());
        assert_eq!(reader.get(page).await, (status, body), "{fault:?}");
        assert_eq!(reader.get("/users/count").await.0, 200, "{fault:?} is for the list alone");
        world.clear_faults();
    }
    world.fault_times(USERS, Fault::Throttled { retry_after: 7 }, 1);
    assert_eq!(reader.try_get(page).await.unwrap().headers()["retry-after"], "7");
    assert_eq!(reader.get(page).await.0, 200, "only once");
    world.fault(USERS, Fault::DroppedPage(1));
    assert_eq!(reader.names("/users?first=0&max=100").await.len(), 100, "the first page comes");
    assert_eq!(reader.names("/users?first=200&max=100").await.len(), 50, "the third as well");
    world.clear_faults();
    world.fault("*", Fault::Status(502));
    assert_eq!(reader.get("").await.0, 502);
}

#[tokio::test]
async fn a_body_that_is_cut_off_breaks_the_connection_after_its_beginning() {
    let (world, server) = world(250);
    let reader = Reader::sign_in(&server).await;
    for (target, cut) in [("/users?first=0&max=100", 5000), ("", 100)] {
        world.fault("*", Fault::CutOff(cut));
        let mut answer = reader.try_get(target).await.unwrap();
        let mut got = 0;
        let broken = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => got += chunk.len(),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken, "{target}");
        assert_eq!(got, cut, "{target}");
        world.clear_faults();
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_never_answered_and_does_not_keep_others_waiting() {
    let (world, server) = world(20);
    let reader = Reader::sign_in(&server).await;
    world.fault_times(USERS, Fault::Hang, 1);
    let waiting = tokio::time::timeout(Duration::from_millis(200), reader.try_get("/users")).await;
    assert!(waiting.is_err(), "there is no answer");
    assert_eq!(reader.get("/users/count").await.0, 200);
    let seen: Vec<Call> = world.calls().into_iter().filter(|c| c.call == USERS).collect();
    assert_eq!(
        seen,
        [Call { at: START, call: USERS.to_owned(), target: "/admin/realms/acme/users".to_owned(), status: None }]
    );
}

#[tokio::test]
async fn an_outage_refuses_connections_and_ends_those_that_are_open() {
    let (_world, mut server) = world(20);
    let url = server.url();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 404);
    server.outage();
    client.get(&url).send().await.expect_err("the connection that was open is gone");
    assert!(client.get(&url).send().await.unwrap_err().is_connect(), "and a new one is refused");
    server.restore().unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_hook_keeps_what_it_was_sent_and_answers_as_it_was_told() {
    let (world, server) = world(20);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |body: &'static str| {
        client.post(format!("{}/hook/on-call", server.url())).header("webhook-id", "msg_1").body(body).send()
    };
    world.hook_answers([HookAnswer::Status(500), HookAnswer::Throttled { retry_after: 3 }, HookAnswer::Hang]);
    assert_eq!(post(r#"{"n":1}"#).await.unwrap().status(), 500);
    assert_eq!(post(r#"{"n":2}"#).await.unwrap().headers()["retry-after"], "3");
    assert!(tokio::time::timeout(Duration::from_millis(200), post(r#"{"n":3}"#)).await.is_err());
    assert_eq!(post(r#"{"n":4}"#).await.unwrap().status(), 204);
    let received = world.received();
    let bodies: Vec<Value> = received.iter().map(|r| r.json()["n"].clone()).collect();
    assert_eq!(bodies, [json!(1), json!(2), json!(3), json!(4)]);
    assert_eq!(received.iter().map(|r| r.answered).collect::<Vec<_>>(), [Some(500), Some(429), None, Some(204)]);
    assert_eq!(received[0].header("webhook-id"), Some("msg_1"));
    assert_eq!(received[0].path, "/hook/on-call");
}

#[tokio::test]
async fn the_world_tells_the_time_it_was_set_to() {
    let (world, server) = world(20);
    let reader = Reader::sign_in(&server).await;
    world.set_now(784_111_777_000);
    let answer = reader.try_get("/users/count").await.unwrap();
    assert_eq!(answer.headers()["date"], "Sun, 06 Nov 1994 08:49:37 GMT");
    world.follow(|| 5);
    assert_eq!(world.now(), 5);
}
