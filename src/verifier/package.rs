//! The files of a package: the list of them, the checkpoints, the entries with their proofs, and the bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ledger::{
    CheckpointError, Commitment, Hash, NoteError, SignedCheckpoint, TlogProof, VerifierKey, commit, commit_lines,
    commit_to_lines, leaf_hash, tree,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::meaning::{Entry, hex};
use crate::report::{Asked, Kind, Level, Problem, Report};
use crate::tables::Tables;

/// Folders whose files consist of bodies, byte for byte.
const BODIES: [&str; 4] = ["manifests", "rows", "answers", "texts"];
/// The checkpoint that a package rests on.
pub(crate) const LAST: &str = "checkpoints/last.txt";
/// A name in the list of files may be this long.
const LONGEST_NAME: usize = 120;

/// A body that is what was committed to.
pub(crate) struct Body {
    /// The file that holds it.
    pub(crate) file: String,
    /// The body; of one with hidden lines, the JSON that is left without them.
    pub(crate) bytes: Vec<u8>,
}

/// A package that is being read.
#[derive(Default)]
pub(crate) struct Package {
    pub(crate) asked: Asked,
    pub(crate) paths: BTreeMap<String, PathBuf>,
    digest: String,
    pub(crate) about: Value,
    pub(crate) key_given: bool,
    /// The last checkpoint: log, size, root; and its note.
    pub(crate) last: (String, u64, Option<Hash>),
    note: String,
    pub(crate) level: Option<Level>,
    /// An authority that is trusted dated the last checkpoint.
    pub(crate) anchored: bool,
    /// The latest time that an entry claims, in milliseconds.
    pub(crate) latest: i64,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) known_entries: BTreeSet<u64>,
    pub(crate) bodies: BTreeMap<String, Body>,
    pub(crate) withheld: BTreeMap<String, String>,
    /// Bodies that entries name, and the first entry that does.
    pub(crate) needed: BTreeMap<String, u64>,
    /// The period, in milliseconds: from `begin` on, before `end`.
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) slots: [u64; 4],
    pub(crate) said: Vec<(&'static str, String)>,
    problems: Vec<Problem>,
}

/// Verifies the package in a folder. It reads that folder and nothing else, and never fails: what cannot be read is a
/// problem of the package.
pub fn verify(folder: &Path, asked: &Asked) -> Report {
    let mut package = Package { asked: asked.clone(), key_given: asked.keys.is_some(), ..Package::default() };
    if let Err(error) = list_files(folder, folder, &mut package.paths) {
        package.problem(Kind::Incomplete, "files.txt", format!("the folder cannot be read: {error}"));
    }
    // Where files are missing, nothing more can be said; and no step after one that broke off.
    let read = package.attempt("files.txt", Package::read_files);
    if read && !package.problems.iter().any(|problem| problem.kind == Kind::Incomplete) {
        let _all = package.attempt("checkpoints", Package::read_checkpoints)
            && package.attempt("entries", Package::read_entries)
            && package.attempt("bodies", Package::read_bodies)
            && package.attempt("meaning", Package::read_meaning)
            && package.attempt("slots", Package::read_slots)
            && package.attempt("csv", Package::read_tables)
            && package.attempt("anchors", Package::read_anchors);
    }
    package.into_report()
}

/// The tables that follow from the evidence in a folder, as a package has them. Fails when the evidence does not hold.
pub fn tables(folder: &Path) -> Result<Tables, String> {
    let mut package = Package::default();
    list_files(folder, folder, &mut package.paths).map_err(|error| error.to_string())?;
    package.about = serde_json::from_slice(&package.read("package.json")?).map_err(|error| error.to_string())?;
    package.read_checkpoints()?;
    package.read_entries()?;
    package.read_bodies()?;
    package.read_meaning()?;
    match package.problems.iter().find(|problem| problem.kind == Kind::Invalid) {
        Some(problem) => Err(format!("{}: {}", problem.place, problem.what)),
        None => package.derive_tables(),
    }
}

fn list_files(top: &Path, folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    for item in fs::read_dir(folder)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            list_files(top, &item.path(), found)?;
        } else {
            let path = item.path();
            let short = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.insert(short, path);
        }
    }
    Ok(())
}

