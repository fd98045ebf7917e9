//! `ledger`: what an auditor is handed of the ledger itself. It reads without a lock, beside a running daemon.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use ledger::disk::replace;
use ledger::{KeyRange, KeyRing, Progress, Reader, RealDisk, SignedCheckpoint};

use super::Exit;
use super::args::{Cli, LedgerArgs, LedgerCommand};
use super::output::{Output, Tone, shown};
use super::read::{data_dir, settings_beside, settings_if_any};
use crate::app::{self, BadDisk};

/// `evidenced ledger …`
pub(super) fn ledger(cli: &Cli, args: &LedgerArgs, out: &Output) -> anyhow::Result<Exit> {
    match &args.command {
        LedgerCommand::Key => print_keys(&reader(cli, out)?, out),
        LedgerCommand::Policy => print_policy(&reader(cli, out)?, out),
        LedgerCommand::RotateKey => rotate_key(cli, out),
        LedgerCommand::Close { because, yes } => close(cli, because, *yes, out),
        LedgerCommand::Rewrap { key } => rewrap(cli, key.as_deref(), out),
        LedgerCommand::Export { tiles } => export(&reader(cli, out)?, tiles, out),
    }
}

/// `evidenced show ENTRY --proof FILE`: an entry, byte for byte, and beside it the proof that it is in the ledger.
pub(super) fn write_proof(cli: &Cli, entry: u64, file: &Path, out: &Output) -> anyhow::Result<Exit> {
    let reader = reader(cli, out)?;
    let (ring, head) = signed_head(&reader)?;
    let size = head.checkpoint.size;
    anyhow::ensure!(entry < size, "there is no entry #{entry}; the ledger holds {size} entries, from #0");
    let (bytes, proof) = (reader.entry(entry)?, reader.tlog_proof(entry)?);
    proof.verify(&bytes, &ring.at(size)).context("the proof does not hold")?;
    let mut name = file.file_name().context("the proof needs a file name")?.to_owned();
    name.push(".tlog-proof");
    let beside = file.with_file_name(name);
    let proof = proof.to_string();
    let files = [(file, bytes.as_slice()), (beside.as_path(), proof.as_bytes())];
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        anyhow::bail!("{} is there already; name another file", path.display());
    }
    for (path, bytes) in files {
        replace(&RealDisk, path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    out.line(format!("entry      #{entry}, byte for byte what was hashed: {}", file.display()));
    out.line(format!("proof      that it is in the ledger of {size} entries: {}", beside.display()));
    out.line("check      any reader of C2SP tlog-proof, with the key that `evidenced ledger key` prints");
    out.fact(&serde_json::json!({ "entry": entry, "size": size, "file": shown(file), "proof": shown(&beside) }));
    Ok(Exit::Ok)
}

/// The ledger in the data directory that is meant. A directory that is named needs no settings.
fn reader(cli: &Cli, out: &Output) -> anyhow::Result<Reader> {
    let settings = settings_beside(cli, out)?;
    let data = data_dir(cli, settings.as_ref());
    let layout = store::Layout::new(&data);
    let there = layout.is_initialised() || layout.hidden().is_some();
    anyhow::ensure!(there, "no ledger in {}", data.display());
    Ok(Reader::open(&layout.ledger()))
}

fn print_keys(reader: &Reader, out: &Output) -> anyhow::Result<Exit> {
    let (ring, head) = signed_head(reader)?;
    let range = |range: &KeyRange| {
        let from = range.from;
        range.until.map_or_else(
            || format!("in force: signs checkpoints over {from} entries and more"),
            |until| format!("retired: signed checkpoints over {from} to {until} entries"),
        )
    };
    for (place, key) in ring.keys().iter().rev().enumerate() {
        if ring.keys().len() > 1 {
            out.line(format!("# {}", range(key)));
        }
        out.line(format!("{}{}", if place == 0 { "" } else { "# " }, key.key));
    }
    let latest = ring.keys().last().map(|range| range.key.to_string());
    let keys: Vec<_> = ring
        .keys()
        .iter()
        .map(|range| serde_json::json!({ "key": range.key.to_string(), "from": range.from, "until": range.until }))
        .collect();
    out.fact(&serde_json::json!({ "origin": head.checkpoint.origin, "key": latest, "keys": keys }));
    Ok(Exit::Ok)
}

fn print_policy(reader: &Reader, out: &Output) -> anyhow::Result<Exit> {
    let (ring, head) = signed_head(reader)?;
    out.line(format!("# Whose checkpoints of {} to accept (c2sp.org/tlog-policy).", head.checkpoint.origin));
    for range in ring.keys() {
        match range.until {
            None => out.line(format!("log {}", range.key)),
            // The format knows no sizes, so a key at its end cannot be listed without being trusted for ever.
            Some(until) => out.line(format!("# retired, for checkpoints over at most {until} entries: {}", range.key)),
        }
    }
    out.line("quorum none");
    let logs: Vec<String> =
        ring.keys().iter().filter(|range| range.until.is_none()).map(|range| range.key.to_string()).collect();
    out.fact(&serde_json::json!({ "origin": head.checkpoint.origin, "logs": logs, "quorum": null }));
    Ok(Exit::Ok)
}

fn rewrap(cli: &Cli, key: Option<&Path>, out: &Output) -> anyhow::Result<Exit> {
    let settings = settings_if_any(cli, out)?;
    let data = data_dir(cli, settings.as_ref());
    let from = settings.as_ref().map(app::data_key).transpose()?.flatten();
    let to = key.map(|path| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let key = ledger::DataKey::parse(&text);
        key.with_context(|| format!("{} should hold 64 hexadecimal digits: openssl rand -hex 32", path.display()))
    });
    let to = to.transpose()?;
    let (name, keys) = store::rewrap(&data, from.as_ref(), to.as_ref(), &crate::clock::SystemRandom)?;
    out.line(format!("rewrapped  {keys} record keys, now under the data key {name}; no body was touched"));
    match (key, settings.and_then(|settings| settings.data_key)) {
        (Some(path), _) => out.line(format!("settings   from now on: data_key: {{file: {}}}", path.display())),
        (None, Some(_)) => out.line("settings   take data_key out of them: the key lies in keys/data.key now"),
        (None, None) => {}
    }
    out.fact(&serde_json::json!({ "data_key": name, "record_keys": keys }));
    Ok(Exit::Ok)
}

