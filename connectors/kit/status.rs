//! What an answer's status means, and what to do after a try that gave none. Pure, so that a table can test it.

use std::time::Duration;

use domain::{GapReason, Timestamp};
use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::Limits;

/// The reason why an answer of this status is not usable; `None` when it is.
///
/// `throttled` is the word of the source's manners, since some say it with 403 or 503.
pub fn unusable(status: u16, throttled: bool) -> Option<GapReason> {
    if throttled {
        return Some(GapReason::Throttled);
    }
    match status {
        200..=299 => None,
        300..=399 => Some(GapReason::Refused),
        401 => Some(GapReason::Unauthenticated),
        402 => Some(GapReason::NotLicensed),
        403 | 451 => Some(GapReason::Denied),
        407 => Some(GapReason::Unreachable),
        408 => Some(GapReason::TimedOut),
        429 => Some(GapReason::Throttled),
        400 | 404..=499 => Some(GapReason::NotSupported),
        500..=599 => Some(GapReason::SourceFault),
        _ => Some(GapReason::Malformed),
    }
}

/// The status as people know it: `403 Forbidden`. Nothing the source wrote itself, since that may name a person.
pub fn in_words(status: u16) -> String {
    match http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()) {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

/// How long the source asks us to stay away: `Retry-After` in seconds or as a date, else the reset of a used-up quota.
pub fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let until = |at: i64| {
        Duration::from_millis(u64::try_from(at.saturating_mul(1000).saturating_sub(now.millis())).unwrap_or(0))
    };
    if let Some(wait) = text(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = wait.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        return chrono::DateTime::parse_from_rfc2822(wait).ok().map(|at| until(at.timestamp()));
    }
    if text("x-ratelimit-remaining") != Some("0") {
        return None;
    }
    let reset: i64 = text("x-ratelimit-reset")?.parse().ok()?;
    // Some sources give the moment in seconds since 1970, some in milliseconds, others the seconds until then: no quota
    // lasts 30 years, and none ends in the year 5138.
    match reset {
        100_000_000_000.. => Some(until(reset / 1000)),
        1_000_000_000.. => Some(until(reset)),
        _ => u64::try_from(reset).ok().map(Duration::from_secs),
    }
}

/// What to do after a try that gave no usable answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Asking again would not help, or there is no time or try left.
    Stop,
    /// The source named the wait.
    WaitExactly(Duration),
    /// Wait a chance part of this.
    WaitUpTo(Duration),
}

/// Decides it: `tried` is how often the call was tried, `left` what remains of the run's time.
pub fn next_step(reason: GapReason, asked: Option<Duration>, tried: u32, left: Duration, limits: &Limits) -> Step {
    let passing =
        matches!(reason, GapReason::Throttled | GapReason::SourceFault | GapReason::Unreachable | GapReason::TimedOut);
    if !passing || tried >= limits.tries {
        return Step::Stop;
    }
    // A moment that has passed names no wait: asking again at once would only use up the tries.
    if let Some(wait) = asked.filter(|wait| !wait.is_zero()) {
        return if wait < left { Step::WaitExactly(wait) } else { Step::Stop };
    }
    let doubled = limits.first_wait.saturating_mul(2_u32.saturating_pow(tried.saturating_sub(1)));
    let bound = doubled.min(limits.longest_wait);
    if bound < left { Step::WaitUpTo(bound) } else { Step::Stop }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_reason() {
        use GapReason::*;
        let table = [
            (200, false, None),
            (204, false, None),
            (301, false, Some(Refused)),
            (304, false, Some(Refused)),
            (400, false, Some(NotSupported)),
            (401, false, Some(Unauthenticated)),
            (402, false, Some(NotLicensed)),
            (403, false, Some(Denied)),
            (403, true, Some(Throttled)),
            (404, false, Some(NotSupported)),
            (405, false, Some(NotSupported)),
            (408, false, Some(TimedOut)),
            (410, false, Some(NotSupported)),
            (422, false, Some(NotSupported)),
            (429, true, Some(Throttled)),
            (429, false, Some(Throttled)),
            (451, false, Some(Denied)),
            (500, false, Some(SourceFault)),
            (501, false, Some(SourceFault)),
            (503, false, Some(SourceFault)),
            (503, true, Some(Throttled)),
            (100, false, Some(Malformed)),
            (999, false, Some(Malformed)),
        ];
        for (status, throttled, reason) in table {
            assert_eq!(unusable(status, throttled), reason, "{status} {throttled}");
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_source_may_name_the_wait_in_five_ways() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let table = [
            (headers(&[("retry-after", "7")]), Some(7)),
            (headers(&[("retry-after", "Sun, 22 Nov 2026 12:01:00 GMT")]), Some(60)),
            (headers(&[("retry-after", "Sun, 22 Nov 2026 11:00:00 GMT")]), Some(0)),
            (headers(&[("retry-after", "soon")]), None),
            (headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795348830")]), Some(30)),
            (headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795348830000")]), Some(30)),
            (headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "12")]), Some(12)),
            (headers(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "12")]), None),
            (headers(&[]), None),
        ];
        for (headers, seconds) in table {
            assert_eq!(asked_wait(&headers, now), seconds.map(Duration::from_secs), "{headers:?}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_never_beyond_the_budget() {
        let limits = Limits::default();
        let ample = Duration::from_secs(300);
        let first = Step::WaitUpTo(limits.first_wait);
        assert_eq!(next_step(GapReason::Throttled, None, 1, ample, &limits), first);
        assert_eq!(next_step(GapReason::SourceFault, None, 2, ample, &limits), Step::WaitUpTo(limits.first_wait * 2));
        assert_eq!(next_step(GapReason::Unreachable, None, limits.tries, ample, &limits), Step::Stop);
        assert_eq!(next_step(GapReason::Throttled, None, 1, Duration::from_millis(1), &limits), Step::Stop);
        let asked = Some(Duration::from_secs(60));
        assert_eq!(
            next_step(GapReason::Throttled, asked, 1, ample, &limits),
            Step::WaitExactly(Duration::from_secs(60))
        );
        assert_eq!(next_step(GapReason::Throttled, asked, 1, Duration::from_secs(60), &limits), Step::Stop);
        assert_eq!(next_step(GapReason::Throttled, Some(Duration::ZERO), 1, ample, &limits), first);
        for lasting in [
            GapReason::Denied,
            GapReason::Unauthenticated,
            GapReason::Refused,
            GapReason::NotSupported,
            GapReason::OverLimit,
        ] {
            assert_eq!(next_step(lasting, asked, 1, ample, &limits), Step::Stop, "{lasting:?}");
        }
    }
}
