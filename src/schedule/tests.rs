//! What a schedule promises, by examples.

use domain::{Duration, StreamId, Timestamp};

use super::{Schedule, ScheduleError};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next `n` slots as text, seconds left out.
fn slots(expression: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
    let schedule = Schedule::parse(expression, Some(zone)).unwrap();
    schedule.slots_after(at(after)).take(n).map(|slot| slot.to_string().replace(":00.000Z", "Z")).collect()
}

#[test]
fn five_fields_mean_what_unix_means() {
    let table: [(&str, &[&str]); 12] = [
        ("17 */6 * * *", &["2026-07-01T00:17Z", "2026-07-01T06:17Z", "2026-07-01T12:17Z"]),
        ("0 9 * * 1", &["2026-07-06T09:00Z", "2026-07-13T09:00Z"]),
        ("0 9 * * 0", &["2026-07-05T09:00Z"]),
        ("0 9 * * 7", &["2026-07-05T09:00Z"]),
        ("0 9 * * SUN", &["2026-07-05T09:00Z"]),
        ("0 9 * * fri-sun", &["2026-07-03T09:00Z", "2026-07-04T09:00Z", "2026-07-05T09:00Z", "2026-07-10T09:00Z"]),
        ("0 9 * * 5-7", &["2026-07-03T09:00Z", "2026-07-04T09:00Z", "2026-07-05T09:00Z", "2026-07-10T09:00Z"]),
        // The 15th, or a Monday.
        ("0 0 15 * MON", &["2026-07-06T00:00Z", "2026-07-13T00:00Z", "2026-07-15T00:00Z", "2026-07-20T00:00Z"]),
        // A step over all days restricts nothing: Mondays on odd days.
        ("0 0 */2 * MON", &["2026-07-13T00:00Z", "2026-07-27T00:00Z"]),
        ("0 0 29 FEB *", &["2028-02-29T00:00Z", "2032-02-29T00:00Z"]),
        (
            "0,30 0-1 1 aug,10 *",
            &["2026-08-01T00:00Z", "2026-08-01T00:30Z", "2026-08-01T01:00Z", "2026-08-01T01:30Z", "2026-10-01T00:00Z"],
        ),
        ("  5-20/15   3 *  * * ", &["2026-07-01T03:05Z", "2026-07-01T03:20Z"]),
    ];
    for (expression, expected) in table {
        assert_eq!(slots(expression, "UTC", "2026-07-01T00:00:00Z", expected.len()), expected, "{expression}");
    }
}

