//! `scan`: collect and check once, now, and print what was found. What it finds is recorded like any run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use domain::{Clock, Outcome, StreamId, Trigger};
use indicatif::{ProgressBar, ProgressStyle};
use query::{Query, StreamView};
use store::{Read, Store};

use super::Exit;
use super::args::{Cli, FailOn, ScanArgs};
use super::output::{Output, Table, Tone, counted};
use super::read::{data_dir, load};
use super::show::print_gaps;
use crate::clock::{SystemClock, SystemRandom};
use crate::loaded::Loaded;
use crate::{app, pipeline};

/// `evidenced scan`
pub(super) fn scan(cli: &Cli, args: &ScanArgs, out: &Output) -> anyhow::Result<Exit> {
    let loaded = load(cli, out)?;
    let data = data_dir(cli, Some(&loaded.settings));
    let streams: Vec<_> = loaded
        .streams_in_order()
        .into_iter()
        .filter(|stream| args.source.as_ref().is_none_or(|source| stream.id.source() == *source))
        .filter(|stream| args.stream.as_ref().is_none_or(|wanted| stream.id == *wanted))
        .collect();
    if streams.is_empty() {
        let known: Vec<String> = loaded.streams().map(|stream| stream.id.to_string()).collect();
        bail!("no such source or stream; there is {}", known.join(", "));
    }
    let layout = store::Layout::new(&data);
    if args.init && !layout.is_initialised() {
        app::init(&data, &loaded.settings)?;
        out.note(format!("made a data directory in {}", data.display()));
    }
    let (store, recovered) = app::open_store(&data, &loaded.settings, &app::BadDisk::default()).with_context(|| {
        format!("cannot write to {} (with a daemon running, use `evidenced run-now`)", data.display())
    })?;
    for note in recovered.notes {
        out.note(note);
    }
    let store = Arc::new(store);
    app::record_version(&store, &loaded)?;
    let around = app::surroundings(&loaded, store.clone(), Arc::new(SystemClock), Arc::new(SystemRandom));
    // One stream is asked at a time, which is mostly waiting, and answers are kept and read in threads of their own: a
    // second worker would have the two hand every page back and forth.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let loaded = Arc::new(loaded);
    let mut entries = Vec::new();
    let (mut deviates, mut incomplete) = (0, false);
    for stream in streams {
        if loaded.source(&stream.id.source()).is_none() {
            continue;
        }
        let bar = progress(out, &stream.id);
        let intent = pipeline::intend(&store, &stream.id, Trigger::Manual)?;
        // A task, as in the daemon: it then runs beside its connections, and not in a thread apart from theirs.
        let asking = {
            let (loaded, around) = (Arc::clone(&loaded), around.clone());
            let (stream, collector) = (stream.id.clone(), stream.collector);
            async move {
                let source = loaded.source(&stream.source())?;
                Some(kit::run(source, collector, &stream, Trigger::Manual, &around).await)
            }
        };
        let Some(run) = runtime.block_on(runtime.spawn(asking))? else { continue };
        bar.finish_and_clear();
        let done = pipeline::settle(&store, &loaded.knowledge, intent.entry, &run, SystemClock.now())?;
        entries.push(intent.entry);
        let query = Query { read: store.as_ref(), catalogue: &loaded.knowledge.catalogue, now: SystemClock.now() };
        let views = query.streams()?;
        let Some(view) = views.iter().find(|view| view.stream == stream.id) else { continue };
        out.fact(view);
        print_run(view, &run, out);
        deviates += view.checks.iter().map(|check| check.counts.deviates).sum::<u64>();
        incomplete |= done.outcome != Outcome::Collected;
        incomplete |= view.checks.iter().any(|check| check.counts.undetermined > 0);
    }
    finish(&store, &loaded, &entries, deviates, incomplete, out)?;
    Ok(match (incomplete, args.fail_on) {
        (true, _) => Exit::Incomplete,
        (false, Some(FailOn::Deviates)) if deviates > 0 => Exit::Deviations,
        _ => Exit::Ok,
    })
}

