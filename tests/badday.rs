//! The acceptance list of bad days: twenty things that go wrong, each through the public doors of the whole program.
//!
//! Each test says beside its name what happens and what the daemon owes then. What is promised in one line over all of
//! them: what could not be looked at is said, told and kept apart, and never becomes a good word or a bad one.

mod checks;
mod collecting;
mod keeping;
mod process;

use std::path::Path;

use domain::entry::{Coverage, Deviation, Fact, Missed, Observations, Run};
use domain::{CheckCounts, FindingValue, StreamId};
use query::ControlView;
use serde_json::Value;
use store::Offline;
use world::{Posture, Server, World};

use crate::support::{Api, now, served};

const EVENTS: &str = "keycloak.realm.events_kept";
const ADMINS: &str = "keycloak.admin.second_factor";
const CLIENTS: &str = "keycloak.client.hardened";
const GUESSING: &str = "keycloak.realm.brute_force";

/// An organisation in which nothing deviates, so that every bad word would be a false one.
fn good() -> (World, Server) {
    with_posture(Posture::Good)
}

fn with_posture(posture: Posture) -> (World, Server) {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), posture));
    (world, server)
}

fn stream(collector: &str) -> StreamId {
    format!("keycloak:acme/{collector}").parse().unwrap()
}

/// The finding on a control, as the API gives it.
fn control(api: &Api, id: &str) -> Option<ControlView> {
    api.get(&format!("controls/iso27001-2022/{id}"))
}

fn value(api: &Api, id: &str) -> Option<FindingValue> {
    control(api, id).filter(|view| view.entry.is_some()).map(|view| view.value)
}

/// The ledger of a data directory, read beside whatever runs.
struct Book(Vec<Fact>);

impl Book {
    fn open(data: &Path) -> Book {
        let offline = Offline::open(data).unwrap();
        let entries = offline.entries(0).map(|entry| store::read::parse_entry(0, &entry.unwrap().1).unwrap().fact);
        Book(entries.collect())
    }

    /// The facts of one kind, with their entries.
    fn all<'a, T>(&'a self, choose: impl Fn(&'a Fact) -> Option<&'a T>) -> Vec<(u64, &'a T)> {
        (0..).zip(&self.0).filter_map(|(number, fact)| Some((number, choose(fact)?))).collect()
    }

    /// The runs of a collector, with their entries.
    fn runs(&self, collector: &str) -> Vec<(u64, &Run)> {
        let of = stream(collector);
        self.all(|fact| match fact {
            Fact::Run(run) if run.stream == of => Some(run),
            _ => None,
        })
    }

    /// Slots of a collector that nobody ran.
    fn missed(&self, collector: &str) -> Vec<(u64, &Missed)> {
        let of = stream(collector);
        self.all(|fact| match fact {
            Fact::Missed(missed) if missed.stream == of => Some(missed),
            _ => None,
        })
    }

    /// What a collector lost and got back of its sight.
    fn coverage(&self, collector: &str) -> Vec<(u64, &Coverage)> {
        let of = stream(collector);
        self.all(|fact| match fact {
            Fact::Coverage(coverage) if coverage.stream == of => Some(coverage),
            _ => None,
        })
    }

    /// The judgement of a run, looked up where it only says that nothing changed; `None` when nobody judged it.
    fn judgement(&self, run: u64) -> Option<&Observations> {
        self.0.iter().find_map(|fact| match fact {
            Fact::Observation(said) if said.run == run => match said.same_as.map(|place| &self.0[place as usize]) {
                Some(Fact::Observation(before)) => Some(before),
                _ => Some(said),
            },
            _ => None,
        })
    }

    /// What a check says of a run: its counts, and whether it saw all there is.
    fn counts(&self, run: u64, check: &str) -> Option<(CheckCounts, bool)> {
        let line = self.judgement(run)?.checks.iter().find(|line| line.check.as_str() == check)?;
        Some((line.counts.clone(), line.complete))
    }

    /// The steps of all deviations from a check.
    fn steps(&self, check: &str) -> Vec<&Deviation> {
        let steps = self.all(|fact| match fact {
            Fact::Deviation(step) if step.check.as_str() == check => Some(step),
            _ => None,
        });
        steps.into_iter().map(|(_, step)| step).collect()
    }

    /// The conclusions about a control, in their order.
    fn findings(&self, control: &str) -> Vec<FindingValue> {
        let finding = |fact: &Fact| match fact {
            Fact::Finding(finding) if finding.control.as_str() == control => Some(finding.value),
            _ => None,
        };
        self.0.iter().filter_map(finding).collect()
    }
}

fn counts(conforms: u64, deviates: u64, undetermined: u64, not_applicable: u64) -> CheckCounts {
    CheckCounts { conforms, deviates, undetermined, not_applicable }
}

/// The messages about lost or restored sight of a collector that the receiver was sent.
fn told_of_coverage(world: &World, collector: &str) -> Vec<Value> {
    let of = stream(collector);
    let about = |message: &Value| {
        message["type"].as_str().is_some_and(|kind| kind.starts_with("coverage."))
            && message["data"]["stream"] == of.as_str()
    };
    world.received().iter().map(|one| one.json()).filter(about).collect()
}

/// A check of the organisation's own that looks at one field of one type and conforms while it is true.
fn own_check(id: &str, of: &str, field: &str, control: &str, change: &[(&str, &str)]) -> String {
    let collector = match of {
        "keycloak.realm" => "realm",
        "keycloak.client" => "clients",
        _ => "people",
    };
    let text = format!(
        "\
id: {id}
title: It is as we want it
problem: It is not as we want it
rationale: We want it so.
severity: low
severity_why: it is ours to say
resource: {of}
needs: {{source: keycloak, collector: {collector}, version: 1}}
greatest_age: 6h
expr: {field} == true
fields:
  {field}: {{is: what we look at, kind: bool, call: 'GET /admin/realms/{{realm}}', path: somewhere}}
controls:
  - {{framework: iso27001-2022, control: {control}, bearing: proves, why: we say so}}
first_action: look
remediation: mend it
examples:
  - {{title: good, expect: conforms, fields: {{{field}: true}}}}
  - {{title: bad, expect: deviates, fields: {{{field}: false}}}}
  - {{title: unseen, expect: undetermined, fields: {{}}, unread: [{field}]}}
"
    );
    change.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}
