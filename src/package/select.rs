//! Which entries belong into a package: everything of its streams in its period, and what those entries rest on.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::{Anchor, Entry, Fact};
use domain::{Change, CheckId, Pseudonym, ResourceType, SourceId, StreamId, Timestamp};
use store::Read;
use store::read::parse_entry;

use super::{Asked, PackageError, Source};

/// One entry of a package.
pub(super) struct Chosen {
    /// As it was hashed.
    pub(super) bytes: Vec<u8>,
    /// As it reads.
    pub(super) entry: Entry,
}

/// What belongs into a package.
pub(super) struct Selection {
    /// The streams.
    pub(super) streams: BTreeSet<StreamId>,
    /// The checks whose rows are shown.
    pub(super) checks: BTreeSet<CheckId>,
    /// The entries by number.
    pub(super) entries: BTreeMap<u64, Chosen>,
    /// The end of the period.
    pub(super) to: Timestamp,
    /// Nobody said where the period ends, or it goes on: its end is how far there is something to be shown.
    pub(super) open_end: bool,
    /// The first entry of the period.
    pub(super) begins_at: u64,
    /// The last entry of the package.
    pub(super) ends_at: u64,
    /// What outside authorities said of the ledger, in the order of their entries.
    pub(super) anchors: Vec<Anchor>,
}

/// Chooses what is asked for.
pub(super) fn select(source: &Source<'_>, asked: &Asked) -> Result<Selection, PackageError> {
    if asked.to.is_some_and(|to| to <= asked.from) {
        return Err(PackageError::Refused("the period ends before it begins".to_owned()));
    }
    let (streams, checks) = scope(source, asked)?;
    let mut walk = Walk {
        asked,
        streams: &streams,
        checks: &checks,
        sources: streams.iter().map(StreamId::source).collect(),
        chosen: BTreeSet::new(),
        rests_on: BTreeSet::new(),
        in_force: BTreeMap::new(),
        open: BTreeMap::new(),
        keys: BTreeSet::new(),
        runs: BTreeSet::new(),
        types: BTreeSet::new(),
        begins_at: None,
        collected_at: None,
        anchors: Vec::new(),
    };
    for found in source.offline.entries(0) {
        let (number, bytes) = found?;
        walk.take(number, &parse_entry(number, &bytes)?);
    }
    let (Some(begins_at), Some(collected_at)) = (walk.begins_at, walk.collected_at) else {
        return Err(PackageError::Refused("nothing was due or collected there in this period".to_owned()));
    };
    if let Some(unknown) = asked.hide.iter().find(|hidden| !walk.types.iter().any(|kind| hides(hidden, kind))) {
        let types: Vec<String> = walk.types.iter().map(ToString::to_string).collect();
        let types = types.join(", ");
        return Err(PackageError::Refused(format!(
            "nothing here is called {unknown}, so it cannot be hidden; there is {types}"
        )));
    }
    let anchors = std::mem::take(&mut walk.anchors);
    let wanted = walk.finish();
    let mut entries = BTreeMap::new();
    for number in wanted {
        let Some(bytes) = source.offline.entry_bytes(number)? else { continue };
        let entry = parse_entry(number, &bytes)?;
        entries.insert(number, Chosen { bytes, entry });
    }
    // What judged a run that is rested upon stands before its judgement, and was not looked for above.
    let rested: Vec<u64> = entries
        .values()
        .filter_map(|chosen| match &chosen.entry.fact {
            Fact::Observation(observations) => Some(observations.run),
            _ => None,
        })
        .collect();
    for number in rested {
        if let (false, Some(bytes)) = (entries.contains_key(&number), source.offline.entry_bytes(number)?) {
            let entry = parse_entry(number, &bytes)?;
            entries.insert(number, Chosen { bytes, entry });
        }
    }
    // What is still to come is not missing.
    let now = source.query.now;
    let (to, open_end) = match asked.to {
        Some(to) if to <= now => (to, false),
        Some(_) => (now, true),
        None => (collected_at.plus(domain::Duration::from_millis(1)), true),
    };
    let ends_at = entries.keys().next_back().copied().unwrap_or(0);
    Ok(Selection { streams, checks, entries, to, open_end, begins_at, ends_at, anchors })
}

