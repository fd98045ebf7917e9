//! The only place that reads the time.

use domain::{Clock, Timestamp};

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // The one place that may.
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The machine's random numbers, for salts, keys and jitter.
pub struct SystemRandom;

impl store::Random for SystemRandom {
    fn bytes(&self) -> Result<[u8; 32], String> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| format!("the system gives no random numbers: {e}"))?;
        Ok(bytes)
    }
}
