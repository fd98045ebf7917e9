//! What the ledger holds: one entry per fact, as JSON that is hashed as it stands.
//!
//! In an entry, sources, collectors, checks and controls stand plain. People and resources stand as pseudonyms, whose
//! link to names lives beside the bodies and can be erased. Every stored form has a version; a reader that meets an
//! entry kind it does not know keeps it as [`Fact::Other`] and goes on.

mod missed;
mod privacy;

use serde::{Deserialize, Serialize};

pub use self::missed::{Missed, MissedReason};
pub use self::privacy::{Erase, EraseDetail, Expired, Hold, HoldDetail, Release, RetentionClass, Subject};

use crate::{
    BodyId, Change, CheckCounts, CheckId, ControlId, Duration, FindingReason, FindingValue, FrameworkId, Gap,
    GapReason, Outcome, Pseudonym, Reconciliation, ResourceType, RowAddress, Severity, SourceId, StreamId, Timestamp,
    Trigger, Trouble,
};

/// The version of the entry format that this program writes.
pub const VERSION: u32 = 1;

/// The greatest size of an entry in bytes; the tile format of C2SP stops at 65,535.
pub const GREATEST_SIZE: usize = 16 * 1024;

/// One entry of the ledger.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Format version.
    pub v: u32,
    /// The sequencer's time: never decreases from entry to entry.
    pub at: Timestamp,
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
}

/// The kinds of fact, by the name in the field `t`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Fact {
    /// The birth of the ledger, always entry 0.
    Genesis(Genesis),
    /// What measured: digests of binary, settings, checks and catalogues, when one of them changes.
    Version(Version),
    /// When a stream is due from now on.
    Schedule(Schedule),
    /// A run is about to begin.
    Intent(Intent),
    /// A run ended.
    Run(Run),
    /// Slots that nobody ran.
    Missed(Missed),
    /// What all checks say of one run's populations.
    Observation(Observations),
    /// A step in the life of a deviation.
    Deviation(Deviation),
    /// A stream stopped giving complete evidence, or gives it again.
    Coverage(Coverage),
    /// The conclusion about a control changed.
    Finding(Finding),
    /// A receiver accepted or refused a notification.
    Delivery(Delivery),
    /// The clock was stepped.
    Clock(ClockStep),
    /// The disk became too full to keep evidence, or has room again.
    Room(Room),
    /// Something is amiss with the daemon itself, or right again.
    Trouble(Trouble),
    /// The ledger's signing key has a successor, or is at its end.
    Key(Key),
    /// An outside authority is to date the ledger from here on, or no longer.
    Authority(Authority),
    /// An outside authority dated a checkpoint.
    Anchor(Anchor),
    /// An authority fell silent, or answers again.
    Silence(Silence),
    /// Something that was recorded no longer reads as it was written, or does again.
    Damage(Damage),
    /// Everything that is kept was read again.
    Scrub(Scrub),
    /// A witness cosigned a checkpoint.
    Cosigned(Cosigned),
    /// A package was made for somebody to take away.
    Export(Export),
    /// Something was erased, or expired: its key was destroyed, and nobody can open what was sealed under it.
    Erase(Erase),
    /// Something may not be erased and does not expire from here on.
    Hold(Hold),
    /// A hold is over.
    Release(Release),
    /// A kind written by a later version.
    #[serde(other)]
    Other,
}

impl Fact {
    /// The key of a fact that may be recorded once only; a second entry with the same key is never written. It follows
    /// from the fact, so it needs no room of its own: a slot has one intent and one outcome, a run one end and one
    /// judgement.
    pub fn once(&self) -> Option<String> {
        match self {
            Fact::Intent(intent) => intent.trigger.slot().map(|slot| format!("intent {} {slot}", intent.stream)),
            Fact::Run(run) => Some(match run.trigger.slot() {
                Some(slot) => format!("outcome {} {slot}", run.stream),
                None => format!("run #{}", run.intent),
            }),
            // A longer range with the same beginning is another fact, and no repetition of this one.
            Fact::Missed(missed) => Some(format!("outcome {} {}..{}", missed.stream, missed.first, missed.last)),
            Fact::Observation(observations) => Some(format!("observation #{}", observations.run)),
            _ => None,
        }
    }

