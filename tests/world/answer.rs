//! The organisation in the words of the real server: the same keys, the same kinds.
//!
//! What a reader does not look at comes from templates, which are answers of a real server with the ids replaced.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::id;
use crate::organisation::{
    BUILT_IN, CANARY, Client, Group, MANAGEMENT, MANAGEMENT_ROLES, Organisation, REALM, Role, SecondFactorStep, inside,
};
use crate::person::{Credential, Person};

/// A recorded answer, read once.
macro_rules! template {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Value> =
            LazyLock::new(|| serde_json::from_str(include_str!(concat!("templates/", $file))).unwrap_or_default());
    };
}
template!(REALM_TEMPLATE, "realm.json");
template!(EVENTS_TEMPLATE, "events_config.json");
template!(EXECUTIONS_TEMPLATE, "executions.json");
template!(PROFILE_TEMPLATE, "user_profile_metadata.json");
template!(CLIENT_TEMPLATE, "client.json");
template!(BUILT_IN_TEMPLATE, "built_in_clients.json");

pub(crate) fn realm(organisation: &Organisation) -> Value {
    let s = &organisation.settings;
    let mut realm = REALM_TEMPLATE.clone();
    realm["id"] = json!(organisation.realm_id());
    realm["defaultRole"] = organisation.roles.first().map(|r| role(organisation, r, true)).unwrap_or_default();
    realm["bruteForceProtected"] = json!(s.brute_force);
    realm["failureFactor"] = json!(s.failure_factor);
    realm["sslRequired"] = json!(s.ssl_required);
    realm["ssoSessionIdleTimeout"] = json!(s.sso_idle);
    realm["ssoSessionMaxLifespan"] = json!(s.sso_max);
    realm["accessTokenLifespan"] = json!(s.access_token);
    realm["eventsEnabled"] = json!(s.events);
    realm["adminEventsEnabled"] = json!(s.admin_events);
    realm["adminEventsDetailsEnabled"] = json!(s.admin_events_details);
    realm["browserFlow"] = json!(s.browser_flow);
    set_or_remove(&mut realm, "passwordPolicy", (!s.password_policy.is_empty()).then(|| json!(s.password_policy)));
    set_or_remove(&mut realm, "eventsExpiration", (s.events_expiration > 0).then(|| json!(s.events_expiration)));
    let expiration = (s.admin_events_expiration > 0).then(|| json!(s.admin_events_expiration.to_string()));
    set_or_remove(&mut realm["attributes"], "adminEventsExpiration", expiration);
    realm
}

/// What the realm answers to somebody who may not view it: 200, and next to nothing.
pub(crate) fn realm_stub(organisation: &Organisation, may_view_users: bool) -> Value {
    let mut stub = json!({
        "realm": REALM, "displayName": "Acme", "bruteForceProtected": organisation.settings.brute_force,
        "supportedLocales": [],
    });
    if may_view_users {
        stub["registrationEmailAsUsername"] = json!(false);
    }
    stub
}

pub(crate) fn events_config(organisation: &Organisation) -> Value {
    let s = &organisation.settings;
    let mut config = EVENTS_TEMPLATE.clone();
    config["eventsEnabled"] = json!(s.events);
    config["adminEventsEnabled"] = json!(s.admin_events);
    config["adminEventsDetailsEnabled"] = json!(s.admin_events_details);
    set_or_remove(&mut config, "eventsExpiration", (s.events_expiration > 0).then(|| json!(s.events_expiration)));
    config
}

/// The steps of a flow, flattened in their order, with levels; empty when there is no such flow.
pub(crate) fn executions(organisation: &Organisation, alias: &str) -> Vec<Value> {
    let Some(step) = organisation.flows.get(alias) else { return Vec::new() };
    let Value::Array(mut steps) = EXECUTIONS_TEMPLATE.clone() else { return Vec::new() };
    if let Some(at) = steps.iter().position(is_second_factor_part) {
        match step {
            SecondFactorStep::Conditional => {}
            SecondFactorStep::Disabled => {
                if let Some(part) = steps.get_mut(at) {
                    part["requirement"] = json!("DISABLED");
                }
            }
            // It and the steps inside it, which are all that follow.
            SecondFactorStep::Removed => steps.truncate(at),
        }
    }
    for (n, step) in steps.iter_mut().enumerate() {
        let name = |kind: &str| json!(id::uuid(organisation.seed, kind, &format!("{alias}/{n}")));
        step["id"] = name("execution");
        if step.get("flowId").is_some() {
            step["flowId"] = name("flow");
        }
        if step.get("authenticationConfig").is_some() {
            step["authenticationConfig"] = name("configuration");
        }
        // Copying a flow puts the copy's name before the names of its parts and settings.
        if alias != "browser" {
            let part = step.get("authenticationFlow").is_some();
            for key in ["displayName", "alias"] {
                let prefixed = step.get(key).and_then(Value::as_str).map(|old| format!("{alias} {old}"));
                if let Some(prefixed) = prefixed.filter(|_| part || key == "alias") {
                    step[key] = json!(prefixed);
                }
            }
        }
    }
    steps
}

