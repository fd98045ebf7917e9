//! Which call a request is, what it needs, and its answer: the part of GitHub's REST API that a reader uses.
//!
//! Paths are those of github.com, and the same below `/api/v3` and `/api/graphql`, where an Enterprise server has them.

mod access;
mod answer;
mod graph;
mod host;
mod outside;
mod truth;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, ETAG, HOST, IF_NONE_MATCH, LINK, RETRY_AFTER};
use http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

pub(crate) use access::{AppKey, Usage};
use access::{Caller, Standing};
pub use access::{GITHUB_APP, GITHUB_INSTALLATION, GITHUB_MEMBER_TOKEN, GITHUB_TOKEN};
use answer::Scribe;
pub use host::GITHUB_ORG;
pub(crate) use host::{Classic, Host};
use host::{Repository, Scanning};
pub(crate) use outside::approved;
pub(crate) use truth::truth;

use crate::fault::Fault;
use crate::reply::{Reply, json_list};
use crate::server::Asked;
use crate::{World, id};

const JSON: &str = "application/json; charset=utf-8";
/// The limit of requests at once or in a minute, which has no number in any header.
const SECONDARY: &str = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";

/// An answer before it becomes bytes.
enum Said {
    Nothing(StatusCode),
    One(StatusCode, Value),
    /// A page of a list that stands within an object, with the link to the next.
    Object(Value, Option<String>),
    /// A page of a list, made item by item, with the links to others.
    Page(Make, Option<String>),
}

/// Makes the items of a page; asked twice, once for the tag and once for the body.
type Make = Box<dyn Fn() -> Box<dyn Iterator<Item = Value> + Send> + Send>;
type Answer = Result<Said, Said>;

/// A request, read.
struct Request<'a> {
    asked: &'a Asked<'a>,
    /// Below the address of the API.
    path: Vec<&'a str>,
    /// The address that answers write their links for.
    base: String,
    query: Vec<(String, String)>,
}

/// The declared call that a request makes, with its placeholders.
pub(crate) fn call(asked: &Asked) -> String {
    let path = below(asked);
    let named: Vec<&str> = match path.as_slice() {
        ["orgs", _, rest @ ..] => [&["orgs", "{org}"], rest].concat(),
        // Links to further pages name the organisation by its number.
        ["organizations", _, rest @ ..] => [&["orgs", "{org}"], rest].concat(),
        ["repos", _, _, "rules", "branches", ..] => vec!["repos", "{owner}", "{repo}", "rules", "branches", "{branch}"],
        ["repos", _, _, "branches", .., "protection"] => {
            vec!["repos", "{owner}", "{repo}", "branches", "{branch}", "protection"]
        }
        ["repos", _, _, rest @ ..] => [&["repos", "{owner}", "{repo}"], rest].concat(),
        ["app", "installations", _, rest @ ..] => [&["app", "installations", "{installation_id}"], rest].concat(),
        ["user", "memberships", "orgs", _] => vec!["user", "memberships", "orgs", "{org}"],
        other => other.to_vec(),
    };
    format!("{} /{}", asked.parts.method, named.join("/"))
}

/// The number of the page that a request asks for, from 0.
pub(crate) fn page_number(asked: &Asked) -> Option<u64> {
    let mut query = form_urlencoded::parse(asked.query.as_bytes());
    let page = query.find(|(name, _)| name == "page").map_or(Some(1), |(_, value)| value.parse::<u64>().ok());
    page.filter(|_| asked.parts.method == Method::GET)?.checked_sub(1)
}

pub(crate) fn reply(world: &World, asked: &Asked) -> Reply {
    let request = Request::of(asked);
    let said = answer(world, &request).unwrap_or_else(|refusal| refusal);
    send(world, &request, said)
}

