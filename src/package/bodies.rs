//! The bodies of a package: manifests, rows, answers and texts, each with what its commitment is made of; and the list
//! of those that are named and left out.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::entry::{Fact, Observations, Run};
use domain::{BodyId, CheckId, Exchange, ResourceType};
use ledger::{Commitment, commit, commit_lines, line_salt};
use serde_json::Value;
use store::read::{observation_lines, population_lines};
use store::{ReadError, SaltedBody};

use super::folder::{Folder, Pieces};
use super::select::{Chosen, Selection, hides};
use super::{Asked, PackageError, Source};

/// Why a body that an entry names is not in the package.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Withheld {
    /// It belongs to what was not asked for.
    NotAsked,
    /// It may hold a field that was to be hidden.
    Hidden,
    /// It is not there any more.
    Erased,
}

impl Withheld {
    fn as_str(self) -> &'static str {
        match self {
            Withheld::NotAsked => "not-asked",
            Withheld::Hidden => "hidden",
            Withheld::Erased => "erased",
        }
    }
}

/// Where bodies went.
#[derive(Default)]
pub(super) struct Kept {
    /// The file that holds a body.
    pub(super) files: BTreeMap<BodyId, String>,
    /// How many are withheld, by reason.
    pub(super) withheld: BTreeMap<&'static str, u64>,
}

/// Takes the bodies of one entry after the other.
pub(super) struct Bodies<'a> {
    source: &'a Source<'a>,
    checks: &'a BTreeSet<CheckId>,
    /// The types of resource that the checks speak of.
    types: BTreeSet<ResourceType>,
    /// Everything was asked for, what no check reads included.
    all: bool,
    hide: &'a [String],
    /// What could be hidden of each type of which something is: the names that its rows have.
    hideable: BTreeMap<ResourceType, BTreeSet<String>>,
    kept: Kept,
    withheld: BTreeMap<BodyId, Withheld>,
    /// Answers that are in a file, by their segments.
    answers: BTreeSet<Vec<BodyId>>,
    /// The calls that a resource was read by, by its body.
    calls_of: BTreeMap<BodyId, Vec<u32>>,
    /// The lines of bodies.txt, by file and place.
    lines: BTreeMap<(String, u64, usize), String>,
}

