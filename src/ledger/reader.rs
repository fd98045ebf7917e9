//! Reading a ledger beside its writer: no lock, no key, and nothing beyond the last signed checkpoint.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::checkpoints;
use crate::disk::{Disk, DiskFile, Open, SharedDisk};
use crate::hash::{Hash, leaf_hash, node_hash};
use crate::keys::{KeyFaults, KeyRing};
use crate::note::VerifierKey;
use crate::proof::TlogProof;
use crate::real_disk::RealDisk;
use crate::recover::Damage;
use crate::segment::{self, Frame, ScanError, Scanner};
use crate::tree::{self, OutOfRange, Subtrees};

/// Proofs rest on the roots of blocks of this many entries (2^8), kept in memory: 32 bytes each.
const BLOCK_LEVEL: u32 = 8;
const BLOCK: u64 = 1 << BLOCK_LEVEL;
/// The place of every n-th entry of a segment is remembered.
const MARK_EVERY: u64 = 64;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes on disk are not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The index or size is beyond the last signed checkpoint.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The checkpoint cannot be read.
    #[error("the checkpoint in {}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
    /// The entries on disk do not lead to the signed root; `verify` says which.
    #[error("the entries do not lead to the signed root over {size} entries")]
    WrongRoot {
        /// The size of the checkpoint.
        size: u64,
    },
    /// The disk.
    #[error("{}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// A reader of one ledger. It may be shared between threads, and works while the writer runs.
pub struct Reader {
    disk: SharedDisk,
    dir: PathBuf,
    cache: Mutex<Cache>,
}

/// What was learnt while reading. All of it can be learnt again.
#[derive(Default)]
struct Cache {
    /// The size of the newest checkpoint seen.
    size: u64,
    /// First indices of the segments.
    segments: Vec<u64>,
    /// By a segment's first index: where every [`MARK_EVERY`]th entry begins.
    marks: BTreeMap<u64, Vec<u64>>,
    /// Roots of perfect subtrees: of whole blocks, then of pairs of them, and so on.
    levels: Vec<Vec<Hash>>,
    /// The leaf hashes of the block last asked for.
    block: Option<(u64, Vec<Hash>)>,
}

impl Reader {
    /// A reader of the ledger in that directory, which need not exist yet.
    pub fn open(dir: &Path) -> Reader {
        Reader::open_on(RealDisk::shared(), dir)
    }

    /// A reader on another disk than the machine's.
    pub fn open_on(disk: SharedDisk, dir: &Path) -> Reader {
        Reader { disk, dir: dir.to_owned(), cache: Mutex::default() }
    }

    /// The newest signed checkpoint, as published; `None` while there is no ledger. Its signature is not verified
    /// here: whoever relies on it holds the verifier key.
    pub fn head(&self) -> Result<Option<SignedCheckpoint>, ReadError> {
        let path = checkpoints::path(&self.dir);
        let note = checkpoints::read(self.disk.as_ref(), &self.dir);
        let Some(note) = note.map_err(|source| ReadError::Io { path: path.clone(), source })? else {
            return Ok(None);
        };
        let head = SignedCheckpoint::parse_unverified(&note);
        let head = head.map_err(|source| ReadError::Checkpoint { path, source })?;
        let mut cache = self.cache();
        cache.size = cache.size.max(head.checkpoint.size);
        Ok(Some(head))
    }

    /// Number of entries that are signed for; 0 while there is no ledger.
    pub fn size(&self) -> Result<u64, ReadError> {
        Ok(self.head()?.map_or(0, |head| head.checkpoint.size))
    }

    /// The verifier key that the first entry names, in the field `key` of a JSON object; `None` when it names none.
    pub fn named_key(&self) -> Result<Option<VerifierKey>, ReadError> {
        Ok(named_key_in(&self.entry(0)?))
    }

    /// Who may sign for the ledger, by its entries up to the last signed checkpoint, and those that speak of keys and do
    /// not hold; `None` when the first entry names no key.
    pub fn key_ring(&self) -> Result<Option<(KeyRing, KeyFaults)>, ReadError> {
        let Some(first) = self.named_key()? else { return Ok(None) };
        let (mut ring, mut faults) = (KeyRing::new(first), Vec::new());
        for (index, entry) in (1..).zip(self.entries(1, self.size()?.max(1))?) {
            faults.extend(ring.take(index, &entry?).err().map(|fault| (index, fault)));
        }
        Ok(Some((ring, faults)))
    }

