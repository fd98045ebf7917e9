//! The rows of the index: what each key is called and what stands behind it.
//!
//! Keys are short text prefixes with big-endian numbers, so that key order is time order. Values are JSON.

use domain::entry::{CheckLine, TreeHead};
use domain::{
    BodyId, CheckId, CollectorName, ControlId, DeviationState, Duration, FindingReason, FindingValue, FrameworkId,
    GapReason, Outcome, Pseudonym, ResourceType, Severity, Slot, SourceId, StreamId, Timestamp, Trigger, TroubleIn,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of all rows; an index of another version is built again.
pub const VERSION: u32 = 5;

/// How far the index has folded the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Watermark {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// Entries folded, and the root of the ledger at that size.
    pub head: TreeHead,
    /// The sequencer time of the last entry folded.
    pub at: Timestamp,
}

/// Where one stream stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StreamRow {
    /// The stream.
    pub stream: StreamId,
    /// The schedules it has had, oldest first, as far as slots of theirs may still be owed; the last one is in force.
    pub schedules: Vec<ScheduleRow>,
    /// A run that began and has no outcome yet.
    pub open_intent: Option<IntentRow>,
    /// The last slot that has an outcome.
    pub last_slot: Option<Slot>,
    /// Slots were missed or a run was interrupted, and nothing was begun since.
    pub catch_up: bool,
    /// The last run.
    pub last_run: Option<RunRow>,
    /// The last run that was collected whole.
    pub last_collected: Option<RunRow>,
    /// The last entry that says what checks say of a run.
    pub observed: Option<ObservedRow>,
    /// Checks that have had a first look at this source, as `check@version`, sorted. What they found then is baseline.
    pub looked: Vec<String>,
    /// Whether the stream gives complete evidence.
    pub coverage: Option<CoverageRow>,
    /// Outcomes so far, by kind: collected, partial, failed, missed.
    pub outcomes: [u64; 4],
}

impl StreamRow {
    /// A stream of which nothing is known yet.
    pub fn new(stream: StreamId) -> Self {
        StreamRow {
            stream,
            schedules: Vec::new(),
            open_intent: None,
            last_slot: None,
            catch_up: false,
            last_run: None,
            last_collected: None,
            observed: None,
            looked: Vec::new(),
            coverage: None,
            outcomes: [0; 4],
        }
    }
}

impl StreamRow {
    /// The schedule in force; `None` when the stream is not in the settings any more.
    pub fn schedule(&self) -> Option<&ScheduleRow> {
        self.schedules.last().filter(|schedule| schedule.expression.is_some())
    }

    /// Whether a check of this version has looked at the source before.
    pub fn has_looked(&self, line: &CheckLine) -> bool {
        self.looked.binary_search(&look(line)).is_ok()
    }

    /// Remembers every check of `lines` that determined something, or that saw a whole population without members.
    pub(crate) fn look(&mut self, lines: &[CheckLine]) {
        for line in lines {
            let counts = &line.counts;
            let determined = counts.conforms + counts.deviates + counts.not_applicable;
            if determined == 0 && (counts.undetermined > 0 || !line.complete) {
                continue;
            }
            let look = look(line);
            if let Err(place) = self.looked.binary_search(&look) {
                self.looked.insert(place, look);
            }
        }
    }
}

fn look(line: &CheckLine) -> String {
    format!("{}@{}", line.check, line.version)
}

/// A schedule as recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleRow {
    /// The schedule entry.
    pub entry: u64,
    /// Five cron fields or `every: …`; `None` where the stream was taken out of the settings.
    pub expression: Option<String>,
    /// Time zone of the fields.
    pub zone: Option<String>,
    /// Slots after this moment are due.
    pub from: Timestamp,
}

/// A run that began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IntentRow {
    /// The intent entry.
    pub entry: u64,
    /// Why it runs.
    pub trigger: Trigger,
    /// When it was recorded.
    pub at: Timestamp,
}

/// A run that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunRow {
    /// The run entry.
    pub entry: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The slot, when it was scheduled.
    pub slot: Option<Slot>,
    /// Calls made.
    pub calls: u32,
    /// Resources found.
    pub resources: u64,
    /// Gaps, those that stand in the entry and those counted only.
    pub gaps: u64,
    /// It was broken off: the process died or was asked to stop.
    pub interrupted: bool,
}

