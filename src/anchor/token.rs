//! The answer: RFC 3161 section 2.4.2, a CMS signed message (RFC 5652) around the time.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate;
use cms::cert::x509::ext::pkix::{ExtendedKeyUsage, SubjectKeyIdentifier};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::oid::db::{rfc5280, rfc5911, rfc5912, rfc6268};
use der::pem::{LineEnding, encode_string};
use der::{Any, Decode, Encode, Sequence};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use x509_tsp::{TimeStampResp, TstInfo};

use crate::chain::Roots;
use crate::request::Request;

/// A longer answer is not read. One with a chain of three certificates has about six thousand bytes.
const GREATEST: usize = 256 * 1024;
/// TSTInfo as the content of a signed message (RFC 3161 section 2.4.2).
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
/// PKIStatus: granted, and granted with modifications.
const GRANTED: u8 = 1;

/// What an authority says, and what it takes to say that it did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The time it gives, in milliseconds since 1970: the bytes existed before it.
    pub time: i64,
    /// By how many milliseconds that may be wrong, if it says so.
    pub accuracy: Option<u64>,
    /// The subject of the certificate that signed.
    pub signer: String,
    /// That certificate, first, and the others that the answer holds, each in DER.
    pub certificates: Vec<Vec<u8>>,
}

impl Stamp {
    /// The certificates of the answer, and those that are trusted, as PEM: all that a verifier needs besides the answer,
    /// kept while it can be had. Whom to trust it must decide by itself.
    ///
    /// # Errors
    /// None that could be met: they were read from DER.
    pub fn chain(&self, roots: &Roots) -> Result<String, der::pem::Error> {
        let own = self.certificates.iter().map(Vec::as_slice);
        let others = roots.certificates().filter(|root| self.certificates.iter().all(|own| own != root));
        own.chain(others).map(|der| encode_string("CERTIFICATE", LineEnding::LF, der)).collect()
    }
}

/// Why an answer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// It cannot be read, and where that ended.
    #[error("it is not an answer in the form of RFC 3161: {0}")]
    Malformed(String),
    /// The authority refuses, and what it says of that.
    #[error("the authority did not grant it: {0}")]
    NotGranted(String),
    /// It is about other bytes.
    #[error("it dates other bytes than those that were sent")]
    OtherBytes,
    /// It is the answer to another request.
    #[error("it does not repeat the number that was sent with the request")]
    OtherRequest,
    /// The certificate that signed is not in it.
    #[error("it does not hold the certificate that signed it")]
    NoCertificate,
    /// The signature was made by a means that is not known here.
    #[error("its signature is made with {0}, which is not understood")]
    Unsupported(String),
    /// The signature, or the digest that it is over, does not hold.
    #[error("its signature does not hold: {0}")]
    Signature(&'static str),
    /// The certificate is not one for time stamping alone.
    #[error("the certificate that signed it is not for time stamping alone")]
    Purpose,
    /// The certificate does not lead to a trusted one, or one on the way was not valid when it signed.
    #[error("the certificate {signer} does not lead to a trusted one: {why}")]
    Untrusted {
        /// The subject of the certificate that signed.
        signer: String,
        /// What is missing.
        why: String,
    },
}

impl StampError {
    /// Whether the answer may be sound, and only trust is missing.
    pub fn is_of_trust(&self) -> bool {
        matches!(self, StampError::Untrusted { .. })
    }
}

/// Reads an answer to a request that was just made for `data`, and checks all that can be checked.
pub fn accept(answer: &[u8], data: &[u8], request: &Request, roots: &Roots) -> Result<Stamp, StampError> {
    let (info, stamp) = read(answer, data, roots)?;
    let nonce = info.nonce.as_ref().map(|nonce| nonce.as_bytes());
    if nonce != Some(request.nonce()) {
        return Err(StampError::OtherRequest);
    }
    Ok(stamp)
}

/// Checks an answer that was kept: that it dates `data`, and that a trusted authority gave it.
pub fn verify(answer: &[u8], data: &[u8], roots: &Roots) -> Result<Stamp, StampError> {
    read(answer, data, roots).map(|(_, stamp)| stamp)
}

