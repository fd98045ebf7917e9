//! Settings of one Keycloak realm.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::CollectorName;
use kit::{
    CollectorSpec, Common, ConnectError, Connector, Credentials, FieldProblem, Manners, SecretRef, SourceConfig,
    Transport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// One realm of a Keycloak server (seen with 26.4), read through its admin REST API.
///
/// The reader is a confidential client of the same realm with a service account, signed in by client credentials. What
/// administrators of the `master` realm do here is seen; who they are is not.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name among the sources of this kind; with the kind it is the source's id: `keycloak:acme`.
    #[schemars(example = &"acme")]
    pub name: String,
    /// Who answers for it: a person or team that alerts are addressed to.
    #[schemars(example = &"identity-team")]
    pub owner: String,
    /// Schedules that replace a collector's own, by collector: five cron fields, read in `schedules.zone`, or
    /// `every: 15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub schedules: Option<BTreeMap<CollectorName, String>>,
    /// Where the reader of an alert finds what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Url>,
    /// The server's address, with its leading path where it has one. https, or http to this machine.
    #[schemars(example = &"https://id.example.com")]
    pub url: Url,
    /// The realm to read.
    #[schemars(example = &"acme")]
    pub realm: String,
    /// The client to sign in as.
    #[schemars(example = &"evidenced-reader")]
    pub client_id: String,
    /// Where that client's secret lies. It is read again at every run, so a changed secret needs no restart.
    pub client_secret: SecretRef,
    /// A PEM file of authorities to trust beside the system's, for a server with a certificate of a private authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl SourceConfig for Config {
    const KIND: &'static str = "keycloak";
    const ABOUT: &'static str =
        "One realm of a Keycloak server: its sign-in rules, people, administrators and clients.";
    const COLLECTORS: &'static [CollectorSpec] = super::spec::COLLECTORS;
    /// Keycloak has no limits of its own and is the customer's sign-in, so few calls at once.
    const MANNERS: Manners = Manners {
        concurrency: 4,
        rate: None,
        throttles: kit::throttles_by_headers,
        meaning: kit::by_status,
        request_id: &["x-request-id"],
    };
    const GRANT: &'static str = "\
In the realm to be read:
1. Clients > Create client: type OpenID Connect, client ID evidenced-reader.
2. Client authentication on; standard flow and direct access grants off; service accounts roles on.
3. Service accounts roles > Assign role > filter by clients: view-realm, view-users, view-clients, view-events,
   each of realm-management. Nothing else: these only read.
4. Credentials: copy the client secret into a file that only the daemon can read.
Leave \"full scope allowed\" on and \"use lightweight access token\" off: the roles are read from the token itself.";
    const DOCUMENTS: &'static [kit::Document] = super::reader::DOCUMENTS;

    fn common(&self) -> Common<'_> {
        let Config { name, owner, schedules, runbook, .. } = self;
        Common { name, owner, schedules: schedules.as_ref(), runbook: runbook.as_ref() }
    }

    fn own_problems(&self) -> Vec<FieldProblem> {
        let mut problems = kit::address_problems("url", &self.url);
        for (path, value) in [("realm", &self.realm), ("client_id", &self.client_id)] {
            if value.trim().is_empty() {
                problems.push(FieldProblem::new(path, "is empty", "write its name as Keycloak shows it"));
            }
        }
        if kit::joined(&self.url, &[&self.realm]).is_none() && !self.realm.trim().is_empty() {
            problems.push(FieldProblem::new(
                "realm",
                "cannot stand in an address",
                "write its name as Keycloak shows it",
            ));
        }
        problems
    }

    fn transport(&self) -> Transport {
        Transport { addresses: vec![self.url.clone()], ca_file: self.ca_file.clone() }
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        vec![("client_secret", &self.client_secret)]
    }

    fn connect(&self, mut credentials: Credentials) -> Result<Box<dyn Connector>, ConnectError> {
        let missing = || ConnectError::Settings("client_secret is missing".to_owned());
        let client_secret = credentials.take("client_secret").ok_or_else(missing)?;
        Ok(Box::new(super::Realm {
            url: self.url.clone(),
            realm: self.realm.clone(),
            client_id: self.client_id.clone(),
            client_secret,
            page: super::PAGE,
        }))
    }
}
