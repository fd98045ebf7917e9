//! A daemon and a scan over the simulated organisation, which has the same people in an identity provider, at a code host
//! and in a cloud account: most in order, some disabled, gone or never there.

use std::collections::BTreeSet;
use std::fs;

use domain::entry::{Fact, Run};
use domain::{ObservationValue, Outcome, Trigger};
use query::RowView;
use store::{Offline, Read};
use world::{Posture, Server, World};

use super::{CLOUD, CODE_HOST, HOLDERS, PEOPLE, sources};
use crate::support::{Api, Setup, now, served};

/// What the organisation says of its services.
const MAPPING: &str = "\
- {account: github:acme/acme-bot, service: true, owner: platform team, reason: merges updates of dependencies}
- {account: aws:prod/deploy-bot, service: true, owner: platform team, reason: puts releases onto the servers}
- {account: aws:prod/evidenced-reader, service: true, owner: cloud team, reason: reads for the evidence}
";

/// The organisation with its faults, and a daemon's settings that watch all of it. The join has no slot of its own for
/// an hour.
fn organisation() -> (World, Server, Setup) {
    let (world, server) = served(World::with_posture(7, 12, now().millis(), Posture::Mixed));
    let setup = Setup::of_world(&server);
    let dir = setup.dir.path().to_owned();
    fs::write(dir.join("github.token"), world::GITHUB_TOKEN).unwrap();
    fs::write(dir.join("aws.secret"), world::AWS_SECRET_KEY).unwrap();
    fs::write(dir.join("accounts.yaml"), MAPPING).unwrap();
    let sources = sources(&server.url(), &dir, "every: 1h");
    (world, server, setup.with_in_source(&sources).every("every: 2s"))
}

/// The names of open deviations of a check.
fn open(api: &Api, check: &str) -> BTreeSet<String> {
    let of_check = |alert: &query::Alert| alert.check.as_ref().is_some_and(|id| id.as_str() == check);
    api.deviations().into_iter().filter(of_check).map(|alert| alert.subject).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The runs of a stream, with their entries.
fn runs(setup: &Setup, stream: &str) -> Vec<(u64, Run)> {
    let offline = Offline::open(&setup.data()).unwrap();
    let size = offline.head().unwrap().size;
    let run = |number| match offline.entry(number).unwrap()?.fact {
        Fact::Run(run) if run.stream.as_str() == stream => Some((number, run)),
        _ => None,
    };
    (0..size).filter_map(run).collect()
}

#[test]
fn whoever_leaves_the_realm_and_keeps_accounts_is_found_at_once_and_when_people_cannot_be_read_nobody_is() {
    let (world, _server, setup) = organisation();
    let mut daemon = setup.start();
    let (gone_there, gone_here) =
        (names(&["olaf-acme", "otto-was-here"]), names(&["contractor-petra", "former-otto", "olaf"]));
    daemon.wait("those who are gone", |api| {
        (open(api, CODE_HOST) == gone_there && open(api, CLOUD) == gone_here).then_some(())
    });
    let first = &runs(&setup, HOLDERS)[0].1;
    assert!(first.gaps.iter().all(|gap| gap.types.is_empty()), "it waits for both sides: {:#?}", first.gaps);

    // Hana leaves, and stays a member and a user.
    world.remove_person("hana", "dora").unwrap();
    daemon.wait("the leaver", |api| {
        (open(api, CODE_HOST).contains("hana-acme") && open(api, CLOUD).contains("hana")).then_some(())
    });

    world.revoke("view-users");
    daemon.wait("what cannot be told", |api| {
        let view = api.streams().into_iter().find(|view| view.stream.as_str() == HOLDERS)?;
        let blind = |check: &str| {
            let view = view.checks.iter().find(|view| view.check.as_str() == check)?;
            (view.counts.conforms + view.counts.deviates == 0 && view.counts.undetermined > 0).then_some(())
        };
        blind(CODE_HOST).and(blind(CLOUD))
    });
    let steps = daemon.api().facts("deviation").len();
    world.remove_person("jana", "dora").unwrap();
    let asked = setup.command(&["run-now", "accounts:acme"]);
    assert!(asked.status.success(), "{asked:?}");
    daemon.wait("a join that somebody asked for", |_| {
        (runs(&setup, HOLDERS).last()?.1.trigger == Trigger::Manual).then_some(())
    });
    assert_eq!(open(daemon.api(), CODE_HOST).len(), 3, "what was open stays open, and nothing is opened");
    assert_eq!(daemon.api().facts("deviation").len(), steps);

    world.grant("view-users");
    daemon.wait("the second leaver", |api| open(api, CODE_HOST).contains("jana-acme").then_some(()));
    assert_eq!(daemon.stop().0, Some(0));

    let joins = runs(&setup, HOLDERS);
    let events = joins.iter().filter(|(_, run)| run.trigger == Trigger::Event).count();
    assert!(joins.iter().all(|(_, run)| run.trigger.slot().is_none()) && events > 0, "no slot of its own came");
    let readings: usize =
        [PEOPLE, "github:acme/people", "aws:prod/access"].map(|read| runs(&setup, read).len()).iter().sum();
    assert!(events < readings, "{events} joins of {readings} readings: it runs when something has changed");
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn one_scan_of_everything_reads_both_sides_before_it_joins_them() {
    let (_world, _server, setup) = organisation();
    setup.write();
    let output = setup.command(&["scan", "--init"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(CODE_HOST) && said.contains("olaf-acme") && said.contains("former-otto"), "{said}");
    let (entry, run) = runs(&setup, HOLDERS).pop().unwrap();
    assert_eq!(run.outcome, Outcome::Partial, "ghost-gustav has no address");
    assert_eq!(run.gaps.len(), 1, "{:#?}", run.gaps);
    assert_eq!(run.gaps[0].resources, 1, "{:#?}", run.gaps);
    // From the row to the entries that both sides were read from.
    let shown = setup.command(&["--json", "show", &format!("#{entry}/1")]);
    let row: RowView = serde_json::from_slice(&shown.stdout).unwrap_or_else(|e| panic!("{e}: {shown:?}"));
    let (people, _) = runs(&setup, PEOPLE).pop().unwrap();
    assert_eq!(row.exchange.unwrap().exchange.url, format!("evidence:{PEOPLE}#{people}"));
    assert!(said.contains(ObservationValue::Undetermined.as_str()), "{said}");
}
