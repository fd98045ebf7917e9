//! The GitHub organisation over the wire: its published description, pages, tags, limits, bad days, the known truth.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{Drift, Fault, GITHUB_APP, GITHUB_INSTALLATION, GITHUB_MEMBER_TOKEN, GITHUB_TOKEN, Posture, Server, World};

const START: i64 = 1_793_000_000_000;

/// What came back, read.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The address of the next page.
    fn next(&self) -> Option<String> {
        let links = self.header("link").split(", ").map(str::to_owned);
        let next = links.into_iter().find(|link| link.ends_with("rel=\"next\""))?;
        Some(next.split(['<', '>']).nth(1).unwrap().to_owned())
    }

    fn names(&self, key: &str) -> Vec<String> {
        self.body.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
    }
}

struct Reader<'a> {
    server: &'a Server,
    token: String,
    client: reqwest::Client,
}

impl<'a> Reader<'a> {
    fn new(server: &'a Server, token: &str) -> Reader<'a> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Reader { server, token: token.to_owned(), client }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, text, body }
    }

    async fn get(&self, path: &str) -> Answer {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.server.url()) };
        self.send(self.client.get(url)).await
    }

    async fn get_unless(&self, path: &str, tag: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.server.url())).header("if-none-match", tag)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.client.post(format!("{}{path}", self.server.url())).body(body.to_string())).await
    }

    /// Every item of a list, by its next links.
    async fn walk(&self, path: &str, key: &str) -> (Vec<String>, usize) {
        let (mut names, mut pages, mut at) = (Vec::new(), 0, Some(path.to_owned()));
        while let Some(path) = at {
            let page = self.get(&path).await;
            assert_eq!(page.status, 200, "{}", page.text);
            names.extend(page.names(key));
            (at, pages) = (page.next(), pages + 1);
        }
        (names, pages)
    }
}

fn world(people: usize, posture: Posture) -> (World, Server) {
    let world = World::with_posture(7, people, START, posture);
    let server = world.serve(0).unwrap();
    (world, server)
}

/// What is wrong with an answer, by GitHub's own description of it.
fn faults(call: &str, answer: &Answer) -> Vec<String> {
    static PUBLISHED: OnceLock<Value> = OnceLock::new();
    let published = PUBLISHED.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("published/github.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    });
    let schema = match published["answers"][call].get(answer.status.to_string()) {
        None => return vec![format!("{call} never answers {}", answer.status)],
        Some(Value::Null) => return Vec::new(),
        Some(schema) => schema,
    };
    let whole = json!({ "allOf": [schema], "components": published["components"] });
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft7)
        .should_validate_formats(true)
        .build(&whole)
        .unwrap();
    let mut faults: Vec<String> =
        validator.iter_errors(&answer.body).map(|error| format!("{call}{}: {error}", error.instance_path())).collect();
    // A description that allows whatever it does not name would let an invented member pass.
    let resolve = |schema: &'static Value| match schema["$ref"].as_str() {
        Some(name) => &published["components"]["schemas"][name.rsplit('/').next().unwrap()],
        None => schema,
    };
    let (described, shown) = match &answer.body {
        Value::Array(items) => (resolve(&schema["items"]), items.first()),
        one => (resolve(schema), Some(one)),
    };
    if let (Some(described), Some(shown)) = (described["properties"].as_object(), shown.and_then(Value::as_object)) {
        let invented = shown.keys().filter(|key| !described.contains_key(*key));
        faults.extend(invented.map(|key| format!("{call}: {key} is not in the description")));
    }
    faults
}

