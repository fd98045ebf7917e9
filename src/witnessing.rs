//! Witnesses: sends them the published checkpoint, keeps their cosignatures, and believes them when they have seen more.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::entry::{Cosigned, Fact, TreeHead};
use domain::{Duration, Timestamp, TroubleIn, in_full};
use kit::http::{HeaderMap, Method};
use kit::outbound::Outbound;
use ledger::{Reader, SignedCheckpoint, WitnessKey};
use store::rows::{WitnessRow, key};
use store::{Read, StoreError, fold};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::WitnessSettings;
use crate::daemon::Daemon;
use crate::trouble;

/// Who asks.
pub struct Witnessing {
    daemon: Arc<Daemon>,
    network: Outbound,
    /// When each witness was last asked, and by how many entries it had seen as far as it said.
    asked: BTreeMap<String, Timestamp>,
    /// Those that did not cosign when they were asked last: since when not, and why not at first.
    failing: BTreeMap<String, (Timestamp, String)>,
}

/// What is to be said of witnesses that do not cosign.
#[derive(PartialEq, Eq, Debug)]
enum Silence {
    /// Every one cosigns.
    None,
    /// One that failed lately may do better when it is asked again.
    NotYet,
    Of(String),
}

/// What a witness answered.
enum Answer {
    Cosigned(Cosigned),
    /// It has seen so many entries, which is not what it was asked with.
    Seen(u64),
    /// It says that this ledger does not continue the one it has seen.
    Contradicted(String),
}

