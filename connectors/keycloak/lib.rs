//! Reads one Keycloak realm: its sign-in rules, people, administrators and clients.
//!
//! Three traps shape it. An answer of 200 does not mean that the reader may look, so what the token's own roles do not
//! cover is a gap. Lists end silently, so each is walked with an explicit page size and held against a second count
//! where Keycloak has one. And whoever holds administrator rights through a group or a composite role is nowhere
//! listed, so the role graph is read once and resolved here.

use domain::CollectorName;
use kit::{Connector, RunBuilder};
use secrecy::SecretString;
use url::Url;

mod changes;
mod clients;
mod config;
mod flow;
mod people;
mod reader;
mod realm;
mod roles;
mod session;
mod spec;

pub use config::Config;
use session::Session;

/// Items of one page, always asked for: Keycloak's own, silent page size is 100 for most lists and 10 for child groups.
const PAGE: usize = 100;

/// What one run needs to know of a realm.
struct Realm {
    url: Url,
    realm: String,
    client_id: String,
    client_secret: SecretString,
    page: usize,
}

#[kit::async_trait]
impl Connector for Realm {
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
        match collector.as_str() {
            "realm" => realm::collect(&session, run).await,
            "people" => people::collect(&session, &self.client_id, run).await,
            "clients" => clients::collect(&session, &self.client_id, run).await,
            // No other is declared; the builder says of every population that it was not read.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
