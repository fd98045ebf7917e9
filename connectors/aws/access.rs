//! The collector `access`: users, roles and policies from one large call, and who holds full rights.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::operation::get_account_authorization_details::GetAccountAuthorizationDetailsOutput;
use aws_sdk_iam::types::{AttachedPolicy, ManagedPolicyDetail, PolicyDetail, RoleDetail, UserDetail};
use domain::GapReason;
use kit::view::Mark;
use kit::{Found, RunBuilder, Unread};
use serde_json::{Map, Value};

use crate::changes::{Index, Subject};
use crate::pages::walk;
use crate::policy::Policy;
use crate::report::{ROOT, Report};
use crate::rights::{Bundle, Principal, Rights};
use crate::session::{Session, ask};
use crate::spec::{ACCOUNT, DETAILS, POLICY, ROLE, USER};
use crate::summary::Summary;
use crate::{Estate, Tally, moment};

/// The path of roles that AWS makes for its own services; nobody can widen or assume them.
const SERVICE_LINKED: &str = "/aws-service-role/";

/// The events, by the beginning of their names, that change who holds full rights.
const EVENTS: &[&str] = &[
    "AddUserToGroup",
    "AttachGroupPolicy",
    "AttachRolePolicy",
    "AttachUserPolicy",
    "CreatePolicyVersion",
    "DeleteGroup",
    "DeletePolicyVersion",
    "DeleteRole",
    "DeleteUser",
    "Detach",
    "PutGroupPolicy",
    "PutRolePolicy",
    "PutUserPolicy",
    "RemoveUserFromGroup",
    "SetDefaultPolicyVersion",
];

pub(crate) async fn collect(estate: &Estate, session: &Session, run: &mut RunBuilder, tally: &mut Tally) -> Index {
    let summary = Summary::read(session).await;
    let mut gathered = Gathered {
        own_accounts: estate.own_accounts.iter().map(String::as_str).chain([session.account.as_str()]).collect(),
        account: &session.account,
        email_tag: &estate.email_tag,
        console: Console::read(session).await,
        rights: Rights::default(),
        doubt: None,
        listed: BTreeMap::new(),
        index: Index::new(EVENTS),
    };
    let fetch = |marker: Option<String>| {
        let call = session.iam.get_account_authorization_details().max_items(estate.page).set_marker(marker).send();
        async move { ask(&session.wire, call).await }
    };
    let mut last = None;
    let read = walk(session, &DETAILS, fetch, |page, answer| {
        last = Some(answer.mark);
        gathered.page(page, answer.mark, run);
    });
    let mut administrators: Result<(), Unread> = match read.await {
        Ok(()) => gathered.all_lists_were_there(last, run),
        Err(unread) => {
            run.missing(&unread, &[USER, ROLE, POLICY]);
            Err(unread)
        }
    };
    let counted = counts(&summary, &gathered, tally);
    // What was not read to its end need not be counted, unless the counts themselves could not be read.
    if let Err(unread) = counted
        && (administrators.is_ok() || summary.is_err())
    {
        run.missing(&unread, &[USER, POLICY]);
        administrators = administrators.and(Err(unread));
    }
    if let Some(doubt) = gathered.doubt.take() {
        administrators = administrators.and(Err(doubt));
    }
    let mut account = Found::new(ACCOUNT, session.account.as_str(), session.name.as_str());
    account.from(session.mark);
    if let Some(mark) = last {
        account.from(mark);
    }
    let administrators = administrators.and_then(|()| {
        let found = gathered.rights.administrators();
        let found = found.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
        found.map_err(|why| match last {
            Some(mark) => Unread { permission: None, ..mark.unread(GapReason::Truncated, why) },
            None => Unread::unsent(&DETAILS, GapReason::Truncated, why),
        })
    });
    account.set("admin_principal_arns", administrators);
    run.found(account);
    gathered.index
}

