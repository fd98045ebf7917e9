//! The identities by their addresses: one look for each account, however many there are.

use std::collections::HashMap;

use domain::{Field, GapReason, Resource, SourceId};

use crate::spec::IdentitySide;

/// Why something is not known, in words that name nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unknown {
    pub(crate) reason: GapReason,
    pub(crate) why: String,
}

impl Unknown {
    pub(crate) fn new(reason: GapReason, why: impl Into<String>) -> Self {
        Unknown { reason, why: why.into() }
    }
}

/// One identity: `keycloak:acme/<id>`, and whether it can sign in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) active: Result<bool, Unknown>,
}

/// All identities of all sources that were read.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    people: Vec<Identity>,
    by_address: HashMap<String, Holders>,
    /// Somebody's address could not be read, so nobody can be said to have none.
    hole: Option<Unknown>,
}

/// Who has an address.
#[derive(Clone, Copy, Debug, Default)]
struct Holders {
    /// Those of whom the identity source knows that it is theirs.
    verified: Few,
    /// Those who only say so.
    claimed: Few,
}

/// Nobody, one by place in the list, or more than one.
#[derive(Clone, Copy, Debug, Default)]
enum Few {
    #[default]
    Nobody,
    One(usize),
    Several,
}

impl Few {
    fn add(&mut self, place: usize) {
        *self = if matches!(self, Few::Nobody) { Few::One(place) } else { Few::Several };
    }
}

impl Identities {
    /// Takes in one person of a source.
    pub(crate) fn add(&mut self, side: &IdentitySide, source: &SourceId, person: &Resource) {
        let email = text(person, side.email);
        let verified = truth(person, side.verified);
        let identity = Identity { id: format!("{source}/{}", person.key.id), active: truth(person, side.active) };
        let place = self.people.len();
        self.people.push(identity);
        match (email, verified) {
            (Ok(None), _) => {}
            (Ok(Some(email)), Ok(verified)) => {
                let holders = self.by_address.entry(normal(&email)).or_default();
                let few = if verified { &mut holders.verified } else { &mut holders.claimed };
                few.add(place);
            }
            (Err(unknown), _) | (_, Err(unknown)) => self.hole = self.hole.take().or(Some(unknown)),
        }
    }

    /// Whose an address is, by the identity source's own word. An address that is only claimed proves nothing, and says
    /// nothing against anybody either.
    pub(crate) fn by_verified(&self, address: &str) -> Result<Option<&Identity>, Unknown> {
        let holders = self.by_address.get(&normal(address)).copied().unwrap_or_default();
        match (holders.verified, holders.claimed) {
            (Few::One(place), _) => Ok(self.people.get(place)),
            (Few::Several, _) => Err(several()),
            (Few::Nobody, Few::Nobody) => self.nobody(),
            (Few::Nobody, _) => {
                Err(Unknown::new(GapReason::Unmatched, "an identity has this address, and it is not verified"))
            }
        }
    }

    /// Whose an address is, when a person of the organisation has said so: then verified or not makes no difference.
    pub(crate) fn by_word(&self, address: &str) -> Result<Option<&Identity>, Unknown> {
        let holders = self.by_address.get(&normal(address)).copied().unwrap_or_default();
        match (holders.verified, holders.claimed) {
            (Few::One(place), Few::Nobody) | (Few::Nobody, Few::One(place)) => Ok(self.people.get(place)),
            (Few::Nobody, Few::Nobody) => self.nobody(),
            _ => Err(several()),
        }
    }

    fn nobody(&self) -> Result<Option<&Identity>, Unknown> {
        self.hole.as_ref().map_or(Ok(None), |unknown| {
            Err(Unknown::new(unknown.reason, format!("the address of an identity is unread: {}", unknown.why)))
        })
    }
}

fn several() -> Unknown {
    Unknown::new(GapReason::Unmatched, "more than one identity has this address")
}

/// Addresses are compared without regard to case and to spaces around them.
fn normal(address: &str) -> String {
    address.trim().to_lowercase()
}

/// A text of a resource; `None` when the source says that there is none.
pub(crate) fn text(resource: &Resource, field: &str) -> Result<Option<String>, Unknown> {
    match read(resource, field)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) if text.trim().is_empty() => Ok(None),
        serde_json::Value::String(text) => Ok(Some(text.clone())),
        _ => Err(Unknown::new(GapReason::Malformed, format!("{field} was recorded as something else than a text"))),
    }
}

/// A truth value of a resource.
pub(crate) fn truth(resource: &Resource, field: &str) -> Result<bool, Unknown> {
    let value = read(resource, field)?.as_bool();
    value.ok_or_else(|| Unknown::new(GapReason::Malformed, format!("{field} was not recorded as true or false")))
}

/// A field of a resource as it was read.
fn read<'a>(resource: &'a Resource, field: &str) -> Result<&'a serde_json::Value, Unknown> {
    match resource.fields.get(field) {
        Some(Field::Read(value)) => Ok(value),
        Some(Field::Unread(reason, why)) => Err(Unknown::new(*reason, format!("{field} was not read: {why}"))),
        None => Err(Unknown::new(GapReason::NotSupported, format!("{field} was not recorded"))),
    }
}
