//! Slots held against two oracles: the `croner` crate, and a clock on the wall that is read minute by minute.
//!
//! Differences to `croner` that are meant, and therefore not generated here:
//! * a step over all days of the month (`*/2`) restricts nothing by crontab(5), so that it does not turn "and" into
//!   "or" beside a weekday; `croner` counts only a bare `*`;
//! * a job is of fixed time by its hour alone; for `croner` the minute must be a single value too, and so must the
//!   hour: `*/5 2 * * *` and `30 1,2 * * *` are fixed for us;
//! * `?`, `L`, `W`, `#`, `+`, seconds, years and `@daily` are refused.

use std::str::FromStr;

use chrono::{DateTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron as Croner;
use domain::{Slot, Timestamp};
use proptest::prelude::*;

use super::Schedule;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn instant(t: Timestamp) -> DateTime<Utc> {
    t.to_chrono().unwrap()
}

/// One field: a star, a value, a range, a stepped range, a stepped star, or a list.
fn field(low: u32, high: u32, stepped_star: bool) -> BoxedStrategy<String> {
    let value = (low..=high).prop_map(|n| n.to_string());
    let range = (low..high).prop_flat_map(move |a| (Just(a), a + 1..=high)).prop_map(|(a, b)| format!("{a}-{b}"));
    let stepped = (low..high - 1)
        .prop_flat_map(move |a| (Just(a), a + 2..=high))
        .prop_flat_map(|(a, b)| (Just(a), Just(b), 1..=b - a))
        .prop_map(|(a, b, step)| format!("{a}-{b}/{step}"));
    let star_step = (1..=(high - low)).prop_map(|step| format!("*/{step}"));
    let one = prop_oneof![3 => value, 2 => range, 1 => stepped];
    let list = prop::collection::vec(one.clone(), 1..4).prop_map(|items| items.join(","));
    let star = Just("*".to_owned());
    match stepped_star {
        true => prop_oneof![2 => star, 2 => star_step, 4 => list].boxed(),
        false => prop_oneof![1 => star, 1 => list].boxed(),
    }
}

fn weekday() -> BoxedStrategy<String> {
    let names = prop::sample::subsequence(vec!["SUN", "Mon", "tue", "WED", "thu", "FRI", "SAT"], 1..4)
        .prop_map(|names| names.join(","));
    prop_oneof![2 => Just("*".to_owned()), 1 => names, 2 => field(0, 6, false), 1 => Just("5-7".to_owned())].boxed()
}

fn expression() -> impl Strategy<Value = String> {
    (field(0, 59, true), field(0, 23, true), field(1, 31, false), field(1, 12, true), weekday())
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// From 2000 to 2060.
fn moment() -> impl Strategy<Value = Timestamp> {
    (946_684_800_000i64..2_840_140_800_000).prop_map(Timestamp::from_millis)
}

/// Reads a clock on the wall minute by minute: the definition of both kinds of job, without any cleverness.
fn minute_by_minute(expression: &str, tz: Tz, after: i64, through: i64) -> Vec<i64> {
    let matcher = Croner::from_str(expression).unwrap();
    let matches = |wall: i64| matcher.is_time_matching(&DateTime::<Utc>::from_timestamp(wall, 0).unwrap()).unwrap();
    let offset = |t: i64| -> i64 {
        let utc = DateTime::<Utc>::from_timestamp(t, 0).unwrap().naive_utc();
        tz.offset_from_utc_datetime(&utc).fix().local_minus_utc().into()
    };
    let hour = expression.split(' ').nth(1).unwrap();
    let mut found = Vec::new();
    if hour.contains('*') || hour.contains('/') {
        let minutes = (after.div_euclid(60) + 1..).map(|minute| minute * 60).take_while(|t| *t <= through);
        found.extend(minutes.filter(|t| matches(t + offset(*t))));
    } else {
        // Every time the wall should have shown, at the first moment at which it shows that or more.
        let mut shown = after - 86_400 * 3;
        let mut reached = shown + offset(shown);
        while shown <= through {
            shown += 60;
            let wall = shown + offset(shown);
            while reached < wall {
                reached += 60;
                if matches(reached) && after < shown && shown <= through {
                    found.push(shown);
                }
            }
        }
    }
    found.dedup();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_utc_the_slots_are_those_of_croner(expression in expression(), after in moment()) {
        let theirs = Croner::from_str(&expression).unwrap();
        match Schedule::parse(&expression, None) {
            Ok(ours) => {
                let ours: Vec<_> = ours.slots_after(after).take(4).map(|slot| instant(slot.0)).collect();
                let theirs: Vec<_> = theirs.iter_after(instant(after)).take(ours.len()).collect();
                prop_assert_eq!(ours, theirs, "{}", expression);
            }
            Err(refused) => {
                prop_assert_eq!(&refused.message, "such a date never comes", "{}", expression);
                prop_assert!(theirs.find_next_occurrence(&instant(after), false).is_err(), "{}", expression);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counting_slots_is_as_good_as_listing_them(
        expression in expression(),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        after in moment(),
        seconds in 0i64..40 * 86_400,
    ) {
        let Ok(schedule) = Schedule::parse(&expression, Some(zone)) else { return Ok(()) };
        let through = Timestamp::from_millis(after.millis() + seconds * 1000);
        let listed = schedule.slots_between(after, through, usize::MAX);
        let range = schedule.slots_within(after, through);
        prop_assert_eq!(range.map(|range| range.first), listed.first().copied());
        prop_assert_eq!(range.map(|range| range.last), listed.last().copied());
        prop_assert_eq!(range.map_or(0, |range| range.count), listed.len() as u64, "{} {}", expression, zone);
    }

    #[test]
    fn when_clocks_change_the_slots_are_those_of_the_clock_on_the_wall(
        minute in field(0, 59, true),
        hour in field(0, 4, true),
        change in prop::sample::select(CHANGES.to_vec()),
        hours_before in 1i64..30,
    ) {
        let (zone, change) = change;
        let expression = format!("{minute} {hour} * * *");
        let schedule = Schedule::parse(&expression, Some(zone)).unwrap();
        let after = at(change).seconds() - hours_before * 3600;
        let through = after + 60 * 3600;
        let wanted = minute_by_minute(&expression, zone.parse().unwrap(), after, through);
        let (after, through) = (Timestamp::from_millis(after * 1000), Timestamp::from_millis(through * 1000));
        let found: Vec<i64> = schedule.slots_between(after, through, usize::MAX).iter().map(|s| s.0.seconds()).collect();
        prop_assert_eq!(found.len() as u64, schedule.slots_within(after, through).map_or(0, |range| range.count));
        prop_assert_eq!(found, wanted, "{} {}", expression, zone);
    }
}

/// Zones and a moment near which their clocks change: by one hour, half an hour, two hours, a whole day.
const CHANGES: [(&str, &str); 12] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/St_Johns", "2026-11-01T04:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("America/Santiago", "2026-09-06T04:00:00Z"),
];

#[test]
fn in_a_zone_the_slots_are_those_of_croner_over_a_whole_year() {
    // A single fixed time, and jobs whose hour is a star: here both crates promise the same.
    let expressions = ["30 2 * * *", "0 3 * * MON", "15 0 1 * *", "*/15 * * * *", "7 * * * *", "59 23 * * SUN"];
    let zones = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Santiago", "Africa/Cairo"];
    let (after, through) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    for zone in zones {
        let tz: Tz = zone.parse().unwrap();
        for expression in expressions {
            let ours = Schedule::parse(expression, Some(zone)).unwrap().slots_between(after, through, usize::MAX);
            let theirs = Croner::from_str(expression).unwrap();
            let mut theirs: Vec<DateTime<Utc>> =
                theirs.iter_after(instant(after).with_timezone(&tz)).map(|t| t.to_utc()).take(ours.len()).collect();
            theirs.sort();
            let ours: Vec<_> = ours.iter().map(|slot| instant(slot.0)).collect();
            assert_eq!(ours, theirs, "{expression} in {zone}");
        }
    }
}

#[test]
fn slots_fall_on_whole_minutes() {
    let slot: Slot =
        Schedule::parse("*/7 * * * *", Some("Asia/Kathmandu")).unwrap().next_after(at("2026-07-01")).unwrap();
    assert_eq!(instant(slot.0).second(), 0);
}
