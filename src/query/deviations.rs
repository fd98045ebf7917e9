//! Deviations and losses of coverage as alerts: everything that a page, a receiver or a person needs.

use std::collections::BTreeMap;

use domain::entry::{DeviationDetail, Fact};
use domain::{BodyId, Change, Duration, GapReason, RowAddress, Severity, SourceId, StreamId, Timestamp, UnknownActor};
use sha2::{Digest, Sha256};
use store::rows::{CoverageRow, DeviationRow, StreamRow, key};
use store::{ReadError, fold};

use crate::last_rows::LastRows;
use crate::{Alert, AlertClass, AlertState, Query, Seen};

impl Query<'_> {
    /// Open deviations, the worst first, then the oldest.
    pub fn open_deviations(&self) -> Result<Vec<Alert>, ReadError> {
        let (mut alerts, last) = (Vec::new(), LastRows::default());
        for row in self.deviation_rows()? {
            if row.state.open {
                alerts.push(self.alert_of(&row, &last)?);
            }
        }
        alerts.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.opened_at.cmp(&b.opened_at)).then(a.key.cmp(&b.key)));
        Ok(alerts)
    }

    /// Everything a receiver may have to be told of: what holds, and what ended less than `ended_within` ago. The
    /// baseline of a stream is one alert of its own.
    pub fn alerts(&self, ended_within: Duration) -> Result<Vec<Alert>, ReadError> {
        let recent = |at: Timestamp| self.now.since(at) <= ended_within;
        let (mut alerts, last) = (Vec::new(), LastRows::default());
        let mut baselines: BTreeMap<(StreamId, u64), Vec<DeviationRow>> = BTreeMap::new();
        for row in self.deviation_rows()? {
            if row.state.open || recent(row.at) {
                alerts.push(self.alert_of(&row, &last)?);
            }
            if row.state.baseline && recent(row.state.opened_at) {
                baselines.entry((self.stream_of(&row), row.opened_in)).or_default().push(row);
            }
        }
        for ((stream, _), rows) in baselines {
            alerts.extend(self.baseline_alert(&stream, &rows)?);
        }
        for row in self.stream_rows()? {
            let Some(coverage) = row.coverage.clone() else { continue };
            if coverage.lost || recent(coverage.at) {
                alerts.push(self.coverage_alert(&row, &coverage)?);
            }
        }
        if let Some(row) = self.room()?.filter(|row| row.lost || recent(row.at)) {
            alerts.push(self.room_alert(&row)?);
        }
        for row in self.trouble_rows()?.into_iter().filter(|row| row.amiss || recent(row.at)) {
            alerts.push(self.trouble_alert(&row)?);
        }
        for row in self.damages()?.iter().filter(|row| row.lost || recent(row.at)) {
            alerts.push(self.damage_alert(row)?);
        }
        for row in self.authorities()? {
            if let Some(silence) = row.silence.as_ref().filter(|silence| silence.lost || recent(silence.at)) {
                alerts.push(self.silence_alert(&row, silence)?);
            }
        }
        Ok(alerts)
    }

    /// All deviations there ever were, open and closed.
    pub fn deviation_rows(&self) -> Result<Vec<DeviationRow>, ReadError> {
        let pairs = self.read.index().scan(key::DEVIATIONS, None, usize::MAX)?;
        pairs.iter().map(|(_, bytes)| Ok(fold::read(bytes)?)).collect()
    }

    /// The details that stand in a deviation's body; `None` when it was erased.
    pub fn detail(&self, body: &BodyId) -> Result<Option<DeviationDetail>, ReadError> {
        let Some(bytes) = self.read.body(body)? else { return Ok(None) };
        let detail = serde_json::from_slice(&bytes)
            .map_err(|e| ReadError::Malformed(format!("the details of a deviation do not read: {e}")))?;
        Ok(Some(detail))
    }

    /// A deviation as an alert.
    pub fn deviation_alert(&self, row: &DeviationRow) -> Result<Alert, ReadError> {
        self.alert_of(row, &LastRows::default())
    }

    fn alert_of(&self, row: &DeviationRow, last_rows: &LastRows) -> Result<Alert, ReadError> {
        let opened = self.detail(&row.opened_detail)?;
        let last = if row.detail == row.opened_detail { opened.clone() } else { self.detail(&row.detail)? };
        let info = self.catalogue.checks.get(&row.check);
        let stream = self.stream_of(row);
        let subject = last.as_ref().or(opened.as_ref());
        let seen = |values, at, address| Seen { values, at, address };
        let was = match (&last, row.state.open) {
            // While it is open: what was before the opening. Once it ended: what it was while it deviated.
            (Some(detail), _) => detail.before_at.map(|at| {
                let address =
                    row.was.filter(|_| row.state.open).unwrap_or(RowAddress { entry: row.state.opened_by, row: None });
                seen(detail.before.clone(), at, address)
            }),
            (None, _) => None,
        };
        let is = last.as_ref().filter(|_| row.change != Change::Gone);
        let is = is.map(|detail| seen(detail.after.clone(), detail.after_at, row.state.observation));
        let mut unread_since = None;
        if row.state.open {
            let fed_by = self.stream_row(&stream)?;
            let lost = fed_by.coverage.as_ref().filter(|lost| lost.lost && lost.blind.contains(&row.check));
            // A check that is blind to some resources may well have looked at this one.
            unread_since = match lost {
                Some(lost) if last_rows.unread(self, fed_by.observed.as_ref(), row)? => Some(lost.since),
                _ => None,
            };
        }
        // A record whose key is lost is not one that was erased.
        let absent = match store::erased(self.read.index().as_ref(), &row.resource)? {
            Some(_) => "erased",
            None => "unreadable",
        };
        let nobody = || UnknownActor { reason: format!("the details are {absent}") };
        Ok(Alert {
            key: self.incident_key(&[row.check.as_str(), &row.resource.to_string(), &row.state.episode.to_string()])?,
            class: AlertClass::Deviation,
            state: match row.change {
                Change::Opened | Change::Regressed => AlertState::Firing,
                Change::Resolved => AlertState::Resolved,
                Change::Gone => AlertState::Gone,
            },
            title: info.map_or_else(|| row.check.to_string(), |info| info.problem.clone()),
            subject: subject.map_or_else(|| format!("{absent} ({})", row.resource), |detail| detail.name.clone()),
            kind: Some(row.kind.clone()),
            source: row.source.clone(),
            check: Some(row.check.clone()),
            severity: row.severity,
            severity_why: info.map_or_else(String::new, |info| info.severity_why.clone()),
            controls: self.catalogue.controls_of(&row.check),
            owner: self.catalogue.owner(&row.source),
            first_action: info.map_or_else(String::new, |info| info.first_action.clone()),
            permalink: self.catalogue.permalink(RowAddress { entry: row.state.last_entry, row: None }),
            was,
            is,
            who: last.as_ref().map_or_else(|| Err(nobody()), |detail| detail.actor.clone()),
            changed_at: last.as_ref().and_then(|detail| detail.changed_at),
            opened_at: row.state.opened_at,
            opened_by: row.state.opened_by,
            entry: row.state.last_entry,
            at: row.at,
            baseline: row.state.baseline,
            unread_since,
            notes: Vec::new(),
            stream,
        })
    }

    fn coverage_alert(&self, row: &StreamRow, coverage: &CoverageRow) -> Result<Alert, ReadError> {
        let mut notes = Vec::new();
        if let (true, Some(run)) = (coverage.lost, &row.last_run) {
            for gap in self.gaps_of(run)? {
                let needs = gap.permission.map_or_else(String::new, |permission| format!("; needs {permission}"));
                notes.push(format!("{} {}: {}{needs}", gap.reason.as_str(), gap.call, gap.detail));
            }
        }
        if let (true, Some(observed)) = (coverage.lost, &row.observed)
            && let Some(Fact::Observation(said)) = self.read.entry(observed.entry)?.map(|entry| entry.fact)
            && let Some(why) = said.unkept
        {
            notes.push(format!("{} what the checks say: {why}", GapReason::OverLimit.as_str()));
        }
        for check in coverage.blind.iter().filter(|_| coverage.lost) {
            notes.push(format!("blind {check}: undetermined, not conforming"));
        }
        let mut controls: Vec<_> = coverage.blind.iter().flat_map(|check| self.catalogue.controls_of(check)).collect();
        controls.sort();
        controls.dedup();
        let worst =
            coverage.blind.iter().filter_map(|check| self.catalogue.checks.get(check)).map(|info| info.severity).max();
        let source = row.stream.source();
        let title = match (coverage.lost, coverage.reason) {
            (true, Some(reason)) => format!("Evidence is incomplete ({})", reason.as_str()),
            (true, None) => "Evidence is incomplete".to_owned(),
            (false, _) => "Evidence is complete again".to_owned(),
        };
        Ok(Alert {
            key: self.incident_key(&["coverage", row.stream.as_str(), &coverage.episode.to_string()])?,
            class: AlertClass::Coverage,
            state: if coverage.lost { AlertState::Firing } else { AlertState::Resolved },
            title,
            subject: row.stream.to_string(),
            kind: None,
            check: None,
            severity: worst.unwrap_or(Severity::Medium).min(Severity::High),
            severity_why: "what cannot be seen is not known to conform".to_owned(),
            controls,
            owner: self.catalogue.owner(&source),
            first_action: first_action(coverage.reason, &source),
            permalink: self.catalogue.permalink(RowAddress { entry: coverage.last_entry, row: None }),
            was: None,
            is: None,
            who: Err(UnknownActor { reason: "the source does not say".to_owned() }),
            changed_at: None,
            opened_at: coverage.since,
            opened_by: coverage.opened_by,
            entry: coverage.last_entry,
            at: coverage.at,
            baseline: false,
            unread_since: coverage.lost.then_some(coverage.since),
            notes,
            source,
            stream: row.stream.clone(),
        })
    }

    /// One summary of what was already so when checks first looked.
    fn baseline_alert(&self, stream: &StreamId, rows: &[DeviationRow]) -> Result<Option<Alert>, ReadError> {
        let Some(first) = rows.iter().min_by_key(|row| row.state.opened_by) else { return Ok(None) };
        let mut per_check: BTreeMap<&str, (usize, Severity)> = BTreeMap::new();
        for row in rows {
            let count = per_check.entry(row.check.as_str()).or_insert((0, row.severity));
            count.0 += 1;
        }
        let source = stream.source();
        // What stands for the whole look is its judgement: deviations of it come back as incidents of their own.
        let look = first.opened_in;
        Ok(Some(Alert {
            key: self.incident_key(&["baseline", stream.as_str(), &look.to_string()])?,
            class: AlertClass::Baseline,
            state: AlertState::Firing,
            title: match rows.len() {
                1 => "1 deviation was already here".to_owned(),
                n => format!("{n} deviations were already here"),
            },
            subject: stream.to_string(),
            kind: None,
            check: None,
            severity: Severity::Low,
            severity_why: "recorded, and nobody was paged: it was so before anyone looked".to_owned(),
            controls: Vec::new(),
            owner: self.catalogue.owner(&source),
            first_action: "go through them in office hours".to_owned(),
            permalink: self.catalogue.permalink(RowAddress { entry: look, row: None }),
            was: None,
            is: None,
            who: Err(UnknownActor { reason: "it was so before anyone looked".to_owned() }),
            changed_at: None,
            opened_at: first.state.opened_at,
            opened_by: look,
            entry: look,
            at: first.state.opened_at,
            baseline: true,
            unread_since: None,
            notes: per_check.iter().map(|(check, (count, severity))| format!("{count} {severity} {check}")).collect(),
            source,
            stream: stream.clone(),
        }))
    }

    /// The stream whose runs show a deviation: the check's collector, on the deviation's source.
    fn stream_of(&self, row: &DeviationRow) -> StreamId {
        let feeding = self.catalogue.checks.get(&row.check).map(|info| row.source.stream(&info.collector));
        feeding.unwrap_or_else(|| row.source.stream(&crate::catalogue::unknown_collector()))
    }

    /// Key of an incident: the same for the same thing, whatever the texts around it say.
    pub(crate) fn incident_key(&self, parts: &[&str]) -> Result<String, ReadError> {
        let mut digest = Sha256::new();
        digest.update(self.read.head()?.origin);
        for part in parts {
            digest.update([0]);
            digest.update(part);
        }
        let mut text = hex::encode(digest.finalize());
        text.truncate(32);
        Ok(text)
    }
}

/// What to do first about evidence that could not be read for this reason.
fn first_action(reason: Option<GapReason>, source: &SourceId) -> String {
    let what = match reason {
        Some(GapReason::Denied | GapReason::NotLicensed) => {
            format!("grant the reader what it lacks (evidenced permissions {})", source.kind())
        }
        Some(GapReason::Unauthenticated) => {
            "give the reader valid credentials: the source refuses those it has".to_owned()
        }
        Some(GapReason::Unreachable | GapReason::TimedOut | GapReason::SourceFault) => {
            "see whether the source is up and can be reached from here".to_owned()
        }
        Some(GapReason::Throttled) => "let it be asked less often, or raise its limit at the source".to_owned(),
        Some(GapReason::OverLimit) => {
            "raise the limit that was reached, in the settings; where there is none, have less read at once".to_owned()
        }
        Some(GapReason::NoEvidence) => "see why the sources that it joins were not read lately".to_owned(),
        Some(GapReason::Unmatched) => {
            "have the address verified where the identity is kept, or add a line to the mapping file".to_owned()
        }
        Some(GapReason::NotKept) => "make room where evidenced keeps its data".to_owned(),
        _ => "see what could not be read".to_owned(),
    };
    format!("{what}; then: evidenced run-now {source}")
}
