//! The signer's high-water mark: size and root of the newest checkpoint that may ever have been signed.
//!
//! It moves before the signature exists, and belongs on another volume than the ledger: a ledger restored from a
//! backup is then older than its guard, and is refused.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::disk::{Disk, Held, Open};
use crate::slots::{SlotError, Slots};

/// The file in the guard's directory.
pub(crate) const FILE: &str = "high-water";

/// Why the guard could not be used.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The file.
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// Its text is not that of a checkpoint.
    #[error("it does not hold a size and a root")]
    Unreadable,
    /// Another process moved it since this one last did.
    #[error("another process moved it")]
    Moved,
    /// It may never go back, nor change its root at one size.
    #[error("it may not move from size {from} to size {to}")]
    Backwards {
        /// Where it stands.
        from: u64,
        /// Where it should have gone.
        to: u64,
    },
}

/// The open guard of one ledger, locked.
pub(crate) struct Guard {
    slots: Slots,
    mark: Checkpoint,
    _held: Box<dyn Held>,
}

impl Guard {
    /// Makes the guard of a new ledger.
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        mark: Checkpoint,
        held: Box<dyn Held>,
    ) -> Result<Guard, GuardError> {
        Slots::create(disk, &path(dir), &mark.to_string())?;
        let slots = Slots::open(disk, &path(dir), Open::Write)?;
        Ok(Guard { slots, mark, _held: held })
    }

    /// Opens a guard for moving it.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, held: Box<dyn Held>) -> Result<Guard, GuardError> {
        let slots = Slots::open(disk, &path(dir), Open::Write)?;
        let mark = Checkpoint::parse(slots.text()).map_err(|_| GuardError::Unreadable)?;
        Ok(Guard { slots, mark, _held: held })
    }

    /// Takes the guard's lock, so that two copies of one ledger cannot both be open.
    pub(crate) fn lock(disk: &dyn Disk, dir: &Path) -> std::io::Result<Box<dyn Held>> {
        disk.lock(&dir.join("lock"))
    }

    /// Where it stands.
    pub(crate) fn mark(&self) -> &Checkpoint {
        &self.mark
    }

    /// Makes both its slots hold again after an interrupted write.
    pub(crate) fn mend(&mut self) -> Result<(), GuardError> {
        Ok(self.slots.mend()?)
    }

    /// Moves it, durably: from exactly where this process left it, never back. At the same size it is written again.
    pub(crate) fn advance(&mut self, to: &Checkpoint) -> Result<(), GuardError> {
        if !self.slots.unchanged()? {
            return Err(GuardError::Moved);
        }
        if *to == self.mark {
            return Ok(self.slots.write_again()?);
        }
        if to.size <= self.mark.size || to.origin != self.mark.origin {
            return Err(GuardError::Backwards { from: self.mark.size, to: to.size });
        }
        self.slots.write(&to.to_string())?;
        self.mark = to.clone();
        Ok(())
    }
}

/// Reads a guard without its lock, as a verifier does.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Checkpoint, GuardError> {
    let slots = Slots::open(disk, &path(dir), Open::Read)?;
    Checkpoint::parse(slots.text()).map_err(|_| GuardError::Unreadable)
}

/// The guard's file.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Whether there is a guard.
pub(crate) fn exists(disk: &dyn Disk, dir: &Path) -> std::io::Result<bool> {
    disk.exists(&path(dir))
}
