//! What the daemon counts and sees of itself, for Prometheus and for an OpenTelemetry collector alike.
//!
//! No label ever holds the name of a resource or a person: only sources, collectors, checks, receivers and files from the
//! settings, and fixed words. What is seen (as against counted) is looked at as a whole, so that a stream or an authority
//! that was taken out of the settings is gone from the next look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{CollectionRun, StreamId, Timestamp};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider, ObservableGauge};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::pipeline::Done;

/// Something that is looked at, with its name, unit and meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seen(&'static str, &'static str, &'static str);

/// Seconds, as OpenTelemetry writes the unit.
const SECONDS: &str = "s";

/// When a stream last gave complete evidence.
pub const LAST_COLLECTED: Seen = Seen(
    "evidenced.stream.last_collected_timestamp",
    SECONDS,
    "When a stream last gave complete evidence, in seconds since 1970.",
);
/// How often a stream is due.
pub const PERIOD: Seen = Seen("evidenced.stream.period", SECONDS, "The time between two slots of a stream.");
/// Whether a stream gives complete evidence.
pub const COVERAGE_LOST: Seen =
    Seen("evidenced.coverage.lost", "", "1 while a stream does not give complete evidence.");
/// What deviates.
pub const DEVIATIONS_OPEN: Seen = Seen("evidenced.deviations.open", "", "Open deviations by severity.");
/// How long the ledger is.
pub const ENTRIES: Seen = Seen("evidenced.ledger.entries", "", "Entries in the ledger.");
/// How far the index is.
pub const INDEXED: Seen = Seen(
    "evidenced.index.entries",
    "",
    "Entries of the ledger that the index holds; fewer than there are while it is being built.",
);
/// When an authority last dated the ledger.
pub const LAST_ANCHORED: Seen = Seen(
    "evidenced.anchor.last_timestamp",
    SECONDS,
    "When an authority outside last dated the ledger, in seconds since 1970; 0 when it never did.",
);
/// How often an authority is to be asked.
pub const ANCHOR_PERIOD: Seen =
    Seen("evidenced.anchor.period", SECONDS, "How often an authority is asked to date the ledger.");
/// Room on the disk.
pub const DISK_FREE: Seen = Seen("evidenced.disk.free", "By", "Bytes that are free where the data directory is.");
/// Room that is needed.
pub const DISK_NEEDED: Seen =
    Seen("evidenced.disk.needed", "By", "With fewer bytes free than this nothing is collected.");
/// When a certificate ends.
pub const CERTIFICATE_END: Seen = Seen(
    "evidenced.certificate.end_timestamp",
    SECONDS,
    "When the certificate ends that ends first in a file of the settings, in seconds since 1970.",
);

const ALL_SEEN: [Seen; 11] = [
    LAST_COLLECTED,
    PERIOD,
    COVERAGE_LOST,
    DEVIATIONS_OPEN,
    ENTRIES,
    INDEXED,
    LAST_ANCHORED,
    ANCHOR_PERIOD,
    DISK_FREE,
    DISK_NEEDED,
    CERTIFICATE_END,
];

/// What one look saw: values with their labels, by what they are of.
#[derive(Default)]
pub struct Look(BTreeMap<Seen, Vec<(f64, Vec<KeyValue>)>>);

impl Look {
    /// One value was seen.
    pub fn saw(&mut self, what: Seen, value: f64, labels: &[KeyValue]) {
        self.0.entry(what).or_default().push((value, labels.to_vec()));
    }
}

