//! Outside time: asks the authorities of the settings to date the ledger, keeps their answers, and says so when one of
//! them is silent.
//!
//! What is dated is the published checkpoint, byte for byte, with the ledger's own signature: who steals the key later
//! cannot date anything back. An answer is checked before it is kept; one that does not hold counts as none.

use std::collections::BTreeMap;
use std::sync::Arc;

use anchor::Request;
use bytes::Bytes;
use domain::entry::{Authority, Fact, Silence, TreeHead};
use domain::{Duration, Timestamp, in_full};
use kit::http::{HeaderMap, HeaderValue, Method, header};
use kit::outbound::Outbound;
use sha2::{Digest, Sha256};
use store::rows::{AuthorityRow, KeyRow, key};
use store::{Dated, Random, Read, Store, StoreError, fold};
use tokio_util::sync::CancellationToken;

use crate::config::AnchorSettings;
use crate::daemon::Daemon;

/// Who asks: the daemon, and where its random numbers come from.
pub struct Anchoring {
    daemon: Arc<Daemon>,
    random: Arc<dyn Random>,
    network: Outbound,
    /// What became of asking, by authority.
    asked: BTreeMap<String, Asked>,
}

/// An authority was asked.
struct Asked {
    last: Timestamp,
    /// Since when it has been asked in vain, and what became of the last time.
    failing: Option<(Timestamp, String)>,
}

/// An authority that does not answer is not waited for any longer.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
/// At the end of the daemon nobody waits longer than this.
const LONGEST_AT_THE_END: Duration = Duration::from_secs(5);
/// After a failure it is asked again after a quarter of its time, within these limits.
const SOONEST_RETRY: Duration = Duration::from_secs(1);
const LATEST_RETRY: Duration = Duration::from_secs(300);
/// Settings are looked at again at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Two signing keys sign together for this long where no authority is asked.
const WITHOUT_AUTHORITY: Duration = Duration::from_secs(86_400);
/// A time that differs from ours by more than this is worth a line in the log.
const APART: Duration = Duration::from_secs(60);

impl Anchoring {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// No client for the network can be made.
    pub fn new(daemon: Arc<Daemon>, random: Arc<dyn Random>) -> Result<Anchoring, StoreError> {
        let network = Outbound::network(&daemon.around.network).map_err(|e| StoreError::Stopped(in_full(&e)))?;
        Ok(Anchoring { daemon, random, network, asked: BTreeMap::new() })
    }

