//! Signed notes (C2SP signed-note v1.0.0) with Ed25519 signatures, type 0x01.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};

/// The signature type of Ed25519 in a verifier key and in a key id.
const ED25519: u8 = 0x01;
/// A note may carry this many signatures; the specification asks for at least 16.
const MOST_SIGNATURES: usize = 64;
/// A note longer than this is refused before it is read.
const GREATEST_NOTE: usize = 1 << 20;

/// Why a note, a key or a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A key name is empty, or has white space or a plus sign.
    #[error("not a key name: {0:?}; it must not be empty nor have spaces or '+'")]
    Name(String),
    /// A verifier key that cannot be read, with the part that is wrong.
    #[error("not a verifier key: {0}")]
    VerifierKey(&'static str),
    /// A note that does not have the form of one, with the part that is wrong.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A signature by a known key does not hold; the whole note is refused.
    #[error("the signature of {0} does not hold")]
    Invalid(String),
    /// No known key signed.
    #[error("no known key signed this note")]
    Unsigned,
}

/// A key that signs notes. Its seed is wiped from memory when it is dropped, and is never printed.
pub struct SigningKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// The key of that name (for a log: its origin) from a 32-byte seed of good randomness.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<SigningKey, NoteError> {
        check_name(name)?;
        Ok(SigningKey { name: name.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(seed) })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The text with this key's signature: a whole note. The same text always gives the same bytes.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        sign_together(text, &[self])
    }

    /// The line of this key's signature, with its newline.
    fn line(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes());
        let mut bytes = self.verifier().id().to_vec();
        bytes.extend_from_slice(&signature.to_bytes());
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

/// The text with the signatures of several keys, in their order: a whole note.
pub fn sign_together(text: &str, keys: &[&SigningKey]) -> Result<String, NoteError> {
    check_text(text)?;
    if keys.is_empty() {
        return Err(NoteError::Unsigned);
    }
    let lines: String = keys.iter().map(|key| key.line(text)).collect();
    Ok(format!("{text}\n{lines}"))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier())
    }
}

/// A key that verifies notes, one line of text: `name+id+base64`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name ‖ newline ‖ type ‖ public key).
    pub fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<VerifierKey, NoteError> {
        let refused = NoteError::VerifierKey;
        let (name, rest) = text.split_once('+').ok_or(refused("expected name+id+key"))?;
        let (id, key) = rest.split_once('+').ok_or(refused("expected name+id+key"))?;
        check_name(name)?;
        let bytes = STANDARD.decode(key).map_err(|_| refused("the key is not base64"))?;
        let Some((&ED25519, public)) = bytes.split_first() else {
            return Err(refused("only Ed25519 (type 1) is understood"));
        };
        let public = <[u8; 32]>::try_from(public).map_err(|_| refused("the key does not have 32 bytes"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&public).map_err(|_| refused("not a point on the curve"))?;
        let verifier = VerifierKey { name: name.to_owned(), key };
        if hex::encode(verifier.id()) != id {
            return Err(refused("the id does not belong to the key"));
        }
        Ok(verifier)
    }
}

/// A note whose signatures by known keys all hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedNote<'a> {
    /// The text, with its final newline.
    pub text: &'a str,
    /// Names of the known keys that signed, in the order of the note.
    pub signers: Vec<String>,
}

/// Verifies a note. Signatures by unknown keys are ignored; one bad signature by a known key refuses the note.
pub fn verify<'a>(note: &'a [u8], known: &[VerifierKey]) -> Result<VerifiedNote<'a>, NoteError> {
    let Parts { text, signatures } = split(note)?;
    let mut signers = Vec::new();
    for (name, bytes) in signatures {
        let Some((id, signature)) = bytes.split_first_chunk::<4>() else {
            return Err(NoteError::Malformed("a signature is too short"));
        };
        let Some(key) = known.iter().find(|key| key.name == name && key.id() == *id) else { continue };
        let signature = ed25519_dalek::Signature::from_slice(signature);
        let holds = signature.is_ok_and(|signature| key.key.verify_strict(text.as_bytes(), &signature).is_ok());
        if !holds {
            return Err(NoteError::Invalid(name.to_owned()));
        }
        if !signers.iter().any(|signer| signer == name) {
            signers.push(name.to_owned());
        }
    }
    if signers.is_empty() { Err(NoteError::Unsigned) } else { Ok(VerifiedNote { text, signers }) }
}

/// The text of a note without looking at who signed it. For reading only: nothing is verified.
pub fn unverified_text(note: &[u8]) -> Result<&str, NoteError> {
    split(note).map(|parts| parts.text)
}

/// A note taken apart.
struct Parts<'a> {
    /// The text with its final newline.
    text: &'a str,
    /// Each signature line as its name and its decoded bytes.
    signatures: Vec<(&'a str, Vec<u8>)>,
}

fn split(note: &[u8]) -> Result<Parts<'_>, NoteError> {
    let refused = NoteError::Malformed;
    if note.len() > GREATEST_NOTE {
        return Err(refused("it is too long"));
    }
    let note = std::str::from_utf8(note).map_err(|_| refused("it is not UTF-8"))?;
    let blank = note.rfind("\n\n").ok_or(refused("no blank line before the signatures"))?;
    let (text, rest) = note.split_at(blank + 1);
    check_text(text)?;
    let lines = rest.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n'));
    let lines = lines.ok_or(refused("it does not end in a newline"))?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
        let (name, base64) = parts.ok_or(refused("a signature line does not have its form"))?;
        check_name(name).map_err(|_| refused("a signature line has no valid name"))?;
        let bytes = STANDARD.decode(base64).map_err(|_| refused("a signature is not base64"))?;
        signatures.push((name, bytes));
        if signatures.len() > MOST_SIGNATURES {
            return Err(refused("it has too many signatures"));
        }
    }
    Ok(Parts { text, signatures })
}

pub(crate) fn check_name(name: &str) -> Result<(), NoteError> {
    let refused = name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
    if refused { Err(NoteError::Name(name.to_owned())) } else { Ok(()) }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end in a newline"));
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed("the text has control characters"));
    }
    Ok(())
}