impl<'a> Bodies<'a> {
    pub(super) fn new(source: &'a Source<'a>, selection: &'a Selection, asked: &'a Asked) -> Bodies<'a> {
        let infos = selection.checks.iter().filter_map(|check| source.query.catalogue.checks.get(check));
        Bodies {
            source,
            checks: &selection.checks,
            types: infos.map(|info| info.kind.clone()).collect(),
            all: asked.all,
            hide: &asked.hide,
            hideable: BTreeMap::new(),
            kept: Kept::default(),
            withheld: BTreeMap::new(),
            answers: BTreeSet::new(),
            calls_of: BTreeMap::new(),
            lines: BTreeMap::new(),
        }
    }

    /// Takes what one entry names.
    pub(super) fn take(&mut self, folder: &mut Folder, number: u64, chosen: &Chosen) -> Result<(), PackageError> {
        match &chosen.entry.fact {
            Fact::Version(version) => match &version.checks_body {
                Some(body) => self.whole(folder, &format!("texts/{number:06}-checks.json"), body),
                None => Ok(()),
            },
            Fact::Deviation(deviation) if self.hides(&deviation.kind) => {
                self.leave_out(&deviation.detail, Withheld::Hidden);
                Ok(())
            }
            Fact::Deviation(deviation) => {
                self.whole(folder, &format!("texts/{number:06}-deviation.json"), &deviation.detail)
            }
            Fact::Run(run) => self.take_run(folder, number, run),
            Fact::Observation(observations) => self.take_observation(folder, number, observations),
            _ => Ok(()),
        }
    }

    /// Writes the two lists of bodies.
    pub(super) fn finish(mut self, folder: &mut Folder) -> Result<Kept, PackageError> {
        if let Some(why) = self.hides_nothing() {
            return Err(PackageError::Refused(why));
        }
        let text: String = self.lines.values().map(|line| format!("{line}\n")).collect();
        folder.write("bodies.txt", text.as_bytes())?;
        let mut text = String::new();
        for (body, why) in &self.withheld {
            // What one entry leaves out, another may have brought along.
            if !self.kept.files.contains_key(body) {
                text.push_str(&format!("{body} {}\n", why.as_str()));
                *self.kept.withheld.entry(why.as_str()).or_default() += 1;
            }
        }
        folder.write("withheld.txt", text.as_bytes())?;
        Ok(self.kept)
    }

    fn take_run(&mut self, folder: &mut Folder, number: u64, run: &Run) -> Result<(), PackageError> {
        match &run.changes {
            Some(changes) if self.hide.is_empty() => {
                self.whole(folder, &format!("texts/{number:06}-changes.json"), changes)?;
            }
            Some(changes) => self.leave_out(changes, Withheld::Hidden),
            None => {}
        }
        let mut calls = BTreeSet::new();
        let mut rows = Vec::new();
        for population in &run.populations {
            let Some(manifest) = &population.manifest else { continue };
            let kind: String = population.kind.as_str().chars().take(30).collect();
            self.whole(folder, &format!("manifests/{number:06}-{kind}.txt"), manifest)?;
            let Some((_, text)) = self.read(manifest)? else { continue };
            for (_, body) in population_lines(&text)? {
                match self.all || self.types.contains(&population.kind) {
                    true => rows.push((body, population.kind.clone())),
                    false => self.leave_out(&body, Withheld::NotAsked),
                }
            }
        }
        let name = format!("rows/{number:06}-resources.txt");
        self.rows(folder, &name, &rows)?;
        for (body, _) in &rows {
            calls.extend(self.calls_of.get(body).into_iter().flatten().copied());
        }
        let Some(list) = &run.exchanges else { return Ok(()) };
        // Addresses and answers may hold any field.
        if !self.hide.is_empty() {
            self.leave_out(list, Withheld::Hidden);
            return Ok(());
        }
        self.whole(folder, &format!("manifests/{number:06}-calls.txt"), list)?;
        for exchange in self.source.query.exchanges(Some(list))? {
            let asked = self.all || calls.contains(&exchange.seq) || exchange.error.is_some();
            self.answer(folder, number, &exchange, asked)?;
        }
        Ok(())
    }

    /// What was asked and answered, where a row that is shown was read from it.
    fn answer(
        &mut self,
        folder: &mut Folder,
        number: u64,
        exchange: &Exchange,
        asked: bool,
    ) -> Result<(), PackageError> {
        let bodies =
            [("asked", exchange.request_body.clone().into_iter().collect()), ("answer", exchange.body.clone())];
        for (what, segments) in bodies {
            let segments: Vec<BodyId> = segments;
            if segments.is_empty() || self.answers.contains(&segments) {
                continue;
            }
            let mut read = Vec::new();
            for segment in &segments {
                match self.read(segment)? {
                    Some(found) if asked => read.push((segment, found)),
                    Some(_) => self.leave_out(segment, Withheld::NotAsked),
                    None => self.leave_out(segment, Withheld::Erased),
                }
            }
            if read.is_empty() {
                continue;
            }
            let mut file = folder.open(&format!("answers/{number:06}-{:04}-{what}", exchange.seq))?;
            for (segment, (salt, bytes)) in read {
                self.piece(&mut file, segment, &salt, &bytes)?;
            }
            folder.close(file)?;
            self.answers.insert(segments);
        }
        Ok(())
    }

    fn take_observation(&mut self, folder: &mut Folder, number: u64, said: &Observations) -> Result<(), PackageError> {
        let Some(manifest) = &said.manifest else { return Ok(()) };
        self.whole(folder, &format!("manifests/{number:06}-observations.txt"), manifest)?;
        let Some((_, text)) = self.read(manifest)? else { return Ok(()) };
        let mut rows = Vec::new();
        for line in observation_lines(&text)? {
            let info = self.source.query.catalogue.checks.get(&line.check);
            match info.filter(|_| self.checks.contains(&line.check)) {
                Some(info) => rows.push((line.body, info.kind.clone())),
                None => self.leave_out(&line.body, Withheld::NotAsked),
            }
        }
        self.rows(folder, &format!("rows/{number:06}-observations.txt"), &rows)
    }

    /// Rows that no earlier entry brought along, one after the other in a file.
    fn rows(&mut self, folder: &mut Folder, name: &str, rows: &[(BodyId, ResourceType)]) -> Result<(), PackageError> {
        let mut file: Option<Pieces> = None;
        for (body, kind) in rows {
            if self.kept.files.contains_key(body) {
                continue;
            }
            let Some((salt, bytes)) = self.read(body)? else {
                self.leave_out(body, Withheld::Erased);
                continue;
            };
            let calls: Option<Value> = serde_json::from_slice(&bytes).ok();
            let calls = calls.as_ref().and_then(|row| row.get("exchanges")).and_then(Value::as_array);
            let calls = calls.into_iter().flatten().filter_map(Value::as_u64).filter_map(|seq| u32::try_from(seq).ok());
            self.calls_of.insert(body.clone(), calls.collect());
            let by_lines = commit_lines(&salt, &bytes) == Commitment(body.to_bytes());
            if self.hides(kind) && !by_lines {
                self.leave_out(body, Withheld::Hidden);
                continue;
            }
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(folder.open(name)?),
            };
            if self.hides(kind) {
                let shown = self.with_hidden_lines(&salt, &bytes, kind);
                let begins = file.put(&shown)?;
                self.line(file.name(), body, "shown", "-", begins, shown.len());
            } else {
                self.piece(file, body, &salt, &bytes)?;
            }
            file.put(b"\n")?;
        }
        if let Some(file) = file {
            folder.close(file)?;
        }
        Ok(())
    }

    /// A body that is a file of its own, unless it is in one already.
    fn whole(&mut self, folder: &mut Folder, name: &str, body: &BodyId) -> Result<(), PackageError> {
        if self.kept.files.contains_key(body) {
            return Ok(());
        }
        let Some((salt, bytes)) = self.read(body)? else {
            self.leave_out(body, Withheld::Erased);
            return Ok(());
        };
        let mut file = folder.open(name)?;
        self.piece(&mut file, body, &salt, &bytes)?;
        folder.close(file)
    }

    fn piece(&mut self, file: &mut Pieces, body: &BodyId, salt: &[u8; 32], bytes: &[u8]) -> Result<(), PackageError> {
        let whole = commit(salt, bytes) == Commitment(body.to_bytes());
        let begins = file.put(bytes)?;
        self.line(
            file.name(),
            body,
            if whole { "whole" } else { "lines" },
            &STANDARD.encode(salt),
            begins,
            bytes.len(),
        );
        Ok(())
    }

    fn line(&mut self, file: &str, body: &BodyId, form: &str, salt: &str, begins: u64, length: usize) {
        let line = format!("{body} {form} {salt} {file} {begins} {length}");
        self.lines.insert((file.to_owned(), begins, length), line);
        self.kept.files.entry(body.clone()).or_insert_with(|| file.to_owned());
    }

    fn read(&self, body: &BodyId) -> Result<Option<SaltedBody>, ReadError> {
        self.source.offline.salted_body(body)
    }

    fn leave_out(&mut self, body: &BodyId, why: Withheld) {
        self.withheld.entry(body.clone()).or_insert(why);
    }

    /// Whether something of that type is to be hidden.
    fn hides(&self, kind: &ResourceType) -> bool {
        self.hide.iter().any(|hidden| hides(hidden, kind))
    }

    /// A row in which each line stands with its salt, and a hidden one as its commitment only.
    fn with_hidden_lines(&mut self, salt: &[u8; 32], bytes: &[u8], kind: &ResourceType) -> Vec<u8> {
        let mut text = Vec::new();
        let mut in_fields = false;
        for (number, line) in (0..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            in_fields = if in_fields { !line.starts_with(b"}") } else { line == b"\"fields\":{\n" };
            let salt = line_salt(salt, number);
            let name = name_of(in_fields, line);
            if let Some(name) = &name {
                self.hideable.entry(kind.clone()).or_default().insert(name.clone());
            }
            if name.is_some_and(|name| self.is_hidden(kind, &name)) {
                text.extend_from_slice(format!("#{}", commit(&salt, line)).as_bytes());
                text.extend_from_slice(if line.ends_with(b"\n") { b"\n" } else { b"" });
            } else {
                text.extend_from_slice(format!("+{} ", STANDARD.encode(salt)).as_bytes());
                text.extend_from_slice(line);
            }
        }
        text
    }

    fn is_hidden(&self, kind: &ResourceType, name: &str) -> bool {
        self.hide.iter().any(|hidden| hidden == kind.as_str() || *hidden == format!("{kind}.{name}"))
    }

    /// Why what was to be hidden is a mistake: rows of its type are here, and none of them has it.
    fn hides_nothing(&self) -> Option<String> {
        self.hide.iter().find_map(|hidden| {
            let (kind, names) = self.hideable.iter().find(|(kind, _)| hides(hidden, kind))?;
            let name = hidden.strip_prefix(kind.as_str())?.strip_prefix('.')?;
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let known = known.join(", ");
            (!names.contains(name))
                .then(|| format!("no {kind} here has {name:?}, so it cannot be hidden; there is {known}"))
        })
    }
}

/// What a line of a row holds, where that can be hidden: a field, the name, the id in either of its two forms, or the words of
/// a reason.
fn name_of(in_fields: bool, line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let (name, _) = text.strip_prefix('"')?.split_once("\":")?;
    match (name, in_fields) {
        ("fields", true) => None,
        (name, true) => Some(name.to_owned()),
        ("id" | "resource", false) => Some("id".to_owned()),
        ("name" | "reason", false) => Some(name.to_owned()),
        (_, false) => None,
    }
}
