//! `replay`: recorded observations, computed again.

use std::io::IsTerminal;

use super::Exit;
use super::args::{Cli, ReplayArgs};
use super::output::{Output, Tone, counted};
use super::read::Reading;
use crate::replay::{Asked, replay as compute};

/// Lines of one kind that are printed; the rest is counted.
const LISTED: usize = 50;

/// `evidenced replay`
pub(super) fn replay(cli: &Cli, args: &ReplayArgs, out: &Output) -> anyhow::Result<Exit> {
    let reading = Reading::open(cli, out)?;
    let query = reading.query();
    let asked =
        Asked { entry: args.entry, from: args.period.map(|(from, _)| from), to: args.period.and_then(|(_, to)| to) };
    let watched = std::io::stderr().is_terminal() && !out.json();
    let found = compute(&reading.offline, &query, &reading.knowledge.checks, &asked, &mut |done| {
        if watched && done.is_multiple_of(100) {
            out.note(format!("  {done} judgements"));
        }
    })?;
    anyhow::ensure!(
        found.judgements > 0 || !found.impossible.is_empty(),
        "no observations were recorded there; evidenced list changes shows what was"
    );
    let list = |lines: Vec<String>| {
        for line in lines.iter().take(LISTED) {
            out.line(line);
        }
        if lines.len() > LISTED {
            out.line(format!("           and {} more; --json lists all", lines.len() - LISTED));
        }
    };
    out.line(format!(
        "replayed   {}, {} byte for byte as recorded",
        counted(found.judgements, "judgement"),
        counted(found.equal, "observation")
    ));
    if found.erased > 0 {
        out.line(format!("erased     {} cannot be compared", counted(found.erased, "observation")));
    }
    let told = |word: &str, tone: Tone, found: &[crate::replay::Differing]| -> Vec<String> {
        let lines = found.iter().map(|one| (one.address, &one.what));
        lines.map(|(address, what)| format!("{:<10} {address}: {what}", out.toned(tone, word))).collect()
    };
    list(told("differs", Tone::Bad, &found.differing));
    list(told("cannot", Tone::Unseen, &found.impossible));
    let flips = found.flips.iter().map(|flip| {
        let would_be = flip.would_be.map_or("nothing", |value| value.as_str());
        let name = alerts::text::clean(&flip.name, 80);
        format!("flips      #{}  {} of {name}: was {}, today's check says {would_be}", flip.entry, flip.check, flip.was)
    });
    list(flips.collect());
    if found.flips.is_empty() {
        out.line("today      today's checks say the same of all of it");
    }
    out.fact(&found);
    Ok(match (found.differing.is_empty(), found.impossible.is_empty()) {
        (false, _) => Exit::Error,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Ok,
    })
}
