//! Answers of sources: when a run last named each, and what rests on it.

use std::collections::BTreeMap;

use domain::entry::{Fact, Run};
use domain::{BodyId, Pseudonym};
use serde::Deserialize;

use super::{Kept, Rest, all_held, streams};
use crate::erase::{Word, held_words};
use crate::erased::erased;
use crate::fold;
use crate::holds::holds;
use crate::read::{Read, ReadError};
use crate::rows::{DeviationRow, RunRow, key};
use crate::subjects::Whose;
use crate::walk::Walk;

/// Every answer that can still be opened. What would be due by `is_due` is opened, to see whether it speaks of somebody who
/// is held.
pub(super) fn kept(on: &dyn Walk, is_due: &dyn Fn(&Kept) -> bool) -> Result<Vec<Kept>, ReadError> {
    let mut answers = sealed(on)?;
    let resting = resting(on)?;
    let holds = holds(on.index().as_ref())?;
    let all_held = all_held(on, &holds);
    for stream in streams(on)? {
        for (_, bytes) in on.index().scan(&key::runs(&stream.stream), None, usize::MAX)? {
            let row: RunRow = fold::read(&bytes)?;
            let Some(Fact::Run(run)) = on.entry(row.entry)?.map(|entry| entry.fact) else {
                return Err(ReadError::Malformed(format!("#{} is no run", row.entry)));
            };
            let rest = resting.get(&row.entry).copied();
            for id in referred_by(on, row.entry, &run)? {
                if let Some(answer) = answers.get_mut(&id) {
                    answer.refer(run.ended, rest.max(all_held));
                }
            }
        }
    }
    let held = held_words(on, &holds)?;
    for (id, answer) in &mut answers {
        if !held.is_empty() && is_due(answer) {
            answer.rest = held_in(on, id, &held)?;
        }
    }
    Ok(answers.into_values().collect())
}

fn sealed(on: &dyn Walk) -> Result<BTreeMap<BodyId, Kept>, ReadError> {
    let index = on.index();
    let (mut answers, mut failed) = (BTreeMap::new(), None);
    on.each_sealed(&mut |id, keys, whose| {
        if let (Whose::Answer(key), [_]) = (whose, keys) {
            match erased(index.as_ref(), &Pseudonym::from_bytes(key.0)) {
                Ok(None) => drop(answers.insert(id.clone(), Kept::new(key, Some(id)))),
                Ok(Some(_)) => {}
                Err(error) => failed = Some(error),
            }
        }
    })?;
    failed.map_or(Ok(answers), Err)
}

/// The runs on which the present state and open deviations rest.
fn resting(on: &dyn Walk) -> Result<BTreeMap<u64, Rest>, ReadError> {
    let mut entries: Vec<(u64, Rest)> = Vec::new();
    for stream in streams(on)? {
        let runs = stream.last_run.iter().chain(&stream.last_collected).map(|run| run.entry);
        let observed = stream.observed.iter().flat_map(|observed| [observed.run, observed.rows_in]);
        entries.extend(runs.chain(observed).map(|entry| (entry, Rest::Present)));
    }
    for (_, bytes) in on.index().scan(key::DEVIATIONS, None, usize::MAX)? {
        let row: DeviationRow = fold::read(&bytes)?;
        if row.state.open {
            let said = [row.opened_in, row.state.observation.entry].into_iter().chain(row.was.map(|was| was.entry));
            entries.extend(said.map(|entry| (entry, Rest::OpenDeviation)));
        }
    }
    let mut runs: BTreeMap<u64, Rest> = BTreeMap::new();
    for (entry, rest) in entries {
        // What was observed rests on the run that it judges.
        let run = match on.entry(entry)?.map(|entry| entry.fact) {
            Some(Fact::Observation(observations)) => observations.run,
            _ => entry,
        };
        let known = runs.entry(run).or_insert(rest);
        *known = rest.max(*known);
    }
    Ok(runs)
}

/// What a line of the list of exchanges says of bodies.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    request_body: Option<BodyId>,
    #[serde(default)]
    body: Vec<BodyId>,
}

/// The answers that a run names.
pub(super) fn referred_by(on: &dyn Read, entry: u64, run: &Run) -> Result<Vec<BodyId>, ReadError> {
    let mut referred: Vec<BodyId> = run.changes.iter().cloned().collect();
    if let Some(list) = &run.exchanges {
        let unread = || ReadError::Malformed(format!("the exchanges of #{entry} cannot be read"));
        let list = on.body(list)?.ok_or_else(unread)?;
        for line in list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(|_| unread())?;
            referred.extend(line.request_body);
            referred.extend(line.body);
        }
    }
    Ok(referred)
}

/// The legal hold of somebody of whom an answer speaks.
fn held_in(on: &dyn Walk, id: &BodyId, held: &[(u64, Word)]) -> Result<Option<Rest>, ReadError> {
    if held.is_empty() {
        return Ok(None);
    }
    let body = on.body(id)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    Ok(held.iter().find(|(_, word)| word.stands_in(&text)).map(|(hold, _)| Rest::Held(*hold)))
}
