//! An evidence package: what the ledger holds of a control or stream in a period, in a folder that its reader verifies
//! without this program.
//!
//! Everything in it follows from the ledger and the arguments, so that the same package comes out again, byte for byte.
//! Its format is what `src/verifier` reads; `VERIFY.md` in each package says it to people.

mod bodies;
mod folder;
mod guide;
mod outside;
mod page;
mod select;

use std::path::{Path, PathBuf};

use domain::{ControlAddress, StreamId, Timestamp};
use ledger::{Reader, SignedCheckpoint, TlogProof, VerifierKey};
use query::Query;
use serde::Serialize;
use store::{Layout, Offline, ReadError};

use self::bodies::Bodies;
use self::folder::Folder;
pub use self::folder::take_away;
use self::select::Selection;

/// The version of the package format.
const FORMAT: u32 = 1;
/// Entries that lie in one folder.
const IN_A_FOLDER: u64 = 1000;
/// Progress is told every so many entries.
const TELL_EVERY: usize = 1000;

/// What a package is to hold.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Controls: everything of the checks that bear on them.
    pub controls: Vec<ControlAddress>,
    /// Streams, with all their checks.
    pub streams: Vec<StreamId>,
    /// Every stream there is.
    pub all: bool,
    /// The first moment of the period.
    pub from: Timestamp,
    /// The moment that ends it and is no part of it; `None` is as far as was collected. Of a period that goes on, what is
    /// there now.
    pub to: Option<Timestamp>,
    /// What is not to be shown: `type.field`, `type.name`, `type.id`, or a type for all of it.
    pub hide: Vec<String>,
    /// Checkpoints that the receiver kept: the signed notes. The package proves that it continues them.
    pub pins: Vec<Vec<u8>>,
}

/// What was made.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Made {
    /// The folder.
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
    /// SHA-256 of the list of its files: it stands for every byte.
    pub digest: String,
    /// The end of the period, also where none was asked for.
    pub to: Timestamp,
    /// The streams in it.
    pub streams: Vec<StreamId>,
    /// Entries, bodies, and bodies that are named and left out.
    pub entries: u64,
    /// See `entries`.
    pub bodies: u64,
    /// See `entries`.
    pub withheld: u64,
    /// Rows of observations.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// The authorities outside whose dates are in it.
    pub dated_by: Vec<String>,
    /// What its own verification finds missing: slots without an outcome, bodies that are gone.
    pub lacking: Vec<String>,
}

/// A path in JSON: what is no text in it stands as `�`.
fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// A package could not be made; nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// What was recorded cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::ReadError),
    /// The folder is there, or cannot be written.
    #[error("{}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to put into it, or what is asked for contradicts itself, in words.
    #[error("{0}")]
    Refused(String),
}

/// The ledger that a package is made from.
pub struct Source<'a> {
    /// Where it lies.
    pub data: &'a Path,
    /// Its entries and bodies.
    pub offline: &'a Offline,
    /// Checks, controls and the index.
    pub query: &'a Query<'a>,
}

/// What `package.json` says.
#[derive(Serialize)]
struct About {
    format: u32,
    controls: Vec<String>,
    streams: Vec<StreamId>,
    checks: Vec<String>,
    from: Timestamp,
    to: Timestamp,
    /// Nobody asked for that end, or the period goes on: it is how far there is something to show.
    open_end: bool,
    hidden: Vec<String>,
    ledger: String,
    entries: u64,
    /// When the last entry in it was recorded.
    recorded: Timestamp,
    /// The authorities outside whose dates are in it.
    dated_by: Vec<String>,
    program: &'static str,
}

