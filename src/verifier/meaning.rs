//! What the entries of a package mean together: what they name is here or withheld, and what they count is so.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::package::Package;
use crate::report::Kind;
use crate::slots::count;
use crate::time::millis;

/// An entry, as JSON.
pub(crate) type Entry = Value;

/// The four values in manifests.
const VALUES: [&str; 4] = ["conforms", "deviates", "undetermined", "not_applicable"];

/// A text in an entry.
pub(crate) fn text<'a>(entry: &'a Value, name: &str) -> Result<&'a str, String> {
    entry.get(name).and_then(Value::as_str).ok_or_else(|| format!("it has no {name}"))
}

/// A whole number in an entry.
pub(crate) fn whole(entry: &Value, name: &str) -> Result<u64, String> {
    entry.get(name).and_then(Value::as_u64).ok_or_else(|| format!("it has no {name}"))
}

fn list<'a>(entry: &'a Value, name: &str) -> Result<&'a [Value], String> {
    match entry.get(name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("its {name} is no list")),
    }
}

fn commitment(entry: &Value, name: &str) -> Result<Option<String>, String> {
    match entry.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("its {name} is no commitment")),
    }
}

/// A list that an entry counts, and the form of its rows.
struct Manifest<'a> {
    commitment: Option<String>,
    count: u64,
    form: &'a dyn Fn(&[&str]) -> bool,
    /// In the order of this many first words each row follows the one before it; 0 where order means nothing.
    key: usize,
}

impl Package {
    /// Reads every entry.
    pub(crate) fn read_meaning(&mut self) -> Result<(), String> {
        self.begin = millis(text(&self.about, "from")?)?;
        self.end = millis(text(&self.about, "to")?)?;
        let entries = std::mem::take(&mut self.entries);
        let mut runs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        self.known_entries = entries.keys().copied().collect();
        let mut time = 0;
        for (number, entry) in &entries {
            if let Err(what) = self.take(*number, entry, &mut time, &mut runs) {
                self.problem(Kind::Invalid, format!("#{number}"), what);
            }
        }
        if !entries.contains_key(&0) {
            self.problem(Kind::Incomplete, "#0", "it names log and key, and is not here");
        }
        self.entries = entries;
        self.latest = time;
        let unnamed = |commitment: &&String| !self.needed.contains_key(*commitment);
        let files =
            self.bodies.iter().filter(|(commitment, _)| unnamed(commitment)).map(|(c, body)| (body.file.clone(), c));
        let withheld = self.withheld.keys().filter(unnamed).map(|c| ("withheld.txt".to_owned(), c));
        let places: Vec<(String, String)> =
            files.chain(withheld).map(|(place, c)| (place, format!("no entry here names the body {c}"))).collect();
        for (place, what) in places {
            self.problem(Kind::Invalid, place, what);
        }
        Ok(())
    }

    fn take(
        &mut self,
        number: u64,
        entry: &Entry,
        time: &mut i64,
        runs: &mut BTreeMap<String, Vec<u64>>,
    ) -> Result<(), String> {
        let at = millis(text(entry, "at")?)?;
        let before = std::mem::replace(time, at.max(*time));
        if at < before {
            return Err("its time lies before that of an entry before it".to_owned());
        }
        match text(entry, "t")? {
            "genesis" => self.is_of_this_log(text(entry, "origin")?)?,
            "version" => self.need(number, commitment(entry, "checks_body")?),
            "deviation" => self.need(number, commitment(entry, "detail")?),
            "run" => {
                self.need(number, commitment(entry, "changes")?);
                self.take_run(number, entry, runs)?;
            }
            "observation" => self.take_observation(number, entry)?,
            _ => {}
        }
        Ok(())
    }

    fn is_of_this_log(&self, origin: &str) -> Result<(), String> {
        match origin == self.last.0 {
            true => Ok(()),
            false => Err("it names another log than checkpoints/last.txt".to_owned()),
        }
    }

    fn take_observation(&mut self, number: u64, entry: &Entry) -> Result<(), String> {
        self.rest_on(number, whole(entry, "run")?);
        if entry.get("same_as").is_some() {
            self.rest_on(number, whole(entry, "same_as")?);
        }
        let form = |words: &[&str]| match words {
            [check, resource, value, body] => {
                let mut bytes = check.bytes();
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                let begins = bytes.next().is_some_and(plain);
                let goes_on = bytes.all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'));
                begins && goes_on && hex(resource, 32) && VALUES.contains(value) && hex(body, 64)
            }
            _ => false,
        };
        let manifest =
            Manifest { commitment: commitment(entry, "manifest")?, count: count(entry, "rows")?, form: &form, key: 2 };
        let rows = self.manifest(number, &manifest)?;
        let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
        for row in &rows {
            if let [check, _, value, body] = row.split(' ').collect::<Vec<_>>().as_slice() {
                *counted.entry(((*check).to_owned(), (*value).to_owned())).or_default() += 1;
                self.need(number, Some((*body).to_owned()));
            }
        }
        let mut said = BTreeMap::new();
        for line in list(entry, "checks")? {
            for value in VALUES {
                let count = count(line, value)?;
                if count > 0 {
                    said.insert((text(line, "check")?.to_owned(), value.to_owned()), count);
                }
            }
        }
        if !rows.is_empty() && said != counted {
            return Err("its counts are not those of its rows".to_owned());
        }
        Ok(())
    }

