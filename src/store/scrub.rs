//! The scrub: everything that is kept is read again, bit by bit, so that damage is found while a whole copy still exists.
//!
//! A pass reads the entries, the checkpoints and keys, then every body, each with all the checks that any reader makes. It
//! changes nothing: a damaged file is named, recorded and told, and stays as it is. How far a pass is stands in a file of
//! its own; without it the pass begins anew, and so does the part over the entries, all of which a start reads anyway.
//! Where damage or a missing volume ends the reading early, what lies behind is named as unread: of that a pass says
//! neither that it is whole nor that it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::entry::{Damage, Fact, Scrub};
use domain::{Timestamp, in_full};
use ledger::{BodyError, BodyReader, Frontier, KeyRing, KeyStore, Location, Reader, SharedDisk, leaf_hash};
use serde::{Deserialize, Serialize};

use crate::index::IndexError;
use crate::layout::Layout;
use crate::read::Read;
use crate::rows::{DamageRow, ScrubRow, key};
use crate::writer::{Store, StoreError};
use crate::{catch_up, data_key, fold, keys};

/// A pass over everything, as far as it is.
pub struct Scrubber {
    disk: SharedDisk,
    layout: Layout,
    reader: Arc<Reader>,
    bodies: BodyReader,
    data_key: Option<ledger::DataKey>,
    guards: Vec<PathBuf>,
    pass: Pass,
    tree: Frontier,
    ring: Option<KeyRing>,
    /// The pack that the system was last told to forget.
    forgotten: Option<u32>,
}

/// What is remembered of a pass.
#[derive(Serialize, Deserialize)]
struct Pass {
    began: Timestamp,
    /// Entries that are signed for when it begins, and their root.
    size: u64,
    root: String,
    next: Next,
    entries: u64,
    bodies: u64,
    bytes: u64,
    /// The first damage met in each file, by its path below the data directory.
    damage: BTreeMap<String, String>,
    /// What could not be read to its end, by path as well: a file, or a folder with all that is in it.
    #[serde(default)]
    unread: BTreeSet<String>,
}

impl Pass {
    /// Whether the pass says anything of this file.
    fn speaks_of(&self, file: &str) -> bool {
        !self.unread.iter().any(|unread| Path::new(file).starts_with(unread))
    }
}

/// Where it goes on.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Next {
    Entry(u64),
    Files,
    Body(Location),
    Nothing,
}

impl Store {
    /// The pass that was under way, or one that begins now.
    pub fn scrubber(&self, now: Timestamp) -> Result<Scrubber, StoreError> {
        let layout = self.layout().clone();
        let head = self.head().map_err(|e| StoreError::Stopped(in_full(&e)))?;
        let kept = std::fs::read(layout.scrub()).ok().and_then(|bytes| serde_json::from_slice::<Pass>(&bytes).ok());
        // One of another ledger, or of a longer one, says nothing of this.
        let kept = kept.filter(|pass| pass.size <= head.size && pass.began <= now);
        let mut pass = kept.unwrap_or_else(|| Pass {
            began: now,
            size: head.size,
            root: head.root,
            next: Next::Entry(0),
            entries: 0,
            bodies: 0,
            bytes: 0,
            damage: BTreeMap::new(),
            unread: BTreeSet::new(),
        });
        if let Next::Entry(_) = pass.next {
            (pass.next, pass.entries, pass.bytes) = (Next::Entry(0), 0, 0);
        }
        let options = self.options();
        let places = options.guard_places();
        Ok(Scrubber {
            disk: options.disk.clone(),
            reader: Arc::new(Reader::open_on(options.disk.clone(), &layout.ledger())),
            bodies: BodyReader::open_on(options.disk.clone(), &layout.bodies()).with_keys(self.record_keys()),
            data_key: options.data_key.clone(),
            guards: std::iter::once(places.guard).chain(places.copies).collect(),
            layout,
            pass,
            tree: Frontier::new(),
            ring: None,
            forgotten: None,
        })
    }

