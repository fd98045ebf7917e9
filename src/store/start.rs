//! How a store starts: first the ledger, which can be read from then on; then the index; and with it the writer.

use std::sync::{Arc, Mutex};

use domain::{BodyId, Pseudonym, ResourceKey};
use ledger::disk::Step;
use ledger::{KeyId, Log, Progress, Reader};

use crate::bodies::BodyStore;
use crate::index::Index;
use crate::layout::Layout;
use crate::open_index::{Sources, open_index, rebuild_index};
use crate::opening::{OpenError, Options, Recovered};
use crate::read::{Head, Read, ReadError};
use crate::subjects::Subjects;
use crate::watched::Building;
use crate::writer::{Parts, Store, lock};
use crate::{catch_up, data_key, erased, keys};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A store whose ledger is recovered and held, and whose index is still to be read, brought up to date or built again.
/// There is nothing yet that could record.
pub struct Starting {
    layout: Layout,
    options: Arc<Options>,
    log: Log,
    reader: Reader,
    bodies: BodyStore,
    subjects: Mutex<Subjects>,
    meanwhile: Arc<Meanwhile>,
    recovered: Recovered,
}

/// What can be read of a ledger while its index is not there: entries, proofs, the checkpoint. Every other question is
/// refused with a word how far the index is. Bodies and names are not given even where they could be found: what was
/// erased may be there again in a copy that was put back, and goes only once the ledger was gone through.
pub struct Meanwhile {
    reader: Reader,
    head: Head,
    index: Arc<Building>,
}

impl Store {
    /// Opens the store: recovers the ledger, reads what the packs hold, brings the index up to date or builds it again.
    pub fn open(options: Options) -> Result<(Store, Recovered), OpenError> {
        Store::begin(options)?.finish(&mut |_| {})
    }

    /// The first half of opening it: recovers the ledger.
    pub fn begin(options: Options) -> Result<Starting, OpenError> {
        let layout = Layout::new(&options.data);
        if layout.closing().exists() {
            return Err(OpenError::Closing(options.data));
        }
        if let Some(error) = layout.hidden() {
            return Err(OpenError::Failed { path: options.data, source: error.into() });
        }
        if !layout.is_initialised() {
            return Err(OpenError::NotInitialised(options.data));
        }
        let (path, at) = (options.data.clone(), layout.clone());
        let options = Arc::new(options);
        begin(layout, options.clone()).map_err(|source| match source.downcast_ref::<ledger::OpenError>() {
            Some(
                ledger::OpenError::RolledBack { .. }
                | ledger::OpenError::Diverged { .. }
                | ledger::OpenError::GuardMissing(_)
                | ledger::OpenError::GuardRemembers { .. },
            ) => {
                if let Err(error) = erased::replay_in_refused(&at, &options) {
                    tracing::warn!(%error, "what was erased since this copy was made could not be erased in it");
                }
                OpenError::Older { path, source }
            }
            _ => OpenError::Failed { path, source },
        })
    }
}

impl Starting {
    /// What can be read until it is finished.
    pub fn meanwhile(&self) -> Arc<Meanwhile> {
        self.meanwhile.clone()
    }

    /// The second half of opening a store: the index. May take minutes, and may be ended with the process at any moment:
    /// the next start goes on. `progress` is told how far it is.
    pub fn finish(self, progress: &mut dyn FnMut(Progress)) -> Result<(Store, Recovered), OpenError> {
        let path = self.options.data.clone();
        finish(self, progress).map_err(|source| OpenError::Failed { path, source })
    }
}

