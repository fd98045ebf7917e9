//! Settings of one GitHub organisation.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use domain::{CollectorName, GapReason};
use kit::{
    CollectorSpec, Common, ConnectError, Connector, Credentials, FieldProblem, Manners, Rate, SecretRef, SourceConfig,
    Transport, http,
};
use octocrab::auth::{AppAuth, EncodingKey};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::SignIn;
use crate::approved::Approved;

/// One GitHub organisation, read through the REST API of github.com or of a GitHub Enterprise server.
///
/// It is read as the installation of a GitHub App of your own, or with a token. An App is the better choice: its rights
/// are those of `evidenced permissions github` and no more, and belong to nobody who can leave. Only the token of an owner
/// can list members without a second factor; an App sees that the organisation requires one.
///
/// GitHub confirms unchanged answers without counting them against the hourly limit, as long as the token stays the same.
/// The token of an App is a new one in each run, so this helps a source that is read with a token.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name among the sources of this kind; with the kind it is the source's id: `github:acme`.
    #[schemars(example = &"acme")]
    pub name: String,
    /// Who answers for it: a person or team that alerts are addressed to.
    #[schemars(example = &"platform-team")]
    pub owner: String,
    /// Schedules that replace a collector's own, by collector: five cron fields, read in `schedules.zone`, or
    /// `every: 15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub schedules: Option<BTreeMap<CollectorName, String>>,
    /// Where the reader of an alert finds what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Url>,
    /// The organisation to read, as it stands in addresses.
    #[schemars(example = &"acme")]
    pub organisation: String,
    /// The address of the REST API. Left out: github.com. An Enterprise server has it below `/api/v3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://github.example.com/api/v3")]
    pub url: Option<Url>,
    /// The id of the GitHub App to sign in as, as its settings page shows it. Needs `installation_id` and `private_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &123_456)]
    pub app_id: Option<u64>,
    /// The id of the App's installation: the last number in the address of the installation's settings page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &7_890_123)]
    pub installation_id: Option<u64>,
    /// Where the App's private key lies, in the PEM form in which GitHub gives it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<SecretRef>,
    /// Where a token lies, instead of an App: a fine-grained one of an owner, or a classic one with the scopes `repo` and
    /// `admin:org`, which can do far more than read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretRef>,
    /// Calls a minute at the most. Left out: 890, a little less than the 900 reads a minute that GitHub publishes as its
    /// limit, since fetching a token counts as five. github.com is never asked more often. An Enterprise server has limits
    /// of its own, and none at all unless whoever runs it has set some: ask them before you write a larger number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = &890)]
    pub calls_per_minute: Option<u32>,
    /// Which repositories are in production, by name; `*` stands for any characters. Left out: every repository that is
    /// not archived, so that nothing escapes a rule for want of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &serde_json::json!(["api", "web-*"]))]
    pub production: Option<Vec<String>>,
    /// Ask the organisation's audit log who changed what. Only GitHub Enterprise has one that can be asked.
    #[serde(default)]
    pub audit_log: bool,
    /// Ask for members' e-mail addresses of the organisation's verified domains, so that members can be matched with
    /// people of an identity source. Only GitHub Enterprise shows them.
    #[serde(default)]
    pub verified_emails: bool,
    /// What the organisation has approved to come in from outside: its own register, which changes with the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
    /// A PEM file of authorities to trust beside the system's, for a server with a certificate of a private authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Config {
    /// Where the REST API is.
    fn rest(&self) -> Option<Url> {
        self.url.clone().or_else(|| Url::parse(GITHUB_COM).ok())
    }

    /// Whether GitHub itself runs what is read, github.com or an Enterprise Cloud below ghe.com, and not the organisation.
    fn is_github_com(&self) -> bool {
        let host = |url: &Url| url.host_str().is_none_or(|host| host == GITHUB_COM_HOST || host.ends_with(".ghe.com"));
        self.url.as_ref().is_none_or(host)
    }

    /// Where the GraphQL API is: beside the REST API on github.com, above it on an Enterprise server.
    ///
    /// <https://docs.github.com/en/enterprise-server@latest/graphql/guides/managing-enterprise-accounts>
    fn graphql_base(&self) -> Option<Url> {
        let mut base = self.rest()?;
        let above = base.path().trim_end_matches('/').strip_suffix("/v3").map(str::to_owned);
        if let Some(above) = above {
            base.set_path(&above);
        }
        Some(base)
    }
}

const GITHUB_COM: &str = "https://api.github.com/";
/// The host of [`GITHUB_COM`].
const GITHUB_COM_HOST: &str = "api.github.com";

/// github.com takes 900 points a minute, of which a read is one and a token five:
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits>.
const CALLS_PER_MINUTE: u32 = 890;