pub(crate) fn is_second_factor_part(step: &Value) -> bool {
    step["displayName"].as_str().is_some_and(|name| name.ends_with("Conditional 2FA"))
}

/// As roles and groups list their people, in the brief form.
pub(crate) fn brief_user(person: &Person) -> Value {
    let mut user = Map::new();
    user.insert("id".to_owned(), json!(person.id));
    user.insert("username".to_owned(), json!(person.username));
    if !person.machine {
        let mut first = person.username.clone();
        if let Some(letter) = first.get_mut(..1) {
            letter.make_ascii_uppercase();
        }
        user.insert("firstName".to_owned(), json!(first));
        user.insert("lastName".to_owned(), json!("Example"));
        user.insert("email".to_owned(), json!(format!("{}@acme.example", person.username)));
    }
    user.insert("emailVerified".to_owned(), json!(!person.machine));
    user.insert("enabled".to_owned(), json!(person.enabled));
    if let Some(created) = person.created {
        user.insert("createdTimestamp".to_owned(), json!(created));
    }
    Value::Object(user)
}

/// As roles and groups list their people, in full.
pub(crate) fn full_user(person: &Person) -> Value {
    let mut user = brief_user(person);
    user["totp"] = json!(person.credentials.contains(&Credential::Otp));
    user["disableableCredentialTypes"] = json!([]);
    user["requiredActions"] = json!([]);
    user["notBefore"] = json!(0);
    user
}

/// As `/users` lists people: with a kilobyte about the profile's form each, whether brief or not.
pub(crate) fn listed_user(person: &Person) -> Value {
    let mut user = full_user(person);
    user["userProfileMetadata"] = PROFILE_TEMPLATE.clone();
    user["access"] = json!({ "manage": false });
    user
}

/// As `/users/{id}` shows one person.
pub(crate) fn one_user(person: &Person) -> Value {
    let mut user = full_user(person);
    user["access"] = json!({
        "manageGroupMembership": false, "resetPassword": false, "view": true, "mapRoles": false,
        "impersonate": false, "manage": false,
    });
    user
}

/// Credentials with what the server really shows of them, marked so that a leak is found.
pub(crate) fn credentials(organisation: &Organisation, person: &Person) -> Vec<Value> {
    let show = |credential: &Credential| {
        let kind = credential.name();
        let canary = format!("{CANARY}{kind}-{}", person.username);
        let (data, made) = match credential {
            Credential::Password => (
                json!({ "hashIterations": 5, "algorithm": "argon2", "additionalParameters": { "canary": [canary] } }),
                1_756_000_000_000_i64,
            ),
            Credential::Otp => (
                json!({ "subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": canary }),
                1_756_000_100_000,
            ),
            Credential::SecurityKey | Credential::Passkey => {
                (json!({ "credentialId": canary, "counter": 0, "transports": [] }), 1_756_000_200_000)
            }
        };
        let mut shown = json!({
            "id": id::uuid(organisation.seed, "credential", &format!("{}/{kind}", person.id)), "type": kind,
            "createdDate": made, "credentialData": data.to_string(),
        });
        if *credential != Credential::Password {
            shown["userLabel"] = json!("phone");
        }
        shown
    };
    person.credentials.iter().map(show).collect()
}

pub(crate) fn role(organisation: &Organisation, role: &Role, brief: bool) -> Value {
    let mut shown = json!({
        "id": id::uuid(organisation.seed, "role", &role.name), "name": role.name,
        "composite": !role.realm_composites.is_empty() || !role.management_composites.is_empty(),
        "clientRole": false, "containerId": organisation.realm_id(),
    });
    set_or_remove(&mut shown, "description", role.description.as_ref().map(|d| json!(d)));
    set_or_remove(&mut shown, "attributes", (!brief).then(|| json!({})));
    shown
}

pub(crate) fn client_role(organisation: &Organisation, client: &str, name: &str, brief: bool) -> Value {
    let mut shown = json!({
        "id": id::uuid(organisation.seed, "role", &format!("{client}/{name}")), "name": name,
        "description": format!("${{role_{name}}}"), "composite": !inside_of(client, name).is_empty(), "clientRole": true,
        "containerId": organisation.client_id(client),
    });
    set_or_remove(&mut shown, "attributes", (!brief).then(|| json!({})));
    shown
}

/// The roles of a client inside one of its roles.
pub(crate) fn inside_of(client: &str, name: &str) -> Vec<&'static str> {
    match (client, name) {
        (MANAGEMENT, _) => inside(name),
        ("account", "manage-account") => vec!["manage-account-links"],
        ("account", "manage-consent") => vec!["view-consent"],
        _ => Vec::new(),
    }
}

