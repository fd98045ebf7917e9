//! The AWS account over the wire: signatures, refusals, pages, the report that ages, bad days, and the known truth.

use std::collections::BTreeSet;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::service_model::{Element, faults};
use crate::{
    AWS_ACCOUNT, AWS_EXTERNAL_ID, AWS_KEY_ID, AWS_READER, AWS_SECOND_ACCOUNT, AWS_SECRET_KEY, Drift, Fault, Posture,
    Server, World,
};

const START: i64 = 1_793_000_000_000;
const HOUR: i64 = 3_600_000;

/// Whoever calls: keys, and the session they are part of.
struct Caller<'a> {
    world: &'a World,
    server: &'a Server,
    key_id: String,
    secret: String,
    token: Option<String>,
    client: reqwest::Client,
}

impl<'a> Caller<'a> {
    fn new(world: &'a World, server: &'a Server) -> Caller<'a> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (key_id, secret) = (AWS_KEY_ID.to_owned(), AWS_SECRET_KEY.to_owned());
        Caller { world, server, key_id, secret, token: None, client }
    }

    async fn send(&self, action: &str, more: &str) -> (u16, String) {
        let sts = ["GetCallerIdentity", "AssumeRole"].contains(&action);
        let (service, version) = if sts { ("sts", "2011-06-15") } else { ("iam", "2010-05-08") };
        self.post(service, format!("Action={action}&Version={version}{more}"), None).await
    }

    /// Signs a request and sends it; with a target it is one of those in JSON.
    async fn post(&self, service: &str, body: String, target: Option<&str>) -> (u16, String) {
        let host = self.server.url().replace("http://", "");
        let time = chrono::DateTime::from_timestamp_millis(self.world.now()).unwrap();
        let (date, day) = (time.format("%Y%m%dT%H%M%SZ").to_string(), time.format("%Y%m%d").to_string());
        let mut headers = vec![("host", host), ("x-amz-date", date.clone())];
        headers.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        headers.extend(target.map(|target| ("x-amz-target", target.to_owned())));
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&Sha256::digest(&body)));
        let scope = format!("{day}/us-east-1/{service}/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
        let mac = |key: &[u8], text: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        };
        let key = scope.split('/').fold(format!("AWS4{}", self.secret).into_bytes(), |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &text));
        let credential = format!("{}/{scope}", self.key_id);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        let mut request = self.client.post(self.server.url()).header("authorization", authorization).body(body);
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let kind = if target.is_some() { "application/x-amz-json-1.1" } else { "text/xml" };
        assert_eq!(answer.headers()["content-type"], kind);
        assert!(answer.headers().contains_key("x-amzn-requestid"));
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// An answer that fits the model, or the test fails.
    async fn ask(&self, action: &str, more: &str) -> (u16, Element) {
        let (status, text) = self.send(action, more).await;
        let answer = Element::parse(&text);
        let service = if ["GetCallerIdentity", "AssumeRole"].contains(&action) { "sts" } else { "iam" };
        let wrong = faults(service, action, status, &answer);
        assert!(wrong.is_empty(), "{action}{more}: {}\n{text}", wrong.join("\n"));
        (status, answer)
    }

    async fn code(&self, action: &str, more: &str) -> (u16, String) {
        let (status, answer) = self.ask(action, more).await;
        (status, answer.find("Code").map_or_else(String::new, |code| code.text.clone()))
    }

    async fn report(&self) -> Vec<Vec<String>> {
        self.ask("GenerateCredentialReport", "").await;
        self.ask("GenerateCredentialReport", "").await;
        let (status, answer) = self.ask("GetCredentialReport", "").await;
        assert_eq!(status, 200);
        let content = &answer.find("Content").unwrap().text;
        let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(content).unwrap()).unwrap();
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }

    /// As the role of an account, with keys that end.
    async fn assume(&self, account: &str, external_id: &str, more: &str) -> (u16, Element) {
        let role = format!("arn:aws:iam::{account}:role/{AWS_READER}");
        self.ask("AssumeRole", &format!("&RoleArn={role}&RoleSessionName=run-1&ExternalId={external_id}{more}")).await
    }

    fn with(&self, keys: &Element) -> Caller<'a> {
        let text = |name: &str| keys.find(name).unwrap().text.clone();
        Caller {
            key_id: text("AccessKeyId"),
            secret: text("SecretAccessKey"),
            token: Some(text("SessionToken")),
            ..Caller::new(self.world, self.server)
        }
    }
}

