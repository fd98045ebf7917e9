//! What was recorded before, for connectors that join the evidence of other sources instead of asking one.
//!
//! Such a connector declares calls like `READ /populations/keycloak.user`, and makes them through the recorder of its run
//! ([`Recorder::recorded`]): which population of which run was read is kept as an exchange, like any other answer.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use domain::{BodyId, GapReason, Resource, ResourceType, SourceId, StreamId, Timestamp, in_full};
use serde::Serialize;

use crate::view::Mark;
use crate::{CallSpec, Recorder, Unread};

/// The method of a call that reads recorded evidence, or a file of the organisation's own; it never leaves the machine.
pub const READ: &str = "READ";

/// Where calls to populations stand; the type follows.
const POPULATIONS: &str = "/populations/";

/// What was recorded before. The daemon's store is one.
pub trait Evidence: Send + Sync {
    /// The latest population of a type that a run of `source` recorded; of runs that began after `begun_by`, and of runs
    /// that were broken off, nothing is said. `None` when there is no such population. May block on a disk.
    fn latest(
        &self,
        source: &SourceId,
        kind: &ResourceType,
        begun_by: Timestamp,
    ) -> Result<Option<Recorded>, EvidenceError>;

    /// Hands out the resources of a population one by one, and says how many there were: fewer than its count when some
    /// were erased. May block on a disk.
    fn resources(&self, of: &Recorded, each: &mut dyn FnMut(Resource)) -> Result<u64, EvidenceError>;
}

/// What was recorded cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what was recorded cannot be read")]
pub struct EvidenceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A population as a run recorded it: enough to find every row of it again in the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Recorded {
    /// The stream that recorded it.
    pub stream: StreamId,
    /// The entry of the run.
    pub run: u64,
    /// Version of the collector's meaning.
    pub collector_version: u32,
    /// When the run began.
    pub started: Timestamp,
    /// When the run ended: the population is as of then.
    pub ended: Timestamp,
    /// What kind of resource it holds.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// How many.
    pub count: u64,
    /// Why that is not all there are; `None` when it is.
    pub incomplete: Option<GapReason>,
    /// The commitment to its rows; `None` when there are none.
    pub manifest: Option<BodyId>,
}

/// Resources on their way from the disk at once.
const BATCH: usize = 256;

impl Recorder {
    /// Finds the latest population that `source` recorded in a run that began by `begun_by`, and keeps as an exchange
    /// which it was. The declared call names the type: `READ /populations/keycloak.user`. `None` when there is none.
    pub async fn recorded(
        &self,
        call: &'static CallSpec,
        source: &SourceId,
        begun_by: Timestamp,
    ) -> Result<(Mark, Option<Recorded>), Unread> {
        let (_, path) = call.method_and_path();
        let kind = path.strip_prefix(POPULATIONS).and_then(|kind| kind.parse::<ResourceType>().ok());
        let kind =
            kind.ok_or_else(|| Unread::unsent(call, GapReason::Refused, "the call names no type of resource"))?;
        let mark = self.begin(call, &format!("evidence:{source}/{kind}"))?;
        let (evidence, source) = (Arc::clone(&self.evidence), source.clone());
        let found = self.on_disk(mark, move || evidence.latest(&source, &kind, begun_by)).await?;
        let Some(found) = found else {
            self.end(mark, None);
            return Ok((mark, None));
        };
        let body = serde_json::to_vec(&found).map_err(|error| self.broken(mark, error.to_string()))?;
        self.keep(mark, body.into()).await?;
        self.amend(mark, |exchange| exchange.url = format!("evidence:{}#{}", found.stream, found.run));
        Ok((mark, Some(found)))
    }

