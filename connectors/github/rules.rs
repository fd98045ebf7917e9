//! What rules ask of a branch: rulesets and classic protection as one. Pure.
//!
//! GitHub applies all of them at once, and where two speak of the same, the stricter one:
//! <https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/about-rulesets#about-rule-layering>.

use std::collections::BTreeSet;

use kit::Unread;
use kit::view::View;

/// What binds a branch.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) pr_required: bool,
    /// The most approvals that any rule asks for.
    pub(crate) required_approvals: Result<i64, Unread>,
    pub(crate) dismiss_stale: Result<bool, Unread>,
    /// Names of checks and workflows that must pass.
    pub(crate) status_checks: BTreeSet<String>,
    pub(crate) force_push_blocked: Result<bool, Unread>,
    pub(crate) deletion_blocked: Result<bool, Unread>,
    pub(crate) signatures_required: Result<bool, Unread>,
}

impl Default for Bound {
    /// Nothing binds it.
    fn default() -> Self {
        Bound {
            pr_required: false,
            required_approvals: Ok(0),
            dismiss_stale: Ok(false),
            status_checks: BTreeSet::new(),
            force_push_blocked: Ok(false),
            deletion_blocked: Ok(false),
            signatures_required: Ok(false),
        }
    }
}

impl Bound {
    /// What one rule of a ruleset asks. Rules of other types ask nothing that is looked at here.
    pub(crate) fn of_rule(rule: &View<'_>) -> Result<Bound, Unread> {
        let mut bound = Bound::default();
        match rule.text("type")? {
            "pull_request" => {
                let parameters = rule.inner("parameters")?;
                bound.pr_required = true;
                bound.required_approvals = parameters.number("required_approving_review_count");
                bound.dismiss_stale = parameters.bool("dismiss_stale_reviews_on_push");
            }
            "required_status_checks" => {
                let checks = rule.inner("parameters")?.inner_list("required_status_checks")?;
                bound.status_checks = names(&checks, "context")?;
            }
            "workflows" => {
                bound.status_checks = names(&rule.inner("parameters")?.inner_list("workflows")?, "path")?;
            }
            "non_fast_forward" => bound.force_push_blocked = Ok(true),
            "deletion" => bound.deletion_blocked = Ok(true),
            "required_signatures" => bound.signatures_required = Ok(true),
            _ => {}
        }
        Ok(bound)
    }

    /// Both at once.
    pub(crate) fn and(mut self, other: Bound) -> Bound {
        self.status_checks.extend(other.status_checks);
        Bound {
            pr_required: self.pr_required || other.pr_required,
            required_approvals: self.required_approvals.and_then(|own| other.required_approvals.map(|it| it.max(own))),
            dismiss_stale: either(self.dismiss_stale, other.dismiss_stale),
            status_checks: self.status_checks,
            force_push_blocked: either(self.force_push_blocked, other.force_push_blocked),
            deletion_blocked: either(self.deletion_blocked, other.deletion_blocked),
            signatures_required: either(self.signatures_required, other.signatures_required),
        }
    }
}

/// Classic protection of a branch.
#[derive(Clone, Debug)]
pub(crate) struct Classic {
    pub(crate) bound: Bound,
    /// Whether it binds administrators too.
    pub(crate) enforce_admins: Result<serde_json::Value, Unread>,
}

impl Classic {
    /// Reads the answer; parts that are left out are those that are not switched on.
    pub(crate) fn read(answer: &View<'_>) -> Result<Classic, Unread> {
        // Every such answer says whether administrators are bound; one without is not the whole of it.
        let enforce_admins = answer.inner("enforce_admins")?.bool("enabled");
        let mut bound = Bound {
            force_push_blocked: enabled(answer, "allow_force_pushes").map(|allowed| !allowed),
            deletion_blocked: enabled(answer, "allow_deletions").map(|allowed| !allowed),
            signatures_required: enabled(answer, "required_signatures"),
            ..Bound::default()
        };
        if answer.get("required_pull_request_reviews").is_some() {
            let reviews = answer.inner("required_pull_request_reviews")?;
            bound.pr_required = true;
            bound.required_approvals = reviews.number("required_approving_review_count");
            bound.dismiss_stale = reviews.bool("dismiss_stale_reviews");
        }
        if answer.get("required_status_checks").is_some() {
            let required = answer.inner("required_status_checks")?;
            bound.status_checks = required.texts("contexts")?.into_iter().map(str::to_owned).collect();
            if required.get("checks").is_some() {
                bound.status_checks.extend(names(&required.inner_list("checks")?, "context")?);
            }
        }
        Ok(Classic { bound, enforce_admins: enforce_admins.map(serde_json::Value::from) })
    }
}

