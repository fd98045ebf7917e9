//! Checkpoints (C2SP tlog-checkpoint): a ledger's size and root, as the text of a signed note.

use std::fmt;

use crate::hash::Hash;
use crate::keys::KeyRing;
use crate::note::{self, NoteError, SigningKey, VerifierKey};

/// The size and root of a ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The ledger's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
}

/// A checkpoint with the very bytes that were signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    /// What the note says.
    pub checkpoint: Checkpoint,
    /// The signed note, byte for byte.
    pub note: String,
}

/// Why a checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is not that of a checkpoint, with the part that is wrong.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// A key signed for another ledger than its own.
    #[error("the checkpoint is of {origin:?}, which none of its signers is named after")]
    Origin {
        /// The origin that the checkpoint gives.
        origin: String,
    },
    /// The note itself.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// Reads the three lines of a checkpoint. Extension lines are refused: no monitor could audit them.
    pub fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        let refused = CheckpointError::Malformed;
        let mut lines = text.strip_suffix('\n').ok_or(refused("no final newline"))?.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty()).ok_or(refused("no origin"))?;
        let digits = lines.next().ok_or(refused("no size"))?;
        let size: u64 = digits.parse().map_err(|_| refused("the size is not a number"))?;
        if size.to_string() != digits {
            return Err(refused("the size is not in its shortest form"));
        }
        let root = lines.next().ok_or(refused("no root"))?;
        let root = Hash::from_base64(root).map_err(|_| refused("the root is not a hash"))?;
        if lines.next().is_some() {
            return Err(refused("it has extension lines"));
        }
        Ok(Checkpoint { origin: origin.to_owned(), size, root })
    }

    /// Signs the checkpoint; the key's name must be the origin.
    pub fn sign(self, key: &SigningKey) -> Result<SignedCheckpoint, CheckpointError> {
        self.sign_together(&[key])
    }

    /// Signs the checkpoint with several keys, in their order; the name of each must be the origin.
    pub fn sign_together(self, keys: &[&SigningKey]) -> Result<SignedCheckpoint, CheckpointError> {
        if keys.iter().any(|key| key.name() != self.origin) {
            return Err(CheckpointError::Origin { origin: self.origin });
        }
        let note = note::sign_together(&self.to_string(), keys)?;
        Ok(SignedCheckpoint { checkpoint: self, note })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }
}

impl SignedCheckpoint {
    /// Reads and verifies a note: a known key named after the origin signed it.
    pub fn verify(note: &[u8], known: &[VerifierKey]) -> Result<SignedCheckpoint, CheckpointError> {
        let verified = note::verify(note, known)?;
        let checkpoint = Checkpoint::parse(verified.text)?;
        if !verified.signers.contains(&checkpoint.origin) {
            return Err(CheckpointError::Origin { origin: checkpoint.origin });
        }
        Self::with_note(checkpoint, note)
    }

    /// Reads and verifies a note: a key signed it that may sign for a tree of its size.
    pub fn verify_by(note: &[u8], ring: &KeyRing) -> Result<SignedCheckpoint, CheckpointError> {
        let claimed = SignedCheckpoint::parse_unverified(note)?;
        SignedCheckpoint::verify(note, &ring.at(claimed.checkpoint.size))
    }

    /// Reads a note without verifying who signed it, for showing and for finding entries.
    pub fn parse_unverified(note: &[u8]) -> Result<SignedCheckpoint, CheckpointError> {
        Self::with_note(Checkpoint::parse(note::unverified_text(note)?)?, note)
    }

    fn with_note(checkpoint: Checkpoint, note: &[u8]) -> Result<SignedCheckpoint, CheckpointError> {
        let note = std::str::from_utf8(note).map_err(|_| CheckpointError::Malformed("it is not UTF-8"))?;
        Ok(SignedCheckpoint { checkpoint, note: note.to_owned() })
    }
}
