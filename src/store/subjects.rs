//! Pseudonyms: the link between names in bodies and tokens in entries, kept where it can be erased.
//!
//! Every resource has a random key of its own. Its bodies are sealed under that key, and its pseudonym is a keyed digest
//! of nothing but a constant: so the ledger reveals nobody, and once the key is destroyed nobody can be found again by
//! guessing names. The key store holds key and name under the data key.
//!
//! What belongs to nobody is sealed under the ledger's own key. An answer that speaks of several resources at once has a
//! key without a name: whoever erases one of them destroys that key with theirs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::{Pseudonym, ResourceKey, ResourceType};
use ledger::{DataKey, KeyId, KeyState, KeyStore, KeyStoreError, NONCE, Owners, RecordKey, SharedDisk};

use crate::layout::Layout;

/// Whom a body is about, and so under whose key it is sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    /// Nobody: manifests, lists of exchanges, checks, outside dates.
    Ledger,
    /// Itself: an answer as it came. It has a key of its own, so that it can be erased alone.
    Itself,
    /// One resource.
    Resource(&'a ResourceKey),
    /// A resource, and whoever has this id at the source, known as a resource or not.
    With(&'a ResourceKey, &'a str),
}

/// Whose a body is, as its keys tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// It was kept before anything was sealed.
    Nobodys,
    /// The ledger's own.
    Ledgers,
    /// An answer's, with a key of its own; or that of a resource and of somebody who has no other key.
    Answer(KeyId),
    /// That of this resource.
    Of(ResourceKey),
}

/// How the type of an id ends that a call asked for and that is not known as a resource: `keycloak.id`.
pub(crate) const ASKED_FOR: &str = ".id";

/// What stands before a pseudonym in an address.
pub(crate) const VEIL: char = '~';

/// Fresh random bytes, for keys and nonces.
pub(crate) type Fresh<'a> = &'a dyn Fn() -> Result<[u8; 32], String>;

/// A key could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The key store.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// There are no random numbers.
    #[error("{0}")]
    Random(String),
    /// A record that was erased while it was being written.
    #[error("the key of a record is gone")]
    Gone,
}

/// The resources behind pseudonyms, and the keys of all records.
pub(crate) struct Subjects {
    known: HashMap<Arc<ResourceKey>, Pseudonym>,
    names: HashMap<Pseudonym, Arc<ResourceKey>>,
    /// The few types there are, so that every resource shares the name of its own.
    kinds: BTreeSet<ResourceType>,
    own: Option<RecordKey>,
    keys: Arc<KeyStore>,
}

/// The label of the ledger's own key.
const OWN: &[u8] = b"the ledger's own";

impl Subjects {
    /// Makes the empty file of keys.
    pub(crate) fn create(disk: &SharedDisk, layout: &Layout, data_key: &DataKey) -> Result<(), KeyStoreError> {
        KeyStore::create(disk.as_ref(), &layout.record_keys(), data_key)
    }

    /// Reads the file of keys; with `write` it takes new ones.
    pub(crate) fn open(
        disk: SharedDisk,
        layout: &Layout,
        data_key: &DataKey,
        write: bool,
    ) -> Result<Self, KeyStoreError> {
        let mut learnt = Vec::new();
        let mut own = None;
        let mut learn = |id: KeyId, label: Option<&[u8]>| match label {
            Some(OWN) => own = Some(id),
            Some(label) => learnt.extend(serde_json::from_slice::<ResourceKey>(label).ok().map(|name| (id, name))),
            None => {}
        };
        let keys = KeyStore::open(disk, &layout.record_keys(), data_key, write, &mut learn)?;
        let own = own.and_then(|id| here(&keys, &id));
        let mut subjects = Subjects { known: HashMap::new(), names: HashMap::new(), kinds: BTreeSet::new(), own, keys };
        for (id, name) in learnt {
            subjects.learn(name, id);
        }
        Ok(subjects)
    }

    /// The keys of all records.
    pub(crate) fn keys(&self) -> &Arc<KeyStore> {
        &self.keys
    }

    /// The pseudonym of a resource; a resource met for the first time gets a key.
    pub(crate) fn pseudonym(&mut self, resource: &ResourceKey, fresh: Fresh<'_>) -> Result<Pseudonym, KeyError> {
        if let Some(known) = self.known.get(resource) {
            return Ok(known.clone());
        }
        let label = serde_json::to_vec(resource).map_err(|e| KeyError::Random(e.to_string()))?;
        let key = self.add(&label, fresh)?;
        Ok(self.learn(resource.clone(), key.id()))
    }

