//! `evidenced-verify`: verifies an evidence package offline, with nothing but the package and what its reader holds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of one page that prints its report")]

use std::path::PathBuf;
use std::process::ExitCode;

use verifier::{Asked, Level, verify};

const HELP: &str = "\
Verifies an evidence package offline: evidenced-verify [OPTIONS] [FOLDER]

  FOLDER           the package [default: the present folder]
  --key VKEY       the verifier key that you were handed; lines with # before them do not count
  --pin FILE       a checkpoint that you kept: the package has to continue it
  --digest HEX     the package's digest, as its sender told it to you
  --ca FILE        certificates (PEM) that you trust to vouch for dates; may be given several times
  --require LEVEL  the least level that will do: signed (default), anchored or pinned

Exit codes: 0 met, 20 level not met, 30 diverged, 40 invalid, 50 incomplete, 2 usage.";

fn main() -> ExitCode {
    match read(std::env::args().skip(1)) {
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Some((folder, asked, required))) => {
            let report = verify(&folder, &asked);
            print!("{}", report.words(required));
            ExitCode::from(report.exit_code(required))
        }
        Err(what) => {
            eprintln!("{what}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// Reads the arguments; `None` when help is asked for.
fn read(mut args: impl Iterator<Item = String>) -> Result<Option<(PathBuf, Asked, Level)>, String> {
    let (mut folder, mut asked, mut required) = (None, Asked::default(), Level::Signed);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--key" => {
                for line in value()?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                    let key = line.parse().map_err(|error| format!("--key: {error}"))?;
                    asked.keys.get_or_insert_default().push(key);
                }
            }
            "--pin" => {
                let path = value()?;
                let note = std::fs::read(&path).map_err(|error| format!("--pin: cannot read {path}: {error}"))?;
                ledger::SignedCheckpoint::parse_unverified(&note).map_err(|error| format!("--pin: {path}: {error}"))?;
                asked.pin = Some(note);
            }
            "--ca" => {
                let path = value()?;
                let pem = std::fs::read(&path).map_err(|error| format!("--ca: cannot read {path}: {error}"))?;
                let roots = anchor::Roots::from_pem(&pem).map_err(|error| format!("--ca: {path}: {error}"))?;
                asked.roots = asked.roots.and(roots);
            }
            "--digest" => asked.digest = Some(value()?),
            "--require" => {
                let word = value()?;
                required = Level::named(&word).ok_or_else(|| format!("--require: there is no level {word:?}"))?;
            }
            option if option.starts_with('-') => return Err(format!("there is no option {option}")),
            _ if folder.is_some() => return Err("one folder at a time".to_owned()),
            path => folder = Some(PathBuf::from(path)),
        }
    }
    Ok(Some((folder.unwrap_or_else(|| PathBuf::from(".")), asked, required)))
}
