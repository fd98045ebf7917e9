//! One entry or one row, opened: the fact, the names behind its pseudonyms, the values, the calls, the proof.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use domain::entry::Fact;
use domain::{BodyId, Exchange, Observation, Pseudonym, Resource, RowAddress, StreamId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::read::{ObservationLine, observation_lines, population_lines};
use store::{ReadError, read};

use crate::Query;

/// One entry, opened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EntryView {
    /// Its number.
    pub entry: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Its kind.
    pub kind: String,
    /// The fact as it stands in the ledger.
    pub fact: Value,
    /// How many rows it has.
    pub rows: u64,
    /// What stands in its body, for a deviation, an export, an erasure, a hold or its release.
    pub detail: Option<Value>,
    /// The first exchanges of a run, at most [`EXCHANGES`]; all of them are rows of their own.
    pub exchanges: Vec<ExchangeView>,
    /// The proof that it is in the ledger, as a C2SP tlog-proof.
    pub proof: Option<String>,
}

/// Exchanges that stand in the view of a run itself.
pub const EXCHANGES: usize = 100;

/// One exchange, with its body as text where it is text.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExchangeView {
    /// As recorded.
    #[serde(flatten)]
    pub exchange: Exchange,
}

/// One row, opened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RowView {
    /// Its address.
    pub address: RowAddress,
    /// When its entry was recorded.
    pub at: Timestamp,
    /// The stream, where the row belongs to one.
    pub stream: Option<StreamId>,
    /// The run that read it, where there is one: its first rows are the exchanges.
    pub run: Option<u64>,
    /// The line of the manifest.
    pub line: String,
    /// The observation, when the row is one.
    pub observation: Option<Observation>,
    /// The resource as it was read: the row itself, or what the observation speaks of.
    pub resource: Option<Value>,
    /// The exchange, when the row is one: rows of a run count its exchanges first, then its resources.
    pub exchange: Option<ExchangeView>,
    /// The exchange's body as received, secrets redacted, when it is text.
    pub body: Option<String>,
    /// The body was erased; its commitment still stands in the manifest.
    pub erased: bool,
}

