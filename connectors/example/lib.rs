//! example.