    fn take_run(&mut self, number: u64, run: &Entry, runs: &mut BTreeMap<String, Vec<u64>>) -> Result<(), String> {
        let exchanges = commitment(run, "exchanges")?;
        let calls = Manifest { commitment: exchanges, count: whole(run, "calls")?, form: &|_| true, key: 0 };
        for line in self.manifest(number, &calls)? {
            let call: Value = serde_json::from_str(&line).map_err(|e| format!("a call does not read: {e}"))?;
            for body in list(&call, "body")? {
                self.need(number, Some(body.as_str().ok_or("a call names no body")?.to_owned()));
            }
            self.need(number, commitment(&call, "request_body")?);
        }
        let form = |words: &[&str]| matches!(words, [resource, body] if hex(resource, 32) && hex(body, 64));
        for population in list(run, "populations")? {
            let (commitment, count) = (commitment(population, "manifest")?, whole(population, "count")?);
            for row in self.manifest(number, &Manifest { commitment, count, form: &form, key: 1 })? {
                self.need(number, row.split(' ').nth(1).map(str::to_owned));
            }
        }
        let scheduled = match run.get("trigger") {
            Some(Value::Object(trigger)) => {
                trigger.get("slot").and_then(Value::as_str).ok_or("a trigger without its slot")?
            }
            _ => text(run, "started")?,
        };
        let scheduled = millis(scheduled)?;
        if scheduled >= self.begin && scheduled < self.end {
            let earlier = runs.entry(text(run, "stream")?.to_owned()).or_default();
            let last = earlier.last().copied();
            earlier.push(number);
            let prev = run.get("prev").and_then(Value::as_u64);
            if let Some(last) = last.filter(|last| prev != Some(*last)) {
                let what = format!("runs between #{last} and it are not here");
                self.problem(Kind::Incomplete, format!("#{number}"), what);
            }
            self.rest_on(number, whole(run, "intent")?);
        }
        Ok(())
    }

    fn rest_on(&mut self, number: u64, other: u64) {
        if !self.known_entries.contains(&other) {
            let what = format!("#{number} rests on it, and it is not here");
            self.problem(Kind::Incomplete, format!("#{other}"), what);
        }
    }

    fn need(&mut self, number: u64, commitment: Option<String>) {
        let Some(commitment) = commitment else { return };
        let known = *self.needed.entry(commitment.clone()).or_insert(number) < number;
        if !known && !self.bodies.contains_key(&commitment) && !self.withheld.contains_key(&commitment) {
            let what = format!("the body {commitment} that it names is neither here nor withheld");
            self.problem(Kind::Incomplete, format!("#{number}"), what);
        }
    }

    /// The rows of a manifest, counted, each in its form and in its order; none where it is withheld.
    fn manifest(&mut self, number: u64, manifest: &Manifest<'_>) -> Result<Vec<String>, String> {
        self.need(number, manifest.commitment.clone());
        let Some(commitment) = &manifest.commitment else {
            return match manifest.count {
                0 => Ok(Vec::new()),
                count => Err(format!("it counts {count} rows and names no list of them")),
            };
        };
        let Some(body) = self.bodies.get(commitment) else { return Ok(Vec::new()) };
        let short = body.file.clone();
        let rows = rows_of(&body.bytes)?;
        if rows.len() as u64 != manifest.count {
            return Err(format!("it counts {} rows, and {short} has {}", manifest.count, rows.len()));
        }
        let mut before: Vec<&str> = Vec::new();
        for (place, row) in (1..).zip(&rows) {
            let words: Vec<&str> = row.split(' ').collect();
            let key: Vec<&str> = words.iter().take(manifest.key).copied().collect();
            if !(manifest.form)(&words) || (manifest.key > 0 && key <= before) {
                return Err(format!("{short} line {place}: out of form or order"));
            }
            before = key;
        }
        Ok(rows)
    }
}

/// The lines of a manifest.
pub(crate) fn rows_of(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a manifest is not text".to_owned())?;
    let mut rows: Vec<String> = text.split('\n').map(str::to_owned).collect();
    rows.pop();
    Ok(rows)
}

/// Whether a word is that many lower-case hexadecimal digits.
pub(crate) fn hex(word: &str, digits: usize) -> bool {
    word.len() == digits && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
