//! The collector `organisation`: settings, owners and webhooks.

use domain::GapReason;
use kit::view::{Mark, View};
use kit::{Found, Pages, RunBuilder, Unread};
use serde_json::{Value, json};

use crate::changes;
use crate::session::Session;
use crate::spec::{ACTIONS, DEFAULTS, HOOK_KIND, HOOKS, MEMBERS, ORG, ORG_KIND, WORKFLOW};

pub(crate) async fn collect(session: &Session<'_>, run: &mut RunBuilder) {
    let id = match settings(session, run).await {
        Ok(id) => Some(id),
        Err(unread) => {
            run.missing(&unread, &[ORG_KIND]);
            None
        }
    };
    hooks(session, run).await;
    let touches = |event: &View<'_>| {
        let own = event.text("action").is_ok_and(|action| action.starts_with("org."));
        id.iter().filter(|_| own).map(|id| (ORG_KIND, id.clone())).collect()
    };
    changes::collect(session, run, touches).await;
}

/// Tells the builder of the organisation, and gives back its id.
async fn settings(session: &Session<'_>, run: &mut RunBuilder) -> Result<String, Unread> {
    let answer = session.org(&ORG, &[], &[]).await?;
    let value = answer.json()?;
    let org = View::object(&value, answer.mark)?;
    let (id, login) = (org.text("node_id")?, org.text("login")?);
    let mut found = Found::new(ORG_KIND, id, login);
    found.from(answer.mark);
    found.set("two_factor_required", shown(&org, "two_factor_requirement_enabled", View::bool));
    found.set("default_repository_permission", shown(&org, "default_repository_permission", View::text));
    for field in ["members_can_create_public_repositories", "members_can_fork_private_repositories"] {
        found.set(field, shown(&org, field, View::bool));
    }
    actions(session, &mut found).await;
    let security = new_repositories(session, &mut found).await;
    found.set("new_repo_security", security);
    let owners = logins(session, &mut found, &[("role", "admin")]).await;
    let owners = owners.and_then(|(owners, mark)| match owners.is_empty() {
        true => Err(mark.malformed("an organisation without an owner")),
        false => session.sees_members(mark).map(|()| owners),
    });
    found.set("owner_logins", owners);
    let without = if session.is_app() {
        let detail = "GitHub names members without a second factor to owners only, and an App is none";
        Err(Unread::unsent(&MEMBERS, GapReason::NotAsked, detail))
    } else {
        logins(session, &mut found, &[("filter", "2fa_disabled")]).await.map(|(logins, _)| logins)
    };
    found.set("members_without_2fa", without);
    run.found(found);
    run.complete(ORG_KIND);
    Ok(id.to_owned())
}

/// Which actions may run, and what their token may do.
async fn actions(session: &Session<'_>, found: &mut Found) {
    let policy = object(session.org(&ACTIONS, &["actions", "permissions"], &[]).await);
    let allowed = policy.and_then(|(value, mark)| allowed(&View::object(&value, mark)?, found));
    found.set("allowed_actions", allowed);
    let token = object(session.org(&WORKFLOW, &["actions", "permissions", "workflow"], &[]).await);
    let view = token.as_ref().map_err(Unread::clone).and_then(|(value, mark)| View::object(value, *mark));
    if let Ok(view) = &view {
        found.from(view.mark);
    }
    let rights = view.clone().and_then(|view| view.text("default_workflow_permissions"));
    found.set("default_workflow_permissions", rights);
    found.set("workflows_can_approve", view.and_then(|view| view.bool("can_approve_pull_request_reviews")));
}

/// `none` where actions are switched off altogether: then GitHub leaves out which are allowed.
fn allowed(policy: &View<'_>, found: &mut Found) -> Result<String, Unread> {
    found.from(policy.mark);
    match policy.text("enabled_repositories")? {
        "none" => Ok("none".to_owned()),
        _ => policy.text("allowed_actions").map(str::to_owned),
    }
}

