//! Changes that somebody makes to the organisation, with the event that the identity server keeps of its own.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::World;
use crate::answer;
use crate::aws;
use crate::github;
use crate::id;
use crate::organisation::{Organisation, SecondFactorStep};
use crate::person::{CROWD, Credential, Person};

/// An ordinary act of an administrator that breaks one rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drift {
    /// Guessing attacks are no longer slowed.
    BruteForceOff,
    /// The realm no longer insists on encrypted connections.
    TlsOff,
    /// Access tokens live two hours.
    LongTokens,
    /// Changes by administrators are no longer recorded.
    AdminEventsOff,
    /// The second-factor part of the sign-in flow in use is disabled.
    SecondFactorStepOff,
    /// The client `intranet` accepts any return address.
    WildcardReturnAddress,
    /// `wilma` is made, with a password alone, and put into the group `/operations`, which holds `manage-clients`.
    AdministratorWithoutFactor,
    /// The built-in policy with full rights is attached to the AWS user `ivan`: one administrator too many.
    AdminPolicyAttached,
    /// The default branch of the GitHub repository `payments` is no longer protected.
    BranchProtectionRemoved,
    /// The history of that branch may be written anew.
    ForcePushesAllowed,
}

impl Drift {
    /// Every drift there is.
    pub const ALL: [Drift; 10] = [
        Drift::BruteForceOff,
        Drift::TlsOff,
        Drift::LongTokens,
        Drift::AdminEventsOff,
        Drift::SecondFactorStepOff,
        Drift::WildcardReturnAddress,
        Drift::AdministratorWithoutFactor,
        Drift::AdminPolicyAttached,
        Drift::BranchProtectionRemoved,
        Drift::ForcePushesAllowed,
    ];

    /// The check that should see it, or the first of those that should.
    pub fn check(self) -> &'static str {
        match self {
            Drift::BruteForceOff => "keycloak.realm.brute_force",
            Drift::TlsOff => "keycloak.realm.tls_required",
            Drift::LongTokens => "keycloak.realm.session_limits",
            Drift::AdminEventsOff => "keycloak.realm.events_kept",
            Drift::SecondFactorStepOff => "keycloak.realm.second_factor_in_flow",
            Drift::WildcardReturnAddress => "keycloak.client.hardened",
            Drift::AdministratorWithoutFactor => "keycloak.admin.second_factor",
            Drift::AdminPolicyAttached => "aws.iam.admin_principals.limited",
            Drift::BranchProtectionRemoved => "github.branch.pr_required",
            Drift::ForcePushesAllowed => "github.branch.no_rewrite",
        }
    }
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is nobody of that name.
    #[error("nobody in the organisation is called {0:?}")]
    NoSuchPerson(String),
    /// There is somebody of that name already, or the name belongs to the crowd.
    #[error("the user name {0:?} cannot be given")]
    NameTaken(String),
}

impl World {
    /// `actor` makes the change: a user name of the realm, or `admin`, the server's own administrator of the realm
    /// `master`, whose id means nothing in this realm. Making it twice changes nothing, and is recorded twice.
    pub fn drift(&self, drift: Drift, actor: &str) -> Result<(), ChangeError> {
        self.act(actor, |organisation, scribe| apply(organisation, scribe, drift, false))
    }

    /// `actor` takes the change back.
    pub fn undo(&self, drift: Drift, actor: &str) -> Result<(), ChangeError> {
        self.act(actor, |organisation, scribe| apply(organisation, scribe, drift, true))
    }

    /// `actor` adds somebody with a password and no rights.
    pub fn add_person(&self, username: &str, actor: &str) -> Result<(), ChangeError> {
        self.act(actor, |organisation, scribe| join(organisation, scribe, username))
    }

    /// `actor` deletes somebody.
    pub fn remove_person(&self, username: &str, actor: &str) -> Result<(), ChangeError> {
        self.act(actor, |organisation, scribe| leave(organisation, scribe, username))
    }

    /// `actor` sets what somebody signs in with. The server keeps no event of a person's own enrolment.
    pub fn set_credentials(&self, username: &str, credentials: &[Credential]) -> Result<(), ChangeError> {
        self.act("admin", |organisation, _| {
            let person = organisation.named.get_mut(username);
            person.ok_or_else(|| no_such(username))?.credentials = credentials.to_vec();
            Ok(())
        })
    }

