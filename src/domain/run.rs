//! One asking of a source: what was asked, what was found, and what could not be read.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BodyId, CollectorName, Duration, Population, ResourceKey, ResourceType, SourceId, StreamId, Timestamp};

/// The nominal instant of a schedule, in UTC. Jitter moves the start of a run, never its slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Slot(pub Timestamp);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a run was started. Only a scheduled run has a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its slot came.
    Slot(Slot),
    /// Slots had passed unattended; one run makes up for all of them.
    CatchUp,
    /// A person asked.
    Manual,
    /// An event at the source said that something changed.
    Event,
}

impl Trigger {
    /// The slot, when there is one.
    pub fn slot(self) -> Option<Slot> {
        match self {
            Trigger::Slot(slot) => Some(slot),
            _ => None,
        }
    }
}

/// How a run ended. Every slot has exactly one outcome; the fourth, *missed*, has no run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was asked was answered.
    Collected,
    /// Some of it was; the gaps say what was not.
    Partial,
    /// None of it was.
    Failed,
}

impl Outcome {
    /// The word that entries and pages use.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Collected => "collected",
            Outcome::Partial => "partial",
            Outcome::Failed => "failed",
        }
    }
}

/// Why something could not be read. Kept apart because each has another remedy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The source knows us and refuses: a permission is missing.
    Denied,
    /// The source does not accept our credentials.
    Unauthenticated,
    /// The source asked us to slow down, for longer than the run's budget.
    Throttled,
    /// The list ended before its own count said it would, or a page was lost.
    Truncated,
    /// The source's licence does not include it.
    NotLicensed,
    /// The source's version or setting does not offer it.
    NotSupported,
    /// No connection, or one that broke.
    Unreachable,
    /// A limit on connect, headers, body or the whole run ran out.
    TimedOut,
    /// The source answered with a fault of its own (5xx).
    SourceFault,
    /// The answer was not what the source's own description promises.
    Malformed,
    /// One of our own limits was reached: pages, bytes, items, tries.
    OverLimit,
    /// The answer could not be kept, so it may not be used: there would be no evidence behind it.
    NotKept,
    /// We refused: a redirect, a next link to another host, an undeclared call.
    Refused,
    /// It was to be read from evidence that was never recorded, or that is too old.
    NoEvidence,
    /// What links it to another source is missing, or fits more than one.
    Unmatched,
    /// The daemon was asked to stop.
    Cancelled,
    /// The process died during the run.
    Interrupted,
    /// The settings or the kind of sign-in leave it out. Only a field can be so: it is unread, and no gap.
    NotAsked,
}

impl GapReason {
    /// The words that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::Denied => "denied",
            GapReason::Unauthenticated => "not signed in",
            GapReason::Throttled => "throttled",
            GapReason::Truncated => "truncated",
            GapReason::NotLicensed => "not licensed",
            GapReason::NotSupported => "not supported",
            GapReason::Unreachable => "unreachable",
            GapReason::TimedOut => "timed out",
            GapReason::SourceFault => "source fault",
            GapReason::Malformed => "malformed answer",
            GapReason::OverLimit => "over our limit",
            GapReason::NotKept => "not kept",
            GapReason::Refused => "refused by us",
            GapReason::NoEvidence => "no fresh evidence",
            GapReason::Unmatched => "no sure match",
            GapReason::Cancelled => "cancelled",
            GapReason::Interrupted => "interrupted",
            GapReason::NotAsked => "not asked",
        }
    }
}

/// Something a run tried to read and could not.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The declared call that failed, with its placeholders: `GET /admin/realms/{realm}/users`. Never an id.
    pub call: String,
    /// The permission that the call needs, as the source names it, when one is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// Resource types whose population is incomplete because of it. Empty: only fields are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<ResourceType>,
    /// Fields that stayed unread because of it, as `type.field`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// How many resources lack those fields; 0 when whole populations are missing.
    #[serde(default)]
    pub resources: u64,
    /// What the source said, in a few words that name no person and hold no secret: `403 Forbidden`.
    pub detail: String,
    /// The exchange that shows it, by its place in the run; `None` when nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<u32>,
}

/// One request and its reply, bytes as received, secrets redacted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    /// Its place in the run, from 0: by the collector's list of calls, then by address, so that it is the same in every
    /// run that asks the same.
    pub seq: u32,
    /// The declared call.
    pub call: String,
    /// `GET`, `POST` …
    pub method: String,
    /// The address asked, without credentials.
    pub url: String,
    /// Digest of the request body as sent, when there was one and it held no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_body: Option<BodyId>,
    /// When the first try was sent.
    pub sent: Timestamp,
    /// When the last byte of the answer was in, or when we gave up.
    pub ended: Timestamp,
    /// Tries before the one that counted, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// HTTP status of the answer; `None` when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's own id of the request, so that an auditor can find it in the provider's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The provider's `Date` header, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The answer's `ETag`, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The source confirmed an earlier body (304); `body` is that body.
    #[serde(default)]
    pub not_modified: bool,
    /// The address of the next page that the answer named, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Bytes of body received over the wire, after content decoding.
    pub bytes: u64,
    /// The body in the order of its segments. Empty when there was none or it is wholly secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<BodyId>,
    /// Paths of the values replaced before anything was kept, such as `[].credentialData`; `*` is the whole body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why there is no usable answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Exchange {
    /// What came of it, in a word: the status, `read` of what was read on this machine, or `no answer`.
    pub fn answer(&self) -> String {
        match (self.status, &self.error) {
            (Some(status), _) => status.to_string(),
            (None, None) => "read".to_owned(),
            (None, Some(_)) => "no answer".to_owned(),
        }
    }
}

