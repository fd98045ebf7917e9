//! Where a collector puts what it found and what it could not read; the run is drawn up from that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{
    Added, ChangeEvent, CollectionRun, Exchange, Field, Gap, GapReason, Outcome, Population, Reconciliation, Resource,
    ResourceKey, ResourceType, StreamId, Timestamp, Trigger, UnknownActor,
};
use serde_json::Value;

use crate::view::Mark;
use crate::{CollectorSpec, Recorder, Unread};

/// A resource as a collector found it, each declared field read or unread.
#[derive(Clone, Debug)]
pub struct Found {
    kind: &'static str,
    id: String,
    name: String,
    /// Few, in the order of setting: lighter than a map, and there are hundreds of thousands of these.
    fields: Vec<(&'static str, Result<Value, Box<Unread>>)>,
    exchanges: Vec<u32>,
}

impl Found {
    /// A resource of a declared type, with the source's immutable id and the name people know it by.
    pub fn new(kind: &'static str, id: impl Into<String>, name: impl Into<String>) -> Self {
        Found { kind, id: id.into(), name: name.into(), fields: Vec::new(), exchanges: Vec::new() }
    }

    /// The source's id of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes an exchange it was read from.
    pub fn from(&mut self, mark: Mark) -> &mut Self {
        if let Err(place) = self.exchanges.binary_search(&mark.seq) {
            self.exchanges.insert(place, mark.seq);
        }
        self
    }

    /// Sets a field: what the source gave, or why it could not be read.
    pub fn set(&mut self, field: &'static str, value: Result<impl Into<Value>, Unread>) -> &mut Self {
        let value = value.map(Into::into).map_err(Box::new);
        match self.fields.iter_mut().find(|(name, _)| *name == field) {
            Some((_, earlier)) => *earlier = value,
            None => self.fields.push((field, value)),
        }
        self
    }

    /// Sets a field that was read.
    pub fn read(&mut self, field: &'static str, value: impl Into<Value>) -> &mut Self {
        self.set(field, Ok(value))
    }
}

/// Gathers one run. It never fails; whatever goes wrong becomes a gap.
pub struct RunBuilder {
    stream: StreamId,
    spec: &'static CollectorSpec,
    trigger: Trigger,
    started: Timestamp,
    recorder: Arc<Recorder>,
    caller: Option<String>,
    populations: BTreeMap<ResourceType, Draft>,
    gaps: BTreeMap<GapKey, GapParts>,
    changes: Result<Vec<ChangeEvent>, UnknownActor>,
}

/// A population in the making.
struct Draft {
    /// The collector says that it read the list to its end.
    read_to_end: bool,
    /// The second count and where it came from.
    count: Option<(Mark, u64)>,
    found: Population,
}

impl Draft {
    fn new(kind: ResourceType) -> Self {
        Draft { read_to_end: false, count: None, found: Population::new(kind) }
    }

    /// The population as it stands at the end of the run; `untouched` is whether no gap touches it.
    fn end(mut self, untouched: bool) -> Population {
        let listed = self.found.len() as u64;
        self.found.complete = self.read_to_end && untouched;
        self.found.reconciled = self.count.map(|(mark, count)| {
            let call = mark.call.name.to_owned();
            Reconciliation { call, count, agrees: count == listed }
        });
        self.found
    }
}

/// What makes two gaps one: reason, call, permission, detail.
type GapKey = (GapReason, String, Option<String>, String);

/// What a gap leaves unread.
#[derive(Default)]
struct GapParts {
    types: BTreeSet<ResourceType>,
    fields: BTreeSet<String>,
    resources: BTreeSet<ResourceKey>,
    exchange: Option<u32>,
}

impl RunBuilder {
    pub(crate) fn new(
        stream: StreamId,
        spec: &'static CollectorSpec,
        trigger: Trigger,
        started: Timestamp,
        recorder: Arc<Recorder>,
    ) -> Self {
        let kinds = spec.yields.iter().filter_map(|t| t.kind.parse::<ResourceType>().ok());
        let reason = "this collector does not ask who changed what".to_owned();
        RunBuilder {
            stream,
            spec,
            trigger,
            started,
            recorder,
            caller: None,
            populations: kinds.map(|kind| (kind.clone(), Draft::new(kind))).collect(),
            gaps: BTreeMap::new(),
            changes: Err(UnknownActor { reason }),
        }
    }

    /// The client to ask through. It may be held beside the builder, and shared by calls under way at once.
    pub fn recorder(&self) -> Arc<Recorder> {
        Arc::clone(&self.recorder)
    }

