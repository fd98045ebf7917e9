//! The tamper-evident log: bytes in, signed checkpoints and proofs out.
//!
//! The crate knows nothing of what an entry means, so that a verifier stays small. An entry is a leaf of an RFC 6962
//! tree; the root is signed as a C2SP checkpoint; bodies lie beside it in packs and are bound to entries by salted
//! commitments. [`Log`] is the only writer, [`Reader`] reads beside it, [`verify`](fn@verify) re-derives everything.

mod bodies;
mod checkpoint;
mod checkpoints;
pub mod disk;
mod guard;
mod hash;
mod key_store;
mod keys;
mod log;
pub mod note;
mod pack;
mod proof;
mod reader;
mod real_disk;
mod recover;
mod report;
mod scrub;
mod seal;
mod segment;
mod slots;
mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tiles;
pub mod tree;
mod verify;
mod witness;

pub use bodies::{Bodies, BodyError, BodyReader, Scan, bodies_end};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use disk::{Disk, ReadBack, SharedDisk};
pub use guard::{GuardError, GuardPlaces, high_water, keep_high_water};
pub use hash::{Hash, ParseHashError, leaf_hash, node_hash};
pub use key_store::{KeyState, KeyStore, KeyStoreError, Learn, RewrapError, data_key_name};
pub use keys::{KeyFault, KeyFaults, KeyRange, KeyRing, Signers, succession};
pub use log::{AppendError, Appended, FatalCause, GREATEST_BATCH, Log, LogOptions};
pub use note::{NoteError, SigningKey, VerifierKey};
pub use pack::{
    Commitment, GREATEST_BODY, LINES_TAG, Location, Seal, commit, commit_lines, commit_to_lines, line_salt,
};
pub use proof::{TlogProof, TlogProofError};
pub use reader::{Entries, ReadError, Reader};
pub use real_disk::{RealDisk, held_by};
pub use recover::{Damage, OpenError, Recovery};
pub use report::{KeySource, Kind, Level, Problem, Progress, Report, VerifyOptions};
pub use scrub::{check_checkpoints, forget_cached, pack_path, segments};
pub use seal::{DataKey, KeyId, NONCE, Owners, RecordKey};
pub use segment::GREATEST_ENTRY;
pub use slots::SlotError;
pub use snapshot::{Part, Snapshot, SnapshotError, snapshot};
pub use tiles::{ExportError, Exported};
pub use tree::{Frontier, OutOfRange, ProofError};
pub use verify::{verify, verify_on};
pub use witness::{Cosignature, WitnessKey};
