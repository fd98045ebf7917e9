//! Runs against answers made of GitHub's own examples, through the public door. `BLESS=1` accepts a run as expected.

use std::collections::BTreeMap;

use domain::{CollectionRun, Field, Gap, GapReason, Outcome};
use kit::testing::{ConnectedBy, Fixture, Harness, OneSecret, check_kind};
use kit::{AnySource, Kind, SecretRef};
use serde_json::{Value, json};
use url::Url;

use super::*;

mod outside;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const ORG: &str = "/orgs/octo-org";
const REPOS: &str = "/orgs/octo-org/repos?per_page=100&type=all&sort=created&direction=asc";

fn config(url: Url) -> Config {
    Config {
        name: "acme".to_owned(),
        owner: "platform-team".to_owned(),
        schedules: None,
        runbook: None,
        organisation: "octo-org".to_owned(),
        url: Some(url),
        app_id: None,
        installation_id: None,
        private_key: None,
        token: Some(SecretRef::Env("GITHUB_TOKEN".to_owned())),
        production: None,
        audit_log: true,
        verified_emails: true,
        calls_per_minute: None,
        approved: Some(approved()),
        ca_file: None,
    }
}

fn approved() -> Approved {
    let register = json!({
        "outside_collaborators": [{"login": "contractor", "repository": "api", "until": "2027-03-31", "by": "monalisa"}],
        "apps": [{"slug": "renovate", "by": "monalisa"}],
    });
    serde_json::from_value(register).unwrap()
}

fn fixture() -> Fixture {
    Fixture::read(format!("{HERE}/fixtures/organisation"))
}

fn harness() -> Harness {
    harness_of(fixture())
}

fn harness_of(fixture: Fixture) -> Harness {
    Harness::new(fixture, |url| Box::new(config(url))).may_be_empty(&[
        // GitHub counts none of these; that there are none is an answer like any other.
        spec::DEFAULTS.name,
        spec::HOOKS.name,
        spec::OUTSIDE.name,
        spec::ANALYSES.name,
        spec::RULES.name,
        spec::AUDIT_LOG.name,
    ])
}

/// The fixture with another answer to one request; the first answer to a request counts.
fn instead(target: &str, status: u16, body: &Value) -> Fixture {
    Fixture::default().with("GET", target, status, &body.to_string()).then(fixture())
}

fn expected(name: &str) -> String {
    format!("{HERE}/expected/{name}.json")
}

#[test]
fn what_it_says_of_itself_holds_together() {
    check_kind(&Kind::of::<Config>());
}

#[tokio::test]
async fn a_good_day_gives_the_organisation_and_its_webhooks() {
    harness().good_day("organisation", expected("organisation")).await;
}

#[tokio::test]
async fn a_good_day_gives_members_and_owners() {
    harness().good_day("people", expected("people")).await;
}

#[tokio::test]
async fn a_good_day_gives_who_comes_from_outside_and_what_was_approved() {
    harness().good_day("outside", expected("outside")).await;
}

#[tokio::test]
async fn a_good_day_gives_every_repository_over_all_pages() {
    harness().good_day("repositories", expected("repositories")).await;
}

#[tokio::test]
async fn a_good_day_gives_the_rules_of_every_default_branch() {
    harness().good_day("branches", expected("branches")).await;
}

#[tokio::test]
async fn on_every_bad_day_there_is_a_gap_and_no_value_from_nowhere() {
    for collector in ["organisation", "people", "outside", "repositories", "branches"] {
        harness().bad_days(collector).await;
    }
}

#[tokio::test]
async fn answers_that_github_confirms_are_fresh_evidence_over_all_pages() {
    for collector in ["organisation", "people", "outside", "repositories", "branches"] {
        harness().confirmed(collector).await;
    }
}

fn resources(run: &CollectionRun, kind: &str) -> BTreeMap<String, BTreeMap<String, Field>> {
    let of_kind = run.populations.iter().filter(|p| p.kind.as_str() == kind).flat_map(|p| p.resources());
    of_kind.map(|r| (r.name, r.fields)).collect()
}

