//! The bytes of a pack of bodies, and the commitment that binds a body to an entry.
//!
//! A pack begins with a header (`magic 8 | version u32 | number u32 | crc32c u32`). A record is a head of 84 bytes
//! (`magic u8 | version u8 | flags u8 | 0 u8 | stored length u32 | body length u32 | crc32c of what is stored u32 |
//! salt or keys 32 | commitment 32 | crc32c of the head u32`) and the stored bytes; numbers are little-endian. Flag 1 says
//! that the body is compressed with zstd, flag 2 that the commitment is one to lines. The version byte rules the rest:
//!
//! - 0, *not encrypted*: the salt stands in the head, and the body is what is stored.
//! - 1, *sealed*: the names of the record keys stand in the place of the salt, 16 bytes each, a second one or zeros. What
//!   is stored is a nonce of 24 bytes and, under these keys, salt and body; flags, length, keys and commitment are bound
//!   to it as associated data.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hash::{Hash, ParseHashError};
use crate::key_store::{KeyState, KeyStore};
use crate::seal::{KeyId, NONCE, Owners, TAG};

/// The greatest size of a body in bytes, before compression. It is written, read and checked in memory as a whole.
pub const GREATEST_BODY: usize = 512 << 20;
/// A pack is closed before a record would make it longer than this many bytes; a longer record has a pack of its own.
pub(crate) const PACK_BYTES: u64 = 64 << 20;
/// Length of a pack's header.
pub(crate) const HEADER: u64 = 20;
/// Length of a record's head.
pub(crate) const HEAD: usize = 84;

const PACK_MAGIC: &[u8; 8] = b"evdpak\r\n";
const PACK_VERSION: u32 = 1;
const MAGIC: u8 = 0xEB;
const NOT_ENCRYPTED: u8 = 0;
const SEALED: u8 = 1;
/// How much longer than a body its sealed form is.
const SEAL: usize = NONCE + 32 + TAG;
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

/// Writes records; keeps working memory between them.
pub(crate) struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    /// What the last body was compressed into.
    short: Vec<u8>,
}

/// Working memory of more than this many bytes is given back.
const KEPT_MEMORY: usize = 1 << 20;

impl Encoder {
    pub(crate) fn new() -> std::io::Result<Encoder> {
        Ok(Encoder { compressor: zstd::bulk::Compressor::new(LEVEL)?, short: Vec::new() })
    }

    /// Appends the record of a body of at most [`GREATEST_BODY`] bytes. With `lines`, the commitment is one to its lines.
    pub(crate) fn put(
        &mut self,
        out: &mut Vec<u8>,
        salt: &[u8; 32],
        body: &[u8],
        lines: bool,
        seal: Option<&Seal>,
    ) -> std::io::Result<Commitment> {
        let commitment = if lines { commit_lines(salt, body) } else { commit(salt, body) };
        let compressed = if body.len() < WORTH_COMPRESSING { None } else { Some(self.compress(body)?) };
        let compressed = compressed.filter(|compressed| compressed.len() < body.len());
        let (flags, short) = compressed.map_or((0, body), |short| (ZSTD, short));
        let flags = if lines { flags | LINES } else { flags };
        let body_length = (body.len() as u32).to_le_bytes();
        let (version, field, stored) = match seal {
            None => (NOT_ENCRYPTED, *salt, Cow::Borrowed(short)),
            Some(seal) => {
                let ids = seal.owners.ids();
                let about = about(flags, body_length, &ids, &commitment);
                let sealed = seal.owners.sealer().seal(&seal.nonce, &about, &[salt.as_slice(), short].concat());
                let sealed = sealed.ok_or_else(|| std::io::Error::other("the body cannot be sealed"))?;
                (SEALED, ids, Cow::Owned(sealed))
            }
        };
        let start = out.len();
        out.extend_from_slice(&[MAGIC, version, flags, 0]);
        out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        out.extend_from_slice(&body_length);
        out.extend_from_slice(&crc32c::crc32c(&stored).to_le_bytes());
        out.extend_from_slice(&field);
        out.extend_from_slice(&commitment.0);
        let checksum = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&stored);
        if self.short.capacity() > KEPT_MEMORY {
            self.short = Vec::new();
        }
        Ok(commitment)
    }

    fn compress(&mut self, body: &[u8]) -> std::io::Result<&[u8]> {
        self.short.clear();
        self.short.reserve(zstd::zstd_safe::compress_bound(body.len()));
        self.compressor.compress_to_buffer(body, &mut self.short)?;
        Ok(&self.short)
    }
}

