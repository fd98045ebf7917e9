//! Whether the disk has room to keep evidence, and the wait for it.
//!
//! Too little room is a state of the daemon and not the end of it: no run begins, a run that ended is recorded and judged
//! once there is room, and slots lost meanwhile say so. Readiness, metrics and log tell it at once, and the ledger,
//! and with it pages and alerts, as soon as it takes the entry, which it does while the reserve lasts
//! ([`store::LEAST_ROOM`]).

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::entry::{Fact, Room as RoomFact};
use domain::{Duration, Timestamp};
use store::{LEAST_ROOM, Read, Store, StoreError};

/// What is known of the room on the disk.
#[derive(Default)]
pub struct Room(Mutex<State>);

#[derive(Default)]
struct State {
    /// What is missing, in words, while there is too little.
    missing: Option<String>,
    /// The disk refused something although it says that it has room: it is believed again from then on.
    doubted_until: Option<Timestamp>,
}

/// A step from one state to the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// There is too little room from here on, and what is missing.
    Lost(String),
    /// There is room again.
    Back,
}

/// Above the least room by this much there is room again, so that evidence kept just then does not end it at once.
const MARGIN: u64 = LEAST_ROOM / 4;
/// After a refusal of the disk itself, a full quota for example, nothing is tried for this long.
const DOUBT: Duration = Duration::from_secs(30);

impl Room {
    /// What is missing, in words, while there is too little room.
    pub fn missing(&self) -> Option<String> {
        self.state().missing.clone()
    }

    /// So many bytes are free now. Returns the step that this makes, if it makes one.
    pub fn look(&self, free: u64, now: Timestamp) -> Option<Step> {
        let mut state = self.state();
        if state.doubted_until.is_some_and(|until| now < until) {
            return None;
        }
        state.doubted_until = None;
        let missing = Store::room_in(free).err();
        match (&state.missing, missing) {
            (None, Some(why)) => {
                state.missing = Some(why.clone());
                Some(Step::Lost(why))
            }
            (Some(_), None) if free >= LEAST_ROOM + MARGIN => {
                state.missing = None;
                Some(Step::Back)
            }
            (Some(_), Some(why)) => {
                state.missing = Some(why);
                None
            }
            _ => None,
        }
    }

    /// The store refused something for want of room, and so many bytes are free now. Returns the step that this makes, if
    /// it makes one.
    pub fn refused(&self, why: &str, free: u64, now: Timestamp) -> Option<Step> {
        if Store::room_in(free).is_err() {
            return self.look(free, now);
        }
        let mut state = self.state();
        state.doubted_until = Some(now.plus(DOUBT));
        let before = state.missing.replace(why.to_owned());
        before.is_none().then(|| Step::Lost(why.to_owned()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings the ledger in line with what is known of the room. Where the ledger itself has none, that is tried again with
/// the next look.
pub fn record(store: &Store, room: &Room) -> Result<bool, StoreError> {
    let _decided_once = store.deciding();
    let said: Option<store::rows::RoomRow> = store::fold::get(store.index().as_ref(), store::rows::key::ROOM)
        .map_err(|e| StoreError::Stopped(e.to_string()))?;
    let missing = room.missing();
    let opened_by = said.filter(|row| row.lost).map(|row| row.opened_by);
    let fact = match (missing, opened_by) {
        (Some(detail), None) => RoomFact { lost: true, detail, opened_by: None },
        (None, Some(opened_by)) => {
            let detail = "there is room to keep evidence again".to_owned();
            RoomFact { lost: false, detail, opened_by: Some(opened_by) }
        }
        _ => return Ok(false),
    };
    match store.record_one(Fact::Room(fact)) {
        Ok(_) => Ok(true),
        Err(StoreError::DiskFull(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn room_is_lost_once_and_comes_back_with_some_to_spare() {
        let room = Room::default();
        assert_eq!(room.look(LEAST_ROOM, at(0)), None);
        let why = "127 MiB are free, and 128 MiB are needed to keep evidence";
        assert_eq!(room.look(LEAST_ROOM - 1, at(1)), Some(Step::Lost(why.into())));
        assert_eq!(room.look(5 << 20, at(2)), None, "it is told once");
        assert!(room.missing().unwrap().starts_with("5 MiB are free"), "with the figure of now");
        assert_eq!(room.look(LEAST_ROOM, at(3)), None, "a run would fill it at once");
        assert_eq!(room.look(LEAST_ROOM + MARGIN, at(4)), Some(Step::Back));
        assert_eq!(room.missing(), None);
    }

    #[test]
    fn a_disk_that_refuses_although_it_says_it_has_room_is_not_asked_at_once_again() {
        let room = Room::default();
        let free = 1 << 40;
        assert_eq!(room.refused("the quota is used up", free, at(0)), Some(Step::Lost("the quota is used up".into())));
        assert_eq!(room.refused("the quota is used up", free, at(5)), None);
        assert_eq!(room.look(free, at(34)), None);
        assert_eq!(room.missing().as_deref(), Some("the quota is used up"));
        assert_eq!(room.look(free, at(35)), Some(Step::Back));
    }
}