fn world(people: usize, posture: Posture) -> (World, Server) {
    let world = World::with_posture(7, people, START, posture);
    let server = world.serve(0).unwrap();
    (world, server)
}

#[tokio::test]
async fn every_answer_fits_the_published_model_in_every_posture() {
    for posture in [Posture::Good, Posture::Mixed, Posture::Bad] {
        let (world, server) = world(60, posture);
        let caller = Caller::new(&world, &server);
        assert_eq!(caller.code("GetCredentialReport", "").await, (410, "ReportNotPresent".to_owned()));
        assert_eq!(caller.ask("GenerateCredentialReport", "").await.1.find("State").unwrap().text, "STARTED");
        assert_eq!(caller.code("GetCredentialReport", "").await, (404, "ReportInProgress".to_owned()));
        assert_eq!(caller.ask("GenerateCredentialReport", "").await.1.find("State").unwrap().text, "COMPLETE");
        for action in [
            "GetCredentialReport",
            "GetAccountSummary",
            "GetAccountAuthorizationDetails",
            "ListVirtualMFADevices",
            "ListSAMLProviders",
            "ListOpenIDConnectProviders",
            "ListServerCertificates",
            "GetCallerIdentity",
        ] {
            assert_eq!(caller.ask(action, "").await.0, 200, "{action}");
        }
        let expected = if posture == Posture::Bad { (404, "NoSuchEntity".to_owned()) } else { (200, String::new()) };
        assert_eq!(caller.code("GetAccountPasswordPolicy", "").await, expected);
        assert_eq!(caller.assume(AWS_SECOND_ACCOUNT, AWS_EXTERNAL_ID, "").await.0, 200);
    }
}

