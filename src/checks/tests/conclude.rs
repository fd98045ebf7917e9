//! What the checks' words mean for a control, over every combination.

use checks::{CheckSet, CheckState, conclude, weigh};
use domain::{Bearing, CheckCounts, Duration, Finding, FindingReason as Why, FindingValue, LinkState, Timestamp};

use crate::support::AT;

/// One link in each state it can be in.
#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    NoSource,
    NeverRan,
    Stale,
    Incomplete,
    Undetermined,
    Empty,
    NotApplicable,
    Conforms,
    Deviates,
    DeviatesLongAgo,
    OpenButUnread,
}

const STATES: [State; 11] = [
    State::NoSource,
    State::NeverRan,
    State::Stale,
    State::Incomplete,
    State::Undetermined,
    State::Empty,
    State::NotApplicable,
    State::Conforms,
    State::Deviates,
    State::DeviatesLongAgo,
    State::OpenButUnread,
];

fn link(bearing: Bearing, state: State) -> LinkState {
    let counts = |conforms, deviates, undetermined, not_applicable| {
        Some(CheckCounts { conforms, deviates, undetermined, not_applicable })
    };
    let fresh = AT.minus(Duration::from_secs(60));
    let old = AT.minus(Duration::from_secs(7200));
    let (counts, complete, open, at) = match state {
        State::NoSource | State::NeverRan => (None, false, 0, None),
        State::Stale => (counts(3, 0, 0, 0), true, 0, Some(old)),
        State::Incomplete => (counts(3, 0, 0, 0), false, 0, Some(fresh)),
        State::Undetermined => (counts(3, 0, 1, 0), true, 0, Some(fresh)),
        State::Empty => (counts(0, 0, 0, 0), true, 0, Some(fresh)),
        State::NotApplicable => (counts(0, 0, 0, 2), true, 0, Some(fresh)),
        State::Conforms => (counts(3, 0, 0, 1), true, 0, Some(fresh)),
        State::Deviates => (counts(3, 1, 0, 0), true, 0, Some(fresh)),
        State::DeviatesLongAgo => (counts(3, 1, 0, 0), false, 0, Some(old)),
        State::OpenButUnread => (counts(0, 0, 3, 0), true, 1, Some(fresh)),
    };
    LinkState {
        check: "a.b".parse().unwrap(),
        bearing,
        source: (state != State::NoSource).then(|| "keycloak:acme".parse().unwrap()),
        counts,
        complete,
        open,
        at,
        greatest_age: Duration::from_secs(3600),
    }
}

fn speaks_against(state: State) -> bool {
    matches!(state, State::Deviates | State::DeviatesLongAgo | State::OpenButUnread)
}

/// Why a proving link says nothing.
fn silent(state: State) -> Option<Why> {
    match state {
        State::NeverRan => Some(Why::NeverRan),
        State::Stale => Some(Why::Stale),
        State::Incomplete | State::Undetermined => Some(Why::Undetermined),
        _ => None,
    }
}

#[test]
fn one_link_of_each_bearing_in_each_state() {
    use FindingValue::{Conforming, Nonconforming, NotEvidenced};
    let table = [
        (State::NoSource, NotEvidenced, Why::NoSource),
        (State::NeverRan, NotEvidenced, Why::NeverRan),
        (State::Stale, NotEvidenced, Why::Stale),
        (State::Incomplete, NotEvidenced, Why::Undetermined),
        (State::Undetermined, NotEvidenced, Why::Undetermined),
        (State::Empty, NotEvidenced, Why::NothingToAssess),
        (State::NotApplicable, NotEvidenced, Why::NothingToAssess),
        (State::Conforms, Conforming, Why::AllProvingConform),
        (State::Deviates, Nonconforming, Why::Deviates),
        (State::DeviatesLongAgo, Nonconforming, Why::Deviates),
        (State::OpenButUnread, Nonconforming, Why::Deviates),
    ];
    for (state, value, reason) in table {
        assert_eq!(weigh(&[link(Bearing::Proves, state)], AT), (value, reason), "proves, {state:?}");
        let alone =
            if speaks_against(state) { (Nonconforming, Why::Deviates) } else { (NotEvidenced, Why::OnlySupports) };
        assert_eq!(weigh(&[link(Bearing::Supports, state)], AT), alone, "supports, {state:?}");
    }
    assert_eq!(weigh(&[], AT), (NotEvidenced, Why::NoCheck));
}

