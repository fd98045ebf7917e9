//! What outside authorities say of the time of a ledger's entries, checked offline.
//!
//! An anchor dates a checkpoint: the entries below its size existed before that time. The anchor's own entry holds the
//! token, so whatever follows it was recorded after that time. Between the two lies every entry's proven bracket, and the
//! time that an entry claims has to lie in it.

use std::collections::BTreeMap;

use anchor::Roots;
use domain::entry::{Anchor, Cosigned};
use domain::{Duration, Timestamp};
use ledger::{Checkpoint, Hash, KeyRing, Reader, SignedCheckpoint, WitnessKey};
use serde::Serialize;
use store::{Offline, Read, ReadError};

/// Clocks that differ by less contradict nobody.
const APART: Duration = Duration::from_secs(60);

/// What outside authorities say of the ledger.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Outside {
    /// Anchors in the ledger.
    pub anchors: u64,
    /// Those that hold, each with the entries it dates. In the order of their entries.
    pub held: Vec<Held>,
    /// Anchors that may be sound, and that no trusted certificate vouches for: entry and reason.
    pub untrusted: Vec<(u64, String)>,
    /// Anchors that are not what they claim to be.
    pub broken: Vec<(u64, String)>,
    /// Times that entries claim and that lie outside what is proven.
    pub contradicted: Vec<Contradicted>,
    /// Cosignatures of witnesses that are trusted, which hold: the name of the witness, the size, and when.
    pub witnessed: Vec<(String, u64, Timestamp)>,
    /// Entries at the end that no anchor dates yet.
    pub undated: u64,
    /// Whether the end of the ledger is dated as lately as was promised: no entry is younger than twice the time in which
    /// the authority was to be asked.
    pub fresh: bool,
}

/// An anchor that holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Held {
    /// Its entry: what follows was recorded after `time`.
    pub entry: u64,
    /// The authority by the name that the ledger gives it.
    pub authority: String,
    /// The entries below this existed before `time`.
    pub size: u64,
    /// The time that the authority gives.
    pub time: Timestamp,
    /// By how much that may be wrong.
    pub accuracy: Duration,
    /// Who signed, by the certificate.
    pub signer: String,
}

/// Entries whose time is not what is proven.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Contradicted {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// What they claim, and what an authority says, in words.
    pub what: String,
}

impl Outside {
    /// Whether the ledger as a whole is dated from outside, and nothing speaks against it.
    pub fn is_anchored(&self) -> bool {
        !self.held.is_empty() && self.fresh && self.broken.is_empty() && self.contradicted.is_empty()
    }

    /// The last anchor that holds, and the outside anchor before it, which the entries between the two are younger than.
    pub fn last(&self) -> Option<(&Held, Option<&Held>)> {
        let last = self.held.iter().max_by_key(|held| (held.size, held.entry))?;
        let before = self.held.iter().filter(|held| held.entry < last.size).max_by_key(|held| held.entry);
        Some((last, before))
    }
}

/// Who is trusted to vouch for the ledger from outside.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Certificates that vouch for authorities.
    pub roots: Roots,
    /// Witnesses, by their keys.
    pub witnesses: Vec<WitnessKey>,
}

/// What is gathered while the entries are read.
#[derive(Default)]
pub(super) struct Gathered {
    /// The time that each entry claims.
    pub(super) at: Vec<Timestamp>,
    /// The anchors, each with its entry.
    pub(super) anchors: Vec<(u64, Anchor)>,
    /// Cosignatures, each with its entry.
    pub(super) cosigned: Vec<(u64, Cosigned)>,
    /// How often an authority was to be asked, by its latest entry that says so.
    pub(super) every: BTreeMap<String, Duration>,
}

/// Holds the anchors against what they date, and the entries against the anchors.
pub(super) fn judge(
    gathered: &Gathered,
    offline: &Offline,
    reader: &Reader,
    trust: &Trust,
) -> Result<Outside, ReadError> {
    let roots = &trust.roots;
    let mut outside = Outside { anchors: gathered.anchors.len() as u64, ..Outside::default() };
    witnesses(gathered, reader, trust, &mut outside)?;
    if gathered.anchors.is_empty() {
        outside.undated = gathered.at.len() as u64;
        return Ok(outside);
    }
    let ring = reader.key_ring().map_err(|e| ReadError::Ledger(e.into()))?.map(|(ring, _)| ring).unwrap_or_default();
    for (entry, anchor) in &gathered.anchors {
        match check(*entry, anchor, &ring, offline, reader, roots)? {
            Checked::Held(held) => outside.held.push(held),
            Checked::Untrusted(why) => outside.untrusted.push((*entry, why)),
            Checked::Broken(why) => outside.broken.push((*entry, why)),
            // The body is missing, which is told where bodies are.
            Checked::Absent => {}
        }
    }
    outside.contradicted = outside.held.iter().flat_map(|held| contradicted(held, &gathered.at)).collect();
    let size = gathered.at.len() as u64;
    outside.undated = outside.held.iter().map(|held| held.size).max().map_or(size, |dated| size.saturating_sub(dated));
    let end = gathered.at.last().copied().unwrap_or_default();
    outside.fresh = outside.held.iter().any(|held| {
        let every = gathered.every.get(&held.authority);
        every.is_none_or(|every| end.since(held.time) <= every.times(2).max(APART))
    });
    Ok(outside)
}