const MINUTE: Duration = Duration::from_secs(60);

impl SourceConfig for Config {
    const KIND: &'static str = "github";
    const ABOUT: &'static str =
        "One GitHub organisation: its settings, people, Apps, repositories and the rules of their default branches.";
    const COLLECTORS: &'static [CollectorSpec] = super::spec::COLLECTORS;
    /// GitHub bears 100 calls at once, and asks for few.
    const MANNERS: Manners = Manners {
        concurrency: 8,
        rate: Some(Rate { calls: CALLS_PER_MINUTE, within: MINUTE }),
        throttles: kit::throttles_by_headers,
        meaning,
        request_id: &["x-github-request-id"],
    };
    const GRANT: &'static str = "\
As an App (Settings of the organisation > Developer settings > GitHub Apps > New GitHub App):
1. Webhook: not active. Permissions: those above, each with access Read-only, and no others. members, and all whose
   name begins with organization_, stand under Organization permissions; the others under Repository permissions.
2. Install App: on the organisation, for all repositories. With selected repositories the others stay unseen.
3. Generate a private key, and put the file where only the daemon can read it. The App's id stands on its page, the
   installation's id at the end of the address of its page in the organisation's settings.
With a token instead: a fine-grained token of an owner, the organisation as its resource owner, all repositories, and
the permissions above. security_events is called Code scanning alerts there and in the App's settings.";
    const DOCUMENTS: &'static [kit::Document] = super::reader::DOCUMENTS;

    fn common(&self) -> Common<'_> {
        let Config { name, owner, schedules, runbook, .. } = self;
        Common { name, owner, schedules: schedules.as_ref(), runbook: runbook.as_ref() }
    }

    fn manners(&self) -> Manners {
        let calls = self.calls_per_minute.unwrap_or(CALLS_PER_MINUTE);
        Manners { rate: Some(Rate { calls, within: MINUTE }), ..Self::MANNERS }
    }

    fn own_problems(&self) -> Vec<FieldProblem> {
        let mut problems = self.url.iter().flat_map(|url| kit::address_problems("url", url)).collect::<Vec<_>>();
        let name = self.organisation.trim();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            problems.push(FieldProblem::new(
                "organisation",
                "is not the name of an organisation",
                "write it as it stands in the address of its page on GitHub",
            ));
        }
        let parts = [self.app_id.is_some(), self.installation_id.is_some(), self.private_key.is_some()];
        let (some, all) = (parts.contains(&true), !parts.contains(&false));
        match &self.token {
            None if !all => problems.push(FieldProblem::new(
                "app_id",
                if some { "is one of three that go together" } else { "is left out, and so is token" },
                "write app_id, installation_id and private_key, or token alone",
            )),
            Some(_) if some => problems.push(FieldProblem::new(
                "token",
                "is a second way to sign in",
                "keep the App's three settings or token, not both",
            )),
            _ => {}
        }
        if self.production.as_ref().is_some_and(Vec::is_empty) {
            problems.push(FieldProblem::new(
                "production",
                "is empty, so no repository would be in production",
                "name some, or leave it out: then all are that are not archived",
            ));
        }
        match self.calls_per_minute {
            Some(0) => problems.push(FieldProblem::new(
                "calls_per_minute",
                "is 0, so nothing could be asked",
                "write a number, or leave it out for 890",
            )),
            Some(calls) if calls > CALLS_PER_MINUTE && self.is_github_com() => problems.push(FieldProblem::new(
                "calls_per_minute",
                "is more than github.com takes",
                "write at most 890, or leave it out; only an Enterprise server may take more",
            )),
            _ => {}
        }
        problems.extend(self.approved.iter().flat_map(Approved::problems));
        problems
    }

    fn transport(&self) -> Transport {
        let mut addresses: Vec<Url> = [self.rest(), self.graphql_base()].into_iter().flatten().collect();
        addresses.dedup();
        Transport { addresses, ca_file: self.ca_file.clone() }
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        let key = self.private_key.iter().map(|key| ("private_key", key));
        key.chain(self.token.iter().map(|token| ("token", token))).collect()
    }

    fn connect(&self, mut credentials: Credentials) -> Result<Box<dyn Connector>, ConnectError> {
        let unusable = |why: &str| ConnectError::Settings(why.to_owned());
        let mut secret = |setting: &str| credentials.take(setting).ok_or_else(|| unusable("a secret is missing"));
        let sign_in = match (self.app_id, self.installation_id) {
            (Some(app), Some(installation)) => {
                let pem = secret("private_key")?;
                let key = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes());
                let key = key.map_err(|_| unusable("private_key holds no RSA key in PEM form"))?;
                SignIn::App { installation, auth: AppAuth { app_id: app.into(), key } }
            }
            _ => SignIn::Token(secret("token")?),
        };
        Ok(Box::new(super::Github {
            rest: self.rest().ok_or_else(|| unusable("url is no address"))?,
            graphql: self.graphql_base().ok_or_else(|| unusable("url is no address"))?,
            organisation: self.organisation.trim().to_owned(),
            sign_in,
            production: self.production.clone(),
            audit_log: self.audit_log,
            verified_emails: self.verified_emails,
            approved: self.approved.clone().unwrap_or_default(),
            page: super::PAGE,
        }))
    }
}

