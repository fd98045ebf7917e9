//! The way to an OpenTelemetry collector: over gRPC or HTTP, as the settings say, else as the standard variables do.
//!
//! Names and meaning of the variables: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>. The collector is
//! reached directly, never through the proxy of the settings.

use std::collections::HashMap;
use std::time::Duration;

use kit::http::{HeaderMap, HeaderValue, header};
use kit::{Secrets, SystemSecrets};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{OtlpProtocol, TelemetrySettings};

/// A signal as the names of variables and the paths of addresses call it.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    /// In the names of variables.
    fn variable(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Metrics => "METRICS",
            Signal::Logs => "LOGS",
        }
    }

    /// Below the address of a collector that is spoken to over HTTP.
    fn path(self) -> &'static str {
        match self {
            Signal::Traces => "v1/traces",
            Signal::Metrics => "v1/metrics",
            Signal::Logs => "v1/logs",
        }
    }
}

/// A collector does not hold up the end of the daemon any longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Where telemetry goes, and how.
pub(super) struct Way<'a> {
    settings: &'a TelemetrySettings,
    authorization: Option<SecretString>,
}

/// Applies what all three exporters share; they have no type in common.
macro_rules! exporter {
    ($way:expr, $builder:expr, $signal:expr) => {{
        let way = $way;
        match (&way.settings.endpoint, way.settings.protocol) {
            // The variables say where, and how.
            (None, _) => $builder.build(),
            (Some(url), OtlpProtocol::Grpc) => {
                let mut builder = $builder.with_tonic().with_endpoint(url.as_str()).with_timeout(LONGEST);
                if url.scheme() == "https" {
                    builder = builder.with_tls_config(ClientTlsConfig::new().with_native_roots());
                }
                builder.with_metadata(way.metadata()?).build()
            }
            (Some(url), OtlpProtocol::Http) => {
                let url = format!("{}/{}", url.as_str().trim_end_matches('/'), $signal.path());
                $builder.with_http().with_endpoint(url).with_timeout(LONGEST).with_headers(way.headers()).build()
            }
        }
        .map_err(|error| error.to_string())
    }};
}

impl<'a> Way<'a> {
    /// Reads the secret that the settings name.
    pub(super) fn new(settings: &'a TelemetrySettings) -> Result<Way<'a>, String> {
        let authorization = settings.authorization.as_ref().map(|reference| SystemSecrets.resolve(reference));
        let authorization = authorization.transpose().map_err(|error| domain::in_full(&error))?;
        Ok(Way { settings, authorization })
    }

    /// Whether anybody wants a signal.
    pub(super) fn leads_somewhere(&self, signal: Signal) -> bool {
        let named = |name: String| std::env::var(name).is_ok_and(|value| !value.is_empty());
        self.settings.endpoint.is_some()
            || named("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned())
            || named(format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.variable()))
    }

    pub(super) fn spans(&self) -> Result<SpanExporter, String> {
        exporter!(self, SpanExporter::builder(), Signal::Traces)
    }

    pub(super) fn metrics(&self) -> Result<MetricExporter, String> {
        exporter!(self, MetricExporter::builder(), Signal::Metrics)
    }

    pub(super) fn logs(&self) -> Result<LogExporter, String> {
        exporter!(self, LogExporter::builder(), Signal::Logs)
    }

    fn headers(&self) -> HashMap<String, String> {
        let word = self.authorization.as_ref().map(|secret| secret.expose_secret().to_owned());
        word.map(|word| ("authorization".to_owned(), word)).into_iter().collect()
    }

    fn metadata(&self) -> Result<MetadataMap, String> {
        let mut headers = HeaderMap::new();
        if let Some(secret) = &self.authorization {
            let word = HeaderValue::from_str(secret.expose_secret());
            let mut word = word.map_err(|_| "telemetry.authorization cannot stand in a header")?;
            word.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, word);
        }
        Ok(MetadataMap::from_headers(headers))
    }
}
