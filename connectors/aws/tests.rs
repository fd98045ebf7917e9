//! Runs against what an AWS account once answered, through the public door. `BLESS=1` accepts a run as expected.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CollectionRun, Field, Gap, GapReason, Outcome};
use kit::testing::{ConnectedBy, Fixture, Harness, check_kind};
use kit::{AnySource, Kind, SecretRef};
use serde_json::Value;
use url::Url;

use super::*;

mod answers;
mod signing_in;
mod trail;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const NUMBER: &str = "111122223333";

fn config(url: Url) -> Config {
    Config {
        name: "prod".to_owned(),
        owner: "cloud-team".to_owned(),
        schedules: None,
        runbook: None,
        region: "eu-central-1".to_owned(),
        profile: None,
        config_file: None,
        access_key: Some(AccessKey {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: SecretRef::Env("AWS_SECRET".to_owned()),
            session_token: None,
        }),
        assume_role: None,
        accounts: Vec::new(),
        own_accounts: ["444455556666".to_owned()].into(),
        email_tag: "email".to_owned(),
        cloudtrail: false,
        endpoint_url: Some(url),
        ca_file: None,
    }
}

fn fixture(folder: &str) -> Fixture {
    Fixture::read(format!("{HERE}/fixtures/{folder}"))
}

fn harness(folder: &str) -> Harness {
    Harness::new(fixture(folder), |url| Box::new(config(url)))
}

fn expected(name: &str) -> String {
    format!("{HERE}/expected/{name}.json")
}

/// The same source in small pages, so that lists have pages that can be lost.
fn in_small_pages() -> Harness {
    Harness::new(fixture("mixed"), |url| {
        Box::new(ConnectedBy::new(config(url), |config, secrets| {
            let credentials = kit::Credentials::resolve(&kit::SourceConfig::secrets(config), secrets).unwrap();
            let mut estate = config.estate(credentials)?;
            estate.page = 7;
            Ok(Box::new(estate))
        }))
    })
}

#[test]
fn what_it_says_of_itself_holds_together() {
    check_kind(&Kind::of::<Config>());
}

#[tokio::test]
async fn a_good_day_reads_the_account() {
    harness("mixed").good_day("account", expected("account")).await;
}

#[tokio::test]
async fn a_good_day_reads_the_credential_report() {
    harness("mixed").good_day("credentials", expected("credentials")).await;
}

#[tokio::test]
async fn a_good_day_reads_who_may_do_what() {
    harness("mixed").good_day("access", expected("access")).await;
}

#[tokio::test]
async fn bad_days_of_the_account_are_gaps() {
    in_small_pages().bad_days("account").await;
}

#[tokio::test]
async fn bad_days_of_the_credential_report_are_gaps() {
    in_small_pages().bad_days("credentials").await;
}

#[tokio::test]
async fn bad_days_of_who_may_do_what_are_gaps() {
    in_small_pages().bad_days("access").await;
}

#[tokio::test]
async fn every_posture_is_read_whole() {
    for folder in ["good", "mixed", "bad"] {
        for collector in ["account", "credentials", "access"] {
            let run = harness(folder).run(collector).await;
            assert_eq!(run.outcome, Outcome::Collected, "{folder} {collector}: {:#?}", run.gaps);
        }
    }
}

/// Which resources of a type the recorder of the fixture knows to be there, by id.
fn truth(folder: &str, check: &str, verdicts: &[&str]) -> BTreeSet<String> {
    let text = std::fs::read_to_string(format!("{HERE}/fixtures/{folder}/truth.json")).unwrap();
    let truth: Value = serde_json::from_str(&text).unwrap();
    let rows = verdicts.iter().flat_map(|verdict| truth["checks"][check][verdict].as_array().unwrap().clone());
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn resources(run: &CollectionRun, kind: &str) -> BTreeMap<String, BTreeMap<String, Field>> {
    let of_kind = run.populations.iter().filter(|p| p.kind.as_str() == kind).flat_map(|p| p.resources());
    of_kind.map(|r| (r.key.id, r.fields)).collect()
}

fn value(fields: &BTreeMap<String, Field>, name: &str) -> Value {
    match &fields[name] {
        Field::Read(value) => value.clone(),
        Field::Unread(reason, why) => panic!("{name} is unread: {reason:?} {why}"),
    }
}

fn gap<'a>(run: &'a CollectionRun, call: &str) -> &'a Gap {
    run.gaps.iter().find(|gap| gap.call == call).unwrap_or_else(|| panic!("{call}: no gap among {:#?}", run.gaps))
}

