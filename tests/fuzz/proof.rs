//! Any bytes, read as a proof file.
#![no_main]

use ledger::testing::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::proof(bytes);
});
