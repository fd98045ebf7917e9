//! Reads the five cron fields, and says which one is wrong and what it may hold.

use std::ops::Range;

use super::ScheduleError;

/// What one of the five fields may hold.
struct Kind {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names that stand for numbers, from `low` upwards.
    names: &'static [&'static str],
    allowed: &'static str,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const KINDS: [Kind; 5] = [
    Kind { name: "minute", low: 0, high: 59, names: &[], allowed: "0 to 59" },
    Kind { name: "hour", low: 0, high: 23, names: &[], allowed: "0 to 23" },
    Kind { name: "day of month", low: 1, high: 31, names: &[], allowed: "1 to 31" },
    Kind { name: "month", low: 1, high: 12, names: &MONTHS, allowed: "1 to 12 or JAN to DEC" },
    Kind { name: "weekday", low: 0, high: 7, names: &WEEKDAYS, allowed: "0 to 7 (0 and 7 are Sunday) or SUN to SAT" },
];

/// Shorthands of other programs, and the five fields to write instead.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// One field: the values it holds, one bit each, and how they were written.
#[derive(Clone, Copy, Default)]
pub(super) struct Field {
    bits: u64,
    /// It contains `*`, so it restricts nothing by the rule of crontab(5).
    pub(super) starred: bool,
    /// It contains a step.
    pub(super) stepped: bool,
}

impl Field {
    fn values(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |n| self.bits >> n & 1 == 1)
    }
}

/// The five fields.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields {
    minute: Field,
    pub(super) hour: Field,
    pub(super) day: Field,
    month: Field,
    pub(super) weekday: Field,
}

impl Fields {
    /// Reads five fields separated by white space.
    pub(super) fn parse(text: &str) -> Result<Fields, ScheduleError> {
        let words: Vec<(Range<usize>, &str)> = words(text).collect();
        let [minute, hour, day, month, weekday] = words.as_slice() else {
            return Err(wrong_count(text, &words));
        };
        let [of_minute, of_hour, of_day, of_month, of_weekday] = &KINDS;
        Ok(Fields {
            minute: field(of_minute, minute)?,
            hour: field(of_hour, hour)?,
            day: field(of_day, day)?,
            month: field(of_month, month)?,
            weekday: field(of_weekday, weekday)?,
        })
    }

    /// The minutes of the day on which it fires, sorted.
    pub(super) fn minutes_of_day(&self) -> Vec<u32> {
        self.hour.values().flat_map(|hour| self.minute.values().map(move |minute| hour * 60 + minute)).collect()
    }

    /// The same in the words of the `cron` crate: with seconds, every list written out, weekdays by name, and one
    /// expression per alternative, since that crate means "and" where Unix means "or" between the two kinds of day.
    pub(super) fn expressions(&self) -> Vec<String> {
        let [of_minute, of_hour, of_day, of_month, _] = &KINDS;
        let day = list(of_day, self.day);
        let weekday = match self.weekday.bits & 0x7f {
            0x7f => "*".to_owned(),
            bits => {
                joined(WEEKDAYS.iter().zip(0..).filter(|(_, n)| bits >> n & 1 == 1).map(|(name, _)| (*name).to_owned()))
            }
        };
        let days = if self.day.starred || self.weekday.starred {
            vec![(day, weekday)]
        } else {
            vec![(day, "*".to_owned()), ("*".to_owned(), weekday)]
        };
        let (minute, hour) = (list(of_minute, self.minute), list(of_hour, self.hour));
        let month = list(of_month, self.month);
        days.into_iter().map(|(day, weekday)| format!("0 {minute} {hour} {day} {month} {weekday}")).collect()
    }
}

fn list(kind: &Kind, field: Field) -> String {
    let all = (kind.low..=kind.high).all(|n| field.bits >> n & 1 == 1);
    if all { "*".to_owned() } else { joined(field.values().map(|n| n.to_string())) }
}

fn joined(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(",")
}

/// The words of a text and where they stand.
fn words(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let start = text.as_ptr() as usize;
    text.split_whitespace().map(move |word| {
        let at = word.as_ptr() as usize - start;
        (at..at + word.len(), word)
    })
}

fn wrong_count(text: &str, words: &[(Range<usize>, &str)]) -> ScheduleError {
    const FORM: &str = "minute hour day-of-month month weekday, for example 17 */6 * * *, or every: 15m";
    let shorthand = SHORTHANDS.iter().find(|(name, _)| text.trim().eq_ignore_ascii_case(name));
    let (message, remedy) = match (shorthand, words.len()) {
        (Some((name, fields)), _) => (format!("shorthand {name} is not accepted"), format!("write {fields}")),
        (None, 6) => (
            "six fields: seconds or a year are not accepted".to_owned(),
            format!("five fields, {FORM}; for less than a minute every: 10s"),
        ),
        (None, n) => (format!("{n} field{} instead of five", if n == 1 { "" } else { "s" }), FORM.to_owned()),
    };
    ScheduleError { message, remedy, span: 0..text.len(), in_zone: false }
}