    /// Adds a resource. Found twice with the same fields, it is one; with other fields, its population is in doubt.
    pub fn found(&mut self, mut found: Found) {
        found.fields.sort_unstable_by_key(|(name, _)| *name);
        let declared_kind = self.populations.keys().find(|kind| kind.as_str() == found.kind).cloned();
        let Some(kind) = declared_kind.or_else(|| found.kind.parse().ok()) else { return };
        let key = ResourceKey { kind: kind.clone(), id: found.id };
        let declared = self.spec.type_spec(found.kind).map_or(&[][..], |t| t.fields);
        let mut fields = BTreeMap::new();
        for (name, value) in found.fields {
            let field = match value {
                Ok(value) => Field::Read(value),
                // Whoever set this source up decided so; nothing went wrong, and the field is unread all the same.
                Err(unread) if unread.reason == GapReason::NotAsked => Field::Unread(unread.reason, unread.detail),
                Err(unread) => {
                    let parts = self.gap(&unread);
                    parts.fields.insert(format!("{kind}.{name}"));
                    parts.resources.insert(key.clone());
                    Field::Unread(unread.reason, unread.detail)
                }
            };
            fields.insert(name.to_owned(), field);
        }
        for name in declared {
            if !fields.contains_key(*name) {
                let unread = self.own_fault("the collector did not say what it read");
                let parts = self.gap(&unread);
                parts.fields.insert(format!("{kind}.{name}"));
                parts.resources.insert(key.clone());
                fields.insert((*name).to_owned(), Field::Unread(unread.reason, unread.detail));
            }
        }
        let shown_by = found.exchanges.first().copied();
        let resource = Resource { key, name: found.name, fields, exchanges: found.exchanges };
        let most = self.recorder.limits().resources;
        let draft = self.populations.entry(kind.clone()).or_insert_with(|| Draft::new(kind.clone()));
        let unread = if draft.found.len() >= most && !draft.found.holds(&resource.key.id) {
            let detail = format!("more than {most} resources of one type");
            Unread { reason: GapReason::OverLimit, ..self.own_fault(&detail) }
        } else if draft.found.add(resource) == Added::Differs {
            Unread { exchange: shown_by, ..self.own_fault("one id came twice, with different values") }
        } else {
            return;
        };
        self.gap(&unread).types.insert(kind);
    }

    /// Notes that whole populations could not be read to their end. With no types it notes a call that failed and that
    /// no population rests on.
    pub fn missing(&mut self, unread: &Unread, kinds: &[&str]) {
        let kinds: Vec<ResourceType> = kinds.iter().filter_map(|kind| kind.parse().ok()).collect();
        self.gap(unread).types.extend(kinds);
    }

    /// Says that the list of a type was read to its end. It counts only if no gap touches the type.
    pub fn complete(&mut self, kind: &str) {
        if let Some(draft) = kind.parse().ok().and_then(|kind: ResourceType| self.populations.get_mut(&kind)) {
            draft.read_to_end = true;
        }
    }

    /// Gives the second, independent count of a population. When it disagrees the list is truncated.
    pub fn count(&mut self, kind: &str, mark: Mark, count: u64) {
        if let Some(draft) = kind.parse().ok().and_then(|kind: ResourceType| self.populations.get_mut(&kind)) {
            draft.count = Some((mark, count));
        }
    }

    /// Says who the source takes us for.
    pub fn caller(&mut self, caller: impl Into<String>) {
        self.caller = Some(caller.into());
    }

    /// Says who changed what lately, or why nobody can be named.
    pub fn changes(&mut self, changes: Result<Vec<ChangeEvent>, UnknownActor>) {
        self.changes = changes;
    }

    /// Ends every population that was not read to its end, for a reason outside the collector.
    pub(crate) fn stopped(&mut self, reason: GapReason, detail: &str) {
        let open: Vec<ResourceType> =
            self.populations.iter().filter(|(_, d)| !d.read_to_end).map(|(kind, _)| kind.clone()).collect();
        let unread = Unread { reason, detail: detail.to_owned(), ..self.own_fault("") };
        self.gap(&unread).types.extend(open);
    }

