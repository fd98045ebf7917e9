//! Segments: the files that hold the entries, byte for byte, in their order.
//!
//! A file begins with a header (`magic 8 | version u32 | first index u64 | crc32c u32`) and goes on with frames
//! (`len u32 | kind u8 | crc32c u32 | bytes`), all numbers little-endian. The checksum of a frame covers the entry's
//! index, the length, the kind and the bytes, so a frame in another's place does not hold. A sealed segment ends with
//! a footer frame (`first u64 | last u64 | SHA-256 of all bytes before the footer`).

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::disk::{Disk, DiskFile};

/// The greatest size of an entry in bytes.
pub const GREATEST_ENTRY: usize = 16 * 1024;

/// Length of the file header.
pub(crate) const HEADER: u64 = 24;
/// Length of what stands before an entry's bytes.
pub(crate) const FRAME_HEAD: u64 = 9;
const MAGIC: &[u8; 8] = b"evdseg\r\n";
const VERSION: u32 = 1;
const ENTRY: u8 = 1;
const FOOTER: u8 = 2;
const FOOTER_LEN: usize = 48;
/// The first read is short, for a single entry; later ones are twice as long each, up to the greatest.
const FIRST_CHUNK: usize = 32 * 1024;
const GREATEST_CHUNK: usize = 256 * 1024;

/// The directory of segments in a ledger's directory.
pub(crate) fn dir(ledger: &Path) -> PathBuf {
    ledger.join("seg")
}

/// The file whose first entry has that index.
pub(crate) fn path(ledger: &Path, first: u64) -> PathBuf {
    dir(ledger).join(format!("{first:020}.seg"))
}

/// First indices of all segments, ascending. Names of another form are left alone.
pub(crate) fn list(disk: &dyn Disk, ledger: &Path) -> io::Result<Vec<u64>> {
    let names = disk.list(&dir(ledger))?;
    let number = |name: &String| {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
        digits.parse().ok()
    };
    Ok(names.iter().filter_map(number).collect())
}

/// The header of the file whose first entry has that index.
pub(crate) fn header(first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&first.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Appends the frame of the entry at `index`.
pub(crate) fn put_entry(out: &mut Vec<u8>, index: u64, entry: &[u8]) {
    put_frame(out, index, ENTRY, entry);
}

/// Appends the footer of a segment with the entries `first..next` whose bytes so far have that SHA-256.
pub(crate) fn put_footer(out: &mut Vec<u8>, first: u64, next: u64, sha256: &[u8; 32]) {
    let mut footer = Vec::with_capacity(FOOTER_LEN);
    footer.extend_from_slice(&first.to_le_bytes());
    footer.extend_from_slice(&next.saturating_sub(1).to_le_bytes());
    footer.extend_from_slice(sha256);
    put_frame(out, next, FOOTER, &footer);
}

fn put_frame(out: &mut Vec<u8>, index: u64, kind: u8, bytes: &[u8]) {
    let len = (bytes.len() as u32).to_le_bytes();
    out.extend_from_slice(&len);
    out.push(kind);
    out.extend_from_slice(&checksum(index, len, kind, bytes).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn checksum(index: u64, len: [u8; 4], kind: u8, bytes: &[u8]) -> u32 {
    let mut head = [0; 13];
    let (first, rest) = head.split_at_mut(8);
    first.copy_from_slice(&index.to_le_bytes());
    let (second, third) = rest.split_at_mut(4);
    second.copy_from_slice(&len);
    third.fill(kind);
    crc32c::crc32c_append(crc32c::crc32c(&head), bytes)
}

/// One frame.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// An entry.
    Entry {
        /// Its index in the ledger.
        index: u64,
        /// Where its frame begins in the file.
        offset: u64,
        /// The entry itself.
        bytes: &'a [u8],
    },
    /// The end of a sealed segment; nothing follows.
    Footer,
}

/// Why a segment could not be read further.
#[derive(Debug)]
pub(crate) enum ScanError {
    /// The disk.
    Io(io::Error),
    /// The bytes from that offset on are not what a writer leaves.
    Bad { offset: u64, what: &'static str },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> ScanError {
        ScanError::Io(error)
    }
}

/// Where the bytes come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The page cache will do.
    Cache,
    /// Around the page cache, where that is possible.
    Device,
}

/// Reads the frames of one segment in order, in bounded memory.
pub(crate) struct Scanner<'f> {
    file: &'f dyn DiskFile,
    source: Source,
    first: u64,
    index: u64,
    /// What was read and is not yet used up, and where in the file it begins.
    buffer: Vec<u8>,
    used: usize,
    offset: u64,
    /// Where a read goes first.
    chunk: Vec<u8>,
    /// The digest of all bytes so far, when it is asked for.
    digest: Option<Sha256>,
    ended: bool,
}

