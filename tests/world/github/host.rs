//! One GitHub organisation: its members, repositories, rules and settings, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::access::GITHUB_INSTALLATION;
use super::outside::{self, Access, App};
use crate::id;
use crate::organisation::Posture;
use crate::person::CROWD;

/// The name of the GitHub organisation.
pub const GITHUB_ORG: &str = "acme";

/// Logins of the crowd begin so, and no other login does.
pub(crate) const CROWD_LOGIN: &str = "acme-p";
const DAY: i64 = 86_400_000;

/// Everything about the GitHub organisation at one moment.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) seed: u64,
    posture: Posture,
    /// When the world began, in milliseconds since 1970.
    pub(crate) founded: i64,
    /// How many people the crowd had then; each `step`-th is a member.
    crowd: u64,
    step: u64,
    pub(crate) settings: Settings,
    /// Members with a login of their own, by login.
    pub(crate) named: BTreeMap<String, Member>,
    /// What people who are no members may do.
    pub(crate) accesses: Vec<Access>,
    pub(crate) apps: Vec<App>,
    pub(crate) hooks: Vec<Hook>,
    /// Repositories with a part to play, oldest first; services of the crowd come after them.
    pub(crate) repositories: Vec<Repository>,
    services: u64,
    /// The audit log, oldest first.
    pub(crate) events: Vec<Value>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) two_factor_required: bool,
    pub(crate) base_permission: &'static str,
    pub(crate) public_creation: bool,
    pub(crate) private_forks: bool,
    pub(crate) allowed_actions: &'static str,
    pub(crate) workflow_token: &'static str,
    pub(crate) workflows_approve: bool,
    /// Whether new private repositories start with alerts, secret scanning and push protection.
    pub(crate) security_defaults: bool,
}

#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) login: String,
    /// The address of the organisation's domain that GitHub verified, where there is one.
    pub(crate) email: Option<String>,
    pub(crate) owner: bool,
    pub(crate) second_factor: bool,
}

#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) id: u64,
    pub(crate) active: bool,
    pub(crate) url: &'static str,
    pub(crate) insecure: bool,
    pub(crate) secret: bool,
}

#[derive(Clone)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) visibility: &'static str,
    pub(crate) archived: bool,
    pub(crate) default_branch: &'static str,
    /// Rules of rulesets that bind its default branch.
    pub(crate) rules: Vec<Rule>,
    pub(crate) classic: Option<Classic>,
    pub(crate) secret_scanning: bool,
    pub(crate) push_protection: bool,
    pub(crate) alerts: bool,
    pub(crate) scanning: Scanning,
}

/// How code scanning stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanning {
    /// By GitHub's own set-up.
    DefaultSetup,
    /// By a workflow, which last brought an analysis then.
    Own(i64),
    /// On, and nothing was ever analysed.
    Never,
    /// The feature it needs is off.
    Unavailable,
}

#[derive(Clone)]
pub(crate) enum Rule {
    PullRequest { approvals: u64, dismiss_stale: bool },
    Checks(Vec<&'static str>),
    NoForcePush,
    NoDeletion,
    Signatures,
}

/// Classic protection of a branch.
#[derive(Clone)]
pub(crate) struct Classic {
    pub(crate) reviews: Option<(u64, bool)>,
    pub(crate) checks: Vec<&'static str>,
    pub(crate) admins: bool,
    pub(crate) force_pushes: bool,
    pub(crate) deletions: bool,
    pub(crate) signatures: bool,
}

impl Host {
    pub(crate) fn new(seed: u64, crowd: u64, founded: i64, posture: Posture) -> Host {
        let named = members(posture).into_iter().map(|member| (member.login.clone(), member)).collect();
        Host {
            seed,
            posture,
            founded,
            crowd,
            // Where nothing may deviate, only those of the crowd are members whose account in the realm is enabled.
            step: if posture == Posture::Good { 17 } else { 2 },
            settings: settings(posture),
            named,
            accesses: outside::accesses(posture, founded),
            apps: outside::apps(posture, founded, GITHUB_INSTALLATION),
            hooks: hooks(posture),
            repositories: repositories(posture, founded),
            services: crowd / 100,
            events: Vec::new(),
        }
    }

    pub(crate) fn member_count(&self) -> u64 {
        self.named.len() as u64 + self.crowd.div_ceil(self.step)
    }

    /// The member at place `at`, from 0, in the order of their logins.
    pub(crate) fn member_at(&self, at: u64) -> Option<Member> {
        let head = self.named.range(..CROWD_LOGIN.to_owned()).count() as u64;
        let crowd = self.crowd.div_ceil(self.step);
        if at >= head && at < head + crowd {
            return Some(of_the_crowd((at - head) * self.step));
        }
        let at = if at < head { at } else { at - crowd };
        self.named.values().nth(usize::try_from(at).ok()?).cloned()
    }

