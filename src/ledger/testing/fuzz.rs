//! Every reader of the ledger against any bytes at all: it ends, it does not panic, and what it accepts is exactly what
//! a writer would have written. Run over raw bytes in every test run (`src/ledger/tests/raw.rs`), and by cargo fuzz
//! (`tests/fuzz`).

use std::io;
use std::path::Path;

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::checkpoints::{self, Records};
use crate::disk::{self, DiskFile, Open, ReadBack};
use crate::note::{self, SigningKey, VerifierKey};
use crate::proof::TlogProof;
use crate::segment::{self, Frame, Scanner, Source};
use crate::slots::{self, Slots};
use crate::testing::ModelDisk;

/// Bytes that are read as a file.
struct Bytes<'a>(&'a [u8]);

impl DiskFile for Bytes<'_> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        if let (Some(target), Some(source)) = (buf.get_mut(..len), rest.get(..len)) {
            target.copy_from_slice(source);
        }
        Ok(len)
    }
    fn read_back(&self, offset: u64, buf: &mut [u8]) -> io::Result<(usize, ReadBack)> {
        self.read_at(offset, buf).map(|read| (read, ReadBack::Direct))
    }
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A segment whose first entry is 0. Gives how many entries were accepted.
pub fn segment(bytes: &[u8]) -> usize {
    let file = Bytes(bytes);
    let Ok(mut scanner) = Scanner::new(&file, 0, Source::Cache, true) else { return 0 };
    let mut written = segment::header(0);
    let mut entries = Vec::new();
    loop {
        let digest = scanner.digest();
        match scanner.next() {
            Ok(Some(Frame::Entry { index, offset, bytes: entry })) => {
                assert_eq!((index, offset), (entries.len() as u64, written.len() as u64));
                segment::put_entry(&mut written, index, entry);
                entries.push(entry.to_vec());
            }
            Ok(Some(Frame::Footer)) => {
                let sha256 = digest.map(|digest| sha2::Digest::finalize(digest).into()).unwrap_or_default();
                segment::put_footer(&mut written, 0, entries.len() as u64, &sha256);
                assert!(!matches!(scanner.next(), Ok(Some(_))), "something was read behind the footer");
                break;
            }
            Ok(None) => {
                assert_eq!(written.len(), bytes.len(), "it says that it has read everything");
                break;
            }
            Err(_) => break,
        }
    }
    assert!(bytes.starts_with(&written), "what was accepted is not what would be written");
    // The writer's second look, where only entries stand.
    if let Some(frames) = bytes.get(segment::HEADER as usize..)
        && let Some(found) = segment::entries_of(frames, 0)
        && found.iter().all(|entry| entry.len() <= segment::GREATEST_ENTRY)
    {
        assert_eq!(found, entries, "two readings of the same frames differ");
    }
    entries.len()
}

/// Frames with true checksums and any length and kind, which raw bytes hardly ever hold. Gives how many entries were
/// accepted.
pub fn frames(script: &[u8]) -> usize {
    let mut bytes = segment::header(0);
    for (index, step) in (0..).zip(script.chunks(4)) {
        let [kind, length, fill, twist] = *step else { break };
        let entry = vec![fill; usize::from(length) * if twist & 1 == 1 { 97 } else { 1 }];
        match kind % 8 {
            0..=4 => segment::put_entry(&mut bytes, index, &entry),
            5 => segment::put_entry(&mut bytes, index + u64::from(twist), &entry),
            6 => segment::put_footer(&mut bytes, u64::from(twist & 2), index, &[fill; 32]),
            _ => bytes.extend_from_slice(&entry),
        }
    }
    segment(&bytes)
}

