//! What changed, newest first: one line per fact, each naming its evidence.

use domain::entry::{Entry, Fact};
use domain::{Change, RowAddress, Severity, SourceId, Timestamp, TroubleIn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::ReadError;
use store::rows::key;

use crate::Query;

/// One change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// The entry that records it.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The kind of entry: `deviation`, `coverage`, `finding`, `missed`, `clock`.
    pub kind: String,
    /// What happened, in a word: `DEVIATES`, `RESOLVED`, `GONE`, `UNREADABLE`, `READABLE`, `MISSED` …
    pub what: String,
    /// To what: a check and a resource, a stream, a control.
    pub subject: String,
    /// In a few words.
    pub detail: String,
    /// How much it matters, where that is known.
    pub severity: Option<Severity>,
    /// The source, where there is one.
    pub source: Option<SourceId>,
    /// It was so when a check first looked.
    pub baseline: bool,
    /// The row that shows it.
    pub evidence: Option<RowAddress>,
}

impl Query<'_> {
    /// Up to `limit` changes recorded before entry `before`, newest first.
    pub fn changes(&self, before: Option<u64>, limit: usize) -> Result<Vec<ChangeView>, ReadError> {
        let before = before.map(key::change);
        let pairs = self.read.index().scan_back(key::CHANGES, before.as_deref(), limit)?;
        let mut changes = Vec::with_capacity(pairs.len());
        for (key, _) in pairs {
            let Some(number) = entry_number(&key) else { continue };
            if let Some(entry) = self.read.entry(number)? {
                changes.extend(self.change(number, &entry)?);
            }
        }
        Ok(changes)
    }

    fn change(&self, number: u64, entry: &Entry) -> Result<Option<ChangeView>, ReadError> {
        let view = |what: &str, subject: String, detail: String| ChangeView {
            entry: number,
            at: entry.at,
            kind: entry.fact.kind().to_owned(),
            what: what.to_owned(),
            subject,
            detail,
            severity: None,
            source: None,
            baseline: false,
            evidence: None,
        };
        Ok(match &entry.fact {
            Fact::Deviation(deviation) => {
                let detail = self.detail(&deviation.detail)?;
                let name = detail.map_or_else(|| format!("erased ({})", deviation.resource), |detail| detail.name);
                let info = self.catalogue.checks.get(&deviation.check);
                let title =
                    info.map(|info| if deviation.change.opens() { info.problem.clone() } else { info.title.clone() });
                let what = match deviation.change {
                    Change::Opened => "DEVIATES",
                    Change::Regressed => "DEVIATES AGAIN",
                    Change::Resolved => "RESOLVED",
                    Change::Gone => "GONE",
                };
                Some(ChangeView {
                    severity: Some(deviation.severity),
                    source: Some(deviation.source.clone()),
                    baseline: deviation.baseline,
                    evidence: Some(deviation.is),
                    ..view(what, format!("{}  {name}", deviation.check), title.unwrap_or_default())
                })
            }
            Fact::Coverage(coverage) => {
                let what = if coverage.lost { "UNREADABLE" } else { "READABLE" };
                let reason = coverage.reason.map_or("", |reason| reason.as_str());
                let blind = match coverage.blind.len() {
                    0 => String::new(),
                    1 => "; 1 check is blind".to_owned(),
                    n => format!("; {n} checks are blind"),
                };
                Some(ChangeView {
                    source: Some(coverage.stream.source()),
                    evidence: Some(RowAddress { entry: coverage.by, row: None }),
                    ..view(what, coverage.stream.to_string(), format!("{reason}{blind}"))
                })
            }
            Fact::Finding(finding) => {
                let was = finding.was.map_or_else(|| "first finding".to_owned(), |was| format!("was {was}"));
                let detail = format!("{was}; {}", finding.reason.as_str());
                Some(view(finding.value.as_str(), format!("{} {}", finding.framework, finding.control), detail))
            }
            Fact::Missed(missed) => {
                let slots = if missed.count == 1 {
                    format!("the slot of {}", missed.first.0.to_the_second())
                } else {
                    {
                        let (first, last) = (missed.first.0.to_the_second(), missed.last.0.to_the_second());
                        format!("{} slots from {first} to {last}", missed.count)
                    }
                };
                Some(ChangeView {
                    source: Some(missed.stream.source()),
                    ..view("MISSED", missed.stream.to_string(), format!("{slots}: {}", missed.reason.as_str()))
                })
            }
            Fact::Clock(step) => {
                let direction = if step.shown < step.expected { "back" } else { "ahead" };
                Some(view(
                    "CLOCK",
                    format!("stepped {direction} by {}", step.by),
                    format!("to {}", step.shown.to_the_second()),
                ))
            }
            Fact::Room(room) => {
                let what = if room.lost { "DISK FULL" } else { "ROOM AGAIN" };
                let means =
                    if room.lost { "nothing is collected until there is room" } else { "it is collected again" };
                Some(view(what, means.to_owned(), room.detail.clone()))
            }
            Fact::Trouble(trouble) => {
                let what = if trouble.amiss { "AMISS" } else { "RIGHT AGAIN" };
                let place = match trouble.place {
                    TroubleIn::Settings => "the settings",
                    TroubleIn::SlowDisk => "the disk",
                    TroubleIn::Witnesses => "the witnesses",
                };
                Some(view(what, place.to_owned(), trouble.detail.clone()))
            }
            Fact::Erase(erase) => {
                let keys = erase.keys.len();
                if let Some(expired) = &erase.expired {
                    let what = format!("{keys} {}", expired.class.as_str());
                    let (from, to) = (expired.oldest.to_the_second(), expired.youngest.to_the_second());
                    return Ok(Some(view("EXPIRED", what, format!("{}: {from} to {to}", erase.basis))));
                }
                let of = erase.of.as_ref().map(|of| format!("{} ({})", of.kind, of.resource));
                Some(view("ERASED", of.unwrap_or_else(|| format!("{keys} record keys")), erase.basis.clone()))
            }
            Fact::Hold(hold) => {
                let of = match hold.of.len() {
                    0 => "everything".to_owned(),
                    1 => "1 record".to_owned(),
                    n => format!("{n} records"),
                };
                Some(view("HELD", of, hold.because.clone()))
            }
            Fact::Release(release) => {
                Some(view("RELEASED", format!("the hold #{}", release.hold), release.because.clone()))
            }
            Fact::Key(step) => Some(match step.retires {
                None => view(
                    "KEY",
                    "the ledger has another signing key".to_owned(),
                    "the older one signs beside it for a while".to_owned(),
                ),
                Some(_) => {
                    view("KEY", "the older signing key is retired".to_owned(), "the newer one signs alone".to_owned())
                }
            }),
            Fact::Damage(damage) => {
                let what = if damage.lost { "DAMAGED" } else { "WHOLE AGAIN" };
                Some(view(what, damage.file.clone(), damage.detail.clone()))
            }
            Fact::Silence(silence) => {
                let what = if silence.lost { "NOT DATED" } else { "DATED AGAIN" };
                let since = silence.since.to_the_second();
                let means = match silence.lost {
                    true => format!("by {}, since {since}", silence.authority),
                    false => format!("by {}, silent since {since}", silence.authority),
                };
                Some(view(what, means, silence.detail.clone()))
            }
            _ => None,
        })
    }
}

/// The entry number at the end of a key.
fn entry_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}
