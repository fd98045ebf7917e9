//! Reading a data directory without its lock: beside a running daemon, or where none runs.

use std::path::Path;
use std::sync::Arc;

use domain::{BodyId, Pseudonym, ResourceKey};
use ledger::{BodyReader, Reader};

use crate::catch_up;
use crate::index::{Index, MemoryIndex};
use crate::layout::Layout;
use crate::read::{Head, Read, ReadError};
use crate::rows::key;
use crate::subjects::Subjects;

/// A body and the salt of its commitment, 32 bytes.
pub type SaltedBody = ([u8; 32], Vec<u8>);

/// A data directory as it was signed when it was opened. Nothing in it is written, not even the index.
pub struct Offline {
    reader: Reader,
    packs: BodyReader,
    subjects: Subjects,
    index: Arc<MemoryIndex>,
    head: Head,
}

impl Offline {
    /// Opens the data directory and folds the whole ledger in memory.
    pub fn open(data: &Path) -> Result<Self, ReadError> {
        let layout = Layout::new(data);
        if !layout.is_initialised() {
            return Err(ReadError::Malformed(format!("no ledger in {}", data.display())));
        }
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| ReadError::Ledger(e);
        let reader = Reader::open(&layout.ledger());
        let index = Arc::new(MemoryIndex::default());
        // Subjects and packs are read after the head they must cover: what is appended meanwhile does no harm.
        let head = catch_up::head(&reader)?;
        catch_up::catch_up_entries(index.as_ref(), &reader).map_err(failed)?;
        let packs = BodyReader::open(&layout.bodies());
        for found in packs.scan(Default::default()).map_err(|e| failed(e.into()))? {
            let (commitment, location) = found.map_err(|e| failed(e.into()))?;
            let put = crate::index::Op::Put(key::body(&commitment.0), catch_up::location_to(&location));
            index.apply(vec![put])?;
        }
        let subjects = Subjects::open(&layout.subjects(), false).map_err(|e| failed(e.into()))?;
        Ok(Offline { reader, packs, subjects, index, head })
    }

    /// A body with the salt of its commitment; `None` when it was erased or never kept.
    pub fn salted_body(&self, id: &BodyId) -> Result<Option<SaltedBody>, ReadError> {
        let Some(bytes) = self.index.get(&key::body(&id.to_bytes()))? else { return Ok(None) };
        let location = catch_up::location_from(&bytes)?;
        self.packs.read_salted(location).map(Some).map_err(|e| ReadError::Ledger(Box::new(e)))
    }

    /// The entries from `from` on, in order, as bytes.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = Result<(u64, Vec<u8>), ReadError>> + '_ {
        (from..self.head.size).map(|number| {
            let bytes = self.entry_bytes(number)?;
            Ok((number, bytes.ok_or_else(|| ReadError::Malformed(format!("entry #{number} is not there")))?))
        })
    }
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
        self.packs.read(location).map(Some).map_err(|e| ReadError::Ledger(Box::new(e)))
    }

    fn resource(&self, pseudonym: &Pseudonym) -> Option<ResourceKey> {
        self.subjects.name(pseudonym).cloned()
    }

    fn pseudonym(&self, resource: &ResourceKey) -> Option<Pseudonym> {
        self.subjects.known(resource).cloned()
    }
}