/// Holds the lists against the summary. Users and policies are held again by the builder; groups are no population, and
/// rights rest on all three.
fn counts(summary: &Result<Summary, Unread>, gathered: &Gathered<'_>, tally: &mut Tally) -> Result<(), Unread> {
    let summary = summary.as_ref().map_err(Unread::clone)?;
    let (users, groups, policies) = (summary.count("Users")?, summary.count("Groups")?, summary.count("Policies")?);
    tally.add(USER, summary.mark, users);
    tally.add(POLICY, summary.mark, policies);
    let lists = [("users", users), ("groups", groups), ("own policies", policies)];
    match lists.into_iter().find(|(list, counted)| gathered.listed(list) != *counted) {
        None => Ok(()),
        Some((list, counted)) => {
            let detail = format!("{} {list} listed, {counted} counted", gathered.listed(list));
            Err(Unread { permission: None, ..summary.mark.unread(GapReason::Truncated, detail) })
        }
    }
}

/// Who has a password for the console, from the credential report; the other calls do not say.
struct Console {
    by_arn: Result<BTreeMap<String, Result<bool, Unread>>, Unread>,
    mark: Option<Mark>,
}

impl Console {
    async fn read(session: &Session) -> Console {
        match Report::fetch(session).await {
            Ok(report) => {
                let rows = report.rows().filter(|row| row.text("user").ok() != Some(ROOT));
                let by_arn =
                    rows.filter_map(|row| Some((row.text("arn").ok()?.to_owned(), row.bool("password_enabled"))));
                Console { by_arn: Ok(by_arn.collect()), mark: Some(report.mark) }
            }
            Err(unread) => Console { by_arn: Err(unread), mark: None },
        }
    }

    fn of(&self, arn: &str, mark: Mark) -> Result<bool, Unread> {
        let by_arn = self.by_arn.as_ref().map_err(Unread::clone)?;
        by_arn.get(arn).cloned().unwrap_or_else(|| {
            let mark = self.mark.unwrap_or(mark);
            let detail = "the credential report is older than the user";
            Err(Unread { permission: None, ..mark.unread(GapReason::Truncated, detail) })
        })
    }
}

/// What the pages bring, no more of it than what is asked at the end.
struct Gathered<'a> {
    own_accounts: BTreeSet<&'a str>,
    account: &'a str,
    email_tag: &'a str,
    console: Console,
    rights: Rights,
    /// Why rights cannot be told, where a document or an item could not be read.
    doubt: Option<Unread>,
    /// How many of each list were seen; a list that was on no page is not here.
    listed: BTreeMap<&'static str, u64>,
    /// What events can be about.
    index: Index,
}

