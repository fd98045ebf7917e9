//! `backup` and `restore`: a consistent copy beside a running daemon, and back.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use ledger::{DataKey, Level, VerifyOptions};
use store::{Offline, Restoring};

use super::Exit;
use super::args::{BackupArgs, Cli, RestoreArgs};
use super::output::{Output, shown};
use super::read::{data_dir, load, settings_beside};
use crate::app;
use crate::verify::{Trust, meaning_of};

/// `evidenced backup --to FILE|-`
pub(super) fn backup(cli: &Cli, args: &BackupArgs, out: &Output) -> anyhow::Result<Exit> {
    let settings = settings_beside(cli, out)?;
    let data = data_dir(cli, settings.as_ref());
    if args.to == Path::new("-") {
        let stdout = std::io::stdout();
        anyhow::ensure!(
            !stdout.is_terminal(),
            "a backup is no text: name a file, or send it on: evidenced backup --to - | …"
        );
        let done = store::backup(&data, &mut stdout.lock())?;
        out.note(format!("copied     {} entries of {}", done.entries, done.origin));
        return Ok(Exit::Ok);
    }
    let done = store::backup_to(&data, &args.to)?;
    out.line(format!("copied     {} entries of {}, root {}", done.entries, done.origin, done.root));
    out.line(format!("file       {}: guard it like the data, it holds names of people", args.to.display()));
    out.line("           the signing key is not in it: keep keys/ledger.seed elsewhere, apart from this");
    out.fact(&serde_json::json!({
        "origin": done.origin, "entries": done.entries, "root": done.root, "file": shown(&args.to),
    }));
    Ok(Exit::Ok)
}

/// `evidenced restore FILE|- --data DIR`
pub(super) fn restore(cli: &Cli, args: &RestoreArgs, out: &Output) -> anyhow::Result<Exit> {
    let data = cli.data.as_ref().context("name the folder to restore to: --data DIR; it must be new or empty")?;
    let from = args.from.as_ref().or(args.file.as_ref()).context("name the copy to read, or - for standard input")?;
    let copy = if from == Path::new("-") {
        let stdin = std::io::stdin();
        anyhow::ensure!(!stdin.is_terminal(), "a copy is no text to type: … | evidenced restore --from -");
        Restoring::unpack(&mut stdin.lock(), data)?
    } else {
        let mut file = std::fs::File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
        Restoring::unpack(&mut file, data)?
    };
    let data_key = match cli.config {
        Some(_) => app::data_key(&load(cli, out)?.settings)?,
        None => None,
    };
    let problems = if args.verify { problems(&copy.folder(), data_key.as_ref())? } else { Vec::new() };
    for problem in &problems {
        out.line(format!("invalid: {problem}"));
    }
    anyhow::ensure!(
        problems.is_empty(),
        "the copy does not verify, and nothing of it was kept in {}: take another one; to look at this one, restore it \
         without --verify",
        data.display()
    );
    let done = copy.keep()?;
    let verified = if args.verify { ", and verified" } else { "; verify it: evidenced verify" };
    out.line(format!("restored   {} entries of {}{verified}", done.entries, done.origin));
    out.line("next       if its guard (guard_dir) remembers no more than this, put keys/ledger.seed back and start the daemon;");
    out.line(
        "           if it remembers more, or is lost too: evidenced ledger close --because '…' begins the continuation",
    );
    out.fact(&serde_json::json!({
        "origin": done.origin, "entries": done.entries, "root": done.root, "data": shown(data), "verified": args.verify,
    }));
    Ok(Exit::Ok)
}

/// What does not hold in a folder, in words.
fn problems(data: &Path, data_key: Option<&DataKey>) -> anyhow::Result<Vec<String>> {
    let layout = store::Layout::new(data);
    let offline = Offline::open_with(data, data_key);
    let keys = offline.as_ref().ok().and_then(Offline::record_keys);
    let options = VerifyOptions { bodies: Some(layout.bodies()), keys, ..VerifyOptions::default() };
    let report = ledger::verify(&layout.ledger(), &options, &mut |_| {});
    let mut found: Vec<String> =
        report.problems.iter().map(|problem| format!("{}: {}", within(&problem.file, data), problem.what)).collect();
    if found.is_empty() && report.level < Level::Signed {
        found.push("it is signed by no key that it names".to_owned());
    }
    if found.is_empty() {
        // Slots that await the next start of a daemon, and runs under way, are as they were when the copy was made.
        let unread = "its entries cannot be read";
        let wrong = meaning_of(&offline.context(unread)?, &Trust::default()).context(unread)?.problems;
        found.extend(
            wrong
                .iter()
                .filter(|problem| problem.invalid)
                .map(|problem| format!("#{}: {}", problem.entry, problem.what)),
        );
    }
    Ok(found)
}

/// A file by its name in the copy.
fn within(file: &Path, folder: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).display().to_string()
}
