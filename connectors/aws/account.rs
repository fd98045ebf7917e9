//! The collector `account`: what holds for the account as a whole.

use kit::view::Mark;
use kit::{Found, RunBuilder, Unread};
use serde_json::Value;

use crate::changes::Index;
use crate::pages::walk;
use crate::session::{Session, ask};
use crate::spec::{ACCOUNT, CERTIFICATE, CERTIFICATES, PROVIDER, VIRTUAL_MFA, VIRTUAL_MFAS};
use crate::summary::Summary;
use crate::{Tally, moment, words};

/// What AWS asks for where an account sets no rule of its own: eight characters, and nothing about reuse.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_passwords_account-policy.html>
const AWS_MIN_LENGTH: i64 = 8;

/// The events that change what is read here of the account itself.
const EVENTS: &[&str] = &["UpdateAccountPasswordPolicy", "DeleteAccountPasswordPolicy"];

pub(crate) async fn collect(session: &Session, page: i32, run: &mut RunBuilder, tally: &mut Tally) -> Index {
    let summary = Summary::read(session).await;
    let password = password_rule(session).await;
    let mut account = Found::new(ACCOUNT, session.account.as_str(), session.name.as_str());
    account.from(session.mark);
    match &summary {
        Ok(summary) => {
            account.from(summary.mark);
            account.set("account_mfa_enabled", summary.number("AccountMFAEnabled"));
            account.set("root_access_keys_present", summary.number("AccountAccessKeysPresent"));
            account.read("account_password_present", summary.perhaps("AccountPasswordPresent"));
        }
        Err(unread) => {
            for field in ["account_mfa_enabled", "root_access_keys_present", "account_password_present"] {
                account.set(field, unread_value(unread));
            }
        }
    }
    match password {
        Ok(rule) => {
            account.from(rule.mark);
            account.read("password_policy_set", rule.own);
            account.set("min_password_length", rule.min_length);
            account.read("password_reuse_prevention", rule.remembered);
        }
        Err(unread) => {
            for field in ["password_policy_set", "min_password_length", "password_reuse_prevention"] {
                account.set(field, unread_value(&unread));
            }
        }
    }
    run.found(account);
    virtual_mfas(session, page, run).await;
    providers(session, run).await;
    certificates(session, page, run, tally, summary).await;
    Index::new(EVENTS)
}

fn unread_value(unread: &Unread) -> Result<Value, Unread> {
    Err(unread.clone())
}

/// The rule for passwords, the account's own or that of AWS.
struct PasswordRule {
    own: bool,
    min_length: Result<i64, Unread>,
    remembered: i64,
    mark: Mark,
}

/// That there is no rule is an answer, with the status 404.
async fn password_rule(session: &Session) -> Result<PasswordRule, Unread> {
    match ask(&session.wire, session.iam.get_account_password_policy().send()).await {
        Ok((output, answer)) => {
            let mark = answer.mark;
            let rule =
                output.password_policy.ok_or_else(|| mark.malformed("PasswordPolicy is missing from the answer"))?;
            let missing = || mark.malformed("MinimumPasswordLength is missing from the answer");
            let min_length = rule.minimum_password_length.map(i64::from).ok_or_else(missing);
            // Where AWS gives none, none are remembered: the default of UpdateAccountPasswordPolicy.
            let remembered = rule.password_reuse_prevention.map_or(0, i64::from);
            Ok(PasswordRule { own: true, min_length, remembered, mark })
        }
        Err(unread) => match &unread.answer {
            Some(answer) if words::code(&unread).as_deref() == Some("NoSuchEntity") => {
                Ok(PasswordRule { own: false, min_length: Ok(AWS_MIN_LENGTH), remembered: 0, mark: answer.mark })
            }
            _ => Err(unread),
        },
    }
}

