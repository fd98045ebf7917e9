//! Settings and everything they name, read together and in force together.

use std::path::Path;

use checks::Problem;
use domain::{SourceId, StreamId};
use kit::{AnySource, CollectorSpec};
use sha2::{Digest, Sha256};

use crate::config::{self, Settings};
use crate::knowledge::Knowledge;
use crate::schedule::Schedule;

/// Settings, checks and catalogues that were read together and are right together.
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The checks and catalogues.
    pub knowledge: Knowledge,
    /// Digest of every file that was read: when it changes, something is to be read again.
    pub files: String,
}

/// One stream as the settings have it.
pub struct Stream {
    /// Source and collector.
    pub id: StreamId,
    /// When it is due.
    pub schedule: Schedule,
    /// What the connector says of the collector.
    pub collector: &'static CollectorSpec,
}

impl Loaded {
    /// Reads a settings file and the checks and catalogues it names. Nothing is in force unless all of it is right.
    pub fn read(path: &Path) -> Result<Loaded, Vec<Problem>> {
        // Taken before anything is read for good: what changes in between is seen by the next look, and never missed.
        let files = std::fs::read_to_string(path).ok().and_then(|text| {
            let (settings, _) = config::read(&path.display().to_string(), &text).ok()?;
            Some(digest_of_files(path, &settings))
        });
        let configured = config::load(path)?;
        let settings = configured.settings;
        let page = match &settings.alerts.page_url {
            Some(url) => url.to_string(),
            None => format!("http://{}", settings.web.listen),
        };
        let knowledge = Knowledge::new(configured.checks, &settings.organisation, &page, &settings.sources.all());
        Ok(Loaded { settings, knowledge, files: files.unwrap_or_default() })
    }

    /// The digest of the same files as they are now.
    pub fn files_now(&self, path: &Path) -> String {
        digest_of_files(path, &self.settings)
    }

    /// A source by its id.
    pub fn source(&self, id: &SourceId) -> Option<&dyn AnySource> {
        let all = self.settings.sources.all();
        all.into_iter().find(|(_, source)| source.id().is_ok_and(|known| known == *id)).map(|(_, source)| source)
    }

    /// The sources whose recorded evidence a source joins; none for one that asks for itself.
    pub fn joined_by(&self, source: &SourceId) -> Vec<SourceId> {
        self.source(source)
            .map(|source| source.joins().into_iter().map(|(_, joined)| joined).collect())
            .unwrap_or_default()
    }

    /// What the connector says of a stream's collector.
    pub fn collector(&self, stream: &StreamId) -> Option<&'static CollectorSpec> {
        let collectors = self.source(&stream.source())?.kind().collectors;
        collectors.iter().find(|collector| collector.name == stream.collector().as_str())
    }

    /// Every stream in the order in which one look at everything says most: what is joined comes before what joins it.
    pub fn streams_in_order(&self) -> Vec<Stream> {
        let joins: Vec<_> = self.settings.sources.all().iter().map(|(_, source)| source.joins()).collect();
        let place = |source: &SourceId| {
            let joined = joins.iter().filter_map(|joined| joined.iter().position(|(_, known)| known == source)).max();
            (!self.joined_by(source).is_empty(), joined.map_or(0, |place| place + 1))
        };
        let mut streams: Vec<Stream> = self.streams().collect();
        streams.sort_by_key(|stream| place(&stream.id.source()));
        streams
    }

    /// Every stream of every source. Names and schedules were found right when the settings were read.
    pub fn streams(&self) -> impl Iterator<Item = Stream> + '_ {
        self.settings.sources.all().into_iter().flat_map(move |(_, source)| {
            let id = source.id().ok();
            let collectors = source.kind().collectors.iter();
            collectors.filter_map(move |collector| {
                let stream = id.as_ref()?.stream(&collector.name.parse().ok()?);
                Some(Stream { id: stream, schedule: self.settings.schedule(source, collector).ok()?, collector })
            })
        })
    }
}

/// SHA-256 over names and bytes of the settings file and of every file in the folders it names. What cannot be read
/// counts as empty: reading it for good will say so.
fn digest_of_files(path: &Path, settings: &Settings) -> String {
    let mut digest = Sha256::new();
    let mut take = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        for part in [path.as_os_str().as_encoded_bytes(), &bytes] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    };
    take(path);
    settings.anchors.iter().for_each(|anchor| take(&anchor.ca));
    for folder in [&settings.checks_dir, &settings.frameworks_dir].into_iter().flatten() {
        for (name, _) in config::texts_in(folder).unwrap_or_default() {
            take(Path::new(&name));
        }
    }
    hex::encode(digest.finalize())
}
