//! Walking through every body that is kept: in a running store, and in a data directory beside it.

use domain::{BodyId, Pseudonym};
use ledger::{BodyError, BodyReader, KeyId};

use crate::bodies::opened;
use crate::offline::Offline;
use crate::read::{Read, ReadError};
use crate::subjects::{Subjects, Whose};
use crate::writer::Store;

/// A body as a walk through the packs finds it.
pub(crate) struct Found<'a> {
    /// The keys that it is sealed under.
    pub(crate) keys: &'a [KeyId],
    /// Whose it is by these.
    pub(crate) whose: Whose,
    /// By what its bytes are known again.
    pub(crate) digest: Option<[u8; 32]>,
    pub(crate) bytes: Vec<u8>,
}

/// What bodies can be walked through in.
pub(crate) trait Walk: Read {
    /// The keys of an id that stood in an address before it was known whose it is.
    fn asked_for(&self, id: &str) -> Vec<KeyId>;

    /// Reads every body whose keys are `wanted`, as far as it can be opened.
    fn each_body(&self, wanted: &dyn Fn(&[KeyId]) -> bool, each: &mut dyn FnMut(Found<'_>)) -> Result<(), ReadError>;

    /// Names every body, with the keys that it is sealed under and whose it is by these. Opens none.
    fn each_sealed(&self, each: &mut dyn FnMut(BodyId, &[KeyId], Whose)) -> Result<(), ReadError>;
}

impl Walk for Offline {
    fn asked_for(&self, id: &str) -> Vec<KeyId> {
        self.subjects().map(|subjects| asked_for(subjects, id)).unwrap_or_default()
    }

    fn each_body(&self, wanted: &dyn Fn(&[KeyId]) -> bool, each: &mut dyn FnMut(Found<'_>)) -> Result<(), ReadError> {
        let Some(subjects) = self.subjects() else { return Ok(()) };
        walk(self.packs(), &mut |_, keys, read| {
            if wanted(keys)
                && let Some(bytes) = read()?
            {
                each(found(subjects, keys, bytes));
            }
            Ok(())
        })
    }

    fn each_sealed(&self, each: &mut dyn FnMut(BodyId, &[KeyId], Whose)) -> Result<(), ReadError> {
        let Some(subjects) = self.subjects() else { return Ok(()) };
        walk(self.packs(), &mut |id, keys, _| {
            each(id, keys, subjects.whose(keys));
            Ok(())
        })
    }
}

impl Walk for Store {
    fn asked_for(&self, id: &str) -> Vec<KeyId> {
        asked_for(&self.subjects(), id)
    }

    fn each_body(&self, wanted: &dyn Fn(&[KeyId]) -> bool, each: &mut dyn FnMut(Found<'_>)) -> Result<(), ReadError> {
        walk(&packs(self), &mut |_, keys, read| {
            if wanted(keys)
                && let Some(bytes) = read()?
            {
                let found = found(&self.subjects(), keys, bytes);
                each(found);
            }
            Ok(())
        })
    }

    fn each_sealed(&self, each: &mut dyn FnMut(BodyId, &[KeyId], Whose)) -> Result<(), ReadError> {
        walk(&packs(self), &mut |id, keys, _| {
            let whose = self.subjects().whose(keys);
            each(id, keys, whose);
            Ok(())
        })
    }
}

/// A reader of its own, so that nobody who keeps a body waits for a walk.
fn packs(store: &Store) -> BodyReader {
    BodyReader::open_on(store.options().disk.clone(), &store.layout().bodies()).with_keys(store.record_keys())
}

/// Reads a body.
type Bytes<'a> = &'a dyn Fn() -> Result<Option<Vec<u8>>, ReadError>;
/// Takes a body's name, its keys, and what reads it.
type Each<'a> = &'a mut dyn FnMut(BodyId, &[KeyId], Bytes<'_>) -> Result<(), ReadError>;

fn walk(packs: &BodyReader, each: Each<'_>) -> Result<(), ReadError> {
    let failed = |error: BodyError| ReadError::Ledger(Box::new(error));
    let mut scan = packs.scan(Default::default()).map_err(failed)?;
    while let Some(found) = scan.next() {
        let (commitment, location) = found.map_err(failed)?;
        each(BodyId::from_bytes(commitment.0), scan.keys(), &|| opened(packs.read(location)))?;
    }
    Ok(())
}

fn found<'a>(subjects: &Subjects, keys: &'a [KeyId], bytes: Vec<u8>) -> Found<'a> {
    let digest = subjects.known_by(keys).map(|owners| owners.digest(&bytes));
    Found { keys, whose: subjects.whose(keys), digest, bytes }
}

fn asked_for(subjects: &Subjects, id: &str) -> Vec<KeyId> {
    subjects.asked_for(id).map(|pseudonym: &Pseudonym| KeyId(pseudonym.to_bytes())).collect()
}
