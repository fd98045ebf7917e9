//! A consistent copy of a data directory as one tar stream, beside a running daemon. `restore.rs` reads it back.
//!
//! What is not in it: the signing key, so that a stolen copy signs nothing; the guard, so that an old copy is not believed;
//! the index and the files of the anchors, which are made again. The data key is in it where it lies in the folder of keys:
//! without it nobody could read what is restored.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ledger::{Part, SnapshotError, snapshot};
use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType, Header};

use crate::layout::Layout;

/// What a copy holds; its first file, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// The version of this form.
    pub v: u32,
    /// The ledger's name.
    pub origin: String,
    /// Number of entries.
    pub entries: u64,
    /// RFC 6962 root over them, hexadecimal.
    pub root: String,
}

/// No copy was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no ledger.
    #[error("no ledger in {0}")]
    NotInitialised(PathBuf),
    /// The ledger or its bodies.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// There is something where it should go.
    #[error("{0} is there already; nothing was changed: name another file")]
    Exists(PathBuf),
    /// What it holds cannot be written down.
    #[error("the copy cannot be described: {0}")]
    Form(String),
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

/// The name of the first file, which is a [`Backup`].
pub(crate) const ABOUT: &str = "evidenced-backup.json";
/// The version of this form.
pub(crate) const VERSION: u32 = 1;

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |source| BackupError::Io { path: path.to_owned(), source }
}

/// Writes a copy of a data directory into a new file that its owner alone may read: whole, or not at all.
pub fn backup_to(data: &Path, file: &Path) -> Result<Backup, BackupError> {
    let part = file.with_file_name(format!("{}.part", file.file_name().unwrap_or_default().to_string_lossy()));
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let done = write_part(data, &part).and_then(|done| fs::rename(&part, file).map_err(at(file)).map(|()| done));
    if done.is_err() {
        // What it holds is no copy, and may hold keys.
        drop(fs::remove_file(&part));
    }
    done
}

fn write_part(data: &Path, part: &Path) -> Result<Backup, BackupError> {
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part);
    let mut out = io::BufWriter::new(opened.map_err(at(part))?);
    let done = backup(data, &mut out)?;
    out.into_inner().map_err(|e| e.into_error()).and_then(|file| file.sync_all()).map_err(at(part))?;
    Ok(done)
}

/// Writes a copy of a data directory as a tar stream.
pub fn backup(data: &Path, out: &mut dyn Write) -> Result<Backup, BackupError> {
    let layout = Layout::new(data);
    if !layout.is_initialised() {
        return Err(BackupError::NotInitialised(data.to_owned()));
    }
    let taken = snapshot(&layout.ledger(), &layout.bodies())?;
    let head = &taken.head.checkpoint;
    let about = Backup { v: VERSION, origin: head.origin.clone(), entries: head.size, root: hex::encode(head.root.0) };
    let text = serde_json::to_vec(&about).map_err(|e| BackupError::Form(e.to_string()))?;
    let mut tar = Builder::new(out);
    put(&mut tar, Path::new(ABOUT), Part::Bytes(text))?;
    for (folder, files) in [("ledger", taken.ledger), ("body", taken.bodies)] {
        for (name, part) in files {
            put(&mut tar, &Path::new(folder).join(name), part)?;
        }
    }
    // Read after the entries that need them. The mark of how far the keys are durable goes first: what is appended
    // meanwhile does no harm.
    for path in [layout.record_keys().with_extension("synced"), layout.record_keys(), layout.data_key()] {
        let bytes = match fs::read(&path) {
            // The data key lies elsewhere; without it the copy says nothing to whoever has it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path == layout.data_key() => continue,
            bytes => bytes.map_err(at(&path))?,
        };
        put(&mut tar, path.strip_prefix(data).unwrap_or(&path), Part::Bytes(bytes))?;
    }
    put_closed(&mut tar, data, &data.join("closed"))?;
    tar.into_inner().and_then(|out| out.flush()).map_err(at(Path::new("the copy")))?;
    Ok(about)
}

/// Ledgers that were closed stay as they are.
fn put_closed(tar: &mut Builder<&mut dyn Write>, data: &Path, dir: &Path) -> Result<(), BackupError> {
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(dir))?,
    };
    let mut paths: Vec<PathBuf> = listed.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let kind = fs::symlink_metadata(&path).map_err(at(&path))?;
        let name = path.strip_prefix(data).unwrap_or(&path);
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(at(&path))?;
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            tar.append_link(&mut header, name, &target).map_err(at(&path))?;
        } else if kind.is_dir() {
            put_closed(tar, data, &path)?;
        } else if path.file_name().is_some_and(|name| name != "lock") {
            put(tar, name, Part::Head(path.clone(), kind.len()))?;
        }
    }
    Ok(())
}

fn put(tar: &mut Builder<&mut dyn Write>, name: &Path, part: Part) -> Result<(), BackupError> {
    let mut header = Header::new_gnu();
    header.set_mode(0o600);
    header.set_entry_type(EntryType::Regular);
    match part {
        Part::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes.as_slice()).map_err(at(name))
        }
        Part::Head(path, len) => {
            let file = fs::File::open(&path).map_err(at(&path))?;
            header.set_size(len);
            let mut head = file.take(len);
            tar.append_data(&mut header, name, &mut head).map_err(at(&path))?;
            // A file that became shorter would shift all that follows.
            if head.limit() > 0 { Err(at(&path)(io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
        }
    }
}
