//! The loop's body: decide, send, learn. The daemon calls it when something changed or became due.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::Delivery;
use domain::{Clock, Timestamp};
use futures::future::join_all;
use query::Alert;
use secrecy::SecretString;

use crate::config::{BuildError, Named, SecretRef, Settings};
use crate::decide::{Decision, Manner, Plan, Verdict, decide};
use crate::notification::Notification;
use crate::receiver::{Receipt, Receiver, SendError, Transport};
use crate::remember::{Remembered, Tries};

/// How many notifications one receiver is sent in one round; the rest follows in the next.
const SENDS_A_ROUND: usize = 50;

/// How many repeats go in one post.
const REPEATS_A_POST: usize = 64;

/// Everything that telling needs: the receivers, the plan, and the memory.
pub struct Dispatcher {
    receivers: Vec<Named>,
    plan: Plan,
    remembered: Remembered,
    tries: Tries,
}

/// What one round did.
#[derive(Clone, PartialEq, Debug)]
pub struct Round {
    /// What was sent, receiver by receiver, in the order of sending.
    pub sent: Vec<Sent>,
    /// The facts to record, in this order. They are remembered already.
    pub deliveries: Vec<Delivery>,
    /// How many pairs of alert and receiver got which verdict before sending, by [`Verdict::name`].
    pub verdicts: BTreeMap<&'static str, u64>,
    /// When the next round is due, if nothing changes until then.
    pub next: Option<Timestamp>,
}

/// One try of one notification.
#[derive(Clone, PartialEq, Debug)]
pub struct Sent {
    /// What was sent.
    pub notification: Notification,
    /// Whether it was a repeat, so that the receiver does not let the condition end.
    pub repeat: bool,
    /// When the try began.
    pub began: Timestamp,
    /// When the answer was there.
    pub ended: Timestamp,
    /// The answer.
    pub result: Result<Receipt, SendError>,
}

/// A notification that its receiver refuses for good, while there is something to tell.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter {
    /// The notification's id.
    pub notification: String,
    /// The receiver.
    pub receiver: String,
    /// Key of the incident.
    pub incident: String,
    /// What the receiver answered; the detail is for the operator's eyes.
    pub error: SendError,
}

impl Dispatcher {
    /// Builds the receivers. `secrets` finds the secret behind a reference and says in words why it cannot;
    /// `remembered` is the fold of all deliveries in the ledger.
    pub fn build(
        settings: &Settings,
        remembered: Remembered,
        secrets: &dyn Fn(&SecretRef) -> Result<SecretString, String>,
    ) -> Result<Self, BuildError> {
        let receivers = settings.build(secrets)?;
        let manner = |receiver: &dyn Receiver| Manner {
            repeats_every: receiver.repeats_every(),
            takes_summaries: receiver.takes_summaries(),
        };
        let manners = receivers.iter().map(|(name, receiver)| (name.clone(), manner(receiver.as_ref()))).collect();
        Ok(Dispatcher { receivers, plan: Plan::new(settings, manners), remembered, tries: Tries::default() })
    }

    /// What is to be done about these alerts now; sends nothing.
    pub fn decide<'a>(&'a self, alerts: &'a [Alert], now: Timestamp) -> Vec<Decision<'a>> {
        decide(alerts, &self.remembered, &self.tries, &self.plan, now)
    }

    /// Tells what is to be told of these alerts: all that hold, and those that ended and may still be news.
    ///
    /// Receivers are told side by side, each in order, and one that does not answer is left alone for this round. Each
    /// call of `random` gives another number, which spreads the waits after failures.
    pub async fn round(
        &mut self,
        alerts: &[Alert],
        transport: &dyn Transport,
        clock: &dyn Clock,
        random: &mut (dyn FnMut() -> u64 + Send),
    ) -> Round {
        let mut verdicts = BTreeMap::new();
        let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
        for decision in self.decide(alerts, clock.now()) {
            *verdicts.entry(decision.verdict.name()).or_default() += 1;
            match decision.verdict {
                Verdict::Send(one) => lanes.entry(one.receiver.clone()).or_default().sends.push(*one),
                Verdict::Repeat(one) => lanes.entry(one.receiver.clone()).or_default().repeats.push(*one),
                Verdict::Hold(_) => {}
            }
        }
        let under_way = self.receivers.iter().filter_map(|(name, receiver)| {
            let lane = lanes.remove(name)?;
            Some(lane.run(receiver.as_ref(), &self.tries, transport, clock))
        });
        let sent: Vec<Sent> = join_all(under_way).await.into_iter().flatten().collect();
        let deliveries = sent.iter().filter_map(|one| self.learn(one, random())).collect();
        let next = self.look_ahead(alerts, clock.now());
        Round { sent, deliveries, verdicts, next }
    }

