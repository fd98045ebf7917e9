//! What a store is opened with, and what it answers: receipts, and the reasons why something was not begun, opened, recorded.

use std::path::PathBuf;
use std::sync::Arc;

use domain::{Clock, Slot, StreamId, Timestamp};
use ledger::{BodyError, DataKey, GuardPlaces, SharedDisk};

use crate::index::Engine;
use crate::layout::Layout;

/// Gives random bytes, for salts and keys.
pub trait Random: Send + Sync {
    /// 32 fresh bytes, or why there are none.
    fn bytes(&self) -> Result<[u8; 32], String>;
}

/// What a store is opened with.
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// Where the high-water mark is kept, when not in the data directory: it should be another volume.
    pub guard: Option<PathBuf>,
    /// Further places of the mark, on other volumes still.
    pub guard_copies: Vec<PathBuf>,
    /// The data key, when it does not lie in the folder of keys.
    pub data_key: Option<DataKey>,
    /// The longest body that is kept, in bytes; more than [`ledger::GREATEST_BODY`] never is. Tests lower it.
    pub longest_body: usize,
    /// What keeps the index.
    pub index: Engine,
    /// The disk; tests hand in one that fails.
    pub disk: SharedDisk,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
}

impl Options {
    /// Where the mark is kept.
    pub(crate) fn guard_places(&self) -> GuardPlaces {
        let guard = self.guard.clone().unwrap_or_else(|| Layout::new(&self.data).guard());
        GuardPlaces { guard, copies: self.guard_copies.clone() }
    }

    /// Refuses a body that is longer than any that is kept.
    pub(crate) fn fits(&self, body: &[u8]) -> Result<(), StoreError> {
        match (body.len(), self.longest_body) {
            (bytes, most) if bytes > most => {
                Err(StoreError::Unwritable(BodyError::TooLong { bytes, most }.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// Where a fact was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Its entry.
    pub entry: u64,
    /// Its time in the ledger.
    pub at: Timestamp,
    /// `false` when it had been recorded before, and nothing was written now.
    pub fresh: bool,
}

/// A fact was not recorded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk has less room than the low-water mark. Nothing was written; try again once there is room.
    #[error("the disk is nearly full: {0}")]
    DiskFull(String),
    /// The slot, or part of the range, has an outcome already.
    #[error("{stream} has an outcome for {slot} already, in #{entry}")]
    SlotTaken {
        /// The stream.
        stream: StreamId,
        /// The slot in question.
        slot: Slot,
        /// The entry that holds its outcome.
        entry: u64,
    },
    /// The fact cannot be written as an entry, or what stands behind it is longer than a body may be.
    #[error("cannot be recorded: {0}")]
    Unwritable(String),
    /// The store stopped, and why. The process should exit and start again.
    #[error("the store has stopped: {0}")]
    Stopped(String),
}

/// No ledger was begun.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something there.
    #[error("{0} already holds a ledger; nothing was changed")]
    Exists(PathBuf),
    /// There is something there that is not ours.
    #[error("{0} is not empty and not a data directory of evidenced; nothing was changed")]
    NotEmpty(PathBuf),
    /// A copy was being read back, and that did not come to its end.
    #[error("a copy was being restored to {0}, and that was broken off: do it again; nothing was changed")]
    Restoring(PathBuf),
    /// The disk, or the system's random numbers.
    #[error("cannot make the data directory {path}")]
    Failed {
        /// The data directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no ledger.
    #[error("no ledger in {0}: if this is a new installation, run `evidenced init`; if not, a volume is not mounted")]
    NotInitialised(PathBuf),
    /// It is older than what is known of it, or another one. Reading it goes on; nothing is signed.
    #[error(
        "the ledger in {path} is not as long as it was, or not the same: nothing is signed. Put the newest copy back in its \
         place; if that is lost for good, end this ledger and begin its continuation: evidenced ledger close --because '…'"
    )]
    Older {
        /// The data directory.
        path: PathBuf,
        /// What disagrees.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A closing was begun.
    #[error("the ledger in {0} is being closed: bring it to its end with `evidenced ledger close` again")]
    Closing(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot open the data directory {path}")]
    Failed {
        /// The data directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What opening had to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// In words, one line per thing: an unsigned tail that was finished or dropped, an index that was built again.
    pub notes: Vec<String>,
    /// Entries folded into the index.
    pub folded: u64,
}
