//! The data key: the one secret under which the keys of records are kept, and where it is found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::ResourceKey;
use ledger::{DataKey, KeyState, KeyStore, KeyStoreError, NONCE, RealDisk, RecordKey, RewrapError, data_key_name};
use serde::Deserialize;

use crate::keys::write_secret;
use crate::layout::Layout;
use crate::writer::Random;

/// The data key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    /// It is not where it should be.
    #[error(
        "the data key {name} is not at hand: {} does not hold it, and no other place was named; `data_key` in the \
         settings says where it lies", path.display()
    )]
    NotAtHand {
        /// The name of the key that is needed; see [`DataKey::name`].
        name: String,
        /// Where it lies unless the settings say otherwise.
        path: PathBuf,
    },
    /// The one that was named is another.
    #[error("the record keys are kept under the data key {found}, and the one that was named is {given}")]
    Other {
        /// The name of the key that is needed.
        found: String,
        /// The name of the one at hand.
        given: String,
    },
    /// The file of record keys is missing or does not begin as one.
    #[error("{} does not say under which data key it is kept", .0.display())]
    NoRecords(PathBuf),
    /// The disk.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// There are no random numbers.
    #[error("{0}")]
    Random(String),
    /// The file of record keys.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// Another process writes here.
    #[error("{} is in use by another process: stop the daemon first", .0.display())]
    InUse(PathBuf),
}

/// The keys of records in a data directory, for whoever verifies its bodies.
pub fn record_keys(data: &Path, data_key: Option<&DataKey>) -> Result<Arc<KeyStore>, DataKeyError> {
    let layout = Layout::new(data);
    let key = find(&layout, data_key)?;
    Ok(KeyStore::open(RealDisk::shared(), &layout.record_keys(), &key, false, &mut |_, _| {})?)
}

/// The data key of a data directory: the one that was given, else the one in the folder of keys.
pub(crate) fn find(layout: &Layout, given: Option<&DataKey>) -> Result<DataKey, DataKeyError> {
    let records = layout.record_keys();
    let name = match data_key_name(&RealDisk, &records) {
        Ok(Some(name)) => name,
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(DataKeyError::Io { path: records, source });
        }
        _ => return Err(DataKeyError::NoRecords(records)),
    };
    if let Some(given) = given {
        let same = given.name() == name;
        return if same { Ok(given.clone()) } else { Err(DataKeyError::Other { found: name, given: given.name() }) };
    }
    // A change of the key that was interrupted leaves the new one beside the old one.
    for path in [layout.data_key(), next(layout)] {
        if let Some(key) = read(&path)?.filter(|key| key.name() == name) {
            return Ok(key);
        }
    }
    Err(DataKeyError::NotAtHand { name, path: layout.data_key() })
}

/// The key that was given, or a new one in the folder of keys.
pub(crate) fn make(layout: &Layout, given: Option<&DataKey>, random: &dyn Random) -> Result<DataKey, DataKeyError> {
    match given {
        Some(given) => Ok(given.clone()),
        None => fresh(&layout.data_key(), random),
    }
}

/// Keeps all record keys of a data directory under another data key: `to`, or a new one in the folder of keys. Packs and
/// ledger stay as they are. Gives the name of the new key, and how many record keys were kept under it.
///
/// # Errors
/// While a daemon runs; when `from`, or the key in the folder, is not the one in force.
pub fn rewrap(
    data: &Path,
    from: Option<&DataKey>,
    to: Option<&DataKey>,
    random: &dyn Random,
) -> Result<(String, usize), DataKeyError> {
    let layout = Layout::new(data);
    let disk = RealDisk::shared();
    let lock = layout.bodies().join("lock");
    let _held = disk.lock(&lock).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => DataKeyError::InUse(data.to_owned()),
        _ => DataKeyError::Io { path: lock, source },
    })?;
    let old = find(&layout, from)?;
    settle(&layout, &old)?;
    let new = match to {
        Some(to) => to.clone(),
        None => {
            remove(&next(&layout))?;
            fresh(&next(&layout), random)?
        }
    };
    let mut nonce = || nonce_of(random);
    let rewrapped = KeyStore::rewrap(disk, &layout.record_keys(), &old, &new, &mut nonce);
    let rewrapped = rewrapped.map_err(|error| match error {
        RewrapError::Keys(error) => DataKeyError::Keys(error),
        RewrapError::Random(why) => DataKeyError::Random(why),
    })?;
    match to {
        Some(_) => remove(&layout.data_key())?,
        None => settle(&layout, &new)?,
    }
    Ok((new.name(), rewrapped))
}

