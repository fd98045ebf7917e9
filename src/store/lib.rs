//! The single writer: bodies, then ledger, then index; and reading all three.
//!
//! [`Store`] is what the daemon holds. [`Offline`] reads the same data directory without a lock, beside a running
//! daemon or without one. Both answer through [`Read`].

pub mod fold;
pub mod index;
pub mod read;
pub mod rows;

mod anchors;
mod backup;
mod birth;
mod bodies;
mod catch_up;
mod data_key;
mod epoch;
mod erase;
mod erased;
mod examine;
mod holds;
mod keeping;
mod keys;
mod layout;
mod offline;
mod open_index;
mod opening;
mod pace;
mod plan;
mod record;
mod restore;
mod retention;
mod scrub;
mod start;
mod subjects;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod walk;
mod watched;
mod writer;

pub use anchors::Dated;
pub use backup::{Backup, BackupError, backup, backup_to};
pub use catch_up::genesis;
pub use data_key::{DataKeyError, record_keys, rewrap};
pub use epoch::{CloseError, Closed, close};
pub use erase::{EraseError, Erasure, Left, Record};
pub use erased::erased;
pub use examine::{IndexState, examine_data_key, examine_index, examine_signing_key};
pub use holds::{HoldError, holds};
pub use keys::{RotateError, Rotated, rotate_key};
pub use layout::Layout;
pub use offline::{Absent, Offline, SaltedBody};
pub use read::{Head, Read, ReadError};
pub use record::{Rows, canonical, row_text};
pub use restore::{RestoreError, Restoring};
pub use retention::{Expiring, Fate, Look, Looks, Rest, fate};
pub use scrub::Scrubber;
pub use start::{Meanwhile, Starting};
pub use writer::{InitError, LEAST_ROOM, OpenError, Options, Random, Receipt, Recovered, Store, StoreError};