const ASKED: [(&str, &str); 24] = [
    ("GET /orgs/{org}", "/orgs/acme"),
    ("GET /orgs/{org}/members", "/orgs/acme/members"),
    ("GET /orgs/{org}/members", "/orgs/acme/members?role=admin&per_page=100"),
    ("GET /orgs/{org}/members", "/orgs/acme/members?filter=2fa_disabled"),
    ("GET /orgs/{org}/outside_collaborators", "/orgs/acme/outside_collaborators"),
    ("GET /repos/{owner}/{repo}/collaborators", "/repos/acme/web/collaborators?affiliation=outside"),
    ("GET /repos/{owner}/{repo}/collaborators", "/repos/acme/mobile/collaborators?affiliation=outside&per_page=100"),
    ("GET /orgs/{org}/installations", "/orgs/acme/installations?per_page=2"),
    ("GET /orgs/{org}/repos", "/orgs/acme/repos?type=all&sort=created&direction=asc&per_page=100"),
    ("GET /orgs/{org}/hooks", "/orgs/acme/hooks"),
    ("GET /orgs/{org}/actions/permissions", "/orgs/acme/actions/permissions"),
    ("GET /orgs/{org}/actions/permissions/workflow", "/orgs/acme/actions/permissions/workflow"),
    ("GET /orgs/{org}/code-security/configurations/defaults", "/orgs/acme/code-security/configurations/defaults"),
    ("GET /orgs/{org}/audit-log", "/orgs/acme/audit-log?include=web&order=desc"),
    ("GET /user/memberships/orgs/{org}", "/user/memberships/orgs/acme"),
    ("GET /repos/{owner}/{repo}", "/repos/acme/payments"),
    ("GET /repos/{owner}/{repo}/rules/branches/{branch}", "/repos/acme/web/rules/branches/main"),
    ("GET /repos/{owner}/{repo}/branches/{branch}/protection", "/repos/acme/billing/branches/main/protection"),
    ("GET /repos/{owner}/{repo}/branches/{branch}/protection", "/repos/acme/infra/branches/main/protection"),
    ("GET /repos/{owner}/{repo}/vulnerability-alerts", "/repos/acme/notebooks/vulnerability-alerts"),
    ("GET /repos/{owner}/{repo}/code-scanning/default-setup", "/repos/acme/api/code-scanning/default-setup"),
    ("GET /repos/{owner}/{repo}/code-scanning/default-setup", "/repos/acme/design/code-scanning/default-setup"),
    ("GET /repos/{owner}/{repo}/code-scanning/analyses", "/repos/acme/search/code-scanning/analyses"),
    ("GET /repos/{owner}/{repo}/code-scanning/analyses", "/repos/acme/notebooks/code-scanning/analyses"),
];

#[tokio::test]
async fn every_answer_fits_the_published_description_in_every_posture() {
    for posture in [Posture::Good, Posture::Mixed, Posture::Bad] {
        let (world, server) = world(300, posture);
        world.drift(Drift::BranchProtectionRemoved, "dora").unwrap();
        world.undo(Drift::BranchProtectionRemoved, "dora").unwrap();
        for token in [GITHUB_TOKEN, GITHUB_MEMBER_TOKEN] {
            let reader = Reader::new(&server, token);
            for (call, path) in ASKED {
                let answer = reader.get(path).await;
                // Of what a member may not see, the description says nothing: GitHub answers 404 to all of it.
                if token == GITHUB_MEMBER_TOKEN && [404, 422].contains(&answer.status) {
                    continue;
                }
                let wrong = faults(call, &answer);
                assert!(wrong.is_empty(), "{posture:?} {path} {}: {}", answer.text, wrong.join("\n"));
            }
        }
        assert!(world.calls().iter().all(|seen| seen.call.starts_with("GET /") && seen.call.contains('{')));
    }
}

#[tokio::test]
async fn a_walk_by_next_links_meets_everybody_once_under_both_addresses() {
    let (world, server) = world(900, Posture::Mixed);
    let reader = Reader::new(&server, GITHUB_TOKEN);
    let (logins, pages) = reader.walk("/orgs/acme/members?per_page=100", "login").await;
    let (below_v3, _) = reader.walk("/api/v3/orgs/acme/members?per_page=100", "login").await;
    assert_eq!((logins.len(), pages), (350, 4));
    assert_eq!(logins.iter().collect::<BTreeSet<_>>().len(), logins.len());
    assert_eq!(below_v3, logins);
    let first = reader.get("/orgs/acme/members?per_page=100").await;
    assert!(first.next().unwrap().contains("/organizations/"), "{:?}", first.next());
    assert!(first.header("link").contains("rel=\"last\"") && !first.header("link").contains("rel=\"prev\""));
    assert_eq!(world.calls().last().unwrap().call, "GET /orgs/{org}/members", "whatever address it has");
    let (repositories, _) = reader.walk("/orgs/acme/repos?per_page=10", "full_name").await;
    let organisation = reader.get("/orgs/acme").await.body;
    let counted =
        organisation["public_repos"].as_u64().unwrap() + organisation["total_private_repos"].as_u64().unwrap();
    assert_eq!(repositories.len() as u64, counted);
    assert_eq!(reader.get("/orgs/acme/members?page=9&per_page=100").await.body, json!([]));
}

