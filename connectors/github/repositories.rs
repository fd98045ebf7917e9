//! The collector `repositories`: every repository and its security features.

use domain::GapReason;
use futures::StreamExt;
use kit::view::{Mark, View};
use kit::{Answer, CallSpec, Found, RunBuilder, Unread};
use serde_json::Value;

use crate::AT_ONCE;
use crate::changes;
use crate::listing::{Listing, Repository};
use crate::session::{Session, message, status};
use crate::spec::{ALERTS, ANALYSES, DEFAULT_SETUP, REPO_KIND};

/// Audit log actions that change a repository's settings: `repo.archived`, `repository_vulnerability_alerts.disable` …
/// <https://docs.github.com/en/enterprise-cloud@latest/admin/monitoring-activity-in-your-enterprise/reviewing-audit-logs-for-your-enterprise/audit-log-events-for-your-enterprise>.
const ACTIONS: [&str; 2] = ["repo.", "repository_"];

pub(crate) async fn collect(session: &Session<'_>, run: &mut RunBuilder) {
    let listing = Listing::read(session).await;
    let repositories = listing.repositories(session.github.production.as_deref(), run, REPO_KIND);
    let asked: Vec<_> = repositories.iter().map(|repository| read(session, repository)).collect();
    let mut found = futures::stream::iter(asked).buffered(AT_ONCE);
    while let Some(found) = found.next().await {
        run.found(found);
    }
    match &listing.short {
        Some(unread) => run.missing(unread, &[REPO_KIND]),
        None => run.complete(REPO_KIND),
    }
    if let Some((mark, count)) = listing.count {
        run.count(REPO_KIND, mark, count);
    }
    let touches = |event: &View<'_>| {
        let named = event.text("repo").ok();
        let of_settings = event.text("action").is_ok_and(|action| ACTIONS.iter().any(|kind| action.starts_with(kind)));
        let touched = repositories.iter().filter(|repository| Some(repository.full_name) == named);
        touched.filter(|_| of_settings).map(|repository| (REPO_KIND, repository.id.to_owned())).collect()
    };
    changes::collect(session, run, touches).await;
}

async fn read(session: &Session<'_>, repository: &Repository<'_>) -> Found {
    let mut found = Found::new(REPO_KIND, repository.id, repository.full_name);
    found.from(repository.view.mark);
    found.read("archived", repository.archived).read("in_production", repository.in_production);
    found.set("visibility", repository.view.text("visibility"));
    if repository.archived {
        // GitHub offers none of these there, and nothing can come in any more.
        for field in
            ["secret_scanning", "push_protection", "dependabot_alerts_on", "default_setup_state", "last_analysis"]
        {
            found.read(field, Value::Null);
        }
        return found;
    }
    found.set("secret_scanning", feature(repository, "secret_scanning"));
    found.set("push_protection", feature(repository, "secret_scanning_push_protection"));
    set(&mut found, "dependabot_alerts_on", alerts(session, repository).await);
    set(&mut found, "default_setup_state", default_setup(session, repository).await);
    set(&mut found, "last_analysis", last_analysis(session, repository).await);
    found
}

fn set(found: &mut Found, field: &'static str, read: Result<(Value, Mark), Unread>) {
    if let Ok((_, mark)) = &read {
        found.from(*mark);
    }
    found.set(field, read.map(|(value, _)| value));
}

/// A feature of `security_and_analysis`, which GitHub leaves out for whoever may not administer the repository: that is
/// never *off*.
fn feature(repository: &Repository<'_>, name: &str) -> Result<String, Unread> {
    let mark = repository.view.mark;
    if repository.view.get("security_and_analysis").is_none() {
        let why = "answered, but security_and_analysis is not shown to this reader";
        return Err(mark.unread(GapReason::Denied, why));
    }
    let features = repository.view.inner("security_and_analysis")?;
    if features.get(name).is_none() {
        let why = format!("answered, but security_and_analysis names no {name}");
        return Err(Unread { permission: None, ..mark.unread(GapReason::NotSupported, why) });
    }
    features.inner(name)?.text("status").map(str::to_owned)
}