/// Whether what is to be hidden is all of a type, or something of it.
pub(super) fn hides(hidden: &str, kind: &ResourceType) -> bool {
    hidden.strip_prefix(kind.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The streams and checks that are meant.
fn scope(source: &Source<'_>, asked: &Asked) -> Result<(BTreeSet<StreamId>, BTreeSet<CheckId>), PackageError> {
    let refused = |what: String| Err(PackageError::Refused(what));
    let catalogue = source.query.catalogue;
    let known: BTreeSet<StreamId> = source.query.stream_rows()?.into_iter().map(|row| row.stream).collect();
    let mut streams: BTreeSet<StreamId> = if asked.all { known.clone() } else { BTreeSet::new() };
    for stream in &asked.streams {
        if !known.contains(stream) {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            return refused(format!("there is no stream {stream}; there is {}", known.join(", ")));
        }
        streams.insert(stream.clone());
    }
    let mut checks: BTreeSet<CheckId> =
        streams.iter().flat_map(|stream| catalogue.checks_fed_by(stream)).map(|(check, _)| check.clone()).collect();
    for control in &asked.controls {
        let framework = catalogue.frameworks.get(&control.framework);
        if !framework.is_some_and(|info| info.controls.iter().any(|known| known.id == control.control)) {
            return refused(format!("there is no control {}:{}", control.framework, control.control));
        }
        let mut fed = false;
        for (id, check) in &catalogue.checks {
            let bears = |m: &domain::Mapping| m.framework == control.framework && m.control == control.control;
            if !check.mappings.iter().any(bears) {
                continue;
            }
            let feeds = |stream: &&StreamId| {
                stream.source().kind() == check.source_kind && stream.collector() == check.collector
            };
            for stream in known.iter().filter(feeds) {
                fed = true;
                streams.insert(stream.clone());
                checks.insert(id.clone());
            }
        }
        if !fed {
            return refused(format!(
                "nothing that was ever watched here speaks to {}:{}; evidenced explain {} says why",
                control.framework, control.control, control.control
            ));
        }
    }
    if streams.is_empty() {
        return refused("nothing was ever watched here".to_owned());
    }
    Ok((streams, checks))
}

/// One walk over all entries.
struct Walk<'a> {
    asked: &'a Asked,
    streams: &'a BTreeSet<StreamId>,
    checks: &'a BTreeSet<CheckId>,
    sources: BTreeSet<SourceId>,
    chosen: BTreeSet<u64>,
    /// Entries that chosen ones rest on.
    rests_on: BTreeSet<u64>,
    /// What was said before the period and holds when it begins, by what it is about.
    in_force: BTreeMap<String, u64>,
    /// Deviations open when the period begins, by the entry of their last step.
    open: BTreeMap<(CheckId, SourceId, Pseudonym), u64>,
    keys: BTreeSet<u64>,
    runs: BTreeSet<u64>,
    /// The types of resource that the runs found.
    types: BTreeSet<ResourceType>,
    begins_at: Option<u64>,
    /// When the last outcome was recorded.
    collected_at: Option<Timestamp>,
    anchors: Vec<Anchor>,
}

impl Walk<'_> {
    fn holds(&self, at: Timestamp) -> bool {
        at >= self.asked.from && self.asked.to.is_none_or(|to| at < to)
    }

    fn choose(&mut self, number: u64) {
        self.chosen.insert(number);
        self.begins_at.get_or_insert(number);
    }

    /// Something that holds until the next of its kind: the last one before the period, and those in it.
    fn lasting(&mut self, number: u64, at: Timestamp, about: String) {
        if at <= self.asked.from {
            self.in_force.insert(about, number);
        } else if self.holds(at) {
            self.chosen.insert(number);
        }
    }

    /// Whether what an entry tells follows from an entry of the period.
    fn is_shown_by(&self, entry: u64) -> bool {
        self.chosen.contains(&entry)
    }

    fn outcome(&mut self, number: u64, at: Timestamp) {
        self.choose(number);
        self.collected_at = Some(at);
    }

    fn take(&mut self, number: u64, entry: &Entry) {
        match &entry.fact {
            Fact::Genesis(_) => drop(self.chosen.insert(number)),
            Fact::Key(_) => drop(self.keys.insert(number)),
            Fact::Version(_) => self.lasting(number, entry.at, "version".to_owned()),
            Fact::Schedule(schedule) if self.streams.contains(&schedule.stream) => {
                self.lasting(number, schedule.from, format!("schedule {}", schedule.stream));
            }
            Fact::Intent(intent)
                if self.streams.contains(&intent.stream)
                    && intent.trigger.slot().is_some_and(|slot| self.holds(slot.0)) =>
            {
                self.choose(number);
            }
            Fact::Run(run)
                if self.streams.contains(&run.stream)
                    && self.holds(run.trigger.slot().map_or(run.started, |slot| slot.0)) =>
            {
                self.outcome(number, entry.at);
                self.runs.insert(number);
                self.types.extend(run.populations.iter().map(|population| population.kind.clone()));
                self.rests_on.insert(run.intent);
            }
            Fact::Missed(missed) if self.streams.contains(&missed.stream) => {
                let ended = self.asked.to.is_some_and(|to| missed.first.0 >= to);
                if missed.last.0 >= self.asked.from && !ended {
                    self.outcome(number, entry.at);
                }
            }
            Fact::Observation(observations) if self.runs.contains(&observations.run) => {
                self.choose(number);
                self.rests_on.extend(observations.same_as);
            }
            Fact::Deviation(deviation)
                if self.checks.contains(&deviation.check) && self.sources.contains(&deviation.source) =>
            {
                if self.is_shown_by(deviation.is.entry) {
                    self.choose(number);
                    self.rests_on.extend(deviation.opened_by);
                } else if entry.at < self.asked.from {
                    let key = (deviation.check.clone(), deviation.source.clone(), deviation.resource.clone());
                    match deviation.change {
                        Change::Resolved | Change::Gone => drop(self.open.remove(&key)),
                        _ => drop(self.open.insert(key, number)),
                    }
                }
            }
            Fact::Coverage(coverage) if self.streams.contains(&coverage.stream) => {
                if self.is_shown_by(coverage.by) {
                    self.choose(number);
                } else if entry.at < self.asked.from {
                    self.in_force.insert(format!("coverage {}", coverage.stream), number);
                }
            }
            Fact::Finding(finding) => {
                let asked =
                    |c: &domain::ControlAddress| c.framework == finding.framework && c.control == finding.control;
                if self.asked.controls.iter().any(asked) {
                    self.lasting(number, entry.at, format!("finding {} {}", finding.framework, finding.control));
                }
            }
            Fact::Anchor(anchor) => self.anchors.push(anchor.clone()),
            // What says why bodies of the period are gone, whenever that was.
            Fact::Erase(erase) if erase.of.as_ref().is_none_or(|of| self.types.contains(&of.kind)) => {
                self.rests_on.insert(number);
            }
            Fact::Clock(_) | Fact::Room(_) | Fact::Damage(_) if self.holds(entry.at) => self.choose(number),
            _ => {}
        }
    }

    fn finish(self) -> BTreeSet<u64> {
        let last = self.chosen.last().copied().unwrap_or(0);
        let mut wanted = self.chosen;
        wanted.extend(self.keys.into_iter().filter(|key| *key < last));
        wanted.extend(self.rests_on);
        wanted.extend(self.in_force.into_values());
        wanted.extend(self.open.into_values());
        wanted
    }
}
