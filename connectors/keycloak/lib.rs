//! Reads one Keycloak realm: its sign-in rules, people, administrators and clients.

use domain::CollectorName;
use kit::{Connector, RunBuilder};
use secrecy::SecretString;
use url::Url;

mod config;
mod spec;

pub use config::Config;

/// What one run needs to know of a realm.
struct Realm {
    url: Url,
    realm: String,
    client_id: String,
    client_secret: SecretString,
}

#[kit::async_trait]
impl Connector for Realm {
    async fn collect(&self, _collector: &CollectorName, _run: &mut RunBuilder) {
        let _ = (&self.url, &self.realm, &self.client_id, &self.client_secret);
    }
}