/// 204 is on and 404 is off, unless the 404 means that the reader may not know:
/// <https://docs.github.com/en/rest/repos/repos#check-if-vulnerability-alerts-are-enabled-for-a-repository>.
async fn alerts(session: &Session<'_>, repository: &Repository<'_>) -> Result<(Value, Mark), Unread> {
    match of_repository(session, &ALERTS, repository, &["vulnerability-alerts"], &[]).await {
        Ok(answer) if answer.status == 204 => Ok((Value::Bool(true), answer.mark)),
        Ok(answer) => Err(answer.mark.malformed("answered with something else than 204 or 404")),
        Err(unread) => {
            let said = message(&unread).is_some_and(|said| said.contains("alerts are disabled"));
            // GitHub shows this block to administrators only, so whoever saw it may know.
            let may_know = repository.view.get("security_and_analysis").is_some();
            match fact(&unread, 404, said || may_know) {
                Some(mark) => Ok((Value::Bool(false), mark)),
                None => Err(unread),
            }
        }
    }
}

/// `configured` or `not-configured`; `not-available` where the features that code scanning needs are off.
async fn default_setup(session: &Session<'_>, repository: &Repository<'_>) -> Result<(Value, Mark), Unread> {
    match of_repository(session, &DEFAULT_SETUP, repository, &["code-scanning", "default-setup"], &[]).await {
        Ok(answer) => {
            let value = answer.json()?;
            let state = View::object(&value, answer.mark)?.text("state")?;
            Ok((Value::from(state), answer.mark))
        }
        Err(unread) => match fact(&unread, 403, scanning_is_off(&unread)) {
            Some(mark) => Ok((Value::from("not-available"), mark)),
            None => Err(unread),
        },
    }
}

/// When the default branch was analysed last; null when it never was.
async fn last_analysis(session: &Session<'_>, repository: &Repository<'_>) -> Result<(Value, Mark), Unread> {
    let branch = format!("refs/heads/{}", repository.default_branch);
    let query = [("per_page", "1"), ("ref", branch.as_str())];
    match of_repository(session, &ANALYSES, repository, &["code-scanning", "analyses"], &query).await {
        Ok(answer) => {
            let value = answer.json()?;
            let rows = View::list(&value, answer.mark)?;
            let latest = rows.first().map(|row| row.text("created_at")).transpose()?;
            Ok((latest.map_or(Value::Null, Value::from), answer.mark))
        }
        Err(unread) => {
            let none = message(&unread).is_some_and(|said| said.contains("no analysis found"));
            match fact(&unread, 404, none).or_else(|| fact(&unread, 403, scanning_is_off(&unread))) {
                Some(mark) => Ok((Value::Null, mark)),
                None => Err(unread),
            }
        }
    }
}

/// Whether a refusal says that a feature of the repository is off, rather than that we may not look.
fn scanning_is_off(unread: &Unread) -> bool {
    const SAID: [&str; 2] =
        ["must be enabled for this repository to use code scanning", "ode scanning is not enabled for this repository"];
    message(unread).is_some_and(|said| SAID.iter().any(|part| said.contains(part)))
}

/// The exchange of an answer that is a fact, though its status is that of an error.
fn fact(unread: &Unread, wanted: u16, holds: bool) -> Option<Mark> {
    let answer = unread.answer.as_ref()?;
    (holds && status(unread) == Some(wanted)).then_some(answer.mark)
}

async fn of_repository(
    session: &Session<'_>,
    call: &'static CallSpec,
    repository: &Repository<'_>,
    segments: &[&str],
    query: &[(&str, &str)],
) -> Result<Answer, Unread> {
    let path: Vec<&str> =
        ["repos", repository.owner, repository.name].into_iter().chain(segments.iter().copied()).collect();
    session.get(call, &path, query).await
}
