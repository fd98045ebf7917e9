//! The harness that every connector is tested with, and stand-ins for the daemon around a run.
//!
//! A connector is tested against answers that a real source once gave: [`Fixture`] holds them, and [`Harness`] replays
//! them over loopback, compares the run with a file of what is expected, and then makes the bad days itself from the
//! same answers. It demands a gap for each, never silence, and that nothing unread becomes a value.

mod stand_ins;
pub use stand_ins::{ConnectedBy, FixedClock, FullWait, MemoryBodies, NoSecrets, OneSecret, surroundings};

mod evidence;
pub use evidence::{MemoryEvidence, Wrong};

mod fixture;
pub use fixture::{Fixture, Recorded};

mod server;
pub use server::{Day, Replay};

mod harness;
pub use harness::{Harness, check_kind};