/// Takes over the record keys of a data directory from before anything was sealed: `keys/subjects`, one line of JSON per
/// resource. What was stored then stays as it is and readable; what comes is sealed. Doing it twice does no harm.
pub(crate) fn adopt(layout: &Layout, given: Option<&DataKey>, random: &dyn Random) -> Result<(), DataKeyError> {
    let old = layout.keys().join("subjects");
    let failed = |source| DataKeyError::Io { path: old.clone(), source };
    let text = match fs::read_to_string(&old) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let (disk, records) = (RealDisk::shared(), layout.record_keys());
    if !records.exists() {
        let key = match (given, read(&layout.data_key())?) {
            (None, Some(made)) => made,
            _ => make(layout, given, random)?,
        };
        KeyStore::create(disk.as_ref(), &records, &key)?;
    }
    let keys = KeyStore::open(disk, &records, &find(layout, given)?, true, &mut |_, _| {})?;
    // What follows the last line break is a line that nothing needs.
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    for line in whole.lines() {
        let line: OldLine = serde_json::from_str(line).map_err(|error| failed(error.into()))?;
        let bytes = hex::decode(&line.key).ok().and_then(|key| key.try_into().ok());
        let key = bytes.map(RecordKey::new).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        if keys.get(&key.id()) == KeyState::Unknown {
            let label = serde_json::to_vec(&line.resource).map_err(|error| failed(error.into()))?;
            keys.add(key, &label, &nonce_of(random).map_err(DataKeyError::Random)?)?;
        }
    }
    keys.sync()?;
    let blank = fs::write(&old, vec![0; text.len()]).and_then(|()| fs::File::open(&old)?.sync_all());
    blank.and_then(|()| fs::remove_file(&old)).map_err(failed)?;
    remove(&layout.keys().join("bodies.key"))
}

/// A line of `keys/subjects`.
#[derive(Deserialize)]
struct OldLine {
    #[serde(flatten)]
    resource: ResourceKey,
    key: String,
}

/// A nonce of fresh random bytes.
pub(crate) fn nonce_of(random: &dyn Random) -> Result<[u8; NONCE], String> {
    let bytes = random.bytes()?;
    Ok(bytes.first_chunk::<NONCE>().copied().unwrap_or_default())
}

/// Puts the key in force in its place, where a change of it was interrupted.
fn settle(layout: &Layout, key: &DataKey) -> Result<(), DataKeyError> {
    let (path, next) = (layout.data_key(), next(layout));
    if read(&next)?.is_some_and(|new| new == *key) {
        let moved = fs::rename(&next, &path).and_then(|()| fs::File::open(layout.keys())?.sync_all());
        moved.map_err(|source| DataKeyError::Io { path, source })?;
    }
    Ok(())
}

fn next(layout: &Layout) -> PathBuf {
    layout.data_key().with_extension("key.next")
}

fn read(path: &Path) -> Result<Option<DataKey>, DataKeyError> {
    let failed = |source| DataKeyError::Io { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => {
            let what = "it should hold 64 hexadecimal digits";
            let malformed = || failed(io::Error::new(io::ErrorKind::InvalidData, what));
            DataKey::parse(&text).map(Some).ok_or_else(malformed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn fresh(path: &Path, random: &dyn Random) -> Result<DataKey, DataKeyError> {
    let bytes = random.bytes().map_err(DataKeyError::Random)?;
    let written = write_secret(&RealDisk, path, &bytes);
    written.map_err(|source| DataKeyError::Io { path: path.to_owned(), source })?;
    Ok(DataKey::new(bytes))
}

fn remove(path: &Path) -> Result<(), DataKeyError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DataKeyError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
