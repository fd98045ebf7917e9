//! evidenced.
fn main() {}
