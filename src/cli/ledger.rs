//! `ledger`: what an auditor is handed of the ledger itself. It reads without a lock, beside a running daemon.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use ledger::disk::replace;
use ledger::{Progress, Reader, RealDisk, SignedCheckpoint, VerifierKey};

use super::Exit;
use super::args::{Cli, LedgerArgs, LedgerCommand};
use super::output::Output;
use super::read::{data_dir, load, settings_path};

/// `evidenced ledger …`
pub(super) fn ledger(cli: &Cli, args: &LedgerArgs, out: &Output) -> anyhow::Result<Exit> {
    let reader = reader(cli, out)?;
    match &args.command {
        LedgerCommand::Key => print_key(&reader, out),
        LedgerCommand::Export { tiles } => export(&reader, tiles, out),
    }
}

/// `evidenced show ENTRY --proof FILE`: an entry, byte for byte, and beside it the proof that it is in the ledger.
pub(super) fn write_proof(cli: &Cli, entry: u64, file: &Path, out: &Output) -> anyhow::Result<Exit> {
    let reader = reader(cli, out)?;
    let (key, head) = signed_head(&reader)?;
    let size = head.checkpoint.size;
    anyhow::ensure!(entry < size, "there is no entry #{entry}; the ledger holds {size} entries, from #0");
    let (bytes, proof) = (reader.entry(entry)?, reader.tlog_proof(entry)?);
    proof.verify(&bytes, &[key]).context("the proof does not hold")?;
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
    out.fact(&serde_json::json!({ "entry": entry, "size": size, "file": file, "proof": beside }));
    Ok(Exit::Ok)
}

/// The ledger in the data directory that is meant. A directory that is named needs no settings.
fn reader(cli: &Cli, out: &Output) -> anyhow::Result<Reader> {
    let settings = match &cli.data {
        None if cli.config.is_some() || settings_path(cli).exists() => Some(load(cli, out)?.settings),
        _ => None,
    };
    let data = data_dir(cli, settings.as_ref());
    let layout = store::Layout::new(&data);
    anyhow::ensure!(layout.is_initialised(), "no ledger in {}", data.display());
    Ok(Reader::open(&layout.ledger()))
}

fn print_key(reader: &Reader, out: &Output) -> anyhow::Result<Exit> {
    let (key, head) = signed_head(reader)?;
    out.line(key.to_string());
    out.fact(&serde_json::json!({ "origin": head.checkpoint.origin, "key": key.to_string() }));
    Ok(Exit::Ok)
}

/// The key that the first entry names, and the checkpoint that it signed last.
fn signed_head(reader: &Reader) -> anyhow::Result<(VerifierKey, SignedCheckpoint)> {
    let head = reader.head()?.context("nothing was ever signed here")?;
    let key = reader.named_key()?.context("the first entry names no verifier key")?;
    let head = SignedCheckpoint::verify(head.note.as_bytes(), std::slice::from_ref(&key))
        .context("the key that the first entry names did not sign the ledger's checkpoint")?;
    Ok((key, head))
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
        "before": done.before, "written": done.written, "present": done.present, "tiles": tiles,
    }));
    Ok(Exit::Ok)
}