#[test]
fn all_combinations_of_three_links_keep_the_rule() {
    let bearings = [Bearing::Proves, Bearing::Supports];
    let all: Vec<(Bearing, State)> = bearings.into_iter().flat_map(|b| STATES.map(|s| (b, s))).collect();
    let mut conforming = 0;
    for a in &all {
        for b in &all {
            for c in &all {
                let three = [*a, *b, *c];
                let links = three.map(|(bearing, state)| link(bearing, state));
                let (value, reason) = weigh(&links, AT);
                let linked: Vec<State> =
                    three.iter().filter(|(bearing, _)| *bearing == Bearing::Proves).map(|(_, state)| *state).collect();
                // What nobody watches speaks neither for nor against.
                let proving: Vec<State> = linked.iter().copied().filter(|state| *state != State::NoSource).collect();
                if three.iter().any(|(_, state)| speaks_against(*state)) {
                    assert_eq!((value, reason), (FindingValue::Nonconforming, Why::Deviates), "{three:?}");
                } else if linked.is_empty() {
                    assert_eq!((value, reason), (FindingValue::NotEvidenced, Why::OnlySupports), "{three:?}");
                } else if proving.is_empty() {
                    assert_eq!((value, reason), (FindingValue::NotEvidenced, Why::NoSource), "{three:?}");
                } else if proving.iter().any(|state| silent(*state).is_some()) {
                    assert_eq!(value, FindingValue::NotEvidenced, "{three:?}");
                    assert!(proving.iter().any(|state| silent(*state) == Some(reason)), "{three:?}: {reason:?}");
                } else if proving.contains(&State::Conforms) {
                    assert_eq!((value, reason), (FindingValue::Conforming, Why::AllProvingConform), "{three:?}");
                    conforming += 1;
                } else {
                    assert_eq!((value, reason), (FindingValue::NotEvidenced, Why::NothingToAssess), "{three:?}");
                }
            }
        }
    }
    assert!(conforming > 0);
}

fn state(check: &str, source: &str, conforms: u64, deviates: u64) -> CheckState {
    CheckState {
        check: check.parse().unwrap(),
        source: source.parse().unwrap(),
        counts: Some(CheckCounts { conforms, deviates, ..CheckCounts::default() }),
        complete: true,
        open: 0,
        at: Some(AT),
    }
}

fn of<'a>(findings: &'a [Finding], control: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.control.as_str() == control).unwrap()
}

fn finding(states: &[CheckState], at: Timestamp, control: &str) -> (FindingValue, Why) {
    let set = CheckSet::embedded().unwrap();
    let framework = set.framework(&"iso27001-2022".parse().unwrap()).unwrap();
    let findings = conclude(framework, &set, states, at);
    assert_eq!(findings.len(), 93, "every control has its finding");
    (of(&findings, control).value, of(&findings, control).reason)
}

#[test]
fn secure_authentication_follows_the_keycloak_checks() {
    let good: Vec<CheckState> =
        CheckSet::embedded().unwrap().checks().map(|check| state(check.id().as_str(), "keycloak:acme", 1, 0)).collect();
    assert_eq!(finding(&good, AT, "A.8.5"), (FindingValue::Conforming, Why::AllProvingConform));
    assert_eq!(finding(&good, AT, "A.5.17"), (FindingValue::NotEvidenced, Why::OnlySupports));
    assert_eq!(finding(&good, AT, "A.5.1"), (FindingValue::NotEvidenced, Why::NoCheck));
    assert_eq!(finding(&[], AT, "A.8.5"), (FindingValue::NotEvidenced, Why::NoSource));

    // A second realm counts as much as the first.
    let mut second = good.clone();
    second.push(state("keycloak.realm.brute_force", "keycloak:other", 0, 1));
    assert_eq!(finding(&second, AT, "A.8.5"), (FindingValue::Nonconforming, Why::Deviates));

    // A supporting check can speak against it.
    let mut supporting = good.clone();
    supporting.push(state("keycloak.realm.session_limits", "keycloak:other", 0, 1));
    assert_eq!(finding(&supporting, AT, "A.8.5"), (FindingValue::Nonconforming, Why::Deviates));
}

#[test]
fn badday_02_and_20_evidence_that_is_not_renewed_ages_into_not_evidenced() {
    let good: Vec<CheckState> =
        CheckSet::embedded().unwrap().checks().map(|check| state(check.id().as_str(), "keycloak:acme", 1, 0)).collect();
    let at_the_limit = AT.plus("6h".parse().unwrap());
    assert_eq!(finding(&good, at_the_limit, "A.8.5").0, FindingValue::Conforming);
    let after = at_the_limit.plus(Duration::from_millis(1));
    assert_eq!(finding(&good, after, "A.8.5"), (FindingValue::NotEvidenced, Why::Stale));
}

#[test]
fn a_finding_shows_every_link_with_its_source_in_order() {
    let set = CheckSet::embedded().unwrap();
    let framework = set.framework(&"iso27001-2022".parse().unwrap()).unwrap();
    let states = [
        state("keycloak.realm.brute_force", "keycloak:b", 1, 0),
        state("keycloak.realm.brute_force", "keycloak:a", 1, 0),
    ];
    let findings = conclude(framework, &set, &states, AT);
    let links: Vec<String> = of(&findings, "A.5.17")
        .links
        .iter()
        .filter(|link| link.check.as_str().starts_with("keycloak."))
        .map(|link| format!("{} {:?} {:?}", link.check, link.bearing, link.source))
        .collect();
    assert_eq!(
        links,
        [
            "keycloak.realm.brute_force Supports Some(keycloak:a)",
            "keycloak.realm.brute_force Supports Some(keycloak:b)",
            "keycloak.realm.password_rule Supports None",
        ]
    );
}
