//! The decision, case by case: what happened before, the time, and what is to be done now.

use domain::entry::{Fact, MissedReason, Schedule as Scheduled};
use domain::{GapReason, Slot, StreamId, Timestamp, Trigger};

use super::walk_tests;
use super::{Decision, OpenIntent, Resumed, Schedule, SlotRange, StreamState, Waiting, due};

/// A time of 1 July 2026, UTC.
fn at(time: &str) -> Timestamp {
    format!("2026-07-01T{time}Z").parse().unwrap()
}

fn slot(time: &str) -> Slot {
    Slot(at(time))
}

fn missed(first: &str, last: &str, count: u64, reason: MissedReason) -> Decision {
    Decision::Missed(SlotRange { first: slot(first), last: slot(last), count }, reason)
}

fn stream() -> StreamId {
    "keycloak:acme/realm".parse().unwrap()
}

/// A quarter of an hour: this stream starts 45.156 s after its slot, and at most 7 min 30 s after it.
fn quarter() -> Schedule {
    Schedule::parse("*/15 * * * *", None).unwrap()
}

/// First scheduled at 10:05, with the slot of 10:15 run from 10:15:46 to 10:16.
fn state() -> StreamState {
    let mut state = StreamState::new(stream(), quarter(), at("10:05:00"));
    state.started(Trigger::Slot(slot("10:15:00")), at("10:15:46"));
    state.ended(at("10:16:00"));
    state
}

/// The same as the ledger would have it.
fn known() -> Resumed {
    Resumed {
        schedules: vec![(Some(quarter()), at("10:05:00"))],
        settled: Some(slot("10:15:00")),
        last_run: Some((at("10:15:46"), at("10:16:00"))),
        ..Resumed::default()
    }
}

/// Records what is due until something starts or is waited for; returns all decisions.
fn decisions(state: &mut StreamState, now: Timestamp) -> Vec<Decision> {
    let mut made = Vec::new();
    loop {
        let decision = due(state, now);
        made.push(decision);
        match decision {
            Decision::Missed(range, reason) => state.missed(range, reason),
            Decision::Interrupted(_) => state.interrupted(),
            Decision::Start(trigger) => {
                state.started(trigger, now);
                return made;
            }
            Decision::Wait(..) | Decision::Idle(_) => return made,
        }
    }
}

#[test]
fn a_slot_starts_after_its_jitter_and_never_before() {
    let state = state();
    let next = Decision::Wait(at("10:30:45.156"), Waiting::NextSlot(slot("10:30:00")));
    assert_eq!(due(&state, at("10:16:00")), next);
    assert_eq!(due(&state, at("10:30:00")), next);
    assert_eq!(due(&state, at("10:30:45.155")), next);
    assert_eq!(due(&state, at("10:30:45.156")), Decision::Start(Trigger::Slot(slot("10:30:00"))));
}

#[test]
fn a_slot_may_start_late_by_half_its_period_and_is_missed_from_then_on() {
    let state = state();
    assert_eq!(due(&state, at("10:37:29.999")), Decision::Start(Trigger::Slot(slot("10:30:00"))));
    assert_eq!(due(&state, at("10:37:30")), missed("10:30:00", "10:30:00", 1, MissedReason::NotRunning));
}

#[test]
fn after_a_long_pause_all_slots_in_between_are_one_range_and_one_run_catches_up() {
    let mut state = StreamState::resume(stream(), known());
    assert_eq!(
        decisions(&mut state, at("14:10:00")),
        [missed("10:30:00", "14:00:00", 15, MissedReason::NotRunning), Decision::Start(Trigger::CatchUp)]
    );
    state.ended(at("14:11:00"));
    let next = Decision::Wait(at("14:15:45.156"), Waiting::NextSlot(slot("14:15:00")));
    assert_eq!(decisions(&mut state, at("14:11:00")), [next]);
}

