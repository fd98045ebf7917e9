//! From a run and from observations to entries: rows become bodies, bodies become manifests, manifests are named by
//! entries.
//!
//! Everything here is deterministic but for the salts: the same run gives the same lines in the same order.

use domain::entry::{self, CheckLine, DeviationDetail, Fact, Intent, Observations, PopulationManifest};
use domain::{
    BodyId, CheckId, CollectionRun, Exchange, Gap, Observation, Population, Pseudonym, ResourceKey, RowAddress,
    SourceId, StreamId,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::read::ObservationLine;
use crate::subjects::{ASKED_FOR, Owner};
use crate::writer::{Receipt, Store, StoreError};

/// Where the observations of one judgement are recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct Rows {
    entry: u64,
    lines: Vec<ObservationLine>,
}

impl Rows {
    /// The row of a check's observation of a resource; `None` when it made none.
    pub fn address(&self, check: &CheckId, resource: &Pseudonym) -> Option<RowAddress> {
        let row = self.lines.binary_search_by(|line| (&line.check, &line.resource).cmp(&(check, resource))).ok()?;
        Some(RowAddress { entry: self.entry, row: Some(u32::try_from(row).ok()?) })
    }
}

impl Store {
    /// Records that a run is about to begin. A slot has one intent only.
    pub fn record_intent(&self, intent: Intent) -> Result<Receipt, StoreError> {
        self.record_one(Fact::Intent(intent))
    }

    /// Records slots that nobody ran. A slot has one outcome only.
    pub fn record_missed(&self, missed: entry::Missed) -> Result<Receipt, StoreError> {
        self.record_one(Fact::Missed(missed))
    }

    /// Records a run: its resources row by row, its exchanges, then the entry that names them. What it found is
    /// durable when this returns, and nothing of it can be judged before.
    pub fn record_run(&self, intent: u64, run: &CollectionRun) -> Result<Receipt, StoreError> {
        let mut populations = Vec::with_capacity(run.populations.len());
        for population in &run.populations {
            populations.push(PopulationManifest {
                kind: population.kind.clone(),
                count: population.len() as u64,
                complete: population.complete,
                manifest: self.put_population(population)?,
                reconciled: population.reconciled.clone(),
            });
        }
        populations.sort_by(|a, b| a.kind.cmp(&b.kind));
        let mut exchanges = String::new();
        // The list is the ledger's own and outlives whoever is erased: ids in addresses stand as pseudonyms, also where
        // one is asked for before it is known whose it is.
        for id in run.exchanges.iter().filter_map(|exchange| id_asked_for(&exchange.call, &exchange.url)) {
            if !self.subjects().knows_id(id) {
                self.pseudonym_for(&key_of(&run.source(), ASKED_FOR, id))?;
            }
        }
        let urls = self.subjects().veiled(run.exchanges.iter().map(|exchange| exchange.url.as_str()));
        let nexts =
            self.subjects().veiled(run.exchanges.iter().map(|exchange| exchange.next.as_deref().unwrap_or_default()));
        for ((exchange, url), next) in run.exchanges.iter().zip(urls).zip(nexts) {
            let next = exchange.next.as_ref().map(|_| next);
            exchanges.push_str(&canonical(&Exchange { url, next, ..exchange.clone() })?);
            exchanges.push('\n');
        }
        let caller = run.caller.as_ref().map(|caller| self.pseudonym_for(&key_of(&run.source(), CALLER, caller)));
        let changes = match &run.changes {
            Ok(changes) if changes.is_empty() => None,
            changes => Some(self.put_answer(canonical(changes)?.as_bytes())?),
        };
        let (gaps, more_gaps) = telling_gaps(&run.gaps);
        let entry = entry::Run {
            stream: run.stream.clone(),
            intent,
            prev: self.last_run(&run.stream)?,
            trigger: run.trigger,
            collector_version: run.collector_version,
            started: run.started,
            ended: run.ended,
            outcome: run.outcome,
            caller: caller.transpose()?,
            calls: u32::try_from(run.exchanges.len()).unwrap_or(u32::MAX),
            exchanges: self.put_text(&exchanges)?,
            populations,
            changes,
            gaps,
            more_gaps,
        };
        self.record_one(Fact::Run(entry))
    }

