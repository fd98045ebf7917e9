//! What the ledger costs: `cargo bench -p ledger`, or with a directory on the disk in question as its argument.
//!
//! Every append is timed beside a bare write and `fdatasync` of the same bytes, in turn and in the same run, so that
//! the ratio means something on any disk and under any load. No figure is taken with syncs off.

use std::error::Error;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ledger::{
    Bodies, BodyReader, Level, Location, Log, ReadBack, Reader, RealDisk, SigningKey, VerifyOptions, leaf_hash, verify,
};

const ENTRY: usize = 200;
const ROUND: Duration = Duration::from_secs(3);
const VERIFIED: u64 = 400_000;
const BODIES: u64 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let home = match &place {
        Some(place) => tempfile::tempdir_in(place)?,
        None => tempfile::tempdir()?,
    };
    let mut out = vec![format!("entries of {ENTRY} bytes in {}", home.path().display())];
    out.push(format!(
        "{:<22} {:>12} {:>10} {:>10} {:>10} {:>12} {:>10} {:>10} {:>7}",
        "durable appends", "entries/s", "p50", "p99", "slowest", "bare write/s", "p50", "p99", "ratio"
    ));
    for batch in [1, 16, 256, 1024] {
        out.push(appends(home.path(), batch)?);
    }
    verification(home.path(), &mut out)?;
    bodies(home.path(), &mut out)?;
    #[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
    {
        println!("{}", out.join("\n"));
    }
    Ok(())
}

fn key() -> Result<SigningKey, Box<dyn Error>> {
    Ok(SigningKey::from_seed("example.org/evidenced/bench", &[7; 32])?)
}

fn entry(n: u64) -> Vec<u8> {
    let mut entry = format!(r#"{{"n":{n},"filler":""#).into_bytes();
    entry.resize(ENTRY - 2, b'x');
    entry.extend_from_slice(b"\"}");
    entry
}

fn create(home: &Path, name: &str) -> Result<Log, Box<dyn Error>> {
    let (dir, guard) = (home.join(name), home.join(format!("{name}-guard")));
    let first = format!(r#"{{"key":"{}"}}"#, key()?.verifier());
    Ok(Log::create(RealDisk::shared(), &dir, &guard, key()?, first.as_bytes())?)
}

fn appends(home: &Path, batch: u64) -> Result<String, Box<dyn Error>> {
    let mut log = create(home, &format!("appends-{batch}"))?;
    let bare = OpenOptions::new().write(true).create_new(true).open(home.join(format!("bare-{batch}")))?;
    let mut end = 0;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut read_back = ReadBack::Direct;
    let begin = Instant::now();
    while begin.elapsed() < ROUND {
        let entries: Vec<_> = (log.size()..log.size() + batch).map(entry).collect();
        let bytes = entries.concat();
        let start = Instant::now();
        read_back = log.append(&entries)?.read_back;
        ours.push(start.elapsed());
        let start = Instant::now();
        bare.write_all_at(&bytes, end)?;
        bare.sync_data()?;
        theirs.push(start.elapsed());
        end += bytes.len() as u64;
    }
    let (rate, bare_rate) = (per_second(&ours, batch), per_second(&theirs, batch));
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    Ok(format!(
        "{:<22} {rate:>12.0} {:>10} {:>10} {:>10} {bare_rate:>12.0} {:>10} {:>10} {:>6.2}x",
        format!("batch {batch} ({read_back:?})"),
        millis(percentile(&ours, 50)),
        millis(percentile(&ours, 99)),
        millis(percentile(&ours, 100)),
        millis(percentile(&theirs, 50)),
        millis(percentile(&theirs, 99)),
        bare_rate / rate,
    ))
}

fn verification(home: &Path, out: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    let mut log = create(home, "verified")?;
    while log.size() < VERIFIED {
        let entries: Vec<_> = (log.size()..log.size() + 4000).map(entry).collect();
        log.append(&entries)?;
    }
    let size = log.size();
    let head = log.head().ok_or("no head")?.checkpoint.clone();
    drop(log);
    let (dir, guard) = (home.join("verified"), home.join("verified-guard"));

    let options = VerifyOptions { guard: Some(guard.clone()), ..VerifyOptions::default() };
    let best = best_of(3, || {
        let report = verify(&dir, &options, &mut |_| {});
        assert_eq!((report.exit_code(Level::Signed), report.root), (0, head.root));
    });
    out.push(line("verify everything", size, best, "entries/s on one core"));
    let bytes = entry(7);
    let hashing = best_of(3, || {
        (0..size).for_each(|_| {
            black_box(leaf_hash(black_box(&bytes)));
        })
    });
    out.push(line("  of which hashing a leaf", size, hashing, "entries/s"));
    let mut opened = Vec::new();
    let start = best_of(3, || {
        opened.clear();
        opened.push(key().map(|key| Log::open(RealDisk::shared(), &dir, &guard, key).map(|_| ())));
    });
    assert!(opened.iter().all(|opened| matches!(opened, Ok(Ok(())))));
    out.push(line("start (all read again)", size, start, "entries/s"));
    let reader = Reader::open(&dir);
    let streaming = best_of(3, || {
        let read = reader.entries(0, size).map(|entries| entries.filter(Result::is_ok).count());
        assert_eq!(read.ok(), usize::try_from(size).ok());
    });
    out.push(line("read in order", size, streaming, "entries/s"));
    let first = Instant::now();
    reader.tlog_proof(0)?;
    out.push(format!("{:<26} {:>12}", "first proof of a reader", millis(first.elapsed())));
    let mut n = 0;
    let proofs = best_of(3, || {
        for _ in 0..500 {
            n = (n * 31 + 17) % size;
            assert!(reader.tlog_proof(n).is_ok());
        }
    });
    out.push(line("proofs of any entries", 500, proofs, "proofs/s"));
    Ok(())
}

fn bodies(home: &Path, out: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    let dir = home.join("bodies");
    let mut bodies = Bodies::open(RealDisk::shared(), &dir)?;
    let rows: Vec<_> = (0..BODIES).map(entry).collect();
    let mut salt = [0u8; 32];
    let start = Instant::now();
    for row in &rows {
        for byte in &mut salt {
            *byte = byte.wrapping_add(1);
        }
        bodies.append(salt, row)?;
    }
    bodies.sync()?;
    out.push(line("bodies, one sync", BODIES, start.elapsed(), "bodies/s"));
    let reader = BodyReader::open(&dir);
    let mut locations = Vec::new();
    let start = Instant::now();
    for head in reader.scan(Location::default())? {
        locations.push(head?.1);
    }
    out.push(line("scan of commitments", BODIES, start.elapsed(), "bodies/s"));
    let start = Instant::now();
    for location in &locations {
        black_box(reader.read(*location)?);
    }
    out.push(line("read and checked", BODIES, start.elapsed(), "bodies/s"));
    Ok(())
}

fn best_of(rounds: usize, mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..rounds).map(round).min().unwrap_or_default()
}

fn line(what: &str, count: u64, took: Duration, unit: &str) -> String {
    format!("{what:<26} {:>12.0} {unit}", count as f64 / took.as_secs_f64())
}

fn per_second(times: &[Duration], batch: u64) -> f64 {
    (times.len() as u64 * batch) as f64 / times.iter().sum::<Duration>().as_secs_f64()
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
