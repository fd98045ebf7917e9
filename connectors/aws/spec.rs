//! What is asked of an account, as static data: calls with the permission each needs, and the fields they give.
//!
//! Every call is a POST whose body names the action, so a call is declared by service and action. How often each is made
//! is said for one account.

use kit::{CallSpec, CollectorSpec, SecondCount, TypeSpec};

pub(crate) const ACCOUNT: &str = "aws.iam.account";
pub(crate) const VIRTUAL_MFA: &str = "aws.iam.virtual_mfa";
pub(crate) const PROVIDER: &str = "aws.iam.identity_provider";
pub(crate) const CERTIFICATE: &str = "aws.iam.server_certificate";
pub(crate) const ROOT_ROW: &str = "aws.iam.root_row";
pub(crate) const USER_ROW: &str = "aws.iam.user_row";
pub(crate) const ACCESS_KEY: &str = "aws.iam.access_key";
pub(crate) const USER: &str = "aws.iam.user";
pub(crate) const ROLE: &str = "aws.iam.role";
pub(crate) const POLICY: &str = "aws.iam.policy";

/// AWS grants this to everybody, even when a policy denies it.
pub(crate) static CALLER: CallSpec = CallSpec::new("sts:GetCallerIdentity", &[], "who we are, and in which account");
/// Request and answer are secret: the answer is a credential.
pub(crate) static ASSUME_ROLE: CallSpec = CallSpec::new(
    "sts:AssumeRole",
    &["sts:AssumeRole"],
    "sign in to an account through its role; only where the settings name one",
)
.times(0, 2)
.secret();
pub(crate) static WEB_IDENTITY: CallSpec = CallSpec::new(
    "sts:AssumeRoleWithWebIdentity",
    &[],
    "sign in with a token of the platform we run on; only where the environment or profile says so",
)
.times(0, 1)
.secret();
pub(crate) static SUMMARY: CallSpec = CallSpec::new(
    "iam:GetAccountSummary",
    &["iam:GetAccountSummary"],
    "the root user's second factor and keys; and the counts that prove lists to be whole",
);
pub(crate) static PASSWORD_POLICY: CallSpec = CallSpec::new(
    "iam:GetAccountPasswordPolicy",
    &["iam:GetAccountPasswordPolicy"],
    "the rule for passwords of IAM users",
);
pub(crate) static VIRTUAL_MFAS: CallSpec = CallSpec::new(
    "iam:ListVirtualMFADevices",
    &["iam:ListVirtualMFADevices"],
    "virtual second factors and whose they are",
)
.times(1, 5);
pub(crate) static SAML: CallSpec =
    CallSpec::new("iam:ListSAMLProviders", &["iam:ListSAMLProviders"], "where people may sign in from, by SAML");
pub(crate) static OIDC: CallSpec = CallSpec::new(
    "iam:ListOpenIDConnectProviders",
    &["iam:ListOpenIDConnectProviders"],
    "where people and pipelines may sign in from, by OpenID Connect",
);
pub(crate) static CERTIFICATES: CallSpec = CallSpec::new(
    "iam:ListServerCertificates",
    &["iam:ListServerCertificates"],
    "server certificates kept in IAM and when they end",
)
.times(1, 5);
pub(crate) static GENERATE_REPORT: CallSpec = CallSpec::new(
    "iam:GenerateCredentialReport",
    &["iam:GenerateCredentialReport"],
    "has the credential report renewed; AWS does so every four hours at most",
)
.times(1, 8);
pub(crate) static REPORT: CallSpec = CallSpec::new(
    "iam:GetCredentialReport",
    &["iam:GetCredentialReport"],
    "passwords, second factors and keys of every user and of root: their dates, never what they are",
);
pub(crate) static DETAILS: CallSpec = CallSpec::new(
    "iam:GetAccountAuthorizationDetails",
    &["iam:GetAccountAuthorizationDetails"],
    "users, groups, roles and policies with their documents, in pages of 1000",
)
.times(1, 20);

/// Asked only with `cloudtrail` in the settings.
pub(crate) static LOOKUP: CallSpec = CallSpec::new(
    "cloudtrail:LookupEvents",
    &["cloudtrail:LookupEvents"],
    "who changed what lately; only with cloudtrail in the settings",
)
.times(0, 10);

