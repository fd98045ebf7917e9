//! Evaluate and conclude: from a recorded run to observations, deviations, coverage and findings.
//!
//! Everything is read back from what was recorded, never handed over in memory: so a run that was recorded just before
//! the process died is judged after the restart in the same way, and anyone can judge it again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use checks::CheckState;
use domain::entry::{self, CheckLine, DeviationDetail, Fact};
use domain::{
    Actor, Change, ChangeEvent, CheckCounts, CheckId, GapReason, Observation, ObservationValue, Outcome, Pseudonym,
    ResourceKey, RowAddress, StreamId, Timestamp, UnknownActor, transition,
};
use query::Query;
use store::read::{ObservationLine, observation_lines};
use store::rows::{DeviationRow, StreamRow, key};
use store::{Read, ReadError, Rows, Store, StoreError, fold};

use crate::knowledge::Knowledge;

/// A run could not be judged. What was collected is recorded all the same, and is judged after the next start.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// What was recorded cannot be read.
    #[error("cannot read what was recorded")]
    Read(#[from] ReadError),
    /// The judgement cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What one judgement led to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Consequences {
    /// The entry that holds the observations.
    pub observed: u64,
    /// Deviation entries, with their step and whether they are baseline.
    pub deviations: Vec<(u64, Change, bool)>,
    /// The coverage entry, when coverage was lost or restored.
    pub coverage: Option<u64>,
}

/// Judges one recorded run and records what follows, all or none. A judgement that is more than can be kept is recorded
/// as such: then nothing is known of what the checks speak of, and nobody tries again at every start.
fn judge(store: &Store, knowledge: &Knowledge, run_entry: u64) -> Result<Consequences, JudgeError> {
    match judge_whole(store, knowledge, run_entry) {
        Err(JudgeError::Store(StoreError::Unwritable(why))) => judge_blind(store, knowledge, run_entry, why),
        judged => judged,
    }
}

fn judge_whole(store: &Store, knowledge: &Knowledge, run_entry: u64) -> Result<Consequences, JudgeError> {
    let run = run_of(store, run_entry)?;
    let query = Query { read: store, catalogue: &knowledge.catalogue, now: run.ended };
    let row = query.stream_row(&run.stream)?;
    let before = Before::new(&row);
    let changes = recorded_changes(&query, &run)?;
    let mut judging = Judging { store, query: &query, run: &run, before: &before, changes: &changes, rows: Vec::new() };
    let mut judged = judging.judge_all(knowledge, &row)?;
    let rows = std::mem::take(&mut judging.rows);
    let lines: Vec<CheckLine> = judged.iter().map(|judged| judged.line.clone()).collect();
    let steps: Vec<Step> = judged.iter_mut().flat_map(|judged| std::mem::take(&mut judged.steps)).collect();
    tracing::debug!(stream = %run.stream, run = run_entry, rows = rows.len(), steps = steps.len(), "judged");
    let lost = (run.outcome != Outcome::Collected).then(|| run.gaps.first().map(|gap| gap.reason));
    let coverage = coverage_step(&row, run_entry, lost, &lines);
    let has_coverage = coverage.is_some();
    let changes: Vec<(Change, bool)> = steps.iter().map(|step| (step.change, step.baseline)).collect();
    let receipts = store.record_judgement(run_entry, &run.stream, lines, rows, move |rows| {
        let facts = steps.into_iter().map(|step| Fact::Deviation(step.into_fact(rows, run_entry)));
        facts.chain(coverage.map(Fact::Coverage)).collect()
    })?;
    let mut receipts = receipts.iter();
    let observed = receipts.next().map_or(0, |receipt| receipt.entry);
    let mut consequences = Consequences { observed, ..Consequences::default() };
    for ((change, baseline), receipt) in changes.into_iter().zip(&mut receipts) {
        consequences.deviations.push((receipt.entry, change, baseline));
    }
    consequences.coverage = receipts.next().filter(|_| has_coverage).map(|receipt| receipt.entry);
    Ok(consequences)
}

