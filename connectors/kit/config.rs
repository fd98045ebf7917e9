//! What one source's settings must be able to say.

use std::collections::BTreeMap;

use domain::{CollectorName, IdError, SourceId};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::{
    CollectorSpec, Connector, Credentials, Document, Manners, Permissions, SecretError, SecretRef, Secrets, Transport,
};

/// The settings of one source of one kind.
///
/// Its doc comments are the reference manual of the kind. Implement it with `#[serde(deny_unknown_fields)]`, and with the
/// four common settings (`name`, `owner`, `schedules`, `runbook`) as fields of its own, since serde cannot flatten and
/// refuse unknown fields at once.
pub trait SourceConfig: DeserializeOwned + Serialize + JsonSchema + Clone + Send + Sync + 'static {
    /// The kind, which is also the connector's name: `keycloak`.
    const KIND: &'static str;
    /// What such a source is, in one sentence.
    const ABOUT: &'static str;
    /// The questions its connector can ask.
    const COLLECTORS: &'static [CollectorSpec];
    /// How to behave towards such a source, unless its settings say otherwise: [`SourceConfig::manners`].
    const MANNERS: Manners;
    /// How to grant a reader what the collectors need, as the steps a person takes at the source.
    const GRANT: &'static str;
    /// The same as documents, where the source has a form for them.
    const DOCUMENTS: &'static [Document] = &[];

    /// The settings that every source has.
    fn common(&self) -> Common<'_>;

    /// How to behave towards this source.
    fn manners(&self) -> Manners {
        Self::MANNERS
    }

    /// What is wrong with the settings of this kind, looking at nothing but them.
    fn own_problems(&self) -> Vec<FieldProblem>;

    /// The addresses that belong to the source, and how to reach them. All others are refused.
    fn transport(&self) -> Transport;

    /// The secrets its connector needs, each under the name of its setting.
    fn secrets(&self) -> Vec<(&'static str, &SecretRef)>;

    /// The sources whose recorded evidence it joins, in the order in which they are best asked before it, each with the
    /// place of the setting that names it: `accounts[0]`.
    fn joins(&self) -> Vec<(String, SourceId)> {
        Vec::new()
    }

    /// What is wrong with the files that it reads at each run, as they are now: a line for each fault, with its place
    /// and a remedy.
    fn file_problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes the connector for one run. Contacts nothing.
    fn connect(&self, credentials: Credentials) -> Result<Box<dyn Connector>, ConnectError>;
}

/// The settings that every source has.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// Its name among the sources of its kind.
    pub name: &'a str,
    /// Who answers for it: a person or team that alerts are addressed to.
    pub owner: &'a str,
    /// Schedules that replace a collector's own.
    pub schedules: Option<&'a BTreeMap<CollectorName, String>>,
    /// Where the reader of an alert finds what to do.
    pub runbook: Option<&'a Url>,
}

/// A setting that cannot be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldProblem {
    /// Where it stands, below the source: `url`, `schedules.people`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl FieldProblem {
    /// A problem of the setting at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        FieldProblem { path: path.into(), message: message.into(), remedy: remedy.into() }
    }
}

/// No connector could be made. The run fails with a gap that says so.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A secret could not be read.
    #[error("setting {setting}")]
    Secret {
        /// The setting that refers to it.
        setting: &'static str,
        /// Why.
        #[source]
        cause: SecretError,
    },
    /// The settings are not usable.
    #[error("{0}")]
    Settings(String),
}

/// One kind of source, for lists and manuals.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The connector's name: `keycloak`.
    pub name: &'static str,
    /// What such a source is.
    pub about: &'static str,
    /// The questions its connector can ask.
    pub collectors: &'static [CollectorSpec],
    /// How to grant a reader what they need.
    pub grant: &'static str,
    /// The same as documents, where the source has a form for them.
    pub documents: &'static [Document],
}

impl Kind {
    /// The kind that `T` configures.
    pub const fn of<T: SourceConfig>() -> Kind {
        Kind { name: T::KIND, about: T::ABOUT, collectors: T::COLLECTORS, grant: T::GRANT, documents: T::DOCUMENTS }
    }

    /// The permissions that the collectors need, from the calls they declare.
    pub fn permissions(&self) -> Permissions {
        Permissions::of(self.name, self.collectors, self.grant)
    }
}

/// Any configured source, whatever its kind.
pub trait AnySource: Send + Sync {
    /// Its kind.
    fn kind(&self) -> Kind;
    /// `kind:name`; an error when the name does not have the form.
    fn id(&self) -> Result<SourceId, IdError>;
    /// The settings that every source has.
    fn common(&self) -> Common<'_>;
    /// What is wrong with its settings, looking at nothing but them.
    fn problems(&self) -> Vec<FieldProblem>;
    /// How to behave towards it.
    fn manners(&self) -> Manners;
    /// The addresses that belong to it.
    fn transport(&self) -> Transport;
    /// The sources whose recorded evidence it joins, in the order in which they are best asked before it, each with the
    /// place of the setting that names it: `accounts[0]`.
    fn joins(&self) -> Vec<(String, SourceId)> {
        Vec::new()
    }

    /// What is wrong with the files that it reads at each run, as they are now: a line for each fault, with its place
    /// and a remedy.
    fn file_problems(&self) -> Vec<String> {
        Vec::new()
    }
    /// Reads the secrets it names and makes its connector. Contacts nothing.
    fn connect(&self, secrets: &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError>;

    /// The schedule of one of its collectors: the settings' word, else the collector's own.
    fn schedule(&self, collector: &CollectorSpec) -> String {
        let overridden =
            self.common().schedules.and_then(|all| all.iter().find(|(name, _)| name.as_str() == collector.name));
        overridden.map_or_else(|| collector.default_schedule.to_owned(), |(_, schedule)| schedule.clone())
    }
}

impl<T: SourceConfig> AnySource for T {
    fn kind(&self) -> Kind {
        Kind::of::<T>()
    }

