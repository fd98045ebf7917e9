//! Settings: what the operator of a daemon writes, and everything that can be wrong with it.
//!
//! The doc comments of the types below are the reference manual. [`example`] and [`schema`] turn them into the
//! commented example file and the JSON Schema, which are kept in `config/` and held fresh by a test.
//!
//! Secrets never stand here, only where they lie; so settings may be printed, hashed and kept as evidence.

mod anchors;
mod manual;
mod outside;
mod problems;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use checks::yaml::Document;
use checks::{CheckSet, Problem};
use domain::entry::Genesis;
use domain::{CheckId, Duration};
use kit::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::anchors::{AnchorSettings, WitnessSettings};
use self::manual::Manual;
pub use self::manual::{example, schema};
pub use self::outside::{NetworkSettings, OtlpProtocol, ProxySettings, TelemetrySettings};
pub use self::problems::{check_set, texts_in};

/// Settings of one `evidenced` daemon.
///
/// Relative paths begin at the folder in which the daemon was started. The file, and the checks, catalogues, certificates
/// and secrets that it names, are read again within seconds when they change; what is not right then leaves what was
/// before in force, and is told. Addresses, folders of data and guard, the data key, the way to the network, log and
/// telemetry are read at the start only.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["organisation", "sources"]))]
pub struct Settings {
    /// The organisation whose evidence this is, as people call it.
    pub organisation: String,
    /// The data directory: ledger, bodies, keys and index.
    pub data: PathBuf,
    /// Where the mark is kept that shows when the data directory was put back to an older state. It should be on another
    /// volume. Left out: in the data directory, where it shows less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard_dir: Option<PathBuf>,
    /// Further folders for the same mark, on other volumes or machines still. The farthest of all that can be reached
    /// counts; one that cannot is said in the log. A folder has to be there: a missing one is an unmounted volume.
    pub guard_copies: Vec<PathBuf>,
    /// Where the data key lies: 64 hexadecimal digits, as `openssl rand -hex 32` makes them. Under it lie the keys of
    /// records, which seal every body. Left out: `keys/data.key` in the data directory, made by `evidenced init`, which
    /// protects packs and backups that go without the folder of keys, and nothing against who has all of the directory.
    /// It changes by `evidenced ledger rewrap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_key: Option<SecretRef>,
    /// What keeps the index, the copy of the ledger that pages and API read: `sled` or `redb`. Both hold the same rows; redb
    /// takes less room and memory. After a change the next start builds the index again from the ledger; nothing is lost.
    pub index: store::index::Engine,
    /// The ledger.
    pub ledger: LedgerSettings,
    /// Outside authorities that date the ledger (RFC 3161), so that nobody has to take the operator's word for when
    /// something was recorded. Two of different houses are better than one.
    pub anchors: Vec<AnchorSettings>,
    /// Witnesses (C2SP tlog-witness): others who remember how far the ledger was, and cosign what continues it. One that has
    /// seen more than is here shows that an older copy is in its place, and nothing is recorded.
    pub witnesses: Vec<WitnessSettings>,
    /// How long what nothing rests on any more is kept. Left out: for ever.
    pub retention: RetentionSettings,
    /// The scrub, which reads everything that is kept again, so that damage is found while a whole copy still exists.
    pub scrub: ScrubSettings,
    /// When collectors run, where neither the collector nor its source says otherwise.
    pub schedules: Schedules,
    /// What to watch, by kind.
    pub sources: connectors::Sources,
    /// Who is told when something drifts or can no longer be seen.
    pub alerts: alerts::Settings,
    /// The page and the API.
    pub web: WebSettings,
    /// Health and metrics, at an address of their own.
    pub health: HealthSettings,
    /// A folder of checks (`*.yaml`, folders within it too) beside those of this program. One with the id of a built-in
    /// check takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks_dir: Option<PathBuf>,
    /// A folder of catalogues of controls (`*.yaml`) beside those of this program, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frameworks_dir: Option<PathBuf>,
    /// The organisation's own thresholds: by check, then by parameter. `evidenced list checks` shows them all.
    #[schemars(with = "BTreeMap<String, BTreeMap<String, Value>>")]
    pub params: BTreeMap<CheckId, BTreeMap<String, Value>>,
    /// What the daemon says of itself, on standard error.
    pub log: LogSettings,
    /// What the daemon tells an OpenTelemetry collector of itself: traces, metrics and log lines by OTLP.
    pub telemetry: TelemetrySettings,
    /// The way to everything outside: sources, receivers, authorities, witnesses.
    pub network: NetworkSettings,
    /// Limits. Reaching one is recorded as a gap, never passed over.
    pub limits: Limits,
}

