//! Replay: recorded observations computed again from recorded evidence, with the checks of their day, and with today's.
//!
//! Nothing is contacted and nothing is written. An observation follows from the resource as it was recorded, the check as
//! it was recorded, and the end of the run; so it comes out byte for byte, or something is wrong.

use std::collections::BTreeMap;
use std::rc::Rc;

use checks::CheckSet;
use domain::entry::{CheckLine, Fact, Observations, Run};
use domain::{CheckId, Observation, ObservationValue, Pseudonym, RowAddress, Timestamp};
use query::Query;
use serde::Serialize;
use store::read::{ObservationLine, observation_lines};
use store::{Offline, Read, ReadError, canonical, row_text};

use crate::judge::{Before, nothing_said, observe};

/// What is to be computed again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// One run, or the observations of one.
    pub entry: Option<u64>,
    /// What was recorded from this moment on.
    pub from: Option<Timestamp>,
    /// And before this one.
    pub to: Option<Timestamp>,
}

/// What came out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Replayed {
    /// Judgements that were computed again.
    pub judgements: u64,
    /// Their observations that came out byte for byte.
    pub equal: u64,
    /// Observations of which a body was erased.
    pub erased: u64,
    /// What did not come out as it was recorded.
    pub differing: Vec<Differing>,
    /// What could not be computed again, with the reason.
    pub impossible: Vec<Differing>,
    /// What today's checks would say otherwise.
    pub flips: Vec<Flip>,
}

/// Something that did not come out, or could not be tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Differing {
    /// The observation entry, and the row where one is meant.
    pub address: RowAddress,
    /// What is wrong, in words.
    pub what: String,
}

/// An observation that today's checks would make otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Flip {
    /// The observation entry.
    pub entry: u64,
    /// The check.
    pub check: CheckId,
    /// The name people know the resource by.
    pub name: String,
    /// What was recorded.
    pub was: ObservationValue,
    /// What today's check says of the same evidence; `None` where it says nothing of it any more.
    pub would_be: Option<ObservationValue>,
}

/// Computes recorded observations again. `today` are the checks to tell flips by.
pub fn replay(
    offline: &Offline,
    query: &Query<'_>,
    today: &CheckSet,
    asked: &Asked,
    progress: &mut dyn FnMut(u64),
) -> Result<Replayed, ReadError> {
    let mut replayed = Replayed::default();
    let mut in_force: Result<Rc<CheckSet>, String> = Err("no checks were recorded before it".to_owned());
    for found in offline.entries(0) {
        let (number, bytes) = found?;
        let entry = store::read::parse_entry(number, &bytes)?;
        match &entry.fact {
            Fact::Version(version) => in_force = recorded_checks(offline, version.checks_body.as_ref())?,
            Fact::Observation(said) => {
                let asked_for = asked.entry.is_none_or(|entry| entry == number || entry == said.run);
                let in_period =
                    asked.from.is_none_or(|from| entry.at >= from) && asked.to.is_none_or(|to| entry.at < to);
                if !asked_for || !in_period {
                    continue;
                }
                match &in_force {
                    Ok(checks) => judgement(&mut replayed, offline, query, (checks, today), number, said)?,
                    Err(why) => replayed.impossible.push(of_entry(number, why.clone())),
                }
                progress(replayed.judgements);
            }
            _ => {}
        }
    }
    Ok(replayed)
}

/// The checks of a day, or why they cannot be had.
fn recorded_checks(
    offline: &Offline,
    body: Option<&domain::BodyId>,
) -> Result<Result<Rc<CheckSet>, String>, ReadError> {
    let Some(bytes) = body.map(|body| offline.body(body)).transpose()?.flatten() else {
        return Ok(Err("the checks of its day are not there".to_owned()));
    };
    let recorded = serde_json::from_slice(&bytes);
    let recorded = recorded.map_err(|error| format!("the checks of its day do not read: {error}"));
    Ok(recorded.and_then(|recorded| CheckSet::from_recorded(&recorded)).map(Rc::new))
}

fn of_entry(entry: u64, what: String) -> Differing {
    Differing { address: RowAddress { entry, row: None }, what }
}