fn rotate_key(cli: &Cli, out: &Output) -> anyhow::Result<Exit> {
    let settings = settings_if_any(cli, out)?.unwrap_or_default();
    let data = data_dir(cli, Some(&settings));
    let rotated = app::rotate_key(&data, &settings).context("if a daemon runs here, stop it first")?;
    out.line(format!("old        {}", rotated.old));
    out.line(format!("new        {}", rotated.new));
    out.line(format!("entry      #{} names it, signed by both: whoever has the old key can follow", rotated.entry));
    out.line("           hand the new line to your auditor; both keys sign until the daemon retires the old one");
    out.fact(&serde_json::json!({ "entry": rotated.entry, "old": rotated.old, "new": rotated.new }));
    Ok(Exit::Ok)
}

fn close(cli: &Cli, because: &str, yes: bool, out: &Output) -> anyhow::Result<Exit> {
    let settings = settings_if_any(cli, out)?.unwrap_or_default();
    let data = data_dir(cli, Some(&settings));
    // One that opens as it should could go on, and nobody needs another. What broke off a closing was meant already.
    let begun = store::Layout::new(&data).closing().exists();
    if !yes && !begun && !because.trim().is_empty() && app::open_store(&data, &settings, &BadDisk::default()).is_ok() {
        confirm(&data, out)?;
    }
    let closed = app::close(&data, &settings, because)?;
    let before = &closed.continues;
    let aside = store::Layout::new(&data).closed(before.epoch);
    out.line(format!(
        "closed     {} at {} entries, {} of them missing",
        before.origin, before.known.size, before.missing
    ));
    if before.unremembered {
        let what = "unknown    whether more came after them: no high-water mark (guard) of it is left";
        out.line(out.toned(Tone::Unseen, what));
    }
    out.line(format!("kept       {}; verify it there: evidenced verify {}", aside.display(), aside.display()));
    if before.missing > 0 {
        out.line("           that exits with 30: what is known of it covers the entries that are missing");
    }
    out.line(format!("ledger     {} in {}", closed.origin, data.display()));
    out.line(format!("key        {}", closed.key));
    out.line("           hand this line to your auditor now; the old ledger keeps its own");
    let unread = match &closed.holds {
        Ok(holds) => {
            holds.iter().for_each(|hold| out.line(format!("held       the legal hold goes on as #{hold}")));
            match before.unremembered {
                true => Some("what came after its last entry here cannot be counted".to_owned()),
                false => (before.missing > 0).then(|| format!("{} entries are missing", before.missing)),
            }
        }
        Err(why) => Some(why.clone()),
    };
    if let Some(why) = &unread {
        let what = match closed.holds {
            Ok(_) => "whether there were more legal holds",
            Err(_) => "which legal holds were in force",
        };
        let what = format!("held       {what} cannot be read: {why}; hold anew what must be kept");
        out.line(out.toned(Tone::Bad, what));
    }
    out.fact(&serde_json::json!({
        "closed": before.origin, "entries": before.known.size, "missing": before.missing,
        "unremembered": before.unremembered, "kept": shown(&aside), "because": before.because,
        "origin": closed.origin, "key": closed.key, "holds": closed.holds.as_ref().ok(), "holds_unread": unread,
    }));
    Ok(Exit::Ok)
}

