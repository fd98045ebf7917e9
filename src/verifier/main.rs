//! `evidenced-verify`: verifies an evidence package offline, with nothing but the package and what its reader holds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of one page that prints its report")]

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
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
    match read(std::env::args_os().skip(1)) {
        Ok(None) => say(&format!("{HELP}\n"), 0),
        Ok(Some((folder, asked, required))) => {
            let report = verify(&folder, &asked);
            say(&report.words(required), report.exit_code(required))
        }
        Err(what) => {
            eprintln!("{what}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// Prints the report; a reader that has gone away wants no more of it.
fn say(text: &str, code: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("the report could not be written: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::from(code),
    }
}

/// Reads the arguments; `None` when help is asked for.
fn read(mut args: impl Iterator<Item = OsString>) -> Result<Option<(PathBuf, Asked, Level)>, String> {
    let (mut folder, mut asked, mut required) = (None, Asked::default(), Level::Signed);
    while let Some(arg) = args.next() {
        let option = arg.to_string_lossy();
        let mut value = || args.next().ok_or_else(|| format!("{option} needs a value"));
        let word = |value: OsString| value.into_string().map_err(|_| format!("{option}: that is not text"));
        match option.as_ref() {
            "--help" | "-h" => return Ok(None),
            "--key" => {
                for line in
                    word(value()?)?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
                {
                    let key = line.parse().map_err(|error| format!("--key: {error}"))?;
                    asked.keys.get_or_insert_default().push(key);
                }
            }
            "--pin" => {
                let path = PathBuf::from(value()?);
                let shown = path.display();
                let note = std::fs::read(&path).map_err(|error| format!("--pin: cannot read {shown}: {error}"))?;
                ledger::SignedCheckpoint::parse_unverified(&note)
                    .map_err(|error| format!("--pin: {shown}: {error}"))?;
                asked.pin = Some(note);
            }
            "--ca" => {
                let path = PathBuf::from(value()?);
                let shown = path.display();
                let pem = std::fs::read(&path).map_err(|error| format!("--ca: cannot read {shown}: {error}"))?;
                let roots = anchor::Roots::from_pem(&pem).map_err(|error| format!("--ca: {shown}: {error}"))?;
                asked.roots = asked.roots.and(roots);
            }
            "--digest" => asked.digest = Some(word(value()?)?),
            "--require" => {
                let word = word(value()?)?;
                required = Level::named(&word).ok_or_else(|| format!("--require: there is no level {word:?}"))?;
            }
            option if option.starts_with('-') => return Err(format!("there is no option {option}")),
            _ if folder.is_some() => return Err("one folder at a time".to_owned()),
            _ => folder = Some(PathBuf::from(&arg)),
        }
    }
    Ok(Some((folder.unwrap_or_else(|| PathBuf::from(".")), asked, required)))
}