    /// Draws up the run.
    pub fn finish(mut self, now: Timestamp) -> CollectionRun {
        self.reconcile();
        let mut silent = Vec::new();
        for (kind, draft) in &self.populations {
            if !draft.read_to_end && !self.gaps.values().any(|gap| gap.types.contains(kind)) {
                silent.push(kind.clone());
            }
        }
        if !silent.is_empty() {
            let unread = self.own_fault("the collector did not say that it read everything");
            self.gap(&unread).types.extend(silent);
        }
        let touched: BTreeSet<ResourceType> = self.gaps.values().flat_map(|gap| gap.types.iter().cloned()).collect();
        let drafts = self.populations.into_iter();
        let mut populations: Vec<Population> =
            drafts.map(|(kind, draft)| draft.end(!touched.contains(&kind))).collect();
        let gap = |((reason, call, permission, detail), parts): (GapKey, GapParts)| Gap {
            reason,
            call,
            permission,
            types: parts.types.into_iter().collect(),
            fields: parts.fields.into_iter().collect(),
            resources: parts.resources.len() as u64,
            detail,
            exchange: parts.exchange,
        };
        let mut gaps: Vec<Gap> = self.gaps.into_iter().map(gap).collect();
        let exchanges = in_place(self.recorder.take_exchanges(), self.spec, &mut populations, &mut gaps);
        CollectionRun {
            stream: self.stream,
            collector_version: self.spec.version,
            trigger: self.trigger,
            started: self.started,
            ended: now.max(self.started),
            caller: self.caller,
            exchanges,
            outcome: outcome(&populations, &gaps),
            populations,
            gaps,
            changes: self.changes,
        }
    }

    /// Turns second counts that disagree into gaps. Of a list that is known not to be whole they say nothing new.
    fn reconcile(&mut self) {
        let mut short = Vec::new();
        let touched: BTreeSet<ResourceType> = self.gaps.values().flat_map(|gap| gap.types.iter().cloned()).collect();
        for (kind, draft) in &self.populations {
            let listed = draft.found.len() as u64;
            let whole = draft.read_to_end && !touched.contains(kind);
            if let Some((mark, count)) = draft.count.filter(|(_, count)| *count != listed && whole) {
                let detail = format!("{listed} listed, {count} counted");
                short.push((kind.clone(), Unread { permission: None, ..mark.unread(GapReason::Truncated, detail) }));
            }
        }
        for (kind, unread) in short {
            self.gap(&unread).types.insert(kind);
        }
    }

    fn gap(&mut self, unread: &Unread) -> &mut GapParts {
        let key = (unread.reason, unread.call.to_owned(), unread.permission.clone(), unread.detail.clone());
        let parts = self.gaps.entry(key).or_default();
        parts.exchange = parts.exchange.or(unread.exchange);
        parts
    }

    /// Something that no single call is to blame for; it stands under the collector's first.
    fn own_fault(&self, detail: &str) -> Unread {
        Unread {
            reason: GapReason::Malformed,
            call: self.spec.calls.first().map_or("none", |call| call.name),
            permission: None,
            detail: detail.to_owned(),
            exchange: None,
            answer: None,
        }
    }
}

/// Puts exchanges in the order of the collector's list of calls and then of their addresses, and renumbers them wherever
/// they are named.
///
/// Calls under way at once are sent in another order each time. Were that their place, resources that did not change
/// would name other exchanges in every run, and be kept anew every time.
fn in_place(
    mut exchanges: Vec<Exchange>,
    spec: &CollectorSpec,
    populations: &mut [Population],
    gaps: &mut [Gap],
) -> Vec<Exchange> {
    let rank = |call: &str| spec.calls.iter().position(|declared| declared.name == call);
    exchanges.sort_by(|a, b| (rank(&a.call), &a.url, a.seq).cmp(&(rank(&b.call), &b.url, b.seq)));
    // They were numbered from 0 in the order of sending.
    let mut places = vec![0; exchanges.len()];
    for (place, exchange) in (0..).zip(&mut exchanges) {
        if let Some(entry) = places.get_mut(exchange.seq as usize) {
            *entry = place;
        }
        exchange.seq = place;
    }
    let place = |seq: u32| places.get(seq as usize).copied().unwrap_or(seq);
    for population in populations {
        population.renumber(place);
    }
    for seq in gaps.iter_mut().filter_map(|gap| gap.exchange.as_mut()) {
        *seq = place(*seq);
    }
    exchanges
}

/// How a run ended, as its populations and gaps say.
///
/// Nothing missing: collected. Nothing there, neither a resource nor a list read to its end: failed. Else partial.
pub fn outcome(populations: &[Population], gaps: &[Gap]) -> Outcome {
    let whole = populations.iter().all(|p| p.complete);
    let nothing = populations.iter().all(|p| !p.complete && p.is_empty());
    match () {
        () if whole && gaps.is_empty() => Outcome::Collected,
        () if nothing => Outcome::Failed,
        () => Outcome::Partial,
    }
}