    /// One entry, byte for byte.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        let found = self.entries(index, index + 1)?.next();
        found.unwrap_or(Err(OutOfRange { first: index, size: index }.into()))
    }

    /// The entries `from..to` in order, read in bounded memory. After an error the iterator ends.
    pub fn entries(&self, from: u64, to: u64) -> Result<Entries<'_>, ReadError> {
        self.check_range(to)?;
        Ok(Entries { reader: self, next: from, to, open: None })
    }

    /// The inclusion proof of an entry in the tree of `size` entries.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        self.check_range(size)?;
        tree::inclusion_proof(&mut Hashes(self), index, size)
    }

    /// The proof that the tree of `old` entries is a beginning of the tree of `new` entries.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        self.check_range(new)?;
        tree::consistency_proof(&mut Hashes(self), old, new)
    }

    /// The root over the first `size` entries, computed from them.
    pub fn root(&self, size: u64) -> Result<Hash, ReadError> {
        self.check_range(size)?;
        tree::root(&mut Hashes(self), size)
    }

    /// The proof file of an entry at the newest checkpoint. It is held against the signed root before it is given.
    pub fn tlog_proof(&self, index: u64) -> Result<TlogProof, ReadError> {
        let head = self.head()?.ok_or(OutOfRange { first: index, size: 0 })?;
        let Hash(leaf) = leaf_hash(&self.entry(index)?);
        let path = self.inclusion(index, head.checkpoint.size)?;
        let size = head.checkpoint.size;
        tree::verify_inclusion(&Hash(leaf), index, size, &path, &head.checkpoint.root)
            .map_err(|_| ReadError::WrongRoot { size })?;
        Ok(TlogProof { extra: None, index, path, checkpoint: head.note })
    }

    /// Every checkpoint that was ever published, oldest first, as far as the record of them is whole. Signatures are not
    /// verified here. `each` says whether to go on.
    pub fn recorded(&self, each: &mut dyn FnMut(SignedCheckpoint) -> bool) -> Result<(), ReadError> {
        let path = checkpoints::log_path(&self.dir);
        let failed = |source| ReadError::Io { path: path.clone(), source };
        let mut records = checkpoints::Records::open(self.disk.as_ref(), &self.dir).map_err(failed)?;
        while let Some(record) = records.next().map_err(failed)? {
            let Ok(note) = record.note else { return Ok(()) };
            let checkpoint = SignedCheckpoint::parse_unverified(&note);
            let checkpoint = checkpoint.map_err(|source| ReadError::Checkpoint { path: path.clone(), source })?;
            if !each(checkpoint) {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // What is cached is complete after every statement, so a panic elsewhere leaves it usable.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_range(&self, to: u64) -> Result<(), ReadError> {
        let known = self.cache().size;
        if to <= known {
            return Ok(());
        }
        let size = self.size()?;
        if to <= size { Ok(()) } else { Err(OutOfRange { first: to, size }.into()) }
    }

    /// The first index of the segment that holds an entry, and of the segment after it.
    fn segment_of(&self, index: u64) -> Result<(u64, Option<u64>), ReadError> {
        let find = |segments: &[u64]| {
            let after = segments.partition_point(|first| *first <= index);
            let first = after.checked_sub(1).and_then(|at| segments.get(at)).copied();
            first.map(|first| (first, segments.get(after).copied()))
        };
        if let Some(found @ (_, Some(_))) = find(&self.cache().segments) {
            return Ok(found);
        }
        let dir = segment::dir(&self.dir);
        let segments = segment::list(self.disk.as_ref(), &self.dir);
        let segments = segments.map_err(|source| ReadError::Io { path: dir.clone(), source })?;
        let found = find(&segments);
        self.cache().segments = segments;
        let what = "the segment with this entry is missing";
        found.ok_or(Damage { file: dir, offset: 0, entry: Some(index), what }.into())
    }

    fn open_segment(&self, first: u64) -> Result<Box<dyn DiskFile>, ReadError> {
        let path = segment::path(&self.dir, first);
        self.disk.open(&path, Open::Read).map_err(|source| ReadError::Io { path, source })
    }

    /// The nearest remembered place at or before an entry: its index and offset.
    fn nearest_mark(&self, first: u64, index: u64) -> (u64, u64) {
        let cache = self.cache();
        let marks = cache.marks.get(&first).map(Vec::as_slice).unwrap_or_default();
        let wanted = (index - first) / MARK_EVERY;
        let nth = wanted.min((marks.len() as u64).saturating_sub(1));
        let offset = usize::try_from(nth).ok().and_then(|nth| marks.get(nth)).copied();
        offset.map_or((first, segment::HEADER), |offset| (first + nth * MARK_EVERY, offset))
    }

    fn remember(&self, first: u64, index: u64, offset: u64) {
        if !(index - first).is_multiple_of(MARK_EVERY) {
            return;
        }
        let mut cache = self.cache();
        let marks = cache.marks.entry(first).or_default();
        if marks.len() as u64 == (index - first) / MARK_EVERY {
            marks.push(offset);
        }
    }

    /// The leaf hashes of the entries `start..start + len`, all in one block.
    fn leaves(&self, start: u64, len: u64) -> Result<Vec<Hash>, ReadError> {
        let block = start / BLOCK;
        let inside = |hashes: &[Hash]| {
            let from = usize::try_from(start - block * BLOCK).ok()?;
            hashes.get(from..from + usize::try_from(len).ok()?).map(<[Hash]>::to_vec)
        };
        if let Some((cached, hashes)) = &self.cache().block
            && *cached == block
            && let Some(found) = inside(hashes)
        {
            return Ok(found);
        }
        let end = ((block + 1) * BLOCK).min(self.cache().size).max(start + len);
        let hashes: Vec<Hash> = self
            .entries(block * BLOCK, end)?
            .map(|entry| entry.map(|entry| leaf_hash(&entry)))
            .collect::<Result<_, _>>()?;
        let found = inside(&hashes).ok_or(OutOfRange { first: start + len, size: end })?;
        self.cache().block = Some((block, hashes));
        Ok(found)
    }

    /// Reads on until the roots of all blocks below `size` are known.
    fn know_blocks(&self, size: u64) -> Result<(), ReadError> {
        let known = self.cache().levels.first().map_or(0, Vec::len) as u64;
        if known >= size / BLOCK {
            return Ok(());
        }
        let mut leaves = Vec::new();
        let mut next = known;
        for entry in self.entries(known * BLOCK, size / BLOCK * BLOCK)? {
            leaves.push(leaf_hash(&entry?));
            if leaves.len() as u64 == BLOCK {
                let root = tree::perfect_root(std::mem::take(&mut leaves));
                self.cache().push_block(next, root);
                next += 1;
            }
        }
        Ok(())
    }
}

/// The verifier key in the field `key` of a JSON object, as a first entry names it.
pub(crate) fn named_key_in(entry: &[u8]) -> Option<VerifierKey> {
    let json = serde_json::from_slice::<serde_json::Value>(entry).ok();
    let named = json.as_ref().and_then(|json| json.get("key")).and_then(|key| key.as_str());
    named.and_then(|key| key.parse().ok())
}

impl Cache {
    /// Adds the root of the block at that place, and of the larger subtrees that it completes.
    fn push_block(&mut self, block: u64, root: Hash) {
        if self.levels.first().map_or(0, Vec::len) as u64 != block {
            return;
        }
        let mut hash = root;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(level) else { return };
            row.push(hash);
            match row.as_slice() {
                [.., left, right] if row.len().is_multiple_of(2) => hash = node_hash(left, right),
                _ => return,
            }
        }
    }
}