    fn act(
        &self,
        actor: &str,
        change: impl FnOnce(&mut Organisation, &mut Scribe) -> Result<(), ChangeError>,
    ) -> Result<(), ChangeError> {
        let now = self.now();
        let mut current = self.organisation_mut();
        let mut organisation = Organisation::clone(&current);
        let mut scribe = Scribe::of(&organisation, actor, now)?;
        change(&mut organisation, &mut scribe)?;
        *current = Arc::new(organisation);
        Ok(())
    }
}

/// The events that setting the organisation up left: the sign-in flow of its own, made by the server's administrator.
pub(crate) fn found(organisation: &mut Organisation, now: i64) -> Result<(), ChangeError> {
    let alias = organisation.settings.browser_flow.clone();
    if alias == "browser" {
        return Ok(());
    }
    let mut scribe = Scribe::of(organisation, "admin", now)?;
    let copied = json!({ "newName": alias, "id": id::uuid(organisation.seed, "flow", &alias) });
    let path = "authentication/flows/browser/copy".to_owned();
    scribe.write(organisation, "CREATE", "AUTH_FLOW", Some(path), Some(copied));
    let part = answer::executions(organisation, &alias).into_iter().find(answer::is_second_factor_part);
    let path = format!("authentication/flows/{alias}/executions");
    scribe.write(organisation, "UPDATE", "AUTH_EXECUTION", Some(path), part);
    scribe.write(organisation, "UPDATE", "REALM", None, Some(json!({ "browserFlow": alias })));
    Ok(())
}

/// Writes admin events in the name of one actor, at one moment.
struct Scribe {
    /// The user name of whoever acts.
    actor: String,
    auth: Value,
    now: i64,
}

impl Scribe {
    fn of(organisation: &Organisation, actor: &str, now: i64) -> Result<Scribe, ChangeError> {
        let seed = organisation.seed;
        let auth = if actor == "admin" {
            json!({
                "realmId": id::uuid(seed, "realm", "master"), "clientId": id::uuid(seed, "client", "master/admin-cli"),
                "userId": id::uuid(seed, "user", "master/admin"), "ipAddress": "127.0.0.1",
            })
        } else {
            let person = organisation.by_name(actor).ok_or_else(|| no_such(actor))?;
            json!({
                "realmId": organisation.realm_id(), "clientId": organisation.client_id("admin-cli"),
                "userId": person.id, "ipAddress": "127.0.0.1",
            })
        };
        Ok(Scribe { actor: actor.to_owned(), auth, now })
    }

    /// Keeps one event, unless events are off; what was set only when details are on.
    fn write(
        &mut self,
        organisation: &mut Organisation,
        operation: &str,
        kind: &str,
        path: Option<String>,
        representation: Option<Value>,
    ) {
        if !organisation.settings.admin_events {
            return;
        }
        let number = organisation.events.len().to_string();
        let mut event = json!({
            "id": id::uuid(organisation.seed, "admin event", &number), "time": self.now,
            "realmId": organisation.realm_id(), "authDetails": self.auth, "operationType": operation,
            "resourceType": kind,
        });
        if let Some(path) = path {
            event["resourcePath"] = json!(path);
        }
        if let Some(representation) = representation.filter(|_| organisation.settings.admin_events_details) {
            event["representation"] = json!(representation.to_string());
        }
        organisation.events.push(event);
    }
}

