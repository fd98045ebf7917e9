//! Every slot that a schedule promises has exactly one outcome.

use serde_json::Value;

use crate::due;
use crate::meaning::{Entry, text, whole};
use crate::package::Package;
use crate::report::{Kind, OUTCOMES};
use crate::time::millis;

/// A slot this close to an open end may still be under way, in milliseconds.
const GRACE: i64 = 15 * 60_000;

/// One slot, or a range of missed ones, that has its outcome.
struct Outcome {
    first: i64,
    last: i64,
    entry: u64,
    /// Its place in [`OUTCOMES`].
    kind: usize,
}

/// What one schedule promises within the period, and where it says so.
struct Promise<'a> {
    stream: &'a str,
    schedule: u64,
    due: Vec<i64>,
}

impl Package {
    /// Holds the slots of every stream against the outcomes that are here.
    pub(crate) fn read_slots(&mut self) -> Result<(), String> {
        let streams = self.about.get("streams").and_then(Value::as_array).cloned().ok_or("it names no streams")?;
        let open_end = self.about.get("open_end").and_then(Value::as_bool).ok_or("it says nothing of its end")?;
        let entries = std::mem::take(&mut self.entries);
        let done = streams.iter().try_for_each(|stream| {
            let stream = stream.as_str().ok_or("a stream without a name")?;
            self.of_stream(stream, &entries, open_end)
        });
        self.entries = entries;
        done
    }

    fn of_stream(
        &mut self,
        stream: &str,
        entries: &std::collections::BTreeMap<u64, Entry>,
        open_end: bool,
    ) -> Result<(), String> {
        let (mut outcomes, mut schedules) = (Vec::new(), Vec::new());
        for (number, entry) in entries.iter().filter(|(_, entry)| text(entry, "stream").is_ok_and(|of| of == stream)) {
            match text(entry, "t")? {
                "missed" => outcomes.push(Outcome {
                    first: millis(text(entry, "first")?)?,
                    last: millis(text(entry, "last")?)?,
                    entry: *number,
                    kind: 3,
                }),
                "run" => {
                    if let Some(trigger) = entry.get("trigger").and_then(Value::as_object) {
                        let slot = trigger.get("slot").and_then(Value::as_str).ok_or("a trigger without its slot")?;
                        let (slot, word) = (millis(slot)?, text(entry, "outcome")?);
                        let kind = OUTCOMES.iter().position(|known| *known == word).ok_or("an unknown outcome")?;
                        outcomes.push(Outcome { first: slot, last: slot, entry: *number, kind });
                    }
                }
                "schedule" => schedules.push((*number, entry)),
                _ => {}
            }
        }
        outcomes.sort_by_key(|outcome| (outcome.first, outcome.last, outcome.entry));
        for pair in outcomes.windows(2) {
            if let [before, after] = pair
                && after.first <= before.last
            {
                let what = format!("a slot of {stream} has its outcome in #{}", before.entry);
                self.problem(Kind::Invalid, format!("#{}", after.entry), what);
            }
        }
        if schedules.is_empty() {
            self.problem(Kind::Incomplete, "package.json", format!("no schedule of {stream} is here"));
        }
        let mut ends = Vec::new();
        for (_, later) in schedules.iter().skip(1) {
            ends.push(millis(text(later, "from")?)?);
        }
        ends.push(self.end);
        for ((number, schedule), end) in schedules.into_iter().zip(ends) {
            let Some(expression) = schedule.get("expression").and_then(Value::as_str) else { continue };
            let zone = schedule.get("zone").filter(|zone| !zone.is_null());
            let Some(zone) = zone.map_or(Some(due::UTC), |zone| due::zone(zone.as_str()?)) else {
                let what = format!("the clock that {stream} follows is not known here, and its slots are not counted");
                self.problem(Kind::Incomplete, format!("#{number}"), what);
                continue;
            };
            let begin = (self.begin - 1).max(millis(text(schedule, "from")?)?);
            let due = due::slots(expression, zone, begin, end.min(self.end - 1))?;
            self.settle(&Promise { stream, schedule: number, due }, &outcomes, open_end);
        }
        Ok(())
    }

    fn settle(&mut self, promise: &Promise<'_>, outcomes: &[Outcome], open_end: bool) {
        let settled = outcomes.iter().map(|outcome| outcome.last).max().unwrap_or(0);
        let mut lacking = 0u64;
        for slot in &promise.due {
            let begun = outcomes.partition_point(|outcome| outcome.first <= *slot);
            let holding = begun.checked_sub(1).and_then(|at| outcomes.get(at)).filter(|outcome| *slot <= outcome.last);
            match holding {
                Some(outcome) => {
                    if let Some(count) = self.slots.get_mut(outcome.kind) {
                        *count += 1;
                    }
                }
                None if open_end && *slot > settled.max(self.end - GRACE) => {}
                None => lacking += 1,
            }
        }
        if lacking > 0 {
            let what = format!("{lacking} slots of {} that it promises have no outcome here", promise.stream);
            self.problem(Kind::Incomplete, format!("#{}", promise.schedule), what);
        }
    }
}

/// A whole number in an entry that may be left out when it is 0.
pub(crate) fn count(entry: &Value, name: &str) -> Result<u64, String> {
    if entry.get(name).is_none() { Ok(0) } else { whole(entry, name) }
}
