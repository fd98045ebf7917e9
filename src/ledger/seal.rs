//! Sealing: a body under the key of the record it speaks of, and record keys under the data key.
//!
//! The cipher is XChaCha20-Poly1305, whose nonce of 24 bytes is long enough to be drawn at random every time. Destroying
//! a record's key destroys every body that was sealed under it, in every copy of the packs.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Length of a nonce in bytes.
pub const NONCE: usize = 24;
/// By how many bytes what is sealed is longer than what it holds.
pub(crate) const TAG: usize = 16;

/// The name of a record's key: HMAC-SHA256 of `id` under it, the first 16 bytes. It reveals nothing of the record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key of one record: 32 random bytes, from which all its other keys follow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordKey {
    bytes: [u8; 32],
    /// It follows from the bytes, and is asked for several times with every body.
    id: KeyId,
}

impl RecordKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; 32]) -> RecordKey {
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(keyed(&bytes, &[b"id"])) {
            *to = from;
        }
        RecordKey { bytes, id: KeyId(id) }
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A digest of a body by which the same body of the same record is known again, and that tells nobody anything once
    /// the key is gone.
    pub fn digest(&self, body: &[u8]) -> [u8; 32] {
        keyed(&keyed(&self.bytes, &[b"digest"]), &[body])
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key under which its bodies are sealed.
    fn body_key(&self) -> Sealer {
        Sealer(keyed(&self.bytes, &[b"body"]))
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKey({})", self.id())
    }
}

/// The key under which record keys are kept: 32 random bytes, the one secret that opens everything.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey {
    bytes: [u8; 32],
    /// What record keys are sealed under; it follows from the bytes.
    sealer: [u8; 32],
}

impl DataKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; 32]) -> DataKey {
        DataKey { bytes, sealer: keyed(&bytes, &[b"record keys"]) }
    }

    /// Reads 64 hexadecimal digits; white space around them does not count.
    pub fn parse(text: &str) -> Option<DataKey> {
        hex::decode(text.trim()).ok()?.try_into().ok().map(DataKey::new)
    }

    /// A name of the key that reveals nothing of it: 16 hexadecimal digits.
    pub fn name(&self) -> String {
        let mut name = hex::encode(keyed(&self.bytes, &[b"evidenced data key"]));
        name.truncate(16);
        name
    }

    pub(crate) fn sealer(&self) -> Sealer {
        Sealer(self.sealer)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.name())
    }
}

/// One or two records whose keys, all of them, open a body. Destroying either destroys the body.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    first: RecordKey,
    second: Option<RecordKey>,
}

impl Owners {
    /// One record.
    pub fn one(key: RecordKey) -> Owners {
        Owners { first: key, second: None }
    }

    /// Two records; one and the same counts once.
    pub fn two(first: RecordKey, second: RecordKey) -> Owners {
        Owners { first, second: Some(second).filter(|second| *second != first) }
    }

    /// The names of their keys; 16 zero bytes stand for a second that there is not.
    pub(crate) fn ids(&self) -> [u8; 32] {
        let mut ids = [0; 32];
        let all = self.first.id().0.into_iter().chain(self.second.iter().flat_map(|key| key.id().0));
        for (to, from) in ids.iter_mut().zip(all) {
            *to = from;
        }
        ids
    }

    pub(crate) fn sealer(&self) -> Sealer {
        let first = self.first.body_key();
        match &self.second {
            None => first,
            Some(second) => Sealer(keyed(&first.0, &[&second.body_key().0])),
        }
    }

    /// Like [`RecordKey::digest`].
    pub fn digest(&self, body: &[u8]) -> [u8; 32] {
        let digest = self.first.digest(body);
        match &self.second {
            None => digest,
            Some(second) => second.digest(&digest),
        }
    }
}

/// Seals and opens.
pub(crate) struct Sealer([u8; 32]);

impl Sealer {
    /// The nonce, and what is sealed under it, bound to `about`.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE], about: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let sealed = self.cipher().encrypt(&XNonce::from(*nonce), Payload { msg: text, aad: about }).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed; `None` when any byte of it, its nonce or what it is bound to is another.
    pub(crate) fn open(&self, sealed: &[u8], about: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: about }).ok()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    match <Hmac<Sha256> as KeyInit>::new_from_slice(key) {
        Ok(mut mac) => {
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes().into()
        }
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}
