//! A small witness (C2SP tlog-witness), for tests: it remembers one ledger and cosigns what continues it.

use ed25519_dalek::Signer as _;

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::hash::Hash;
use crate::keys::KeyRing;
use crate::tree::verify_consistency;
use crate::witness::{WitnessKey, line, message};

/// A witness of one ledger.
pub struct Witness {
    signer: ed25519_dalek::SigningKey,
    key: WitnessKey,
    ring: KeyRing,
    seen: Option<Checkpoint>,
}

impl Witness {
    /// A witness that has seen nothing yet of the ledger whose keys these are; `None` for a name that none can have.
    pub fn new(name: &str, seed: [u8; 32], ring: KeyRing) -> Option<Witness> {
        let signer = ed25519_dalek::SigningKey::from_bytes(&seed);
        let key = WitnessKey::new(name, signer.verifying_key()).ok()?;
        Some(Witness { signer, key, ring, seen: None })
    }

    /// Its key, as whoever trusts it knows it.
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// How many entries it has seen.
    pub fn seen(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.size)
    }

    /// Answers `add-checkpoint` at that time, in seconds since 1970: status and body.
    pub fn add_checkpoint(&mut self, body: &str, time: u64) -> (u16, String) {
        let Some((head, note)) = body.split_once("\n\n") else { return (400, String::new()) };
        let mut lines = head.lines();
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(|size| size.parse::<u64>().ok());
        let proof: Option<Vec<Hash>> = lines.map(|line| Hash::from_base64(line).ok()).collect();
        let (Some(old), Some(proof)) = (old, proof) else { return (400, String::new()) };
        let Ok(signed) = SignedCheckpoint::verify_by(note.as_bytes(), &self.ring) else { return (403, String::new()) };
        let new = signed.checkpoint;
        if old > new.size {
            return (400, String::new());
        }
        let empty = Hash::of_empty_tree();
        let root = self.seen.as_ref().map_or(empty, |seen| seen.root);
        if old != self.seen() || (old == new.size && old > 0 && root != new.root) {
            return (409, format!("{}\n", self.seen()));
        }
        if verify_consistency(old, new.size, &proof, &root, &new.root).is_err() {
            return (422, String::new());
        }
        let signature = self.signer.sign(message(&new.to_string(), time).as_bytes());
        self.seen = Some(new);
        (200, line(&self.key, time, &signature.to_bytes()))
    }
}
