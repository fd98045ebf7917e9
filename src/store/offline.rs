//! Reading a data directory without its lock: beside a running daemon, or where none runs.

use std::path::Path;
use std::sync::Arc;

use domain::{BodyId, Pseudonym, ResourceKey};
use ledger::{BodyError, BodyReader, DataKey, KeyStore, Reader, RealDisk};

use crate::bodies::opened;
use crate::catch_up;
use crate::data_key::{self, DataKeyError};
use crate::erased::erased;
use crate::index::{Index, MemoryIndex};
use crate::layout::Layout;
use crate::read::{Head, Read, ReadError};
use crate::rows::{ErasedRow, key};
use crate::subjects::Subjects;

/// A body and the salt of its commitment, 32 bytes.
pub type SaltedBody = ([u8; 32], Vec<u8>);

/// Why a body is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Absent {
    /// It was erased, as an entry says.
    Erased(ErasedRow),
    /// Its key was destroyed, and no entry says why.
    Destroyed,
    /// The packs do not hold it.
    NeverKept,
}

/// A data directory as it was signed when it was opened. Nothing in it is written, not even the index.
pub struct Offline {
    reader: Reader,
    packs: BodyReader,
    /// `None` without the data key: then no body can be opened and nobody named.
    subjects: Option<Subjects>,
    index: Arc<MemoryIndex>,
    head: Head,
}

impl Offline {
    /// Opens the data directory with the data key in its folder of keys, and folds the whole ledger in memory.
    pub fn open(data: &Path) -> Result<Self, ReadError> {
        Offline::open_with(data, None)
    }

    /// Like [`Offline::open`], with the data key from another place.
    pub fn open_with(data: &Path, data_key: Option<&DataKey>) -> Result<Self, ReadError> {
        let layout = Layout::new(data);
        let key = if layout.is_initialised() { Some(find_key(&layout, data_key)?) } else { None };
        Offline::open_sealed(&layout, key.as_ref())
    }

    /// Like [`Offline::open`], whether the data key is at hand or not. Without it, sealed bodies are as if they were
    /// not there, and why it is not at hand is given.
    pub fn open_even_sealed(
        data: &Path,
        data_key: Option<&DataKey>,
    ) -> Result<(Self, Option<DataKeyError>), ReadError> {
        let layout = Layout::new(data);
        match data_key::find(&layout, data_key) {
            Ok(key) => Ok((Offline::open_sealed(&layout, Some(&key))?, None)),
            Err(why) => Ok((Offline::open_sealed(&layout, None)?, Some(why))),
        }
    }

    fn open_sealed(layout: &Layout, data_key: Option<&DataKey>) -> Result<Self, ReadError> {
        if let Some(error) = layout.hidden() {
            return Err(ReadError::Ledger(error.into()));
        }
        if !layout.is_initialised() {
            return Err(ReadError::Malformed(format!("no ledger in {}", layout.data().display())));
        }
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| ReadError::Ledger(e);
        let reader = Reader::open(&layout.ledger());
        let index = Arc::new(MemoryIndex::default());
        // Subjects and packs are read after the head they must cover: what is appended meanwhile does no harm.
        let head = catch_up::head(&reader)?;
        catch_up::catch_up_entries(index.as_ref(), &reader, &mut |_| {}).map_err(failed)?;
        let mut packs = BodyReader::open(&layout.bodies());
        for found in packs.scan(Default::default()).map_err(|e| failed(e.into()))? {
            let (commitment, location) = found.map_err(|e| failed(e.into()))?;
            let put = crate::index::Op::Put(key::body(&commitment.0), catch_up::location_to(&location));
            index.apply(vec![put])?;
        }
        let subjects = data_key.map(|key| Subjects::open(RealDisk::shared(), layout, key, false));
        let subjects = subjects.transpose().map_err(|e| failed(e.into()))?;
        if let Some(subjects) = &subjects {
            packs = packs.with_keys(subjects.keys().clone());
        }
        Ok(Offline { reader, packs, subjects, index, head })
    }

    /// A body with the salt of its commitment; `None` when it was erased or never kept.
    pub fn salted_body(&self, id: &BodyId) -> Result<Option<SaltedBody>, ReadError> {
        let Some(bytes) = self.index.get(&key::body(&id.to_bytes()))? else { return Ok(None) };
        let location = catch_up::location_from(&bytes)?;
        self.opened(self.packs.read_salted(location))
    }

    /// Why a body that cannot be had is not there.
    pub fn absent(&self, id: &BodyId) -> Result<Absent, ReadError> {
        let Some(bytes) = self.index.get(&key::body(&id.to_bytes()))? else { return Ok(Absent::NeverKept) };
        let Err(BodyError::Destroyed(key)) = self.packs.read(catch_up::location_from(&bytes)?) else {
            return Ok(Absent::NeverKept);
        };
        let row = erased(self.index.as_ref(), &Pseudonym::from_bytes(key.0))?;
        Ok(row.map_or(Absent::Destroyed, Absent::Erased))
    }

    /// The packs.
    pub(crate) fn packs(&self) -> &BodyReader {
        &self.packs
    }

    /// Who is known; `None` without the data key.
    pub(crate) fn subjects(&self) -> Option<&Subjects> {
        self.subjects.as_ref()
    }

    /// The ledger itself.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The keys of records, to verify bodies with; `None` without the data key.
    pub fn record_keys(&self) -> Option<Arc<KeyStore>> {
        self.subjects.as_ref().map(|subjects| subjects.keys().clone())
    }

    /// What was read; nothing when it was erased, or when nothing can be opened here.
    fn opened<T>(&self, read: Result<T, BodyError>) -> Result<Option<T>, ReadError> {
        match read {
            Err(BodyError::NoKey(_)) if self.subjects.is_none() => Ok(None),
            read => opened(read),
        }
    }

    /// The entries from `from` on, in order, as bytes.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = Result<(u64, Vec<u8>), ReadError>> + '_ {
        (from..self.head.size).map(|number| {
            let bytes = self.entry_bytes(number)?;
            Ok((number, bytes.ok_or_else(|| ReadError::Malformed(format!("entry #{number} is not there")))?))
        })
    }
}

fn find_key(layout: &Layout, data_key: Option<&DataKey>) -> Result<DataKey, ReadError> {
    data_key::find(layout, data_key).map_err(|e| ReadError::Ledger(Box::new(e)))
}

impl Read for Offline {
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

    fn body(&self, id: &BodyId) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(bytes) = self.index.get(&key::body(&id.to_bytes()))? else { return Ok(None) };
        let location = catch_up::location_from(&bytes)?;
        self.opened(self.packs.read(location))
    }

    fn resource(&self, pseudonym: &Pseudonym) -> Option<ResourceKey> {
        self.subjects.as_ref()?.name(pseudonym).cloned()
    }

    fn pseudonym(&self, resource: &ResourceKey) -> Option<Pseudonym> {
        self.subjects.as_ref()?.known(resource).cloned()
    }
}