#[test]
fn a_slot_that_is_about_to_start_makes_up_for_a_pause_as_well() {
    let mut state = StreamState::resume(stream(), known());
    assert_eq!(
        decisions(&mut state, at("14:00:20")),
        [
            missed("10:30:00", "13:45:00", 14, MissedReason::NotRunning),
            Decision::Wait(at("14:00:45.156"), Waiting::NextSlot(slot("14:00:00"))),
        ]
    );
    assert_eq!(decisions(&mut state, at("14:00:46")), [Decision::Start(Trigger::Slot(slot("14:00:00")))]);
    state.ended(at("14:01:00"));
    assert!(matches!(due(&state, at("14:01:00")), Decision::Wait(..)), "one run is enough");
}

#[test]
fn a_short_restart_loses_nothing() {
    let mut state = StreamState::resume(stream(), known());
    assert_eq!(decisions(&mut state, at("10:33:00")), [Decision::Start(Trigger::Slot(slot("10:30:00")))]);
}

#[test]
fn a_catch_up_that_a_crash_prevented_is_made_after_the_next_start() {
    let mut state = StreamState::resume(stream(), Resumed { catch_up: true, ..known() });
    assert_eq!(decisions(&mut state, at("10:20:00")), [Decision::Start(Trigger::CatchUp)]);
}

#[test]
fn slots_that_come_while_a_run_goes_on_are_missed_when_it_lasts_too_long() {
    let mut state = state();
    state.started(Trigger::Slot(slot("10:30:00")), at("10:31:00"));
    let until = |time, waiting| vec![Decision::Wait(at(time), Waiting::RunToEnd(waiting))];
    assert_eq!(decisions(&mut state, at("10:31:00")), until("10:52:30", None));
    assert_eq!(decisions(&mut state, at("10:46:00")), until("10:52:30", Some(slot("10:45:00"))));
    let lost = missed("10:45:00", "10:45:00", 1, MissedReason::StillRunning);
    assert_eq!(decisions(&mut state, at("10:52:30")), [vec![lost], until("11:07:30", None)].concat());
    state.ended(at("11:05:00"));
    let late = Decision::Start(Trigger::Slot(slot("11:00:00")));
    assert_eq!(decisions(&mut state, at("11:05:00")), [late], "a run that ends in time loses nothing");
}

#[test]
fn slots_lost_to_a_run_and_slots_lost_to_a_pause_after_it_are_told_apart() {
    let last_run = Some((at("10:15:46"), at("10:50:00")));
    let mut state = StreamState::resume(stream(), Resumed { last_run, ..known() });
    assert_eq!(
        decisions(&mut state, at("11:24:00")),
        [
            missed("10:30:00", "10:30:00", 1, MissedReason::StillRunning),
            missed("10:45:00", "11:15:00", 3, MissedReason::NotRunning),
            Decision::Start(Trigger::CatchUp),
        ]
    );
}

#[test]
fn a_run_that_an_earlier_process_left_open_is_ended_first() {
    for (trigger, missed_after) in [
        (Trigger::Slot(slot("10:30:00")), missed("10:45:00", "11:00:00", 2, MissedReason::NotRunning)),
        (Trigger::Manual, missed("10:30:00", "11:00:00", 3, MissedReason::NotRunning)),
    ] {
        let open = OpenIntent { entry: 9, trigger };
        let mut state = StreamState::resume(stream(), Resumed { open: Some(open), ..known() });
        assert_eq!(
            decisions(&mut state, at("11:10:00")),
            [Decision::Interrupted(open), missed_after, Decision::Start(Trigger::CatchUp)]
        );
    }
}

#[test]
fn an_interrupted_run_keeps_no_later_slot_from_starting() {
    // Recorded as failed when the daemon came back at 11:10: what was lost in between was lost to its absence.
    let trigger = Trigger::Slot(slot("10:15:00"));
    let facts = [
        walk_tests::scheduled(Some(&quarter()), at("10:05:00")),
        walk_tests::intent(trigger),
        walk_tests::run(1, trigger, at("10:15:46"), at("11:10:00"), Some(GapReason::Interrupted)),
    ];
    let known = Resumed::from_entries(&stream(), (0..).zip(&facts)).unwrap().unwrap();
    let mut state = StreamState::resume(stream(), known);
    assert_eq!(
        decisions(&mut state, at("11:10:00")),
        [missed("10:30:00", "11:00:00", 3, MissedReason::NotRunning), Decision::Start(Trigger::CatchUp)]
    );
}

