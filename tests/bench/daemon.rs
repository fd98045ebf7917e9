//! What a daemon costs while nothing changes: `cargo bench --bench daemon`, against the simulated organisation, or
//! against a real realm with KEYCLOAK_URL and KEYCLOAK_REALM (made by `tests/parties/keycloak_seed.py seed`). How many
//! seconds each collector is watched may be given as the argument.
//!
//! Each collector is measured alone, in a daemon of its own: the others have had their first look and rest. Nobody asks
//! the daemon anything meanwhile; what it recorded is read from its data directory afterwards. Bytes are those of the
//! entries and of the rows of the index themselves; beside them stands by how much the files grew, in which frames,
//! checkpoints and, in the index, old pages take room as well.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use domain::entry::Fact;
use domain::{Clock as _, Outcome};
use store::{Offline, Read as _};
use world::World;

type Failed = Box<dyn Error>;

const PEOPLE: usize = 120;
/// Before anything is measured, so that the first look and its consequences are over.
const SETTLE: Duration = Duration::from_secs(4);
const WINDOW: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(60);
/// Of `/proc/<pid>/stat`, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
const COLLECTORS: [(&str, &str); 3] = [("realm", "1s"), ("people", "5s"), ("clients", "1s")];

/// Whom the daemon watches.
struct Watched {
    about: String,
    url: String,
    realm: String,
    client: &'static str,
    secret: &'static str,
}

fn main() -> Result<(), Failed> {
    let window = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let window = Duration::from_secs(window.map_or(Ok(WINDOW), |seconds| seconds.parse())?);
    let world = World::new(7, PEOPLE, evidenced::clock::SystemClock.now().millis());
    world.follow(|| evidenced::clock::SystemClock.now().millis());
    let server = world.serve(0)?;
    let watched = match (std::env::var("KEYCLOAK_URL"), std::env::var("KEYCLOAK_REALM")) {
        (Ok(url), Ok(realm)) => Watched {
            about: format!("the realm {realm} at {url}"),
            url,
            realm,
            client: "evidenced-reader",
            secret: "canary-reader-client-secret",
        },
        _ => Watched {
            about: format!("the simulated organisation of {PEOPLE} people"),
            url: server.url(),
            realm: world::REALM.to_owned(),
            client: world::READER,
            secret: world::READER_SECRET,
        },
    };
    let mut out = format!("unchanged runs on {}, {} s each\n", watched.about, window.as_secs());
    let heads = ["", "runs", "calls", "run ms", "CPU ms", "entries B", "rows B", "ledger +B", "index +B", "bodies +B"];
    let [name, rest @ ..] = heads;
    write!(out, "{name:<10}")?;
    rest.iter().try_for_each(|head| write!(out, "{head:>12}"))?;
    writeln!(out, "   (each a run; +B: files grew)")?;
    let (mut rss, mut idle_cpu) = ((0, 0), 0.0);
    for busy in std::iter::once(None).chain(COLLECTORS.map(Some)) {
        let measured = measure(&watched, busy, window)?;
        match busy {
            None => (rss, idle_cpu) = ((measured.rss, measured.peak), measured.cpu),
            Some((name, _)) => row(&mut out, name, &measured, idle_cpu)?,
        }
    }
    writeln!(
        out,
        "idle: {} kB resident, {} kB at the most; {:.1} ms CPU a second",
        rss.0,
        rss.1,
        idle_cpu * 1e3 / window.as_secs_f64()
    )?;
    #[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
    {
        print!("{out}");
    }
    Ok(())
}

fn row(out: &mut String, name: &str, measured: &Measured, idle_cpu: f64) -> Result<(), Failed> {
    if measured.runs == 0 {
        return Err(format!("{name}: no run in that time").into());
    }
    let a_run = |sum: f64| sum / measured.runs as f64;
    let of = |folder: &str| a_run(measured.grown.get(folder).copied().unwrap_or(0) as f64);
    writeln!(
        out,
        "{name:<10}{:>12}{:>12.0}{:>12.0}{:>12.1}{:>12.0}{:>12.0}{:>12.0}{:>12.0}{:>12.0}",
        measured.runs,
        a_run(measured.calls as f64),
        a_run(measured.millis as f64),
        a_run((measured.cpu - idle_cpu).max(0.0) * 1e3),
        a_run(measured.entry_bytes as f64),
        a_run(measured.row_bytes as f64),
        of("ledger"),
        of("index"),
        of("body"),
    )?;
    Ok(())
}

/// What one window cost.
#[derive(Default)]
struct Measured {
    runs: u64,
    calls: u64,
    /// From the start of the runs to their ends.
    millis: u64,
    /// Seconds of CPU.
    cpu: f64,
    /// Of the entries: intents, runs and observations.
    entry_bytes: u64,
    /// Of the keys and values that the index has more.
    row_bytes: u64,
    /// By folder of the data directory: bytes that its files grew by.
    grown: BTreeMap<&'static str, u64>,
    /// kB resident at the end.
    rss: u64,
    peak: u64,
}

