//! `verify`: re-derives everything from the data directory alone.

use std::io::IsTerminal;
use std::path::Path;

use anchor::Roots;
use anyhow::Context;
use ledger::{KeySource, Kind, Level, Progress, VerifyOptions};

use super::Exit;
use super::args::{self, Cli, VerifyArgs};
use super::output::{Output, Tone, shown};
use super::read::{data_dir, settings_if_any};
use crate::app;
use crate::config::Settings;
use crate::verify::{Meaning, Outside, Trust, meaning_of};

/// Whether two paths lead to the same folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// `evidenced verify [DIR]`
pub(super) fn verify(cli: &Cli, args: &VerifyArgs, out: &Output) -> anyhow::Result<Exit> {
    // A folder that is named needs no settings: whoever verifies may have nothing else.
    let named = args.dir.clone().or_else(|| cli.data.clone());
    let wanted = named.is_none() || cli.config.is_some();
    let settings = if wanted { settings_if_any(cli, out)? } else { None };
    let data = named.unwrap_or_else(|| data_dir(cli, settings.as_ref()));
    let witnesses = args.witness.iter().map(|line| line.trim().parse().context("not the key of a witness"));
    let trust = Trust { roots: trusted(args, settings.as_ref())?, witnesses: witnesses.collect::<Result<_, _>>()? };
    let data_key = settings.as_ref().map(app::data_key).transpose()?.flatten();
    // It remembers that one ledger, and knows nothing of a copy that lies elsewhere.
    let guard = settings.filter(|settings| is_same(&settings.data, &data)).and_then(|settings| settings.guard_dir);
    let layout = store::Layout::new(&data);
    let is_package = !layout.is_initialised() && data.join("files.txt").is_file();
    // What may not be looked at is not said to be missing: verification tells which file it is.
    let there = layout.is_initialised() || layout.hidden().is_some();
    anyhow::ensure!(is_package || there, "no ledger in {}", data.display());
    let pin = args.pin.as_ref().map(|path| {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        ledger::SignedCheckpoint::parse_unverified(&bytes)
            .with_context(|| format!("{} is not a checkpoint", path.display()))?;
        anyhow::Ok(bytes)
    });
    let key = args.key.as_ref().map(|text| {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        line.unwrap_or_default().parse::<ledger::VerifierKey>().context("not a verifier key")
    });
    let (pin, key) = (pin.transpose()?, key.transpose()?);
    if is_package {
        return Ok(verify_package(
            &data,
            args,
            verifier::Asked { keys: key.map(|key| vec![key]), pin, digest: None, roots: trust.roots },
            out,
        ));
    }
    // Before the keys are read, so that each body up to here has its key among them, whatever a running daemon adds.
    let bodies_until = ledger::bodies_end(&layout.bodies());
    let (keys, locked) = match store::record_keys(&data, data_key.as_ref()) {
        Ok(keys) => (Some(keys), None),
        Err(why) => (None, Some(why)),
    };
    let options = VerifyOptions {
        keys,
        pin,
        key,
        bodies: (!args.skip_bodies).then(|| layout.bodies()),
        bodies_until,
        guard: Some(guard.unwrap_or_else(|| layout.guard())).filter(|guard| guard.is_dir()),
    };
    let watched = std::io::stderr().is_terminal() && !out.json();
    let report = ledger::verify(&layout.ledger(), &options, &mut |progress| {
        if watched {
            match progress {
                Progress::Entries { done, total } => out.note(format!("  {done} of {total} entries")),
                Progress::Bodies { done } => out.note(format!("  {done} bodies")),
            }
        }
    });
    let needed = match args.require {
        args::Level::Signed | args::Level::Anchored => Level::Signed,
        // Whether a witness stands in for a pin is seen when the entries are read.
        args::Level::Pinned if !args.witness.is_empty() => Level::Signed,
        args::Level::Pinned => Level::Pinned,
    };
    // What the entries mean is only worth saying of entries that are what was signed.
    let sound = !report.denied && report.problems.iter().all(|problem| problem.kind != Kind::Invalid);
    let meaning = || -> Result<Meaning, store::ReadError> {
        let (offline, _) = store::Offline::open_even_sealed(&data, data_key.as_ref())?;
        meaning_of(&offline, &trust)
    };
    let meaning = if sound { Some(meaning()) } else { None };
    let (meaning, unread) = match meaning {
        Some(Ok(meaning)) => (meaning, None),
        Some(Err(error)) => (Meaning::default(), Some(domain::in_full(&error))),
        None => (Meaning::default(), None),
    };
    print_ledger(&report, out);
    if options.bodies.is_none() {
        out.line(out.toned(Tone::Unseen, "bodies     left out as you asked: what entries name was not recomputed"));
    }
    if let Some(why) = &locked {
        let (sealed, named) = (report.unopened, meaning.unopened_bodies);
        let bodies = if options.bodies.is_none() { format!("{named} that entries name") } else { sealed.to_string() };
        out.line(
            out.toned(Tone::Unseen, format!("sealed     {bodies} bodies were not opened: {}", domain::in_full(why))),
        );
        out.line("           Hashes and signatures hold without; rows were not counted, and nobody can be named");
    }
    if options.guard.is_none() {
        out.line(
            out.toned(
                Tone::Unseen,
                "guard      none in reach: an older copy put in place of this ledger would not show",
            ),
        );
    }
    for problem in &report.problems {
        let place = problem.offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
        let entry = problem.entry.map_or_else(String::new, |entry| format!(", entry #{entry}"));
        let kind = out.toned(Tone::Bad, problem.kind.as_str());
        let more = match problem.more {
            0 => String::new(),
            n => format!(", and {n} more of the same in this file"),
        };
        out.line(format!("{kind}: {}{place}{entry}: {}{more}", problem.file.display(), problem.what));
    }
    if report.more_problems > 0 {
        out.line(format!("           and {} more, which are not listed", report.more_problems));
    }
    if report.denied {
        let what =
            "unseen     what you may not read was not looked at, and nothing is said of it: verify as the owner of the";
        out.line(out.toned(Tone::Unseen, what));
        out.line("           data, or have a copy made by whoever is (evidenced backup) and verify that");
    }
    if sound {
        print_meaning(&meaning, unread.as_deref(), report.problems.is_empty(), out);
        print_outside(&meaning.outside, !trust.roots.is_empty(), out);
    }
    let outside = &meaning.outside;
    // Where the ledger's own report names something already, what does not read is that same thing again.
    let unexplained = unread.is_some() && report.problems.is_empty();
    let invalid = unexplained || meaning.problems.iter().any(|problem| problem.invalid);
    let incomplete = !meaning.problems.is_empty() || (locked.is_some() && !args.skip_bodies);
    let found = [
        (invalid || !outside.broken.is_empty(), INVALID),
        (!outside.contradicted.is_empty(), DIVERGED),
        (incomplete, INCOMPLETE),
    ];
    let mut code = worst(report.exit_code(needed), found.into_iter().filter_map(|(is, code)| is.then_some(code)));
    if args.require == args::Level::Anchored && code == 0 && !outside.is_anchored() {
        code = NOT_REACHED;
    }
    let witnessed = !outside.witnessed.is_empty();
    if args.require == args::Level::Pinned && code == 0 && report.level < Level::Pinned && !witnessed {
        code = NOT_REACHED;
    }
    let level = if witnessed && report.level == Level::Signed { Level::Pinned } else { report.level };
    let mut reached = level.as_str().to_uppercase();
    if outside.is_anchored() {
        reached.push_str(", ANCHORED");
    }
    let verdict = match code {
        0 => out.toned(Tone::Good, reached),
        NOT_REACHED => out.toned(Tone::Unseen, format!("{reached}, and less than was required")),
        DIVERGED => out.toned(Tone::Bad, "DIVERGED"),
        INVALID => out.toned(Tone::Bad, "INVALID"),
        _ => out.toned(Tone::Unseen, "INCOMPLETE"),
    };
    out.line(format!("verdict    {verdict}   exit {code}"));
    out.fact(&serde_json::json!({
        "origin": report.origin, "entries": report.entries, "checkpoints": report.checkpoints, "bodies": report.bodies,
        "erased": report.erased, "unopened": report.unopened, "locked": locked.as_ref().map(|why| domain::in_full(why)),
        "root": report.root.to_base64(),
        "keys": report.keys.iter().map(|range| serde_json::json!({
            "key": range.key.to_string(), "from": range.from, "until": range.until,
        })).collect::<Vec<_>>(), "level": level.as_str(),
        "anchored": outside.is_anchored(), "exit": code, "meaning": meaning, "unread": unread,
        "problems": report.problems.iter().map(|problem| serde_json::json!({
            "kind": problem.kind.as_str(), "file": shown(&problem.file), "offset": problem.offset, "entry": problem.entry,
            "what": problem.what, "more": problem.more,
        })).collect::<Vec<_>>(),
        "more_problems": report.more_problems, "denied": report.denied,
    }));
    Ok(Exit::Verify(code))
}

