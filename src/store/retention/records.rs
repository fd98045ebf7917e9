//! Records of resources: when a run last found each, or a deviation spoke of it, and what rests on it.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::Fact;
use domain::{BodyId, Pseudonym, Timestamp};
use ledger::KeyId;

use super::{Kept, Rest, all_held, streams};
use crate::erased::erased;
use crate::fold;
use crate::holds::holds;
use crate::read::{ReadError, observation_lines, population_lines};
use crate::rows::{DeviationRow, RunRow, StreamRow, key};
use crate::subjects::Whose;
use crate::walk::Walk;

/// What refers to something: of which time, and what rests on it.
type Reference = (Timestamp, Option<Rest>);

/// Every record that can still be opened, and beside those that are due by `is_due` the keys of their ids that stood in
/// addresses before it was known whose they are.
pub(super) fn kept(on: &dyn Walk, is_due: &dyn Fn(&Kept) -> bool) -> Result<Vec<Kept>, ReadError> {
    let mut records = Records::default();
    let (mut manifests, mut details) = (BTreeMap::new(), BTreeMap::new());
    for stream in streams(on)? {
        populations(on, &stream, &mut manifests)?;
        if let Some(manifest) = stream.observed.as_ref().and_then(|observed| observed.manifest.as_ref()) {
            let at = stream.observed.as_ref().map(|observed| observed.at).unwrap_or_default();
            for line in observation_lines(&read(on, manifest)?)? {
                records.refer(&line.resource, (at, Some(Rest::Present)));
            }
        }
    }
    for (manifest, reference) in &manifests {
        for (resource, _) in population_lines(&read(on, manifest)?)? {
            records.found.insert(resource.clone());
            records.refer(&resource, *reference);
        }
    }
    deviations(on, &mut records, &mut details)?;
    bodies(on, &mut records, &details)?;
    let index = on.index();
    let holds = holds(index.as_ref())?;
    let all_held = all_held(on, &holds);
    let (mut kept, mut beside) = (Vec::new(), BTreeMap::new());
    for (pseudonym, mut record) in records.all {
        if erased(index.as_ref(), &pseudonym)?.is_none() {
            let held = holds.iter().find(|hold| hold.covers(&pseudonym)).map(|hold| Rest::Held(hold.entry));
            record.rest = record.rest.max(held).max(all_held);
            match records.found.contains(&pseudonym) {
                true => kept.push(record),
                false => drop(beside.insert(record.key, record)),
            }
        }
    }
    asked_for(on, &mut kept, beside, is_due);
    Ok(kept)
}

/// Everything that is sealed under a key with a name, by its pseudonym.
#[derive(Default)]
struct Records {
    all: BTreeMap<Pseudonym, Kept>,
    /// Those of resources. Others have a key because a call asked for them, or because they changed something.
    found: BTreeSet<Pseudonym>,
}

impl Records {
    fn entry(&mut self, resource: &Pseudonym) -> &mut Kept {
        let new = || Kept::new(KeyId(resource.to_bytes()), None);
        self.all.entry(resource.clone()).or_insert_with(new)
    }

    fn refer(&mut self, resource: &Pseudonym, (at, rest): Reference) {
        self.entry(resource).refer(at, rest);
    }
}

fn refer(to: &mut BTreeMap<BodyId, Reference>, id: &BodyId, (at, rest): Reference) {
    let known = to.entry(id.clone()).or_insert((at, rest));
    *known = (known.0.max(at), known.1.max(rest));
}

/// The manifests of all populations of a stream. Of each type the present state is the latest population, and all back to the
/// last complete one: what an incomplete one lacks was not seen to be gone.
fn populations(
    on: &dyn Walk,
    stream: &StreamRow,
    manifests: &mut BTreeMap<BodyId, Reference>,
) -> Result<(), ReadError> {
    let mut past = BTreeSet::new();
    for (_, bytes) in on.index().scan_back(&key::runs(&stream.stream), None, usize::MAX)? {
        let row: RunRow = fold::read(&bytes)?;
        let Some(Fact::Run(run)) = on.entry(row.entry)?.map(|entry| entry.fact) else {
            return Err(ReadError::Malformed(format!("#{} is no run", row.entry)));
        };
        for population in run.populations {
            let rest = (!past.contains(&population.kind)).then_some(Rest::Present);
            if let Some(manifest) = &population.manifest {
                refer(manifests, manifest, (run.ended, rest));
            }
            if population.complete {
                past.insert(population.kind);
            }
        }
    }
    Ok(())
}

