//! Which call a request is, what it needs, and its answer: the part of Keycloak 26.4 that a reader uses.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, RETRY_AFTER};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::answer::{self, GroupForm};
use crate::fault::Fault;
use crate::organisation::{MANAGEMENT, Organisation, READER, REALM};
use crate::person::{Listing, Person, UNITS};
use crate::reply::{Reply, json_list};
use crate::server::Asked;
use crate::{World, token};

/// An answer before it becomes bytes.
enum Said {
    /// One value.
    One(StatusCode, Value),
    /// A list, made item by item while it is sent.
    Many(Box<dyn Iterator<Item = Value> + Send>),
}

const JSON: &str = "application/json;charset=UTF-8";
const ADMIN: &str = "/admin/realms/{realm}";

/// What an admin event can be about; the server answers 500 to any other word.
const RESOURCE_TYPES: [&str; 31] = [
    "AUTHENTICATOR_CONFIG",
    "AUTH_EXECUTION",
    "AUTH_EXECUTION_FLOW",
    "AUTH_FLOW",
    "CLIENT",
    "CLIENT_INITIAL_ACCESS_MODEL",
    "CLIENT_ROLE",
    "CLIENT_ROLE_MAPPING",
    "CLIENT_SCOPE",
    "CLIENT_SCOPE_CLIENT_MAPPING",
    "CLIENT_SCOPE_MAPPING",
    "CLUSTER_NODE",
    "COMPONENT",
    "GROUP",
    "GROUP_MEMBERSHIP",
    "IDENTITY_PROVIDER",
    "IDENTITY_PROVIDER_MAPPER",
    "ORGANIZATION",
    "ORGANIZATION_MEMBERSHIP",
    "PROTOCOL_MAPPER",
    "REALM",
    "REALM_ROLE",
    "REALM_ROLE_MAPPING",
    "REALM_SCOPE_MAPPING",
    "REQUIRED_ACTION",
    "USER",
    "USER_FEDERATION_MAPPER",
    "USER_FEDERATION_PROVIDER",
    "USER_LOGIN_FAILURE",
    "USER_PROFILE",
    "USER_SESSION",
];

/// The declared call that a request makes, with its placeholders.
pub(crate) fn call(asked: &Asked) -> String {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let named = match path.as_slice() {
        ["realms", _, "protocol", "openid-connect", "token"] => {
            "/realms/{realm}/protocol/openid-connect/token".to_owned()
        }
        ["admin", "realms", _, rest @ ..] => {
            let shown = match rest {
                ["users", "count"] => vec!["users", "count"],
                ["groups", "count"] => vec!["groups", "count"],
                ["events", "config"] => vec!["events", "config"],
                ["authentication", "flows", _, "executions"] => {
                    vec!["authentication", "flows", "{alias}", "executions"]
                }
                ["users", _, "role-mappings", "clients", _, rest @ ..] => {
                    [&["users", "{id}", "role-mappings", "clients", "{client}"], rest].concat()
                }
                ["clients", _, "roles", _, rest @ ..] => [&["clients", "{id}", "roles", "{role}"], rest].concat(),
                ["roles", _, rest @ ..] => [&["roles", "{role}"], rest].concat(),
                [kind @ ("users" | "groups" | "clients"), _, rest @ ..] => [&[*kind, "{id}"], rest].concat(),
                other => other.to_vec(),
            };
            [vec![ADMIN], shown].concat().join("/")
        }
        other => format!("/{}", other.join("/")),
    };
    format!("{} {named}", asked.parts.method)
}

/// The number of the page that a request asks for, where it asks for one.
pub(crate) fn page_number(asked: &Asked) -> Option<u64> {
    let query = Query::parse(asked.query);
    let max: u64 = query.get("max")?.parse().ok().filter(|max| *max > 0)?;
    Some(query.get("first").unwrap_or("0").parse::<u64>().ok()? / max)
}

pub(crate) fn reply(world: &World, asked: &Asked) -> Reply {
    answer(&world.organisation(), asked).unwrap_or_else(|refusal| refusal).reply()
}