    /// The name of the kind, as in the field `t`.
    pub fn kind(&self) -> &'static str {
        match self {
            Fact::Genesis(_) => "genesis",
            Fact::Version(_) => "version",
            Fact::Schedule(_) => "schedule",
            Fact::Intent(_) => "intent",
            Fact::Run(_) => "run",
            Fact::Missed(_) => "missed",
            Fact::Observation(_) => "observation",
            Fact::Deviation(_) => "deviation",
            Fact::Coverage(_) => "coverage",
            Fact::Finding(_) => "finding",
            Fact::Delivery(_) => "delivery",
            Fact::Clock(_) => "clock",
            Fact::Room(_) => "room",
            Fact::Trouble(_) => "trouble",
            Fact::Erase(_) => "erase",
            Fact::Hold(_) => "hold",
            Fact::Release(_) => "release",
            Fact::Key(_) => "key",
            Fact::Authority(_) => "authority",
            Fact::Anchor(_) => "anchor",
            Fact::Silence(_) => "silence",
            Fact::Damage(_) => "damage",
            Fact::Scrub(_) => "scrub",
            Fact::Cosigned(_) => "cosigned",
            Fact::Export(_) => "export",
            Fact::Other => "other",
        }
    }
}

/// Entry 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Genesis {
    /// The ledger's name in every checkpoint.
    pub origin: String,
    /// The verifier key of its first signing key, as one line of C2SP signed-note.
    pub key: String,
    /// The program that made it, `evidenced 0.1.0`.
    pub program: String,
    /// The ledger that this one continues, when that was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continues>,
}

impl Genesis {
    /// The name that it began with, which one that continues another has a number behind.
    pub fn first_name(&self) -> &str {
        let number = self.continues.as_ref().map(|before| format!("/{}", before.epoch + 1));
        number.and_then(|number| self.origin.strip_suffix(&number)).unwrap_or(&self.origin)
    }
}

/// A ledger that was closed, as the one that continues it knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Continues {
    /// Its name.
    pub origin: String,
    /// How many were closed before this one begins, itself included: from 1.
    pub epoch: u32,
    /// The longest that it is known to have been, by whatever remembers.
    pub known: TreeHead,
    /// Its last signed checkpoint that is still here, as it stands; `None` when none can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// How many entries are known to have been, and are not here.
    pub missing: u64,
    /// No high-water mark was left beside the ledger: entries that came after `known` cannot be counted. Said only where it
    /// is so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unremembered: bool,
    /// Why it was closed, in the words of whoever closed it.
    pub because: String,
}

/// What measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// `evidenced 0.1.0`.
    pub program: String,
    /// SHA-256 of the running binary.
    pub binary: String,
    /// SHA-256 of the settings as read, secrets excluded (they are references).
    pub settings: String,
    /// SHA-256 over all checks in force.
    pub checks: String,
    /// SHA-256 over all catalogues in force.
    pub frameworks: String,
    /// A body with the checks' source text, so that any observation can be recomputed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks_body: Option<BodyId>,
}

/// When a stream is due.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// The stream.
    pub stream: StreamId,
    /// Five cron fields, or `every: 15m`. `None`: the stream was taken out of the settings.
    pub expression: Option<String>,
    /// The time zone of the cron fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Slots after this moment are due.
    pub from: Timestamp,
}

/// A size and root of the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root, 64 hexadecimal digits.
    pub root: String,
}

/// A run is about to begin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// The stream.
    pub stream: StreamId,
    /// Why it runs.
    pub trigger: Trigger,
    /// The ledger as it was known then: a lower bound on the run's time, once that head is anchored.
    pub after: TreeHead,
}

/// A run ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The stream.
    pub stream: StreamId,
    /// The intent it fulfils.
    pub intent: u64,
    /// The stream's run entry before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<u64>,
    /// Why it ran.
    pub trigger: Trigger,
    /// Version of the collector's meaning.
    pub collector_version: u32,
    /// When it began and ended.
    pub started: Timestamp,
    /// See `started`.
    pub ended: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Who the source says we are, as a pseudonym.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Pseudonym>,
    /// Number of exchanges, and the body that lists them, one line of JSON each.
    pub calls: u32,
    /// See `calls`; `None` when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<BodyId>,
    /// The populations, sorted by type.
    pub populations: Vec<PopulationManifest>,
    /// Body with who changed what lately, when the source says: one JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<BodyId>,
    /// What could not be read. At most [`Run::GAPS`] stand here, the most telling first; `more_gaps` counts the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// See `gaps`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_gaps: u64,
}

impl Run {
    /// How many gaps stand in the entry itself.
    pub const GAPS: usize = 20;
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A population as the ledger holds it: counted, committed row by row, revealing nobody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PopulationManifest {
    /// What kind of resource.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// How many.
    pub count: u64,
    /// Whether that is all there are.
    pub complete: bool,
    /// The manifest: a body of lines `pseudonym commitment`, sorted, one per resource. `None` when count is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<BodyId>,
    /// The second count, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciliation>,
}

/// The disk became too full to keep evidence, or has room again. Between the two entries nothing is collected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Room {
    /// Whether there is too little room from here on (`true`), or enough again (`false`).
    pub lost: bool,
    /// How much there is and how much is needed, in words.
    pub detail: String,
    /// The entry that said that there was too little, when this one ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<u64>,
}

