//! Any bytes, read as the manifest of a population or of observations.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    store::testing::manifest(bytes);
});