impl Package {
    pub(crate) fn problem(&mut self, kind: Kind, place: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem { kind, place: place.into(), what: what.into() });
    }

    /// Takes a step; whether it came to its end.
    fn attempt(&mut self, place: &str, step: impl FnOnce(&mut Package) -> Result<(), String>) -> bool {
        let done = step(self);
        let whole = done.is_ok();
        if let Err(what) = done {
            self.problem(Kind::Invalid, place, what);
        }
        whole
    }

    pub(crate) fn read(&self, short: &str) -> Result<Vec<u8>, String> {
        let path = self.paths.get(short).ok_or_else(|| format!("{short} is missing"))?;
        fs::read(path).map_err(|error| format!("{short} cannot be read: {error}"))
    }

    pub(crate) fn lines(&self, short: &str) -> Result<Vec<String>, String> {
        let text = String::from_utf8(self.read(short)?).map_err(|_| format!("{short} is not UTF-8"))?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(format!("{short} does not end in a newline"));
        }
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        lines.pop();
        Ok(lines)
    }

    fn hashes(&self, short: &str) -> Result<Vec<Hash>, String> {
        let lines = self.lines(short)?;
        lines.iter().map(|line| Hash::from_base64(line).map_err(|e| format!("{short}: {e}"))).collect()
    }

    fn read_files(&mut self) -> Result<(), String> {
        if !self.paths.contains_key("files.txt") {
            let what = "it is missing: this is not a package, or not all of one";
            self.problem(Kind::Incomplete, "files.txt", what);
            return Ok(());
        }
        self.digest = sha256_hex(&self.read("files.txt")?);
        if self.asked.digest.as_ref().is_some_and(|wanted| *wanted != self.digest) {
            self.problem(Kind::Diverged, "files.txt", "its digest is not the one that you were given");
        }
        let mut listed: Vec<(String, String)> = Vec::new();
        for (number, line) in (1..).zip(self.lines("files.txt")?) {
            let parts = line.split_once("  ").filter(|(digest, name)| hex(digest, 64) && is_name(name));
            let last = listed.last().map(|(name, _)| name.as_str());
            match parts.filter(|(_, name)| last.is_none_or(|last| last < *name)) {
                Some((digest, name)) => listed.push((name.to_owned(), digest.to_owned())),
                None => {
                    let what = "it is not as such a line is, or out of order";
                    self.problem(Kind::Invalid, format!("files.txt line {number}"), what);
                }
            }
        }
        for (short, digest) in &listed {
            match self.paths.get(short) {
                None => self.problem(Kind::Incomplete, short, "it is missing"),
                Some(path) => {
                    let plain = path.symlink_metadata().is_ok_and(|found| found.is_file());
                    if !plain || self.read(short).is_ok_and(|bytes| sha256_hex(&bytes) != *digest) {
                        self.problem(Kind::Invalid, short, "it is not what files.txt lists");
                    }
                }
            }
        }
        let listed: BTreeSet<&String> = listed.iter().map(|(name, _)| name).collect();
        let extra: Vec<String> =
            self.paths.keys().filter(|short| !listed.contains(short) && *short != "files.txt").cloned().collect();
        for short in extra {
            self.problem(Kind::Invalid, short, "files.txt does not list it");
        }
        if self.paths.contains_key("package.json") {
            self.about = serde_json::from_slice(&self.read("package.json")?)
                .map_err(|error| format!("package.json does not read: {error}"))?;
        }
        Ok(())
    }

    fn read_checkpoints(&mut self) -> Result<(), String> {
        let policy = self.lines("policy.txt")?;
        let named = policy.iter().filter_map(|line| line.strip_prefix("log "));
        let keys = match &self.asked.keys {
            Some(keys) => keys.clone(),
            None => {
                let keys = named.map(|line| line.parse::<VerifierKey>());
                keys.collect::<Result<_, _>>().map_err(|error| format!("policy.txt: {error}"))?
            }
        };
        let (last, signed) = self.checkpoint(LAST, &keys)?;
        self.last = (last.checkpoint.origin.clone(), last.checkpoint.size, Some(last.checkpoint.root));
        self.note = last.note.clone();
        // What continues it is signed, so it is bound: another key may have signed it, which was retired since.
        let (first, _) = self.checkpoint("checkpoints/first.txt", &keys)?;
        continues(&first, &last, &self.hashes("checkpoints/first-to-last.txt")?)?;
        self.level = Some(if signed { Level::Signed } else { Level::Unsigned });
        if let Some(pin) = self.asked.pin.clone()
            && let Err(what) = self.hold_against_pin(&pin, &last)
        {
            self.problem(Kind::Diverged, LAST, what);
        }
        Ok(())
    }

    /// A checkpoint, and whether a known key signed it. A bad signature by a known key refuses it.
    fn checkpoint(&self, short: &str, keys: &[VerifierKey]) -> Result<(SignedCheckpoint, bool), String> {
        let note = self.read(short)?;
        match SignedCheckpoint::verify(&note, keys) {
            Ok(signed) => Ok((signed, true)),
            Err(CheckpointError::Note(NoteError::Unsigned) | CheckpointError::Origin { .. }) => {
                let unsigned = SignedCheckpoint::parse_unverified(&note);
                Ok((unsigned.map_err(|error| format!("{short}: {error}"))?, false))
            }
            Err(error) => Err(format!("{short}: {error}")),
        }
    }

    fn hold_against_pin(&mut self, pin: &[u8], last: &SignedCheckpoint) -> Result<(), String> {
        let pin = SignedCheckpoint::parse_unverified(pin).map_err(|error| format!("your checkpoint: {error}"))?;
        let short = format!("checkpoints/pin-{}.txt", pin.checkpoint.size);
        let here = self.paths.contains_key(&short);
        let size = last.checkpoint.size;
        if !here && pin.checkpoint.origin == last.checkpoint.origin && pin.checkpoint.size != size {
            let what = format!(
                "no: nothing here connects your checkpoint of {} entries with this one of {size}; ask for a package made with --pin",
                pin.checkpoint.size
            );
            self.said.push(("pinned", what));
            return Ok(());
        }
        let path = if here { self.hashes(&short)? } else { Vec::new() };
        let (earlier, later) = if pin.checkpoint.size <= size { (&pin, last) } else { (last, &pin) };
        continues(earlier, later, &path)?;
        self.level = self.level.map(|level| if level == Level::Signed { Level::Pinned } else { level });
        Ok(())
    }

    fn read_entries(&mut self) -> Result<(), String> {
        let shorts: Vec<String> = self.paths.keys().cloned().collect();
        for short in shorts {
            let Some((number, is_entry)) = entry_name(&short) else { continue };
            let (stem, _) = short.rsplit_once('.').unwrap_or((&short, ""));
            let beside = format!("{stem}.{}", if is_entry { "tlog-proof" } else { "json" });
            if !self.paths.contains_key(&beside) {
                self.problem(Kind::Incomplete, beside, "it is missing");
            } else if is_entry {
                let read = self.read(&short).and_then(|raw| Ok((self.entry(number, &raw, &self.read(&beside)?)?, raw)));
                match read {
                    Ok((entry, _)) => drop(self.entries.insert(number, entry)),
                    Err(what) => self.problem(Kind::Invalid, short, what),
                }
            }
        }
        Ok(())
    }

    /// An entry that its proof shows to be in the ledger.
    fn entry(&self, number: u64, raw: &[u8], proof: &[u8]) -> Result<Entry, String> {
        let proof = std::str::from_utf8(proof).map_err(|_| "its proof is not text".to_owned())?;
        let proof: TlogProof = proof.parse().map_err(|error| format!("its proof: {error}"))?;
        if proof.index != number || proof.extra.is_some() {
            return Err("its proof is not one for this entry".to_owned());
        }
        if proof.checkpoint != self.note {
            return Err("its proof does not rest on checkpoints/last.txt".to_owned());
        }
        let root = self.last.2.ok_or("there is no last checkpoint")?;
        tree::verify_inclusion(&leaf_hash(raw), number, self.last.1, &proof.path, &root)
            .map_err(|error| format!("its proof: {error}"))?;
        serde_json::from_slice(raw).map_err(|error| format!("it does not read: {error}"))
    }

    fn read_bodies(&mut self) -> Result<(), String> {
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        let mut open: (String, Vec<u8>) = Default::default();
        for (number, line) in (1..).zip(self.lines("bodies.txt")?) {
            let fits = |place: &Place<'_>| self.paths.contains_key(place.short) && *place.short >= *open.0;
            let Some(place) = Place::parse(&line).filter(fits) else {
                return Err(format!("bodies.txt line {number}: not as it has to be, out of order, or no such file"));
            };
            if open.0 != place.short {
                open = (place.short.to_owned(), self.read(place.short)?);
            }
            let (offset, end) = (place.offset, place.offset.saturating_add(place.length));
            let separated = place.short.starts_with("rows/");
            let body = open.1.get(offset..end).filter(|_| {
                offset == ends.get(place.short).copied().unwrap_or(0) && (!separated || open.1.get(end) == Some(&b'\n'))
            });
            let Some(body) = body else {
                return Err(format!("bodies.txt line {number}: the body does not lie there in {}", place.short));
            };
            ends.insert(place.short.to_owned(), end + usize::from(separated));
            match open_body(place.form, place.salt, body, place.commitment) {
                Ok(bytes) => {
                    let body = Body { file: place.short.to_owned(), bytes };
                    self.bodies.entry(place.commitment.to_owned()).or_insert(body);
                }
                Err(what) => self.problem(Kind::Invalid, format!("{} at byte {offset}", place.short), what),
            }
        }
        let of_bodies = |short: &&String| short.split_once('/').is_some_and(|(folder, _)| BODIES.contains(&folder));
        let lengths = self.paths.iter().filter(|(short, _)| of_bodies(short));
        let unaccounted: Vec<String> = lengths
            .filter(|(short, path)| {
                let length = fs::metadata(path).ok().and_then(|found| usize::try_from(found.len()).ok());
                length.is_none() || ends.get(*short).copied() != length
            })
            .map(|(short, _)| short.clone())
            .collect();
        for short in unaccounted {
            self.problem(Kind::Invalid, short, "bodies.txt does not account for every byte of it");
        }
        for line in self.lines("withheld.txt")? {
            let word =
                |reason: &&str| !reason.is_empty() && reason.bytes().all(|b| b == b'-' || b.is_ascii_lowercase());
            let parts = line.split_once(' ').filter(|(commitment, reason)| hex(commitment, 64) && word(reason));
            let (commitment, reason) = parts.ok_or("withheld.txt: a line is not as it has to be")?;
            if self.withheld.last_key_value().is_some_and(|(last, _)| last.as_str() >= commitment) {
                return Err("withheld.txt: a line is out of order, or twice".to_owned());
            }
            if self.bodies.contains_key(commitment) {
                return Err("withheld.txt: it lists what is here".to_owned());
            }
            self.withheld.insert(commitment.to_owned(), reason.to_owned());
        }
        Ok(())
    }

    fn into_report(self) -> Report {
        let of = |name: &str| match self.about.get(name) {
            Some(Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>().join(", ")
            }
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        Report {
            about: ["controls", "streams", "from", "to"].map(|name| (name, of(name))).to_vec(),
            digest: self.digest,
            digest_given: self.asked.digest.is_some(),
            ledger: (self.last.0, self.last.1),
            key_given: self.key_given,
            entries: self.entries.len() as u64,
            bodies: self.bodies.len() as u64,
            withheld: self.withheld.len() as u64,
            slots: self.slots,
            said: self.said,
            problems: self.problems,
            level: self.level.unwrap_or(Level::Unsigned),
            anchored: self.anchored,
            pinned_asked: self.asked.pin.is_some(),
        }
    }
}