fn apply(organisation: &mut Organisation, scribe: &mut Scribe, drift: Drift, undo: bool) -> Result<(), ChangeError> {
    let realm = |organisation: &mut Organisation, scribe: &mut Scribe, set: Value| {
        scribe.write(organisation, "UPDATE", "REALM", None, Some(set));
    };
    match drift {
        Drift::BruteForceOff => {
            organisation.settings.brute_force = undo;
            realm(organisation, scribe, json!({ "bruteForceProtected": undo }));
        }
        Drift::TlsOff => {
            organisation.settings.ssl_required = if undo { "external" } else { "none" };
            let set = json!({ "sslRequired": organisation.settings.ssl_required });
            realm(organisation, scribe, set);
        }
        Drift::LongTokens => {
            organisation.settings.access_token = if undo { 300 } else { 7200 };
            let set = json!({ "accessTokenLifespan": organisation.settings.access_token });
            realm(organisation, scribe, set);
        }
        Drift::AdminEventsOff => {
            // The real server keeps the event of switching them off, and not that of switching them on again.
            realm(organisation, scribe, json!({ "adminEventsEnabled": undo }));
            organisation.settings.admin_events = undo;
        }
        Drift::SecondFactorStepOff => {
            let alias = organisation.settings.browser_flow.clone();
            let step = if undo { SecondFactorStep::Conditional } else { SecondFactorStep::Disabled };
            organisation.flows.insert(alias.clone(), step);
            let part = answer::executions(organisation, &alias).into_iter().find(answer::is_second_factor_part);
            let path = format!("authentication/flows/{alias}/executions");
            scribe.write(organisation, "UPDATE", "AUTH_EXECUTION", Some(path), part);
        }
        Drift::WildcardReturnAddress => {
            let uri = if undo { "https://intranet.acme.example/callback" } else { "https://*" };
            for client in organisation.clients.iter_mut().filter(|c| c.client_id == "intranet") {
                client.redirect_uris = vec![uri.to_owned()];
            }
            let path = format!("clients/{}", organisation.client_id("intranet"));
            let whole = answer::clients(organisation).find(|c| c["clientId"] == "intranet");
            scribe.write(organisation, "UPDATE", "CLIENT", Some(path), whole);
        }
        Drift::AdminPolicyAttached => {
            aws::attach_full_rights(Arc::make_mut(&mut organisation.account), &scribe.actor, scribe.now, !undo);
        }
        Drift::BranchProtectionRemoved => {
            github::protect(Arc::make_mut(&mut organisation.code), &scribe.actor, scribe.now, undo);
        }
        Drift::ForcePushesAllowed => {
            github::allow_force_pushes(Arc::make_mut(&mut organisation.code), &scribe.actor, scribe.now, !undo);
        }
        Drift::AdministratorWithoutFactor if undo => leave(organisation, scribe, "wilma")?,
        Drift::AdministratorWithoutFactor => {
            join(organisation, scribe, "wilma")?;
            let id = organisation.named.get_mut("wilma").map(|wilma| {
                wilma.groups.push("/operations".to_owned());
                wilma.id.clone()
            });
            let group = organisation.group_id("/operations");
            let path = format!("users/{}/groups/{group}", id.unwrap_or_default());
            let whole = answer::group_at(organisation, "/operations");
            scribe.write(organisation, "CREATE", "GROUP_MEMBERSHIP", Some(path), whole);
            if let Some(event) = organisation.events.last_mut().filter(|e| e["resourceType"] == "GROUP_MEMBERSHIP") {
                event["details"] = json!({ "email": "wilma@acme.example", "username": "wilma" });
            }
        }
    }
    Ok(())
}

fn join(organisation: &mut Organisation, scribe: &mut Scribe, username: &str) -> Result<(), ChangeError> {
    if organisation.by_name(username).is_some() || username.starts_with(CROWD) || username.is_empty() {
        return Err(ChangeError::NameTaken(username.to_owned()));
    }
    // Somebody who comes back under an old name is somebody else: the id tells them apart.
    let generation = format!("{username} at {} after {}", scribe.now, organisation.events.len());
    let id = id::uuid(organisation.seed, "user", &generation);
    let person = Person {
        id: id.clone(),
        created: Some(scribe.now),
        ..Person::new(organisation.seed, username, &[Credential::Password])
    };
    let set = answer::brief_user(&person);
    organisation.named.insert(username.to_owned(), person);
    scribe.write(organisation, "CREATE", "USER", Some(format!("users/{id}")), Some(set));
    Ok(())
}

fn leave(organisation: &mut Organisation, scribe: &mut Scribe, username: &str) -> Result<(), ChangeError> {
    let person = organisation.by_name(username).ok_or_else(|| no_such(username))?;
    if organisation.named.remove(username).is_none() {
        organisation.departed.extend(id::crowd_number(organisation.seed, &person.id));
    }
    scribe.write(organisation, "DELETE", "USER", Some(format!("users/{}", person.id)), None);
    Ok(())
}

fn no_such(username: &str) -> ChangeError {
    ChangeError::NoSuchPerson(username.to_owned())
}