/// What a bad day answers instead.
pub(crate) fn struck(world: &World, asked: &Asked, fault: &Fault) -> Reply {
    let request = Request::of(asked);
    let said = match fault {
        Fault::Denied => error(StatusCode::FORBIDDEN, "Resource not accessible by integration"),
        Fault::Unauthenticated => error(StatusCode::UNAUTHORIZED, "Bad credentials"),
        Fault::Throttled { retry_after } => {
            let said = send(world, &request, error(StatusCode::FORBIDDEN, SECONDARY));
            return said.with(RETRY_AFTER, retry_after.to_string());
        }
        Fault::EveryNthThrottled { retry_after, .. } => {
            let said = send(world, &request, error(StatusCode::TOO_MANY_REQUESTS, SECONDARY));
            return said.with(RETRY_AFTER, retry_after.to_string());
        }
        Fault::Status(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            error(status, if status == StatusCode::NOT_FOUND { "Not Found" } else { "Server Error" })
        }
        Fault::DroppedPage(_) => Said::Page(Box::new(|| Box::new(std::iter::empty())), None),
        Fault::Body(body) => return Reply::whole(StatusCode::OK, JSON, body.clone()),
        _ => return reply(world, asked),
    };
    send(world, &request, said)
}

fn answer(world: &World, request: &Request) -> Answer {
    let organisation = world.organisation();
    let host = &organisation.code;
    let asked = request.asked;
    if let (&Method::POST, ["app", "installations", number, "access_tokens"]) =
        (&asked.parts.method, request.path.as_slice())
    {
        let token = request.token().ok_or_else(unauthenticated)?;
        if !world.0.app_key.get().is_some_and(|key| key.signed(token, asked.now)) {
            return Err(error(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded"));
        }
        if *number != GITHUB_INSTALLATION.to_string() {
            return Err(not_found());
        }
        return Ok(Said::One(StatusCode::CREATED, access::issue(host.seed, asked.now)));
    }
    let token = request.token().ok_or_else(unauthenticated)?;
    let caller = access::caller(host.seed, token, asked.now);
    let caller = caller.ok_or_else(|| error(StatusCode::UNAUTHORIZED, "Bad credentials"))?;
    let standing = crate::lock(&world.0.usage).standing(host, &caller, token, asked.now, false);
    if standing.used >= standing.limit {
        let why = format!("API rate limit exceeded for {}.", caller.login().unwrap_or("installation"));
        return Err(error(StatusCode::FORBIDDEN, &why));
    }
    if asked.parts.method == Method::POST && request.path == ["graphql"] {
        return Ok(Said::One(StatusCode::OK, graph::answer(host, asked.form)));
    }
    if asked.parts.method != Method::GET {
        // Whoever only reads is refused every change.
        return Err(error(StatusCode::FORBIDDEN, "Resource not accessible by integration"));
    }
    let reading = Reading { host, request, caller, scribe: scribe(host, &request.base, true) };
    match request.path.as_slice() {
        ["user", "memberships", "orgs", name] => reading.membership(name),
        ["orgs", name, rest @ ..] if *name == GITHUB_ORG => reading.organisation(rest),
        ["organizations", number, rest @ ..] if *number == reading.number() => reading.organisation(rest),
        ["repos", owner, name, rest @ ..] if *owner == GITHUB_ORG => {
            let repository = host.repository(name).ok_or_else(not_found)?;
            reading.repository(&repository, rest)
        }
        _ => Err(not_found()),
    }
}

fn scribe<'a>(host: &'a Host, base: &'a str, administers: bool) -> Scribe<'a> {
    Scribe { host, base, administers }
}

/// One request of somebody who may ask.
struct Reading<'a> {
    host: &'a Arc<Host>,
    request: &'a Request<'a>,
    caller: Caller,
    scribe: Scribe<'a>,
}

impl Reading<'_> {
    fn number(&self) -> String {
        self.host.number("organisation", GITHUB_ORG).to_string()
    }

    fn membership(&self, organisation: &str) -> Answer {
        let login = self
            .caller
            .login()
            .ok_or_else(|| error(StatusCode::FORBIDDEN, "Resource not accessible by integration"))?;
        if organisation != GITHUB_ORG {
            return Err(not_found());
        }
        one(self.scribe.membership(login, self.caller == Caller::Owner))
    }

    fn organisation(&self, path: &[&str]) -> Answer {
        let administers = self.caller.administers();
        match path {
            [] => one(scribe(self.host, &self.request.base, administers).organisation()),
            ["members"] => self.members(),
            ["outside_collaborators"] => {
                self.request.only(&["filter", "per_page", "page"])?;
                let logins = self.host.outside();
                self.page(logins.len() as u64, "outside_collaborators", move |scribe, at| {
                    logins.get(usize::try_from(at).ok()?).map(|login| scribe.user(login))
                })
            }
            ["repos"] => {
                self.request.only(&["type", "sort", "direction", "per_page", "page"])?;
                if self.request.get("type").is_some_and(|kind| kind != "all") {
                    return Err(unknown("a type of repositories other than all"));
                }
                // The real service sorts by creation on request, and that is the order here.
                self.page(self.host.repository_count(), "repos", |scribe, at| {
                    Some(scribe.repository(&scribe.host.repository_at(at)?, false))
                })
            }
            // Whoever does not administer the organisation is told that there is no such thing.
            _ if !administers => Err(not_found()),
            ["hooks"] => {
                self.request.only(&["per_page", "page"])?;
                self.page(self.host.hooks.len() as u64, "hooks", |scribe, at| {
                    scribe.host.hooks.get(usize::try_from(at).ok()?).map(|hook| scribe.hook(hook))
                })
            }
            ["installations"] => self.installations(),
            ["actions", "permissions"] => one(self.scribe.actions()),
            ["actions", "permissions", "workflow"] => one(self.scribe.workflow()),
            ["code-security", "configurations", "defaults"] => one(self.scribe.security_defaults().into()),
            ["audit-log"] => self.audit_log(),
            _ => Err(not_found()),
        }
    }

    /// A page of Apps, which stands within an object beside the count of all.
    fn installations(&self) -> Answer {
        self.request.only(&["per_page", "page"])?;
        let (size, apps) = (self.request.size()?, &self.host.apps);
        let page = self.request.get("page").map_or(Ok(1), str::parse::<usize>).map_err(|_| not_found())?.max(1);
        let shown = apps.iter().skip((page - 1).saturating_mul(size)).take(size);
        let shown: Vec<Value> = shown.map(|app| self.scribe.installation(app)).collect();
        let next = (page.saturating_mul(size) < apps.len()).then(|| {
            let (base, number) = (&self.request.base, self.number());
            let page = page + 1;
            format!("<{base}/organizations/{number}/installations?per_page={size}&page={page}>; rel=\"next\"")
        });
        Ok(Said::Object(json!({ "total_count": apps.len(), "installations": shown }), next))
    }

    fn members(&self) -> Answer {
        self.request.only(&["role", "filter", "per_page", "page"])?;
        let (role, filter) = (self.request.get("role").unwrap_or("all"), self.request.get("filter").unwrap_or("all"));
        if filter == "2fa_disabled" && self.caller != Caller::Owner {
            let message = "Only owners can use this filter.";
            let body = json!({ "message": message, "documentation_url": DOCUMENTATION, "errors": [] });
            return Err(Said::One(StatusCode::UNPROCESSABLE_ENTITY, body));
        }
        // Owners, and those without a second factor, have names of their own: the crowd is neither.
        let named = |keep: fn(&host::Member) -> bool| {
            let logins: Vec<String> =
                self.host.named.values().filter(|member| keep(member)).map(|member| member.login.clone()).collect();
            self.page(logins.len() as u64, "members", move |scribe, at| {
                logins.get(usize::try_from(at).ok()?).map(|login| scribe.user(login))
            })
        };
        match (role, filter) {
            ("all", "all") => self.page(self.host.member_count(), "members", |scribe, at| {
                Some(scribe.user(&scribe.host.member_at(at)?.login))
            }),
            ("admin", "all") => named(|member| member.owner),
            ("all", "2fa_disabled") => named(|member| !member.second_factor),
            _ => Err(unknown("this role with this filter")),
        }
    }

    /// Newest first, as it is by itself and when it is asked for; a page is named by a cursor.
    fn audit_log(&self) -> Answer {
        self.request.only(&["include", "order", "per_page", "after"])?;
        if self.request.get("order") == Some("asc") {
            return Err(unknown("the oldest events first"));
        }
        let size = self.request.size()?;
        let from = self.request.get("after").map_or(Ok(0), |after| after.parse()).map_err(|_| not_found())?;
        let events: Vec<Value> = self.host.events.iter().rev().skip(from).take(size).cloned().collect();
        let next = from + size;
        let link = (next < self.host.events.len()).then(|| {
            let base = &self.request.base;
            format!(
                "<{base}/organizations/{}/audit-log?per_page={size}&after={next}&before=>; rel=\"next\"",
                self.number()
            )
        });
        Ok(Said::Page(Box::new(move || Box::new(events.clone().into_iter())), link))
    }

    fn repository(&self, repository: &Repository, path: &[&str]) -> Answer {
        let administers = self.caller.administers();
        let branch_is = |rest: &[&str]| rest.join("/") == repository.default_branch;
        match path {
            [] => one(scribe(self.host, &self.request.base, administers).repository(repository, true)),
            ["rules", "branches", rest @ ..] => {
                self.request.only(&["per_page", "page"])?;
                let rules = if branch_is(rest) { repository.rules.clone() } else { Vec::new() };
                self.page(rules.len() as u64, "rules", move |scribe, at| {
                    rules.get(usize::try_from(at).ok()?).map(|rule| scribe.rule(rule))
                })
            }
            _ if !administers => Err(not_found()),
            ["branches", rest @ .., "protection"] => match &repository.classic {
                _ if !branch_is(rest) => Err(error(StatusCode::NOT_FOUND, "Branch not found")),
                Some(classic) => one(self.scribe.protection(repository, classic)),
                None => Err(error(StatusCode::NOT_FOUND, "Branch not protected")),
            },
            ["collaborators"] => {
                self.request.only(&["affiliation", "per_page", "page"])?;
                if self.request.get("affiliation") != Some("outside") {
                    return Err(unknown("collaborators who are members"));
                }
                let of = self.host.accesses.iter().filter(|access| access.repository == repository.name);
                let of: Vec<outside::Access> = of.cloned().collect();
                self.page(of.len() as u64, "collaborators", move |scribe, at| {
                    of.get(usize::try_from(at).ok()?).map(|access| scribe.collaborator(access))
                })
            }
            ["vulnerability-alerts"] if repository.alerts => Ok(Said::Nothing(StatusCode::NO_CONTENT)),
            ["vulnerability-alerts"] => Err(error(StatusCode::NOT_FOUND, "Vulnerability alerts are disabled.")),
            ["code-scanning", ..] if repository.scanning == Scanning::Unavailable => {
                let why = "Advanced Security must be enabled for this repository to use code scanning.";
                Err(error(StatusCode::FORBIDDEN, why))
            }
            ["code-scanning", "default-setup"] => {
                one(self.scribe.default_setup(repository.scanning == Scanning::DefaultSetup))
            }
            ["code-scanning", "analyses"] => {
                self.request.only(&["ref", "per_page", "page"])?;
                let of = self.request.get("ref").and_then(|name| name.strip_prefix("refs/heads/"));
                let last = match repository.scanning {
                    Scanning::Own(at) => at,
                    Scanning::DefaultSetup => self.host.founded,
                    _ => return Err(error(StatusCode::NOT_FOUND, "no analysis found")),
                };
                if of.is_some_and(|branch| branch != repository.default_branch) {
                    return Err(error(StatusCode::NOT_FOUND, "no analysis found"));
                }
                let shown = self.scribe.analysis(repository, last);
                Ok(Said::Page(Box::new(move || Box::new(std::iter::once(shown.clone()))), None))
            }
            _ => Err(not_found()),
        }
    }

    /// A page of a list of so many items, with links to the next and the last.
    fn page(
        &self,
        total: u64,
        list: &str,
        item: impl Fn(&Scribe, u64) -> Option<Value> + Send + Sync + 'static,
    ) -> Answer {
        let size = self.request.size()? as u64;
        let page = self.request.get("page").map_or(Ok(1), str::parse::<u64>).map_err(|_| not_found())?.max(1);
        let last = total.div_ceil(size).max(1);
        let address = match self.request.path.first() {
            Some(&"repos") => self.request.path.join("/"),
            _ => format!("organizations/{}/{list}", self.number()),
        };
        let kept = self.request.query.iter().filter(|(name, _)| name != "page");
        let link = |page: u64, rel: &str| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(kept.clone()).append_pair("page", &page.to_string());
            format!("<{}/{address}?{}>; rel=\"{rel}\"", self.request.base, query.finish())
        };
        let forward = [(page + 1, "next"), (last, "last")].into_iter().filter(|_| page < last);
        let back = [(page.saturating_sub(1), "prev"), (1, "first")].into_iter().filter(|_| page > 1);
        let links: Vec<String> = back.chain(forward).map(|(page, rel)| link(page, rel)).collect();
        let from = (page - 1).saturating_mul(size).min(total);
        let range = from..(from + size).min(total);
        let (host, base) = (Arc::clone(self.host), self.request.base.clone());
        let administers = self.caller.administers();
        let item = Arc::new(item);
        let make = move || -> Box<dyn Iterator<Item = Value> + Send> {
            let (host, base, item) = (Arc::clone(&host), base.clone(), Arc::clone(&item));
            Box::new(range.clone().filter_map(move |at| item(&scribe(&host, &base, administers), at)))
        };
        Ok(Said::Page(Box::new(make), (!links.is_empty()).then(|| links.join(", "))))
    }
}

