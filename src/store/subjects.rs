//! Pseudonyms: the link between names in bodies and tokens in entries, kept where it can be erased.
//!
//! Every resource has a random key of its own. Its pseudonym is a keyed digest of nothing but a constant, so that the
//! ledger reveals nobody and, once the key is destroyed, nobody can be found again by guessing names.
//!
//! The file is a list of lines of JSON, each closed by a checksum, appended and synced before the first entry that uses
//! the pseudonym. A torn last line is one that no entry uses; it is dropped.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Pseudonym, ResourceKey, ResourceType};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The keys of all resources, in memory and on disk.
pub(crate) struct Subjects {
    known: HashMap<Arc<ResourceKey>, Pseudonym>,
    names: HashMap<Pseudonym, Arc<ResourceKey>>,
    /// The few types there are, so that every resource shares the name of its own.
    kinds: BTreeSet<ResourceType>,
    file: Option<File>,
    dirty: bool,
}

/// The file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the file of record keys {path}")]
pub(crate) struct SubjectsError {
    /// Which file.
    pub(crate) path: PathBuf,
    /// What went wrong.
    #[source]
    pub(crate) source: io::Error,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    resource: ResourceKey,
    key: String,
    /// First 8 hexadecimal digits of SHA-256 over type, id and key.
    sum: String,
}

impl Subjects {
    /// Reads the keys in `path`; with `write` also makes the file and takes new ones.
    pub(crate) fn open(path: &Path, write: bool) -> Result<Self, SubjectsError> {
        let failed = |source| SubjectsError { path: path.to_owned(), source };
        let mut subjects =
            Subjects { known: HashMap::new(), names: HashMap::new(), kinds: BTreeSet::new(), file: None, dirty: false };
        let whole = match File::open(path) {
            Ok(file) => subjects.read(BufReader::new(file)).map_err(failed)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(failed(e)),
        };
        if write {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
            if whole < file.metadata().map_err(failed)?.len() {
                file.set_len(whole).map_err(failed)?;
            }
            subjects.file = Some(file);
        }
        Ok(subjects)
    }

    /// Learns every whole line; gives the length of all of them.
    fn read(&mut self, mut file: impl BufRead) -> io::Result<u64> {
        let (mut whole, mut number, mut line) = (0, 0, Vec::new());
        while file.read_until(b'\n', &mut line)? > 0 {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            whole += line.len() as u64;
            number += 1;
            if !text.is_empty() {
                let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("line {number} is damaged"));
                let (resource, key) = read_line(text).ok_or_else(damaged)?;
                self.learn(resource, &key);
            }
            line.clear();
        }
        Ok(whole)
    }

    /// The pseudonym of a resource; a resource met for the first time gets a key from `random`.
    pub(crate) fn pseudonym(
        &mut self,
        resource: &ResourceKey,
        random: impl FnOnce() -> [u8; 32],
    ) -> io::Result<Pseudonym> {
        if let Some(known) = self.known.get(resource) {
            return Ok(known.clone());
        }
        let key = random();
        let line = Line { resource: resource.clone(), key: hex::encode(key), sum: sum(resource, &key) };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        if let Some(file) = &mut self.file {
            file.write_all(&bytes)?;
            self.dirty = true;
        }
        Ok(self.learn(resource.clone(), &key))
    }

    /// The pseudonym of a resource met before.
    pub(crate) fn known(&self, resource: &ResourceKey) -> Option<&Pseudonym> {
        self.known.get(resource)
    }

    /// The resource behind a pseudonym, unless it was erased.
    pub(crate) fn name(&self, pseudonym: &Pseudonym) -> Option<&ResourceKey> {
        self.names.get(pseudonym).map(Arc::as_ref)
    }

    /// Makes every key so far durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let (true, Some(file)) = (self.dirty, &self.file) {
            file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }

    fn learn(&mut self, mut resource: ResourceKey, key: &[u8; 32]) -> Pseudonym {
        let pseudonym = derive(key);
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

fn read_line(line: &[u8]) -> Option<(ResourceKey, [u8; 32])> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let key: [u8; 32] = hex::decode(&line.key).ok()?.try_into().ok()?;
    (sum(&line.resource, &key) == line.sum).then_some((line.resource, key))
}

fn sum(resource: &ResourceKey, key: &[u8; 32]) -> String {
    let mut digest = Sha256::new();
    digest.update(resource.kind.as_str());
    digest.update([0]);
    digest.update(&resource.id);
    digest.update([0]);
    digest.update(key);
    let mut text = hex::encode(digest.finalize());
    text.truncate(8);
    text
}

/// HMAC-SHA256 of "id" under the resource's key, the first 16 bytes.
fn derive(key: &[u8; 32]) -> Pseudonym {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(keyed_digest(key, b"id")) {
        *to = from;
    }
    Pseudonym::from_bytes(half)
}

/// HMAC-SHA256.
pub(crate) fn keyed_digest(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(message);
            mac.finalize().into_bytes().into()
        }
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(id: &str) -> ResourceKey {
        ResourceKey { kind: "keycloak.user".parse().unwrap(), id: id.into() }
    }

    #[test]
    fn a_pseudonym_stays_the_same_after_a_restart_and_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("subjects");
        let mut subjects = Subjects::open(&path, true).unwrap();
        let dora = subjects.pseudonym(&resource("dora"), || [1; 32]).unwrap();
        let erik = subjects.pseudonym(&resource("erik"), || [2; 32]).unwrap();
        subjects.sync().unwrap();
        assert_ne!(dora, erik);

        let mut again = Subjects::open(&path, true).unwrap();
        assert_eq!(again.pseudonym(&resource("dora"), || [9; 32]).unwrap(), dora);
        assert_eq!(again.name(&erik), Some(&resource("erik")));
    }

    #[test]
    fn a_torn_last_line_is_dropped_and_damage_before_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("subjects");
        let mut subjects = Subjects::open(&path, true).unwrap();
        let dora = subjects.pseudonym(&resource("dora"), || [1; 32]).unwrap();
        subjects.pseudonym(&resource("erik"), || [2; 32]).unwrap();
        let whole = std::fs::read(&path).unwrap();

        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut torn = Subjects::open(&path, true).unwrap();
        assert_eq!(torn.known(&resource("dora")), Some(&dora));
        assert_eq!(torn.known(&resource("erik")), None);
        torn.pseudonym(&resource("erik"), || [3; 32]).unwrap();
        assert!(Subjects::open(&path, false).unwrap().known(&resource("erik")).is_some());

        let mut damaged = whole;
        damaged[20] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let Err(error) = Subjects::open(&path, true) else { panic!("damage went unseen") };
        assert!(error.source.to_string().contains("line 1"), "{}", error.source);
    }
}
