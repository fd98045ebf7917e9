//! Verification of a whole data directory: what the ledger proves by itself, and what its entries mean together.
//!
//! [`ledger::verify`] re-derives hashes, signatures and bodies without knowing what an entry says. Here the rest is
//! held against it: that every body an entry names is there and is what it was, that manifests hold as many rows as
//! their entries count, and that every slot a schedule promised has exactly one outcome.

mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::entry::{Entry, Fact, MissedReason};
use domain::{BodyId, Duration, Pseudonym, Slot, StreamId, Timestamp};
use serde::Serialize;
use store::read::{ObservationLine, observation_lines, parse_entry, population_lines};
use store::{Absent, Offline, Read, ReadError};

pub use self::outside::{Contradicted, Held, Outside, Trust};
use crate::schedule::Schedule;

/// What the entries of a ledger mean together.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Meaning {
    /// Entries read.
    pub entries: u64,
    /// Populations whose rows were counted again.
    pub populations: u64,
    /// Observation manifests whose rows were counted again.
    pub judgements: u64,
    /// Slots that were promised up to the last entry, by outcome: collected, partial, failed, missed.
    pub slots: [u64; 4],
    /// Why slots were missed, and how many for each reason.
    pub missed: BTreeMap<MissedReason, u64>,
    /// Slots of which nothing is said yet: the daemon ended, and its next start will record them as missed.
    pub pending: u64,
    /// Runs that had begun when the ledger ends.
    pub under_way: u64,
    /// Bodies that an entry names and that are gone, as an erasure says: that is as it should be.
    pub erased_bodies: u64,
    /// Bodies that an entry names and that are not there, with nothing that says why.
    pub absent_bodies: u64,
    /// Bodies that an entry names and that were not opened, because the data key is not at hand.
    pub unopened_bodies: u64,
    /// Resources that manifests name by a pseudonym.
    pub resources: u64,
    /// Those of them that were erased, as an entry says, so that nobody can say which resource is meant.
    pub erased: u64,
    /// Those of them of which nobody can say which resource is meant because the key is lost with `keys/records`.
    pub unnamed: u64,
    /// The ledger that this one continues, when that was closed.
    pub continues: Option<domain::entry::Continues>,
    /// What outside authorities say of the time of entries.
    pub outside: Outside,
    /// What does not hold, each with its entry.
    pub problems: Vec<Problem>,
}

/// Something that does not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// The entry.
    pub entry: u64,
    /// The row of its manifest, when one is meant.
    pub row: Option<u32>,
    /// Whether something is wrong (`true`), or missing (`false`).
    pub invalid: bool,
    /// What, in words.
    pub what: String,
}

/// Reads every entry of a data directory and holds them against each other and against the bodies. No authority is
/// trusted, so that none of them dates anything.
pub fn meaning(data: &Path) -> Result<Meaning, ReadError> {
    meaning_of(&Offline::open(data)?, &Trust::default())
}

/// The same of a data directory that is open, with those who are trusted to vouch for it from outside. Where the data key is not at
/// hand, what needs no body is still said.
pub fn meaning_of(offline: &Offline, trust: &Trust) -> Result<Meaning, ReadError> {
    let mut audit = Audit {
        offline,
        meaning: Meaning::default(),
        streams: BTreeMap::new(),
        once: BTreeMap::new(),
        seen: BTreeSet::new(),
        pseudonyms: BTreeSet::new(),
        holds: BTreeMap::new(),
        last_at: Timestamp::default(),
        gathered: outside::Gathered::default(),
    };
    for found in offline.entries(0) {
        let (number, bytes) = found?;
        match parse_entry(number, &bytes) {
            Ok(entry) => {
                audit.gathered.at.push(entry.at);
                audit.take(number, &entry)?;
            }
            Err(error) => {
                audit.gathered.at.push(audit.last_at);
                audit.invalid(number, None, error.to_string());
            }
        }
        audit.meaning.entries += 1;
    }
    audit.count_slots();
    audit.meaning.resources = audit.pseudonyms.len() as u64;
    for pseudonym in audit.pseudonyms.iter().filter(|pseudonym| offline.resource(pseudonym).is_none()) {
        match store::erased(offline.index().as_ref(), pseudonym)? {
            Some(_) => audit.meaning.erased += 1,
            None => audit.meaning.unnamed += 1,
        }
    }
    audit.meaning.outside = outside::judge(&audit.gathered, offline, offline.reader(), trust)?;
    Ok(audit.meaning)
}