/// A daemon whose collector `busy` runs again and again, with its period; none rests nothing but the clock.
fn measure(watched: &Watched, busy: Option<(&str, &str)>, window: Duration) -> Result<Measured, Failed> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let mut daemon = start(dir.path(), watched, busy)?;
    let began = Instant::now();
    while collected(&data).unwrap_or(0) < COLLECTORS.len() {
        if began.elapsed() > PATIENCE || daemon.0.try_wait()?.is_some() {
            return Err(fs::read_to_string(dir.path().join("log"))?.into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(SETTLE);
    let (cpu, size, before) = (cpu(&daemon.0)?, sizes(&data)?, Offline::open(&data)?);
    std::thread::sleep(window);
    let mut measured = Measured { cpu: self::cpu(&daemon.0)? - cpu, ..Measured::default() };
    (measured.rss, measured.peak) = (status(&daemon.0, "VmRSS:")?, status(&daemon.0, "VmHWM:")?);
    measured.grown = sizes(&data)?
        .into_iter()
        .map(|(name, n)| (name, n.saturating_sub(size.get(name).copied().unwrap_or(0))))
        .collect();
    daemon.0.kill()?;
    daemon.0.wait()?;
    let after = Offline::open(&data)?;
    measured.row_bytes = rows(&after)?.saturating_sub(rows(&before)?);
    count(&after, before.head()?.size, &mut measured)?;
    Ok(measured)
}

/// Adds up what was recorded from entry `first` on.
fn count(ledger: &Offline, first: u64, measured: &mut Measured) -> Result<(), Failed> {
    for entry in ledger.entries(first) {
        let (number, bytes) = entry?;
        measured.entry_bytes += bytes.len() as u64;
        match store::read::parse_entry(number, &bytes)?.fact {
            Fact::Run(run) if run.outcome == Outcome::Collected => {
                measured.runs += 1;
                measured.calls += u64::from(run.calls);
                measured.millis += run.ended.since(run.started).millis();
            }
            Fact::Intent(_) | Fact::Observation(_) => {}
            other => return Err(format!("#{number} is no part of an unchanged run: {}", other.kind()).into()),
        }
    }
    Ok(())
}

/// Bytes of all keys and values of the index.
fn rows(ledger: &Offline) -> Result<u64, Failed> {
    let rows = ledger.index().scan(b"", None, usize::MAX)?;
    Ok(rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
}

/// A daemon; ended when it is dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

fn start(dir: &Path, watched: &Watched, busy: Option<(&str, &str)>) -> Result<Daemon, Failed> {
    let (secret, settings) = (dir.join("secret"), dir.join("evidenced.yaml"));
    fs::write(&secret, watched.secret)?;
    let schedules =
        busy.map_or(String::new(), |(name, every)| format!("    schedules: {{{name}: 'every: {every}'}}\n"));
    let (here, Watched { url, realm, client, .. }) = (dir.display(), watched);
    fs::write(
        &settings,
        format!(
            "organisation: Bench\ndata: {here}/data\nweb: {{listen: '127.0.0.1:0'}}\nhealth: {{listen: '127.0.0.1:0'}}\n\
             schedules: {{default: 'every: 12h'}}\nsources:\n  keycloak:\n  - name: bench\n    owner: nobody\n    url: {url}\n    \
             realm: {realm}\n    client_id: {client}\n    client_secret: {{file: {}}}\n{schedules}",
            secret.display()
        ),
    )?;
    let child = Command::new(env!("CARGO_BIN_EXE_evidenced"))
        .args(["run", "--init", "--until-stdin-ends", "--config"])
        .arg(settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log"))?)
        .spawn()?;
    Ok(Daemon(child))
}

/// How many streams have a run behind them that read everything.
fn collected(data: &Path) -> Result<usize, Failed> {
    let ledger = Offline::open(data)?;
    let mut streams = std::collections::BTreeSet::new();
    for entry in ledger.entries(0) {
        let (number, bytes) = entry?;
        if let Fact::Run(run) = store::read::parse_entry(number, &bytes)?.fact
            && run.outcome == Outcome::Collected
        {
            streams.insert(run.stream);
        }
    }
    Ok(streams.len())
}

/// Bytes in the files of each folder.
fn sizes(data: &Path) -> Result<BTreeMap<&'static str, u64>, Failed> {
    ["ledger", "index", "body"].into_iter().map(|name| Ok((name, size(&data.join(name))?))).collect()
}

fn size(dir: &PathBuf) -> Result<u64, Failed> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() { size(&entry.path())? } else { about.len() };
    }
    Ok(sum)
}

/// Seconds of CPU so far, in the program and in the kernel for it.
fn cpu(daemon: &Child) -> Result<f64, Failed> {
    let text = fs::read_to_string(format!("/proc/{}/stat", daemon.id()))?;
    // Behind the name, which may hold anything: the third field is the first of these.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).ok_or("/proc/<pid>/stat is odd");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// A line of `/proc/<pid>/status`, in kB.
fn status(daemon: &Child, name: &str) -> Result<u64, Failed> {
    let text = fs::read_to_string(format!("/proc/{}/status", daemon.id()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
