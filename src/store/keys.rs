//! The signing key, and its change for another one.
//!
//! The successor's seed is durable before the ledger names it. From that entry on both sign; the entry that retires the
//! older one ends that; and only then does the older seed go. Wherever that is interrupted, the entries say how far it
//! came, and the next start goes on from there.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use domain::entry::{Fact, Key};
use domain::in_full;
use ledger::disk::Disk;
use ledger::{KeyRing, Reader, Signers, SigningKey, VerifierKey, succession};

use crate::catch_up;
use crate::fold;
use crate::layout::Layout;
use crate::read::Read;
use crate::rows::{KeyRow, key};
use crate::writer::{OpenError, Options, Receipt, Store, StoreError};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What a change of the key began with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// The entry that names the successor.
    pub entry: u64,
    /// The key that signed so far, and signs on for a while.
    pub old: String,
    /// Its successor.
    pub new: String,
}

/// The key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The store cannot be opened; while a daemon runs, it holds it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The last change has not come to its end.
    #[error("the change of key in #{entry} is not at its end: the older key is retired by a daemon that runs")]
    Early {
        /// The entry that names the successor.
        entry: u64,
    },
    /// The disk, the random numbers or the store.
    #[error("the key was not changed: {0}")]
    Failed(String),
}

/// Gives the ledger of a data directory that no daemon holds another signing key.
pub fn rotate_key(options: Options) -> Result<Rotated, RotateError> {
    let layout = Layout::new(&options.data);
    if !layout.is_initialised() {
        return Err(OpenError::NotInitialised(options.data).into());
    }
    let failed = |e: AnyError| RotateError::Failed(in_full(e.as_ref()));
    let origin = catch_up::genesis(&Reader::open_on(options.disk.clone(), &layout.ledger()))
        .map_err(|e| failed(e.into()))?
        .origin;
    let path = layout.next_signing_key();
    let seed = options.random.bytes().map_err(RotateError::Failed)?;
    match options.disk.lock(&layout.bodies().join("lock")) {
        // The seed may be left by an earlier try, and is used then.
        Ok(_alone) => match write_secret(options.disk.as_ref(), &path, &seed) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            written => written.map_err(|e| failed(e.into()))?,
        },
        // A daemon holds it, as opening says below, or somebody else makes the seed.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(failed(error.into())),
    }
    let (store, _) = Store::open(options)?;
    let last: Option<KeyRow> = fold::get(store.index().as_ref(), key::SIGNING).map_err(|e| failed(e.into()))?;
    if let Some(row) = last.filter(|row| row.both) {
        return Err(RotateError::Early { entry: row.entry });
    }
    let read = |path| -> Result<SigningKey, AnyError> { Ok(SigningKey::from_seed(&origin, &read_secret(path)?)?) };
    let (now, next) = (read(&layout.signing_key()).map_err(failed)?, read(&path).map_err(failed)?);
    let note = succession(&now, &next).map_err(|e| failed(e.into()))?;
    let fact = Fact::Key(Key { succession: Some(note), retires: None });
    let entry = store.record_one(fact).map_err(|e| failed(e.into()))?.entry;
    Ok(Rotated { entry, old: now.verifier().to_string(), new: next.verifier().to_string() })
}

impl Store {
    /// The last change of the signing key, if there ever was one.
    pub fn key_row(&self) -> Result<Option<KeyRow>, StoreError> {
        fold::get(self.index().as_ref(), key::SIGNING).map_err(|e| StoreError::Stopped(e.to_string()))
    }

    /// Retires the older of two keys that sign, and does away with its seed.
    ///
    /// # Errors
    /// The store's. A seed that cannot be done away with is told in the log; the next start does it.
    pub fn retire_key(&self) -> Result<Receipt, StoreError> {
        let failed = |e: AnyError| StoreError::Stopped(in_full(e.as_ref()));
        let reader = Reader::open(&self.layout().ledger());
        let origin = catch_up::genesis(&reader).map_err(|e| failed(e.into()))?.origin;
        let old = read_secret(&self.layout().signing_key()).map_err(|e| failed(e.into()))?;
        let old = SigningKey::from_seed(&origin, &old).map_err(|e| failed(e.into()))?.verifier();
        let fact = Fact::Key(Key { succession: None, retires: Some(old.to_string()) });
        let receipt = self.record_one(fact)?;
        let ring = reader.key_ring().map_err(|e| failed(e.into()))?.map(|(ring, _)| ring).unwrap_or_default();
        if let Err(error) = finish(self.layout(), &origin, &ring) {
            let error = in_full(error.as_ref());
            tracing::warn!(error, "the seed of the retired key is still there; the next start does away with it");
        }
        Ok(receipt)
    }
}

/// All keys that are here: whether one may sign is what the entries say.
pub(crate) fn signers(layout: &Layout, origin: &str) -> Result<Signers, AnyError> {
    let signers = Signers::from(SigningKey::from_seed(origin, &read_secret(&layout.signing_key())?)?);
    if !layout.next_signing_key().exists() {
        return Ok(signers);
    }
    Ok(signers.and(SigningKey::from_seed(origin, &read_secret(&layout.next_signing_key())?)?))
}

/// Whether the seeds that are there are those of all keys which sign a ledger of more than `size` entries; an error
/// where they are not.
pub(crate) fn fit(layout: &Layout, origin: &str, ring: &KeyRing, size: u64) -> Result<(), AnyError> {
    let next = Some(layout.next_signing_key()).filter(|path| path.exists());
    let seeds = std::iter::once(layout.signing_key()).chain(next);
    let keys = seeds.map(|path| Ok(SigningKey::from_seed(origin, &read_secret(&path)?)?.verifier()));
    let keys = keys.collect::<Result<Vec<_>, AnyError>>()?;
    // One more than there are: a key at its end signs no longer tree.
    match ring.at(size + 1).iter().find(|wanted| !keys.contains(wanted)) {
        None => Ok(()),
        Some(missing) => Err(format!("the seed of {missing} is not there").into()),
    }
}

/// Puts the successor's seed in the place of one that was retired.
pub(crate) fn finish(layout: &Layout, origin: &str, ring: &KeyRing) -> Result<(), AnyError> {
    let next = layout.next_signing_key();
    if !next.exists() {
        return Ok(());
    }
    let verifier =
        |path| -> Result<VerifierKey, AnyError> { Ok(SigningKey::from_seed(origin, &read_secret(path)?)?.verifier()) };
    let (old, new) = (verifier(&layout.signing_key())?, verifier(&next)?);
    let retired =
        |key: &VerifierKey| ring.keys().iter().find(|range| range.key == *key).map(|range| range.until.is_some());
    if (retired(&old), retired(&new)) == (Some(true), Some(false)) {
        fs::rename(&next, layout.signing_key())?;
        fs::File::open(layout.keys())?.sync_all()?;
    }
    Ok(())
}

/// Writes a new file with a secret that its owner alone may read: whole and durably, or not at all. One that is there
/// already stays as it is, and is an error.
pub(crate) fn write_secret(disk: &dyn Disk, path: &Path, secret: &[u8; 32]) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let folder = disk.open_dir(path.parent().unwrap_or(path))?;
    // The disk makes files that a group may read. What an earlier try left of this one is written over.
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{}", hex::encode(secret))?;
    file.sync_all()?;
    disk.rename(&temporary, path)?;
    folder.sync()
}

/// Reads a secret.
pub(crate) fn read_secret(path: &Path) -> io::Result<[u8; 32]> {
    let text = fs::read_to_string(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    let decoded = hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    decoded.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a key of 64 hexadecimal digits", path.display()))
    })
}
