//! `package`: evidence to take away.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context as _, bail};
use domain::ControlAddress;
use query::Query;
use web::ExportAsked;

use super::Exit;
use super::args::{Cli, PackageArgs};
use super::output::{Output, Tone, counted};
use super::read::{Reading, data_dir, settings_beside};
use crate::package::{Asked, Made, Source, make};
use crate::{app, config, serve};

/// `evidenced package`
pub(super) fn package(cli: &Cli, args: &PackageArgs, out: &Output) -> anyhow::Result<Exit> {
    if args.control.is_empty() && args.stream.is_empty() && !args.all {
        bail!("say what of: --control A.8.5, --stream kind:name/collector, or --all");
    }
    if args.recipient.trim().is_empty() {
        bail!("say whom it is for: --for 'Audit firm'");
    }
    let reading = Reading::open(cli, out)?;
    let query = reading.query();
    let pins =
        args.pin.iter().map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())));
    let asked = Asked {
        controls: args.control.iter().map(|text| control(&query, text)).collect::<Result<_, _>>()?,
        streams: args.stream.clone(),
        all: args.all,
        from: args.period.0,
        to: args.period.1,
        hide: args.hide.clone(),
        pins: pins.collect::<Result<_, _>>()?,
    };
    let settings = settings_beside(cli, out)?.unwrap_or_default();
    let data = data_dir(cli, Some(&settings));
    app::own_ledger(&data, &settings)?;
    let watched = std::io::stderr().is_terminal() && !out.json();
    let source = Source { data: &data, offline: &reading.offline, query: &query };
    let made = make(&source, &asked, &args.out, &mut |done, all| {
        if watched {
            out.note(format!("  {done} of {all} entries"));
        }
    })?;
    // What nobody recorded is given to nobody.
    let entry = record(&data, &settings, args, &asked, &made).map_err(|error| {
        let out = args.out.display();
        error.context(match crate::package::take_away(&args.out) {
            Ok(()) => format!("{out} was taken away again: the ledger could not be told of it"),
            Err(left) => format!("the ledger could not be told of {out}; remove it by hand: {left}"),
        })
    })?;
    print(&made, entry, args, out);
    Ok(if made.lacking.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

/// The control of that number, in the catalogue that has it.
fn control(query: &Query<'_>, text: &str) -> anyhow::Result<ControlAddress> {
    if text.contains(['/', ':']) {
        return Ok(text.replacen(':', "/", 1).parse()?);
    }
    let control = text.parse()?;
    let frameworks = query.catalogue.frameworks_with(&control);
    match frameworks.as_slice() {
        [framework] => Ok(ControlAddress { framework: framework.clone(), control }),
        [] => bail!("there is no control {text}; evidenced list controls names them"),
        several => {
            let several: Vec<String> = several.iter().map(|framework| format!("{framework}/{text}")).collect();
            bail!("{text} is a control of several catalogues: name {}", several.join(" or "))
        }
    }
}

/// Tells the ledger: through the daemon that holds it, or by itself where none runs.
fn record(
    data: &Path,
    settings: &config::Settings,
    args: &PackageArgs,
    asked: &Asked,
    made: &Made,
) -> anyhow::Result<u64> {
    let controls = asked.controls.iter().map(ToString::to_string);
    let streams = made.streams.iter().map(ToString::to_string);
    let export = ExportAsked {
        recipient: args.recipient.clone(),
        of: if asked.controls.is_empty() { streams.collect() } else { controls.collect() },
        from: asked.from,
        to: made.to,
        entries: made.entries,
        rows: made.rows,
        withheld: made.withheld,
        hidden: asked.hide.clone(),
        digest: made.digest.clone(),
    };
    let socket = store::Layout::new(data).socket();
    if serve::is_answered(&socket) {
        return serve::ask_to_record(&socket, &export);
    }
    // A socket that nobody answers at was left over; the lock of the data directory decides.
    let (store, _) = app::open_store(data, settings, &app::BadDisk::default())?;
    Ok(app::record_export(&store, &export)?)
}

fn print(made: &Made, entry: u64, args: &PackageArgs, out: &Output) {
    let folder = made.folder.display();
    out.line(format!("package    {folder}: {}", counted(made.files, "file")));
    let streams: Vec<String> = made.streams.iter().map(ToString::to_string).collect();
    out.line(format!("period     {} up to {}", args.period.0, made.to));
    out.line(format!("streams    {}", streams.join(", ")));
    let (entries, rows, bodies) = (made.entries, made.rows, made.bodies);
    out.line(format!("holds      {} entries, {}, {} bodies", entries, counted(rows, "row"), bodies));
    if made.withheld > 0 {
        let withheld = made.withheld;
        out.line(format!("left out   {withheld} bodies, each named and committed to: withheld.txt"));
    }
    match made.dated_by.is_empty() {
        true => out.line("dated      by no authority outside yet: a package made later may be"),
        false => out.line(format!("dated      by {}: anchors/", made.dated_by.join(", "))),
    }
    for lacking in &made.lacking {
        out.line(out.toned(Tone::Unseen, format!("incomplete {lacking}")));
    }
    out.line(format!("digest     {}", made.digest));
    out.line("           tell it to the receiver by another way than the package: it stands for every byte");
    out.line(format!("recorded   for {}  #{entry}", alerts::text::clean(&args.recipient, 100)));
    out.line(format!("verify     python3 {folder}/verify.py    or    evidenced-verify {folder}"));
    out.fact(&serde_json::json!({ "package": made, "export": entry }));
}
