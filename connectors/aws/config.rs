//! Settings of one AWS source: an account, or several that one sign-in reaches through a role each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use domain::CollectorName;
use kit::{
    CollectorSpec, Common, ConnectError, Connector, Credentials, FieldProblem, Manners, SecretRef, SourceConfig,
    Transport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::partition::Partition;
use crate::{Estate, Keys};

/// AWS accounts, their identity part: root, users, keys, roles, policies.
///
/// Signs in as AWS users expect. With `access_key` by that key; with `profile` by that profile of the shared files (keys,
/// `credential_process`, web identity, assumed roles); with neither by the environment variables, then the default
/// profile, then the platform's web identity. Metadata services of machines and containers are never asked, and a
/// profile of IAM Identity Center (SSO) is refused: a daemon cannot sign in to it.
///
/// Only the addresses of IAM, STS and (with `cloudtrail`) CloudTrail that follow from `region` are ever contacted, or
/// `endpoint_url` alone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name among the sources of this kind; with the kind it is the source's id: `aws:prod`.
    #[schemars(example = &"prod")]
    pub name: String,
    /// Who answers for it: a person or team that alerts are addressed to.
    #[schemars(example = &"cloud-team")]
    pub owner: String,
    /// Schedules that replace a collector's own, by collector: five cron fields, read in `schedules.zone`, or
    /// `every: 15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub schedules: Option<BTreeMap<CollectorName, String>>,
    /// Where the reader of an alert finds what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Url>,
    /// The region to sign in through. IAM itself is the same in all regions of a partition.
    #[serde(default = "default_region")]
    #[schemars(example = &"eu-central-1")]
    pub region: String,
    /// The profile of the shared files (`~/.aws/config`) to sign in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"evidenced")]
    pub profile: Option<String>,
    /// A file with profiles, instead of `~/.aws/config` and `~/.aws/credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/evidenced/aws-profiles")]
    pub config_file: Option<PathBuf>,
    /// The key to sign in by, instead of a profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<AccessKey>,
    /// A role to assume first, before the accounts' own roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<Role>,
    /// The accounts to read, through a role each. None: the account that the sign-in itself belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// Further accounts of your organisation, by number: a role that trusts them trusts no vendor. Those of `accounts`
    /// need not be repeated.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(example = &["444455556666"])]
    pub own_accounts: BTreeSet<String>,
    /// The tag of an IAM user that holds a person's e-mail address. Without the tag, a user name that is an address
    /// counts.
    #[serde(default = "default_email_tag")]
    pub email_tag: String,
    /// Ask CloudTrail who changed users, roles and policies during the last day. It needs one permission more, and
    /// nothing is judged by it.
    #[serde(default)]
    pub cloudtrail: bool,
    /// One address for all calls instead of AWS's own: an interface endpoint or proxy of yours, or a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<Url>,
    /// A PEM file of authorities to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// A long-lived or temporary key. The secrets are read again at every run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The key's id, which is no secret.
    #[schemars(example = &"AKIAIOSFODNN7EXAMPLE")]
    pub id: String,
    /// Where the secret key lies.
    pub secret: SecretRef,
    /// Where the session token lies, for a temporary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretRef>,
}

/// A role to assume.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The role's ARN.
    #[schemars(example = &"arn:aws:iam::111122223333:role/evidenced-reader")]
    pub role_arn: String,
    /// The external id that its trust asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"acme-7f3a")]
    pub external_id: Option<String>,
}

/// One account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its number, twelve digits, in quotes.
    #[schemars(example = &"111122223333")]
    pub id: String,
    /// The name people know it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"production")]
    pub name: Option<String>,
    /// The role to read it through. None: the sign-in itself belongs to this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"arn:aws:iam::111122223333:role/evidenced-reader")]
    pub role_arn: Option<String>,
    /// The external id that the role's trust asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"acme-7f3a")]
    pub external_id: Option<String>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_email_tag() -> String {
    "email".to_owned()
}

impl Config {
    /// The addresses of IAM, STS and CloudTrail.
    fn addresses(&self) -> Option<Addresses> {
        if let Some(url) = &self.endpoint_url {
            return Some(Addresses { iam: url.clone(), sts: url.clone(), cloudtrail: url.clone() });
        }
        let partition = Partition::of(&self.region)?;
        Some(Addresses {
            iam: Url::parse(partition.iam).ok()?,
            sts: Url::parse(&format!("https://sts.{}.{}", self.region, partition.suffix)).ok()?,
            cloudtrail: Url::parse(&format!("https://cloudtrail.{}.{}", partition.home, partition.suffix)).ok()?,
        })
    }
}

/// Where the services answer.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) iam: Url,
    pub(crate) sts: Url,
    pub(crate) cloudtrail: Url,
}

