//! Random walks through a daemon's life: whatever happens to it, every slot gets exactly one outcome.

use std::collections::BTreeMap;

use domain::entry::{Fact, Intent, Missed, MissedReason, Run, Schedule as Scheduled, TreeHead};
use domain::{Duration, Gap, GapReason, Outcome, Slot, StreamId, Timestamp, Trigger};
use proptest::prelude::*;

use super::{Decision, OpenIntent, Resumed, Schedule, StreamState, due};

/// What happens next, lengths in milliseconds.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes and the daemon does its work; runs take so long.
    Pass { by: u64, runs_take: u64 },
    /// Time passes and the daemon gets no processor.
    Freeze(u64),
    /// The daemon dies and comes back after a while.
    Die(u64),
    /// The clock is set back.
    SetBack(u64),
    /// The clock is set forward, and the daemon notices.
    SetForward(u64),
    /// Nothing may start for so long, and why.
    Hold(u64, MissedReason),
    /// Somebody or something asks for a run.
    Ask(Trigger),
    /// The settings change: one of [`SCHEDULES`], or none of them.
    Change(Option<usize>),
}

/// Chosen so that slots come often beside the lengths of [`event`].
const SCHEDULES: [&str; 4] = ["every: 60s", "* * * * *", "*/5 * * * *", "3-40/4 0,1,2 * * *"];

fn event() -> impl Strategy<Value = Event> {
    let length = || prop_oneof![1u64..5_000, 5_000u64..120_000, 120_000u64..3_000_000];
    prop_oneof![
        4 => (length(), length()).prop_map(|(by, runs_take)| Event::Pass { by, runs_take }),
        1 => length().prop_map(Event::Freeze),
        2 => length().prop_map(Event::Die),
        1 => (1u64..1_000_000).prop_map(Event::SetBack),
        1 => length().prop_map(Event::SetForward),
        1 => (length(), prop::sample::select(vec![MissedReason::HeldBack, MissedReason::DiskFull, MissedReason::NoIndex]))
            .prop_map(|(by, why)| Event::Hold(by, why)),
        1 => prop::sample::select(vec![Trigger::Manual, Trigger::Event, Trigger::CatchUp]).prop_map(Event::Ask),
        1 => prop::option::weighted(0.7, 0..SCHEDULES.len()).prop_map(Event::Change),
    ]
}

/// A daemon with one stream, its ledger, and the time.
struct World {
    now: Timestamp,
    ledger: Vec<Fact>,
    state: StreamState,
    /// The intent of the run that is going on, its trigger, its start, and the time left to its end.
    run: Option<(u64, Trigger, Timestamp, u64)>,
    runs_take: u64,
    held: Option<MissedReason>,
    /// When nothing might start, or when the clock leapt, and the reason that slots lost then should have.
    hindered: Vec<(Timestamp, Timestamp, MissedReason)>,
}

