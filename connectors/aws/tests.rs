//! Runs against what an AWS account once answered, through the public door. `BLESS=1` accepts a run as expected.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CollectionRun, Field, Gap, GapReason, Outcome};
use kit::testing::{Fixture, Harness, check_kind};
use kit::{AnySource, Common, ConnectError, FieldProblem, Kind, Manners, SecretRef, Secrets, Transport};
use serde_json::Value;
use url::Url;

use super::*;

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
struct SmallPages(Config);

impl AnySource for SmallPages {
    fn kind(&self) -> Kind {
        self.0.kind()
    }
    fn id(&self) -> Result<domain::SourceId, domain::IdError> {
        self.0.id()
    }
    fn common(&self) -> Common<'_> {
        AnySource::common(&self.0)
    }
    fn problems(&self) -> Vec<FieldProblem> {
        self.0.problems()
    }
    fn manners(&self) -> Manners {
        self.0.manners()
    }
    fn transport(&self) -> Transport {
        AnySource::transport(&self.0)
    }
    fn connect(&self, secrets: &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError> {
        let credentials = kit::Credentials::resolve(&kit::SourceConfig::secrets(&self.0), secrets).unwrap();
        let mut estate = self.0.estate(credentials)?;
        estate.page = 7;
        Ok(Box::new(estate))
    }
}

fn in_small_pages() -> Harness {
    Harness::new(fixture("mixed"), |url| Box::new(SmallPages(config(url))))
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

fn resources<'a>(run: &'a CollectionRun, kind: &str) -> BTreeMap<&'a str, &'a BTreeMap<String, Field>> {
    let of_kind = run.populations.iter().filter(|p| p.kind.as_str() == kind).flat_map(|p| &p.resources);
    of_kind.map(|r| (r.key.id.as_str(), &r.fields)).collect()
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
        let ids: BTreeSet<String> = users.keys().map(|id| (*id).to_owned()).collect();
        assert_eq!(ids, truth(folder, "aws.iam.user.console_mfa", all), "{folder}");
        let without: BTreeSet<String> = users
            .iter()
            .filter(|(_, row)| value(row, "password_enabled") == true && value(row, "mfa_active") == false)
            .map(|(id, _)| (*id).to_owned())
            .collect();
        assert_eq!(without, truth(folder, "aws.iam.user.console_mfa", &["deviates"]), "{folder}");
        let keys: BTreeSet<String> = resources(&run, spec::ACCESS_KEY).keys().map(|id| (*id).to_owned()).collect();
        assert_eq!(keys, truth(folder, "aws.iam.access_key.rotated", all), "{folder}");

        let run = harness(folder).run("access").await;
        let policies: BTreeSet<String> = resources(&run, spec::POLICY).keys().map(|id| (*id).to_owned()).collect();
        assert_eq!(policies, truth(folder, "aws.iam.policy.no_full_admin", all), "{folder}");
        let text = std::fs::read_to_string(format!("{HERE}/fixtures/{folder}/truth.json")).unwrap();
        let truth: Value = serde_json::from_str(&text).unwrap();
        let account = resources(&run, spec::ACCOUNT)[NUMBER];
        assert_eq!(value(account, "admin_principal_arns"), truth["admins"], "{folder}");
    }
}

