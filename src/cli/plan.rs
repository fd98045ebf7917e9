//! `plan` and `permissions`: what would be asked, before anything is. Neither opens a socket.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{anyhow, bail};
use checks::did_you_mean;
use domain::{Duration, Timestamp};
use kit::Kind;

use super::Exit;
use super::args::{Cli, PermissionsArgs};
use super::output::{Output, Table, Tone, counted, thousands};
use super::read::{load, settings_if_any, settings_path};
use crate::knowledge::Knowledge;
use crate::loaded::Loaded;
use crate::schedule::Schedule;

/// The knowledge of the settings, or of this binary where there are none.
pub(super) fn knowledge(cli: &Cli, out: &Output) -> anyhow::Result<Knowledge> {
    if cli.config.is_some() || settings_path(cli).exists() {
        return Ok(load(cli, out)?.knowledge);
    }
    Knowledge::embedded().map_err(|e| anyhow::anyhow!("the checks of this binary do not load: {e}"))
}

/// `evidenced plan`
pub(super) fn plan(cli: &Cli, out: &Output) -> anyhow::Result<Exit> {
    let loaded = load(cli, out)?;
    let mut table = Table::new(&[]);
    let heading = ["source", "collector", "schedule", "calls a run", "permissions"];
    table.toned(heading.map(|word| (word.to_owned(), Tone::Faint)));
    let (mut least_a_day, mut most_a_day, mut collectors) = (0.0, 0.0, 0u64);
    let mut sources = BTreeSet::new();
    for stream in loaded.streams() {
        let (least, most) = stream.collector.calls_per_run();
        let runs_a_day = runs_a_day(&stream.schedule);
        least_a_day += f64::from(least) * runs_a_day;
        most_a_day += f64::from(most) * runs_a_day;
        collectors += 1;
        let source = stream.id.source();
        sources.insert(source.clone());
        let permissions = stream.collector.permissions();
        let calls = if least == most { least.to_string() } else { format!("{least} to {most}") };
        out.fact(&serde_json::json!({
            "source": source, "collector": stream.id.collector(), "schedule": stream.schedule.expression(),
            "zone": stream.schedule.zone(), "calls_a_run": [least, most], "permissions": permissions,
            "calls": stream.collector.calls.iter().map(|call| serde_json::json!({
                "call": call.name, "a_run": [call.per_run.0, call.per_run.1], "permissions": call.permissions,
                "purpose": call.purpose,
            })).collect::<Vec<_>>(),
        }));
        table.row([
            source.to_string(),
            stream.id.collector().to_string(),
            match stream.schedule.zone() {
                Some(zone) => format!("{} ({zone})", stream.schedule.expression()),
                None => stream.schedule.expression().to_owned(),
            },
            calls,
            permissions.join(", "),
        ]);
    }
    out.line(format!(
        "{}, {}, {} to {} calls a day; nothing has been contacted",
        counted(sources.len(), "source"),
        counted(collectors, "collector"),
        thousands(rounded(least_a_day)),
        thousands(rounded(most_a_day))
    ));
    out.line("");
    table.print(out, "");
    print_blind(&loaded, out);
    Ok(Exit::Ok)
}

/// Over a whole cycle of leap years, since some run on a few days only.
fn runs_a_day(schedule: &Schedule) -> f64 {
    const DAYS: u32 = 4 * 365 + 1;
    let through = Timestamp::default().plus(Duration::from_secs(u64::from(DAYS) * 86_400));
    let slots = schedule.slots_within(Timestamp::default(), through).map_or(0, |slots| slots.count);
    slots as f64 / f64::from(DAYS)
}

fn rounded(calls: f64) -> u64 {
    let step = if calls < 100.0 { 1.0 } else { 10.0 };
    ((calls / step).round() * step) as u64
}