fn read(answer: &[u8], data: &[u8], roots: &Roots) -> Result<(TstInfo, Stamp), StampError> {
    if answer.len() > GREATEST {
        return Err(malformed(format!("it has more than {GREATEST} bytes")));
    }
    let response = TimeStampResp::from_der(answer).map_err(malformed)?;
    let status = response.status.status as u8;
    if status > GRANTED {
        let words = response.status.status_string.iter().flatten().map(|word| word.as_str()).collect::<Vec<_>>();
        let said = if words.is_empty() { String::new() } else { format!(", {:?}", words.join(" ")) };
        return Err(StampError::NotGranted(format!("status {status}{said}")));
    }
    let token = response.time_stamp_token.ok_or_else(|| malformed("it has no token"))?;
    if token.content_type != rfc5911::ID_SIGNED_DATA {
        return Err(malformed("its token is not signed"));
    }
    let signed: SignedData = token.content.decode_as().map_err(malformed)?;
    let content = signed.encap_content_info.econtent.as_ref().filter(|_| {
        let kind = signed.encap_content_info.econtent_type;
        kind == TST_INFO
    });
    let content = content.ok_or_else(|| malformed("its token holds no time"))?.value();
    let info = TstInfo::from_der(content).map_err(malformed)?;
    check_imprint(&info, data)?;
    let (signer, certificates) = signature(&signed, content)?;
    check_purpose(&signer)?;
    let subject = signer.tbs_certificate.subject.to_string();
    let time = info.gen_time.to_unix_duration();
    let between = certificates.get(1..).unwrap_or_default();
    let own = certificates.first().map(Vec::as_slice).unwrap_or_default();
    roots
        .lead_to(own, between, time.as_secs())
        .map_err(|why| StampError::Untrusted { signer: subject.clone(), why: in_words(&why) })?;
    let accuracy = info.accuracy.as_ref().map(|accuracy| {
        let part = |part: Option<i16>| u64::try_from(part.unwrap_or(0)).unwrap_or(0);
        let whole = accuracy.seconds.unwrap_or(0).saturating_mul(1000);
        whole.saturating_add(part(accuracy.millis)).saturating_add(part(accuracy.micros).div_ceil(1000))
    });
    let time = i64::try_from(time.as_millis()).map_err(|_| malformed("its time is out of reach"))?;
    Ok((info, Stamp { time, accuracy, signer: subject, certificates }))
}

/// The token must be about the SHA-256 of the data: that is what was asked for.
fn check_imprint(info: &TstInfo, data: &[u8]) -> Result<(), StampError> {
    let imprint = &info.message_imprint;
    let same = imprint.hash_algorithm.oid == rfc5912::ID_SHA_256
        && imprint.hashed_message.as_bytes() == digest(&SHA256, data).as_ref();
    if same { Ok(()) } else { Err(StampError::OtherBytes) }
}

/// Checks the one signature of a token. Gives the certificate that made it, and all of them in DER, that one first.
fn signature(signed: &SignedData, content: &[u8]) -> Result<(Certificate, Vec<Vec<u8>>), StampError> {
    let [info] = signed.signer_infos.0.as_slice() else {
        return Err(StampError::Signature("there is not exactly one"));
    };
    let (signer, certificates) = find_signer(signed, &info.sid)?;
    let own = certificates.first().map(Vec::as_slice).unwrap_or_default();
    let hash = hash_of(&info.digest_alg)?;
    let attributes = info.signed_attrs.as_ref().ok_or(StampError::Signature("it does not cover the certificate"))?;
    let kind: ObjectIdentifier = attribute(info, rfc5911::ID_CONTENT_TYPE)?.decode_as().map_err(malformed)?;
    if kind != TST_INFO {
        return Err(StampError::Signature("it is over something else than a time"));
    }
    let said: OctetString = attribute(info, rfc6268::ID_MESSAGE_DIGEST)?.decode_as().map_err(malformed)?;
    if said.as_bytes() != digest(hash, content).as_ref() {
        return Err(StampError::Signature("the digest in it is not that of the time"));
    }
    check_bound(info, own)?;
    // RFC 5652 section 5.4: signed is the set of attributes with the tag of a set, not the one it has in the message.
    let set = SetOfVec::try_from(attributes.iter().cloned().collect::<Vec<_>>()).map_err(malformed)?;
    let message = set.to_der().map_err(malformed)?;
    let certificate = CertificateDer::from(own);
    let certificate = webpki::EndEntityCert::try_from(&certificate).map_err(malformed)?;
    let held = schemes(hash).into_iter().any(|scheme| {
        let signature = info.signature.as_bytes();
        certificate.verify_signature(scheme, &message, signature).is_ok()
    });
    if held { Ok((signer, certificates)) } else { Err(StampError::Signature("another key made it, or it was changed")) }
}

/// Looks for the certificate that a signer names among those of the message.
fn find_signer(signed: &SignedData, sid: &SignerIdentifier) -> Result<(Certificate, Vec<Vec<u8>>), StampError> {
    let is_it = |certificate: &Certificate| match sid {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            let held = &certificate.tbs_certificate;
            held.issuer == named.issuer && held.serial_number == named.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => {
            let held = certificate.tbs_certificate.get::<SubjectKeyIdentifier>();
            matches!(held, Ok(Some((_, held))) if held == *named)
        }
    };
    let mut found = None;
    let mut ders = Vec::new();
    for choice in signed.certificates.iter().flat_map(|set| set.0.iter()) {
        let CertificateChoices::Certificate(certificate) = choice else { continue };
        let der = certificate.to_der().map_err(malformed)?;
        if found.is_none() && is_it(certificate) {
            found = Some(certificate.clone());
            ders.insert(0, der);
        } else {
            ders.push(der);
        }
    }
    found.map(|found| (found, ders)).ok_or(StampError::NoCertificate)
}

