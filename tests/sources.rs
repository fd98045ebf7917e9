//! Cloud and source control beside identity: what is true of the simulated AWS account and GitHub organisation is said
//! of every resource, nothing else is, and what could not be looked at is neither.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::entry::Fact;
use domain::{GapReason, ObservationValue, Outcome, RowAddress, StreamId};
use evidenced::knowledge::Knowledge;
use query::Query;
use store::{Offline, Read};
use world::{Drift, Fault, Posture, Server, Verdicts, World};

use crate::support::{Setup, now, served};

/// By check, then by the resource's id at the source.
type Said = BTreeMap<String, BTreeMap<String, ObservationValue>>;

fn world(people: usize, posture: Posture) -> (World, Server) {
    let (world, server) = served(World::with_posture(7, people, now().millis(), posture));
    (world, server)
}

/// Watches the account and the organisation beside the realm; actors are asked for.
fn watching(world: &World, server: &Server) -> Setup {
    let setup = Setup::of_world(server);
    let (dir, url) = (setup.dir.path().display().to_string(), server.url());
    std::fs::write(setup.dir.path().join("aws.secret"), world::AWS_SECRET_KEY).unwrap();
    std::fs::write(setup.dir.path().join("github.token"), world::GITHUB_TOKEN).unwrap();
    setup.with_in_source(&format!(
        "  aws:\n  - name: acme\n    owner: cloud team\n    endpoint_url: {url}\n    cloudtrail: true\n    \
         access_key: {{id: {}, secret: {{file: {dir}/aws.secret}}}}\n    schedules: {{access: 'every: 2s'}}\n  \
         github:\n  - name: acme\n    owner: platform team\n    url: {url}/api/v3\n    organisation: {}\n    \
         token: {{file: {dir}/github.token}}\n    audit_log: true\n    approved: {}\n    \
         schedules: {{branches: 'every: 2s'}}\n",
        world::AWS_KEY_ID,
        world::GITHUB_ORG,
        world.github_approved(),
    ))
}

/// Looks once; gives what was printed.
fn scan(setup: &Setup, source: &str) -> String {
    let output = setup.command(&["scan", "--init", "--source", source]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code().is_some_and(|code| [0, 3].contains(&code)), "{printed}{output:?}");
    printed
}

/// What the last judgement of each of the source's streams says of every resource.
fn said(setup: &Setup, source: &str) -> Said {
    let (offline, knowledge) = (Offline::open(&setup.data()).unwrap(), Knowledge::embedded().unwrap());
    let mut last: BTreeMap<StreamId, u64> = BTreeMap::new();
    for entry in 0..offline.head().unwrap().size {
        if let Fact::Observation(said) = offline.entry(entry).unwrap().unwrap().fact
            && said.stream.source().as_str() == source
        {
            last.insert(said.stream, said.same_as.unwrap_or(entry));
        }
    }
    let query = Query { read: &offline, catalogue: &knowledge.catalogue, now: now() };
    let mut all = Said::new();
    for entry in last.into_values() {
        let rows = (0..).map_while(|row| query.row_view(RowAddress { entry, row: Some(row) }).unwrap());
        for observation in rows.map(|row| row.observation.unwrap()) {
            let of_check = all.entry(observation.check.to_string()).or_default();
            assert_eq!(of_check.insert(observation.resource.id, observation.value), None, "said twice");
        }
    }
    all
}

fn runs(setup: &Setup, source: &str) -> Vec<domain::entry::Run> {
    let offline = Offline::open(&setup.data()).unwrap();
    let entries = (0..offline.head().unwrap().size).map(|entry| offline.entry(entry).unwrap().unwrap().fact);
    let of_source = |fact| match fact {
        Fact::Run(run) if run.stream.source().as_str() == source => Some(run),
        _ => None,
    };
    entries.filter_map(of_source).collect()
}

fn true_of(truth: BTreeMap<&'static str, Verdicts>) -> Said {
    let values = |verdicts: &Verdicts| {
        let of =
            |ids: &BTreeMap<String, String>, value| ids.keys().map(move |id| (id.clone(), value)).collect::<Vec<_>>();
        let deviates = of(&verdicts.deviates, ObservationValue::Deviates);
        let conforms = of(&verdicts.conforms, ObservationValue::Conforms);
        let others = of(&verdicts.not_applicable, ObservationValue::NotApplicable);
        [deviates, conforms, others].concat().into_iter().collect()
    };
    truth.iter().map(|(check, verdicts)| ((*check).to_owned(), values(verdicts))).collect()
}

/// How what is said differs from what is true. Where something could not be looked at, saying nothing of a resource, or
/// that it is undetermined, is no difference.
fn differences(truth: &Said, said: &Said, all_was_seen: bool) -> Vec<String> {
    let mut differences = Vec::new();
    let none = BTreeMap::new();
    for check in truth.keys().chain(said.keys()).collect::<BTreeSet<_>>() {
        let (wanted, got) = (truth.get(check).unwrap_or(&none), said.get(check).unwrap_or(&none));
        for id in wanted.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
            let unseen = matches!(got.get(id), None | Some(ObservationValue::Undetermined));
            if wanted.get(id) != got.get(id) && (all_was_seen || !unseen) {
                differences.push(format!("{check} of {id}: {:?}, not {:?}", got.get(id), wanted.get(id)));
            }
        }
    }
    differences
}

fn truth_of(world: &World, source: &str) -> Said {
    true_of(if source == "aws:acme" { world.aws_truth() } else { world.github_truth() })
}