/// Deviations of resources, and the bodies with their details, which speak of whoever changed them too.
fn deviations(
    on: &dyn Walk,
    records: &mut Records,
    details: &mut BTreeMap<BodyId, Reference>,
) -> Result<(), ReadError> {
    let mut openings: BTreeMap<u64, BodyId> = BTreeMap::new();
    for (change, _) in on.index().scan(key::CHANGES, None, usize::MAX)? {
        let Some(number) = change.last_chunk().map(|number| u64::from_be_bytes(*number)) else { continue };
        if let Some(entry) = on.entry(number)?
            && let Fact::Deviation(deviation) = entry.fact
        {
            records.refer(&deviation.resource, (entry.at, None));
            // What is said at its end speaks of the beginning too.
            if let Some(opened) = deviation.opened_by.and_then(|opened| openings.remove(&opened)) {
                refer(details, &opened, (entry.at, None));
            }
            refer(details, &deviation.detail, (entry.at, None));
            if deviation.change.opens() {
                openings.insert(number, deviation.detail);
            }
        }
    }
    for (_, bytes) in on.index().scan(key::DEVIATIONS, None, usize::MAX)? {
        let row: DeviationRow = fold::read(&bytes)?;
        if row.state.open {
            let reference = (row.at, Some(Rest::OpenDeviation));
            records.refer(&row.resource, reference);
            refer(details, &row.detail, reference);
            refer(details, &row.opened_detail, reference);
        }
    }
    Ok(())
}

/// A body that speaks of two goes with either, so what is referred to or held keeps both.
fn bodies(on: &dyn Walk, records: &mut Records, details: &BTreeMap<BodyId, Reference>) -> Result<(), ReadError> {
    let holds = holds(on.index().as_ref())?;
    on.each_sealed(&mut |id, keys, whose| {
        let both = keys.iter().map(|key| Pseudonym::from_bytes(key.0));
        let both: Vec<Pseudonym> = both.filter(|of| on.resource(of).is_some()).collect();
        // One of which this ledger says nothing else is kept as well, of unknown age.
        if let (Whose::Of(_), Some(of)) = (whose, both.first()) {
            records.found.insert(of.clone());
            records.entry(of);
        }
        if let Some(reference) = details.get(&id) {
            both.iter().for_each(|of| records.refer(of, *reference));
        }
        let by_name = |of: &Pseudonym| holds.iter().find(|hold| hold.of.contains(of));
        if let Some(hold) = both.iter().find_map(by_name) {
            for of in &both {
                let record = records.entry(of);
                record.rest = record.rest.max(Some(Rest::Held(hold.entry)));
            }
        }
    })
}

/// Adds the keys of ids that stood in addresses before it was known whose they are, where nothing that stays has that id.
fn asked_for(on: &dyn Walk, kept: &mut Vec<Kept>, mut beside: BTreeMap<KeyId, Kept>, is_due: &dyn Fn(&Kept) -> bool) {
    let id = |record: &Kept| on.resource(&Pseudonym::from_bytes(record.key.0)).map(|resource| resource.id);
    let mut going: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
    for record in kept.iter().filter(|record| is_due(record)) {
        if let Some(id) = id(record) {
            let known = going.entry(id).or_default();
            *known = record.last.max(*known);
        }
    }
    if going.is_empty() {
        return;
    }
    for stays in kept.iter().filter(|record| !is_due(record)) {
        if let Some(id) = id(stays) {
            going.remove(&id);
        }
    }
    for (id, last) in going {
        for key in on.asked_for(&id) {
            let known = beside.remove(&key).unwrap_or_else(|| Kept::new(key, None));
            kept.push(Kept { last: known.last.max(last), ..known });
        }
    }
}

/// A manifest; that it cannot be read is no sign that it names nobody.
fn read(on: &dyn Walk, manifest: &BodyId) -> Result<Vec<u8>, ReadError> {
    on.body(manifest)?.ok_or_else(|| ReadError::Malformed(format!("the manifest {manifest} cannot be read")))
}
