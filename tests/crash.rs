//! The daemon is killed, again and again, in one data directory; and its data directory is damaged while it is down.
//!
//! Half of the kills are aborts at a named step between append and acknowledge, half are `kill -9` at random moments.
//! After each the ledger is verified from its bytes alone, and the next start goes on from whatever was left.

mod building;
mod damage;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use domain::GapReason;
use domain::entry::Fact;
use ledger::disk::Step;
use store::Offline;
use world::{Drift, World};

use crate::support::{Setup, now, served};

/// Kills in an ordinary run of the tests.
const FEW: u32 = 24;
/// Kills in a long one, where the variable `KILLS` does not say another number.
const MANY: u32 = 200;

#[test]
fn a_daemon_that_is_killed_at_any_moment_leaves_a_ledger_that_verifies() {
    survive(FEW, 1);
}

#[test]
#[ignore = "takes minutes: run by tests/all; a thousand: KILLS=1000 cargo test --test main -- --ignored killed_many_times"]
fn a_daemon_that_is_killed_many_times_leaves_a_ledger_that_verifies() {
    let kills = std::env::var("KILLS").map_or(MANY, |kills| kills.parse().unwrap());
    survive(kills, 2);
}

/// Where a daemon is to end.
#[derive(Debug)]
enum Moment {
    /// At the n-th time that its writer reaches a step.
    Step(Step, u64),
    /// So many milliseconds after its start.
    After(u64),
}

fn survive(kills: u32, seed: u64) {
    let (world, server) = served(World::new(7, 12, now().millis()));
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    setup.write();
    let mut chance = Chance(seed);
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    let mut size = 0;
    for kill in 0..kills {
        // Something to record beside the runs: a deviation opens and closes every few kills.
        match kill % 8 {
            2 => world.drift(Drift::BruteForceOff, "dora").unwrap(),
            6 => world.undo(Drift::BruteForceOff, "dora").unwrap(),
            _ => {}
        }
        // Now and then slots pass first, and the next start ends while it says so.
        let long = kill % 8 == 4;
        if long {
            sleep(Duration::from_millis(2200));
        }
        let moment = match kill % 2 {
            0 if long => Moment::Step(Step::ALL[kill as usize / 8 % Step::ALL.len()], 1 + chance.below(5)),
            0 => Moment::Step(Step::ALL[kill as usize / 2 % Step::ALL.len()], 1 + chance.below(12)),
            _ => Moment::After(chance.below(1500)),
        };
        match &moment {
            Moment::Step(step, nth) => {
                let at = format!("{}:{nth}", step.as_str());
                let ended = setup.start_as_written(&["--crash-at", &at]).ended();
                assert_eq!(ended, None, "kill {kill}: it should have aborted at {at}");
                *done.entry(step.as_str()).or_default() += 1;
            }
            Moment::After(millis) => {
                let daemon = setup.start_as_written(&[]);
                sleep(Duration::from_millis(*millis));
                daemon.kill();
                *done.entry("kill -9").or_default() += 1;
            }
        }
        if !fs::exists(setup.data().join("ledger/checkpoint")).unwrap() {
            assert_eq!(size, 0, "kill {kill}: {moment:?}");
            continue;
        }
        let (exit, said) = setup.verify();
        assert_eq!(exit, 0, "kill {kill}, {moment:?}: {said}");
        let now = facts(&setup.data()).len();
        assert!(now >= size, "kill {kill}, {moment:?}: {size} entries, then {now}");
        size = now;
    }

    let mut daemon = setup.start_as_written(&[]);
    daemon.wait_for_runs(2);
    let told_of = |fact: &serde_json::Value| fact["accepted"] == true && fact["tells"] == "resolved";
    daemon.wait("the last word on the last drift", |api| api.facts("delivery").iter().any(told_of).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
    assert!(!said.contains("under way"), "{said}");
    let facts = facts(&setup.data());
    let interrupted = facts.iter().filter(
        |fact| matches!(fact, Fact::Run(run) if run.gaps.iter().any(|gap| gap.reason == GapReason::Interrupted)),
    );
    let interrupted = interrupted.count();
    let missed = facts.iter().filter(|fact| matches!(fact, Fact::Missed(_))).count();
    assert!(interrupted > 0 && missed > 0, "kills that hit nothing prove nothing");
    // What a receiver was told twice, because the daemon died before it could note it, has one id.
    let mut ids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for message in world.received() {
        let told = message.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let key = (text(&told["data"]["incident"]), text(&told["type"]));
        ids.entry(key).or_default().insert(message.header("webhook-id").unwrap().to_owned());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    println!(
        "killed {kills} times ({}), verified each time: {} entries, {interrupted} interrupted runs, {missed} entries \
         of missed slots, {} told",
        done.iter().map(|(how, count)| format!("{count} {how}")).collect::<Vec<_>>().join(", "),
        facts.len(),
        ids.len(),
    );
}

fn facts(data: &Path) -> Vec<Fact> {
    let offline = Offline::open(data).unwrap();
    offline.entries(0).map(|entry| store::read::parse_entry(0, &entry.unwrap().1).unwrap().fact).collect()
}

/// Numbers by chance, the same for the same seed: splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