/// A file of the data directory is not what was written into it, or is again. Nothing is put right by the program: what
/// was recorded is evidence, and so is its damage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Damage {
    /// The file, below the data directory.
    pub file: String,
    /// Whether it is damaged from here on (`true`), or was read whole again (`false`).
    pub lost: bool,
    /// What was found, in words, by the first damage that was met in it.
    pub detail: String,
    /// The entry that said that it was damaged, when this one ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<u64>,
}

/// Everything that is kept was read again, from its first byte to its last, as far as [`Scrub::unread`] does not say less.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Scrub {
    /// When that began.
    pub began: Timestamp,
    /// How many entries were read.
    pub entries: u64,
    /// How many bodies.
    pub bodies: u64,
    /// How many bytes that was.
    pub bytes: u64,
    /// How many files were damaged.
    pub damaged: u64,
    /// Files and folders that could not be read to their end, by their path below the data directory: of these it says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// A step in the change of the ledger's signing key; exactly one of the two is there. Its form is part of the ledger's own
/// format, so that whoever verifies signatures needs to know no other kind of entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Key {
    /// A signed note by which the key in force names its successor, signed by both: from here on both sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<String>,
    /// The verifier key of the older of two, which signs for no tree that holds this entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires: Option<String>,
}

/// A time-stamping authority (RFC 3161) that the settings name, when that changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Authority {
    /// Its name in the settings.
    pub name: String,
    /// How often it is to be asked; `None` when it was taken out of the settings.
    pub every: Option<Duration>,
    /// SHA-256 of the file of certificates that it is checked against; `None` when it was taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<String>,
}

/// An outside authority dated a checkpoint: the entries below its size existed before that time. Whatever follows this
/// entry was recorded after it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Anchor {
    /// The authority by its name in the settings.
    pub authority: String,
    /// The size and root that were dated.
    pub head: TreeHead,
    /// The time that the authority gives.
    pub time: Timestamp,
    /// By how much that may be wrong, if the authority says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Duration>,
    /// The subject of the certificate that signed it.
    pub signer: String,
    /// A body with the very bytes that were dated: the checkpoint with the ledger's own signatures.
    pub checkpoint: BodyId,
    /// A body with the authority's answer, as it came.
    pub answer: BodyId,
    /// A body with the certificates, in PEM: those of the answer, and those it was checked against.
    pub chain: BodyId,
}

/// A witness (C2SP tlog-witness) cosigned a checkpoint: it continues every one that this witness cosigned before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cosigned {
    /// The witness by the name of its key.
    pub witness: String,
    /// The size and root that it cosigned.
    pub head: TreeHead,
    /// When, by the witness's clock.
    pub time: Timestamp,
    /// The cosignature, as a line of a signed note.
    pub line: String,
}

/// An authority has dated nothing for longer than twice the time it was to do so in, or answers again. It is a word
/// against ourselves: what is recorded meanwhile is signed, and nobody outside says when it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Silence {
    /// The authority by its name in the settings.
    pub authority: String,
    /// Whether it is silent from here on (`true`), or answers again (`false`).
    pub lost: bool,
    /// When it last answered, or since when it was to.
    pub since: Timestamp,
    /// What became of the last try, in words.
    pub detail: String,
    /// The entry that said that it was silent, when this one ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<u64>,
}

/// What all checks say of one run's populations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observations {
    /// The stream.
    pub stream: StreamId,
    /// The run judged.
    pub run: u64,
    /// The observation entry before that holds rows of its own, so that the last determined word can be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<u64>,
    /// The observation entry whose counts and rows hold word for word; then `checks` and `manifest` are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
    /// One line per check, sorted by check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckLine>,
    /// Number of rows in the manifest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// The manifest: a body of lines `check pseudonym value commitment`, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<BodyId>,
    /// Why there are no rows and no counts: the judgement could not be kept. Then no check says anything of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkept: Option<String>,
}

/// What one check says of one run, counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckLine {
    /// The check.
    pub check: CheckId,
    /// Digest of its definition and parameters.
    pub version: String,
    /// Whether the population it spoke of was read completely.
    pub complete: bool,
    /// The counts.
    #[serde(flatten)]
    pub counts: CheckCounts,
}