/// One judgement again.
fn judgement(
    replayed: &mut Replayed,
    offline: &Offline,
    query: &Query<'_>,
    (then, today): (&CheckSet, &CheckSet),
    number: u64,
    said: &Observations,
) -> Result<(), ReadError> {
    let Some(Fact::Run(run)) = offline.entry(said.run)?.map(|entry| entry.fact) else {
        replayed.impossible.push(of_entry(number, format!("its run #{} is not there", said.run)));
        return Ok(());
    };
    if let Some(why) = &said.unkept {
        replayed.impossible.push(of_entry(number, format!("what the checks said was not kept: {why}")));
        return Ok(());
    }
    // Where nothing changed, the rows stand in an earlier entry, which was also the latest then.
    let (rows_in, rows) = match said.same_as {
        Some(earlier) => match offline.entry(earlier)?.map(|entry| entry.fact) {
            Some(Fact::Observation(rows)) => (earlier, rows),
            _ => {
                replayed.impossible.push(of_entry(number, format!("its rows in #{earlier} are not there")));
                return Ok(());
            }
        },
        None => (number, said.clone()),
    };
    let latest = said.same_as.or(said.prev);
    let manifest = rows.manifest.as_ref().map(|manifest| offline.body(manifest)).transpose()?.flatten();
    let recorded = observation_lines(&manifest.unwrap_or_default())?;
    let again = compute(query, then, &run, latest)?;
    compare(replayed, offline, (number, rows_in), &rows, &recorded, &again)?;
    let otherwise = compute(query, today, &run, latest)?;
    flips(replayed, offline, number, &run, &recorded, &otherwise);
    replayed.judgements += 1;
    Ok(())
}

/// What checks say of a run, computed anew.
struct Computed {
    lines: Vec<CheckLine>,
    observations: Vec<Observation>,
}

/// Asks checks about a run, as it was when the judgement in `latest` was the latest with rows of its own.
fn compute(query: &Query<'_>, checks: &CheckSet, run: &Run, latest: Option<u64>) -> Result<Computed, ReadError> {
    let fed: Vec<&checks::Check> = checks.by_collector(run.stream.source().kind(), &run.stream.collector()).collect();
    let mut lines: Vec<CheckLine> = fed.iter().map(|check| nothing_said(run, check)).collect();
    lines.sort_by(|a, b| a.check.cmp(&b.check));
    let mut observations = Vec::new();
    observe(query, run, &fed, &Before::at(latest), |check, observation| {
        let line = lines.iter_mut().find(|line| line.check == *check.id());
        line.into_iter().for_each(|line| line.counts.add(observation.value));
        observations.push(observation);
        Ok::<_, ReadError>(())
    })?;
    Ok(Computed { lines, observations })
}

/// By check and resource.
type Key = (CheckId, Pseudonym);

fn by_key<'a>(offline: &Offline, computed: &'a Computed) -> BTreeMap<Key, &'a Observation> {
    let all = computed.observations.iter();
    all.filter_map(|one| Some(((one.check.clone(), offline.pseudonym(&one.resource)?), one))).collect()
}

fn compare(
    replayed: &mut Replayed,
    offline: &Offline,
    (number, rows_in): (u64, u64),
    rows: &Observations,
    recorded: &[ObservationLine],
    again: &Computed,
) -> Result<(), ReadError> {
    let mut computed = by_key(offline, again);
    for (row, line) in (0..).zip(recorded) {
        let address = RowAddress { entry: rows_in, row: Some(row) };
        let (body, found) = (offline.body(&line.body)?, computed.remove(&(line.check.clone(), line.resource.clone())));
        let (Some(body), true) = (body, offline.resource(&line.resource).is_some()) else {
            replayed.erased += 1;
            continue;
        };
        let same = found.is_some_and(|found| {
            // Rows were one line of JSON once.
            let text = if body.starts_with(b"{\n") { row_text(found) } else { canonical(found) };
            found.value == line.value && text.is_ok_and(|text| text.as_bytes() == body)
        });
        match found {
            _ if same => replayed.equal += 1,
            Some(found) => {
                let what = format!("{} was recorded, {} is computed", line.value, found.value);
                let what = if found.value == line.value { "another body is computed".to_owned() } else { what };
                replayed.differing.push(Differing { address, what: format!("{}: {what}", line.check) });
            }
            None => {
                let what = format!("{}: nothing is computed of this resource", line.check);
                replayed.differing.push(Differing { address, what });
            }
        }
    }
    for ((check, resource), _) in computed {
        let what = format!("{check}: an observation of {resource} is computed and was not recorded");
        replayed.differing.push(of_entry(number, what));
    }
    if replayed.erased == 0 && again.lines != rows.checks {
        replayed.differing.push(of_entry(number, "its counts are not those that are computed".to_owned()));
    }
    Ok(())
}

fn flips(
    replayed: &mut Replayed,
    offline: &Offline,
    entry: u64,
    run: &Run,
    recorded: &[ObservationLine],
    otherwise: &Computed,
) {
    let computed = by_key(offline, otherwise);
    for line in recorded {
        let found = computed.get(&(line.check.clone(), line.resource.clone()));
        let would_be = found.map(|found| found.value);
        if would_be != Some(line.value) && offline.resource(&line.resource).is_some() {
            let name = found.map_or_else(|| line.resource.to_string(), |found| found.name.clone());
            let check = line.check.clone();
            replayed.flips.push(Flip { entry, check, name, was: line.value, would_be });
        }
    }
    tracing::debug!(stream = %run.stream, entry, "replayed");
}
