//! Whom the GitHub organisation lets in from outside, and what it has approved: plain data, in every posture.

use serde_json::{Value, json};

use crate::organisation::Posture;

const DAY: i64 = 86_400_000;

/// What somebody who is no member may do in one repository.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) login: &'static str,
    pub(crate) repository: &'static str,
    /// The name of the role, which may be one of the organisation's own.
    pub(crate) role: &'static str,
    /// The standard role it is, or is built on.
    pub(crate) base: &'static str,
    /// The approval that covers it.
    approval: Option<Approval>,
}

/// A GitHub App that is installed.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) id: u64,
    pub(crate) slug: &'static str,
    /// By name, with the level.
    pub(crate) permissions: &'static [(&'static str, &'static str)],
    pub(crate) everywhere: bool,
    /// In milliseconds since 1970.
    pub(crate) suspended: Option<i64>,
    approval: Option<Approval>,
}

/// What stands in the organisation's register.
#[derive(Clone, Copy)]
struct Approval {
    /// Of all repositories, where not of the one.
    all: bool,
    /// The beginning of its last day, in milliseconds since 1970; `None`: it has no end.
    until: Option<i64>,
}

impl Approval {
    /// Whether it holds at `now`: to the end of its last day.
    fn holds(&self, now: i64) -> bool {
        self.until.is_none_or(|day| now < day + DAY)
    }
}

impl Access {
    pub(crate) fn conforms(&self, now: i64) -> bool {
        self.approval.is_some_and(|approval| approval.holds(now)) && !["maintain", "admin"].contains(&self.base)
    }
}

impl App {
    pub(crate) fn conforms(&self, now: i64) -> bool {
        const WIDE: [&str; 7] = [
            "administration",
            "contents",
            "members",
            "organization_administration",
            "organization_secrets",
            "secrets",
            "workflows",
        ];
        let wide = self.permissions.iter().any(|(name, level)| *level != "read" && WIDE.contains(name));
        !wide || self.suspended.is_some() || self.approval.is_some_and(|approval| approval.holds(now))
    }
}

/// Who may use which repository.
pub(crate) fn accesses(posture: Posture, founded: i64) -> Vec<Access> {
    let day = founded - founded.rem_euclid(DAY);
    let approval = |all: bool, days: i64| Some(Approval { all, until: Some(day + days * DAY) });
    let access = |login, repository, role, approval| Access { login, repository, role, base: role, approval };
    let mut accesses = vec![
        access("freelance-frida", "web", "write", approval(false, 90)),
        access("auditor-arne", "handbook", "read", approval(true, 30)),
    ];
    if posture == Posture::Good {
        return accesses;
    }
    accesses.extend([
        // An administrator in spite of the approval; one by another name; one whom nobody approved; one whose time is up.
        access("freelance-frida", "data-pipeline", "admin", approval(false, 90)),
        Access { base: "maintain", ..access("freelance-frida", "mobile", "release manager", approval(false, 90)) },
        access("agency-anton", "design", "triage", None),
        access("intern-ines", "legacy-shop", "write", approval(false, -20)),
    ]);
    if posture == Posture::Bad {
        accesses.iter_mut().for_each(|access| access.approval = None);
    }
    accesses
}

/// What is installed.
pub(crate) fn apps(posture: Posture, founded: i64, reader: u64) -> Vec<App> {
    let day = founded - founded.rem_euclid(DAY);
    let app = |id, slug, permissions| App { id, slug, permissions, everywhere: false, suspended: None, approval: None };
    let approval = |days: Option<i64>| Some(Approval { all: true, until: days.map(|days| day + days * DAY) });
    let mut apps = vec![
        App {
            everywhere: true,
            ..app(reader, "evidence-reader", &[("members", "read"), ("metadata", "read"), ("administration", "read")])
        },
        App {
            approval: approval(None),
            ..app(601, "updater", &[("contents", "write"), ("workflows", "write"), ("metadata", "read")])
        },
        app(602, "build-status", &[("checks", "write"), ("metadata", "read")]),
    ];
    if posture == Posture::Good {
        return apps;
    }
    apps.extend([
        App { everywhere: true, ..app(603, "free-badges", &[("contents", "write"), ("metadata", "read")]) },
        App { suspended: Some(founded - DAY), ..app(604, "old-deployer", &[("administration", "write")]) },
        App { approval: approval(Some(-3)), ..app(605, "trial-vault", &[("secrets", "write"), ("metadata", "read")]) },
    ]);
    if posture == Posture::Bad {
        apps.iter_mut().for_each(|app| app.approval = None);
    }
    apps
}

/// The organisation's register, in the form of a source's settings.
pub(crate) fn approved(accesses: &[Access], apps: &[App]) -> Value {
    let date = |day: i64| chrono::DateTime::from_timestamp_millis(day).unwrap_or_default().date_naive().to_string();
    let person = |access: &Access| {
        let approval = access.approval?;
        let repository = if approval.all { "*" } else { access.repository };
        Some(json!({
            "login": access.login, "repository": repository, "until": date(approval.until?), "by": "dora",
        }))
    };
    let app = |app: &App| {
        let approval = app.approval?;
        let mut shown = json!({ "slug": app.slug, "by": "dora" });
        if let Some(day) = approval.until {
            shown["until"] = json!(date(day));
        }
        Some(shown)
    };
    let people: Vec<Value> = accesses.iter().filter_map(person).collect();
    let apps: Vec<Value> = apps.iter().filter_map(app).collect();
    json!({ "outside_collaborators": people, "apps": apps })
}
