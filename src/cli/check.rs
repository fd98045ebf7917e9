//! `checks` and `config`: work with data and settings, contacting nothing.

use std::path::Path;

use super::Exit;
use super::args::{ChecksArgs, ChecksCommand, Cli, ConfigArgs, ConfigCommand};
use super::output::{Output, Tone, counted};
use super::read::{load, settings_path};
use crate::config;
use crate::loaded::Loaded;

/// `evidenced checks …`
pub(super) fn checks(cli: &Cli, args: &ChecksArgs, out: &Output) -> anyhow::Result<Exit> {
    let ChecksCommand::Test { dir } = &args.command;
    let set = match dir {
        Some(dir) => of_folder(dir, out),
        None if cli.config.is_some() || settings_path(cli).exists() => Ok(load(cli, out)?.knowledge.checks),
        None => checks::CheckSet::embedded(),
    };
    let set = set.map_err(|problems| {
        for problem in &problems {
            out.note(problem.to_string());
            out.fact(&serde_json::json!({ "problem": problem.headline() }));
        }
        anyhow::anyhow!("{} in check files", counted(problems.len(), "error"))
    })?;
    let outcomes = checks::run_examples(&set);
    let mut failed = 0;
    for outcome in &outcomes {
        out.fact(outcome);
        if outcome.holds() {
            out.line(format!("{}  {}  {}", out.toned(Tone::Good, "holds"), outcome.check, outcome.title));
        } else {
            failed += 1;
            let reason = outcome.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            out.line(format!("{}  {}  {}", out.toned(Tone::Bad, "fails"), outcome.check, outcome.title));
            out.line(format!("       {}: expected {}, got {}{reason}", outcome.file, outcome.expected, outcome.given));
        }
    }
    out.line(format!(
        "{} of {}: {}",
        counted(outcomes.len(), "example"),
        counted(set.checks().count(), "check"),
        match failed {
            0 => "all hold".to_owned(),
            n => format!("{n} do not hold"),
        }
    ));
    Ok(if failed == 0 { Exit::Ok } else { Exit::Error })
}

fn of_folder(dir: &Path, out: &Output) -> Result<checks::CheckSet, Vec<checks::Problem>> {
    let own = checks::Texts { checks: config::texts_in(dir).map_err(unreadable)?, frameworks: Vec::new() };
    out.note(format!("{} in {}, over the checks of this binary", counted(own.checks.len(), "file"), dir.display()));
    checks::CheckSet::load(&[checks::Texts::embedded(), own])
}

fn unreadable((path, error): (std::path::PathBuf, std::io::Error)) -> Vec<checks::Problem> {
    vec![checks::Problem::of_file(path.display().to_string(), format!("cannot be read: {error}"))]
}

/// `evidenced config …`
pub(super) fn config(cli: &Cli, args: &ConfigArgs, out: &Output) -> anyhow::Result<Exit> {
    match &args.command {
        ConfigCommand::Schema => out.write(config::schema().trim_end()),
        ConfigCommand::Example => out.write(config::example().trim_end()),
        ConfigCommand::Validate { without_secrets } => {
            let loaded = load(cli, out)?;
            if !without_secrets {
                secrets_are_there(&settings_path(cli), out)?;
            }
            files_are_right(&loaded, out)?;
            let sources = loaded.settings.sources.all().len();
            let streams = loaded.streams().count();
            let checks = loaded.knowledge.checks.checks().count();
            out.fact(&serde_json::json!({ "ok": true, "sources": sources, "streams": streams, "checks": checks }));
            let (path, sources) = (settings_path(cli), counted(sources, "source"));
            out.line(format!(
                "{}: {sources}, {}, {}; no errors",
                path.display(),
                counted(streams, "stream"),
                counted(checks, "check")
            ));
        }
    }
    Ok(Exit::Ok)
}

/// Whether every secret lies where the settings say. A file that is missing is an error. A variable may be the daemon's
/// alone, so one that is not set here is a word of warning.
fn secrets_are_there(path: &Path, out: &Output) -> anyhow::Result<()> {
    let amiss = config::load(path).map(|configured| configured.secrets_amiss(&kit::SystemSecrets));
    let (errors, warnings): (Vec<_>, Vec<_>) = amiss.unwrap_or_default().into_iter().partition(|amiss| amiss.certain);
    for warning in &warnings {
        out.note(format!("warning: {}", warning.problem));
    }
    for error in &errors {
        out.note(error.problem.to_string());
    }
    if errors.is_empty() {
        return Ok(());
    }
    let headlines: Vec<String> = errors.iter().map(|error| error.problem.headline()).collect();
    out.fact(&serde_json::json!({ "problems": headlines }));
    anyhow::bail!(
        "{} cannot be read here; with --without-secrets this is not looked at",
        counted(errors.len(), "secret")
    )
}

/// The files that sources read at each run hold, as they are now.
fn files_are_right(loaded: &Loaded, out: &Output) -> anyhow::Result<()> {
    let sources = loaded.settings.sources.all();
    let faults: Vec<String> = sources.iter().flat_map(|(_, source)| source.file_problems()).collect();
    if faults.is_empty() {
        return Ok(());
    }
    faults.iter().for_each(|fault| out.note(fault));
    out.fact(&serde_json::json!({ "problems": faults }));
    anyhow::bail!("{} in files that the settings name", counted(faults.len(), "error"))
}
