//! For tests only: the readers of manifests against any bytes at all. They end, do not panic, and what they accept is exactly
//! what would have been written. Run over raw bytes in every test run (`src/store/tests/raw.rs`), and by cargo fuzz
//! (`tests/fuzz`).

use crate::read::{observation_lines, population_lines};

/// A manifest of a population and one of observations. Gives whether one of them was accepted.
pub fn manifest(bytes: &[u8]) -> bool {
    let mut accepted = false;
    if let Ok(rows) = population_lines(bytes) {
        let mut written = String::new();
        for (pseudonym, body) in rows {
            written.push_str(&format!("{pseudonym} {body}\n"));
        }
        assert_eq!(written.as_bytes(), bytes, "a population has one form");
        accepted = true;
    }
    if let Ok(rows) = observation_lines(bytes) {
        let mut written = String::new();
        rows.iter().for_each(|row| row.write_to(&mut written));
        assert_eq!(written.as_bytes(), bytes, "observations have one form");
        accepted = true;
    }
    accepted
}