/// Subtrees from the ledger's entries.
struct Hashes<'r>(&'r Reader);

impl Subtrees for Hashes<'_> {
    type Error = ReadError;
    fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, ReadError> {
        if level < BLOCK_LEVEL {
            return Ok(tree::perfect_root(self.0.leaves(index << level, 1 << level)?));
        }
        self.0.know_blocks((index + 1) << level)?;
        let cache = self.0.cache();
        let row = cache.levels.get((level - BLOCK_LEVEL) as usize);
        let found = row.and_then(|row| row.get(usize::try_from(index).ok()?));
        found.copied().ok_or(OutOfRange { first: index << level, size: cache.size }.into())
    }
}

/// Entries in order; see [`Reader::entries`].
pub struct Entries<'r> {
    reader: &'r Reader,
    next: u64,
    to: u64,
    open: Option<OpenSegment>,
}

/// A segment being read: a few entries at a time are copied out, so that no borrow of the file is kept.
struct OpenSegment {
    first: u64,
    /// The first index of the segment after it.
    end: Option<u64>,
    file: Box<dyn DiskFile>,
    /// Where the next frame to be read begins, and its entry.
    offset: u64,
    index: u64,
    ready: std::vec::IntoIter<Vec<u8>>,
}

/// How many bytes of entries are copied out at once.
const BATCH: usize = 256 * 1024;

