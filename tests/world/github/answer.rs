//! What GitHub answers, in the shapes of its published description.

use serde_json::{Value, json};

use super::host::{Classic, GITHUB_ORG, Hook, Host, Repository, Rule};
use super::outside::{Access, App};

/// Answers are written for one address: they are full of links to each other.
pub(crate) struct Scribe<'a> {
    pub(crate) host: &'a Host,
    /// `http://127.0.0.1:4711/api/v3`
    pub(crate) base: &'a str,
    /// What only administrators see is shown.
    pub(crate) administers: bool,
}

impl Scribe<'_> {
    /// The organisation as a whole. Whoever does not administer it sees neither its settings nor its private counts.
    pub(crate) fn organisation(&self) -> Value {
        let (public, others) = self.host.counts();
        let settings = &self.host.settings;
        let mut shown = self.organisation_in_brief();
        add(
            &mut shown,
            json!({
                "name": "Acme", "twitter_username": null,
                "is_verified": true, "has_organization_projects": true, "has_repository_projects": true,
                "public_repos": public, "public_gists": 0, "followers": 0, "following": 0,
                "html_url": self.web(GITHUB_ORG), "type": "Organization", "archived_at": null,
                "created_at": moment(self.host.founded), "updated_at": moment(self.host.founded),
            }),
        );
        if self.administers {
            add(
                &mut shown,
                json!({
                    "total_private_repos": others, "owned_private_repos": others, "private_gists": 0, "disk_usage": 4096,
                    "collaborators": self.host.outside().len(), "billing_email": "billing@acme.example",
                    "plan": {
                        "name": "enterprise", "space": 976_562_499_u64, "private_repos": 999_999,
                        "filled_seats": self.host.member_count(), "seats": self.host.member_count() + 10,
                    },
                    "default_repository_permission": settings.base_permission, "default_repository_branch": "main",
                    "members_can_create_repositories": true, "two_factor_requirement_enabled": settings.two_factor_required,
                    "members_allowed_repository_creation_type": if settings.public_creation { "all" } else { "private" },
                    "members_can_create_public_repositories": settings.public_creation,
                    "members_can_create_private_repositories": true, "members_can_create_internal_repositories": true,
                    "members_can_create_pages": true, "members_can_create_public_pages": false,
                    "members_can_create_private_pages": true,
                    "members_can_fork_private_repositories": settings.private_forks, "web_commit_signoff_required": false,
                }),
            );
        }
        shown
    }

    fn organisation_in_brief(&self) -> Value {
        let url = self.url(&format!("orgs/{GITHUB_ORG}"));
        json!({
            "login": GITHUB_ORG, "id": self.host.number("organisation", GITHUB_ORG),
            "node_id": self.host.node_id("organisation", GITHUB_ORG), "url": url, "repos_url": format!("{url}/repos"),
            "events_url": format!("{url}/events"), "hooks_url": format!("{url}/hooks"),
            "issues_url": format!("{url}/issues"), "members_url": format!("{url}/members{{/member}}"),
            "public_members_url": format!("{url}/public_members{{/member}}"),
            "avatar_url": self.web(&format!("avatars/{GITHUB_ORG}")), "description": null,
        })
    }

    /// Somebody, or the organisation as the owner of something.
    pub(crate) fn user(&self, login: &str) -> Value {
        let organisation = login == GITHUB_ORG;
        let kind = if organisation { "organisation" } else { "user" };
        let url = self.url(&format!("users/{login}"));
        json!({
            "login": login, "id": self.host.number(kind, login), "node_id": self.host.node_id(kind, login),
            "avatar_url": self.web(&format!("avatars/{login}")), "gravatar_id": "", "url": url,
            "html_url": self.web(login), "followers_url": format!("{url}/followers"),
            "following_url": format!("{url}/following{{/other_user}}"), "gists_url": format!("{url}/gists{{/gist_id}}"),
            "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{url}/subscriptions"), "organizations_url": format!("{url}/orgs"),
            "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events{{/privacy}}"),
            "received_events_url": format!("{url}/received_events"),
            "type": if organisation { "Organization" } else { "User" }, "site_admin": false, "user_view_type": "public",
        })
    }

    pub(crate) fn membership(&self, login: &str, owner: bool) -> Value {
        json!({
            "url": self.url(&format!("orgs/{GITHUB_ORG}/memberships/{login}")), "state": "active",
            "role": if owner { "admin" } else { "member" }, "direct_membership": true,
            "organization_url": self.url(&format!("orgs/{GITHUB_ORG}")),
            "organization": self.organisation_in_brief(), "user": self.user(login),
        })
    }

    /// As a list shows it; `whole`: as it is shown alone.
    pub(crate) fn repository(&self, repository: &Repository, whole: bool) -> Value {
        const PLAIN: [&str; 13] = [
            "contributors",
            "deployments",
            "downloads",
            "events",
            "forks",
            "hooks",
            "languages",
            "merges",
            "stargazers",
            "subscribers",
            "subscription",
            "tags",
            "teams",
        ];
        const WITH_PART: [&str; 17] = [
            "assignees{/user}",
            "blobs{/sha}",
            "branches{/branch}",
            "collaborators{/collaborator}",
            "comments{/number}",
            "commits{/sha}",
            "compare{/base}...{head}",
            "contents/{+path}",
            "issue_comment{/number}",
            "issue_events{/number}",
            "issues{/number}",
            "keys{/key_id}",
            "labels{/name}",
            "milestones{/number}",
            "notifications{?since,all,participating}",
            "pulls{/number}",
            "releases{/id}",
        ];
        let full_name = format!("{GITHUB_ORG}/{}", repository.name);
        let (url, web) = (self.url(&format!("repos/{full_name}")), self.web(&full_name));
        let host = &self.host;
        let made = moment(host.founded);
        let mut shown = json!({
            "id": host.number("repository", &repository.name), "node_id": host.node_id("repository", &repository.name),
            "name": repository.name, "full_name": full_name, "private": repository.visibility != "public",
            "owner": self.user(GITHUB_ORG), "html_url": web, "description": null, "fork": false, "url": url,
            "git_url": format!("git://{full_name}.git"), "ssh_url": format!("git@localhost:{full_name}.git"),
            "clone_url": format!("{web}.git"), "svn_url": web, "mirror_url": null, "homepage": null,
        });
        add(
            &mut shown,
            json!({
                "language": "Rust", "forks_count": 0, "stargazers_count": 0, "watchers_count": 0,
                "size": 108, "default_branch": repository.default_branch,
                "open_issues_count": 0, "is_template": false, "topics": [], "has_issues": true, "has_projects": true,
                "has_wiki": false, "has_pages": false, "has_discussions": false, "archived": repository.archived,
                "disabled": false, "visibility": repository.visibility, "pushed_at": made, "created_at": made,
                "updated_at": made, "forks": 0, "open_issues": 0, "watchers": 0, "license": null, "allow_forking": false,
                "web_commit_signoff_required": false,
                "permissions": {
                    "admin": self.administers, "maintain": self.administers, "push": self.administers,
                    "triage": self.administers, "pull": true,
                },
            }),
        );
        add(
            &mut shown,
            json!({
                "git_refs_url": format!("{url}/git/refs{{/sha}}"), "git_tags_url": format!("{url}/git/tags{{/sha}}"),
                "git_commits_url": format!("{url}/git/commits{{/sha}}"),
                "archive_url": format!("{url}/{{archive_format}}{{/ref}}"), "trees_url": format!("{url}/git/trees{{/sha}}"),
                "statuses_url": format!("{url}/statuses/{{sha}}"),
            }),
        );
        for name in PLAIN {
            shown[format!("{name}_url")] = json!(format!("{url}/{name}"));
        }
        for template in WITH_PART {
            let name = template.split(['{', '/']).next().unwrap_or_default();
            shown[format!("{name}_url")] = json!(format!("{url}/{}", template.replacen("issue_", "issues/", 1)));
        }
        if self.administers {
            let status = |on: bool| json!({ "status": if on { "enabled" } else { "disabled" } });
            shown["security_and_analysis"] = json!({
                "secret_scanning": status(repository.secret_scanning),
                "secret_scanning_push_protection": status(repository.push_protection),
                "dependabot_security_updates": status(false),
            });
        }
        if whole {
            add(
                &mut shown,
                json!({
                    "network_count": 0, "subscribers_count": 1, "organization": self.user(GITHUB_ORG),
                    "allow_squash_merge": true, "allow_merge_commit": false, "allow_rebase_merge": false,
                    "allow_auto_merge": false, "delete_branch_on_merge": true,
                }),
            );
        }
        shown
    }

    /// One rule that binds a branch, and whose ruleset it comes from.
    pub(crate) fn rule(&self, rule: &Rule) -> Value {
        let mut shown = match rule {
            Rule::NoDeletion => json!({ "type": "deletion" }),
            Rule::NoForcePush => json!({ "type": "non_fast_forward" }),
            Rule::Signatures => json!({ "type": "required_signatures" }),
            Rule::PullRequest { approvals, dismiss_stale } => json!({ "type": "pull_request", "parameters": {
                "required_approving_review_count": approvals, "dismiss_stale_reviews_on_push": dismiss_stale,
                "require_code_owner_review": false, "require_last_push_approval": true,
                "required_review_thread_resolution": false, "allowed_merge_methods": ["squash"],
            } }),
            Rule::Checks(checks) => json!({ "type": "required_status_checks", "parameters": {
                "strict_required_status_checks_policy": true, "do_not_enforce_on_create": false,
                "required_status_checks": checks.iter().map(|check| json!({ "context": check })).collect::<Vec<_>>(),
            } }),
        };
        add(
            &mut shown,
            json!({
                "ruleset_source_type": "Organization", "ruleset_source": GITHUB_ORG,
                "ruleset_id": self.host.number("ruleset", "default branches"),
            }),
        );
        shown
    }

    pub(crate) fn protection(&self, repository: &Repository, classic: &Classic) -> Value {
        let branch = repository.default_branch.replace('/', "%2F");
        let url = self.url(&format!("repos/{GITHUB_ORG}/{}/branches/{branch}/protection", repository.name));
        let switch = |on: bool| json!({ "enabled": on });
        let mut shown = json!({
            "url": url,
            "enforce_admins": { "url": format!("{url}/enforce_admins"), "enabled": classic.admins },
            "required_signatures": { "url": format!("{url}/required_signatures"), "enabled": classic.signatures },
            "required_linear_history": switch(false), "allow_force_pushes": switch(classic.force_pushes),
            "allow_deletions": switch(classic.deletions), "block_creations": switch(false),
            "required_conversation_resolution": switch(false), "lock_branch": switch(false),
            "allow_fork_syncing": switch(false),
        });
        if let Some((approvals, dismiss_stale)) = classic.reviews {
            shown["required_pull_request_reviews"] = json!({
                "url": format!("{url}/required_pull_request_reviews"), "dismiss_stale_reviews": dismiss_stale,
                "require_code_owner_reviews": false, "require_last_push_approval": false,
                "required_approving_review_count": approvals,
            });
        }
        if !classic.checks.is_empty() {
            let checks = classic.checks.iter().map(|check| json!({ "context": check, "app_id": null }));
            shown["required_status_checks"] = json!({
                "url": format!("{url}/required_status_checks"), "strict": true, "contexts": classic.checks,
                "contexts_url": format!("{url}/required_status_checks/contexts"), "checks": checks.collect::<Vec<_>>(),
            });
        }
        shown
    }

    pub(crate) fn hook(&self, hook: &Hook) -> Value {
        let url = self.url(&format!("orgs/{GITHUB_ORG}/hooks/{}", hook.id));
        let mut config = json!({
            "url": hook.url, "content_type": "json", "insecure_ssl": if hook.insecure { "1" } else { "0" },
        });
        if hook.secret {
            config["secret"] = json!("********");
        }
        json!({
            "id": hook.id, "type": "Organization", "name": "web", "active": hook.active, "events": ["push"],
            "config": config, "url": url, "ping_url": format!("{url}/pings"),
            "deliveries_url": format!("{url}/deliveries"), "created_at": moment(self.host.founded),
            "updated_at": moment(self.host.founded),
        })
    }

    /// Somebody from outside, as a repository lists them.
    pub(crate) fn collaborator(&self, access: &Access) -> Value {
        const ROLES: [(&str, &str); 5] =
            [("pull", "read"), ("triage", "triage"), ("push", "write"), ("maintain", "maintain"), ("admin", "admin")];
        let rank = ROLES.iter().position(|(_, role)| *role == access.base);
        let permissions: Value =
            ROLES.iter().enumerate().map(|(at, (name, _))| ((*name).to_owned(), json!(Some(at) <= rank))).collect();
        let mut shown = self.user(access.login);
        add(&mut shown, json!({ "permissions": permissions, "role_name": access.role }));
        shown
    }

    pub(crate) fn installation(&self, app: &App) -> Value {
        let permissions: Value =
            app.permissions.iter().map(|(name, level)| ((*name).to_owned(), json!(level))).collect();
        json!({
            "id": app.id, "account": self.user(GITHUB_ORG), "app_id": self.host.number("app", app.slug),
            "app_slug": app.slug, "client_id": format!("Iv1.{:016x}", self.host.number("client", app.slug)),
            "repository_selection": if app.everywhere { "all" } else { "selected" }, "permissions": permissions,
            "access_tokens_url": self.url(&format!("app/installations/{}/access_tokens", app.id)),
            "repositories_url": self.url("installation/repositories"),
            "html_url": self.web(&format!("organizations/{GITHUB_ORG}/settings/installations/{}", app.id)),
            "target_id": self.host.number("organisation", GITHUB_ORG), "target_type": "Organization", "events": ["push"],
            "created_at": moment(self.host.founded), "updated_at": moment(self.host.founded),
            "single_file_name": null, "has_multiple_single_files": false, "single_file_paths": [],
            "suspended_at": app.suspended.map(moment),
            "suspended_by": app.suspended.map(|_| self.user("dora-acme")),
        })
    }

    pub(crate) fn actions(&self) -> Value {
        let url = self.url(&format!("orgs/{GITHUB_ORG}/actions/permissions"));
        let allowed = self.host.settings.allowed_actions;
        let mut shown = json!({ "enabled_repositories": "all", "allowed_actions": allowed });
        if allowed == "selected" {
            shown["selected_actions_url"] = json!(format!("{url}/selected-actions"));
        }
        shown
    }

    pub(crate) fn workflow(&self) -> Value {
        let settings = &self.host.settings;
        json!({
            "default_workflow_permissions": settings.workflow_token,
            "can_approve_pull_request_reviews": settings.workflows_approve,
        })
    }

    pub(crate) fn security_defaults(&self) -> Vec<Value> {
        let (id, on) = (self.host.number("configuration", "new repositories"), "enabled");
        let url = self.url(&format!("orgs/{GITHUB_ORG}/code-security/configurations/{id}"));
        let made = moment(self.host.founded);
        let configuration = json!({
            "id": id, "target_type": "organization", "name": "New repositories", "description": "As we start",
            "advanced_security": on, "dependency_graph": on, "dependabot_alerts": on,
            "dependabot_security_updates": on, "code_scanning_default_setup": "not_set", "secret_scanning": on,
            "secret_scanning_push_protection": on, "private_vulnerability_reporting": on, "enforcement": "enforced",
            "url": url, "html_url": self.web(&format!("organizations/{GITHUB_ORG}/settings/security_products")),
            "created_at": made, "updated_at": made,
        });
        let row = json!({ "default_for_new_repos": "private_and_internal", "configuration": configuration });
        if self.host.settings.security_defaults { vec![row] } else { Vec::new() }
    }

    pub(crate) fn default_setup(&self, configured: bool) -> Value {
        json!({
            "state": if configured { "configured" } else { "not-configured" }, "languages": ["actions"],
            "query_suite": "default", "threat_model": "remote",
            "updated_at": configured.then(|| moment(self.host.founded)),
            "schedule": configured.then_some("weekly"), "runner_type": configured.then_some("standard"),
        })
    }

    pub(crate) fn analysis(&self, repository: &Repository, at: i64) -> Value {
        let (id, name) = (self.host.number("analysis", &repository.name), &repository.name);
        let url = self.url(&format!("repos/{GITHUB_ORG}/{name}/code-scanning/analyses/{id}"));
        json!({
            "ref": format!("refs/heads/{}", repository.default_branch), "commit_sha": format!("{:040x}", u128::from(id)),
            "analysis_key": ".github/workflows/scan.yml:scan", "environment": "{}", "category": "scan", "error": "",
            "created_at": moment(at), "results_count": 0, "rules_count": 80, "id": id, "url": url,
            "sarif_id": "6c81cd8e-b078-4ac3-a3be-1dad7dbd0b53", "deletable": true, "warning": "",
            "tool": { "name": "CodeQL", "guid": null, "version": "2.20.0" },
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn web(&self, path: &str) -> String {
        format!("{}/{path}", self.base.trim_end_matches("/api/v3"))
    }
}

/// One event of the audit log.
pub(crate) fn event(host: &Host, at: i64, actor: &str, action: &str, operation: &str, repository: &str) -> Value {
    let number = host.events.len().to_string();
    json!({
        "@timestamp": at, "created_at": at, "action": action, "operation_type": operation, "actor": actor,
        "actor_id": host.number("user", actor), "_document_id": host.node_id("event", &number),
        "org": GITHUB_ORG, "org_id": host.number("organisation", GITHUB_ORG),
        "repo": format!("{GITHUB_ORG}/{repository}"),
    })
}

/// `2026-11-22T10:00:00Z`
pub(crate) fn moment(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn add(to: &mut Value, more: Value) {
    if let (Value::Object(to), Value::Object(more)) = (to, more) {
        to.extend(more);
    }
}
