//! The organisation's own register of what it let in from outside: part of a source's settings, and so of the digest of
//! the settings that the ledger records with them.
//!
//! Nothing is approved by accident. Every approval says who gave it; that of a person says for which repository and until
//! when; and a list that is left out is no empty list: then nothing was held against it.

use std::collections::BTreeSet;

use domain::{Duration, GapReason, Timestamp};
use kit::{FieldProblem, Unread};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::listing::glob_matches;
use crate::spec::{COLLABORATORS, INSTALLATIONS};

/// What the organisation has approved to come in from outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    /// People who are no members and may use a repository, each with the end of the approval. An empty list approves
    /// nobody. Left out: there is no register, and whether somebody is approved stays undetermined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside_collaborators: Option<Vec<ApprovedPerson>>,
    /// GitHub Apps that may hold rights to change things. An empty list approves none. Left out: there is no register, and
    /// whether an App is approved stays undetermined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps: Option<Vec<ApprovedApp>>,
}

/// One person's approval for one repository, or for all that a pattern names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovedPerson {
    /// Who is approved, by the name on GitHub.
    #[schemars(example = &"contractor")]
    pub login: String,
    /// For which repository, by its name without the organisation's; `*` stands for any characters, alone for all of them.
    #[schemars(example = &"api")]
    pub repository: String,
    /// The last day of the approval, to its end in UTC.
    #[schemars(extend("format" = "date"), example = &"2027-03-31")]
    pub until: String,
    /// Who approved it.
    #[schemars(example = &"head-of-platform")]
    pub by: String,
}

/// The approval of an App.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovedApp {
    /// The App, as it stands at the end of its page's address: `https://github.com/apps/renovate`.
    #[schemars(example = &"renovate")]
    pub slug: String,
    /// The last day of the approval, to its end in UTC. Left out: as long as it stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date"), example = &"2027-03-31")]
    pub until: Option<String>,
    /// Who approved it.
    #[schemars(example = &"head-of-platform")]
    pub by: String,
}

impl Approved {
    /// What cannot be right about the register. That an approval has ended is no mistake.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (at, one) in self.outside_collaborators.iter().flatten().enumerate() {
            let mut of = |field: &str, message: &str, remedy: &str| {
                let path = format!("approved.outside_collaborators[{at}].{field}");
                problems.push(FieldProblem::new(path, message, remedy));
            };
            if !is_name(&one.login) {
                of("login", "is no name of somebody on GitHub", "write it as it stands in the address of their page");
            }
            if one.repository.trim().is_empty() || one.repository.contains(['/', ' ']) {
                of(
                    "repository",
                    "is no name of a repository",
                    "write it without the organisation's; * for all of them",
                );
            }
            if last_moment(&one.until).is_none() {
                of("until", "is no day", "write the last day of the approval, as 2027-03-31");
            }
            if one.by.trim().is_empty() {
                of("by", "is empty", "name who approved it");
            }
            // Of two dates for the same, nobody could tell which one was meant.
            if !seen.insert((one.login.to_ascii_lowercase(), one.repository.to_ascii_lowercase())) {
                of("login", "is approved for this repository already", "keep one of the two");
            }
        }
        let mut seen = BTreeSet::new();
        for (at, one) in self.apps.iter().flatten().enumerate() {
            let mut of = |field: &str, message: &str, remedy: &str| {
                problems.push(FieldProblem::new(format!("approved.apps[{at}].{field}"), message, remedy));
            };
            if !is_name(&one.slug) {
                of("slug", "is no App's name", "write it as it stands at the end of its page's address");
            }
            if one.until.as_ref().is_some_and(|until| last_moment(until).is_none()) {
                of("until", "is no day", "write the last day of the approval, as 2027-03-31, or leave it out");
            }
            if one.by.trim().is_empty() {
                of("by", "is empty", "name who approved it");
            }
            if !seen.insert(one.slug.to_ascii_lowercase()) {
                of("slug", "is approved already", "keep one of the two");
            }
        }
        problems
    }

    /// The last moment of somebody's approval for a repository; `None` when there never was one. Of several the last one
    /// counts. Names on GitHub know no upper and lower case.
    pub(crate) fn person(&self, login: &str, repository: &str) -> Result<Option<Timestamp>, Unread> {
        let register = self.outside_collaborators.as_ref().ok_or_else(|| {
            Unread::unsent(&COLLABORATORS, GapReason::NotAsked, "approved.outside_collaborators is not in the settings")
        })?;
        let mine = register.iter().filter(|one| one.login.eq_ignore_ascii_case(login));
        Ok(mine.filter(|one| glob_matches(&one.repository, repository)).filter_map(|one| last_moment(&one.until)).max())
    }

    /// Whether an App is approved at all, and the last moment of it where it has an end.
    pub(crate) fn app(&self, slug: &str) -> Result<(bool, Option<Timestamp>), Unread> {
        let register = self.apps.as_ref().ok_or_else(|| {
            Unread::unsent(&INSTALLATIONS, GapReason::NotAsked, "approved.apps is not in the settings")
        })?;
        let found = register.iter().find(|one| one.slug.eq_ignore_ascii_case(slug));
        Ok((found.is_some(), found.and_then(|one| last_moment(one.until.as_ref()?))))
    }
}

