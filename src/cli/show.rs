//! `show` and `list`: opening what is recorded.

use anyhow::bail;
use domain::{FindingValue, FrameworkId};
use query::{ChangeView, EntryView, RowView, StreamView};
use serde_json::Value;

use super::Exit;
use super::args::{Cli, ListArgs, Listing, ShowArgs};
use super::explain::catalogues;
use super::output::{Output, Table, Tone, counted, tone_of, tone_of_finding, tone_of_severity};
use super::read::Reading;

/// `evidenced show ADDRESS`
pub(super) fn show(cli: &Cli, args: &ShowArgs, out: &Output) -> anyhow::Result<Exit> {
    let address = args.address;
    if let Some(file) = &args.proof {
        anyhow::ensure!(address.row.is_none(), "the ledger proves whole entries: name #{}", address.entry);
        return super::ledger::write_proof(cli, address.entry, file, out);
    }
    let reading = Reading::open(cli, out)?;
    let query = reading.query();
    match address.row {
        None => match query.entry_view(address.entry)? {
            Some(view) => print_entry(&view, out),
            None => bail!("there is no entry {address}; the ledger holds {} entries, from #0", query.ledger()?.size),
        },
        Some(_) => match query.row_view(address)? {
            Some(view) => print_row(&view, out),
            None => {
                let rows = query.entry_view(address.entry)?.map_or(0, |view| view.rows);
                bail!("there is no row {address}; entry #{} has {rows} rows, from 0", address.entry)
            }
        },
    }
    Ok(Exit::Ok)
}

fn print_entry(view: &EntryView, out: &Output) {
    out.fact(view);
    out.line(format!("{}  {}  {}", out.toned(Tone::Strong, format!("#{}", view.entry)), view.kind, view.at));
    out.line("");
    out.line("as recorded, byte for byte what was hashed:");
    print_json(&view.fact, out);
    if let Some(detail) = &view.detail {
        out.line("");
        out.line("beside it, in a body of its own:");
        print_json(detail, out);
    }
    if !view.exchanges.is_empty() {
        out.line("");
        out.line("calls:");
        let mut table = Table::new(&[0, 3]);
        for view in &view.exchanges {
            let exchange = &view.exchange;
            let tone = if exchange.error.is_some() { Tone::Unseen } else { Tone::Plain };
            let tries = match exchange.tries.len() {
                0 => String::new(),
                n => format!("after {n} tries"),
            };
            table.toned([
                (format!("/{}", exchange.seq), Tone::Faint),
                (exchange.answer(), tone),
                (exchange.call.clone(), Tone::Plain),
                (format!("{} B", exchange.bytes), Tone::Plain),
                (exchange.ended.since(exchange.sent).to_string(), Tone::Faint),
                (tries, Tone::Unseen),
            ]);
        }
        table.print(out, "  ");
        let calls = view.fact.get("calls").and_then(Value::as_u64).unwrap_or(0);
        let more = calls.saturating_sub(view.exchanges.len() as u64);
        if more > 0 {
            out.line(format!("  and {more} more, from {}/{} on", view.entry, view.exchanges.len()));
        }
    }
    out.line("");
    if view.rows > 0 {
        out.line(format!("{} rows: evidenced show {}/0 to {}/{}", view.rows, view.entry, view.entry, view.rows - 1));
    }
    if let Some(proof) = &view.proof {
        out.line("proof that it is in the ledger (C2SP tlog-proof):");
        for line in proof.lines() {
            out.line(format!("  {line}"));
        }
    }
}