/// Makes a package in a new folder. `progress` is told how many entries of how many are written.
pub fn make(
    source: &Source<'_>,
    asked: &Asked,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Made, PackageError> {
    let selection = select::select(source, asked)?;
    let reader = Reader::open(&Layout::new(source.data).ledger());
    let (first, mut last) = checkpoints(&reader, &selection)?;
    let dates = outside::dates(source, &reader, &selection)?;
    if let Some(dates) = &dates {
        last = dates.checkpoint.clone();
    }
    let keys = keys(&reader, last.checkpoint.size)?;
    let mut folder = Folder::begin(out)?;
    write_checkpoints(&mut folder, &reader, &keys, &first, &last, &asked.pins)?;
    let dated_by = outside::write(&mut folder, dates)?;

    let mut bodies = Bodies::new(source, &selection, asked);
    for (done, (number, entry)) in selection.entries.iter().enumerate() {
        let path = reader.inclusion(*number, last.checkpoint.size)?;
        let proof = TlogProof { extra: None, index: *number, path, checkpoint: last.note.clone() };
        let stem = entry_path(*number);
        folder.write(&format!("{stem}.json"), &entry.bytes)?;
        folder.write(&format!("{stem}.tlog-proof"), proof.to_string().as_bytes())?;
        bodies.take(&mut folder, *number, entry)?;
        if (done + 1).is_multiple_of(TELL_EVERY) {
            progress(done + 1, selection.entries.len());
        }
    }
    let kept = bodies.finish(&mut folder)?;
    let about = about(source, asked, &selection, &last, dated_by);
    let json = serde_json::to_string_pretty(&about).map_err(|error| PackageError::Refused(error.to_string()))?;
    folder.write("package.json", format!("{json}\n").as_bytes())?;
    folder.write("verify.py", verifier::PYTHON.as_bytes())?;
    folder.write("VERIFY.md", guide::text(&about, keys.last(), &last.checkpoint).as_bytes())?;
    let tables = verifier::tables(folder.path()).map_err(PackageError::Refused)?;
    folder.write("csv/rows.csv", lines(&tables.rows).as_bytes())?;
    folder.write("csv/population.csv", lines(&tables.population).as_bytes())?;
    let page = page::text(&about, source.query, &selection, &kept, &tables);
    folder.write("index.html", page.as_bytes())?;
    folder.write_tables()?;

    // Whoever gets it will verify it; so it is verified before it is there.
    let report = verifier::verify(folder.path(), &verifier::Asked::default());
    let (lacking, wrong): (Vec<_>, Vec<_>) =
        report.problems.iter().partition(|problem| problem.kind == verifier::Kind::Incomplete);
    if let Some(wrong) = wrong.first() {
        return Err(PackageError::Refused(format!("the package does not verify: {}: {}", wrong.place, wrong.what)));
    }
    if report.level < verifier::Level::Signed {
        return Err(PackageError::Refused("no key that the ledger names signed the package's checkpoints".to_owned()));
    }
    let made = Made {
        folder: out.to_owned(),
        digest: report.digest.clone(),
        to: selection.to,
        streams: selection.streams.iter().cloned().collect(),
        entries: report.entries,
        bodies: report.bodies,
        withheld: report.withheld,
        rows: tables.rows.len().saturating_sub(1) as u64,
        files: folder.count(),
        dated_by: about.dated_by,
        lacking: lacking.iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect(),
    };
    folder.finish()?;
    Ok(made)
}

/// Where an entry lies in a package, without its ending.
fn entry_path(number: u64) -> String {
    format!("entries/{:03}/{number:06}", number / IN_A_FOLDER)
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn about(
    source: &Source<'_>,
    asked: &Asked,
    selection: &Selection,
    last: &SignedCheckpoint,
    dated_by: Vec<String>,
) -> About {
    let recorded = selection.entries.values().next_back().map(|entry| entry.entry.at).unwrap_or_default();
    let mut hidden = asked.hide.clone();
    hidden.sort();
    let named = |check: &domain::CheckId| source.query.catalogue.checks.contains_key(check);
    About {
        format: FORMAT,
        controls: asked.controls.iter().map(ToString::to_string).collect(),
        streams: selection.streams.iter().cloned().collect(),
        checks: selection.checks.iter().filter(|check| named(check)).map(ToString::to_string).collect(),
        from: asked.from,
        to: selection.to,
        open_end: selection.open_end,
        hidden,
        ledger: last.checkpoint.origin.clone(),
        entries: last.checkpoint.size,
        recorded,
        dated_by,
        program: crate::app::PROGRAM,
    }
}

/// The last checkpoint before the period, and the first that covers everything in the package.
fn checkpoints(reader: &Reader, selection: &Selection) -> Result<(SignedCheckpoint, SignedCheckpoint), PackageError> {
    let (mut first, mut last) = (None, None);
    reader.recorded(&mut |checkpoint| {
        if first.is_none() || checkpoint.checkpoint.size <= selection.begins_at {
            first = Some(checkpoint.clone());
        }
        let covers = checkpoint.checkpoint.size > selection.ends_at;
        if covers {
            last = Some(checkpoint);
        }
        !covers
    })?;
    let lost =
        || PackageError::Refused("the ledger's record of checkpoints ends early; run evidenced verify".to_owned());
    Ok((first.ok_or_else(lost)?, last.ok_or_else(lost)?))
}

/// The keys that may sign a checkpoint of that size, oldest first.
fn keys(reader: &Reader, size: u64) -> Result<Vec<VerifierKey>, PackageError> {
    let (ring, _) =
        reader.key_ring()?.ok_or_else(|| PackageError::Refused("entry #0 names no verifier key".to_owned()))?;
    Ok(ring.at(size))
}

fn write_checkpoints(
    folder: &mut Folder,
    reader: &Reader,
    keys: &[VerifierKey],
    first: &SignedCheckpoint,
    last: &SignedCheckpoint,
    pins: &[Vec<u8>],
) -> Result<(), PackageError> {
    let size = last.checkpoint.size;
    let logs: String = keys.iter().map(|key| format!("log {key}\n")).collect();
    let policy = format!("# C2SP tlog-policy: the log, and no witnesses yet.\n{logs}quorum none\n");
    folder.write("policy.txt", policy.as_bytes())?;
    folder.write("checkpoints/first.txt", first.note.as_bytes())?;
    folder.write("checkpoints/last.txt", last.note.as_bytes())?;
    let proof = |old: u64, new: u64| -> Result<String, PackageError> {
        let hashes = reader.consistency(old, new)?;
        Ok(hashes.iter().map(|hash| hash.to_base64() + "\n").collect())
    };
    let connected = proof(first.checkpoint.size, size)?;
    folder.write("checkpoints/first-to-last.txt", connected.as_bytes())?;
    for pin in pins {
        let refused = |what: String| PackageError::Refused(format!("the checkpoint to continue: {what}"));
        let pin = SignedCheckpoint::parse_unverified(pin).map_err(|error| refused(error.to_string()))?.checkpoint;
        if pin.origin != last.checkpoint.origin {
            return Err(refused(format!("it is of {}, and this ledger is {}", pin.origin, last.checkpoint.origin)));
        }
        let known = reader.size()?;
        if pin.size > known || pin.size == 0 || reader.root(pin.size)? != pin.root {
            return Err(refused(format!(
                "this ledger of {known} entries does not continue it; run evidenced verify --pin"
            )));
        }
        let connected = proof(pin.size.min(size), pin.size.max(size))?;
        folder.write(&format!("checkpoints/pin-{}.txt", pin.size), connected.as_bytes())?;
    }
    Ok(())
}
