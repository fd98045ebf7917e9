//! Slots that nobody ran, and why.

use serde::{Deserialize, Serialize};

use crate::{Slot, StreamId};

/// Why nobody ran a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedReason {
    /// The daemon was not running.
    NotRunning,
    /// The run before it had not ended.
    StillRunning,
    /// Its time never came: the clock was set forward past it, or the machine slept through it.
    ClockStepped,
    /// As many runs as may go on at once were going on.
    HeldBack,
    /// The disk had too little room to keep evidence.
    DiskFull,
    /// The index was being built from the ledger, without which nothing can be decided.
    NoIndex,
}

impl MissedReason {
    /// The words that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            MissedReason::NotRunning => "the daemon was not running",
            MissedReason::StillRunning => "the run before it was still running",
            MissedReason::ClockStepped => "the clock was set forward, or the machine slept",
            MissedReason::HeldBack => "as many runs as may go on at once were going on",
            MissedReason::DiskFull => "the disk was nearly full",
            MissedReason::NoIndex => "the index was being built from the ledger",
        }
    }

    /// Whether a run should make up for the slots: not where one has just brought fresh evidence.
    pub fn calls_for_catch_up(self) -> bool {
        self != MissedReason::StillRunning
    }
}

/// Slots that nobody ran. A run that was begun and never ended is a failed run, not a missed slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Missed {
    /// The stream.
    pub stream: StreamId,
    /// The first slot of the range.
    pub first: Slot,
    /// The last slot of the range; equal to `first` for one slot.
    pub last: Slot,
    /// How many slots the range holds.
    pub count: u64,
    /// Why.
    pub reason: MissedReason,
}