#[test]
fn run_now_starts_at_once_or_when_the_run_that_goes_on_has_ended() {
    let mut state = state();
    state.request(Trigger::Manual);
    state.request(Trigger::Manual);
    assert_eq!(
        decisions(&mut state, at("10:20:00")),
        [Decision::Start(Trigger::Manual)],
        "asking twice is asking once"
    );
    state.request(Trigger::Manual);
    state.request(Trigger::Event);
    assert!(matches!(due(&state, at("10:21:00")), Decision::Wait(_, Waiting::RunToEnd(None))));
    state.ended(at("10:22:00"));
    assert_eq!(decisions(&mut state, at("10:22:00")), [Decision::Start(Trigger::Manual)]);
    state.ended(at("10:23:00"));
    let next = Decision::Wait(at("10:30:45.156"), Waiting::NextSlot(slot("10:30:00")));
    assert_eq!(due(&state, at("10:23:00")), next, "the event was answered by the same run; the slot stays as it was");
}

#[test]
fn a_slots_run_answers_an_event_but_not_a_person() {
    let mut state = state();
    state.request(Trigger::Event);
    state.request(Trigger::Manual);
    assert_eq!(decisions(&mut state, at("10:31:00")), [Decision::Start(Trigger::Slot(slot("10:30:00")))]);
    state.ended(at("10:32:00"));
    assert_eq!(decisions(&mut state, at("10:32:00")), [Decision::Start(Trigger::Manual)]);
    state.ended(at("10:33:00"));
    assert!(matches!(due(&state, at("10:33:00")), Decision::Wait(..)));
}

#[test]
fn a_clock_set_forward_makes_its_slots_missed_and_one_run_catches_up() {
    let mut state = state();
    state.stepped(at("10:20:00"), at("20:10:00"));
    assert_eq!(
        decisions(&mut state, at("20:10:00")),
        [missed("10:30:00", "20:00:00", 39, MissedReason::ClockStepped), Decision::Start(Trigger::CatchUp)]
    );
}

#[test]
fn slots_that_a_leap_of_the_clock_took_are_told_apart_from_those_before_and_after_it() {
    let mut state = state();
    state.started(Trigger::Manual, at("10:29:00"));
    // The run lasts past 10:45 and past the leap; nobody is there for a while after it.
    state.stepped(at("10:54:00"), at("12:55:00"));
    state.ended(at("12:56:00"));
    assert_eq!(
        decisions(&mut state, at("13:40:00")),
        [
            missed("10:30:00", "10:45:00", 2, MissedReason::StillRunning),
            missed("11:00:00", "12:45:00", 8, MissedReason::ClockStepped),
            missed("13:00:00", "13:30:00", 3, MissedReason::NotRunning),
            Decision::Start(Trigger::CatchUp),
        ]
    );
    let mut back = StreamState::resume(stream(), known());
    back.stepped(at("10:20:00"), at("12:00:00"));
    back.stepped(at("12:01:00"), at("10:25:00"));
    let lost = missed("10:30:00", "10:30:00", 1, MissedReason::NotRunning);
    assert_eq!(due(&back, at("10:40:00")), lost, "set back again, the time between does come");
}

#[test]
fn a_stream_that_may_not_start_says_what_held_it_back_and_makes_up_for_it() {
    for why in [MissedReason::HeldBack, MissedReason::DiskFull, MissedReason::NoIndex] {
        let mut state = state();
        let start = Decision::Start(Trigger::Slot(slot("10:30:00")));
        assert_eq!(due(&state, at("10:31:00")), start);
        state.hold(why, at("10:31:00"));
        assert_eq!(due(&state, at("10:33:00")), start, "it is asked again");
        state.hold(why, at("10:33:00"));
        assert_eq!(
            decisions(&mut state, at("11:20:00")),
            [missed("10:30:00", "11:00:00", 3, why), Decision::Start(Trigger::Slot(slot("11:15:00")))]
        );
        state.ended(at("11:21:00"));
        // What held it back then is no reason for what comes later.
        assert_eq!(
            due(&state, at("11:55:00")),
            missed("11:30:00", "11:45:00", 2, MissedReason::NotRunning),
            "{why:?} is over"
        );
    }
}