/// The last judgement of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ObservedRow {
    /// The observation entry of the latest run; it may say that nothing changed.
    pub entry: u64,
    /// The observation entry that holds counts and rows: `entry` itself, or the earlier one it refers to.
    pub rows_in: u64,
    /// The run judged.
    pub run: u64,
    /// When that run ended.
    pub at: Timestamp,
    /// The manifest of rows; `None` when there are none.
    pub manifest: Option<BodyId>,
    /// One line per check.
    pub checks: Vec<CheckLine>,
}

/// Whether a stream gives complete evidence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CoverageRow {
    /// It does not.
    pub lost: bool,
    /// Which loss, from 1.
    pub episode: u32,
    /// The coverage entry that opened the episode.
    pub opened_by: u64,
    /// When.
    pub since: Timestamp,
    /// The most telling reason.
    pub reason: Option<GapReason>,
    /// Checks gone blind.
    pub blind: Vec<CheckId>,
    /// The last coverage entry.
    pub last_entry: u64,
    /// When that was recorded.
    pub at: Timestamp,
}

/// Why a slot is settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotOutcome {
    /// A run ended so.
    Run(Outcome),
    /// Nobody ran it.
    Missed,
}

/// One slot, or a range of missed ones, that has its outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SlotRow {
    /// The first slot of the range.
    pub first: Slot,
    /// The last slot; equal to `first` for one slot.
    pub last: Slot,
    /// The entry that says so.
    pub entry: u64,
    /// What became of it.
    pub outcome: SlotOutcome,
}

/// A deviation, open or closed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeviationRow {
    /// Where it stands.
    pub state: DeviationState,
    /// The check.
    pub check: CheckId,
    /// The source.
    pub source: SourceId,
    /// What kind of resource.
    pub kind: ResourceType,
    /// Which one.
    pub resource: Pseudonym,
    /// How much it matters.
    pub severity: Severity,
    /// The last step.
    pub change: domain::Change,
    /// When the last step was recorded.
    pub at: Timestamp,
    /// The observation entry whose judgement opened the episode.
    pub opened_in: u64,
    /// The details of the opening.
    pub opened_detail: BodyId,
    /// The details of the last step.
    pub detail: BodyId,
    /// The observation before the opening.
    pub was: Option<domain::RowAddress>,
}

/// The latest conclusion about a control.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FindingRow {
    /// The catalogue.
    pub framework: FrameworkId,
    /// The control.
    pub control: ControlId,
    /// The conclusion.
    pub value: FindingValue,
    /// Its reason.
    pub reason: FindingReason,
    /// The conclusion before.
    pub was: Option<FindingValue>,
    /// The finding entry.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
}

/// A notification and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// The delivery entry.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The fact as recorded.
    pub delivery: domain::entry::Delivery,
}

/// Whether the disk has room to keep evidence, as the ledger said it last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoomRow {
    /// There is too little.
    pub lost: bool,
    /// The entry that said that there was too little.
    pub opened_by: u64,
    /// When that was recorded.
    pub since: Timestamp,
    /// How much there is and how much is needed, in words, by the entry that opened it.
    pub detail: String,
    /// The last entry about it: the same, or the one that ended it.
    pub last_entry: u64,
    /// When that was recorded.
    pub at: Timestamp,
}

/// Whether something is amiss with the daemon in one place, as the ledger said it last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TroubleRow {
    /// Where.
    pub place: TroubleIn,
    /// It is amiss.
    pub amiss: bool,
    /// The entry that began it.
    pub opened_by: u64,
    /// When that was recorded.
    pub since: Timestamp,
    /// What is or was amiss, in words.
    pub detail: String,
    /// The last entry about it.
    pub last_entry: u64,
    /// When that was recorded.
    pub at: Timestamp,
}

/// A file of the data directory that was found damaged, as the ledger said it last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DamageRow {
    /// The file, below the data directory.
    pub file: String,
    /// It is damaged.
    pub lost: bool,
    /// The entry that said so.
    pub opened_by: u64,
    /// When that was recorded.
    pub since: Timestamp,
    /// What was found, in words, by the entry that opened it.
    pub detail: String,
    /// The last entry about it: the same, or the one that ended it.
    pub last_entry: u64,
    /// When that was recorded.
    pub at: Timestamp,
}

/// The last time that everything was read again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScrubRow {
    /// The entry.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The fact as recorded.
    pub scrub: domain::entry::Scrub,
}

/// An authority that dates the ledger, as the ledger knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuthorityRow {
    /// Its name in the settings.
    pub name: String,
    /// How often it is to be asked, and what it is checked against; `None` when it was taken out of the settings.
    pub every: Option<Duration>,
    /// See `every`.
    pub trusted: Option<String>,
    /// Since when it is to be asked.
    pub from: Timestamp,
    /// What it dated last.
    pub last: Option<AnchorRow>,
    /// The last word on its silence.
    pub silence: Option<SilenceRow>,
}