fn enabled(answer: &View<'_>, name: &str) -> Result<bool, Unread> {
    answer.inner(name)?.bool("enabled")
}

fn names(rows: &[View<'_>], name: &str) -> Result<BTreeSet<String>, Unread> {
    rows.iter().map(|row| row.text(name).map(str::to_owned)).collect()
}

/// True if either is; unread if neither is and one could not be read.
fn either(a: Result<bool, Unread>, b: Result<bool, Unread>) -> Result<bool, Unread> {
    match (a, b) {
        (Ok(true), _) | (_, Ok(true)) => Ok(true),
        (Ok(false), Ok(false)) => Ok(false),
        (Err(unread), _) | (_, Err(unread)) => Err(unread),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{PROTECTION, RULES};
    use kit::view::Mark;
    use serde_json::{Value, json};

    fn rules(rules: Value) -> Bound {
        let mark = Mark { call: &RULES, seq: 0 };
        let views = View::list(&rules, mark).unwrap();
        views.iter().map(|rule| Bound::of_rule(rule).unwrap()).fold(Bound::default(), Bound::and)
    }

    fn classic(answer: Value) -> Classic {
        Classic::read(&View::object(&answer, Mark { call: &PROTECTION, seq: 1 }).unwrap()).unwrap()
    }

    #[test]
    fn of_several_rules_the_stricter_counts() {
        let pull_request = |count: u32, dismiss: bool| {
            let parameters =
                json!({"required_approving_review_count": count, "dismiss_stale_reviews_on_push": dismiss});
            json!({"type": "pull_request", "parameters": parameters})
        };
        let bound = rules(json!([pull_request(2, false), pull_request(1, true), {"type": "deletion"}]));
        assert!(bound.pr_required);
        assert_eq!((bound.required_approvals.unwrap(), bound.dismiss_stale.unwrap()), (2, true));
        assert_eq!((bound.deletion_blocked.unwrap(), bound.force_push_blocked.unwrap()), (true, false));
    }

    #[test]
    fn rulesets_and_classic_protection_bind_together() {
        let by_rules = rules(json!([
            {"type": "non_fast_forward"},
            {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": "ci"}]}},
            {"type": "workflows", "parameters": {"workflows": [{"path": ".github/workflows/scan.yml"}]}},
            {"type": "required_signatures"},
            {"type": "a_rule_of_the_future"},
        ]));
        let by_classic = classic(json!({
            "enforce_admins": {"enabled": true},
            "required_status_checks": {"contexts": ["lint"], "checks": [{"context": "lint"}, {"context": "build"}]},
            "required_pull_request_reviews": {"dismiss_stale_reviews": true, "required_approving_review_count": 1},
            "allow_force_pushes": {"enabled": true},
            "allow_deletions": {"enabled": false},
            "required_signatures": {"enabled": false},
        }));
        let bound = by_rules.and(by_classic.bound);
        assert!(bound.pr_required);
        let checks: Vec<&str> = bound.status_checks.iter().map(String::as_str).collect();
        assert_eq!(checks, [".github/workflows/scan.yml", "build", "ci", "lint"]);
        assert!(bound.force_push_blocked.unwrap() && bound.deletion_blocked.unwrap());
        assert!(bound.signatures_required.unwrap());
    }

    #[test]
    fn what_classic_protection_leaves_out_is_unread_unless_a_rule_says_it() {
        let bare = || classic(json!({"enforce_admins": {"enabled": false}})).bound;
        assert!(bare().force_push_blocked.is_err());
        let bound = rules(json!([{"type": "non_fast_forward"}])).and(bare());
        assert!(bound.force_push_blocked.unwrap());
        assert!(bound.deletion_blocked.is_err());
        assert!(!bound.pr_required, "left out is not switched on");
    }
}
