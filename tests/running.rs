//! What whoever runs the daemon relies on: settings and secrets that change beside it, its end, its place, its word.

mod living;
mod readers;
mod settings;
mod telemetry;
