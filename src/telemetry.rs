//! Logs, traces and metrics about the daemon itself.
//!
//! Log lines go to standard error. All three go to an OpenTelemetry collector as well when the settings name one, or the
//! standard variables do; without them nothing leaves the process. The same metrics stand at `/metrics` in the text format
//! of Prometheus.

mod metrics;
mod otlp;

use std::io::IsTerminal;

use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::Registry;
use store::Random;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use self::metrics::{
    ANCHOR_PERIOD, CERTIFICATE_END, COVERAGE_LOST, DEVIATIONS_OPEN, DISK_FREE, DISK_NEEDED, ENTRIES, INDEXED,
    LAST_ANCHORED, LAST_COLLECTED, Look, Metrics, PERIOD, Seen, every_metric, stream_labels,
};
use self::otlp::{Signal, Way};
use crate::config::{LogFormat, Settings};

/// Telemetry that must be flushed before the process ends.
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    logger: Option<SdkLoggerProvider>,
    meter: SdkMeterProvider,
    /// Where connections over gRPC live; it ends after what uses them.
    _connections: Runtime,
}

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry cannot be set up: {0}")]
pub struct TelemetryError(String);

/// Sets up logs, traces and metrics. Call it once, before the async runtime starts: the exporters have threads of their
/// own.
pub fn start(settings: &Settings, random: &dyn Random) -> Result<(Telemetry, Metrics), TelemetryError> {
    let failed = |e: &dyn std::fmt::Display| TelemetryError(e.to_string());
    let mut connections = tokio::runtime::Builder::new_multi_thread();
    let connections = connections.worker_threads(1).enable_all().thread_name("telemetry").build();
    let connections = connections.map_err(|e| failed(&e))?;
    let _within = connections.enter();
    let way = Way::new(&settings.telemetry).map_err(TelemetryError)?;
    let resource = resource(random);
    let tracer = if way.leads_somewhere(Signal::Traces) {
        let exporter = way.spans().map_err(TelemetryError)?;
        Some(SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(exporter).build())
    } else {
        None
    };
    let logger = if way.leads_somewhere(Signal::Logs) {
        let exporter = way.logs().map_err(TelemetryError)?;
        Some(SdkLoggerProvider::builder().with_resource(resource.clone()).with_batch_exporter(exporter).build())
    } else {
        None
    };
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let mut provider =
        SdkMeterProvider::builder().with_resource(resource).with_reader(reader.build().map_err(|e| failed(&e))?);
    let pushed = way.leads_somewhere(Signal::Metrics);
    if pushed {
        let exporter = way.metrics().map_err(TelemetryError)?;
        let every = settings.telemetry.every.to_std();
        provider = provider.with_reader(PeriodicReader::builder(exporter).with_interval(every).build());
    }
    let meter = provider.build();

    let traces = tracer.as_ref().map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer.tracer("evidenced")));
    let told = logger.as_ref().map(OpenTelemetryTracingBridge::new);
    let filter = EnvFilter::try_from_env("EVIDENCED_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call in one process keeps the first subscriber.
    drop(
        tracing_subscriber::registry()
            .with(lines(settings.log.format).with_filter(filter))
            .with(traces.map(|layer| layer.with_filter(our_own())))
            .with(told.map(|layer| layer.with_filter(our_own())))
            .try_init(),
    );
    let metrics = Metrics::new(&meter.meter("evidenced"), registry, pushed);
    Ok((Telemetry { tracer, logger, meter, _connections: connections }, metrics))
}

/// What the libraries that carry telemetry say of themselves is not carried, or it would never end.
fn our_own() -> Targets {
    let carriers =
        ["opentelemetry", "opentelemetry_sdk", "opentelemetry_otlp", "tonic", "h2", "hyper", "reqwest", "tower"];
    carriers.into_iter().fold(Targets::new().with_default(LevelFilter::INFO), |targets, carrier| {
        targets.with_target(carrier, LevelFilter::OFF)
    })
}

/// Log lines on standard error.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Plain => false,
        LogFormat::Json => true,
    };
    let colour = terminal && colour_wanted();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    if json {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        lines.with_ansi(colour).boxed()
    }
}

/// Whether the environment wants colour, where there is a terminal: `NO_COLOR` is not set, or to nothing
/// (<https://no-color.org>), and the terminal is not one that shows its codes as they are.
pub(crate) fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|said| said.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Who speaks, by the names of OpenTelemetry (<https://opentelemetry.io/docs/specs/semconv/resource/>). What the standard
/// variables say counts.
fn resource(random: &dyn Random) -> Resource {
    let said = Resource::builder().build();
    let says = |key: &'static str| said.get(&Key::from_static_str(key));
    let mut ours = vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    // The SDK's own word where nobody said a name.
    if says("service.name").is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        ours.push(KeyValue::new("service.name", "evidenced"));
    }
    if let Some(id) = says("service.instance.id").is_none().then(|| random.bytes().ok()).flatten() {
        ours.push(KeyValue::new("service.instance.id", uuid(&id)));
    }
    Resource::builder().with_attributes(ours).build()
}

/// Random bytes in the form of a UUID of version 4 (RFC 9562).
fn uuid(random: &[u8; 32]) -> String {
    let mut text = hex::encode(random);
    text.truncate(32);
    text.replace_range(12..13, "4");
    text.replace_range(16..17, "8");
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    text
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let ended: [Option<OTelSdkResult>; 3] = [
            self.tracer.as_ref().map(SdkTracerProvider::shutdown),
            Some(self.meter.shutdown()),
            self.logger.as_ref().map(SdkLoggerProvider::shutdown),
        ];
        for error in ended.into_iter().flatten().filter_map(Result::err) {
            tracing::debug!(%error, "telemetry did not end cleanly");
        }
    }
}