    /// Keeps an observation, and gives the row of it that [`Store::record_judgement`] is to record.
    pub fn put_observation(&self, observation: &Observation) -> Result<ObservationLine, StoreError> {
        Ok(ObservationLine {
            check: observation.check.clone(),
            resource: self.pseudonym_for(&observation.resource)?,
            value: observation.value,
            body: self.put_row(&observation.resource, observation)?,
        })
    }

    /// Records what the checks say of a run, and with it, all or none, what follows from that: `follows` is told where
    /// each observation is recorded. A run is judged once; a second judgement records nothing.
    ///
    /// `checks` are the counts, with a line for each check that speaks of no resource too, and `lines` one row for each
    /// observation behind them.
    pub fn record_judgement(
        &self,
        run: u64,
        stream: &StreamId,
        mut checks: Vec<CheckLine>,
        mut lines: Vec<ObservationLine>,
        follows: impl FnOnce(&Rows) -> Vec<Fact> + Send + 'static,
    ) -> Result<Vec<Receipt>, StoreError> {
        lines.sort_unstable_by(|a, b| (&a.check, &a.resource).cmp(&(&b.check, &b.resource)));
        let mut text = String::new();
        for line in &lines {
            line.write_to(&mut text);
        }
        let manifest = self.put_text(&text)?;
        drop(text);
        checks.sort_by(|a, b| a.check.cmp(&b.check));
        let before = self.stream_row(stream)?.observed;
        let prev = before.as_ref().map(|before| before.rows_in);
        let same_as = before.filter(|before| before.checks == checks && before.manifest == manifest).map(|b| b.rows_in);
        let (stream, rows) = (stream.clone(), lines.len() as u64);
        let whole = Observations { stream, run, prev, same_as, checks, rows, manifest, unkept: None };
        let fact = match same_as {
            Some(_) => Observations { prev: None, checks: Vec::new(), rows: 0, manifest: None, ..whole },
            None => whole,
        };
        self.record_together(move |number| {
            let follows = follows(&Rows { entry: same_as.unwrap_or(number), lines });
            std::iter::once(Fact::Observation(fact)).chain(follows).collect()
        })
    }

    /// Records that what the checks say of a run cannot be kept, and why; with it, all or none, what follows from that.
    /// `checks` are their lines without a count. However much there was to say, this is short.
    pub fn record_unkept_judgement(
        &self,
        run: u64,
        stream: &StreamId,
        mut checks: Vec<CheckLine>,
        why: String,
        follows: Vec<Fact>,
    ) -> Result<Vec<Receipt>, StoreError> {
        checks.sort_by(|a, b| a.check.cmp(&b.check));
        let prev = self.stream_row(stream)?.observed.map(|before| before.rows_in);
        let (stream, unkept) = (stream.clone(), Some(why));
        let fact = Observations { stream, run, prev, same_as: None, checks, rows: 0, manifest: None, unkept };
        self.record([vec![Fact::Observation(fact)], follows].concat())
    }

    /// Keeps a value that belongs to nobody, as canonical JSON.
    pub fn put_json<T: Serialize>(&self, value: &T) -> Result<BodyId, StoreError> {
        self.put_body(canonical(value)?.as_bytes())
    }

    /// Keeps what stands behind a step in the life of a deviation. It speaks of the resource, and of whoever changed it.
    pub fn put_detail(&self, detail: &DeviationDetail) -> Result<BodyId, StoreError> {
        let owner = match &detail.actor {
            Ok(actor) => Owner::With(&detail.resource, &actor.id),
            Err(_) => Owner::Resource(&detail.resource),
        };
        self.put_body_of(owner, canonical(detail)?.as_bytes(), false)
    }

    /// Keeps the body of a row, so that any field of it can be hidden when the row is shown.
    fn put_row<T: Serialize>(&self, of: &ResourceKey, value: &T) -> Result<BodyId, StoreError> {
        self.put_body_of(Owner::Resource(of), row_text(value)?.as_bytes(), true)
    }

    /// Keeps the resources of a population one by one, and their manifest: a row of fixed size for each.
    fn put_population(&self, population: &Population) -> Result<Option<BodyId>, StoreError> {
        let mut rows = Vec::with_capacity(population.len());
        for resource in population.resources() {
            rows.push((self.pseudonym_for(&resource.key)?, self.put_row(&resource.key, &resource)?));
        }
        rows.sort_unstable();
        let mut text = String::new();
        for (pseudonym, body) in &rows {
            text.push_str(&format!("{pseudonym} {body}\n"));
        }
        self.put_text(&text)
    }