#[test]
fn in_every_posture_each_check_says_of_every_resource_what_is_true_of_it() {
    let mut table = String::new();
    for (posture, people) in [(Posture::Mixed, 320), (Posture::Good, 60), (Posture::Bad, 60)] {
        let (world, server) = world(people, posture);
        let setup = watching(&world, &server);
        setup.write();
        for source in ["aws:acme", "github:acme"] {
            let printed = scan(&setup, source);
            let (truth, said) = (truth_of(&world, source), said(&setup, source));
            let differences = differences(&truth, &said, true);
            assert!(differences.is_empty(), "{posture:?} {source}:\n{}\n{printed}", differences.join("\n"));
            for (check, verdicts) in &said {
                let count = |value| verdicts.values().filter(|v| **v == value).count();
                let (deviates, conforms) = (count(ObservationValue::Deviates), count(ObservationValue::Conforms));
                assert_eq!(
                    deviates > 0,
                    posture != Posture::Good && truth[check].values().any(|v| *v == ObservationValue::Deviates)
                );
                table.push_str(&format!("{posture:?} {check}: {deviates} of {}\n", deviates + conforms));
            }
            assert!(runs(&setup, source).iter().all(|run| run.outcome == Outcome::Collected && run.gaps.is_empty()));
        }
    }
    // In the bad posture whatever can deviate does.
    let never = table.lines().filter(|line| line.starts_with("Bad") && line.contains(": 0 of"));
    assert_eq!(never.collect::<Vec<_>>(), Vec::<&str>::new(), "{table}");
}

/// Each call that is made, refused one after the other.
fn no_refused_call_becomes_a_word(source: &str) {
    let (world, server) = world(30, Posture::Mixed);
    let setup = watching(&world, &server);
    setup.write();
    scan(&setup, source);
    let truth = truth_of(&world, source);
    let calls: BTreeSet<String> = world.calls().into_iter().map(|call| call.call).collect();
    assert!(calls.len() > 9, "{calls:?}");
    for call in calls {
        world.fault(&call, Fault::Denied);
        let before = runs(&setup, source).len();
        let printed = scan(&setup, source);
        let wrong = differences(&truth, &said(&setup, source), false);
        assert!(wrong.is_empty(), "{call} denied:\n{}\n{printed}", wrong.join("\n"));
        let gaps: Vec<_> = runs(&setup, source).into_iter().skip(before).flat_map(|run| run.gaps).collect();
        assert!(gaps.iter().any(|gap| gap.call == call && gap.reason == GapReason::Denied), "{call}: {gaps:?}");
        world.clear_faults();
    }
    scan(&setup, source);
    assert_eq!(differences(&truth, &said(&setup, source), true), Vec::<String>::new());
}

#[test]
fn no_call_that_aws_refuses_becomes_a_good_word_or_a_bad_one() {
    no_refused_call_becomes_a_word("aws:acme");
}

#[test]
fn no_call_that_github_refuses_becomes_a_good_word_or_a_bad_one() {
    no_refused_call_becomes_a_word("github:acme");
}

#[test]
fn calls_that_are_throttled_and_then_answered_are_complete_with_their_tries() {
    let (world, server) = world(30, Posture::Mixed);
    let setup = watching(&world, &server);
    setup.write();
    for (source, n) in [("aws:acme", 4), ("github:acme", 25)] {
        world.fault("*", Fault::EveryNthThrottled { n, retry_after: 1 });
        scan(&setup, source);
        world.clear_faults();
        assert_eq!(differences(&truth_of(&world, source), &said(&setup, source), true), Vec::<String>::new());
        let offline = Offline::open(&setup.data()).unwrap();
        let knowledge = Knowledge::embedded().unwrap();
        let query = Query { read: &offline, catalogue: &knowledge.catalogue, now: now() };
        let exchanges =
            runs(&setup, source).into_iter().flat_map(|run| query.exchanges(run.exchanges.as_ref()).unwrap());
        let throttled = exchanges.filter(|exchange| !exchange.tries.is_empty()).count();
        assert!(throttled > 1, "{source}: {throttled}");
    }
}

#[test]
fn a_drift_in_the_cloud_and_one_in_source_control_are_told_with_their_actors_and_resolved() {
    let (world, server) = world(30, Posture::Mixed);
    let setup = watching(&world, &server).every("every: 12h").with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| {
        let streams = api.streams();
        let judged = streams
            .iter()
            .all(|view| view.checks.iter().all(|check| Some(check.at) == view.last_run.map(|run| run.ended)));
        (streams.len() == 11 && judged).then_some(())
    });
    for drift in [Drift::AdminPolicyAttached, Drift::BranchProtectionRemoved] {
        assert!(daemon.api().deviation(drift.check()).is_none_or(|alert| alert.baseline), "{drift:?}");
        world.drift(drift, "dora").unwrap();
        let alert = daemon.wait("the deviation", |api| {
            let all = api.deviations().into_iter();
            all.filter(|alert| !alert.baseline)
                .find(|alert| alert.check.as_ref().is_some_and(|c| c.as_str() == drift.check()))
        });
        assert!(alert.who.as_ref().is_ok_and(|who| who.name.contains("dora")), "{:?}", alert.who);
        let told = |what: &str| {
            let messages = world.received().into_iter().map(|one| one.json().to_string());
            messages.filter(|text| text.contains(drift.check()) && text.contains(what)).count()
        };
        daemon.wait("the alert", |_| (told("firing") == 1).then_some(()));
        world.undo(drift, "dora").unwrap();
        daemon.wait("the resolve", |_| (told("resolved") == 1).then_some(()));
        assert_eq!(told("firing"), 1, "{drift:?} is told once");
    }
    let (code, took) = daemon.stop();
    assert!(code == Some(0) && took < Duration::from_secs(10), "{code:?} {took:?}");
    let (exit, printed) = setup.verify();
    assert_eq!(exit, 0, "{printed}");
}