#[tokio::test]
async fn small_pages_give_the_same_resources_as_large_ones() {
    let without_exchanges = |run: CollectionRun| {
        let resources = run.populations.into_iter().flat_map(|p| p.resources);
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
    let account = resources(&run, spec::ACCOUNT)[NUMBER];
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
    let account = resources(&run, spec::ACCOUNT)[NUMBER];
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
            assert!(!population.complete && population.resources.is_empty(), "{collector}: {}", population.kind);
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

/// Settings with two accounts, each through a role.
fn two_accounts(url: Url) -> Config {
    let account = |id: &str| Account {
        id: id.to_owned(),
        name: Some(format!("account {id}")),
        role_arn: Some(format!("arn:aws:iam::{id}:role/evidenced-reader")),
        external_id: Some("acme-1".to_owned()),
    };
    Config { accounts: vec![account(NUMBER), account("222233334444")], ..config(url) }
}

fn assumed(account: &str, status: u16, body: &str) -> Fixture {
    let target = format!(
        "/?Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A{account}%3Arole%2Fevidenced-reader\
         &RoleSessionName=evidenced&ExternalId=acme-1"
    );
    Fixture::default().with("POST", &target, status, body)
}

const SESSION: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
    <Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>a-secret-for-tests</SecretAccessKey>\
    <SessionToken>a-secret-for-tests</SessionToken><Expiration>2026-11-22T13:00:00Z</Expiration></Credentials>\
    </AssumeRoleResult></AssumeRoleResponse>";
const REFUSED: &str = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
    <Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";

#[tokio::test]
async fn an_account_that_cannot_be_reached_is_listed_with_everything_unread() {
    let fixture = assumed(NUMBER, 200, SESSION).then(assumed("222233334444", 403, REFUSED)).then(fixture("mixed"));
    let harness = Harness::new(fixture, |url| Box::new(two_accounts(url)));
    for collector in ["account", "credentials", "access"] {
        let run = harness.run(collector).await;
        assert_eq!(run.outcome, Outcome::Partial);
        let accounts = resources(&run, spec::ACCOUNT);
        assert_eq!(accounts.keys().copied().collect::<Vec<_>>(), [NUMBER, "222233334444"], "{collector}");
        let unread = |field: &Field| matches!(field, Field::Unread(GapReason::Denied, _));
        assert!(accounts["222233334444"].values().all(unread), "{collector}");
        assert!(!accounts[NUMBER].values().any(unread), "{collector}");
        let gap = gap(&run, "sts:AssumeRole");
        assert_eq!(gap.detail, "account 222233334444: 403 AccessDenied");
        assert_eq!(complete(&run), Vec::<&str>::new(), "{collector}: of no type is everything known");
        let body = format!("{run:?}");
        assert!(!body.contains("a-secret-for-tests") && !body.contains("ASIAEXAMPLE"));
    }
}

#[tokio::test]
async fn a_role_that_leads_to_another_account_than_the_settings_say_is_not_read() {
    let fixture = assumed("222233334444", 200, SESSION).then(fixture("mixed"));
    let harness = Harness::new(fixture, |url| {
        let mut config = two_accounts(url);
        config.accounts.remove(0);
        Box::new(config)
    });
    let run = harness.run("account").await;
    assert_eq!(run.outcome, Outcome::Partial);
    assert!(gap(&run, "sts:GetCallerIdentity").detail.contains("leads to another account"));
    assert!(resources(&run, spec::ACCOUNT).contains_key("222233334444"));
    assert!(resources(&run, spec::VIRTUAL_MFA).is_empty());
}

/// The mixed account, with the answer to one call made anew.
fn changed(target: &str, change: impl Fn(&str) -> String) -> Harness {
    let recorded = fixture("mixed");
    let answer = recorded.answer("POST", target).unwrap_or_else(|| panic!("{target} is not recorded"));
    let fixture = Fixture::default().with("POST", target, answer.status, &change(&answer.body)).then(recorded);
    Harness::new(fixture, |url| Box::new(config(url)))
}

const DETAILS: &str = "/?Action=GetAccountAuthorizationDetails&Version=2010-05-08&MaxItems=1000";

#[tokio::test]
async fn a_list_without_a_known_end_is_not_complete() {
    let table = [
        ("<IsTruncated>false</IsTruncated>", "", "IsTruncated is missing"),
        ("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>", "no Marker"),
        ("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated><Marker/>", "no Marker"),
    ];
    for (from, to, told) in table {
        let run = changed(DETAILS, |body| body.replace(from, to)).run("access").await;
        assert!(gap(&run, "iam:GetAccountAuthorizationDetails").detail.contains(told), "{to}: {:#?}", run.gaps);
        assert_eq!(complete(&run), [spec::ACCOUNT], "{to}");
        let account = resources(&run, spec::ACCOUNT)[NUMBER];
        assert!(matches!(account["admin_principal_arns"], Field::Unread(GapReason::Malformed, _)), "{to}");
    }
}

#[tokio::test]
async fn a_next_page_that_leads_back_ends_the_walk() {
    let again = "/?Action=GetAccountAuthorizationDetails&Version=2010-05-08&MaxItems=1000&Marker=again";
    let body = fixture("mixed").answer("POST", DETAILS).unwrap().body;
    let body =
        body.replace("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated><Marker>again</Marker>");
    let pages = Fixture::default().with("POST", DETAILS, 200, &body).with("POST", again, 200, &body);
    let run = Harness::new(pages.then(fixture("mixed")), |url| Box::new(config(url))).run("access").await;
    assert!(gap(&run, "iam:GetAccountAuthorizationDetails").detail.contains("read before"), "{:#?}", run.gaps);
    assert_eq!(complete(&run), [spec::ACCOUNT]);
}

#[tokio::test]
async fn a_list_that_shrank_to_nothing_is_held_against_the_count() {
    let emptied = |list: &'static str| {
        changed(DETAILS, move |body| {
            let (before, rest) = body.split_once(&format!("<{list}>")).unwrap();
            let (_, after) = rest.split_once(&format!("</{list}>")).unwrap();
            format!("{before}<{list}/>{after}")
        })
    };
    let run = emptied("UserDetailList").run("access").await;
    let gap_found = gap(&run, "iam:GetAccountSummary");
    assert_eq!(gap_found.reason, GapReason::Truncated);
    assert!(!complete(&run).contains(&spec::USER) && complete(&run).contains(&spec::ROLE), "{:?}", complete(&run));
    let unread = |run: &CollectionRun| {
        matches!(resources(run, spec::ACCOUNT)[NUMBER]["admin_principal_arns"], Field::Unread(..))
    };
    assert!(unread(&run), "who holds full rights rests on the list of users");
    for list in ["GroupDetailList", "Policies"] {
        let run = emptied(list).run("access").await;
        assert!(unread(&run), "who holds full rights rests on {list}");
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_leaves_open_who_holds_full_rights() {
    let run =
        changed(DETAILS, |body| body.replacen("<PolicyDocument>%7B", "<PolicyDocument>%7C", 1)).run("access").await;
    assert_eq!(run.outcome, Outcome::Partial);
    let account = resources(&run, spec::ACCOUNT)[NUMBER];
    assert!(matches!(account["admin_principal_arns"], Field::Unread(GapReason::Malformed, _)));
    assert_eq!(complete(&run).len(), 4, "every user, role and policy is known nevertheless");
}

#[tokio::test]
async fn a_list_of_an_item_that_is_left_out_was_not_read_and_an_empty_one_was() {
    let without = |list: &'static str, first: &'static str| {
        changed(DETAILS, move |body| {
            let (before, item) = body.split_once(first).unwrap();
            let from = item.find(&format!("<{list}")).unwrap();
            let (head, rest) = item.split_at(from);
            let end = match rest.strip_prefix(&format!("<{list}/>")) {
                Some(after) => after,
                None => rest.split_once(&format!("</{list}>")).unwrap().1,
            };
            format!("{before}{first}{head}{end}")
        })
    };
    let rights = |run: &CollectionRun| resources(run, spec::ACCOUNT)[NUMBER]["admin_principal_arns"].clone();
    for (list, item) in [
        ("GroupList", "<UserDetailList>"),
        ("AttachedManagedPolicies", "<UserDetailList>"),
        ("GroupPolicyList", "<GroupDetailList>"),
        ("AttachedManagedPolicies", "<GroupDetailList>"),
        ("RolePolicyList", "<RoleDetailList>"),
        ("AttachedManagedPolicies", "<RoleDetailList>"),
        ("PolicyVersionList", "<Policies>"),
    ] {
        let run = without(list, item).run("access").await;
        let read = rights(&run);
        assert!(matches!(read, Field::Unread(GapReason::Malformed, _)), "{list} of {item}: {read:?}");
    }
    let run = without("GroupList", "<UserDetailList>").run("access").await;
    let unread = |fields: &&BTreeMap<String, Field>| matches!(fields["groups"], Field::Unread(GapReason::Malformed, _));
    assert_eq!(resources(&run, spec::USER).into_values().filter(unread).count(), 1, "of that user alone");
    // AWS leaves this one out of a user who has none.
    let run = without("UserPolicyList", "<UserDetailList>").run("access").await;
    assert_eq!((run.outcome, matches!(rights(&run), Field::Read(_))), (Outcome::Collected, true), "{:#?}", run.gaps);
}

#[tokio::test]
async fn throttled_in_the_body_of_an_answer_is_throttled() {
    let slow = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>\
        </ErrorResponse>";
    let target = "/?Action=GetAccountSummary&Version=2010-05-08";
    let fixture = Fixture::default().with("POST", target, 400, slow).then(fixture("mixed"));
    let run = Harness::new(fixture, |url| Box::new(config(url))).run("account").await;
    let gap = gap(&run, "iam:GetAccountSummary");
    assert_eq!((gap.reason, gap.detail.as_str()), (GapReason::Throttled, "400 Throttling"));
    let asked = run.exchanges.iter().find(|e| e.call == "iam:GetAccountSummary").unwrap();
    assert_eq!(asked.tries.len(), 2, "it was tried again first");
}

#[tokio::test]
async fn a_report_without_its_root_row_leaves_root_unread_only() {
    let target = "/?Action=GetCredentialReport&Version=2010-05-08";
    let run = changed(target, |body| {
        let (before, rest) = body.split_once("<Content>").unwrap();
        let (content, after) = rest.split_once("</Content>").unwrap();
        let table = String::from_utf8(base64(content)).unwrap();
        let kept: Vec<&str> = table.lines().filter(|line| !line.starts_with("<root_account>")).collect();
        format!("{before}<Content>{}</Content>{after}", encoded(kept.join("\n").as_bytes()))
    });
    let run = run.run("credentials").await;
    assert_eq!(complete(&run), [spec::ACCESS_KEY, spec::ACCOUNT, spec::USER_ROW]);
}

fn base64(text: &str) -> Vec<u8> {
    aws_smithy_types::base64::decode(text.split_whitespace().collect::<String>()).unwrap()
}

fn encoded(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

/// A run that signs in by a profile of this text; `{url}` in it is the address of the replay.
async fn by_profile(text: &str, fixture: Fixture) -> CollectionRun {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profiles");
    let token = folder.path().join("token");
    std::fs::write(&token, "a-secret-for-tests").unwrap();
    let text = text.replace("{token}", token.to_str().unwrap());
    let harness = Harness::new(fixture, move |url| {
        std::fs::write(&path, text.replace("{url}", url.as_str().trim_end_matches('/'))).unwrap();
        let (access_key, profile) = (None, Some("reader".to_owned()));
        Box::new(Config { access_key, profile, config_file: Some(path.clone()), ..config(url) })
    });
    harness.run("credentials").await
}

#[tokio::test]
async fn a_profile_may_hold_keys_or_name_a_process_that_gives_them() {
    const KEY: &str = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = a-secret-for-tests";
    let process =
        r#"credential_process = printf '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"a-secret-for-tests"}'"#;
    for lines in [KEY, process] {
        let run = by_profile(&format!("[profile reader]\n{lines}\n"), fixture("mixed")).await;
        assert_eq!(run.outcome, Outcome::Collected, "{lines}: {:#?}", run.gaps);
        assert_eq!(run.caller.as_deref(), Some("arn:aws:iam::111122223333:user/machines/evidenced-reader"));
    }
}

#[tokio::test]
async fn a_profile_may_lead_to_a_role_and_nothing_of_the_answer_is_kept() {
    let profile = "[profile reader]\nsource_profile = base\nrole_arn = arn:aws:iam::111122223333:role/evidenced-reader\n\
        role_session_name = evidenced\nexternal_id = acme-1\nendpoint_url = {url}\n\
        [profile base]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = a-secret-for-tests\n";
    let run = by_profile(profile, assumed(NUMBER, 200, SESSION).then(fixture("mixed"))).await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    let assumed = run.exchanges.iter().find(|e| e.call == "sts:AssumeRole").unwrap();
    assert_eq!(
        (assumed.request_body.as_ref(), assumed.body.len(), &assumed.redacted[..]),
        (None, 0, &["*".to_owned()][..])
    );
}

#[tokio::test]
async fn a_profile_may_bring_a_token_of_the_platform() {
    let profile = "[profile reader]\nweb_identity_token_file = {token}\nendpoint_url = {url}\n\
        role_arn = arn:aws:iam::111122223333:role/evidenced-reader\nrole_session_name = evidenced\n";
    let target = "/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15\
        &RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fevidenced-reader&RoleSessionName=evidenced\
        &WebIdentityToken=a-secret-for-tests";
    let session = SESSION.replace("AssumeRoleRes", "AssumeRoleWithWebIdentityRes");
    let given = Fixture::default().with("POST", target, 200, &session);
    let run = by_profile(profile, given.then(fixture("mixed"))).await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
}

#[tokio::test]
async fn what_the_settings_do_not_name_is_never_asked_for_credentials() {
    let machine =
        "[profile reader]\nrole_arn = arn:aws:iam::111122223333:role/a\ncredential_source = Ec2InstanceMetadata\n";
    let run = by_profile(machine, fixture("mixed")).await;
    assert_eq!((run.outcome, run.exchanges.len()), (Outcome::Failed, 0));
    assert_eq!(run.gaps[0].reason, GapReason::Refused, "{:#?}", run.gaps);
}

#[tokio::test]
async fn a_profile_without_credentials_or_with_a_sign_in_for_people_is_told_as_such() {
    let table = [
        (
            "[profile reader]\nsso_start_url = https://acme.awsapps.com/start\nsso_region = eu-central-1\n\
          sso_account_id = 111122223333\nsso_role_name = Reader\n",
            "IAM Identity Center",
        ),
        ("[profile another]\naws_access_key_id = A\naws_secret_access_key = b\n", "reader"),
        ("[profile reader]\ncredential_process = sh -c 'echo a-secret-for-tests >&2; exit 3'\n", "no credentials"),
    ];
    for (profile, told) in table {
        let run = by_profile(profile, fixture("mixed")).await;
        assert_eq!((run.outcome, run.exchanges.len()), (Outcome::Failed, 0), "{profile}");
        let gap = &run.gaps[0];
        assert_eq!(gap.reason, GapReason::Unauthenticated, "{profile}");
        assert!(gap.detail.contains(told) && !gap.detail.contains("a-secret-for-tests"), "{}", gap.detail);
    }
}

/// The target of CloudTrail's call a day before the time of the tests, or of its page that begins at a token.
fn lookup(token: &str) -> String {
    let token = if token.is_empty() { String::new() } else { format!(",\"NextToken\":\"{token}\"") };
    let source = "{\"AttributeKey\":\"EventSource\",\"AttributeValue\":\"iam.amazonaws.com\"}";
    format!("/?{{\"LookupAttributes\":[{source}],\"MaxResults\":50{token},\"StartTime\":1795262400}}")
}

/// One event after CloudTrail's reference: anna did something an hour before the time of the tests.
fn event(id: &str, name: &str, reads: bool, parameters: &str, rest: &str) -> Value {
    let record = format!(
        "{{\"userIdentity\":{{\"type\":\"IAMUser\",\"userName\":\"anna\",\"principalId\":\"AIDAANNA\"}},\
         \"sourceIPAddress\":\"192.0.2.7\",\"requestParameters\":{parameters}{rest}}}"
    );
    serde_json::json!({"EventId": id, "EventName": name, "ReadOnly": reads.to_string(), "EventTime": 1_795_345_200.0,
        "Username": "anna", "CloudTrailEvent": record})
}

async fn with_cloudtrail(collector: &str, events: Fixture) -> CollectionRun {
    let harness =
        Harness::new(events.then(fixture("mixed")), |url| Box::new(Config { cloudtrail: true, ..config(url) }));
    harness.run(collector).await
}

#[tokio::test]
async fn with_cloudtrail_it_is_known_who_changed_what() {
    let first = serde_json::json!({"NextToken": "more", "Events": [
        event("e1", "AttachUserPolicy", false, r#"{"userName": "no-keys", "policyArn": "arn:aws:iam::aws:policy/A"}"#, ""),
        event("e2", "GetUser", true, r#"{"userName": "no-keys"}"#, ""),
        event("e3", "DetachUserPolicy", false, r#"{"userName": "no-keys"}"#, ",\"errorCode\": \"AccessDenied\""),
    ]});
    let second = serde_json::json!({"Events": [event("e4", "UpdateRole", false, r#"{"roleName": "support"}"#, "")]});
    let pages = Fixture::default().with("POST", &lookup(""), 200, &first.to_string()).with(
        "POST",
        &lookup("more"),
        200,
        &second.to_string(),
    );
    let run = with_cloudtrail("access", pages).await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    let (users, roles) = (resources(&run, spec::USER), resources(&run, spec::ROLE));
    let id_of = |all: &BTreeMap<&str, &BTreeMap<String, Field>>, arn: &str| -> String {
        all.iter().find(|(_, fields)| value(fields, "arn").as_str().unwrap().ends_with(arn)).unwrap().0.to_string()
    };
    let told: Vec<_> = run
        .changes
        .as_ref()
        .unwrap()
        .iter()
        .map(|change| {
            let touches: Vec<&str> = change.touches.iter().map(|key| key.id.as_str()).collect();
            (change.operation.as_str(), change.actor.as_ref().unwrap().name.as_str(), touches)
        })
        .collect();
    let (user, role) = (id_of(&users, "user/machines/no-keys"), id_of(&roles, "role/support"));
    assert_eq!(
        told,
        [("AttachUserPolicy", "anna", vec![user.as_str(), NUMBER]), ("UpdateRole", "anna", vec![role.as_str()])]
    );
}

#[tokio::test]
async fn a_cloudtrail_that_says_no_names_nobody_and_blinds_nothing() {
    let refused =
        r#"{"__type":"AccessDeniedException","Message":"not authorized to perform: cloudtrail:LookupEvents"}"#;
    let run = with_cloudtrail("access", Fixture::default().with("POST", &lookup(""), 400, refused)).await;
    assert_eq!(run.changes.as_ref().unwrap_err().reason, "CloudTrail's events could not be read");
    let gap = gap(&run, "cloudtrail:LookupEvents");
    assert_eq!((gap.reason, gap.permission.as_deref()), (GapReason::Denied, Some("cloudtrail:LookupEvents")));
    assert_eq!((run.outcome, complete(&run).len()), (Outcome::Partial, 4));

    let run = harness("mixed").run("access").await;
    assert_eq!(run.changes.unwrap_err().reason, "CloudTrail is not asked: cloudtrail is off in the settings");
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

#[test]
fn only_the_addresses_that_follow_from_the_region_belong_to_the_source() {
    let addresses = |region: &str, cloudtrail: bool| {
        let own = config("https://unused.example.com".parse().unwrap());
        let config = Config { endpoint_url: None, region: region.to_owned(), cloudtrail, ..own };
        AnySource::transport(&config).addresses.iter().map(Url::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        addresses("eu-central-1", false),
        ["https://iam.amazonaws.com/", "https://sts.eu-central-1.amazonaws.com/"]
    );
    assert_eq!(
        addresses("cn-northwest-1", true),
        [
            "https://iam.cn-north-1.amazonaws.com.cn/",
            "https://sts.cn-northwest-1.amazonaws.com.cn/",
            "https://cloudtrail.cn-north-1.amazonaws.com.cn/"
        ]
    );
}
