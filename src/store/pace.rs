//! How long the disk takes to make evidence durable.
//!
//! Measured by elapsed time and not by the clock: a clock that is stepped is no slow disk.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The pace of the disk under the writer.
#[derive(Default)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Default)]
struct State {
    began: Option<Instant>,
    longest: Duration,
}

impl Pace {
    /// Does something that waits for the disk, and measures it.
    pub(crate) fn of<T>(&self, work: impl FnOnce() -> T) -> T {
        self.state().began = Some(Instant::now());
        let done = work();
        let mut state = self.state();
        let took = state.began.take().map_or(Duration::ZERO, |began| began.elapsed());
        state.longest = state.longest.max(took);
        done
    }

    /// The longest that it took since this was asked last, what is under way included.
    pub(crate) fn longest(&self) -> Duration {
        let mut state = self.state();
        let under_way = state.began.map_or(Duration::ZERO, |began| began.elapsed());
        std::mem::take(&mut state.longest).max(under_way)
    }

    /// For how long what is under way has been waiting for the disk; zero when nothing is.
    pub(crate) fn waiting(&self) -> Duration {
        self.state().began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