    /// Every member, made one by one.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member> + '_ {
        (0..self.member_count()).filter_map(|at| self.member_at(at))
    }

    /// Logins of people who are no members and have access to a repository, each once.
    pub(crate) fn outside(&self) -> Vec<&'static str> {
        let logins: BTreeSet<&'static str> = self.accesses.iter().map(|access| access.login).collect();
        logins.into_iter().collect()
    }

    pub(crate) fn repository_count(&self) -> u64 {
        self.repositories.len() as u64 + self.services
    }

    /// The repository at place `at`, from 0, oldest first.
    pub(crate) fn repository_at(&self, at: u64) -> Option<Repository> {
        let named = self.repositories.len() as u64;
        if at < named {
            return self.repositories.get(usize::try_from(at).ok()?).cloned();
        }
        (at - named < self.services).then(|| self.service(at - named))
    }

    /// Every repository, made one by one.
    pub(crate) fn all_repositories(&self) -> impl Iterator<Item = Repository> + '_ {
        (0..self.repository_count()).filter_map(|at| self.repository_at(at))
    }

    pub(crate) fn repository(&self, name: &str) -> Option<Repository> {
        let service = || name.strip_prefix("service-")?.parse::<u64>().ok().filter(|n| *n < self.services);
        let named = self.repositories.iter().find(|repository| repository.name == name).cloned();
        named.or_else(|| service().map(|n| self.service(n)).filter(|repository| repository.name == name))
    }

    /// One of the many that nobody looks at.
    fn service(&self, n: u64) -> Repository {
        let mut repository = Repository::sound(&format!("service-{n:05}"), self.founded);
        match self.posture {
            Posture::Good => {}
            Posture::Mixed => repository.alerts = !n.is_multiple_of(13),
            Posture::Bad => repository.leave_open(),
        }
        repository
    }

    /// How many repositories there are: public ones, and others.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let public = self.repositories.iter().filter(|repository| repository.visibility == "public").count() as u64;
        (public, self.repository_count() - public)
    }

    /// A number that stands for something of the organisation in every answer.
    pub(crate) fn number(&self, kind: &str, name: &str) -> u64 {
        id::hash(self.seed, &["github", kind, name]) % 900_000_000 + 100_000_000
    }

    /// An id that never comes back, as GraphQL and REST both write it.
    pub(crate) fn node_id(&self, kind: &str, name: &str) -> String {
        let prefix = match kind {
            "user" => "U",
            "organisation" => "O",
            _ => "R",
        };
        format!("{prefix}_kgDO{:016x}", id::hash(self.seed, &["github node", kind, name]))
    }
}

impl Member {
    fn new(login: &str, email: Option<&str>) -> Member {
        let email = email.map(|name| format!("{name}@acme.example"));
        Member { login: login.to_owned(), email, owner: false, second_factor: true }
    }
}

impl Repository {
    /// Set up as it should be, by a ruleset of the organisation.
    fn sound(name: &str, founded: i64) -> Repository {
        Repository {
            name: name.to_owned(),
            visibility: "private",
            archived: false,
            default_branch: "main",
            rules: vec![
                Rule::NoDeletion,
                Rule::NoForcePush,
                Rule::PullRequest { approvals: 1, dismiss_stale: true },
                Rule::Checks(vec!["build", "test"]),
                Rule::Signatures,
            ],
            classic: None,
            secret_scanning: true,
            push_protection: true,
            alerts: true,
            scanning: Scanning::Own(founded - 2 * DAY),
        }
    }

    /// Everything that can deviate does.
    fn leave_open(&mut self) {
        self.rules.clear();
        self.classic = Some(Classic {
            reviews: None,
            checks: Vec::new(),
            admins: false,
            force_pushes: true,
            deletions: true,
            signatures: false,
        });
        (self.secret_scanning, self.push_protection, self.alerts) = (false, false, false);
        self.scanning = Scanning::Unavailable;
    }
}

impl Classic {
    pub(crate) fn sound() -> Classic {
        Classic {
            reviews: Some((1, true)),
            checks: vec!["build"],
            admins: true,
            force_pushes: false,
            deletions: false,
            signatures: true,
        }
    }
}

/// The `n`-th person of the crowd. Whoever leaves the realm stays a member here.
fn of_the_crowd(n: u64) -> Member {
    Member::new(&format!("{CROWD_LOGIN}{n:05}"), Some(&format!("{CROWD}{n:05}")))
}

