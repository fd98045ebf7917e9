//! The keys of records, each kept under the data key until it is destroyed.
//!
//! The file is text. Its first line names the data key; every other is `id sealed checksum`: the key's name, then the
//! key and a label of the caller's under the data key (base64), then crc32c over both. Lines are appended. How far they
//! are durable stands in a file of its own (`.synced`): what lies behind is a torn append that no record needs, because
//! a key is durable before the first byte of a record under it is written.
//!
//! A key is destroyed where it lies: `-` is written over all of its line but the name. Base64 has no such sign, so that a
//! line that was half overwritten when the power failed is known as well.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::disk::{self, Disk, DiskFile, Open, SharedDisk};
use crate::seal::{DataKey, KeyId, NONCE, RecordKey, TAG};
use crate::slots::{SlotError, Slots};

const FIRST: &str = "evidenced record keys 1, under data key ";
/// Hexadecimal digits of a key's name.
const ID: usize = 32;
/// Hexadecimal digits of a checksum.
const SUM: usize = 8;
/// A label is at most this many bytes long.
const GREATEST_LABEL: usize = 4096;
const GREATEST_FILE: u64 = 4 << 30;
/// What stands where a destroyed key stood.
const GONE: u8 = b'-';

/// The file of record keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// It was made under another data key.
    #[error("{} is kept under the data key {found}, and the one given is {given}", path.display())]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// The name of the key that it was made under; see [`DataKey::name`].
        found: String,
        /// The name of the one at hand.
        given: String,
    },
    /// Bytes are not what was written.
    #[error("line {line} of {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The record of how far it is durable.
    #[error("{}", path.display())]
    Synced {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SlotError,
    },
    /// The disk.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A key cannot be taken in.
    #[error("a record key cannot be kept: {0}")]
    Refused(&'static str),
}

/// What is known of a record key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It is here.
    Here(RecordKey),
    /// It was here, and was destroyed.
    Destroyed,
    /// It never was.
    Unknown,
}

/// The record keys of a ledger: one writer, any number of readers in the same process.
pub struct KeyStore {
    disk: SharedDisk,
    path: PathBuf,
    keys: RwLock<HashMap<KeyId, Option<RecordKey>>>,
    /// `None` when it was opened for reading.
    file: Mutex<Option<Writing>>,
    data_key: DataKey,
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyStore({})", self.path.display())
    }
}

struct Writing {
    file: Box<dyn DiskFile>,
    slots: Slots,
    /// Bytes in the file, and what comes after them.
    written: u64,
    pending: Vec<u8>,
    failed: bool,
}

/// Takes what a line of the file says: the key's name, and its label unless the key was destroyed.
pub type Learn<'a> = &'a mut dyn FnMut(KeyId, Option<&[u8]>);

impl KeyStore {
    /// Makes an empty file of keys, durably. An error when it is there.
    pub fn create(disk: &dyn Disk, path: &Path, data_key: &DataKey) -> Result<(), KeyStoreError> {
        let io = |source| KeyStoreError::Io { path: path.to_owned(), source };
        if disk.exists(path).map_err(io)? {
            return Err(io(io::ErrorKind::AlreadyExists.into()));
        }
        let first = first_line(data_key);
        // The mark first: a file of keys without one is never believed.
        let synced = synced_path(path);
        let made = Slots::create(disk, &synced, &synced_text(first.len() as u64));
        made.map_err(|source| KeyStoreError::Synced { path: synced, source })?;
        disk::replace(disk, path, first.as_bytes()).map_err(io)
    }

    /// Opens the file; `learn` hears of every line. With `write`, an append that was torn is dropped.
    pub fn open(
        disk: SharedDisk,
        path: &Path,
        data_key: &DataKey,
        write: bool,
        learn: Learn<'_>,
    ) -> Result<Arc<KeyStore>, KeyStoreError> {
        let io = |source| KeyStoreError::Io { path: path.to_owned(), source };
        let (mut slots, durable) = open_synced(disk.as_ref(), path, if write { Open::Write } else { Open::Read })?;
        let text = disk::read_file(disk.as_ref(), path, GREATEST_FILE).map_err(io)?;
        let known = text.get(..usize::try_from(durable).unwrap_or(usize::MAX));
        let known = known.ok_or_else(|| KeyStoreError::Damaged { path: path.to_owned(), line: lines(&text) + 1 })?;
        let keys = read(path, known, data_key, learn)?;
        let file = if write {
            let file = disk.open(path, Open::Write).map_err(io)?;
            if text.len() as u64 > durable {
                file.set_len(durable).map_err(io)?;
            }
            file.sync().map_err(io)?;
            let again = slots.write_again().and_then(|()| slots.mend());
            again.map_err(|source| KeyStoreError::Synced { path: synced_path(path), source })?;
            Some(Writing { file, slots, written: durable, pending: Vec::new(), failed: false })
        } else {
            None
        };
        Ok(Arc::new(KeyStore {
            disk,
            path: path.to_owned(),
            keys: RwLock::new(keys),
            file: Mutex::new(file),
            data_key: data_key.clone(),
        }))
    }

