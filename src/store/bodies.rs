//! Bodies with memory: the same bytes are kept once, however often they are seen.
//!
//! A body is known again by a digest under the key of the record that it is about, never by a bare one: whoever reads the
//! disk cannot test guesses against it, and nobody can once the record is erased.
//! The index learns of a body only after it is durable, so it never names one that a crash took away.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use domain::BodyId;
use ledger::{Bodies, BodyError, Location, Seal, SharedDisk};

use crate::catch_up::{location_from, location_to};
use crate::index::{Index, IndexError, Op};
use crate::read::ReadError;
use crate::rows::key;
use crate::subjects::{KeyError, Subjects};
use crate::writer::lock;

/// The packs, and what has been put into them since the last sync.
pub(crate) struct BodyStore {
    packs: Bodies,
    fresh: Fresh,
}

/// Bodies that the index does not know yet.
#[derive(Default)]
pub(crate) struct Fresh {
    /// Their ids by their keyed digests.
    ids: HashMap<[u8; 32], [u8; 32]>,
    /// Where they lie, by id.
    locations: HashMap<[u8; 32], Location>,
    /// Where the packs end, once they are durable.
    end: Location,
}

/// A body could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// The packs failed.
    #[error(transparent)]
    Packs(#[from] BodyError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// There is no key to seal it under, or no salt.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl BodyStore {
    pub(crate) fn open(disk: SharedDisk, dir: &Path, subjects: &Subjects) -> Result<Self, BodyError> {
        let packs = Bodies::open(disk, dir)?.with_keys(subjects.keys().clone());
        Ok(BodyStore { packs, fresh: Fresh::default() })
    }

    /// Keeps a body, or finds the one that holds the same bytes by its `digest`. `seal` gives what it is sealed under, and
    /// a salt. With `lines`, each of its lines can be shown alone.
    pub(crate) fn put(
        &mut self,
        index: &dyn Index,
        body: &[u8],
        digest: [u8; 32],
        lines: bool,
        seal: impl FnOnce() -> Result<(Seal, [u8; 32]), KeyError>,
    ) -> Result<BodyId, PutError> {
        if let Some(id) = self.fresh.ids.get(&digest) {
            return Ok(BodyId::from_bytes(*id));
        }
        if let Some(id) = index.get(&key::known_body(&digest))?.and_then(|id| id.try_into().ok()) {
            return Ok(BodyId::from_bytes(id));
        }
        let (seal, salt) = seal()?;
        let (commitment, location) = self.packs.append_sealed(&seal, salt, body, lines)?;
        let id = commitment.0;
        self.fresh.ids.insert(digest, id);
        self.fresh.locations.insert(id, location);
        Ok(BodyId::from_bytes(id))
    }

    /// Makes everything put so far durable, and says what the index may now learn.
    pub(crate) fn sync(&mut self) -> Result<Fresh, BodyError> {
        if self.fresh.ids.is_empty() {
            return Ok(Fresh::default());
        }
        self.packs.sync()?;
        let end = self.packs.end();
        Ok(Fresh { end, ..std::mem::take(&mut self.fresh) })
    }

    /// The changes that teach the index what lies in the packs from `from` on; `each` takes them batch by batch, and is
    /// told of how many bodies they speak. Who is known is asked body by body, so that others may ask meanwhile.
    pub(crate) fn scan(
        &mut self,
        subjects: &Mutex<Subjects>,
        from: Option<Location>,
        mut each: impl FnMut(u64, Vec<Op>) -> Result<(), IndexError>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (mut ops, mut bodies) = (Vec::new(), 0);
        let mut scan = self.packs.scan(from.unwrap_or_default())?;
        while let Some(found) = scan.next() {
            let (commitment, location) = found?;
            // The digest needs the bytes; so does the proof that the packs still hold what they say.
            match self.packs.read(location) {
                Ok(body) => {
                    let owners = lock(subjects).known_by(scan.keys());
                    ops.extend(owners.map(|owners| known_op(&owners.digest(&body), &commitment.0)));
                }
                Err(BodyError::Destroyed(_)) => {}
                Err(error) => return Err(error.into()),
            }
            ops.push(place_op(&commitment.0, &location));
            bodies += 1;
            if ops.len() >= crate::index::GREATEST_BATCH - 2 {
                each(std::mem::take(&mut bodies), std::mem::take(&mut ops))?;
            }
        }
        // What is not durable yet was not seen here, and is told to the index when it is.
        ops.push(Op::Put(key::PACKS.to_vec(), location_to(&scan.position())));
        each(bodies, ops)?;
        Ok(())
    }

    pub(crate) fn get(&self, index: &dyn Index, id: &BodyId) -> Result<Option<Vec<u8>>, ReadError> {
        let id = id.to_bytes();
        let location = match self.fresh.locations.get(&id) {
            Some(location) => *location,
            None => match index.get(&key::body(&id))? {
                Some(bytes) => location_from(&bytes)?,
                None => return Ok(None),
            },
        };
        opened(self.packs.read(location))
    }
}

/// A body that was read; none when it was erased.
pub(crate) fn opened<T>(read: Result<T, BodyError>) -> Result<Option<T>, ReadError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(BodyError::Destroyed(_)) => Ok(None),
        Err(error) => Err(ReadError::Ledger(Box::new(error))),
    }
}

impl Fresh {
    /// The changes that teach the index of them, made one by one: there may be hundreds of thousands.
    pub(crate) fn ops(self) -> impl Iterator<Item = Op> {
        let Fresh { ids, locations, end } = self;
        let end = (!ids.is_empty()).then(|| Op::Put(key::PACKS.to_vec(), location_to(&end)));
        let known = ids.into_iter().filter_map(move |(digest, id)| Some(body_ops(&digest, &id, locations.get(&id)?)));
        known.flatten().chain(end)
    }
}

fn body_ops(digest: &[u8; 32], id: &[u8; 32], location: &Location) -> [Op; 2] {
    [known_op(digest, id), place_op(id, location)]
}

fn known_op(digest: &[u8; 32], id: &[u8; 32]) -> Op {
    Op::Put(key::known_body(digest), id.to_vec())
}

fn place_op(id: &[u8; 32], location: &Location) -> Op {
    Op::Put(key::body(id), location_to(location))
}