/// Records that no check can say anything of a run, since all that they say is more than can be kept. Deviations stay as
/// they were last seen, and everything is blind.
fn judge_blind(store: &Store, knowledge: &Knowledge, run_entry: u64, why: String) -> Result<Consequences, JudgeError> {
    let run = run_of(store, run_entry)?;
    tracing::error!(stream = %run.stream, run = run_entry, why, "what the checks say of a run cannot be kept");
    let row = store.stream_row(&run.stream)?;
    let (source, collector) = (run.stream.source(), run.stream.collector());
    let fed = knowledge.checks.by_collector(source.kind(), &collector);
    let lines: Vec<CheckLine> = fed.map(|check| CheckLine { complete: false, ..nothing_said(&run, check) }).collect();
    let coverage = coverage_step(&row, run_entry, Some(Some(GapReason::OverLimit)), &lines);
    let follows = coverage.map(Fact::Coverage).into_iter().collect();
    let mut receipts = store.record_unkept_judgement(run_entry, &run.stream, lines, why, follows)?.into_iter();
    let observed = receipts.next().map_or(0, |receipt| receipt.entry);
    Ok(Consequences { observed, deviations: Vec::new(), coverage: receipts.next().map(|receipt| receipt.entry) })
}

fn run_of(store: &Store, entry: u64) -> Result<entry::Run, ReadError> {
    match store.entry(entry)?.map(|entry| entry.fact) {
        Some(Fact::Run(run)) => Ok(run),
        _ => Err(ReadError::Malformed(format!("#{entry} is not a run"))),
    }
}

/// Concludes on every control of every catalogue, as of `now`, and records the findings that changed.
pub fn conclude(store: &Store, knowledge: &Knowledge, now: Timestamp) -> Result<u64, JudgeError> {
    let _decided_once = store.deciding();
    let query = Query { read: store, catalogue: &knowledge.catalogue, now };
    let mut states = Vec::new();
    let mut rests_on: BTreeMap<CheckId, BTreeSet<u64>> = BTreeMap::new();
    for (link, entry) in query.link_states()? {
        rests_on.entry(link.check.clone()).or_default().extend(entry);
        // A check without a source has no state: that is how the conclusion knows.
        if let Some(source) = link.source {
            let (check, counts, complete, open, at) = (link.check, link.counts, link.complete, link.open, link.at);
            states.push(CheckState { check, source, counts, complete, open, at });
        }
    }
    let mut facts = Vec::new();
    for framework in knowledge.checks.frameworks() {
        for finding in checks::conclude(framework, &knowledge.checks, &states, now) {
            let row: Option<store::rows::FindingRow> =
                fold::get(store.index().as_ref(), &key::finding(&finding.framework, &finding.control))
                    .map_err(ReadError::from)?;
            let was = row.as_ref().map(|row| row.value);
            if row.is_some_and(|row| (row.value, row.reason) == (finding.value, finding.reason)) {
                continue;
            }
            let entries: BTreeSet<u64> =
                finding.links.iter().filter_map(|link| rests_on.get(&link.check)).flatten().copied().collect();
            let fact = entry::Finding {
                framework: finding.framework,
                control: finding.control,
                value: finding.value,
                reason: finding.reason,
                was,
                rests_on: entries.into_iter().collect(),
            };
            facts.push(Fact::Finding(fact));
        }
    }
    let count = facts.len() as u64;
    store.record(facts)?;
    Ok(count)
}

/// The stream's earlier judgements, as far as they are needed to tell what changed. Each is read once.
pub(crate) struct Before {
    /// The latest one that holds rows of its own.
    latest: Option<u64>,
    /// When the latest run was judged; its rows held then too, even if they stand in an earlier entry.
    at: Option<Timestamp>,
    judgements: RefCell<BTreeMap<u64, Option<Rc<Judgement>>>>,
}

/// One judgement with rows of its own.
struct Judgement {
    run: u64,
    prev: Option<u64>,
    /// Sorted by check and resource.
    lines: Vec<ObservationLine>,
}

impl Before {
    fn new(row: &StreamRow) -> Before {
        let observed = row.observed.as_ref();
        Before {
            latest: observed.map(|observed| observed.rows_in),
            at: observed.map(|observed| observed.at),
            judgements: RefCell::default(),
        }
    }

