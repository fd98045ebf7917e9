//! The GitHub connector before answers that are not ours: GitHub's published examples, random bodies that its description
//! allows, and an answer that GitHub once gave.

use std::collections::{BTreeMap, BTreeSet};

use domain::{GapReason, ObservationValue, Outcome};
use kit::http::Method;
use query::{EntryView, RowView};
use serde_json::{Value, json};

use super::gate::Gate;
use super::{collect, needed, verdicts};
use crate::support::{Api, Setup};

const TOKEN: &str = "github_pat_canary_that_stays_with_its_host";

/// Settings of a daemon that reads the organisation `acme` of a GitHub at this address, at its start and when it is asked
/// to.
fn watched(url: &str, organisation: &str, token: &str) -> Setup {
    let sources = format!(
        "  github:\n  - name: acme\n    owner: platform team\n    url: {url}\n    organisation: {organisation}\n    \
         audit_log: true\n    approved: {{outside_collaborators: [], apps: []}}\n    \
         token: {{file: DIR/reader.secret}}\n"
    );
    Setup::of_sources(&sources, token).every("every: 12h")
}

fn runs(api: &Api) -> Vec<EntryView> {
    api.entries(0).into_iter().filter(|view| view.kind == "run").collect()
}

/// Rows of a run: its exchanges with their bodies, then its resources.
fn rows(api: &Api, run: &EntryView) -> Vec<RowView> {
    (0..run.rows).map(|row| api.get(&format!("entries/{}/{row}", run.entry)).unwrap()).collect()
}

/// By type of resource and field, whether it was read or why it was not.
type Fields = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn fields(rows: &[RowView], fields: &mut Fields) {
    for resource in rows.iter().filter_map(|row| row.resource.as_ref()) {
        let of_type = fields.entry(resource["type"].as_str().unwrap().to_owned()).or_default();
        for field in resource["fields"].as_object().into_iter().flatten().map(|(field, _)| field) {
            of_type.entry(field.clone()).or_default().insert("read".to_owned());
        }
        for (field, why) in resource["unread"].as_object().into_iter().flatten() {
            of_type.entry(field.clone()).or_default().insert(why.to_string());
        }
    }
}

