//! Certificates: which are trusted, and whether one leads to them.

use std::time::Duration;

use cms::cert::x509::Certificate;
use der::Decode;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// The last bytes of the object identifier of time stamping as a key's purpose: 1.3.6.1.5.5.7.3.8 (RFC 5280).
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// The certificates that are trusted to vouch for authorities.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
}

/// A text holds no certificates to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// It is not PEM, or none of its blocks is a certificate.
    #[error("it holds no certificate in PEM")]
    None,
    /// A certificate that cannot be read, counted from 1.
    #[error("certificate {0} in it cannot be read")]
    Unreadable(usize),
}

impl Roots {
    /// The certificates of a PEM text; blocks of other kinds are passed over.
    pub fn from_pem(text: &[u8]) -> Result<Roots, RootsError> {
        let certificates: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(text).collect();
        let certificates = certificates.map_err(|_| RootsError::None)?;
        if certificates.is_empty() {
            return Err(RootsError::None);
        }
        for (place, certificate) in (1..).zip(&certificates) {
            anchor_from_trusted_cert(certificate).map_err(|_| RootsError::Unreadable(place))?;
        }
        Ok(Roots { certificates })
    }

    /// These and those of another.
    pub fn and(mut self, more: Roots) -> Roots {
        for certificate in more.certificates {
            if !self.certificates.contains(&certificate) {
                self.certificates.push(certificate);
            }
        }
        self
    }

    /// When the first of them ends, in seconds since 1970; `None` when there is none, or none that can be read.
    pub fn first_end(&self) -> Option<u64> {
        let end = |der: &CertificateDer<'_>| {
            let certificate = Certificate::from_der(der).ok()?;
            Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
        };
        self.certificates.iter().filter_map(end).min()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The certificates, each in DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(|certificate| certificate.as_ref())
    }

    /// Whether a certificate for time stamping leads to one of these, by way of `between`, with all of them valid at
    /// that time in seconds since 1970; else why not.
    pub(crate) fn lead_to(&self, signer: &[u8], between: &[Vec<u8>], at: u64) -> Result<(), webpki::Error> {
        let signer = CertificateDer::from(signer);
        let signer = EndEntityCert::try_from(&signer)?;
        let anchors: Result<Vec<TrustAnchor<'_>>, _> =
            self.certificates.iter().map(|certificate| anchor_from_trusted_cert(certificate)).collect();
        let between: Vec<CertificateDer<'_>> = between.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        let usage = KeyUsage::required(TIME_STAMPING);
        signer.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors?, &between, at, usage, None, None).map(|_| ())
    }
}