/// Which controls no configured source can speak to, by catalogue.
fn print_blind(loaded: &Loaded, out: &Output) {
    let catalogue = &loaded.knowledge.catalogue;
    for (id, framework) in &catalogue.frameworks {
        let fed = |info: &query::CheckInfo| {
            catalogue.sources.keys().any(|source| catalogue.stream_feeding(info, source).is_some())
        };
        let spoken: BTreeSet<_> = catalogue
            .checks
            .values()
            .filter(|info| fed(info))
            .flat_map(|info| {
                info.mappings.iter().filter(|mapping| mapping.framework == *id).map(|mapping| &mapping.control)
            })
            .collect();
        let without = framework.controls.iter().filter(|control| !spoken.contains(&control.id)).count();
        out.line("");
        out.line(format!(
            "{}: {} of {} controls have a check on these sources; {without} will be *not evidenced* whatever is found",
            framework.title,
            spoken.len(),
            framework.controls.len(),
        ));
    }
    let unfed: BTreeMap<&str, usize> = catalogue.checks.values().fold(BTreeMap::new(), |mut map, info| {
        if !catalogue.sources.keys().any(|source| source.kind() == info.source_kind) {
            *map.entry(info.source_kind.as_str()).or_default() += 1;
        }
        map
    });
    for (kind, checks) in unfed {
        out.line(format!(
            "no source of kind {kind} is configured: nothing to look at for {}",
            counted(checks, "check")
        ));
    }
}

/// `evidenced permissions [KIND]`
pub(super) fn permissions(cli: &Cli, args: &PermissionsArgs, out: &Output) -> anyhow::Result<Exit> {
    let documents = || connectors::kinds().flat_map(|kind| kind.documents.iter().map(move |document| (kind, document)));
    if let Some((kind, document)) = documents().find(|(_, document)| document.format == args.format) {
        if let Some(other) = args.kind.as_ref().filter(|other| *other != kind.name) {
            bail!("{} grants what is read of {}, not of {other}; leave {other} out", document.format, kind.name);
        }
        out.write((document.make)(kind.collectors).trim_end());
        return Ok(Exit::Ok);
    }
    let kinds = kinds_wanted(cli, args, out)?;
    if args.format == "json" {
        let all: Vec<_> = kinds.iter().map(|kind| kind.permissions()).collect();
        out.write(&format!("{:#}", serde_json::to_value(all)?));
        return Ok(Exit::Ok);
    }
    for kind in kinds {
        let permissions = kind.permissions();
        out.fact(&permissions);
        out.line(format!("{}: {}", out.toned(Tone::Strong, kind.name), kind.about));
        for row in &permissions.permissions {
            out.line(format!("  {}", out.toned(Tone::Strong, &row.permission)));
            for (call, purpose) in &row.calls {
                out.line(format!("    {call}   {}", out.toned(Tone::Faint, purpose)));
            }
        }
        out.line("");
        for line in permissions.grant.lines() {
            out.line(format!("  {line}"));
        }
        for document in kind.documents {
            out.line(format!("  evidenced permissions --format {}: {}", document.format, document.about));
        }
        out.line("");
    }
    Ok(Exit::Ok)
}

/// The kind that was asked for, else those that the settings name, else all there are.
fn kinds_wanted(cli: &Cli, args: &PermissionsArgs, out: &Output) -> anyhow::Result<Vec<&'static Kind>> {
    if let Some(name) = &args.kind {
        let known = || connectors::kinds().map(|kind| kind.name);
        let kind = connectors::kinds().find(|kind| kind.name == name);
        let unknown = || anyhow!("there is no kind of source called {name:?}; {}", did_you_mean(name, known()));
        return Ok(vec![kind.ok_or_else(unknown)?]);
    }
    let settings = settings_if_any(cli, out)?.unwrap_or_default();
    let configured: BTreeSet<&str> = settings.sources.all().iter().map(|(_, source)| source.kind().name).collect();
    Ok(connectors::kinds().filter(|kind| configured.is_empty() || configured.contains(kind.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_as_many_runs_as_its_schedule_has_slots_on_average() {
        for (expression, expected) in [
            ("every: 15m", 96.0),
            ("* 6,7 * * *", 120.0),
            ("0 9 * * 1", 1.0 / 7.0),
            ("0 0 1 1 *", 4.0 / 1461.0),
            ("0 0 29 2 *", 1.0 / 1461.0),
        ] {
            let runs = runs_a_day(&Schedule::parse(expression, None).unwrap());
            assert!((runs - expected).abs() < 0.002, "{expression}: {runs} and not {expected}");
        }
    }
}
