//! Moments as entries write them, in milliseconds since 1970.

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// Reads `2026-07-01T00:00:00.000Z`, and no other form.
pub(crate) fn millis(text: &str) -> Result<i64, String> {
    let refused = || format!("not a moment: {text:?}");
    let form = "dddd-dd-ddTdd:dd:dd.dddZ";
    let fits = |(c, wanted): (u8, u8)| if wanted == b'd' { c.is_ascii_digit() } else { c == wanted };
    if text.len() != form.len() || !text.bytes().zip(form.bytes()).all(fits) {
        return Err(refused());
    }
    let part = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
    let parts = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19), (20, 23)].map(|(from, to)| part(from, to));
    let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second), Some(milli)] = parts else {
        return Err(refused());
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    if year < 1 || !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(refused());
    }
    Ok(days(year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

/// Days from 1970-01-01 to a date, by counting years from March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let years = if month <= 2 { year - 1 } else { year };
    let months = (month + 9) % 12;
    years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day - 719_469
}

/// Writes a moment as entries do.
pub(crate) fn moment(millis: i64) -> String {
    let (day, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (of_month, month, _) = date(day);
    let mut year = 1970 + day.div_euclid(366);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Day of the month, month, and day of the week (0 is Sunday) of a day counted from 1970-01-01.
pub(crate) fn date(day: i64) -> (u32, u32, u32) {
    let shifted = day + 719_468;
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let small = |n: i64| u32::try_from(n).unwrap_or(0);
    (small(day_of_month), small(month), small((day + 4).rem_euclid(7)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_one_form_and_dates_follow_from_them() {
        // `date -u -d TEXT +%s` gives the first numbers, `date -u -d TEXT '+%d %m %w'` the dates.
        for (text, seconds, day, month, weekday) in [
            ("1970-01-01T00:00:00.000Z", 0, 1, 1, 4),
            ("2024-02-29T23:59:59.000Z", 1_709_251_199, 29, 2, 4),
            ("2026-11-23T01:31:43.000Z", 1_795_397_503, 23, 11, 1),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400, 1, 3, 1),
        ] {
            assert_eq!(millis(text), Ok(seconds * 1000), "{text}");
            assert_eq!(moment(seconds * 1000), text);
            assert_eq!(date(seconds.div_euclid(86_400)), (day, month, weekday), "{text}");
        }
        for text in
            ["2026-02-29T00:00:00.000Z", "2026-01-01T24:00:00.000Z", "2026-01-01T00:00:00Z", "2026-13-01T00:00:00.000Z"]
        {
            assert!(millis(text).is_err(), "{text}");
        }
    }
}
