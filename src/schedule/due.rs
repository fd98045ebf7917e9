//! The decision: what to do now with one stream, and why.

use domain::entry::MissedReason;
use domain::{Slot, Timestamp, Trigger};

use super::stream::Owed;
use super::{OpenIntent, SlotRange, StreamState};

/// What to do now. Do it, record it, tell the [`StreamState`], and ask again; at most one thing at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// An earlier process died during this run: record a failed run, interrupted; then [`StreamState::interrupted`].
    Interrupted(OpenIntent),
    /// Nobody ran these slots, and it is too late for them: record them; then [`StreamState::missed`].
    Missed(SlotRange, MissedReason),
    /// Start a run: record the intent; then [`StreamState::started`], and [`StreamState::ended`] when it is recorded.
    Start(Trigger),
    /// Nothing, until this moment or until something is asked for.
    Wait(Timestamp, Waiting),
    /// Nothing, until something is asked for: no slot will ever come.
    Idle(Waiting),
}

/// What a stream waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Its next slot, whose start is spread a little behind it.
    NextSlot(Slot),
    /// The end of the run that is going on; this slot is missed unless the run ends in time.
    RunToEnd(Option<Slot>),
    /// The clock was set back: these slots had their outcomes already, and none is given twice.
    ClockToCatchUp(Slot),
    /// It has no schedule any more.
    NoSchedule,
}

/// Decides what to do with a stream.
///
/// A slot may start from its jitter on until its lateness has passed, so that a short restart or a run that takes a
/// little long loses nothing. What was lost is named before anything starts; after a pause one catch-up run without a
/// slot makes up for all that were lost.
pub fn due(state: &StreamState, now: Timestamp) -> Decision {
    if let Some(open) = state.open {
        return Decision::Interrupted(open);
    }
    let owed = state.owed();
    if let Some((range, reason)) = owed.as_ref().and_then(|owed| lost(state, owed, now)) {
        return Decision::Missed(range, reason);
    }
    let slot = owed.as_ref().map(|owed| owed.slot);
    if state.running.is_some() {
        let waiting = Waiting::RunToEnd(slot.filter(|slot| slot.0 <= now));
        // Wake when the slot is lost to the run, so that the loss is recorded while it happens.
        return match owed {
            Some(owed) => Decision::Wait(owed.slot.0.plus(owed.schedule.lateness()), waiting),
            None => Decision::Idle(waiting),
        };
    }
    let start = owed.as_ref().map(|owed| owed.slot.0.plus(owed.schedule.jitter(&state.stream)));
    match (slot, start) {
        // Of a stream taken out of the settings nothing can be run; what it owes is recorded when it is lost.
        _ if state.schedule().is_none() => match owed {
            Some(owed) => Decision::Wait(owed.slot.0.plus(owed.schedule.lateness()), Waiting::NoSchedule),
            None => Decision::Idle(Waiting::NoSchedule),
        },
        (Some(slot), Some(start)) if start <= now => Decision::Start(Trigger::Slot(slot)),
        _ if state.manual => Decision::Start(Trigger::Manual),
        _ if state.event => Decision::Start(Trigger::Event),
        // The slot's own run is about to start and makes up for what was lost as well.
        _ if state.catch_up && slot.is_none_or(|slot| slot.0 > now) => Decision::Start(Trigger::CatchUp),
        (Some(slot), Some(start)) => set_back(state, now).unwrap_or(Decision::Wait(start, Waiting::NextSlot(slot))),
        _ => Decision::Idle(Waiting::NoSchedule),
    }
}

/// The slots that it is too late for, as far as they share a reason.
///
/// The reason is what stood in the way at a slot's last chance, the moment when its lateness had passed. Where several
/// things did, time that never passed comes first, since no run could have used it; then what kept the stream from
/// starting; then its own run. When nothing is known to have stood in the way, nobody was there.
fn lost(state: &StreamState, owed: &Owed<'_>, now: Timestamp) -> Option<(SlotRange, MissedReason)> {
    let lateness = owed.schedule.lateness();
    let millisecond = domain::Duration::from_millis(1);
    let leapt = state.leapt.map(|(expected, shown)| (expected.plus(millisecond), shown, MissedReason::ClockStepped));
    let held = state.held.map(|(since, why)| (since, now, why));
    let busy = state.running.map(|started| (started, now)).or(state.last_run);
    let busy = busy.map(|(started, ended)| (started, ended, MissedReason::StillRunning));
    // What follows holds for the slots whose last chance lies up to here.
    let mut through = owed.until.map_or(now, |until| until.plus(lateness).min(now));
    let last_chance = owed.slot.0.plus(lateness);
    let mut reason = MissedReason::NotRunning;
    for (from, to, why) in [leapt, held, busy].into_iter().flatten() {
        if from <= last_chance && last_chance <= to {
            (through, reason) = (through.min(to), why);
            break;
        }
        if last_chance < from {
            through = through.min(from.minus(millisecond));
        }
    }
    let after = Timestamp::from_millis(owed.slot.0.millis().saturating_sub(1));
    owed.schedule.slots_within(after, through.minus(lateness)).map(|range| (range, reason))
}

/// After the clock was set back by two slots or more: evidence must not stop until time has come round again, so the
/// hours that come twice get runs without a slot, one at each slot that passes.
fn set_back(state: &StreamState, now: Timestamp) -> Option<Decision> {
    let (schedule, settled) = (state.schedule()?, state.settled?);
    let next = schedule.next_after(now)?;
    if schedule.next_after(next.0)? > settled {
        return None;
    }
    let since = match state.last_run {
        Some((started, _)) if started <= now => started,
        // The last run lies in the future: the clock was set back since.
        _ => return Some(Decision::Start(Trigger::CatchUp)),
    };
    let again = schedule.next_after(since)?;
    let start = again.0.plus(schedule.jitter(&state.stream));
    Some(match start <= now {
        true => Decision::Start(Trigger::CatchUp),
        false => Decision::Wait(start, Waiting::ClockToCatchUp(again)),
    })
}
