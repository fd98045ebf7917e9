//! Cron fields in a time zone: which instants they name.
//!
//! The `cron` crate finds the next matching time on a clock without a zone; here such wall-clock times, in seconds as
//! though they were UTC, are turned into instants. Its own zone handling runs a job of the skipped hour not at all and
//! one of the doubled hour twice.

use std::str::FromStr;

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use domain::Duration;

use super::ScheduleError;
use super::fields::Fields;

const DAY: i64 = 86_400;
/// No zone changes its offset twice within this many seconds.
const STRIDE: i64 = 12 * 3600;

/// Cron fields in a zone.
#[derive(Clone)]
pub(super) struct Cron {
    zone: Tz,
    /// The hour holds neither `*` nor a step.
    fixed: bool,
    /// Fires when any of them does.
    any_of: Vec<::cron::Schedule>,
    /// Seconds of the day on which it fires, sorted; never empty.
    times: Vec<i64>,
}

impl Cron {
    /// Reads five fields.
    pub(super) fn parse(text: &str, zone: Tz) -> Result<Cron, ScheduleError> {
        let refused = |message: String, remedy: &str| ScheduleError {
            message,
            remedy: remedy.to_owned(),
            span: 0..text.len(),
            in_zone: false,
        };
        let fields = Fields::parse(text)?;
        let any_of = fields.expressions().into_iter().map(|expression| ::cron::Schedule::from_str(&expression));
        let any_of: Vec<_> = any_of.collect::<Result<_, _>>().map_err(|error| {
            refused(format!("not a cron expression: {error}"), "five fields, for example 17 */6 * * *")
        })?;
        let times = fields.minutes_of_day().into_iter().map(|minute| i64::from(minute) * 60).collect();
        let cron = Cron { zone, fixed: !fields.hour.starred && !fields.hour.stepped, any_of, times };
        if cron.next_wall(0).is_none() {
            return Err(refused("such a date never comes".to_owned(), "a day that its month has"));
        }
        Ok(cron)
    }

