//! The birth of a ledger, which happens once, however often it is broken off.
//!
//! An empty file says that it is under way, from before anything else is there until the first entry is signed and all of it
//! durable. While that file is there, nobody takes the folder for a ledger. What a broken birth left was signed by nobody
//! and named to nobody, so the next try takes it away and begins anew; unless the guard has moved, for then the first entry
//! is durable, and is brought to its end under the key that it names.

use std::fs;
use std::io::{self, ErrorKind::NotFound};
use std::path::PathBuf;

use domain::entry::{Entry, Fact, Genesis, VERSION};
use ledger::{Bodies, Log, Reader, SigningKey, high_water};

use crate::data_key;
use crate::keys::{signers, write_secret};
use crate::layout::{Layout, private_dir};
use crate::opening::{InitError, Options};
use crate::subjects::Subjects;
use crate::writer::Store;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Store {
    /// Begins a ledger called `origin` in an empty or missing data directory. One whose beginning was broken off is begun
    /// again; or it is brought to its end, under the name that it has, when its first entry is durable already.
    pub fn init(options: &Options, origin: &str, program: &str) -> Result<(), InitError> {
        let layout = Layout::new(&options.data);
        if layout.is_initialised() {
            return Err(InitError::Exists(options.data.clone()));
        }
        let failed = |source| InitError::Failed { path: options.data.clone(), source };
        private_dir(layout.data()).map_err(|e| failed(e.into()))?;
        if layout.restoring().exists() {
            return Err(InitError::Restoring(options.data.clone()));
        }
        if !may_begin(&layout).map_err(|e| failed(e.into()))? {
            return Err(InitError::NotEmpty(options.data.clone()));
        }
        begin(options, &layout, origin, program).map_err(failed)
    }
}

/// Whether nothing is there but what a broken birth left. A fresh volume may hold lost+found; anything else is somebody's.
fn may_begin(layout: &Layout) -> io::Result<bool> {
    let mut known = vec![layout.data().join("lost+found")];
    if layout.beginning().exists() {
        known.push(layout.beginning());
        known.extend(born(layout));
    }
    let entries = fs::read_dir(layout.data())?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.iter().all(|entry| known.contains(&entry.path())))
}

/// The folders that a birth makes in the data directory.
fn born(layout: &Layout) -> [PathBuf; 4] {
    [layout.keys(), layout.bodies(), layout.guard(), layout.ledger()]
}

fn begin(options: &Options, layout: &Layout, origin: &str, program: &str) -> Result<(), AnyError> {
    let data = fs::File::open(layout.data())?;
    // Held to the end, so that of two who begin at once neither takes away what the other makes.
    let held = options.disk.lock(&layout.beginning())?;
    data.sync_all()?;
    let there = layout.ledger().is_dir();
    let signed = there && Reader::open_on(options.disk.clone(), &layout.ledger()).head()?.is_some();
    let guard = options.guard_places();
    let mark = there.then(|| high_water(&guard.guard).ok()).flatten().filter(|mark| mark.size > 0);
    match mark {
        _ if signed => {}
        Some(mark) => {
            let signers = signers(layout, &mark.origin)?;
            drop(Log::open(options.disk.clone(), &layout.ledger(), guard, signers)?);
        }
        None => anew(options, layout, origin, program)?,
    }
    // Whoever had waited for the lock finds it taken away by the one who held it.
    fs::remove_file(layout.beginning()).or_else(|e| if e.kind() == NotFound { Ok(()) } else { Err(e) })?;
    data.sync_all()?;
    drop(held);
    Ok(())
}

fn anew(options: &Options, layout: &Layout, origin: &str, program: &str) -> Result<(), AnyError> {
    for folder in born(layout).iter().filter(|folder| folder.exists()) {
        fs::remove_dir_all(folder)?;
    }
    private_dir(&layout.keys())?;
    let seed = options.random.bytes()?;
    write_secret(options.disk.as_ref(), &layout.signing_key(), &seed)?;
    let data_key = data_key::make(layout, options.data_key.as_ref(), options.random.as_ref())?;
    Subjects::create(&options.disk, layout, &data_key)?;
    drop(Bodies::open(options.disk.clone(), &layout.bodies())?);
    fs::File::open(layout.keys())?.sync_all()?;
    let signer = SigningKey::from_seed(origin, &seed)?;
    let genesis = Genesis {
        origin: origin.to_owned(),
        key: signer.verifier().to_string(),
        program: program.to_owned(),
        continues: None,
    };
    let entry = Entry { v: VERSION, at: options.clock.now(), fact: Fact::Genesis(genesis) };
    let bytes = crate::record::canonical(&entry)?;
    drop(Log::create(options.disk.clone(), &layout.ledger(), options.guard_places(), signer, bytes.as_bytes())?);
    Ok(())
}
