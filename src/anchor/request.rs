//! The request: RFC 3161 section 2.4.1.

use aws_lc_rs::digest::{SHA256, digest};
use cms::cert::x509::spki::AlgorithmIdentifier;
use der::Encode;
use der::asn1::{Int, OctetString};
use der::oid::db::rfc5912::ID_SHA_256;
use x509_tsp::{MessageImprint, TimeStampReq, TspVersion};

/// A request for a time stamp over the SHA-256 of some bytes, which asks for the authority's certificates as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    nonce: [u8; 8],
    der: Vec<u8>,
}

impl Request {
    /// What an HTTP request with [`Request::der`] must say it is (RFC 3161 section 3.4).
    pub const CONTENT_TYPE: &'static str = "application/timestamp-query";

    /// A request for `data`. The nonce must be fresh and random: it is what shows that the answer is to this request.
    ///
    /// # Errors
    /// None that could be met: the fields are all of fixed size.
    pub fn new(data: &[u8], random: [u8; 8]) -> Result<Request, der::Error> {
        // A positive integer in its shortest form, whatever the random bytes are.
        let [first, rest @ ..] = random;
        let [a, b, c, d, e, f, g] = rest;
        let nonce = [(first & 0x3f) | 0x40, a, b, c, d, e, f, g];
        let imprint = MessageImprint {
            hash_algorithm: AlgorithmIdentifier { oid: ID_SHA_256, parameters: None },
            hashed_message: OctetString::new(digest(&SHA256, data).as_ref())?,
        };
        let request = TimeStampReq {
            version: TspVersion::V1,
            message_imprint: imprint,
            req_policy: None,
            nonce: Some(Int::new(&nonce)?),
            cert_req: true,
            extensions: None,
        };
        Ok(Request { nonce, der: request.to_der()? })
    }

    /// The bytes to send.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn nonce(&self) -> &[u8] {
        &self.nonce
    }
}
