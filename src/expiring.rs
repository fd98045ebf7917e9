//! Has what the retention of the settings no longer keeps destroyed: at most once a day, some at a time, between runs.

use std::sync::Arc;

use domain::entry::RetentionClass;
use domain::{Duration, Timestamp, in_full};
use store::{EraseError, Expiring, StoreError};
use tokio_util::sync::CancellationToken;

use crate::config::RetentionSettings;
use crate::daemon::Daemon;

/// From one pass to the next.
const EVERY: Duration = Duration::from_secs(86_400);
/// Settings are looked at again at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Batches of one pass; what is left waits for the next.
const BATCHES: usize = 16;

/// The classes that the settings do not keep for ever.
pub fn classes(settings: &RetentionSettings) -> Vec<(RetentionClass, Duration)> {
    let answers = settings.answers.map(|after| (RetentionClass::Answers, after));
    let records = settings.records.map(|after| (RetentionClass::Records, after));
    answers.into_iter().chain(records).collect()
}

/// Looks once a day what is due, and destroys it, until `stop` is cancelled.
///
/// # Errors
/// The store stopped.
pub async fn keep_expiring(daemon: Arc<Daemon>, stop: CancellationToken) -> Result<(), StoreError> {
    let mut looked: Option<Timestamp> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY.to_std()) => {}
        }
        let classes = classes(&daemon.loaded().settings.retention);
        let now = daemon.clock.now();
        if classes.is_empty() || daemon.room.missing().is_some() || !is_due(looked, now) {
            continue;
        }
        // A pass before the last restart counts as well, when something came of it.
        let last = daemon.blocking(|daemon| daemon.store.last_expired()).await?;
        if is_due(last, now) {
            for (class, after) in classes {
                if let Err(error) = pass(&daemon, class, after, now).await {
                    match error {
                        EraseError::Store(error @ StoreError::Stopped(_)) => return Err(error),
                        error => {
                            let error = in_full(&error);
                            tracing::error!(
                                error,
                                "what is no longer to be kept is kept on; it is tried again in a day"
                            );
                        }
                    }
                }
            }
        }
        looked = Some(now);
    }
}

/// A time that lies ahead, since the clock was set back, is none.
fn is_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| last > now || now.since(last) >= EVERY)
}

async fn pass(daemon: &Arc<Daemon>, class: RetentionClass, after: Duration, now: Timestamp) -> Result<(), EraseError> {
    let planned = move |daemon: &Daemon| daemon.store.expiring(class, after, now).map_err(EraseError::from);
    let mut plan: Expiring = daemon.blocking(planned).await?;
    let mut destroyed = 0;
    for _ in 0..BATCHES {
        if plan.due() == 0 {
            break;
        }
        let batch = daemon.alone(move |daemon| {
            let done = daemon.store.expire(&mut plan);
            if let Some(earlier) = &daemon.around.conditional {
                earlier.forget();
            }
            done.map(|count| (count, plan))
        });
        // The daemon may end between two batches.
        let Ok(batch) = batch.await else { return Ok(()) };
        let count;
        (count, plan) = batch?;
        destroyed += count;
    }
    if destroyed > 0 {
        daemon.news.notify_one();
        let (class, left) = (class.as_str(), plan.due());
        tracing::info!(class, destroyed, left, "what is no longer to be kept was destroyed");
    }
    Ok(())
}
