//! What the store costs: `cargo bench -p store`, or with a directory on the disk in question as its argument.
//!
//! Durable appends through the whole writer (bodies sealed and synced, the ledger signed, the index written), how long one
//! caller waits at a thousand entries a second, and how fast an index is built again, for each engine. What is printed is
//! durable: nobody is answered before the checkpoint is.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::entry::{Fact, Intent, Run, TreeHead};
use domain::{Clock, Outcome, Slot, StreamId, Timestamp, Trigger};
use store::index::Engine;
use store::{Layout, Options, Random, Read as _, Store};

type Failed = Box<dyn Error>;

const ROUND: Duration = Duration::from_secs(5);
const BATCH: u64 = 256;
/// Entries of the ledger whose index is built again.
const FOLDED: u64 = 200_000;
/// Entries a second, and callers among whom they are shared out.
const RATE: u64 = 1000;
const CALLERS: u64 = 64;
const PACED: u64 = 10_000;

fn main() -> Result<(), Failed> {
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let home = match &place {
        Some(place) => tempfile::tempdir_in(place)?,
        None => tempfile::tempdir()?,
    };
    let mut out = vec![format!("stores in {}", home.path().display())];
    for engine in [Engine::Sled, Engine::Redb] {
        out.push(appends(engine, &home.path().join(format!("{engine}-appends")))?);
        out.push(waits(engine, &home.path().join(format!("{engine}-waits")))?);
        rebuild(engine, &home.path().join(format!("{engine}-rebuild")), &mut out)?;
    }
    #[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
    {
        println!("{}", out.join("\n"));
    }
    Ok(())
}

/// A batch of intents, each after one sealed body of two hundred bytes, as a run has them.
fn appends(engine: Engine, data: &Path) -> Result<String, Failed> {
    let store = open_new(engine, data)?;
    let (mut slot, begin) = (0, Instant::now());
    let mut times = Vec::new();
    while begin.elapsed() < ROUND {
        let start = Instant::now();
        for n in slot..slot + BATCH {
            store.put_body(format!("{n:0200}").as_bytes())?;
        }
        store.record((slot..slot + BATCH).map(intent).collect())?;
        times.push(start.elapsed());
        slot += BATCH;
    }
    let rate = slot as f64 / times.iter().sum::<Duration>().as_secs_f64();
    times.sort();
    let (median, most) = (percentile(&times, 50), percentile(&times, 99));
    Ok(format!("{engine}: durable appends, batch {BATCH}, a sealed body each: {rate:.0}/s, p50 {median}, p99 {most}"))
}

/// One entry a millisecond, whoever else waits: how long from the moment it should be handed in to its receipt.
fn waits(engine: Engine, data: &Path) -> Result<String, Failed> {
    let store = open_new(engine, data)?;
    let begin = Instant::now() + Duration::from_millis(50);
    let waited = |caller: u64| {
        let mut times = Vec::new();
        for n in (caller..PACED).step_by(CALLERS as usize) {
            let due = begin + Duration::from_micros(n * 1_000_000 / RATE);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if store.record_one(intent(n)).is_ok() {
                times.push(due.elapsed());
            }
        }
        times
    };
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || waited(caller))).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap_or_default()).collect()
    });
    if times.len() as u64 != PACED {
        return Err("not everything was recorded".into());
    }
    times.sort();
    let (median, most, longest) = (percentile(&times, 50), percentile(&times, 99), percentile(&times, 100));
    Ok(format!("{engine}: at {RATE} entries/s: p50 {median}, p99 {most}, longest {longest}"))
}

fn rebuild(engine: Engine, data: &Path, out: &mut Vec<String>) -> Result<(), Failed> {
    let store = open_new(engine, data)?;
    for slot in (0..FOLDED / 2).step_by(100) {
        store.record_together(move |first| {
            (0..100).flat_map(|n| [intent(slot + n), run(slot + n, first + 2 * n)]).collect()
        })?;
    }
    let size = store.head()?.size;
    drop(store);
    std::fs::remove_dir_all(Layout::new(data).index())?;
    let (before, start) = (resident(), Instant::now());
    let (store, recovered) = Store::open(options(engine, data))?;
    let took = start.elapsed().as_secs_f64();
    if recovered.folded != size {
        return Err(format!("{} of {size} entries were folded", recovered.folded).into());
    }
    let grown = resident().saturating_sub(before) >> 10;
    out.push(format!(
        "{engine}: start with an index built again: {:.0} entries/s ({size} entries, {took:.1} s, their verification \
         included), memory +{grown} MiB",
        size as f64 / took
    ));
    drop(store);
    Ok(())
}

fn intent(slot: u64) -> Fact {
    let after = TreeHead { size: slot, root: "0".repeat(64) };
    Fact::Intent(Intent { stream: stream(), trigger: trigger(slot), after })
}

fn run(slot: u64, intent: u64) -> Fact {
    Fact::Run(Run {
        stream: stream(),
        intent,
        prev: None,
        collector_version: 1,
        trigger: trigger(slot),
        started: Timestamp::from_millis(0),
        ended: Timestamp::from_millis(10),
        outcome: Outcome::Collected,
        caller: None,
        calls: 0,
        exchanges: None,
        populations: vec![],
        changes: None,
        gaps: vec![],
        more_gaps: 0,
    })
}

fn trigger(slot: u64) -> Trigger {
    Trigger::Slot(Slot(Timestamp::from_millis(slot as i64 * 1000)))
}

#[expect(clippy::unwrap_used, reason = "a constant of the right form")]
fn stream() -> StreamId {
    "keycloak:acme/people".parse().unwrap()
}

struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

struct Counting(AtomicU64);

impl Random for Counting {
    fn bytes(&self) -> Result<[u8; 32], String> {
        let mut bytes = [0; 32];
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.iter_mut().zip(number).for_each(|(byte, from)| *byte = from);
        Ok(bytes)
    }
}

fn options(engine: Engine, data: &Path) -> Options {
    Options {
        data: data.to_owned(),
        guard: None,
        guard_copies: vec![],
        data_key: None,
        longest_body: ledger::GREATEST_BODY,
        index: engine,
        disk: ledger::RealDisk::shared(),
        clock: Arc::new(Ticking(AtomicI64::new(1))),
        random: Arc::new(Counting(AtomicU64::new(1))),
    }
}

fn open_new(engine: Engine, data: &Path) -> Result<Store, Failed> {
    Store::init(&options(engine, data), "example.org/evidenced/bench", "bench 1")?;
    Ok(Store::open(options(engine, data))?.0)
}

/// Memory of this process that is in use, in KiB; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn percentile(sorted: &[Duration], percent: usize) -> String {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    let time = sorted.get(place).copied().unwrap_or_default();
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
