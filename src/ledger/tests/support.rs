//! A small ledger on a model disk.

use std::path::Path;

use ledger::testing::ModelDisk;
use ledger::{Log, LogOptions, OpenError, Recovery, Report, SigningKey, VerifyOptions, verify_on};

pub(crate) const ORIGIN: &str = "example.org/evidenced/test";
pub(crate) const SEED: [u8; 32] = [7; 32];
/// Small segments, so that a few batches fill several.
pub(crate) const OPTIONS: LogOptions = LogOptions { segment_bytes: 900, low_water: 1000 };

pub(crate) fn dir() -> &'static Path {
    Path::new("/data/ledger")
}

pub(crate) fn guard() -> &'static Path {
    Path::new("/guard")
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &SEED).unwrap()
}

/// The first entry, which names the key as a genesis does.
pub(crate) fn genesis() -> Vec<u8> {
    format!(r#"{{"t":"genesis","origin":"{ORIGIN}","key":"{}"}}"#, key().verifier()).into_bytes()
}

/// An entry that says which one it is, of varying length.
pub(crate) fn entry(n: u64) -> Vec<u8> {
    let filler = "x".repeat((n as usize * 37) % 150);
    format!(r#"{{"n":{n},"filler":"{filler}"}}"#).into_bytes()
}

pub(crate) fn entries(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(entry).collect()
}

pub(crate) fn create(disk: &ModelDisk) -> Result<Log, OpenError> {
    Log::create_with(disk.shared(), dir(), guard(), key(), &genesis(), OPTIONS)
}

pub(crate) fn open(disk: &ModelDisk) -> Result<(Log, Recovery), OpenError> {
    Log::open_with(disk.shared(), dir(), guard(), key(), OPTIONS)
}

pub(crate) fn verify(disk: &ModelDisk) -> Report {
    let options =
        VerifyOptions { key: Some(key().verifier()), guard: Some(guard().to_owned()), ..VerifyOptions::default() };
    verify_on(disk.shared(), dir(), &options, &mut |_| {})
}

/// A ledger of a genesis and batches of 1, 2, 3 … entries, several segments long.
pub(crate) fn small_ledger(batches: u64) -> ModelDisk {
    let disk = ModelDisk::new();
    let mut log = create(&disk).unwrap();
    for batch in 1..=batches {
        let next = log.size();
        log.append(&entries(next..next + batch)).unwrap();
    }
    disk
}
