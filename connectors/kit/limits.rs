//! Every limit of a run in one place, and how to behave towards a source.

use std::time::Duration;

use domain::GapReason;
use http::HeaderMap;

/// Limits of one run and of each of its calls. Reaching one is a gap, never silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Duration,
    /// From sending until the status and headers are in.
    pub headers: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// Until the whole body is in.
    pub body: Duration,
    /// The whole run, waiting included.
    pub run: Duration,
    /// Bytes of one body.
    pub body_bytes: u64,
    /// Pages of one list.
    pub pages: u32,
    /// Resources of one type in one run.
    pub resources: usize,
    /// Exchanges of one run.
    pub exchanges: u32,
    /// Times one call is tried.
    pub tries: u32,
    /// The bound of the first wait between tries; it doubles with each.
    pub first_wait: Duration,
    /// The bound no wait of our own exceeds. A source may ask for more.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            idle: Duration::from_secs(15),
            body: Duration::from_secs(120),
            run: Duration::from_secs(300),
            body_bytes: 32 * 1024 * 1024,
            // 300,000 items at the usual hundred a page, and a run of them stays within some hundred MiB: pages are let
            // go one by one, and a resource is held in a few hundred bytes.
            pages: 3_000,
            // Each is a row of 97 bytes in the list of what was found, and of some 150 for each check that speaks of it:
            // so the lists of a run stay well below what one body can hold, `ledger::GREATEST_BODY`.
            resources: 300_000,
            exchanges: 20_000,
            tries: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// Chance, for spreading waits. Handed in, so that tests know it.
pub trait Jitter: Send + Sync {
    /// A length between zero and `bound`, evenly spread.
    fn below(&self, bound: Duration) -> Duration;
}

/// At most so many calls start within any stretch of so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Calls; at least 1.
    pub calls: u32,
    /// The length of the stretch.
    pub within: Duration,
}

/// How to behave towards one kind of source.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Calls under way at once, over all collectors of one source.
    pub concurrency: u32,
    /// How many calls may start within how long; `None` where the source has no such limit. It is the limit that the
    /// vendor publishes, kept for every stretch of that length: an allowance that refills evenly would let more than the
    /// limit start in its first stretch, or make a run wait that is well within it.
    pub rate: Option<Rate>,
    /// Whether an answer means *slow down*, from status and headers. [`throttles_by_headers`] suits most sources.
    pub throttles: fn(u16, &HeaderMap) -> bool,
    /// What an answer means in the source's own words, before its status is looked at. [`by_status`] leaves all to the
    /// status; some sources say in the body what others say with a status.
    pub meaning: fn(u16, &HeaderMap, &[u8]) -> Option<GapReason>,
    /// Response headers that carry the source's own id of a request, the first found wins.
    pub request_id: &'static [&'static str],
}

/// Whether an answer means *slow down*: 429, or a 403 that says when to come back or that nothing is left.
pub fn throttles_by_headers(status: u16, headers: &HeaderMap) -> bool {
    let nothing_left = || headers.get("x-ratelimit-remaining").is_some_and(|left| left.as_bytes() == b"0");
    status == 429 || status == 403 && (headers.contains_key(http::header::RETRY_AFTER) || nothing_left())
}

/// Leaves what an answer means to its status.
pub fn by_status(_: u16, _: &HeaderMap, _: &[u8]) -> Option<GapReason> {
    None
}