fn settings(posture: Posture) -> Settings {
    let good = Settings {
        two_factor_required: true,
        base_permission: "read",
        public_creation: false,
        private_forks: false,
        allowed_actions: "selected",
        workflow_token: "read",
        workflows_approve: false,
        security_defaults: true,
    };
    match posture {
        Posture::Good => good,
        Posture::Mixed => Settings { two_factor_required: false, private_forks: true, workflows_approve: true, ..good },
        Posture::Bad => Settings {
            two_factor_required: false,
            base_permission: "write",
            public_creation: true,
            private_forks: true,
            allowed_actions: "all",
            workflow_token: "write",
            workflows_approve: true,
            security_defaults: false,
        },
    }
}

/// The members with a part to play: most are people of the realm, some are not and should be found.
fn members(posture: Posture) -> Vec<Member> {
    let person = |name: &str| Member::new(&format!("{name}-acme"), Some(name));
    let owner = |name: &str| Member { owner: true, ..person(name) };
    let mut members =
        vec![owner("dora"), owner("erik"), person("finn"), person("gita"), person("hana"), person("jana")];
    if posture == Posture::Good {
        return members;
    }
    members.extend([
        person("ivan"),
        // Disabled in the realm; gone from it; never there; and a machine.
        person("olaf"),
        Member::new("otto-was-here", Some("otto")),
        Member::new("ghost-gustav", None),
        Member::new("acme-bot", None),
    ]);
    for member in &mut members {
        member.second_factor = !["jana-acme", "ghost-gustav"].contains(&member.login.as_str());
        member.owner = match posture {
            // One owner too many.
            Posture::Mixed => ["dora", "erik", "finn", "gita", "hana", "ivan"]
                .iter()
                .any(|name| member.login.strip_suffix("-acme") == Some(*name)),
            _ => member.login == "dora-acme",
        };
    }
    members
}

fn hooks(posture: Posture) -> Vec<Hook> {
    let hook = |id: u64, url: &'static str| Hook { id, active: true, url, insecure: false, secret: true };
    let mut hooks = vec![
        hook(501, "https://ci.acme.example/github"),
        Hook { active: false, secret: false, ..hook(502, "http://old-ci.acme.example/github") },
    ];
    if posture != Posture::Good {
        hooks.push(Hook { secret: false, ..hook(503, "https://chat.acme.example/hooks/github") });
        hooks.push(Hook { insecure: true, ..hook(504, "https://stage.acme.example/github") });
        hooks.push(hook(505, "http://wiki.acme.example/github"));
    }
    hooks
}

fn repositories(posture: Posture, founded: i64) -> Vec<Repository> {
    let sound = |name: &str| Repository::sound(name, founded);
    let classic =
        |name: &str, classic: Classic| Repository { rules: Vec::new(), classic: Some(classic), ..sound(name) };
    let mut repositories = vec![
        sound("web"),
        // The drift takes its protection away.
        classic("payments", Classic::sound()),
        Repository { scanning: Scanning::DefaultSetup, ..sound("api") },
        // Half by the ruleset, half by classic protection: either alone would be too little.
        Repository {
            rules: vec![Rule::PullRequest { approvals: 0, dismiss_stale: true }, Rule::NoForcePush],
            classic: Some(Classic { reviews: Some((1, false)), ..Classic::sound() }),
            ..sound("billing")
        },
        Repository { default_branch: "release/2026", ..sound("mobile") },
        Repository { visibility: "public", ..sound("website") },
        Repository { visibility: "internal", ..sound("handbook") },
        // Nothing is asked of what is archived.
        Repository { archived: true, alerts: false, rules: Vec::new(), ..sound("legacy-shop") },
        sound("infra"),
        sound("data-pipeline"),
        sound("notebooks"),
        sound("tools"),
        sound("design"),
        sound("search"),
    ];
    for repository in &mut repositories {
        match (posture, repository.name.as_str()) {
            (Posture::Good, _) => {}
            (Posture::Bad, _) if !repository.archived => repository.leave_open(),
            (_, "infra") => repository.rules.clear(),
            (_, "data-pipeline") => repository.push_protection = false,
            (_, "notebooks") => {
                repository.alerts = false;
                repository.scanning = Scanning::Never;
            }
            (_, "tools") => {
                let classic = Classic { admins: false, force_pushes: true, ..Classic::sound() };
                (repository.rules, repository.classic) = (Vec::new(), Some(classic));
            }
            (_, "design") => {
                repository.rules =
                    vec![Rule::PullRequest { approvals: 0, dismiss_stale: false }, Rule::NoForcePush, Rule::NoDeletion];
                repository.scanning = Scanning::Unavailable;
            }
            (_, "search") => repository.scanning = Scanning::Own(founded - 40 * DAY),
            _ => {}
        }
    }
    repositories
}
