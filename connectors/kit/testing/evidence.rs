//! Evidence in memory, as a fixture gave it, and the ways in which it can be wrong.
#![allow(clippy::panic, reason = "test support: a test without its fixture is no test")]

use std::collections::BTreeSet;
use std::path::Path;

use domain::{Duration, GapReason, Resource, ResourceType, SourceId, StreamId, Timestamp};
use serde::Deserialize;

use crate::{Evidence, EvidenceError, Recorded};

/// Recorded populations, held in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryEvidence {
    populations: Vec<(Recorded, Vec<Resource>)>,
    unreadable: Option<ResourceType>,
}

/// What can be wrong with a population.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It was never recorded.
    Never,
    /// It was not read completely: the source refused.
    Incomplete,
    /// It is years old.
    Old,
    /// One of its rows was erased.
    RowErased,
    /// The disk does not give it back.
    Unreadable,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Wrong; 5] = [Wrong::Never, Wrong::Incomplete, Wrong::Old, Wrong::RowErased, Wrong::Unreadable];
}

/// A file of a fixture: one population of one run.
#[derive(Deserialize)]
struct Row {
    stream: StreamId,
    run: u64,
    collector_version: u32,
    started: Timestamp,
    ended: Timestamp,
    #[serde(rename = "type")]
    kind: ResourceType,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Index {
    populations: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    file: String,
}

impl MemoryEvidence {
    /// Reads a folder: `index.json` lists its files, each file is one population.
    pub fn read(folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let path = folder.join("index.json");
        let index: Index = serde_json::from_str(&text(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        index.populations.iter().fold(MemoryEvidence::default(), |evidence, file| {
            let path = folder.join(&file.file);
            let row: Row = serde_json::from_str(&text(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let recorded = Recorded {
                count: row.resources.len() as u64,
                stream: row.stream,
                run: row.run,
                collector_version: row.collector_version,
                started: row.started,
                ended: row.ended,
                kind: row.kind,
                incomplete: None,
                manifest: None,
            };
            evidence.with(recorded, row.resources)
        })
    }

    /// Adds a population, later ones after earlier ones.
    pub fn with(mut self, recorded: Recorded, resources: Vec<Resource>) -> Self {
        self.populations.push((recorded, resources));
        self
    }

    /// The types there are populations of.
    pub fn kinds(&self) -> BTreeSet<ResourceType> {
        self.populations.iter().map(|(recorded, _)| recorded.kind.clone()).collect()
    }

    /// The same evidence with something wrong with every population of a type.
    pub fn wrong(mut self, kind: &ResourceType, wrong: Wrong) -> Self {
        match wrong {
            Wrong::Never => self.populations.retain(|(recorded, _)| recorded.kind != *kind),
            Wrong::Unreadable => self.unreadable = Some(kind.clone()),
            Wrong::Incomplete | Wrong::Old | Wrong::RowErased => {
                for (recorded, resources) in self.populations.iter_mut().filter(|(recorded, _)| recorded.kind == *kind)
                {
                    match wrong {
                        Wrong::Incomplete => recorded.incomplete = Some(GapReason::Denied),
                        Wrong::Old => {
                            let years = Duration::from_secs(3 * 365 * 24 * 3600);
                            recorded.started = recorded.started.minus(years);
                            recorded.ended = recorded.ended.minus(years);
                        }
                        _ => drop(resources.pop()),
                    }
                }
            }
        }
        self
    }
}

impl Evidence for MemoryEvidence {
    fn latest(
        &self,
        source: &SourceId,
        kind: &ResourceType,
        begun_by: Timestamp,
    ) -> Result<Option<Recorded>, EvidenceError> {
        let fits = |recorded: &Recorded| {
            recorded.stream.source() == *source && recorded.kind == *kind && recorded.started <= begun_by
        };
        Ok(self.populations.iter().rev().map(|(recorded, _)| recorded).find(|recorded| fits(recorded)).cloned())
    }

    fn resources(&self, of: &Recorded, each: &mut dyn FnMut(Resource)) -> Result<u64, EvidenceError> {
        if self.unreadable.as_ref() == Some(&of.kind) {
            return Err(EvidenceError(Box::new(std::io::Error::other("a disk that fails"))));
        }
        let found = self.populations.iter().find(|(recorded, _)| recorded == of);
        let resources = found.map(|(_, resources)| resources.clone()).unwrap_or_default();
        let count = resources.len() as u64;
        resources.into_iter().for_each(each);
        Ok(count)
    }
}
