//! Which action a request is, and its answer: the part of AWS's IAM and STS query protocol that a reader uses, and
//! CloudTrail's list of events.

mod account;
mod answer;
mod signature;
mod trail;
mod truth;
mod xml;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, StatusCode};
use serde_json::json;
use url::form_urlencoded;

pub(crate) use account::Account;
use account::FULL;
pub use account::{AWS_ACCOUNT, AWS_EXTERNAL_ID, AWS_READER, AWS_SECOND_ACCOUNT};
use answer::{IAM, Page, Wanted};
pub use signature::{AWS_KEY_ID, AWS_SECRET_KEY};
use signature::{Caller, temporary};
pub(crate) use truth::truth;
use xml::Xml;

use crate::fault::Fault;
use crate::organisation::Organisation;
use crate::reply::{Pieces, Reply};
use crate::server::Asked;
use crate::{World, id};

const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const XML: &str = "text/xml";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// A credential report is made anew when it is so old, in milliseconds; the service does it every four hours.
const REPORT_LIFE: i64 = 4 * 3_600_000;

/// The credential reports, by account.
#[derive(Default)]
pub(crate) struct Reports(BTreeMap<&'static str, Report>);

struct Report {
    /// The account as it was when the report was made.
    of: Arc<Account>,
    made: i64,
    /// It was said to be made, and not yet said to be complete.
    under_way: bool,
}

impl Reports {
    /// The account as the report shows it, where there is one.
    pub(crate) fn of(&self, account: &str) -> Option<&Account> {
        self.0.get(account).map(|report| report.of.as_ref())
    }
}

/// `actor` attaches the built-in policy with full rights to the user `ivan`, or takes it away; CloudTrail keeps it.
pub(crate) fn attach_full_rights(account: &mut Account, actor: &str, now: i64, attach: bool) {
    if let Some(ivan) = account.named.get_mut("ivan") {
        ivan.rights.attached.retain(|policy| policy != FULL);
        ivan.rights.attached.extend(attach.then(|| FULL.to_owned()));
    }
    let name = if attach { "AttachUserPolicy" } else { "DetachUserPolicy" };
    let parameters = json!({ "userName": "ivan", "policyArn": format!("arn:aws:iam::aws:policy/{FULL}") });
    trail::write(account, actor, now, name, &parameters);
}

/// A request whose form was read.
struct Query<'a> {
    asked: &'a Asked<'a>,
    form: Vec<(String, String)>,
}

