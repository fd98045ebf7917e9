//! The simulated organisation's GitHub, whose truth is known: read through the public door and judged by every check.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use checks::{CheckSet, Prepared, evaluate};
use domain::{CollectionRun, GapReason, ObservationValue, Outcome, Timestamp, Trigger};
use kit::testing::{FixedClock, MemoryBodies, OneSecret, surroundings};
use kit::{AnySource, SecretRef};
use world::{Fault, Posture, Server, World};

use super::*;

const PEOPLE: usize = 60;
const START: i64 = 1_795_348_800_000;

/// The source at an address of the simulated organisation: that of github.com, or of an Enterprise server.
fn source(world: &World, server: &Server, below: &str) -> Config {
    let config = serde_json::json!({
        "name": "acme", "owner": "platform-team", "organisation": world::GITHUB_ORG, "audit_log": true,
        "verified_emails": true, "approved": world.github_approved(), "token": SecretRef::Env("GITHUB_TOKEN".to_owned()),
        "url": format!("{}/{below}", server.url().trim_end_matches('/')),
    });
    serde_json::from_value(config).unwrap()
}

/// Lets every collector ask, with the token of an owner.
async fn collect(config: &Config, token: &'static str) -> Vec<CollectionRun> {
    let mut around = surroundings(MemoryBodies::default());
    around.secrets = Arc::new(OneSecret(token.into()));
    around.clock = Arc::new(FixedClock(Timestamp::from_millis(START)));
    let mut runs = Vec::new();
    for collector in spec::COLLECTORS {
        let stream = AnySource::id(config).unwrap().stream(&collector.name.parse().unwrap());
        runs.push(kit::run(config, collector, &stream, Trigger::Manual, &around).await);
    }
    runs
}

/// Names of resources by check and by what the check says of them.
type Said = BTreeMap<String, BTreeMap<&'static str, BTreeSet<String>>>;

fn said(runs: &[CollectionRun]) -> Said {
    let set = CheckSet::embedded().unwrap();
    let mut said = Said::new();
    for run in runs {
        for resource in run.populations.iter().flat_map(|population| population.resources()) {
            let prepared = Prepared::new(&resource, run.collector_version);
            for check in set.by_resource(&resource.key.kind).filter(|check| check.needs().source == "github") {
                let word = match evaluate(check, &prepared, run.ended).value {
                    ObservationValue::Conforms => "conforms",
                    ObservationValue::Deviates => "deviates",
                    ObservationValue::NotApplicable => "not applicable",
                    ObservationValue::Undetermined => "undetermined",
                };
                let of_check = said.entry(check.id().to_string()).or_default();
                of_check.entry(word).or_default().insert(resource.key.id.clone());
            }
        }
    }
    said
}

fn truth(world: &World) -> Said {
    let ids = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<BTreeSet<_>>();
    let words = |verdicts: &world::Verdicts| {
        let all = [
            ("conforms", ids(&verdicts.conforms)),
            ("deviates", ids(&verdicts.deviates)),
            ("not applicable", ids(&verdicts.not_applicable)),
        ];
        all.into_iter().filter(|(_, ids)| !ids.is_empty()).collect()
    };
    world.github_truth().iter().map(|(check, verdicts)| ((*check).to_owned(), words(verdicts))).collect()
}

#[tokio::test]
async fn every_check_finds_what_is_wrong_and_nothing_else() {
    for (posture, below) in [(Posture::Good, ""), (Posture::Mixed, "api/v3"), (Posture::Bad, "")] {
        let world = World::with_posture(7, PEOPLE, START, posture);
        let server = world.serve(0).unwrap();
        let runs = collect(&source(&world, &server, below), world::GITHUB_TOKEN).await;
        for run in &runs {
            assert_eq!(run.outcome, Outcome::Collected, "{posture:?} {}: {:#?}", run.stream, run.gaps);
        }
        let (said, truth) = (said(&runs), truth(&world));
        for (check, words) in &truth {
            assert_eq!(said.get(check), Some(words), "{posture:?}: {check}");
        }
        assert_eq!(said.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>(), "{posture:?}: the checks");
    }
}

#[tokio::test]
async fn with_the_token_of_another_member_what_is_not_shown_is_undetermined() {
    let world = World::with_posture(7, PEOPLE, START, Posture::Mixed);
    let server = world.serve(0).unwrap();
    let runs = collect(&source(&world, &server, ""), world::GITHUB_MEMBER_TOKEN).await;
    let (said, truth) = (said(&runs), truth(&world));
    for (check, words) in &said {
        for word in ["conforms", "deviates"] {
            let (said, known) = (words.get(word), truth.get(check).and_then(|truth| truth.get(word)));
            let invented = said.into_iter().flatten().find(|id| !known.is_some_and(|known| known.contains(*id)));
            assert_eq!(invented, None, "{check} {word}");
        }
    }
    let undetermined = |check: &str| said.get(check).is_some_and(|words| words.contains_key("undetermined"));
    for check in ["github.org.two_factor_required", "github.org.members_two_factor", "github.branch.pr_required"] {
        assert!(undetermined(check), "{check}: {:?}", said.get(check));
    }
}

#[tokio::test]
async fn throttled_now_and_then_everything_is_collected_and_throttled_for_ever_is_a_gap() {
    let world = World::with_posture(7, PEOPLE, START, Posture::Mixed);
    let server = world.serve(0).unwrap();
    let repos = "GET /orgs/{org}/repos";
    world.fault_times(repos, Fault::Throttled { retry_after: 0 }, 1);
    let runs = collect(&source(&world, &server, ""), world::GITHUB_TOKEN).await;
    assert!(runs.iter().all(|run| run.outcome == Outcome::Collected));
    let tries = runs.iter().flat_map(|run| &run.exchanges).map(|exchange| exchange.tries.len()).sum::<usize>();
    assert_eq!(tries, 1, "the try is recorded");

    world.fault(repos, Fault::Throttled { retry_after: 0 });
    let runs = collect(&source(&world, &server, ""), world::GITHUB_TOKEN).await;
    for run in runs.iter().filter(|run| ["repositories", "branches"].contains(&run.collector().as_str())) {
        assert_eq!((run.outcome, run.gaps[0].reason), (Outcome::Failed, GapReason::Throttled), "{:#?}", run.gaps);
    }
}