/// A line of bodies.txt.
struct Place<'a> {
    commitment: &'a str,
    form: &'a str,
    salt: &'a str,
    short: &'a str,
    offset: usize,
    length: usize,
}

impl Place<'_> {
    fn parse(line: &str) -> Option<Place<'_>> {
        let words: Vec<&str> = line.split(' ').collect();
        let [commitment, form, salt, short, offset, length] = *words.as_slice() else { return None };
        let (folder, _) = short.split_once('/').filter(|(_, name)| !name.contains('/') && is_name(name))?;
        let number = |text: &str| {
            let shortest = text == "0" || !text.starts_with('0');
            let digits = text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<usize>().ok().filter(|_| shortest && digits)
        };
        let formed = hex(commitment, 64) && ["whole", "lines", "shown"].contains(&form) && BODIES.contains(&folder);
        let (offset, length) = (number(offset)?, number(length)?);
        (formed && (salt == "-" || is_salt(salt))).then_some(Place { commitment, form, salt, short, offset, length })
    }
}

/// Checks a body against its commitment, and gives what is shown of it.
fn open_body(form: &str, salt: &str, body: &[u8], commitment: &str) -> Result<Vec<u8>, String> {
    let salt_of = |text: &str| Hash::from_base64(text).map(|Hash(salt)| salt).map_err(|_| "it has no salt".to_owned());
    let (found, shown): (Commitment, Vec<u8>) = match form {
        "whole" => (commit(&salt_of(salt)?, body), body.to_vec()),
        "lines" => (commit_lines(&salt_of(salt)?, body), body.to_vec()),
        _ => {
            let parts: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
            let (mut lines, mut shown) = (Vec::new(), Vec::new());
            for (number, part) in (1..).zip(&parts) {
                let hidden = part.strip_prefix(b"#").and_then(|digest| std::str::from_utf8(digest).ok());
                if let Some(digest) = hidden.filter(|digest| hex(digest, 64)) {
                    lines.push(digest.parse().map_err(|_| "a hidden line has no commitment".to_owned())?);
                    continue;
                }
                let text = part.strip_prefix(b"+").and_then(|text| text.split_at_checked(44));
                let (salt, line) = text
                    .and_then(|(salt, rest)| Some((salt, rest.strip_prefix(b" ")?)))
                    .ok_or("a line of it is neither shown nor hidden")?;
                let salt = salt_of(std::str::from_utf8(salt).map_err(|_| "it has no salt".to_owned())?)?;
                let newline: &[u8] = if number < parts.len() { b"\n" } else { b"" };
                lines.push(commit(&salt, &[line, newline].concat()));
                shown.push(line);
            }
            (commit_to_lines(lines.into_iter()), without_hanging_commas(&shown))
        }
    };
    match found.to_string() == commitment {
        true => Ok(shown),
        false => Err(format!("it does not match the commitment {commitment}")),
    }
}