/// What a body is sealed under: the keys of its records, and a nonce of fresh random bytes.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    /// The records.
    pub owners: Owners,
    /// Never the same twice under one key.
    pub nonce: [u8; NONCE],
}

/// What the sealed bytes are bound to.
fn about(flags: u8, body_length: [u8; 4], ids: &[u8; 32], commitment: &Commitment) -> Vec<u8> {
    [[SEALED, flags].as_slice(), &body_length, ids, &commitment.0].concat()
}

/// Why the body of a record whose head holds cannot be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unopened {
    /// It is not what was written.
    Damaged(&'static str),
    /// The key that opens it is not at hand.
    NoKey(KeyId),
    /// The key that opened it was destroyed.
    Destroyed(KeyId),
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
    flags: u8,
    sealed: bool,
    /// The salt, or the names of the keys.
    field: [u8; 32],
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
        if *magic != MAGIC || *version > SEALED || *flags & !(ZSTD | LINES) != 0 || *zero != 0 {
            return Err("the record is of a version that is not known here");
        }
        let (stored, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (body, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (checksum, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (field, rest) = rest.split_first_chunk::<32>().ok_or(short)?;
        let commitment = rest.first_chunk::<32>().ok_or(short)?;
        let head = Head {
            compressed: flags & ZSTD != 0,
            lines: flags & LINES != 0,
            stored: u32::from_le_bytes(*stored) as usize,
            body: u32::from_le_bytes(*body) as usize,
            checksum: u32::from_le_bytes(*checksum),
            flags: *flags,
            sealed: *version == SEALED,
            field: *field,
            commitment: Commitment(*commitment),
        };
        if head.stored > GREATEST_BODY + SEAL || head.body > GREATEST_BODY {
            return Err("the record has an impossible length");
        }
        Ok(head)
    }

    /// Whether the stored bytes are those that were written.
    pub(crate) fn holds(&self, stored: &[u8]) -> bool {
        stored.len() == self.stored && crc32c::crc32c(stored) == self.checksum
    }

    /// The names of the keys that it is sealed under: none, one or two.
    pub(crate) fn keys(&self) -> Vec<KeyId> {
        let (first, second) = self.field.split_at(16);
        let ids = [first, second].into_iter().filter_map(|id| id.try_into().ok());
        ids.filter(|id| self.sealed && *id != [0; 16]).map(KeyId).collect()
    }

    /// Salt and body, after every check: the stored bytes, the seal, the length, the commitment.
    pub(crate) fn body(&self, stored: &[u8], keys: Option<&KeyStore>) -> Result<([u8; 32], Vec<u8>), Unopened> {
        if !self.holds(stored) {
            return Err(Unopened::Damaged("the checksum of the stored bytes does not hold"));
        }
        let opened = if self.sealed { Cow::Owned(self.open(stored, keys)?) } else { Cow::Borrowed(stored) };
        let (salt, short) = match self.sealed {
            false => (self.field, opened.as_ref()),
            true => match opened.split_first_chunk::<32>() {
                Some((salt, short)) => (*salt, short),
                None => return Err(Unopened::Damaged("what is sealed is too short")),
            },
        };
        let body = if self.compressed {
            let body = zstd::bulk::decompress(short, self.body);
            body.map_err(|_| Unopened::Damaged("the stored bytes cannot be decompressed"))?
        } else {
            short.to_vec()
        };
        let committed = if self.lines { commit_lines(&salt, &body) } else { commit(&salt, &body) };
        if body.len() != self.body || committed != self.commitment {
            return Err(Unopened::Damaged("the body does not lead to its commitment"));
        }
        Ok((salt, body))
    }

    fn open(&self, stored: &[u8], keys: Option<&KeyStore>) -> Result<Vec<u8>, Unopened> {
        let mut found = Vec::new();
        for id in self.keys() {
            match keys.map_or(KeyState::Unknown, |keys| keys.get(&id)) {
                KeyState::Here(key) => found.push(key),
                KeyState::Destroyed => return Err(Unopened::Destroyed(id)),
                KeyState::Unknown => return Err(Unopened::NoKey(id)),
            }
        }
        let owners = match found.as_slice() {
            [one] => Owners::one(*one),
            [first, second] => Owners::two(*first, *second),
            _ => return Err(Unopened::Damaged("the record names no key")),
        };
        let about = about(self.flags, (self.body as u32).to_le_bytes(), &self.field, &self.commitment);
        owners.sealer().open(stored, &about).ok_or(Unopened::Damaged("the sealed bytes are not what was sealed"))
    }
}