impl<'f> Scanner<'f> {
    /// Reads from the header on.
    pub(crate) fn new(
        file: &'f dyn DiskFile,
        first: u64,
        source: Source,
        digest: bool,
    ) -> Result<Scanner<'f>, ScanError> {
        let mut scanner = Scanner::at(file, first, first, 0);
        scanner.source = source;
        scanner.digest = digest.then(Sha256::new);
        scanner.fill(HEADER as usize)?;
        if scanner.rest().get(..HEADER as usize) != Some(header(first).as_slice()) {
            return Err(ScanError::Bad { offset: 0, what: "the file header does not hold" });
        }
        scanner.take(HEADER as usize);
        Ok(scanner)
    }

    /// Reads on from a known place: the frame of the entry `index` begins at `offset`.
    pub(crate) fn at(file: &'f dyn DiskFile, first: u64, index: u64, offset: u64) -> Scanner<'f> {
        Scanner {
            file,
            source: Source::Cache,
            first,
            index,
            buffer: Vec::new(),
            used: 0,
            offset,
            chunk: Vec::new(),
            digest: None,
            ended: false,
        }
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset + self.used as u64
    }

    /// The digest of everything before the next frame.
    pub(crate) fn digest(&self) -> Option<Sha256> {
        self.digest.clone()
    }

    /// The next frame; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, ScanError> {
        let offset = self.offset();
        let bad = |what| Err(ScanError::Bad { offset, what });
        self.fill(FRAME_HEAD as usize)?;
        if self.rest().is_empty() {
            return Ok(None);
        }
        if self.ended {
            return bad("there are bytes after the footer");
        }
        let Some((len, kind, sum)) = frame_head(self.rest()) else {
            return bad("the file ends within a frame");
        };
        let size = u32::from_le_bytes(len) as usize;
        if size > GREATEST_ENTRY || !matches!(kind, ENTRY | FOOTER) {
            return bad("the frame has an impossible length or kind");
        }
        let whole = FRAME_HEAD as usize + size;
        self.fill(whole)?;
        let Some(bytes) = self.rest().get(FRAME_HEAD as usize..whole) else {
            return bad("the file ends within a frame");
        };
        if checksum(self.index, len, kind, bytes) != sum {
            return bad("the checksum of the frame does not hold");
        }
        if kind == FOOTER {
            let expected = self.digest.clone().map(|digest| <[u8; 32]>::from(digest.finalize()));
            if !footer_holds(bytes, self.first, self.index, expected) {
                return bad("the footer does not agree with the segment");
            }
            self.ended = true;
            // The digest stays that of the bytes before the footer.
            self.digest = None;
            self.take(whole);
            return Ok(Some(Frame::Footer));
        }
        let index = self.index;
        self.index += 1;
        let bytes = self.take(whole).get(FRAME_HEAD as usize..).unwrap_or_default();
        Ok(Some(Frame::Entry { index, offset, bytes }))
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Uses up the next `len` bytes.
    fn take(&mut self, len: usize) -> &[u8] {
        let start = self.used;
        self.used += len;
        let bytes = self.buffer.get(start..self.used).unwrap_or_default();
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        bytes
    }

    /// Sees to it that `len` bytes are there, unless the file ends before.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        while self.rest().len() < len {
            self.offset += self.used as u64;
            self.buffer.drain(..self.used);
            self.used = 0;
            if self.chunk.len() < GREATEST_CHUNK {
                self.chunk = vec![0; (2 * self.chunk.len()).max(FIRST_CHUNK)];
            }
            let at = self.offset + self.buffer.len() as u64;
            let read = match self.source {
                Source::Cache => self.file.read_at(at, &mut self.chunk)?,
                Source::Device => self.file.read_back(at, &mut self.chunk)?.0,
            };
            if read == 0 {
                break;
            }
            self.buffer.extend_from_slice(self.chunk.get(..read).unwrap_or_default());
        }
        Ok(())
    }
}

fn frame_head(bytes: &[u8]) -> Option<([u8; 4], u8, u32)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first()?;
    let sum = rest.first_chunk::<4>()?;
    Some((*len, *kind, u32::from_le_bytes(*sum)))
}

fn footer_holds(footer: &[u8], first: u64, next: u64, sha256: Option<[u8; 32]>) -> bool {
    let mut expected = Vec::with_capacity(FOOTER_LEN);
    expected.extend_from_slice(&first.to_le_bytes());
    expected.extend_from_slice(&next.saturating_sub(1).to_le_bytes());
    match sha256 {
        Some(sha256) => {
            expected.extend_from_slice(&sha256);
            footer == expected.as_slice()
        }
        None => footer.len() == FOOTER_LEN && footer.starts_with(&expected),
    }
}

/// Splits bytes that hold nothing but whole frames of the entries from `index` on. The writer's second look.
pub(crate) fn entries_of(mut bytes: &[u8], mut index: u64) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (len, kind, sum) = frame_head(bytes)?;
        let whole = FRAME_HEAD as usize + u32::from_le_bytes(len) as usize;
        let entry = bytes.get(FRAME_HEAD as usize..whole)?;
        if kind != ENTRY || checksum(index, len, kind, entry) != sum {
            return None;
        }
        entries.push(entry);
        bytes = bytes.get(whole..)?;
        index += 1;
    }
    Some(entries)
}