#[tokio::test]
async fn a_walk_in_pages_meets_everything_once_and_agrees_with_the_summary() {
    let (world, server) = world(900, Posture::Mixed);
    let caller = Caller::new(&world, &server);
    let (mut users, mut policies, mut pages) = (Vec::new(), Vec::new(), 0);
    let mut marker = String::new();
    loop {
        let (_, page) = caller.ask("GetAccountAuthorizationDetails", &format!("&MaxItems=100{marker}")).await;
        users.extend(page.each("UserDetailList", "UserName"));
        policies.extend(page.each("Policies", "Arn"));
        pages += 1;
        match page.find("Marker") {
            Some(next) => marker = format!("&Marker={}", next.text.replace('=', "%3D")),
            None => break,
        }
    }
    let (_, summary) = caller.ask("GetAccountSummary", "").await;
    let entries = &summary.find("SummaryMap").unwrap().children;
    let said = |key: &str| {
        let entry = entries.iter().find(|entry| entry.children[0].text == key).unwrap();
        entry.children[1].text.parse::<usize>().unwrap()
    };
    assert_eq!(pages, 3);
    assert_eq!(users.len(), said("Users"));
    assert!(users.is_sorted() && users.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(policies.iter().filter(|arn| !arn.contains(":aws:policy/")).count(), said("Policies"));
    let report = caller.report().await;
    let rows: Vec<&str> = report.iter().skip(2).map(|row| row[0].as_str()).collect();
    assert_eq!(rows, users, "the report and the list name the same users");
    assert_eq!(report[1][0], "<root_account>");
    assert!(report.iter().all(|row| row.len() == 22));

    let (mut devices, mut marker) = (Vec::new(), String::new());
    loop {
        let (_, page) =
            caller.ask("ListVirtualMFADevices", &format!("&AssignmentStatus=Any&MaxItems=50{marker}")).await;
        devices.extend(page.each("VirtualMFADevices", "SerialNumber"));
        let Some(next) = page.find("Marker") else { break };
        marker = format!("&Marker={}", next.text.replace('=', "%3D"));
    }
    assert_eq!(devices.len(), said("MFADevices"));
    assert_eq!(devices.iter().collect::<BTreeSet<_>>().len(), devices.len());
    assert_eq!(report.iter().skip(1).filter(|row| row[7] == "true").count(), devices.len());
}

#[tokio::test]
async fn a_filter_leaves_out_what_was_not_asked_for() {
    let (world, server) = world(60, Posture::Mixed);
    let caller = Caller::new(&world, &server);
    let (_, page) = caller.ask("GetAccountAuthorizationDetails", "&Filter.member.1=LocalManagedPolicy").await;
    assert!(page.each("UserDetailList", "UserName").is_empty() && page.each("RoleDetailList", "RoleName").is_empty());
    assert!(page.each("Policies", "PolicyName").contains(&"legacy-everything".to_owned()));
    assert!(!page.each("Policies", "PolicyName").contains(&"AdministratorAccess".to_owned()));
    let document = page.find("Document").unwrap();
    assert!(document.text.starts_with("%7B%22") && !document.text.contains(['{', '*', '+', ' ']), "{}", document.text);
}

#[tokio::test]
async fn the_report_stands_still_for_four_hours_while_the_policies_do_not() {
    let (world, server) = world(40, Posture::Good);
    let caller = Caller::new(&world, &server);
    let before = caller.report().await;
    world.drift(Drift::AdminPolicyAttached, "dora").unwrap();
    let (_, page) = caller.ask("GetAccountAuthorizationDetails", "&Filter.member.1=User").await;
    let ivan =
        page.find("UserDetailList").unwrap().children.iter().find(|u| u.find("UserName").unwrap().text == "ivan");
    assert_eq!(ivan.unwrap().each("AttachedManagedPolicies", "PolicyName"), ["AdministratorAccess"]);
    world.advance(3 * HOUR);
    assert_eq!(caller.report().await, before);
    let made = async || caller.ask("GetCredentialReport", "").await.1.find("GeneratedTime").unwrap().text.clone();
    assert_eq!(made().await, "2026-10-26T07:33:20Z");
    world.advance(2 * HOUR);
    assert_eq!(caller.code("GetCredentialReport", "").await, (410, "ReportExpired".to_owned()));
    caller.report().await;
    assert_eq!(made().await, "2026-10-26T12:33:20Z");
}

#[tokio::test]
async fn a_role_is_assumed_with_the_right_external_id_only_and_its_keys_end() {
    let (world, server) = world(40, Posture::Mixed);
    let reader = Caller::new(&world, &server);
    let arn = |identity: &Element| identity.find("Arn").unwrap().text.clone();
    assert_eq!(
        arn(&reader.ask("GetCallerIdentity", "").await.1),
        format!("arn:aws:iam::{AWS_ACCOUNT}:user/{AWS_READER}")
    );
    let (_, keys) = reader.assume(AWS_SECOND_ACCOUNT, AWS_EXTERNAL_ID, "&DurationSeconds=900").await;
    let second = reader.with(&keys);
    let identity = second.ask("GetCallerIdentity", "").await.1;
    assert_eq!(identity.find("Account").unwrap().text, AWS_SECOND_ACCOUNT);
    assert_eq!(arn(&identity), format!("arn:aws:sts::{AWS_SECOND_ACCOUNT}:assumed-role/{AWS_READER}/run-1"));
    let (_, users) = second.ask("GetAccountAuthorizationDetails", "&Filter.member.1=User").await;
    assert!(users.each("UserDetailList", "Arn").iter().all(|arn| arn.contains(AWS_SECOND_ACCOUNT)));
    world.advance(901_000);
    assert_eq!(second.code("GetAccountSummary", "").await, (403, "ExpiredToken".to_owned()));
    for (account, external_id) in [(AWS_SECOND_ACCOUNT, "guessed"), ("777788889999", AWS_EXTERNAL_ID)] {
        let (status, answer) = reader.assume(account, external_id, "").await;
        assert_eq!((status, answer.find("Code").unwrap().text.as_str()), (403, "AccessDenied"));
    }
}

#[tokio::test]
async fn a_wrong_signature_an_unknown_key_and_every_change_are_refused() {
    let (world, server) = world(40, Posture::Mixed);
    let reader = Caller::new(&world, &server);
    let wrong = Caller { secret: "not-the-secret".to_owned(), ..Caller::new(&world, &server) };
    assert_eq!(wrong.code("GetAccountSummary", "").await, (403, "SignatureDoesNotMatch".to_owned()));
    let unknown = Caller { key_id: "AKIANOBODY0000000000".to_owned(), ..Caller::new(&world, &server) };
    assert_eq!(unknown.code("GetAccountSummary", "").await, (403, "InvalidClientTokenId".to_owned()));
    assert_eq!(reader.code("ListVirtualMFADevices", "&MaxItems=5000").await, (400, "ValidationError".to_owned()));
    for (action, status) in [("DeleteUser", "AccessDenied"), ("ListUsers", "InvalidAction")] {
        let answer = Element::parse(&reader.send(action, "").await.1);
        assert_eq!(answer.find("Code").unwrap().text, status);
    }
}

#[tokio::test]
async fn faults_strike_their_action_in_the_words_of_the_service() {
    let (world, server) = world(900, Posture::Mixed);
    let reader = Caller::new(&world, &server);
    for (fault, expected) in [
        (Fault::Denied, (403, "AccessDenied")),
        (Fault::Unauthenticated, (403, "InvalidClientTokenId")),
        (Fault::Throttled { retry_after: 7 }, (400, "Throttling")),
        (Fault::Status(500), (500, "ServiceFailure")),
    ] {
        world.fault("iam:GetAccountSummary", fault.clone());
        let (status, code) = reader.code("GetAccountSummary", "").await;
        assert_eq!((status, code.as_str()), expected, "{fault:?}");
        assert_eq!(reader.ask("ListVirtualMFADevices", "").await.0, 200, "{fault:?} is for the summary alone");
        world.clear_faults();
    }
    world.fault("*", Fault::EveryNthThrottled { n: 2, retry_after: 1 });
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(reader.ask("ListSAMLProviders", "").await.0);
    }
    assert_eq!(statuses, [200, 400, 200, 400]);
    world.clear_faults();
    world.fault("iam:GetAccountAuthorizationDetails", Fault::DroppedPage(1));
    let (_, first) = reader.ask("GetAccountAuthorizationDetails", "").await;
    let more = format!("&Marker={}", first.find("Marker").unwrap().text.replace('=', "%3D"));
    let (_, second) = reader.ask("GetAccountAuthorizationDetails", &more).await;
    assert_eq!(second.each("UserDetailList", "UserName").len(), 0);
    world.clear_faults();
    world.fault("iam:GetAccountSummary", Fault::Body("<html/>".to_owned()));
    let calls: Vec<Option<u16>> =
        world.calls().iter().filter(|c| c.call == "iam:GetAccountSummary").map(|c| c.status).collect();
    assert_eq!(calls, [Some(403), Some(403), Some(400), Some(500)]);
}

