//! The collector `people`: members and owners.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::GapReason;
use kit::view::{Mark, View};
use kit::{Found, Pages, RunBuilder, Unread};
use serde_json::{Value, json};

use crate::changes;
use crate::session::Session;
use crate::spec::{EMAILS, MEMBER_KIND, MEMBERS};

/// Addresses by member's number, each with the answer it came from.
type Emails = BTreeMap<i64, (Value, Mark)>;

/// Only addresses of domains that the organisation has verified; a person's own address is their own business.
const QUERY: &str = "query($org: String!, $after: String) { organization(login: $org) { \
    membersWithRole(first: 100, after: $after) { \
    nodes { databaseId organizationVerifiedDomainEmails(login: $org) } pageInfo { hasNextPage endCursor } } } }";

pub(crate) async fn collect(session: &Session<'_>, run: &mut RunBuilder) {
    let members = members(session, run).await;
    let touches = |event: &View<'_>| {
        let user = event.text("user").ok().and_then(|login| members.get(login));
        user.into_iter().map(|id| (MEMBER_KIND, id.to_string())).collect()
    };
    changes::collect(session, run, touches).await;
}

/// Tells the builder of every member, and gives back their ids by login.
async fn members(session: &Session<'_>, run: &mut RunBuilder) -> HashMap<Box<str>, Box<str>> {
    let owners = owners(session).await;
    let emails = emails(session).await;
    let mut ids = HashMap::new();
    let read = |item: &Value, mark: Mark| {
        let member = View::object(item, mark)?;
        let (id, login) = (member.text("node_id")?, member.text("login")?);
        let mut found = Found::new(MEMBER_KIND, id, login);
        found.from(mark).read("login", login);
        if let Ok((_, mark)) = &owners {
            found.from(*mark);
        }
        found.set("owner", owners.as_ref().map(|(owners, _)| owners.contains(id)).map_err(Unread::clone));
        // Node ids have an old and a new form, and the two interfaces need not use the same.
        let email = member.number("id").and_then(|number| email(emails.as_ref(), number));
        if let Ok((_, mark)) = &email {
            found.from(*mark);
        }
        found.set("email", email.map(|(email, _)| email));
        Ok((login.into(), found))
    };
    let each = |item: Value, mark: Mark| match read(&item, mark) {
        Ok((login, found)) => {
            ids.insert(login, found.id().into());
            run.found(found);
        }
        Err(unread) => run.missing(&unread, &[MEMBER_KIND]),
    };
    let walked = session.org_walk(&MEMBERS, &["members"], &[("role", "all")], each).await;
    let whole = match (walked.stopped, walked.last) {
        (Some(unread), _) => Err(unread),
        (None, Some(mark)) if walked.items == 0 => Err(mark.malformed("an organisation without a member")),
        (None, Some(mark)) => session.sees_members(mark),
        (None, None) => Err(Unread::unsent(&MEMBERS, GapReason::Malformed, "no page was answered")),
    };
    match whole {
        Ok(()) => run.complete(MEMBER_KIND),
        Err(unread) => run.missing(&unread, &[MEMBER_KIND]),
    }
    ids
}

/// Ids of the owners.
async fn owners(session: &Session<'_>) -> Result<(BTreeSet<String>, Mark), Unread> {
    let Pages { items, last, stopped } = session.org_list(&MEMBERS, &["members"], &[("role", "admin")]).await;
    if let Some(unread) = stopped {
        return Err(unread);
    }
    let ids = items.iter().map(|(item, mark)| View::object(item, *mark)?.text("node_id").map(str::to_owned));
    let ids: BTreeSet<String> = ids.collect::<Result<_, _>>()?;
    match last {
        Some(mark) if ids.is_empty() => Err(mark.malformed("an organisation without an owner")),
        Some(mark) => session.sees_members(mark).map(|()| (ids, mark)),
        None => Err(Unread::unsent(&MEMBERS, GapReason::Malformed, "no page was answered")),
    }
}

/// A member's address, null when there is none. One who is in no answer came after it, and is not known to have none.
fn email(emails: Result<&Emails, &Unread>, number: i64) -> Result<(Value, Mark), Unread> {
    let emails = emails.map_err(Unread::clone)?;
    let missing = || {
        let why = "the member came while addresses were read";
        Unread::unsent(&EMAILS, GapReason::Truncated, why)
    };
    emails.get(&number).cloned().ok_or_else(missing)
}

/// Addresses of verified domains. A member may have several; the first stands for them.
async fn emails(session: &Session<'_>) -> Result<Emails, Unread> {
    if !session.github.verified_emails {
        return Err(Unread::unsent(&EMAILS, GapReason::NotAsked, "verified_emails is off in the settings"));
    }
    let mut emails = BTreeMap::new();
    let mut after = Value::Null;
    let pages = session.pages();
    for _ in 0..pages {
        let variables = json!({"org": session.github.organisation, "after": after});
        let answer = session.graphql(&json!({"query": QUERY, "variables": variables})).await?;
        let value = answer.json()?;
        let view = View::object(&value, answer.mark)?;
        // GraphQL answers 200 to what it refuses, with the reason in `errors`.
        if view.get("errors").is_some() {
            let why =
                "answered with errors: the organisation has no verified domain, or the reader may not see addresses";
            return Err(answer.mark.unread(GapReason::Denied, why));
        }
        let members = view.inner("data")?.inner("organization")?.inner("membersWithRole")?;
        for member in members.inner_list("nodes")? {
            let addresses = member.texts("organizationVerifiedDomainEmails")?;
            let first = addresses.into_iter().min().map_or(Value::Null, Value::from);
            emails.insert(member.number("databaseId")?, (first, answer.mark));
        }
        let page = members.inner("pageInfo")?;
        if !page.bool("hasNextPage")? {
            return Ok(emails);
        }
        after = Value::from(page.text("endCursor")?);
    }
    Err(Unread::unsent(&EMAILS, GapReason::OverLimit, format!("more than {pages} pages of addresses")))
}
