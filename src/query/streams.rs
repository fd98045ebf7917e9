//! Sources and how fresh they are, and what could not be seen.

use domain::entry::Fact;
use domain::{CheckCounts, CheckId, Duration, Gap, Outcome, Severity, Slot, StreamId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::rows::{RunRow, ScheduleRow, StreamRow, key};
use store::{ReadError, fold};

use crate::Query;

/// One stream: when it is due, how it went, what it could not read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StreamView {
    /// Source and collector.
    pub stream: StreamId,
    /// Who answers for the source.
    pub owner: String,
    /// The schedule in force; `None` when the stream is no longer in the settings.
    pub schedule: Option<ScheduleRow>,
    /// A run is under way since.
    pub running_since: Option<Timestamp>,
    /// The last slot that has an outcome.
    pub last_slot: Option<Slot>,
    /// The last run.
    pub last_run: Option<RunRow>,
    /// The last run that read everything.
    pub last_collected: Option<RunRow>,
    /// What the last run could not read.
    pub gaps: Vec<Gap>,
    /// Whether evidence is complete, and since when not.
    pub coverage: Option<CoverageView>,
    /// What each check says of the latest judged run.
    pub checks: Vec<CheckView>,
    /// Outcomes so far: collected, partial, failed, missed.
    pub outcomes: [u64; 4],
}

/// A loss of complete evidence that holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CoverageView {
    /// Since when.
    pub since: Timestamp,
    /// The entry that says so.
    pub entry: u64,
    /// Why, in a word.
    pub reason: String,
    /// Checks gone blind.
    pub blind: Vec<CheckId>,
}

/// What one check says of one stream's latest judged run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// The check.
    pub check: CheckId,
    /// What is true when it conforms.
    pub title: String,
    /// How much a deviation matters.
    pub severity: Option<Severity>,
    /// The counts.
    pub counts: CheckCounts,
    /// Whether the population was read completely.
    pub complete: bool,
    /// When its evidence was collected.
    pub at: Timestamp,
    /// How old the evidence is, and whether that is older than it may be.
    pub age: Duration,
    /// See `age`.
    pub stale: bool,
}

impl Query<'_> {
    /// All streams that were ever scheduled, by name.
    pub fn streams(&self) -> Result<Vec<StreamView>, ReadError> {
        self.stream_rows()?.into_iter().map(|row| self.stream_view(row)).collect()
    }

    /// The rows of all streams.
    pub fn stream_rows(&self) -> Result<Vec<StreamRow>, ReadError> {
        let pairs = self.read.index().scan(key::STREAMS, None, usize::MAX)?;
        pairs.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
    }

    /// The row of one stream.
    pub fn stream_row(&self, stream: &StreamId) -> Result<StreamRow, ReadError> {
        Ok(fold::stream_row(self.read.index().as_ref(), stream)?)
    }

    /// The gaps of a run.
    pub fn gaps_of(&self, run: &RunRow) -> Result<Vec<Gap>, ReadError> {
        if run.gaps == 0 {
            return Ok(Vec::new());
        }
        Ok(match self.read.entry(run.entry)?.map(|entry| entry.fact) {
            Some(Fact::Run(run)) => run.gaps,
            _ => Vec::new(),
        })
    }

    fn stream_view(&self, row: StreamRow) -> Result<StreamView, ReadError> {
        let gaps = match row.last_run.filter(|run| run.outcome != Outcome::Collected) {
            Some(run) => self.gaps_of(&run)?,
            None => Vec::new(),
        };
        let checks =
            row.observed.iter().flat_map(|observed| observed.checks.iter().map(move |line| (observed.at, line)));
        let checks = checks.map(|(at, line)| {
            let info = self.catalogue.checks.get(&line.check);
            let age = self.now.since(at);
            CheckView {
                check: line.check.clone(),
                title: info.map_or_else(|| line.check.to_string(), |info| info.title.clone()),
                severity: info.map(|info| info.severity),
                counts: line.counts.clone(),
                complete: line.complete,
                at,
                age,
                stale: info.is_some_and(|info| age > info.greatest_age),
            }
        });
        Ok(StreamView {
            owner: self.catalogue.owner(&row.stream.source()),
            running_since: row.open_intent.map(|intent| intent.at),
            last_slot: row.last_slot,
            last_run: row.last_run,
            last_collected: row.last_collected,
            gaps,
            coverage: row.coverage.as_ref().filter(|coverage| coverage.lost).map(|coverage| CoverageView {
                since: coverage.since,
                entry: coverage.opened_by,
                reason: coverage.reason.map_or_else(|| "missed".to_owned(), |reason| reason.as_str().to_owned()),
                blind: coverage.blind.clone(),
            }),
            checks: checks.collect(),
            outcomes: row.outcomes,
            schedule: row.schedule().cloned(),
            stream: row.stream,
        })
    }
}