    /// The pseudonym of a resource met before.
    pub(crate) fn known(&self, resource: &ResourceKey) -> Option<&Pseudonym> {
        self.known.get(resource)
    }

    /// The resource behind a pseudonym, unless it was erased.
    pub(crate) fn name(&self, pseudonym: &Pseudonym) -> Option<&ResourceKey> {
        self.names.get(pseudonym).map(Arc::as_ref)
    }

    /// The keys under which a body is sealed, and those by which its bytes are known again.
    pub(crate) fn owners(&mut self, owner: Owner<'_>, fresh: Fresh<'_>) -> Result<Owners, KeyError> {
        match owner {
            Owner::Ledger => self.own(fresh).map(Owners::one),
            Owner::Itself => self.add(b"", fresh).map(Owners::one),
            Owner::Resource(resource) => self.key_of(resource, fresh).map(Owners::one),
            Owner::With(resource, id) => {
                let first = self.key_of(resource, fresh)?;
                let other = |kind: &ResourceType| ResourceKey { kind: kind.clone(), id: id.to_owned() };
                let second = self.kinds.iter().map(other).find(|other| self.known.contains_key(other));
                // Whoever is not known as a resource can be erased all the same: by a key that has no name.
                let second = match second {
                    Some(second) => self.key_of(&second, fresh)?,
                    None => self.add(b"", fresh)?,
                };
                Ok(Owners::two(first, second))
            }
        }
    }

    /// The keys by which the bytes of a body are known again, told the keys that it is sealed under. `None` when one of
    /// those is gone.
    pub(crate) fn known_by(&self, sealed_under: &[KeyId]) -> Option<Owners> {
        let keys: Option<Vec<RecordKey>> = sealed_under.iter().map(|id| here(&self.keys, id)).collect();
        match keys?.as_slice() {
            [one] if self.names.contains_key(&Pseudonym::from_bytes(one.id().0)) => Some(Owners::one(*one)),
            [_] => self.own.map(Owners::one),
            [first, second] => Some(Owners::two(*first, *second)),
            _ => None,
        }
    }

    /// The ledger's own key, made when there is none.
    pub(crate) fn own(&mut self, fresh: Fresh<'_>) -> Result<RecordKey, KeyError> {
        match self.own {
            Some(own) => Ok(own),
            None => {
                let own = self.add(OWN, fresh)?;
                self.own = Some(own);
                Ok(own)
            }
        }
    }

    /// Destroys keys, durably, and forgets whose they were.
    pub(crate) fn destroy(&mut self, ids: &[KeyId]) -> Result<usize, KeyStoreError> {
        let destroyed = self.keys.destroy(ids)?;
        for id in ids {
            if let Some(name) = self.names.remove(&Pseudonym::from_bytes(id.0)) {
                self.known.remove(&name);
            }
        }
        Ok(destroyed)
    }

    /// Whose a body is, told the keys that it is sealed under.
    pub(crate) fn whose(&self, sealed_under: &[KeyId]) -> Whose {
        let name = |id: &KeyId| self.names.get(&Pseudonym::from_bytes(id.0));
        let own = |id: &KeyId| self.own.is_some_and(|own| own.id() == *id);
        // A key without a name is there to be destroyed alone, also where it is the second of two.
        let alone = sealed_under.iter().find(|id| name(id).is_none() && !own(id));
        match (sealed_under.first(), alone) {
            (None, _) => Whose::Nobodys,
            (_, Some(id)) => Whose::Answer(*id),
            (Some(id), None) => name(id).map_or(Whose::Ledgers, |name| Whose::Of(name.as_ref().clone())),
        }
    }

    /// Whether any resource has that id.
    pub(crate) fn knows_id(&self, id: &str) -> bool {
        self.kinds.iter().any(|kind| self.known.contains_key(&ResourceKey { kind: kind.clone(), id: id.to_owned() }))
    }

    /// The pseudonyms of an id that stood in an address before it was known whose it is; see [`ASKED_FOR`].
    pub(crate) fn asked_for(&self, id: &str) -> impl Iterator<Item = &Pseudonym> {
        let kinds = self.kinds.iter().filter(|kind| kind.as_str().ends_with(ASKED_FOR));
        kinds.filter_map(move |kind| self.known.get(&ResourceKey { kind: kind.clone(), id: id.to_owned() }))
    }

    /// Whether there is or was such a key here.
    pub(crate) fn has_had(&self, id: &KeyId) -> bool {
        self.keys.get(id) != KeyState::Unknown
    }

