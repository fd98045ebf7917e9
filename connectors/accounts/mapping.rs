//! The mapping file: whose an account is, in the organisation's own words.

use std::collections::BTreeMap;
use std::fmt;

use domain::SourceId;
use kit::nearest;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

/// Lines of a mapping file: as many as there may be accounts in a source.
pub(crate) const MOST_LINES: usize = 100_000;

/// What a line says of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// It belongs to the identity with this address.
    Identity(String),
    /// No person signs in with it; somebody answers for it, and the file says who and why.
    Service,
}

/// The lines, by source and account.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// Each with the account as it is written, under it in lower case: names are not told apart by case, ids are.
    lines: BTreeMap<SourceId, BTreeMap<String, (String, Word)>>,
}

/// A line that cannot be meant so. It names nobody, since it is told in the ledger itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// Line and column, from 1.
    pub(crate) at: (u64, u64),
    pub(crate) message: String,
    pub(crate) remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.at.0, self.at.1, self.message, self.remedy)
    }
}

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    account: Spanned<String>,
    identity: Option<Spanned<String>>,
    service: Option<Spanned<bool>>,
    owner: Option<Spanned<String>>,
    reason: Option<Spanned<String>>,
}

const FORM: &str = "write {account: github:acme/octocat, identity: mona@example.com}, or \
                    {account: …, service: true, owner: …, reason: …}";

impl Mapping {
    /// Reads the file's text. A line that cannot be right makes all of it unusable: the account it means is not known.
    pub(crate) fn read(text: &str, accounts: &[SourceId]) -> Result<Mapping, Vec<Fault>> {
        // Without the lines around a fault, and in our own words: both could name people.
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true,
            // The reader would give up beyond 27,000 lines, and it would look like a line that does not read. The file's
            // size is limited before, and what aliases can blow up by the reader.
            budget: serde_saphyr::budget! { max_nodes: usize::MAX, max_events: usize::MAX },
        };
        let lines: Option<Vec<Line>> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let message = "does not read as a list of accounts".to_owned();
            vec![Fault { at: place(error.location()), message, remedy: FORM.to_owned() }]
        })?;
        if let Some(over) = lines.as_ref().and_then(|lines| lines.get(MOST_LINES)) {
            let message = format!("more than {MOST_LINES} accounts stand in the file");
            return Err(vec![fault(&over.account, &message, "leave out those that a verified address links")]);
        }
        let (mut mapping, mut faults) = (Mapping::default(), Vec::new());
        for line in lines.into_iter().flatten() {
            match meant(&line, accounts) {
                Ok((source, account, word)) => {
                    let lines = mapping.lines.entry(source).or_default();
                    if lines.insert(account.to_lowercase(), (account, word)).is_some() {
                        faults.push(fault(&line.account, "this account has a line already", "keep one of them"));
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(mapping) } else { Err(faults) }
    }

    /// What it says of an account, by its id or else by its name.
    pub(crate) fn of(&self, source: &SourceId, id: &str, name: &str) -> Option<&Word> {
        let lines = self.lines.get(source)?;
        let by_id = lines.get(&id.to_lowercase()).filter(|(written, _)| written == id);
        by_id.or_else(|| lines.get(&name.to_lowercase())).map(|(_, word)| word)
    }
}

fn meant(line: &Line, accounts: &[SourceId]) -> Result<(SourceId, String, Word), Fault> {
    let Some((source, account)) = line.account.value.split_once('/').filter(|(_, account)| !account.is_empty()) else {
        return Err(fault(&line.account, "account names no account", "write source and account: github:acme/octocat"));
    };
    let Some(source) = accounts.iter().find(|known| known.as_str() == source) else {
        let known: Vec<&str> = accounts.iter().map(SourceId::as_str).collect();
        let remedy = match nearest(source, &known) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("one of {}", known.join(", ")),
        };
        return Err(fault(&line.account, "account begins with no source whose accounts are joined", remedy));
    };
    let said = |text: &Option<Spanned<String>>| text.as_ref().is_some_and(|text| !text.value.trim().is_empty());
    let word = match (&line.identity, &line.service) {
        (Some(identity), None) if identity.value.contains('@') => Word::Identity(identity.value.clone()),
        (Some(identity), None) => {
            return Err(fault(identity, "identity is no address", "write the address that the identity has"));
        }
        (None, Some(service)) if !service.value => {
            return Err(fault(service, "service: false says nothing", "write identity: with an address instead"));
        }
        (None, Some(service)) if !said(&line.owner) || !said(&line.reason) => {
            return Err(fault(service, "nobody answers for it", "write owner: and reason: beside service: true"));
        }
        (None, Some(_)) => Word::Service,
        (Some(_), Some(service)) => {
            return Err(fault(service, "it is said to be a person's and a service's at once", "keep one of them"));
        }
        (None, None) => return Err(fault(&line.account, "nothing is said of it", FORM)),
    };
    Ok((source.clone(), account.to_owned(), word))
}

fn fault<T>(at: &Spanned<T>, message: &str, remedy: impl Into<String>) -> Fault {
    Fault { at: place(Some(at.referenced)), message: message.to_owned(), remedy: remedy.into() }
}

fn place(location: Option<Location>) -> (u64, u64) {
    location.map_or((1, 1), |location| (location.line(), location.column()))
}