/// Holds cosignatures against this ledger's own roots: those that hold count, others are broken.
fn witnesses(gathered: &Gathered, reader: &Reader, trust: &Trust, outside: &mut Outside) -> Result<(), ReadError> {
    let Some(origin) = reader.head().ok().flatten().map(|head| head.checkpoint.origin) else { return Ok(()) };
    for (entry, cosigned) in &gathered.cosigned {
        let Some(key) = trust.witnesses.iter().find(|key| key.name() == cosigned.witness) else { continue };
        let size = cosigned.head.size;
        if size > *entry {
            outside.broken.push((*entry, "it is over more entries than there were".to_owned()));
            continue;
        }
        let root = reader.root(size).map_err(|e| ReadError::Ledger(e.into()))?;
        let text = Checkpoint { origin: origin.clone(), size, root }.to_string();
        match key.find(&text, &cosigned.line) {
            Ok(found) => {
                let millis = i64::try_from(found.time.saturating_mul(1000)).unwrap_or(i64::MAX);
                outside.witnessed.push((cosigned.witness.clone(), size, Timestamp::from_millis(millis)));
            }
            Err(error) => outside.broken.push((*entry, format!("the cosignature of {}: {error}", cosigned.witness))),
        }
    }
    Ok(())
}

enum Checked {
    Held(Held),
    Untrusted(String),
    Broken(String),
    Absent,
}

fn check(
    entry: u64,
    anchor: &Anchor,
    ring: &KeyRing,
    offline: &Offline,
    reader: &Reader,
    roots: &Roots,
) -> Result<Checked, ReadError> {
    let bodies = (offline.body(&anchor.checkpoint)?, offline.body(&anchor.answer)?);
    let (Some(checkpoint), Some(answer)) = bodies else { return Ok(Checked::Absent) };
    let size = anchor.head.size;
    if size > entry {
        return Ok(Checked::Broken("it dates more entries than there were".to_owned()));
    }
    let root = reader.root(size).map_err(|e| ReadError::Ledger(e.into()))?;
    let dated = match SignedCheckpoint::verify_by(&checkpoint, ring) {
        Ok(dated) => dated.checkpoint,
        Err(error) => return Ok(Checked::Broken(format!("the checkpoint that it dates does not hold: {error}"))),
    };
    let Hash(bytes) = root;
    if (dated.size, dated.root) != (size, root) || anchor.head.root != hex::encode(bytes) {
        return Ok(Checked::Broken(format!(
            "it dates another ledger than this one: its root over {size} entries differs"
        )));
    }
    let stamp = match anchor::verify(&answer, &checkpoint, roots) {
        Ok(stamp) => stamp,
        Err(error) if error.is_of_trust() => return Ok(Checked::Untrusted(error.to_string())),
        Err(error) => return Ok(Checked::Broken(error.to_string())),
    };
    let time = Timestamp::from_millis(stamp.time);
    if time != anchor.time {
        return Ok(Checked::Broken(format!("it says {}, and the authority says {time}", anchor.time)));
    }
    let accuracy = stamp.accuracy.map_or(Duration::ZERO, Duration::from_millis);
    let authority = anchor.authority.clone();
    Ok(Checked::Held(Held { entry, authority, size, time, accuracy, signer: stamp.signer }))
}

/// The entries that claim to be younger than an anchor that dates them, or older than one that they follow. The time that
/// entries claim never decreases, so these are the last of those that are dated, and the first of those that follow.
fn contradicted(held: &Held, at: &[Timestamp]) -> Vec<Contradicted> {
    let (index, number) = (|n: u64| usize::try_from(n).unwrap_or(usize::MAX), |n: usize| n as u64);
    let authority = &held.authority;
    let mut found = Vec::new();
    let latest = held.time.plus(held.accuracy).plus(APART);
    let before = at.get(..index(held.size)).unwrap_or(at);
    let first = before.partition_point(|at| *at <= latest);
    if let (true, Some(claimed)) = (first < before.len(), before.last()) {
        let what = format!("claims to be of {claimed}, and {authority} saw it before {}", held.time);
        found.push(Contradicted { first: number(first), last: number(before.len()) - 1, what });
    }
    let earliest = held.time.minus(held.accuracy).minus(APART);
    let after = at.get(index(held.entry)..).unwrap_or_default();
    let count = after.partition_point(|at| *at < earliest);
    if let (true, Some(claimed)) = (count > 0, after.first()) {
        let what =
            format!("claims to be of {claimed}, and what it holds or follows was made by {authority} at {}", held.time);
        found.push(Contradicted { first: held.entry, last: held.entry + number(count) - 1, what });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_an_entry_claims_is_flagged_when_it_lies_outside_its_bracket() {
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        let held = |entry, size, minute| Held {
            entry,
            authority: "one".into(),
            size,
            time: at(minute),
            accuracy: Duration::from_secs(1),
            signer: String::new(),
        };
        // Entries claim minutes 0 to 9; the anchor is entry 6, and dates those below 5.
        let claimed: Vec<Timestamp> = (0..10).map(at).collect();
        let table = [
            (4, vec![]),
            (5, vec![]),
            (7, vec![]),
            (2, vec![(4, 4)]),
            (0, vec![(2, 4)]),
            (8, vec![(6, 6)]),
            (100, vec![(6, 9)]),
        ];
        for (minute, expected) in table {
            let found = contradicted(&held(6, 5, minute), &claimed);
            let ranges: Vec<(u64, u64)> = found.iter().map(|one| (one.first, one.last)).collect();
            assert_eq!(ranges, expected, "dated at minute {minute}: {found:?}");
        }
    }
}
