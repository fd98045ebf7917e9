//! The collector `outside`: whom the organisation lets in from outside. People who are no members and may use a
//! repository, and Apps that are installed.

use std::collections::BTreeSet;

use domain::{GapReason, Timestamp};
use futures::StreamExt;
use kit::view::{Mark, View};
use kit::{Found, Pages, RunBuilder, Unread, next_link};
use serde_json::Value;

use crate::listing::{Listing, Repository};
use crate::session::Session;
use crate::spec::{COLLABORATORS, INSTALLATION_KIND, INSTALLATIONS, OUTSIDE, OUTSIDE_KIND};
use crate::{AT_ONCE, changes};

/// Pages of Apps in one run.
const PAGES: usize = 20;

/// Audit log actions on what somebody may do in a repository; each names the person and the repository.
/// <https://docs.github.com/en/organizations/keeping-your-organization-secure/managing-security-settings-for-your-organization/audit-log-events-for-your-organization#repo>
const ACTIONS: [&str; 3] = ["repo.add_member", "repo.update_member", "repo.remove_member"];

pub(crate) async fn collect(session: &Session<'_>, run: &mut RunBuilder) {
    installations(session, run).await;
    let accesses = collaborators(session, run).await;
    let touches = |event: &View<'_>| {
        let meant = event.text("action").is_ok_and(|action| ACTIONS.contains(&action));
        let (person, repository) = (event.text("user").ok(), event.text("repo").ok());
        let mine = |access: &&Access| Some(&*access.login) == person && Some(&*access.repository) == repository;
        accesses.iter().filter(|_| meant).filter(mine).map(|access| (OUTSIDE_KIND, access.id.clone())).collect()
    };
    changes::collect(session, run, touches).await;
}

/// One person's access to one repository.
struct Access {
    id: String,
    login: String,
    /// `owner/name`.
    repository: String,
}

/// Tells the builder who from outside may use which repository. Who that is says the organisation's own list; what they
/// may do, each repository alone. Whoever is in the list must turn up in a repository, or one was not seen.
async fn collaborators(session: &Session<'_>, run: &mut RunBuilder) -> Vec<Access> {
    let (people, short) = people(session).await;
    if let Some(unread) = &short {
        run.missing(unread, &[OUTSIDE_KIND]);
    } else if people.is_empty() {
        run.complete(OUTSIDE_KIND);
        return Vec::new();
    }
    let listing = Listing::read(session).await;
    // Somebody with access to an archived repository still reads it.
    let repositories = listing.repositories(None, run, OUTSIDE_KIND);
    let asked: Vec<_> = repositories.iter().map(|repository| of_repository(session, repository)).collect();
    let answered: Vec<Pages> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    let (mut accesses, mut unseen, mut short) = (Vec::new(), people.clone(), short.or(listing.not_whole()).is_some());
    for (repository, Pages { items, stopped, .. }) in repositories.iter().zip(answered) {
        for (item, mark) in &items {
            match View::object(item, *mark).and_then(|person| access(session, repository, &person)) {
                Ok((person, found, access)) => {
                    unseen.remove(&person);
                    run.found(found);
                    accesses.push(access);
                }
                Err(unread) => run.missing(&unread, &[OUTSIDE_KIND]),
            }
        }
        if let Some(unread) = stopped {
            short = true;
            run.missing(&unread, &[OUTSIDE_KIND]);
        }
    }
    if let Some(unread) = listing.not_whole() {
        run.missing(&unread, &[OUTSIDE_KIND]);
    }
    match (short, unseen.len()) {
        (true, _) => {}
        (false, 0) => run.complete(OUTSIDE_KIND),
        (false, unseen) => {
            let detail = format!("{unseen} of {} people from outside are in no repository that was read", people.len());
            run.missing(&Unread::unsent(&COLLABORATORS, GapReason::Truncated, detail), &[OUTSIDE_KIND]);
        }
    }
    accesses
}

/// Ids of everybody in the organisation's list of people from outside, and why there may be more.
async fn people(session: &Session<'_>) -> (BTreeSet<String>, Option<Unread>) {
    let Pages { items, last, stopped } = session.org_list(&OUTSIDE, &["outside_collaborators"], &[]).await;
    let last = last.ok_or_else(|| Unread::unsent(&OUTSIDE, GapReason::Malformed, "no page was answered"));
    let mut short = stopped.or_else(|| last.and_then(|mark| session.sees_members(mark)).err());
    let mut people = BTreeSet::new();
    for (item, mark) in &items {
        match View::object(item, *mark).and_then(|person| person.text("node_id")) {
            Ok(id) => drop(people.insert(id.to_owned())),
            Err(unread) => short = Some(unread),
        }
    }
    (people, short)
}

async fn of_repository(session: &Session<'_>, repository: &Repository<'_>) -> Pages {
    let path = ["repos", repository.owner, repository.name, "collaborators"];
    session.list(&COLLABORATORS, &path, &[("affiliation", "outside")]).await
}

/// What a person may do in a repository, and the person's id.
fn access(
    session: &Session<'_>,
    repository: &Repository<'_>,
    person: &View<'_>,
) -> Result<(String, Found, Access), Unread> {
    let (who, login) = (person.text("node_id")?, person.text("login")?);
    let id = format!("{who}/{}", repository.id);
    let mut found = Found::new(OUTSIDE_KIND, id.as_str(), format!("{login}@{}", repository.full_name));
    found.from(repository.view.mark).from(person.mark);
    found.read("login", login).read("repository", repository.full_name);
    found.set("repo_role", person.text("role_name"));
    found.set("manages_repository", manages(person));
    let until = session.github.approved.person(login, repository.name);
    found.set("approved_until", until.map(moment));
    let access = Access { id, login: login.to_owned(), repository: repository.full_name.to_owned() };
    Ok((who.to_owned(), found, access))
}