/// An evidence package, as `evidenced-verify` reads it.
fn verify_package(folder: &Path, args: &VerifyArgs, asked: verifier::Asked, out: &Output) -> Exit {
    let required = match args.require {
        args::Level::Signed => verifier::Level::Signed,
        args::Level::Anchored => verifier::Level::Anchored,
        args::Level::Pinned => verifier::Level::Pinned,
    };
    let report = verifier::verify(folder, &asked);
    for line in report.words(required).lines() {
        out.line(line);
    }
    let code = report.exit_code(required);
    let problems = report.problems.iter().map(
        |problem| serde_json::json!({ "kind": problem.kind.as_str(), "place": problem.place, "what": problem.what }),
    );
    out.fact(&serde_json::json!({
        "package": report.digest, "level": report.level.as_str(), "anchored": report.anchored, "exit": code, "slots": report.slots,
        "entries": report.entries, "bodies": report.bodies, "withheld": report.withheld,
        "problems": problems.collect::<Vec<_>>(),
    }));
    Exit::Verify(code)
}

/// Decision on exit codes: the level was not reached.
const NOT_REACHED: u8 = 20;
/// The ledger contradicts something that is held outside: a pin, the guard, the time that an authority gives.
const DIVERGED: u8 = 30;
/// Bytes are not what was written and signed, or entries contradict each other.
const INVALID: u8 = 40;
/// Something that should be there is not.
const INCOMPLETE: u8 = 50;

