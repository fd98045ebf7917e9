//! Erasure: the key of a resource's record is destroyed, and with it those of all answers in which it stood.
//!
//! The entry comes first, then the keys go; a start reads the entries before anything is served and destroys what they
//! name (`erased.rs`), so that neither a crash in between nor an older file of keys brings anything back. Packs and ledger
//! keep every byte: each proof holds as before, and what was sealed under the keys is noise.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::{Erase, EraseDetail, Fact, Subject};
use domain::{Pseudonym, ResourceKey, ResourceType};
use ledger::KeyId;
use serde_json::Value;

use crate::holds::holds;
use crate::index::Op;
use crate::offline::Offline;
use crate::read::{Read, ReadError};
use crate::rows::{HoldRow, key};
use crate::subjects::Whose;
use crate::walk::Walk;
use crate::writer::{Receipt, Store, StoreError};

/// What an erasure would destroy, and what would still speak of the resources.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// The resources.
    pub records: Vec<Record>,
    /// Answers in which an id or a name of theirs stands. Each goes as a whole: what it said of others stays in their rows.
    pub answers: u64,
    /// Bodies in which an id or a name of theirs stands and that stay, by what holds them.
    pub left: BTreeMap<Left, u64>,
    /// The entries of the legal holds that forbid it: they hold one of the resources, or somebody of whom one of the
    /// answers speaks too.
    pub held_by: BTreeSet<u64>,
    own: BTreeSet<KeyId>,
    in_answers: BTreeSet<KeyId>,
    known_by: Vec<[u8; 32]>,
    words: BTreeSet<String>,
}

/// The record of one resource, as far as it would go.
#[derive(Clone, Debug)]
pub struct Record {
    /// The resource.
    pub resource: ResourceKey,
    /// Its pseudonym, which stays in entries and manifests and leads to nobody any more.
    pub pseudonym: Pseudonym,
    /// Bodies of its own: rows, observations, details of deviations.
    pub bodies: u64,
}

/// Where something is said of a resource besides its own record and answers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Left {
    /// In the record of another resource, which may be erased with it.
    Record(ResourceKey),
    /// In lists of the ledger's own, which are of no single resource.
    Lists,
    /// In a body from before bodies were sealed.
    Unsealed,
}

/// Nothing was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// No record speaks of it.
    #[error("no {kind} with the id {id:?} was ever seen here, or it was erased before")]
    Unknown {
        /// The type that was asked for.
        kind: ResourceType,
        /// The id.
        id: String,
    },
    /// The reason would put into the ledger, for ever, what is to be erased.
    #[error("the reason names whom it is about; it is kept for ever, so say it without")]
    NamedInBasis,
    /// A legal hold stands before it.
    #[error("nothing was erased: it is under the legal hold {}; evidenced release ends one", named(_0))]
    Held(BTreeSet<u64>),
    /// The reason is empty or too long.
    #[error("the reason should be said in 1 to {} characters", Erase::BASIS)]
    Basis,
    /// Something could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn named(entries: &BTreeSet<u64>) -> String {
    entries.iter().map(|entry| format!("#{entry}")).collect::<Vec<_>>().join(", ")
}

/// Words shorter than this are not looked for: they would be found in nearly every answer.
const SHORTEST_WORD: usize = 3;

impl Offline {
    /// What erasing these resources would destroy. `words` are looked for besides their ids, names and addresses. Reads
    /// every body.
    pub fn plan_erasure(&self, resources: &[ResourceKey], words: &[String]) -> Result<Erasure, EraseError> {
        planned(self, resources, words)
    }

    /// The resources in whose records a word stands by itself, each with the name that it was last given there.
    pub fn records_with(&self, word: &str) -> Result<BTreeMap<ResourceKey, String>, ReadError> {
        let (word, mut found) = (Word::new(word), BTreeMap::new());
        self.each_body(&|_| true, &mut |body| {
            // A body under two keys goes with either.
            if let (Whose::Of(resource), [_]) = (body.whose, body.keys)
                && word.stands_in(&String::from_utf8_lossy(&body.bytes))
            {
                let row = serde_json::from_slice::<Value>(&body.bytes).unwrap_or_default();
                let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
                found.insert(resource, name.to_owned());
            }
        })?;
        Ok(found)
    }
}

impl Store {
    /// Like [`Offline::plan_erasure`], in a store that runs. Whoever erases by it sees to it that no run is under way, and
    /// holds [`Store::deciding`] until the end.
    pub fn plan_erasure(&self, resources: &[ResourceKey], words: &[String]) -> Result<Erasure, EraseError> {
        self.settle_bodies()?;
        planned(self, resources, words)
    }