/// What a bad day answers instead.
pub(crate) fn struck(world: &World, asked: &Asked, fault: &Fault) -> Reply {
    match fault {
        Fault::Denied => denied().reply(),
        Fault::Unauthenticated => unauthenticated().reply(),
        Fault::Throttled { retry_after } | Fault::EveryNthThrottled { retry_after, .. } => {
            Reply::whole(StatusCode::TOO_MANY_REQUESTS, "text/plain", "too many requests")
                .with(RETRY_AFTER, retry_after.to_string())
        }
        Fault::Status(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let why = "For more on this error consult the server log.";
            Said::One(status, json!({ "error": "unknown_error", "error_description": why })).reply()
        }
        Fault::DroppedPage(_) => Said::Many(Box::new(std::iter::empty())).reply(),
        Fault::Body(body) => Reply::whole(StatusCode::OK, JSON, body.clone()),
        _ => reply(world, asked),
    }
}

impl Said {
    fn reply(self) -> Reply {
        match self {
            Said::Many(items) => Reply::made(StatusCode::OK, JSON, json_list(items)),
            Said::One(status, value) => {
                let refused =
                    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
                Reply::whole(status, if refused { "application/json" } else { JSON }, value.to_string())
            }
        }
    }
}

type Answer = Result<Said, Said>;

fn answer(organisation: &Arc<Organisation>, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["realms", realm, "protocol", "openid-connect", "token"] if asked.parts.method == Method::POST => {
            if *realm != REALM {
                return Err(error(404, "Realm does not exist"));
            }
            sign_in(organisation, asked)
        }
        ["admin", "realms", realm, rest @ ..] => {
            let token = asked
                .header(AUTHORIZATION)
                .and_then(|value| value.strip_prefix("Bearer "))
                .ok_or_else(unauthenticated)?;
            let roles = token::roles(organisation, token, asked.now).ok_or_else(unauthenticated)?;
            if *realm != REALM {
                return Err(error(404, "Realm not found."));
            }
            let caller = Caller { organisation, roles, query: Query::parse(asked.query) };
            if asked.parts.method != Method::GET {
                // Whoever only reads is refused every change.
                return Err(denied());
            }
            caller.admin(rest)
        }
        _ => Err(not_found()),
    }
}

fn sign_in(organisation: &Organisation, asked: &Asked) -> Answer {
    let form: Vec<(String, String)> = form_urlencoded::parse(asked.form).into_owned().collect();
    let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let refuse =
        |status, error: &str, why: &str| Err(Said::One(status, json!({ "error": error, "error_description": why })));
    let (bad_request, unauthorized) = (StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED);
    let wrong = "Invalid client or Invalid client credentials";
    match field("grant_type") {
        None => return refuse(bad_request, "invalid_request", "Missing form parameter: grant_type"),
        Some("client_credentials") => {}
        Some("password") => {
            return refuse(bad_request, "unauthorized_client", "Client not allowed for direct access grants");
        }
        Some(_) => return refuse(bad_request, "unsupported_grant_type", "Unsupported grant_type"),
    }
    if field("client_id") != Some(READER) {
        return refuse(unauthorized, "invalid_client", wrong);
    }
    if field("client_secret") != Some(organisation.reader.secret.as_str()) {
        return refuse(unauthorized, "unauthorized_client", wrong);
    }
    Ok(Said::One(StatusCode::OK, token::issue(organisation, asked.now, asked.header(HOST).unwrap_or("127.0.0.1"))))
}

struct Caller<'a> {
    organisation: &'a Arc<Organisation>,
    roles: BTreeSet<String>,
    query: Query,
}

