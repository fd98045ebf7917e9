//! Walking through every body that is kept: in a running store, and in a data directory beside it.

use domain::Pseudonym;
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
}

impl Walk for Offline {
    fn asked_for(&self, id: &str) -> Vec<KeyId> {
        self.subjects().map(|subjects| asked_for(subjects, id)).unwrap_or_default()
    }

    fn each_body(&self, wanted: &dyn Fn(&[KeyId]) -> bool, each: &mut dyn FnMut(Found<'_>)) -> Result<(), ReadError> {
        let Some(subjects) = self.subjects() else { return Ok(()) };
        walk(self.packs(), wanted, &mut |keys, bytes| each(found(subjects, keys, bytes)))
    }
}

impl Walk for Store {
    fn asked_for(&self, id: &str) -> Vec<KeyId> {
        asked_for(&self.subjects(), id)
    }

    fn each_body(&self, wanted: &dyn Fn(&[KeyId]) -> bool, each: &mut dyn FnMut(Found<'_>)) -> Result<(), ReadError> {
        let packs = BodyReader::open_on(self.options().disk.clone(), &self.layout().bodies());
        // Whoever is asked of each body alone does not keep the others waiting meanwhile.
        walk(&packs.with_keys(self.record_keys()), wanted, &mut |keys, bytes| {
            let found = found(&self.subjects(), keys, bytes);
            each(found);
        })
    }
}

fn walk(
    packs: &BodyReader,
    wanted: &dyn Fn(&[KeyId]) -> bool,
    each: &mut dyn FnMut(&[KeyId], Vec<u8>),
) -> Result<(), ReadError> {
    let failed = |error: BodyError| ReadError::Ledger(Box::new(error));
    let mut scan = packs.scan(Default::default()).map_err(failed)?;
    while let Some(found) = scan.next() {
        let (_, location) = found.map_err(failed)?;
        if wanted(scan.keys())
            && let Some(bytes) = opened(packs.read(location))?
        {
            each(scan.keys(), bytes);
        }
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