    /// What is known of a key.
    pub fn get(&self, id: &KeyId) -> KeyState {
        match self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            Some(Some(key)) => KeyState::Here(*key),
            Some(None) => KeyState::Destroyed,
            None => KeyState::Unknown,
        }
    }

    /// Takes a new key of 32 fresh random bytes, under a nonce of fresh random bytes. It is not durable before
    /// [`KeyStore::sync`].
    pub fn add(&self, key: RecordKey, label: &[u8], nonce: &[u8; NONCE]) -> Result<KeyId, KeyStoreError> {
        let id = key.id();
        if label.len() > GREATEST_LABEL {
            return Err(KeyStoreError::Refused("its label is too long"));
        }
        let mut file = self.file();
        let writing = file.as_mut().ok_or(KeyStoreError::Refused("the file was opened for reading"))?;
        // Nobody draws the same 32 bytes twice; whoever seems to has no random numbers.
        if self.get(&id) != KeyState::Unknown {
            return Err(KeyStoreError::Refused("there is one of the same name"));
        }
        writing.pending.extend_from_slice(&line(&self.data_key, &key, label, nonce)?);
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(id, Some(key));
        Ok(id)
    }

    /// Makes every key so far durable.
    pub fn sync(&self) -> Result<(), KeyStoreError> {
        let mut file = self.file();
        let Some(writing) = file.as_mut().filter(|writing| writing.failed || !writing.pending.is_empty()) else {
            return Ok(());
        };
        if std::mem::replace(&mut writing.failed, true) {
            return Err(KeyStoreError::Refused("an earlier failure left the outcome open"));
        }
        let pending = std::mem::take(&mut writing.pending);
        let written = writing.file.write_at(writing.written, &pending).and_then(|()| writing.file.sync());
        written.map_err(|source| self.io(source))?;
        writing.written += pending.len() as u64;
        let marked = writing.slots.write(&synced_text(writing.written));
        marked.map_err(|source| KeyStoreError::Synced { path: synced_path(&self.path), source })?;
        writing.failed = false;
        Ok(())
    }

    /// Destroys keys, durably: their bytes are overwritten where they lie. Those that are gone already count too, so that
    /// one that was half overwritten is finished. Gives how many there were to destroy.
    pub fn destroy(&self, ids: &[KeyId]) -> Result<usize, KeyStoreError> {
        self.sync()?;
        let text = disk::read_file(self.disk.as_ref(), &self.path, GREATEST_FILE).map_err(|e| self.io(e))?;
        let mut file = self.file();
        let writing = file.as_mut().ok_or(KeyStoreError::Refused("the file was opened for reading"))?;
        let (mut at, mut destroyed) = (0, 0);
        let meant: HashSet<&KeyId> = ids.iter().collect();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let sealed = line.get(ID + 1..line.len().saturating_sub(1)).unwrap_or_default();
            let meant = id_of(line).is_some_and(|id| meant.contains(&id));
            if meant && sealed.iter().any(|byte| *byte != GONE) {
                let place = (at + ID + 1) as u64;
                writing.file.write_at(place, &vec![GONE; sealed.len()]).map_err(|e| self.io(e))?;
                destroyed += 1;
            }
            at += line.len();
        }
        if destroyed > 0 {
            writing.file.sync().map_err(|e| self.io(e))?;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            if let Some(known) = keys.get_mut(id) {
                *known = None;
            }
        }
        Ok(destroyed)
    }

    /// Keeps all keys under another data key, at once and durably: the file is written anew and takes the place of this
    /// one. Bodies stay as they are. Every key needs a nonce of its own, which `nonce` gives.
    pub fn rewrap(
        disk: SharedDisk,
        path: &Path,
        from: &DataKey,
        to: &DataKey,
        nonce: &mut dyn FnMut() -> Result<[u8; NONCE], String>,
    ) -> Result<usize, RewrapError> {
        let io = |source| KeyStoreError::Io { path: path.to_owned(), source };
        drop(KeyStore::open(disk.clone(), path, from, true, &mut |_, _| {})?);
        let text = disk::read_file(disk.as_ref(), path, GREATEST_FILE).map_err(io)?;
        let (mut out, mut rewrapped) = (first_line(to).into_bytes(), 0);
        for (number, bytes) in text.split_inclusive(|byte| *byte == b'\n').enumerate().skip(1) {
            let damaged = || KeyStoreError::Damaged { path: path.to_owned(), line: number + 1 };
            match parse(bytes, from).ok_or_else(damaged)? {
                (_, None) => out.extend_from_slice(bytes),
                (_, Some((key, label))) => {
                    let nonce = nonce().map_err(RewrapError::Random)?;
                    out.extend_from_slice(&line(to, &key, &label, &nonce)?);
                    rewrapped += 1;
                }
            }
        }
        // Lines keep their length, so the record of how far the file is durable holds for either.
        if out.len() != text.len() {
            return Err(KeyStoreError::Refused("the new file would have another length").into());
        }
        disk::replace(disk.as_ref(), path, &out).map_err(io)?;
        Ok(rewrapped)
    }

    fn file(&self) -> MutexGuard<'_, Option<Writing>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, source: io::Error) -> KeyStoreError {
        KeyStoreError::Io { path: self.path.clone(), source }
    }
}

