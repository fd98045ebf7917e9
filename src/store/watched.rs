//! The index of a running store: watched, so that the first damage that anybody meets has it built again.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};

use ledger::Progress;

use crate::index::{Index, IndexError, Op, Pair};

/// The index that is used now, and whether it has to be built again.
pub(crate) struct Watched {
    index: RwLock<Arc<dyn Index>>,
    noted: Noted,
}

/// What all that use the index share.
#[derive(Clone, Default)]
struct Noted {
    damage: Arc<Damage>,
    /// Held by whoever writes what belongs together in several batches; a list is not read meanwhile.
    writing: Arc<RwLock<()>>,
}

/// Why an index cannot be used any more, once somebody met an error in it.
#[derive(Default)]
struct Damage(Mutex<Option<String>>);

impl Watched {
    pub(crate) fn new(index: Arc<dyn Index>) -> Watched {
        let noted = Noted::default();
        Watched { index: RwLock::new(watch(index, &noted)), noted }
    }

    /// Until it is dropped, whoever lists rows waits: what is written meanwhile is seen whole or not at all.
    pub(crate) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.noted.writing.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index.
    pub(crate) fn get(&self) -> Arc<dyn Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something read from it is not what was written, which it did not notice itself.
    pub(crate) fn suspect(&self, why: &IndexError) {
        self.noted.damage.note(why);
    }

    /// What was met, until another index is used.
    pub(crate) fn damage(&self) -> Option<String> {
        self.noted.damage.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until another one is there every answer is an error that says how far it is: none at all is better than too few
    /// rows. Lets the present one go, so that its lock is free once its readers are done.
    pub(crate) fn building(&self) -> Arc<Building> {
        let building = Arc::new(Building::default());
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = building.clone();
        building
    }

    /// Another index is used from here on.
    pub(crate) fn put(&self, index: Arc<dyn Index>) {
        *self.noted.damage.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = watch(index, &self.noted);
    }
}

/// An index that is not there yet.
#[derive(Default)]
pub(crate) struct Building(Mutex<String>);

impl Building {
    /// It is so far.
    pub(crate) fn is_at(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = match progress {
            Progress::Entries { done, total } => format!(": {done} of {total} entries"),
            Progress::Bodies { done } => format!(": {done} bodies, and no entry yet"),
        };
    }

    fn answer<T>(&self) -> Result<T, IndexError> {
        let so_far = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Err(IndexError(format!("it is being built again from the ledger{so_far}")))
    }
}

impl Index for Building {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.answer()
    }

    fn scan(&self, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<Pair>, IndexError> {
        self.answer()
    }

    fn scan_back(&self, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<Pair>, IndexError> {
        self.answer()
    }

    fn apply(&self, _: Vec<Op>) -> Result<(), IndexError> {
        self.answer()
    }
}

impl Damage {
    fn note(&self, why: &IndexError) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get_or_insert_with(|| why.0.clone());
    }
}

fn watch(index: Arc<dyn Index>, noted: &Noted) -> Arc<dyn Index> {
    Arc::new(Noting { index, noted: noted.clone() })
}

/// An index whose errors are noted.
struct Noting {
    index: Arc<dyn Index>,
    noted: Noted,
}

impl Noting {
    fn noted<T>(&self, answer: Result<T, IndexError>) -> Result<T, IndexError> {
        answer.inspect_err(|error| self.noted.damage.note(error))
    }
}

impl Index for Noting {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.noted(self.index.get(key))
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let _whole = self.noted.writing.read().unwrap_or_else(PoisonError::into_inner);
        self.noted(self.index.scan(prefix, from, limit))
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let _whole = self.noted.writing.read().unwrap_or_else(PoisonError::into_inner);
        self.noted(self.index.scan_back(prefix, before, limit))
    }

    fn apply(&self, ops: Vec<Op>) -> Result<(), IndexError> {
        self.noted(self.index.apply(ops))
    }
}
