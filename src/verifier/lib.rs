//! Verifies an evidence package from its folder alone, with the ledger's formats, those of outside time, and nothing else of this
//! program.
//!
//! [`PYTHON`] is a second verifier of the same packages, which shares nothing with this one: it goes into every package,
//! and both have to come to the same verdict on every package there can be.

mod anchors;
mod due;
mod meaning;
mod package;
mod report;
mod slots;
mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;

pub use due::{slots as due_slots, zone};
pub use package::{tables, verify};
pub use report::{Asked, Kind, Level, Problem, Report};
pub use tables::{Tables, csv_line};

/// The second verifier: Python's standard library and the command `openssl`.
pub const PYTHON: &str = include_str!("verify.py");
