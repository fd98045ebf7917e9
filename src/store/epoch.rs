//! The end of a ledger that cannot go on, and the beginning of the one that continues it.
//!
//! There is no way to make a ledger sign that is older than what is known of it. It is put aside as it is, and a new one
//! begins, under another name and key, whose first entry says what came before, what is missing of it, and why. A file with
//! the plan is durable before anything moves, and every step can be done again, so that an interrupted closing is brought to
//! its end by the next one.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use domain::entry::{Continues, Entry, Fact, Genesis, TreeHead, VERSION};
use domain::in_full;
use ledger::disk::replace;
use ledger::{Checkpoint, GuardPlaces, Hash, Log, Reader, SigningKey, high_water, keep_high_water};
use serde::{Deserialize, Serialize};

use crate::catch_up;
use crate::keys::{read_secret, write_secret};
use crate::layout::Layout;
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
    let here = head.as_ref().map(|head| head.checkpoint.clone());
    let known: Option<Checkpoint> = marks.chain(here.clone()).max_by_key(|mark| mark.size);
    let known = known.ok_or("nothing here remembers how long the ledger was")?;
    let size = here.map_or(0, |here| here.size);
    let epoch = genesis.continues.as_ref().map_or(1, |before| before.epoch + 1);
    let base = match &genesis.continues {
        Some(before) => genesis.origin.strip_suffix(&format!("/{}", before.epoch + 1)).unwrap_or(&genesis.origin),
        None => &genesis.origin,
    };
    let continues = Continues {
        origin: genesis.origin.clone(),
        epoch,
        missing: known.size.saturating_sub(size),
        known: TreeHead { size: known.size, root: hex::encode(known.root.0) },
        checkpoint: head.map(|head| head.note),
        because: because.trim().to_owned(),
    };
    Ok(Plan { origin: format!("{base}/{}", epoch + 1), continues })
}

/// Puts ledger, guard, key and anchors of the old epoch aside. Every step is done once, however often this is called.
fn put_aside(layout: &Layout, places: &GuardPlaces, plan: &Plan) -> io::Result<()> {
    let epoch = plan.continues.epoch;
    let aside = layout.closed(epoch);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(aside.join("guard"))?;
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

/// Begins the new ledger.
fn begin(
    options: &Options,
    layout: &Layout,
    places: GuardPlaces,
    plan: Plan,
    program: &str,
) -> Result<Closed, AnyError> {
    if !layout.signing_key().exists() {
        write_secret(&layout.signing_key(), &options.random.bytes()?)?;
        fs::File::open(layout.keys())?.sync_all()?;
    }
    let signer = SigningKey::from_seed(&plan.origin, &read_secret(&layout.signing_key())?)?;
    let key = signer.verifier().to_string();
    let reader = Reader::open_on(options.disk.clone(), &layout.ledger());
    if reader.head().ok().flatten().is_none() {
        let continues = Some(plan.continues.clone());
        let genesis = Genesis { origin: plan.origin.clone(), key: key.clone(), program: program.to_owned(), continues };
        let entry = Entry { v: VERSION, at: options.clock.now(), fact: Fact::Genesis(genesis) };
        let bytes = crate::record::canonical(&entry)?;
        drop(Log::create(options.disk.clone(), &layout.ledger(), places, signer, bytes.as_bytes())?);
    }
    if layout.index().exists() {
        fs::remove_dir_all(layout.index())?;
    }
    fs::remove_file(layout.closing())?;
    Ok(Closed { origin: plan.origin, key, continues: plan.continues })
}
