//! Logs, traces and metrics about the daemon itself.
//!
//! Traces and metrics go to an OpenTelemetry collector when the standard variables name one
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`); without them nothing leaves the
//! process. The same metrics stand at `/metrics` in the text format of Prometheus. No label ever holds the name of a
//! resource or a person: only sources, collectors, checks and receivers from the settings, and fixed words.

use std::io::IsTerminal;

use domain::{CollectionRun, StreamId};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Encoder, Registry, TextEncoder};
use query::{Query, StreamView};
use store::ReadError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::LogFormat;
use crate::pipeline::Done;

/// Telemetry that must be flushed before the process ends.
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    meter: SdkMeterProvider,
}

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry cannot be set up: {0}")]
pub struct TelemetryError(String);

/// Sets up logs, traces and metrics. Call it once, before the async runtime starts: the exporters have threads of their
/// own.
pub fn start(format: LogFormat) -> Result<(Telemetry, Metrics), TelemetryError> {
    let failed = |e: &dyn std::fmt::Display| TelemetryError(e.to_string());
    let resource = Resource::builder()
        .with_service_name(std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "evidenced".into()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let exports = |signal: &str| {
        let named = |name: String| std::env::var(name).is_ok_and(|value| !value.is_empty());
        named("OTEL_EXPORTER_OTLP_ENDPOINT".into()) || named(format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))
    };
    let tracer = if exports("TRACES") {
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build().map_err(|e| failed(&e))?;
        Some(SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(exporter).build())
    } else {
        None
    };
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let mut provider =
        SdkMeterProvider::builder().with_resource(resource).with_reader(reader.build().map_err(|e| failed(&e))?);
    if exports("METRICS") {
        let exporter = opentelemetry_otlp::MetricExporter::builder().with_http().build().map_err(|e| failed(&e))?;
        provider = provider.with_reader(PeriodicReader::builder(exporter).build());
    }
    let meter = provider.build();

    let filter = EnvFilter::try_from_env("EVIDENCED_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Plain => false,
        LogFormat::Json => true,
    };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        lines.with_ansi(colour).boxed()
    };
    let traces = tracer.as_ref().map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer.tracer("evidenced")));
    // A second call in one process keeps the first subscriber.
    drop(tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces).try_init());
    let metrics = Metrics::new(&meter.meter("evidenced"), registry);
    Ok((Telemetry { tracer, meter }, metrics))
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let ended = [self.tracer.as_ref().map(SdkTracerProvider::shutdown), Some(self.meter.shutdown())];
        for error in ended.into_iter().flatten().filter_map(Result::err) {
            tracing::debug!(%error, "telemetry did not end cleanly");
        }
    }
}

/// What the daemon counts about itself.
pub struct Metrics {
    registry: Registry,
    runs: Counter<u64>,
    missed: Counter<u64>,
    calls: Counter<u64>,
    gaps: Counter<u64>,
    duration: Histogram<f64>,
    changes: Counter<u64>,
    deliveries: Counter<u64>,
    disk_full: Gauge<u64>,
    deviations_open: Gauge<u64>,
    coverage_lost: Gauge<u64>,
    last_collected: Gauge<f64>,
    outbox: Gauge<u64>,
    entries: Gauge<u64>,
    reload_ok: Gauge<u64>,
    reload_at: Gauge<f64>,
}

impl Metrics {
    fn new(meter: &Meter, registry: Registry) -> Self {
        let counter = |name: &'static str, about: &'static str| meter.u64_counter(name).with_description(about).build();
        let gauge = |name: &'static str, about: &'static str| meter.u64_gauge(name).with_description(about).build();
        let seconds = |name: &'static str, about: &'static str| {
            meter.f64_gauge(name).with_description(about).with_unit("s").build()
        };
        let info = gauge("evidenced.build_info", "Always 1; the version is a label.");
        info.record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
        Metrics {
            registry,
            runs: counter("evidenced.runs", "Collection runs by stream and outcome."),
            missed: counter("evidenced.missed_slots", "Slots that nobody ran, by stream."),
            calls: counter("evidenced.calls", "Requests answered or given up, by stream."),
            gaps: counter("evidenced.gaps", "Things that could not be read, by stream and reason."),
            duration: meter
                .f64_histogram("evidenced.run.duration")
                .with_description("How long a collection run took.")
                .with_unit("s")
                .with_boundaries(vec![0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0])
                .build(),
            changes: counter("evidenced.deviation_changes", "Steps in the life of deviations, by stream and step."),
            deliveries: counter("evidenced.deliveries", "Notifications sent, by receiver and result."),
            disk_full: gauge(
                "evidenced.disk.nearly_full",
                "1 while nothing is collected for want of room on the disk.",
            ),
            deviations_open: gauge("evidenced.deviations.open", "Open deviations by severity."),
            coverage_lost: gauge("evidenced.coverage.lost", "1 while a stream does not give complete evidence."),
            last_collected: seconds(
                "evidenced.stream.last_collected_timestamp",
                "When a stream last gave complete evidence, in seconds since 1970.",
            ),
            outbox: gauge("evidenced.outbox.pending", "Notifications that a receiver has not accepted yet."),
            entries: gauge("evidenced.ledger.entries", "Entries in the ledger."),
            reload_ok: gauge("evidenced.config.last_reload_successful", "1 when the settings in force are the latest."),
            reload_at: seconds("evidenced.config.last_reload_timestamp", "When the settings in force were read."),
        }
    }

    /// A run came back.
    pub fn run(&self, run: &CollectionRun) {
        let stream = labels(&run.stream);
        let [source, collector] = stream.clone();
        self.runs.add(1, &[source.clone(), collector.clone(), KeyValue::new("outcome", run.outcome.as_str())]);
        self.duration.record(run.ended.since(run.started).millis() as f64 / 1000.0, &stream);
        self.calls.add(run.exchanges.len() as u64, &stream);
        for gap in &run.gaps {
            self.gaps.add(1, &[source.clone(), collector.clone(), KeyValue::new("reason", gap.reason.as_str())]);
        }
    }

    /// A run was judged.
    pub fn settled(&self, stream: &StreamId, done: &Done) {
        let [source, collector] = labels(stream);
        for (_, change, _) in done.judged.iter().flat_map(|judged| &judged.deviations) {
            self.changes.add(1, &[source.clone(), collector.clone(), KeyValue::new("change", change.as_str())]);
        }
    }

    /// Slots were missed.
    pub fn missed(&self, stream: &StreamId, count: u64) {
        self.missed.add(count, &labels(stream));
    }

    /// A notification was sent.
    pub fn delivery(&self, receiver: &str, accepted: bool) {
        let result = if accepted { "accepted" } else { "refused" };
        self.deliveries.add(1, &[KeyValue::new("receiver", receiver.to_owned()), KeyValue::new("result", result)]);
    }

    /// The disk has too little room to keep evidence, or enough again.
    pub fn disk_full(&self, full: bool) {
        self.disk_full.record(u64::from(full), &[]);
    }

    /// Notifications that wait.
    pub fn outbox(&self, pending: u64) {
        self.outbox.record(pending, &[]);
    }

    /// Settings were put in force.
    pub fn reloaded(&self, at: domain::Timestamp) {
        self.reload_in_step(true);
        self.reload_at.record(at.millis() as f64 / 1000.0, &[]);
    }

    /// Whether the settings in force are the latest.
    pub fn reload_in_step(&self, latest: bool) {
        self.reload_ok.record(u64::from(latest), &[]);
    }

    /// Everything counted, in the text format of Prometheus, with what `query` sees now.
    pub fn text(&self, query: &Query<'_>) -> Result<String, ReadError> {
        self.entries.record(query.ledger()?.size, &[]);
        for view in query.streams()? {
            self.stream(&view);
        }
        let open = query.open_deviations()?;
        for severity in
            [domain::Severity::Low, domain::Severity::Medium, domain::Severity::High, domain::Severity::Critical]
        {
            let count = open.iter().filter(|alert| alert.severity == severity).count() as u64;
            self.deviations_open.record(count, &[KeyValue::new("severity", severity.as_str())]);
        }
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .map_err(|e| ReadError::Malformed(format!("metrics do not encode: {e}")))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn stream(&self, view: &StreamView) {
        let labels = labels(&view.stream);
        self.coverage_lost.record(u64::from(view.coverage.is_some()), &labels);
        if let Some(run) = &view.last_collected {
            self.last_collected.record(run.ended.millis() as f64 / 1000.0, &labels);
        }
    }
}

fn labels(stream: &StreamId) -> [KeyValue; 2] {
    [
        KeyValue::new("source", stream.source().as_str().to_owned()),
        KeyValue::new("collector", stream.collector().as_str().to_owned()),
    ]
}
