//! Proof files (C2SP tlog-proof): one text file shows, offline, that an entry is in the ledger.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::hash::{Hash, leaf_hash};
use crate::note::VerifierKey;
use crate::tree;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^64 leaves has no longer inclusion proof.
const LONGEST_PATH: usize = 64;

/// The proof that one entry is in the ledger at one checkpoint. Files of it end in `.tlog-proof`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlogProof {
    /// Opaque data beside the proof. Nobody signs it.
    pub extra: Option<Vec<u8>>,
    /// The entry's index, from 0.
    pub index: u64,
    /// The siblings, from the leaf up.
    pub path: Vec<Hash>,
    /// The signed checkpoint, byte for byte.
    pub checkpoint: String,
}

/// Why a proof file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The file does not have the form of a proof, with the part that is wrong.
    #[error("not a tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it.
    #[error("the checkpoint in the proof")]
    Checkpoint(#[from] CheckpointError),
    /// The path in it.
    #[error("the path in the proof")]
    Path(#[from] tree::ProofError),
}

impl TlogProof {
    /// Verifies that `entry`, byte for byte, is in the ledger that `known` signs for, and says at which checkpoint.
    pub fn verify(&self, entry: &[u8], known: &[VerifierKey]) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = SignedCheckpoint::verify(self.checkpoint.as_bytes(), known)?.checkpoint;
        tree::verify_inclusion(&leaf_hash(entry), self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;
    fn from_str(text: &str) -> Result<TlogProof, TlogProofError> {
        let refused = TlogProofError::Malformed;
        let (proof, checkpoint) = text.split_once("\n\n").ok_or(refused("no blank line before the checkpoint"))?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(refused("another first line"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(base64) => {
                lines.next();
                Some(STANDARD.decode(base64).map_err(|_| refused("extra is not base64"))?)
            }
            None => None,
        };
        let digits = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(refused("no index"))?;
        let index: u64 = digits.parse().map_err(|_| refused("the index is not a number"))?;
        if index.to_string() != digits {
            return Err(refused("the index is not in its shortest form"));
        }
        let path: Vec<Hash> = lines
            .take(LONGEST_PATH + 1)
            .map(|line| Hash::from_base64(line).map_err(|_| refused("a line of the path is not a hash")))
            .collect::<Result<_, _>>()?;
        if path.len() > LONGEST_PATH {
            return Err(refused("the path is too long"));
        }
        Ok(TlogProof { extra, index, path, checkpoint: checkpoint.to_owned() })
    }
}