    /// Addresses with pseudonyms in the place of the ids of resources, each behind a [`VEIL`]. An id is veiled where it is
    /// the whole of a part between separators.
    pub(crate) fn veiled<'a>(&self, addresses: impl Iterator<Item = &'a str>) -> Vec<String> {
        // The same parts stand in most addresses, so each is looked for once.
        let mut looked_for: HashMap<&str, Option<&Pseudonym>> = HashMap::new();
        let ends = |c: char| matches!(c, '/' | '?' | '&' | '=' | '#');
        let veiled = addresses.map(|address| {
            let mut text = String::with_capacity(address.len());
            for part in address.split_inclusive(ends) {
                let bare = part.strip_suffix(ends).unwrap_or(part);
                let known = looked_for.entry(bare).or_insert_with(|| {
                    let of = |kind: &ResourceType| ResourceKey { kind: kind.clone(), id: bare.to_owned() };
                    self.kinds.iter().find_map(|kind| self.known.get(&of(kind)))
                });
                match known {
                    Some(pseudonym) => text.push_str(&format!("{VEIL}{pseudonym}")),
                    None => text.push_str(bare),
                }
                text.push_str(part.get(bare.len()..).unwrap_or_default());
            }
            text
        });
        veiled.collect()
    }

    fn key_of(&mut self, resource: &ResourceKey, fresh: Fresh<'_>) -> Result<RecordKey, KeyError> {
        let pseudonym = self.pseudonym(resource, fresh)?;
        here(&self.keys, &KeyId(pseudonym.to_bytes())).ok_or(KeyError::Gone)
    }

    fn add(&self, label: &[u8], fresh: Fresh<'_>) -> Result<RecordKey, KeyError> {
        let key = RecordKey::new(fresh().map_err(KeyError::Random)?);
        let nonce = fresh().map_err(KeyError::Random)?;
        self.keys.add(key, label, nonce.first_chunk::<NONCE>().unwrap_or(&[0; NONCE]))?;
        Ok(key)
    }

    fn learn(&mut self, mut resource: ResourceKey, id: KeyId) -> Pseudonym {
        let pseudonym = Pseudonym::from_bytes(id.0);
        match self.kinds.get(&resource.kind) {
            Some(kind) => resource.kind = kind.clone(),
            None => drop(self.kinds.insert(resource.kind.clone())),
        }
        let resource = Arc::new(resource);
        self.known.insert(resource.clone(), pseudonym.clone());
        self.names.insert(pseudonym.clone(), resource);
        pseudonym
    }
}

fn here(keys: &KeyStore, id: &KeyId) -> Option<RecordKey> {
    match keys.get(id) {
        KeyState::Here(key) => Some(key),
        KeyState::Destroyed | KeyState::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ledger::RealDisk;

    use super::*;

    fn resource(id: &str) -> ResourceKey {
        ResourceKey { kind: "keycloak.user".parse().unwrap(), id: id.into() }
    }

    #[test]
    fn a_pseudonym_stays_the_same_after_a_restart_tells_nothing_and_is_gone_for_good_once_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        std::fs::create_dir(layout.keys()).unwrap();
        let (disk, key, next) = (RealDisk::shared(), DataKey::new([7; 32]), Cell::new(0));
        let fresh = || {
            next.set(next.get() + 1);
            Ok([next.get(); 32])
        };
        Subjects::create(&disk, &layout, &key).unwrap();
        let open = || Subjects::open(disk.clone(), &layout, &key, true).unwrap();
        let mut subjects = open();
        let own = subjects.own(&fresh).unwrap();
        let dora = subjects.pseudonym(&resource("dora"), &fresh).unwrap();
        let erik = subjects.pseudonym(&resource("erik"), &fresh).unwrap();
        subjects.keys().sync().unwrap();
        assert_ne!(dora, erik);

        let mut again = open();
        assert!(again.own(&fresh).unwrap() == own);
        assert_eq!(again.pseudonym(&resource("dora"), &fresh).unwrap(), dora);
        assert_eq!(again.name(&erik), Some(&resource("erik")));
        let file = std::fs::read(layout.record_keys()).unwrap();
        assert!(!file.windows(4).any(|window| window == b"erik"));

        assert_eq!(again.destroy(&[KeyId(erik.to_bytes())]).unwrap(), 1);
        for subjects in [&mut again, &mut open()] {
            assert_eq!((subjects.name(&erik), subjects.known(&resource("erik"))), (None, None));
            assert_eq!(subjects.known(&resource("dora")), Some(&dora));
        }
        assert_ne!(open().pseudonym(&resource("erik"), &fresh).unwrap(), erik, "who comes back is somebody new");
    }
}
