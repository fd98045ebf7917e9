//! `init`, `run` and `run-now`.

use std::path::Path;
use std::sync::Arc;

use domain::entry::Genesis;

use super::Exit;
use super::args::{Cli, InitArgs, RunArgs, RunNowArgs};
use super::output::{Output, shown};
use super::read::{data_dir, load, settings_beside, settings_if_any, settings_path};
use crate::clock::SystemRandom;
use crate::{app, serve, telemetry};

/// `evidenced init`
pub(super) fn init(cli: &Cli, args: &InitArgs, out: &Output) -> anyhow::Result<Exit> {
    let settings = settings_if_any(cli, out)?.unwrap_or_default();
    let data = data_dir(cli, Some(&settings));
    if args.once && store::Layout::new(&data).is_initialised() {
        return begun(&data, args.expect.as_deref(), out);
    }
    if let Some(expected) = &args.expect {
        anyhow::bail!(
            "there is no ledger in {}, and that of {expected} is expected: mount its volume, or restore a copy; \
             without --expect a new ledger would begin",
            data.display()
        );
    }
    let origin = app::init(&data, &settings)?;
    let key = app::genesis(&data)?.key;
    out.fact(&serde_json::json!({ "data": shown(&data), "origin": origin, "verifier_key": key }));
    out.line(format!("ledger     {origin} in {}", data.display()));
    out.line(format!("key        {key}"));
    out.line("           hand this line to your auditor now: it is what they verify with, for the ledger's whole life");
    out.line(match &settings.data_key {
        Some(reference) => format!("sealed     under the data key in {reference}: without it no body can be read"),
        None => "sealed     under the data key in keys/data.key: without it no body can be read".to_owned(),
    });
    out.line(format!(
        "keep       {} apart from the data, and safe: whoever has it can sign and read",
        data.join("keys").display()
    ));
    Ok(Exit::Ok)
}

/// A ledger that is there already: content with it, unless another one is expected.
fn begun(data: &Path, expected: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let Genesis { origin, key, .. } = app::genesis(data)?;
    if let Some(expected) = expected.filter(|expected| expected.trim() != key) {
        anyhow::bail!(
            "the ledger in {} is that of {key}, and that of {expected} is expected: mount the right volume",
            data.display()
        );
    }
    out.fact(&serde_json::json!({ "data": shown(data), "origin": origin, "verifier_key": key }));
    out.line(format!("ledger     {origin} in {}, begun before", data.display()));
    Ok(Exit::Ok)
}

/// `evidenced run`
pub(super) fn run(cli: &Cli, args: &RunArgs, out: &Output) -> anyhow::Result<Exit> {
    let loaded = load(cli, out)?;
    let data = data_dir(cli, Some(&loaded.settings));
    if args.init && !store::Layout::new(&data).is_initialised() {
        app::init(&data, &loaded.settings)?;
    }
    let (telemetry, metrics) = telemetry::start(&loaded.settings, &SystemRandom)?;
    let start = app::Start {
        path: settings_path(cli),
        loaded: Arc::new(loaded),
        data,
        disk: app::BadDisk {
            crash_at: args.crash_at.clone(),
            room_in: args.room_in.clone(),
            slow_in: args.slow_in.clone(),
            read_only_by: args.read_only_by.clone(),
        },
        until_stdin_ends: args.until_stdin_ends,
    };
    app::run(start, telemetry, metrics)?;
    Ok(Exit::Ok)
}

/// `evidenced run-now`
pub(super) fn run_now(cli: &Cli, args: &RunNowArgs, out: &Output) -> anyhow::Result<Exit> {
    let settings = settings_beside(cli, out)?;
    let data = data_dir(cli, settings.as_ref());
    let will_run = serve::ask_to_run(&store::Layout::new(&data).socket(), args.what.as_deref())?;
    for stream in &will_run {
        out.fact(&serde_json::json!({ "will_run": stream }));
        out.line(format!("will run   {stream}"));
    }
    Ok(Exit::Ok)
}