#[tokio::test]
async fn the_trail_names_who_changed_what_newest_first() {
    let (world, server) = world(40, Posture::Good);
    world.drift(Drift::AdminPolicyAttached, "dora").unwrap();
    world.advance(60_000);
    world.undo(Drift::AdminPolicyAttached, "erik").unwrap();
    let reader = Caller::new(&world, &server);
    let target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";
    let lookup = async |asked: Value| {
        let (status, text) = reader.post("cloudtrail", asked.to_string(), Some(target)).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let of_iam = json!([{ "AttributeKey": "EventSource", "AttributeValue": "iam.amazonaws.com" }]);
    let (status, first) =
        lookup(json!({ "LookupAttributes": of_iam, "StartTime": START / 1000, "MaxResults": 1 })).await;
    assert_eq!((status, &first["Events"][0]["Username"]), (200, &json!("erik")));
    let (_, second) = lookup(json!({ "MaxResults": 1, "NextToken": first["NextToken"] })).await;
    let record: Value = serde_json::from_str(second["Events"][0]["CloudTrailEvent"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&record["eventName"], &record["userIdentity"]["userName"]),
        (&json!("AttachUserPolicy"), &json!("dora"))
    );
    assert_eq!(record["requestParameters"]["userName"], "ivan");
    assert!(second.get("NextToken").is_none());
    assert_eq!(lookup(json!({ "StartTime": START / 1000 + 61 })).await.1, json!({ "Events": [] }));
    world.fault("cloudtrail:LookupEvents", Fault::Denied);
    assert_eq!(lookup(json!({})).await.1["__type"], "AccessDeniedException");
}

#[test]
fn a_good_account_has_nothing_to_find_and_a_mixed_one_each_fault_by_name() {
    let deviating = |world: &World| -> Vec<String> {
        let truth = world.aws_truth();
        let found =
            truth.iter().flat_map(|(check, verdicts)| verdicts.deviating().into_iter().map(move |n| (*check, n)));
        found.filter(|(_, name)| !name.starts_with("person-")).map(|(check, name)| format!("{check} {name}")).collect()
    };
    assert_eq!(deviating(&World::with_posture(7, 400, START, Posture::Good)), Vec::<String>::new());
    let mixed = World::with_posture(7, 40, START, Posture::Mixed);
    assert_eq!(
        deviating(&mixed),
        [
            "aws.iam.access_key.in_use jana, key 1",
            "aws.iam.access_key.in_use lena, key 2",
            "aws.iam.access_key.rotated ivan, key 1",
            "aws.iam.access_key.rotated lena, key 2",
            "aws.iam.password_policy 111122223333",
            "aws.iam.policy.no_full_admin legacy-everything",
            "aws.iam.role.ci_trust_scoped ci-any-branch-of-ours",
            "aws.iam.role.ci_trust_scoped ci-any-repository",
            "aws.iam.role.ci_trust_scoped ci-without-subject",
            "aws.iam.role.trust_not_public open",
            "aws.iam.role.vendor_external_id vendor-backup",
            "aws.iam.root.no_access_keys 111122223333",
            "aws.iam.root.not_used root of 111122223333",
            "aws.iam.user.console_dormant gita",
            "aws.iam.user.console_dormant nora",
            "aws.iam.user.console_mfa finn",
            "aws.iam.user.humans_federated 111122223333",
        ]
    );
}

#[test]
fn one_administrator_too_many_is_seen_in_any_posture_and_can_be_taken_back() {
    for posture in [Posture::Good, Posture::Mixed] {
        let world = World::with_posture(7, 40, START, posture);
        let before = world.aws_truth();
        world.drift(Drift::AdminPolicyAttached, "dora").unwrap();
        let after = world.aws_truth();
        let changed: Vec<_> = after.keys().filter(|check| after[*check] != before[*check]).collect();
        assert_eq!(changed, [&Drift::AdminPolicyAttached.check()]);
        assert!(after[Drift::AdminPolicyAttached.check()].deviates.contains_key(AWS_ACCOUNT));
        world.undo(Drift::AdminPolicyAttached, "dora").unwrap();
        assert_eq!(world.aws_truth(), before);
    }
}