impl Caller<'_> {
    fn admin(&self, path: &[&str]) -> Answer {
        let organisation = self.organisation;
        match path {
            [] => self.realm(),
            ["events", "config"] => {
                self.need("view-events")?;
                one(answer::events_config(organisation))
            }
            ["admin-events"] => self.admin_events(),
            ["authentication", "flows", alias, "executions"] => {
                self.need("view-realm")?;
                let steps = answer::executions(organisation, alias);
                if steps.is_empty() { Err(error(404, "Flow not found")) } else { many(steps) }
            }
            ["users", rest @ ..] => self.users(rest),
            ["groups", rest @ ..] => self.groups(rest),
            ["roles", rest @ ..] => self.realm_roles(rest),
            ["clients", rest @ ..] => self.clients(rest),
            _ => Err(not_found()),
        }
    }

    fn realm(&self) -> Answer {
        if self.may("view-realm") {
            return one(answer::realm(self.organisation));
        }
        if self.roles.is_empty() {
            return Err(denied());
        }
        one(answer::realm_stub(self.organisation, self.may("view-users")))
    }

    fn admin_events(&self) -> Answer {
        self.need("view-events")?;
        self.query.only(&["first", "max", "resourceTypes", "operationTypes", "dateFrom", "dateTo", "direction"])?;
        if self.query.all("resourceTypes").iter().any(|kind| !RESOURCE_TYPES.contains(kind)) {
            let why = "For more on this error consult the server log.";
            let body = json!({ "error": "unknown_error", "error_description": why });
            return Err(Said::One(StatusCode::INTERNAL_SERVER_ERROR, body));
        }
        let moment = |name: &str| match self.query.get(name) {
            None => Ok(None),
            Some(text) => epoch(text).map(Some).ok_or_else(|| {
                let expected = "expected format is yyyy-MM-dd or an Epoch timestamp";
                error(400, &format!("Invalid value for '{name}', {expected}"))
            }),
        };
        let (from, to) = (moment("dateFrom")?.unwrap_or(i64::MIN), moment("dateTo")?.unwrap_or(i64::MAX));
        let wanted = |name: &str, value: &Value| {
            let allowed = self.query.all(name);
            allowed.is_empty() || value.as_str().is_some_and(|value| allowed.contains(&value))
        };
        let mut found: Vec<Value> = self.organisation.events.clone();
        found.retain(|event| {
            event["time"].as_i64().is_some_and(|time| time >= from && time <= to)
                && wanted("resourceTypes", &event["resourceType"])
                && wanted("operationTypes", &event["operationType"])
        });
        if self.query.get("direction") != Some("asc") {
            found.reverse();
        }
        let (first, max) = self.query.page(Some(100))?;
        many(slice(found, first, max))
    }

    fn users(&self, path: &[&str]) -> Answer {
        let organisation = self.organisation;
        let people = || Listing::of(organisation, Some((0, 1)), |p| !p.machine);
        match path {
            [] => {
                self.need_any(&["view-users", "query-users"])?;
                self.query.only(&["first", "max", "briefRepresentation", "username", "exact"])?;
                let (first, max) = self.query.page(Some(100))?;
                if !self.may("view-users") {
                    return many(Vec::new());
                }
                if let Some(username) = self.query.get("username") {
                    if self.query.get("exact") != Some("true") {
                        return Err(unknown("username without exact=true"));
                    }
                    // Asked for by name, the accounts of clients are found as well.
                    let found = organisation.by_name(username).into_iter().collect();
                    return many(slice(found, first, max).iter().map(answer::listed_user).collect());
                }
                self.people(people(), Some(100), answer::listed_user)
            }
            ["count"] => {
                self.need_any(&["view-users", "query-users"])?;
                self.query.only(&[])?;
                one(json!(people().len(organisation)))
            }
            [id, rest @ ..] => {
                self.need_any(&["view-users", "query-users"])?;
                let person = organisation.by_id(id).ok_or_else(|| error(404, "User not found"))?;
                self.need("view-users")?;
                self.user(&person, rest)
            }
        }
    }

    fn user(&self, person: &Person, path: &[&str]) -> Answer {
        let organisation = self.organisation;
        match path {
            [] => one(answer::one_user(person)),
            ["credentials"] => many(answer::credentials(organisation, person)),
            ["groups"] => {
                self.query.only(&["first", "max", "briefRepresentation"])?;
                let form = GroupForm { in_tree: false, full: !self.query.brief(true) };
                let mut groups = organisation.groups.clone();
                groups.retain(|g| person.groups.contains(&g.path));
                let (first, max) = self.query.page(None)?;
                many(slice(groups, first, max).iter().map(|g| answer::group(organisation, g, form)).collect())
            }
            ["role-mappings"] => one(self.role_mappings(person)),
            ["role-mappings", "clients", client, rest @ ..] => {
                let client = self.client_name(client).ok_or_else(|| error(404, "Client not found"))?;
                let mut names = match rest {
                    [] => person.management_roles.iter().cloned().collect(),
                    ["composite"] => organisation.management_roles_of(person),
                    _ => return Err(not_found()),
                };
                if client != MANAGEMENT {
                    names.clear();
                }
                let brief = self.query.brief(true);
                many(names.iter().map(|name| answer::client_role(organisation, MANAGEMENT, name, brief)).collect())
            }
            _ => Err(not_found()),
        }
    }

    fn role_mappings(&self, person: &Person) -> Value {
        let organisation = self.organisation;
        let held = |name: &str| name == organisation.default_role() || person.realm_roles.iter().any(|r| r == name);
        let realm = organisation.roles.iter().filter(|r| held(&r.name)).map(|r| answer::role(organisation, r, true));
        let mut mappings = json!({ "realmMappings": realm.collect::<Vec<_>>() });
        if !person.management_roles.is_empty() {
            let roles = person.management_roles.iter();
            let roles = roles.map(|name| answer::client_role(organisation, MANAGEMENT, name, true));
            mappings["clientMappings"] = json!({ MANAGEMENT: {
                "id": organisation.client_id(MANAGEMENT), "client": MANAGEMENT, "mappings": roles.collect::<Vec<_>>(),
            } });
        }
        mappings
    }

    fn groups(&self, path: &[&str]) -> Answer {
        let organisation = self.organisation;
        let in_tree = GroupForm { in_tree: true, full: !self.query.brief(true) };
        match path {
            [] => {
                self.need_any(&["view-users", "query-groups"])?;
                self.query.only(&["first", "max", "briefRepresentation"])?;
                let (first, max) = self.query.page(None)?;
                if !self.may("view-users") {
                    return many(Vec::new());
                }
                let mut top = organisation.groups.clone();
                top.retain(|g| g.parent().is_none());
                many(slice(top, first, max).iter().map(|g| answer::group(organisation, g, in_tree)).collect())
            }
            ["count"] => {
                self.need_any(&["view-users", "query-groups"])?;
                self.query.only(&["top"])?;
                let top = self.query.get("top") == Some("true");
                let count = organisation.groups.iter().filter(|g| !top || g.parent().is_none()).count();
                one(json!({ "count": count }))
            }
            [id, rest @ ..] => {
                self.need_any(&["view-users", "query-groups"])?;
                let found = organisation.groups.iter().find(|g| organisation.group_id(&g.path) == *id);
                let group = found.ok_or_else(|| error(404, "Could not find group by id"))?;
                self.need("view-users")?;
                self.query.only(&["first", "max", "briefRepresentation"])?;
                match rest {
                    [] => one(answer::group(organisation, group, GroupForm { in_tree: true, full: true })),
                    ["children"] => {
                        let mut children = organisation.groups.clone();
                        children.retain(|g| g.parent() == Some(&group.path));
                        let (first, max) = self.query.page(Some(10))?;
                        let children = slice(children, first, max);
                        // Here alone the long form is what comes unasked.
                        let form = GroupForm { in_tree: true, full: !self.query.brief(false) };
                        many(children.iter().map(|g| answer::group(organisation, g, form)).collect())
                    }
                    ["members"] => {
                        let unit = group.path.strip_prefix("/staff/unit-").and_then(|u| u.parse::<u64>().ok());
                        let crowd = unit.map(|u| (u - 1, UNITS));
                        let members = Listing::of(organisation, crowd, |p| p.groups.contains(&group.path));
                        self.members(members)
                    }
                    _ => Err(not_found()),
                }
            }
        }
    }

    fn realm_roles(&self, path: &[&str]) -> Answer {
        let organisation = self.organisation;
        if path.is_empty() {
            self.need_any(&["view-realm", "query-users", "query-clients", "query-groups", "query-realms"])?;
            self.query.only(&["first", "max", "briefRepresentation"])?;
            // The server pages this list only when both are given.
            let paged = self.query.get("first").is_some() && self.query.get("max").is_some();
            let (first, max) = if paged { self.query.page(None)? } else { (0, None) };
            let brief = self.query.brief(true);
            let roles = slice(organisation.roles.clone(), first, max);
            return many(roles.iter().map(|r| answer::role(organisation, r, brief)).collect());
        }
        self.need("view-realm")?;
        let [name, rest @ ..] = path else { return Err(not_found()) };
        let found = organisation.roles.iter().find(|r| r.name == *name);
        let role = found.ok_or_else(|| error(404, "Could not find role"))?;
        match rest {
            [] => one(answer::role(organisation, role, false)),
            ["composites"] => many(answer::composites(organisation, role)),
            ["users"] => {
                let everybody = role.name == organisation.default_role();
                let crowd = (everybody || role.name == "employee").then_some((0, 1));
                self.members(Listing::of(organisation, crowd, |p| everybody || p.realm_roles.contains(&role.name)))
            }
            ["groups"] => self.holders(|group| group.realm_roles.contains(&role.name)),
            _ => Err(not_found()),
        }
    }

    fn clients(&self, path: &[&str]) -> Answer {
        let organisation = self.organisation;
        let [id, rest @ ..] = path else {
            self.need_any(&["view-clients", "query-clients"])?;
            self.query.only(&["first", "max", "clientId"])?;
            let (first, max) = self.query.page(None)?;
            if !self.may("view-clients") {
                return many(Vec::new());
            }
            let asked = self.query.get("clientId");
            let clients = answer::clients(organisation).filter(|c| asked.is_none_or(|id| c["clientId"] == id));
            return many(slice(clients.collect(), first, max));
        };
        self.need_any(&["view-clients", "query-clients"])?;
        let client = self.client_name(id).ok_or_else(|| error(404, "Could not find client"))?;
        match rest {
            [] => {
                self.need("view-clients")?;
                let mut all = answer::clients(organisation);
                all.find(|c| c["clientId"] == client.as_str()).map_or_else(|| Err(not_found()), one)
            }
            ["roles"] => {
                let brief = self.query.brief(true);
                let names = answer::role_names(&client).iter();
                many(names.map(|name| answer::client_role(organisation, &client, name, brief)).collect())
            }
            ["roles", role, rest @ ..] => {
                self.need("view-clients")?;
                if !answer::role_names(&client).contains(role) {
                    return Err(error(404, "Could not find role"));
                }
                self.client_role(&client, role, rest)
            }
            _ => Err(not_found()),
        }
    }

    fn client_role(&self, client: &str, role: &str, path: &[&str]) -> Answer {
        let organisation = self.organisation;
        let ours = client == MANAGEMENT;
        match path {
            [] => one(answer::client_role(organisation, client, role, false)),
            ["composites"] => {
                let names = answer::inside_of(client, role).into_iter();
                many(names.map(|name| answer::client_role(organisation, client, name, true)).collect())
            }
            ["users"] => {
                let held = |p: &Person| ours && p.management_roles.iter().any(|r| r == role);
                self.members(Listing::of(organisation, None, held))
            }
            ["groups"] => self.holders(|group| ours && group.management_roles.iter().any(|r| r == role)),
            _ => Err(not_found()),
        }
    }

    /// The members of a role or group: pages of a hundred unless told otherwise.
    fn members(&self, listing: Listing) -> Answer {
        self.query.only(&["first", "max", "briefRepresentation"])?;
        let brief = self.query.brief(false);
        self.people(listing, Some(100), if brief { answer::brief_user } else { answer::full_user })
    }

    /// The groups that hold a role: also a hundred at a time.
    fn holders(&self, holds: impl Fn(&crate::organisation::Group) -> bool) -> Answer {
        self.query.only(&["first", "max", "briefRepresentation"])?;
        let form = GroupForm { in_tree: false, full: !self.query.brief(true) };
        let mut groups = self.organisation.groups.clone();
        groups.retain(holds);
        let (first, max) = self.query.page(Some(100))?;
        many(slice(groups, first, max).iter().map(|g| answer::group(self.organisation, g, form)).collect())
    }

    /// One page of a list of people, each made when its turn to be sent comes.
    fn people(&self, listing: Listing, silent: Option<u64>, show: fn(&Person) -> Value) -> Answer {
        let (first, max) = self.query.page(silent)?;
        let all = listing.len(self.organisation);
        let end = max.map_or(all, |max| first.saturating_add(max).min(all));
        let organisation = Arc::clone(self.organisation);
        Ok(Said::Many(Box::new(
            (first..end).filter_map(move |at| listing.get(&organisation, at)).map(move |person| show(&person)),
        )))
    }

    fn client_name(&self, id: &str) -> Option<String> {
        let own = self.organisation.clients.iter().map(|c| c.client_id.as_str());
        let mut names = own.chain(crate::organisation::BUILT_IN);
        names.find(|name| self.organisation.client_id(name) == id).map(str::to_owned)
    }

    fn may(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    fn need(&self, role: &str) -> Result<(), Said> {
        self.need_any(&[role])
    }

    fn need_any(&self, roles: &[&str]) -> Result<(), Said> {
        if roles.iter().any(|role| self.may(role)) { Ok(()) } else { Err(denied()) }
    }
}

struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    fn brief(&self, unless_told: bool) -> bool {
        self.get("briefRepresentation").map_or(unless_told, |value| value == "true")
    }

    /// First place and greatest number; `silent` is what the server takes when nothing is said. Negative: no limit.
    fn page(&self, silent: Option<u64>) -> Result<(u64, Option<u64>), Said> {
        let number = |name: &str| self.get(name).map(|text| text.parse::<i64>().map_err(|_| not_found())).transpose();
        let first = number("first")?.map_or(0, |first| u64::try_from(first).unwrap_or(0));
        Ok((first, number("max")?.map_or(silent, |max| u64::try_from(max).ok())))
    }

    /// The real server knows more parameters; to leave one out of account in silence would be a lie.
    fn only(&self, known: &[&str]) -> Result<(), Said> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(unknown(name)),
            None => Ok(()),
        }
    }
}

/// A moment as the server takes it: milliseconds since 1970, or a date in UTC.
fn epoch(text: &str) -> Option<i64> {
    let date = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    text.parse().ok().or_else(|| Some(date()?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()))
}

fn slice<T>(mut all: Vec<T>, first: u64, max: Option<u64>) -> Vec<T> {
    let first = usize::try_from(first).unwrap_or(usize::MAX).min(all.len());
    let mut page = all.split_off(first);
    if let Some(max) = max {
        page.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    }
    page
}

fn one(value: Value) -> Answer {
    Ok(Said::One(StatusCode::OK, value))
}

fn many(values: Vec<Value>) -> Answer {
    Ok(Said::Many(Box::new(values.into_iter())))
}

fn error(status: u16, text: &str) -> Said {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Said::One(status, json!({ "error": text }))
}

fn denied() -> Said {
    error(403, "HTTP 403 Forbidden")
}

fn unauthenticated() -> Said {
    error(401, "HTTP 401 Unauthorized")
}

fn not_found() -> Said {
    error(404, "HTTP 404 Not Found")
}

fn unknown(parameter: &str) -> Said {
    error(501, &format!("the simulated organisation does not know the parameter {parameter:?}"))
}
