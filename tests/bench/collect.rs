//! What collecting 100,000 resources costs: `cargo bench --bench collect`, against a simulated organisation of as many people,
//! which is the most there are in one; the argument is another number. Half of them are at the code host too.
//!
//! One process collects and records a stream of Keycloak, another one of GitHub, each into a data directory of its own, and
//! nothing is served by it. Beside each stands a bare loop of reqwest, which asks for the same pages one after the other and
//! throws them away. Both ask the same server in this process, so that their ratio tells what recording costs, and not how
//! fast the server is.
//!
//! The loop is hardly more than the server: of its time 96 % is the server's half. So collecting keeps up with it where it
//! never lets the server wait, and where what it does with a page leaves the server its core. On two cores, five times one
//! after the other and before whatever else ran there (`chrt -r 1`), it reached 0.97 to 1.05 of the loop for Keycloak and
//! 0.80 to 0.91 for GitHub, whose pages are asked for one at a time, in 217 to 228 and 128 to 147 MiB. By the usual
//! scheduler, with nothing else to do there, eight runs gave 0.76 to 1.03, half of them above 0.94, and 0.78 to 1.06, half
//! of them above 0.84; beside programs that wanted both cores it was seen to reach 0.5 to 1.0: a page that comes wakes a
//! thread on the server's core, and that thread stays there as long as the other core is taken. What a run costs in
//! processor time stands beside the ratio; four fifths of it are the recording and judging after the measured interval. Of
//! what collecting itself takes, `perf record` showed:
//!
//! | Part | Of its processor time |
//! | --- | --- |
//! | a resource: its fields, its line of JSON, its place among the others | 19 % |
//! | memory: taken, given back, copied | 17 % |
//! | answers hashed, by which they are committed to and known again | 16 % |
//! | answers parsed: members that are read; the others are passed over | 15 % |
//! | the kernel: sockets and files | 10 % |
//! | answers compressed | 9 % |
//! | HTTP | 9 % |
//! | everything else, sealing and the index among it | 5 % |
//!
//! The sources are asked as their manners want it. GitHub's let 890 calls start in a minute, and the pages of as many
//! members as there can be here are fewer: no call waits for its turn.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use domain::Timestamp;
use domain::entry::{Fact, Run};
use store::{Offline, Read as _};
use world::World;

type Failed = Box<dyn Error>;

const PEOPLE: usize = 100_000;
const STREAMS: [&str; 2] = ["keycloak:bench/people", "github:bench/people"];
/// Calls an hour: a limit is not what is measured.
const QUOTA: u64 = 1_000_000;
/// Of `/proc/<pid>/stat`, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
/// Throughput of collecting as part of the bare loop's, at least.
const LEAST_RATIO: f64 = 0.8;
/// Memory resident at the most, in MiB.
const MOST_MEMORY: u64 = 256;

fn main() -> Result<(), Failed> {
    let people = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let people = people.map_or(Ok(PEOPLE), |people| people.parse())?;
    let mut out = format!("collecting from a simulated organisation of {people} people\n{:<24}", "");
    let heads = ["resources", "calls", "MB read", "collected s", "recorded s", "judged s", "whole s", "CPU s"];
    let more = ["bare s", "ratio", "peak MiB"];
    heads.iter().chain(&more).try_for_each(|head| write!(out, "{head:>12}"))?;
    out.push('\n');
    let mut missed = Vec::new();
    for stream in STREAMS {
        measure(stream, people, &mut out, &mut missed)?;
    }
    writeln!(
        out,
        "ratio: throughput of collecting as part of the bare loop's; recorded, judged: each resource made durable,"
    )?;
    writeln!(out, "then what checks say of it; whole and CPU: those three with the start and the end of the process")?;
    match missed.is_empty() {
        true => writeln!(out, "both goals are met: a ratio of {LEAST_RATIO} or more, {MOST_MEMORY} MiB or less")?,
        false => missed.iter().try_for_each(|what| writeln!(out, "NOT met: {what}"))?,
    }
    #[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
    {
        print!("{out}");
    }
    Ok(())
}

/// Adds one stream's line, and says which goals it missed.
fn measure(stream: &str, people: usize, out: &mut String, missed: &mut Vec<String>) -> Result<(), Failed> {
    let now = || domain::Clock::now(&evidenced::clock::SystemClock).millis();
    let world = World::new(7, people, now());
    world.follow(now);
    world.set_github_quota(Some(QUOTA));
    let server = world.serve(0)?;
    let dir = tempfile::tempdir()?;
    write_settings(dir.path(), &server.url())?;
    let Cost { whole, cpu, peak } = scan(dir.path(), stream)?;
    let (run, recorded, judged) = recorded(dir.path(), stream)?;
    let seconds = |from: Timestamp, to: Timestamp| Duration::from_millis(to.since(from).millis()).as_secs_f64();
    let resources: u64 = run.populations.iter().map(|population| population.count).sum();
    let collected = seconds(run.started, run.ended);
    let asked: Vec<String> =
        world.calls().into_iter().filter(|call| call.call.starts_with("GET ")).map(|call| call.target).collect();
    let (bare, bytes) = loop_over(&server.url(), &asked)?;
    let (ratio, peak) = (bare.as_secs_f64() / collected, peak.div_ceil(1024));
    write!(out, "{stream:<24}{resources:>12}{:>12}{:>12.1}", run.calls, bytes as f64 / 1e6)?;
    write!(out, "{collected:>12.2}{:>12.2}{:>12.2}", seconds(run.ended, recorded), seconds(recorded, judged))?;
    write!(out, "{:>12.2}{cpu:>12.2}{:>12.2}", whole.as_secs_f64(), bare.as_secs_f64())?;
    writeln!(out, "{ratio:>12.2}{peak:>12}   {}", run.outcome.as_str())?;
    if ratio < LEAST_RATIO {
        missed.push(format!("{stream} has a ratio of {ratio:.2}, and {LEAST_RATIO} is the goal"));
    }
    if peak > MOST_MEMORY {
        missed.push(format!("{stream} took {peak} MiB, and {MOST_MEMORY} is the goal"));
    }
    Ok(())
}

