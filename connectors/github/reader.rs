//! The manifest of a GitHub App that may read, from the permissions that the calls declare.

use kit::{CollectorSpec, Document};
use serde_json::{Map, Value, json};

/// The one there is.
pub(crate) const DOCUMENTS: &[Document] = &[Document {
    format: "github-app",
    file: "github/app.json",
    about: "a manifest from which GitHub makes the App that reads one organisation",
    make: manifest,
}];

/// In the form of <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>.
fn manifest(collectors: &[CollectorSpec]) -> String {
    let all: std::collections::BTreeSet<_> = collectors.iter().flat_map(CollectorSpec::permissions).collect();
    let granted = all.iter().filter_map(|permission| permission.split_once(':'));
    let granted: Map<String, Value> = granted.map(|(name, access)| (name.to_owned(), Value::from(access))).collect();
    let manifest = json!({
        "name": "evidenced-reader",
        "description": "Reads how the organisation is set up, and keeps evidence of it. It can change nothing.",
        "url": env!("CARGO_PKG_REPOSITORY"),
        "public": false,
        "default_events": [],
        "default_permissions": granted,
    });
    format!("{manifest:#}\n")
}