impl<'a> Request<'a> {
    fn of(asked: &'a Asked) -> Request<'a> {
        let below_v3 = asked.path.first().is_some_and(|first| first == "api");
        let host = asked.header(HOST).unwrap_or("127.0.0.1");
        Request {
            asked,
            path: below(asked),
            base: format!("http://{host}{}", if below_v3 { "/api/v3" } else { "" }),
            query: form_urlencoded::parse(asked.query.as_bytes()).into_owned().collect(),
        }
    }

    fn token(&self) -> Option<&str> {
        let value = self.asked.header(AUTHORIZATION)?;
        value
            .split_once(' ')
            .filter(|(kind, _)| ["bearer", "token"].contains(&kind.to_lowercase().as_str()))
            .map(|p| p.1)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Items of a page: 30 when nothing is said, 100 at the most.
    fn size(&self) -> Result<usize, Said> {
        let size = self.get("per_page").map_or(Ok(30), str::parse::<usize>).map_err(|_| not_found())?;
        Ok(size.clamp(1, 100))
    }

    /// The real service knows more parameters; to leave one out of account in silence would be a lie.
    fn only(&self, known: &[&str]) -> Result<(), Said> {
        match self.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(unknown(&format!("the parameter {name:?}"))),
            None => Ok(()),
        }
    }
}

/// The path below the address of the API.
fn below<'a>(asked: &'a Asked) -> Vec<&'a str> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["api", "v3", rest @ ..] | ["api", rest @ ..] => rest.to_vec(),
        rest => rest.to_vec(),
    }
}

