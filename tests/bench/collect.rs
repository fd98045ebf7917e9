//! What collecting 100,000 resources costs: `cargo bench --bench collect`, against a simulated organisation of as many people,
//! which is the most there are in one; the argument is another number. Half of them are at the code host too.
//!
//! One process collects and records a stream of Keycloak, another one of GitHub, each into a data directory of its own, and
//! nothing is served by it. Beside each stands a bare loop of reqwest, which asks for the same pages in the same order and
//! throws them away. Both ask the same server in this process, so that their ratio tells what recording costs, and not how
//! fast the server is.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use domain::entry::{Fact, Run};
use store::{Offline, Read as _};
use world::World;

type Failed = Box<dyn Error>;

const PEOPLE: usize = 100_000;
const STREAMS: [&str; 2] = ["keycloak:bench/people", "github:bench/people"];
/// Calls an hour: a limit is not what is measured.
const QUOTA: u64 = 1_000_000;
/// Throughput of collecting as part of the bare loop's, at least.
const LEAST_RATIO: f64 = 0.8;
/// Memory resident at the most, in MiB.
const MOST_MEMORY: u64 = 256;

fn main() -> Result<(), Failed> {
    let people = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let people = people.map_or(Ok(PEOPLE), |people| people.parse())?;
    let mut out = format!("collecting from a simulated organisation of {people} people\n{:<24}", "");
    let heads = ["resources", "calls", "MB read", "collected s", "whole s", "bare s", "ratio", "peak MiB"];
    heads.iter().try_for_each(|head| write!(out, "{head:>12}"))?;
    out.push('\n');
    let mut missed = Vec::new();
    for stream in STREAMS {
        measure(stream, people, &mut out, &mut missed)?;
    }
    writeln!(out, "ratio: throughput of collecting as part of the bare loop's; whole: with recording and judging")?;
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
    let (whole, peak) = scan(dir.path(), stream)?;
    let run = recorded(dir.path(), stream)?;
    let resources: u64 = run.populations.iter().map(|population| population.count).sum();
    let collected = Duration::from_millis(run.ended.since(run.started).millis()).as_secs_f64();
    let asked: Vec<String> =
        world.calls().into_iter().filter(|call| call.call.starts_with("GET ")).map(|call| call.target).collect();
    let (bare, bytes) = loop_over(&server.url(), &asked)?;
    let (ratio, peak) = (bare.as_secs_f64() / collected, peak.div_ceil(1024));
    write!(out, "{stream:<24}{resources:>12}{:>12}{:>12.1}", run.calls, bytes as f64 / 1e6)?;
    write!(out, "{collected:>12.1}{:>12.1}{:>12.1}", whole.as_secs_f64(), bare.as_secs_f64())?;
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

/// Collects one stream once; gives how long it took, and the most memory it had resident, in kB.
fn scan(dir: &Path, stream: &str) -> Result<(Duration, u64), Failed> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_evidenced"))
        .args(["--config"])
        .arg(dir.join("evidenced.yaml"))
        .args(["scan", "--init", "--stream", stream])
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log"))?)
        .spawn()?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(resident(&child).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    match child.wait()?.code() {
        // What a simulated organisation has wrong, and what could not be seen, is no fault of the run.
        Some(0 | 1 | 3) => Ok((began.elapsed(), peak)),
        code => Err(format!("{stream}: {code:?}: {}", fs::read_to_string(dir.join("log"))?).into()),
    }
}

/// The most that the process ever had resident, in kB; `None` once it has ended.
fn resident(child: &Child) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// The last run of a stream.
fn recorded(dir: &Path, stream: &str) -> Result<Run, Failed> {
    let ledger = Offline::open(&dir.join("data"))?;
    for entry in (0..ledger.head()?.size).rev() {
        if let Some(Fact::Run(run)) = ledger.entry(entry)?.map(|entry| entry.fact)
            && run.stream.as_str() == stream
        {
            return Ok(run);
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