impl Iterator for Entries<'_> {
    type Item = Result<Vec<u8>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.to {
            return None;
        }
        match self.read() {
            Ok(entry) => {
                self.next += 1;
                Some(Ok(entry))
            }
            Err(error) => {
                self.to = self.next;
                Some(Err(error))
            }
        }
    }
}

impl Entries<'_> {
    /// The indices still to come.
    pub fn remaining(&self) -> Range<u64> {
        self.next..self.to
    }

    fn read(&mut self) -> Result<Vec<u8>, ReadError> {
        loop {
            let left = self.open.as_ref().filter(|open| open.end.is_some_and(|end| self.next >= end));
            let left = left.map(|open| open.first);
            if left.is_some() || self.open.is_none() {
                let opened = OpenSegment::at(self.reader, self.next)?;
                if left == Some(opened.first) {
                    let file = segment::path(&self.reader.dir, opened.first);
                    let what = "the segment after this one is missing";
                    return Err(Damage { file, offset: opened.offset, entry: Some(self.next), what }.into());
                }
                self.open = Some(opened);
            }
            let Some(open) = &mut self.open else { continue };
            if let Some(entry) = open.ready.next() {
                return Ok(entry);
            }
            open.read_more(self.reader, self.next, self.to)?;
        }
    }
}

impl OpenSegment {
    fn at(reader: &Reader, index: u64) -> Result<OpenSegment, ReadError> {
        let (first, end) = reader.segment_of(index)?;
        let (at, offset) = reader.nearest_mark(first, index);
        let file = reader.open_segment(first)?;
        Ok(OpenSegment { first, end, file, offset, index: at, ready: Vec::new().into_iter() })
    }

    /// Copies out the next entries from `wanted` on, at least one.
    fn read_more(&mut self, reader: &Reader, wanted: u64, to: u64) -> Result<(), ReadError> {
        let path = segment::path(&reader.dir, self.first);
        let mut scanner = Scanner::at(self.file.as_ref(), self.first, self.index, self.offset);
        let mut entries = Vec::new();
        let mut bytes_ready = 0;
        let damage = |offset, entry, what| Damage { file: path.clone(), offset, entry: Some(entry), what };
        while self.index < to && bytes_ready < BATCH {
            match scanner.next() {
                Ok(Some(Frame::Entry { index, offset, bytes })) => {
                    reader.remember(self.first, index, offset);
                    if index >= wanted {
                        bytes_ready += bytes.len();
                        entries.push(bytes.to_vec());
                    }
                    self.index = index + 1;
                }
                // The writer began another segment since this one was opened.
                Ok(Some(Frame::Footer)) if !entries.is_empty() || self.end.is_none() => {
                    self.end = Some(self.index);
                    break;
                }
                Ok(Some(Frame::Footer) | None) => {
                    return Err(damage(scanner.offset(), self.index, "the entry is missing").into());
                }
                Err(ScanError::Bad { offset, what }) => {
                    // What was read before the damage is given out first.
                    if entries.is_empty() {
                        return Err(damage(offset, self.index, what).into());
                    }
                    break;
                }
                Err(ScanError::Io(source)) => return Err(ReadError::Io { path, source }),
            }
        }
        self.offset = scanner.offset();
        self.ready = entries.into_iter();
        Ok(())
    }
}
