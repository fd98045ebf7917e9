//! A copy, read back into a data directory: beside its place first, and in its place only when it is whole.
//!
//! All of it is unpacked into one folder of the data directory. What is not a whole copy, or not wanted after all, goes with
//! that folder; and what a process that was killed left there is taken away by the next one that restores. The ledger is the
//! last to be put in its place, so that nobody takes half a copy for a data directory.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use ledger::Reader;
use tar::{Archive, EntryType};

use crate::backup::{ABOUT, Backup, VERSION};
use crate::layout::{Layout, private_dir};

/// What a copy holds, in the order in which it is put in its place.
const FOLDERS: [&str; 4] = ["body", "keys", "closed", "ledger"];

/// No copy was read back; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something where it should go.
    #[error("{0} is not empty, and nothing was changed: name a folder that is new or empty (--data DIR)")]
    NotEmpty(PathBuf),
    /// It is not a copy that this program made.
    #[error("not a backup of evidenced, and nothing of it was kept: {0}")]
    Form(String),
    /// It ends before its end.
    #[error("the copy is cut short, and nothing of it was kept: fetch it again, or take another one")]
    CutShort,
    /// It does not hold what it says that it holds.
    #[error("the copy says that it holds {said}, and its ledger is {found}; nothing of it was kept: take another one")]
    Differs {
        /// What its first file says.
        said: String,
        /// What there is.
        found: String,
    },
    /// A file.
    #[error("{}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

fn at(path: &Path) -> impl Fn(io::Error) -> RestoreError + '_ {
    move |source| RestoreError::Io { path: path.to_owned(), source }
}

/// A copy that is unpacked and not in its place yet. Dropped, it is taken away again.
#[derive(Debug)]
pub struct Restoring {
    layout: Layout,
    /// What the copy holds.
    pub about: Backup,
}

impl Restoring {
    /// Unpacks a copy, for a data directory that is missing or empty. What is in its ledger is not verified here, but that
    /// the copy is whole.
    ///
    /// # Errors
    /// With each of them nothing of the copy is left in the data directory.
    pub fn unpack(from: &mut dyn Read, data: &Path) -> Result<Restoring, RestoreError> {
        let layout = Layout::new(data);
        private_dir(data).map_err(at(data))?;
        vacate(&layout)?;
        private_dir(&layout.restoring()).map_err(at(&layout.restoring()))?;
        let unpacked = unpack(from, &layout.restoring()).and_then(|about| {
            let found = held(&layout.restoring());
            let said = format!("{} entries of {} with the root {}", about.entries, about.origin, about.root);
            if found == said { Ok(about) } else { Err(RestoreError::Differs { said, found }) }
        });
        match unpacked {
            Ok(about) => Ok(Restoring { layout, about }),
            Err(error) => {
                // The next one who restores takes away what could not be taken away now.
                drop(fs::remove_dir_all(layout.restoring()));
                Err(error)
            }
        }
    }

    /// The folder in which it is unpacked: a data directory like any other, to be read.
    pub fn folder(&self) -> PathBuf {
        self.layout.restoring()
    }

    /// Puts everything in its place, durably.
    pub fn keep(self) -> Result<Backup, RestoreError> {
        let (data, from) = (self.layout.data(), self.layout.restoring());
        for name in FOLDERS.iter().filter(|name| from.join(name).exists()) {
            // The ledger stands there only when all that it needs does.
            sync(data)?;
            fs::rename(from.join(name), data.join(name)).map_err(at(&data.join(name)))?;
        }
        sync(data)?;
        Ok(self.about.clone())
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        // The next one who restores takes it away otherwise; once it is kept, it is empty.
        drop(fs::remove_dir_all(self.layout.restoring()));
    }
}

/// Refuses a data directory with something in it, and takes away what a restore that was broken off left.
fn vacate(layout: &Layout) -> Result<(), RestoreError> {
    let data = layout.data();
    let broken_off = layout.restoring().exists() && !layout.ledger().exists();
    let mut left = Vec::new();
    for entry in fs::read_dir(data).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(data))? {
        let (name, path) = (entry.file_name(), entry.path());
        if broken_off && (path == layout.restoring() || FOLDERS.iter().any(|folder| name == *folder)) {
            left.push(path);
        } else if name != "lost+found" {
            return Err(RestoreError::NotEmpty(data.to_owned()));
        }
    }
    // The folder that says whose the others are goes last.
    left.sort_by_key(|path| *path == layout.restoring());
    left.iter().try_for_each(|path| fs::remove_dir_all(path).map_err(at(path)))
}

