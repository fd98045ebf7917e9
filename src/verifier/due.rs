//! The slots that a schedule promises: five cron fields by the clock of a place, or a beat aligned to 1970.

use std::collections::BTreeSet;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::time::{DAY, date};

/// Slots of one schedule that a package may promise; more are not believed.
const MOST: i64 = 50_000_000;

pub(crate) const UTC: Tz = Tz::UTC;

/// The clock of an IANA zone such as `Europe/Berlin`.
pub fn zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// The slots after one moment up to and including another, in milliseconds since 1970. Reads five cron fields, by the clock
/// of an IANA zone, or a beat (`every: 15m`), as entries write them.
///
/// Where clocks change, a fixed hour comes once, also when they leap over it (then at the end of the leap); `*` or a step in
/// the hour means every moment at which the clock shows such a time.
pub fn slots(expression: &str, zone: Tz, after: i64, through: i64) -> Result<Vec<i64>, String> {
    if let Some(beat) = expression.strip_prefix("every: ") {
        let beat = beat_of(beat).ok_or_else(|| format!("not a beat: {expression:?}"))?;
        let first = (after.div_euclid(beat) + 1) * beat;
        if (through - first) / beat > MOST {
            return Err("more slots than can be".to_owned());
        }
        let next = |slot: &i64| Some(slot + beat);
        return Ok(std::iter::successors(Some(first), next).take_while(|slot| *slot <= through).collect());
    }
    let fields: Vec<&str> = expression.split(' ').collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err(format!("not five fields: {expression:?}"));
    };
    const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let (minutes, hours) = (numbers(minute, 0, 59, &[])?, numbers(hour, 0, 23, &[])?);
    let (days, months) = (numbers(day, 1, 31, &[])?, numbers(month, 1, 12, MONTHS)?);
    let weekdays = numbers(weekday, 0, 7, WEEKDAYS)?;
    // By the rule of crontab(5): where both kinds of day are restricted, either will do.
    let both = day.contains('*') || weekday.contains('*');
    let fixed = !hour.contains(['*', '/']);
    let mut found = BTreeSet::new();
    // By the clock of a place a day begins up to a day earlier or later.
    for at in after.div_euclid(DAY) - 1..=through.div_euclid(DAY) + 1 {
        let (day, month, weekday) = date(at);
        let (by_day, by_weekday) = (days.contains(&day), weekdays.contains(&weekday));
        let fits = if both { by_day && by_weekday } else { by_day || by_weekday };
        if months.contains(&month) && fits {
            let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| hour * 60 + minute));
            let slots = times.flat_map(|time| instants(zone, at * DAY + i64::from(time) * 60_000, fixed));
            found.extend(slots.filter(|slot| *slot > after && *slot <= through));
        }
    }
    Ok(found.into_iter().collect())
}

/// The moments at which the clock of a place shows `wall`, a time in milliseconds as though it were UTC: none, one, or two;
/// `fixed` always one, the first, or the end of the leap that left the time out.
fn instants(zone: Tz, wall: i64, fixed: bool) -> Vec<i64> {
    let ahead = |at: i64| {
        let at = DateTime::from_timestamp_millis(at).unwrap_or_default();
        i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()) * 1000
    };
    // No place changes its clock twice within two days.
    let (before, after) = (wall - ahead(wall - DAY), wall - ahead(wall + DAY));
    let shown = BTreeSet::from([before, after]).into_iter().filter(|at| at + ahead(*at) == wall);
    let mut found: Vec<i64> = shown.collect();
    if fixed && found.is_empty() {
        let (mut low, mut high, offset) = (after, before, ahead(wall - DAY));
        while high - low > 1000 {
            let middle = (low + (high - low) / 2).div_euclid(1000) * 1000;
            if ahead(middle) == offset { low = middle } else { high = middle }
        }
        found.push(high);
    }
    found.truncate(if fixed { 1 } else { 2 });
    found
}

/// The length of a beat in milliseconds.
fn beat_of(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY,
        _ => return None,
    };
    let plain = !digits.starts_with('0') && digits.len() <= 9 && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse::<i64>().ok().filter(|_| plain).map(|number| number * unit)
}

/// The numbers that one field names: a list of values, ranges and steps.
fn numbers(field: &str, low: u32, high: u32, names: &[&str]) -> Result<BTreeSet<u32>, String> {
    let refused = || format!("not a field of a schedule: {field:?}");
    let value = |text: &str| {
        let named = (low..).zip(names).find(|(_, name)| text == **name).map(|(n, _)| n);
        named.or_else(|| text.parse().ok()).ok_or_else(refused)
    };
    let mut found = BTreeSet::new();
    for item in field.to_ascii_lowercase().split(',') {
        let (base, step) = item.split_once('/').unwrap_or((item, "1"));
        let (first, last) = match base.split_once('-') {
            _ if base == "*" => (low, if high == 7 { 6 } else { high }),
            None => (value(base)?, value(base)?),
            Some((first, last)) => {
                let (first, last) = (value(first)?, value(last)?);
                // A range that ends on Sunday, ends on the Sunday after.
                (first, if high == 7 && last == 0 && first > 0 { 7 } else { last })
            }
        };
        let step = step.parse::<usize>().ok().filter(|step| *step > 0).ok_or_else(refused)?;
        if last > high {
            return Err(refused());
        }
        found.extend((first..=last).step_by(step).map(|n| if high == 7 && n == 7 { 0 } else { n }));
    }
    Ok(found)
}
