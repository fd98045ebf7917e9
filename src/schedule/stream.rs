//! What is known of one stream: its schedules, which slots have been seen to, and what is asked of it.

use domain::entry::{Fact, MissedReason};
use domain::{GapReason, Slot, StreamId, Timestamp, Trigger};

use super::{Schedule, ScheduleError, SlotRange};

/// An intent in the ledger that no run followed: the process died in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenIntent {
    /// The entry.
    pub entry: u64,
    /// Why it ran.
    pub trigger: Trigger,
}

/// What the ledger knows of one stream, in plain data.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Resumed {
    /// The schedules it has had, oldest first, each with the moment after which its slots are due; `None` where it was
    /// taken out of the settings. Those whose slots all have outcomes may be left out.
    pub schedules: Vec<(Option<Schedule>, Timestamp)>,
    /// The latest slot that has an outcome.
    pub settled: Option<Slot>,
    /// The last intent, when no run followed it.
    pub open: Option<OpenIntent>,
    /// Start and end of the last run.
    pub last_run: Option<(Timestamp, Timestamp)>,
    /// Slots were missed, or a run was interrupted, and nothing ran since.
    pub catch_up: bool,
}

impl Resumed {
    /// Gathers it from the entries of the ledger, in order, with their positions. Entries of other streams are passed
    /// over; `None` when the stream has no schedule there.
    ///
    /// # Errors
    /// An expression or a zone that this version cannot read.
    pub fn from_entries<'a>(
        stream: &StreamId,
        entries: impl IntoIterator<Item = (u64, &'a Fact)>,
    ) -> Result<Option<Resumed>, ScheduleError> {
        let mut resumed = Resumed::default();
        for (entry, fact) in entries {
            resumed.take_in(stream, entry, fact)?;
        }
        Ok(Some(resumed).filter(|resumed| !resumed.schedules.is_empty()))
    }

    /// Takes in the next entry of the ledger.
    ///
    /// # Errors
    /// An expression or a zone that this version cannot read.
    pub fn take_in(&mut self, stream: &StreamId, entry: u64, fact: &Fact) -> Result<(), ScheduleError> {
        match fact {
            Fact::Schedule(schedule) if schedule.stream == *stream => {
                let parse = |text: &String| Schedule::parse(text, schedule.zone.as_deref());
                self.schedules.push((schedule.expression.as_ref().map(parse).transpose()?, schedule.from));
            }
            Fact::Intent(intent) if intent.stream == *stream => {
                self.open = Some(OpenIntent { entry, trigger: intent.trigger });
                self.catch_up = false;
            }
            Fact::Run(run) if run.stream == *stream => {
                self.open = self.open.filter(|open| open.entry != run.intent);
                self.settled = self.settled.max(run.trigger.slot());
                // Nobody knows when an interrupted run ended; it kept no later slot from starting.
                let interrupted = run.gaps.iter().any(|gap| gap.reason == GapReason::Interrupted);
                self.last_run = Some((run.started, if interrupted { run.started } else { run.ended }));
                self.catch_up |= interrupted;
            }
            Fact::Missed(missed) if missed.stream == *stream => {
                self.settled = self.settled.max(Some(missed.last));
                self.catch_up |= missed.reason.calls_for_catch_up();
            }
            _ => {}
        }
        Ok(())
    }
}

/// One stream as the daemon has it in mind while it runs.
///
/// The caller tells it what it has recorded; [`super::due`] decides from it. Slots are settled in order: a slot before
/// the latest settled one is never started or missed again, whatever the clock does.
#[derive(Clone, Debug)]
pub struct StreamState {
    pub(super) stream: StreamId,
    /// Oldest first, never empty.
    eras: Vec<Era>,
    /// Every slot up to here has its outcome, or a run on its way to one.
    pub(super) settled: Option<Slot>,
    pub(super) open: Option<OpenIntent>,
    pub(super) running: Option<Timestamp>,
    /// The run that is going on is a first look, or makes up for what was missed.
    catching_up: bool,
    pub(super) last_run: Option<(Timestamp, Timestamp)>,
    /// Since when it may not start, and why.
    pub(super) held: Option<(Timestamp, MissedReason)>,
    /// The last stretch of time that never passed here: what the clock should have shown, and what it showed instead.
    pub(super) leapt: Option<(Timestamp, Timestamp)>,
    pub(super) manual: bool,
    pub(super) event: bool,
    pub(super) catch_up: bool,
}

/// A schedule and the moment after which its slots are due.
#[derive(Clone, Debug)]
struct Era {
    schedule: Option<Schedule>,
    from: Timestamp,
}

/// A slot that is owed: nobody has seen to it yet.
pub(super) struct Owed<'a> {
    pub(super) slot: Slot,
    pub(super) schedule: &'a Schedule,
    /// The last moment of this schedule, when another followed.
    pub(super) until: Option<Timestamp>,
}

impl StreamState {
    /// A stream that was never scheduled before: slots after `from` are due. Record the schedule, then make this.
    pub fn new(stream: StreamId, schedule: Schedule, from: Timestamp) -> StreamState {
        let schedules = vec![(Some(schedule), from)];
        StreamState::resume(stream, Resumed { schedules, ..Resumed::default() })
    }