#[test]
fn a_run_that_cannot_be_recorded_for_want_of_room_does_not_look_as_if_it_went_on() {
    let mut state = state();
    state.started(Trigger::Slot(slot("10:30:00")), at("10:31:00"));
    state.hold(MissedReason::DiskFull, at("10:32:00"));
    let waits = Decision::Wait(at("11:22:30"), Waiting::RunToEnd(Some(slot("11:15:00"))));
    let lost = missed("10:45:00", "11:00:00", 2, MissedReason::DiskFull);
    assert_eq!(decisions(&mut state, at("11:16:00")), [lost, waits]);
}

#[test]
fn what_is_lost_before_the_hold_keeps_its_own_reason() {
    let mut state = StreamState::resume(stream(), known());
    state.hold(MissedReason::DiskFull, at("11:00:00"));
    assert_eq!(
        decisions(&mut state, at("11:24:00")),
        [
            missed("10:30:00", "10:45:00", 2, MissedReason::NotRunning),
            missed("11:00:00", "11:15:00", 2, MissedReason::DiskFull),
            Decision::Start(Trigger::CatchUp),
        ]
    );
}

#[test]
fn a_clock_set_back_gives_no_slot_twice_and_evidence_goes_on_without_slots() {
    let mut state = state();
    // Ten minutes back: the next slot is still ahead.
    assert!(
        matches!(due(&state, at("10:06:00")), Decision::Wait(_, Waiting::NextSlot(next)) if next == slot("10:30:00"))
    );
    // Two hours back.
    assert_eq!(decisions(&mut state, at("08:16:00")), [Decision::Start(Trigger::CatchUp)]);
    state.ended(at("08:17:00"));
    let again = Decision::Wait(at("08:30:45.156"), Waiting::ClockToCatchUp(slot("08:30:00")));
    assert_eq!(decisions(&mut state, at("08:17:00")), [again]);
    assert_eq!(decisions(&mut state, at("08:30:46")), [Decision::Start(Trigger::CatchUp)]);
    state.ended(at("08:31:00"));
    assert_eq!(decisions(&mut state, at("10:31:00")), [Decision::Start(Trigger::Slot(slot("10:30:00")))]);
}

#[test]
fn when_the_schedule_changes_the_slots_of_the_old_one_up_to_the_change_stay_owed() {
    let mut state = state();
    let hourly = Schedule::parse("0 * * * *", None).unwrap();
    // The change comes at the very moment of a slot.
    assert_eq!(state.change_schedule(Some(hourly.clone()), at("10:30:00")), at("10:30:00"));
    let old = Decision::Wait(at("10:30:45.156"), Waiting::NextSlot(slot("10:30:00")));
    assert_eq!(due(&state, at("10:30:00")), old);
    assert_eq!(decisions(&mut state, at("10:31:00")), [Decision::Start(Trigger::Slot(slot("10:30:00")))]);
    state.ended(at("10:32:00"));
    let new = Decision::Wait(at("11:00:00").plus(hourly.jitter(&stream())), Waiting::NextSlot(slot("11:00:00")));
    assert_eq!(decisions(&mut state, at("10:50:00")), [new], "10:45 is no slot any more");
    assert_eq!(state.schedule(), Some(&hourly));
}

#[test]
fn a_schedule_that_changed_while_the_daemon_was_away_owes_the_old_slots_first() {
    let mut state = StreamState::resume(stream(), known());
    let hourly = Schedule::parse("0 * * * *", None).unwrap();
    state.change_schedule(Some(hourly), at("12:40:00"));
    assert_eq!(
        decisions(&mut state, at("12:40:00")),
        [missed("10:30:00", "12:30:00", 9, MissedReason::NotRunning), Decision::Start(Trigger::CatchUp)]
    );
}

#[test]
fn a_change_after_the_clock_was_set_back_begins_behind_what_is_settled() {
    let mut state = state();
    assert_eq!(state.change_schedule(Some(quarter()), at("09:00:00")), at("10:15:00"));
}