/// The rules of an account change seldom and matter at once; reports and rights follow within the hour.
pub(crate) static COLLECTORS: &[CollectorSpec] = &[
    CollectorSpec {
        name: "account",
        version: 1,
        about: "Reads the account's own rules: root's second factor and keys, the password rule, identity providers, certificates.",
        default_schedule: "11 * * * *",
        calls: &[
            CALLER,
            ASSUME_ROLE,
            WEB_IDENTITY,
            SUMMARY,
            PASSWORD_POLICY,
            VIRTUAL_MFAS,
            SAML,
            OIDC,
            CERTIFICATES,
            LOOKUP,
        ],
        yields: &[
            TypeSpec {
                kind: ACCOUNT,
                about: "The account.",
                fields: &[
                    "account_mfa_enabled",
                    "root_access_keys_present",
                    "account_password_present",
                    "password_policy_set",
                    "min_password_length",
                    "password_reuse_prevention",
                ],
                second_count: SecondCount::None("the settings name the accounts"),
            },
            TypeSpec {
                kind: VIRTUAL_MFA,
                about: "A virtual second factor.",
                fields: &["arn", "root", "user_arn", "enabled_at"],
                second_count: SecondCount::None("the account summary counts hardware devices among them"),
            },
            TypeSpec {
                kind: PROVIDER,
                about: "An identity provider that the account trusts.",
                fields: &["arn", "protocol", "valid_until"],
                second_count: SecondCount::None("AWS documents no count of them"),
            },
            TypeSpec {
                kind: CERTIFICATE,
                about: "A server certificate kept in IAM.",
                fields: &["arn", "uploaded", "expires"],
                second_count: SecondCount::Call("iam:GetAccountSummary"),
            },
        ],
    },
    CollectorSpec {
        name: "credentials",
        version: 1,
        about: "Reads the credential report: when passwords and keys were made and used, and who has a second factor.",
        default_schedule: "23 * * * *",
        calls: &[CALLER, ASSUME_ROLE, WEB_IDENTITY, GENERATE_REPORT, REPORT, LOOKUP],
        yields: &[
            TypeSpec {
                kind: ACCOUNT,
                about: "The account.",
                fields: &["console_user_names", "report_generated"],
                second_count: SecondCount::None("the settings name the accounts"),
            },
            TypeSpec {
                kind: ROOT_ROW,
                about: "The root user's row of the credential report.",
                fields: &[
                    "mfa_active",
                    "password_last_used",
                    "key1_active",
                    "key1_last_used",
                    "key2_active",
                    "key2_last_used",
                    "report_generated",
                ],
                second_count: SecondCount::None("an account has one root user"),
            },
            TypeSpec {
                kind: USER_ROW,
                about: "A user's row of the credential report.",
                fields: &[
                    "arn",
                    "user_created",
                    "password_enabled",
                    "password_last_used",
                    "password_last_changed",
                    "mfa_active",
                    "report_generated",
                ],
                second_count: SecondCount::None("the report may be four hours older than any count"),
            },
            TypeSpec {
                kind: ACCESS_KEY,
                about: "An access key of a user.",
                fields: &["user_arn", "active", "last_rotated", "last_used", "report_generated"],
                second_count: SecondCount::None("AWS counts no access keys"),
            },
        ],
    },
    CollectorSpec {
        name: "access",
        version: 1,
        about: "Reads every user, role and policy, who holds full rights, and whom roles trust.",
        default_schedule: "37 * * * *",
        calls: &[CALLER, ASSUME_ROLE, WEB_IDENTITY, SUMMARY, DETAILS, GENERATE_REPORT, REPORT, LOOKUP],
        yields: &[
            TypeSpec {
                kind: ACCOUNT,
                about: "The account.",
                fields: &["admin_principal_arns"],
                second_count: SecondCount::None("the settings name the accounts"),
            },
            TypeSpec {
                kind: USER,
                about: "An IAM user.",
                fields: &["arn", "account", "user_name", "created", "tags", "email", "console_access", "groups"],
                second_count: SecondCount::Call("iam:GetAccountSummary"),
            },
            TypeSpec {
                kind: ROLE,
                about: "A role and whom it trusts.",
                fields: &["arn", "service_linked", "trust", "trusted_vendor_roles"],
                second_count: SecondCount::None("the account summary documents no count of roles"),
            },
            TypeSpec {
                kind: POLICY,
                about: "A managed policy of the account's own.",
                fields: &["arn", "attachment_count", "statements"],
                second_count: SecondCount::Call("iam:GetAccountSummary"),
            },
        ],
    },
];
