//! Signing in: to one account or several, by key, profile or role, and never further than the settings say.

use super::*;

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
        assert_eq!(accounts.keys().collect::<Vec<_>>(), [NUMBER, "222233334444"], "{collector}");
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
