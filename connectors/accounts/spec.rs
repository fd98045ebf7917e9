//! What is read of other sources' evidence and what is made of it, as static data.

use kit::{CallSpec, CollectorSpec, SecondCount, TypeSpec};

pub(crate) const CODE_HOST: &str = "x.code_host_account";
pub(crate) const CLOUD: &str = "x.cloud_user";

pub(crate) static KEYCLOAK_USERS: CallSpec =
    CallSpec::new("READ /populations/keycloak.user", &[], "the identities, with their verified addresses").times(0, 10);
pub(crate) static GITHUB_MEMBERS: CallSpec =
    CallSpec::new("READ /populations/github.member", &[], "the members of the organisation at the code host")
        .times(0, 20);
pub(crate) static AWS_USERS: CallSpec =
    CallSpec::new("READ /populations/aws.iam.user", &[], "the users of the cloud account").times(0, 200);
pub(crate) static AWS_KEYS: CallSpec =
    CallSpec::new("READ /populations/aws.iam.access_key", &[], "which users have a key that works").times(0, 100);
pub(crate) static MAPPING: CallSpec =
    CallSpec::new("READ /mapping", &[], "accounts that no address links, in the organisation's own words").times(0, 1);

/// Where identities are read from.
pub(crate) struct IdentitySide {
    /// The kind of source.
    pub(crate) source: &'static str,
    pub(crate) call: &'static CallSpec,
    /// The fields of address, whether it is verified, and whether the identity can sign in.
    pub(crate) email: &'static str,
    pub(crate) verified: &'static str,
    pub(crate) active: &'static str,
}

/// Where accounts are read from.
pub(crate) struct AccountSide {
    /// The kind of source.
    pub(crate) source: &'static str,
    pub(crate) call: &'static CallSpec,
    /// The field of the address.
    pub(crate) email: &'static str,
    /// How it signs in, where not every account can.
    pub(crate) signs_in: Option<SignIn>,
    /// What each of them becomes.
    pub(crate) yields: &'static str,
}

/// What lets an account sign in: a password of its own, or a key that belongs to it.
pub(crate) struct SignIn {
    /// The field that says whether it has a password.
    pub(crate) password: &'static str,
    /// The field that keys name it by.
    pub(crate) name: &'static str,
    /// The population of keys, of the same source.
    pub(crate) keys: &'static CallSpec,
    /// The fields of a key: the name of its account, and whether it works.
    pub(crate) holder: &'static str,
    pub(crate) active: &'static str,
}

pub(crate) static IDENTITIES: &[IdentitySide] = &[IdentitySide {
    source: "keycloak",
    call: &KEYCLOAK_USERS,
    email: "email",
    verified: "email_verified",
    active: "enabled",
}];

pub(crate) static ACCOUNTS: &[AccountSide] = &[
    AccountSide { source: "github", call: &GITHUB_MEMBERS, email: "email", signs_in: None, yields: CODE_HOST },
    AccountSide {
        source: "aws",
        call: &AWS_USERS,
        email: "email",
        signs_in: Some(SignIn {
            password: "console_access",
            name: "arn",
            keys: &AWS_KEYS,
            holder: "user_arn",
            active: "active",
        }),
        yields: CLOUD,
    },
];

/// It follows the collectors of people and members within the hour, and changes in them at once.
pub(crate) static COLLECTORS: &[CollectorSpec] = &[CollectorSpec {
    name: "holders",
    version: 1,
    about: "Finds whose each account is, in what was recorded of accounts and identities.",
    default_schedule: "52 * * * *",
    calls: &[MAPPING, KEYCLOAK_USERS, GITHUB_MEMBERS, AWS_USERS, AWS_KEYS],
    yields: &[
        TypeSpec {
            kind: CODE_HOST,
            about: "An account with access to the organisation at a code host.",
            fields: &["idp_account_id", "idp_active", "is_bot", "matched_by"],
            second_count: SecondCount::Call("READ /populations/github.member"),
        },
        TypeSpec {
            kind: CLOUD,
            about: "A user of a cloud account with credentials of its own.",
            fields: &["idp_account_id", "idp_active", "is_bot", "matched_by", "can_sign_in"],
            second_count: SecondCount::Call("READ /populations/aws.iam.user"),
        },
    ],
}];