fn print_row(view: &RowView, out: &Output) {
    out.fact(view);
    let stream = view.stream.as_ref().map_or_else(String::new, |stream| format!("  {stream}"));
    out.line(format!("{}{stream}  {}", out.toned(Tone::Strong, view.address.to_string()), view.at));
    out.line(format!("  line     {}", view.line));
    if view.erased {
        out.line("  erased   the body was erased; its commitment above still stands in the manifest");
    }
    if let Some(observation) = &view.observation {
        out.line(format!(
            "  says     {} {} of {} {}",
            observation.check,
            out.toned(tone_of(observation.value), observation.value.as_str()),
            observation.resource.kind,
            alerts::text::clean(&observation.name, 120)
        ));
        if let Some(reason) = &observation.reason {
            out.line(format!("  because  {reason}"));
        }
        for (name, value) in &observation.fields {
            out.line(format!("  read     {name}: {value}"));
        }
        for name in &observation.unread {
            out.line(format!("  {}   {name}", out.toned(Tone::Unseen, "unread")));
        }
        out.line(format!("  version  check {}", observation.version));
    }
    if let Some(resource) = &view.resource {
        out.line("  resource as it was read:");
        print_json(resource, out);
    }
    if let (Some(run), Some(resource)) = (view.run, &view.resource) {
        let calls = resource["exchanges"].as_array().cloned().unwrap_or_default();
        let calls: Vec<String> = calls.iter().map(|call| format!("{run}/{call}")).collect();
        if !calls.is_empty() {
            out.line(format!("  read by  evidenced show {}   the answers as received", calls.join(", ")));
        }
    }
    if view.exchange.is_none() {
        out.line(format!("  proof    evidenced show {}", view.address.entry));
    }
    if let Some(exchange) = &view.exchange {
        out.line("  exchange:");
        print_json(&serde_json::to_value(exchange).unwrap_or(Value::Null), out);
    }
    if let Some(body) = &view.body {
        out.line("  body as received, secrets redacted:");
        out.line(body);
    }
}

fn print_json(value: &Value, out: &Output) {
    for line in serde_json::to_string_pretty(value).unwrap_or_default().lines() {
        out.line(format!("    {line}"));
    }
}

/// `evidenced list WHAT`
pub(super) fn list(cli: &Cli, args: &ListArgs, out: &Output) -> anyhow::Result<Exit> {
    if args.what == Listing::Checks {
        return list_checks(cli, out);
    }
    let reading = Reading::open(cli, out)?;
    let query = reading.query();
    match args.what {
        Listing::Checks => {}
        Listing::Controls => {
            let (Some(controls), Some(info)) =
                (query.controls(&args.framework)?, query.catalogue.frameworks.get(&args.framework))
            else {
                bail!("there is no catalogue {}; there is {}", args.framework, catalogues(&query))
            };
            out.line(format!("{}, edition {}", out.toned(Tone::Strong, &info.title), info.edition));
            let others: Vec<&str> = query
                .catalogue
                .frameworks
                .keys()
                .filter(|id| **id != args.framework)
                .map(FrameworkId::as_str)
                .collect();
            if !others.is_empty() {
                let others = format!("other catalogues, with --framework: {}", others.join(", "));
                out.line(out.toned(Tone::Faint, others));
            }
            out.line("");
            let mut table = Table::new(&[]);
            for control in &controls {
                out.fact(control);
                table.toned([
                    (control.control.to_string(), Tone::Strong),
                    (control.value.to_string(), tone_of_finding(control.value)),
                    (control.title.clone(), Tone::Plain),
                    (control.because().to_owned(), Tone::Faint),
                    (control.entry.map_or_else(String::new, |entry| format!("#{entry}")), Tone::Faint),
                ]);
            }
            table.print(out, "");
            let count = |value: FindingValue| controls.iter().filter(|control| control.value == value).count();
            out.line("");
            out.line(format!(
                "{} controls: {} conforming, {} nonconforming, {} not evidenced, {} excepted, {} not applicable",
                controls.len(),
                count(FindingValue::Conforming),
                count(FindingValue::Nonconforming),
                count(FindingValue::NotEvidenced),
                count(FindingValue::Excepted),
                count(FindingValue::NotApplicable),
            ));
        }
        Listing::Sources => {
            for view in query.streams()? {
                out.fact(&view);
                print_stream(&view, query.now, out);
            }
        }
        Listing::Deviations => {
            let open = query.open_deviations()?;
            for alert in &open {
                out.fact(alert);
                out.line(alerts::text::render(alert));
                out.line("");
            }
            out.line(match open.len() {
                0 => "nothing deviates, as far as it could be seen (evidenced list sources shows what could not)"
                    .to_owned(),
                1 => "1 deviation is open".to_owned(),
                n => format!("{n} deviations are open"),
            });
        }
        Listing::Changes => {
            let mut table = Table::new(&[]);
            for change in query.changes(None, args.limit)? {
                out.fact(&change);
                table.toned(change_cells(&change));
            }
            table.print(out, "");
        }
    }
    Ok(Exit::Ok)
}