    /// Takes in a fact of the ledger that this process did not make.
    pub fn remember(&mut self, delivery: &Delivery) {
        self.remembered.fold(delivery);
    }

    /// What the ledger knows, to build the next dispatcher when the settings change.
    pub fn into_remembered(self) -> Remembered {
        self.remembered
    }

    /// What receivers refuse for good of these alerts. After a restart they are tried once more.
    pub fn dead_letters(&self, alerts: &[Alert], now: Timestamp) -> Vec<DeadLetter> {
        let dead = |decision: Decision<'_>| {
            let notification = decision.notification?;
            let error = self.tries.dead(&notification)?.clone();
            let receiver = decision.receiver?.to_owned();
            Some(DeadLetter { notification, receiver, incident: decision.alert.key.clone(), error })
        };
        self.decide(alerts, now).into_iter().filter_map(dead).collect()
    }

    /// Learns from one try, and gives the fact to record: every acceptance, and the first refusal.
    fn learn(&mut self, sent: &Sent, random: u64) -> Option<Delivery> {
        let Sent { notification, repeat, ended, result, .. } = sent;
        let tries = self.tries.count(&notification.id).saturating_add(1);
        let delivery = match result {
            Ok(receipt) => {
                self.tries.succeeded(notification, *ended);
                (!repeat).then(|| notification.delivery(true, receipt.answer.clone(), tries))
            }
            Err(error) if *repeat => {
                self.tries.pause(&notification.receiver, error, random, *ended);
                None
            }
            Err(error) => {
                self.tries.failed(notification, error, random, *ended);
                let recorded = self.remembered.refusal_is_recorded(&notification.id);
                (!recorded).then(|| notification.delivery(false, error.to_string(), tries))
            }
        };
        if let Some(delivery) = &delivery {
            self.remembered.fold(delivery);
        }
        delivery
    }

    /// When something becomes due, and forgets tries of what no longer matters.
    fn look_ahead(&mut self, alerts: &[Alert], now: Timestamp) -> Option<Timestamp> {
        let decisions = decide(alerts, &self.remembered, &self.tries, &self.plan, now);
        let due = |decision: &Decision<'_>| match &decision.verdict {
            Verdict::Send(_) | Verdict::Repeat(_) => Some(now),
            Verdict::Hold(reason) => reason.ends_at().filter(|at| *at > now),
        };
        let next = decisions.iter().filter_map(due).min();
        let ids: BTreeSet<&str> = decisions.iter().filter_map(|decision| decision.notification.as_deref()).collect();
        self.tries.keep(&ids);
        next
    }
}

/// What one receiver is to be told in one round.
#[derive(Default)]
struct Lane {
    sends: Vec<Notification>,
    repeats: Vec<Notification>,
}

impl Lane {
    /// Sends news first, those never tried before those that failed, then repeats; stops where the receiver does not
    /// answer as it should, since what is left would fare the same.
    async fn run(
        mut self,
        receiver: &dyn Receiver,
        tries: &Tries,
        transport: &dyn Transport,
        clock: &dyn Clock,
    ) -> Vec<Sent> {
        self.sends.sort_by_key(|notification| tries.count(&notification.id));
        let mut sent = Vec::new();
        for notification in self.sends.into_iter().take(SENDS_A_ROUND) {
            let began = clock.now();
            let result = receiver.send(&notification, transport, began).await;
            let stop = result.as_ref().is_err_and(|error| !error.permanent);
            sent.push(Sent { notification, repeat: false, began, ended: clock.now(), result });
            if stop {
                return sent;
            }
        }
        for batch in self.repeats.chunks(REPEATS_A_POST) {
            let began = clock.now();
            let result = receiver.repeat(batch, transport, began).await;
            let ended = clock.now();
            let one = |notification: &Notification| Sent {
                notification: notification.clone(),
                repeat: true,
                began,
                ended,
                result: result.clone(),
            };
            if result.is_err() {
                // One failure of the receiver, however many were in the post.
                sent.extend(batch.first().map(one));
                return sent;
            }
            sent.extend(batch.iter().map(one));
        }
        sent
    }
}
