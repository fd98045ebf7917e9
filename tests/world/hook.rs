//! The receiver of alerts: keeps what it was sent, and answers as it was told to.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

/// The most messages that are kept; older ones go first.
pub(crate) const MOST_KEPT: usize = 10_000;

/// One message that came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// When, in milliseconds since 1970 by the world's clock.
    pub at: i64,
    /// The path, which begins with `/hook`.
    pub path: String,
    /// Header names in lower case, with their values; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Bytes,
    /// What the receiver answered; `None` when it did not.
    pub answered: Option<u16>,
}

impl Received {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// How the receiver answers one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookAnswer {
    /// With this status and no body.
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    Throttled {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// With 204 after this wait.
    Slow(Duration),
    /// Never.
    Hang,
}

#[derive(Default)]
pub(crate) struct Hook {
    received: VecDeque<Received>,
    next: VecDeque<HookAnswer>,
}

impl Hook {
    /// What to do with the message that came in now; 204 when nothing was scripted.
    pub(crate) fn answer(&mut self) -> HookAnswer {
        self.next.pop_front().unwrap_or(HookAnswer::Status(204))
    }

    pub(crate) fn keep(&mut self, message: Received) {
        if self.received.len() == MOST_KEPT {
            self.received.pop_front();
        }
        self.received.push_back(message);
    }

    pub(crate) fn script(&mut self, answers: impl IntoIterator<Item = HookAnswer>) {
        self.next.extend(answers);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        *self = Hook::default();
    }
}