/// Asks whoever sits there; without anybody, `--yes` is needed.
fn confirm(data: &Path, out: &Output) -> anyhow::Result<()> {
    let whole = format!("nothing is wrong with the ledger in {}: it can go on as it is", data.display());
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        anyhow::bail!("{whole}. It was not closed, and there would be no way back; --yes says that it is meant");
    }
    out.note(format!("{whole}. Once it is closed there is no way back. Type close to go on:"));
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    anyhow::ensure!(answer.trim() == "close", "it was not closed");
    Ok(())
}

/// Who may sign by the ledger's entries, and the checkpoint that was signed last.
fn signed_head(reader: &Reader) -> anyhow::Result<(KeyRing, SignedCheckpoint)> {
    let head = reader.head()?.context("nothing was ever signed here")?;
    let (ring, _) = reader.key_ring()?.context("the first entry names no verifier key")?;
    let head = SignedCheckpoint::verify_by(head.note.as_bytes(), &ring)
        .context("no key that the ledger names signed its checkpoint")?;
    Ok((ring, head))
}

fn export(reader: &Reader, tiles: &Path, out: &Output) -> anyhow::Result<Exit> {
    let watched = std::io::stderr().is_terminal() && !out.json();
    let done = reader.export_tiles(tiles, &mut |progress| {
        if let (true, Progress::Entries { done, total }) = (watched, progress) {
            out.note(format!("  {done} of {total} entries"));
        }
    })?;
    let before = match done.before {
        0 => String::new(),
        before => format!(", {before} of them exported before"),
    };
    out.line(format!("ledger     {}", done.checkpoint.origin));
    out.line(format!("entries    {}{before}; root {}", done.checkpoint.size, done.checkpoint.root));
    out.line(format!("tiles      {} files written, {} as they were: {}", done.written, done.present, tiles.display()));
    out.line("check      any reader of C2SP tlog-tiles, with the key that `evidenced ledger key` prints");
    out.fact(&serde_json::json!({
        "origin": done.checkpoint.origin, "entries": done.checkpoint.size, "root": done.checkpoint.root.to_string(),
        "before": done.before, "written": done.written, "present": done.present, "tiles": shown(tiles),
    }));
    Ok(Exit::Ok)
}