struct Audit<'a> {
    offline: &'a Offline,
    meaning: Meaning,
    streams: BTreeMap<StreamId, Stream>,
    once: BTreeMap<String, u64>,
    seen: BTreeSet<BodyId>,
    pseudonyms: BTreeSet<Pseudonym>,
    /// Legal holds in force, by entry: of which resources, or of everything.
    holds: BTreeMap<u64, Vec<Pseudonym>>,
    last_at: Timestamp,
    gathered: outside::Gathered,
}

#[derive(Default)]
struct Stream {
    schedules: Vec<(u64, Option<String>, Option<String>, Timestamp)>,
    /// Settled ranges: first slot, last slot, entry, place in `Meaning::slots`.
    settled: Vec<(Slot, Slot, u64, usize)>,
    open: Option<(u64, Option<Slot>)>,
    last_run: Option<u64>,
}

impl Audit<'_> {
    fn invalid(&mut self, entry: u64, row: Option<u32>, what: impl Into<String>) {
        self.meaning.problems.push(Problem { entry, row, invalid: true, what: what.into() });
    }

    fn missing(&mut self, entry: u64, what: impl Into<String>) {
        self.meaning.problems.push(Problem { entry, row: None, invalid: false, what: what.into() });
    }

    fn take(&mut self, number: u64, entry: &Entry) -> Result<(), ReadError> {
        if entry.at < self.last_at {
            self.invalid(number, None, format!("its time {} lies before that of the entry before it", entry.at));
        }
        self.last_at = self.last_at.max(entry.at);
        if let Some(once) = entry.fact.once()
            && let Some(earlier) = self.once.insert(once.clone(), number)
        {
            self.invalid(number, None, format!("it records {once:?} a second time, after #{earlier}"));
        }
        match &entry.fact {
            Fact::Schedule(schedule) => {
                let stream = self.streams.entry(schedule.stream.clone()).or_default();
                stream.schedules.push((number, schedule.expression.clone(), schedule.zone.clone(), schedule.from));
            }
            Fact::Intent(intent) => {
                if intent.after.size > number {
                    self.invalid(number, None, "it claims to know a ledger longer than the one before it");
                }
                let stream = self.streams.entry(intent.stream.clone()).or_default();
                let before = stream.open.replace((number, intent.trigger.slot()));
                if let Some((earlier, _)) = before {
                    self.missing(earlier, "the run that it began has no outcome");
                }
            }
            Fact::Run(run) => self.run(number, run)?,
            Fact::Missed(missed) => {
                let stream = self.streams.entry(missed.stream.clone()).or_default();
                stream.settled.push((missed.first, missed.last, number, MISSED));
                *self.meaning.missed.entry(missed.reason).or_default() += missed.count;
            }
            Fact::Observation(observations) => self.observations(number, observations)?,
            Fact::Deviation(deviation) => {
                self.body(number, &deviation.detail)?;
            }
            Fact::Export(export) => {
                self.body(number, &export.detail)?;
            }
            Fact::Erase(erase) => {
                if let Some(body) = &erase.detail {
                    self.body(number, body)?;
                }
                let of = erase.of.as_ref().map(|of| &of.resource);
                let of_held = |held: &[Pseudonym]| match &erase.expired {
                    Some(_) => erase.keys.iter().any(|key| held.contains(key)),
                    None => of.is_some_and(|of| held.contains(of)),
                };
                let held = self.holds.iter().find(|(_, held)| held.is_empty() || of_held(held));
                // One that is only made good was lawful when its own entry was recorded.
                if let (Some((hold, _)), true) = (held, of.is_some() || erase.expired.is_some()) {
                    let what = format!("it erases what #{hold} held");
                    self.invalid(number, None, what);
                }
            }
            Fact::Hold(hold) => {
                self.body(number, &hold.detail)?;
                self.holds.insert(number, hold.of.iter().map(|of| of.resource.clone()).collect());
            }
            Fact::Release(release) => {
                self.body(number, &release.detail)?;
                if self.holds.remove(&release.hold).is_none() {
                    self.invalid(number, None, format!("it releases #{}, which is no hold in force", release.hold));
                }
            }
            Fact::Version(version) => {
                if let Some(body) = &version.checks_body {
                    self.body(number, body)?;
                }
            }
            Fact::Genesis(genesis) => self.meaning.continues.clone_from(&genesis.continues),
            Fact::Authority(authority) => {
                if let Some(every) = authority.every {
                    self.gathered.every.insert(authority.name.clone(), every);
                }
            }
            Fact::Cosigned(cosigned) => self.gathered.cosigned.push((number, cosigned.clone())),
            Fact::Anchor(anchor) => {
                for body in [&anchor.checkpoint, &anchor.answer, &anchor.chain] {
                    self.body(number, body)?;
                }
                self.gathered.anchors.push((number, anchor.clone()));
            }
            _ => {}
        }
        Ok(())
    }

    fn run(&mut self, number: u64, run: &domain::entry::Run) -> Result<(), ReadError> {
        let stream = self.streams.entry(run.stream.clone()).or_default();
        let open = stream.open.take();
        let prev = stream.last_run.replace(number);
        if let Some(slot) = run.trigger.slot() {
            let kind = match run.outcome {
                domain::Outcome::Collected => 0,
                domain::Outcome::Partial => 1,
                domain::Outcome::Failed => 2,
            };
            stream.settled.push((slot, slot, number, kind));
        }
        if open != Some((run.intent, run.trigger.slot())) {
            self.invalid(number, None, format!("it ends #{}, which is not the run under way", run.intent));
        }
        if run.prev != prev {
            self.invalid(number, None, "it does not follow the stream's last run");
        }
        for body in run.exchanges.iter().chain(&run.changes) {
            self.body(number, body)?;
        }
        if let Some(list) = &run.exchanges
            && let Some(bytes) = self.offline.body(list)?
        {
            let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
            if lines.len() != run.calls as usize {
                self.invalid(
                    number,
                    None,
                    format!("it counts {} calls, and its list holds {}", run.calls, lines.len()),
                );
            }
            for (row, line) in (0..).zip(lines) {
                match serde_json::from_slice::<domain::Exchange>(line) {
                    Ok(exchange) => {
                        for body in exchange.body.iter().chain(&exchange.request_body) {
                            self.body(number, body)?;
                        }
                    }
                    Err(error) => self.invalid(number, Some(row), format!("an exchange does not read: {error}")),
                }
            }
        }
        for population in &run.populations {
            self.meaning.populations += 1;
            let rows = match &population.manifest {
                Some(manifest) => match self.body(number, manifest)? {
                    Some(bytes) => population_lines(&bytes)?,
                    None => continue,
                },
                None => Vec::new(),
            };
            if rows.len() as u64 != population.count {
                let (kind, count) = (&population.kind, population.count);
                self.invalid(
                    number,
                    None,
                    format!("it counts {count} of {kind}, and its manifest holds {}", rows.len()),
                );
            }
            if !rows.is_sorted_by(|a, b| a.0 < b.0) {
                self.invalid(number, None, format!("the manifest of {} is not in order", population.kind));
            }
            for (pseudonym, body) in rows {
                self.body(number, &body)?;
                self.pseudonyms.insert(pseudonym);
            }
        }
        Ok(())
    }

    fn observations(&mut self, number: u64, observations: &domain::entry::Observations) -> Result<(), ReadError> {
        let Some(manifest) = &observations.manifest else { return Ok(()) };
        self.meaning.judgements += 1;
        let Some(bytes) = self.body(number, manifest)? else { return Ok(()) };
        let rows: Vec<ObservationLine> = observation_lines(&bytes)?;
        if rows.len() as u64 != observations.rows {
            self.invalid(
                number,
                None,
                format!("it counts {} rows, and its manifest holds {}", observations.rows, rows.len()),
            );
        }
        let mut counts: BTreeMap<&domain::CheckId, domain::CheckCounts> = BTreeMap::new();
        for row in &rows {
            counts.entry(&row.check).or_default().add(row.value);
        }
        for line in &observations.checks {
            if counts.remove(&line.check).unwrap_or_default() != line.counts {
                self.invalid(number, None, format!("its counts for {} are not those of its rows", line.check));
            }
        }
        if let Some(check) = counts.keys().next() {
            self.invalid(number, None, format!("it has rows of {check}, which it does not count"));
        }
        for row in &rows {
            self.body(number, &row.body)?;
        }
        Ok(())
    }

    /// A body, counted as absent when it is not there. Its bytes are those committed to: reading it proves that.
    fn body(&mut self, number: u64, id: &BodyId) -> Result<Option<Vec<u8>>, ReadError> {
        let seen = !self.seen.insert(id.clone());
        match self.offline.body(id) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) if seen => Ok(None),
            Ok(None) if self.offline.record_keys().is_none() => {
                self.meaning.unopened_bodies += 1;
                Ok(None)
            }
            Ok(None) => {
                let why = match self.offline.absent(id)? {
                    Absent::Erased(_) => {
                        self.meaning.erased_bodies += 1;
                        return Ok(None);
                    }
                    Absent::Destroyed => {
                        "was sealed under a key that was destroyed, and no entry says that it was erased"
                    }
                    Absent::NeverKept => "is not there",
                };
                self.meaning.absent_bodies += 1;
                self.missing(number, format!("the body {id} that it names {why}"));
                Ok(None)
            }
            Err(error) => {
                self.invalid(number, None, format!("the body {id} that it names does not verify: {error}"));
                Ok(None)
            }
        }
    }

    /// Holds the slots that schedules promised against the outcomes they got.
    fn count_slots(&mut self) {
        let streams = std::mem::take(&mut self.streams);
        let runs = streams.values().flat_map(|stream| &stream.settled).filter(|(.., kind)| *kind != MISSED);
        let alive = runs.map(|(_, last, ..)| last.0).max().unwrap_or_default();
        for (id, stream) in streams {
            if stream.open.is_some() {
                self.meaning.under_way += 1;
            }
            let mut settled = stream.settled.clone();
            settled.sort();
            for pair in settled.windows(2) {
                if let [(_, last, earlier, _), (first, _, entry, _)] = pair
                    && first <= last
                {
                    self.invalid(
                        *entry,
                        None,
                        format!("it gives the slot {first} of {id} a second outcome, after #{earlier}"),
                    );
                }
            }
            for (place, (entry, expression, zone, from)) in stream.schedules.iter().enumerate() {
                let Some(expression) = expression else { continue };
                let schedule = match Schedule::parse(expression, zone.as_deref()) {
                    Ok(schedule) => schedule,
                    Err(error) => {
                        self.invalid(*entry, None, format!("its schedule does not read: {error}"));
                        continue;
                    }
                };
                let until = match stream.schedules.get(place + 1) {
                    Some(next) => next.3,
                    None => {
                        let (owed, late) = owed_until(&stream, &schedule, self.last_at, alive);
                        self.meaning.pending +=
                            schedule.slots_within(owed.max(*from), late).map_or(0, |slots| slots.count);
                        owed
                    }
                };
                let Some(owed) = schedule.slots_within(*from, until) else { continue };
                let mut had = 0;
                for (first, last, _, kind) in &settled {
                    let within =
                        schedule.slots_within(first.0.minus(Duration::from_millis(1)).max(*from), last.0.min(until));
                    let count = within.map_or(0, |within| within.count);
                    had += count;
                    if let Some(slots) = self.meaning.slots.get_mut(*kind) {
                        *slots += count;
                    }
                }
                if had != owed.count {
                    let what =
                        format!("its schedule promised {} slots up to {until}, and {had} have an outcome", owed.count);
                    self.missing(*entry, what);
                }
            }
        }
    }
}

