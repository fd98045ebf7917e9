//! The end of a ledger that cannot go on, and the beginning of the one that continues it.
//!
//! There is no way to make a ledger sign that is older than what is known of it. It is put aside as it is, and a new one
//! begins, under another name and key, whose first entry says what came before, what is missing of it, and why. The legal
//! holds in force follow it: closing a ledger releases nothing. A file with the plan is durable before anything moves, and
//! every step can be done again, so that an interrupted closing is brought to its end by the next one.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use domain::entry::{Continues, Entry, Fact, Genesis, Hold, TreeHead, VERSION};
use domain::{Timestamp, in_full};
use ledger::disk::replace;
use ledger::{Checkpoint, GuardPlaces, Hash, Log, Reader, SigningKey, high_water, keep_high_water};
use serde::{Deserialize, Serialize};

use crate::catch_up;
use crate::holds::holds;
use crate::index::MemoryIndex;
use crate::keys::{read_secret, write_secret};
use crate::layout::{Layout, private_dir};
use crate::read::parse_entry;
use crate::writer::Options;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A ledger was closed and another one begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closed {
    /// The name of the new one.
    pub origin: String,
    /// Its verifier key.
    pub key: String,
    /// What it continues.
    pub continues: Continues,
    /// The entries of the legal holds that go on in it; or why those of a damaged ledger could not be read.
    pub holds: Result<Vec<u64>, String>,
}

/// The ledger was not closed, or not to the end: what was begun is finished by doing it again.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// There is no ledger.
    #[error("no ledger in {0}")]
    NotInitialised(std::path::PathBuf),
    /// A daemon holds it.
    #[error("{0} is in use by another process: stop the daemon first")]
    InUse(std::path::PathBuf),
    /// No reason was given.
    #[error("say why: it stands in the new ledger's first entry")]
    NoReason,
    /// A step failed.
    #[error("the ledger is not closed to the end; do it again once this is mended: {0}")]
    Failed(String),
}

/// What is to be done.
#[derive(Serialize, Deserialize)]
struct Plan {
    origin: String,
    continues: Continues,
    /// The legal holds in force, or why they cannot be read.
    #[serde(default = "unnoted")]
    holds: Result<Vec<Hold>, String>,
}

/// What a plan says that was made before holds stood in it.
fn unnoted() -> Result<Vec<Hold>, String> {
    Err("the version of this program that began the closing did not note them".to_owned())
}

/// Ends the ledger of a data directory that no daemon holds, and begins its continuation.
pub fn close(options: &Options, because: &str, program: &str) -> Result<Closed, CloseError> {
    let layout = Layout::new(&options.data);
    let places = options.guard_places();
    let failed = |e: AnyError| CloseError::Failed(in_full(e.as_ref()));
    let begun = layout.closing().exists();
    if !begun && !layout.is_initialised() {
        return Err(CloseError::NotInitialised(options.data.clone()));
    }
    if because.trim().is_empty() && !begun {
        return Err(CloseError::NoReason);
    }
    // Held to the end, so that no daemon starts meanwhile; they go with the folder that they are in.
    let mut held = Vec::new();
    for dir in [layout.ledger(), places.guard.clone()].iter().filter(|dir| dir.is_dir()) {
        match options.disk.lock(&dir.join("lock")) {
            Ok(lock) => held.push(lock),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(CloseError::InUse(dir.clone())),
            Err(error) => return Err(failed(error.into())),
        }
    }
    let plan = if begun {
        let bytes = fs::read(layout.closing()).map_err(|e| failed(e.into()))?;
        serde_json::from_slice(&bytes).map_err(|e| failed(e.into()))?
    } else {
        let plan = plan(options, &layout, &places, because).map_err(failed)?;
        let bytes = serde_json::to_vec(&plan).map_err(|e| failed(e.into()))?;
        replace(options.disk.as_ref(), &layout.closing(), &bytes).map_err(|e| failed(e.into()))?;
        plan
    };
    put_aside(&layout, &places, &plan).map_err(|e| failed(e.into()))?;
    drop(held);
    begin(options, &layout, places, plan, program).map_err(failed)
}

/// Gathers what is known of the ledger, from all that remembers.
fn plan(options: &Options, layout: &Layout, places: &GuardPlaces, because: &str) -> Result<Plan, AnyError> {
    let reader = Reader::open_on(options.disk.clone(), &layout.ledger());
    let genesis = catch_up::genesis(&reader)?;
    let head = reader.head().ok().flatten();
    let dirs = std::iter::once(&places.guard).chain(&places.copies);
    let marks = dirs.filter_map(|dir| high_water(dir).ok()).filter(|mark| mark.origin == genesis.origin);
    let marks: Vec<Checkpoint> = marks.collect();
    let unremembered = marks.is_empty();
    let here = head.as_ref().map(|head| head.checkpoint.clone());
    let known = marks.into_iter().chain(here.clone()).max_by_key(|mark| mark.size);
    let known = known.ok_or("nothing here remembers how long the ledger was")?;
    let size = here.map_or(0, |here| here.size);
    let epoch = genesis.continues.as_ref().map_or(1, |before| before.epoch + 1);
    let base = genesis.first_name();
    let continues = Continues {
        origin: genesis.origin.clone(),
        epoch,
        missing: known.size.saturating_sub(size),
        unremembered,
        known: TreeHead { size: known.size, root: hex::encode(known.root.0) },
        checkpoint: head.map(|head| head.note),
        because: because.trim().to_owned(),
    };
    // A ledger may well be closed because it cannot be read to its end.
    let holds = holds_in_force(&reader).map_err(|e| in_full(e.as_ref()));
    Ok(Plan { origin: format!("{base}/{}", epoch + 1), continues, holds })
}