    /// As it was when the judgement in that entry, or none, was the latest with rows of its own.
    pub(crate) fn at(latest: Option<u64>) -> Before {
        Before { latest, at: None, judgements: RefCell::default() }
    }

    fn judgement(&self, query: &Query<'_>, entry: u64) -> Result<Option<Rc<Judgement>>, ReadError> {
        if let Some(known) = self.judgements.borrow().get(&entry) {
            return Ok(known.clone());
        }
        let read = match query.read.entry(entry)?.map(|entry| entry.fact) {
            Some(Fact::Observation(observations)) => {
                let manifest = observations.manifest.as_ref().map(|id| query.read.body(id)).transpose()?.flatten();
                let lines = observation_lines(&manifest.unwrap_or_default())?;
                Some(Rc::new(Judgement { run: observations.run, prev: observations.prev, lines }))
            }
            _ => None,
        };
        self.judgements.borrow_mut().insert(entry, read.clone());
        Ok(read)
    }

    /// The latest judgement's lines of one check.
    fn lines_of(&self, query: &Query<'_>, check: &CheckId) -> Result<Vec<ObservationLine>, ReadError> {
        let latest = self.latest.map(|entry| self.judgement(query, entry)).transpose()?.flatten();
        let lines = latest.iter().flat_map(|judgement| &judgement.lines);
        Ok(lines.filter(|line| line.check == *check).cloned().collect())
    }

    /// The last observation of a resource that determined something, before the run at hand: what it was, where it
    /// stands and when it was seen.
    fn last_determined(
        &self,
        query: &Query<'_>,
        check: &CheckId,
        resource: &Pseudonym,
    ) -> Result<Option<(Observation, RowAddress, Timestamp)>, ReadError> {
        let mut next = self.latest;
        for _ in 0..LOOK_BACK {
            let Some(entry) = next else { return Ok(None) };
            let Some(judgement) = self.judgement(query, entry)? else { return Ok(None) };
            let found = judgement.lines.binary_search_by(|line| (&line.check, &line.resource).cmp(&(check, resource)));
            if let Some((row, line)) = found.ok().and_then(|row| Some((row, judgement.lines.get(row)?)))
                && line.value != ObservationValue::Undetermined
            {
                let Some(body) = query.read.body(&line.body)? else { return Ok(None) };
                let observation = serde_json::from_slice(&body)
                    .map_err(|e| ReadError::Malformed(format!("an observation does not read: {e}")))?;
                let at = match self.at.filter(|_| next == self.latest) {
                    Some(at) => at,
                    None => run_ended(query, judgement.run)?.unwrap_or_default(),
                };
                return Ok(Some((observation, RowAddress { entry, row: u32::try_from(row).ok() }, at)));
            }
            next = judgement.prev;
        }
        Ok(None)
    }
}

/// Judgements with rows of their own that are searched for the last determined word on a resource.
const LOOK_BACK: usize = 32;

fn run_ended(query: &Query<'_>, run: u64) -> Result<Option<Timestamp>, ReadError> {
    Ok(match query.read.entry(run)?.map(|entry| entry.fact) {
        Some(Fact::Run(run)) => Some(run.ended),
        _ => None,
    })
}

/// What each of these checks says of a run: of every resource that the run found, and *undetermined* of every resource
/// that was known before and that an incomplete population no longer shows. Resources are read, evaluated and let go one
/// by one.
pub(crate) fn observe<E: From<ReadError>>(
    query: &Query<'_>,
    run: &entry::Run,
    fed: &[&checks::Check],
    before: &Before,
    mut each: impl FnMut(&checks::Check, Observation) -> Result<(), E>,
) -> Result<(), E> {
    let mut seen: BTreeMap<&domain::ResourceType, BTreeSet<Pseudonym>> = BTreeMap::new();
    for population in &run.populations {
        let speaking: Vec<_> = fed.iter().filter(|check| *check.resource() == population.kind).collect();
        if speaking.is_empty() {
            continue;
        }
        for resource in query.population(run, &population.kind)? {
            let resource = resource?;
            let prepared = checks::Prepared::new(&resource, run.collector_version);
            for check in &speaking {
                each(check, checks::evaluate(check, &prepared, run.ended))?;
            }
            if !population.complete {
                seen.entry(&population.kind).or_default().extend(query.read.pseudonym(&resource.key));
            }
        }
    }
    let why = run.gaps.first().map_or(GapReason::Truncated, |gap| gap.reason);
    for check in fed.iter().filter(|check| !nothing_said(run, check).complete) {
        let seen = seen.get(check.resource());
        for line in before.lines_of(query, check.id())? {
            if seen.is_some_and(|seen| seen.contains(&line.resource)) {
                continue;
            }
            let Some(resource) = query.read.resource(&line.resource) else { continue };
            each(check, not_read(query, &line, resource, check, why)?)?;
        }
    }
    Ok(())
}