    fn id(&self) -> Result<SourceId, IdError> {
        format!("{}:{}", T::KIND, SourceConfig::common(self).name).parse()
    }

    fn common(&self) -> Common<'_> {
        SourceConfig::common(self)
    }

    fn problems(&self) -> Vec<FieldProblem> {
        let common = SourceConfig::common(self);
        let mut problems = Vec::new();
        if let Err(error) = self.id() {
            problems.push(FieldProblem::new(
                "name",
                error.to_string(),
                "use lower-case letters, digits, '-', '_' and '.'",
            ));
        }
        if common.owner.trim().is_empty() {
            problems.push(FieldProblem::new("owner", "nobody answers for the source", "name a person or team"));
        }
        let names: Vec<&str> = T::COLLECTORS.iter().map(|c| c.name).collect();
        for name in common.schedules.into_iter().flat_map(BTreeMap::keys) {
            if !names.contains(&name.as_str()) {
                let remedy = match nearest(name.as_str(), &names) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("one of {}", names.join(", ")),
                };
                problems.push(FieldProblem::new(
                    format!("schedules.{name}"),
                    format!("{} has no collector {name}", T::KIND),
                    remedy,
                ));
            }
        }
        problems.extend(self.own_problems());
        problems
    }

    fn manners(&self) -> Manners {
        SourceConfig::manners(self)
    }

    fn transport(&self) -> Transport {
        SourceConfig::transport(self)
    }

    fn joins(&self) -> Vec<(String, SourceId)> {
        SourceConfig::joins(self)
    }

    fn file_problems(&self) -> Vec<String> {
        SourceConfig::file_problems(self)
    }

    fn connect(&self, secrets: &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError> {
        let credentials = Credentials::resolve(&self.secrets(), secrets)
            .map_err(|(setting, cause)| ConnectError::Secret { setting, cause })?;
        SourceConfig::connect(self, credentials)
    }
}

/// What is wrong with a source's address: credentials travel to it, so only https will do, or plain http to this machine.
pub fn address_problems(path: &str, address: &Url) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let mut add = |message: &str, remedy: &str| problems.push(FieldProblem::new(path, message, remedy));
    match (address.scheme(), address.host()) {
        (_, None) => add("names no host", "write https://<host>"),
        ("https", _) => {}
        ("http", Some(host)) if is_loopback(&host) => {}
        ("http", _) => add("would send credentials in clear", "write https://"),
        _ => add("is not a web address", "write https://<host>"),
    }
    if !address.username().is_empty() || address.password().is_some() {
        add("holds credentials", "put them into a file or variable");
    }
    if address.query().is_some() || address.fragment().is_some() {
        add("holds more than host and path", "leave out everything from '?' or '#'");
    }
    problems
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Domain(name) => *name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    }
}

/// An address with segments added to its path, each escaped, so that no value can climb out of its segment.
///
/// `None` for an address that cannot have a path, and for a segment of dots alone.
pub fn joined(base: &Url, segments: &[&str]) -> Option<Url> {
    let mut url = base.clone();
    if segments.iter().any(|s| s.is_empty() || *s == "." || *s == "..") {
        return None;
    }
    url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
    Some(url)
}

/// The name most like `word`, when one is like it: for `did you mean`.
pub fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| {
        let name: Vec<char> = name.chars().collect();
        let mut row: Vec<usize> = (0..=name.len()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut left = i + 1;
            let mut next = vec![left];
            for (pair, b) in row.windows(2).zip(&name) {
                let &[diagonal, above] = pair else { continue };
                left = (diagonal + usize::from(a != *b)).min(above + 1).min(left + 1);
                next.push(left);
            }
            row = next;
        }
        row.last().copied().unwrap_or(usize::MAX)
    };
    let best = names.iter().min_by_key(|name| distance(name))?;
    (distance(best) <= word.chars().count().div_ceil(3)).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_would_send_credentials_in_clear_is_refused() {
        let problems = |text: &str| address_problems("url", &text.parse().unwrap()).len();
        assert_eq!(problems("https://id.example.com/auth"), 0);
        assert_eq!(problems("http://127.0.0.1:8080"), 0);
        assert_eq!(problems("http://[::1]:8080"), 0);
        assert_eq!(problems("http://id.example.com"), 1);
        assert_eq!(problems("https://user:pass@id.example.com"), 1);
        assert_eq!(problems("https://id.example.com/?x=1"), 1);
        assert_eq!(problems("mailto:a@example.com"), 1);
    }

    #[test]
    fn a_segment_cannot_climb_out_of_its_place() {
        let base: Url = "https://id.example.com/auth".parse().unwrap();
        let url = joined(&base, &["admin", "realms", "a/../b?c#d"]).unwrap();
        assert_eq!(url.as_str(), "https://id.example.com/auth/admin/realms/a%2F..%2Fb%3Fc%23d");
        assert_eq!(joined(&base, &["admin", ".."]), None);
        assert_eq!(joined(&base, &["admin", ""]), None);
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(nearest("peple", &["realm", "people", "clients"]), Some("people"));
        assert_eq!(nearest("xyz", &["realm", "people", "clients"]), None);
    }
}
