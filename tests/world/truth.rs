//! What is true of the organisation at this moment, by construction: what the checks should find.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::organisation::{BUILT_IN, Client, Organisation, REALM, SecondFactorStep, administers};
use crate::person::{Listing, Person};

/// The realm checks, the check on administrators, and the check on clients, by their ids.
pub const CHECKS: [&str; 8] = [
    "keycloak.realm.brute_force",
    "keycloak.realm.password_rule",
    "keycloak.realm.tls_required",
    "keycloak.realm.session_limits",
    "keycloak.realm.events_kept",
    "keycloak.realm.second_factor_in_flow",
    "keycloak.admin.second_factor",
    "keycloak.client.hardened",
];

/// What the checks should find now, at their default parameters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Truth {
    /// By the check's id.
    pub checks: BTreeMap<&'static str, Verdicts>,
    /// People in the realm, as its own count says: without the accounts of clients.
    pub people: u64,
    /// Clients in the realm.
    pub clients: u64,
}

/// Which resources a check should find how; names by the source's immutable ids.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Verdicts {
    /// Break the rule.
    pub deviates: BTreeMap<String, String>,
    /// Keep it.
    pub conforms: BTreeMap<String, String>,
    /// The rule does not speak of them: disabled, made with every realm, or a machine among people.
    pub not_applicable: BTreeMap<String, String>,
}

impl Verdicts {
    /// The names of those that deviate, sorted.
    pub fn deviating(&self) -> BTreeSet<&str> {
        self.deviates.values().map(String::as_str).collect()
    }

    pub(crate) fn put(&mut self, id: String, name: &str, conforms: Option<bool>) {
        let of = match conforms {
            Some(true) => &mut self.conforms,
            Some(false) => &mut self.deviates,
            None => &mut self.not_applicable,
        };
        of.insert(id, name.to_owned());
    }
}

/// Reads the truth off the organisation's own data, never off its answers.
pub(crate) fn truth(organisation: &Organisation) -> Truth {
    let mut checks: BTreeMap<&'static str, Verdicts> = BTreeMap::new();
    let realm = realm_conforms(organisation);
    for (check, conforms) in CHECKS.into_iter().zip(realm) {
        checks.entry(check).or_default().put(organisation.realm_id(), REALM, Some(conforms));
    }

    let admins = checks.entry("keycloak.admin.second_factor").or_default();
    // The crowd holds no administrator rights, so only named accounts need a look.
    for person in organisation.named.values() {
        if organisation.management_roles_of(person).iter().any(|role| administers(role)) {
            let judged = person.enabled && !person.machine;
            admins.put(person.id.clone(), &person.username, judged.then(|| person.has_second_factor()));
        }
    }

    let hardened = checks.entry("keycloak.client.hardened").or_default();
    for client in &organisation.clients {
        let judged = client.enabled.then(|| client_conforms(client));
        hardened.put(organisation.client_id(&client.client_id), &client.client_id, judged);
    }
    for client in BUILT_IN {
        hardened.put(organisation.client_id(client), client, None);
    }

    let people = Listing::of(organisation, Some((0, 1)), |p: &Person| !p.machine).len(organisation);
    Truth { checks, people, clients: (organisation.clients.len() + BUILT_IN.len()) as u64 }
}

/// The realm checks in the order of [`CHECKS`].
fn realm_conforms(organisation: &Organisation) -> [bool; 6] {
    const KEPT: u64 = 7_776_000;
    let s = &organisation.settings;
    let long_enough = |seconds: u64| seconds == 0 || seconds >= KEPT;
    let good_password = least_length(s.password_policy) >= 12 && s.password_policy.contains("passwordHistory(");
    [
        s.brute_force && (1..=10).contains(&s.failure_factor),
        good_password,
        ["external", "all"].contains(&s.ssl_required),
        s.sso_idle <= 7200 && s.sso_max <= 86_400 && s.access_token <= 900,
        s.events
            && s.admin_events
            && s.admin_events_details
            && long_enough(s.events_expiration)
            && long_enough(s.admin_events_expiration),
        organisation.flows.get(&s.browser_flow) == Some(&SecondFactorStep::Conditional),
    ]
}

/// The least number of characters that a policy asks for; 0 when it asks for none.
fn least_length(policy: &str) -> u64 {
    let rule = policy.split(" and ").find_map(|rule| rule.strip_prefix("length(")?.strip_suffix(')'));
    rule.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn client_conforms(client: &Client) -> bool {
    let proof = client.attributes.get("pkce.code.challenge.method").is_some_and(|method| method == "S256");
    client.redirect_uris.iter().all(|uri| !uri.contains('*'))
        && !client.implicit_flow
        && !client.direct_grants
        && (!client.public || !client.standard_flow || proof)
}
