//! Keeping an answer that has come: redacted, out of memory, and in the record before anybody reads it.

use bytes::Bytes;
use domain::{BodyId, GapReason, in_full};
use http::HeaderMap;
use http::header::{DATE, ETAG, LINK};
use serde_json::Value;
use url::Url;

use crate::recorder::Reply;
use crate::status::in_words;
use crate::view::Mark;
use crate::{Answer, Earlier, Recorder, Unread, items, next_link, redact};

/// An answer that has come and is yet to be kept. Nothing may be concluded from it before [`Recorder::kept`] gave it back.
///
/// Dropping it is safe: the exchange then stands as one whose answer nobody waited for.
pub struct Arrived {
    mark: Mark,
    status: u16,
    headers: HeaderMap,
    /// Why it is no good, when it is not.
    reason: Option<GapReason>,
    keeping: Keeping,
}

impl Arrived {
    /// The address of the next page that it names, resolved against `at`, by which it was asked. An answer that is no
    /// good names none; one that confirms an earlier answer names that one's.
    pub fn next(&self, at: &Url) -> Option<Url> {
        next_link(&self.headers, at).filter(|_| self.reason.is_none())
    }
}

/// What becomes of a body.
enum Keeping {
    /// It is kept already, or there is nothing to keep.
    Done(Kept),
    /// It is to be redacted, kept and read.
    Ahead(Bytes),
}

/// A body as evidence keeps it, and as the collector reads it.
struct Kept {
    /// Its ids, or why it was not kept.
    stored: Result<Vec<BodyId>, String>,
    usable: Bytes,
    redacted: Vec<String>,
    /// The items of a list that was kept; `None` where they are still to be read from the body.
    items: Option<Vec<Value>>,
}

impl Kept {
    fn new(stored: Result<Vec<BodyId>, String>, usable: Bytes, redacted: Vec<String>) -> Kept {
        Kept { stored, usable, redacted, items: None }
    }

    fn nothing(usable: Bytes, redacted: &[&str]) -> Kept {
        Kept::new(Ok(Vec::new()), usable, redacted.iter().map(|path| (*path).to_owned()).collect())
    }
}

impl Recorder {
    /// Notes what came in the exchange.
    pub(crate) fn arrived(
        &self,
        mark: Mark,
        reply: Reply,
        confirmed: Option<Earlier>,
        reason: Option<GapReason>,
    ) -> Arrived {
        let ended = self.clock.now();
        let Reply { status, mut headers, body: received } = reply;
        let not_modified = confirmed.is_some();
        // What is confirmed is the earlier answer as a whole, its tag and its next page included.
        let mut etag = headers.get(ETAG).and_then(|v| v.to_str().ok()).map(str::to_owned);
        if let Some(earlier) = &confirmed {
            etag = etag.or_else(|| Some(earlier.etag.clone()));
            let link = earlier.next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
            if let Some(link) = link.and_then(|link| http::HeaderValue::from_str(&link).ok()) {
                headers.entry(LINK).or_insert(link);
            }
        }
        let next = self.address_of(mark).and_then(|at| next_link(&headers, &at)).map(|next| redact::address(&next));
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        self.amend(mark, |exchange| {
            exchange.ended = ended;
            exchange.status = Some(status);
            exchange.request_id = self.manners.request_id.iter().find_map(|name| text(name));
            exchange.date = text(DATE.as_str());
            exchange.etag = etag;
            exchange.not_modified = not_modified;
            exchange.next = next;
            exchange.bytes = received.len() as u64;
        });
        tracing::debug!(stream = %self.stream, call = mark.call.name, status, bytes = received.len(), "answered");
        let keeping = match confirmed {
            Some(Earlier { ids, body, redacted, .. }) => Keeping::Done(Kept::new(Ok(ids), body, redacted)),
            None if mark.call.secret_body => Keeping::Done(Kept::nothing(received, &["*"])),
            None if received.is_empty() => Keeping::Done(Kept::nothing(received, &[])),
            None => Keeping::Ahead(received),
        };
        Arrived { mark, status: if not_modified { 200 } else { status }, headers, reason, keeping }
    }

    /// Redacts, keeps and reads an answer, in a thread of its own.
    async fn keep_redacted(&self, mark: Mark, received: Bytes) -> Kept {
        let sink = self.bodies.clone();
        let work = tokio::task::spawn_blocking(move || match redact::json(&received, mark.call.redact) {
            Ok(done) => {
                let stored = sink.put(std::slice::from_ref(&done.body)).map_err(|error| in_full(&error));
                let items = stored.as_ref().ok().and_then(|_| items::read(&done.body, mark.call.reads));
                Kept { items, ..Kept::new(stored, done.body, done.paths) }
            }
            Err(redact::NotJson) => Kept::nothing(Bytes::new(), &["*"]),
        });
        let failed = |_| Kept::new(Err("the store failed".to_owned()), Bytes::new(), Vec::new());
        work.await.unwrap_or_else(failed)
    }

    /// Keeps an answer, and says whether it is usable.
    pub async fn kept(&self, arrived: Arrived) -> Result<Answer, Unread> {
        let Arrived { mark, status, headers, reason, keeping } = arrived;
        let kept = match keeping {
            Keeping::Done(kept) => kept,
            Keeping::Ahead(received) => self.keep_redacted(mark, received).await,
        };
        let Kept { stored, usable, redacted, items } = kept;
        let lost = stored.as_ref().err().cloned();
        let error = lost.clone().or_else(|| reason.map(|_| in_words(status)));
        self.amend(mark, |exchange| {
            exchange.body = stored.unwrap_or_default();
            exchange.redacted = redacted;
            exchange.error = error;
        });
        let answer = Answer { mark, status, headers, body: usable, items };
        match (lost, reason) {
            (Some(why), _) => Err(mark.unread(GapReason::NotKept, why)),
            (None, Some(reason)) => {
                let unread = mark.unread(reason, in_words(status));
                let permission = unread.permission.filter(|_| reason == GapReason::Denied);
                Err(Unread { permission, answer: Some(Box::new(answer)), ..unread })
            }
            (None, None) => Ok(answer),
        }
    }
}
