//! Any bytes, read as the files of a package.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(dir) = tempfile::tempdir() {
        verifier::testing::package(dir.path(), bytes).ok();
    }
});