/// The names of a client's own roles.
pub(crate) fn role_names(client: &str) -> &'static [&'static str] {
    match client {
        MANAGEMENT => &MANAGEMENT_ROLES,
        "account" => &[
            "delete-account",
            "manage-account",
            "manage-account-links",
            "manage-consent",
            "view-applications",
            "view-consent",
            "view-groups",
            "view-profile",
        ],
        "broker" => &["read-token"],
        _ => &[],
    }
}

/// The roles inside a role of the realm.
pub(crate) fn composites(organisation: &Organisation, of: &Role) -> Vec<Value> {
    let realm = organisation.roles.iter().filter(|r| of.realm_composites.contains(&r.name));
    let mut shown: Vec<Value> = realm.map(|r| role(organisation, r, true)).collect();
    shown.extend(of.management_composites.iter().map(|name| client_role(organisation, MANAGEMENT, name, true)));
    if of.name == organisation.default_role() {
        shown.extend(["view-profile", "manage-account"].map(|name| client_role(organisation, "account", name, true)));
    }
    shown
}

/// How much of a group an answer shows.
#[derive(Clone, Copy)]
pub(crate) struct GroupForm {
    /// As `/groups` and its children show it: with counts and access.
    pub(crate) in_tree: bool,
    /// With attributes and roles.
    pub(crate) full: bool,
}

pub(crate) fn group(organisation: &Organisation, group: &Group, form: GroupForm) -> Value {
    let mut shown = json!({
        "id": organisation.group_id(&group.path), "name": group.name(), "path": group.path, "subGroups": [],
    });
    set_or_remove(&mut shown, "parentId", group.parent().map(|parent| json!(organisation.group_id(parent))));
    if form.in_tree {
        let children = organisation.groups.iter().filter(|g| g.parent() == Some(&group.path)).count();
        shown["subGroupCount"] = json!(children);
        shown["access"] = json!({
            "view": true, "viewMembers": true, "manageMembers": false, "manage": false, "manageMembership": false,
        });
    }
    if form.full {
        let mut clients = Map::new();
        if !group.management_roles.is_empty() {
            clients.insert(MANAGEMENT.to_owned(), json!(group.management_roles));
        }
        shown["attributes"] = json!({});
        shown["realmRoles"] = json!(group.realm_roles);
        shown["clientRoles"] = Value::Object(clients);
    }
    shown
}

/// The group at a path, in full, as an event shows it.
pub(crate) fn group_at(organisation: &Organisation, path: &str) -> Option<Value> {
    let found = organisation.groups.iter().find(|g| g.path == path)?;
    Some(group(organisation, found, GroupForm { in_tree: false, full: true }))
}

/// All clients, those made with every realm among them, in the order of their client ids.
pub(crate) fn clients(organisation: &Organisation) -> impl Iterator<Item = Value> + '_ {
    let built_in = BUILT_IN_TEMPLATE.as_array().cloned().unwrap_or_default();
    let own = organisation.clients.iter().map(|c| (c.client_id.clone(), c));
    let mut names: Vec<(String, Option<&Client>)> = own.map(|(name, c)| (name, Some(c))).collect();
    names.extend(BUILT_IN.map(|name| (name.to_owned(), None)));
    names.sort_by(|a, b| a.0.cmp(&b.0));
    names.into_iter().map(move |(name, own)| match own {
        Some(own) => client(organisation, own),
        None => {
            let mut shown = built_in.iter().find(|c| c["clientId"] == name.as_str()).cloned().unwrap_or_default();
            shown["id"] = json!(organisation.client_id(&name));
            shown
        }
    })
}

fn client(organisation: &Organisation, client: &Client) -> Value {
    let mut shown = CLIENT_TEMPLATE.clone();
    shown["id"] = json!(organisation.client_id(&client.client_id));
    shown["clientId"] = json!(client.client_id);
    shown["name"] = json!(client.client_id.replace('-', " "));
    shown["enabled"] = json!(client.enabled);
    shown["publicClient"] = json!(client.public);
    shown["standardFlowEnabled"] = json!(client.standard_flow);
    shown["implicitFlowEnabled"] = json!(client.implicit_flow);
    shown["directAccessGrantsEnabled"] = json!(client.direct_grants);
    shown["serviceAccountsEnabled"] = json!(client.service_account);
    shown["redirectUris"] = json!(client.redirect_uris);
    set_or_remove(&mut shown, "secret", (!client.public).then(|| json!(client.secret)));
    for (name, value) in &client.attributes {
        shown["attributes"][name] = json!(value);
    }
    shown
}

fn set_or_remove(object: &mut Value, key: &str, value: Option<Value>) {
    match (value, object.as_object_mut()) {
        (Some(value), Some(object)) => drop(object.insert(key.to_owned(), value)),
        (None, Some(object)) => drop(object.remove(key)),
        (_, None) => {}
    }
}
