//! What is asked of GitHub, as static data: calls with the App permission each needs, and the fields they give.
//!
//! Permissions stand as GitHub names them in an App's manifest, with the access level:
//! <https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>.

use kit::{CallSpec, CollectorSpec, SecondCount, TypeSpec};

const ORGANISATION: &[&str] = &["organization_administration:read"];
const HOOKS_READ: &[&str] = &["organization_hooks:read"];
const MEMBERS_READ: &[&str] = &["members:read"];
const METADATA: &[&str] = &["metadata:read"];
const ADMINISTRATION: &[&str] = &["administration:read"];
const METADATA_ADMINISTRATION: &[&str] = &["metadata:read", "administration:read"];
const SECURITY_EVENTS: &[&str] = &["security_events:read"];

pub(crate) const ORG_KIND: &str = "github.org";
pub(crate) const HOOK_KIND: &str = "github.org_hook";
pub(crate) const MEMBER_KIND: &str = "github.member";
pub(crate) const OUTSIDE_KIND: &str = "github.outside_collaborator";
pub(crate) const INSTALLATION_KIND: &str = "github.installation";
pub(crate) const REPO_KIND: &str = "github.repo";
pub(crate) const BRANCH_KIND: &str = "github.branch";

/// Request and answer are secret as a whole; of the answer only what the App was granted is remembered.
pub(crate) static TOKEN: CallSpec = CallSpec::new(
    "POST /app/installations/{installation_id}/access_tokens",
    &[],
    "sign in as the installation of the App (not made with a token)",
)
.times(0, 1)
.secret();
pub(crate) static MEMBERSHIP: CallSpec = CallSpec::new(
    "GET /user/memberships/orgs/{org}",
    &[],
    "who the token belongs to, and whether that is an owner (not made as an App)",
)
.times(0, 1);
pub(crate) static ORG: CallSpec =
    CallSpec::new("GET /orgs/{org}", ORGANISATION, "the organisation's settings, and how many repositories it has");
pub(crate) static ACTIONS: CallSpec =
    CallSpec::new("GET /orgs/{org}/actions/permissions", ORGANISATION, "which actions workflows may use");
pub(crate) static WORKFLOW: CallSpec = CallSpec::new(
    "GET /orgs/{org}/actions/permissions/workflow",
    ORGANISATION,
    "what the token of a workflow may do by default",
);
pub(crate) static DEFAULTS: CallSpec = CallSpec::new(
    "GET /orgs/{org}/code-security/configurations/defaults",
    ORGANISATION,
    "security features of new repositories",
);
/// The address of a webhook often lets anybody post to its receiver, so only its origin is kept.
pub(crate) static HOOKS: CallSpec =
    CallSpec::new("GET /orgs/{org}/hooks", HOOKS_READ, "webhooks of the organisation, never their secret")
        .times(1, 5)
        .redacting(&["[].config.secret", "[].config.url|origin"]);
pub(crate) static MEMBERS: CallSpec =
    CallSpec::new("GET /orgs/{org}/members", MEMBERS_READ, "members and owners, in pages of 100")
        .times(1, 60)
        .reading(&["id", "node_id", "login"]);
pub(crate) static OUTSIDE: CallSpec =
    CallSpec::new("GET /orgs/{org}/outside_collaborators", MEMBERS_READ, "people from outside with access")
        .times(1, 10);
pub(crate) static COLLABORATORS: CallSpec = CallSpec::new(
    "GET /repos/{owner}/{repo}/collaborators",
    METADATA,
    "what people from outside may do, in each repository, when there are any (a token needs write access to it)",
)
.times(0, 1000);
pub(crate) static INSTALLATIONS: CallSpec = CallSpec::new(
    "GET /orgs/{org}/installations",
    ORGANISATION,
    "GitHub Apps that are installed, and the rights each holds",
)
.times(1, 5);
pub(crate) static EMAILS: CallSpec = CallSpec::new(
    "POST /graphql",
    MEMBERS_READ,
    "members' e-mail addresses of verified domains (when verified_emails is on)",
)
.times(0, 50);
pub(crate) static REPOS: CallSpec = CallSpec::new(
    "GET /orgs/{org}/repos",
    METADATA_ADMINISTRATION,
    "every repository; its security settings are left out without administration:read",
)
.times(1, 50);
pub(crate) static ALERTS: CallSpec = CallSpec::new(
    "GET /repos/{owner}/{repo}/vulnerability-alerts",
    ADMINISTRATION,
    "whether dependency alerts are on, for each repository that is not archived",
)
.times(0, 1000);
pub(crate) static DEFAULT_SETUP: CallSpec = CallSpec::new(
    "GET /repos/{owner}/{repo}/code-scanning/default-setup",
    ADMINISTRATION,
    "whether code scanning is set up, for each repository that is not archived",
)
.times(0, 1000);
pub(crate) static ANALYSES: CallSpec = CallSpec::new(
    "GET /repos/{owner}/{repo}/code-scanning/analyses",
    SECURITY_EVENTS,
    "the latest analysis of the default branch, for each repository that is not archived",
)
.times(0, 1000);
pub(crate) static RULES: CallSpec = CallSpec::new(
    "GET /repos/{owner}/{repo}/rules/branches/{branch}",
    METADATA,
    "the rules in effect on the default branch, from all rulesets",
)
.times(0, 1000);
pub(crate) static PROTECTION: CallSpec = CallSpec::new(
    "GET /repos/{owner}/{repo}/branches/{branch}/protection",
    ADMINISTRATION,
    "classic protection of the default branch",
)
.times(0, 1000);
pub(crate) static AUDIT_LOG: CallSpec = CallSpec::new(
    "GET /orgs/{org}/audit-log",
    ORGANISATION,
    "who changed what lately (Enterprise Cloud, when audit_log is on)",
)
.times(0, 5);

