//! What is asked of a realm, as static data: calls with the role each needs, and the fields they give.

use kit::{CallSpec, CollectorSpec, SecondCount, TypeSpec};

/// The role names are those of the client `realm-management`, which every realm has.
const VIEW_REALM: &[&str] = &["realm-management role view-realm"];
const VIEW_USERS: &[&str] = &["realm-management role view-users"];
const VIEW_CLIENTS: &[&str] = &["realm-management role view-clients"];
const VIEW_EVENTS: &[&str] = &["realm-management role view-events"];
/// What is read of somebody who holds a role.
const HOLDER: &[&str] = &["id", "username", "enabled"];
/// Members of a realm role need both.
const VIEW_REALM_USERS: &[&str] = &["realm-management role view-realm", "realm-management role view-users"];
const VIEW_CLIENTS_USERS: &[&str] = &["realm-management role view-clients", "realm-management role view-users"];

pub(crate) const REALM_KIND: &str = "keycloak.realm";
pub(crate) const USER_KIND: &str = "keycloak.user";
pub(crate) const ADMIN_KIND: &str = "keycloak.admin";
pub(crate) const CLIENT_KIND: &str = "keycloak.client";

/// Request and answer are secret; the answer's claims say what the reader may see.
pub(crate) static TOKEN: CallSpec =
    CallSpec::new("POST /realms/{realm}/protocol/openid-connect/token", &[], "sign in as the reader")
        .times(1, 4)
        .secret();
pub(crate) static REALM: CallSpec = CallSpec::new("GET /admin/realms/{realm}", VIEW_REALM, "the realm's settings")
    .redacting(&["smtpServer.password", "smtpServer.authTokenClientSecret", "identityProviders[].config.clientSecret"]);
pub(crate) static EVENTS_CONFIG: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/events/config", VIEW_EVENTS, "whether events are recorded, and how long");
pub(crate) static EXECUTIONS: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/authentication/flows/{alias}/executions",
    VIEW_REALM,
    "the steps of the flow that signs people in",
);
/// The details of a change can hold the secret of a client, as text within text, so they are left out as a whole.
pub(crate) static ADMIN_EVENTS: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/admin-events", VIEW_EVENTS, "who changed what lately")
        .times(1, 10)
        .redacting(&["[].representation"]);
pub(crate) static USER: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/users/{id}", VIEW_USERS, "the name of someone who changed something")
        .times(0, 20);
pub(crate) static USERS: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/users", VIEW_USERS, "every person, in pages of 100")
        .times(1, 50)
        .reading(&["id", "username", "enabled", "email", "emailVerified", "totp"]);
pub(crate) static USERS_COUNT: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/users/count", VIEW_USERS, "proves that the list of people is whole");
pub(crate) static CREDENTIALS: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/users/{id}/credentials",
    VIEW_USERS,
    "the kinds of credential of an administrator, never the credential",
)
.times(0, 50)
.redacting(&["[].credentialData", "[].secretData", "[].value"]);
pub(crate) static CLIENTS: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/clients", VIEW_CLIENTS, "every client").times(1, 10).redacting(&[
        "[].secret",
        "[].registrationAccessToken",
        "[].attributes.\"client.secret.rotated\"",
        "[].attributes.\"saml.signing.private.key\"",
        "[].attributes.\"saml.encryption.private.key\"",
    ]);
pub(crate) static ROLES: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/roles", VIEW_REALM, "roles that may hold administrator roles").times(1, 5);
pub(crate) static CLIENT_ROLES: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/clients/{id}/roles",
    VIEW_CLIENTS,
    "the administrator roles, and client roles that may hold them",
)
.times(7, 50);
pub(crate) static COMPOSITES: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/roles/{role}/composites",
    VIEW_REALM,
    "roles inside a composite realm role",
)
.times(1, 20);
pub(crate) static CLIENT_COMPOSITES: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/clients/{id}/roles/{role}/composites",
    VIEW_CLIENTS,
    "roles inside a composite client role",
)
.times(3, 20);
pub(crate) static ROLE_USERS: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/roles/{role}/users", VIEW_REALM_USERS, "who holds such a realm role")
        .times(0, 20)
        .reading(HOLDER);