fn complete(run: &CollectionRun) -> Vec<&str> {
    run.populations.iter().filter(|p| p.complete).map(|p| p.kind.as_str()).collect()
}

#[tokio::test]
async fn what_is_read_is_what_the_account_was_made_with() {
    let all = &["conforms", "deviates", "not_applicable"];
    for folder in ["good", "mixed", "bad"] {
        let run = harness(folder).run("credentials").await;
        let users = resources(&run, spec::USER_ROW);
        let ids: BTreeSet<String> = users.keys().cloned().collect();
        assert_eq!(ids, truth(folder, "aws.iam.user.console_mfa", all), "{folder}");
        let without: BTreeSet<String> = users
            .iter()
            .filter(|(_, row)| value(row, "password_enabled") == true && value(row, "mfa_active") == false)
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(without, truth(folder, "aws.iam.user.console_mfa", &["deviates"]), "{folder}");
        let keys: BTreeSet<String> = resources(&run, spec::ACCESS_KEY).keys().cloned().collect();
        assert_eq!(keys, truth(folder, "aws.iam.access_key.rotated", all), "{folder}");

        let run = harness(folder).run("access").await;
        let policies: BTreeSet<String> = resources(&run, spec::POLICY).keys().cloned().collect();
        assert_eq!(policies, truth(folder, "aws.iam.policy.no_full_admin", all), "{folder}");
        let text = std::fs::read_to_string(format!("{HERE}/fixtures/{folder}/truth.json")).unwrap();
        let truth: Value = serde_json::from_str(&text).unwrap();
        let account = &resources(&run, spec::ACCOUNT)[NUMBER];
        assert_eq!(value(account, "admin_principal_arns"), truth["admins"], "{folder}");
    }
}

#[tokio::test]
async fn small_pages_give_the_same_resources_as_large_ones() {
    let without_exchanges = |run: CollectionRun| {
        let resources = run.populations.iter().flat_map(|p| p.resources());
        resources.map(|r| (r.key, r.name, r.fields)).collect::<Vec<_>>()
    };
    let (large, small) = (harness("mixed").run("access").await, in_small_pages().run("access").await);
    assert_eq!(small.outcome, Outcome::Collected, "{:#?}", small.gaps);
    assert!(small.exchanges.len() > large.exchanges.len() + 3);
    assert_eq!(without_exchanges(small), without_exchanges(large));
}

#[tokio::test]
async fn that_there_is_no_password_rule_is_a_fact_and_no_gap() {
    let run = harness("bad").run("account").await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    let account = &resources(&run, spec::ACCOUNT)[NUMBER];
    assert_eq!(value(account, "password_policy_set"), false);
    assert_eq!(value(account, "min_password_length"), 8);
}

#[tokio::test]
async fn a_denied_call_blinds_what_rests_on_it_and_nothing_else() {
    let denied = |action: &str| {
        let targets = fixture("denied");
        let target = format!("/?Action={action}&Version=2010-05-08");
        let answer = targets.answer("POST", &target).unwrap();
        Fixture::default().with("POST", &target, answer.status, &answer.body).then(fixture("mixed"))
    };
    let harness = |action: &str| Harness::new(denied(action), |url| Box::new(config(url)));

    let run = harness("GetCredentialReport").run("access").await;
    let gap_found = gap(&run, "iam:GetCredentialReport");
    assert_eq!(
        (gap_found.reason, gap_found.permission.as_deref(), gap_found.detail.as_str()),
        (GapReason::Denied, Some("iam:GetCredentialReport"), "403 AccessDenied")
    );
    assert_eq!((&gap_found.fields[..], gap_found.types.len()), (&["aws.iam.user.console_access".to_owned()][..], 0));
    assert_eq!(complete(&run).len(), 4, "who may do what is known without the report");

    let run = harness("GetCredentialReport").run("credentials").await;
    assert_eq!(complete(&run), [spec::ACCOUNT]);
    assert!(matches!(
        resources(&run, spec::ACCOUNT)[NUMBER]["console_user_names"],
        Field::Unread(GapReason::Denied, _)
    ));

    let run = harness("GetAccountPasswordPolicy").run("account").await;
    let account = &resources(&run, spec::ACCOUNT)[NUMBER];
    assert_eq!(value(account, "account_mfa_enabled"), 1);
    assert!(matches!(account["min_password_length"], Field::Unread(GapReason::Denied, _)));
}

