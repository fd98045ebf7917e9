//! What commands read: the settings, and the data directory without its lock, so that they work beside a daemon.

use std::path::PathBuf;

use anyhow::{Context, bail};
use query::Query;
use store::Offline;

use super::args::Cli;
use super::output::Output;
use crate::app;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::knowledge::Knowledge;
use crate::loaded::Loaded;
use domain::Clock;

/// The settings file that counts: `--config`, `EVIDENCED_CONFIG`, then `./evidenced.yaml`.
pub(super) fn settings_path(cli: &Cli) -> PathBuf {
    cli.config.clone().unwrap_or_else(|| PathBuf::from("evidenced.yaml"))
}

/// The settings and everything they name. Problems are printed, each with its place and remedy.
pub(super) fn load(cli: &Cli, out: &Output) -> anyhow::Result<Loaded> {
    let path = settings_path(cli);
    if !path.exists() && cli.config.is_none() {
        bail!(
            "there is no {}: name a settings file with --config, or begin with `evidenced config example > evidenced.yaml`",
            path.display()
        );
    }
    Loaded::read(&path).map_err(|problems| {
        for problem in &problems {
            out.note(problem.to_string());
        }
        out.fact(&serde_json::json!({ "problems": problems.iter().map(|p| p.headline()).collect::<Vec<_>>() }));
        let count = problems.len();
        anyhow::anyhow!("{count} {} in the settings; nothing was started", if count == 1 { "error" } else { "errors" })
    })
}

/// The settings, where there are some.
pub(super) fn settings_if_any(cli: &Cli, out: &Output) -> anyhow::Result<Option<Settings>> {
    let there = cli.config.is_some() || settings_path(cli).exists();
    there.then(|| Ok(load(cli, out)?.settings)).transpose()
}

/// The same for what works without any: a data directory that is named needs none, since whoever names it may have nothing
/// else, and what lies in the folder they happen to be in may be another's.
pub(super) fn settings_beside(cli: &Cli, out: &Output) -> anyhow::Result<Option<Settings>> {
    match (&cli.config, &cli.data) {
        (None, Some(_)) => Ok(None),
        _ => settings_if_any(cli, out),
    }
}

/// The data directory that counts: `--data`, else what the settings say, else `./evidenced-data`.
pub(super) fn data_dir(cli: &Cli, settings: Option<&Settings>) -> PathBuf {
    cli.data
        .clone()
        .or_else(|| settings.map(|settings| settings.data.clone()))
        .unwrap_or_else(|| PathBuf::from("evidenced-data"))
}

/// What a reading command needs: the ledger as signed last, and what is known.
pub(super) struct Reading {
    pub(super) offline: Offline,
    pub(super) knowledge: Knowledge,
}

impl Reading {
    /// Opens the data directory. Settings are used when there are some; without them owners are not known, and the
    /// checks are those of this binary.
    pub(super) fn open(cli: &Cli, out: &Output) -> anyhow::Result<Reading> {
        let beside = cli.data.as_ref().map(|data| data.join("settings.yaml")).filter(|path| path.exists());
        let loaded = match (&cli.config, beside) {
            (Some(_), _) => Some(load(cli, out)?),
            (None, Some(path)) => Loaded::read(&path).ok(),
            (None, None) if settings_path(cli).exists() => Some(load(cli, out)?),
            (None, None) => None,
        };
        let data = data_dir(cli, loaded.as_ref().map(|loaded| &loaded.settings));
        let data_key = loaded.as_ref().map(|loaded| app::data_key(&loaded.settings)).transpose()?.flatten();
        let offline = Offline::open_with(&data, data_key.as_ref()).with_context(|| {
            let (shown, layout) = (data.display(), store::Layout::new(&data));
            if layout.hidden().is_some() {
                format!("cannot look into {shown}: look as the user that runs the daemon")
            } else if layout.is_initialised() {
                format!("cannot read the ledger in {shown}; `evidenced verify {shown}` says what is wrong with it")
            } else {
                format!("cannot read {shown}: --data names another folder, `evidenced init` begins a ledger, `evidenced demo` shows one")
            }
        })?;
        let knowledge = match loaded {
            Some(loaded) => loaded.knowledge,
            None => Knowledge::embedded().map_err(|e| anyhow::anyhow!("the checks of this binary do not load: {e}"))?,
        };
        Ok(Reading { offline, knowledge })
    }

    /// Questions as of now.
    pub(super) fn query(&self) -> Query<'_> {
        Query { read: &self.offline, catalogue: &self.knowledge.catalogue, now: SystemClock.now() }
    }
}
