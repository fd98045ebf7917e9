//! What a receiver is, what it needs of the network, and what its answers mean.

use std::fmt;

use async_trait::async_trait;
use domain::{Duration, Timestamp};
use secrecy::SecretString;
use url::Url;

use crate::config::SecretRef;
use crate::notification::Notification;
use crate::text;

/// The longest wait that an answer's `Retry-After` can impose. A receiver must not put us off for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How long a receiver may take to answer; Standard Webhooks advises 15 to 30 s.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Somewhere that notifications go.
#[async_trait]
pub trait Receiver: Send + Sync {
    /// Sends one notification; `now` is the time of this try.
    async fn send(
        &self,
        notification: &Notification,
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<Receipt, SendError>;

    /// Tells again of conditions that still hold and that the receiver accepted before. Called only where its settings
    /// say that it must be told again, with at most 64 at a time.
    async fn repeat(
        &self,
        notifications: &[Notification],
        transport: &dyn Transport,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let mut last = Receipt { answer: String::new() };
        for notification in notifications {
            last = self.send(notification, transport, now).await?;
        }
        Ok(last)
    }
}

/// The way out: to the network, and to the secrets that open it. The daemon has the one real implementation.
///
/// It follows no redirect, ends after [`Post::timeout`], reads no more than 2 kB of the answer's body, and connects to
/// an address of a private, loopback or link-local range only with [`Post::allow_private`] — judging the address that
/// it connects to, not the name.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Posts, and gives back whatever the other side answered.
    async fn post(&self, post: Post) -> Result<Answer, TransportError>;

    /// The secret behind a reference as it is now, or in words without it why it cannot be had.
    async fn secret(&self, reference: &SecretRef) -> Result<SecretString, String>;
}

/// One HTTP POST. Its headers and address may hold secrets, so `Debug` shows neither.
#[derive(Clone, PartialEq)]
pub struct Post {
    /// Where.
    pub url: Url,
    /// Headers in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, to be sent as it stands: it is signed.
    pub body: Vec<u8>,
    /// When to give up.
    pub timeout: Duration,
    /// Whether an address of a private, loopback or link-local range may be connected to.
    pub allow_private: bool,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post to {}, {} bytes", self.url.host_str().unwrap_or("nowhere"), self.body.len())
    }
}

/// What the other side answered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, verbatim.
    pub retry_after: Option<String>,
    /// The beginning of the body.
    pub body: String,
}

/// Why there was no answer. Few words of ours, so that no address and no name gets into the ledger or into a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum TransportError {
    /// The host's name has no address.
    #[error("the name cannot be resolved")]
    Unresolved,
    /// Nobody listens there, or the connection broke.
    #[error("no connection")]
    Unreachable,
    /// No answer in time.
    #[error("timed out")]
    TimedOut,
    /// The other side's certificate does not hold.
    #[error("the certificate does not hold")]
    Certificate,
    /// The name leads to an address that the settings do not allow.
    #[error("a private address, which the settings do not allow")]
    PrivateAddress,
}

/// A receiver took the notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Its answer in a few words: `202`.
    pub answer: String,
}

/// A receiver did not take the notification.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    /// Trying again with the same message is of no use.
    pub permanent: bool,
    /// How long the receiver asks us to wait, at most an hour.
    pub retry_after: Option<Duration>,
    /// Why, in words that may be recorded.
    #[source]
    pub reason: Refusal,
    /// What the receiver said, or what is wrong with a secret, cleaned and cut. It may repeat names out of our message,
    /// so it is shown to the operator and recorded nowhere.
    pub detail: String,
}

/// Why a receiver did not take a notification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// It answered with this HTTP status.
    #[error("answered {0}")]
    Status(u16),
    /// It did not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A secret that it needs could not be had, or does not have the right form: nothing was sent.
    #[error("its secret cannot be had")]
    Secret,
}

/// Posts, and judges the answer by the rules of Standard Webhooks 1.0: 2xx is success, everything else is not.
///
/// 400, 410, 413 and 422 speak of this message and will be said again of it, so they are permanent. All others, such as
/// 401 and 404, may be mended at the receiver while the condition still holds.
pub(crate) async fn post(transport: &dyn Transport, post: Post, now: Timestamp) -> Result<Receipt, SendError> {
    let answer = transport.post(post).await.map_err(|error| SendError {
        permanent: false,
        retry_after: None,
        reason: error.into(),
        detail: String::new(),
    })?;
    if (200..300).contains(&answer.status) {
        return Ok(Receipt { answer: answer.status.to_string() });
    }
    Err(SendError {
        permanent: matches!(answer.status, 400 | 410 | 413 | 422),
        retry_after: answer.retry_after.as_deref().and_then(|header| retry_after(header, now)),
        reason: Refusal::Status(answer.status),
        detail: text::clean(&answer.body, 200),
    })
}

/// Reads `Retry-After`: seconds, or an HTTP date (RFC 9110 section 10.2.3).
fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let wait = match header.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Timestamp::from(chrono::DateTime::parse_from_rfc2822(header.trim()).ok()?.to_utc()).since(now),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_has_a_limit() {
        let now: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        let table = [
            ("120", Some(Duration::from_secs(120))),
            (" 7 ", Some(Duration::from_secs(7))),
            ("Sun, 22 Nov 2026 03:02:00 GMT", Some(Duration::from_secs(120))),
            ("Sun, 22 Nov 2026 02:00:00 GMT", Some(Duration::ZERO)),
            ("9999999", Some(LONGEST_RETRY_AFTER)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ];
        for (header, wait) in table {
            assert_eq!(retry_after(header, now), wait, "{header:?}");
        }
    }

    #[test]
    fn a_post_shows_neither_its_headers_nor_its_path() {
        let post = Post {
            url: "https://hooks.example.org/T0/secret-path".parse().unwrap(),
            headers: vec![("authorization", "Bearer canary".into())],
            body: b"{}".to_vec(),
            timeout: TIMEOUT,
            allow_private: false,
        };
        assert_eq!(format!("{post:?}"), "Post to hooks.example.org, 2 bytes");
    }
}
