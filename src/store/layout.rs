//! Where everything lies in a data directory.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The paths inside one data directory.
///
/// ```text
/// ledger/       segments, checkpoint, checkpoints.log: the truth
/// body/         packs of bodies, named by their salted commitments
/// keys/         the signing key, the data key unless it lies elsewhere, the record keys under it
/// guard/        the high-water mark, unless the settings put it on another volume
/// anchors/      what outside authorities dated, as files that `openssl ts` reads; made again from the bodies
/// closed/       ledgers that were ended, by number; the one in `ledger/` continues the last of them
/// index/        rebuildable; may be deleted while nothing runs
/// scrub         how far everything was read again; without it that begins anew
/// looks         when it was last looked what is kept no longer; without it that is done once more
/// beginning     while a ledger is being begun: what lies beside it is not one yet
/// restoring/    while a copy is read back: all of it, until it is put in its place
/// control.sock  for commands beside a running daemon
/// ```
#[derive(Clone, Debug)]
pub struct Layout {
    data: PathBuf,
}

impl Layout {
    /// The layout of a data directory.
    pub fn new(data: &Path) -> Self {
        Layout { data: data.to_owned() }
    }

    /// The data directory itself.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The ledger.
    pub fn ledger(&self) -> PathBuf {
        self.data.join("ledger")
    }

    /// The packs of bodies.
    pub fn bodies(&self) -> PathBuf {
        self.data.join("body")
    }

    /// The folder of keys; readable by its owner only.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }

    /// The seed of the ledger's signing key, 64 hexadecimal digits.
    pub fn signing_key(&self) -> PathBuf {
        self.keys().join("ledger.seed")
    }

    /// The seed of the key that succeeds it, while both sign, and just before.
    pub fn next_signing_key(&self) -> PathBuf {
        self.keys().join("ledger.seed.next")
    }

    /// The data key, 64 hexadecimal digits, where the settings name no other place.
    pub fn data_key(&self) -> PathBuf {
        self.keys().join("data.key")
    }

    /// The keys of records and the names behind pseudonyms, under the data key.
    pub fn record_keys(&self) -> PathBuf {
        self.keys().join("records")
    }

    /// The high-water mark, where the settings name no other volume.
    pub fn guard(&self) -> PathBuf {
        self.data.join("guard")
    }

    /// The folder of one anchor: of the checkpoint of that size, by that authority.
    pub fn anchor(&self, size: u64, authority: &str) -> PathBuf {
        self.anchors().join(format!("{size:012}-{authority}"))
    }

    /// The folder of all anchors.
    pub fn anchors(&self) -> PathBuf {
        self.data.join("anchors")
    }

    /// Where a ledger that was closed is kept, with its guard; it verifies there like any other. From 1.
    pub fn closed(&self, epoch: u32) -> PathBuf {
        self.data.join("closed").join(epoch.to_string())
    }

    /// There while a ledger is being begun.
    pub fn beginning(&self) -> PathBuf {
        self.data.join("beginning")
    }

    /// What a copy holds, while it is read back.
    pub fn restoring(&self) -> PathBuf {
        self.data.join("restoring")
    }

    /// What is being done while a ledger is closed.
    pub fn closing(&self) -> PathBuf {
        self.data.join("closing.json")
    }

    /// The index.
    pub fn index(&self) -> PathBuf {
        self.data.join("index")
    }

    /// How far the scrub is.
    pub fn scrub(&self) -> PathBuf {
        self.data.join("scrub")
    }

    /// When it was last looked what is kept no longer.
    pub fn looks(&self) -> PathBuf {
        self.data.join("looks")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.data.join("control.sock")
    }

    /// Why it cannot be told whether a ledger was begun here, where that may not be looked at: then none of them is said
    /// to be missing.
    pub fn hidden(&self) -> Option<io::Error> {
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        self.ledger().symlink_metadata().err().filter(denied)
    }

    /// Whether a ledger was ever begun here. One whose beginning was broken off is none.
    pub fn is_initialised(&self) -> bool {
        self.ledger().is_dir() && !self.beginning().exists()
    }
}

/// Makes a folder that its owner alone may read, and those above it that are not there.
pub(crate) fn private_dir(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