/// The line of a check on a run before anything is counted.
pub(crate) fn nothing_said(run: &entry::Run, check: &checks::Check) -> CheckLine {
    let population = run.populations.iter().find(|population| population.kind == *check.resource());
    CheckLine {
        check: check.id().clone(),
        version: check.version().to_owned(),
        complete: population.is_some_and(|population| population.complete),
        counts: CheckCounts::default(),
    }
}

/// The word on a resource that was known and could not be read this time.
fn not_read(
    query: &Query<'_>,
    line: &ObservationLine,
    resource: ResourceKey,
    check: &checks::Check,
    why: GapReason,
) -> Result<Observation, ReadError> {
    let known: Option<Observation> = query.read.body(&line.body)?.and_then(|body| serde_json::from_slice(&body).ok());
    Ok(Observation {
        check: check.id().clone(),
        version: check.version().to_owned(),
        name: known.map_or_else(|| resource.id.clone(), |known| known.name),
        resource,
        value: ObservationValue::Undetermined,
        reason: Some(format!("not read in this run: {}", why.as_str())),
        fields: BTreeMap::new(),
        unread: Vec::new(),
    })
}

/// Who changed what lately, as the run recorded it.
fn recorded_changes(query: &Query<'_>, run: &entry::Run) -> Result<Result<Vec<ChangeEvent>, UnknownActor>, ReadError> {
    let Some(body) = &run.changes else { return Ok(Ok(Vec::new())) };
    let Some(bytes) = query.read.body(body)? else { return Ok(Err(UnknownActor { reason: "erased".into() })) };
    serde_json::from_slice(&bytes).map_err(|e| ReadError::Malformed(format!("the changes of a run do not read: {e}")))
}

/// What one check says of the run at hand.
struct Judged {
    line: CheckLine,
    severity: domain::Severity,
    first_look: bool,
    /// The check's deviations at this source, but for resources that the run has shown already.
    known: BTreeMap<Pseudonym, DeviationRow>,
    steps: Vec<Step>,
}

/// A step in the life of a deviation, before it has its place in the ledger.
struct Step {
    check: CheckId,
    resource: Pseudonym,
    kind: domain::ResourceType,
    source: domain::SourceId,
    severity: domain::Severity,
    change: Change,
    episode: u32,
    baseline: bool,
    opened_by: Option<u64>,
    was: Option<RowAddress>,
    detail: domain::BodyId,
}

impl Step {
    fn into_fact(self, rows: &Rows, run: u64) -> entry::Deviation {
        let is = rows.address(&self.check, &self.resource).unwrap_or(RowAddress { entry: run, row: None });
        entry::Deviation {
            check: self.check,
            source: self.source,
            kind: self.kind,
            resource: self.resource,
            change: self.change,
            episode: self.episode,
            severity: self.severity,
            baseline: self.baseline,
            is,
            was: self.was,
            opened_by: self.opened_by,
            detail: self.detail,
        }
    }
}

/// The judgement of one run in the making. Resources are read, judged and let go one by one, and of an observation stays
/// a small row: a run of a hundred thousand resources is judged in the memory of a few.
struct Judging<'a> {
    store: &'a Store,
    query: &'a Query<'a>,
    run: &'a entry::Run,
    before: &'a Before,
    changes: &'a Result<Vec<ChangeEvent>, UnknownActor>,
    rows: Vec<ObservationLine>,
}

