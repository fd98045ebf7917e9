//! Has everything that is kept read again within its period, slowly, and says at once what is not what was written.
//!
//! What a pass reads and how it is remembered is [`store::Scrubber`]'s; here are its times, its pace and who is told.

use std::sync::Arc;

use domain::{Duration, Timestamp, in_full};
use store::{Read, Scrubber, StoreError};
use tokio_util::sync::CancellationToken;

use crate::daemon::Daemon;

/// Read at once; what it waits after that keeps the pace.
const STEP: u64 = 1 << 20;
/// How much is read anew, at most, after a pass that was broken off.
const KEEP_EVERY: u64 = 64 << 20;
/// Settings are looked at again at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Begins a pass when one is due and brings it to its end, until `stop` is cancelled.
///
/// # Errors
/// The store stopped.
pub async fn keep_scrubbed(daemon: Arc<Daemon>, stop: CancellationToken) -> Result<(), StoreError> {
    loop {
        let due = daemon.blocking(due).await?;
        let now = daemon.clock.now();
        if due > now {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(due.since(now).min(LOOK_EVERY).to_std()) => continue,
            }
        }
        let scrubber = daemon.blocking(move |daemon| daemon.store.scrubber(now)).await?;
        let Some(scrubber) = pass(&daemon, scrubber, &stop).await? else { return Ok(()) };
        // Remembered as ended only after it is recorded, so that a crash in between has it recorded by the next start.
        let ended = Arc::new(scrubber);
        let recorded = {
            let ended = ended.clone();
            daemon.once_there_is_room(&stop, move |daemon| daemon.store.record_scrubbed(&ended)).await?
        };
        if recorded.is_none() {
            return Ok(());
        }
        daemon.news.notify_one();
        keep(&ended);
        match ended.unread().collect::<Vec<_>>().join(", ") {
            unread if unread.is_empty() => {
                tracing::info!(damage = ended.found_damage(), "everything that is kept was read again");
            }
            unread => tracing::warn!(damage = ended.found_damage(), unread, "not all that is kept could be read again"),
        }
    }
}

/// When the next pass is to begin: now, where one was broken off; else its period after the last one began.
fn due(daemon: &Daemon) -> Result<Timestamp, StoreError> {
    let now = daemon.clock.now();
    if daemon.store.layout().scrub().exists() {
        return Ok(now);
    }
    let failed = |e: store::ReadError| StoreError::Stopped(in_full(&e));
    let began = match daemon.store.last_scrub()? {
        Some(last) => last.scrub.began,
        None => daemon.store.entry(0).map_err(failed)?.map_or(now, |genesis| genesis.at),
    };
    // One whose last time lies ahead, since the clock was set back, is due now.
    let every = daemon.loaded().settings.scrub.every;
    Ok(if began > now { now } else { began.plus(every) })
}

/// Reads on to the end of a pass; `None` when the daemon ends first.
async fn pass(
    daemon: &Arc<Daemon>,
    mut scrubber: Scrubber,
    stop: &CancellationToken,
) -> Result<Option<Scrubber>, StoreError> {
    let mut unkept = 0;
    while !scrubber.ended() {
        let (back, read) = daemon
            .blocking(move |daemon| {
                let read = scrubber.step(STEP);
                if scrubber.found_damage() {
                    match daemon.store.record_scrubbed(&scrubber) {
                        Ok(true) => {
                            tracing::error!("recorded evidence is damaged: see the alert, or `evidenced doctor`");
                            daemon.news.notify_one();
                        }
                        // It is said at the end of the pass.
                        Ok(false) | Err(StoreError::DiskFull(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok((scrubber, read))
            })
            .await?;
        scrubber = back;
        unkept += read;
        if unkept >= KEEP_EVERY {
            keep(&scrubber);
            unkept = 0;
        }
        let pace = u64::from(daemon.loaded().settings.scrub.mib_per_second) << 20;
        let wait = Duration::from_millis(read.saturating_mul(1000) / pace.max(1));
        tokio::select! {
            () = stop.cancelled() => {
                keep(&scrubber);
                return Ok(None);
            }
            () = tokio::time::sleep(wait.to_std()) => {}
        }
    }
    Ok(Some(scrubber))
}

/// Remembers how far it is. What is not remembered is read again, and that is all.
fn keep(scrubber: &Scrubber) {
    if let Err(error) = scrubber.keep() {
        tracing::warn!(%error, "how far the scrub is could not be written down");
    }
}
