//! Any bytes, read as a signed note or a verifier key.
#![no_main]

use ledger::testing::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::note(bytes);
});
