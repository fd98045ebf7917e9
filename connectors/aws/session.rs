//! Signing in: from the settings to a client for each account, or the reason why there is none.

use std::sync::Arc;
use std::time::SystemTime;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use domain::GapReason;
use kit::view::Mark;
use kit::{Answer, Recorder, Unread};
use secrecy::ExposeSecret;
use url::Url;

use crate::Estate;
use crate::config::Role;
use crate::spec::CALLER;
use crate::wire::Wire;
use crate::words;

/// The name our sessions bear in the log of the account.
const SESSION_NAME: &str = "evidenced";

/// One account that we are signed in to.
pub(crate) struct Session {
    /// Its number, as AWS itself says it.
    pub(crate) account: String,
    /// The name people know it by; its number where the settings give none.
    pub(crate) name: String,
    /// Who AWS takes us for.
    pub(crate) caller: String,
    /// Where that was said.
    pub(crate) mark: Mark,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) credentials: Credentials,
    pub(crate) wire: Wire,
}

/// An account that could not be reached, by the number and name that the settings give it.
pub(crate) struct Unreached {
    pub(crate) account: Option<(String, String)>,
    pub(crate) unread: Unread,
}

/// Signs in to every account of the estate, one after the other.
pub(crate) async fn open(estate: &Estate, recorder: &Arc<Recorder>) -> Vec<Result<Session, Unreached>> {
    let wire = Wire::new(Arc::clone(recorder));
    let base = base(estate, &wire).await;
    if estate.accounts.is_empty() {
        let session = match base {
            Ok(credentials) => session(estate, &wire, credentials, None).await,
            Err(unread) => Err(unread),
        };
        return vec![session.map_err(|unread| Unreached { account: None, unread })];
    }
    let mut all = Vec::new();
    for account in &estate.accounts {
        let name = account.name.clone().unwrap_or_else(|| account.id.clone());
        let known = (account.id.clone(), name);
        let opened = async {
            let mut credentials = base.clone()?;
            if let Some(role_arn) = &account.role_arn {
                let role = Role { role_arn: role_arn.clone(), external_id: account.external_id.clone() };
                credentials = assume(estate, &wire, credentials, &role).await?;
            }
            session(estate, &wire, credentials, Some(&known)).await
        };
        all.push(opened.await.map_err(|unread| {
            let detail = format!("account {}: {}", known.0, unread.detail);
            Unreached { account: Some(known.clone()), unread: Unread { detail, ..unread } }
        }));
    }
    all
}

/// Waits for the SDK's answer, and gives it with the exchange it was read from, or says why there is none.
pub(crate) async fn ask<T, E>(
    wire: &Wire,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<(T, Answer), Unread> {
    wire.take_last();
    match (call.await, wire.take_last()) {
        (_, Some(Err(unread))) => Err(words::told(unread)),
        (Ok(output), Some(Ok(answer))) => Ok((output, answer)),
        (Err(_), Some(Ok(answer))) => {
            Err(answer.mark.malformed("the answer is not what the service's description says"))
        }
        (_, None) => Err(Unread::unsent(&CALLER, GapReason::Malformed, "the request could not be made")),
    }
}

/// The credentials that everything begins with.
async fn base(estate: &Estate, wire: &Wire) -> Result<Credentials, Unread> {
    let credentials = match &estate.access_key {
        Some(key) => {
            let token = key.token.as_ref().map(|token| token.expose_secret().to_owned());
            Credentials::new(key.id.as_str(), key.secret.expose_secret(), token, None, "settings")
        }
        None => {
            wire.take_last();
            let found = provided(estate, wire).await;
            found.map_err(|error| match wire.take_last() {
                Some(Err(unread)) => words::told(unread),
                _ => Unread::unsent(&CALLER, GapReason::Unauthenticated, refusal(estate, &error)),
            })?
        }
    };
    match &estate.assume_role {
        Some(role) => assume(estate, wire, credentials, role).await,
        None => Ok(credentials),
    }
}

/// What environment and shared files give. The machine's metadata services are not in the chain, and a profile that
/// names one is refused by the recorder, which knows no such address.
async fn provided(estate: &Estate, wire: &Wire) -> Result<Credentials, CredentialsError> {
    let conf = ProviderConfig::empty()
        .with_region(Some(Region::new(estate.region.clone())))
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_http_client(wire.clone())
        .with_time_source(KitTime(Arc::clone(wire.recorder())))
        .with_sleep_impl(TokioSleep::new())
        .with_retry_config(RetryConfig::disabled());
    let mut profile = ProfileFileCredentialsProvider::builder().configure(&conf);
    if let Some(path) = &estate.config_file {
        profile = profile.profile_files(EnvConfigFiles::builder().with_file(EnvConfigFileKind::Config, path).build());
    }
    if let Some(name) = &estate.profile {
        return profile.profile_name(name).build().provide_credentials().await;
    }
    CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
        .or_else("Profile", profile.build())
        .or_else("WebIdentity", WebIdentityTokenCredentialsProvider::builder().configure(&conf).build())
        .provide_credentials()
        .await
}

/// Why there are no credentials, in words that help, and nothing that a program of others wrote to us.
fn refusal(estate: &Estate, error: &CredentialsError) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        let own = inner.to_string();
        if own.contains("sso") && own.contains("cargo feature") {
            return "the profile signs in through IAM Identity Center (SSO), which a daemon cannot do: use a role, \
                    credential_process or a key"
                .to_owned();
        }
        text = own;
        cause = inner.source();
    }
    if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return match &estate.profile {
            Some(name) => format!("no credentials in the profile {name}, or no such profile"),
            None => "no credentials in the environment or the shared files: set access_key or profile".to_owned(),
        };
    }
    let known = text.split("tderr").next().unwrap_or_default().lines().next().unwrap_or_default();
    format!("no credentials: {}", known.chars().take(160).collect::<String>())
}

