//! `erase`: the records of a person or thing that asks to be forgotten.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use domain::entry::{ExportDetail, Fact};
use store::{Erasure, Left, Offline, Read};

use super::Exit;
use super::args::{Cli, EraseArgs};
use super::output::{Output, counted};
use super::read::{data_dir, load, settings_path};
use crate::app;
use crate::config::Settings;

/// Other records that are listed by name.
const LISTED: usize = 20;

/// `evidenced erase`
pub(super) fn erase(cli: &Cli, args: &EraseArgs, out: &Output) -> anyhow::Result<Exit> {
    let settings = match cli.config.is_some() || (cli.data.is_none() && settings_path(cli).exists()) {
        true => load(cli, out)?.settings,
        false => Settings::default(),
    };
    let data = data_dir(cli, Some(&settings).filter(|_| cli.data.is_none()));
    let data_key = app::data_key(&settings)?;
    let open =
        || Offline::open_with(&data, data_key.as_ref()).with_context(|| format!("cannot read {}", data.display()));
    if let Some(word) = &args.find {
        return find(&open()?, word, out);
    }
    let planned = || -> anyhow::Result<(Erasure, Elsewhere)> {
        let offline = open()?;
        let plan = offline.plan_erasure(&args.resources, &args.also_named)?;
        let elsewhere = Elsewhere::of(&offline, &plan)?;
        Ok((plan, elsewhere))
    };
    if args.dry_run {
        let (plan, elsewhere) = planned()?;
        print(&plan, &elsewhere, "would be", out);
        out.fact(&fact(&plan, &elsewhere, &[]));
        return Ok(Exit::Ok);
    }
    let (Some(because), Some(by)) = (&args.because, &args.by) else {
        bail!("say why with --because and who asked for it with --by; or see what would go with --dry-run");
    };
    if by.trim().is_empty() {
        bail!("--by names nobody: say who asked for it");
    }
    // Held from here on, so that nothing is recorded between the plan and the erasure.
    let (store, _) = app::open_store(&data, &settings, &app::BadDisk::default())
        .context("nothing was erased; if a daemon runs here, stop it first: an erasure waits for no run")?;
    let (plan, elsewhere) = planned()?;
    if !args.yes && plan.held_by.is_empty() {
        print(&plan, &elsewhere, "would be", out);
        confirm(out)?;
    }
    let entries: Vec<u64> = store.erase(&plan, because, by)?.iter().map(|receipt| receipt.entry).collect();
    print(&plan, &elsewhere, "were", out);
    let said: Vec<String> = entries.iter().map(|entry| format!("#{entry}")).collect();
    out.line(format!("recorded   {}; every earlier proof holds as before", said.join(", ")));
    out.line(
        "copies     backups made before hold it still; where one is put in place of this data directory, the next",
    );
    out.line("           start erases again what the guard remembers. Keep the guard");
    out.fact(&fact(&plan, &elsewhere, &entries));
    Ok(Exit::Ok)
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

/// Where the evidence went before, out of our reach.
struct Elsewhere {
    /// Packages: the entry that records each, and whom it was for.
    packages: Vec<(u64, String)>,
    /// Receivers that were told of a deviation of it.
    receivers: BTreeSet<String>,
}

impl Elsewhere {
    fn of(offline: &Offline, plan: &Erasure) -> anyhow::Result<Elsewhere> {
        let mut elsewhere = Elsewhere { packages: Vec::new(), receivers: BTreeSet::new() };
        let mut deviations = BTreeSet::new();
        for number in 0..offline.head()?.size {
            match offline.entry(number)?.map(|entry| entry.fact) {
                Some(Fact::Deviation(deviation))
                    if plan.records.iter().any(|record| record.pseudonym == deviation.resource) =>
                {
                    deviations.insert(number);
                }
                Some(Fact::Delivery(delivery))
                    if delivery.accepted && delivery.about.iter().any(|entry| deviations.contains(entry)) =>
                {
                    elsewhere.receivers.insert(delivery.receiver);
                }
                Some(Fact::Export(export)) => {
                    let detail = offline.body(&export.detail)?;
                    let detail = detail.and_then(|bytes| serde_json::from_slice::<ExportDetail>(&bytes).ok());
                    let recipient = detail.map_or_else(|| "unknown".to_owned(), |detail| detail.recipient);
                    elsewhere.packages.push((number, recipient));
                }
                _ => {}
            }
        }
        Ok(elsewhere)
    }
}

fn print(plan: &Erasure, elsewhere: &Elsewhere, tense: &str, out: &Output) {
    for record in &plan.records {
        let (kind, pseudonym, bodies) = (&record.resource.kind, &record.pseudonym, record.bodies);
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
    for (place, (left, count)) in plan.left.iter().take(LISTED).enumerate() {
        let head = if place == 0 { "stays     " } else { "          " };
        let what = match left {
            Left::Record(resource) => {
                format!("the record of {}/{}; name it too to erase it", resource.kind, resource.id)
            }
            Left::Lists => "lists of the ledger's own, recorded by an older version".to_owned(),
            Left::Unsealed => "bodies from before bodies were sealed".to_owned(),
        };
        out.line(format!("{head} in {count} of {what}"));
    }
    if plan.left.len() > LISTED {
        out.line(format!("           and in {} more; --json lists all", counted(plan.left.len() - LISTED, "record")));
    }
    if !plan.held_by.is_empty() {
        let holds: Vec<String> = plan.held_by.iter().map(|entry| format!("#{entry}")).collect();
        out.line(format!("held       by {}: it cannot be erased before each is released", holds.join(", ")));
    }
    for (place, (entry, recipient)) in elsewhere.packages.iter().enumerate() {
        let head = if place == 0 { "packages  " } else { "          " };
        let recipient = alerts::text::clean(recipient, 100);
        out.line(format!("{head} #{entry} went to {recipient} and may hold it: tell them"));
    }
    if !elsewhere.receivers.is_empty() {
        let receivers: Vec<String> = elsewhere.receivers.iter().cloned().collect();
        out.line(format!("told       {} of its deviations, and may have kept that", receivers.join(", ")));
    }
}

fn fact(plan: &Erasure, elsewhere: &Elsewhere, entries: &[u64]) -> serde_json::Value {
    let records = plan.records.iter().map(|record| {
        let bodies = record.bodies;
        serde_json::json!({ "type": record.resource.kind, "resource": record.pseudonym, "bodies": bodies })
    });
    let left = plan.left.iter().map(|(left, count)| match left {
        Left::Record(of) => serde_json::json!({ "record": { "type": of.kind, "id": of.id }, "bodies": count }),
        Left::Lists => serde_json::json!({ "lists": true, "bodies": count }),
        Left::Unsealed => serde_json::json!({ "unsealed": true, "bodies": count }),
    });
    let packages = elsewhere.packages.iter();
    let packages = packages.map(|(entry, recipient)| serde_json::json!({ "export": entry, "recipient": recipient }));
    serde_json::json!({
        "erased": records.collect::<Vec<_>>(), "answers": plan.answers, "left": left.collect::<Vec<_>>(),
        "held_by": plan.held_by, "packages": packages.collect::<Vec<_>>(), "receivers": elsewhere.receivers, "entries": entries,
        "dry_run": entries.is_empty(),
    })
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
