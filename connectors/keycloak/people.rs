//! The collector `people`: everybody with an account, and who holds administrator rights.
//!
//! Credentials are asked for administrators only: one call each on the server that signs everybody in, and no check asks
//! about the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{GapReason, Timestamp};
use futures::StreamExt;
use kit::view::{Mark, View};
use kit::{CallSpec, Found, RunBuilder, Unread};
use serde_json::Value;

use crate::changes;
use crate::clients;
use crate::roles::{Graph, Role};
use crate::session::{Session, management_client};
use crate::spec::{
    ADMIN_KIND, CLIENT_COMPOSITES, CLIENT_ROLE_GROUPS, CLIENT_ROLE_USERS, CLIENT_ROLES, COMPOSITES, CREDENTIALS,
    GROUP_CHILDREN, GROUP_MEMBERS, ROLE_GROUPS, ROLE_USERS, ROLES, USER_KIND, USERS, USERS_COUNT,
};

/// The short form of a list's items.
const BRIEF: &[(&str, &str)] = &[("briefRepresentation", "true")];
/// The long form, which is the one that counts a group's children.
const FULL: &[(&str, &str)] = &[("briefRepresentation", "false")];
/// Questions under way at once, within the source's own budget.
const AT_ONCE: usize = 4;
/// Room for so many people is made by the realm's count alone.
const ROOM_AT_MOST: u64 = 1 << 17;
/// How Keycloak names the account of a client.
const SERVICE_ACCOUNT: &str = "service-account-";

/// The kinds of event that can change who is there and who rules, and that name the person in their path.
pub(crate) const EVENTS: &[&str] = &["USER", "REALM_ROLE_MAPPING", "CLIENT_ROLE_MAPPING", "GROUP_MEMBERSHIP"];

pub(crate) async fn collect(session: &Session<'_>, reader: &str, run: &mut RunBuilder) {
    let people = people(session, run).await;
    let (holders, unread) = holders(session, reader).await;
    for unread in &unread {
        run.missing(unread, &[ADMIN_KIND]);
    }
    let asked = futures::stream::iter(holders).map(|holder| administrator(session, &people, holder, unread.first()));
    let mut found = asked.buffered(AT_ONCE);
    while let Some(found) = found.next().await {
        run.found(found);
    }
    if unread.is_empty() {
        run.complete(ADMIN_KIND);
    }
    let recorded = changes::recorded(session).await;
    let name_of = |id: &str| people.by_id.get(id).map(|person| person.name.to_string());
    changes::collect(session, run, recorded, EVENTS, name_of, touched).await;
}

/// Everybody in the list of accounts, which leaves service accounts out.
struct People {
    by_id: HashMap<Box<str>, Person>,
    /// Why the list did not come to its end.
    stopped: Option<Unread>,
}

struct Person {
    name: Box<str>,
    /// Keycloak's own word in the list that a one-time code is set up. Every person of its list has it, whether set up or
    /// not, though its description leaves the member optional; without it the list of credentials is held against nothing.
    totp: Result<bool, Box<Unread>>,
}

async fn people(session: &Session<'_>, run: &mut RunBuilder) -> People {
    let counted = count(session).await;
    let expected = counted.as_ref().ok().map(|(_, count)| *count);
    let room = expected.map_or(0, |count| count.min(ROOM_AT_MOST) as usize);
    let mut by_id = HashMap::with_capacity(room);
    let each = |value: Value, mark: Mark| match person(&value, mark) {
        Ok((person, found)) => {
            by_id.insert(found.id().into(), person);
            run.found(found);
        }
        Err(unread) => run.missing(&unread, &[USER_KIND]),
    };
    let walked = session.walk(&USERS, &["users"], BRIEF, expected, each).await;
    let not_allowed = match walked.last {
        Some(mark) => session.allowed("users", mark).await.err(),
        None => None,
    };
    let people = People { by_id, stopped: walked.stopped.or(not_allowed) };
    match &people.stopped {
        Some(unread) => run.missing(unread, &[USER_KIND]),
        None => run.complete(USER_KIND),
    }
    match counted {
        Ok((mark, count)) => run.count(USER_KIND, mark, count),
        Err(unread) => run.missing(&unread, &[USER_KIND]),
    }
    people
}

