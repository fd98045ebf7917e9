//! The bytes of a pack of bodies, and the commitment that binds a body to an entry.
//!
//! A pack begins with a header (`magic 8 | version u32 | number u32 | crc32c u32`). A record is a head of 84 bytes
//! (`magic u8 | version u8 | flags u8 | 0 u8 | stored length u32 | body length u32 | crc32c of what is stored u32 |
//! salt 32 | commitment 32 | crc32c of the head u32`) and the stored bytes; numbers are little-endian. The version
//! byte rules what follows it: 0 means *not encrypted yet*, later ones may name a key. Flag 1 says that what is stored is
//! compressed with zstd, flag 2 that the commitment is one to lines.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hash::{Hash, ParseHashError};

/// The greatest size of a body in bytes, before compression.
pub const GREATEST_BODY: usize = 32 << 20;
/// A pack is closed before a record would make it longer than this many bytes.
pub(crate) const PACK_BYTES: u64 = 64 << 20;
/// Length of a pack's header.
pub(crate) const HEADER: u64 = 20;
/// Length of a record's head.
pub(crate) const HEAD: usize = 84;

const PACK_MAGIC: &[u8; 8] = b"evdpak\r\n";
const PACK_VERSION: u32 = 1;
const MAGIC: u8 = 0xEB;
const NOT_ENCRYPTED: u8 = 0;
const ZSTD: u8 = 1;
const LINES: u8 = 2;
const LEVEL: i32 = 3;
/// Shorter bodies are stored as they are: compressing them costs more than it saves.
const WORTH_COMPRESSING: usize = 256;

/// A salted commitment to a body: SHA-256(salt ‖ body). `cat salt body | sha256sum` gives the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commitment(pub [u8; 32]);

/// The commitment to `body` under a salt of 32 random bytes.
pub fn commit(salt: &[u8; 32], body: &[u8]) -> Commitment {
    Commitment(Sha256::new().chain_update(salt).chain_update(body).finalize().into())
}

/// Stands where the salt stands in a commitment to a whole body, so that a commitment to lines is of the same form.
pub const LINES_TAG: &[u8; 32] = b"evidenced body of lines, form 1\n";

/// The commitment to `body` line by line, so that some lines can be shown and others stay hidden: each line is committed
/// to under a salt of its own, and these commitments, one after the other, under [`LINES_TAG`].
///
/// A line ends with its newline; the last one may lack it.
pub fn commit_lines(salt: &[u8; 32], body: &[u8]) -> Commitment {
    let lines = (0..).zip(body.split_inclusive(|byte| *byte == b'\n'));
    commit_to_lines(lines.map(|(number, line)| commit(&line_salt(salt, number), line)))
}

/// The commitment to lines by the commitments to each of them.
pub fn commit_to_lines(lines: impl Iterator<Item = Commitment>) -> Commitment {
    let start = Sha256::new().chain_update(LINES_TAG);
    Commitment(lines.fold(start, |digest, line| digest.chain_update(line.0)).finalize().into())
}

/// The salt of one line of a body, counted from 0: SHA-256(salt ‖ number, 8 bytes big-endian). It reveals neither the
/// body's salt nor that of another line.
pub fn line_salt(salt: &[u8; 32], number: u64) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(number.to_be_bytes()).finalize().into()
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Commitment {
    type Err = ParseHashError;
    fn from_str(text: &str) -> Result<Commitment, ParseHashError> {
        text.parse().map(|Hash(bytes)| Commitment(bytes))
    }
}

/// Where a body is stored. Locations ascend in the order of writing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Location {
    /// The pack's number, from 0.
    pub pack: u32,
    /// Where in it the record begins.
    pub offset: u64,
}

/// The file of a pack.
pub(crate) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("pack-{number:08}"))
}

/// The number in a pack's file name.
pub(crate) fn number(name: &str) -> Option<u32> {
    name.strip_prefix("pack-").filter(|digits| digits.len() == 8)?.parse().ok()
}