#[tokio::test]
async fn what_did_not_change_is_confirmed_without_being_counted() {
    let (world, server) = world(60, Posture::Mixed);
    let reader = Reader::new(&server, GITHUB_TOKEN);
    let path = "/repos/acme/payments/branches/main/protection";
    let first = reader.get(path).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!((first.header("x-ratelimit-limit"), first.header("x-ratelimit-used")), ("5000", "1"));
    let again = reader.get_unless(path, &tag).await;
    assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", tag.as_str()));
    assert_eq!(again.header("x-ratelimit-used"), "1");
    world.drift(Drift::BranchProtectionRemoved, "dora").unwrap();
    assert_eq!(reader.get_unless(path, &tag).await.status, 404);
    world.undo(Drift::BranchProtectionRemoved, "dora").unwrap();
    assert_eq!(reader.get_unless(path, &tag).await.status, 304);
    assert_ne!(
        reader.get("/orgs/acme/members?per_page=5").await.header("etag"),
        reader.get("/orgs/acme/members?per_page=5&page=2").await.header("etag")
    );
}

#[tokio::test]
async fn the_limit_of_the_hour_is_counted_down_and_said() {
    let (world, server) = world(60, Posture::Mixed);
    world.set_github_quota(Some(3));
    let reader = Reader::new(&server, GITHUB_TOKEN);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let answer = reader.get("/orgs/acme").await;
        seen.push((answer.status, answer.header("x-ratelimit-remaining").to_owned()));
    }
    assert_eq!(
        seen.iter().map(|(status, left)| (*status, left.as_str())).collect::<Vec<_>>(),
        [(200, "2"), (200, "1"), (200, "0"), (403, "0"), (403, "0")]
    );
    let refused = reader.get("/orgs/acme").await;
    assert!(refused.text.contains("API rate limit exceeded"), "{}", refused.text);
    assert_eq!(refused.header("x-ratelimit-reset"), ((START + 3_600_000) / 1000).to_string());
    world.advance(3_600_000);
    assert_eq!(reader.get("/orgs/acme").await.status, 200);
}

#[tokio::test]
async fn a_member_and_an_app_see_less_than_an_owner_and_a_stranger_nothing() {
    let (world, server) = world(60, Posture::Mixed);
    let member = Reader::new(&server, GITHUB_MEMBER_TOKEN);
    let organisation = member.get("/orgs/acme").await;
    assert_eq!(organisation.status, 200);
    assert!(organisation.body.get("two_factor_requirement_enabled").is_none());
    assert!(member.get("/repos/acme/web").await.body.get("security_and_analysis").is_none());
    for path in ["/orgs/acme/hooks", "/repos/acme/web/branches/main/protection", "/orgs/other", "/repos/acme/none"] {
        let answer = member.get(path).await;
        assert_eq!((answer.status, &answer.body["message"]), (404, &json!("Not Found")), "{path}");
    }
    assert_eq!(member.get("/orgs/acme/members?filter=2fa_disabled").await.status, 422);
    let stranger = Reader::new(&server, "ghp_guessed").get("/orgs/acme").await;
    assert_eq!((stranger.status, &stranger.body["message"]), (401, &json!("Bad credentials")));
    let owner = Reader::new(&server, GITHUB_TOKEN);
    assert_eq!(owner.post("/repos/acme/web", &json!({})).await.status, 403, "nothing can be changed");
    assert_eq!(owner.get("/orgs/acme/members?role=owner").await.status, 501, "and nothing is overlooked");

    let path = format!("/app/installations/{GITHUB_INSTALLATION}/access_tokens");
    let key = world.github_app_key().unwrap();
    let app = Reader::new(&server, &app_token(&key, START / 1000));
    let issued = app.post(&path, &json!({})).await;
    let wrong = faults("POST /app/installations/{installation_id}/access_tokens", &issued);
    assert!(issued.status == 201 && wrong.is_empty(), "{} {}", issued.text, wrong.join("\n"));
    let installation = Reader::new(&server, issued.body["token"].as_str().unwrap());
    assert_eq!(installation.get("/orgs/acme").await.header("x-ratelimit-limit"), "5750");
    assert_eq!(installation.get("/orgs/acme/members?filter=2fa_disabled").await.status, 422);
    assert_eq!(installation.get("/user/memberships/orgs/acme").await.status, 403);
    let other = World::new(9, 12, START).github_app_key().unwrap();
    for bad in [app_token(&key, START / 1000 - 900), app_token(&other, START / 1000), "a.b.c".to_owned()] {
        assert_eq!(Reader::new(&server, &bad).post(&path, &json!({})).await.status, 401);
    }
    world.advance(3_601_000);
    assert_eq!(installation.get("/orgs/acme").await.status, 401, "its token has ended");
}

