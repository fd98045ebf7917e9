//! Earlier answers, for sources that answer *not modified*: the last run of a stream says which tag stood over which body.
//!
//! Nothing is kept for this beside the record itself: what is confirmed is the very body that stands behind the last run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use domain::entry::Fact;
use domain::{Exchange, StreamId};
use kit::Conditional;
use store::read::exchange_lines;
use store::{Read, Store};

/// Earlier answers as the ledger holds them.
///
/// The list of one stream's exchanges is read once and kept until its next run is recorded.
pub struct Recorded {
    store: Arc<Store>,
    known: Mutex<BTreeMap<StreamId, Known>>,
}

/// What one run entry says of its tagged answers, by address.
struct Known {
    run: u64,
    tagged: BTreeMap<String, Exchange>,
}

impl Recorded {
    /// Earlier answers in this store.
    pub fn new(store: Arc<Store>) -> Self {
        Recorded { store, known: Mutex::default() }
    }

    /// Looks into the tagged answers of a stream's last run.
    fn tagged<T>(&self, stream: &StreamId, look: impl FnOnce(&BTreeMap<String, Exchange>) -> T) -> Option<T> {
        let row = self.store.stream_row(stream).ok()?;
        // A run that was broken off lists nothing; the last whole one still stands.
        let run = row.last_run.filter(|run| !run.interrupted).or(row.last_collected)?.entry;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(stream).is_none_or(|known| known.run != run) {
            known.insert(stream.clone(), Known { run, tagged: tagged_in(&self.store, run).unwrap_or_default() });
        }
        known.get(stream).map(|known| look(&known.tagged))
    }
}

impl Conditional for Recorded {
    fn knows(&self, stream: &StreamId) -> bool {
        self.tagged(stream, |tagged| !tagged.is_empty()).unwrap_or(false)
    }

    fn earlier(&self, stream: &StreamId, url: &str) -> Option<kit::Earlier> {
        let exchange = self.tagged(stream, |tagged| tagged.get(url).cloned())??;
        let mut body = Vec::new();
        for id in &exchange.body {
            // Erased or unreadable: then the source is asked for the whole of it.
            body.extend(self.store.body(id).ok()??);
        }
        Some(kit::Earlier {
            etag: exchange.etag?,
            body: Bytes::from(body),
            ids: exchange.body,
            redacted: exchange.redacted,
            next: exchange.next,
        })
    }

    fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The usable answers of a run that had a tag and a body.
fn tagged_in(store: &Store, run: u64) -> Option<BTreeMap<String, Exchange>> {
    let Fact::Run(run) = store.entry(run).ok()??.fact else { return None };
    let list = store.body(&run.exchanges?).ok()??;
    let exchanges = exchange_lines(store, &list).filter_map(Result::ok);
    let usable = exchanges.filter(|exchange: &Exchange| {
        let answered = exchange.status == Some(200) || exchange.not_modified;
        answered && exchange.error.is_none() && exchange.etag.is_some() && !exchange.body.is_empty()
    });
    Some(usable.map(|exchange| (exchange.url.clone(), exchange)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app;
    use crate::config::Settings;
    use domain::entry::{Intent, TreeHead};
    use domain::{BodyId, CollectionRun, Outcome, Timestamp, Trigger, UnknownActor};

    const URL: &str = "https://api.example.com/orgs/acme/repos?page=1";

    fn record(store: &Store, stream: &StreamId, exchanges: Vec<Exchange>) {
        let head = store.head().unwrap();
        let after = TreeHead { size: head.size, root: head.root };
        let intent = Intent { stream: stream.clone(), trigger: Trigger::Manual, after };
        let intent = store.record_intent(intent).unwrap().entry;
        let at = Timestamp::from_millis(1_795_348_800_000);
        let run = CollectionRun {
            stream: stream.clone(),
            collector_version: 1,
            trigger: Trigger::Manual,
            started: at,
            ended: at,
            caller: None,
            exchanges,
            populations: Vec::new(),
            gaps: Vec::new(),
            changes: Err(UnknownActor { reason: "nobody asked".to_owned() }),
            outcome: Outcome::Collected,
        };
        store.record_run(intent, &run).unwrap();
    }

    fn exchange(status: u16, etag: Option<&str>, body: &[BodyId]) -> Exchange {
        let line = serde_json::json!({
            "seq": 0, "call": "GET /orgs/{org}/repos", "method": "GET", "url": URL, "sent": "2026-11-22T12:00:00Z",
            "ended": "2026-11-22T12:00:01Z", "status": status, "etag": etag, "not_modified": status == 304, "bytes": 2,
            "body": body, "next": "https://api.example.com/orgs/acme/repos?page=2",
        });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn the_last_run_says_which_body_stood_under_which_tag() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::default();
        app::init(folder.path(), &settings).unwrap();
        let store = Arc::new(app::open_store(folder.path(), &settings, &app::BadDisk::default()).unwrap().0);
        let recorded = Recorded::new(store.clone());
        let stream: StreamId = "github:acme/repositories".parse().unwrap();
        assert!(recorded.earlier(&stream, URL).is_none() && !recorded.knows(&stream), "nothing was recorded yet");

        let body = store.put_answer(b"[]").unwrap();
        record(&store, &stream, vec![exchange(200, Some("W/\"1\""), std::slice::from_ref(&body))]);
        assert!(recorded.knows(&stream));
        let earlier = recorded.earlier(&stream, URL).unwrap();
        assert_eq!(
            (earlier.etag.as_str(), &earlier.body[..], earlier.ids),
            ("W/\"1\"", &b"[]"[..], vec![body.clone()])
        );
        assert_eq!(earlier.next.as_deref(), Some("https://api.example.com/orgs/acme/repos?page=2"));
        assert!(recorded.earlier(&stream, "https://api.example.com/orgs/acme/repos?page=2").is_none());
        assert!(recorded.earlier(&"github:other/repositories".parse().unwrap(), URL).is_none());

        // A body that was only confirmed can be confirmed again.
        record(&store, &stream, vec![exchange(304, Some("W/\"1\""), std::slice::from_ref(&body))]);
        assert!(recorded.earlier(&stream, URL).is_some());
        for unusable in [exchange(200, None, std::slice::from_ref(&body)), exchange(404, Some("W/\"2\""), &[body])] {
            record(&store, &stream, vec![unusable]);
            assert!(recorded.earlier(&stream, URL).is_none());
        }
    }
}
