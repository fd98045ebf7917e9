//! What a verification is asked, and what it answers.

use std::path::PathBuf;
use std::sync::Arc;

use crate::hash::Hash;
use crate::key_store::KeyStore;
use crate::keys::KeyRange;
use crate::note::VerifierKey;
use crate::pack::Location;

/// What to hold the ledger against.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// A checkpoint that was kept outside: the signed note, byte for byte.
    pub pin: Option<Vec<u8>>,
    /// The ledger's verifier key, obtained outside. Without it the key that the first entry names is taken, and the
    /// report says so: then nothing shows that the ledger is the one that was meant.
    pub key: Option<VerifierKey>,
    /// The directory of the bodies, when they are to be verified too.
    pub bodies: Option<PathBuf>,
    /// The keys of records, where they are at hand. Without them sealed bodies are counted and not opened.
    pub keys: Option<Arc<KeyStore>>,
    /// How far bodies are read: the end that [`crate::bodies_end`] gave before `keys` was opened. A key is durable before what
    /// is sealed under it, so each of these bodies has its key there; what a running daemon writes meanwhile may not. `None`:
    /// to the end as it is then, for a folder that nobody writes to.
    pub bodies_until: Option<Location>,
    /// The directory of the guard, where it can be reached.
    pub guard: Option<PathBuf>,
}

/// How far verification has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Entries read so far, of how many.
    Entries {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Bodies read so far.
    Bodies {
        /// So far.
        done: u64,
    },
}

/// What a problem means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Something that should be there is not.
    Incomplete,
    /// The ledger contradicts something that is held outside: a pin, the guard.
    Diverged,
    /// Bytes are not what was written and signed.
    Invalid,
}

impl Kind {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Incomplete => "incomplete",
            Kind::Diverged => "diverged",
            Kind::Invalid => "invalid",
        }
    }
}

/// One contradiction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What it means.
    pub kind: Kind,
    /// The file.
    pub file: PathBuf,
    /// Where in it, when that is known.
    pub offset: Option<u64>,
    /// The first entry that is hit, when that is known.
    pub entry: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
    /// How often the same was met again right after it, further on in the same file.
    pub more: u64,
}

/// What was reached, in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// The entries do not lead to a checkpoint signed by the key.
    Unsigned,
    /// They do.
    Signed,
    /// And the ledger continues the checkpoint that was kept outside.
    Pinned,
}

impl Level {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Unsigned => "unsigned",
            Level::Signed => "signed",
            Level::Pinned => "pinned",
        }
    }
}

/// Where the verifier key came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// It was given.
    Given,
    /// The ledger's first entry names it: weaker, since whoever made the ledger wrote that too.
    FirstEntry,
    /// There was none.
    None,
}

/// What verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The ledger's name, as the published checkpoint gives it.
    pub origin: Option<String>,
    /// Entries whose hashes went into the root.
    pub entries: u64,
    /// Signed checkpoints that were held against the entries.
    pub checkpoints: u64,
    /// Bodies that were held against their commitments.
    pub bodies: u64,
    /// Bodies whose record key was destroyed, so that nobody can open them: erased.
    pub erased: u64,
    /// Sealed bodies that were not opened, because no keys were given.
    pub unopened: u64,
    /// The root computed over `entries`.
    pub root: Hash,
    /// What was reached.
    pub level: Level,
    /// The key that signatures were held against.
    pub key: Option<VerifierKey>,
    /// Where it came from.
    pub key_from: KeySource,
    /// All keys that may have signed, with the sizes of the trees that each may sign for.
    pub keys: Vec<KeyRange>,
    /// What is wrong, in the order it was met.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub more_problems: u64,
    /// Something is there that whoever verifies may not read: nothing is said of it, neither good nor bad.
    pub denied: bool,
}

impl Report {
    /// The exit code of `evidenced verify`: 0 the required level is reached and nothing is wrong, 20 the level is not
    /// reached, 30 diverged, 40 invalid, 50 incomplete. Where several hold, invalid counts before diverged, and
    /// diverged before incomplete.
    pub fn exit_code(&self, required: Level) -> u8 {
        match self.problems.iter().map(|problem| problem.kind).max() {
            Some(Kind::Invalid) => 40,
            Some(Kind::Diverged) => 30,
            Some(Kind::Incomplete) => 50,
            None if self.level < required => 20,
            None => 0,
        }
    }
}
