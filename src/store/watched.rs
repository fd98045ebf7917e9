//! The index of a running store: watched, so that the first damage that anybody meets has it built again.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};

use ledger::Progress;

use crate::index::{Index, IndexError, Op, Pair};

/// The index that is used now, and whether it has to be built again.
pub(crate) struct Watched {
    index: RwLock<Arc<dyn Index>>,
    building: RwLock<Option<Arc<Building>>>,
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
        Watched { index: RwLock::new(watch(index, &noted)), building: RwLock::default(), noted }
    }

    /// Until it is dropped, whoever lists rows waits: what is written meanwhile is seen whole or not at all.
    pub(crate) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.noted.writing.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index.
    pub(crate) fn get(&self) -> Arc<dyn Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The index, unless it is being built again: for whoever would wait for what is held until it is there.
    pub(crate) fn there(&self) -> Result<Arc<dyn Index>, IndexError> {
        match &*self.building.read().unwrap_or_else(PoisonError::into_inner) {
            Some(building) => building.answer(),
            None => Ok(self.get()),
        }
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
        *self.building.write().unwrap_or_else(PoisonError::into_inner) = Some(building.clone());
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = building.clone();
        building
    }

    /// Another index is used from here on.
    pub(crate) fn put(&self, index: Arc<dyn Index>) {
        *self.noted.damage.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = watch(index, &self.noted);
        *self.building.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How far the next one is, while the present one cannot be used: as the end of a sentence that begins with the index.
    pub(crate) fn said(&self) -> Option<String> {
        let building = self.building.read().unwrap_or_else(PoisonError::into_inner).clone();
        let damaged = || self.damage().map(|why| format!("failed and will be built again from the ledger: {why}"));
        building.map(|building| building.said()).or_else(damaged)
    }
}

/// An index that is not there yet.
#[derive(Default)]
pub(crate) struct Building(Mutex<Option<Progress>>);

impl Building {
    /// It is so far.
    pub(crate) fn is_at(&self, progress: Progress) {
        // That there is nothing new is found at every start, and says nothing yet.
        if progress != (Progress::Bodies { done: 0 }) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        }
    }

    /// How far it is, as the end of a sentence that begins with the index.
    pub(crate) fn said(&self) -> String {
        let again = "is being built again from the ledger";
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => "is being read before it is used".to_owned(),
            Some(Progress::Bodies { done }) => format!("{again}: {done} bodies so far"),
            Some(Progress::Entries { done, total }) => format!("{again}: {done} of {total} entries"),
        }
    }

    /// Entries that it holds already.
    pub(crate) fn entries(&self) -> u64 {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Progress::Entries { done, .. }) => done,
            Some(Progress::Bodies { .. }) | None => 0,
        }
    }

    fn answer<T>(&self) -> Result<T, IndexError> {
        Err(IndexError(format!("it {}", self.said())))
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
