//! Reads one GitHub organisation: its settings, people, Apps, repositories and the rules of their default branches.
//!
//! Four traps shape it. What a reader may not see is left out of an answer of 200, so an absent field is a gap and never
//! *off*. A 404 says *not there*, *not on* or *not for you*; only GitHub's own words tell them apart. Lists hold what the
//! reader may see, so repositories are held against the organisation's own counts. And next links lead to addresses that
//! name the organisation by number, so only their page is taken from them, and only when they stay on this host.

use domain::CollectorName;
use kit::{Connector, RunBuilder};
use octocrab::auth::AppAuth;
use secrecy::SecretString;
use url::Url;

mod adapter;
mod approved;
mod branches;
mod changes;
mod config;
mod listing;
mod organisation;
mod outside;
mod people;
mod reader;
mod repositories;
mod rules;
mod session;
mod spec;

pub use approved::{Approved, ApprovedApp, ApprovedPerson};
pub use config::Config;
use session::Session;

/// Items of one page, the most that GitHub gives.
const PAGE: usize = 100;

/// Calls of one collector that are asked for at once, when it asks for each repository.
const AT_ONCE: usize = 8;

/// What one run needs to know of an organisation.
struct Github {
    rest: Url,
    graphql: Url,
    organisation: String,
    sign_in: SignIn,
    production: Option<Vec<String>>,
    audit_log: bool,
    verified_emails: bool,
    /// What was approved to come in from outside; no lists where the settings have none.
    approved: Approved,
    page: usize,
}

/// How to sign in.
enum SignIn {
    App { installation: u64, auth: AppAuth },
    Token(SecretString),
}

#[kit::async_trait]
impl Connector for Github {
    async fn collect(&self, collector: &CollectorName, run: &mut RunBuilder) {
        let session = match Session::open(self, run.recorder()).await {
            Ok(session) => session,
            Err(unread) => {
                let kinds = spec::COLLECTORS.iter().filter(|c| c.name == collector.as_str()).flat_map(|c| c.yields);
                run.missing(&unread, &kinds.map(|t| t.kind).collect::<Vec<_>>());
                run.changes(changes::unknown("could not sign in"));
                return;
            }
        };
        run.caller(session.caller.as_str());
        if let Some(unread) = session.unread_standing() {
            run.missing(unread, &[]);
        }
        match collector.as_str() {
            "organisation" => organisation::collect(&session, run).await,
            "people" => people::collect(&session, run).await,
            "outside" => outside::collect(&session, run).await,
            "repositories" => repositories::collect(&session, run).await,
            "branches" => branches::collect(&session, run).await,
            // No other is declared; the builder says of every population that it was not read.
            _ => {}
        }
    }
}

#[cfg(test)]
mod against_world;
#[cfg(test)]
mod tests;
