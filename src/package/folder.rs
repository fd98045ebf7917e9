//! The folder of a package: written beside its place, and there all at once or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::PackageError;

/// A folder that is being written. Unless it is finished, it is removed again.
pub(super) struct Folder {
    out: PathBuf,
    unfinished: PathBuf,
    /// Every file so far: its length and its SHA-256.
    files: BTreeMap<String, (u64, String)>,
    finished: bool,
}

/// Takes a package away that was just made, and that nobody may be given.
///
/// # Errors
/// A file of it cannot be removed.
pub fn take_away(made: &Path) -> std::io::Result<()> {
    fs::remove_dir_all(made)
}

impl Folder {
    /// Begins the folder `out`, which must not exist.
    pub(super) fn begin(out: &Path) -> Result<Folder, PackageError> {
        let name =
            out.file_name().ok_or_else(|| PackageError::Refused(format!("{} names no folder", out.display())))?;
        let mut beside = name.to_owned();
        beside.push(".unfinished");
        let unfinished = out.with_file_name(beside);
        for (path, what) in
            [(out, "name another folder"), (&unfinished, "it is from one that was broken off: remove it")]
        {
            if fs::symlink_metadata(path).is_ok() {
                return Err(PackageError::Refused(format!("{} is there already; {what}", path.display())));
            }
        }
        at(&unfinished, fs::create_dir(&unfinished))?;
        Ok(Folder { out: out.to_owned(), unfinished, files: BTreeMap::new(), finished: false })
    }

    /// Where it is being written.
    pub(super) fn path(&self) -> &Path {
        &self.unfinished
    }

    /// How many files it has.
    pub(super) fn count(&self) -> u64 {
        self.files.len() as u64
    }

    /// Writes a file, once.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), PackageError> {
        let path = self.unfinished.join(name);
        if let Some(parent) = path.parent() {
            at(parent, fs::create_dir_all(parent))?;
        }
        at(&path, fs::write(&path, bytes))?;
        self.files.insert(name.to_owned(), (bytes.len() as u64, hex::encode(Sha256::digest(bytes))));
        Ok(())
    }

    /// Begins a file that is written piece by piece.
    pub(super) fn open(&self, name: &str) -> Result<Pieces, PackageError> {
        let path = self.unfinished.join(name);
        if let Some(parent) = path.parent() {
            at(parent, fs::create_dir_all(parent))?;
        }
        let file = at(&path, File::create(&path))?;
        Ok(Pieces { name: name.to_owned(), path, file, length: 0, digest: Sha256::new() })
    }

    /// Takes a file that is written to its end.
    pub(super) fn close(&mut self, mut pieces: Pieces) -> Result<(), PackageError> {
        at(&pieces.path, pieces.file.flush())?;
        let digest = hex::encode(pieces.digest.finalize());
        self.files.insert(pieces.name, (pieces.length, digest));
        Ok(())
    }

    /// Writes the lists of files: one for spreadsheets, and the one that everything hangs on.
    pub(super) fn write_tables(&mut self) -> Result<(), PackageError> {
        let mut table = verifier::csv_line(&["path", "bytes", "sha256"]) + "\n";
        for (name, (length, digest)) in &self.files {
            table.push_str(&verifier::csv_line(&[name.as_str(), &length.to_string(), digest]));
            table.push('\n');
        }
        self.write("csv/files.csv", table.as_bytes())?;
        let list: String = self.files.iter().map(|(name, (_, digest))| format!("{digest}  {name}\n")).collect();
        self.write("files.txt", list.as_bytes())
    }

    /// Puts it in its place.
    pub(super) fn finish(mut self) -> Result<(), PackageError> {
        at(&self.out, fs::rename(&self.unfinished, &self.out))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.finished {
            drop(fs::remove_dir_all(&self.unfinished));
        }
    }
}

/// A file that is being written piece by piece.
pub(super) struct Pieces {
    name: String,
    path: PathBuf,
    file: File,
    length: u64,
    digest: Sha256,
}

impl Pieces {
    /// Its name in the package.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Writes a piece, and says where it begins.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<u64, PackageError> {
        at(&self.path, self.file.write_all(bytes))?;
        self.digest.update(bytes);
        let begins = self.length;
        self.length += bytes.len() as u64;
        Ok(begins)
    }
}

/// Names the file in which an operation failed.
fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T, PackageError> {
    result.map_err(|source| PackageError::Io { path: path.to_owned(), source })
}
