//! `evidenced`: the daemon's wiring. The crates under `src/` and `connectors/` do the work; see `ARCHITECTURE.md`.

pub mod anchoring;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod earlier;
pub mod evidence;
pub mod judge;
pub mod knowledge;
pub mod loaded;
pub mod notify;
pub mod package;
pub mod pipeline;
pub mod reload;
pub mod replay;
pub mod room;
pub mod schedule;
pub mod scrubbing;
pub mod serve;
pub mod telemetry;
pub mod trouble;
pub mod verify;
pub mod watch;
pub mod witnessing;
