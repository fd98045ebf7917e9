//! Which keys may sign for a ledger, and from which size to which.
//!
//! The first entry names the first key. A later entry `{"t":"key","succession":…}` names its successor in a note that both
//! have signed; from then on both sign every checkpoint. An entry `{"t":"key","retires":…}` ends the older one: it signs
//! for no tree that holds that entry. Whoever knows one of the keys can so follow to all later ones.

use crate::note::{self, NoteError, SigningKey, VerifierKey};

/// The first line of a note that names a successor.
const TITLE: &str = "evidenced key succession";
/// Entries of other kinds are told apart by their end: they are canonical JSON, in which the version alone follows `t`.
const KIND: &[u8] = br#""t":"key""#;
const END: usize = 32;

/// The keys of a ledger, in the order in which they came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyRing {
    keys: Vec<KeyRange>,
}

/// A key, and the sizes of the trees that it may sign for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRange {
    /// The key.
    pub key: VerifierKey,
    /// The smallest size.
    pub from: u64,
    /// The greatest; `None` while it is in force.
    pub until: Option<u64>,
}

/// Why an entry that speaks of keys changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It has neither of the two forms.
    #[error("it neither names a successor nor retires a key")]
    Form,
    /// The note does not hold, or not by both keys.
    #[error("the succession is not signed by the key in force and by its successor: {0}")]
    Note(NoteError),
    /// The note is about something else.
    #[error("the succession does not name this ledger, its key in force and another one")]
    Text,
    /// There are two keys in force already.
    #[error("the succession before it is not at its end")]
    Early,
    /// The key that it retires is not the older of two.
    #[error("it retires a key that has no successor")]
    NoSuccessor,
}

/// Entries that speak of keys and change nothing, each with the reason.
pub type KeyFaults = Vec<(u64, KeyFault)>;

/// The note by which a key names its successor; both are named after the ledger.
pub fn succession(now: &SigningKey, next: &SigningKey) -> Result<String, NoteError> {
    let text = succession_text(&now.verifier(), &next.verifier());
    note::sign_together(&text, &[now, next])
}

fn succession_text(now: &VerifierKey, next: &VerifierKey) -> String {
    format!("{TITLE}\n{now}\n{next}\n")
}

impl KeyRing {
    /// A ledger whose first key this is.
    pub fn new(first: VerifierKey) -> KeyRing {
        KeyRing { keys: vec![KeyRange { key: first, from: 0, until: None }] }
    }

    /// All keys that there ever were.
    pub fn keys(&self) -> &[KeyRange] {
        &self.keys
    }

    /// Those that may sign for a tree of that size.
    pub fn at(&self, size: u64) -> Vec<VerifierKey> {
        let may = |range: &&KeyRange| range.from <= size && range.until.is_none_or(|until| size <= until);
        self.keys.iter().filter(may).map(|range| range.key.clone()).collect()
    }

    /// Takes in an entry. Most speak of no keys and change nothing.
    ///
    /// # Errors
    /// It speaks of keys, and does not hold: then it changes nothing either.
    pub fn take(&mut self, index: u64, entry: &[u8]) -> Result<(), KeyFault> {
        let end = entry.get(entry.len().saturating_sub(END)..).unwrap_or(entry);
        if !end.windows(KIND.len()).any(|window| window == KIND) {
            return Ok(());
        }
        let Ok(serde_json::Value::Object(entry)) = serde_json::from_slice(entry) else { return Ok(()) };
        let text = |field: &str| entry.get(field).and_then(serde_json::Value::as_str);
        if text("t") != Some("key") {
            return Ok(());
        }
        match (text("succession"), text("retires")) {
            (Some(note), None) => self.succeed(index, note),
            (None, Some(key)) => self.retire(index, key),
            _ => Err(KeyFault::Form),
        }
    }

    fn succeed(&mut self, index: u64, note: &str) -> Result<(), KeyFault> {
        let mut in_force = self.keys.iter().filter(|range| range.until.is_none());
        let (Some(now), None) = (in_force.next(), in_force.next()) else { return Err(KeyFault::Early) };
        let said = note::unverified_text(note.as_bytes()).map_err(KeyFault::Note)?;
        let next: VerifierKey = said.lines().nth(2).and_then(|line| line.parse().ok()).ok_or(KeyFault::Text)?;
        let known_before = self.keys.iter().any(|range| range.key == next);
        if said != succession_text(&now.key, &next) || next.name() != now.key.name() || known_before {
            return Err(KeyFault::Text);
        }
        for key in [&now.key, &next] {
            note::verify(note.as_bytes(), std::slice::from_ref(key)).map_err(KeyFault::Note)?;
        }
        self.keys.push(KeyRange { key: next, from: index + 1, until: None });
        Ok(())
    }

    fn retire(&mut self, index: u64, key: &str) -> Result<(), KeyFault> {
        let in_force = self.keys.iter().filter(|range| range.until.is_none()).count();
        let older = self.keys.iter_mut().find(|range| range.until.is_none());
        match older.filter(|range| in_force == 2 && range.key.to_string() == key) {
            Some(range) => {
                range.until = Some(index);
                Ok(())
            }
            None => Err(KeyFault::NoSuccessor),
        }
    }
}

/// The keys that this process can sign with; all named after the ledger.
#[derive(Debug)]
pub struct Signers(Vec<SigningKey>);

impl From<SigningKey> for Signers {
    fn from(key: SigningKey) -> Signers {
        Signers(vec![key])
    }
}

impl Signers {
    /// Another key beside these.
    pub fn and(mut self, key: SigningKey) -> Signers {
        self.add(key);
        self
    }

    pub(crate) fn add(&mut self, key: SigningKey) {
        if !self.verifiers().contains(&key.verifier()) {
            self.0.push(key);
        }
    }

    /// The name that they all have; empty when there is none.
    pub(crate) fn name(&self) -> &str {
        self.0.first().map_or("", SigningKey::name)
    }

    pub(crate) fn verifiers(&self) -> Vec<VerifierKey> {
        self.0.iter().map(SigningKey::verifier).collect()
    }

    /// Those that have to sign for a tree of that size: all that may. In a ledger that names no key, all that there are.
    pub(crate) fn at(&self, ring: &KeyRing, size: u64) -> Vec<&SigningKey> {
        let may = ring.at(size);
        self.0.iter().filter(|key| ring.keys.is_empty() || may.contains(&key.verifier())).collect()
    }
}