/// The ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSettings {
    /// Its name in every checkpoint, for its whole life. Left out: made from the organisation, `evidenced/acme-ltd`. A ledger
    /// takes evidence by settings that lead to its name only, so that two organisations never stand in one; say the name here
    /// when the organisation is called otherwise by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// How long what nothing rests on any more is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSettings {
    /// Answers of sources, as they came, after the last run that referred to them: `1s` to `36500d`, for example `1095d`. The
    /// daemon then destroys their keys, at most once a day, and an entry says so; what was read out of them stays in the
    /// records. Kept all the same is what the latest runs, open deviations and legal holds rest on. `evidenced retention`
    /// shows what would go. Left out: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub answers: Option<Duration>,
    /// Records of resources that are in no population any more, after the last run that found them and the last deviation of
    /// theirs: the same, with their names. What was observed of them stays counted in its entries, and cannot be computed
    /// again. Left out: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub records: Option<Duration>,
}

/// The scrub.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubSettings {
    /// How often it reads everything: `1s` to `90d`, from the beginning of one pass to that of the next. What is damaged
    /// is named in the ledger and told at once; nothing is put right. `evidenced doctor` says when it was through last.
    #[schemars(with = "String")]
    pub every: Duration,
    /// How many MiB it reads in a second at most: 1 to 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub mib_per_second: u32,
}

/// When collectors run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedules {
    /// The time zone of all cron fields, by its IANA name. When the clocks change, a job with a fixed hour runs exactly
    /// once; one with `*` or a step in its hour follows elapsed time. All zones are part of this program, which needs no
    /// files of the system for them. Left out: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The schedule of every collector for which its source gives none: five cron fields or `every: 15m`. Left out:
    /// each collector has its own, which `evidenced plan` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// The page and the API.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebSettings {
    /// The address to listen on. Any other than this machine's own (127.0.0.1, [::1]) needs `token_file`.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// A file with the token that every request must bring. Another one in it counts within seconds; while it is missing or
    /// empty, the last one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Health and metrics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSettings {
    /// The address to listen on: `/healthz`, `/readyz` and `/metrics`. They name sources and checks, never resources or
    /// people.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

/// What the daemon says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// How lines look: `auto`, `plain` or `json`. `auto` is plain on a terminal and JSON elsewhere.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Plain on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One line of words.
    Plain,
    /// One JSON object per line.
    Json,
}

/// Limits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Runs at once, over all sources: 1 to 1024. Each source has a smaller limit of its own on requests.
    #[schemars(range(min = 1, max = 1024))]
    pub runs_at_once: u32,
    /// The longest run, waiting included: `1s` to `6h`.
    #[schemars(with = "String")]
    pub run: Duration,
    /// Requests of one run: 1 to 500000.
    #[schemars(range(min = 1, max = 500_000))]
    pub calls: u32,
    /// Pages of one list: 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub pages: u32,
    /// MiB of one answer: 1 to 512. An answer is held in memory several times over while it is read and kept.
    #[schemars(range(min = 1, max = 512))]
    pub answer_mib: u32,
}

/// The port of page and API.
const WEB_PORT: u16 = 8461;
/// The port of health and metrics.
const HEALTH_PORT: u16 = 8462;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            organisation: String::new(),
            data: PathBuf::from("evidenced-data"),
            guard_dir: None,
            guard_copies: Vec::new(),
            data_key: None,
            index: store::index::Engine::default(),
            ledger: LedgerSettings::default(),
            anchors: Vec::new(),
            witnesses: Vec::new(),
            retention: RetentionSettings::default(),
            scrub: ScrubSettings::default(),
            schedules: Schedules::default(),
            sources: connectors::Sources::default(),
            alerts: alerts::Settings::default(),
            web: WebSettings::default(),
            health: HealthSettings::default(),
            checks_dir: None,
            frameworks_dir: None,
            params: BTreeMap::new(),
            log: LogSettings::default(),
            telemetry: TelemetrySettings::default(),
            network: NetworkSettings::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for WebSettings {
    fn default() -> Self {
        WebSettings { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, WEB_PORT)), token_file: None }
    }
}

impl Default for HealthSettings {
    fn default() -> Self {
        HealthSettings { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, HEALTH_PORT)) }
    }
}

impl Default for ScrubSettings {
    fn default() -> Self {
        ScrubSettings { every: Duration::from_secs(7 * 86_400), mib_per_second: 8 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { runs_at_once: 32, run: Duration::from_secs(300), calls: 20_000, pages: 3_000, answer_mib: 32 }
    }
}

impl Limits {
    /// The same for one run of the kit; what is not a setting keeps its own value there.
    pub fn of_a_run(&self) -> kit::Limits {
        kit::Limits {
            run: self.run.to_std(),
            exchanges: self.calls,
            pages: self.pages,
            body_bytes: u64::from(self.answer_mib) * 1024 * 1024,
            ..kit::Limits::default()
        }
    }
}

impl Settings {
    /// The name of a ledger that begins with these settings.
    pub fn origin(&self) -> String {
        self.ledger.origin.clone().unwrap_or_else(|| format!("evidenced/{}", slug(&self.organisation)))
    }