#[test]
fn a_stream_taken_out_of_the_settings_owes_what_was_lost_and_nothing_more() {
    let mut state = state();
    // The slot of 10:45 has come and could still have started.
    assert_eq!(state.change_schedule(None, at("10:46:00")), at("10:38:30"));
    state.request(Trigger::Manual);
    assert_eq!(
        decisions(&mut state, at("10:46:00")),
        [missed("10:30:00", "10:30:00", 1, MissedReason::NotRunning), Decision::Idle(Waiting::NoSchedule)]
    );
    // Back again.
    state.change_schedule(Some(quarter()), at("10:50:00"));
    assert_eq!(decisions(&mut state, at("10:50:00")), [Decision::Start(Trigger::Manual)]);
}

#[test]
fn a_new_stream_may_be_asked_for_its_first_look_at_once() {
    let mut state = StreamState::new(stream(), quarter(), at("10:05:00"));
    assert!(matches!(due(&state, at("10:05:00")), Decision::Wait(..)));
    state.request(Trigger::CatchUp);
    assert_eq!(decisions(&mut state, at("10:05:00")), [Decision::Start(Trigger::CatchUp)]);
}

#[test]
fn a_join_waits_while_a_first_look_or_a_look_after_a_pause_is_still_to_come_or_going_on_and_for_nothing_else() {
    let first = || {
        let mut state = StreamState::new(stream(), quarter(), at("10:05:00"));
        state.request(Trigger::CatchUp);
        state
    };
    // A first look: asked for, going on, done.
    let mut state = first();
    assert!(state.catches_up());
    state.started(Trigger::CatchUp, at("10:05:00"));
    assert!(state.catches_up());
    state.ended(at("10:05:02"));
    assert!(!state.catches_up());
    // A slot that comes first is the first look.
    let mut state = first();
    state.started(Trigger::Slot(slot("10:15:00")), at("10:15:46"));
    assert!(state.catches_up());
    state.ended(at("10:16:00"));
    assert!(!state.catches_up());
    // After a pause: slots were missed, and a run makes up for them.
    let mut state = StreamState::resume(stream(), known());
    assert!(!state.catches_up());
    assert_eq!(decisions(&mut state, at("12:09:00")).last(), Some(&Decision::Start(Trigger::CatchUp)));
    assert!(state.catches_up());
    state.ended(at("12:09:10"));
    assert!(!state.catches_up());
    // A run that a crash left open is not over until it is recorded as broken off, and then made up for.
    let open = Some(OpenIntent { entry: 7, trigger: Trigger::Manual });
    let mut state = StreamState::resume(stream(), Resumed { open, ..known() });
    assert!(state.catches_up());
    state.interrupted();
    assert!(state.catches_up());
    // Neither an ordinary run nor one that a person or an event asked for is waited for; nor is a stream that was taken
    // out of the settings, whose look would never come.
    for trigger in [Trigger::Slot(slot("10:30:00")), Trigger::Manual, Trigger::Event] {
        let mut state = self::state();
        state.request(trigger);
        state.started(trigger, at("10:30:50"));
        assert!(!state.catches_up(), "{trigger:?}");
    }
    let mut state = first();
    state.change_schedule(None, at("10:06:00"));
    assert!(!state.catches_up());
}

#[test]
fn cron_fields_without_a_next_slot_leave_the_stream_idle() {
    let late: Timestamp = "2100-12-31T23:59:00Z".parse().unwrap();
    let mut state = StreamState::new(stream(), quarter(), late);
    state.started(Trigger::Manual, late);
    assert_eq!(due(&state, late), Decision::Idle(Waiting::RunToEnd(None)));
    state.ended(late);
    assert_eq!(due(&state, late), Decision::Idle(Waiting::NoSchedule));
}

#[test]
fn a_schedule_in_the_ledger_that_cannot_be_read_is_an_error() {
    let fact = Fact::Schedule(Scheduled {
        stream: stream(),
        expression: Some("whenever".to_owned()),
        zone: None,
        from: at("10:05:00"),
    });
    assert!(Resumed::from_entries(&stream(), [(1, &fact)]).is_err());
    let other: StreamId = "keycloak:acme/people".parse().unwrap();
    assert_eq!(Resumed::from_entries(&other, [(1, &fact)]), Ok(None));
}
