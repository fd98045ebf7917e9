//! Silence, deduplicate, route: what each receiver is to be told now, or the named reason why it is not.

use std::collections::BTreeMap;
use std::fmt;

use domain::{Duration, Timestamp};
use query::{Alert, AlertClass};

use crate::config::{Route, Settings, Silence};
use crate::notification::{Notification, Tells, id};
use crate::remember::{Remembered, Tries};

/// Who can be told, and what decides who is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// The receivers by name.
    pub receivers: BTreeMap<String, Manner>,
    /// The routes; an alert takes every one that it matches.
    pub routes: Vec<Route>,
    /// Receivers of alerts that match no route; `None` means all.
    pub default_receivers: Option<Vec<String>>,
    /// Quiet times.
    pub silences: Vec<Silence>,
}

/// What a decision must know of a receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manner {
    /// How often it must be told again of a condition that still holds, where it would let it end otherwise.
    pub repeats_every: Option<Duration>,
    /// Whether it takes the summary of a first run.
    pub takes_summaries: bool,
}

impl Plan {
    /// How long after its end an alert is still told to a receiver that never heard of it, and a baseline summary
    /// after it was made. So an outage of the receiver loses nothing, and a new receiver is not told all of history.
    pub const NEWS_FOR: Duration = Duration::from_secs(3 * 86_400);

    /// The plan of the settings, for receivers of these manners.
    pub(crate) fn new(settings: &Settings, receivers: BTreeMap<String, Manner>) -> Self {
        Plan {
            receivers,
            routes: settings.routes.clone(),
            default_receivers: settings.default_receivers.clone(),
            silences: settings.silences.clone(),
        }
    }

    /// Whether the routes lead this alert to this receiver.
    fn leads(&self, alert: &Alert, receiver: &str) -> bool {
        let mut matching = self.routes.iter().filter(|route| route.matches(alert)).peekable();
        if matching.peek().is_none() {
            return self.default_receivers.as_ref().is_none_or(|names| names.iter().any(|name| name == receiver));
        }
        matching.any(|route| route.receivers.iter().any(|name| name == receiver))
    }

    /// The silence that keeps this alert quiet now. One that has ended but was there at the alert's own end counts
    /// too: what began and ended in quiet time is not news afterwards.
    fn silence(&self, alert: &Alert, now: Timestamp) -> Option<&Silence> {
        let ended = Tells::of(alert) == Tells::Resolved;
        self.silences.iter().find(|silence| silence.covers(alert, now) || (ended && silence.covers(alert, alert.at)))
    }
}

/// What is to be done about one alert and one receiver.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// The receiver; `None` where the reason does not depend on one.
    pub receiver: Option<&'a str>,
    /// The id of the notification that was decided on; `None` without a receiver.
    pub notification: Option<String>,
    /// What to do.
    pub verdict: Verdict,
}

/// What to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// Tell it, and record what becomes of that.
    Send(Box<Notification>),
    /// Tell it again, so that the receiver does not let it end. Not a new delivery.
    Repeat(Box<Notification>),
    /// Say nothing.
    Hold(Reason),
}

/// Why nothing is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The receiver took it already.
    AlreadyTold,
    /// The receiver took it already, and is told again while it holds.
    StillHolds {
        /// When next.
        again_at: Timestamp,
    },
    /// A silence covers it.
    Silenced {
        /// When the silence ends.
        until: Timestamp,
        /// Why it was asked for.
        why: String,
    },
    /// It was so on the first look; the summary counts it.
    Baseline,
    /// No route leads anywhere.
    NoRoute,
    /// The receiver knows only conditions that hold and end, and a summary is neither.
    NoSummaries,
    /// The last try failed and the wait is not over.
    NotDue {
        /// When it is.
        retry_at: Timestamp,
    },
    /// The receiver refuses it for good: a dead letter.
    Refused {
        /// What it answered.
        answer: String,
    },
    /// It ended too long ago to be news to a receiver that never heard of it.
    TooOld {
        /// When it ended, or when the summary was made.
        since: Timestamp,
    },
}

impl Reason {
    /// One word for metrics and `--json`.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::AlreadyTold => "already_told",
            Reason::StillHolds { .. } => "still_holds",
            Reason::Silenced { .. } => "silenced",
            Reason::Baseline => "baseline",
            Reason::NoRoute => "no_route",
            Reason::NoSummaries => "no_summaries",
            Reason::NotDue { .. } => "not_due",
            Reason::Refused { .. } => "refused",
            Reason::TooOld { .. } => "too_old",
        }
    }

    /// When another decision could come out; `None` when that does not depend on time.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match self {
            Reason::StillHolds { again_at: at }
            | Reason::Silenced { until: at, .. }
            | Reason::NotDue { retry_at: at } => Some(*at),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::AlreadyTold => f.write_str("told already"),
            Reason::StillHolds { again_at } => {
                write!(f, "told already; it still holds and is told again at {again_at}")
            }
            Reason::Silenced { until, why } => write!(f, "silenced until {until}: {why}"),
            Reason::Baseline => f.write_str("it was so on the first look; the summary counts it"),
            Reason::NoRoute => f.write_str("no route leads to a receiver"),
            Reason::NoSummaries => f.write_str("the receiver takes no summaries"),
            Reason::NotDue { retry_at } => write!(f, "the last try failed; tried again at {retry_at}"),
            Reason::Refused { answer } => write!(f, "refused for good: {answer}"),
            Reason::TooOld { since } => write!(f, "over since {since} and never told here: no news any more"),
        }
    }
}