/// A secondary limit is told in the body, with 403 or 429, and not always with a time to come back.
fn meaning(status: u16, _: &http::HeaderMap, body: &[u8]) -> Option<GapReason> {
    const SAID: [&[u8]; 2] = [b"secondary rate limit", b"abuse detection"];
    let says = |words: &[u8]| body.windows(words.len()).any(|part| part == words);
    (matches!(status, 403 | 429) && SAID.iter().any(|words| says(words))).then_some(GapReason::Throttled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secondary_limit_is_throttling_and_a_refusal_is_not() {
        let meant = |status, body: &str| meaning(status, &http::HeaderMap::new(), body.as_bytes());
        let limit = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}"#;
        assert_eq!(meant(403, limit), Some(GapReason::Throttled));
        assert_eq!(meant(429, limit), Some(GapReason::Throttled));
        assert_eq!(meant(200, limit), None);
        assert_eq!(meant(403, r#"{"message":"Resource not accessible by integration"}"#), None);
    }

    #[test]
    fn github_com_is_asked_no_more_than_900_times_in_a_minute_and_a_server_as_often_as_its_settings_say() {
        let asked = |change: serde_json::Value| {
            let mut text = serde_json::json!({"name": "a", "owner": "b", "organisation": "acme"});
            text.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let config: Config = serde_json::from_value(text).unwrap();
            let rate = SourceConfig::manners(&config).rate.unwrap();
            (rate.calls, rate.within)
        };
        assert_eq!(asked(serde_json::json!({})), (890, Duration::from_secs(60)));
        assert_eq!(asked(serde_json::json!({"calls_per_minute": 5000})), (5000, Duration::from_secs(60)));
    }

    #[test]
    fn an_enterprise_server_has_graphql_above_its_rest_api() {
        let config = |url: Option<&str>| {
            let text = serde_json::json!({"name": "a", "owner": "b", "organisation": "c", "url": url});
            serde_json::from_value::<Config>(text).unwrap()
        };
        let addresses = |url| config(url).transport().addresses.iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(addresses(None), ["https://api.github.com/"]);
        let own = ["https://github.example.com/api/v3", "https://github.example.com/api"];
        assert_eq!(addresses(Some("https://github.example.com/api/v3")), own);
    }

    #[test]
    fn settings_that_cannot_be_right_are_named() {
        let problems = |change: serde_json::Value| {
            let mut text =
                serde_json::json!({"name": "a", "owner": "b", "organisation": "acme", "token": {"env": "T"}});
            text.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let config: Config = serde_json::from_value(text).unwrap();
            config.own_problems().into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        let key = serde_json::json!({"env": "K"});
        let app = serde_json::json!({"token": null, "app_id": 1, "installation_id": 2, "private_key": key});
        assert_eq!(problems(serde_json::json!({})), [""; 0]);
        assert_eq!(problems(serde_json::json!({"organisation": "acme/api"})), ["organisation"]);
        assert_eq!(problems(app), [""; 0]);
        assert_eq!(problems(serde_json::json!({"app_id": 1})), ["token"]);
        assert_eq!(problems(serde_json::json!({"token": null})), ["app_id"]);
        assert_eq!(problems(serde_json::json!({"token": null, "app_id": 1, "private_key": key})), ["app_id"]);
        assert_eq!(problems(serde_json::json!({"production": []})), ["production"]);
        let server = "https://github.example.com/api/v3";
        assert_eq!(problems(serde_json::json!({"calls_per_minute": 0})), ["calls_per_minute"]);
        assert_eq!(problems(serde_json::json!({"calls_per_minute": 890})), [""; 0]);
        assert_eq!(problems(serde_json::json!({"calls_per_minute": 891})), ["calls_per_minute"]);
        let of_github_com = serde_json::json!({"calls_per_minute": 891, "url": "https://api.github.com/"});
        assert_eq!(problems(of_github_com), ["calls_per_minute"]);
        assert_eq!(problems(serde_json::json!({"calls_per_minute": 9000, "url": server})), [""; 0]);
        assert_eq!(problems(serde_json::json!({"url": "http://github.example.com"})), ["url"]);
    }
}
