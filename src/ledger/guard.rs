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

/// Where the mark is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuardPlaces {
    /// The directory without which nothing is signed.
    pub guard: PathBuf,
    /// Further directories. One that cannot be reached is passed over, and said.
    pub copies: Vec<PathBuf>,
}

impl<P: AsRef<Path> + ?Sized> From<&P> for GuardPlaces {
    fn from(guard: &P) -> GuardPlaces {
        GuardPlaces { guard: guard.as_ref().to_owned(), copies: Vec::new() }
    }
}

/// The open guard of one ledger, locked.
pub(crate) struct Guard {
    slots: Slots,
    mark: Checkpoint,
    copies: Vec<Copied>,
    /// Places that could not be reached, each with the reason.
    unreachable: Vec<(PathBuf, String)>,
    _held: Box<dyn Held>,
}

/// The mark in a further place; `None` where there is none yet.
struct Copied {
    dir: PathBuf,
    held: Option<(Slots, Checkpoint)>,
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
        Ok(Guard { slots, mark, copies: Vec::new(), unreachable: Vec::new(), _held: held })
    }

    /// Opens a guard for moving it.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, held: Box<dyn Held>) -> Result<Guard, GuardError> {
        let slots = Slots::open(disk, &path(dir), Open::Write)?;
        let mark = Checkpoint::parse(slots.text()).map_err(|_| GuardError::Unreadable)?;
        Ok(Guard { slots, mark, copies: Vec::new(), unreachable: Vec::new(), _held: held })
    }

    /// Opens the further places. A directory that is not there is an unmounted volume, and is not made.
    pub(crate) fn open_copies(&mut self, disk: &dyn Disk, dirs: &[PathBuf]) {
        for dir in dirs {
            let opened = || -> Result<Option<(Slots, Checkpoint)>, GuardError> {
                if !disk.exists(dir).map_err(SlotError::Io)? {
                    return Err(SlotError::Io(std::io::ErrorKind::NotFound.into()).into());
                }
                if !exists(disk, dir).map_err(SlotError::Io)? {
                    return Ok(None);
                }
                let slots = Slots::open(disk, &path(dir), Open::Write)?;
                let mark = Checkpoint::parse(slots.text()).map_err(|_| GuardError::Unreadable)?;
                Ok(Some((slots, mark)))
            };
            match opened() {
                Ok(held) => self.copies.push(Copied { dir: dir.clone(), held }),
                Err(error) => self.unreachable.push((dir.clone(), error.to_string())),
            }
        }
    }

    /// The marks in further places, with their directories.
    pub(crate) fn copies(&self) -> impl Iterator<Item = (&Path, &Checkpoint)> {
        self.copies.iter().filter_map(|copy| Some((copy.dir.as_path(), &copy.held.as_ref()?.1)))
    }

    /// Places that could not be reached, each with the reason.
    pub(crate) fn unreachable(&self) -> &[(PathBuf, String)] {
        &self.unreachable
    }

    /// Brings the further places to where this one stands. A place that fails is given up until the next start.
    pub(crate) fn bring_copies(&mut self, disk: &dyn Disk) {
        let mark = self.mark.clone();
        let bring = |copy: &mut Copied| -> Result<(), SlotError> {
            match &mut copy.held {
                Some((_, held)) if *held == mark => return Ok(()),
                Some((slots, held)) => {
                    slots.write(&mark.to_string())?;
                    *held = mark.clone();
                }
                None => {
                    Slots::create(disk, &path(&copy.dir), &mark.to_string())?;
                    copy.held = Some((Slots::open(disk, &path(&copy.dir), Open::Write)?, mark.clone()));
                }
            }
            Ok(())
        };
        let mut lost = Vec::new();
        self.copies.retain_mut(|copy| match bring(copy) {
            Ok(()) => true,
            Err(error) => {
                lost.push((copy.dir.clone(), error.to_string()));
                false
            }
        });
        self.unreachable.extend(lost);
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

/// The mark in a directory, read without its lock; an error where there is none.
pub fn high_water(dir: &Path) -> Result<Checkpoint, GuardError> {
    read(&crate::real_disk::RealDisk, dir)
}

/// Writes a mark into a directory, for a ledger that is put aside and never signed for again.
pub fn keep_high_water(dir: &Path, mark: &Checkpoint) -> Result<(), GuardError> {
    Ok(Slots::create(&crate::real_disk::RealDisk, &path(dir), &mark.to_string())?)
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