#[test]
fn a_job_of_fixed_time_runs_exactly_once_when_the_clocks_change() {
    // Berlin skips 02:00 to 03:00 on 29 March 2026 and has 02:00 to 03:00 twice on 25 October.
    let table: [(&str, &str, &[&str]); 4] = [
        ("30 2 * * *", "2026-03-28T12:00:00Z", &["2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
        ("30 2 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        ("0,30 2,3 * * *", "2026-03-28T12:00:00Z", &["2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-30T00:00Z"]),
        ("0,30 2,3 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T02:00Z"]),
    ];
    for (expression, after, expected) in table {
        assert_eq!(slots(expression, "Europe/Berlin", after, expected.len()), expected, "{expression} after {after}");
    }
}

#[test]
fn a_job_with_a_star_or_step_in_its_hour_follows_elapsed_time() {
    let table: [(&str, &str, &[&str]); 4] = [
        ("*/30 * * * *", "2026-03-29T00:00:00Z", &["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z"]),
        (
            "*/30 * * * *",
            "2026-10-24T23:59:00Z",
            &["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z", "2026-10-25T02:00Z"],
        ),
        ("0 */2 * * *", "2026-03-28T23:30:00Z", &["2026-03-29T02:00Z", "2026-03-29T04:00Z"]),
        ("0 */2 * * *", "2026-10-24T23:30:00Z", &["2026-10-25T00:00Z", "2026-10-25T01:00Z", "2026-10-25T03:00Z"]),
    ];
    for (expression, after, expected) in table {
        assert_eq!(slots(expression, "Europe/Berlin", after, expected.len()), expected, "{expression} after {after}");
    }
}

#[test]
fn counting_keeps_off_the_hour_that_comes_twice() {
    // The day after the first slot begins inside the second coming of 02:00 to 03:00, which a fixed hour passes over.
    let schedule = Schedule::parse("0,20,40 2-3 * * *", Some("Europe/Berlin")).unwrap();
    let (after, through) = (at("2026-10-24T00:45:00Z"), at("2026-10-26T12:00:00Z"));
    let listed = schedule.slots_between(after, through, usize::MAX).len();
    assert_eq!((listed, schedule.slots_within(after, through).unwrap().count), (15, 15));
}

#[test]
fn a_beat_is_aligned_to_the_epoch() {
    for text in ["every: 15m", "every 15m", "every:15m", " every:  900s "] {
        let schedule = Schedule::parse(text, None).unwrap();
        assert_eq!(schedule.expression(), "every: 15m");
        assert_eq!(schedule.zone(), None);
        assert_eq!(schedule.next_after(at("2026-07-01T00:07:00Z")).unwrap().to_string(), "2026-07-01T00:15:00.000Z");
        assert_eq!(schedule.next_after(at("2026-07-01T00:15:00Z")).unwrap().to_string(), "2026-07-01T00:30:00.000Z");
    }
    let second = Schedule::parse("every: 1s", None).unwrap();
    let range = second.slots_within(at("2016-01-01"), at("2026-01-01")).unwrap();
    assert_eq!(range.count, 3653 * 86_400);
    assert_eq!(range.last.0, at("2026-01-01"));
    assert_eq!(second.slots_between(at("2016-01-01"), at("2026-01-01"), 3).len(), 3);
    assert_eq!(second.slots_within(at("2026-01-01"), at("2026-01-01")), None);
}

#[test]
fn a_schedule_reads_back_as_it_is_written_into_the_ledger() {
    for (text, zone) in [(" 17  */6 * * * ", Some("Europe/Berlin")), ("every 90s", None), ("0 0 1 1 *", None)] {
        let schedule = Schedule::parse(text, zone).unwrap();
        let again = Schedule::parse(schedule.expression(), schedule.zone()).unwrap();
        assert_eq!(schedule, again);
        assert_eq!(schedule.expression(), again.expression());
    }
    let berlin = Schedule::parse("17 */6 * * *", Some("Europe/Berlin")).unwrap();
    assert_eq!(berlin.to_string(), "17 */6 * * * (Europe/Berlin)");
    assert_ne!(berlin, Schedule::parse("17 */6 * * *", None).unwrap());
}

#[test]
fn a_refusal_names_the_field_and_what_to_write_instead() {
    let table = [
        ("61 * * * *", "minute: 61 is out of range", "minute allows 0 to 59", "61"),
        ("0 24 * * *", "hour: 24 is out of range", "hour allows 0 to 23", "24"),
        ("0 0 0 * *", "day of month: 0 is out of range", "day of month allows 1 to 31", "0"),
        ("0 0 * 13 *", "month: 13 is out of range", "month allows 1 to 12 or JAN to DEC", "13"),
        ("0 0 * jnu *", "month: \"jnu\" is not a value", "month allows 1 to 12 or JAN to DEC", "jnu"),
        ("0 0 * * 8", "weekday: 8 is out of range", "weekday allows 0 to 7 (0 and 7 are Sunday) or SUN to SAT", "8"),
        ("0 0 * * 1,,2", "weekday: nothing stands in \"\"", "weekday allows", "1,,2"),
        ("*/90 * * * *", "minute: the step in */90 is longer than its range", "every: 90m", "*/90"),
        ("*/0 * * * *", "minute: \"0\" is not a step", "a whole number from 1", "*/0"),
        ("5/15 * * * *", "minute: the step in 5/15 has no range", "say where it ends: 5-59/15", "5/15"),
        ("0 22-2 * * *", "hour: the range 22-2 runs backwards", "two ranges: 22-23,0-2", "22-2"),
        ("0 0 * * FRI-MON", "weekday: the range FRI-MON runs backwards", "two ranges: 5-6,0-1", "FRI-MON"),
        ("0 0 L * *", "day of month: L (last day, nearest workday) is not accepted", "28-31", "L"),
        ("0 0 15W * *", "day of month: 15W (last day, nearest workday) is not accepted", "15-17", "15W"),
        ("0 0 ? * MON", "day of month: ? is not accepted", "write *", "?"),
        ("0 0 * * 5L", "weekday: 5L (last or n-th weekday of a month) is not accepted", "every week", "5L"),
        ("0 0 * * MON#2", "weekday: MON#2 (last or n-th weekday of a month) is not accepted", "every week", "MON#2"),
        ("0 0 30 2 *", "such a date never comes", "a day that its month has", "0 0 30 2 *"),
        ("0 */5 * * * *", "six fields: seconds or a year are not accepted", "every: 10s", "0 */5 * * * *"),
        ("hourly", "1 field instead of five", "minute hour day-of-month month weekday", "hourly"),
        ("", "0 fields instead of five", "minute hour day-of-month month weekday", ""),
        ("@daily", "shorthand @daily is not accepted", "write 0 0 * * *", "@daily"),
        ("every: soon", "every: not a length of time: \"soon\"", "every: 15m", "soon"),
        ("every", "every: not a length of time: \"\"", "every: 15m", ""),
        ("every: 500ms", "every: 500ms is too short", "every: 1s", "500ms"),
        ("every: 1500ms", "every: 1500ms is not in whole seconds", "every: 2s", "1500ms"),
        ("every: 400d", "every: 400d is too long", "every: 366d", "400d"),
        ("+5 * * * *", "minute: +5 is out of range", "minute allows 0 to 59", "+5"),
    ];
    for (text, message, remedy, at_fault) in table {
        let refused: ScheduleError = Schedule::parse(text, None).unwrap_err();
        assert!(refused.message.starts_with(message), "{text}: {}", refused.message);
        assert!(refused.remedy.contains(remedy), "{text}: {}", refused.remedy);
        assert_eq!(&text[refused.span.clone()], at_fault, "{text}");
        assert!(!refused.in_zone);
    }
}

#[test]
fn an_unknown_zone_is_refused_with_the_nearest() {
    let table = [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York?"),
        ("Mars/Olympus_Mons", "an IANA name"),
        ("", "an IANA name"),
    ];
    for (zone, remedy) in table {
        let refused = Schedule::parse("0 9 * * *", Some(zone)).unwrap_err();
        assert_eq!(refused.message, format!("unknown zone {zone:?}"));
        assert!(refused.remedy.contains(remedy), "{zone}: {}", refused.remedy);
        assert!(refused.in_zone);
    }
}

#[test]
fn the_jitter_of_a_stream_is_the_same_for_ever() {
    // These figures stand in plans that people have read: a change of the function would move every start.
    let table = [
        ("keycloak:acme/realm", "every: 15m", 45_156),
        ("keycloak:acme/realm", "every: 5s", 156),
        ("keycloak:acme/realm", "0 3 * * *", 135_156),
        ("aws:prod/identity", "17 */6 * * *", 249_389),
    ];
    for (stream, expression, millis) in table {
        let jitter = Schedule::parse(expression, None).unwrap().jitter(&stream.parse().unwrap());
        assert_eq!(jitter, Duration::from_millis(millis), "{stream} {expression}");
    }
}

#[test]
fn jitter_spreads_streams_over_a_tenth_of_the_period_and_five_minutes_at_most() {
    for (expression, spread) in [("*/15 * * * *", 90_000), ("every: 5s", 500), ("0 3 * * *", 300_000)] {
        let schedule = Schedule::parse(expression, None).unwrap();
        let starts: Vec<u64> = (0..1000)
            .map(|n| format!("aws:account-{n}/identity").parse::<StreamId>().unwrap())
            .map(|stream| schedule.jitter(&stream).millis())
            .collect();
        assert!(starts.iter().all(|start| *start < spread), "{expression}");
        // Ten equal parts hold about a hundred streams each.
        for part in 0..10 {
            let within = starts.iter().filter(|start| **start * 10 / spread == part).count();
            assert!((60..=140).contains(&within), "{expression}: {within} in part {part}");
        }
    }
}

#[test]
fn the_period_is_the_shortest_distance_between_slots() {
    let table = [
        ("*/15 * * * *", "15m"),
        ("*/7 * * * *", "4m"),
        ("0 3 * * MON", "24h"),
        ("0 23,1 * * *", "2h"),
        ("every: 90s", "90s"),
        ("17 */6 * * *", "6h"),
    ];
    for (expression, period) in table {
        assert_eq!(Schedule::parse(expression, None).unwrap().period(), period.parse().unwrap(), "{expression}");
    }
}

#[test]
fn far_away_moments_have_no_slots_and_no_panic() {
    for expression in ["*/15 * * * *", "0 3 * * *", "every: 15m"] {
        for zone in ["UTC", "Europe/Berlin"] {
            let schedule = Schedule::parse(expression, Some(zone)).unwrap();
            for millis in [i64::MIN, -1, 0, 5_000_000_000_000, i64::MAX] {
                let t = Timestamp::from_millis(millis);
                if let Some(slot) = schedule.next_after(t) {
                    assert!(slot.0 > t);
                }
            }
            assert_eq!(schedule.next_after(Timestamp::from_millis(i64::MAX)), None);
        }
    }
    let cron = Schedule::parse("0 3 * * *", None).unwrap();
    assert_eq!(cron.next_after(at("2101-01-01")), None, "cron fields end with the year 2100");
}
