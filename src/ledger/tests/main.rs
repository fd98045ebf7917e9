//! What the ledger promises, through its public door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod support;

mod bodies;
mod crash;
mod damage;
mod faults;
mod formats;
mod kill;
mod log;
mod raw;
mod reader;
mod rotation;
mod sealed;
mod tiles;
mod tree;
mod witness;