impl World {
    fn new(schedule: &str) -> World {
        // Half an hour before the clocks of Berlin go back.
        let now: Timestamp = "2026-10-24T23:30:00.250Z".parse().unwrap();
        let schedule = parse(schedule);
        let state = StreamState::new(stream(), schedule.clone(), now);
        let ledger = vec![scheduled(Some(&schedule), now)];
        World { now, ledger, state, run: None, runs_take: 1000, held: None, hindered: vec![] }
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Pass { by, runs_take } => {
                self.runs_take = runs_take;
                self.pass(by);
            }
            Event::Freeze(by) => self.advance(by),
            Event::Die(by) => {
                self.run = None;
                self.advance(by);
                let entries = (0..).zip(&self.ledger);
                let known = Resumed::from_entries(&stream(), entries).unwrap().unwrap();
                self.state = StreamState::resume(stream(), known);
                self.act();
            }
            Event::SetBack(by) => {
                let expected = self.now;
                self.now = self.now.minus(Duration::from_millis(by));
                self.state.stepped(expected, self.now);
            }
            Event::SetForward(by) => {
                let expected = self.now;
                self.now = self.now.plus(Duration::from_millis(by));
                self.state.stepped(expected, self.now);
                self.hindered.push((expected, self.now, MissedReason::ClockStepped));
                self.act();
            }
            Event::Hold(by, why) => {
                let from = self.now;
                self.held = Some(why);
                self.pass(by);
                self.hindered.push((from, self.now, why));
                self.held = None;
                self.act();
            }
            Event::Ask(trigger) => self.state.request(trigger),
            Event::Change(place) => {
                let schedule = place.map(|place| parse(SCHEDULES[place]));
                let from = self.state.change_schedule(schedule.clone(), self.now);
                self.ledger.push(scheduled(schedule.as_ref(), from));
            }
        }
    }

    /// Time passes from one decision to the next.
    fn pass(&mut self, by: u64) {
        let mut left = by;
        loop {
            let wait = self.act().map_or(left, |until| until.since(self.now).millis().min(left));
            let wait = self.run.map_or(wait, |(.., run_left)| wait.min(run_left));
            self.advance(wait);
            left -= wait;
            if left == 0 {
                self.act();
                return;
            }
        }
    }

    fn advance(&mut self, by: u64) {
        self.now = self.now.plus(Duration::from_millis(by));
        if let Some((.., left)) = &mut self.run {
            *left = left.saturating_sub(by);
        }
    }

    /// Does what is due, until there is nothing to do; returns when to ask again.
    fn act(&mut self) -> Option<Timestamp> {
        for _ in 0..10_000 {
            if let Some((intent, trigger, started, 0)) = self.run {
                self.run = None;
                self.ledger.push(run(intent, trigger, started, self.now.max(started), None));
                self.state.ended(self.now);
            }
            match due(&self.state, self.now) {
                Decision::Interrupted(OpenIntent { entry, trigger }) => {
                    self.ledger.push(run(entry, trigger, self.now, self.now, Some(GapReason::Interrupted)));
                    self.state.interrupted();
                }
                Decision::Missed(range, reason) => {
                    let (first, last, count) = (range.first, range.last, range.count);
                    self.ledger.push(Fact::Missed(Missed { stream: stream(), first, last, count, reason }));
                    self.state.missed(range, reason);
                }
                Decision::Start(_) if self.held.is_some() => {
                    self.held.into_iter().for_each(|why| self.state.hold(why, self.now));
                    return Some(self.now.plus(Duration::from_secs(5)));
                }
                Decision::Start(trigger) => {
                    assert!(self.run.is_none(), "two runs at once");
                    if let Trigger::Slot(slot) = trigger {
                        assert!(slot.0 <= self.now, "started before its slot");
                    }
                    let entry = self.ledger.len() as u64;
                    self.ledger.push(intent(trigger));
                    self.run = Some((entry, trigger, self.now, self.runs_take));
                    self.state.started(trigger, self.now);
                }
                Decision::Wait(until, _) => {
                    assert!(until > self.now, "waits for the past");
                    self.state.released();
                    return Some(until);
                }
                Decision::Idle(_) => return None,
            }
        }
        panic!("never comes to rest");
    }

    /// Every slot that was due, with how many outcomes it has; a slot of an outcome that was not due shows too.
    fn outcomes(&self) -> BTreeMap<Slot, Vec<String>> {
        let mut outcomes: BTreeMap<Slot, Vec<String>> = BTreeMap::new();
        let schedules: Vec<&Scheduled> = self
            .ledger
            .iter()
            .filter_map(|fact| match fact {
                Fact::Schedule(scheduled) => Some(scheduled),
                _ => None,
            })
            .collect();
        for (place, scheduled) in schedules.iter().enumerate() {
            let Some(expression) = &scheduled.expression else { continue };
            let schedule = Schedule::parse(expression, scheduled.zone.as_deref()).unwrap();
            let until = schedules.get(place + 1).map_or(self.now.minus(schedule.lateness()), |next| next.from);
            for slot in schedule.slots_between(scheduled.from, until, usize::MAX) {
                outcomes.entry(slot).or_default();
            }
        }
        for fact in &self.ledger {
            match fact {
                Fact::Run(Run { trigger: Trigger::Slot(slot), .. }) => {
                    outcomes.entry(*slot).or_default().push("run".to_owned());
                }
                Fact::Missed(missed) => {
                    let mut count = 0;
                    for (_, had) in outcomes.range_mut(missed.first..=missed.last) {
                        had.push(missed.reason.as_str().to_owned());
                        count += 1;
                    }
                    assert_eq!(count, missed.count, "{missed:?}");
                }
                _ => {}
            }
        }
        outcomes
    }
}

fn stream() -> StreamId {
    "keycloak:acme/realm".parse().unwrap()
}

fn parse(expression: &str) -> Schedule {
    Schedule::parse(expression, Some("Europe/Berlin")).unwrap()
}

pub(super) fn scheduled(schedule: Option<&Schedule>, from: Timestamp) -> Fact {
    Fact::Schedule(Scheduled {
        stream: stream(),
        expression: schedule.map(|schedule| schedule.expression().to_owned()),
        zone: schedule.and_then(|schedule| schedule.zone()).map(str::to_owned),
        from,
    })
}