/// Turns an answer into bytes, with its tag, and with the headers of the limit; what the caller has already is not sent
/// again, and not counted.
fn send(world: &World, request: &Request, said: Said) -> Reply {
    let organisation = world.organisation();
    let host = &organisation.code;
    let tag = match &said {
        Said::One(StatusCode::OK, value) => Some(fingerprint(host, std::iter::once(value.clone()), None)),
        Said::Object(value, link) => Some(fingerprint(host, std::iter::once(value.clone()), link.as_deref())),
        Said::Page(make, link) => Some(fingerprint(host, make(), link.as_deref())),
        _ => None,
    };
    let tag = tag.filter(|_| request.asked.parts.method == Method::GET);
    let known = request.asked.header(IF_NONE_MATCH);
    let unchanged =
        tag.is_some() && known.is_some_and(|known| known.split(',').any(|k| Some(k.trim()) == tag.as_deref()));
    let link = if let Said::Page(_, link) | Said::Object(_, link) = &said { link.clone() } else { None };
    let mut reply = match said {
        _ if unchanged => Reply::whole(StatusCode::NOT_MODIFIED, JSON, Bytes::new()),
        Said::Nothing(status) => Reply::whole(status, JSON, Bytes::new()),
        Said::One(status, value) => Reply::whole(status, JSON, value.to_string()),
        Said::Object(value, _) => Reply::whole(StatusCode::OK, JSON, value.to_string()),
        Said::Page(make, _) => Reply::made(StatusCode::OK, JSON, json_list(make())),
    };
    for (name, value) in [(ETAG, tag), (LINK, link)] {
        if let Some(value) = value {
            reply = reply.with(name, value);
        }
    }
    let token = request.token().unwrap_or_default();
    if let Some(caller) = access::caller(host.seed, token, request.asked.now) {
        let mut usage = crate::lock(&world.0.usage);
        let standing = usage.standing(host, &caller, token, request.asked.now, !unchanged);
        reply = with_limits(reply, &standing, request.path == ["graphql"]);
        if caller != Caller::Installation {
            reply = reply.with(HeaderName::from_static("x-oauth-scopes"), "admin:org, repo");
        }
    }
    let number = id::hash(host.seed, &["request", request.asked.target, &request.asked.now.to_string()]);
    reply
        .with(HeaderName::from_static("x-github-request-id"), format!("{number:016X}"))
        .with(HeaderName::from_static("x-github-media-type"), "github.v3; format=json")
}

