//! The tables that people open: derived again from the evidence, to be compared with those in the package.

use serde_json::Value;

use crate::meaning::{rows_of, text, whole};
use crate::package::Package;
use crate::report::Kind;
use crate::slots::count;

/// The columns of the table of observations.
const ROW_COLUMNS: [&str; 11] =
    ["address", "recorded", "stream", "run", "check", "resource", "value", "name", "reason", "commitment", "body"];
/// The columns of the table of resources.
const POPULATION_COLUMNS: [&str; 9] =
    ["address", "recorded", "stream", "type", "resource", "name", "id", "commitment", "body"];

/// A line of a table, without its end. Every cell is in quotes; control characters become spaces, and a cell that a
/// spreadsheet would take for a formula begins with an apostrophe.
pub fn csv_line<T: AsRef<str>>(cells: &[T]) -> String {
    let cells = cells.iter().map(|cell| {
        let clean: String = cell.as_ref().chars().map(|c| if c < ' ' || c == '\u{7f}' { ' ' } else { c }).collect();
        let formula = clean.trim_start_matches(' ').starts_with(['=', '+', '-', '@']);
        format!("\"{}{}\"", if formula { "'" } else { "" }, clean.replace('"', "\"\""))
    });
    cells.collect::<Vec<_>>().join(",")
}

/// Both tables, line by line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// One line for each row of an observation entry, below the columns.
    pub rows: Vec<String>,
    /// One line for each resource of a population, below the columns.
    pub population: Vec<String>,
}

impl Package {
    /// Derives both tables again and names the first line that differs.
    pub(crate) fn read_tables(&mut self) -> Result<(), String> {
        let tables = self.derive_tables()?;
        for (short, derived) in [("csv/rows.csv", tables.rows), ("csv/population.csv", tables.population)] {
            let lines = self.lines(short)?;
            let longest = lines.len().max(derived.len());
            if let Some(wrong) = (0..longest).find(|at| lines.get(*at) != derived.get(*at)) {
                let what = "it does not say what the evidence says";
                self.problem(Kind::Invalid, format!("{short} line {}", wrong + 1), what);
            }
        }
        Ok(())
    }

    /// Both tables from the evidence.
    pub(crate) fn derive_tables(&self) -> Result<Tables, String> {
        let (mut rows, mut people) = (vec![csv_line(&ROW_COLUMNS)], vec![csv_line(&POPULATION_COLUMNS)]);
        for (number, entry) in &self.entries {
            if text(entry, "t")? == "observation"
                && let Some(manifest) = entry.get("manifest").and_then(Value::as_str).and_then(|c| self.bodies.get(c))
            {
                for (at, row) in rows_of(&manifest.bytes)?.iter().enumerate() {
                    let words: Vec<&str> = row.split(' ').collect();
                    let [check, resource, value, commitment] = words.as_slice() else {
                        return Err("a row does not have four words".to_owned());
                    };
                    let mut cells = self.begin_row(*number, at as u64, entry)?;
                    cells.push(format!("#{}", whole(entry, "run")?));
                    cells.extend([*check, *resource, *value].map(str::to_owned));
                    cells.extend(self.shown(commitment, ["name", "reason"])?);
                    rows.push(csv_line(&cells));
                }
            }
            let mut place = count(entry, "calls")?;
            for population in entry.get("populations").and_then(Value::as_array).into_iter().flatten() {
                let commitment = population.get("manifest").and_then(Value::as_str);
                let found = commitment.and_then(|c| Some((c, self.bodies.get(c)?)));
                if let Some((_, manifest)) = found.filter(|(c, _)| self.needed.get(*c) == Some(number)) {
                    for (at, row) in (place..).zip(rows_of(&manifest.bytes)?.iter()) {
                        let (resource, commitment) = row.split_once(' ').ok_or("a row does not have two words")?;
                        let mut cells = self.begin_row(*number, at, entry)?;
                        cells.extend([text(population, "type")?.to_owned(), resource.to_owned()]);
                        cells.extend(self.shown(commitment, ["name", "id"])?);
                        people.push(csv_line(&cells));
                    }
                }
                place += whole(population, "count")?;
            }
        }
        Ok(Tables { rows, population: people })
    }

    fn begin_row(&self, number: u64, row: u64, entry: &Value) -> Result<Vec<String>, String> {
        Ok(vec![format!("#{number}/{row}"), text(entry, "at")?.to_owned(), text(entry, "stream")?.to_owned()])
    }

    /// Two members of a row's body as far as they are shown, its commitment, and where it is.
    fn shown(&self, commitment: &str, names: [&str; 2]) -> Result<Vec<String>, String> {
        let Some(body) = self.bodies.get(commitment) else {
            let reason = self.withheld.get(commitment).map_or("", String::as_str);
            return Ok(vec![String::new(), String::new(), commitment.to_owned(), format!("withheld: {reason}")]);
        };
        let members: Value = serde_json::from_slice(&body.bytes).map_err(|e| format!("a row does not read: {e}"))?;
        let member = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut cells = names.map(member).to_vec();
        cells.extend([commitment.to_owned(), body.file.clone()]);
        Ok(cells)
    }
}