/// The place of *missed* in [`Meaning::slots`].
const MISSED: usize = 3;
/// A daemon that starts again has said of every stream what it missed within this time of its first scheduled run.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// Up to when a stream's slots must have an outcome, and up to when they are late. What lies between awaits the next
/// start of the daemon: it is owed as soon as the daemon is seen to have run a slot of any stream well after it.
fn owed_until(stream: &Stream, schedule: &Schedule, last_at: Timestamp, alive: Timestamp) -> (Timestamp, Timestamp) {
    let late = last_at.minus(schedule.lateness());
    let settled = stream.settled.iter().map(|(_, last, ..)| last.0).max().unwrap_or_default();
    let owed = settled.max(alive.minus(schedule.lateness()).minus(SETTLES_WITHIN));
    // The slot of a run under way has its outcome still to come.
    let under_way = stream.open.and_then(|(_, slot)| slot).map(|slot| slot.0.minus(Duration::from_millis(1)));
    let late = under_way.map_or(late, |before| late.min(before));
    (owed.min(late), late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_awaits_the_next_start_unless_the_daemon_was_seen_to_run_well_after_it() {
        let schedule = Schedule::parse("every: 1m", None).unwrap();
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        let stream = |settled: i64, open: Option<i64>| Stream {
            settled: vec![(Slot(at(0)), Slot(at(settled)), 1, 0)],
            open: open.map(|minute| (7, Some(Slot(at(minute))))),
            ..Stream::default()
        };
        // Settled up to, a run under way for, the last run of any stream, the ledger's end: how many slots are owed
        // beyond the settled ones, and how many await the next start.
        let table = [
            ("it ended right away", 10, None, 10, 11, (0, 0)),
            ("it ended, and an hour later somebody wrote", 10, None, 10, 70, (0, 59)),
            ("another stream ran ten minutes longer", 10, None, 20, 21, (8, 2)),
            ("a run was under way", 10, Some(11), 10, 11, (0, 0)),
        ];
        for (what, settled, open, alive, end, expected) in table {
            let (owed, late) = owed_until(&stream(settled, open), &schedule, at(end), at(alive));
            let count = |after, through| schedule.slots_within(after, through).map_or(0, |slots| slots.count);
            assert_eq!((count(at(settled), owed), count(owed, late)), expected, "{what}");
        }
    }
}