/// The header of a pack.
pub(crate) fn header(number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER as usize);
    bytes.extend_from_slice(PACK_MAGIC);
    bytes.extend_from_slice(&PACK_VERSION.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Writes records; keeps the compressor's working memory between them.
pub(crate) struct Encoder(zstd::bulk::Compressor<'static>);

impl Encoder {
    pub(crate) fn new() -> std::io::Result<Encoder> {
        zstd::bulk::Compressor::new(LEVEL).map(Encoder)
    }

    /// Appends the record of a body of at most [`GREATEST_BODY`] bytes.
    ///
    /// With `lines`, the commitment is one to its lines.
    pub(crate) fn put(
        &mut self,
        out: &mut Vec<u8>,
        salt: &[u8; 32],
        body: &[u8],
        lines: bool,
    ) -> std::io::Result<Commitment> {
        let commitment = if lines { commit_lines(salt, body) } else { commit(salt, body) };
        let compressed = if body.len() < WORTH_COMPRESSING { None } else { Some(self.0.compress(body)?) };
        let compressed = compressed.filter(|compressed| compressed.len() < body.len());
        let (flags, stored) = compressed.as_deref().map_or((0, body), |stored| (ZSTD, stored));
        let flags = if lines { flags | LINES } else { flags };
        let start = out.len();
        out.extend_from_slice(&[MAGIC, NOT_ENCRYPTED, flags, 0]);
        out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(stored).to_le_bytes());
        out.extend_from_slice(salt);
        out.extend_from_slice(&commitment.0);
        let checksum = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(stored);
        Ok(commitment)
    }
}

/// The head of a record, which holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    compressed: bool,
    lines: bool,
    /// Length of what is stored.
    pub(crate) stored: usize,
    body: usize,
    checksum: u32,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: Commitment,
}

impl Head {
    /// Reads the first [`HEAD`] bytes of a record.
    pub(crate) fn read(bytes: &[u8]) -> Result<Head, &'static str> {
        let short = "the pack ends within a record";
        let (content, checksum) = bytes.get(..HEAD).and_then(<[u8]>::split_last_chunk::<4>).ok_or(short)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err("the checksum of the record's head does not hold");
        }
        let ([magic, version, flags, zero], rest) = content.split_first_chunk::<4>().ok_or(short)?;
        if *magic != MAGIC || *version != NOT_ENCRYPTED || *flags & !(ZSTD | LINES) != 0 || *zero != 0 {
            return Err("the record is of a version that is not known here");
        }
        let (stored, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (body, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (checksum, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (salt, rest) = rest.split_first_chunk::<32>().ok_or(short)?;
        let commitment = rest.first_chunk::<32>().ok_or(short)?;
        let head = Head {
            compressed: flags & ZSTD != 0,
            lines: flags & LINES != 0,
            stored: u32::from_le_bytes(*stored) as usize,
            body: u32::from_le_bytes(*body) as usize,
            checksum: u32::from_le_bytes(*checksum),
            salt: *salt,
            commitment: Commitment(*commitment),
        };
        if head.stored > GREATEST_BODY || head.body > GREATEST_BODY {
            return Err("the record has an impossible length");
        }
        Ok(head)
    }

    /// Whether the stored bytes are those that were written.
    pub(crate) fn holds(&self, stored: &[u8]) -> bool {
        stored.len() == self.stored && crc32c::crc32c(stored) == self.checksum
    }

    /// The body, after every check: the stored bytes, its length, its commitment.
    pub(crate) fn body(&self, stored: &[u8]) -> Result<Vec<u8>, &'static str> {
        if !self.holds(stored) {
            return Err("the checksum of the stored bytes does not hold");
        }
        let body = if self.compressed {
            zstd::bulk::decompress(stored, self.body).map_err(|_| "the stored bytes cannot be decompressed")?
        } else {
            stored.to_vec()
        };
        let committed = if self.lines { commit_lines(&self.salt, &body) } else { commit(&self.salt, &body) };
        if body.len() != self.body || committed != self.commitment {
            return Err("the body does not lead to its commitment");
        }
        Ok(body)
    }
}
