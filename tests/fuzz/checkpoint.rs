//! Any bytes, read as a checkpoint, the log of checkpoints or a high-water mark.
#![no_main]

use ledger::testing::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::checkpoint(bytes);
});