impl Query<'_> {
    /// An entry, opened; `None` beyond the last one.
    pub fn entry_view(&self, number: u64) -> Result<Option<EntryView>, ReadError> {
        let Some(bytes) = self.read.entry_bytes(number)? else { return Ok(None) };
        let entry = read::parse_entry(number, &bytes)?;
        let fact = serde_json::from_slice(&bytes).map_err(|e| ReadError::Malformed(e.to_string()))?;
        let (rows, exchanges) = match &entry.fact {
            Fact::Observation(observations) => (self.rows_in(observations.same_as.unwrap_or(number))?, Vec::new()),
            Fact::Run(run) => {
                let resources: u64 = run.populations.iter().map(|p| p.count).sum();
                (u64::from(run.calls) + resources, self.first_exchanges(run.exchanges.as_ref(), EXCHANGES)?)
            }
            _ => (0, Vec::new()),
        };
        let detail = match &entry.fact {
            Fact::Deviation(deviation) => self.json_body(&deviation.detail)?,
            Fact::Export(export) => self.json_body(&export.detail)?,
            Fact::Hold(hold) => self.json_body(&hold.detail)?,
            Fact::Release(release) => self.json_body(&release.detail)?,
            Fact::Erase(erase) => erase.detail.as_ref().map(|body| self.json_body(body)).transpose()?.flatten(),
            Fact::Run(run) => run.changes.as_ref().map(|body| self.json_body(body)).transpose()?.flatten(),
            _ => None,
        };
        let exchanges = exchanges.into_iter().map(|exchange| ExchangeView { exchange }).collect();
        let (at, kind) = (entry.at, entry.fact.kind().to_owned());
        Ok(Some(EntryView { entry: number, at, kind, fact, rows, detail, exchanges, proof: self.read.proof(number)? }))
    }

    /// A row, opened; `None` when there is no such row.
    pub fn row_view(&self, address: RowAddress) -> Result<Option<RowView>, ReadError> {
        self.row_in(address, &Manifests::default())
    }

    /// Some rows of an entry, opened: those from `from` on and before `to`, as far as there are any.
    pub fn rows_view(&self, entry: u64, from: u32, to: u32) -> Result<Vec<RowView>, ReadError> {
        let manifests = Manifests::default();
        let mut rows = Vec::new();
        for row in from..to {
            let Some(view) = self.row_in(RowAddress { entry, row: Some(row) }, &manifests)? else { break };
            rows.push(view);
        }
        Ok(rows)
    }

    fn row_in(&self, address: RowAddress, manifests: &Manifests) -> Result<Option<RowView>, ReadError> {
        let (Some(row), Some(entry)) = (address.row, self.read.entry(address.entry)?) else { return Ok(None) };
        let blank = RowView {
            address,
            at: entry.at,
            stream: None,
            run: None,
            line: String::new(),
            observation: None,
            resource: None,
            exchange: None,
            body: None,
            erased: false,
        };
        match entry.fact {
            Fact::Observation(observations) => {
                let (stream, run) = (Some(observations.stream.clone()), Some(observations.run));
                let blank = RowView { stream, run, ..blank };
                let rows_in = observations.same_as.unwrap_or(address.entry);
                self.observation_row(rows_in, row, observations.run, blank, manifests)
            }
            Fact::Run(run) => {
                let blank = RowView { stream: Some(run.stream.clone()), run: Some(address.entry), ..blank };
                self.run_row(&run, row, blank, manifests)
            }
            _ => Ok(None),
        }
    }

    fn observation_row(
        &self,
        rows_in: u64,
        row: u32,
        run: u64,
        blank: RowView,
        manifests: &Manifests,
    ) -> Result<Option<RowView>, ReadError> {
        let Some(manifest) = self.observation_manifest(rows_in)? else { return Ok(None) };
        let lines = manifests.observations.get(&manifest, || self.parsed(&manifest, observation_lines))?;
        let Some(line) = lines.get(row as usize) else { return Ok(None) };
        let observation: Option<Observation> = self.parsed_body(&line.body)?;
        let resource = match (&observation, self.read.entry(run)?.map(|entry| entry.fact)) {
            (Some(observation), Some(Fact::Run(run))) => self.resource_in(&run, &observation.resource, manifests)?,
            _ => None,
        };
        let erased = observation.is_none();
        Ok(Some(RowView { line: line.write(), observation, resource, erased, ..blank }))
    }

    fn run_row(
        &self,
        run: &domain::entry::Run,
        row: u32,
        blank: RowView,
        manifests: &Manifests,
    ) -> Result<Option<RowView>, ReadError> {
        let exchanges = match &run.exchanges {
            Some(list) => manifests.exchanges.get(list, || self.exchanges(Some(list)))?,
            None => Rc::default(),
        };
        let mut left = row as usize;
        if let Some(exchange) = exchanges.get(left) {
            let exchange = exchange.clone();
            let segments = exchange.body.iter().map(|segment| self.read.body(segment));
            // An answer of which a part was erased is not shown as if that were all.
            let whole = segments.collect::<Result<Option<Vec<_>>, _>>()?.map(|segments| segments.concat());
            let erased = whole.is_none();
            let body = whole.filter(|text| !text.is_empty()).map(|text| String::from_utf8_lossy(&text).into_owned());
            let line = format!("{} {}", exchange.call, exchange.answer());
            return Ok(Some(RowView { line, exchange: Some(ExchangeView { exchange }), body, erased, ..blank }));
        }
        left -= exchanges.len();
        for population in &run.populations {
            let Some(manifest) = &population.manifest else { continue };
            if left as u64 >= population.count {
                left -= population.count as usize;
                continue;
            }
            let lines = manifests.populations.get(manifest, || self.parsed(manifest, population_lines))?;
            let Some((pseudonym, body)) = lines.get(left) else { return Ok(None) };
            let resource = self.json_body(body)?;
            let erased = resource.is_none();
            return Ok(Some(RowView { line: format!("{pseudonym} {body}"), resource, erased, ..blank }));
        }
        Ok(None)
    }

    /// The exchanges of a run, in order.
    pub fn exchanges(&self, list: Option<&BodyId>) -> Result<Vec<Exchange>, ReadError> {
        self.first_exchanges(list, usize::MAX)
    }

    fn first_exchanges(&self, list: Option<&BodyId>, most: usize) -> Result<Vec<Exchange>, ReadError> {
        let Some(bytes) = list.map(|list| self.read.body(list)).transpose()?.flatten() else { return Ok(Vec::new()) };
        read::exchange_lines(self.read, &bytes).take(most).collect()
    }

    fn resource_in(
        &self,
        run: &domain::entry::Run,
        key: &domain::ResourceKey,
        manifests: &Manifests,
    ) -> Result<Option<Value>, ReadError> {
        let population = run.populations.iter().find(|population| population.kind == key.kind);
        let (Some(manifest), Some(pseudonym)) =
            (population.and_then(|population| population.manifest.as_ref()), self.read.pseudonym(key))
        else {
            return Ok(None);
        };
        let lines = manifests.populations.get(manifest, || self.parsed(manifest, population_lines))?;
        let found = lines.binary_search_by(|(known, _)| known.cmp(&pseudonym)).ok().and_then(|at| lines.get(at));
        found.map(|(_, body)| self.json_body(body)).transpose().map(Option::flatten)
    }

    fn observation_manifest(&self, entry: u64) -> Result<Option<BodyId>, ReadError> {
        Ok(match self.read.entry(entry)?.map(|entry| entry.fact) {
            Some(Fact::Observation(observations)) => observations.manifest,
            _ => None,
        })
    }

    /// A manifest as its lines; one that was erased has none.
    fn parsed<T: Default>(&self, id: &BodyId, parse: fn(&[u8]) -> Result<T, ReadError>) -> Result<T, ReadError> {
        self.read.body(id)?.map(|bytes| parse(&bytes)).transpose().map(Option::unwrap_or_default)
    }

    fn rows_in(&self, entry: u64) -> Result<u64, ReadError> {
        Ok(match self.read.entry(entry)?.map(|entry| entry.fact) {
            Some(Fact::Observation(observations)) => observations.rows,
            _ => 0,
        })
    }

    fn json_body(&self, body: &BodyId) -> Result<Option<Value>, ReadError> {
        self.parsed_body(body)
    }

    fn parsed_body<T: serde::de::DeserializeOwned>(&self, body: &BodyId) -> Result<Option<T>, ReadError> {
        let Some(bytes) = self.read.body(body)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| ReadError::Malformed(format!("body {body} does not read: {e}")))
    }

    /// The resources of one population of a run, in the order of its manifest, each read when it is its turn; those
    /// erased are left out.
    pub fn population(
        &self,
        run: &domain::entry::Run,
        kind: &domain::ResourceType,
    ) -> Result<impl Iterator<Item = Result<Resource, ReadError>>, ReadError> {
        let population = run.populations.iter().find(|population| population.kind == *kind);
        let manifest = population.and_then(|population| population.manifest.as_ref());
        let lines = manifest.map(|manifest| self.parsed(manifest, population_lines)).transpose()?.unwrap_or_default();
        Ok(lines.into_iter().filter_map(|(_, body)| self.parsed_body::<Resource>(&body).transpose()))
    }
}

/// The lists that rows of one entry stand in, each read once however many of its rows are opened.
#[derive(Default)]
struct Manifests {
    exchanges: Once<Vec<Exchange>>,
    populations: Once<Vec<(Pseudonym, BodyId)>>,
    observations: Once<Vec<ObservationLine>>,
}

struct Once<T>(RefCell<BTreeMap<BodyId, Rc<T>>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Once(RefCell::default())
    }
}

impl<T> Once<T> {
    fn get(&self, id: &BodyId, read: impl FnOnce() -> Result<T, ReadError>) -> Result<Rc<T>, ReadError> {
        if let Some(known) = self.0.borrow().get(id) {
            return Ok(known.clone());
        }
        let fresh = Rc::new(read()?);
        self.0.borrow_mut().insert(id.clone(), fresh.clone());
        Ok(fresh)
    }
}
