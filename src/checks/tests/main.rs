//! What checks promise, through the public door.

// The attribute tells the lints that this is test code, helpers included.
#[cfg(test)]
mod embedded;