fn progress(out: &Output, stream: &StreamId) -> ProgressBar {
    if out.json() {
        return ProgressBar::hidden();
    }
    // It draws to standard error, and not at all where that is no terminal.
    let bar = ProgressBar::new_spinner().with_message(format!("asking {stream}"));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn print_run(view: &StreamView, run: &domain::CollectionRun, out: &Output) {
    let tone = if run.outcome == Outcome::Collected { Tone::Good } else { Tone::Unseen };
    out.line(format!(
        "{}  {}  {}, {}, {} in {}",
        out.toned(Tone::Strong, view.stream.as_str()),
        out.toned(tone, run.outcome.as_str()),
        counted(run.exchanges.len(), "call"),
        counted(run.resource_count(), "resource"),
        counted(run.gaps.len(), "gap"),
        run.ended.since(run.started),
    ));
    let blind: Vec<_> = view
        .checks
        .iter()
        .filter(|check| !check.complete || check.counts.undetermined > 0)
        .map(|check| check.check.clone())
        .collect();
    if !run.gaps.is_empty() {
        print_gaps(&run.gaps, &blind, out);
    }
    let mut table = Table::new(&[1, 2, 3, 4]);
    let heading = ["check", "conforms", "deviates", "undetermined", "not applicable", ""];
    table.toned(heading.map(|word| (word.to_owned(), Tone::Faint)));
    for check in &view.checks {
        let counts = &check.counts;
        // Of a population nothing of which was read there is no number, not even none.
        let unread = !check.complete && counts.total() == 0;
        let number = |n: u64, tone: Tone| match n {
            _ if unread => ("-".to_owned(), Tone::Unseen),
            0 => ("0".to_owned(), Tone::Faint),
            n => (n.to_string(), tone),
        };
        let said = match (check.complete, unread) {
            (true, _) => "",
            (false, true) => "not read: undetermined",
            (false, false) => "population not read completely",
        };
        table.toned([
            (check.check.to_string(), Tone::Plain),
            number(counts.conforms, Tone::Good),
            number(counts.deviates, Tone::Bad),
            number(counts.undetermined, Tone::Unseen),
            number(counts.not_applicable, Tone::Plain),
            (said.to_owned(), Tone::Unseen),
        ]);
    }
    table.print(out, "  ");
    out.line("");
}

fn finish(
    store: &Store,
    loaded: &Loaded,
    entries: &[u64],
    deviates: u64,
    incomplete: bool,
    out: &Output,
) -> anyhow::Result<()> {
    let query = Query { read: store, catalogue: &loaded.knowledge.catalogue, now: SystemClock.now() };
    let mut still_open = 0;
    for alert in query.open_deviations()? {
        let unread = alert.unread_since.is_some();
        still_open += u64::from(unread);
        let word = if unread {
            out.toned(Tone::Unseen, "not read, deviated before")
        } else {
            out.toned(Tone::Bad, "deviates")
        };
        let values = alert
            .is
            .as_ref()
            .map(|is| is.values.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", "));
        out.line(format!(
            "{}  {}  {}  {}",
            word,
            alert.check.as_ref().map_or("", |check| check.as_str()),
            alerts::text::clean(&alert.subject, 60),
            out.toned(Tone::Faint, alerts::text::clean(&values.unwrap_or_default(), 120)),
        ));
        if !alert.controls.is_empty() {
            let controls = format!("bears on {}", alerts::text::controls(&alert.controls));
            out.line(format!("  {}", out.toned(Tone::Faint, controls)));
        }
    }
    let size = store.head()?.size;
    let first = entries.first().copied().unwrap_or(size);
    let deviations = counted(deviates, "deviation");
    let unread = match (incomplete, still_open) {
        (false, _) => "nothing unread".to_owned(),
        (true, 0) => "some of it could not be read: undetermined, not conforming".to_owned(),
        (true, n) => {
            format!("some of it could not be read: undetermined, not conforming; {n} of that deviated when last read")
        }
    };
    out.line(format!("{deviations}; {unread}. Recorded as #{first} to #{}.", size.saturating_sub(1)));
    Ok(())
}
