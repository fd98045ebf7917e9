//! For tests only: the reader of packages against folders of any bytes at all. It ends, does not panic, and says the same of
//! the same folder. Run over raw bytes in every test run (`src/verifier/tests/raw.rs`), and by cargo fuzz (`tests/fuzz`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::{Asked, Report, tables, verify};

/// The files of a package, by their names in it.
const NAMES: [&str; 14] = [
    "package.json",
    "policy.txt",
    "bodies.txt",
    "withheld.txt",
    "checkpoints/last.txt",
    "checkpoints/first.txt",
    "checkpoints/first-to-last.txt",
    "entries/000/000000.json",
    "entries/000/000000.tlog-proof",
    "manifests/000001.txt",
    "rows/000001.jsonl",
    "answers/000001.bin",
    "texts/000001.txt",
    "csv/observations.csv",
];

/// Makes a package of any bytes in `folder`, which is to be empty, and reads it. The bytes are cut at every 0xFF; each piece
/// is a file, named by its first byte. The list of files is right, unless the first byte of all says otherwise: so that
/// readers behind it are reached.
///
/// # Errors
/// The folder cannot be written to.
pub fn package(folder: &Path, bytes: &[u8]) -> io::Result<Report> {
    let (first, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    let mut files: BTreeMap<&str, &[u8]> = NAMES.iter().map(|name| (*name, [].as_slice())).collect();
    // Without it no reader comes after that of the list.
    files.insert("package.json", b"{}");
    for piece in rest.split(|byte| *byte == 0xff) {
        let Some((name, content)) = piece.split_first() else { continue };
        if let Some(name) = NAMES.get(usize::from(*name) % NAMES.len()) {
            files.insert(name, content);
        }
    }
    let mut list = String::new();
    for (name, content) in &files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(&path, content)?;
        list.push_str(&format!("{}  {name}\n", hex::encode(Sha256::digest(content))));
    }
    let list = if first == 1 { rest.to_vec() } else { list.into_bytes() };
    fs::write(folder.join("files.txt"), list)?;
    let report = verify(folder, &Asked::default());
    let again = verify(folder, &Asked::default());
    assert_eq!(report.problems, again.problems, "two readings of the same folder differ");
    assert!(!report.problems.is_empty(), "a package that nobody made was accepted");
    drop(tables(folder));
    Ok(report)
}