/// The token by which an App proves that it is itself, issued then and good for nine minutes.
fn app_token(pem: &str, issued: i64) -> String {
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": GITHUB_APP.to_string(), "iat": issued, "exp": issued + 540 });
    let signed = format!("{}.{}", encode(json!({ "alg": "RS256", "typ": "JWT" })), encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn the_graph_answers_what_was_asked_page_by_page_and_nothing_else() {
    let (_world, server) = world(300, Posture::Mixed);
    let reader = Reader::new(&server, GITHUB_TOKEN);
    let query = "query($org: String!, $after: String) { organization(login: $org) { membersWithRole(first: 20, after: $after) {
        nodes { login addresses: organizationVerifiedDomainEmails(login: $org) } pageInfo { hasNextPage endCursor } } } }";
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let body = json!({ "query": query, "variables": { "org": "acme", "after": after } });
        let answer = reader.post("/api/graphql", &body).await;
        let members = &answer.body["data"]["organization"]["membersWithRole"];
        assert!(answer.body.get("errors").is_none() && members.as_object().unwrap().len() == 2, "{}", answer.text);
        found.extend(members["nodes"].as_array().unwrap().clone());
        if members["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = members["pageInfo"]["endCursor"].clone();
    }
    let (logins, _) = reader.walk("/orgs/acme/members", "login").await;
    assert_eq!(found.iter().map(|member| member["login"].as_str().unwrap()).collect::<Vec<_>>(), logins);
    let of = |login: &str| found.iter().find(|member| member["login"] == login).unwrap()["addresses"].clone();
    assert_eq!((of("dora-acme"), of("ghost-gustav")), (json!(["dora@acme.example"]), json!([])));
    for wrong in ["{ viewer { login } }", "{ organization(login: \"other\") { login } }", "{ organization("] {
        let answer = reader.post("/graphql", &json!({ "query": wrong })).await;
        assert!(answer.status == 200 && answer.body["errors"].is_array(), "{}", answer.text);
    }
}

#[tokio::test]
async fn faults_strike_their_call_as_github_would_say_it() {
    let (world, server) = world(300, Posture::Mixed);
    let reader = Reader::new(&server, GITHUB_TOKEN);
    for (fault, status, message) in [
        (Fault::Denied, 403, "Resource not accessible by integration"),
        (Fault::Unauthenticated, 401, "Bad credentials"),
        (Fault::Throttled { retry_after: 7 }, 403, "secondary rate limit"),
        (Fault::EveryNthThrottled { n: 1, retry_after: 7 }, 429, "secondary rate limit"),
        (Fault::Status(502), 502, "Server Error"),
        (Fault::Status(404), 404, "Not Found"),
    ] {
        world.fault("GET /orgs/{o}/members", fault.clone());
        let struck = reader.get("/orgs/acme/members").await;
        assert!(
            struck.status == status && struck.text.contains(message),
            "{fault:?}: {} {}",
            struck.status,
            struck.text
        );
        assert_eq!(struck.header("retry-after"), if message.starts_with("secondary") { "7" } else { "" });
        assert_eq!(reader.get("/orgs/acme/hooks").await.status, 200, "{fault:?} is for the list alone");
        world.clear_faults();
    }
    world.fault("GET /orgs/{org}/members", Fault::DroppedPage(1));
    let (logins, pages) = reader.walk("/orgs/acme/members?per_page=20", "login").await;
    assert_eq!((logins.len(), pages), (20, 2), "the second page is empty and leads nowhere");
}