#[tokio::test]
async fn a_reader_that_may_do_nothing_reads_nothing_and_every_permission_is_named() {
    let mut named = BTreeSet::new();
    for collector in ["account", "credentials", "access"] {
        let run = harness("denied").run(collector).await;
        assert!(matches!(run.outcome, Outcome::Partial), "{collector}: the account itself is listed");
        for population in run.populations.iter().filter(|p| p.kind.as_str() != spec::ACCOUNT) {
            assert!(!population.complete && population.is_empty(), "{collector}: {}", population.kind);
        }
        named.extend(run.gaps.into_iter().filter_map(|gap| gap.permission));
    }
    let mut wanted: BTreeSet<String> =
        spec::COLLECTORS.iter().flat_map(|c| c.permissions()).map(str::to_owned).collect();
    for unasked in ["sts:AssumeRole", "cloudtrail:LookupEvents"] {
        assert!(wanted.remove(unasked));
    }
    // Without the first there is nothing to get.
    assert!(wanted.remove("iam:GetCredentialReport"));
    assert_eq!(named, wanted);
}

/// The document that `permissions` prints.
fn document() -> Value {
    let grant = Kind::of::<Config>().grant;
    let (begin, end) = (grant.find("\n{").unwrap(), grant.find("\n}").unwrap());
    serde_json::from_str(&grant[begin..end + 2]).unwrap()
}

#[test]
fn the_policy_to_grant_is_exactly_what_the_calls_need() {
    let document = document();
    let statements = document["Statement"].as_array().unwrap();
    let actions: BTreeSet<&str> = statements
        .iter()
        .flat_map(|s| s["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap())
        .collect();
    let mut needed: BTreeSet<&str> = spec::COLLECTORS.iter().flat_map(|c| c.permissions()).collect();
    // That one is for the reader's own account, and stands apart.
    assert!(needed.remove("sts:AssumeRole") && Kind::of::<Config>().grant.contains("sts:AssumeRole"));
    assert_eq!(actions, needed);
    assert!(statements.iter().all(|s| s["Effect"] == "Allow"));
}

/// The mixed account, with the answer to one call made anew.
fn changed(target: &str, change: impl Fn(&str) -> String) -> Harness {
    let recorded = fixture("mixed");
    let answer = recorded.answer("POST", target).unwrap_or_else(|| panic!("{target} is not recorded"));
    let fixture = Fixture::default().with("POST", target, answer.status, &change(&answer.body)).then(recorded);
    Harness::new(fixture, |url| Box::new(config(url)))
}

fn base64(text: &str) -> Vec<u8> {
    aws_smithy_types::base64::decode(text.split_whitespace().collect::<String>()).unwrap()
}

fn encoded(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

#[test]
fn settings_that_cannot_be_right_are_told_with_the_remedy() {
    let url: Url = "https://iam.example.com".parse().unwrap();
    let problems = |change: fn(&mut Config)| {
        let mut config = config(url.clone());
        change(&mut config);
        config.problems().into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert_eq!(problems(|_| {}), Vec::<String>::new());
    assert_eq!(problems(|c| c.profile = Some("reader".to_owned())), ["access_key"]);
    assert_eq!(problems(|c| c.email_tag = " ".to_owned()), ["email_tag"]);
    assert_eq!(problems(|c| c.own_accounts = ["1234".to_owned()].into()), ["own_accounts.1234"]);
    assert_eq!(problems(|c| c.endpoint_url = Some("http://iam.example.com".parse().unwrap())), ["endpoint_url"]);
    assert_eq!(
        problems(|c| {
            c.endpoint_url = None;
            c.region = "mars-1".to_owned();
        }),
        ["region"]
    );
    let account = |id: &str, role_arn: Option<&str>, external_id: Option<&str>| Account {
        id: id.to_owned(),
        name: None,
        role_arn: role_arn.map(str::to_owned),
        external_id: external_id.map(str::to_owned),
    };
    let several = vec![
        account(NUMBER, Some("arn:aws:iam::222233334444:role/a"), None),
        account(NUMBER, Some("arn:aws:iam::111122223333:user/a"), None),
        account("12", None, Some("x")),
    ];
    let config = Config { accounts: several, ..config(url) };
    let paths: Vec<String> = config.problems().into_iter().map(|problem| problem.path).collect();
    assert_eq!(
        paths,
        ["accounts[0].role_arn", "accounts[1].id", "accounts[1].role_arn", "accounts[2].id", "accounts[2].external_id"]
    );
}