fn with_limits(reply: Reply, standing: &Standing, graph: bool) -> Reply {
    let name = |name: &'static str| HeaderName::from_static(name);
    let used = standing.used.min(standing.limit);
    reply
        .with(name("x-ratelimit-limit"), standing.limit.to_string())
        .with(name("x-ratelimit-remaining"), (standing.limit - used).to_string())
        .with(name("x-ratelimit-used"), used.to_string())
        .with(name("x-ratelimit-reset"), standing.reset.to_string())
        .with(name("x-ratelimit-resource"), if graph { "graphql" } else { "core" })
}

/// A weak tag of the answer, from its items one by one and its links.
fn fingerprint(host: &Host, items: impl Iterator<Item = Value>, link: Option<&str>) -> String {
    let sum = items.fold(0_u64, |sum, item| id::hash(sum, &[&item.to_string()]));
    format!("W/\"{:016x}{:016x}\"", id::hash(host.seed, &["tag", link.unwrap_or_default()]), sum)
}

const DOCUMENTATION: &str = "https://docs.github.com/rest";

fn error(status: StatusCode, message: &str) -> Said {
    let body = json!({ "message": message, "documentation_url": DOCUMENTATION, "status": status.as_str() });
    Said::One(status, body)
}

fn not_found() -> Said {
    error(StatusCode::NOT_FOUND, "Not Found")
}