fn person(value: &Value, mark: Mark) -> Result<(Person, Found), Unread> {
    let user = View::object(value, mark)?;
    let (id, name) = (user.text("id")?, user.text("username")?);
    let mut found = Found::new(USER_KIND, id, name);
    found.from(mark);
    found.set("enabled", user.bool("enabled"));
    // Keycloak leaves the address out of an account that has none.
    found.set("email", user.get("email").map_or(Ok(Value::Null), |_| user.text("email").map(Value::from)));
    found.set("email_verified", user.bool("emailVerified"));
    let totp = user.bool("totp").map_err(Box::new);
    Ok((Person { name: name.into(), totp }, found))
}

async fn count(session: &Session<'_>) -> Result<(Mark, u64), Unread> {
    let answer = session.get(&USERS_COUNT, &["users", "count"], &[]).await?;
    let count = answer.json()?.as_u64().ok_or_else(|| answer.mark.malformed("the answer is not a number"))?;
    Ok((answer.mark, count))
}

/// Somebody with administrator rights, in effect.
struct Holder {
    id: String,
    name: String,
    enabled: Result<bool, Unread>,
    /// The administrator roles held.
    roles: BTreeSet<String>,
    marks: Vec<Mark>,
}

/// Everybody with administrator rights, and what could not be read on the way to them.
async fn holders(session: &Session<'_>, reader: &str) -> (Vec<Holder>, Vec<Unread>) {
    let mut unread = Vec::new();
    let (graph, management) = match graph(session, reader, &mut unread).await {
        Ok(read) => read,
        Err(error) => {
            unread.push(error);
            return (Vec::new(), unread);
        }
    };
    let mut holders = BTreeMap::new();
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let asked = graph.administrators(&management).into_iter().map(|(role, brings)| async move {
        let (users, groups) = match &role.client {
            None => (
                session.list(&ROLE_USERS, &["roles", &role.name, "users"], BRIEF).await,
                session.list(&ROLE_GROUPS, &["roles", &role.name, "groups"], BRIEF).await,
            ),
            Some(client) => (
                session.list(&CLIENT_ROLE_USERS, &["clients", client, "roles", &role.name, "users"], BRIEF).await,
                session.list(&CLIENT_ROLE_GROUPS, &["clients", client, "roles", &role.name, "groups"], BRIEF).await,
            ),
        };
        (users, groups, brings)
    });
    let answers: Vec<_> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (users, held_by, brings) in answers {
        unread.extend(users.stopped);
        unread.extend(held_by.stopped);
        unread.extend(users.items.iter().filter_map(|(user, mark)| hold(&mut holders, user, *mark, &brings).err()));
        for (group, mark) in &held_by.items {
            match View::object(group, *mark).and_then(|group| group.text("id")) {
                Ok(id) => groups.entry(id.to_owned()).or_default().extend(brings.iter().cloned()),
                Err(error) => unread.push(error),
            }
        }
    }
    members(session, groups, &mut holders, &mut unread).await;
    (holders.into_values().collect(), unread)
}