fn begin(layout: Layout, options: Arc<Options>) -> Result<Starting, AnyError> {
    let mut recovered = Recovered::default();
    let reader = Reader::open_on(options.disk.clone(), &layout.ledger());
    let origin = catch_up::genesis(&reader)?.origin;
    let signers = keys::signers(&layout, &origin)?;
    let guard = options.guard_places();
    let (log, recovery) = Log::open(options.disk.clone(), &layout.ledger(), guard, signers)?;
    for (place, why) in log.unreachable_guards() {
        recovered.notes.push(format!("the guard in {} is out of reach: {why}", place.display()));
    }
    keys::finish(&layout, &origin, log.ring())?;
    if recovery.dropped_bytes > 0 {
        recovered.notes.push(format!(
            "{} bytes of an unfinished append were dropped; nobody had been told of them",
            recovery.dropped_bytes
        ));
    }
    if recovery.finished > 0 {
        recovered.notes.push(format!("{} entries were durable and are now signed for", recovery.finished));
    }
    data_key::adopt(&layout, options.data_key.as_ref(), options.random.as_ref())?;
    let data_key = data_key::find(&layout, options.data_key.as_ref())?;
    let subjects = Subjects::open(options.disk.clone(), &layout, &data_key, true)?;
    let bodies = BodyStore::open(options.disk.clone(), &layout.bodies(), &subjects)?;
    let meanwhile = Arc::new(Meanwhile {
        reader: Reader::open_on(options.disk.clone(), &layout.ledger()),
        head: catch_up::head(&reader)?,
        index: Arc::default(),
    });
    Ok(Starting { layout, options, log, reader, bodies, subjects: Mutex::new(subjects), meanwhile, recovered })
}

fn finish(starting: Starting, progress: &mut dyn FnMut(Progress)) -> Result<(Store, Recovered), AnyError> {
    let Starting { layout, options, log, reader, mut bodies, subjects, meanwhile, mut recovered } = starting;
    let mut progress = |so_far| {
        meanwhile.index.is_at(so_far);
        progress(so_far);
        if let Progress::Entries { .. } = so_far {
            options.disk.reached(Step::Fold);
        }
    };
    let (engine, progress) = (options.index, &mut progress);
    let sources =
        Sources { engine, layout: &layout, reader: &reader, bodies: &mut bodies, subjects: &subjects, progress };
    let mut index = open_index(sources, &mut recovered)?;
    let (said, places) = (erased::in_ledger(index.as_ref())?, options.guard_places());
    let known = erased::remembered(options.disk.as_ref(), &places)?;
    let unsaid: Vec<KeyId> = known.difference(&said).filter(|id| lock(&subjects).has_had(id)).copied().collect();
    let all = said.union(&known).copied().collect();
    erased::remember(options.disk.as_ref(), &places, &all)?;
    let destroyed = erased::replay(&mut lock(&subjects), &all)?;
    if destroyed > 0 {
        let again = format!("{destroyed} record keys that were erased before were there again: destroyed");
        recovered.notes.push(again);
        // It was built with them at hand.
        drop(index);
        let sources =
            Sources { engine, layout: &layout, reader: &reader, bodies: &mut bodies, subjects: &subjects, progress };
        (index, recovered.folded) = rebuild_index(sources)?;
    }
    let store = Store::running(Parts { layout, options, index, bodies, subjects, reader, log })?;
    if let Err(error) = store.record_erased_before(&unsaid) {
        recovered.notes.push(format!("what was erased before could not be said in the ledger yet: {error}"));
    }
    Ok((store, recovered))
}

impl Meanwhile {
    /// How far the index is, in one line.
    pub fn said(&self) -> String {
        format!("the index {}", self.index.said())
    }

    /// Entries that the index holds already.
    pub fn indexed(&self) -> u64 {
        self.index.entries()
    }
}

impl Read for Meanwhile {
    fn index(&self) -> Arc<dyn Index> {
        self.index.clone()
    }

    fn head(&self) -> Result<Head, ReadError> {
        Ok(self.head.clone())
    }

    fn entry_bytes(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
        catch_up::entry_bytes(&self.reader, number)
    }

    fn proof(&self, number: u64) -> Result<Option<String>, ReadError> {
        catch_up::proof(&self.reader, number)
    }

    fn body(&self, _: &BodyId) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.index.get(b"").map(|_| None)?)
    }

    fn resource(&self, _: &Pseudonym) -> Option<ResourceKey> {
        None
    }

    fn pseudonym(&self, _: &ResourceKey) -> Option<Pseudonym> {
        None
    }
}
