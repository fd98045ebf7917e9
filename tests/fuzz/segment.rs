//! Any bytes, read as a segment.
#![no_main]

use ledger::testing::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::segment(bytes);
    fuzz::frames(bytes);
});
