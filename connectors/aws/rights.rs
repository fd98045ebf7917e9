//! Who holds full rights: by a policy of their own, an attached one, or a group's. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What a user, role or group brings with it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Bundle {
    /// The ARNs of its managed policies.
    pub(crate) attached: Vec<String>,
    /// One of its inline policies allows everything.
    pub(crate) inline_full: bool,
}

/// A user or role.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) arn: String,
    pub(crate) own: Bundle,
    /// The names of its groups.
    pub(crate) groups: Vec<String>,
}

/// Everything that rights follow from, gathered page by page; the pages bring it in any order.
#[derive(Default)]
pub(crate) struct Rights {
    pub(crate) principals: Vec<Principal>,
    pub(crate) groups: BTreeMap<String, Bundle>,
    /// Every managed policy that was listed, and whether it allows everything.
    pub(crate) policies: BTreeMap<String, bool>,
}

impl Rights {
    /// The ARNs of those who hold full rights, sorted. `Err` names what is missing to say so: a policy or group that
    /// somebody has and no page listed.
    pub(crate) fn administrators(&self) -> Result<BTreeSet<&str>, &'static str> {
        let mut all = BTreeSet::new();
        for principal in &self.principals {
            let mut full = self.is_full(&principal.own)?;
            for group in &principal.groups {
                full |= self.is_full(self.groups.get(group).ok_or("a group that a user is in was not listed")?)?;
            }
            if full {
                all.insert(principal.arn.as_str());
            }
        }
        Ok(all)
    }

    fn is_full(&self, bundle: &Bundle) -> Result<bool, &'static str> {
        let mut full = bundle.inline_full;
        for arn in &bundle.attached {
            full |= self.policies.get(arn).ok_or("a policy that is attached was not listed")?;
        }
        Ok(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(attached: &[&str], inline_full: bool) -> Bundle {
        Bundle { attached: attached.iter().map(|arn| (*arn).to_owned()).collect(), inline_full }
    }

    fn rights() -> Rights {
        let principal = |arn: &str, own: Bundle, groups: &[&str]| Principal {
            arn: arn.to_owned(),
            own,
            groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        };
        Rights {
            principals: vec![
                principal("by-inline", bundle(&[], true), &[]),
                principal("by-attached", bundle(&["read", "admin"], false), &[]),
                principal("by-group", bundle(&[], false), &["staff", "admins"]),
                principal("nobody", bundle(&["read"], false), &["staff"]),
            ],
            groups: [("admins".to_owned(), bundle(&["admin"], false)), ("staff".to_owned(), bundle(&["read"], false))]
                .into(),
            policies: [("admin".to_owned(), true), ("read".to_owned(), false)].into(),
        }
    }

    #[test]
    fn full_rights_come_by_an_inline_policy_an_attached_one_or_a_group() {
        let rights = rights();
        assert_eq!(
            rights.administrators().unwrap().into_iter().collect::<Vec<_>>(),
            ["by-attached", "by-group", "by-inline"]
        );
    }

    #[test]
    fn what_was_not_listed_leaves_the_question_open() {
        let mut without = rights();
        without.policies.remove("read");
        assert!(without.administrators().unwrap_err().contains("policy"));
        let mut without = rights();
        without.groups.remove("staff");
        assert!(without.administrators().unwrap_err().contains("group"));
    }
}