fn gap<'a>(run: &'a CollectionRun, call: &str) -> &'a Gap {
    run.gaps.iter().find(|gap| gap.call == call).unwrap_or_else(|| panic!("{call}: no gap among {:#?}", run.gaps))
}

fn unread(field: &Field) -> GapReason {
    match field {
        Field::Unread(reason, _) => *reason,
        Field::Read(value) => panic!("read as {value}"),
    }
}

/// The source signed in as an App with this key.
fn signed_in_as_app(url: Url, pem: &str) -> ConnectedBy<Config> {
    let private_key = Some(SecretRef::Env("GITHUB_APP_KEY".to_owned()));
    let (app_id, installation_id) = (Some(2218), Some(25_381));
    let key = OneSecret(pem.into());
    let config = Config { app_id, installation_id, private_key, token: None, ..config(url) };
    ConnectedBy::new(config, move |config, _| AnySource::connect(config, &key))
}

/// A new private key in the form in which GitHub gives one out, so that none lies in the repository.
fn pem() -> String {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use base64::Engine;
    let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {0}-----\n{1}\n-----END {0}-----\n", "PRIVATE KEY", lines.join("\n"))
}

/// The App signs in with an installation token that says `change`.
fn as_app(change: Value, fixture: Fixture) -> Harness {
    let issued = Fixture::read(format!("{HERE}/fixtures/app"));
    let target = "/app/installations/25381/access_tokens";
    let mut token: Value = serde_json::from_str(&issued.answer("POST", target).unwrap().body).unwrap();
    token.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let fixture = Fixture::default().with("POST", target, 201, &token.to_string()).then(fixture);
    let pem = pem();
    Harness::new(fixture, move |url| Box::new(signed_in_as_app(url, &pem)))
}

#[tokio::test]
async fn an_app_reads_what_its_installation_was_granted_and_leaves_no_byte_of_its_token() {
    let app = as_app(json!({}), fixture());
    app.good_day("organisation", expected("organisation-as-app")).await;
    let run = app.run("repositories").await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    assert_eq!(run.caller.as_deref(), Some("App 2218, installation 25381"));
}

#[tokio::test]
async fn what_only_an_owner_may_ask_is_unread_for_an_app_and_refused_to_other_tokens() {
    let run = as_app(json!({}), fixture()).run("organisation").await;
    let org = &resources(&run, "github.org")["octo-org"];
    assert_eq!((unread(&org["members_without_2fa"]), run.outcome), (GapReason::NotAsked, Outcome::Collected));

    let target = format!("{ORG}/members?per_page=100&filter=2fa_disabled");
    let said = json!({"message": "Only owners can use this filter.", "status": "422"});
    let run = harness_of(instead(&target, 422, &said)).run("organisation").await;
    let org = &resources(&run, "github.org")["octo-org"];
    assert_eq!(unread(&org["members_without_2fa"]), GapReason::NotSupported);
    assert_eq!(gap(&run, spec::MEMBERS.name).reason, GapReason::NotSupported);
    assert_eq!(org["two_factor_required"], Field::Read(json!(true)), "what the rest answered stays");
}

#[tokio::test]
async fn an_app_on_selected_repositories_has_not_seen_the_others() {
    let selected = as_app(json!({"repository_selection": "selected"}), fixture());
    for (collector, kind) in [("repositories", "github.repo"), ("branches", "github.branch")] {
        let run = selected.run(collector).await;
        let gap = gap(&run, spec::REPOS.name);
        assert_eq!((gap.reason, run.outcome), (GapReason::Denied, Outcome::Partial));
        assert!(gap.types.iter().any(|t| t.as_str() == kind) && !run.populations[0].complete);
    }
}

