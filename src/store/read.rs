//! Reading what was recorded: entries, bodies, rows. Used by the running daemon and by commands beside it alike.

use std::sync::Arc;

use domain::entry::Entry;
use domain::{BodyId, Exchange, Pseudonym, ResourceKey};

use crate::index::{Index, IndexError};
use crate::subjects::VEIL;

/// Something recorded could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The ledger or the packs failed.
    #[error("the ledger cannot be read")]
    Ledger(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read is not what the format promises.
    #[error("{0}")]
    Malformed(String),
}

/// The ledger as signed last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The ledger's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root, hexadecimal.
    pub root: String,
    /// The checkpoint as a C2SP signed note.
    pub note: String,
}

/// What can be read. Everything it gives is covered by a signed checkpoint.
pub trait Read: Send + Sync {
    /// The index.
    fn index(&self) -> Arc<dyn Index>;
    /// The ledger as signed last.
    fn head(&self) -> Result<Head, ReadError>;
    /// An entry's bytes as they were hashed; `None` beyond the last one.
    fn entry_bytes(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError>;
    /// The proof that an entry is in the ledger, as a C2SP tlog-proof.
    fn proof(&self, number: u64) -> Result<Option<String>, ReadError>;
    /// A body; `None` when it was erased or never kept.
    fn body(&self, id: &BodyId) -> Result<Option<Vec<u8>>, ReadError>;
    /// The resource behind a pseudonym; `None` when it was erased.
    fn resource(&self, pseudonym: &Pseudonym) -> Option<ResourceKey>;
    /// The pseudonym of a resource that was met before.
    fn pseudonym(&self, resource: &ResourceKey) -> Option<Pseudonym>;

    /// An entry.
    fn entry(&self, number: u64) -> Result<Option<Entry>, ReadError> {
        self.entry_bytes(number)?.map(|bytes| parse_entry(number, &bytes)).transpose()
    }
}

/// The exchanges of a run, as its list has them, with the ids of resources that were not erased in their addresses.
pub fn exchange_lines<'a>(
    read: &'a dyn Read,
    list: &'a [u8],
) -> impl Iterator<Item = Result<Exchange, ReadError>> + 'a {
    list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(move |line| {
        let exchange: Exchange = serde_json::from_slice(line)
            .map_err(|e| ReadError::Malformed(format!("an exchange does not read: {e}")))?;
        let url = unveiled(read, &exchange.url);
        let next = exchange.next.as_ref().map(|next| unveiled(read, next));
        Ok(Exchange { url, next, ..exchange })
    })
}

fn unveiled(read: &dyn Read, address: &str) -> String {
    let mut parts = address.split(VEIL);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let split = part.split_at_checked(32);
        let known = split.and_then(|(id, rest)| Some((read.resource(&id.parse().ok()?)?, rest)));
        match known {
            Some((resource, rest)) => text.extend([resource.id.as_str(), rest]),
            None => text.extend([VEIL.to_string().as_str(), part]),
        }
    }
    text
}

/// Reads an entry's bytes.
pub fn parse_entry(number: u64, bytes: &[u8]) -> Result<Entry, ReadError> {
    serde_json::from_slice(bytes).map_err(|e| ReadError::Malformed(format!("entry #{number} does not read: {e}")))
}

/// A line of a population manifest: `pseudonym commitment`.
pub fn parse_population_line(line: &str) -> Option<(Pseudonym, BodyId)> {
    let (pseudonym, commitment) = line.split_once(' ')?;
    Some((pseudonym.parse().ok()?, commitment.parse().ok()?))
}

/// A line of an observation manifest: `check pseudonym value commitment`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservationLine {
    /// The check.
    pub check: domain::CheckId,
    /// The resource.
    pub resource: Pseudonym,
    /// The verdict.
    pub value: domain::ObservationValue,
    /// The body with the whole observation.
    pub body: BodyId,
}

impl ObservationLine {
    /// Reads a line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(' ');
        let parsed = ObservationLine {
            check: parts.next()?.parse().ok()?,
            resource: parts.next()?.parse().ok()?,
            value: value_from(parts.next()?)?,
            body: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(parsed)
    }

    /// Writes a line, without its end.
    pub fn write(&self) -> String {
        format!("{} {} {} {}", self.check, self.resource, value_word(self.value), self.body)
    }

    /// Appends a line with its end.
    pub(crate) fn write_to(&self, text: &mut String) {
        text.push_str(&self.write());
        text.push('\n');
    }
}

/// The word of a value in manifests: one word, no space.
pub fn value_word(value: domain::ObservationValue) -> &'static str {
    match value {
        domain::ObservationValue::Conforms => "conforms",
        domain::ObservationValue::Deviates => "deviates",
        domain::ObservationValue::Undetermined => "undetermined",
        domain::ObservationValue::NotApplicable => "not_applicable",
    }
}

fn value_from(word: &str) -> Option<domain::ObservationValue> {
    use domain::ObservationValue::{Conforms, Deviates, NotApplicable, Undetermined};
    [Conforms, Deviates, Undetermined, NotApplicable].into_iter().find(|value| value_word(*value) == word)
}

/// The lines of a manifest. Each ends with a newline and nothing else, so that equal rows are equal bytes.
fn lines(manifest: &[u8]) -> Result<impl Iterator<Item = &str>, ReadError> {
    let text = std::str::from_utf8(manifest).map_err(|_| ReadError::Malformed("a manifest is not text".into()))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(ReadError::Malformed("a manifest ends within a row".into()));
    }
    Ok(text.split_terminator('\n'))
}

/// The rows of an observation manifest, in order.
pub fn observation_lines(manifest: &[u8]) -> Result<Vec<ObservationLine>, ReadError> {
    let mut rows: Vec<ObservationLine> = Vec::new();
    for (row, line) in lines(manifest)?.enumerate() {
        let mut line = ObservationLine::parse(line)
            .ok_or_else(|| ReadError::Malformed(format!("row {row} of an observation manifest does not read")))?;
        // They are sorted by check, and share its name.
        if let Some(before) = rows.last().filter(|before| before.check == line.check) {
            line.check = before.check.clone();
        }
        rows.push(line);
    }
    Ok(rows)
}

/// The rows of a population manifest, in order.
pub fn population_lines(manifest: &[u8]) -> Result<Vec<(Pseudonym, BodyId)>, ReadError> {
    lines(manifest)?
        .enumerate()
        .map(|(row, line)| {
            parse_population_line(line)
                .ok_or_else(|| ReadError::Malformed(format!("row {row} of a population manifest does not read")))
        })
        .collect()
}