/// A step in the life of a deviation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deviation {
    /// The check.
    pub check: CheckId,
    /// The source.
    pub source: SourceId,
    /// What kind of resource.
    pub kind: ResourceType,
    /// Which one.
    pub resource: Pseudonym,
    /// The step.
    pub change: Change,
    /// Which opening, from 1.
    pub episode: u32,
    /// How much it matters.
    pub severity: Severity,
    /// It was so when the check first looked at this source.
    pub baseline: bool,
    /// The observation that shows it; for *gone* the run whose complete population lacks it.
    pub is: RowAddress,
    /// The observation before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<RowAddress>,
    /// The entry that opened the episode; `None` on opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<u64>,
    /// A body with names, values before and after, and the actor: [`DeviationDetail`].
    pub detail: BodyId,
}

/// What stands in the body of a deviation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeviationDetail {
    /// The resource.
    pub resource: crate::ResourceKey,
    /// The name people know it by.
    pub name: String,
    /// The fields of the check before, as far as they were read.
    pub before: std::collections::BTreeMap<String, serde_json::Value>,
    /// When `before` was seen.
    pub before_at: Option<Timestamp>,
    /// The fields now; empty when the resource is gone.
    pub after: std::collections::BTreeMap<String, serde_json::Value>,
    /// When `after` was seen: the end of the run.
    pub after_at: Timestamp,
    /// Who changed it.
    pub actor: Result<crate::Actor, crate::UnknownActor>,
    /// When the source says it was changed.
    pub changed_at: Option<Timestamp>,
}

/// A stream stopped giving complete evidence, or gives it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Coverage {
    /// The stream.
    pub stream: StreamId,
    /// `true`: lost with this entry; `false`: restored.
    pub lost: bool,
    /// Which loss, from 1.
    pub episode: u32,
    /// The run or missed entry that shows it.
    pub by: u64,
    /// The most telling reason of the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<GapReason>,
    /// Checks gone blind, in whole or in part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<CheckId>,
    /// The entry that opened the loss; `None` on opening. A loss whose reason or reach changes is recorded again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<u64>,
}

/// The conclusion about a control changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The catalogue.
    pub framework: FrameworkId,
    /// The control.
    pub control: ControlId,
    /// The conclusion.
    pub value: FindingValue,
    /// Its reason.
    pub reason: FindingReason,
    /// The conclusion before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<FindingValue>,
    /// The observation entries it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests_on: Vec<u64>,
}

/// What became of a notification.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// The notification's own id: the same on every try.
    pub notification: String,
    /// The receiver by its name in the settings.
    pub receiver: String,
    /// What it told: `firing`, `resolved`, `baseline`.
    pub tells: String,
    /// The entries it told of: deviations or coverage.
    pub about: Vec<u64>,
    /// Whether the receiver took it. A refusal is recorded once, not at every try.
    pub accepted: bool,
    /// The receiver's answer in a few words: `202`, `connection refused`.
    pub answer: String,
    /// How many tries it took so far.
    pub tries: u32,
}

/// A package of evidence was made: it holds names and values outside our reach from then on, so that its receiver can be
/// told when something in it is erased.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Export {
    /// Controls or streams that were asked for.
    pub of: Vec<String>,
    /// The first moment of the period.
    pub from: Timestamp,
    /// The moment that ends it.
    pub to: Timestamp,
    /// Entries in the package.
    pub entries: u64,
    /// Rows of observations in it.
    pub rows: u64,
    /// Bodies that its entries name and that were left out.
    pub withheld: u64,
    /// What was hidden, as `type.field`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// SHA-256 of the list of its files, 64 hexadecimal digits.
    pub digest: String,
    /// A body with the receiver's name: [`ExportDetail`].
    pub detail: BodyId,
}

/// What stands in the body of an export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportDetail {
    /// Whom the package is for.
    pub recipient: String,
}

/// The clock was stepped while the daemon ran, or since its last entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClockStep {
    /// What the clock should have shown, by the monotonic clock or the ledger's last entry.
    pub expected: Timestamp,
    /// What it showed.
    pub shown: Timestamp,
    /// The length of the step.
    pub by: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Slot;

    #[test]
    fn an_entry_reads_back_and_a_later_kind_is_kept() {
        let entry = Entry {
            v: VERSION,
            at: Timestamp::from_millis(5),
            fact: Fact::Intent(Intent {
                stream: "keycloak:acme/realm".parse().unwrap(),
                trigger: Trigger::Slot(Slot(Timestamp::from_millis(0))),
                after: TreeHead { size: 1, root: "00".into() },
            }),
        };
        let text = serde_json::to_string(&entry).unwrap();
        assert!(text.contains(r#""t":"intent""#), "{text}");
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);

        let later = r#"{"v":2,"at":"2030-01-01T00:00:00.000Z","t":"hologram","x":1}"#;
        assert_eq!(serde_json::from_str::<Entry>(later).unwrap().fact, Fact::Other);
    }
}
