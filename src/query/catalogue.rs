//! What is known beside what is recorded: checks, controls, sources and their owners. Plain data, made by the daemon.

use std::collections::BTreeMap;

use domain::{
    CheckId, CollectorName, ControlAddress, ControlId, Duration, FrameworkId, Mapping, ResourceType, Severity,
    SourceId, StreamId,
};

/// Everything known.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Catalogue {
    /// The organisation's name.
    pub organisation: String,
    /// Address of the pages, without a slash at its end; permalinks begin with it.
    pub permalink_base: String,
    /// The configured sources.
    pub sources: BTreeMap<SourceId, SourceInfo>,
    /// The checks in force.
    pub checks: BTreeMap<CheckId, CheckInfo>,
    /// The catalogues in force.
    pub frameworks: BTreeMap<FrameworkId, FrameworkInfo>,
}

/// A configured source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceInfo {
    /// Who answers for it.
    pub owner: String,
    /// Its collectors that are on.
    pub collectors: Vec<CollectorName>,
}

/// A check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckInfo {
    /// What is true when it conforms.
    pub title: String,
    /// What is wrong when it deviates.
    pub problem: String,
    /// How much a deviation matters.
    pub severity: Severity,
    /// Why that much.
    pub severity_why: String,
    /// What to do first.
    pub first_action: String,
    /// What kind of resource it speaks of.
    pub kind: ResourceType,
    /// Kind of source that feeds it, and the collector.
    pub source_kind: String,
    /// See `source_kind`.
    pub collector: CollectorName,
    /// The controls it bears on.
    pub mappings: Vec<Mapping>,
    /// How old its evidence may be.
    pub greatest_age: Duration,
    /// Digest of its definition.
    pub version: String,
}

/// A catalogue of controls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameworkInfo {
    /// Its title.
    pub title: String,
    /// Which edition of the standard it holds, and whether that one was withdrawn.
    pub edition: String,
    /// The catalogue of the edition that took its place.
    pub replaced_by: Option<FrameworkId>,
    /// Its controls in the order of the catalogue.
    pub controls: Vec<ControlInfo>,
}

/// A control.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlInfo {
    /// Its number.
    pub id: ControlId,
    /// Its short title.
    pub title: String,
    /// For whom the standard gives guidance on it, where it says so: customer, provider.
    pub roles: Vec<String>,
    /// The numbers of other catalogues on the same subject.
    pub corresponds: Vec<ControlAddress>,
}

impl Catalogue {
    /// The controls a check bears on: catalogue by catalogue, in each the proving ones first.
    pub fn controls_of(&self, check: &CheckId) -> Vec<ControlAddress> {
        let mut mappings: Vec<&Mapping> =
            self.checks.get(check).map(|c| c.mappings.iter().collect()).unwrap_or_default();
        mappings.sort_by_key(|mapping| (&mapping.framework, mapping.bearing));
        let address = |mapping: &Mapping| ControlAddress {
            framework: mapping.framework.clone(),
            control: mapping.control.clone(),
        };
        mappings.into_iter().map(address).collect()
    }

    /// The catalogues in force that hold a control of this number.
    pub fn frameworks_with(&self, control: &ControlId) -> Vec<FrameworkId> {
        let holds = |info: &FrameworkInfo| info.controls.iter().any(|known| known.id == *control);
        self.frameworks.iter().filter(|(_, info)| holds(info)).map(|(id, _)| id.clone()).collect()
    }

    /// The stream of a source that feeds a check; `None` when the source is of another kind or not configured.
    pub fn stream_feeding(&self, check: &CheckInfo, source: &SourceId) -> Option<StreamId> {
        let info = self.sources.get(source)?;
        let feeds = source.kind() == check.source_kind && info.collectors.contains(&check.collector);
        feeds.then(|| source.stream(&check.collector))
    }

    /// The checks that a stream feeds.
    pub fn checks_fed_by<'a>(&'a self, stream: &StreamId) -> impl Iterator<Item = (&'a CheckId, &'a CheckInfo)> {
        let (kind, collector) = (stream.source().kind().to_owned(), stream.collector());
        self.checks.iter().filter(move |(_, check)| check.source_kind == kind && check.collector == collector)
    }

    /// Who answers for a source.
    pub fn owner(&self, source: &SourceId) -> String {
        self.sources.get(source).map_or_else(|| "nobody named in the settings".to_owned(), |info| info.owner.clone())
    }

    /// Permanent address of an entry or row.
    pub fn permalink(&self, address: domain::RowAddress) -> String {
        match address.row {
            Some(row) => format!("{}/entries/{}/{row}", self.permalink_base, address.entry),
            None => format!("{}/entries/{}", self.permalink_base, address.entry),
        }
    }
}

/// The collector named for a deviation whose check is no longer in force.
pub(crate) fn unknown_collector() -> CollectorName {
    // A constant of the right form always reads.
    "retired".parse().unwrap_or_else(|_| unreachable!("'retired' is a word"))
}