/// The legal holds in force, as their entries have them. Pseudonyms and details serve the continuation as they are: it
/// has the same keys and the same bodies.
fn holds_in_force(reader: &Reader) -> Result<Vec<Hold>, AnyError> {
    let index = MemoryIndex::default();
    catch_up::catch_up_entries(&index, reader, &mut |_| {})?;
    let mut all = Vec::new();
    for row in holds(&index)? {
        match parse_entry(row.entry, &reader.entry(row.entry)?)?.fact {
            Fact::Hold(hold) => all.push(hold),
            other => return Err(format!("#{} is of kind {}, not hold", row.entry, other.kind()).into()),
        }
    }
    Ok(all)
}

/// Puts ledger, guard, key and anchors of the old epoch aside. Every step is done once, however often this is called.
fn put_aside(layout: &Layout, places: &GuardPlaces, plan: &Plan) -> io::Result<()> {
    let epoch = plan.continues.epoch;
    let aside = layout.closed(epoch);
    private_dir(&aside.join("guard"))?;
    // What is known of its length is kept beside it, so that whoever verifies it there sees what is missing.
    let known = &plan.continues.known;
    if let Some(root) = hex::decode(&known.root).ok().and_then(|root| root.try_into().ok()) {
        let mark = Checkpoint { origin: plan.continues.origin.clone(), size: known.size, root: Hash(root) };
        keep_high_water(&aside.join("guard"), &mark).map_err(io::Error::other)?;
    }
    for dir in std::iter::once(&places.guard).chain(&places.copies) {
        let (mark, gone) = (dir.join("high-water"), dir.join(format!("high-water.closed-{epoch}")));
        if dir.is_dir() && !gone.exists() {
            move_once(&mark, &gone)?;
            fs::File::open(dir)?.sync_all()?;
        }
    }
    if !aside.join("ledger").exists() {
        fs::rename(layout.ledger(), aside.join("ledger"))?;
    }
    if layout.anchors().is_dir() && !aside.join("anchors").exists() {
        fs::rename(layout.anchors(), aside.join("anchors"))?;
    }
    // Bodies and record keys serve both: what the old entries name is read through these.
    for shared in ["body", "keys"] {
        if !aside.join(shared).exists() {
            symlink(Path::new("../..").join(shared), aside.join(shared))?;
        }
    }
    let seeds = [layout.signing_key(), layout.next_signing_key()];
    let gone = |seed: &Path| seed.with_extension(format!("closed-{epoch}"));
    if !gone(&seeds[0]).exists() {
        // The successor first: once the seed itself is aside, both are.
        if seeds[1].exists() {
            fs::rename(&seeds[1], layout.keys().join(format!("ledger.next.closed-{epoch}")))?;
        }
        move_once(&seeds[0], &gone(&seeds[0]))?;
    }
    for dir in [layout.keys(), aside, layout.data().to_owned()] {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Moves a file aside. Where there is none, as in a restored copy, an empty one says that it was looked for: what is made
/// in its place later is not moved when all this is done again.
fn move_once(from: &Path, to: &Path) -> io::Result<()> {
    if from.exists() { fs::rename(from, to) } else { fs::File::create(to)?.sync_all() }
}

/// Begins the new ledger, or goes on where that was broken off.
fn begin(
    options: &Options,
    layout: &Layout,
    places: GuardPlaces,
    plan: Plan,
    program: &str,
) -> Result<Closed, AnyError> {
    if !layout.signing_key().exists() {
        write_secret(options.disk.as_ref(), &layout.signing_key(), &options.random.bytes()?)?;
    }
    let signer = SigningKey::from_seed(&plan.origin, &read_secret(&layout.signing_key())?)?;
    let key = signer.verifier().to_string();
    let now = options.clock.now();
    // Its mark moves before anything of it is signed for; from then on what was begun is finished, and not begun again.
    let begun = high_water(&places.guard).is_ok_and(|mark| mark.origin == plan.origin && mark.size > 0);
    let mut log = if begun {
        Log::open(options.disk.clone(), &layout.ledger(), places, signer)?.0
    } else {
        let continues = Some(plan.continues.clone());
        let genesis = Genesis { origin: plan.origin.clone(), key: key.clone(), program: program.to_owned(), continues };
        let bytes = entry_bytes(now, Fact::Genesis(genesis))?;
        Log::create(options.disk.clone(), &layout.ledger(), places, signer, &bytes)?
    };
    let holds = match plan.holds {
        Ok(holds) => {
            let reader = Reader::open_on(options.disk.clone(), &layout.ledger());
            let last = parse_entry(0, &reader.entry(log.size().saturating_sub(1))?)?.at;
            // Each is an entry of its own, in the order of the plan: so many as there are need not be recorded again.
            for (number, hold) in (1..).zip(&holds) {
                if number >= log.size() {
                    log.append(&[entry_bytes(now.max(last), Fact::Hold(hold.clone()))?])?;
                }
            }
            Ok((1..).take(holds.len()).collect())
        }
        Err(why) => Err(why),
    };
    drop(log);
    if layout.index().exists() {
        fs::remove_dir_all(layout.index())?;
    }
    fs::remove_file(layout.closing())?;
    Ok(Closed { origin: plan.origin, key, continues: plan.continues, holds })
}

fn entry_bytes(at: Timestamp, fact: Fact) -> Result<Vec<u8>, AnyError> {
    Ok(crate::record::canonical(&Entry { v: VERSION, at, fact })?.into_bytes())
}