pub(crate) static ROLE_GROUPS: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/roles/{role}/groups",
    VIEW_REALM_USERS,
    "which groups hold such a realm role",
)
.times(0, 20);
pub(crate) static CLIENT_ROLE_USERS: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/clients/{id}/roles/{role}/users",
    VIEW_CLIENTS_USERS,
    "who holds an administrator role",
)
.times(8, 30)
.reading(HOLDER);
pub(crate) static CLIENT_ROLE_GROUPS: CallSpec = CallSpec::new(
    "GET /admin/realms/{realm}/clients/{id}/roles/{role}/groups",
    VIEW_CLIENTS_USERS,
    "which groups hold an administrator role",
)
.times(8, 30);
pub(crate) static GROUP_MEMBERS: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/groups/{id}/members", VIEW_USERS, "who is in such a group")
        .times(0, 50)
        .reading(HOLDER);
pub(crate) static GROUP_CHILDREN: CallSpec =
    CallSpec::new("GET /admin/realms/{realm}/groups/{id}/children", VIEW_USERS, "the groups below such a group")
        .times(0, 50);

/// Realm settings change seldom and matter at once; people and clients follow within the hour.
pub(crate) static COLLECTORS: &[CollectorSpec] = &[
    CollectorSpec {
        name: "realm",
        version: 1,
        about: "Reads the realm's settings, what it records of events, and the flow that signs people in.",
        default_schedule: "*/15 * * * *",
        calls: &[TOKEN, REALM, EVENTS_CONFIG, EXECUTIONS, ADMIN_EVENTS, USER],
        yields: &[TypeSpec {
            kind: REALM_KIND,
            about: "The realm.",
            fields: &[
                "brute_force",
                "failure_factor",
                "password_policy",
                "password_min_length",
                "ssl_required",
                "sso_idle_seconds",
                "sso_max_seconds",
                "access_token_seconds",
                "events_enabled",
                "events_expiration_seconds",
                "admin_events_enabled",
                "admin_events_details",
                "admin_events_expiration_seconds",
                "browser_flow",
                "strong_executions",
            ],
            second_count: SecondCount::None("one source is one realm"),
        }],
    },
    CollectorSpec {
        name: "people",
        version: 1,
        about: "Reads every person, and who holds administrator rights directly, by group or by composite role.",
        default_schedule: "7 * * * *",
        calls: &[
            TOKEN,
            USERS,
            USERS_COUNT,
            CLIENTS,
            ROLES,
            COMPOSITES,
            CLIENT_ROLES,
            CLIENT_COMPOSITES,
            ROLE_USERS,
            ROLE_GROUPS,
            CLIENT_ROLE_USERS,
            CLIENT_ROLE_GROUPS,
            GROUP_CHILDREN,
            GROUP_MEMBERS,
            CREDENTIALS,
            EVENTS_CONFIG,
            ADMIN_EVENTS,
            USER,
        ],
        yields: &[
            TypeSpec {
                kind: USER_KIND,
                about: "A person with an account in the realm; service accounts are not among them.",
                fields: &["enabled", "email", "email_verified"],
                second_count: SecondCount::Call("GET /admin/realms/{realm}/users/count"),
            },
            TypeSpec {
                kind: ADMIN_KIND,
                about: "A holder of a realm-management role that changes something: all but view- and query- roles.",
                fields: &["enabled", "service_account", "roles", "credential_types", "credential_dates"],
                second_count: SecondCount::None("Keycloak counts no holders of a role"),
            },
        ],
    },
    CollectorSpec {
        name: "clients",
        version: 1,
        about: "Reads every client: which flows it may use and where it may return to.",
        default_schedule: "22 * * * *",
        calls: &[TOKEN, CLIENTS, EVENTS_CONFIG, ADMIN_EVENTS, USER],
        yields: &[TypeSpec {
            kind: CLIENT_KIND,
            about: "An application that signs people in through the realm, or itself.",
            fields: &[
                "enabled",
                "public_client",
                "redirect_uris",
                "standard_flow",
                "implicit_flow",
                "direct_grants",
                "pkce_method",
                "built_in",
            ],
            second_count: SecondCount::None(
                "Keycloak counts no clients; the reader's own role says that the list is whole",
            ),
        }],
    },
];