impl Gathered<'_> {
    fn listed(&self, list: &str) -> u64 {
        self.listed.get(list).copied().unwrap_or(0)
    }

    fn count(&mut self, list: &'static str, more: usize) {
        *self.listed.entry(list).or_default() += more as u64;
    }

    fn page(&mut self, page: GetAccountAuthorizationDetailsOutput, mark: Mark, run: &mut RunBuilder) {
        if let Some(users) = page.user_detail_list {
            self.count("users", users.len());
            for user in users {
                let read = self.user(user, mark);
                self.keep(read.map(Some), USER, run);
            }
        }
        for group in page.group_detail_list.iter().flatten() {
            let inline = listed(group.group_policy_list.as_deref(), "GroupPolicyList", mark);
            match (&group.group_name, self.bundle(inline, group.attached_managed_policies.as_deref(), mark)) {
                (Some(name), bundle) => {
                    self.rights.groups.insert(name.clone(), bundle);
                }
                (None, _) => self.doubt = Some(mark.malformed("a group without a name")),
            }
        }
        if let Some(groups) = page.group_detail_list {
            self.count("groups", groups.len());
        }
        if let Some(roles) = page.role_detail_list {
            self.count("roles", roles.len());
            for role in roles {
                let read = self.role(role, mark);
                self.keep(read.map(Some), ROLE, run);
            }
        }
        if let Some(policies) = page.policies {
            self.count("policies", policies.len());
            for policy in policies {
                let read = self.policy(policy, mark);
                self.keep(read, POLICY, run);
            }
        }
    }

    /// An item that cannot be a resource leaves its population incomplete, and rights unsaid.
    fn keep(&mut self, read: Result<Option<Found>, Unread>, kind: &str, run: &mut RunBuilder) {
        match read {
            Ok(found) => found.into_iter().for_each(|found| run.found(found)),
            Err(unread) => {
                run.missing(&unread, &[kind]);
                self.doubt = Some(unread);
            }
        }
    }

    fn user(&mut self, user: UserDetail, mark: Mark) -> Result<Found, Unread> {
        let (Some(id), Some(name), Some(arn)) = (user.user_id, user.user_name, user.arn) else {
            return Err(mark.malformed("a user without id, name or ARN"));
        };
        let groups = listed(user.group_list, "GroupList", mark);
        if let Err(unread) = &groups {
            self.doubt = Some(unread.clone());
        }
        let inline = Ok(user.user_policy_list.as_deref().unwrap_or_default());
        let own = self.bundle(inline, user.attached_managed_policies.as_deref(), mark);
        let tags: Map<String, Value> =
            user.tags.into_iter().flatten().map(|tag| (tag.key, Value::from(tag.value))).collect();
        self.index.add(Subject::User(name.clone()), USER, &id);
        let mut found = Found::new(USER, id, name.as_str());
        found.from(mark).read("arn", arn.as_str()).read("account", self.account).read("user_name", name.as_str());
        found.set("created", listed(user.create_date, "CreateDate", mark).and_then(|at| moment(&at, mark)));
        found.read("email", email(tags.get(self.email_tag).and_then(Value::as_str), &name));
        found.read("tags", tags).set("groups", groups.clone());
        found.set("console_access", self.console.of(&arn, mark));
        if let Some(report) = self.console.mark {
            found.from(report);
        }
        self.rights.principals.push(Principal { arn, own, groups: groups.unwrap_or_default() });
        Ok(found)
    }

    fn role(&mut self, role: RoleDetail, mark: Mark) -> Result<Found, Unread> {
        let (Some(id), Some(name), Some(arn)) = (role.role_id, role.role_name, role.arn) else {
            return Err(mark.malformed("a role without id, name or ARN"));
        };
        let service_linked = role.path.as_deref().is_some_and(|path| path.starts_with(SERVICE_LINKED));
        let inline = listed(role.role_policy_list.as_deref(), "RolePolicyList", mark);
        let own = self.bundle(inline, role.attached_managed_policies.as_deref(), mark);
        let trust = document(role.assume_role_policy_document.as_deref(), mark).map(|p| p.trust(&self.own_accounts));
        self.index.add(Subject::Role(name.clone()), ROLE, &id);
        let mut found = Found::new(ROLE, id, name);
        found.from(mark).read("arn", arn.as_str()).read("service_linked", service_linked);
        let foreigners = |trust: &Vec<_>| trust.iter().any(crate::policy::Trust::lets_foreigners_in);
        found.set("trusted_vendor_roles", trust.as_ref().map(foreigners).map_err(Unread::clone));
        found.set("trust", trust.map(|all| all.iter().map(crate::policy::Trust::shown).collect::<Value>()));
        if !service_linked {
            self.rights.principals.push(Principal { arn, own, groups: Vec::new() });
        }
        Ok(found)
    }

    /// A policy of the account's own is a resource. Those of AWS are listed where they are attached; what they allow is
    /// remembered, and their documents, which nobody here can change, are left to the evidence.
    fn policy(&mut self, policy: ManagedPolicyDetail, mark: Mark) -> Result<Option<Found>, Unread> {
        let (Some(id), Some(name), Some(arn)) = (policy.policy_id, policy.policy_name, policy.arn) else {
            return Err(mark.malformed("a policy without id, name or ARN"));
        };
        let default = policy.policy_version_list.iter().flatten().find(|version| version.is_default_version);
        let read = document(default.and_then(|version| version.document.as_deref()), mark);
        match &read {
            Ok(document) => {
                self.rights.policies.insert(arn.clone(), document.allows_everything());
            }
            Err(unread) => self.doubt = Some(unread.clone()),
        }
        if arn.split(':').nth(4) == Some("aws") {
            return Ok(None);
        }
        self.count("own policies", 1);
        self.index.add(Subject::Policy(arn.clone()), POLICY, &id);
        let mut found = Found::new(POLICY, id, name);
        found.from(mark).read("arn", arn);
        let missing = || mark.malformed("AttachmentCount is missing");
        found.set("attachment_count", policy.attachment_count.ok_or_else(missing));
        found.set("statements", read.map(|document| document.statements()));
        Ok(Some(found))
    }

    /// What somebody's own policies bring.
    fn bundle(
        &mut self,
        inline: Result<&[PolicyDetail], Unread>,
        attached: Option<&[AttachedPolicy]>,
        mark: Mark,
    ) -> Bundle {
        let mut bundle = Bundle::default();
        let attached = listed(attached, "AttachedManagedPolicies", mark);
        if let Some(unread) = inline.as_ref().err().or(attached.as_ref().err()) {
            self.doubt = Some(unread.clone());
        }
        for policy in inline.unwrap_or_default() {
            match document(policy.policy_document.as_deref(), mark) {
                Ok(document) => bundle.inline_full |= document.allows_everything(),
                Err(unread) => self.doubt = Some(unread),
            }
        }
        for policy in attached.unwrap_or_default() {
            match &policy.policy_arn {
                Some(arn) => bundle.attached.push(arn.clone()),
                None => self.doubt = Some(mark.malformed("an attached policy without an ARN")),
            }
        }
        bundle
    }

    /// A list that no page holds, not even empty, was not read.
    fn all_lists_were_there(&self, last: Option<Mark>, run: &mut RunBuilder) -> Result<(), Unread> {
        let Some(mark) = last else { return Ok(()) };
        let mut all = Ok(());
        for (list, kinds) in [("users", &[USER][..]), ("groups", &[]), ("roles", &[ROLE]), ("policies", &[POLICY])] {
            if !self.listed.contains_key(list) {
                let unread = mark.malformed(format!("no page of the answer has a list of {list}"));
                run.missing(&unread, kinds);
                all = Err(unread);
            }
        }
        all
    }
}