impl SourceConfig for Config {
    const KIND: &'static str = "aws";
    const ABOUT: &'static str = "AWS accounts, their identity part: root, users, keys, roles and policies.";
    const COLLECTORS: &'static [CollectorSpec] = super::spec::COLLECTORS;
    /// IAM's limits are not published; its calls are few and large, and go one by one.
    const MANNERS: Manners = Manners {
        concurrency: 2,
        rate: None,
        throttles: kit::throttles_by_headers,
        meaning: super::words::meaning,
        request_id: &["x-amzn-requestid", "x-amz-request-id"],
    };
    const GRANT: &'static str = include_str!("grant.txt");
    const DOCUMENTS: &'static [kit::Document] = super::reader::DOCUMENTS;

    fn common(&self) -> Common<'_> {
        let Config { name, owner, schedules, runbook, .. } = self;
        Common { name, owner, schedules: schedules.as_ref(), runbook: runbook.as_ref() }
    }

    fn own_problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut add = |path: String, message: &str, remedy: &str| {
            problems.push(FieldProblem::new(path, message, remedy));
        };
        if self.addresses().is_none() {
            add(
                "region".to_owned(),
                "is no region this program knows",
                "write one such as eu-central-1, or endpoint_url",
            );
        }
        if (self.profile.is_some() || self.config_file.is_some()) && self.access_key.is_some() {
            add("access_key".to_owned(), "stands beside a profile", "keep one of the two");
        }
        if self.email_tag.trim().is_empty() {
            add("email_tag".to_owned(), "is empty", "write the tag's key, or leave it out for email");
        }
        let role = |arn: &str| arn.starts_with("arn:") && arn.contains(":iam::") && arn.contains(":role/");
        const ARN: &str = "write arn:aws:iam::<account>:role/<name>";
        if self.assume_role.as_ref().is_some_and(|own| !role(&own.role_arn)) {
            add("assume_role.role_arn".to_owned(), "is no role's ARN", ARN);
        }
        let mut seen = BTreeSet::new();
        for (place, account) in self.accounts.iter().enumerate() {
            if !is_account(&account.id) {
                add(format!("accounts[{place}].id"), "is no account's number", "write its twelve digits, in quotes");
            } else if !seen.insert(&account.id) {
                add(format!("accounts[{place}].id"), "stands here twice", "leave one of them out");
            }
            match &account.role_arn {
                Some(arn) if !role(arn) => add(format!("accounts[{place}].role_arn"), "is no role's ARN", ARN),
                Some(arn) if is_account(&account.id) && !arn.contains(&format!("::{}:", account.id)) => {
                    add(format!("accounts[{place}].role_arn"), "is a role of another account", ARN);
                }
                None if account.external_id.is_some() => {
                    add(format!("accounts[{place}].external_id"), "stands without a role", "add role_arn");
                }
                _ => {}
            }
        }
        for id in self.own_accounts.iter().filter(|id| !is_account(id)) {
            add(format!("own_accounts.{id}"), "is no account's number", "write its twelve digits, in quotes");
        }
        problems.extend(self.endpoint_url.iter().flat_map(|url| kit::address_problems("endpoint_url", url)));
        problems
    }

    fn transport(&self) -> Transport {
        let mut addresses = Vec::new();
        if let Some(all) = self.addresses() {
            addresses.extend([all.iam, all.sts]);
            addresses.extend(self.cloudtrail.then_some(all.cloudtrail));
        }
        Transport { addresses, ca_file: self.ca_file.clone() }
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        let key = self.access_key.as_ref();
        let secret = key.map(|key| ("access_key.secret", &key.secret));
        let token = key.and_then(|key| key.session_token.as_ref()).map(|token| ("access_key.session_token", token));
        secret.into_iter().chain(token).collect()
    }

    fn connect(&self, credentials: Credentials) -> Result<Box<dyn Connector>, ConnectError> {
        Ok(Box::new(self.estate(credentials)?))
    }
}

impl Config {
    pub(crate) fn estate(&self, mut credentials: Credentials) -> Result<Estate, ConnectError> {
        let settings = |why: &str| ConnectError::Settings(why.to_owned());
        let access_key = match &self.access_key {
            None => None,
            Some(key) => Some(Keys {
                id: key.id.clone(),
                secret: credentials
                    .take("access_key.secret")
                    .ok_or_else(|| settings("access_key.secret is missing"))?,
                token: credentials.take("access_key.session_token"),
            }),
        };
        let own = self.own_accounts.iter().chain(self.accounts.iter().map(|account| &account.id));
        Ok(Estate {
            region: self.region.clone(),
            // Beside `endpoint_url` the region may be one that is not known here. Then the partition says only which
            // region requests are signed for; where that is the wrong one, AWS refuses them, and all of it is a gap.
            partition: Partition::of(&self.region).unwrap_or_default(),
            addresses: self.addresses().ok_or_else(|| settings("the region is not known"))?,
            profile: self.profile.clone(),
            config_file: self.config_file.clone(),
            access_key,
            assume_role: self.assume_role.clone(),
            accounts: self.accounts.clone(),
            own_accounts: own.cloned().collect(),
            email_tag: self.email_tag.clone(),
            cloudtrail: self.cloudtrail,
            page: super::pages::PAGE,
        })
    }
}

/// Whether a text is an account's number.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}