/// The security features that new repositories start with, one row for each kind of repository that has a default.
async fn new_repositories(session: &Session<'_>, found: &mut Found) -> Result<Value, Unread> {
    let answer = session.org(&DEFAULTS, &["code-security", "configurations", "defaults"], &[]).await?;
    let value = answer.json()?;
    found.from(answer.mark);
    let row = |row: View<'_>| {
        let of = row.inner("configuration")?;
        let feature = |name: &str| of.get(name).and_then(Value::as_str).unwrap_or("not_set").to_owned();
        Ok(json!({
            "default_for_new_repos": row.text("default_for_new_repos")?,
            "secret_scanning": of.text("secret_scanning")?,
            "secret_scanning_push_protection": of.text("secret_scanning_push_protection")?,
            "dependabot_alerts": of.text("dependabot_alerts")?,
            "code_scanning_default_setup": feature("code_scanning_default_setup"),
        }))
    };
    View::list(&value, answer.mark)?.into_iter().map(row).collect::<Result<Vec<Value>, Unread>>().map(Value::from)
}

/// Names of members, sorted.
async fn logins(
    session: &Session<'_>,
    found: &mut Found,
    query: &[(&str, &str)],
) -> Result<(Vec<String>, Mark), Unread> {
    let Pages { items, last, stopped } = session.org_list(&MEMBERS, &["members"], query).await;
    if let Some(unread) = stopped {
        return Err(unread);
    }
    let last = last.ok_or_else(|| Unread::unsent(&MEMBERS, GapReason::Malformed, "no page was answered"))?;
    let mut logins = Vec::new();
    found.from(last);
    for (item, mark) in &items {
        found.from(*mark);
        logins.push(View::object(item, *mark)?.text("login")?.to_owned());
    }
    logins.sort();
    Ok((logins, last))
}

async fn hooks(session: &Session<'_>, run: &mut RunBuilder) {
    let Pages { items, stopped, .. } = session.org_list(&HOOKS, &["hooks"], &[]).await;
    for (item, mark) in &items {
        match View::object(item, *mark).and_then(|hook| Ok((hook.number("id")?, hook))) {
            Ok((id, hook)) => run.found(webhook(id, &hook)),
            Err(unread) => run.missing(&unread, &[HOOK_KIND]),
        }
    }
    match stopped {
        Some(unread) => run.missing(&unread, &[HOOK_KIND]),
        None => run.complete(HOOK_KIND),
    }
}

fn webhook(id: i64, hook: &View<'_>) -> Found {
    let config = hook.inner("config");
    let of = |name: &str| config.clone().and_then(|config| config.text(name));
    let name = of("url").map_or_else(|_| format!("webhook {id}"), str::to_owned);
    let mut found = Found::new(HOOK_KIND, id.to_string(), name);
    found.from(hook.mark);
    found.set("active", hook.bool("active"));
    found.set("url", of("url"));
    found.set("insecure_ssl", insecure(&config));
    // GitHub shows that there is a secret, as asterisks, and leaves the member out where there is none.
    found.set("has_secret", config.as_ref().map(|config| config.get("secret").is_some()).map_err(Unread::clone));
    found.set("events", hook.texts("events"));
    found
}

/// `0` or `1`, as GitHub writes it in some answers as a text and in others as a number. Left out it is `0`, the default:
/// <https://docs.github.com/en/rest/orgs/webhooks#create-an-organization-webhook>.
fn insecure(config: &Result<View<'_>, Unread>) -> Result<String, Unread> {
    let config = config.clone()?;
    match config.get("insecure_ssl") {
        None => Ok("0".to_owned()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => config.text("insecure_ssl").map(str::to_owned),
    }
}

/// A setting that GitHub leaves out of the answer for whoever may not administer the organisation.
fn shown<'a, T>(org: &View<'a>, name: &str, read: impl Fn(&View<'a>, &str) -> Result<T, Unread>) -> Result<T, Unread> {
    if org.get(name).is_none() {
        return Err(org.mark.unread(GapReason::Denied, format!("answered, but {name} is not shown to this reader")));
    }
    read(org, name)
}

fn object(answer: Result<kit::Answer, Unread>) -> Result<(Value, Mark), Unread> {
    let answer = answer?;
    Ok((answer.json()?, answer.mark))
}
