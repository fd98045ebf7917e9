//! Settings of those outside who vouch for the ledger: authorities that date it, witnesses that remember it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anchor::Roots;
use checks::Problem;
use checks::yaml::Document;
use domain::Duration;
use ledger::WitnessKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Settings;

/// An authority that is asked to date the ledger (RFC 3161).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnchorSettings {
    /// Its name in the ledger and in alerts: small letters, digits and `-`.
    #[schemars(example = &"freetsa")]
    pub name: String,
    /// Where it is asked. It is told a digest and nothing else.
    #[schemars(example = &"https://freetsa.org/tsr")]
    pub url: Url,
    /// A PEM file of the certificates that vouch for it. Its answers are checked against them, and so are they again by
    /// `evidenced verify`, for as long as the ledger is kept: keep the file.
    #[schemars(example = &"/etc/evidenced/freetsa-ca.pem")]
    pub ca: PathBuf,
    /// How often: `1s` to `7d`. It is also asked when the daemon ends in good order. When twice this time has gone by
    /// without an answer, that is recorded and people are told.
    #[serde(default = "hourly")]
    #[schemars(with = "String", example = &"1h")]
    pub every: Duration,
}

/// A witness of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessSettings {
    /// Its key, one line as it publishes it: `name+id+base64`, of type 4 (Ed25519 cosignatures). It has to know the key of
    /// this ledger (`evidenced ledger key`) too.
    #[schemars(example = &"witness.example.com/w1+2fdecb4e+BDKSVmNL4UaQWMwXsJcUq+iLiz7lZhyjU60nd1hmrbn/")]
    pub key: String,
    /// Its submission prefix: checkpoints go to `add-checkpoint` below it. It is told sizes and digests, nothing else.
    #[schemars(example = &"https://witness.example.com")]
    pub url: Url,
    /// How often: `1s` to `7d`.
    #[serde(default = "often")]
    #[schemars(with = "String", example = &"5m")]
    pub every: Duration,
}

const fn often() -> Duration {
    Duration::from_secs(300)
}

const fn hourly() -> Duration {
    Duration::from_secs(3600)
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const LONGEST_NAME: usize = 40;

impl AnchorSettings {
    /// The certificates that vouch for it, as they are on disk now, and the bytes of their file; else what is wrong.
    pub fn trusted(&self) -> Result<(Roots, Vec<u8>), String> {
        let failed = |why: String| format!("{}: {why}", self.ca.display());
        let bytes = std::fs::read(&self.ca).map_err(|e| failed(format!("cannot be read: {e}")))?;
        let roots = Roots::from_pem(&bytes).map_err(|e| failed(e.to_string()))?;
        Ok((roots, bytes))
    }
}

/// What is wrong with them, each with its path, what, and remedy.
pub(super) fn problems(settings: &Settings) -> Vec<(String, String, &'static str)> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for (place, anchor) in settings.anchors.iter().enumerate() {
        let mut add = |key: &str, what: String, remedy| found.push((format!("anchors[{place}].{key}"), what, remedy));
        let name = &anchor.name;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
            add("name", format!("{name:?} is no name"), "1 to 40 small letters, digits and '-', for example freetsa");
        } else if !names.insert(name) {
            add("name", format!("{name:?} is there twice"), "give each authority a name of its own");
        }
        let plain = matches!(anchor.url.scheme(), "http" | "https") && anchor.url.has_host();
        if !plain || !anchor.url.username().is_empty() || anchor.url.password().is_some() {
            add(
                "url",
                "not an address that can be asked".to_owned(),
                "http or https, without a name and password in it",
            );
        }
        if anchor.ca.as_os_str().is_empty() {
            add("ca", "is empty".to_owned(), "name the PEM file of the certificates that vouch for the authority");
        }
        if !(SHORTEST..=LONGEST).contains(&anchor.every) {
            add("every", format!("{} is out of range", anchor.every), "1s to 7d");
        }
    }
    for (place, witness) in settings.witnesses.iter().enumerate() {
        let mut add = |key: &str, what: String, remedy| found.push((format!("witnesses[{place}].{key}"), what, remedy));
        if let Err(error) = witness.key.parse::<WitnessKey>() {
            add("key", error.to_string(), "copy the line that the witness publishes: name+id+base64");
        }
        if !matches!(witness.url.scheme(), "http" | "https") || !witness.url.has_host() {
            add("url", "not an address that can be asked".to_owned(), "http or https");
        }
        if !(SHORTEST..=LONGEST).contains(&witness.every) {
            add("every", format!("{} is out of range", witness.every), "1s to 7d");
        }
    }
    found
}

/// Authorities whose certificates cannot be read now.
pub(super) fn untrusted(settings: &Settings, document: &Document) -> Vec<Problem> {
    let wrong = |(place, anchor): (usize, &AnchorSettings)| {
        let path = format!("anchors[{place}].ca");
        let problem = document.problem(&path, format!("{path}: {}", anchor.trusted().err()?));
        Some(problem.with_remedy("put the PEM certificates there that vouch for the authority: it publishes them"))
    };
    settings
        .anchors
        .iter()
        .enumerate()
        .filter(|(_, anchor)| !anchor.ca.as_os_str().is_empty())
        .filter_map(wrong)
        .collect()
}
