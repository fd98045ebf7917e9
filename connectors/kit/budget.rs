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
    spacing: Duration,
    /// No call starts before this moment.
    next: Mutex<Instant>,
}

impl Budget {
    /// A budget as the source's manners ask for.
    pub fn new(manners: &Manners) -> Self {
        Budget {
            slots: Semaphore::new(manners.concurrency.max(1) as usize),
            spacing: manners.spacing,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until a call may start. The permit is held until its answer is in. `Err` says at once how long the source
    /// wants to be left alone, when that is beyond `deadline`.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, Duration> {
        // The semaphore is never closed; a call without a permit would be no worse than one too many.
        let permit = self.slots.acquire().await.ok();
        loop {
            let now = Instant::now();
            let due = {
                let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
                if *next <= now {
                    *next = now + self.spacing;
                    return Ok(permit);
                }
                *next
            };
            if due >= deadline {
                return Err(due - now);
            }
            tokio::time::sleep_until(due).await;
        }
    }

    /// Keeps every call of this source away for `wait`, also those of later runs, an hour at most.
    pub(crate) fn pause(&self, wait: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(Instant::now() + wait.min(LONGEST_PAUSE));
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