/// Whether somebody administers or maintains a repository. A role of the organisation's own is known by the role it is
/// built on, which `permissions` holds:
/// <https://docs.github.com/en/rest/collaborators/collaborators#list-repository-collaborators>.
fn manages(person: &View<'_>) -> Result<bool, Unread> {
    match person.text("role_name")? {
        "admin" | "maintain" => Ok(true),
        role => {
            let permissions = person.inner("permissions")?;
            let known = ["read", "triage", "write"].contains(&role);
            // Both are there today; of a standard role the older answers without `maintain` say enough.
            let maintains = match permissions.get("maintain") {
                None if known => false,
                _ => permissions.bool("maintain")?,
            };
            Ok(permissions.bool("admin")? || maintains)
        }
    }
}

/// Tells the builder of every App that is installed. Which rights each holds is read here; what it did with them is not.
async fn installations(session: &Session<'_>, run: &mut RunBuilder) {
    let (items, whole) = apps(session).await;
    for (item, mark) in &items {
        match View::object(item, *mark).and_then(|app| installation(session, item, &app)) {
            Ok(found) => run.found(found),
            Err(unread) => run.missing(&unread, &[INSTALLATION_KIND]),
        }
    }
    match whole {
        Ok((mark, total)) => {
            run.complete(INSTALLATION_KIND);
            run.count(INSTALLATION_KIND, mark, total);
        }
        Err(unread) => run.missing(&unread, &[INSTALLATION_KIND]),
    }
}

/// Every App that was answered, and GitHub's count of them once the end was reached.
async fn apps(session: &Session<'_>) -> (Vec<(Value, Mark)>, Result<(Mark, u64), Unread>) {
    let mut items = Vec::new();
    for number in 1..=PAGES {
        let Page { found, mark, total, more } = match page(session, number).await {
            Ok(page) => page,
            Err(unread) => return (items, Err(unread)),
        };
        items.extend(found.into_iter().map(|item| (item, mark)));
        match more {
            Ok(true) => {}
            // An App that is installed asks, so there is one.
            Ok(false) if items.is_empty() && session.is_app() => {
                return (items, Err(mark.malformed("no App is installed, though one asks")));
            }
            Ok(false) => return (items, Ok((mark, total))),
            Err(unread) => return (items, Err(unread)),
        }
    }
    let over = Unread::unsent(&INSTALLATIONS, GapReason::OverLimit, format!("more than {PAGES} pages"));
    (items, Err(over))
}

/// One page of Apps. The list stands within an object, beside its count.
struct Page {
    found: Vec<Value>,
    mark: Mark,
    total: u64,
    /// Whether another one follows.
    more: Result<bool, Unread>,
}

async fn page(session: &Session<'_>, number: usize) -> Result<Page, Unread> {
    let (size, number) = (session.github.page.to_string(), number.to_string());
    let query = [("per_page", size.as_str()), ("page", number.as_str())];
    let answer = session.org(&INSTALLATIONS, &["installations"], &query).await?;
    let (value, mark) = (answer.json()?, answer.mark);
    let view = View::object(&value, mark)?;
    let total = u64::try_from(view.number("total_count")?).map_err(|_| mark.malformed("total_count is below zero"))?;
    let found = view.get("installations").and_then(Value::as_array);
    let found = found.ok_or_else(|| mark.malformed("installations is no list"))?.clone();
    let more = match next_link(&answer.headers, &session.github.rest) {
        Some(next) if next.origin() != session.github.rest.origin() => {
            let why = "the next link leads to another host";
            Err(Unread { permission: None, ..mark.unread(GapReason::Refused, why) })
        }
        next => Ok(next.is_some()),
    };
    Ok(Page { found, mark, total, more })
}

fn installation(session: &Session<'_>, item: &Value, app: &View<'_>) -> Result<Found, Unread> {
    let (id, slug) = (app.number("id")?, app.text("app_slug")?);
    let mut found = Found::new(INSTALLATION_KIND, id.to_string(), slug);
    found.from(app.mark).read("slug", slug);
    found.set("repository_selection", app.text("repository_selection"));
    found.set("writes", writes(app));
    // GitHub says null of one that is not suspended; saying nothing is something else.
    let suspended = match item.get("suspended_at") {
        Some(Value::Null) => Ok(Value::Null),
        _ => app.text("suspended_at").map(Value::from),
    };
    found.set("suspended_at", suspended);
    let approval = session.github.approved.app(slug);
    found.set("approved", approval.as_ref().map(|(listed, _)| *listed).map_err(Unread::clone));
    found.set("approved_until", approval.map(|(_, until)| moment(until)));
    Ok(found)
}

/// The rights to change things, sorted, by the names that GitHub gives them in `permissions`.
fn writes(app: &View<'_>) -> Result<Vec<String>, Unread> {
    let permissions = app.get("permissions").and_then(Value::as_object);
    let permissions = permissions.ok_or_else(|| app.mark.malformed("permissions is missing or no object"))?;
    let mut writes = Vec::new();
    for (name, level) in permissions {
        match level.as_str() {
            Some("read") => {}
            Some("write" | "admin") => writes.push(name.clone()),
            _ => return Err(app.mark.malformed(format!("{name} is neither read, write nor admin"))),
        }
    }
    writes.sort();
    Ok(writes)
}

fn moment(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| Value::from(at.to_string()))
}