/// A try that did not count, and how long we waited after it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Try {
    /// When it was sent.
    pub sent: Timestamp,
    /// HTTP status, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, in a few words.
    pub error: String,
    /// The wait before the next try.
    pub waited: Duration,
}

/// A field of a resource: read, or not read and why.
///
/// `Read(Value::Null)` is a value that the source gave; `Unread` is the absence of one. Nothing turns the second into
/// the first.
#[derive(Clone, PartialEq, Debug)]
pub enum Field {
    /// The source gave this value.
    Read(Value),
    /// It could not be read: the reason, and a few words.
    Unread(GapReason, String),
}

/// One thing at a source that can be assessed, as the run found it.
#[derive(Clone, PartialEq, Debug)]
pub struct Resource {
    /// Type and immutable id.
    pub key: ResourceKey,
    /// The name people know it by; may change.
    pub name: String,
    /// Its fields by the names that checks use.
    pub fields: BTreeMap<String, Field>,
    /// The exchanges it was read from, by place in the run, sorted.
    pub exchanges: Vec<u32>,
}

/// The stored form of a resource: one line of JSON, unread fields beside read ones, never among them.
#[derive(Deserialize)]
struct ResourceLine {
    #[serde(flatten)]
    key: ResourceKey,
    name: String,
    fields: BTreeMap<String, Value>,
    #[serde(default)]
    unread: BTreeMap<String, (GapReason, String)>,
    #[serde(default)]
    exchanges: Vec<u32>,
}

impl Serialize for Resource {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut line = s.serialize_map(None)?;
        line.serialize_entry("type", &self.key.kind)?;
        line.serialize_entry("id", &self.key.id)?;
        line.serialize_entry("name", &self.name)?;
        line.serialize_entry("fields", &ReadOf(&self.fields))?;
        let unread = UnreadOf(&self.fields);
        if !unread.is_empty() {
            line.serialize_entry("unread", &unread)?;
        }
        if !self.exchanges.is_empty() {
            line.serialize_entry("exchanges", &self.exchanges)?;
        }
        line.end()
    }
}

/// Of the fields of a resource those that were read, as they are written: there are hundreds of thousands, so none is
/// copied for it.
pub(crate) struct ReadOf<'a>(pub(crate) &'a BTreeMap<String, Field>);

impl Serialize for ReadOf<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().filter_map(|(name, field)| match field {
            Field::Read(value) => Some((name, value)),
            Field::Unread(..) => None,
        }))
    }
}

/// Of the fields of a resource those that were not read, as they are written: reason and words.
pub(crate) struct UnreadOf<'a>(pub(crate) &'a BTreeMap<String, Field>);

impl UnreadOf<'_> {
    fn is_empty(&self) -> bool {
        !self.0.values().any(|field| matches!(field, Field::Unread(..)))
    }
}

impl Serialize for UnreadOf<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().filter_map(|(name, field)| match field {
            Field::Unread(reason, why) => Some((name, (reason, why))),
            Field::Read(_) => None,
        }))
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let line = ResourceLine::deserialize(d)?;
        let mut fields: BTreeMap<String, Field> =
            line.fields.into_iter().map(|(name, value)| (name, Field::Read(value))).collect();
        for (name, (reason, why)) in line.unread {
            if fields.insert(name.clone(), Field::Unread(reason, why)).is_some() {
                return Err(serde::de::Error::custom(format_args!("field {name:?} is both read and unread")));
            }
        }
        Ok(Resource { key: line.key, name: line.name, fields, exchanges: line.exchanges })
    }
}

/// Who changed something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// The name people know, as the source gives it.
    pub name: String,
    /// The source's id of the person or program.
    pub id: String,
    /// Where they came from: an address, a session, a pipeline run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Why nobody can be named.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnknownActor {
    /// The reason in a few words: `admin events are switched off`.
    pub reason: String,
}

/// The source's own word that somebody changed something; used to name the actor, never as evidence of the state.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChangeEvent {
    /// The source's id of the event.
    pub id: String,
    /// When, by the source's clock.
    pub at: Timestamp,
    /// By whom.
    pub actor: Result<Actor, UnknownActor>,
    /// What was done, in the source's words: `UPDATE realm`.
    pub operation: String,
    /// Resources it touched.
    pub touches: Vec<ResourceKey>,
}

/// One asking: what came back, and what did not.
///
/// A run has no error type. What went wrong is in `gaps`, and `outcome` follows from them.
#[derive(Clone, PartialEq, Debug)]
pub struct CollectionRun {
    /// Source and collector.
    pub stream: StreamId,
    /// Version of the collector's meaning: raised when the same answers would give other fields.
    pub collector_version: u32,
    /// Why it ran.
    pub trigger: Trigger,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; checks are evaluated as of this moment.
    pub ended: Timestamp,
    /// Who the source says we are.
    pub caller: Option<String>,
    /// Every exchange, by its place.
    pub exchanges: Vec<Exchange>,
    /// One population per resource type that the collector yields, sorted by type; a type that could not be read at
    /// all is here too, empty and incomplete.
    pub populations: Vec<Population>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Who changed what lately, as far as the source says; `Err` says why it does not.
    pub changes: Result<Vec<ChangeEvent>, UnknownActor>,
    /// How it ended.
    pub outcome: Outcome,
}

impl CollectionRun {
    /// The source that was asked.
    pub fn source(&self) -> SourceId {
        self.stream.source()
    }

    /// The collector that asked.
    pub fn collector(&self) -> CollectorName {
        self.stream.collector()
    }

    /// How many resources were found, over all populations.
    pub fn resource_count(&self) -> u64 {
        self.populations.iter().map(|p| p.len() as u64).sum()
    }
}