/// A checkpoint that an outside authority dated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AnchorRow {
    /// The anchor entry.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The fact as recorded.
    pub anchor: domain::entry::Anchor,
}

/// Whether an authority is silent, as the ledger said it last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SilenceRow {
    /// It is.
    pub lost: bool,
    /// The entry that said so.
    pub opened_by: u64,
    /// When it had answered last, or since when it was to.
    pub since: Timestamp,
    /// What became of the tries, by the entry that opened it.
    pub detail: String,
    /// The last entry about it: the same, or the one that ended it.
    pub last_entry: u64,
    /// When that was recorded.
    pub at: Timestamp,
}

/// What a witness cosigned last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WitnessRow {
    /// The entry that says so.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The fact as recorded.
    pub cosigned: domain::entry::Cosigned,
}

/// The last change of the signing key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyRow {
    /// The entry that names the successor.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Both keys sign still.
    pub both: bool,
}

/// The erasure that a record key went with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErasedRow {
    /// The erase entry.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Why, in words that name nobody.
    pub basis: String,
}

/// A legal hold that is in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldRow {
    /// The hold entry.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Of which resources; of everything when none is named.
    pub of: Vec<Pseudonym>,
    /// Why, in words that name nobody.
    pub because: String,
}

/// The names of keys.
pub mod key {
    use super::{CheckId, CollectorName, ControlId, FrameworkId, Pseudonym, Slot, SourceId, StreamId, TroubleIn};

    /// The watermark.
    pub const WATERMARK: &[u8] = b"m/watermark";
    /// The room on the disk, once there was too little.
    pub const ROOM: &[u8] = b"m/room";
    /// The last change of the signing key.
    pub const SIGNING: &[u8] = b"m/key";
    /// The last time that everything was read again.
    pub const SCRUB: &[u8] = b"m/scrub";
    /// Prefix of all files that were found damaged.
    pub const DAMAGES: &[u8] = b"x/";
    /// Prefix of all streams.
    pub const STREAMS: &[u8] = b"s/";
    /// Prefix of all deviations.
    pub const DEVIATIONS: &[u8] = b"d/";
    /// Prefix of all entries that tell of a change: deviations, coverage, findings, missed slots.
    pub const CHANGES: &[u8] = b"c/";
    /// Prefix of all findings.
    pub const FINDINGS: &[u8] = b"f/";
    /// Prefix of all deliveries.
    pub const DELIVERIES: &[u8] = b"n/";
    /// Prefix of all authorities that date the ledger.
    pub const AUTHORITIES: &[u8] = b"a/";
    /// Prefix of everything that is or was amiss with the daemon, by its place.
    pub const TROUBLES: &[u8] = b"m/amiss/";
    /// Prefix of all anchors, in the order of their entries.
    pub const ANCHORS: &[u8] = b"o/";

    /// A file that was found damaged.
    pub fn damage(file: &str) -> Vec<u8> {
        [DAMAGES, file.as_bytes()].concat()
    }

    /// A fact that may be recorded once only, by its key.
    pub fn once(key: &str) -> Vec<u8> {
        [b"i/", key.as_bytes()].concat()
    }

    /// What is or was amiss with the daemon in one place.
    pub fn trouble(place: TroubleIn) -> Vec<u8> {
        [TROUBLES, place.as_str().as_bytes()].concat()
    }

    /// A stream.
    pub fn stream(stream: &StreamId) -> Vec<u8> {
        [STREAMS, stream.as_str().as_bytes()].concat()
    }

    /// Prefix of a source's streams.
    pub fn streams_of(source: &SourceId) -> Vec<u8> {
        [STREAMS, source.as_str().as_bytes(), b"/"].concat()
    }

    /// A stream by source and collector.
    pub fn stream_of(source: &SourceId, collector: &CollectorName) -> Vec<u8> {
        stream(&source.stream(collector))
    }

    /// Prefix of a stream's settled slots.
    pub fn slots(of: &StreamId) -> Vec<u8> {
        [b"t/", of.as_str().as_bytes(), b"/"].concat()
    }

    /// A settled slot, or the first of a range. Signed milliseconds are shifted so that byte order is time order.
    pub fn slot(of: &StreamId, slot: Slot) -> Vec<u8> {
        [slots(of), (slot.0.millis() as u64 ^ (1 << 63)).to_be_bytes().to_vec()].concat()
    }