/// What the ledger in a folder is, in words.
fn held(folder: &Path) -> String {
    match Reader::open(&Layout::new(folder).ledger()).head() {
        Ok(Some(head)) => {
            let head = head.checkpoint;
            format!("{} entries of {} with the root {}", head.size, head.origin, hex::encode(head.root.0))
        }
        Ok(None) => "one that nothing was signed of".to_owned(),
        Err(error) => format!("not to be read ({error})"),
    }
}

/// Bytes that say when they were read to their end.
struct Bytes<'a> {
    from: &'a mut dyn Read,
    ended: Rc<Cell<bool>>,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buf)?;
        self.ended.set(self.ended.get() || read == 0 && !buf.is_empty());
        Ok(read)
    }
}

fn unpack(from: &mut dyn Read, folder: &Path) -> Result<Backup, RestoreError> {
    let (ended, mut about) = (Rc::new(Cell::new(false)), None);
    let mut archive = Archive::new(Bytes { from, ended: ended.clone() });
    match unpack_from(&mut archive, folder, &mut about) {
        // Two empty blocks end a copy, and one of them is left when the last file was read.
        Ok(()) => match archive.into_inner().read_exact(&mut [0; 512]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(RestoreError::CutShort),
            Err(error) => Err(RestoreError::Form(error.to_string())),
            Ok(()) => about.ok_or_else(|| RestoreError::Form("it is empty".to_owned())),
        },
        Err(RestoreError::Form(_)) if ended.get() && about.is_some() => Err(RestoreError::CutShort),
        Err(error) => Err(error),
    }
}

/// Unpacks all files, durably; `about` is what the first of them says.
fn unpack_from(
    archive: &mut Archive<Bytes<'_>>,
    folder: &Path,
    about: &mut Option<Backup>,
) -> Result<(), RestoreError> {
    let form = |e: io::Error| RestoreError::Form(e.to_string());
    let mut folders = BTreeSet::from([folder.to_owned()]);
    for entry in archive.entries().map_err(form)? {
        let mut entry = entry.map_err(form)?;
        let name = entry.path().map_err(form)?.into_owned();
        if about.is_none() {
            let mut text = String::new();
            entry.by_ref().take(4096).read_to_string(&mut text).map_err(form)?;
            let read: Option<Backup> = serde_json::from_str(&text).ok().filter(|_| name == Path::new(ABOUT));
            let read = read.ok_or_else(|| RestoreError::Form(format!("it does not begin with {ABOUT}")))?;
            if read.v != VERSION {
                return Err(RestoreError::Form(format!("it has version {}, and {VERSION} is understood", read.v)));
            }
            *about = Some(read);
            continue;
        }
        let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || !FOLDERS.iter().any(|folder| name.starts_with(folder)) {
            return Err(RestoreError::Form(format!("it holds {}", name.display())));
        }
        let to = folder.join(&name);
        let within = to.parent().unwrap_or(folder);
        private_dir(within).map_err(at(within))?;
        folders.extend(within.ancestors().take_while(|above| *above != folder).map(Path::to_owned));
        match entry.header().entry_type() {
            EntryType::Regular => {
                let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
                let mut file = file.map_err(at(&to))?;
                let copied = io::copy(&mut entry, &mut file).and_then(|copied| file.sync_all().map(|()| copied));
                if copied.map_err(at(&to))? < entry.size() {
                    return Err(RestoreError::CutShort);
                }
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(form)?.unwrap_or_default().into_owned();
                let inside = ["body", "keys"].iter().any(|shared| target == Path::new("../..").join(shared));
                if !inside || name.components().count() != 3 {
                    return Err(RestoreError::Form(format!("{} leads to {}", name.display(), target.display())));
                }
                std::os::unix::fs::symlink(&target, &to).map_err(at(&to))?;
            }
            other => return Err(RestoreError::Form(format!("{} is of kind {other:?}", name.display()))),
        }
    }
    folders.iter().try_for_each(|folder| sync(folder))
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> Result<(), RestoreError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
