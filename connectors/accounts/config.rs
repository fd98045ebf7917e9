//! Settings of one join: whose the accounts of some sources are, by the identities of others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::{CollectorName, Duration, SourceId};
use kit::{
    CollectorSpec, Common, ConnectError, Connector, Credentials, FieldProblem, Manners, SecretRef, SourceConfig,
    Transport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::mapping::Mapping;
use crate::spec::{ACCOUNTS, IDENTITIES};

/// Whose each account is: accounts at code hosts and in clouds, held against the identities of the organisation.
///
/// It asks no source. It reads what was recorded of the sources it names, and keeps which run of theirs it read. An account
/// belongs to the one identity whose verified address it has, or to the one that the mapping file names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name among the sources of this kind.
    #[schemars(example = &"acme")]
    pub name: String,
    /// Who answers for it: a person or team that alerts are addressed to.
    #[schemars(example = &"identity-team")]
    pub owner: String,
    /// Schedules that replace a collector's own, by collector: five cron fields in UTC, or `every: 15m`. Beside its schedule
    /// it runs whenever something changed in what it joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub schedules: Option<BTreeMap<CollectorName, String>>,
    /// Where the reader of an alert finds what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Url>,
    /// The sources that hold the identities: `keycloak:acme`. A person may be in any of them.
    #[schemars(with = "Vec<String>", example = &["keycloak:acme"])]
    pub identities: Vec<SourceId>,
    /// The sources whose accounts must each belong to one: `github:acme`, `aws:prod`.
    #[schemars(with = "Vec<String>", example = &["github:acme"])]
    pub accounts: Vec<SourceId>,
    /// A YAML file, read at each run, that says whose an account is where no verified address does. Each line of its
    /// list names an `account` by its source and its name or id, and either the `identity` it belongs to by its
    /// address, or that it is a `service` with its `owner` and `reason`. An account that stands here is not looked up
    /// by its address. It has 100,000 lines at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/evidenced/accounts.yaml")]
    pub mapping: Option<PathBuf>,
    /// How old what it joins may be: `1m` to `366d`. Beyond that nothing is said of anybody. Left out: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"24h")]
    pub max_age: Option<Duration>,
}

/// How old what is joined may be, where the settings do not say.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

impl Config {
    pub(crate) fn max_age(&self) -> Duration {
        self.max_age.unwrap_or(MAX_AGE)
    }
}

impl SourceConfig for Config {
    const KIND: &'static str = "accounts";
    const ABOUT: &'static str =
        "Whose each account is: accounts at code hosts and in clouds, held against recorded identities.";
    const COLLECTORS: &'static [CollectorSpec] = crate::spec::COLLECTORS;
    /// There is nobody to be spared.
    const MANNERS: Manners = Manners {
        concurrency: 1,
        rate: None,
        throttles: kit::throttles_by_headers,
        meaning: kit::by_status,
        request_id: &[],
    };
    const GRANT: &'static str = "\
Nothing: it reads what was recorded of other sources, and the mapping file, which the daemon must be able to read.";

    fn common(&self) -> Common<'_> {
        let Config { name, owner, schedules, runbook, .. } = self;
        Common { name, owner, schedules: schedules.as_ref(), runbook: runbook.as_ref() }
    }

    fn own_problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let identities: Vec<&str> = IDENTITIES.iter().map(|side| side.source).collect();
        let accounts: Vec<&str> = ACCOUNTS.iter().map(|side| side.source).collect();
        for (path, sources, kinds) in
            [("identities", &self.identities, &identities), ("accounts", &self.accounts, &accounts)]
        {
            if sources.is_empty() {
                let remedy = format!("name a source of the kind {}", kinds.join(" or "));
                problems.push(FieldProblem::new(path, "names no source", remedy));
            }
            for (place, source) in sources.iter().enumerate() {
                let at = format!("{path}[{place}]");
                if !kinds.contains(&source.kind()) {
                    let message = format!("{path} are not read from sources of the kind {}", source.kind());
                    problems.push(FieldProblem::new(&at, message, format!("one of {}", kinds.join(", "))));
                }
                if sources.iter().take(place).any(|earlier| earlier == source) {
                    problems.push(FieldProblem::new(at, format!("{source} stands here already"), "name it once"));
                }
            }
        }
        if self.mapping.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            problems.push(FieldProblem::new("mapping", "is empty", "name a file, or leave the setting out"));
        }
        let (least, most) = (Duration::from_secs(60), Duration::from_secs(366 * 24 * 3600));
        if !(least..=most).contains(&self.max_age()) {
            problems.push(FieldProblem::new("max_age", format!("{} is out of range", self.max_age()), "1m to 366d"));
        }
        problems
    }

    fn transport(&self) -> Transport {
        Transport { addresses: Vec::new(), ca_file: None }
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        Vec::new()
    }

    /// Accounts first: each is held against identities that were read no earlier than it was.
    fn joins(&self) -> Vec<(String, SourceId)> {
        let named = |setting: &'static str, sources: &[SourceId]| {
            let sources = sources.iter().cloned().enumerate();
            sources.map(|(place, source)| (format!("{setting}[{place}]"), source)).collect::<Vec<_>>()
        };
        [named("accounts", &self.accounts), named("identities", &self.identities)].concat()
    }

    fn file_problems(&self) -> Vec<String> {
        let Some(path) = &self.mapping else { return Vec::new() };
        let faults = match std::fs::read_to_string(path) {
            Ok(text) => Mapping::read(&text, &self.accounts).err().unwrap_or_default(),
            Err(error) => return vec![format!("{}: cannot be read: {error}", path.display())],
        };
        faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect()
    }

    fn connect(&self, _: Credentials) -> Result<Box<dyn Connector>, ConnectError> {
        Ok(Box::new(super::Join { config: self.clone() }))
    }
}