/// An error of the service: status, code, words.
struct Refusal(StatusCode, &'static str, String);

type Answer = Result<Pieces, Refusal>;

/// The declared call that a request makes: service and action, as permissions name them.
pub(crate) fn call(asked: &Asked) -> String {
    if let Some(action) = of_trail(asked) {
        return format!("cloudtrail:{action}");
    }
    let query = Query::of(asked);
    format!("{}:{}", query.service(), query.get("Action").unwrap_or("?"))
}

/// The number of the page that a request asks for, where it asks for a list.
pub(crate) fn page_number(asked: &Asked) -> Option<u64> {
    let query = Query::of(asked);
    let page = query.page().ok()?;
    Some(page.from / page.items)
}

pub(crate) fn reply(world: &World, asked: &Asked) -> Reply {
    let query = Query::of(asked);
    let request = request_id(world, asked);
    if let Some(action) = of_trail(asked) {
        let reply = match query.account(world) {
            Ok(account) if action == "LookupEvents" => trail::lookup(&account, asked.form),
            Ok(_) => trail::refused("UnknownOperationException", "The simulated organisation does not know it"),
            Err(Refusal(_, code, why)) => trail::refused(code, &why),
        };
        return reply.with(REQUEST_ID, request);
    }
    let (action, namespace) = (query.get("Action").unwrap_or("?"), query.namespace());
    let reply = match answer(world, &query) {
        Ok(pieces) => Reply::made(StatusCode::OK, XML, answer::result(action, namespace, &request, pieces)),
        Err(refusal) => refusal.reply(namespace, &request),
    };
    reply.with(REQUEST_ID, request)
}

/// What a bad day answers instead.
pub(crate) fn struck(world: &World, asked: &Asked, fault: &Fault) -> Reply {
    if of_trail(asked).is_some() {
        let struck = trail::struck(fault).map(|reply| reply.with(REQUEST_ID, request_id(world, asked)));
        return struck.unwrap_or_else(|| reply(world, asked));
    }
    let query = Query::of(asked);
    let request = request_id(world, asked);
    let refusal = match fault {
        Fault::Denied => {
            let organisation = world.organisation();
            let who = query.caller(organisation.seed).map_or_else(|_| "anonymous".to_owned(), |caller| caller.arn());
            let why = format!("User: {who} is not authorized to perform: {} on resource: *", call(asked));
            Refusal(StatusCode::FORBIDDEN, "AccessDenied", why)
        }
        Fault::Unauthenticated => {
            let why = "The security token included in the request is invalid.";
            Refusal(StatusCode::FORBIDDEN, "InvalidClientTokenId", why.to_owned())
        }
        // No time to wait is ever said here.
        Fault::Throttled { .. } | Fault::EveryNthThrottled { .. } => {
            Refusal(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded".to_owned())
        }
        Fault::Status(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Refusal(
                status,
                "ServiceFailure",
                "The request processing has failed because of an unknown error".to_owned(),
            )
        }
        Fault::DroppedPage(_) => {
            let nothing =
                Wanted { users: false, groups: false, roles: false, own_policies: false, built_in_policies: false };
            let account = query.account(world).unwrap_or_else(|_| Arc::clone(&world.organisation().account));
            let pieces = match query.get("Action") {
                Some("ListVirtualMFADevices") => {
                    answer::virtual_mfa_devices(&account, false, Page { from: 0, items: 1 })
                }
                _ => answer::authorization_details(&account, nothing, Page { from: 0, items: 1 }),
            };
            let action = query.get("Action").unwrap_or("?");
            let pieces = answer::result(action, query.namespace(), &request, pieces);
            return Reply::made(StatusCode::OK, XML, pieces).with(REQUEST_ID, request);
        }
        Fault::Body(body) => return Reply::whole(StatusCode::OK, XML, body.clone()),
        _ => return reply(world, asked),
    };
    let reply = refusal.reply(query.namespace(), &request);
    reply.with(REQUEST_ID, request)
}

fn answer(world: &World, query: &Query) -> Answer {
    let organisation = world.organisation();
    let caller = query.caller(organisation.seed)?;
    if query.service() == "sts" {
        return token_service(&organisation, query, &caller);
    }
    let account = query.account(world)?;
    match query.get("Action").unwrap_or_default() {
        "GetAccountSummary" => Ok(answer::account_summary(&account)),
        "GetAccountPasswordPolicy" => match &account.password_policy {
            Some(policy) => Ok(answer::password_policy(policy)),
            None => {
                let why = format!("The Password Policy with domain name {} cannot be found.", account.id);
                Err(Refusal(StatusCode::NOT_FOUND, "NoSuchEntity", why))
            }
        },
        "GenerateCredentialReport" => Ok(generate_report(world, &account, query.asked.now)),
        "GetCredentialReport" => get_report(world, &account, query.asked.now),
        "GetAccountAuthorizationDetails" => {
            let wanted = query.wanted()?;
            Ok(answer::authorization_details(&account, wanted, query.page()?))
        }
        "ListVirtualMFADevices" => {
            let assigned = query.get("AssignmentStatus") != Some("Unassigned");
            Ok(answer::virtual_mfa_devices(&account, assigned, query.page()?))
        }
        "ListSAMLProviders" => Ok(answer::saml_providers(&account)),
        "ListOpenIDConnectProviders" => Ok(answer::oidc_providers(&account)),
        "ListServerCertificates" => Ok(answer::server_certificates(&account, query.page()?)),
        action if writes(action) => {
            let why = format!("User: {} is not authorized to perform: iam:{action}", caller.arn());
            Err(Refusal(StatusCode::FORBIDDEN, "AccessDenied", why))
        }
        action => {
            let why = format!("The simulated organisation does not know the action {action:?}");
            Err(Refusal(StatusCode::BAD_REQUEST, "InvalidAction", why))
        }
    }
}

/// Whoever only reads is refused every change.
fn writes(action: &str) -> bool {
    let verbs = [
        "Add",
        "Attach",
        "Change",
        "Create",
        "Deactivate",
        "Delete",
        "Detach",
        "Enable",
        "Put",
        "Remove",
        "Set",
        "Tag",
        "Update",
        "Upload",
    ];
    verbs.iter().any(|verb| action.starts_with(verb))
}

fn token_service(organisation: &Organisation, query: &Query, caller: &Caller) -> Answer {
    let of = |account: &str| {
        let known = [&organisation.account, &organisation.second_account];
        known.into_iter().find(|known| known.id == account).cloned()
    };
    match query.get("Action").unwrap_or_default() {
        "GetCallerIdentity" => {
            let account = of(caller.account).unwrap_or_else(|| Arc::clone(&organisation.account));
            let user = match &caller.session {
                Some(session) => format!("{}:{session}", account.unique_id("AROA", AWS_READER)),
                None => account.unique_id("AIDA", AWS_READER),
            };
            let arn = caller.arn();
            Ok(answer::one(|xml| {
                xml.text("Arn", arn);
                xml.text("UserId", user);
                xml.text("Account", account.id);
            }))
        }
        "AssumeRole" => {
            let role = query.get("RoleArn").unwrap_or_default();
            let refused = || {
                let why =
                    format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {role}", caller.arn());
                Refusal(StatusCode::FORBIDDEN, "AccessDenied", why)
            };
            let named = role.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role/"));
            let (account, name) = named.ok_or_else(refused)?;
            let account = of(account).ok_or_else(refused)?;
            if name != AWS_READER || account.role(name).is_none() || query.get("ExternalId") != Some(AWS_EXTERNAL_ID) {
                return Err(refused());
            }
            let session = query.get("RoleSessionName").filter(|name| !name.is_empty() && !name.contains('/'));
            let session = session.ok_or_else(|| invalid("RoleSessionName"))?;
            let lifetime: i64 =
                query.get("DurationSeconds").map_or(Ok(3600), str::parse).map_err(|_| invalid("DurationSeconds"))?;
            if !(900..=43_200).contains(&lifetime) {
                return Err(invalid("DurationSeconds"));
            }
            let expires = query.asked.now.div_euclid(1000) + lifetime;
            let keys = temporary(organisation.seed, account.id, session, expires);
            let assumed = Caller { account: account.id, session: Some(session.to_owned()) };
            let id = format!("{}:{session}", account.unique_id("AROA", name));
            Ok(answer::one(|xml: &mut Xml| {
                xml.element("Credentials", |xml| {
                    xml.text("AccessKeyId", keys.key_id);
                    xml.text("SecretAccessKey", keys.secret);
                    xml.text("SessionToken", keys.token);
                    xml.moment("Expiration", expires * 1000);
                });
                xml.element("AssumedRoleUser", |xml| {
                    xml.text("AssumedRoleId", id);
                    xml.text("Arn", assumed.arn());
                });
            }))
        }
        action => {
            let why = format!("The simulated organisation does not know the action {action:?}");
            Err(Refusal(StatusCode::BAD_REQUEST, "InvalidAction", why))
        }
    }
}

/// The first call starts the report, the next finds it complete; from then on nothing changes for four hours.
fn generate_report(world: &World, account: &Arc<Account>, now: i64) -> Pieces {
    let mut reports = crate::lock(&world.0.reports);
    let fresh = reports.0.get_mut(account.id).filter(|report| now - report.made < REPORT_LIFE);
    let (state, description) = match fresh {
        Some(report) => {
            report.under_way = false;
            ("COMPLETE", None)
        }
        None => {
            reports.0.insert(account.id, Report { of: Arc::clone(account), made: now, under_way: true });
            ("STARTED", Some("No report exists. Starting a new report generation task"))
        }
    };
    answer::one(|xml| {
        xml.text("State", state);
        if let Some(description) = description {
            xml.text("Description", description);
        }
    })
}

fn get_report(world: &World, account: &Arc<Account>, now: i64) -> Answer {
    let reports = crate::lock(&world.0.reports);
    match reports.0.get(account.id) {
        None => Err(Refusal(StatusCode::GONE, "ReportNotPresent", "No report has been generated".to_owned())),
        Some(report) if report.under_way => {
            Err(Refusal(StatusCode::NOT_FOUND, "ReportInProgress", "Report generation is in progress".to_owned()))
        }
        Some(report) if now - report.made >= REPORT_LIFE => {
            Err(Refusal(StatusCode::GONE, "ReportExpired", "The most recent report has expired".to_owned()))
        }
        Some(report) => Ok(answer::credential_report(&report.of, report.made)),
    }
}

impl<'a> Query<'a> {
    fn of(asked: &'a Asked) -> Query<'a> {
        Query { asked, form: form_urlencoded::parse(asked.form).into_owned().collect() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Told by the version of the protocol, which every request names.
    fn service(&self) -> &'static str {
        if self.get("Version") == Some("2011-06-15") { "sts" } else { "iam" }
    }

    fn namespace(&self) -> &'static str {
        if self.service() == "sts" { STS } else { IAM }
    }

    fn caller(&self, seed: u64) -> Result<Caller, Refusal> {
        let Asked { parts, target, form, now, .. } = self.asked;
        signature::caller(seed, parts.method.as_str(), target, &parts.headers, form, *now)
            .map_err(|(code, why)| Refusal(StatusCode::FORBIDDEN, code, why.to_owned()))
    }

    /// The account of whoever calls.
    fn account(&self, world: &World) -> Result<Arc<Account>, Refusal> {
        let organisation = world.organisation();
        let caller = self.caller(organisation.seed)?;
        let second = caller.account == AWS_SECOND_ACCOUNT;
        Ok(Arc::clone(if second { &organisation.second_account } else { &organisation.account }))
    }

    fn page(&self) -> Result<Page, Refusal> {
        let items: u64 = self.get("MaxItems").map_or(Ok(100), str::parse).map_err(|_| invalid("MaxItems"))?;
        if !(1..=1000).contains(&items) {
            return Err(invalid("MaxItems"));
        }
        let from = self.get("Marker").map_or(Some(0), answer::place).ok_or_else(|| invalid("Marker"))?;
        Ok(Page { from, items })
    }

    fn wanted(&self) -> Result<Wanted, Refusal> {
        let kinds: Vec<&str> =
            self.form.iter().filter(|(name, _)| name.starts_with("Filter.member.")).map(|(_, v)| v.as_str()).collect();
        let known = ["User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"];
        if kinds.iter().any(|kind| !known.contains(kind)) {
            return Err(invalid("Filter"));
        }
        let [users, groups, roles, own_policies, built_in_policies] =
            known.map(|kind| kinds.is_empty() || kinds.contains(&kind));
        Ok(Wanted { users, groups, roles, own_policies, built_in_policies })
    }
}

impl Refusal {
    fn reply(&self, namespace: &str, request: &str) -> Reply {
        let Refusal(status, code, why) = self;
        let mut xml = Xml::new();
        xml.open_in("ErrorResponse", namespace);
        xml.element("Error", |xml| {
            xml.text("Type", if status.is_server_error() { "Receiver" } else { "Sender" });
            xml.text("Code", code);
            xml.text("Message", why);
        });
        xml.text("RequestId", request);
        xml.close("ErrorResponse");
        Reply::whole(*status, XML, xml.bytes())
    }
}

fn invalid(parameter: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, "ValidationError", format!("Value of {parameter} failed to satisfy constraint"))
}

/// CloudTrail's action, where the request is one of those.
fn of_trail<'a>(asked: &'a Asked) -> Option<&'a str> {
    asked.header("x-amz-target").and_then(trail::action)
}

/// An id for this exchange, the same in header and body.
fn request_id(world: &World, asked: &Asked) -> String {
    let organisation = world.organisation();
    let form = String::from_utf8_lossy(asked.form);
    id::uuid(organisation.seed, "request", &format!("{} {form}", asked.now))
}
