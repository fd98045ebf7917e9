//! What the checks should find in the account, read off its own data and never off its answers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::account::{Account, DAY, FULL, GITHUB_ISSUER, Rights, Role, User};
use crate::truth::Verdicts;

/// By the check's id, at their default parameters, at the moment `now` in milliseconds since 1970. What rests on the
/// credential report is told of the report's moment, so `reported` is the account as it was then.
pub(crate) fn truth(account: &Account, reported: &Account, now: i64) -> BTreeMap<&'static str, Verdicts> {
    let mut truth: BTreeMap<&'static str, Verdicts> = BTreeMap::new();
    let within = |at: i64, days: i64| now - at <= days * DAY;
    let mut of_account = |check: &'static str, conforms: bool| {
        truth.entry(check).or_default().put(account.id.to_owned(), account.id, Some(conforms));
    };

    let root = &account.root;
    of_account("aws.iam.root.mfa_enabled", root.mfa);
    of_account("aws.iam.root.no_access_keys", root.key.is_none());
    let rule = account.password_policy.as_ref();
    of_account("aws.iam.password_policy", rule.is_some_and(|p| p.length >= 14 && p.remembered.unwrap_or(0) >= 24));
    let console_users = reported.users().filter(|user| user.console.is_some()).count();
    of_account("aws.iam.user.humans_federated", console_users <= 2);
    let admins = account.users().filter(|user| is_admin(account, user)).count()
        + account.roles.iter().filter(|role| role_is_admin(account, role)).count();
    of_account("aws.iam.admin_principals.limited", admins <= 5);

    let key_used = reported.root.key.as_ref().and_then(|key| key.last_used);
    let quiet = [reported.root.last_used, key_used].into_iter().flatten().all(|at| !within(at, 30));
    let root_arn = format!("arn:aws:iam::{}:root", account.id);
    truth.entry("aws.iam.root.not_used").or_default().put(root_arn, &format!("root of {}", account.id), Some(quiet));

    for user in reported.users() {
        // The report knows no ids: somebody is a name and a moment, and so is a key.
        let arn = reported.user_arn(&user.name);
        let id = format!("{arn} of {}", moment(user.created));
        let mut put = |check: &'static str, id: &str, name: &str, conforms: Option<bool>| {
            truth.entry(check).or_default().put(id.to_owned(), name, conforms);
        };
        let console = user.console.as_ref();
        put("aws.iam.user.console_mfa", &id, &user.name, console.map(|_| user.mfa));
        let in_use = console.map(|console| within(console.last_used.unwrap_or(user.created), 90));
        put("aws.iam.user.console_dormant", &id, &user.name, in_use);
        for (key, number) in user.keys.iter().zip(1..) {
            let (id, name) = (format!("{arn} key of {}", moment(key.rotated)), format!("{}, key {number}", user.name));
            let judged = |conforms: bool| key.active.then_some(conforms);
            put("aws.iam.access_key.rotated", &id, &name, judged(within(key.rotated, 90)));
            put("aws.iam.access_key.in_use", &id, &name, judged(within(key.last_used.unwrap_or(key.rotated), 45)));
        }
    }
    for policy in account.policies.iter().filter(|policy| !policy.built_in) {
        let conforms = (account.attachments(&policy.name) > 0).then(|| !gives_all(policy.in_force()));
        let of = truth.entry("aws.iam.policy.no_full_admin").or_default();
        of.put(account.unique_id("ANPA", &policy.name), &policy.name, conforms);
    }
    for role in &account.roles {
        let id = account.unique_id("AROA", &role.name);
        let mut put = |check: &'static str, conforms: Option<bool>| {
            truth.entry(check).or_default().put(id.clone(), &role.name, conforms);
        };
        put("aws.iam.role.trust_not_public", Some(!trusts_everybody(role)));
        put("aws.iam.role.vendor_external_id", trusts_a_vendor(account, role).then(|| asks_for_external_id(role)));
        put("aws.iam.role.ci_trust_scoped", scoped(role));
    }
    truth
}

/// As evidence writes it: `2026-11-22T10:00:00.000Z`.
fn moment(millis: i64) -> String {
    super::xml::moment(millis).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn is_admin(account: &Account, user: &User) -> bool {
    let of_groups = account.groups.iter().filter(|group| user.groups.contains(&group.name));
    [&user.rights].into_iter().chain(of_groups.map(|group| &group.rights)).any(|rights| full(account, rights))
}

fn role_is_admin(account: &Account, role: &Role) -> bool {
    !role.path.starts_with("/aws-service-role/") && full(account, &role.rights)
}

fn full(account: &Account, rights: &Rights) -> bool {
    let attached = |name: &String| {
        name == FULL || account.policies.iter().any(|policy| &policy.name == name && gives_all(policy.in_force()))
    };
    rights.attached.iter().any(attached) || rights.inline.iter().any(|(_, policy)| gives_all(policy))
}

fn gives_all(policy: &Value) -> bool {
    let all = |value: &Value| listed(value).contains(&"*");
    statements(policy).iter().any(|s| s["Effect"] == "Allow" && all(&s["Action"]) && all(&s["Resource"]))
}

fn trusts_everybody(role: &Role) -> bool {
    statements(&role.trust).iter().any(|s| principals(s).contains(&"*") && s["Condition"].is_null())
}

fn trusts_a_vendor(account: &Account, role: &Role) -> bool {
    let foreign =
        |principal: &&str| principal.strip_prefix("arn:aws:iam::").is_some_and(|rest| !rest.starts_with(account.id));
    statements(&role.trust).iter().any(|s| principals(s).iter().any(foreign))
}

fn asks_for_external_id(role: &Role) -> bool {
    statements(&role.trust).iter().all(|s| condition_values(s, "sts:ExternalId").is_some())
}

/// Whether pipelines of named repositories alone are let in; `None` where none are.
fn scoped(role: &Role) -> Option<bool> {
    let from_github =
        |s: &&Value| listed(&s["Principal"]["Federated"]).iter().any(|issuer| issuer.ends_with(GITHUB_ISSUER));
    let statements: Vec<&Value> = statements(&role.trust).into_iter().filter(from_github).collect();
    let named = |subject: &&str| {
        let rest = subject.strip_prefix("repo:").unwrap_or(subject);
        !rest.split(':').next().unwrap_or_default().contains(['*', '?'])
    };
    let scoped = |s: &&Value| {
        let subjects = condition_values(s, &format!("{GITHUB_ISSUER}:sub")).unwrap_or_default();
        !subjects.is_empty() && subjects.iter().all(named)
    };
    (!statements.is_empty()).then(|| statements.iter().all(scoped))
}

fn statements(policy: &Value) -> Vec<&Value> {
    match &policy["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        one => vec![one],
    }
}

fn principals(statement: &Value) -> Vec<&str> {
    if statement["Principal"] == "*" { vec!["*"] } else { listed(&statement["Principal"]["AWS"]) }
}

/// What a condition compares a key with, whatever the comparison.
fn condition_values<'a>(statement: &'a Value, key: &str) -> Option<Vec<&'a str>> {
    let conditions = statement["Condition"].as_object()?;
    conditions.values().find_map(|keys| keys.get(key)).map(listed)
}

/// One text or a list of texts: policies take both.
fn listed(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}
