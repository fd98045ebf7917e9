//! The harness that every connector is tested with, and stand-ins for the daemon around a run.

mod stand_ins;
pub use stand_ins::{FixedClock, FullWait, MemoryBodies, NoSecrets, OneSecret, surroundings};
