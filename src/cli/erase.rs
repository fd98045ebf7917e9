//! `erase`: the records of a person or thing that asks to be forgotten.

use std::io::{BufRead, IsTerminal};
use std::path::Path;

use anyhow::{Context, bail};
use store::{Layout, Offline};
use web::{EraseAsked, Erased};

use super::Exit;
use super::args::{Cli, EraseArgs};
use super::output::{Output, counted};
use super::read::{data_dir, settings_beside};
use crate::config::Settings;
use crate::{app, erasing, serve};

/// Other records that are listed by name.
const LISTED: usize = 20;

/// `evidenced erase`
pub(super) fn erase(cli: &Cli, args: &EraseArgs, out: &Output) -> anyhow::Result<Exit> {
    let settings = settings_beside(cli, out)?.unwrap_or_default();
    let data = data_dir(cli, Some(&settings));
    let data_key = app::data_key(&settings)?;
    let open =
        || Offline::open_with(&data, data_key.as_ref()).with_context(|| format!("cannot read {}", data.display()));
    if let Some(word) = &args.find {
        return find(&open()?, word, out);
    }
    let planned = || -> anyhow::Result<Erased> {
        let offline = open()?;
        Ok(erasing::planned(&offline, &offline.plan_erasure(&args.resources, &args.also_named)?)?)
    };
    if args.dry_run {
        let plan = planned()?;
        print(&plan, out);
        out.fact(&plan);
        return Ok(Exit::Ok);
    }
    let (Some(because), Some(by)) = (&args.because, &args.by) else {
        bail!("say why with --because and who asked for it with --by; or see what would go with --dry-run");
    };
    if by.trim().is_empty() {
        bail!("--by names nobody: say who asked for it");
    }
    if !args.yes {
        let plan = planned()?;
        // What is held is refused below, in the same words with and without --yes.
        if plan.held_by.is_empty() {
            print(&plan, out);
            confirm(out)?;
        }
    }
    let asked = EraseAsked {
        resources: args.resources.clone(),
        also_named: args.also_named.clone(),
        because: because.clone(),
        by: by.clone(),
    };
    let erased = done(&data, &settings, &asked, out)?;
    print(&erased, out);
    let said: Vec<String> = erased.entries.iter().map(|entry| format!("#{entry}")).collect();
    out.line(format!("recorded   {}; every earlier proof holds as before", said.join(", ")));
    out.line(
        "copies     backups made before hold it still; where one is put in place of this data directory, the next",
    );
    out.line("           start erases again what the guard remembers. Keep the guard");
    out.fact(&erased);
    Ok(Exit::Ok)
}

/// Has the daemon erase that holds the data directory, or erases by itself where none runs.
fn done(data: &Path, settings: &Settings, asked: &EraseAsked, out: &Output) -> anyhow::Result<Erased> {
    app::own_ledger(data, settings)?;
    let socket = Layout::new(data).socket();
    if serve::is_answered(&socket) {
        out.note("a daemon runs here, and erases once the runs under way have ended");
        return serve::ask_to_erase(&socket, asked);
    }
    let (store, _) = app::open_store(data, settings, &app::BadDisk::default())
        .context("nothing was erased; do it again once nothing else uses the data directory")?;
    erasing::erase(&store, asked).map_err(anyhow::Error::msg)
}

/// Lists the records in which a word stands.
fn find(offline: &Offline, word: &str, out: &Output) -> anyhow::Result<Exit> {
    let found = offline.records_with(word)?;
    for (resource, name) in &found {
        out.line(format!("{}/{}  {}", resource.kind, resource.id, alerts::text::clean(name, 100)));
    }
    out.line(match found.len() {
        0 => "no record holds that word".to_owned(),
        n => format!("{}: evidenced erase TYPE/ID … --dry-run", counted(n, "record")),
    });
    let found = found
        .iter()
        .map(|(resource, name)| serde_json::json!({ "type": resource.kind, "id": resource.id, "name": name }));
    out.fact(&serde_json::json!({ "found": found.collect::<Vec<_>>() }));
    Ok(Exit::Ok)
}

fn print(plan: &Erased, out: &Output) {
    let tense = if plan.dry_run { "would be" } else { "were" };
    for record in &plan.erased {
        let (kind, pseudonym, bodies) = (&record.kind, &record.resource, record.bodies);
        let bodies = match bodies {
            1 => "1 body".to_owned(),
            n => format!("{n} bodies"),
        };
        out.line(format!("erase      {kind} {pseudonym}: its key, its name, and {bodies} {tense} destroyed"));
    }
    if plan.answers > 0 {
        let answers = counted(plan.answers, "answer");
        out.line(format!("answers    {answers} in which it stands {tense} destroyed whole; rows of others stay"));
    }
    for (place, left) in plan.left.iter().take(LISTED).enumerate() {
        let head = if place == 0 { "stays     " } else { "          " };
        let what = match &left.record {
            Some(resource) => {
                format!("the record of {}/{}; name it too to erase it", resource.kind, resource.id)
            }
            None if left.lists => "lists of the ledger's own, recorded by an older version".to_owned(),
            None => "bodies from before bodies were sealed".to_owned(),
        };
        out.line(format!("{head} in {} of {what}", left.bodies));
    }
    if plan.left.len() > LISTED {
        out.line(format!("           and in {} more; --json lists all", counted(plan.left.len() - LISTED, "record")));
    }
    if !plan.held_by.is_empty() {
        let holds: Vec<String> = plan.held_by.iter().map(|entry| format!("#{entry}")).collect();
        out.line(format!("held       by {}: it cannot be erased before each is released", holds.join(", ")));
    }
    for (place, package) in plan.packages.iter().enumerate() {
        let head = if place == 0 { "packages  " } else { "          " };
        let recipient = alerts::text::clean(&package.recipient, 100);
        out.line(format!("{head} #{} went to {recipient} and may hold it: tell them", package.export));
    }
    if !plan.receivers.is_empty() {
        let receivers: Vec<String> = plan.receivers.iter().cloned().collect();
        out.line(format!("told       {} of its deviations, and may have kept that", receivers.join(", ")));
    }
}

/// Asks whoever sits there; without anybody, `--yes` is needed.
fn confirm(out: &Output) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("nothing was erased; --yes says that it is meant");
    }
    out.note("There is no way back. Type erase to go on:");
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if line.trim() != "erase" {
        bail!("nothing was erased");
    }
    Ok(())
}