#[test]
fn a_good_organisation_has_nothing_to_find_and_a_mixed_one_each_fault_by_name() {
    let deviating = |world: &World| -> Vec<String> {
        let truth = world.github_truth();
        let found =
            truth.iter().flat_map(|(check, verdicts)| verdicts.deviating().into_iter().map(move |n| (*check, n)));
        found.map(|(check, name)| format!("{} {name}", check.trim_start_matches("github."))).collect()
    };
    assert_eq!(deviating(&World::with_posture(7, 1000, START, Posture::Good)), Vec::<String>::new());
    assert_eq!(
        deviating(&World::with_posture(7, 40, START, Posture::Mixed)),
        [
            "branch.admins_bound acme/tools@main",
            "branch.approvals acme/design@main",
            "branch.approvals acme/infra@main",
            "branch.no_rewrite acme/infra@main",
            "branch.no_rewrite acme/tools@main",
            "branch.pr_required acme/infra@main",
            "branch.signed_commits acme/design@main",
            "branch.signed_commits acme/infra@main",
            "branch.status_checks acme/design@main",
            "branch.status_checks acme/infra@main",
            "installation.least_privilege free-badges",
            "installation.least_privilege trial-vault",
            "org.members_two_factor acme",
            "org.owner_count acme",
            "org.public_repo_creation acme",
            "org.two_factor_required acme",
            "org.workflow_token_read acme",
            "org_hook.secure http://wiki.acme.example/github",
            "org_hook.secure https://chat.acme.example/hooks/github",
            "org_hook.secure https://stage.acme.example/github",
            "outside_collaborator.approved agency-anton@acme/design",
            "outside_collaborator.approved freelance-frida@acme/data-pipeline",
            "outside_collaborator.approved freelance-frida@acme/mobile",
            "outside_collaborator.approved intern-ines@acme/legacy-shop",
            "repo.code_scanning_on acme/design",
            "repo.code_scanning_on acme/notebooks",
            "repo.code_scanning_on acme/search",
            "repo.dependabot_alerts_on acme/notebooks",
            "repo.secret_scanning_push_protection acme/data-pipeline",
        ]
    );
}

#[tokio::test]
async fn protection_taken_away_is_seen_in_its_checks_and_its_actor_in_the_audit_log() {
    let (world, server) = world(40, Posture::Good);
    let before = world.github_truth();
    world.advance(1000);
    world.drift(Drift::BranchProtectionRemoved, "dora").unwrap();
    let after = world.github_truth();
    let changed: Vec<&str> = after.iter().filter(|(_, v)| !v.deviates.is_empty()).map(|(check, _)| *check).collect();
    assert_eq!(
        changed,
        [
            "github.branch.approvals",
            "github.branch.no_rewrite",
            "github.branch.pr_required",
            "github.branch.signed_commits",
            "github.branch.status_checks"
        ]
    );
    assert_eq!(after[Drift::BranchProtectionRemoved.check()].deviating(), BTreeSet::from(["acme/payments@main"]));
    let log = Reader::new(&server, GITHUB_TOKEN).get("/orgs/acme/audit-log?include=web&order=desc&per_page=100").await;
    let event = &log.body[0];
    assert_eq!((&event["actor"], &event["repo"]), (&json!("dora-acme"), &json!("acme/payments")));
    assert_eq!((&event["@timestamp"], &event["action"]), (&json!(START + 1000), &json!("protected_branch.destroy")));
    world.undo(Drift::BranchProtectionRemoved, "dora").unwrap();
    assert_eq!(world.github_truth(), before);
    world.drift(Drift::ForcePushesAllowed, "erik").unwrap();
    let after = world.github_truth();
    let changed: Vec<&str> = after.iter().filter(|(_, v)| !v.deviates.is_empty()).map(|(check, _)| *check).collect();
    assert_eq!(changed, [Drift::ForcePushesAllowed.check()]);
    world.undo(Drift::ForcePushesAllowed, "erik").unwrap();
    assert_eq!(world.github_truth(), before);
}
