//! The collector `branches`: what binds the default branch of every repository that is not archived.

use domain::GapReason;
use futures::StreamExt;
use kit::view::{Mark, View};
use kit::{Found, Pages, RunBuilder, Unread};
use serde_json::Value;

use crate::AT_ONCE;
use crate::changes;
use crate::listing::{Listing, Repository};
use crate::rules::{Bound, Classic};
use crate::session::{Session, message, status};
use crate::spec::{BRANCH_KIND, PROTECTION, RULES};

/// Audit log actions that change what binds a branch:
/// <https://docs.github.com/en/enterprise-cloud@latest/admin/monitoring-activity-in-your-enterprise/reviewing-audit-logs-for-your-enterprise/audit-log-events-for-your-enterprise>.
const ACTIONS: [&str; 2] = ["protected_branch.", "repository_ruleset."];

pub(crate) async fn collect(session: &Session<'_>, run: &mut RunBuilder) {
    let listing = Listing::read(session).await;
    let all = listing.repositories(session.github.production.as_deref(), run, BRANCH_KIND);
    let alive: Vec<&Repository<'_>> = all.iter().filter(|repository| !repository.archived).collect();
    let asked: Vec<_> = alive.iter().map(|repository| read(session, repository)).collect();
    let found: Vec<Found> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    found.into_iter().for_each(|found| run.found(found));
    match listing.not_whole() {
        Some(unread) => run.missing(&unread, &[BRANCH_KIND]),
        None => run.complete(BRANCH_KIND),
    }
    let touches = |event: &View<'_>| {
        // The action of a rule of the whole organisation names no repository, and touches all.
        let named = event.text("repo").ok();
        let of_rules = event.text("action").is_ok_and(|action| ACTIONS.iter().any(|kind| action.starts_with(kind)));
        let is_meant = |repository: &&&Repository<'_>| named.is_none_or(|named| named == repository.full_name);
        alive
            .iter()
            .filter(|_| of_rules)
            .filter(is_meant)
            .map(|repository| (BRANCH_KIND, branch_id(repository)))
            .collect()
    };
    changes::collect(session, run, touches).await;
}

/// GitHub gives branches no id, so a branch is its repository's id and its full name.
fn branch_id(repository: &Repository<'_>) -> String {
    format!("{}/refs/heads/{}", repository.id, repository.default_branch)
}

async fn read(session: &Session<'_>, repository: &Repository<'_>) -> Found {
    let name = format!("{}@{}", repository.full_name, repository.default_branch);
    let mut found = Found::new(BRANCH_KIND, branch_id(repository), name);
    found.from(repository.view.mark);
    found.read("in_production", repository.in_production);
    let rules = rulesets(session, repository).await;
    let classic = protection(session, repository).await;
    if let Ok((_, marks)) = &rules {
        for mark in marks {
            found.from(*mark);
        }
    }
    if let Ok((_, mark)) = &classic {
        found.from(*mark);
    }
    found.set("classic_present", classic.as_ref().map(|(c, _)| c.is_some()).map_err(Unread::clone));
    let admins = |classic: &Option<Classic>| classic.as_ref().map_or(Ok(Value::Null), |c| c.enforce_admins.clone());
    found.set("classic_enforce_admins", classic.as_ref().map_err(Unread::clone).and_then(|(c, _)| admins(c)));
    // Either alone would tell of an unprotected branch where there is a protected one, so both must be known.
    let bound = match (rules, classic) {
        (Ok((rules, _)), Ok((classic, _))) => Ok(classic.map_or(rules.clone(), |classic| rules.and(classic.bound))),
        (Err(unread), _) | (_, Err(unread)) => Err(unread),
    };
    set_bound(&mut found, bound);
    found
}

fn set_bound(found: &mut Found, bound: Result<Bound, Unread>) {
    let with = |value: &dyn Fn(&Bound) -> Result<Value, Unread>| bound.as_ref().map_err(Unread::clone).and_then(value);
    let plain = |read: &Result<bool, Unread>| read.clone().map(Value::from);
    found.set("pr_required", with(&|b| Ok(Value::from(b.pr_required))));
    found.set("required_approvals", with(&|b| b.required_approvals.clone().map(Value::from)));
    found.set("dismiss_stale", with(&|b| plain(&b.dismiss_stale)));
    found.set("status_checks", with(&|b| Ok(b.status_checks.iter().cloned().collect())));
    found.set("force_push_blocked", with(&|b| plain(&b.force_push_blocked)));
    found.set("deletion_blocked", with(&|b| plain(&b.deletion_blocked)));
    found.set("signatures_required", with(&|b| plain(&b.signatures_required)));
}

async fn rulesets(session: &Session<'_>, repository: &Repository<'_>) -> Result<(Bound, Vec<Mark>), Unread> {
    let Repository { owner, name, default_branch, .. } = repository;
    let Pages { items, last, stopped } =
        session.list(&RULES, &["repos", owner, name, "rules", "branches", default_branch], &[]).await;
    if let Some(unread) = stopped {
        return Err(unread);
    }
    let mut bound = Bound::default();
    for (item, mark) in &items {
        bound = bound.and(Bound::of_rule(&View::object(item, *mark)?)?);
    }
    let marks = items.iter().map(|(_, mark)| *mark).chain(last).collect();
    Ok((bound, marks))
}

/// `None` where GitHub says that there is no classic protection. Any other 404 says nothing.
async fn protection(session: &Session<'_>, repository: &Repository<'_>) -> Result<(Option<Classic>, Mark), Unread> {
    let Repository { owner, name, default_branch, .. } = repository;
    match session.get(&PROTECTION, &["repos", owner, name, "branches", default_branch, "protection"], &[]).await {
        Ok(answer) => {
            let value = answer.json()?;
            Ok((Some(Classic::read(&View::object(&value, answer.mark)?)?), answer.mark))
        }
        Err(unread) => match (status(&unread), message(&unread).as_deref(), &unread.answer) {
            (Some(404), Some("Branch not protected"), Some(answer)) => Ok((None, answer.mark)),
            (Some(404), Some("Branch not found"), Some(answer)) => {
                let why = "404 Not Found: the repository has no such branch yet";
                Err(Unread { permission: None, ..answer.mark.unread(GapReason::NotSupported, why) })
            }
            _ => Err(unread),
        },
    }
}
