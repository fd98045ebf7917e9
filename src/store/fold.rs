//! Folds one ledger entry into the index. Pure: the same entries give the same rows, whatever the index was before.

use domain::entry::{Entry, Fact, Missed, Observations, Run};
use domain::{DeviationState, GapReason, Outcome, Slot, StreamId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::index::{Index, IndexError, Op};
use crate::rows::{
    AnchorRow, AuthorityRow, CoverageRow, DamageRow, DeliveryRow, DeviationRow, ErasedRow, FindingRow, HoldRow,
    IntentRow, KeyRow, ObservedRow, RoomRow, RunRow, ScheduleRow, ScrubRow, SilenceRow, SlotOutcome, SlotRow,
    StreamRow, TroubleRow, WitnessRow, key,
};

/// The rows that change when `entry`, which stands at `at` in the ledger, is folded into `index`.
pub fn fold(index: &dyn Index, number: u64, entry: &Entry) -> Result<Vec<Op>, IndexError> {
    let mut ops = Vec::new();
    if let Some(once) = entry.fact.once() {
        ops.push(Op::Put(key::once(&once), number.to_be_bytes().to_vec()));
    }
    match &entry.fact {
        Fact::Genesis(_) | Fact::Version(_) => {
            ops.push(Op::Put(key::latest(entry.fact.kind()), number.to_be_bytes().to_vec()));
        }
        Fact::Schedule(schedule) => {
            let mut row = stream_row(index, &schedule.stream)?;
            row.schedules.push(ScheduleRow {
                entry: number,
                expression: schedule.expression.clone(),
                zone: schedule.zone.clone(),
                from: schedule.from,
            });
            put_stream(&mut ops, &row)?;
        }
        Fact::Intent(intent) => {
            let mut row = stream_row(index, &intent.stream)?;
            row.open_intent = Some(IntentRow { entry: number, trigger: intent.trigger, at: entry.at });
            row.catch_up = false;
            put_stream(&mut ops, &row)?;
        }
        Fact::Run(run) => fold_run(index, &mut ops, number, run)?,
        Fact::Missed(missed) => fold_missed(index, &mut ops, number, missed)?,
        Fact::Observation(observations) => fold_observations(index, &mut ops, number, observations)?,
        Fact::Deviation(deviation) => {
            let before: Option<DeviationRow> = get(index, &key::deviation(&deviation.check, &deviation.resource))?;
            let opens = deviation.change.opens();
            let opened = before.as_ref().filter(|_| !opens);
            let row = DeviationRow {
                state: DeviationState {
                    open: opens,
                    episode: deviation.episode,
                    baseline: opened.map_or(deviation.baseline, |row| row.state.baseline),
                    opened_by: opened.map_or(number, |row| row.state.opened_by),
                    opened_at: opened.map_or(entry.at, |row| row.state.opened_at),
                    last_entry: number,
                    observation: deviation.is,
                },
                check: deviation.check.clone(),
                source: deviation.source.clone(),
                kind: deviation.kind.clone(),
                resource: deviation.resource.clone(),
                severity: deviation.severity,
                change: deviation.change,
                at: entry.at,
                opened_in: opened.map_or(deviation.is.entry, |row| row.opened_in),
                opened_detail: opened.map_or_else(|| deviation.detail.clone(), |row| row.opened_detail.clone()),
                detail: deviation.detail.clone(),
                was: opened.map_or(deviation.was, |row| row.was),
            };
            put(&mut ops, key::deviation(&deviation.check, &deviation.resource), &row)?;
            put_change(&mut ops, number);
        }
        Fact::Coverage(coverage) => {
            let mut row = stream_row(index, &coverage.stream)?;
            let since = row.coverage.as_ref().filter(|_| coverage.opened_by.is_some()).map(|row| row.since);
            row.coverage = Some(CoverageRow {
                lost: coverage.lost,
                episode: coverage.episode,
                opened_by: coverage.opened_by.unwrap_or(number),
                since: since.unwrap_or(entry.at),
                reason: coverage.reason,
                blind: coverage.blind.clone(),
                last_entry: number,
                at: entry.at,
            });
            put_stream(&mut ops, &row)?;
            put_change(&mut ops, number);
        }
        Fact::Finding(finding) => {
            let row = FindingRow {
                framework: finding.framework.clone(),
                control: finding.control.clone(),
                value: finding.value,
                reason: finding.reason,
                was: finding.was,
                entry: number,
                at: entry.at,
            };
            put(&mut ops, key::finding(&finding.framework, &finding.control), &row)?;
            put_change(&mut ops, number);
        }
        Fact::Delivery(delivery) => {
            let row = DeliveryRow { entry: number, at: entry.at, delivery: delivery.clone() };
            put(&mut ops, key::delivery(number), &row)?;
        }
        Fact::Clock(_) => put_change(&mut ops, number),
        Fact::Erase(erase) => {
            let row = ErasedRow { entry: number, at: entry.at, basis: erase.basis.clone() };
            for id in &erase.keys {
                put(&mut ops, key::erased(id), &row)?;
            }
            put_change(&mut ops, number);
        }
        Fact::Hold(hold) => {
            let of = hold.of.iter().map(|subject| subject.resource.clone()).collect();
            let row = HoldRow { entry: number, at: entry.at, of, because: hold.because.clone() };
            put(&mut ops, key::hold(number), &row)?;
            put_change(&mut ops, number);
        }
        Fact::Release(release) => {
            ops.push(Op::Delete(key::hold(release.hold)));
            put_change(&mut ops, number);
        }
        Fact::Room(room) => {
            let opened: Option<RoomRow> = get(index, key::ROOM)?.filter(|_| room.opened_by.is_some());
            let row = RoomRow {
                lost: room.lost,
                opened_by: opened.as_ref().map_or(number, |row| row.opened_by),
                since: opened.as_ref().map_or(entry.at, |row| row.since),
                detail: opened.map_or_else(|| room.detail.clone(), |row| row.detail),
                last_entry: number,
                at: entry.at,
            };
            put(&mut ops, key::ROOM.to_vec(), &row)?;
            put_change(&mut ops, number);
        }
        Fact::Trouble(trouble) => {
            let place = key::trouble(trouble.place);
            let opened: Option<TroubleRow> = get(index, &place)?.filter(|_| trouble.opened_by.is_some());
            let row = TroubleRow {
                place: trouble.place,
                amiss: trouble.amiss,
                opened_by: opened.as_ref().map_or(number, |row| row.opened_by),
                since: opened.as_ref().map_or(entry.at, |row| row.since),
                // What ends it does not say what it was.
                detail: opened.filter(|_| !trouble.amiss).map_or_else(|| trouble.detail.clone(), |row| row.detail),
                last_entry: number,
                at: entry.at,
            };
            put(&mut ops, place, &row)?;
            put_change(&mut ops, number);
        }
        Fact::Damage(damage) => {
            let name = key::damage(&damage.file);
            let opened: Option<DamageRow> = get(index, &name)?.filter(|_| damage.opened_by.is_some());
            let row = DamageRow {
                file: damage.file.clone(),
                lost: damage.lost,
                opened_by: opened.as_ref().map_or(number, |row| row.opened_by),
                since: opened.as_ref().map_or(entry.at, |row| row.since),
                detail: opened.map_or_else(|| damage.detail.clone(), |row| row.detail),
                last_entry: number,
                at: entry.at,
            };
            put(&mut ops, name, &row)?;
            put_change(&mut ops, number);
        }
        Fact::Scrub(scrub) => {
            let row = ScrubRow { entry: number, at: entry.at, scrub: scrub.clone() };
            put(&mut ops, key::SCRUB.to_vec(), &row)?;
        }
        Fact::Cosigned(cosigned) => {
            let row = WitnessRow { entry: number, at: entry.at, cosigned: cosigned.clone() };
            put(&mut ops, key::witness(&cosigned.witness), &row)?;
        }
        Fact::Key(step) => {
            let before: Option<KeyRow> = get(index, key::SIGNING)?;
            let row = match before.filter(|_| step.retires.is_some()) {
                Some(before) => KeyRow { both: false, ..before },
                None => KeyRow { entry: number, at: entry.at, both: step.succession.is_some() },
            };
            put(&mut ops, key::SIGNING.to_vec(), &row)?;
            put_change(&mut ops, number);
        }
        Fact::Authority(authority) => {
            let mut row = authority_row(index, &authority.name, entry.at)?;
            if row.every.is_none() {
                row.from = entry.at;
            }
            (row.every, row.trusted) = (authority.every, authority.trusted.clone());
            put(&mut ops, key::authority(&authority.name), &row)?;
        }
        Fact::Anchor(anchor) => {
            let mut row = authority_row(index, &anchor.authority, entry.at)?;
            let dated = AnchorRow { entry: number, at: entry.at, anchor: anchor.clone() };
            put(&mut ops, key::anchor(number), &dated)?;
            row.last = Some(dated);
            put(&mut ops, key::authority(&anchor.authority), &row)?;
        }
        Fact::Silence(silence) => {
            let mut row = authority_row(index, &silence.authority, entry.at)?;
            let opened = row.silence.filter(|_| silence.opened_by.is_some());
            row.silence = Some(SilenceRow {
                lost: silence.lost,
                opened_by: opened.as_ref().map_or(number, |row| row.opened_by),
                since: opened.as_ref().map_or(silence.since, |row| row.since),
                detail: opened.map_or_else(|| silence.detail.clone(), |row| row.detail),
                last_entry: number,
                at: entry.at,
            });
            put(&mut ops, key::authority(&silence.authority), &row)?;
            put_change(&mut ops, number);
        }
        Fact::Export(_) | Fact::Other => {}
    }
    Ok(ops)
}

/// The row of an authority, or a new one.
fn authority_row(index: &dyn Index, name: &str, at: Timestamp) -> Result<AuthorityRow, IndexError> {
    let known = get(index, &key::authority(name))?;
    Ok(known.unwrap_or_else(|| AuthorityRow {
        name: name.to_owned(),
        every: None,
        trusted: None,
        from: at,
        last: None,
        silence: None,
    }))
}

fn fold_run(index: &dyn Index, ops: &mut Vec<Op>, number: u64, run: &Run) -> Result<(), IndexError> {
    let mut row = stream_row(index, &run.stream)?;
    let summary = RunRow {
        entry: number,
        outcome: run.outcome,
        started: run.started,
        ended: run.ended,
        slot: run.trigger.slot(),
        calls: run.calls,
        resources: run.populations.iter().map(|p| p.count).sum(),
        gaps: run.gaps.len() as u64 + run.more_gaps,
        interrupted: run.gaps.iter().any(|gap| matches!(gap.reason, GapReason::Interrupted | GapReason::Cancelled)),
    };
    row.catch_up |= summary.interrupted;
    row.open_intent = row.open_intent.filter(|intent| intent.entry != run.intent);
    row.last_run = Some(summary);
    let counter = match run.outcome {
        Outcome::Collected => 0,
        Outcome::Partial => 1,
        Outcome::Failed => 2,
    };
    count(&mut row, counter, 1);
    if run.outcome == Outcome::Collected {
        row.last_collected = Some(summary);
    }
    if let Some(slot) = run.trigger.slot() {
        settle(&mut row, slot);
        let settled = SlotRow { first: slot, last: slot, entry: number, outcome: SlotOutcome::Run(run.outcome) };
        put(ops, key::slot(&run.stream, slot), &settled)?;
    }
    put(ops, key::run(&run.stream, number), &summary)?;
    put_stream(ops, &row)
}

fn fold_missed(index: &dyn Index, ops: &mut Vec<Op>, number: u64, missed: &Missed) -> Result<(), IndexError> {
    let mut row = stream_row(index, &missed.stream)?;
    settle(&mut row, missed.last);
    row.catch_up |= missed.reason.calls_for_catch_up();
    count(&mut row, 3, missed.count);
    let settled = SlotRow { first: missed.first, last: missed.last, entry: number, outcome: SlotOutcome::Missed };
    put(ops, key::slot(&missed.stream, missed.first), &settled)?;
    put_change(ops, number);
    put_stream(ops, &row)
}

fn fold_observations(
    index: &dyn Index,
    ops: &mut Vec<Op>,
    number: u64,
    observations: &Observations,
) -> Result<(), IndexError> {
    let mut row = stream_row(index, &observations.stream)?;
    let run: Option<RunRow> = get(index, &key::run(&observations.stream, observations.run))?;
    let at = run.map(|run| run.ended).ok_or_else(|| {
        IndexError(format!("entry {number} judges run #{}, which the index does not hold", observations.run))
    })?;
    row.look(&observations.checks);
    row.observed = Some(match (observations.same_as, row.observed) {
        (Some(rows_in), Some(before)) if before.rows_in == rows_in => {
            ObservedRow { entry: number, run: observations.run, at, ..before }
        }
        (Some(rows_in), _) => {
            return Err(IndexError(format!("entry {number} repeats #{rows_in}, which is not the stream's latest")));
        }
        (None, _) => ObservedRow {
            entry: number,
            rows_in: number,
            run: observations.run,
            at,
            manifest: observations.manifest.clone(),
            checks: observations.checks.clone(),
        },
    });
    put_stream(ops, &row)
}

/// A slot has its outcome; schedules that ended before it owe nothing any more.
fn settle(row: &mut StreamRow, slot: Slot) {
    row.last_slot = row.last_slot.max(Some(slot));
    let over = row.schedules.iter().skip(1).take_while(|next| next.from < slot.0).count();
    row.schedules.drain(..over);
}

fn count(row: &mut StreamRow, kind: usize, by: u64) {
    if let Some(counter) = row.outcomes.get_mut(kind) {
        *counter += by;
    }
}

/// The row of a stream, or a new one.
pub fn stream_row(index: &dyn Index, stream: &StreamId) -> Result<StreamRow, IndexError> {
    Ok(get(index, &key::stream(stream))?.unwrap_or_else(|| StreamRow::new(stream.clone())))
}

/// Reads a row.
pub fn get<T: DeserializeOwned>(index: &dyn Index, key: &[u8]) -> Result<Option<T>, IndexError> {
    index.get(key)?.map(|bytes| read(&bytes)).transpose()
}

/// Reads a row's bytes.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, IndexError> {
    serde_json::from_slice(bytes).map_err(|e| IndexError(format!("a row does not read: {e}")))
}

fn put<T: Serialize>(ops: &mut Vec<Op>, key: Vec<u8>, row: &T) -> Result<(), IndexError> {
    let bytes = serde_json::to_vec(row).map_err(|e| IndexError(format!("a row does not write: {e}")))?;
    ops.push(Op::Put(key, bytes));
    Ok(())
}

fn put_stream(ops: &mut Vec<Op>, row: &StreamRow) -> Result<(), IndexError> {
    put(ops, key::stream(&row.stream), row)
}

fn put_change(ops: &mut Vec<Op>, number: u64) {
    ops.push(Op::Put(key::change(number), Vec::new()));
}
