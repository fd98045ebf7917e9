//! Whose one account is: the decision, from what was read of it and of the identities. Pure.

use domain::{GapReason, Resource, SourceId};

use crate::identities::{Identities, Identity, Unknown, read, text};
use crate::mapping::{Mapping, Word};
use crate::spec::AccountSide;

/// What is needed of one account; the rest of it is not kept in memory.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    email: Result<Option<String>, Unknown>,
    /// Whether it has credentials to sign in with.
    pub(crate) can_sign_in: Result<bool, Unknown>,
}

impl Account {
    /// Reads an account from a recorded resource.
    pub(crate) fn of(side: &AccountSide, resource: Resource) -> Account {
        let (email, can_sign_in) = (text(&resource, side.email), can_sign_in(side, &resource));
        Account { email, can_sign_in, id: resource.key.id, name: resource.name }
    }
}

/// Whether one of the fields lets it sign in; one that does is enough, and none does only when all were read.
fn can_sign_in(side: &AccountSide, resource: &Resource) -> Result<bool, Unknown> {
    let mut unread = None;
    for field in side.signs_in {
        let value = read(resource, field).and_then(|value| {
            let truth = value.as_bool().or_else(|| value.as_u64().map(|number| number > 0));
            truth.ok_or_else(|| Unknown::new(GapReason::Malformed, format!("{field} was recorded as something else")))
        });
        match value {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(unknown) => unread = unread.or(Some(unknown)),
        }
    }
    unread.map_or(Ok(side.signs_in.is_empty()), Err)
}

/// How an account was linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// By the address that the identity source has verified.
    Address,
    /// By a line of the mapping file.
    Mapping,
    /// Not at all: it has an address, and nobody has that address.
    Nothing,
    /// Not at all: there is nothing to sign in with, so that nobody holds it.
    NoNeed,
}

impl By {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            By::Address => "verified address",
            By::Mapping => "mapping file",
            By::Nothing => "nothing",
            By::NoNeed => "nothing, and it cannot sign in",
        }
    }
}

/// What is known of an account.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) identity: Option<&'a Identity>,
    /// A service that somebody answers for, with no identity of its own.
    pub(crate) is_bot: bool,
    pub(crate) by: By,
}

/// Whose an account is. One that cannot sign in and that nothing links is not asked for further.
pub(crate) fn holder<'a>(
    source: &SourceId,
    account: &Account,
    mapping: &Mapping,
    identities: &'a Identities,
) -> Result<Holder<'a>, Unknown> {
    match linked(source, account, mapping, identities) {
        Err(unknown) if unknown.reason == GapReason::Unmatched && account.can_sign_in == Ok(false) => {
            Ok(Holder { identity: None, is_bot: false, by: By::NoNeed })
        }
        linked => linked,
    }
}

/// What the mapping file says comes before the address, since a person has said so.
fn linked<'a>(
    source: &SourceId,
    account: &Account,
    mapping: &Mapping,
    identities: &'a Identities,
) -> Result<Holder<'a>, Unknown> {
    let (identity, by) = match mapping.of(source, &account.id, &account.name) {
        Some(Word::Service) => return Ok(Holder { identity: None, is_bot: true, by: By::Mapping }),
        Some(Word::Identity(address)) => (identities.by_word(address)?, By::Mapping),
        None => match account.email.as_ref().map_err(Clone::clone)? {
            Some(address) => (identities.by_verified(address)?, By::Address),
            None => {
                let why = "no address is known of it, and no line of the mapping file names it";
                return Err(Unknown::new(GapReason::Unmatched, why));
            }
        },
    };
    let by = if identity.is_none() { By::Nothing } else { by };
    Ok(Holder { identity, is_bot: false, by })
}