async fn assume(estate: &Estate, wire: &Wire, with: Credentials, role: &Role) -> Result<Credentials, Unread> {
    let sts = aws_sdk_sts::Client::new(&sdk(wire, with, &estate.region, &estate.addresses.sts));
    let request = sts.assume_role().role_arn(&role.role_arn).role_session_name(SESSION_NAME);
    let request = request.set_external_id(role.external_id.clone());
    let (output, answer) = ask(wire, request.send()).await?;
    let given = output.credentials.ok_or_else(|| answer.mark.malformed("the answer holds no credentials"))?;
    let token = Some(given.session_token);
    // Without an end: a run is far shorter than any session, and a credential that has ended anyway is told by AWS.
    Ok(Credentials::new(given.access_key_id, given.secret_access_key, token, None, "assumed role"))
}

/// Asks who we are, and holds it against what the settings say.
async fn session(
    estate: &Estate,
    wire: &Wire,
    credentials: Credentials,
    known: Option<&(String, String)>,
) -> Result<Session, Unread> {
    let sts = aws_sdk_sts::Client::new(&sdk(wire, credentials.clone(), &estate.region, &estate.addresses.sts));
    let (identity, answer) = ask(wire, sts.get_caller_identity().send()).await?;
    let (Some(account), Some(caller)) = (identity.account, identity.arn) else {
        return Err(answer.mark.malformed("the answer names no account or no caller"));
    };
    if known.is_some_and(|(id, _)| *id != account) {
        return Err(answer.mark.malformed("the sign-in leads to another account than the settings say"));
    }
    let home = estate.partition.home;
    let iam = aws_sdk_iam::Client::new(&sdk(wire, credentials.clone(), home, &estate.addresses.iam));
    let name = known.map_or_else(|| account.clone(), |(_, name)| name.clone());
    Ok(Session { account, name, caller, mark: answer.mark, iam, credentials, wire: wire.clone() })
}

/// A client's settings: our wire, our clock, no tries of its own and no limits beside ours.
fn sdk(wire: &Wire, credentials: Credentials, region: &str, address: &Url) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(address.as_str())
        .http_client(wire.clone())
        .time_source(KitTime(Arc::clone(wire.recorder())))
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(TokioSleep::new()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .identity_cache(IdentityCache::no_cache())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// The run's clock, as the SDK asks for it.
pub(crate) struct KitTime(pub(crate) Arc<Recorder>);

impl TimeSource for KitTime {
    fn now(&self) -> SystemTime {
        system_time(self.0.now())
    }
}

impl std::fmt::Debug for KitTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KitTime")
    }
}

pub(crate) fn system_time(at: domain::Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(at.millis()).unwrap_or(0))
}