    /// Records what a pass has found so far and is not recorded yet; at its end also that it ended, and which files are
    /// whole again. Returns whether there was anything to say.
    pub fn record_scrubbed(&self, scrubber: &Scrubber) -> Result<bool, StoreError> {
        let _decided_once = self.deciding();
        let failed = |e: IndexError| StoreError::Stopped(e.to_string());
        let rows = self.index().scan(key::DAMAGES, None, usize::MAX).map_err(failed)?;
        let rows = rows.iter().map(|(_, bytes)| fold::read::<DamageRow>(bytes)).collect::<Result<Vec<_>, _>>();
        let mut known: BTreeMap<String, DamageRow> =
            rows.map_err(failed)?.into_iter().filter(|row| row.lost).map(|row| (row.file.clone(), row)).collect();
        let pass = &scrubber.pass;
        let mut facts = Vec::new();
        for (file, detail) in &pass.damage {
            if known.remove(file).is_none() {
                facts.push(Damage { file: file.clone(), lost: true, detail: detail.clone(), opened_by: None });
            }
        }
        let ended = scrubber.ended();
        if ended {
            let whole = known.into_values().filter(|row| pass.speaks_of(&row.file));
            facts.extend(whole.map(|row| Damage {
                file: row.file,
                lost: false,
                detail: "it was read whole again".to_owned(),
                opened_by: Some(row.opened_by),
            }));
        }
        let mut facts: Vec<Fact> = facts.into_iter().map(Fact::Damage).collect();
        if ended && self.last_scrub()?.is_none_or(|said| said.scrub.began < pass.began) {
            let Pass { began, entries, bodies, bytes, .. } = *pass;
            let (damaged, unread) = (pass.damage.len() as u64, pass.unread.iter().cloned().collect());
            facts.push(Fact::Scrub(Scrub { began, entries, bodies, bytes, damaged, unread }));
        }
        Ok(!self.record(facts)?.is_empty())
    }

    /// The last pass that came to its end; `None` before the first.
    pub fn last_scrub(&self) -> Result<Option<ScrubRow>, StoreError> {
        fold::get(self.index().as_ref(), key::SCRUB).map_err(|e| StoreError::Stopped(e.to_string()))
    }
}

impl Scrubber {
    /// Reads on, about `budget` bytes at most, and says how many it were. Damage is noted, never an error.
    pub fn step(&mut self, budget: u64) -> u64 {
        let before = self.pass.bytes;
        match self.pass.next {
            Next::Entry(next) => self.entries(next, budget),
            Next::Files => self.files(),
            Next::Body(next) => self.bodies(next, budget),
            Next::Nothing => {}
        }
        self.pass.bytes - before
    }

    /// Whether everything was read.
    pub fn ended(&self) -> bool {
        matches!(self.pass.next, Next::Nothing)
    }

    /// Whether anything was found to be damaged.
    pub fn found_damage(&self) -> bool {
        !self.pass.damage.is_empty()
    }

    /// What could not be read to its end, by path below the data directory.
    pub fn unread(&self) -> impl Iterator<Item = &str> {
        self.pass.unread.iter().map(String::as_str)
    }

    /// When the pass began.
    pub fn began(&self) -> Timestamp {
        self.pass.began
    }

