//! What the checks should find in the organisation, read off its own data and never off its answers.

use std::collections::BTreeMap;

use super::host::{GITHUB_ORG, Host, Repository, Rule, Scanning};
use crate::truth::Verdicts;

const DAY: i64 = 86_400_000;

/// By the check's id, at their default parameters, at the moment `now` in milliseconds since 1970, where every
/// repository that is not archived counts as one in production, the reader is an owner, and the register of what came in
/// from outside is the organisation's own.
pub(crate) fn truth(host: &Host, now: i64) -> BTreeMap<&'static str, Verdicts> {
    let mut truth: BTreeMap<&'static str, Verdicts> = BTreeMap::new();
    let mut put = |check: &'static str, id: &str, name: &str, conforms: Option<bool>| {
        truth.entry(check).or_default().put(id.to_owned(), name, conforms);
    };
    let (of, settings) = (host.node_id("organisation", GITHUB_ORG), &host.settings);
    let owners = host.members().filter(|member| member.owner).count();
    for (check, conforms) in [
        ("github.org.two_factor_required", settings.two_factor_required),
        ("github.org.members_two_factor", host.members().all(|member| member.second_factor)),
        ("github.org.owner_count", (2..=5).contains(&owners)),
        ("github.org.base_permission", ["none", "read"].contains(&settings.base_permission)),
        ("github.org.public_repo_creation", !settings.public_creation && !settings.private_forks),
        ("github.org.actions_allowed", ["selected", "local_only"].contains(&settings.allowed_actions)),
        ("github.org.workflow_token_read", settings.workflow_token == "read" && !settings.workflows_approve),
        ("github.org.new_repo_security_defaults", settings.security_defaults),
    ] {
        put(check, &of, GITHUB_ORG, Some(conforms));
    }
    for hook in &host.hooks {
        let conforms = hook.url.starts_with("https://") && !hook.insecure && hook.secret;
        put("github.org_hook.secure", &hook.id.to_string(), hook.url, hook.active.then_some(conforms));
    }
    for access in &host.accesses {
        let id = format!("{}/{}", host.node_id("user", access.login), host.node_id("repository", access.repository));
        let name = format!("{}@{GITHUB_ORG}/{}", access.login, access.repository);
        put("github.outside_collaborator.approved", &id, &name, Some(access.conforms(now)));
    }
    for app in &host.apps {
        put("github.installation.least_privilege", &app.id.to_string(), app.slug, Some(app.conforms(now)));
    }
    for repository in host.all_repositories() {
        let id = host.node_id("repository", &repository.name);
        let name = format!("{GITHUB_ORG}/{}", repository.name);
        let mut judged = |check: &'static str, conforms: bool| {
            put(check, &id, &name, (!repository.archived).then_some(conforms));
        };
        let pushes = repository.secret_scanning && repository.push_protection;
        judged("github.repo.secret_scanning_push_protection", pushes);
        judged("github.repo.dependabot_alerts_on", repository.alerts);
        judged(
            "github.repo.code_scanning_on",
            match repository.scanning {
                Scanning::DefaultSetup => true,
                Scanning::Own(last) => now - last <= 14 * DAY,
                Scanning::Never | Scanning::Unavailable => false,
            },
        );
        if repository.archived {
            continue;
        }
        let id = format!("{id}/refs/heads/{}", repository.default_branch);
        let name = format!("{name}@{}", repository.default_branch);
        let bound = Bound::of(&repository);
        put("github.branch.pr_required", &id, &name, Some(bound.pull_request));
        put("github.branch.approvals", &id, &name, Some(bound.approvals >= 1 && bound.dismiss_stale));
        put("github.branch.status_checks", &id, &name, Some(bound.checks));
        put("github.branch.no_rewrite", &id, &name, Some(bound.no_force_push && bound.no_deletion));
        put("github.branch.signed_commits", &id, &name, Some(bound.signatures));
        put("github.branch.admins_bound", &id, &name, repository.classic.as_ref().map(|classic| classic.admins));
    }
    truth
}

/// What binds a branch, whoever says so.
#[derive(Default)]
struct Bound {
    pull_request: bool,
    approvals: u64,
    dismiss_stale: bool,
    checks: bool,
    no_force_push: bool,
    no_deletion: bool,
    signatures: bool,
}

impl Bound {
    fn of(repository: &Repository) -> Bound {
        let mut bound = Bound::default();
        let reviewed = |bound: &mut Bound, approvals: u64, dismiss_stale: bool| {
            bound.pull_request = true;
            bound.approvals = bound.approvals.max(approvals);
            bound.dismiss_stale |= dismiss_stale;
        };
        for rule in &repository.rules {
            match rule {
                Rule::PullRequest { approvals, dismiss_stale } => reviewed(&mut bound, *approvals, *dismiss_stale),
                Rule::Checks(checks) => bound.checks |= !checks.is_empty(),
                Rule::NoForcePush => bound.no_force_push = true,
                Rule::NoDeletion => bound.no_deletion = true,
                Rule::Signatures => bound.signatures = true,
            }
        }
        if let Some(classic) = &repository.classic {
            if let Some((approvals, dismiss_stale)) = classic.reviews {
                reviewed(&mut bound, approvals, dismiss_stale);
            }
            bound.checks |= !classic.checks.is_empty();
            bound.no_force_push |= !classic.force_pushes;
            bound.no_deletion |= !classic.deletions;
            bound.signatures |= classic.signatures;
        }
        bound
    }
}