    /// Hands out the resources of a population that was found by [`Recorder::recorded`]. When it ends in an error, what
    /// was handed out is not the whole population, and nothing may be concluded from it.
    pub async fn resources(&self, mark: Mark, of: &Recorded, mut each: impl FnMut(Resource)) -> Result<(), Unread> {
        let (sender, mut batches) = tokio::sync::mpsc::channel::<Vec<Resource>>(2);
        let (evidence, population) = (Arc::clone(&self.evidence), of.clone());
        let read = self.on_disk(mark, move || {
            let mut batch = Vec::with_capacity(BATCH);
            // Nobody takes them any more when the run was broken off; then it does not matter what is lost.
            let count = evidence.resources(&population, &mut |resource| {
                batch.push(resource);
                if batch.len() == BATCH {
                    sender.blocking_send(std::mem::take(&mut batch)).ok();
                }
            });
            sender.blocking_send(batch).ok();
            count
        });
        let take = async {
            while let Some(batch) = batches.recv().await {
                batch.into_iter().for_each(&mut each);
            }
        };
        let (count, ()) = futures::join!(read, take);
        match count? {
            count if count == of.count => Ok(()),
            count => {
                let why = format!(
                    "{count} of {} rows are left in #{}; the others were erased or have expired, and count as unread until they \
                     are collected again",
                    of.count, of.run
                );
                Err(self.give_up(mark, GapReason::Truncated, why))
            }
        }
    }

    /// Reads a file of the organisation's own and keeps it as it is.
    pub async fn file(&self, call: &'static CallSpec, path: &Path) -> Result<(Mark, Bytes), Unread> {
        let mark = self.begin(call, &format!("file:{}", path.display()))?;
        let (path, most) = (path.to_owned(), self.limits.body_bytes);
        let bytes = self.on_disk(mark, move || {
            use std::io::Read;
            let mut bytes = Vec::new();
            std::fs::File::open(&path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        });
        let bytes = Bytes::from(bytes.await?);
        if bytes.len() as u64 > most {
            return Err(self.give_up(mark, GapReason::OverLimit, format!("the file is larger than {most} bytes")));
        }
        self.keep(mark, bytes.clone()).await?;
        Ok((mark, bytes))
    }

    /// Enters a declared `READ` into the record.
    fn begin(&self, call: &'static CallSpec, address: &str) -> Result<Mark, Unread> {
        let declared = call.method_and_path().0 == READ && self.calls.iter().any(|known| known.name == call.name);
        if !declared {
            return Err(Unread::unsent(call, GapReason::Refused, "the collector did not declare this call"));
        }
        let seq = self.enter(call, READ, address.to_owned())?;
        Ok(Mark { call, seq })
    }

    async fn on_disk<T: Send + 'static, E: std::error::Error + Send + 'static>(
        &self,
        mark: Mark,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Unread> {
        let done = self.bounded(tokio::task::spawn_blocking(work)).await;
        match done {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(self.broken(mark, in_full(&error))),
            Ok(Err(_)) => Err(self.broken(mark, "the store failed".to_owned())),
            Err((reason, why)) => Err(self.give_up(mark, reason, why)),
        }
    }

    async fn keep(&self, mark: Mark, body: Bytes) -> Result<(), Unread> {
        let length = body.len() as u64;
        if body.is_empty() {
            self.end(mark, Some((0, Vec::new())));
            return Ok(());
        }
        let ids = self.put(body).await.map_err(|why| self.give_up(mark, GapReason::OverLimit, why))?;
        self.end(mark, Some((length, ids)));
        Ok(())
    }

    fn end(&self, mark: Mark, kept: Option<(u64, Vec<BodyId>)>) {
        let ended = self.clock.now();
        self.amend(mark, |exchange| {
            exchange.ended = ended;
            exchange.error = kept.is_none().then(|| "nothing is recorded".to_owned());
            (exchange.bytes, exchange.body) = kept.unwrap_or_default();
        });
    }

    fn broken(&self, mark: Mark, why: String) -> Unread {
        self.give_up(mark, GapReason::NoEvidence, why)
    }
}
