//! The settings of the way to everything outside, and of what is told of the daemon there.

use std::path::PathBuf;

use domain::Duration;
use kit::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Settings;

/// The way to everything outside: sources, receivers, authorities, witnesses.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// The proxy that everything outside is reached through; this machine never is. Left out: nothing is, whatever
    /// `HTTPS_PROXY` in the environment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxySettings>,
    /// A file of certificates (PEM) of private authorities, to trust beside those of the system, whoever is asked. A source
    /// may name one for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// A proxy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// Its address, `http://` or `https://`. One that asks for a password is not supported.
    pub url: Url,
    /// Who is reached without it: names (with all names below them), addresses, networks.
    #[serde(default)]
    pub except: Vec<String>,
}

/// What the daemon tells an OpenTelemetry collector of itself: traces, metrics and log lines by OTLP.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// The collector's address. Left out: what the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL` and so on); without either nothing leaves. `OTEL_SERVICE_NAME` and
    /// `OTEL_RESOURCE_ATTRIBUTES` count in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    /// How it is spoken to at that address: `grpc` (port 4317 by custom) or `http` (4318).
    pub protocol: OtlpProtocol,
    /// Where the value of the header `authorization` lies, when the collector wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretRef>,
    /// How often metrics are told: `1s` to `1h`.
    #[schemars(with = "String")]
    pub every: Duration,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpProtocol {
    /// Over gRPC.
    #[default]
    Grpc,
    /// Protocol buffers over HTTP.
    Http,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        TelemetrySettings {
            endpoint: None,
            protocol: OtlpProtocol::default(),
            authorization: None,
            every: Duration::from_secs(60),
        }
    }
}

impl NetworkSettings {
    /// The same as the clients take it.
    pub fn way(&self) -> kit::Network {
        let proxy = self.proxy.as_ref();
        kit::Network {
            proxy: proxy.map(|proxy| kit::Proxy { url: proxy.url.clone(), except: proxy.except.clone() }),
            ca_file: self.ca_file.clone(),
        }
    }
}

/// What is wrong with them: path, what, remedy.
pub(super) fn problems(settings: &Settings) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut found = Vec::new();
    let web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let password = |url: &Url| !url.username().is_empty() || url.password().is_some();
    if let Some(proxy) = &settings.network.proxy {
        if !web(&proxy.url) {
            found.push(("network.proxy.url", "is not the address of a proxy", "write http://<host>:<port>"));
        }
        if password(&proxy.url) {
            found.push((
                "network.proxy.url",
                "holds credentials, and a proxy that asks for them is not supported",
                "let the proxy know this machine by its address",
            ));
        }
    }
    let telemetry = &settings.telemetry;
    if let Some(url) = &telemetry.endpoint {
        if !web(url) {
            found.push(("telemetry.endpoint", "is not an address of a collector", "write http://<host>:4317"));
        }
        if password(url) {
            found.push(("telemetry.endpoint", "holds credentials", "put them where telemetry.authorization says"));
        }
        let here = url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
        if telemetry.authorization.is_some() && url.scheme() == "http" && !here {
            found.push(("telemetry.endpoint", "would be told the authorization in clear", "write https://"));
        }
    } else if telemetry.authorization.is_some() {
        found.push(("telemetry.authorization", "is for an endpoint that is not there", "add telemetry.endpoint"));
    }
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&telemetry.every) {
        found.push(("telemetry.every", "is out of range", "1s to 1h"));
    }
    found
}