    /// Prefix of a stream's runs.
    pub fn runs(of: &StreamId) -> Vec<u8> {
        [b"r/", of.as_str().as_bytes(), b"/"].concat()
    }

    /// A run by its entry.
    pub fn run(of: &StreamId, entry: u64) -> Vec<u8> {
        [runs(of), entry.to_be_bytes().to_vec()].concat()
    }

    /// A deviation.
    pub fn deviation(check: &CheckId, resource: &Pseudonym) -> Vec<u8> {
        [deviations_of(check).as_slice(), resource.to_string().as_bytes()].concat()
    }

    /// Prefix of a check's deviations.
    pub fn deviations_of(check: &CheckId) -> Vec<u8> {
        [DEVIATIONS, check.as_str().as_bytes(), b"/"].concat()
    }

    /// An entry that tells of a change.
    pub fn change(entry: u64) -> Vec<u8> {
        [CHANGES, &entry.to_be_bytes()].concat()
    }

    /// A finding.
    pub fn finding(framework: &FrameworkId, control: &ControlId) -> Vec<u8> {
        [FINDINGS, framework.as_str().as_bytes(), b"/", control.as_str().as_bytes()].concat()
    }

    /// Prefix of a catalogue's findings.
    pub fn findings_of(framework: &FrameworkId) -> Vec<u8> {
        [FINDINGS, framework.as_str().as_bytes(), b"/"].concat()
    }

    /// A delivery by its entry.
    pub fn delivery(entry: u64) -> Vec<u8> {
        [DELIVERIES, &entry.to_be_bytes()].concat()
    }

    /// A witness by the name of its key.
    pub fn witness(name: &str) -> Vec<u8> {
        [b"w/", name.as_bytes()].concat()
    }

    /// An authority that dates the ledger.
    pub fn authority(name: &str) -> Vec<u8> {
        [AUTHORITIES, name.as_bytes()].concat()
    }

    /// An anchor by its entry.
    pub fn anchor(entry: u64) -> Vec<u8> {
        [ANCHORS, &entry.to_be_bytes()].concat()
    }

    /// Prefix of all record keys that were erased.
    pub const ERASED: &[u8] = b"erased/";

    /// A record key that was erased, by its name.
    pub fn erased(id: &Pseudonym) -> Vec<u8> {
        [ERASED, id.to_bytes().as_slice()].concat()
    }

    /// Prefix of all holds in force.
    pub const HOLDS: &[u8] = b"held/";

    /// A hold by its entry.
    pub fn hold(entry: u64) -> Vec<u8> {
        [HOLDS, &entry.to_be_bytes()].concat()
    }

    /// The last entry of a kind: `genesis`, `version`.
    pub fn latest(kind: &str) -> Vec<u8> {
        [b"k/", kind.as_bytes()].concat()
    }

    /// Where a body lies in the packs.
    pub fn body(commitment: &[u8; 32]) -> Vec<u8> {
        [b"b/", commitment.as_slice()].concat()
    }

    /// The body that holds these bytes already, by their keyed digest.
    pub fn known_body(digest: &[u8; 32]) -> Vec<u8> {
        [b"h/", digest.as_slice()].concat()
    }

    /// How far the packs have been read into the index.
    pub const PACKS: &[u8] = b"m/packs";
    /// The sum over all rows but this one.
    pub(crate) const SUM: &[u8] = b"m/sum";
}

#[cfg(test)]
mod tests {
    use domain::CheckCounts;

    use super::*;

    #[test]
    fn a_look_that_determined_nothing_is_no_first_look() {
        let line = |counts: CheckCounts, complete| CheckLine {
            check: "own.user.enabled".parse().unwrap(),
            version: "0123456789abcdef".to_owned(),
            complete,
            counts,
        };
        let none = CheckCounts::default();
        let blind = CheckCounts { undetermined: 3, ..none.clone() };
        let seen = CheckCounts { undetermined: 3, conforms: 1, ..none.clone() };
        for (counts, complete, looked) in [
            (none.clone(), true, true),
            (none, false, false),
            (blind.clone(), true, false),
            (blind, false, false),
            (seen.clone(), true, true),
            (seen, false, true),
        ] {
            let mut row = StreamRow::new("example:office/doors".parse().unwrap());
            let line = line(counts, complete);
            row.look(std::slice::from_ref(&line));
            assert_eq!(row.has_looked(&line), looked, "{line:?}");
        }
    }
}
