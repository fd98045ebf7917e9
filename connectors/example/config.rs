//! Settings of one door register.

use std::collections::BTreeMap;

use domain::CollectorName;
use kit::{
    CollectorSpec, Common, ConnectError, Connector, Credentials, FieldProblem, Manners, SecretRef, SourceConfig,
    Transport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// An imaginary door register, to learn from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name among the sources of this kind.
    #[schemars(example = &"office")]
    pub name: String,
    /// Who answers for it.
    #[schemars(example = &"facilities")]
    pub owner: String,
    /// Schedules that replace a collector's own: five cron fields, read in `schedules.zone`, or
    /// `every: 15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub schedules: Option<BTreeMap<CollectorName, String>>,
    /// Where the reader of an alert finds what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Url>,
    /// The register's address.
    #[schemars(example = &"https://doors.example.com")]
    pub url: Url,
    /// The token of a reader.
    pub token: SecretRef,
}

impl SourceConfig for Config {
    const KIND: &'static str = "example";
    const ABOUT: &'static str = "An imaginary door register, to learn from.";
    const COLLECTORS: &'static [CollectorSpec] = super::COLLECTORS;
    const MANNERS: Manners = Manners {
        concurrency: 2,
        rate: None,
        throttles: kit::throttles_by_headers,
        meaning: kit::by_status,
        request_id: &["x-request-id"],
    };
    const GRANT: &'static str = "Make a token with the permission doors:read.";

    fn common(&self) -> Common<'_> {
        let Config { name, owner, schedules, runbook, .. } = self;
        Common { name, owner, schedules: schedules.as_ref(), runbook: runbook.as_ref() }
    }

    fn own_problems(&self) -> Vec<FieldProblem> {
        kit::address_problems("url", &self.url)
    }

    fn transport(&self) -> Transport {
        Transport { addresses: vec![self.url.clone()], ca_file: None }
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        vec![("token", &self.token)]
    }

    fn connect(&self, mut credentials: Credentials) -> Result<Box<dyn Connector>, ConnectError> {
        let token = credentials.take("token").ok_or_else(|| ConnectError::Settings("token is missing".to_owned()))?;
        Ok(Box::new(super::Doors { url: self.url.clone(), token }))
    }
}
