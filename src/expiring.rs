//! Has what the retention of the settings no longer keeps destroyed: each class once a day, some at a time, between runs.

use std::sync::Arc;

use domain::entry::RetentionClass;
use domain::{Duration, Timestamp, in_full};
use store::{EraseError, Expiring, Look, StoreError};
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

/// Looks once a day what is due of each class, or at once when its period is another, and destroys it, until `stop` is
/// cancelled. A look before the last restart counts as well.
///
/// # Errors
/// The store stopped.
pub async fn keep_expiring(daemon: Arc<Daemon>, stop: CancellationToken) -> Result<(), StoreError> {
    let mut looks = daemon.blocking(|daemon| Ok::<_, StoreError>(daemon.store.looks())).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY.to_std()) => {}
        }
        let now = daemon.clock.now();
        for (class, after) in classes(&daemon.loaded().settings.retention) {
            if daemon.room.missing().is_some() || !is_due(looks.get(&class), after, now) {
                continue;
            }
            if let Err(error) = pass(&daemon, class, after, now).await {
                match error {
                    EraseError::Store(error @ StoreError::Stopped(_)) => return Err(error),
                    error => {
                        let error = in_full(&error);
                        tracing::error!(error, "what is no longer to be kept is kept on; it is tried again in a day");
                    }
                }
            }
            // One that the end of the daemon broke off is done again.
            if stop.is_cancelled() {
                return Ok(());
            }
            looks.insert(class, Look { at: now, after });
            let kept = looks.clone();
            let remembered =
                daemon.blocking(move |daemon| Ok::<_, StoreError>(daemon.store.remember_looks(&kept))).await?;
            if let Err(error) = remembered {
                tracing::warn!(%error, "the next start looks again what is no longer to be kept");
            }
        }
    }
}

/// A look that lies ahead, since the clock was set back, is none.
fn is_due(last: Option<&Look>, after: Duration, now: Timestamp) -> bool {
    last.is_none_or(|last| last.after != after || last.at > now || now.since(last.at) >= EVERY)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_looked_at_once_a_day_and_at_once_when_its_period_changed_or_the_clock_was_set_back() {
        let at = |hour: i64| Timestamp::from_millis(hour * 3_600_000);
        let after = Duration::from_secs(90 * 86_400);
        let look = Look { at: at(100), after };
        assert!(is_due(None, after, at(100)));
        assert!(!is_due(Some(&look), after, at(123)) && is_due(Some(&look), after, at(124)));
        assert!(is_due(Some(&look), Duration::from_secs(86_400), at(101)) && is_due(Some(&look), after, at(99)));
    }
}
