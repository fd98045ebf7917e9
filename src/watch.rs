//! What the daemon looks at in itself: figures for its metrics, and a disk that became slow.

use std::path::PathBuf;
use std::sync::Arc;

use domain::{Duration, Severity, Timestamp, TroubleIn, in_full};
use opentelemetry::KeyValue;
use query::{Query, StreamView};
use store::{LEAST_ROOM, Meanwhile, Read as _, ReadError, StoreError};
use tokio_util::sync::CancellationToken;

use crate::daemon::Daemon;
use crate::loaded::Loaded;
use crate::schedule::Schedule;
use crate::telemetry::{self, Look, Metrics};
use crate::trouble;

/// How often the disk's pace is looked at.
const TICK: std::time::Duration = std::time::Duration::from_secs(1);
/// How often everything else is, or oftener when a collector is to be told oftener.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A batch of entries that takes longer than this to become durable is slow: with the runs that wait for it, slots of
/// schedules as short as a minute are in danger.
const SLOW: std::time::Duration = std::time::Duration::from_secs(5);
/// After this long without a slow batch the disk is as fast as before.
const QUIET: Duration = Duration::from_secs(30);

/// Looks until `stop` is cancelled.
pub async fn keep_looking(daemon: Arc<Daemon>, stop: CancellationToken) {
    let mut looked = Timestamp::default();
    let mut slow: Option<(Timestamp, String)> = None;
    while !stop.is_cancelled() {
        let now = daemon.clock.now();
        if now.since(looked) >= LOOK_EVERY.min(daemon.loaded().settings.telemetry.every) {
            looked = now;
            look_if_pushed(&daemon).await;
        }
        let longest = daemon.store.longest_append();
        if longest >= SLOW {
            let text = format!("to make a batch of entries durable took {} s", longest.as_secs());
            if slow.is_none() {
                tracing::error!(seconds = longest.as_secs(), "the disk is slow");
                daemon.metrics.disk_slow(true);
            }
            // The first figure stands for all: another entry for each would only add to the load.
            slow = Some((now, slow.map_or(text, |(_, first)| first)));
        } else if slow.as_ref().is_some_and(|(last, _)| now.since(*last) >= QUIET) {
            tracing::info!("the disk is as fast as before");
            daemon.metrics.disk_slow(false);
            slow = None;
        }
        let amiss = slow.as_ref().map(|(_, text)| text.clone());
        let told = daemon.blocking(move |daemon| trouble::record(&daemon.store, TroubleIn::SlowDisk, amiss.as_deref()));
        match told.await {
            Ok(true) => daemon.news.notify_one(),
            Ok(false) => {}
            // The deciding task sees by itself that the store stopped, and ends the daemon.
            Err(error) => tracing::error!(error = in_full(&error), "the pace of the disk could not be recorded"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// A look for the collector that is told by and by: it hears of it with the next figures. Whoever asks for them here has a
/// look taken first.
pub async fn look_if_pushed(daemon: &Arc<Daemon>) {
    if !daemon.metrics.pushed() {
        return;
    }
    let done = daemon.blocking(|daemon| look(daemon).map_err(|e| StoreError::Stopped(in_full(&e)))).await;
    if let Err(error) = done {
        tracing::warn!(%error, "what the metrics tell of is as of the look before");
    }
}

/// Looks at everything that metrics tell of.
pub fn look(daemon: &Daemon) -> Result<(), ReadError> {
    let (loaded, now) = (daemon.loaded(), daemon.clock.now());
    let query = Query { read: daemon.store.as_ref(), catalogue: &loaded.knowledge.catalogue, now };
    let mut look = Look::default();
    look.saw(telemetry::ENTRIES, query.ledger()?.size as f64, &[]);
    look.saw(telemetry::INDEXED, query.indexed()? as f64, &[]);
    for view in query.streams()? {
        see_stream(&mut look, &view);
    }
    let open: Vec<_> = query.deviation_rows()?.into_iter().filter(|row| row.state.open).collect();
    for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
        let count = open.iter().filter(|row| row.severity == severity).count();
        look.saw(telemetry::DEVIATIONS_OPEN, count as f64, &[KeyValue::new("severity", severity.as_str())]);
    }
    for row in query.authorities()? {
        // One that was taken out of the settings is no longer to be asked.
        let Some(every) = row.every else { continue };
        let label = [KeyValue::new("authority", row.name)];
        look.saw(telemetry::LAST_ANCHORED, row.last.map_or(0.0, |last| seconds(last.at)), &label);
        look.saw(telemetry::ANCHOR_PERIOD, every.millis() as f64 / 1000.0, &label);
    }
    if let Ok(free) = daemon.store.free_space() {
        look.saw(telemetry::DISK_FREE, free as f64, &[]);
    }
    look.saw(telemetry::DISK_NEEDED, LEAST_ROOM as f64, &[]);
    for file in certificates(&loaded) {
        let end = std::fs::read(&file).ok().and_then(|text| anchor::Roots::from_pem(&text).ok()?.first_end());
        if let Some(end) = end {
            look.saw(telemetry::CERTIFICATE_END, end as f64, &[KeyValue::new("file", file.display().to_string())]);
        }
    }
    daemon.metrics.looked(look);
    Ok(())
}

/// Looks at what can be told before the index is there.
pub fn look_meanwhile(meanwhile: &Meanwhile, metrics: &Metrics) -> Result<(), ReadError> {
    let mut look = Look::default();
    look.saw(telemetry::ENTRIES, meanwhile.head()?.size as f64, &[]);
    look.saw(telemetry::INDEXED, meanwhile.indexed() as f64, &[]);
    metrics.looked(look);
    Ok(())
}

fn see_stream(look: &mut Look, view: &StreamView) {
    let labels = telemetry::stream_labels(&view.stream);
    // One that was taken out of the settings is not due, so nothing of it can be late.
    let Some(expression) = view.schedule.as_ref().and_then(|row| row.expression.as_ref()) else { return };
    let zone = view.schedule.as_ref().and_then(|row| row.zone.as_deref());
    // One that was recorded by another version of the program may not parse: the other figures are there all the same.
    if let Ok(schedule) = Schedule::parse(expression, zone) {
        look.saw(telemetry::PERIOD, schedule.period().millis() as f64 / 1000.0, &labels);
    }
    look.saw(telemetry::COVERAGE_LOST, f64::from(u8::from(view.coverage.is_some())), &labels);
    if let Some(run) = &view.last_collected {
        look.saw(telemetry::LAST_COLLECTED, seconds(run.ended), &labels);
    }
}

/// The files of certificates that the settings name, each once.
fn certificates(loaded: &Loaded) -> Vec<PathBuf> {
    let settings = &loaded.settings;
    let of_sources = settings.sources.all().into_iter().filter_map(|(_, source)| source.transport().ca_file);
    let mut files: Vec<PathBuf> = settings
        .anchors
        .iter()
        .map(|anchor| anchor.ca.clone())
        .chain(of_sources)
        .chain(settings.network.ca_file.clone())
        .collect();
    files.sort();
    files.dedup();
    files
}

fn seconds(at: Timestamp) -> f64 {
    at.millis() as f64 / 1000.0
}