/// The one value of a signed attribute.
fn attribute(info: &SignerInfo, kind: ObjectIdentifier) -> Result<&Any, StampError> {
    let found = info.signed_attrs.iter().flat_map(|attributes| attributes.iter()).find(|one| one.oid == kind);
    match found.map(|one| one.values.as_slice()) {
        Some([value]) => Ok(value),
        _ => Err(StampError::Signature("what it must cover is not there once")),
    }
}

/// RFC 5035: the signature covers which certificate it is to be checked with.
#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
    #[asn1(optional = "true")]
    policies: Option<Any>,
}

#[derive(Sequence)]
struct EssCertIdV2 {
    #[asn1(optional = "true")]
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    cert_hash: OctetString,
    #[asn1(optional = "true")]
    issuer_serial: Option<Any>,
}

/// RFC 3161 section 2.4.2: the identifier of the certificate must be among what is signed, so that no other certificate
/// over the same key can be put in its place.
fn check_bound(info: &SignerInfo, certificate: &[u8]) -> Result<(), StampError> {
    let value = attribute(info, rfc5911::ID_AA_SIGNING_CERTIFICATE_V_2).map(|value| (value, &SHA256));
    // The older form has no algorithm in it: it is always SHA-1.
    let older = || attribute(info, rfc5911::ID_AA_SIGNING_CERTIFICATE).map(|value| (value, &SHA1_FOR_LEGACY_USE_ONLY));
    let (value, usual) = value.or_else(|_| older())?;
    let named: SigningCertificateV2 = value.decode_as().map_err(malformed)?;
    let first = named.certs.first().ok_or(StampError::Signature("it names no certificate"))?;
    let hash = first.hash_algorithm.as_ref().map_or(Ok(usual), hash_of)?;
    let same = digest(hash, certificate).as_ref() == first.cert_hash.as_bytes();
    if same { Ok(()) } else { Err(StampError::Signature("it was made to be checked with another certificate")) }
}

/// RFC 3161 section 2.3: the key is for time stamping and nothing else, and the certificate says so critically.
fn check_purpose(certificate: &Certificate) -> Result<(), StampError> {
    match certificate.tbs_certificate.get::<ExtendedKeyUsage>() {
        Ok(Some((true, usage))) if usage.0.as_slice() == [rfc5280::ID_KP_TIME_STAMPING] => Ok(()),
        _ => Err(StampError::Purpose),
    }
}

fn hash_of(algorithm: &AlgorithmIdentifierOwned) -> Result<&'static Algorithm, StampError> {
    match algorithm.oid {
        rfc5912::ID_SHA_256 => Ok(&SHA256),
        rfc5912::ID_SHA_384 => Ok(&SHA384),
        rfc5912::ID_SHA_512 => Ok(&SHA512),
        SHA_1 => Err(StampError::Unsupported("SHA-1".to_owned())),
        other => Err(StampError::Unsupported(other.to_string())),
    }
}

/// The ways to sign that use a digest; which of them fits follows from the key.
fn schemes(hash: &'static Algorithm) -> [&'static dyn SignatureVerificationAlgorithm; 5] {
    use webpki::aws_lc_rs as by;
    match hash.output_len() {
        32 => [
            by::RSA_PKCS1_2048_8192_SHA256,
            by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            by::ECDSA_P256_SHA256,
            by::ECDSA_P384_SHA256,
            by::ECDSA_P521_SHA256,
        ],
        48 => [
            by::RSA_PKCS1_2048_8192_SHA384,
            by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
            by::ECDSA_P256_SHA384,
            by::ECDSA_P384_SHA384,
            by::ECDSA_P521_SHA384,
        ],
        _ => [
            by::RSA_PKCS1_2048_8192_SHA512,
            by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
            by::ECDSA_P256_SHA512,
            by::ECDSA_P384_SHA512,
            by::ECDSA_P521_SHA512,
        ],
    }
}

fn in_words(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "one on the way had expired when it signed".to_owned(),
        webpki::Error::CertNotValidYet { .. } => "one on the way was not valid yet when it signed".to_owned(),
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "who issued it is not among the trusted certificates".to_owned()
        }
        other => other.to_string(),
    }
}

fn malformed(why: impl ToString) -> StampError {
    StampError::Malformed(why.to_string())
}
