//! Witnesses (C2SP tlog-witness): others who remember how far a ledger was, and say so with a signature of their own.
//!
//! A witness cosigns a checkpoint only when it continues the one that it cosigned before, so its cosignature over a size
//! and root is worth what a checkpoint kept by somebody else is. Ed25519 cosignatures (tlog-cosignature, type 0x04) are
//! understood.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::checkpoint::SignedCheckpoint;
use crate::note::{self, NoteError};
use crate::reader::{ReadError, Reader};

/// The signature type of Ed25519 cosignatures in a verifier key and in a key id.
const COSIGNATURE: u8 = 0x04;
/// Lines of an answer that are looked at.
const MOST_LINES: usize = 64;

/// A witness by its key, one line of text: `name+id+base64`.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: ed25519_dalek::VerifyingKey,
}

/// A cosignature that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosignature {
    /// When the witness made it, by its own clock, in seconds since 1970.
    pub time: u64,
    /// The line of the note, without its newline.
    pub line: String,
}

impl WitnessKey {
    /// The key of that name.
    pub fn new(name: &str, key: ed25519_dalek::VerifyingKey) -> Result<WitnessKey, NoteError> {
        note::check_name(name)?;
        Ok(WitnessKey { name: name.to_owned(), key })
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name ‖ newline ‖ type ‖ public key).
    pub fn id(&self) -> [u8; 4] {
        let digest = Sha256::new().chain_update(&self.name).chain_update([b'\n', COSIGNATURE]);
        digest.chain_update(self.key.as_bytes()).finalize().first_chunk().copied().unwrap_or_default()
    }

    /// Looks for this witness's cosignature among lines, and checks that it is over the checkpoint's text.
    ///
    /// # Errors
    /// It is there and does not hold, or is not there at all.
    pub fn find(&self, checkpoint: &str, lines: &str) -> Result<Cosignature, NoteError> {
        for line in lines.lines().take(MOST_LINES) {
            let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
            let Some((_, base64)) = parts.filter(|(name, _)| *name == self.name) else { continue };
            let Ok(bytes) = STANDARD.decode(base64) else { continue };
            let Some((_, rest)) = bytes.split_first_chunk::<4>().filter(|(id, _)| **id == self.id()) else { continue };
            let invalid = || NoteError::Invalid(self.name.clone());
            let (time, signature) = rest.split_first_chunk::<8>().ok_or_else(invalid)?;
            let time = u64::from_be_bytes(*time);
            let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| invalid())?;
            self.key.verify_strict(message(checkpoint, time).as_bytes(), &signature).map_err(|_| invalid())?;
            return Ok(Cosignature { time, line: line.to_owned() });
        }
        Err(NoteError::Unsigned)
    }
}

/// What a witness signs.
pub(crate) fn message(checkpoint: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint}")
}

/// The line of a signature, from the key's name and id.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn line(key: &WitnessKey, time: u64, signature: &[u8]) -> String {
    let bytes = [&key.id()[..], &time.to_be_bytes(), signature].concat();
    format!("\u{2014} {} {}\n", key.name, STANDARD.encode(bytes))
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[COSIGNATURE][..], self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for WitnessKey {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<WitnessKey, NoteError> {
        let refused = NoteError::VerifierKey;
        let (name, rest) = text.split_once('+').ok_or(refused("expected name+id+key"))?;
        let (id, key) = rest.split_once('+').ok_or(refused("expected name+id+key"))?;
        let bytes = STANDARD.decode(key).map_err(|_| refused("the key is not base64"))?;
        let Some((&COSIGNATURE, public)) = bytes.split_first() else {
            return Err(refused("only Ed25519 cosignatures (type 4) are understood"));
        };
        let public = <[u8; 32]>::try_from(public).map_err(|_| refused("the key does not have 32 bytes"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&public).map_err(|_| refused("not a point on the curve"))?;
        let key = WitnessKey::new(name, key)?;
        if hex::encode(key.id()) != id {
            return Err(refused("the id does not belong to the key"));
        }
        Ok(key)
    }
}

impl Reader {
    /// The body of an `add-checkpoint` request: the proof from the size that the witness has seen, and the checkpoint.
    pub fn add_checkpoint(&self, old: u64, head: &SignedCheckpoint) -> Result<String, ReadError> {
        let proof = self.consistency(old, head.checkpoint.size)?;
        let lines: String = proof.iter().map(|hash| format!("{}\n", hash.to_base64())).collect();
        Ok(format!("old {old}\n{lines}\n{}", head.note))
    }
}
