//! The loop's body: decide, send, learn. The daemon calls it when something changed or became due.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::Delivery;
use domain::{Clock, Duration, Timestamp};
use futures::future::join_all;
use query::Alert;

use crate::config::{BuildError, Kind, Named, ReceiverSettings, Settings};
use crate::decide::{Decision, Manner, Plan, Verdict, decide};
use crate::notification::Notification;
use crate::receiver::{Receipt, Receiver, Refusal, SendError, Transport};
use crate::remember::{Remembered, Tries};
use crate::text;

/// How many notifications one receiver is sent in one round; the rest follows in the next.
const SENDS_A_ROUND: usize = 50;

/// After this long a receiver is sent nothing more in a round: the others wait for its end.
const LONGEST_ROUND: Duration = Duration::from_secs(30);

/// How many repeats go in one post.
const REPEATS_A_POST: usize = 64;

/// Everything that telling needs: the receivers, the plan, and the memory.
pub struct Dispatcher {
    receivers: Vec<Named>,
    plan: Plan,
    remembered: Remembered,
    tries: Tries,
}

/// What one round did. A round ends within a minute: see [`Dispatcher::round`].
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
    /// Makes ready to tell; `remembered` is the fold of all deliveries in the ledger. No secret is looked at yet: see
    /// [`Dispatcher::unready`].
    pub fn build(settings: &Settings, remembered: Remembered) -> Result<Self, BuildError> {
        let receivers = settings.build()?;
        let manner =
            |kind: &dyn Kind| Manner { repeats_every: kind.repeats_every(), takes_summaries: kind.takes_summaries() };
        let manners = receivers.iter().filter_map(|(name, receiver)| Some((name.clone(), manner(receiver.kind()?))));
        let manners = manners.collect();
        Ok(Dispatcher { receivers, plan: Plan::new(settings, manners), remembered, tries: Tries::default() })
    }

    /// The receivers that nothing can be sent to now, because a secret is missing or has the wrong form, and why.
    pub async fn unready(&self, transport: &dyn Transport) -> Vec<(String, String)> {
        let mut unready = Vec::new();
        for (name, receiver) in &self.receivers {
            if let Err(why) = open(receiver, transport).await {
                unready.push((name.clone(), why));
            }
        }
        unready
    }

    /// What is to be done about these alerts now; sends nothing.
    pub fn decide<'a>(&'a self, alerts: &'a [Alert], now: Timestamp) -> Vec<Decision<'a>> {
        decide(alerts, &self.remembered, &self.tries, &self.plan, now)
    }

    /// Tells what is to be told of these alerts: all that hold, and those that ended and may still be news.
    ///
    /// Receivers are told side by side, each in order, and one that does not answer is left alone for this round; so is
    /// one that took more than 30 s, or 50 notifications. What is left makes the next round due at once. Each
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
            Some(lane.run(receiver, &self.tries, transport, clock))
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
    pub fn remembered(&self) -> &Remembered {
        &self.remembered
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
        receiver: &ReceiverSettings,
        tries: &Tries,
        transport: &dyn Transport,
        clock: &dyn Clock,
    ) -> Vec<Sent> {
        self.sends.sort_by_key(|notification| tries.count(&notification.id));
        let mut sent = Vec::new();
        let started = clock.now();
        let receiver = match open(receiver, transport).await {
            Ok(receiver) => receiver,
            Err(why) => return self.unsent(&why, started),
        };
        for notification in self.sends.into_iter().take(SENDS_A_ROUND) {
            let began = clock.now();
            if began.since(started) > LONGEST_ROUND {
                return sent;
            }
            let result = receiver.send(&notification, transport, began).await;
            let stop = result.as_ref().is_err_and(|error| !error.permanent);
            sent.push(Sent { notification, repeat: false, began, ended: clock.now(), result });
            if stop {
                return sent;
            }
        }
        for batch in self.repeats.chunks(REPEATS_A_POST) {
            let began = clock.now();
            if began.since(started) > LONGEST_ROUND {
                return sent;
            }
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

    /// The first of what could not be sent for want of a secret: what is left would fare the same.
    fn unsent(self, why: &str, began: Timestamp) -> Vec<Sent> {
        let (repeat, first) = match self.sends.into_iter().next() {
            Some(first) => (false, Some(first)),
            None => (true, self.repeats.into_iter().next()),
        };
        let detail = text::clean(why, 200);
        let error = SendError { permanent: false, retry_after: None, reason: Refusal::Secret, detail };
        let one = |notification| Sent { notification, repeat, began, ended: began, result: Err(error) };
        first.map(one).into_iter().collect()
    }
}

/// A receiver with its secrets as they are now.
async fn open(receiver: &ReceiverSettings, transport: &dyn Transport) -> Result<Box<dyn Receiver>, String> {
    let kind = receiver.kind().ok_or("no kind is given")?;
    let mut secrets = BTreeMap::new();
    for reference in kind.secrets() {
        secrets.insert(reference, transport.secret(reference).await?);
    }
    kind.build(&|reference| secrets.get(reference).cloned().ok_or_else(|| "a secret was not named".to_owned()))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::receiver::TransportError;
    use crate::samples::{Network, StoppedClock, at, baseline, coverage, firing, resolved, status};

    const CHAT: &str = "receivers: [{name: chat, webhook: {url: 'https://h', secret: {env: A}}}]";
    const PAGER: &str = "receivers: [{name: pager, alertmanager: {url: 'http://am:9093'}}]";
    const BOTH: &str = "
receivers:
  - {name: chat, webhook: {url: 'https://h', secret: {env: A}}}
  - {name: pager, alertmanager: {url: 'http://am:9093'}}
";

    fn dispatcher(settings: &str, remembered: Remembered) -> Dispatcher {
        let settings: Settings = serde_saphyr::from_str(settings).unwrap();
        Dispatcher::build(&settings, remembered).unwrap()
    }

    /// One round without chance: every wait is the shortest.
    fn round(dispatcher: &mut Dispatcher, alerts: &[Alert], network: &Network, clock: &StoppedClock) -> Round {
        block_on(dispatcher.round(alerts, network, clock, &mut || 0))
    }

    #[test]
    fn a_secret_is_read_at_every_send_and_one_that_is_missing_is_a_failed_delivery_that_is_tried_again() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:15:12")));
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        *network.secrets.lock().unwrap() = Some(Err("/run/secrets/hook: not found"));
        let unready = block_on(dispatcher.unready(&network));
        assert_eq!(unready, [("chat".to_owned(), "/run/secrets/hook: not found".to_owned())]);
        let missing = round(&mut dispatcher, &many(3), &network, &clock);
        assert_eq!(missing.sent.len(), 1, "what is left would fare the same");
        let error = missing.sent[0].result.as_ref().unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.detail.as_str()),
            ("its secret cannot be had", "/run/secrets/hook: not found")
        );
        assert_eq!((missing.deliveries.len(), missing.deliveries[0].accepted), (1, false), "it is recorded");
        assert!(network.posts().is_empty());
        *network.secrets.lock().unwrap() = None;
        clock.forward(Duration::from_secs(3600));
        let told = round(&mut dispatcher, &many(3), &network, &clock);
        assert!(told.sent.iter().all(|sent| sent.result.is_ok()) && told.sent.len() == 3, "{told:?}");
        let signature = |post: &crate::Post| post.headers.iter().find(|(n, _)| *n == "webhook-signature").cloned();
        let before = signature(network.posts().last().unwrap());
        // Rotated: the next send is signed anew, and nobody reads the settings again.
        *network.secrets.lock().unwrap() = Some(Ok("whsec_bmV3ZXItc2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXM="));
        round(&mut dispatcher, &many(4), &network, &clock);
        assert_ne!(signature(network.posts().last().unwrap()), before);
        let kind = dispatcher.receivers[0].1.kind().unwrap();
        let newer = |_: &crate::SecretRef| {
            Ok(secrecy::SecretString::from("whsec_bmV3ZXItc2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXM="))
        };
        let by_newer = Network::default();
        let last = Notification::new(&many(4)[3], "chat", false);
        block_on(kind.build(&newer).unwrap().send(&last, &by_newer, clock.now())).unwrap();
        assert_eq!(signature(network.posts().last().unwrap()), signature(&by_newer.posts()[0]));
    }

    fn many(n: u64) -> Vec<Alert> {
        (0..n).map(|n| Alert { key: format!("{n:032x}"), opened_by: 1000 + n, entry: 1000 + n, ..firing() }).collect()
    }

    #[test]
    fn an_episode_is_told_once_and_its_end_once() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:15:12")));
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let first = round(&mut dispatcher, &[firing()], &network, &clock);
        let told: Vec<_> = first.deliveries.iter().map(|one| (one.tells.as_str(), one.accepted, one.tries)).collect();
        assert_eq!((told, first.next), (vec![("firing", true, 1)], None));
        for _ in 0..10 {
            assert_eq!(round(&mut dispatcher, &[firing()], &network, &clock).sent, []);
        }
        let end = round(&mut dispatcher, &[resolved()], &network, &clock);
        assert_eq!(end.deliveries.iter().map(|one| one.tells.as_str()).collect::<Vec<_>>(), ["resolved"]);
        assert_eq!(round(&mut dispatcher, &[resolved()], &network, &clock).sent, []);
        assert_eq!(network.posts().len(), 2);
    }

    #[test]
    fn a_restart_folds_the_ledger_and_tells_nothing_twice() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:15:12")));
        let recorded = round(&mut dispatcher(CHAT, Remembered::default()), &[firing()], &network, &clock).deliveries;
        let mut remembered = Remembered::default();
        recorded.iter().for_each(|delivery| remembered.fold(delivery));
        let mut restarted = dispatcher(CHAT, remembered);
        assert_eq!(round(&mut restarted, &[firing()], &network, &clock).sent, []);

        // Killed between sending and recording: told again, under the same id.
        let again = round(&mut dispatcher(CHAT, Remembered::default()), &[firing()], &network, &clock);
        assert_eq!(again.deliveries, recorded);
    }

    #[test]
    fn a_receiver_that_is_down_sees_one_try_at_a_time_and_then_gets_everything() {
        let clock = StoppedClock::at(at("00:15:12"));
        let network = Network::answering((0..20).map(|_| Err(TransportError::Unreachable)));
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let alerts = many(120);
        let (mut tries, mut refused, mut accepted) = (0, 0, 0);
        while accepted < 120 {
            let round = round(&mut dispatcher, &alerts, &network, &clock);
            tries += round.sent.iter().filter(|one| one.result.is_err()).count();
            refused += round.deliveries.iter().filter(|one| !one.accepted).count();
            accepted += round.deliveries.iter().filter(|one| one.accepted).count();
            assert!(accepted > 0 || round.sent.len() <= 1, "{} sent to a receiver that is down", round.sent.len());
            match round.next {
                Some(next) => clock.forward(next.since(clock.now())),
                None => break,
            }
        }
        assert_eq!((tries, refused, accepted), (20, 20, 120));
        let mut ids: Vec<_> = network.posts().iter().map(|post| post.headers[1].1.clone()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((network.posts().len(), ids.len()), (140, 120));
        assert!(clock.now() < at("01:15:12"), "{}", clock.now());
    }

    #[test]
    fn a_refusal_is_recorded_once_and_the_late_acceptance_with_its_tries() {
        let clock = StoppedClock::at(at("00:15:12"));
        let network = Network::answering([Ok(status(500)), Ok(status(503)), Ok(status(401))]);
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let mut recorded = Vec::new();
        for _ in 0..10 {
            let round = round(&mut dispatcher, &[firing()], &network, &clock);
            recorded.extend(round.deliveries.into_iter().map(|one| (one.accepted, one.answer, one.tries)));
            clock.forward(round.next.map_or(Duration::ZERO, |next| next.since(clock.now())));
        }
        assert_eq!(recorded, [(false, "answered 500".into(), 1), (true, "200".into(), 4)]);
    }

    #[test]
    fn retry_after_is_waited_for() {
        let clock = StoppedClock::at(at("00:15:12"));
        let busy = crate::Answer { retry_after: Some("900".into()), ..status(429) };
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let round = round(&mut dispatcher, &[firing()], &Network::answering([Ok(busy)]), &clock);
        assert_eq!(round.next, Some(at("00:30:12")));
    }

    #[test]
    fn what_is_refused_for_good_is_a_dead_letter_and_holds_up_nothing() {
        let clock = StoppedClock::at(at("00:15:12"));
        let network = Network::answering([Ok(status(400))]);
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let alerts = many(2);
        let first = round(&mut dispatcher, &alerts, &network, &clock);
        assert_eq!(first.deliveries.iter().map(|one| one.accepted).collect::<Vec<_>>(), [false, true]);
        clock.forward(Duration::from_secs(86_400));
        let later = round(&mut dispatcher, &alerts, &network, &clock);
        assert_eq!((later.sent.len(), later.verdicts["refused"], later.verdicts["already_told"]), (0, 1, 1));
        let dead = dispatcher.dead_letters(&alerts, clock.now());
        assert_eq!(dead.len(), 1);
        assert_eq!(
            (dead[0].incident.as_str(), dead[0].error.to_string()),
            (alerts[0].key.as_str(), "answered 400".into())
        );
    }

    #[test]
    fn one_bad_message_does_not_hold_up_the_others() {
        let clock = StoppedClock::at(at("00:15:12"));
        let network = Network::answering([Ok(status(500))]);
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let alerts = many(3);
        let first = round(&mut dispatcher, &alerts, &network, &clock);
        assert_eq!(first.sent.len(), 1);
        clock.forward(Duration::from_secs(5));
        let second = round(&mut dispatcher, &alerts, &network, &clock);
        let tried: Vec<_> = second.sent.iter().map(|one| one.notification.alert.opened_by).collect();
        assert_eq!(tried, [1001, 1002, 1000]);
    }

    #[test]
    fn an_alertmanager_hears_again_of_what_holds_and_nothing_more_is_recorded() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:15:12")));
        let mut dispatcher = dispatcher(PAGER, Remembered::default());
        let alerts = many(100);
        while dispatcher.decide(&alerts, clock.now()).iter().any(|one| one.verdict.name() == "send") {
            round(&mut dispatcher, &alerts, &network, &clock);
        }
        let posts = network.posts().len();
        assert_eq!(posts, 100);
        for minute in 1..=10 {
            clock.forward(Duration::from_secs(60));
            let round = round(&mut dispatcher, &alerts, &network, &clock);
            assert_eq!(round.deliveries, []);
            assert_eq!(round.sent.len(), if minute % 2 == 0 { 100 } else { 0 }, "minute {minute}");
        }
        // A hundred alerts fit two posts.
        assert_eq!(network.posts().len() - posts, 10);
    }

    #[test]
    fn an_alertmanager_is_told_again_after_a_restart_although_nobody_knows_when_last() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:15:12")));
        let mut first = dispatcher(PAGER, Remembered::default());
        round(&mut first, &[firing()], &network, &clock);
        let mut restarted = dispatcher(PAGER, first.remembered().clone());
        let round = round(&mut restarted, &[firing()], &network, &clock);
        assert_eq!((round.sent.len(), round.sent[0].repeat, round.deliveries.len()), (1, true, 0));
        assert_eq!(round.next, Some(at("00:17:12")));
    }

    #[test]
    fn a_failed_repeat_waits_too_and_is_no_refusal() {
        let clock = StoppedClock::at(at("00:15:12"));
        let network = Network::answering([Ok(status(200)), Err(TransportError::TimedOut)]);
        let mut dispatcher = dispatcher(PAGER, Remembered::default());
        round(&mut dispatcher, &[firing()], &network, &clock);
        clock.forward(Duration::from_secs(120));
        let failed = round(&mut dispatcher, &[firing()], &network, &clock);
        assert_eq!((failed.sent.len(), failed.deliveries.len()), (1, 0));
        assert_eq!(failed.next.map(|next| next.since(clock.now())), Some(Duration::from_millis(2_500)));
    }

    #[test]
    fn a_quiet_first_run_is_one_message_and_no_page() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:01:04")));
        let mut dispatcher = dispatcher(BOTH, Remembered::default());
        let mut alerts: Vec<Alert> = many(6_000).into_iter().map(|alert| Alert { baseline: true, ..alert }).collect();
        alerts.push(baseline());
        let round = round(&mut dispatcher, &alerts, &network, &clock);
        let told: Vec<_> = round.deliveries.iter().map(|one| (one.receiver.as_str(), one.tells.as_str())).collect();
        assert_eq!((told, round.verdicts["baseline"]), (vec![("chat", "baseline")], 6_000));
    }

    #[test]
    fn lost_access_over_many_resources_is_one_alert_and_resolves_none_of_them() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:20:05")));
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let mut alerts = many(40);
        round(&mut dispatcher, &alerts, &network, &clock);
        for alert in &mut alerts {
            alert.unread_since = Some(at("00:20:00"));
        }
        alerts.push(coverage());
        let round = round(&mut dispatcher, &alerts, &network, &clock);
        assert_eq!(round.deliveries.iter().map(|one| one.about.clone()).collect::<Vec<_>>(), [vec![201]]);
    }

    /// A network on which every post takes 20 seconds.
    struct Slow<'a>(&'a Network, &'a StoppedClock);

    #[async_trait::async_trait]
    impl Transport for Slow<'_> {
        async fn post(&self, post: crate::Post) -> Result<crate::Answer, TransportError> {
            self.1.forward(Duration::from_secs(20));
            self.0.post(post).await
        }
        async fn secret(&self, reference: &crate::SecretRef) -> Result<secrecy::SecretString, String> {
            self.0.secret(reference).await
        }
    }

    #[test]
    fn a_slow_receiver_ends_its_round_and_goes_on_in_the_next() {
        let (network, clock) = (Network::default(), StoppedClock::at(at("00:15:12")));
        let mut dispatcher = dispatcher(CHAT, Remembered::default());
        let alerts = many(3);
        let first = block_on(dispatcher.round(&alerts, &Slow(&network, &clock), &clock, &mut || 0));
        assert_eq!((first.sent.len(), first.next), (2, Some(clock.now())));
        let second = round(&mut dispatcher, &alerts, &network, &clock);
        assert_eq!((second.sent.len(), second.next), (1, None));
    }

    #[test]
    fn what_no_longer_matters_is_forgotten() {
        let (network, clock) = (Network::answering([Ok(status(400))]), StoppedClock::at(at("00:15:12")));
        let mut dispatcher = dispatcher(PAGER, Remembered::default());
        round(&mut dispatcher, &many(3), &network, &clock);
        round(&mut dispatcher, &[], &network, &clock);
        assert_eq!(dispatcher.tries, Tries::default());
    }
}