impl Verdict {
    /// One word for metrics and `--json`: `send`, `repeat`, or the reason's name.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Send(_) => "send",
            Verdict::Repeat(_) => "repeat",
            Verdict::Hold(reason) => reason.name(),
        }
    }
}

/// Decides for every alert and every receiver that has to do with it; the gravest first, then the oldest.
///
/// The rules, in the order they are asked:
/// 1. What was so on the first look is never told one by one.
/// 2. A receiver that was told that a condition holds is told its end, whatever routes and silences say by then, and
///    until then again and again where it would let it end otherwise: it never shows a false end.
/// 3. What a receiver took is not told it twice.
/// 4. Everything else goes where the routes lead, unless a silence covers it.
/// 5. What opened and ended before the receiver could be told is told once, as an end that says both, while it is news.
pub fn decide<'a>(
    alerts: &'a [Alert],
    remembered: &Remembered,
    tries: &Tries,
    plan: &'a Plan,
    now: Timestamp,
) -> Vec<Decision<'a>> {
    let mut sorted: Vec<&Alert> = alerts.iter().collect();
    sorted.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.opened_by, alert.key.as_str()));
    let mut decisions = Vec::new();
    for alert in sorted {
        let about_all = |reason| Decision { alert, receiver: None, notification: None, verdict: Verdict::Hold(reason) };
        if alert.baseline && alert.class != AlertClass::Baseline {
            decisions.push(about_all(Reason::Baseline));
            continue;
        }
        let before = decisions.len();
        for (name, manner) in &plan.receivers {
            let heard = remembered.accepted(&id(alert, name, Tells::Firing));
            if heard || plan.leads(alert, name) {
                decisions.push(Decision {
                    alert,
                    receiver: Some(name),
                    notification: Some(id(alert, name, Tells::of(alert))),
                    verdict: for_receiver(alert, name, manner, heard, (remembered, tries, plan), now),
                });
            }
        }
        if decisions.len() == before {
            decisions.push(about_all(Reason::NoRoute));
        }
    }
    decisions
}