pub(super) fn intent(trigger: Trigger) -> Fact {
    Fact::Intent(Intent { stream: stream(), trigger, after: TreeHead { size: 0, root: String::new() } })
}

pub(super) fn run(intent: u64, trigger: Trigger, started: Timestamp, ended: Timestamp, gap: Option<GapReason>) -> Fact {
    let gaps = gap.map(|reason| Gap {
        reason,
        call: String::new(),
        permission: None,
        types: vec![],
        fields: vec![],
        resources: 0,
        detail: String::new(),
        exchange: None,
    });
    Fact::Run(Run {
        stream: stream(),
        intent,
        prev: None,
        trigger,
        collector_version: 1,
        started,
        ended,
        outcome: if gap.is_some() { Outcome::Failed } else { Outcome::Collected },
        caller: None,
        calls: 0,
        exchanges: None,
        populations: vec![],
        changes: None,
        gaps: gaps.into_iter().collect(),
        more_gaps: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_slot_has_exactly_one_outcome(
        first in prop::sample::select(SCHEDULES.to_vec()),
        events in prop::collection::vec(event(), 1..25),
    ) {
        let mut world = World::new(first);
        world.act();
        for event in &events {
            world.happens(event);
        }
        // Let the last run end and the last slots pass; a clock that was set back comes round again.
        let latest = world.ledger.iter().filter_map(|fact| match fact {
            Fact::Schedule(scheduled) => Some(scheduled.from),
            Fact::Missed(missed) => Some(missed.last.0),
            Fact::Intent(intent) => intent.trigger.slot().map(|slot| slot.0),
            _ => None,
        });
        let behind = latest.max().unwrap_or_default().since(world.now);
        world.happens(&Event::Pass { by: 4_000_000 + behind.millis(), runs_take: 10 });
        for (slot, outcomes) in world.outcomes() {
            if slot.0 <= world.now.minus(Duration::from_secs(600)) {
                prop_assert_eq!(outcomes.len(), 1, "{}: {:?} after {:?}", slot, outcomes, events);
            } else {
                prop_assert!(outcomes.len() <= 1, "{}: {:?} after {:?}", slot, outcomes, events);
            }
        }
        prop_assert!(world.state.schedule().is_none() || !world.state.catch_up, "nothing made up for what was missed");
    }

    #[test]
    fn while_the_clock_goes_forward_the_reason_of_a_missed_slot_is_true(
        first in prop::sample::select(SCHEDULES.to_vec()),
        events in prop::collection::vec(event().prop_filter("the clock goes forward", |e| !matches!(e, Event::SetBack(_) | Event::Change(_))), 1..25),
    ) {
        let mut world = World::new(first);
        world.act();
        for event in events.iter().chain([&Event::Pass { by: 4_000_000, runs_take: 10 }]) {
            world.happens(event);
        }
        let schedule = parse(first);
        let busy_at = |t: Timestamp| world.ledger.iter().any(|fact| match fact {
            Fact::Run(run) => run.started <= t && t <= run.ended && run.gaps.is_empty(),
            _ => false,
        });
        let hindered = |t: Timestamp, why: MissedReason| {
            world.hindered.iter().any(|(from, to, reason)| *from <= t && t <= *to && *reason == why)
        };
        for fact in &world.ledger {
            let Fact::Missed(missed) = fact else { continue };
            let before = Timestamp::from_millis(missed.first.0.millis() - 1);
            for slot in schedule.slots_between(before, missed.last.0, usize::MAX) {
                let last_chance = slot.0.plus(schedule.lateness());
                match missed.reason {
                    MissedReason::NotRunning => prop_assert!(
                        !busy_at(last_chance) && !hindered(last_chance, MissedReason::ClockStepped),
                        "{} in {:?}",
                        slot,
                        missed
                    ),
                    MissedReason::ClockStepped
                    | MissedReason::HeldBack
                    | MissedReason::DiskFull
                    | MissedReason::NoIndex => {
                        prop_assert!(hindered(last_chance, missed.reason), "{} in {:?}", slot, missed);
                    }
                    // A run that was going on and then died leaves no end in the ledger.
                    MissedReason::StillRunning => {
                        let died = events.iter().any(|event| matches!(event, Event::Die(_)));
                        prop_assert!(died || busy_at(last_chance), "{} in {:?}", slot, missed);
                    }
                }
            }
        }
    }
}
