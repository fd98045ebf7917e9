//! The tests of the whole program: one binary, so that it is linked once.

// The attribute tells the lints that this is test code, helpers included.
#[cfg(test)]
mod anchors;
#[cfg(test)]
mod badday;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod erase;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod joins;
#[cfg(test)]
mod judging;
#[cfg(test)]
mod package;
#[cfg(test)]
mod parties;
#[cfg(test)]
mod rollback;
#[cfg(test)]
mod running;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod witnesses;
