//! The store as what connectors join: the latest recorded populations, row by row.

use std::sync::Arc;

use domain::entry::{Fact, Run};
use domain::{BodyId, GapReason, Resource, ResourceType, SourceId, StreamId, Timestamp};
use kit::{Evidence, EvidenceError, Recorded};
use store::index::Index;
use store::read::population_lines;
use store::rows::{RunRow, StreamRow, key};
use store::{Read, ReadError, Store, fold};

/// What the store holds, for connectors that join it.
pub struct Joined(pub Arc<Store>);

/// Runs of a stream that are looked through for one that began early enough.
const LOOK_BACK: usize = 256;

impl Evidence for Joined {
    fn latest(
        &self,
        source: &SourceId,
        kind: &ResourceType,
        begun_by: Timestamp,
    ) -> Result<Option<Recorded>, EvidenceError> {
        latest(self.0.as_ref(), source, kind, begun_by).map_err(failed)
    }

    fn resources(&self, of: &Recorded, each: &mut dyn FnMut(Resource)) -> Result<u64, EvidenceError> {
        resources(self.0.as_ref(), of, each).map_err(failed)
    }
}

fn failed(error: ReadError) -> EvidenceError {
    EvidenceError(error.into())
}

fn latest(
    read: &dyn Read,
    source: &SourceId,
    kind: &ResourceType,
    begun_by: Timestamp,
) -> Result<Option<Recorded>, ReadError> {
    let index = read.index();
    let mut latest: Option<Recorded> = None;
    for (_, bytes) in index.scan(&key::streams_of(source), None, usize::MAX)? {
        let row: StreamRow = fold::read(&bytes)?;
        let found = latest_of(read, index.as_ref(), &row.stream, kind, begun_by)?;
        latest = latest.into_iter().chain(found).max_by_key(|recorded| recorded.run);
    }
    Ok(latest)
}

/// The same of one stream. One that does not read the type at all is known by its latest run.
fn latest_of(
    read: &dyn Read,
    index: &dyn Index,
    stream: &StreamId,
    kind: &ResourceType,
    begun_by: Timestamp,
) -> Result<Option<Recorded>, ReadError> {
    for (_, bytes) in index.scan_back(&key::runs(stream), None, LOOK_BACK)? {
        let row: RunRow = fold::read(&bytes)?;
        if row.interrupted || row.started > begun_by {
            continue;
        }
        let Some(Fact::Run(run)) = read.entry(row.entry)?.map(|entry| entry.fact) else { return Ok(None) };
        return Ok(recorded(run, row.entry, kind));
    }
    Ok(None)
}

fn recorded(run: Run, entry: u64, kind: &ResourceType) -> Option<Recorded> {
    let population = run.populations.iter().find(|population| population.kind == *kind)?;
    let gap = run.gaps.iter().find(|gap| gap.types.contains(kind)).or(run.gaps.first());
    let why = gap.map_or(GapReason::Truncated, |gap| gap.reason);
    Some(Recorded {
        count: population.count,
        incomplete: (!population.complete).then_some(why),
        manifest: population.manifest.clone(),
        stream: run.stream,
        run: entry,
        collector_version: run.collector_version,
        started: run.started,
        ended: run.ended,
        kind: kind.clone(),
    })
}

fn resources(read: &dyn Read, of: &Recorded, each: &mut dyn FnMut(Resource)) -> Result<u64, ReadError> {
    let Some(manifest) = of.manifest.as_ref().map(|id| read.body(id)).transpose()?.flatten() else { return Ok(0) };
    let mut count = 0;
    for (_, body) in population_lines(&manifest)? {
        if let Some(resource) = resource(read, &body)? {
            each(resource);
            count += 1;
        }
    }
    Ok(count)
}

/// A row's resource; `None` when it was erased.
fn resource(read: &dyn Read, body: &BodyId) -> Result<Option<Resource>, ReadError> {
    let Some(bytes) = read.body(body)? else { return Ok(None) };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|error| ReadError::Malformed(format!("body {body} does not read: {error}")))
}