/// Names of people and Apps: letters, digits and hyphens; some Apps and managed users have an underscore.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The end of a day in UTC; `None` when the text is no day.
fn last_moment(day: &str) -> Option<Timestamp> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let midnight: Timestamp = day.parse().ok().filter(|_| day.len() == "2027-03-31".len())?;
    Some(midnight.plus(DAY).minus(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn approved(register: Value) -> Approved {
        serde_json::from_value(register).unwrap()
    }

    fn person(login: &str, repository: &str, until: &str) -> Value {
        json!({"login": login, "repository": repository, "until": until, "by": "jana"})
    }

    #[test]
    fn an_approval_holds_to_the_end_of_its_last_day_for_the_repositories_it_names() {
        let register = approved(json!({"outside_collaborators": [
            person("Contractor", "api", "2027-03-31"),
            person("contractor", "web-*", "2027-01-31"),
            person("auditor", "*", "2026-12-31"),
        ]}));
        assert!(register.problems().is_empty());
        let until = |login, repository| register.person(login, repository).unwrap().map(|t| t.to_string());
        assert_eq!(until("contractor", "API").as_deref(), Some("2027-03-31T23:59:59.999Z"));
        assert_eq!(until("contractor", "web-shop").as_deref(), Some("2027-01-31T23:59:59.999Z"));
        assert_eq!(until("auditor", "anything").as_deref(), Some("2026-12-31T23:59:59.999Z"));
        assert_eq!(until("contractor", "tools"), None);
        assert_eq!(until("contractor2", "api"), None);
    }

    #[test]
    fn an_app_is_approved_by_its_own_name_with_an_end_or_without() {
        let apps = json!([{"slug": "renovate", "by": "jana"}, {"slug": "deploy", "until": "2026-12-31", "by": "jana"}]);
        let register = approved(json!({"apps": apps}));
        assert!(register.problems().is_empty());
        assert_eq!(register.app("Renovate").unwrap(), (true, None));
        let (listed, until) = register.app("deploy").unwrap();
        assert_eq!((listed, until.unwrap().to_string().as_str()), (true, "2026-12-31T23:59:59.999Z"));
        assert_eq!(register.app("renovate-2").unwrap(), (false, None));
    }

    #[test]
    fn an_empty_register_approves_nobody_and_none_at_all_says_nothing() {
        let empty = approved(json!({"outside_collaborators": [], "apps": []}));
        assert_eq!(empty.person("contractor", "api").unwrap(), None);
        assert_eq!(empty.app("renovate").unwrap(), (false, None));
        let none = approved(json!({}));
        assert_eq!(none.person("contractor", "api").unwrap_err().reason, GapReason::NotAsked);
        assert_eq!(none.app("renovate").unwrap_err().reason, GapReason::NotAsked);
    }

    #[test]
    fn an_approval_without_an_end_a_repository_or_an_approver_is_a_mistake() {
        for field in ["login", "repository", "until", "by"] {
            let mut one = person("contractor", "api", "2027-03-31");
            one.as_object_mut().unwrap().remove(field);
            let refused = serde_json::from_value::<Approved>(json!({"outside_collaborators": [one]})).unwrap_err();
            assert!(refused.to_string().contains(&format!("missing field `{field}`")), "{refused}");
        }
        let paths = |register: Value| approved(register).problems().into_iter().map(|p| p.path).collect::<Vec<_>>();
        let people = |one: Value| paths(json!({"outside_collaborators": [one]}));
        for (field, wrong) in [
            ("login", "a person"),
            ("repository", "acme/api"),
            ("repository", " "),
            ("until", "2027-02-30"),
            ("until", "2027-03-31T00:00:00Z"),
            ("until", "next year"),
            ("until", ""),
            ("by", " "),
        ] {
            let mut one = person("contractor", "api", "2027-03-31");
            one[field] = json!(wrong);
            assert_eq!(people(one), [format!("approved.outside_collaborators[0].{field}")], "{wrong:?}");
        }
        let twice = [person("contractor", "api", "2027-03-31"), person("Contractor", "API", "2027-12-31")];
        assert_eq!(paths(json!({"outside_collaborators": twice})), ["approved.outside_collaborators[1].login"]);
        let apps =
            json!([{"slug": "a b", "until": "soon", "by": ""}, {"slug": "x", "by": "j"}, {"slug": "X", "by": "j"}]);
        let expected = ["apps[0].slug", "apps[0].until", "apps[0].by", "apps[2].slug"];
        assert_eq!(paths(json!({"apps": apps})), expected.map(|path| format!("approved.{path}")));
    }
}