#[tokio::test]
async fn without_the_permission_to_see_members_a_list_of_public_ones_is_not_the_members() {
    let app = as_app(json!({"permissions": {"metadata": "read"}}), fixture());
    let run = app.run("people").await;
    let denied = gap(&run, spec::MEMBERS.name);
    assert_eq!((denied.reason, denied.permission.as_deref()), (GapReason::Denied, Some("members:read")));
    assert!(run.populations.iter().all(|p| !p.complete));
    let run = app.run("organisation").await;
    assert_eq!(unread(&resources(&run, "github.org")["octo-org"]["owner_logins"]), GapReason::Denied);
}

#[tokio::test]
async fn a_token_of_somebody_else_sees_no_members() {
    let run = harness_of(instead("/user/memberships/orgs/octo-org", 404, &json!({"message": "Not Found"})));
    let run = run.run("people").await;
    assert_eq!((gap(&run, spec::MEMBERSHIP.name).reason, run.outcome), (GapReason::Denied, Outcome::Partial));
    assert!(run.populations.iter().all(|p| !p.complete));
}

#[tokio::test]
async fn settings_that_are_not_shown_are_unread_and_never_off() {
    let mut org: Value = serde_json::from_str(&fixture().answer("GET", ORG).unwrap().body).unwrap();
    let org = org.as_object_mut().unwrap();
    for hidden in ["two_factor_requirement_enabled", "total_private_repos", "members_can_create_public_repositories"] {
        org.remove(hidden);
    }
    let harness = harness_of(instead(ORG, 200, &json!(org)));
    let run = harness.run("organisation").await;
    let found = &resources(&run, "github.org")["octo-org"];
    assert_eq!(unread(&found["two_factor_required"]), GapReason::Denied);
    assert_eq!(unread(&found["members_can_create_public_repositories"]), GapReason::Denied);
    let run = harness.run("repositories").await;
    let uncounted = gap(&run, spec::ORG.name);
    assert_eq!(uncounted.permission.as_deref(), Some("organization_administration:read"));
    assert!(!run.populations[0].complete, "a list that nothing is held against is not proven whole");
}

/// The first page of repositories, changed.
fn repositories_with(change: impl Fn(&mut Value)) -> Fixture {
    let mut page: Value = serde_json::from_str(&fixture().answer("GET", REPOS).unwrap().body).unwrap();
    page.as_array_mut().unwrap().iter_mut().for_each(change);
    let rest: Value = serde_json::from_str(&fixture().answer("GET", &format!("{REPOS}&page=2")).unwrap().body).unwrap();
    page.as_array_mut().unwrap().extend(rest.as_array().unwrap().clone());
    instead(REPOS, 200, &page)
}

#[tokio::test]
async fn security_features_that_are_not_shown_are_unread_and_never_off() {
    let hidden = repositories_with(|repo| drop(repo.as_object_mut().unwrap().remove("security_and_analysis")));
    let run = harness_of(hidden).run("repositories").await;
    let api = &resources(&run, "github.repo")["octo-org/api"];
    assert_eq!(
        (unread(&api["secret_scanning"]), unread(&api["push_protection"])),
        (GapReason::Denied, GapReason::Denied)
    );
    assert_eq!(api["dependabot_alerts_on"], Field::Read(json!(true)));
    let denied = run.gaps.iter().find(|gap| gap.fields.contains(&"github.repo.secret_scanning".to_owned())).unwrap();
    assert_eq!(denied.permission.as_deref(), Some("metadata:read, administration:read"));
}

#[tokio::test]
async fn a_404_is_off_only_in_githubs_own_words_or_for_whoever_may_know() {
    let target = "/repos/octo-org/web-shop/vulnerability-alerts";
    let not_found = json!({"message": "Not Found", "status": "404"});
    let run = harness_of(instead(target, 404, &not_found)).run("repositories").await;
    let web = &resources(&run, "github.repo")["octo-org/web-shop"];
    assert_eq!(web["dependabot_alerts_on"], Field::Read(json!(false)), "the reader administers the repository");

    let hidden = repositories_with(|repo| drop(repo.as_object_mut().unwrap().remove("security_and_analysis")));
    let fixture = Fixture::default().with("GET", target, 404, &not_found.to_string()).then(hidden);
    let run = harness_of(fixture).run("repositories").await;
    let web = &resources(&run, "github.repo")["octo-org/web-shop"];
    assert_eq!(unread(&web["dependabot_alerts_on"]), GapReason::Denied);
}