/// A change as cells of a table.
pub(super) fn change_cells(change: &ChangeView) -> [(String, Tone); 5] {
    let tone = match change.what.as_str() {
        "DEVIATES" | "DEVIATES AGAIN" => change.severity.map_or(Tone::Bad, tone_of_severity),
        "RESOLVED" | "READABLE" | "conforming" => Tone::Good,
        "UNREADABLE" | "MISSED" | "not evidenced" => Tone::Unseen,
        _ => Tone::Plain,
    };
    let baseline = if change.baseline { " (baseline)" } else { "" };
    [
        (change.at.to_the_second(), Tone::Faint),
        (format!("{}{baseline}", change.what), tone),
        (change.subject.clone(), Tone::Plain),
        (change.detail.clone(), Tone::Faint),
        (format!("#{}", change.entry), Tone::Faint),
    ]
}

fn list_checks(cli: &Cli, out: &Output) -> anyhow::Result<Exit> {
    let knowledge = super::plan::knowledge(cli, out)?;
    let mut table = Table::new(&[]);
    for (id, check) in &knowledge.catalogue.checks {
        let controls = alerts::text::controls(&knowledge.catalogue.controls_of(id));
        out.fact(&serde_json::json!({
            "check": id, "title": check.title, "severity": check.severity, "resource": check.kind,
            "source": check.source_kind, "collector": check.collector, "greatest_age": check.greatest_age,
            "version": check.version, "mappings": check.mappings,
        }));
        table.toned([
            (id.to_string(), Tone::Strong),
            (check.severity.to_string(), tone_of_severity(check.severity)),
            (controls, Tone::Plain),
            (check.title.clone(), Tone::Plain),
        ]);
    }
    table.print(out, "");
    Ok(Exit::Ok)
}

/// One stream and how it is.
pub(super) fn print_stream(view: &StreamView, now: domain::Timestamp, out: &Output) {
    let schedule = view.schedule.as_ref().and_then(|schedule| schedule.expression.clone());
    let schedule = schedule.unwrap_or_else(|| "not scheduled".to_owned());
    out.line(format!("{}  {schedule}  owner {}", out.toned(Tone::Strong, view.stream.as_str()), view.owner));
    match &view.last_run {
        Some(run) => {
            let ago = now.since(run.ended);
            let tone = if run.gaps == 0 { Tone::Good } else { Tone::Unseen };
            let (outcome, entry) = (out.toned(tone, run.outcome.as_str()), run.entry);
            out.line(format!(
                "  last     {outcome} {ago} ago, {}, {}, {}  #{entry}",
                counted(run.calls, "call"),
                counted(run.resources, "resource"),
                counted(run.gaps, "gap")
            ));
        }
        None => out.line("  last     it has not run yet"),
    }
    let [collected, partial, failed, missed] = view.outcomes;
    out.line(format!("  so far   {collected} collected, {partial} partial, {failed} failed, {missed} slots missed"));
    if let Some(coverage) = &view.coverage {
        let lost = out.toned(Tone::Unseen, "▲ incomplete");
        // The reason is the latest; that of the beginning stands in the entry.
        out.line(format!(
            "  {lost} since {}  #{}; now: {}",
            coverage.since.to_the_second(),
            coverage.entry,
            coverage.reason
        ));
        print_gaps(&view.gaps, &coverage.blind, out);
    }
}

/// Gaps and what went blind by them.
pub(super) fn print_gaps(gaps: &[domain::Gap], blind: &[domain::CheckId], out: &Output) {
    for gap in gaps {
        let needs = gap.permission.as_ref().map_or_else(String::new, |permission| format!("; needs {permission}"));
        out.line(format!("    {}  {}: {}{needs}", out.toned(Tone::Unseen, gap.reason.as_str()), gap.call, gap.detail));
    }
    if !blind.is_empty() {
        let blind: Vec<&str> = blind.iter().map(|check| check.as_str()).collect();
        out.line(format!("    blind    {}: undetermined, not conforming", blind.join(", ")));
    }
}