/// Of all that is wrong, what weighs most: invalid before diverged before incomplete, as the ledger's own report has it.
fn worst(code: u8, found: impl Iterator<Item = u8>) -> u8 {
    let weight =
        |code: &u8| [INVALID, DIVERGED, INCOMPLETE].iter().position(|known| known == code).unwrap_or(usize::MAX);
    found.chain([code]).min_by_key(weight).unwrap_or(code)
}

/// The certificates that vouch for authorities: those that were named, else those of the settings.
fn trusted(args: &VerifyArgs, settings: Option<&Settings>) -> anyhow::Result<Roots> {
    let mut roots = Roots::default();
    for path in &args.ca {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        roots = roots.and(Roots::from_pem(&bytes).with_context(|| path.display().to_string())?);
    }
    if args.ca.is_empty() {
        for authority in settings.iter().flat_map(|settings| &settings.anchors) {
            roots = roots.and(authority.trusted().map_err(|why| anyhow::anyhow!("{}: {why}", authority.name))?.0);
        }
    }
    Ok(roots)
}

fn print_outside(outside: &Outside, trusting: bool, out: &Output) {
    if let Some((witness, size, time)) = outside.witnessed.iter().max_by_key(|(_, size, _)| *size) {
        let count = outside.witnessed.len();
        out.line(format!(
            "witnessed  {count} times; {witness} saw the first {size} entries at {time}, and no other ones"
        ));
    }
    if outside.anchors == 0 {
        out.line("anchored   no authority outside dated this ledger: when it was made is its operator's word");
        return;
    }
    match outside.last() {
        Some((last, before)) => {
            let (held, authority) = (outside.held.len(), &last.authority);
            out.line(format!(
                "anchored   {held} times from outside; all below #{} existed before {} ({authority})",
                last.size, last.time
            ));
            if let Some(before) = before {
                let (entry, authority) = (before.entry + 1, &before.authority);
                let above = last.size.saturating_sub(1).max(entry);
                out.line(format!(
                    "           #{entry} to #{above} were made after {} ({authority}, the anchor before)",
                    before.time
                ));
            }
            if outside.undated > 0 {
                out.line(format!("           the last {} entries are not dated yet", outside.undated));
            }
            if !outside.fresh {
                let what = "anchored   the end of the ledger is younger than that by more than twice the time that was promised";
                out.line(out.toned(Tone::Unseen, what));
            }
        }
        None if !trusting => {
            let what = format!(
                "anchored   {} times by what the ledger says; give the certificates that you trust with --ca to check it",
                outside.anchors
            );
            out.line(out.toned(Tone::Unseen, what));
        }
        None => out
            .line(out.toned(Tone::Unseen, format!("anchored   none of {} anchors can be relied on", outside.anchors))),
    }
    if let (true, Some((entry, why))) = (trusting, outside.untrusted.first()) {
        let more = match outside.untrusted.len() - 1 {
            0 => String::new(),
            n => format!(", and {n} more"),
        };
        out.line(format!("{}: #{entry}: {why}{more}", out.toned(Tone::Unseen, "untrusted")));
    }
    for (entry, why) in &outside.broken {
        out.line(format!("{}: #{entry}: {why}", out.toned(Tone::Bad, "invalid")));
    }
    for wrong in &outside.contradicted {
        let (first, last) = (wrong.first, wrong.last);
        let of = if first == last { format!("#{first}") } else { format!("#{first} to #{last}: the last of them") };
        out.line(format!("{}: {of} {}", out.toned(Tone::Bad, "diverged"), wrong.what));
    }
}

