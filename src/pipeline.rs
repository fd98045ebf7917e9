//! One run, from due to judged: intent, collect, record, evaluate, conclude.

use std::sync::Arc;

use bytes::Bytes;
use domain::entry::{Fact, Intent, Missed, MissedReason, TreeHead};
use domain::{BodyId, CollectionRun, Gap, GapReason, Outcome, StreamId, Timestamp, Trigger, UnknownActor};
use kit::{BodySink, SinkError};
use store::{Read, ReadError, Receipt, Store, StoreError};

use crate::judge::{self, Consequences, JudgeError};
use crate::knowledge::Knowledge;
use crate::schedule::SlotRange;

/// The store as the place where answers go.
pub struct Bodies(pub Arc<Store>);

impl BodySink for Bodies {
    fn put(&self, segments: &[Bytes]) -> Result<Vec<BodyId>, SinkError> {
        segments
            .iter()
            .map(|segment| self.0.put_answer(segment))
            .collect::<Result<_, _>>()
            .map_err(|e| SinkError(e.into()))
    }
}

/// What one run led to.
#[derive(Clone, Debug)]
pub struct Done {
    /// The run entry.
    pub run: Receipt,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it was broken off and so not judged.
    pub judged: Option<Consequences>,
    /// Findings that changed.
    pub findings: u64,
    /// Whether its populations differ from those of the stream's run before: then whoever joins them should look again.
    pub changed: bool,
}

/// Records that a run is about to begin.
pub fn intend(store: &Store, stream: &StreamId, trigger: Trigger) -> Result<Receipt, StoreError> {
    let head = store.head().map_err(|e| StoreError::Stopped(e.to_string()))?;
    let after = TreeHead { size: head.size, root: head.root };
    store.record_intent(Intent { stream: stream.clone(), trigger, after })
}

/// Records a run and draws every conclusion from it.
pub fn settle(
    store: &Store,
    knowledge: &Knowledge,
    intent: u64,
    run: &CollectionRun,
    now: Timestamp,
) -> Result<Done, JudgeError> {
    let recorded = tracing::info_span!("record").in_scope(|| store.record_run(intent, run));
    let (receipt, outcome) = match recorded {
        // What cannot be recorded must not be lost in silence, and a restart would find no more room for it.
        Err(StoreError::Unwritable(why)) => {
            let run = broken_off(&run.stream, run.trigger, run.started, GapReason::OverLimit, &why);
            (store.record_run(intent, &run)?, run.outcome)
        }
        recorded => (recorded?, run.outcome),
    };
    let judged = tracing::info_span!("evaluate").in_scope(|| judge::judge_last(store, knowledge, &run.stream))?;
    let findings = tracing::info_span!("conclude").in_scope(|| judge::conclude(store, knowledge, now))?;
    let changed = changed(store, receipt.entry)?;
    Ok(Done { run: receipt, outcome, judged, findings, changed })
}

/// Whether a run's populations differ from those of the run before.
fn changed(store: &Store, entry: u64) -> Result<bool, ReadError> {
    let run = |entry| match store.entry(entry)?.map(|entry| entry.fact) {
        Some(Fact::Run(run)) => Ok(Some(run)),
        _ => Ok::<_, ReadError>(None),
    };
    let Some(now) = run(entry)? else { return Ok(false) };
    let before = now.prev.map(run).transpose()?.flatten();
    Ok(before.is_none_or(|before| before.populations != now.populations))
}

/// Records that an earlier process died during a run.
pub fn interrupted(
    store: &Store,
    stream: &StreamId,
    intent: u64,
    trigger: Trigger,
    began: Timestamp,
) -> Result<Receipt, StoreError> {
    let why = "the daemon stopped before the run had ended";
    let run = broken_off(stream, trigger, began, GapReason::Interrupted, why);
    store.record_run(intent, &run)
}

/// Records slots that nobody ran.
pub fn missed(store: &Store, stream: &StreamId, slots: SlotRange, reason: MissedReason) -> Result<Receipt, StoreError> {
    let SlotRange { first, last, count } = slots;
    store.record_missed(Missed { stream: stream.clone(), first, last, count, reason })
}

/// A run of a stream that was taken out of the settings before it could begin.
pub fn withdrawn(stream: &StreamId, trigger: Trigger, now: Timestamp) -> CollectionRun {
    broken_off(stream, trigger, now, GapReason::Cancelled, "the stream was taken out of the settings")
}

fn broken_off(stream: &StreamId, trigger: Trigger, at: Timestamp, reason: GapReason, detail: &str) -> CollectionRun {
    let gap = Gap {
        reason,
        call: "the run".to_owned(),
        permission: None,
        types: Vec::new(),
        fields: Vec::new(),
        resources: 0,
        detail: detail.to_owned(),
        exchange: None,
    };
    CollectionRun {
        stream: stream.clone(),
        collector_version: 0,
        trigger,
        started: at,
        ended: at,
        caller: None,
        exchanges: Vec::new(),
        populations: Vec::new(),
        gaps: vec![gap],
        changes: Err(UnknownActor { reason: detail.to_owned() }),
        outcome: Outcome::Failed,
    }
}