    /// Has the ledger dated on schedule until `stop` is cancelled. Gives itself back, for the end.
    ///
    /// # Errors
    /// The store stopped.
    pub async fn keep_dated(mut self, stop: CancellationToken) -> Result<Anchoring, StoreError> {
        let files = self.daemon.blocking(|daemon| Ok::<_, StoreError>(daemon.store.write_anchor_files())).await?;
        if let Err(error) = files {
            tracing::warn!(error = in_full(&error), "the files of the anchors cannot be looked at");
        }
        while !stop.is_cancelled() {
            let next = tokio::select! {
                () = stop.cancelled() => break,
                next = self.round() => next?,
            };
            let wait = next.map_or(LOOK_EVERY, |next| next.since(self.daemon.clock.now()).min(LOOK_EVERY));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait.to_std()) => {}
            }
        }
        Ok(self)
    }

    /// Has what was recorded since dated once more, when the daemon ends in good order.
    pub async fn at_the_end(mut self) {
        let Ok(known) = self.known().await else { return };
        let Ok(head) = self.daemon.store.head() else { return };
        // An anchor is an entry too; it alone is no reason for another.
        let grown = |name: &str| {
            known.get(name).and_then(|row| row.last.as_ref()).is_none_or(|last| head.size > last.entry + 1)
        };
        let wanted: Vec<AnchorSettings> =
            self.daemon.loaded().settings.anchors.iter().filter(|authority| grown(&authority.name)).cloned().collect();
        drop(self.ask_all(wanted, LONGEST_AT_THE_END).await);
    }

    /// One round: say which authorities there are, ask those that are due, say which are silent. Returns when the next
    /// is due.
    async fn round(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let loaded = self.daemon.loaded();
        let wanted = &loaded.settings.anchors;
        let known = self.known().await?;
        let changed = announce(wanted, &known);
        if !changed.is_empty() && !self.record(changed).await? {
            return Ok(None);
        }
        let known = self.known().await?;
        self.asked.retain(|name, _| wanted.iter().any(|authority| authority.name == *name));
        let now = self.daemon.clock.now();
        let due_at = |anchoring: &Self, known: &BTreeMap<String, AuthorityRow>, authority: &AnchorSettings, now| {
            due(known.get(&authority.name), authority.every, anchoring.asked.get(&authority.name), now)
        };
        let due: Vec<AnchorSettings> =
            wanted.iter().filter(|authority| due_at(self, &known, authority, now) <= now).cloned().collect();
        self.ask_all(due, LONGEST_ANSWER).await?;
        let (known, now) = (self.known().await?, self.daemon.clock.now());
        let said = known.values().filter_map(|row| silence(row, self.asked.get(&row.name), now));
        let said: Vec<Fact> = said.map(Fact::Silence).collect();
        if !said.is_empty() && self.record(said).await? {
            self.daemon.news.notify_one();
        }
        self.retire_key(&known, now).await?;
        Ok(wanted.iter().map(|authority| due_at(self, &known, authority, now)).min())
    }

    /// Retires the older of two signing keys once what both have signed is dated from outside.
    async fn retire_key(&self, known: &BTreeMap<String, AuthorityRow>, now: Timestamp) -> Result<(), StoreError> {
        let row = self.daemon.blocking(|daemon| daemon.store.key_row()).await?;
        let Some(row) = row.filter(|row| overlapped(row, known, now)) else { return Ok(()) };
        match self.daemon.blocking(|daemon| daemon.store.retire_key()).await {
            Ok(receipt) => tracing::info!(named = row.entry, entry = receipt.entry, "the older signing key is retired"),
            Err(StoreError::DiskFull(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks them all at once, and remembers who failed.
    async fn ask_all(&mut self, authorities: Vec<AnchorSettings>, longest: Duration) -> Result<(), StoreError> {
        let asked = authorities.iter().map(|authority| self.ask(authority, longest));
        let answers = futures::future::join_all(asked).await;
        for (authority, answer) in authorities.iter().zip(answers) {
            let name = &authority.name;
            let now = self.daemon.clock.now();
            match answer {
                Ok(dated) => {
                    self.asked.insert(name.clone(), Asked { last: now, failing: None });
                    if dated.time.since(now).max(now.since(dated.time)) > APART {
                        tracing::warn!(authority = name, theirs = %dated.time, ours = %now, "the authority's clock and this machine's differ");
                    }
                    let (size, time) = (dated.head.size, dated.time);
                    match self.daemon.blocking(move |daemon| daemon.store.record_anchor(dated)).await {
                        Ok(receipt) => {
                            tracing::info!(authority = name, entry = receipt.entry, size, %time, "dated from outside")
                        }
                        Err(StoreError::DiskFull(why)) => {
                            self.fail(name, now, format!("its answer could not be kept: {why}"));
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(why) => {
                    tracing::warn!(authority = name, why, "the ledger was not dated; it is tried again");
                    self.fail(name, now, why);
                }
            }
        }
        Ok(())
    }

    fn fail(&mut self, name: &str, now: Timestamp, why: String) {
        let before = self.asked.get(name).and_then(|asked| asked.failing.as_ref());
        let first = before.map_or(now, |(first, _)| *first);
        self.asked.insert(name.to_owned(), Asked { last: now, failing: Some((first, why)) });
    }

    /// Asks one authority to date the published checkpoint, and checks the answer.
    async fn ask(&self, authority: &AnchorSettings, longest: Duration) -> Result<Dated, String> {
        let head = self.daemon.store.head().map_err(|e| in_full(&e))?;
        let file = authority.clone();
        let trusted = tokio::task::spawn_blocking(move || file.trusted()).await;
        let (roots, _) = trusted.map_err(|e| e.to_string())??;
        let random = self.random.bytes()?;
        let random = random.first_chunk().copied().unwrap_or_default();
        let checkpoint = head.note.into_bytes();
        let request = Request::new(&checkpoint, random).map_err(|e| e.to_string())?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Request::CONTENT_TYPE));
        let body = Bytes::copy_from_slice(request.der());
        let wait = longest.min(authority.every).to_std();
        let answer = self.network.ask(Method::POST, &authority.url, headers, body, wait).await;
        let answer = answer.map_err(|e| in_full(&e))?;
        if !answer.status().is_success() {
            return Err(format!("it answered with status {}", answer.status().as_u16()));
        }
        let stamp = anchor::accept(answer.body(), &checkpoint, &request, &roots).map_err(|e| e.to_string())?;
        Ok(Dated {
            authority: authority.name.clone(),
            head: TreeHead { size: head.size, root: head.root },
            time: Timestamp::from_millis(stamp.time),
            accuracy: stamp.accuracy.map(Duration::from_millis),
            chain: stamp.chain(&roots).map_err(|e| e.to_string())?,
            signer: stamp.signer,
            checkpoint,
            answer: answer.body().to_vec(),
        })
    }

    async fn known(&self) -> Result<BTreeMap<String, AuthorityRow>, StoreError> {
        self.daemon.blocking(|daemon| known(&daemon.store)).await
    }

    /// Records facts; `false` when there was no room for them.
    async fn record(&self, facts: Vec<Fact>) -> Result<bool, StoreError> {
        match self.daemon.blocking(move |daemon| daemon.store.record(facts)).await {
            Ok(_) => Ok(true),
            Err(StoreError::DiskFull(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The authorities as the ledger knows them.
fn known(store: &Store) -> Result<BTreeMap<String, AuthorityRow>, StoreError> {
    let failed = |e: &dyn std::error::Error| StoreError::Stopped(in_full(e));
    let rows = store.index().scan(key::AUTHORITIES, None, usize::MAX).map_err(|e| failed(&e))?;
    let rows = rows.iter().map(|(_, bytes)| fold::read::<AuthorityRow>(bytes).map(|row| (row.name.clone(), row)));
    rows.collect::<Result<_, _>>().map_err(|e| failed(&e))
}

/// Whether two keys have signed together for long enough: until an outside authority has dated a checkpoint that both have
/// signed, so that nobody can date back what the older one signs later. Where no authority is asked, for a day.
fn overlapped(row: &KeyRow, known: &BTreeMap<String, AuthorityRow>, now: Timestamp) -> bool {
    let mut asked = known.values().filter(|authority| authority.every.is_some()).peekable();
    let dated = match asked.peek() {
        None => now.since(row.at) >= WITHOUT_AUTHORITY,
        Some(_) => asked.any(|authority| authority.last.as_ref().is_some_and(|last| last.anchor.head.size > row.entry)),
    };
    row.both && dated
}

/// What the ledger has to be told of the settings: authorities that are new, have changed, or were taken out.
fn announce(wanted: &[AnchorSettings], known: &BTreeMap<String, AuthorityRow>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for authority in wanted {
        // A file that cannot be read just now is no news; the next try says so.
        let Ok((_, bytes)) = authority.trusted() else { continue };
        let trusted = Some(hex::encode(Sha256::digest(bytes)));
        let row = known.get(&authority.name);
        if row.is_none_or(|row| row.every != Some(authority.every) || row.trusted != trusted) {
            facts.push(Authority { name: authority.name.clone(), every: Some(authority.every), trusted });
        }
    }
    for (name, row) in known {
        if row.every.is_some() && wanted.iter().all(|authority| authority.name != *name) {
            facts.push(Authority { name: name.clone(), every: None, trusted: None });
        }
    }
    facts.into_iter().map(Fact::Authority).collect()
}

/// When an authority is to be asked next. One whose last time lies ahead, since the clock was set back, is asked now.
fn due(row: Option<&AuthorityRow>, every: Duration, asked: Option<&Asked>, now: Timestamp) -> Timestamp {
    let retry = Duration::from_millis(every.millis() / 4).max(SOONEST_RETRY).min(LATEST_RETRY);
    let recorded = row.and_then(|row| row.last.as_ref()).map(|last| (last.at, every));
    let (last, wait) = match asked {
        Some(Asked { last, failing: Some(_) }) => (*last, retry),
        Some(Asked { last, failing: None }) => (*last, every),
        None => recorded.unwrap_or_default(),
    };
    if last > now { now } else { last.plus(wait) }
}

/// What is to be said of an authority's silence, when that is not what was said last.
fn silence(row: &AuthorityRow, asked: Option<&Asked>, now: Timestamp) -> Option<Silence> {
    let said = row.silence.as_ref().filter(|silence| silence.lost);
    let since = row.last.as_ref().map_or(row.from, |last| last.at.max(row.from));
    let failing = asked.and_then(|asked| asked.failing.as_ref());
    let waited = now.since(since).max(failing.map_or(Duration::ZERO, |(first, _)| now.since(*first)));
    let silent = row.every.is_some_and(|every| waited > every.times(2));
    let (lost, detail, opened_by) = match (said, silent) {
        (None, true) => (true, failing.map_or("it was not asked", |(_, why)| why.as_str()), None),
        (Some(said), false) if row.every.is_some() => (false, "it answers again", Some(said.opened_by)),
        (Some(said), false) => (false, "it was taken out of the settings", Some(said.opened_by)),
        _ => return None,
    };
    let since = said.map_or(since, |said| said.since);
    Some(Silence { authority: row.name.clone(), lost, since, detail: detail.to_owned(), opened_by })
}

#[cfg(test)]
mod tests {
    use store::rows::{AnchorRow, SilenceRow};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * 60_000)
    }

    /// An hourly authority that is to be asked from minute 0 on, and answered last at that minute.
    fn row(last: Option<i64>) -> AuthorityRow {
        let body: domain::BodyId = "0".repeat(64).parse().unwrap();
        let head = TreeHead { size: 1, root: String::new() };
        let anchor = domain::entry::Anchor {
            authority: "one".into(),
            head,
            time: at(0),
            accuracy: None,
            signer: String::new(),
            checkpoint: body.clone(),
            answer: body.clone(),
            chain: body,
        };
        let last = last.map(|minute| AnchorRow { entry: 1, at: at(minute), anchor });
        AuthorityRow { name: "one".into(), every: Some(HOUR), trusted: None, from: at(0), last, silence: None }
    }

    fn asked(last: i64, failing_since: Option<i64>) -> Asked {
        Asked { last: at(last), failing: failing_since.map(|minute| (at(minute), "no answer within 30 s".into())) }
    }

    #[test]
    fn an_authority_is_asked_at_once_then_in_its_time_and_sooner_after_a_failure() {
        let table = [
            ("never asked", None, None, 5, 0),
            ("the last daemon had an answer", Some(0), None, 5, 60),
            ("it answered", Some(0), Some(asked(1, None)), 5, 61),
            ("it did not", Some(0), Some(asked(70, Some(60))), 71, 75),
            ("the clock was set back since", Some(0), Some(asked(900, None)), 5, 5),
            ("the ledger's time is ahead of the clock", Some(900), None, 5, 5),
        ];
        for (what, last, asked, now, expected) in table {
            assert_eq!(due(Some(&row(last)), HOUR, asked.as_ref(), at(now)), at(expected), "{what}");
        }
        assert_eq!(due(None, HOUR, None, at(5)), Timestamp::default());
    }

    #[test]
    fn silence_is_said_after_twice_the_time_once_and_so_is_its_end() {
        let failing = asked(119, Some(60));
        assert_eq!(silence(&row(Some(0)), Some(&failing), at(120)), None, "not yet");
        let said = silence(&row(Some(0)), Some(&failing), at(121)).unwrap();
        assert_eq!((said.lost, said.since, said.opened_by), (true, at(0), None));
        assert_eq!(said.detail, "no answer within 30 s");
        assert_eq!(silence(&row(None), Some(&failing), at(121)).unwrap().since, at(0), "it never answered at all");
        // A clock that was set back makes nobody forget.
        assert!(silence(&row(Some(900)), Some(&asked(121, Some(0))), at(121)).is_some());

        let known =
            |lost| SilenceRow { lost, opened_by: 7, since: at(0), detail: String::new(), last_entry: 7, at: at(121) };
        let mut silent = AuthorityRow { silence: Some(known(true)), ..row(Some(0)) };
        assert_eq!(silence(&silent, Some(&failing), at(500)), None, "once");
        let over = silence(&AuthorityRow { silence: Some(known(true)), ..row(Some(490)) }, None, at(500)).unwrap();
        assert_eq!((over.lost, over.since, over.opened_by), (false, at(0), Some(7)));
        silent.every = None;
        assert_eq!(silence(&silent, None, at(500)).unwrap().detail, "it was taken out of the settings");
        let again = AuthorityRow { silence: Some(known(false)), ..row(Some(490)) };
        assert_eq!(silence(&again, None, at(700)).unwrap().opened_by, None, "another silence");
    }
}