fn print_ledger(report: &ledger::Report, out: &Output) {
    let origin = report.origin.as_deref().unwrap_or("unknown");
    out.line(format!("ledger     {origin}"));
    out.line(format!("entries    {} hash to the root {}", report.entries, report.root.to_base64()));
    out.line(format!("signed     {} checkpoints held against the entries", report.checkpoints));
    out.line(match report.key_from {
        KeySource::Given if report.checkpoints == 0 => {
            "key        the one you gave: it signed none of the checkpoints that are here".to_owned()
        }
        KeySource::Given => "key        the one you gave".to_owned(),
        KeySource::FirstEntry => {
            "key        the one in entry #0: give the key you were handed with --key to prove whose ledger it is"
                .to_owned()
        }
        KeySource::None => "key        none".to_owned(),
    });
    if report.keys.len() > 1 {
        out.line(format!("           it is one of {}, each signed for by the one before it", report.keys.len()));
    }
    if report.bodies > 0 {
        out.line(format!("bodies     {} are what was committed to", report.bodies));
    }
    if report.erased > 0 {
        out.line(format!("erased     {} cannot be opened any more: their record keys were destroyed", report.erased));
    }
}

fn print_meaning(meaning: &Meaning, unread: Option<&str>, unexplained: bool, out: &Output) {
    match unread {
        Some(error) if unexplained => return out.line(format!("{}: {error}", out.toned(Tone::Bad, "invalid"))),
        Some(error) => return out.line(out.toned(Tone::Unseen, format!("unread     what the entries mean: {error}"))),
        None => {}
    }
    if let Some(before) = &meaning.continues {
        let (origin, size, missing) = (&before.origin, before.known.size, before.missing);
        out.line(format!(
            "continues  {origin}, closed at {size} entries of which {missing} are missing: {}",
            before.because
        ));
        if before.unremembered {
            let what = "           whether more came after them nobody knows: no high-water mark of it was left";
            out.line(out.toned(Tone::Unseen, what));
        }
    }
    let [collected, partial, failed, missed] = meaning.slots;
    let all: u64 = meaning.slots.iter().sum();
    let under_way = match meaning.under_way {
        0 => String::new(),
        n => format!("; {n} under way when the ledger ends"),
    };
    out.line(format!(
        "slots      {all} were promised and have one outcome each: {collected} collected, {partial} partial, {failed} failed, {missed} missed{under_way}"
    ));
    for (place, (reason, count)) in meaning.missed.iter().enumerate() {
        out.line(format!("{}  {count} {}", if place == 0 { "missed   " } else { "         " }, reason.as_str()));
    }
    if meaning.pending > 0 {
        let pending = meaning.pending;
        out.line(format!(
            "           {pending} more came after the daemon ended; its next start records them as missed"
        ));
    }
    out.line(format!(
        "counted    {} populations and {} judgements, row by row",
        meaning.populations, meaning.judgements
    ));
    if meaning.erased_bodies > 0 {
        let (bodies, erased, all) = (meaning.erased_bodies, meaning.erased, meaning.resources);
        out.line(format!("           {bodies} bodies and {erased} of {all} resources were erased, as entries say"));
    }
    if meaning.unnamed > 0 && meaning.unopened_bodies == 0 {
        let (unnamed, all) = (meaning.unnamed, meaning.resources);
        out.line(out.toned(
            Tone::Unseen,
            format!("names      {unnamed} of {all} resources cannot be told by their pseudonyms: keys/records does not hold them."),
        ));
        out.line("           Everything above holds without; which entries speak of one resource cannot be shown");
    }
    for problem in &meaning.problems {
        let word = if problem.invalid { out.toned(Tone::Bad, "invalid") } else { out.toned(Tone::Unseen, "missing") };
        let row = problem.row.map_or_else(String::new, |row| format!("/{row}"));
        out.line(format!("{word}: #{}{row}: {}", problem.entry, problem.what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_things_that_are_wrong_the_exit_code_says_the_one_that_weighs_most() {
        for (code, found, expected) in [
            (0, vec![], 0),
            (NOT_REACHED, vec![], NOT_REACHED),
            (DIVERGED, vec![INCOMPLETE], DIVERGED),
            (INCOMPLETE, vec![DIVERGED], DIVERGED),
            (INCOMPLETE, vec![INVALID], INVALID),
            (INVALID, vec![DIVERGED, INCOMPLETE], INVALID),
            (NOT_REACHED, vec![INCOMPLETE], INCOMPLETE),
        ] {
            assert_eq!(worst(code, found.iter().copied()), expected, "{code} {found:?}");
        }
    }
}