impl Judging<'_> {
    /// Takes in what every check that the stream feeds says of the run, and ends what is no longer there. Sorted by check.
    fn judge_all(&mut self, knowledge: &Knowledge, row: &StreamRow) -> Result<Vec<Judged>, JudgeError> {
        let (query, run, before) = (self.query, self.run, self.before);
        let (source, collector) = (run.stream.source(), run.stream.collector());
        let fed: Vec<&checks::Check> = knowledge.checks.by_collector(source.kind(), &collector).collect();
        let mut all = fed.iter().map(|check| self.begin(check, row)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by(|a, b| a.line.check.cmp(&b.line.check));
        observe(query, run, &fed, before, |check, observation| {
            let judged = all.iter_mut().find(|judged| judged.line.check == *check.id());
            judged.map_or(Ok(()), |judged| self.take_in(judged, &observation))
        })?;
        if run.outcome != Outcome::Failed {
            for judged in all.iter_mut().filter(|judged| judged.line.complete) {
                self.gone(judged)?;
            }
        }
        Ok(all)
    }

    fn begin(&self, check: &checks::Check, row: &StreamRow) -> Result<Judged, ReadError> {
        let line = nothing_said(self.run, check);
        let source = self.run.stream.source();
        let mut known = BTreeMap::new();
        for (_, bytes) in self.query.read.index().scan(&key::deviations_of(check.id()), None, usize::MAX)? {
            let row: DeviationRow = fold::read(&bytes)?;
            if row.source == source {
                known.insert(row.resource.clone(), row);
            }
        }
        let info = self.query.catalogue.checks.get(check.id());
        let severity = info.map_or(domain::Severity::Medium, |info| info.severity);
        Ok(Judged { first_look: !row.has_looked(&line), line, severity, known, steps: Vec::new() })
    }

    /// Keeps an observation, and takes the step that it means.
    fn take_in(&mut self, judged: &mut Judged, observation: &Observation) -> Result<(), JudgeError> {
        let row = self.store.put_observation(observation)?;
        judged.line.counts.add(observation.value);
        let known = judged.known.remove(&row.resource);
        let (resource, pseudonym) = (&observation.resource, row.resource.clone());
        self.step(judged, resource, pseudonym, &observation.name, Some(observation), known.as_ref())?;
        self.rows.push(row);
        Ok(())
    }

    /// Ends the deviations of resources that are no longer there.
    fn gone(&self, judged: &mut Judged) -> Result<(), JudgeError> {
        for (pseudonym, row) in std::mem::take(&mut judged.known).into_iter().filter(|(_, row)| row.state.open) {
            let Some(resource) = self.query.read.resource(&pseudonym) else {
                // It was erased: whether it is still there cannot be said of it, and nothing more will be. Where no entry
                // says so its key is lost, and with it who it was: that is no end.
                if store::erased(self.query.read.index().as_ref(), &pseudonym)?.is_some() {
                    judged.steps.push(self.erased(judged, pseudonym, &row));
                }
                continue;
            };
            let detail = self.query.detail(&row.opened_detail)?;
            let name = detail.map_or_else(|| resource.id.clone(), |detail| detail.name);
            self.step(judged, &resource, pseudonym, &name, None, Some(&row))?;
        }
        Ok(())
    }

    /// The end of a deviation whose resource was erased: it stands as a pseudonym, and its details are gone.
    fn erased(&self, judged: &Judged, resource: Pseudonym, row: &DeviationRow) -> Step {
        Step {
            check: judged.line.check.clone(),
            resource,
            kind: row.kind.clone(),
            source: row.source.clone(),
            severity: judged.severity,
            change: Change::Gone,
            episode: row.state.episode,
            baseline: false,
            opened_by: Some(row.state.opened_by),
            was: None,
            detail: row.detail.clone(),
        }
    }

    /// Notes the step in the life of a deviation that an observation of a resource means, if it means one.
    fn step(
        &self,
        judged: &mut Judged,
        resource: &ResourceKey,
        pseudonym: Pseudonym,
        name: &str,
        observed: Option<&Observation>,
        known: Option<&DeviationRow>,
    ) -> Result<(), JudgeError> {
        let Some(change) = transition(known.map(|row| &row.state), observed.map(|o| o.value)) else { return Ok(()) };
        let check = &judged.line.check;
        let last = self.before.last_determined(self.query, check, &pseudonym)?;
        let baseline = change == Change::Opened && judged.first_look;
        let since = last.as_ref().map(|(_, _, at)| *at);
        let (actor, changed_at) = match (baseline, self.changes) {
            (true, _) => (Err(UnknownActor { reason: "it was so before anyone looked".into() }), None),
            (false, Err(unknown)) => (Err(unknown.clone()), None),
            (false, Ok(changes)) => actor_of(changes, resource, since),
        };
        let was = last.as_ref().map(|(_, address, _)| *address);
        let detail = DeviationDetail {
            resource: resource.clone(),
            name: name.to_owned(),
            before: last.map(|(observation, _, _)| observation.fields).unwrap_or_default(),
            before_at: since,
            after: observed.map(|o| o.fields.clone()).unwrap_or_default(),
            after_at: self.run.ended,
            actor,
            changed_at,
        };
        judged.steps.push(Step {
            check: check.clone(),
            resource: pseudonym,
            kind: resource.kind.clone(),
            source: self.run.stream.source(),
            severity: judged.severity,
            change,
            episode: known.map_or(0, |row| row.state.episode) + u32::from(change.opens()),
            baseline,
            opened_by: known.map(|row| row.state.opened_by).filter(|_| !change.opens()),
            was,
            detail: self.store.put_detail(&detail)?,
        });
        Ok(())
    }
}