    /// Erases what was planned, and gives the entries that say so. `basis` says why, in words that name nobody: it stands
    /// in the ledger for ever. `by` is whoever asked for it. Nothing may have been recorded since it was planned.
    pub fn erase(&self, plan: &Erasure, basis: &str, by: &str) -> Result<Vec<Receipt>, EraseError> {
        if !plan.held_by.is_empty() {
            return Err(EraseError::Held(plan.held_by.clone()));
        }
        may_stand(basis, plan.words.iter().map(String::as_str))?;
        let detail = Some(self.put_json(&EraseDetail { by: by.to_owned() })?);
        let records: BTreeSet<KeyId> = plan.records.iter().map(|record| KeyId(record.pseudonym.to_bytes())).collect();
        let mut others: Vec<KeyId> = plan.own.difference(&records).chain(&plan.in_answers).copied().collect();
        let mut facts = Vec::new();
        for record in &plan.records {
            // What is no record of its own, such as answers, is named with the first of the resources.
            let keys = [vec![KeyId(record.pseudonym.to_bytes())], std::mem::take(&mut others)].concat();
            facts.extend(keys.chunks(Erase::KEYS).map(|keys| {
                Fact::Erase(Erase {
                    of: Some(Subject { kind: record.resource.kind.clone(), resource: record.pseudonym.clone() }),
                    keys: keys.iter().map(|id| Pseudonym::from_bytes(id.0)).collect(),
                    bodies: record.bodies,
                    answers: plan.answers,
                    basis: basis.to_owned(),
                    detail: detail.clone(),
                    expired: None,
                })
            }));
        }
        let receipts = self.record(facts)?;
        let keys: Vec<KeyId> = plan.own.union(&plan.in_answers).copied().collect();
        self.destroy(&keys)?;
        let forget = plan.known_by.iter().map(|digest| Op::Delete(key::known_body(digest)));
        crate::catch_up::apply_bodies(self.index().as_ref(), forget).map_err(ReadError::from)?;
        Ok(receipts)
    }
}

/// What erasing these resources would destroy.
fn planned(on: &dyn Walk, resources: &[ResourceKey], words: &[String]) -> Result<Erasure, EraseError> {
    let mut plan = Erasure {
        records: Vec::new(),
        answers: 0,
        left: BTreeMap::new(),
        held_by: BTreeSet::new(),
        own: BTreeSet::new(),
        in_answers: BTreeSet::new(),
        known_by: Vec::new(),
        words: words.iter().cloned().collect(),
    };
    for resource in resources {
        let unknown = || EraseError::Unknown { kind: resource.kind.clone(), id: resource.id.clone() };
        let pseudonym = on.pseudonym(resource).ok_or_else(unknown)?;
        if plan.own.insert(KeyId(pseudonym.to_bytes())) {
            plan.own.extend(on.asked_for(&resource.id));
            plan.words.insert(resource.id.clone());
            plan.records.push(Record { resource: resource.clone(), pseudonym, bodies: 0 });
        }
    }
    let holds = holds(on.index().as_ref())?;
    for record in &plan.records {
        let covering = holds.iter().filter(|hold| hold.covers(&record.pseudonym));
        plan.held_by.extend(covering.map(|hold| hold.entry));
    }
    // Their own bodies first: they say by which names and addresses they went.
    let own = plan.own.clone();
    let is_own = |keys: &[KeyId]| keys.iter().any(|key| own.contains(key));
    on.each_body(&is_own, &mut |body| {
        for record in &mut plan.records {
            record.bodies += u64::from(body.keys.contains(&KeyId(record.pseudonym.to_bytes())));
        }
        plan.known_by.extend(body.digest);
        // A body under two keys speaks of somebody else first.
        if let ([_], Ok(row)) = (body.keys, serde_json::from_slice::<Value>(&body.bytes)) {
            plan.words.extend(names_in(&row));
        }
    })?;
    plan.words.retain(|word| word.chars().count() >= SHORTEST_WORD);
    let words: Vec<Word> = plan.words.iter().map(|word| Word::new(word)).collect();
    let held = held_words(on, &holds)?;
    on.each_body(&|keys| !is_own(keys), &mut |body| {
        let text = String::from_utf8_lossy(&body.bytes);
        if !words.iter().any(|word| word.stands_in(&text)) {
            return;
        }
        let left = match body.whose {
            Whose::Answer(key) => {
                plan.in_answers.insert(key);
                plan.answers += 1;
                plan.known_by.extend(body.digest);
                let speaking = held.iter().filter(|(_, word)| word.stands_in(&text));
                plan.held_by.extend(speaking.map(|(hold, _)| *hold));
                return;
            }
            Whose::Of(resource) => Left::Record(resource),
            Whose::Ledgers => Left::Lists,
            Whose::Nobodys => Left::Unsealed,
        };
        *plan.left.entry(left).or_default() += 1;
    })?;
    Ok(plan)
}

