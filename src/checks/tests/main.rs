//! What checks promise, through the public door.

// The attributes tell the lints that this is test code, helpers included.
#[cfg(test)]
mod conclude;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod evaluate;
#[cfg(test)]
mod params;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod support;