/// Settings of the organisation change seldom and matter at once; what is asked once per repository follows.
pub(crate) static COLLECTORS: &[CollectorSpec] = &[
    CollectorSpec {
        name: "organisation",
        version: 1,
        about: "Reads the organisation's settings, its owners and its webhooks.",
        default_schedule: "*/15 * * * *",
        calls: &[TOKEN, MEMBERSHIP, ORG, ACTIONS, WORKFLOW, DEFAULTS, MEMBERS, HOOKS, AUDIT_LOG],
        yields: &[
            TypeSpec {
                kind: ORG_KIND,
                about: "The organisation.",
                fields: &[
                    "two_factor_required",
                    "default_repository_permission",
                    "members_can_create_public_repositories",
                    "members_can_fork_private_repositories",
                    "allowed_actions",
                    "default_workflow_permissions",
                    "workflows_can_approve",
                    "new_repo_security",
                    "owner_logins",
                    "members_without_2fa",
                ],
                second_count: SecondCount::None("one source is one organisation"),
            },
            TypeSpec {
                kind: HOOK_KIND,
                about: "A webhook of the organisation.",
                fields: &["active", "url", "insecure_ssl", "has_secret", "events"],
                second_count: SecondCount::None("GitHub counts no webhooks"),
            },
        ],
    },
    CollectorSpec {
        name: "people",
        version: 1,
        about: "Reads members and owners.",
        default_schedule: "11 * * * *",
        calls: &[TOKEN, MEMBERSHIP, MEMBERS, EMAILS, AUDIT_LOG],
        yields: &[TypeSpec {
            kind: MEMBER_KIND,
            about: "A member of the organisation; owners are members.",
            fields: &["login", "owner", "email"],
            second_count: SecondCount::None("GitHub counts seats, which guests and invitations take too"),
        }],
    },
    CollectorSpec {
        name: "outside",
        version: 1,
        about: "Reads whom the organisation lets in from outside: people who are no members, and Apps.",
        default_schedule: "23 */3 * * *",
        calls: &[
            TOKEN,
            MEMBERSHIP,
            INSTALLATIONS,
            OUTSIDE,
            // Repositories are asked for only when there is somebody from outside.
            ORG.times(0, 1),
            REPOS.times(0, 50),
            COLLABORATORS,
            AUDIT_LOG,
        ],
        yields: &[
            TypeSpec {
                kind: OUTSIDE_KIND,
                about: "What someone who is no member may do in one repository.",
                fields: &["login", "repository", "repo_role", "manages_repository", "approved_until"],
                second_count: SecondCount::None(
                    "GitHub counts no accesses; whoever is in the organisation's list must turn up in a repository",
                ),
            },
            TypeSpec {
                kind: INSTALLATION_KIND,
                about: "A GitHub App that is installed in the organisation.",
                fields: &["slug", "repository_selection", "writes", "suspended_at", "approved", "approved_until"],
                second_count: SecondCount::Call("GET /orgs/{org}/installations"),
            },
        ],
    },
    CollectorSpec {
        name: "repositories",
        version: 1,
        about: "Reads every repository and its security features.",
        default_schedule: "41 */3 * * *",
        calls: &[TOKEN, MEMBERSHIP, ORG, REPOS, ALERTS, DEFAULT_SETUP, ANALYSES, AUDIT_LOG],
        yields: &[TypeSpec {
            kind: REPO_KIND,
            about: "A repository. One that is archived is not asked for its features; they are null.",
            fields: &[
                "archived",
                "visibility",
                "in_production",
                "secret_scanning",
                "push_protection",
                "dependabot_alerts_on",
                "default_setup_state",
                "last_analysis",
            ],
            second_count: SecondCount::Call("GET /orgs/{org}"),
        }],
    },
    CollectorSpec {
        name: "branches",
        version: 1,
        about: "Reads which rules bind the default branch of every repository that is not archived.",
        default_schedule: "37 * * * *",
        calls: &[TOKEN, MEMBERSHIP, ORG, REPOS, RULES, PROTECTION, AUDIT_LOG],
        yields: &[TypeSpec {
            kind: BRANCH_KIND,
            about: "The default branch of a repository that is not archived, with rulesets and classic protection merged.",
            fields: &[
                "in_production",
                "pr_required",
                "required_approvals",
                "dismiss_stale",
                "status_checks",
                "force_push_blocked",
                "deletion_blocked",
                "signatures_required",
                "classic_present",
                "classic_enforce_admins",
            ],
            second_count: SecondCount::None(
                "one per repository; the list of repositories is held against GitHub's count",
            ),
        }],
    },
];
