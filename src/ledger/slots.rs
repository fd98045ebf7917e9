//! A small record that is overwritten often and must never be half written: two slots, written in turn.
//!
//! Each slot is one 512-byte sector with a sequence number and a checksum; the newer valid one counts. Overwriting
//! in place and one `fdatasync` cost a fraction of a new file, a rename and two syncs.

use std::io;
use std::path::Path;

use crate::disk::{self, Disk, DiskFile, Open};

/// Bytes of a slot. A sector is written whole or not at all.
const SLOT: usize = 512;
/// The second slot stands in a page of its own.
const SECOND: usize = 4096;
const FILE: usize = SECOND + SLOT;
const MAGIC: &[u8; 8] = b"evdslot1";
/// Looking beside a running writer may catch a slot half copied; the next look does not.
const LOOKS: u32 = 8;
/// Magic, sequence number, length of the text, and the checksum at the end.
const OVERHEAD: usize = 8 + 8 + 2 + 4;

/// The longest text that a slot takes, in bytes.
pub(crate) const LONGEST: usize = SLOT - OVERHEAD;

/// Why a file of slots could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Neither slot holds, or the file has another length.
    #[error("neither of its two slots holds")]
    Damaged,
    /// The text does not fit.
    #[error("the record is longer than {LONGEST} bytes")]
    TooLong,
}

/// An open file of two slots.
pub(crate) struct Slots {
    file: Box<dyn DiskFile>,
    sequence: u64,
    text: String,
}

impl Slots {
    /// Makes the file with its first text, durably and at once.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, text: &str) -> Result<(), SlotError> {
        Ok(disk::replace(disk, path, &new_file(text)?)?)
    }

    /// Opens the file and reads the newer slot that holds.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, how: Open) -> Result<Slots, SlotError> {
        let file = disk.open(path, how)?;
        let (sequence, text) = newest(file.as_ref())?;
        Ok(Slots { file, sequence, text })
    }

    /// The text last read or written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the file still says what this process last read or wrote: nobody else moved it.
    pub(crate) fn unchanged(&self) -> Result<bool, SlotError> {
        let (sequence, text) = newest(self.file.as_ref())?;
        Ok(sequence == self.sequence && text == self.text)
    }

    /// Writes a new text into the older slot and makes it durable. After an error the file may hold either.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), SlotError> {
        let sequence = self.sequence + 1;
        self.put(sequence, text)?;
        self.sequence = sequence;
        self.text = text.to_owned();
        Ok(())
    }

    /// Writes the present text again into its own slot: a sync that failed earlier may have left it in memory only.
    pub(crate) fn write_again(&self) -> Result<(), SlotError> {
        self.put(self.sequence, &self.text)
    }

    /// Writes the present text into the other slot too, when that one does not hold: an interrupted write leaves it so.
    pub(crate) fn mend(&mut self) -> Result<(), SlotError> {
        let mut bytes = vec![0; FILE];
        let read = self.file.read_at(0, &mut bytes)?;
        if read == FILE && bytes_are_whole(&bytes) { Ok(()) } else { self.write(&self.text.clone()) }
    }

    fn put(&self, sequence: u64, text: &str) -> Result<(), SlotError> {
        let slot = encode(sequence, text)?;
        let offset = if sequence.is_multiple_of(2) { 0 } else { SECOND as u64 };
        self.file.write_at(offset, &slot)?;
        Ok(self.file.sync()?)
    }
}

/// The bytes of a file with its first text.
pub(crate) fn new_file(text: &str) -> Result<Vec<u8>, SlotError> {
    let mut bytes = vec![0; FILE];
    let slot = encode(0, text)?;
    if let Some(first) = bytes.first_chunk_mut::<SLOT>() {
        *first = slot;
    }
    Ok(bytes)
}

/// Whether every byte of the file is as this program writes it, both slots and what lies between.
pub(crate) fn is_whole(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    for _ in 0..LOOKS {
        if bytes_are_whole(&disk::read_file(disk, path, 2 * FILE as u64)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn bytes_are_whole(bytes: &[u8]) -> bool {
    let zero = |range: Option<&[u8]>| range.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    let slot = |offset: usize| bytes.get(offset..offset + SLOT);
    let (first, second) = (slot(0).and_then(decode), slot(SECOND).and_then(decode));
    let in_turn = match (&first, &second) {
        (Some((first, _)), Some((second, _))) => first.abs_diff(*second) == 1,
        (Some((0, _)), None) => zero(slot(SECOND)),
        _ => false,
    };
    bytes.len() == FILE && in_turn && zero(bytes.get(SLOT..SECOND))
}

fn newest(file: &dyn DiskFile) -> Result<(u64, String), SlotError> {
    let mut bytes = vec![0; FILE];
    let read = file.read_at(0, &mut bytes)?;
    if read != FILE {
        return Err(SlotError::Damaged);
    }
    let slots = [0, SECOND].into_iter().filter_map(|offset| bytes.get(offset..offset + SLOT).and_then(decode));
    slots.max_by_key(|(sequence, _)| *sequence).ok_or(SlotError::Damaged)
}

fn encode(sequence: u64, text: &str) -> Result<[u8; SLOT], SlotError> {
    if text.len() > LONGEST {
        return Err(SlotError::TooLong);
    }
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(SLOT - 4, 0);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes.try_into().map_err(|_| SlotError::TooLong)
}

fn decode(slot: &[u8]) -> Option<(u64, String)> {
    let (content, checksum) = slot.split_last_chunk::<4>()?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let rest = content.strip_prefix(MAGIC)?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let text = rest.get(..usize::from(u16::from_le_bytes(*len)))?;
    Some((u64::from_le_bytes(*sequence), String::from_utf8(text.to_vec()).ok()?))
}