    /// Keeps a text; an empty one needs no keeping.
    fn put_text(&self, text: &str) -> Result<Option<BodyId>, StoreError> {
        if text.is_empty() { Ok(None) } else { self.put_body(text.as_bytes()).map(Some) }
    }
}

/// JSON in the order of RFC 8785, so that equal values give equal bytes.
pub fn canonical<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json_canonicalizer::to_string(value).map_err(|e| StoreError::Unwritable(e.to_string()))
}

/// The body of a row: JSON as [`canonical`] has it, but each member on a line of its own, and each of `fields` too.
///
/// Lines are what a body is committed to by, so a package can show a row and hide some of its fields.
pub fn row_text<T: Serialize>(value: &T) -> Result<String, StoreError> {
    let unwritable = |e: serde_json::Error| StoreError::Unwritable(e.to_string());
    let value = serde_json::to_value(value).map_err(unwritable)?;
    let Value::Object(members) = &value else { return canonical(&value) };
    let mut text = String::from("{\n");
    for (place, (name, member)) in sorted(members).into_iter().enumerate() {
        if place > 0 {
            text.push_str(",\n");
        }
        write_text(&mut text, name)?;
        text.push(':');
        match member {
            Value::Object(fields) if *name == "fields" && !fields.is_empty() => {
                text.push_str("{\n");
                for (place, (field, value)) in sorted(fields).into_iter().enumerate() {
                    if place > 0 {
                        text.push_str(",\n");
                    }
                    write_text(&mut text, field)?;
                    text.push(':');
                    write_value(&mut text, value)?;
                }
                text.push_str("\n}");
            }
            member => write_value(&mut text, member)?,
        }
    }
    text.push_str(if members.is_empty() { "}" } else { "\n}" });
    Ok(text)
}

fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

/// Appends [`canonical`] of a value. Of most there is one form only, and asking for another order of nothing takes time.
fn write_value(text: &mut String, value: &Value) -> Result<(), StoreError> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::String(value) => write_text(text, value)?,
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(text, item)?;
            }
            text.push(']');
        }
        Value::Number(number) => match number.as_i64().filter(|number| number.unsigned_abs() <= GREATEST_EXACT) {
            Some(number) => text.push_str(&number.to_string()),
            None => text.push_str(&canonical(number)?),
        },
        Value::Object(_) => text.push_str(&canonical(value)?),
    }
    Ok(())
}

/// Whole numbers up to this have one form in RFC 8785; beyond it they are written as the floating point numbers they are
/// there (<https://www.rfc-editor.org/rfc/rfc8785#section-3.2.2.3>).
const GREATEST_EXACT: u64 = (1 << 53) - 1;

/// Appends [`canonical`] of a text: RFC 8785 escapes what serde_json does, and in the same way.
fn write_text(text: &mut String, value: &str) -> Result<(), StoreError> {
    if value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        text.extend(["\"", value, "\""]);
    } else {
        text.push_str(&serde_json::to_string(value).map_err(|e| StoreError::Unwritable(e.to_string()))?);
    }
    Ok(())
}

/// How the type of who we are at a source ends: that is somebody's name too.
const CALLER: &str = ".caller";

/// The key of something that is no resource of any population.
fn key_of(source: &SourceId, ending: &str, id: &str) -> ResourceKey {
    let kind = format!("{}{ending}", source.kind());
    let kind = kind.parse().unwrap_or_else(|_| unreachable!("a source's kind is a word"));
    ResourceKey { kind, id: id.to_owned() }
}

/// What stands in the place of `{id}` in the address of a declared call. The two are laid over each other from their
/// ends, since addresses begin with the source's own.
fn id_asked_for<'a>(call: &str, url: &'a str) -> Option<&'a str> {
    let path = url.split(['?', '#']).next()?;
    let mut parts = call.rsplit('/').zip(path.rsplit('/'));
    parts.find(|(declared, _)| *declared == "{id}").map(|(_, id)| id)
}

/// The gaps that stand in the entry itself, whole populations first, and how many more there are.
fn telling_gaps(gaps: &[Gap]) -> (Vec<Gap>, u64) {
    let mut sorted: Vec<Gap> = gaps.to_vec();
    sorted.sort_by_key(|gap| (gap.types.is_empty(), gap.reason, gap.call.clone()));
    let more = sorted.len().saturating_sub(entry::Run::GAPS);
    sorted.truncate(entry::Run::GAPS);
    (sorted, more as u64)
}