/// Reads one field: a list of values, ranges and steps.
fn field(kind: &Kind, (at, text): &(Range<usize>, &str)) -> Result<Field, ScheduleError> {
    let mut field = Field { bits: 0, starred: text.contains('*'), stepped: text.contains('/') };
    let mut offset = at.start;
    for item in text.split(',') {
        let span = offset..offset + item.len();
        offset = span.end + 1;
        field.bits |= self::item(kind, item).map_err(|(message, remedy)| ScheduleError {
            message: format!("{}: {message}", kind.name),
            remedy,
            span: if span.is_empty() { at.clone() } else { span },
            in_zone: false,
        })?;
    }
    if kind.high == 7 {
        // Sunday is both 0 and 7.
        field.bits |= field.bits >> 7 & 1;
        field.bits &= 0x7f;
    }
    Ok(field)
}

/// The bits of one item of a list; an error is its message and its remedy.
fn item(kind: &Kind, text: &str) -> Result<u64, (String, String)> {
    let allowed = || {
        format!(
            "{} allows {}, *, ranges such as {}-{}, steps such as */2, and lists of these",
            kind.name,
            kind.allowed,
            kind.low,
            kind.low + 2
        )
    };
    let (base, step) = match text.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (text, None),
    };
    let (low, high) = match base.split_once('-') {
        _ if base.is_empty() => return Err((format!("nothing stands in {text:?}"), allowed())),
        _ if base == "*" => (kind.low, if kind.high == 7 { 6 } else { kind.high }),
        Some((low, high)) => {
            let (low, high) = (value(kind, low)?, value(kind, high)?);
            // SAT-SUN ends on the Sunday after.
            let high = if kind.high == 7 && high == 0 && low > 0 { 7 } else { high };
            if low > high {
                let remedy = format!(
                    "two ranges: {low}-{},{}-{high}",
                    kind.high.min(if kind.high == 7 { 6 } else { 59 }),
                    kind.low
                );
                return Err((format!("the range {base} runs backwards"), remedy));
            }
            (low, high)
        }
        None => {
            let n = value(kind, base)?;
            if step.is_some() {
                let remedy = format!("say where it ends: {base}-{}/{}", kind.high, step.unwrap_or("2"));
                return Err((format!("the step in {text} has no range"), remedy));
            }
            (n, n)
        }
    };
    let step =
        match step {
            None => 1,
            Some(step) => step.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(|| {
                (format!("{step:?} is not a step"), "a whole number from 1, for example */15".to_owned())
            })?,
        };
    if step > high - low && step > 1 {
        let remedy = match kind.name {
            "minute" => format!("for a steady beat across hours every: {step}m"),
            "hour" => format!("for a steady beat across days every: {step}h"),
            _ => "a smaller step, or the one value that is meant".to_owned(),
        };
        return Err((format!("the step in {text} is longer than its range, so it never steps"), remedy));
    }
    Ok((low..=high).step_by(step as usize).fold(0, |bits, n| bits | 1 << n))
}

/// One value, by number or name.
fn value(kind: &Kind, text: &str) -> Result<u32, (String, String)> {
    let allowed = format!("{} allows {}", kind.name, kind.allowed);
    let lower = text.to_ascii_lowercase();
    if let Some((n, _)) = (kind.low..).zip(kind.names).find(|(_, name)| lower == **name) {
        return Ok(n);
    }
    match text.parse::<u32>() {
        Ok(n) if (kind.low..=kind.high).contains(&n) && text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        Ok(_) => Err((format!("{text} is out of range"), allowed)),
        Err(_) if text == "?" => Err(("? is not accepted".to_owned(), "write * for any day".to_owned())),
        Err(_) if kind.low == 1 && kind.high == 31 && (lower.starts_with('l') || lower.ends_with('w')) => Err((
            format!("{text} (last day, nearest workday) is not accepted"),
            "name the days, for example 28-31 or 15-17".to_owned(),
        )),
        Err(_) if kind.high == 7 && (lower.ends_with('l') || text.contains('#')) => Err((
            format!("{text} (last or n-th weekday of a month) is not accepted"),
            "name the weekday, for example MON, and let it run every week".to_owned(),
        )),
        Err(_) => Err((format!("{text:?} is not a value"), allowed)),
    }
}