    pub(super) fn zone_name(&self) -> &'static str {
        self.zone.name()
    }

    /// The shortest distance between two times of day, over midnight too.
    pub(super) fn period(&self) -> Duration {
        let over_midnight = match (self.times.first(), self.times.last()) {
            (Some(first), Some(last)) => first + DAY - last,
            _ => DAY,
        };
        let within = self.times.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).min();
        let seconds = within.map_or(over_midnight, |gap| gap.min(over_midnight));
        Duration::from_secs(seconds.unsigned_abs())
    }

    /// The first instant after `t`, in seconds.
    pub(super) fn next_after(&self, t: i64) -> Option<i64> {
        if self.fixed { self.next_fixed(t) } else { self.next_elapsed(t) }
    }

    /// The last instant from `first`, which is one, up to `through`.
    pub(super) fn last_within(&self, first: i64, through: i64) -> i64 {
        // Windows that grow backwards from the end: the first that holds an instant holds few.
        let mut width = 3600;
        loop {
            let from = through.saturating_sub(width).max(first);
            let instants = std::iter::successors(self.next_after(from), |t| self.next_after(*t));
            match instants.take_while(|t| *t <= through).last() {
                Some(last) => return last,
                None if from == first => return first,
                None => width = width.saturating_mul(4),
            }
        }
    }

    /// How many instants lie after `after`, up to and including `through`.
    pub(super) fn count_within(&self, after: i64, through: i64) -> u64 {
        let mut count = 0;
        let mut at = after;
        while at < through {
            let end = at.saturating_add(DAY).min(through);
            // Around a change of the clocks count one by one, else by the times of day.
            if end - at == DAY && self.first_change(at - DAY, end).is_none() {
                let wall = at + self.offset(at);
                let (midnight, time) = (wall.div_euclid(DAY) * DAY, wall.rem_euclid(DAY));
                let before = self.times.partition_point(|t| *t <= time);
                let today = if self.fires_on(midnight) { self.times.len() - before } else { 0 };
                let tomorrow = if self.fires_on(midnight + DAY) { before } else { 0 };
                count += (today + tomorrow) as u64;
            } else {
                let instants = std::iter::successors(self.next_after(at), |t| self.next_after(*t));
                count += instants.take_while(|t| *t <= end).count() as u64;
            }
            at = end;
        }
        count
    }

    /// A fixed hour: each local time once.
    fn next_fixed(&self, t: i64) -> Option<i64> {
        let mut wall = t + self.offset(t);
        // In the second coming of a doubled hour, the wall times ahead have already been; go past them.
        loop {
            wall = self.next_wall(wall)?;
            let instant = self.instant(wall)?;
            if instant > t {
                return Some(instant);
            }
        }
    }

    /// `*` or a step in the hour: whenever the clock on the wall shows a matching time.
    fn next_elapsed(&self, t: i64) -> Option<i64> {
        let (mut from, mut offset) = (t, self.offset(t));
        let mut wall = t + offset;
        loop {
            let instant = self.next_wall(wall)? - offset;
            match self.first_change(from, instant) {
                None => return Some(instant),
                Some(change) => {
                    from = change;
                    offset = self.offset(change);
                    wall = change + offset - 1;
                }
            }
        }
    }

    /// The next matching time after `wall` on a clock without a zone.
    fn next_wall(&self, wall: i64) -> Option<i64> {
        let wall = DateTime::<Utc>::from_timestamp(wall, 0)?;
        self.any_of.iter().filter_map(|schedule| schedule.after(&wall).next()).min().map(|next| next.timestamp())
    }

    /// Whether the date that begins at this wall-clock midnight is one of its days.
    fn fires_on(&self, midnight: i64) -> bool {
        let first = self.times.first().and_then(|time| DateTime::<Utc>::from_timestamp(midnight + time, 0));
        first.is_some_and(|time| self.any_of.iter().any(|schedule| schedule.includes(time)))
    }

    /// The instant of a wall-clock time: the first of two, or the end of the gap that swallowed it.
    fn instant(&self, wall: i64) -> Option<i64> {
        let local = DateTime::<Utc>::from_timestamp(wall, 0)?.naive_utc();
        let found = self.zone.from_local_datetime(&local).earliest();
        let instant = found.or_else(|| GapInfo::new(&local, &self.zone).and_then(|gap| gap.end))?;
        Some(instant.timestamp())
    }

    /// Seconds that local time is ahead of UTC at an instant.
    fn offset(&self, t: i64) -> i64 {
        DateTime::<Utc>::from_timestamp(t, 0)
            .map_or(0, |t| self.zone.offset_from_utc_datetime(&t.naive_utc()).fix().local_minus_utc().into())
    }

    /// The first instant after `from`, up to `to`, at which the clocks change.
    fn first_change(&self, from: i64, to: i64) -> Option<i64> {
        if self.zone == Tz::UTC {
            return None;
        }
        let before = self.offset(from);
        let mut low = from;
        while low < to {
            let mut high = (low + STRIDE).min(to);
            if self.offset(high) != before {
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if self.offset(middle) == before { low = middle } else { high = middle }
                }
                return Some(high);
            }
            low = high;
        }
        None
    }
}

/// The zone of this name.
pub(super) fn zone(name: &str) -> Result<Tz, ScheduleError> {
    name.parse().map_err(|_| ScheduleError {
        message: format!("unknown zone {name:?}"),
        remedy: match nearest_zone(name) {
            Some(zone) => format!("did you mean {zone}?"),
            None => "an IANA name such as Europe/Berlin, America/New_York or UTC".to_owned(),
        },
        span: 0..name.len(),
        in_zone: true,
    })
}

fn nearest_zone(name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase().replace(' ', "_");
    let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
    // The city alone, or else the name with fewest wrong letters.
    let city = names().find(|zone| zone.to_lowercase().rsplit('/').next() == Some(wanted.as_str()));
    city.or_else(|| checks::nearest(name, names()))
}