/// Reads the role graph; gives it with the id of the client whose roles rule over the realm.
///
/// Roles of every client are asked for, since any of them may hold administrator roles.
async fn graph(session: &Session<'_>, reader: &str, unread: &mut Vec<Unread>) -> Result<(Graph, String), Unread> {
    let clients = clients::list(session, reader).await;
    unread.extend(clients.stopped.clone());
    let mut ids = Vec::new();
    let mut management = None;
    for (client, mark) in &clients.items {
        let client = View::object(client, *mark)?;
        let id = client.text("id")?;
        if client.text("clientId")? == management_client(session.realm_name()) {
            management = Some(id.to_owned());
        }
        ids.push(id.to_owned());
    }
    let Some(management) = management else {
        return Err(match (clients.stopped, clients.last) {
            (Some(stopped), _) => stopped,
            (None, Some(mark)) => mark.malformed("the client that rules over the realm is not in the list"),
            (None, None) => Unread::unsent(&CLIENT_ROLES, GapReason::Refused, "nothing was asked"),
        });
    };
    let mut graph = Graph::default();
    let of_realm = session.list(&ROLES, &["roles"], BRIEF).await;
    unread.extend(of_realm.stopped);
    if let Some(mark) = of_realm.last.filter(|_| of_realm.items.is_empty()) {
        unread.push(mark.malformed("a realm without a role"));
    }
    for (role, mark) in &of_realm.items {
        graph.add(role_of(&View::object(role, *mark)?, None)?);
    }
    let asked = ids.into_iter().map(|id| async move {
        let answer = roles(session, &CLIENT_ROLES, &["clients", &id, "roles"], BRIEF).await;
        (id, answer)
    });
    let answers: Vec<_> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (id, answer) in answers {
        let must_have = id == management;
        match answer.and_then(|(rows, mark)| client_roles(&rows, mark, &id, must_have)) {
            Ok(roles) => roles.into_iter().for_each(|role| graph.add(role)),
            Err(error) => unread.push(error),
        }
    }
    let asked = graph.composites().into_iter().map(|role| async move {
        let answer = match &role.client {
            None => roles(session, &COMPOSITES, &["roles", &role.name, "composites"], &[]).await,
            Some(id) => {
                roles(session, &CLIENT_COMPOSITES, &["clients", id, "roles", &role.name, "composites"], &[]).await
            }
        };
        (role.id, answer)
    });
    let answers: Vec<_> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (parent, answer) in answers {
        match answer.and_then(|(rows, mark)| children(&rows, mark)) {
            Ok(children) => children.iter().for_each(|child| graph.link(&parent, child)),
            Err(error) => unread.push(error),
        }
    }
    Ok((graph, management))
}

/// A list that comes whole, without pages.
async fn roles(
    session: &Session<'_>,
    call: &'static CallSpec,
    segments: &[&str],
    query: &[(&str, &str)],
) -> Result<(Value, Mark), Unread> {
    let answer = session.get(call, segments, query).await?;
    Ok((answer.json()?, answer.mark))
}

fn role_of(role: &View<'_>, client: Option<&str>) -> Result<Role, Unread> {
    let (id, name) = (role.text("id")?.to_owned(), role.text("name")?.to_owned());
    Ok(Role { id, name, client: client.map(str::to_owned), composite: role.bool("composite")? })
}

fn client_roles(rows: &Value, mark: Mark, client: &str, must_have: bool) -> Result<Vec<Role>, Unread> {
    let rows = View::list(rows, mark)?;
    if must_have && rows.is_empty() {
        return Err(mark.malformed("the client that rules over the realm has no roles"));
    }
    rows.iter().map(|row| role_of(row, Some(client))).collect()
}

fn children(rows: &Value, mark: Mark) -> Result<Vec<String>, Unread> {
    let rows = View::list(rows, mark)?;
    if rows.is_empty() {
        return Err(mark.malformed("a composite role with nothing in it"));
    }
    rows.iter().map(|row| row.text("id").map(str::to_owned)).collect()
}

/// Adds a holder, or what more somebody holds.
fn hold(
    holders: &mut BTreeMap<String, Holder>,
    user: &Value,
    mark: Mark,
    roles: &BTreeSet<String>,
) -> Result<(), Unread> {
    let user = View::object(user, mark)?;
    let (id, name) = (user.text("id")?.to_owned(), user.text("username")?.to_owned());
    let new =
        || Holder { id: id.clone(), name, enabled: user.bool("enabled"), roles: BTreeSet::new(), marks: Vec::new() };
    let holder = holders.entry(id.clone()).or_insert_with(new);
    holder.roles.extend(roles.iter().cloned());
    holder.marks.push(mark);
    Ok(())
}