/// What is left of the JSON when the hidden lines are taken out.
fn without_hanging_commas(shown: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    for (place, line) in shown.iter().enumerate() {
        let closes = shown.get(place + 1).is_some_and(|next| next.starts_with(b"}"));
        let line = if closes { line.strip_suffix(b",").unwrap_or(line) } else { line };
        text.extend_from_slice(line);
        if place + 1 < shown.len() {
            text.push(b'\n');
        }
    }
    text
}

/// Whether the later checkpoint continues the earlier one.
fn continues(earlier: &SignedCheckpoint, later: &SignedCheckpoint, path: &[Hash]) -> Result<(), String> {
    let (old, new) = (&earlier.checkpoint, &later.checkpoint);
    if old.origin != new.origin {
        return Err("they are of two logs".to_owned());
    }
    if old.size == 0 || old.size > new.size {
        return Err("the later one is the smaller".to_owned());
    }
    tree::verify_consistency(old.size, new.size, path, &old.root, &new.root)
        .map_err(|error| format!("the later one does not continue the earlier one: {error}"))
}

/// The entry that a file is of, and whether it is the entry itself or the proof of it.
fn entry_name(short: &str) -> Option<(u64, bool)> {
    let (folder, name) = short.strip_prefix("entries/")?.split_once('/')?;
    let (digits, is_entry) = match name.strip_suffix(".json") {
        Some(digits) => (digits, true),
        None => (name.strip_suffix(".tlog-proof")?, false),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let formed = folder.len() >= 3 && digits.len() >= 6 && all_digits(folder) && all_digits(digits);
    digits.parse().ok().filter(|_| formed).map(|number| (number, is_entry))
}

fn is_salt(text: &str) -> bool {
    text.len() == 44 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(plain)
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