/// The keys were not rewrapped.
#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    /// The file of keys.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// There are no random numbers.
    #[error("{0}")]
    Random(String),
}

/// The name of the data key that a file of keys is kept under; see [`DataKey::name`].
pub fn data_key_name(disk: &dyn Disk, path: &Path) -> io::Result<Option<String>> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; FIRST.len() + 17];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(name_in(&bytes).map(str::to_owned))
}

fn synced_path(path: &Path) -> PathBuf {
    path.with_extension("synced")
}

fn synced_text(bytes: u64) -> String {
    format!("bytes {bytes}\n")
}

fn open_synced(disk: &dyn Disk, path: &Path, how: Open) -> Result<(Slots, u64), KeyStoreError> {
    let synced = synced_path(path);
    let slots = Slots::open(disk, &synced, how);
    let slots = slots.map_err(|source| KeyStoreError::Synced { path: synced.clone(), source })?;
    let bytes = slots.text().strip_prefix("bytes ").and_then(|rest| rest.strip_suffix('\n')?.parse().ok());
    match bytes {
        Some(bytes) => Ok((slots, bytes)),
        None => Err(KeyStoreError::Synced { path: synced, source: SlotError::Damaged }),
    }
}

fn read(
    path: &Path,
    text: &[u8],
    data_key: &DataKey,
    learn: Learn<'_>,
) -> Result<HashMap<KeyId, Option<RecordKey>>, KeyStoreError> {
    let damaged = |line| KeyStoreError::Damaged { path: path.to_owned(), line };
    let mut all = text.split_inclusive(|byte| *byte == b'\n');
    let found = all.next().and_then(name_in).ok_or_else(|| damaged(1))?;
    if found != data_key.name() {
        let (found, given) = (found.to_owned(), data_key.name());
        return Err(KeyStoreError::OtherKey { path: path.to_owned(), found, given });
    }
    let mut keys = HashMap::new();
    for (number, line) in all.enumerate() {
        let (id, kept) = parse(line, data_key).ok_or_else(|| damaged(number + 2))?;
        learn(id, kept.as_ref().map(|(_, label)| label.as_slice()));
        keys.insert(id, kept.map(|(key, _)| key));
    }
    Ok(keys)
}

fn first_line(data_key: &DataKey) -> String {
    format!("{FIRST}{}\n", data_key.name())
}

fn name_in(line: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(line).ok()?.strip_prefix(FIRST)?.strip_suffix('\n')?;
    (name.len() == 16 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))).then_some(name)
}

fn line(data_key: &DataKey, key: &RecordKey, label: &[u8], nonce: &[u8; NONCE]) -> Result<Vec<u8>, KeyStoreError> {
    let id = key.id();
    let sealed = data_key.sealer().seal(nonce, &id.0, &[key.bytes().as_slice(), label].concat());
    let sealed = sealed.ok_or(KeyStoreError::Refused("it cannot be sealed"))?;
    let text = format!("{id} {}", BASE64.encode(sealed));
    Ok(format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes())).into_bytes())
}

/// A key's name, and the key with its label unless it was destroyed.
type Line = (KeyId, Option<(RecordKey, Vec<u8>)>);

fn parse(line: &[u8], data_key: &DataKey) -> Option<Line> {
    let id = id_of(line)?;
    if is_gone(line) {
        return Some((id, None));
    }
    if !sum_holds(line) {
        return None;
    }
    let sealed = line.get(ID + 1..line.len().checked_sub(SUM + 2)?)?;
    let text = data_key.sealer().open(&BASE64.decode(sealed).ok()?, &id.0)?;
    let (key, label) = text.split_first_chunk::<32>()?;
    let key = RecordKey::new(*key);
    (key.id() == id).then(|| (id, Some((key, label.to_vec()))))
}

fn id_of(line: &[u8]) -> Option<KeyId> {
    let (id, rest) = line.split_at_checked(ID)?;
    let whole = rest.first() == Some(&b' ') && rest.last() == Some(&b'\n') && rest.len() > NONCE + TAG;
    let plain = id.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    (whole && plain).then(|| hex::decode(id).ok()?.try_into().ok().map(KeyId)).flatten()
}

/// Whether the key was destroyed. No other line holds two such signs side by side, whatever bit of it is flipped.
fn is_gone(line: &[u8]) -> bool {
    line.get(ID + 1..).unwrap_or_default().windows(2).any(|pair| pair == [GONE, GONE])
}

fn sum_holds(line: &[u8]) -> bool {
    let sum = || {
        let text = line.get(..line.len().checked_sub(SUM + 2)?)?;
        Some(line.get(text.len()..)? == format!(" {:08x}\n", crc32c::crc32c(text)).as_bytes())
    };
    sum() == Some(true)
}

fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}