/// Adds the members of groups, and of all groups below them, which inherit what the group holds.
async fn members(
    session: &Session<'_>,
    groups: BTreeMap<String, BTreeSet<String>>,
    holders: &mut BTreeMap<String, Holder>,
    unread: &mut Vec<Unread>,
) {
    let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut waiting: Vec<(String, BTreeSet<String>)> = groups.into_iter().collect();
    let mut below: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some((group, roles)) = waiting.pop() {
        let known = held.entry(group.clone()).or_default();
        let before = known.len();
        known.extend(roles.iter().cloned());
        if known.len() == before {
            continue; // Nothing new to hand down; a group is reached again from above.
        }
        if !below.contains_key(&group) {
            let pages = session.list(&GROUP_CHILDREN, &["groups", &group, "children"], FULL).await;
            unread.extend(pages.stopped);
            let mut children = Vec::new();
            for (child, mark) in &pages.items {
                match View::object(child, *mark).and_then(|child| Ok((child.text("id")?.to_owned(), child))) {
                    Ok((id, child)) => {
                        // The long form says how many are below; a group without any need not be asked.
                        if child.number("subGroupCount").is_ok_and(|below| below == 0) {
                            below.entry(id.clone()).or_default();
                        }
                        children.push(id);
                    }
                    Err(error) => unread.push(error),
                }
            }
            below.insert(group.clone(), children);
        }
        let children = below.get(&group).into_iter().flatten();
        waiting.extend(children.map(|child| (child.clone(), roles.clone())));
    }
    let asked = held.into_iter().map(|(group, roles)| async move {
        (session.list(&GROUP_MEMBERS, &["groups", &group, "members"], BRIEF).await, roles)
    });
    let answers: Vec<_> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (pages, roles) in answers {
        unread.extend(pages.stopped);
        unread.extend(pages.items.iter().filter_map(|(user, mark)| hold(holders, user, *mark, &roles).err()));
    }
}

/// Asks for an administrator's kinds of credential, and tells what is known. With a hole in what was read of roles and
/// groups it is known that somebody holds some, and not which are all.
async fn administrator(session: &Session<'_>, people: &People, holder: Holder, hole: Option<&Unread>) -> Found {
    let mut found = Found::new(ADMIN_KIND, holder.id.as_str(), holder.name.as_str());
    for mark in &holder.marks {
        found.from(*mark);
    }
    let listed = people.by_id.get(holder.id.as_str());
    found.set("enabled", holder.enabled);
    let roles: Vec<String> = holder.roles.into_iter().collect();
    found.set("roles", hole.map_or(Ok(roles), |unread| Err(unread.clone())));
    // Only the name tells a service account from a person, and that the list of people leaves it out.
    let looks_like_one = holder.name.starts_with(SERVICE_ACCOUNT) && listed.is_none();
    found.set(
        "service_account",
        match &people.stopped {
            Some(unread) if looks_like_one => Err(unread.clone()),
            _ => Ok(looks_like_one),
        },
    );
    let credentials = credentials(session, &holder.id, listed.map_or(Ok(false), |person| person.totp.clone())).await;
    if let Ok(credentials) = &credentials {
        found.from(credentials.mark);
    }
    found.set("credential_types", credentials.as_ref().map(|c| c.types.clone()).map_err(Unread::clone));
    found.set("credential_dates", credentials.map(|c| c.dates));
    found
}

struct Credentials {
    types: Vec<String>,
    /// When each was made, in the same order; null where Keycloak does not say.
    dates: Vec<Value>,
    mark: Mark,
}

/// `totp` is what the list of people says; a list of credentials without one would contradict it. A service account is not
/// in that list.
async fn credentials(session: &Session<'_>, id: &str, totp: Result<bool, Box<Unread>>) -> Result<Credentials, Unread> {
    let totp = totp.map_err(|unread| *unread)?;
    let answer = session.get(&CREDENTIALS, &["users", id, "credentials"], &[]).await?;
    session.allowed("users", answer.mark).await?;
    let value = answer.json()?;
    let rows = View::list(&value, answer.mark)?;
    let types = rows.iter().map(|row| row.text("type").map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let date = |row: &View<'_>| {
        let millis = row.number("createdDate").ok();
        millis.map_or(Value::Null, |millis| Value::from(Timestamp::from_millis(millis).to_string()))
    };
    if totp && !types.iter().any(|t| t == "otp") {
        return Err(answer.mark.malformed("no one-time code in the list, though the account has one set up"));
    }
    Ok(Credentials { types, dates: rows.iter().map(date).collect(), mark: answer.mark })
}

/// The person in the path of an event: `users/{id}` and whatever is below it.
fn touched(path: &str) -> Vec<(&'static str, String)> {
    let id = path.strip_prefix("users/").and_then(|rest| rest.split('/').next());
    id.map(|id| vec![(USER_KIND, id.to_owned()), (ADMIN_KIND, id.to_owned())]).unwrap_or_default()
}
