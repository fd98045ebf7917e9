//! evidenced.
