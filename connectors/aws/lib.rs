//! Reads the identity part of AWS accounts: root, users, their keys, roles, policies, and whom they trust.
//!
//! The SDK signs, and reads the answers; the kit's recorder is its only way out. Four traps shape it. Few large calls take
//! the place of one per user. A report is up to four hours old, so its age stands in every row. The SDK takes a document
//! that is cut off for a shorter one, so every answer is first held to be whole. And an account that cannot be reached is
//! listed like any other, with everything about it unread.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use domain::CollectorName;
use kit::view::Mark;
use kit::{Connector, Found, RunBuilder, Unread};
use secrecy::SecretString;
use serde_json::Value;

mod access;
mod account;
mod changes;
mod config;
mod credentials;
mod pages;
mod partition;
mod policy;
mod reader;
mod report;
mod rights;
mod session;
mod spec;
mod summary;
mod wire;
mod words;

use changes::{Changes, Index};
use config::Addresses;
pub use config::{AccessKey, Account, Config, Role};
use partition::Partition;
use session::{Session, Unreached};

/// All that one run needs to know of the accounts and of how to sign in.
struct Estate {
    region: String,
    partition: Partition,
    addresses: Addresses,
    profile: Option<String>,
    config_file: Option<PathBuf>,
    access_key: Option<Keys>,
    assume_role: Option<Role>,
    accounts: Vec<Account>,
    /// Accounts of the organisation, those to read among them.
    own_accounts: BTreeSet<String>,
    email_tag: String,
    cloudtrail: bool,
    /// Items of one page of a list.
    page: i32,
}

/// A key to sign in by, its secrets read.
struct Keys {
    id: String,
    secret: SecretString,
    token: Option<SecretString>,
}

/// Second counts of populations, over all accounts.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, (Mark, u64)>);

impl Tally {
    /// Adds what one account's summary counts.
    fn add(&mut self, kind: &'static str, mark: Mark, count: u64) {
        let sum = self.0.entry(kind).or_insert((mark, 0));
        sum.1 = sum.1.saturating_add(count);
    }
}

#[kit::async_trait]
impl Connector for Estate {
    async fn collect(&self, collector: &CollectorName, run: &mut RunBuilder) {
        let Some(spec) = spec::COLLECTORS.iter().find(|spec| spec.name == collector.as_str()) else { return };
        let kinds: Vec<&str> = spec.yields.iter().map(|yielded| yielded.kind).collect();
        let mut tally = Tally::default();
        let mut changes = Changes::default();
        let mut callers = Vec::new();
        for opened in session::open(self, &run.recorder()).await {
            match opened {
                Ok(session) => {
                    let index = self.read(collector, &session, run, &mut tally).await;
                    changes.collect(self, &session, &index, run).await;
                    callers.push(session.caller);
                }
                Err(unreached) => {
                    run.missing(&unreached.unread, &kinds);
                    let fields = spec.type_spec(spec::ACCOUNT).map_or(&[][..], |yielded| yielded.fields);
                    listed_unread(unreached, fields, run);
                }
            }
        }
        // Each part says what it could not read, and a population that a gap touches is not complete.
        kinds.iter().for_each(|kind| run.complete(kind));
        for (kind, (mark, count)) in tally.0 {
            run.count(kind, mark, count);
        }
        if !callers.is_empty() {
            run.caller(callers.join(", "));
        }
        run.changes(changes.told(self));
    }
}

impl Estate {
    /// Reads one account, and gives what events of it can be about.
    async fn read(
        &self,
        collector: &CollectorName,
        session: &Session,
        run: &mut RunBuilder,
        tally: &mut Tally,
    ) -> Index {
        match collector.as_str() {
            "account" => account::collect(session, self.page, run, tally).await,
            "credentials" => credentials::collect(session, run).await,
            "access" => access::collect(self, session, run, tally).await,
            // No other is declared.
            _ => Index::default(),
        }
    }
}

/// Lists an account that the settings name and that could not be reached.
fn listed_unread(unreached: Unreached, fields: &[&'static str], run: &mut RunBuilder) {
    let Some((id, name)) = unreached.account else { return };
    let mut found = Found::new(spec::ACCOUNT, id, name);
    for field in fields {
        found.set(field, Err::<Value, Unread>(unreached.unread.clone()));
    }
    run.found(found);
}

/// A moment as evidence holds it; malformed beyond the years that it can hold.
fn moment(at: &aws_smithy_types::DateTime, mark: Mark) -> Result<Value, Unread> {
    let millis = at.to_millis().map_err(|_| mark.malformed("a moment beyond all years"))?;
    Ok(Value::from(domain::Timestamp::from_millis(millis).to_string()))
}

#[cfg(test)]
mod tests;