/// The verdict for one receiver that the alert concerns. `heard`: it was told that the condition holds.
fn for_receiver(
    alert: &Alert,
    receiver: &str,
    manner: &Manner,
    heard: bool,
    (remembered, tries, plan): (&Remembered, &Tries, &Plan),
    now: Timestamp,
) -> Verdict {
    let tells = Tells::of(alert);
    let id = id(alert, receiver, tells);
    let message = || Box::new(Notification::new(alert, receiver, heard));
    if remembered.accepted(&id) {
        let (Tells::Firing, Some(every)) = (tells, manner.repeats_every) else {
            return Verdict::Hold(Reason::AlreadyTold);
        };
        let again_at = tries.repeated(&id).map_or(now, |at| at.plus(every));
        let again_at = again_at.max(tries.retry_at(&id, receiver, now).unwrap_or(again_at));
        return if again_at > now {
            Verdict::Hold(Reason::StillHolds { again_at })
        } else {
            Verdict::Repeat(message())
        };
    }
    if tells == Tells::Baseline && !manner.takes_summaries {
        return Verdict::Hold(Reason::NoSummaries);
    }
    if !heard {
        if let Some(silence) = plan.silence(alert, now) {
            return Verdict::Hold(Reason::Silenced { until: silence.until, why: silence.why.clone() });
        }
        if tells != Tells::Firing && now.since(alert.at) > Plan::NEWS_FOR {
            return Verdict::Hold(Reason::TooOld { since: alert.at });
        }
    }
    if let Some(error) = tries.dead(&id) {
        return Verdict::Hold(Reason::Refused { answer: error.reason.to_string() });
    }
    match tries.retry_at(&id, receiver, now) {
        Some(retry_at) => Verdict::Hold(Reason::NotDue { retry_at }),
        None => Verdict::Send(message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, baseline, coverage, firing, gone, resolved};

    fn plan() -> Plan {
        let pager = Manner { repeats_every: Some(Duration::from_secs(120)), takes_summaries: false };
        let chat = Manner { repeats_every: None, takes_summaries: true };
        Plan {
            receivers: [("chat".to_owned(), chat), ("pager".to_owned(), pager)].into(),
            routes: vec![],
            default_receivers: None,
            silences: vec![],
        }
    }

    fn route(text: &str) -> Route {
        serde_saphyr::from_str(text).unwrap()
    }

    /// What the ledger holds after these alerts were told to these receivers.
    fn told(told: &[(&Alert, &str)]) -> Remembered {
        let mut remembered = Remembered::default();
        for (alert, receiver) in told {
            remembered.fold(&Notification::new(alert, receiver, true).delivery(true, "200".into(), 1));
        }
        remembered
    }

    /// The verdicts as `receiver verdict`, with `all` where no receiver is named.
    fn verdicts(alert: Alert, remembered: &Remembered, plan: &Plan, now: &str) -> Vec<String> {
        let alerts = [alert];
        let decisions = decide(&alerts, remembered, &Tries::default(), plan, at(now));
        decisions.iter().map(|one| format!("{} {}", one.receiver.unwrap_or("all"), one.verdict.name())).collect()
    }

    #[test]
    fn every_alert_gets_the_verdict_its_history_asks_for() {
        let nothing = told(&[]);
        let both = told(&[(&firing(), "chat"), (&firing(), "pager")]);
        let chat_only = told(&[(&firing(), "chat")]);
        let ended = told(&[(&firing(), "chat"), (&resolved(), "chat"), (&firing(), "pager"), (&resolved(), "pager")]);
        let was_so = Alert { baseline: true, ..firing() };
        let table = [
            ("new", firing(), &nothing, ["chat send", "pager send"]),
            ("told to one", firing(), &chat_only, ["chat already_told", "pager send"]),
            // The pager was told before a restart; nobody knows when, so it is told again at once.
            ("told to both", firing(), &both, ["chat already_told", "pager repeat"]),
            ("ended", resolved(), &both, ["chat send", "pager send"]),
            ("gone", gone(), &both, ["chat send", "pager send"]),
            ("ended and told", resolved(), &ended, ["chat already_told", "pager already_told"]),
            ("over before anyone knew", resolved(), &nothing, ["chat send", "pager send"]),
            ("evidence lost", coverage(), &nothing, ["chat send", "pager send"]),
            ("first look, summed up", baseline(), &nothing, ["chat send", "pager no_summaries"]),
        ];
        for (name, alert, remembered, expected) in table {
            assert_eq!(verdicts(alert, remembered, &plan(), "00:40:00"), expected, "{name}");
        }
        assert_eq!(verdicts(was_so.clone(), &nothing, &plan(), "00:40:00"), ["all baseline"]);
        let mended = Alert { state: query::AlertState::Resolved, ..was_so };
        assert_eq!(verdicts(mended, &nothing, &plan(), "00:40:00"), ["all baseline"]);
    }

    #[test]
    fn an_unreadable_source_resolves_nothing() {
        let unread = Alert { unread_since: Some(at("00:20:00")), ..firing() };
        let both = told(&[(&firing(), "chat"), (&firing(), "pager")]);
        assert_eq!(verdicts(unread, &both, &plan(), "23:00:00"), ["chat already_told", "pager repeat"]);
    }

    #[test]
    fn an_alert_takes_every_route_it_matches_and_the_default_only_when_it_matches_none() {
        let mut plan = plan();
        plan.routes = vec![
            route("{severity_at_least: critical, receivers: [pager]}"),
            route("{checks: ['keycloak.*'], sources: ['keycloak:acme'], receivers: [chat]}"),
            route("{classes: [deviation], receivers: [chat]}"),
        ];
        let nothing = Remembered::default();
        assert_eq!(verdicts(firing(), &nothing, &plan, "00:16:00"), ["chat send"]);
        let critical = Alert { severity: domain::Severity::Critical, ..firing() };
        assert_eq!(verdicts(critical, &nothing, &plan, "00:16:00"), ["chat send", "pager send"]);
        // Lost coverage is of no check and of another class: no route, so the default, which is everybody.
        assert_eq!(verdicts(coverage(), &nothing, &plan, "00:21:00"), ["chat send", "pager send"]);
        plan.default_receivers = Some(vec!["pager".into()]);
        assert_eq!(verdicts(coverage(), &nothing, &plan, "00:21:00"), ["pager send"]);
        plan.default_receivers = Some(vec![]);
        assert_eq!(verdicts(coverage(), &nothing, &plan, "00:21:00"), ["all no_route"]);
    }

    #[test]
    fn who_was_told_is_told_the_end_although_routes_changed_meanwhile() {
        let mut plan = plan();
        plan.default_receivers = Some(vec![]);
        let both = told(&[(&firing(), "chat"), (&firing(), "pager")]);
        assert_eq!(verdicts(firing(), &both, &plan, "00:40:00"), ["chat already_told", "pager repeat"]);
        assert_eq!(verdicts(resolved(), &both, &plan, "00:40:00"), ["chat send", "pager send"]);
    }

    #[test]
    fn a_silence_holds_back_what_is_new_and_never_an_end() {
        let mut plan = plan();
        let silence =
            "{sources: ['keycloak:*'], from: '2026-11-22T00:00:00Z', until: '2026-11-22T01:00:00Z', why: upgrade}";
        plan.silences = vec![serde_saphyr::from_str(silence).unwrap()];
        let (nothing, both) = (Remembered::default(), told(&[(&firing(), "chat"), (&firing(), "pager")]));
        assert_eq!(verdicts(firing(), &nothing, &plan, "00:59:59"), ["chat silenced", "pager silenced"]);
        assert_eq!(verdicts(firing(), &nothing, &plan, "01:00:00"), ["chat send", "pager send"]);
        assert_eq!(verdicts(firing(), &both, &plan, "00:40:00"), ["chat already_told", "pager repeat"]);
        assert_eq!(verdicts(resolved(), &both, &plan, "00:40:00"), ["chat send", "pager send"]);
        // It began and ended in quiet time: no news afterwards either.
        assert_eq!(verdicts(resolved(), &nothing, &plan, "02:00:00"), ["chat silenced", "pager silenced"]);
    }

    #[test]
    fn what_ended_long_ago_is_no_news_to_who_never_heard_of_it_and_still_told_to_who_did() {
        let later = |alert: &Alert| alert.at.plus(Plan::NEWS_FOR).plus(Duration::from_millis(1));
        let (nothing, chat) = (Remembered::default(), told(&[(&firing(), "chat")]));
        let names = |alert: Alert, remembered: &Remembered| -> Vec<String> {
            let (alerts, plan) = ([alert], plan());
            let now = later(&alerts[0]);
            let decisions = decide(&alerts, remembered, &Tries::default(), &plan, now);
            decisions.iter().map(|one| one.verdict.name().to_owned()).collect()
        };
        assert_eq!(names(resolved(), &nothing), ["too_old", "too_old"]);
        assert_eq!(names(resolved(), &chat), ["send", "too_old"]);
        assert_eq!(names(firing(), &nothing), ["send", "send"]);
        assert_eq!(names(baseline(), &nothing), ["too_old", "no_summaries"]);
    }

    #[test]
    fn a_regression_is_another_incident_and_told_anew() {
        let both = told(&[(&firing(), "chat"), (&firing(), "pager"), (&resolved(), "chat"), (&resolved(), "pager")]);
        let again = Alert { key: "f".repeat(32), opened_by: 240, entry: 240, ..firing() };
        assert_eq!(verdicts(again, &both, &plan(), "00:50:00"), ["chat send", "pager send"]);
    }

    #[test]
    fn new_words_new_owners_and_a_new_severity_make_no_new_notification() {
        let told_before = told(&[(&firing(), "chat"), (&firing(), "pager")]);
        let reworded = Alert {
            title: "Brute-force detection is off".into(),
            owner: "Platform".into(),
            severity: domain::Severity::Critical,
            controls: vec![],
            subject: "realm acme-2".into(),
            ..firing()
        };
        assert_eq!(verdicts(reworded, &told_before, &plan(), "00:40:00"), ["chat already_told", "pager repeat"]);
    }

    #[test]
    fn the_gravest_come_first_then_the_oldest() {
        let low = Alert { severity: domain::Severity::Low, opened_by: 1, ..firing() };
        let late = Alert { opened_by: 500, ..firing() };
        let alerts = [low, late, firing()];
        let (remembered, plan) = (Remembered::default(), plan());
        let order: Vec<u64> = decide(&alerts, &remembered, &Tries::default(), &plan, at("00:16:00"))
            .iter()
            .filter(|one| one.receiver == Some("chat"))
            .map(|one| one.alert.opened_by)
            .collect();
        assert_eq!(order, [166, 500, 1]);
    }

    #[test]
    fn a_notification_names_the_entries_it_tells_of() {
        assert_eq!(Notification::new(&firing(), "chat", false).about(), [166]);
        assert_eq!(Notification::new(&resolved(), "chat", true).about(), [188]);
        assert_eq!(Notification::new(&resolved(), "chat", false).about(), [166, 188]);
        assert_eq!(Notification::new(&baseline(), "chat", false).about(), [11]);
    }

    #[test]
    fn the_id_is_a_stored_format() {
        assert_eq!(id(&firing(), "chat", Tells::Firing), "ntf_04e0e2178dfcd5e73d9d33de89352046");
        assert_ne!(id(&firing(), "chat", Tells::Firing), id(&firing(), "pager", Tells::Firing));
    }
}