async fn virtual_mfas(session: &Session, page: i32, run: &mut RunBuilder) {
    let fetch = |marker: Option<String>| {
        let call = session.iam.list_virtual_mfa_devices().max_items(page).set_marker(marker).send();
        async move { ask(&session.wire, call).await }
    };
    let read = walk(session, &VIRTUAL_MFAS, fetch, |page, answer| {
        for device in page.virtual_mfa_devices {
            let arn = device.serial_number;
            let user_arn = device.user.map(|user| user.arn);
            let root = format!("arn:{}:iam::{}:root", partition_of(&arn), session.account);
            let mut found = Found::new(VIRTUAL_MFA, arn.as_str(), arn.rsplit('/').next().unwrap_or(&arn));
            found.from(answer.mark);
            found.read("arn", arn.as_str());
            found.read("root", user_arn.as_deref() == Some(root.as_str()));
            found.read("user_arn", user_arn);
            found.set("enabled_at", device.enable_date.map_or(Ok(Value::Null), |at| moment(&at, answer.mark)));
            run.found(found);
        }
    });
    if let Err(unread) = read.await {
        run.missing(&unread, &[VIRTUAL_MFA]);
    }
}

fn partition_of(arn: &str) -> &str {
    arn.split(':').nth(1).unwrap_or("aws")
}

async fn providers(session: &Session, run: &mut RunBuilder) {
    match ask(&session.wire, session.iam.list_saml_providers().send()).await {
        Ok((output, answer)) => match output.saml_provider_list {
            Some(list) => {
                for item in list {
                    let ends = item.valid_until.map_or(Ok(Value::Null), |at| moment(&at, answer.mark));
                    provider(run, item.arn, "saml", ends, answer.mark);
                }
            }
            None => run.missing(&answer.mark.malformed("SAMLProviderList is missing from the answer"), &[PROVIDER]),
        },
        Err(unread) => run.missing(&unread, &[PROVIDER]),
    }
    match ask(&session.wire, session.iam.list_open_id_connect_providers().send()).await {
        Ok((output, answer)) => match output.open_id_connect_provider_list {
            Some(list) => {
                list.into_iter().for_each(|item| provider(run, item.arn, "oidc", Ok(Value::Null), answer.mark))
            }
            None => {
                let unread = answer.mark.malformed("OpenIDConnectProviderList is missing from the answer");
                run.missing(&unread, &[PROVIDER]);
            }
        },
        Err(unread) => run.missing(&unread, &[PROVIDER]),
    }
}

fn provider(run: &mut RunBuilder, arn: Option<String>, protocol: &str, ends: Result<Value, Unread>, mark: Mark) {
    let Some(arn) = arn else {
        run.missing(&mark.malformed("an identity provider without an ARN"), &[PROVIDER]);
        return;
    };
    let mut found = Found::new(PROVIDER, arn.as_str(), arn.split_once('/').map_or(arn.as_str(), |(_, name)| name));
    found.from(mark).read("arn", arn.as_str()).read("protocol", protocol).set("valid_until", ends);
    run.found(found);
}

async fn certificates(
    session: &Session,
    page: i32,
    run: &mut RunBuilder,
    tally: &mut Tally,
    summary: Result<Summary, Unread>,
) {
    let fetch = |marker: Option<String>| {
        let call = session.iam.list_server_certificates().max_items(page).set_marker(marker).send();
        async move { ask(&session.wire, call).await }
    };
    let read = walk(session, &CERTIFICATES, fetch, |page, answer| {
        for item in page.server_certificate_metadata_list {
            let mut found = Found::new(CERTIFICATE, item.server_certificate_id, item.server_certificate_name);
            let missing = |name: &str| answer.mark.malformed(format!("{name} is missing from the answer"));
            let dated = |at: aws_smithy_types::DateTime| moment(&at, answer.mark);
            found.from(answer.mark).read("arn", item.arn);
            found.set("uploaded", item.upload_date.ok_or_else(|| missing("UploadDate")).and_then(dated));
            found.set("expires", item.expiration.ok_or_else(|| missing("Expiration")).and_then(dated));
            run.found(found);
        }
    });
    if let Err(unread) = read.await {
        run.missing(&unread, &[CERTIFICATE]);
    }
    match summary.and_then(|summary| Ok((summary.mark, summary.count("ServerCertificates")?))) {
        Ok((mark, count)) => tally.add(CERTIFICATE, mark, count),
        Err(unread) => run.missing(&unread, &[CERTIFICATE]),
    }
}