/// A witness that does not answer is not waited for any longer.
const LONGEST_ANSWER: Duration = Duration::from_secs(15);
/// Settings are looked at again at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Witnessing {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// No client for the network can be made.
    pub fn new(daemon: Arc<Daemon>) -> Result<Witnessing, StoreError> {
        let network = Outbound::network(&daemon.around.network).map_err(|e| StoreError::Stopped(in_full(&e)))?;
        Ok(Witnessing { daemon, network, asked: BTreeMap::new(), failing: BTreeMap::new() })
    }

    /// Has the ledger cosigned on schedule until `stop` is cancelled.
    ///
    /// # Errors
    /// The store stopped, or a witness has seen more of the ledger than there is, or another one.
    pub async fn keep_witnessed(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                done = self.round() => done?,
            }
            let wait = self.daemon.loaded().settings.witnesses.iter().map(|witness| witness.every).min();
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY).to_std()) => {}
            }
        }
        Ok(())
    }

    /// Asks every witness that is due. Before anything is recorded that is all of them: they remember what a guard that was
    /// put back does not.
    ///
    /// # Errors
    /// See [`Witnessing::keep_witnessed`]. One that does not answer is told in the log, and as an alert when it goes on.
    pub async fn round(&mut self) -> Result<(), StoreError> {
        let loaded = self.daemon.loaded();
        for witness in &loaded.settings.witnesses {
            let now = self.daemon.clock.now();
            let Ok(trusted) = witness.key.parse::<WitnessKey>() else { continue };
            let due = self.asked.get(trusted.name()).is_none_or(|at| *at > now || now.since(*at) >= witness.every);
            if !due {
                continue;
            }
            self.asked.insert(trusted.name().to_owned(), now);
            match self.ask(witness, &trusted).await {
                Ok(Answer::Cosigned(cosigned)) => {
                    self.failing.remove(trusted.name());
                    let (size, name) = (cosigned.head.size, trusted.name().to_owned());
                    let fact = Fact::Cosigned(cosigned);
                    match self.daemon.blocking(move |daemon| daemon.store.record_one(fact)).await {
                        Ok(receipt) => tracing::info!(witness = name, entry = receipt.entry, size, "cosigned"),
                        Err(StoreError::DiskFull(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(Answer::Contradicted(why)) => return Err(StoreError::Stopped(why)),
                Ok(Answer::Seen(size)) => {
                    let why =
                        format!("it is asked from elsewhere at the same time: it has seen {size} entries meanwhile");
                    self.failed(&trusted, now, why);
                }
                Err(why) => self.failed(&trusted, now, why),
            }
        }
        self.tell_of_silence(&loaded.settings.witnesses).await
    }

    fn failed(&mut self, trusted: &WitnessKey, now: Timestamp, why: String) {
        tracing::warn!(witness = trusted.name(), why, "the ledger was not cosigned; it is tried again");
        self.failing.entry(trusted.name().to_owned()).or_insert((now, why));
    }

    async fn tell_of_silence(&mut self, witnesses: &[WitnessSettings]) -> Result<(), StoreError> {
        let every: BTreeMap<String, Duration> = witnesses
            .iter()
            .filter_map(|witness| Some((witness.key.parse::<WitnessKey>().ok()?.name().to_owned(), witness.every)))
            .collect();
        // One that was taken out of the settings is no longer asked.
        self.failing.retain(|name, _| every.contains_key(name));
        let amiss = match silence(&self.failing, &every, self.daemon.clock.now()) {
            Silence::NotYet => return Ok(()),
            Silence::None => None,
            Silence::Of(text) => Some(text),
        };
        let record = move |daemon: &Daemon| trouble::record(&daemon.store, TroubleIn::Witnesses, amiss.as_deref());
        if self.daemon.blocking(record).await? {
            self.daemon.news.notify_one();
        }
        Ok(())
    }

    async fn ask(&self, witness: &WitnessSettings, trusted: &WitnessKey) -> Result<Answer, String> {
        let name = trusted.name().to_owned();
        let row = self.daemon.blocking(move |daemon| {
            fold::get::<WitnessRow>(daemon.store.index().as_ref(), &key::witness(&name))
                .map_err(|e| StoreError::Stopped(e.to_string()))
        });
        let known = row.await.map_err(|e| e.to_string())?.map_or(0, |row| row.cosigned.head.size);
        match self.submit(witness, trusted, known).await? {
            // It says how far it has seen the ledger: that is asked from there, once.
            Answer::Seen(size) => self.submit(witness, trusted, size).await,
            answer => Ok(answer),
        }
    }

    async fn submit(&self, witness: &WitnessSettings, trusted: &WitnessKey, old: u64) -> Result<Answer, String> {
        let head = self.daemon.store.head().map_err(|e| in_full(&e))?;
        let signed = SignedCheckpoint::parse_unverified(head.note.as_bytes()).map_err(|e| in_full(&e))?;
        let (size, name) = (head.size, trusted.name());
        if old > size {
            return Ok(Answer::Contradicted(format!(
                "the witness {name} has seen {old} entries of this ledger, and {size} are here: an older copy is in its place. \
                 Put the newest copy back; if that is lost for good: evidenced ledger close --because '…'"
            )));
        }
        let (dir, text) = (self.daemon.store.layout().ledger(), signed.checkpoint.to_string());
        let body = tokio::task::spawn_blocking(move || Reader::open(&dir).add_checkpoint(old, &signed));
        let body = body.await.map_err(|e| e.to_string())?.map_err(|e| in_full(&e))?;
        let url = add_checkpoint(&witness.url);
        let wait = LONGEST_ANSWER.to_std();
        let answer = self.network.ask(Method::POST, &url, HeaderMap::new(), body.into(), wait).await;
        let answer = answer.map_err(|e| in_full(&e))?;
        let said = String::from_utf8_lossy(answer.body()).into_owned();
        match (answer.status().as_u16(), said.trim().parse::<u64>()) {
            (200, _) => {
                let found = trusted.find(&text, &said).map_err(|e| format!("its cosignature: {e}"))?;
                let time = i64::try_from(found.time.saturating_mul(1000)).map_err(|_| "its time is out of reach")?;
                let head = TreeHead { size, root: head.root };
                let time = Timestamp::from_millis(time);
                Ok(Answer::Cosigned(Cosigned { witness: name.to_owned(), head, time, line: found.line }))
            }
            (409, Ok(seen)) if seen != old => Ok(Answer::Seen(seen)),
            (409 | 422, _) => Ok(Answer::Contradicted(format!(
                "the witness {name} has seen another ledger over its first {old} entries than the one that is here: nothing \
                 more is recorded. Find out which of the two is the right one; if it is not this one, put the right one back"
            ))),
            (403, _) => {
                Err("it does not know the key of this ledger: hand it the line of `evidenced ledger key`".to_owned())
            }
            (404, _) => Err(format!("it does not know this ledger: have it take up {}", head.origin)),
            (status, _) => Err(format!("it answered with status {status}")),
        }
    }
}

/// A witness is silent when it has not cosigned for more than twice the time after which it is asked again.
fn silence(
    failing: &BTreeMap<String, (Timestamp, String)>,
    every: &BTreeMap<String, Duration>,
    now: Timestamp,
) -> Silence {
    let is_silent =
        |name: &str, since: Timestamp| every.get(name).is_some_and(|every| now.since(since) > every.times(2));
    let silent: Vec<String> = failing
        .iter()
        .filter(|(name, (since, _))| is_silent(name, *since))
        .map(|(name, (since, why))| format!("{name} has not cosigned since {}: {why}", since.to_the_second()))
        .collect();
    match (silent.is_empty(), failing.is_empty()) {
        (false, _) => Silence::Of(silent.join("; ")),
        (true, false) => Silence::NotYet,
        (true, true) => Silence::None,
    }
}

/// Where checkpoints go, below a submission prefix.
fn add_checkpoint(prefix: &Url) -> Url {
    let mut url = prefix.clone();
    url.set_path(&format!("{}/add-checkpoint", prefix.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_silent_after_twice_its_time_and_all_is_right_only_when_every_one_cosigns() {
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        let every = BTreeMap::from(["one", "two"].map(|name| (name.to_owned(), Duration::from_secs(600))));
        let failing = |names: &[(&str, i64)]| -> BTreeMap<String, (Timestamp, String)> {
            names.iter().map(|(name, since)| ((*name).to_owned(), (at(*since), "no answer".to_owned()))).collect()
        };
        assert_eq!(silence(&failing(&[]), &every, at(0)), Silence::None);
        assert_eq!(silence(&failing(&[("one", 0)]), &every, at(20)), Silence::NotYet);
        let said = silence(&failing(&[("one", 0), ("two", 15)]), &every, at(21));
        assert_eq!(said, Silence::Of("one has not cosigned since 1970-01-01 00:00:00 UTC: no answer".to_owned()));
        let Silence::Of(both) = silence(&failing(&[("one", 0), ("two", 15)]), &every, at(60)) else { panic!() };
        assert!(both.contains("; two has not cosigned since"), "{both}");
    }
}