/// Names who last changed a resource since `since`, by the source's own events.
fn actor_of(
    changes: &[ChangeEvent],
    resource: &ResourceKey,
    since: Option<Timestamp>,
) -> (Result<Actor, UnknownActor>, Option<Timestamp>) {
    // Clocks differ: an event a little before our last look may still be the one.
    let since = since.map(|since| since.minus(CLOCKS_DIFFER));
    let touching = changes.iter().filter(|event| event.touches.contains(resource) && Some(event.at) >= since);
    match touching.max_by_key(|event| event.at) {
        Some(event) => (event.actor.clone(), Some(event.at)),
        None => (Err(UnknownActor { reason: "the source has no event that names this change".into() }), None),
    }
}

/// How far the source's clock and ours may be apart.
const CLOCKS_DIFFER: domain::Duration = domain::Duration::from_secs(2);

/// Whether the stream's coverage was lost, restored or lost otherwise by this run. `loss` is why it shows less than all,
/// as far as that is known; `None` when it shows all.
fn coverage_step(
    row: &StreamRow,
    run_entry: u64,
    loss: Option<Option<GapReason>>,
    lines: &[CheckLine],
) -> Option<entry::Coverage> {
    let blind = lines.iter().filter(|line| !line.complete || line.counts.undetermined > 0);
    let blind: Vec<CheckId> = blind.map(|line| line.check.clone()).collect();
    let (lost, reason) = (loss.is_some(), loss.flatten());
    let known = row.coverage.as_ref();
    let was_lost = known.is_some_and(|coverage| coverage.lost);
    let same = known.is_some_and(|coverage| coverage.reason == reason && coverage.blind == blind);
    if (!lost && !was_lost) || (lost && was_lost && same) {
        return None;
    }
    let episode = known.map_or(0, |coverage| coverage.episode) + u32::from(lost && !was_lost);
    let opened_by = known.filter(|_| was_lost).map(|coverage| coverage.opened_by);
    let blind = if lost { blind } else { Vec::new() };
    Some(entry::Coverage { stream: row.stream.clone(), lost, episode, by: run_entry, reason, blind, opened_by })
}

/// The run of a stream that was recorded and not judged, because the process died in between. A run that was broken off
/// is not judged: it says nothing of the source.
fn unjudged(row: &StreamRow) -> Option<u64> {
    let last = row.last_run.as_ref().filter(|run| !run.interrupted)?;
    let judged = row.observed.as_ref().map(|observed| observed.run);
    (judged != Some(last.entry)).then_some(last.entry)
}

/// Judges what a stream has recorded and nobody judged: right after a run, or after a restart.
pub fn judge_last(store: &Store, knowledge: &Knowledge, stream: &StreamId) -> Result<Option<Consequences>, JudgeError> {
    match unjudged(&store.stream_row(stream)?) {
        Some(run) => judge(store, knowledge, run).map(Some),
        None => Ok(None),
    }
}