    /// Remembers how far it is; at the end, that there is nothing to go on with.
    pub fn keep(&self) -> std::io::Result<()> {
        let path = self.layout.scrub();
        if self.ended() {
            return match self.disk.remove(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        }
        ledger::disk::replace(self.disk.as_ref(), &path, serde_json::to_string(&self.pass)?.as_bytes())
    }

    fn entries(&mut self, mut next: u64, budget: u64) {
        if next == 0 {
            let segments = ledger::segments(self.disk.as_ref(), &self.layout.ledger()).unwrap_or_default();
            segments.iter().for_each(|path| ledger::forget_cached(path));
        }
        let enough = self.pass.bytes + budget;
        let mut failed = None;
        let reader = self.reader.clone();
        match reader.entries(next, self.pass.size) {
            Err(error) => failed = Some(error),
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => self.entry(&mut next, &entry),
                        Err(error) => failed = Some(error),
                    }
                    if self.pass.bytes >= enough || failed.is_some() {
                        break;
                    }
                }
            }
        }
        self.pass.next = Next::Entry(next);
        if let Some(error) = failed {
            let path = match &error {
                ledger::ReadError::Damaged(damage) => damage.file.clone(),
                ledger::ReadError::Io { path, .. } | ledger::ReadError::Checkpoint { path, .. } => path.clone(),
                _ => self.layout.ledger(),
            };
            // What follows in the ledger cannot be told apart any more; `verify` says how far it holds. Which keys may sign
            // stands there, too.
            self.note(&path, in_full(&error));
            self.skip(&self.layout.ledger());
            self.skip(&self.layout.signing_key());
            self.pass.next = Next::Files;
        } else if next >= self.pass.size {
            if hex::encode(self.tree.root().0) != self.pass.root {
                let path = self.layout.ledger();
                self.note(&path, format!("the entries do not lead to the root over {} entries", self.pass.size));
            }
            self.pass.next = Next::Files;
        }
    }

    fn entry(&mut self, number: &mut u64, bytes: &[u8]) {
        self.tree.push(leaf_hash(bytes));
        match &mut self.ring {
            // A wrong word about a key is `verify`'s to judge; here it is only who may have signed.
            Some(ring) => drop(ring.take(*number, bytes)),
            None => self.ring = self.reader.named_key().ok().flatten().map(KeyRing::new),
        }
        *number += 1;
        self.pass.entries += 1;
        self.pass.bytes += bytes.len() as u64;
    }

    /// Checkpoints, marks and keys: small files that everything else rests on.
    fn files(&mut self) {
        let ledger = self.layout.ledger();
        // One that lacks keys would call checkpoints damaged that are not.
        let ring = match self.pass.speaks_of(&self.below(&ledger)) {
            false => None,
            // After a restart in the middle it has to be read again.
            true => self.ring.take().or_else(|| self.reader.key_ring().ok().flatten().map(|(ring, _)| ring)),
        };
        if ring.is_none() {
            self.skip(&ledger);
            self.skip(&self.layout.signing_key());
        }
        if let Some(ring) = ring {
            for (path, why) in ledger::check_checkpoints(self.disk.as_ref(), &ledger, &ring, self.pass.size) {
                self.note(&path, why);
            }
            let fit = catch_up::genesis(&self.reader)
                .map_err(Into::into)
                .and_then(|genesis| keys::fit(&self.layout, &genesis.origin, &ring, self.pass.size));
            if let Err(error) = fit {
                let path = self.layout.signing_key();
                self.note(&path, in_full(error.as_ref()));
            }
        }
        for guard in self.guards.clone() {
            let mark = guard.join("high-water");
            match ledger::high_water(&guard) {
                Ok(_) => {}
                Err(error) if mark.exists() => self.note(&mark, in_full(&error)),
                // A place that is not mounted is out of reach, and said so by the start; it is not damaged.
                Err(_) => self.skip(&mark),
            }
        }
        let records = data_key::find(&self.layout, self.data_key.as_ref()).map_err(|e| in_full(&e)).and_then(|key| {
            let path = self.layout.record_keys();
            KeyStore::open(self.disk.clone(), &path, &key, false, &mut |_, _| {}).map(drop).map_err(|e| in_full(&e))
        });
        if let Err(why) = records {
            let path = self.layout.record_keys();
            self.note(&path, why);
        }
        self.pass.next = Next::Body(Location::default());
    }

    fn bodies(&mut self, from: Location, budget: u64) {
        let dir = self.layout.bodies();
        let enough = self.pass.bytes + budget;
        let mut scan = match self.bodies.scan(from) {
            Ok(scan) => scan,
            Err(error) => {
                self.note(&dir.join("synced"), in_full(&error));
                self.skip(&dir);
                self.pass.next = Next::Nothing;
                return;
            }
        };
        loop {
            let found = scan.next();
            let next = scan.position();
            match found {
                None => {
                    self.pass.next = Next::Nothing;
                    return;
                }
                Some(Ok((_, location))) => {
                    if self.forgotten != Some(location.pack) {
                        ledger::forget_cached(&ledger::pack_path(&dir, location.pack));
                        self.forgotten = Some(location.pack);
                    }
                    match self.bodies.read(location) {
                        Ok(_) | Err(BodyError::Destroyed(_)) => {}
                        Err(error @ BodyError::NoKey(_)) => {
                            self.note(&self.layout.record_keys(), in_full(&error));
                            self.skip(&ledger::pack_path(&dir, location.pack));
                        }
                        Err(error) => self.note(&ledger::pack_path(&dir, location.pack), in_full(&error)),
                    }
                    self.pass.bodies += 1;
                    self.pass.bytes += next.offset.saturating_sub(location.offset);
                    self.pass.next = Next::Body(next);
                }
                Some(Err(error)) => {
                    self.note(&ledger::pack_path(&dir, next.pack), in_full(&error));
                    // Where the next body of this pack begins is not known any more.
                    self.pass.next = Next::Body(Location { pack: next.pack + 1, offset: 0 });
                    return;
                }
            }
            if self.pass.bytes >= enough {
                return;
            }
        }
    }

    fn note(&mut self, path: &Path, why: String) {
        self.pass.damage.entry(self.below(path)).or_insert(why);
    }

    fn skip(&mut self, path: &Path) {
        self.pass.unread.insert(self.below(path));
    }

    fn below(&self, path: &Path) -> String {
        path.strip_prefix(self.layout.data()).unwrap_or(path).display().to_string()
    }
}
