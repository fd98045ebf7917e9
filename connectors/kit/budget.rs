//! One source's share of our attention: how many calls at once, how fast, and when to stay away.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::SourceId;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::{Manners, Rate};

/// A source may ask for more, by mistake or worse; it is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The budget of one source, shared by its collectors and kept from run to run.
pub struct Budget {
    slots: Semaphore,
    pace: Mutex<Pace>,
}

/// When calls may start.
struct Pace {
    rate: Option<Rate>,
    /// When the last calls started, oldest first: no more of them than count against the rate.
    started: VecDeque<Instant>,
    /// The source wants to be left alone until then.
    quiet_until: Instant,
}

impl Pace {
    fn new(rate: Option<Rate>, now: Instant) -> Self {
        Pace { rate, started: VecDeque::new(), quiet_until: now }
    }

    /// Starts a call, or says when one may start.
    fn start(&mut self, now: Instant) -> Result<(), Instant> {
        if self.quiet_until > now {
            return Err(self.quiet_until);
        }
        let Some(Rate { calls, within }) = self.rate else { return Ok(()) };
        self.started.retain(|started| *started + within > now);
        // However many calls the rate of before let start, the one that frees a place for this one is waited for.
        let over = (self.started.len() + 1).saturating_sub(calls.max(1) as usize);
        match over.checked_sub(1).and_then(|last| self.started.get(last)) {
            Some(freeing) => Err(*freeing + within),
            None => {
                self.started.push_back(now);
                Ok(())
            }
        }
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
            pace: Mutex::new(Pace::new(manners.rate, Instant::now())),
        }
    }

    /// Waits until a call may start. The permit is held until its answer is in. `Err` says at once how long the source
    /// wants to be left alone, when that is beyond `deadline`.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, Duration> {
        // The semaphore is never closed; a call without a permit would be no worse than one too many.
        let permit = self.slots.acquire().await.ok();
        loop {
            let now = Instant::now();
            let started = self.pace().start(now);
            let Err(due) = started else { return Ok(permit) };
            if due >= deadline {
                return Err(due - now);
            }
            tokio::time::sleep_until(due).await;
        }
    }

    /// Keeps every call of this source away for `wait`, also those of later runs, an hour at most.
    pub(crate) fn pause(&self, wait: Duration) {
        self.pace().pause(wait, Instant::now());
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The budgets of all sources.
#[derive(Clone, Default)]
pub struct Budgets(Arc<Mutex<BTreeMap<SourceId, Arc<Budget>>>>);

impl Budgets {
    /// The budget of one source, made at its first run. It keeps to the rate of the manners in force.
    pub fn of(&self, source: &SourceId, manners: &Manners) -> Arc<Budget> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = all.entry(source.clone()).or_insert_with(|| Arc::new(Budget::new(manners)));
        budget.pace().rate = manners.rate;
        Arc::clone(budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_more_calls_start_within_any_stretch_of_time_than_the_rate_says_and_none_waits_longer_for_it() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(Rate { calls: 3, within: SECOND * 60 }), now);
        assert_eq!([0, 0, 20].map(|after| pace.start(now + SECOND * after)), [Ok(()); 3]);
        assert_eq!(pace.start(now + SECOND * 59), Err(now + SECOND * 60));
        assert_eq!([60, 60].map(|after| pace.start(now + SECOND * after)), [Ok(()); 2]);
        assert_eq!(pace.start(now + SECOND * 60), Err(now + SECOND * 80));
        assert_eq!(pace.start(now + SECOND * 80), Ok(()));
        pace.rate = Some(Rate { calls: 1, within: SECOND * 60 });
        assert_eq!(pace.start(now + SECOND * 81), Err(now + SECOND * 140), "three started in the last minute");
        pace.rate = None;
        assert_eq!([(); 9].map(|()| pace.start(now + SECOND * 81)), [Ok(()); 9]);
    }

    #[test]
    fn a_source_that_asks_for_quiet_has_it_and_for_an_hour_at_most() {
        let now = Instant::now();
        let mut pace = Pace::new(None, now);
        pace.pause(SECOND * 7, now);
        pace.pause(SECOND, now);
        assert_eq!(pace.start(now), Err(now + SECOND * 7));
        pace.pause(Duration::from_secs(u64::MAX), now);
        assert_eq!(pace.start(now), Err(now + LONGEST_PAUSE));
    }
}