fn unauthenticated() -> Said {
    error(StatusCode::UNAUTHORIZED, "Requires authentication")
}

fn unknown(what: &str) -> Said {
    error(StatusCode::NOT_IMPLEMENTED, &format!("the simulated organisation does not know {what}"))
}

fn one(value: Value) -> Answer {
    Ok(Said::One(StatusCode::OK, value))
}

/// `actor` takes away what protects the default branch of `payments`, or gives it back; the audit log keeps it.
pub(crate) fn protect(host: &mut Host, actor: &str, now: i64, protect: bool) {
    let (action, operation) =
        if protect { ("protected_branch.create", "create") } else { ("protected_branch.destroy", "remove") };
    keep(host, actor, now, action, operation);
    if let Some(payments) = payments(host) {
        payments.classic = protect.then(Classic::sound);
    }
}

/// `actor` lets the history of the default branch of `payments` be written anew, or no longer; the audit log keeps it.
pub(crate) fn allow_force_pushes(host: &mut Host, actor: &str, now: i64, allow: bool) {
    keep(host, actor, now, "protected_branch.update_allow_force_pushes_enforcement_level", "modify");
    if let Some(classic) = payments(host).and_then(|payments| payments.classic.as_mut()) {
        classic.force_pushes = allow;
    }
}

fn keep(host: &mut Host, actor: &str, now: i64, action: &str, operation: &str) {
    let event = answer::event(host, now, &format!("{actor}-acme"), action, operation, "payments");
    host.events.push(event);
}

fn payments(host: &mut Host) -> Option<&mut Repository> {
    host.repositories.iter_mut().find(|repository| repository.name == "payments")
}
