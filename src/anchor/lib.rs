//! Outside time: what to ask an RFC 3161 time-stamping authority, and whether its answer holds.
//!
//! The crate knows nothing of ledgers and does no I/O, so that a verifier stays small. ASN.1 is read by the RustCrypto
//! crates; signatures and chains are checked by rustls-webpki. A chain is checked at the time that the token itself
//! gives, so that an answer outlives the certificate of the authority. Revocation is not looked at: an authority whose
//! key is known to be lost has to be taken out of the trusted certificates.

mod chain;
mod request;
#[cfg(feature = "testing")]
pub mod testing;
mod token;

pub use chain::{Roots, RootsError};
pub use request::Request;
pub use token::{Stamp, StampError, accept, verify};