/// What the daemon counts about itself, and its last look.
pub struct Metrics {
    registry: Registry,
    pushed: bool,
    last_look: Arc<Mutex<Look>>,
    /// They hold what is called when somebody reads; dropped, nobody would be answered.
    _seen: Vec<ObservableGauge<f64>>,
    runs: Counter<u64>,
    missed: Counter<u64>,
    calls: Counter<u64>,
    gaps: Counter<u64>,
    duration: Histogram<f64>,
    changes: Counter<u64>,
    deliveries: Counter<u64>,
    disk_full: Gauge<u64>,
    disk_slow: Gauge<u64>,
    outbox: Gauge<u64>,
    outbox_age: Gauge<f64>,
    reload_ok: Gauge<u64>,
    reload_at: Gauge<f64>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter, registry: Registry, pushed: bool) -> Self {
        let counter = |name: &'static str, about: &'static str| meter.u64_counter(name).with_description(about).build();
        let gauge = |name: &'static str, about: &'static str| meter.u64_gauge(name).with_description(about).build();
        let seconds = |name: &'static str, about: &'static str| {
            meter.f64_gauge(name).with_description(about).with_unit(SECONDS).build()
        };
        let info = gauge("evidenced.build_info", "Always 1; the version is a label.");
        info.record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
        let last_look = Arc::new(Mutex::new(Look::default()));
        let seen = ALL_SEEN.map(|what| {
            let Seen(name, unit, about) = what;
            let look = last_look.clone();
            let gauge = meter.f64_observable_gauge(name).with_description(about).with_unit(unit);
            gauge
                .with_callback(move |observer| {
                    let look = look.lock().unwrap_or_else(PoisonError::into_inner);
                    for (value, labels) in look.0.get(&what).into_iter().flatten() {
                        observer.observe(*value, labels);
                    }
                })
                .build()
        });
        let metrics = Metrics {
            registry,
            pushed,
            last_look,
            _seen: seen.into(),
            runs: counter("evidenced.runs", "Collection runs by stream and outcome."),
            missed: counter("evidenced.missed_slots", "Slots that nobody ran, by stream."),
            calls: counter("evidenced.calls", "Requests answered or given up, by source."),
            gaps: counter("evidenced.gaps", "Things that could not be read, by source and reason."),
            duration: meter
                .f64_histogram("evidenced.run.duration")
                .with_description("How long a collection run took, by kind of source and collector.")
                .with_unit(SECONDS)
                .with_boundaries(vec![0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0])
                .build(),
            changes: counter("evidenced.deviation_changes", "Steps in the life of deviations, by source and step."),
            deliveries: counter("evidenced.deliveries", "Notifications sent, by receiver and result."),
            disk_full: gauge(
                "evidenced.disk.nearly_full",
                "1 while nothing is collected for want of room on the disk.",
            ),
            disk_slow: gauge("evidenced.disk.slow", "1 while the disk takes long to make evidence durable."),
            outbox: gauge("evidenced.outbox.pending", "Notifications that a receiver has not accepted yet."),
            outbox_age: seconds("evidenced.outbox.oldest_age", "For how long the oldest of them has been waiting."),
            reload_ok: gauge("evidenced.config.last_reload_successful", "1 when the settings in force are the latest."),
            reload_at: seconds("evidenced.config.last_reload_timestamp", "When the settings in force were read."),
        };
        // A rule that asks for them finds them before anything happened.
        metrics.disk_full(false);
        metrics.disk_slow(false);
        metrics.outbox(0, None, Timestamp::default());
        metrics
    }

    /// Whether a collector is told of them by and by, and not only who asks for them.
    pub fn pushed(&self) -> bool {
        self.pushed
    }

    /// A run came back.
    pub fn run(&self, run: &CollectionRun) {
        let [source, collector] = stream_labels(&run.stream);
        let of_source = [source.clone()];
        self.runs.add(1, &[source.clone(), collector.clone(), KeyValue::new("outcome", run.outcome.as_str())]);
        let kind = KeyValue::new("kind", run.stream.source().kind().to_owned());
        self.duration.record(run.ended.since(run.started).millis() as f64 / 1000.0, &[kind, collector]);
        self.calls.add(run.exchanges.len() as u64, &of_source);
        for gap in &run.gaps {
            self.gaps.add(1, &[source.clone(), KeyValue::new("reason", gap.reason.as_str())]);
        }
    }

    /// A run was judged.
    pub fn settled(&self, stream: &StreamId, done: &Done) {
        let [source, _] = stream_labels(stream);
        for (_, change, _) in done.judged.iter().flat_map(|judged| &judged.deviations) {
            self.changes.add(1, &[source.clone(), KeyValue::new("change", change.as_str())]);
        }
    }

    /// Slots were missed.
    pub fn missed(&self, stream: &StreamId, count: u64) {
        self.missed.add(count, &stream_labels(stream));
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

    /// The disk is slow, or as fast as before.
    pub fn disk_slow(&self, slow: bool) {
        self.disk_slow.record(u64::from(slow), &[]);
    }

    /// Notifications that wait, and since when the oldest of them does.
    pub fn outbox(&self, pending: u64, oldest: Option<Timestamp>, now: Timestamp) {
        self.outbox.record(pending, &[]);
        let age = oldest.map_or(0.0, |oldest| now.since(oldest).millis() as f64 / 1000.0);
        self.outbox_age.record(age, &[]);
    }

    /// Settings were put in force.
    pub fn reloaded(&self, at: Timestamp) {
        self.reload_in_step(true);
        self.reload_at.record(at.millis() as f64 / 1000.0, &[]);
    }

    /// Whether the settings in force are the latest.
    pub fn reload_in_step(&self, latest: bool) {
        self.reload_ok.record(u64::from(latest), &[]);
    }

    /// What was seen, in the place of what was seen before.
    pub fn looked(&self, look: Look) {
        *self.last_look.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    /// Everything counted, and the last look, in the text format of Prometheus.
    pub fn text(&self) -> Result<String, String> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.map_err(|error| format!("metrics do not encode: {error}"))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// One sample of every metric that there is, without labels, in the text format of Prometheus: what dashboards and alert
/// rules may ask for.
pub fn every_metric() -> Result<String, String> {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let reader = reader.build().map_err(|error| error.to_string())?;
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let metrics = Metrics::new(&provider.meter("evidenced"), registry, false);
    let Metrics { runs, missed, calls, gaps, changes, deliveries, .. } = &metrics;
    [runs, missed, calls, gaps, changes, deliveries].into_iter().for_each(|counter| counter.add(1, &[]));
    metrics.duration.record(1.0, &[]);
    let Metrics { disk_full, disk_slow, outbox, reload_ok, outbox_age, reload_at, .. } = &metrics;
    [disk_full, disk_slow, outbox, reload_ok].into_iter().for_each(|gauge| gauge.record(1, &[]));
    [outbox_age, reload_at].into_iter().for_each(|gauge| gauge.record(1.0, &[]));
    let mut look = Look::default();
    ALL_SEEN.into_iter().for_each(|what| look.saw(what, 1.0, &[]));
    metrics.looked(look);
    metrics.text()
}

/// What tells one stream from another.
pub fn stream_labels(stream: &StreamId) -> [KeyValue; 2] {
    [
        KeyValue::new("source", stream.source().as_str().to_owned()),
        KeyValue::new("collector", stream.collector().as_str().to_owned()),
    ]
}