    /// Why nothing is recorded by these settings in the ledger that begins so; `None` when it is the organisation's own.
    pub fn of_another(&self, genesis: &Genesis) -> Option<String> {
        let (wanted, found) = (self.origin(), genesis.first_name());
        // Without settings nobody is named.
        let named = !self.organisation.is_empty() || self.ledger.origin.is_some();
        (named && wanted != found).then(|| {
            format!(
                "these settings belong to the ledger {wanted}, and this one is {found}: name the data directory of {}, or, if that is \
                 this organisation under another name, say so in the settings: ledger: {{origin: {found}}}",
                self.organisation
            )
        })
    }

    /// The schedule of one collector of one source: the source's own word, else the default of all, else the
    /// collector's.
    ///
    /// # Errors
    /// Only for settings that [`Settings::problems`] would not have let pass.
    pub fn schedule(
        &self,
        source: &dyn kit::AnySource,
        collector: &kit::CollectorSpec,
    ) -> Result<crate::schedule::Schedule, crate::schedule::ScheduleError> {
        let named = source.common().schedules.is_some_and(|all| all.keys().any(|name| name.as_str() == collector.name));
        let text = match &self.schedules.default {
            Some(default) if !named => default.clone(),
            _ => source.schedule(collector),
        };
        crate::schedule::Schedule::parse(&text, self.schedules.zone.as_deref())
    }

    /// SHA-256 of what the settings mean, in hexadecimal: comments, order and spelled-out defaults do not count. They
    /// hold references to secrets only, and so does the digest.
    pub fn digest(&self) -> String {
        // Objects are sorted by key, so equal settings give equal bytes.
        let bytes = serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default();
        hex::encode(Sha256::digest(bytes))
    }

    /// Everything that is wrong with settings of the right shape, each at its place in `document`, which they were
    /// read from. Reads no other file and contacts nobody.
    pub fn problems(&self, document: &Document) -> Vec<Problem> {
        problems::all(self, document)
    }
}

/// Settings as a file gave them, right in themselves.
#[derive(Debug)]
pub struct Configured {
    /// The settings.
    pub settings: Settings,
    /// The file, with the place of everything in it.
    pub document: Document,
    /// The checks in force: those of this program and of `checks_dir`, with the thresholds of `params`.
    pub checks: CheckSet,
}

/// A secret that does not lie where the settings say.
#[derive(Debug)]
pub struct Amiss {
    /// What was found, at the reference.
    pub problem: Problem,
    /// Whether the daemon would find the same: a file is there for all who may read it, a variable is not.
    pub certain: bool,
}

impl Configured {
    /// The secrets that cannot be read now, in the order of the file. Reads every one of them and keeps none.
    pub fn secrets_amiss(&self, secrets: &dyn kit::Secrets) -> Vec<Amiss> {
        problems::secrets_amiss(self, secrets)
    }
}

/// Reads a settings file, the checks and catalogues it names, and holds everything against everything.
///
/// # Errors
/// All problems that were found, in the order of the file. Nothing starts half configured.
pub fn load(path: &Path) -> Result<Configured, Vec<Problem>> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let remedy = "name the settings file with --config, or begin with: evidenced config example > evidenced.yaml";
        vec![Problem::of_file(&file, format!("cannot be read: {error}")).with_remedy(remedy)]
    })?;
    let (settings, document) = read(&file, &text)?;
    let mut problems = settings.problems(&document);
    problems.extend(anchors::untrusted(&settings, &document));
    match check_set(&settings, &document) {
        Ok(checks) if problems.is_empty() => Ok(Configured { settings, document, checks }),
        Ok(_) => Err(in_order(problems)),
        Err(more) => {
            problems.extend(more);
            Err(in_order(problems))
        }
    }
}

/// Reads settings from a text; `file` is its name in problems. Looks at nothing but the text, so the names of checks in
/// `params` and routes are not held against the checks there are.
///
/// # Errors
/// All problems that were found, in the order of the file.
pub fn parse(file: &str, text: &str) -> Result<Settings, Vec<Problem>> {
    let (settings, document) = read(file, text)?;
    match settings.problems(&document) {
        problems if problems.is_empty() => Ok(settings),
        problems => Err(problems),
    }
}

/// Reads settings of the right shape: known keys, values of the right kind. What they say is not looked at; see
/// [`Settings::problems`]. No problem repeats a value that could be a secret.
///
/// # Errors
/// The fault of every section and list item that has one.
pub fn read(file: &str, text: &str) -> Result<(Settings, Document), Vec<Problem>> {
    let document = Document::read_discreetly(file, text, Manual::the().discretion())?;
    let settings = shape::settings(&document).map_err(in_order)?;
    Ok((settings, document))
}

/// Sorted by place, each once.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    problems.dedup();
    problems
}

/// Lower-case letters and digits, everything else one `-`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "ledger".to_owned() } else { slug.to_owned() }
}