    /// A stream as the ledger has it, after a start of the daemon.
    pub fn resume(stream: StreamId, known: Resumed) -> StreamState {
        let eras = known.schedules.into_iter().map(|(schedule, from)| Era { schedule, from }).collect();
        let mut state = StreamState {
            stream,
            eras,
            settled: known.settled.max(known.open.and_then(|open| open.trigger.slot())),
            open: known.open,
            running: None,
            catching_up: false,
            last_run: known.last_run,
            held: None,
            leapt: None,
            manual: false,
            event: false,
            catch_up: known.catch_up,
        };
        state.forget();
        state
    }

    /// The stream.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The schedule in force; `None` when the stream was taken out of the settings.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.eras.last().and_then(|era| era.schedule.as_ref())
    }

    /// When the run that is going on began.
    pub fn running_since(&self) -> Option<Timestamp> {
        self.running
    }

    /// Whether a first look, or the run that makes up for missed slots, is still to come or going on.
    pub fn catches_up(&self) -> bool {
        self.schedule().is_some() && (self.catch_up || self.catching_up || self.open.is_some())
    }

    /// Another schedule is in force, or none any more. Returns the moment after which its slots are due, to be
    /// recorded with it: `now`, or later when slots after `now` have been settled already. Slots of the old schedule
    /// up to that moment stay owed; of a stream taken out, only those it is too late for, since it cannot run them.
    pub fn change_schedule(&mut self, schedule: Option<Schedule>, now: Timestamp) -> Timestamp {
        let ends = match (&schedule, self.schedule()) {
            (None, Some(old)) => now.minus(old.lateness()),
            _ => now,
        };
        let from = self.settled.map_or(ends, |slot| slot.0.max(ends));
        let from = self.eras.last().map_or(from, |era| era.from.max(from));
        self.eras.push(Era { schedule, from });
        self.forget();
        from
    }

    /// Asks for a run apart from the schedule: [`Trigger::Manual`] by a person, [`Trigger::Event`] by the source,
    /// [`Trigger::CatchUp`] for a first look. Asking twice before it starts is asking once; [`Trigger::Slot`] asks
    /// for nothing.
    pub fn request(&mut self, trigger: Trigger) {
        match trigger {
            Trigger::Manual => self.manual = true,
            Trigger::Event => self.event = true,
            Trigger::CatchUp => self.catch_up = true,
            Trigger::Slot(_) => {}
        }
    }

    /// The intent is recorded and the run begins. Any run is fresh evidence, so it also answers an event and a
    /// catch-up that were asked for; a person gets a run of their own.
    pub fn started(&mut self, trigger: Trigger, now: Timestamp) {
        self.running = Some(now);
        self.catching_up = self.catch_up || trigger == Trigger::CatchUp;
        self.settled = self.settled.max(trigger.slot());
        self.held = None;
        self.event = false;
        self.catch_up = false;
        self.manual &= trigger != Trigger::Manual;
        self.forget();
    }

    /// The run has ended and is recorded.
    pub fn ended(&mut self, now: Timestamp) {
        self.catching_up = false;
        if let Some(started) = self.running.take() {
            self.last_run = Some((started, now.max(started)));
        }
    }

    /// It is due and may not start, or what is due cannot be recorded: [`MissedReason::HeldBack`],
    /// [`MissedReason::DiskFull`] or [`MissedReason::NoIndex`]. Slots that are lost from the first such moment until
    /// [`StreamState::started`] or [`StreamState::released`] are lost for that reason; where several hold in turn, for the
    /// last one.
    pub fn hold(&mut self, why: MissedReason, now: Timestamp) {
        self.held = Some((self.held.map_or(now, |(since, _)| since), why));
    }

    /// Nothing keeps it from starting any more, and every slot that was lost until now is recorded.
    pub fn released(&mut self) {
        self.held = None;
    }

    /// The clock shows `shown` where it should show `expected`. Slots between them never had their time.
    pub fn stepped(&mut self, expected: Timestamp, shown: Timestamp) {
        self.leapt = (expected < shown).then_some((expected, shown));
    }

    /// The range is recorded as missed.
    pub fn missed(&mut self, range: SlotRange, reason: MissedReason) {
        self.settled = self.settled.max(Some(range.last));
        self.catch_up |= reason.calls_for_catch_up();
        self.forget();
    }

    /// The open intent is recorded as a failed run, interrupted. A catch-up run makes up for it.
    pub fn interrupted(&mut self) {
        self.open = None;
        self.catch_up = true;
    }

    /// The earliest slot that nobody has seen to.
    pub(super) fn owed(&self) -> Option<Owed<'_>> {
        (0..self.eras.len()).find_map(|place| self.owed_of(place))
    }

    fn owed_of(&self, place: usize) -> Option<Owed<'_>> {
        let era = self.eras.get(place)?;
        let until = self.eras.get(place + 1).map(|next| next.from);
        let schedule = era.schedule.as_ref()?;
        let after = self.settled.map_or(era.from, |slot| slot.0.max(era.from));
        let slot = schedule.next_after(after)?;
        until.is_none_or(|until| slot.0 <= until).then_some(Owed { slot, schedule, until })
    }

    /// Drops old schedules that owe nothing any more.
    fn forget(&mut self) {
        while self.eras.len() > 1 && self.owed_of(0).is_none() {
            self.eras.remove(0);
        }
    }
}