/// A member of an item. AWS writes an empty list as an empty element, so one that is left out was not read; only the
/// `UserPolicyList` of a user without policies is left out, as AWS's own sample response shows:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html#API_GetAccountAuthorizationDetails_Examples>.
fn listed<T>(list: Option<T>, name: &str, mark: Mark) -> Result<T, Unread> {
    list.ok_or_else(|| mark.malformed(format!("{name} is missing")))
}

fn document(encoded: Option<&str>, mark: Mark) -> Result<Policy, Unread> {
    let encoded = encoded.ok_or_else(|| mark.malformed("a policy without its document"))?;
    Policy::read(encoded).map_err(|error| mark.malformed(error.to_string()))
}

/// A person's address: the tag's word, else a user name that is one.
fn email<'a>(tag: Option<&'a str>, name: &'a str) -> Option<&'a str> {
    let is_address =
        |text: &&str| text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'));
    tag.map(str::trim).filter(is_address).or(Some(name).filter(is_address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_address_is_the_tags_word_or_a_user_name_that_is_one() {
        for (tag, name, address) in [
            (Some("anna@acme.example"), "anna", Some("anna@acme.example")),
            (Some(" anna@acme.example "), "a@b.example", Some("anna@acme.example")),
            (None, "anna@acme.example", Some("anna@acme.example")),
            (Some("none"), "anna@acme.example", Some("anna@acme.example")),
            (None, "deploy@prod", None),
            (None, "@acme.example", None),
            (None, "anna", None),
        ] {
            assert_eq!(email(tag, name), address, "{tag:?} {name}");
        }
    }
}
