//! Whose one account is: the decision, from what was read of it and of the identities. Pure.

use std::collections::HashMap;

use domain::{GapReason, Resource, SourceId};

use crate::identities::{Identities, Identity, Unknown, text, truth};
use crate::mapping::{Mapping, Word};
use crate::spec::{AccountSide, SignIn};

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
    pub(crate) fn of(side: &AccountSide, keys: &Keys, resource: Resource) -> Account {
        let email = text(&resource, side.email);
        let can_sign_in = side.signs_in.as_ref().map_or(Ok(true), |sign_in| keys.or_password(sign_in, &resource));
        Account { email, can_sign_in, id: resource.key.id, name: resource.name }
    }
}

/// Which accounts have a key that works, by the name that the keys have for them.
#[derive(Debug)]
pub(crate) struct Keys(Result<HashMap<String, Result<bool, Unknown>>, Unknown>);

impl Keys {
    /// None so far.
    pub(crate) fn none() -> Keys {
        Keys(Ok(HashMap::new()))
    }

    /// They could not be read.
    pub(crate) fn unread(unknown: Unknown) -> Keys {
        Keys(Err(unknown))
    }

    /// Takes in one key.
    pub(crate) fn add(&mut self, sign_in: &SignIn, key: &Resource) {
        let holder = match text(key, sign_in.holder) {
            Ok(Some(holder)) => holder,
            Ok(None) => return,
            // It may be anybody's.
            Err(unknown) => return *self = Keys(Err(unknown)),
        };
        let Ok(keys) = &mut self.0 else { return };
        let known = keys.entry(holder).or_insert(Ok(false));
        if *known != Ok(true) {
            match truth(key, sign_in.active) {
                Ok(false) => {}
                active => *known = active,
            }
        }
    }

    /// Whether an account can sign in. One way in is enough; that there is none takes knowing all of them.
    fn or_password(&self, sign_in: &SignIn, account: &Resource) -> Result<bool, Unknown> {
        let password = truth(account, sign_in.password);
        if password == Ok(true) {
            return password;
        }
        // Keys name their user, so those of a user without a name cannot be told.
        let nameless = || Unknown::new(GapReason::Malformed, format!("{} was recorded as empty", sign_in.name));
        let name = text(account, sign_in.name)?.ok_or_else(nameless)?;
        let keys = self.0.as_ref().map_err(Clone::clone)?;
        match keys.get(&name).cloned().unwrap_or(Ok(false)) {
            Ok(false) => password,
            key => key,
        }
    }
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
        None => match account.email.as_ref().map_err(unread_address)? {
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

/// That an address was not asked for is no gap at its source; here something is missing all the same.
fn unread_address(unknown: &Unknown) -> Unknown {
    let reason = if unknown.reason == GapReason::NotAsked { GapReason::Unmatched } else { unknown.reason };
    Unknown::new(reason, unknown.why.clone())
}
