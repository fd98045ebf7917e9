//! One source's share of our attention: how many calls at once, how fast, and when to stay away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::SourceId;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::Manners;

/// A source may ask for more, by mistake or worse; it is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The budget of one source, shared by its collectors and kept from run to run.
pub struct Budget {
    slots: Semaphore,
    pace: Mutex<Pace>,
}

/// When calls may start.
struct Pace {
    spacing: Duration,
    /// How far ahead of its turn a call may start: what a burst saves up.
    ahead: Duration,
    /// The next call's turn, were all of them evenly spaced.
    turn: Instant,
    /// The source wants to be left alone until then.
    quiet_until: Instant,
}

impl Pace {
    fn new(spacing: Duration, burst: u32, now: Instant) -> Self {
        let ahead = spacing.saturating_mul(burst.saturating_sub(1));
        Pace { spacing, ahead, turn: now, quiet_until: now }
    }

    /// Starts a call, or says when one may start.
    fn start(&mut self, now: Instant) -> Result<(), Instant> {
        let due = self.turn.checked_sub(self.ahead).unwrap_or(now).max(self.quiet_until);
        if due > now {
            return Err(due);
        }
        self.turn = self.turn.max(now) + self.spacing;
        Ok(())
    }

    fn pause(&mut self, wait: Duration, now: Instant) {
        self.quiet_until = self.quiet_until.max(now + wait.min(LONGEST_PAUSE));
    }
}

impl Budget {
    /// A budget as the source's manners ask for.
    pub fn new(manners: &Manners) -> Self {
        Budget {
            slots: Semaphore::new(manners.concurrency.max(1) as usize),
            pace: Mutex::new(Pace::new(manners.spacing, manners.burst, Instant::now())),
        }
    }

    /// Waits until a call may start. The permit is held until its answer is in. `Err` says at once how long the source
    /// wants to be left alone, when that is beyond `deadline`.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, Duration> {
        // The semaphore is never closed; a call without a permit would be no worse than one too many.
        let permit = self.slots.acquire().await.ok();
        loop {
            let now = Instant::now();
            let started = self.pace.lock().unwrap_or_else(PoisonError::into_inner).start(now);
            let Err(due) = started else { return Ok(permit) };
            if due >= deadline {
                return Err(due - now);
            }
            tokio::time::sleep_until(due).await;
        }
    }

    /// Keeps every call of this source away for `wait`, also those of later runs, an hour at most.
    pub(crate) fn pause(&self, wait: Duration) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).pause(wait, Instant::now());
    }
}

/// The budgets of all sources.
#[derive(Clone, Default)]
pub struct Budgets(Arc<Mutex<BTreeMap<SourceId, Arc<Budget>>>>);

impl Budgets {
    /// The budget of one source, made at its first run.
    pub fn of(&self, source: &SourceId, manners: &Manners) -> Arc<Budget> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(source.clone()).or_insert_with(|| Arc::new(Budget::new(manners))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_starts_at_once_and_then_calls_are_spaced() {
        let now = Instant::now();
        let mut pace = Pace::new(SECOND, 3, now);
        assert_eq!([(); 3].map(|()| pace.start(now)), [Ok(()); 3]);
        assert_eq!(pace.start(now), Err(now + SECOND));
        assert_eq!(pace.start(now + SECOND), Ok(()));
        assert_eq!(pace.start(now + SECOND), Err(now + SECOND * 2));
        let later = now + SECOND * 60;
        assert_eq!([(); 3].map(|()| pace.start(later)), [Ok(()); 3], "rest saves up one burst and no more");
        assert_eq!(pace.start(later), Err(later + SECOND));
    }

    #[test]
    fn a_source_that_asks_for_quiet_has_it_and_for_an_hour_at_most() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::ZERO, 1, now);
        pace.pause(SECOND * 7, now);
        pace.pause(SECOND, now);
        assert_eq!(pace.start(now), Err(now + SECOND * 7));
        pace.pause(Duration::from_secs(u64::MAX), now);
        assert_eq!(pace.start(now), Err(now + LONGEST_PAUSE));
    }
}
