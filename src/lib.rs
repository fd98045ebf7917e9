//! evidenced.

pub mod schedule;