fn print(fields: &Fields) {
    for (kind, of_type) in fields {
        for (field, how) in of_type {
            println!("{kind:<28} {field:<40} {}", how.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        }
    }
}

/// The calls that the connector declares, but those that are for other settings.
fn declared(setup: &Setup) -> BTreeSet<String> {
    let printed = setup.command(&["--json", "permissions", "github"]);
    assert!(printed.status.success());
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let all = printed["permissions"].as_array().unwrap().iter();
    let calls = all.flat_map(|one| one["calls"].as_object().unwrap().keys().cloned());
    calls.filter(|call| call != "POST /graphql").collect()
}

#[test]
#[ignore = "needs Prism on GitHub's description: run by tests/all"]
fn party_prism_every_collector_reads_the_examples_that_github_publishes() {
    let gate = Gate::to(&needed("PRISM_URL"));
    let setup = watched(&gate.url(), "acme", TOKEN);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    let api = daemon.api();

    let (mut found, mut calls) = (Fields::new(), BTreeSet::new());
    for run in runs(api) {
        assert_ne!(run.fact["outcome"], "failed", "{:#}", run.fact);
        for population in run.fact["populations"].as_array().unwrap() {
            assert!(population["count"].as_u64() > Some(0), "{population}");
        }
        calls.extend(run.exchanges.iter().map(|one| one.exchange.call.clone()));
        fields(&rows(api, &run), &mut found);
    }
    print(&found);
    let never: Vec<String> = declared(&setup).difference(&calls).cloned().collect();
    assert!(never.is_empty(), "declared and not asked: {never:?}");
    // The examples say everything that is asked for, but what follows from lists, which all lead elsewhere (see below),
    // and whether signatures are required, which GitHub's example of a protected branch leaves out.
    let unread: BTreeSet<(&str, &str)> = found
        .iter()
        .flat_map(|(kind, all)| all.iter().map(move |(field, how)| (kind.as_str(), field.as_str(), how)))
        .filter(|(.., how)| !how.contains("read"))
        .map(|(kind, field, _)| (kind, field))
        .collect();
    let expected = BTreeSet::from([
        ("github.branch", "signatures_required"),
        ("github.member", "email"),
        ("github.member", "owner"),
        ("github.org", "members_without_2fa"),
        ("github.org", "owner_logins"),
    ]);
    assert_eq!(unread, expected);
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
#[ignore = "needs Prism on GitHub's description: run by tests/all"]
fn party_prism_a_next_link_to_another_host_never_gets_the_token_and_is_a_named_gap() {
    let gate = Gate::to(&needed("PRISM_URL"));
    let setup = watched(&gate.url(), "acme", TOKEN);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    let mut foreign = BTreeSet::new();
    for run in runs(daemon.api()) {
        for one in &run.exchanges {
            assert!(one.exchange.url.starts_with(&gate.url()), "asked elsewhere: {}", one.exchange.url);
        }
    }
    for view in daemon.api().streams() {
        let refused = view.gaps.iter().filter(|gap| gap.reason == GapReason::Refused);
        foreign.extend(refused.map(|gap| format!("{}: {}", gap.call, gap.detail)));
    }
    println!("{}", foreign.iter().map(String::as_str).collect::<Vec<_>>().join("\n"));
    for list in ["members", "outside_collaborators", "repos", "hooks", "installations"] {
        let named = foreign.iter().any(|gap| gap.starts_with(&format!("GET /orgs/{{org}}/{list}")));
        assert!(named, "{list}: {foreign:?}");
    }
    // What rests on a list whose end was not reached is undetermined, and no list that was broken off is whole.
    for view in daemon.api().streams() {
        assert_eq!(view.last_run.unwrap().outcome, Outcome::Partial, "{}", view.stream);
    }
    let passed = gate.passed();
    let asked = passed.iter().filter(|way| way.contains(TOKEN)).count();
    assert!(asked > 0, "the token does go to its own host");
    let (places, _) = super::secrets::are_nowhere(&BTreeSet::from([TOKEN.to_owned()]), daemon, &setup);
    println!(
        "{} next links refused; the token went to its own host only and is in none of {places} places",
        foreign.len()
    );
}

/// Rounds of random bodies. Each asks every call once or more; a failure names the body, which the ledger keeps.
const ROUNDS: usize = 12;

#[test]
#[ignore = "needs Prism on GitHub's description: run by tests/all"]
fn party_prism_random_bodies_end_in_a_gap_or_a_true_word_and_never_in_a_panic() {
    let setup = watched(&needed("PRISM_RANDOM_URL"), "acme", TOKEN);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    for _ in 1..ROUNDS {
        collect(&mut daemon);
    }
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    let api = daemon.api();
    let (mut bodies, mut read, mut values) = (0, Fields::new(), BTreeMap::<&str, usize>::new());
    for run in runs(api) {
        let rows = rows(api, &run);
        let said: Vec<Value> = rows
            .iter()
            .filter(|row| row.exchange.as_ref().is_some_and(|one| one.exchange.status.is_some_and(|s| s < 300)))
            .filter_map(|row| serde_json::from_str(row.body.as_deref()?).ok())
            .collect();
        bodies += said.len();
        for resource in rows.iter().filter_map(|row| row.resource.as_ref()) {
            for (kind, field, member) in COPIED {
                let value = &resource["fields"][field];
                let known = resource["type"] == *kind && !value.is_null();
                assert!(
                    !known || said.iter().any(|body| holds(body, member, value)),
                    "{field} from nowhere: {resource}"
                );
            }
        }
        fields(&rows, &mut read);
    }
    print(&read);
    for view in api.entries(0).into_iter().filter(|view| view.kind == "observation" && view.fact["same_as"].is_null()) {
        for row in (0..view.rows).map(|row| api.get::<RowView>(&format!("entries/{}/{row}", view.entry)).unwrap()) {
            let value = row.observation.as_ref().unwrap().value;
            *values.entry(value.as_str()).or_default() += 1;
            rests_on_what_was_read(&row, value);
        }
    }
    println!("{bodies} random bodies in {ROUNDS} rounds; observations: {values:?}");
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

/// Fields whose value stands in an answer as it is: type, field, member of the answer.
const COPIED: &[(&str, &str, &str)] = &[
    ("github.org", "two_factor_required", "two_factor_requirement_enabled"),
    ("github.org", "default_repository_permission", "default_repository_permission"),
    ("github.org", "members_can_create_public_repositories", "members_can_create_public_repositories"),
    ("github.org", "members_can_fork_private_repositories", "members_can_fork_private_repositories"),
    ("github.org", "default_workflow_permissions", "default_workflow_permissions"),
    ("github.org", "workflows_can_approve", "can_approve_pull_request_reviews"),
    ("github.org_hook", "active", "active"),
    ("github.org_hook", "events", "events"),
    ("github.member", "login", "login"),
    ("github.outside_collaborator", "login", "login"),
    ("github.outside_collaborator", "repo_role", "role_name"),
    ("github.installation", "slug", "app_slug"),
    ("github.installation", "suspended_at", "suspended_at"),
    ("github.repo", "archived", "archived"),
    ("github.repo", "visibility", "visibility"),
];

/// Whether `body` holds a member of this name and value, at any depth.
fn holds(body: &Value, member: &str, value: &Value) -> bool {
    match body {
        Value::Object(members) => {
            members.get(member) == Some(value) || members.values().any(|below| holds(below, member, value))
        }
        Value::Array(items) => items.iter().any(|below| holds(below, member, value)),
        _ => false,
    }
}

/// A word for or against a resource, and no field of it that the check names was unread.
fn rests_on_what_was_read(row: &RowView, value: ObservationValue) {
    if !matches!(value, ObservationValue::Conforms | ObservationValue::Deviates) {
        return;
    }
    let (resource, observation) = (row.resource.as_ref().unwrap(), row.observation.as_ref().unwrap());
    assert!(observation.unread.is_empty(), "{row:#?}");
    for (field, value) in &observation.fields {
        assert_eq!(resource["fields"].get(field), Some(value), "{field}: {row:#?}");
    }
}

#[test]
#[ignore = "needs Octokit's recorded answers: run by tests/all"]
fn party_fixtures_an_organisation_as_github_answered_it_is_read_and_everything_else_is_a_gap() {
    let recorded = "0000000000000000000000000000000000000001";
    let url = scenario("get-organization");
    let setup = watched(&url, "octokit-fixture-org", recorded);
    setup.write();
    let done = setup.command(&["--json", "scan", "--init", "--stream", "github:acme/organisation"]);
    println!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(3), "evidence is incomplete");

    let mut daemon = setup.start_as_written(&[]);
    let (rows, run) = daemon.wait("the run of the scan", |api| {
        let run = runs(api).into_iter().next()?;
        Some((rows(api, &run), run))
    });
    assert_eq!(run.fact["outcome"], "partial");
    let org = rows.iter().filter_map(|row| row.resource.as_ref()).find(|one| one["type"] == "github.org").unwrap();
    let expected = json!({
        "default_repository_permission": "read",
        "members_can_create_public_repositories": true,
        "members_can_fork_private_repositories": false,
        "two_factor_required": false,
    });
    assert_eq!(org["fields"], expected, "what the one recorded answer says, and nothing else");
    let exchange = rows.iter().filter_map(|row| row.exchange.as_ref()).find(|one| one.exchange.status == Some(200));
    let exchange = &exchange.unwrap().exchange;
    assert_eq!(exchange.date.as_deref(), Some("Tue, 10 Oct 2017 16:00:00 GMT"), "GitHub's own date is kept");
    assert!(exchange.request_id.is_some() && exchange.etag.is_some());
    drop(daemon);
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
#[ignore = "needs Octokit's recorded answers: run by tests/all"]
fn party_fixtures_an_unprotected_branch_is_answered_in_the_words_that_the_connector_knows() {
    let path = "repos/octokit-fixture-org/branch-protection/branches/main/protection";
    let headers = [
        ("accept", "application/vnd.github+json"),
        ("authorization", "Bearer 0000000000000000000000000000000000000001"),
    ];
    let url = format!("{}/{path}", scenario("branch-protection"));
    let (status, said) = super::send(Method::GET, &url, &headers, "");
    println!("{status} {said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["message"]), (404, &json!("Branch not protected")));
}

/// The address at which the recordings of a scenario answer, once each.
fn scenario(name: &str) -> String {
    let body = json!({"scenario": name}).to_string();
    let json = [("content-type", "application/json")];
    let (status, text) = super::send(Method::POST, &format!("{}/fixtures", needed("FIXTURES_URL")), &json, &body);
    assert_eq!(status, 201, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["url"].as_str().unwrap().to_owned()
}
