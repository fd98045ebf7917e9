//! What the store does with bodies and with the keys that they are sealed under.

use std::sync::{Arc, MutexGuard};

use domain::{BodyId, Pseudonym, ResourceKey, in_full};
use ledger::{BodyError, KeyId, Seal};

use crate::bodies::{Fresh, PutError};
use crate::data_key::nonce_of;
use crate::subjects::{KeyError, Owner, Subjects};
use crate::writer::{Shared, Store, StoreError, lock};
use crate::{catch_up, erased};

impl Store {
    /// Keeps a body that belongs to nobody; it is durable before any entry recorded after this call is.
    pub fn put_body(&self, body: &[u8]) -> Result<BodyId, StoreError> {
        self.put_body_of(Owner::Ledger, body, false)
    }

    /// Keeps an answer as it came.
    pub fn put_answer(&self, body: &[u8]) -> Result<BodyId, StoreError> {
        self.put_body_of(Owner::Itself, body, false)
    }

    /// Keeps a body, sealed under the key of whom it is about. With `lines`, the commitment is one to its lines: any of
    /// them can be shown while others stay hidden.
    pub(crate) fn put_body_of(&self, owner: Owner<'_>, body: &[u8], lines: bool) -> Result<BodyId, StoreError> {
        self.alive()?;
        self.shared.options.fits(body)?;
        Store::room_in(self.free_space()?).map_err(StoreError::DiskFull)?;
        let random = || self.shared.options.random.bytes();
        let put = || -> Result<BodyId, PutError> {
            // An answer is looked for under the ledger's own key, and gets one of its own when it is new.
            let sought = if matches!(owner, Owner::Itself) { Owner::Ledger } else { owner };
            let sought = lock(&self.shared.subjects).owners(sought, &random)?;
            let seal = || {
                let itself = matches!(owner, Owner::Itself);
                let owners = if itself { lock(&self.shared.subjects).owners(owner, &random)? } else { sought };
                let nonce = nonce_of(self.shared.options.random.as_ref()).map_err(KeyError::Random)?;
                Ok((Seal { owners, nonce }, random().map_err(KeyError::Random)?))
            };
            let (index, digest) = (self.shared.index.get(), sought.digest(body));
            lock(&self.shared.bodies).put(index.as_ref(), body, digest, lines, seal)
        };
        let kept = match put() {
            Err(PutError::Index(error)) => {
                self.mend(&error)?;
                put()
            }
            kept => kept,
        };
        kept.map_err(|error| match error {
            PutError::Packs(BodyError::Full(_)) => StoreError::DiskFull(in_full(&error)),
            PutError::Packs(BodyError::TooLong { .. }) => StoreError::Unwritable(in_full(&error)),
            error => self.shared.stop(format!("a body could not be kept: {}", in_full(&error))),
        })
    }

    /// The pseudonym of a resource, given on first sight.
    pub(crate) fn pseudonym_for(&self, resource: &ResourceKey) -> Result<Pseudonym, StoreError> {
        self.alive()?;
        let given = lock(&self.shared.subjects).pseudonym(resource, &|| self.shared.options.random.bytes());
        given.map_err(|e| self.shared.stop(format!("a record key could not be kept: {}", in_full(&e))))
    }

    /// Who is known, and by which pseudonym.
    pub(crate) fn subjects(&self) -> MutexGuard<'_, Subjects> {
        lock(&self.shared.subjects)
    }

    /// Destroys record keys for good, once it is known beside the guard that they are. What fails here stops the store.
    pub(crate) fn destroy(&self, keys: &[KeyId]) -> Result<(), StoreError> {
        let (options, stop) = (&self.shared.options, |why: String| self.shared.stop(why));
        erased::remember(options.disk.as_ref(), &options.guard_places(), &keys.iter().copied().collect())
            .map_err(|error| stop(format!("what is erased could not be remembered beside the guard: {error}")))?;
        let destroyed = lock(&self.shared.subjects).destroy(keys);
        destroyed.map_err(|e| stop(format!("record keys could not be destroyed: {}", in_full(&e))))?;
        Ok(())
    }

    /// The keys of records.
    pub(crate) fn record_keys(&self) -> Arc<ledger::KeyStore> {
        lock(&self.shared.subjects).keys().clone()
    }

    /// Makes all bodies so far durable and known to the index, also those that no entry names yet: so that whoever walks
    /// through them finds each.
    pub(crate) fn settle_bodies(&self) -> Result<(), StoreError> {
        self.alive()?;
        let fresh = self.shared.sync_bodies()?;
        // An index that fails here is built again from the packs, which hold them.
        catch_up::apply_bodies(self.shared.index.get().as_ref(), fresh.ops()).or_else(|error| self.mend(&error))
    }
}

impl Shared {
    /// Makes all bodies so far durable, and says what the index may now learn.
    pub(crate) fn sync_bodies(&self) -> Result<Fresh, StoreError> {
        lock(&self.bodies).sync().map_err(|error| match error {
            BodyError::Full(_) => StoreError::DiskFull(in_full(&error)),
            error => self.stop(format!("bodies could not be made durable: {}", in_full(&error))),
        })
    }
}
