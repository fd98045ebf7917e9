//! What was told to whom, as a fold of the ledger; and, apart from it, what is being tried at the moment.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::Delivery;
use domain::{Duration, Timestamp};

use crate::notification::Notification;
use crate::receiver::SendError;

/// What the ledger knows of deliveries. Folding the same facts again, in the same order, gives the same.
///
/// It holds less than 100 bytes for every notification, which is a part of what its entry takes in the ledger.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Remembered {
    accepted: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Remembered {
    /// Takes in one fact of the ledger.
    pub fn fold(&mut self, delivery: &Delivery) {
        if delivery.accepted {
            self.refused.remove(&delivery.notification);
            self.accepted.insert(delivery.notification.clone());
        } else if !self.accepted.contains(&delivery.notification) {
            self.refused.insert(delivery.notification.clone());
        }
    }

    /// Whether the receiver took this notification.
    pub(crate) fn accepted(&self, notification: &str) -> bool {
        self.accepted.contains(notification)
    }

    /// Whether it is recorded that the receiver did not take it, so that this is recorded once.
    pub(crate) fn refusal_is_recorded(&self, notification: &str) -> bool {
        self.refused.contains(notification)
    }
}

/// What this process has tried: lost with it, without harm, for a restart just tries again.
///
/// A notification that fails waits longer and longer, and so does its receiver: while it is paused nothing goes there,
/// so a receiver that is down sees one try at a time, however much waits for it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tries {
    notifications: BTreeMap<String, Try>,
    receivers: BTreeMap<String, Pause>,
    repeated: BTreeMap<String, Timestamp>,
}

#[derive(Clone, PartialEq, Debug)]
struct Try {
    count: u32,
    next: Timestamp,
    /// Why trying is of no use any more.
    dead: Option<SendError>,
}

#[derive(Clone, PartialEq, Debug)]
struct Pause {
    failures: u32,
    until: Timestamp,
}

impl Tries {
    /// The wait after the first failure.
    pub const FIRST_WAIT: Duration = Duration::from_secs(5);
    /// The longest wait between tries: what still holds must reach people soon after their receiver is back.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

    /// The receiver took it.
    pub(crate) fn succeeded(&mut self, notification: &Notification, now: Timestamp) {
        self.notifications.remove(&notification.id);
        self.receivers.remove(&notification.receiver);
        self.repeated.insert(notification.id.clone(), now);
    }

    /// The receiver did not take it. `random` is any number; it spreads the waits over the second half of each.
    pub(crate) fn failed(&mut self, notification: &Notification, error: &SendError, random: u64, now: Timestamp) {
        let count = self.count(&notification.id).saturating_add(1);
        let wait = wait(count, random).max(error.retry_after.unwrap_or_default());
        let dead = error.permanent.then(|| error.clone());
        self.notifications.insert(notification.id.clone(), Try { count, next: now.plus(wait), dead });
        if !error.permanent {
            self.pause(&notification.receiver, error, random, now);
        }
    }

    /// The receiver cannot take anything for a while.
    pub(crate) fn pause(&mut self, receiver: &str, error: &SendError, random: u64, now: Timestamp) {
        let failures = self.receivers.get(receiver).map_or(1, |pause| pause.failures.saturating_add(1));
        let wait = wait(failures, random).max(error.retry_after.unwrap_or_default());
        self.receivers.insert(receiver.to_owned(), Pause { failures, until: now.plus(wait) });
    }

    /// How often this notification failed.
    pub(crate) fn count(&self, notification: &str) -> u32 {
        self.notifications.get(notification).map_or(0, |one| one.count)
    }

    /// When it may be tried, if not at once.
    pub(crate) fn retry_at(&self, notification: &str, receiver: &str, now: Timestamp) -> Option<Timestamp> {
        let own = self.notifications.get(notification).map(|one| one.next);
        own.max(self.receivers.get(receiver).map(|pause| pause.until)).filter(|at| *at > now)
    }

    /// Why trying is of no use any more, if it is not.
    pub(crate) fn dead(&self, notification: &str) -> Option<&SendError> {
        self.notifications.get(notification).and_then(|one| one.dead.as_ref())
    }

    /// When it was last told, by this process.
    pub(crate) fn repeated(&self, notification: &str) -> Option<Timestamp> {
        self.repeated.get(notification).copied()
    }

    /// Forgets everything about notifications that are not among these.
    pub(crate) fn keep(&mut self, ids: &BTreeSet<&str>) {
        self.notifications.retain(|id, _| ids.contains(id.as_str()));
        self.repeated.retain(|id, _| ids.contains(id.as_str()));
    }
}

/// The wait after the `count`th failure: doubling from the first to the longest, the second half of it by chance, so
/// that many waiters do not come back as one.
fn wait(count: u32, random: u64) -> Duration {
    let doubled = Tries::FIRST_WAIT.times(1u64 << count.saturating_sub(1).min(20));
    let half = doubled.min(Tries::LONGEST_WAIT).millis() / 2;
    Duration::from_millis(half + random % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread_over_their_second_half() {
        let table = [(1, 2_500, 5_000), (2, 5_000, 10_000), (5, 40_000, 80_000), (7, 150_000, 300_000)];
        for (count, least, most) in table {
            assert_eq!(wait(count, 0).millis(), least);
            assert_eq!(wait(count, most - least).millis(), most);
            for random in [1, 77, u64::MAX] {
                assert!((least..=most).contains(&wait(count, random).millis()), "{count} {random}");
            }
        }
        assert_eq!(wait(u32::MAX, 0), wait(7, 0));
    }
}