/// A signed note, and a verifier key. Gives whether one of them was accepted.
pub fn note(bytes: &[u8]) -> bool {
    let mut accepted = false;
    if let Ok(text) = note::unverified_text(bytes) {
        assert!(bytes.starts_with(text.as_bytes()) && text.ends_with('\n'));
        let known: Vec<VerifierKey> = keys().iter().map(SigningKey::verifier).collect();
        if let Ok(verified) = note::verify(bytes, &known) {
            assert_eq!(verified.text, text);
            assert!(!verified.signers.is_empty());
            for signer in &verified.signers {
                let signed = keys().into_iter().find(|key| key.name() == signer).and_then(|key| key.sign(text).ok());
                let line = signed.as_deref().and_then(|note| note.trim_end().rsplit('\n').next()).unwrap_or_default();
                let stands = std::str::from_utf8(bytes).is_ok_and(|note| note.contains(line));
                assert!(stands, "a signature was accepted that {signer} never made");
            }
            accepted = true;
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(key) = text.parse::<VerifierKey>()
    {
        assert_eq!(key.to_string(), text, "a key has one form");
        accepted = true;
    }
    accepted
}

/// The keys that sign the notes of these tests.
pub fn keys() -> Vec<SigningKey> {
    let key = |name: &str, seed: u8| SigningKey::from_seed(name, &[seed; 32]);
    [key("example.org/evidenced/test", 7), key("example.org/witness", 9)].into_iter().filter_map(Result::ok).collect()
}

/// A checkpoint as text, as a signed note, as the log of checkpoints and as a high-water mark. Gives whether one of
/// them was accepted.
pub fn checkpoint(bytes: &[u8]) -> bool {
    let mut accepted = false;
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(checkpoint) = Checkpoint::parse(text)
    {
        assert_eq!(checkpoint.to_string(), text, "a checkpoint has one form");
        accepted = true;
    }
    if let Ok(signed) = SignedCheckpoint::parse_unverified(bytes) {
        assert_eq!(signed.note.as_bytes(), bytes);
        assert!(bytes.starts_with(signed.checkpoint.to_string().as_bytes()));
        accepted = true;
    }
    accepted | log_of_checkpoints(bytes) | high_water(bytes)
}

fn log_of_checkpoints(bytes: &[u8]) -> bool {
    let ledger = Path::new("/ledger");
    let Some(disk) = disk_with(ledger, &checkpoints::log_path(ledger), bytes) else { return false };
    let Ok(mut records) = Records::open(&disk, ledger) else { return false };
    let mut read = Vec::new();
    while let Ok(Some(record)) = records.next() {
        assert_eq!(record.offset, read.len() as u64);
        let Ok(note) = record.note else { return !read.is_empty() };
        read.extend_from_slice(&note);
        read.push(b'\n');
        assert!(bytes.starts_with(&read), "a record is not what stands there");
    }
    assert_eq!(read, bytes, "it says that it has read everything");
    !read.is_empty()
}

fn high_water(bytes: &[u8]) -> bool {
    let (dir, path) = (Path::new("/guard"), Path::new("/guard/high-water"));
    let Some(disk) = disk_with(dir, path, bytes) else { return false };
    let opened = Slots::open(&disk, path, Open::Read);
    if matches!(slots::is_whole(&disk, path), Ok(true)) {
        assert!(opened.is_ok(), "both slots hold, and none is read");
    }
    opened.is_ok()
}

/// A proof file. Gives whether it was accepted.
pub fn proof(bytes: &[u8]) -> bool {
    let Some(proof) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<TlogProof>().ok()) else {
        return false;
    };
    assert_eq!(proof.to_string().as_bytes(), bytes, "a proof has one form");
    let known: Vec<VerifierKey> = keys().iter().map(SigningKey::verifier).collect();
    if let Ok(checkpoint) = proof.verify(b"entry", &known) {
        assert!(proof.index < checkpoint.size);
        assert!(proof.verify(b"another entry", &known).is_err(), "it proves two entries in one place");
    }
    true
}

fn disk_with(dir: &Path, path: &Path, bytes: &[u8]) -> Option<ModelDisk> {
    let disk = ModelDisk::new();
    disk::make_dir(&disk, dir).ok()?;
    disk.put(path, bytes);
    Some(disk)
}
