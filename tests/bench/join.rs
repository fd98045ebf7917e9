//! What a join of 100,000 accounts costs: `cargo bench --bench join`, of as many accounts as the argument says.
//!
//! A simulated organisation is collected first: its identities once, and its members at the code host as two sources, so
//! that there are as many accounts as identities. With more than 100,000, the most people there are in one organisation, its
//! members are more sources still: that is how a run of 300,000 resources is measured. Then one process joins what was recorded, and records and judges what
//! comes of it. It is asked for half as many and for all of them, so that the last column shows whether time grows with the
//! accounts or faster.
//!
//! A join of 100,000 accounts, of which 5,800 deviate at the first look, was seen to take 450 MB at its peak. Of what is
//! allocated then (heaptrack, 60,000 accounts: 190 MB) two fifths are the index, which holds more than its cache is set to, a
//! quarter is tables of keys, names and new bodies, which grow by doubling, and the rest the accounts, their rows and texts.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use domain::entry::{Fact, Run};
use store::{Offline, Read as _};
use world::World;

type Failed = Box<dyn Error>;

const ACCOUNTS: usize = 100_000;
const IDENTITIES: &str = "keycloak:bench/people";
const JOINED: &str = "accounts:bench/holders";
/// Calls an hour, and calls a minute as for an Enterprise server that sets no limit: neither is what is measured.
const QUOTA: u64 = 1_000_000;
/// People in one simulated organisation, at the most.
const MOST_PEOPLE: usize = 100_000;

/// What one join cost.
struct Cost {
    accounts: u64,
    identities: u64,
    joined: Duration,
    whole: Duration,
    peak_kb: u64,
}

fn main() -> Result<(), Failed> {
    let accounts = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let accounts = accounts.map_or(Ok(ACCOUNTS), |accounts| accounts.parse())?;
    let mut out = String::new();
    ["accounts", "identities", "joined s", "whole s", "peak MB", "µs/account"]
        .iter()
        .try_for_each(|head| write!(out, "{head:>12}"))?;
    writeln!(out)?;
    for accounts in [accounts / 2, accounts] {
        let Cost { accounts, identities, joined, whole, peak_kb } = measured(accounts)?;
        let each = joined.as_secs_f64() * 1e6 / accounts as f64;
        let (joined, whole, peak) = (joined.as_secs_f64(), whole.as_secs_f64(), peak_kb as f64 / 1024.0);
        writeln!(out, "{accounts:>12}{identities:>12}{joined:>12.1}{whole:>12.1}{peak:>12.0}{each:>12.0}")?;
    }
    writeln!(out, "joined: reading both sides and deciding; whole: with recording, judging and starting the process")?;
    #[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
    {
        print!("{out}");
    }
    Ok(())
}

/// Collects an organisation, and joins so many accounts. Every second of its people is a member at the code host.
fn measured(accounts: usize) -> Result<Cost, Failed> {
    let people = accounts.min(MOST_PEOPLE);
    let members: Vec<String> = (0..2 * accounts.div_ceil(MOST_PEOPLE)).map(|n| format!("members-{n}")).collect();
    let now = || domain::Clock::now(&evidenced::clock::SystemClock).millis();
    let world = World::new(7, people, now());
    world.follow(now);
    world.set_github_quota(Some(QUOTA));
    let server = world.serve(0)?;
    let dir = tempfile::tempdir()?;
    write_settings(dir.path(), &server.url(), &members)?;
    // Accounts before identities, which must be read no earlier than they are.
    for source in &members {
        scan(dir.path(), &format!("github:{source}/people"))?;
    }
    scan(dir.path(), IDENTITIES)?;
    let (whole, peak_kb) = scan(dir.path(), JOINED)?;
    let (identities, join) = (recorded(dir.path(), IDENTITIES)?, recorded(dir.path(), JOINED)?);
    // Of identities that were not read whole the join says nothing, which would cost little and measure nothing.
    if !identities.populations.iter().all(|population| population.complete) {
        return Err(format!("{IDENTITIES} is incomplete: {:?}", identities.gaps).into());
    }
    let count =
        |run: &Run, kind: &str| run.populations.iter().filter(|p| p.kind.as_str() == kind).map(|p| p.count).sum();
    Ok(Cost {
        accounts: count(&join, "x.code_host_account"),
        identities: count(&identities, "keycloak.user"),
        joined: Duration::from_millis(join.ended.since(join.started).millis()),
        whole,
        peak_kb,
    })
}

fn write_settings(dir: &Path, url: &str, members: &[String]) -> Result<(), Failed> {
    fs::write(dir.join("keycloak"), world::READER_SECRET)?;
    fs::write(dir.join("github"), world::GITHUB_TOKEN)?;
    let here = dir.display();
    let member_source = |name: &String| {
        format!(
            "  - name: {name}\n    owner: nobody\n    url: {url}/api/v3\n    organisation: {}\n    \
             token: {{file: {here}/github}}\n    verified_emails: true\n    calls_per_minute: 1000000\n",
            world::GITHUB_ORG
        )
    };
    let text = format!(
        "organisation: Bench\ndata: {here}/data\nlimits: {{pages: 2000}}\nsources:\n  keycloak:\n  - name: bench\n    owner: nobody\n    url: {url}\n    \
         realm: {}\n    client_id: {}\n    client_secret: {{file: {here}/keycloak}}\n  github:\n{}  accounts:\n  \
         - name: bench\n    owner: nobody\n    identities: [keycloak:bench]\n    accounts: [{}]\n",
        world::REALM,
        world::READER,
        members.iter().map(member_source).collect::<String>(),
        members.iter().map(|name| format!("github:{name}")).collect::<Vec<_>>().join(", "),
    );
    Ok(fs::write(dir.join("evidenced.yaml"), text)?)
}

/// Runs one stream once; gives how long it took, and the most memory the process had resident, in kB.
fn scan(dir: &Path, stream: &str) -> Result<(Duration, u64), Failed> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_evidenced"))
        .arg("--config")
        .arg(dir.join("evidenced.yaml"))
        .args(["scan", "--init", "--stream", stream])
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log"))?)
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let most = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(most.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    match child.wait()?.code() {
        // What a simulated organisation has wrong, and what could not be seen, is no fault of the run.
        Some(0 | 1 | 3) => Ok((began.elapsed(), peak)),
        code => Err(format!("{stream}: {code:?}: {}", fs::read_to_string(dir.join("log"))?).into()),
    }
}

/// The last run of a stream.
fn recorded(dir: &Path, stream: &str) -> Result<Run, Failed> {
    let ledger = Offline::open(&dir.join("data"))?;
    for entry in (0..ledger.head()?.size).rev() {
        match ledger.entry(entry)?.map(|entry| entry.fact) {
            Some(Fact::Run(run)) if run.stream.as_str() == stream => return Ok(run),
            _ => {}
        }
    }
    Err(format!("{stream} has no run").into())
}