#[tokio::test]
async fn a_branch_is_unprotected_only_when_github_says_so() {
    let target = "/repos/octo-org/web-shop/branches/main/protection";
    let branch = "octo-org/web-shop@main";
    let run = harness().run("branches").await;
    assert_eq!(resources(&run, "github.branch")[branch]["classic_present"], Field::Read(json!(false)));
    for (status, said, reason) in [
        (404, "Not Found", GapReason::Denied),
        (404, "Branch not found", GapReason::NotSupported),
        (403, "Resource not accessible by integration", GapReason::Denied),
        (403, "Upgrade to GitHub Pro or make this repository public to enable this feature.", GapReason::NotLicensed),
    ] {
        let run = harness_of(instead(target, status, &json!({"message": said}))).run("branches").await;
        let found = &resources(&run, "github.branch")[branch];
        for field in ["pr_required", "force_push_blocked", "classic_present", "classic_enforce_admins"] {
            assert_eq!(unread(&found[field]), reason, "{said}: {field}");
        }
        assert!(run.populations[0].complete, "the list of branches is whole; one of them is not read");
    }
}

#[tokio::test]
async fn a_secondary_limit_that_lasts_is_throttled_and_not_denied() {
    let said = json!({"message": "You have exceeded a secondary rate limit. Please wait a few minutes."});
    let run = harness_of(instead(&format!("{ORG}/hooks?per_page=100"), 403, &said)).run("organisation").await;
    let throttled = gap(&run, spec::HOOKS.name);
    assert_eq!((throttled.reason, throttled.permission.as_deref()), (GapReason::Throttled, None));
    let hooks = run.exchanges.iter().find(|e| e.call == spec::HOOKS.name).unwrap();
    assert_eq!(hooks.tries.len(), 2, "tried again within the limits of the test");
}

#[tokio::test]
async fn production_is_what_the_settings_name_and_never_what_is_archived() {
    let production = |globs: Option<&[&str]>| {
        let globs: Option<Vec<String>> = globs.map(|globs| globs.iter().map(|glob| (*glob).to_owned()).collect());
        Harness::new(fixture(), move |url| Box::new(Config { production: globs.clone(), ..config(url) }))
    };
    for (globs, expected) in [
        (
            None,
            [
                ("octo-org/api", true),
                ("octo-org/old-tool", false),
                ("octo-org/tools", true),
                ("octo-org/web-shop", true),
            ],
        ),
        (
            Some(&["web-*", "old-*"][..]),
            [
                ("octo-org/api", false),
                ("octo-org/old-tool", false),
                ("octo-org/tools", false),
                ("octo-org/web-shop", true),
            ],
        ),
    ] {
        let run = production(globs).run("repositories").await;
        let found = resources(&run, "github.repo");
        let found: Vec<_> =
            found.iter().map(|(name, fields)| (name.as_str(), fields["in_production"].clone())).collect();
        assert_eq!(found, expected.map(|(name, is)| (name, Field::Read(json!(is)))));
    }
}

#[tokio::test]
async fn what_the_settings_leave_out_is_not_asked_and_is_no_gap() {
    let quiet =
        Harness::new(fixture(), |url| Box::new(Config { audit_log: false, verified_emails: false, ..config(url) }));
    let run = quiet.run("people").await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    assert_eq!(unread(&resources(&run, "github.member")["lisa"]["email"]), GapReason::NotAsked);
    let unknown = run.changes.unwrap_err().reason;
    assert!(unknown.starts_with("audit_log is off in the settings") && unknown.contains("history"), "{unknown}");
}
