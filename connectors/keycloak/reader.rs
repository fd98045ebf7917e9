//! The client that may read a realm, from the roles that the calls declare.

use kit::{CollectorSpec, Document};
use serde_json::json;

/// The one there is.
pub(crate) const DOCUMENTS: &[Document] = &[Document {
    format: "keycloak",
    file: "keycloak/reader.json",
    about: "a client and its roles, for Keycloak's partial import into the realm to be read",
    make: import,
}];

/// What stands before the role's name where a call declares it.
const OF_REALM_MANAGEMENT: &str = "realm-management role ";

/// A partial import, as Realm settings > Action > Partial import takes it: the client, and its service account with
/// the roles (<https://www.keycloak.org/server/importExport>). Keycloak makes the secret, which is in no file.
fn import(collectors: &[CollectorSpec]) -> String {
    let all: std::collections::BTreeSet<_> = collectors.iter().flat_map(CollectorSpec::permissions).collect();
    let roles: Vec<&str> = all.iter().filter_map(|role| role.strip_prefix(OF_REALM_MANAGEMENT)).collect();
    let import = json!({
        "ifResourceExists": "FAIL",
        "clients": [{
            "clientId": "evidenced-reader",
            "description": "evidenced reads this realm with it, and can change nothing",
            "protocol": "openid-connect",
            "publicClient": false,
            "serviceAccountsEnabled": true,
            "standardFlowEnabled": false,
            "directAccessGrantsEnabled": false,
            "fullScopeAllowed": true,
        }],
        "users": [{
            "username": "service-account-evidenced-reader",
            "enabled": true,
            "serviceAccountClientId": "evidenced-reader",
            "clientRoles": { "realm-management": roles },
        }],
    });
    format!("{import:#}\n")
}