/// By which ids, names and addresses those went whom a hold names, each with the entry of the hold.
pub(crate) fn held_words(on: &dyn Walk, holds: &[HoldRow]) -> Result<Vec<(u64, Word)>, ReadError> {
    let held_by = |keys: &[KeyId]| {
        let [one] = keys else { return None };
        let pseudonym = Pseudonym::from_bytes(one.0);
        holds.iter().find(|hold| hold.of.contains(&pseudonym)).map(|hold| hold.entry)
    };
    let mut words: BTreeSet<(u64, String)> = BTreeSet::new();
    for hold in holds {
        let ids = hold.of.iter().filter_map(|pseudonym| on.resource(pseudonym));
        words.extend(ids.map(|resource| (hold.entry, resource.id)));
    }
    if words.is_empty() {
        return Ok(Vec::new());
    }
    on.each_body(&|keys| held_by(keys).is_some(), &mut |body| {
        if let (Some(hold), Ok(row)) = (held_by(body.keys), serde_json::from_slice::<Value>(&body.bytes)) {
            words.extend(names_in(&row).into_iter().map(|name| (hold, name)));
        }
    })?;
    Ok(words.into_iter().map(|(hold, word)| (hold, Word::new(&word))).collect())
}

/// Whether a reason may stand in the ledger for ever: it is said, briefly, and holds none of these words.
pub(crate) fn may_stand<'a>(reason: &str, mut words: impl Iterator<Item = &'a str>) -> Result<(), EraseError> {
    if reason.trim().is_empty() || reason.chars().count() > Erase::BASIS {
        return Err(EraseError::Basis);
    }
    if words.any(|word| Word::new(word).stands_in(reason)) { Err(EraseError::NamedInBasis) } else { Ok(()) }
}

/// What a row calls its resource: its name, the names it signs in by, and every address of electronic mail in it.
fn names_in(row: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open = vec![("", row)];
    while let Some((name, value)) = open.pop() {
        match value {
            Value::String(text) if matches!(name, "name" | "username" | "login" | "email") || is_address(text) => {
                names.insert(text.clone());
            }
            Value::Array(values) => open.extend(values.iter().map(|value| (name, value))),
            Value::Object(members) => open.extend(members.iter().map(|(name, value)| (name.as_str(), value))),
            _ => {}
        }
    }
    names
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        && !text.contains(char::is_whitespace)
}

/// A word that is looked for in bodies.
pub(crate) struct Word {
    plain: String,
    /// As JSON may write it: what is not ASCII by its number.
    escaped: Option<String>,
}

impl Word {
    fn new(word: &str) -> Word {
        let unit = |unit: u16| format!("\\u{unit:04x}");
        let escape = |c: char| match c.is_ascii() {
            true => c.to_string(),
            false => c.encode_utf16(&mut [0; 2]).iter().map(|one| unit(*one)).collect(),
        };
        let escaped = (!word.is_ascii()).then(|| word.chars().map(escape).collect());
        Word { plain: word.to_owned(), escaped }
    }

    /// Whether it stands in a text by itself, with neither letter nor digit beside it.
    pub(crate) fn stands_in(&self, text: &str) -> bool {
        let alone = |word: &str| {
            text.match_indices(word).any(|(at, found)| {
                let before = text.get(..at).and_then(|before| before.chars().next_back());
                let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
                ![before, after].into_iter().flatten().any(char::is_alphanumeric)
            })
        };
        !self.plain.is_empty() && (alone(&self.plain) || self.escaped.as_deref().is_some_and(alone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_where_it_stands_by_itself() {
        for (text, word, found) in [
            (r#"{"name":"dora"}"#, "dora", true),
            (r#"{"name":"theodora"}"#, "dora", false),
            (r#"{"name":"dora2"}"#, "dora", false),
            (r#"{"mail":"dora@example.org"}"#, "dora", true),
            (r#"{"name":"J\u00f6rg"}"#, "Jörg", true),
            (r#"{"name":"Jörg"}"#, "Jörg", true),
            (r#"{"name":"Jörgen"}"#, "Jörg", false),
            ("arn:aws:iam::1:user/dora", "dora", true),
            ("anything", "", false),
            ("", "dora", false),
        ] {
            assert_eq!(Word::new(word).stands_in(text), found, "{text} {word}");
        }
    }

    #[test]
    fn names_are_what_a_row_calls_its_resource_and_addresses_anywhere_in_it() {
        let row = serde_json::json!({
            "name": "dora", "id": "7", "enabled": true,
            "fields": {"email": "d@example.org", "login": "dora-x", "created": "2026", "manager": ["erik@example.org"],
                "note": "no address @ all", "host": "a@b"},
        });
        let names: Vec<String> = names_in(&row).into_iter().collect();
        assert_eq!(names, ["d@example.org", "dora", "dora-x", "erik@example.org"]);
    }
}
