//! When each stream is due: schedules as people write them, their slots, and the decision what to do now.
//!
//! Everything here is pure. A [`Schedule`] turns text into slots, a [`StreamState`] remembers what became of them, and
//! [`due`] says what to do next and why. The caller waits, records and runs.
//!
//! Time zones: a job with a fixed hour runs exactly once on a day when the clocks change (a local time that does not
//! exist means the first moment after the gap, one that comes twice means its first coming). A job with `*` or a step in
//! its hour follows elapsed time: it fires whenever the clock on the wall shows a matching time, twice if it does so twice.

mod cron;
mod due;
#[cfg(test)]
mod due_tests;
mod fields;
#[cfg(test)]
mod oracle_tests;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;

use std::fmt;
use std::ops::Range;

use domain::{Duration, Slot, StreamId, Timestamp};
use sha2::{Digest, Sha256};

use self::cron::Cron;
pub use self::due::{Decision, Waiting, due};
pub use self::stream::{OpenIntent, Resumed, StreamState};

/// The shortest distance between slots.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest distance that `every` accepts.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Jitter is at most this long, and at most a tenth of the distance between slots.
const MOST_JITTER: Duration = Duration::from_secs(5 * 60);
/// A run starts at most this late, and at most half the distance between slots late.
const MOST_LATENESS: Duration = Duration::from_secs(10 * 60);

/// When a stream is due: five cron fields in a time zone, or a steady beat.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Every(Duration),
    Cron(Box<Cron>),
}

/// Consecutive slots, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotRange {
    /// The first.
    pub first: Slot,
    /// The last; equal to `first` when there is one only.
    pub last: Slot,
    /// How many there are, at least 1.
    pub count: u64,
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    /// What is wrong, naming the field.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    /// The bytes at fault, in the expression or, if `in_zone`, in the name of the zone.
    pub span: Range<usize>,
    /// Whether the name of the zone is at fault rather than the expression.
    pub in_zone: bool,
}

impl Schedule {
    /// Reads five cron fields (`*/15 * * * *`) or a beat (`every: 15m`, `every 15m`).
    ///
    /// `zone` is an IANA name such as `Europe/Berlin`; without one cron fields are in UTC. A beat is aligned to
    /// 1970-01-01T00:00:00Z and needs no zone.
    ///
    /// # Errors
    /// Names the field at fault, what it may hold, and what to write instead.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Schedule, ScheduleError> {
        let tz = zone.map_or(Ok(chrono_tz::UTC), cron::zone)?;
        let start = text.len() - text.trim_start().len();
        if let Some(rest) = text.trim().strip_prefix("every") {
            let length = rest.trim_start_matches(':').trim();
            let at = text.rfind(length).unwrap_or(start);
            let beat = beat(length, at..at + length.len())?;
            let shown = serde_json::to_value(beat).ok();
            let shown = shown.as_ref().and_then(|value| value.as_str()).unwrap_or(length);
            return Ok(Schedule { text: format!("every: {shown}"), rule: Rule::Every(beat) });
        }
        let cron = Cron::parse(text, tz)?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Schedule { text, rule: Rule::Cron(Box::new(cron)) })
    }

    /// The schedule as it is written into the ledger; [`Schedule::parse`] reads it back.
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// The time zone of the cron fields; `None` for a beat.
    pub fn zone(&self) -> Option<&'static str> {
        match &self.rule {
            Rule::Every(_) => None,
            Rule::Cron(cron) => Some(cron.zone_name()),
        }
    }

    /// The first slot after `t`. Cron fields end with the year 2100.
    pub fn next_after(&self, t: Timestamp) -> Option<Slot> {
        let t = t.max(Timestamp::from_millis(-1));
        match &self.rule {
            Rule::Every(beat) => {
                let beat = i64::try_from(beat.millis()).ok()?;
                let next = t.millis().div_euclid(beat).checked_add(1)?.checked_mul(beat)?;
                Some(Slot(Timestamp::from_millis(next)))
            }
            Rule::Cron(cron) => cron.next_after(t.seconds()).map(slot_at),
        }
    }

    /// The slots after `t`, in order.
    pub fn slots_after(&self, t: Timestamp) -> impl Iterator<Item = Slot> + '_ {
        std::iter::successors(self.next_after(t), |slot| self.next_after(slot.0))
    }

    /// The slots after `after` up to and including `through`, at most `limit` of them.
    pub fn slots_between(&self, after: Timestamp, through: Timestamp, limit: usize) -> Vec<Slot> {
        self.slots_after(after).take_while(|slot| slot.0 <= through).take(limit).collect()
    }

    /// The slots after `after` up to and including `through` as one range, counted without listing them; `None` when
    /// there are none.
    pub fn slots_within(&self, after: Timestamp, through: Timestamp) -> Option<SlotRange> {
        let first = self.next_after(after).filter(|slot| slot.0 <= through)?;
        let (last, count) = match &self.rule {
            Rule::Every(beat) => {
                let beat = i64::try_from(beat.millis()).ok()?;
                let last = through.millis().div_euclid(beat).saturating_mul(beat);
                let count = last.saturating_sub(first.0.millis()) / beat + 1;
                (Slot(Timestamp::from_millis(last)), u64::try_from(count).unwrap_or(1))
            }
            Rule::Cron(cron) => {
                let (from, through) = (first.0.seconds(), through.seconds());
                (slot_at(cron.last_within(from, through)), cron.count_within(from, through) + 1)
            }
        };
        Some(SlotRange { first, last, count })
    }

    /// The shortest distance between two slots of an ordinary day.
    pub fn period(&self) -> Duration {
        match &self.rule {
            Rule::Every(beat) => *beat,
            Rule::Cron(cron) => cron.period(),
        }
    }

    /// How long after a slot this stream's run starts: the same for ever for one stream and schedule, and spread
    /// evenly over all streams, so that they do not all ask at once. It moves the start only, never the slot.
    pub fn jitter(&self, stream: &StreamId) -> Duration {
        let spread = (self.period().millis() / 10).min(MOST_JITTER.millis());
        let digest = Sha256::digest(format!("evidenced jitter v1\n{stream}"));
        let seed = digest.iter().take(8).fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        Duration::from_millis(seed.checked_rem(spread).unwrap_or(0))
    }

    /// How long after its slot a run may still start. A slot that nobody started by then is missed.
    pub fn lateness(&self) -> Duration {
        Duration::from_millis((self.period().millis() / 2).min(MOST_LATENESS.millis()))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone() {
            Some(zone) if zone != "UTC" => write!(f, "{} ({zone})", self.text),
            _ => f.pad(&self.text),
        }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone() == other.zone()
    }
}

impl Eq for Schedule {}

fn slot_at(seconds: i64) -> Slot {
    Slot(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// Reads the length of a beat.
fn beat(text: &str, span: Range<usize>) -> Result<Duration, ScheduleError> {
    let refused = |message: String, remedy: &str| ScheduleError {
        message,
        remedy: remedy.to_owned(),
        span: span.clone(),
        in_zone: false,
    };
    let length: Duration = text.parse().map_err(|_| {
        refused(
            format!("every: not a length of time: {text:?}"),
            "a whole number and s, m, h or d, for example every: 15m",
        )
    })?;
    match () {
        () if length < SHORTEST => Err(refused(format!("every: {text} is too short"), "at least every: 1s")),
        () if length > LONGEST => Err(refused(format!("every: {text} is too long"), "at most every: 366d")),
        () if !length.millis().is_multiple_of(1000) => {
            Err(refused(format!("every: {text} is not in whole seconds"), "whole seconds, for example every: 2s"))
        }
        () => Ok(length),
    }
}