fn write_settings(dir: &Path, url: &str) -> Result<(), Failed> {
    fs::write(dir.join("keycloak"), world::READER_SECRET)?;
    fs::write(dir.join("github"), world::GITHUB_TOKEN)?;
    let here = dir.display();
    let text = format!(
        "organisation: Bench\ndata: {here}/data\nsources:\n  keycloak:\n  - name: bench\n    owner: nobody\n    url: {url}\n    \
         realm: {}\n    client_id: {}\n    client_secret: {{file: {here}/keycloak}}\n  github:\n  - name: bench\n    \
         owner: nobody\n    url: {url}/api/v3\n    organisation: {}\n    token: {{file: {here}/github}}\n",
        world::REALM,
        world::READER,
        world::GITHUB_ORG,
    );
    Ok(fs::write(dir.join("evidenced.yaml"), text)?)
}

/// What a process cost.
struct Cost {
    whole: Duration,
    /// Seconds of processor time, of all its threads.
    cpu: f64,
    /// The most memory it had resident, in kB.
    peak: u64,
}

/// Collects one stream once.
fn scan(dir: &Path, stream: &str) -> Result<Cost, Failed> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_evidenced"))
        .args(["--config"])
        .arg(dir.join("evidenced.yaml"))
        .args(["scan", "--init", "--stream", stream])
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log"))?)
        .spawn()?;
    let (mut peak, mut cpu) = (0, 0.0_f64);
    while child.try_wait()?.is_none() {
        peak = peak.max(resident(&child).unwrap_or(0));
        cpu = cpu.max(processor_time(&child).unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(20));
    }
    match child.wait()?.code() {
        // What a simulated organisation has wrong, and what could not be seen, is no fault of the run.
        Some(0 | 1 | 3) => Ok(Cost { whole: began.elapsed(), cpu, peak }),
        code => Err(format!("{stream}: {code:?}: {}", fs::read_to_string(dir.join("log"))?).into()),
    }
}

/// The most that the process ever had resident, in kB; `None` once it has ended.
fn resident(child: &Child) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Seconds of processor time that the process has had; `None` once it has ended.
fn processor_time(child: &Child) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // The name of the program stands in parentheses and may hold spaces; user and system time are the 12th and 13th after.
    let ticks = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some(ticks.collect::<Result<Vec<_>, _>>().ok()?.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// The last run of a stream, when it was recorded, and when it was judged.
fn recorded(dir: &Path, stream: &str) -> Result<(Run, Timestamp, Timestamp), Failed> {
    let ledger = Offline::open(&dir.join("data"))?;
    let mut judged = None;
    for entry in (0..ledger.head()?.size).rev() {
        let Some(entry) = ledger.entry(entry)? else { continue };
        match entry.fact {
            Fact::Observation(said) if said.stream.as_str() == stream => judged = Some(entry.at),
            Fact::Run(run) if run.stream.as_str() == stream => return Ok((run, entry.at, judged.unwrap_or(entry.at))),
            _ => {}
        }
    }
    Err(format!("{stream} has no run").into())
}

/// Asks for every target in turn and reads each answer to its end; gives how long it took, and the bytes.
fn loop_over(url: &str, targets: &[String]) -> Result<(Duration, u64), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let form =
            format!("grant_type=client_credentials&client_id={}&client_secret={}", world::READER, world::READER_SECRET);
        let address = format!("{url}/realms/{}/protocol/openid-connect/token", world::REALM);
        let kind = "application/x-www-form-urlencoded";
        let answer = client.post(address).header("content-type", kind).body(form).send().await?.bytes().await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let token = answer.get("access_token").and_then(serde_json::Value::as_str);
        let keycloak = token.ok_or("no token")?.to_owned();
        let (began, mut bytes) = (Instant::now(), 0);
        for target in targets {
            let token = if target.starts_with("/api/") { world::GITHUB_TOKEN } else { &keycloak };
            let mut answer =
                client.get(format!("{url}{target}")).bearer_auth(token).send().await?.error_for_status()?;
            while let Some(piece) = answer.chunk().await? {
                bytes += piece.len() as u64;
            }
        }
        Ok((began.elapsed(), bytes))
    })
}
