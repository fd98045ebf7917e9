//! Controls: what each check of each source says for them, and the latest finding.

use domain::{
    Bearing, CheckCounts, CheckId, ControlAddress, ControlId, FindingReason, FindingValue, FrameworkId, LinkState,
    Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::rows::{FindingRow, StreamRow, key};
use store::{ReadError, fold};

use crate::Query;

/// One control and what is known of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ControlView {
    /// The catalogue.
    pub framework: FrameworkId,
    /// The control's number.
    pub control: ControlId,
    /// Its short title.
    pub title: String,
    /// The edition of the standard that this number is of.
    pub edition: String,
    /// For whom the standard gives guidance on it, where it says so: customer, provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The numbers of other catalogues on the same subject: for readers, nothing is concluded from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corresponds: Vec<ControlAddress>,
    /// The conclusion; *not evidenced* before there is one.
    pub value: FindingValue,
    /// Its reason; `None` before there is a finding.
    pub reason: Option<FindingReason>,
    /// The finding entry and when it was recorded.
    pub entry: Option<u64>,
    /// See `entry`.
    pub since: Option<Timestamp>,
    /// The checks that bear on it, on each source that feeds them.
    pub links: Vec<LinkView>,
}

impl ControlView {
    /// Why the conclusion is what it is, in words. What deviated and cannot be looked at any more is said to have
    /// deviated: it counts on, but nobody saw it lately.
    pub fn because(&self) -> &'static str {
        let seen = |link: &LinkView| link.state.counts.as_ref().is_some_and(|counts| counts.deviates > 0);
        match self.reason {
            None => "nothing was concluded yet",
            Some(FindingReason::Deviates) if !self.links.iter().any(seen) => {
                "a linked check deviated when it could last look, and cannot look now"
            }
            Some(reason) => reason.as_str(),
        }
    }
}

/// One check of one source, for a control.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LinkView {
    /// What is true when the check conforms.
    pub title: String,
    /// Why it bears on the control.
    pub why: String,
    /// Its state.
    #[serde(flatten)]
    pub state: LinkState,
    /// Whether its evidence is older than it may be.
    pub stale: bool,
    /// The entry that holds its rows.
    pub entry: Option<u64>,
}

/// A catalogue in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FrameworkView {
    /// Its name.
    pub framework: FrameworkId,
    /// Its title.
    pub title: String,
    /// Which edition of the standard it holds, and whether that one was withdrawn.
    pub edition: String,
    /// The catalogue of the edition that took its place.
    pub replaced_by: Option<FrameworkId>,
    /// How many controls it holds.
    pub controls: usize,
}

impl Query<'_> {
    /// The catalogues in force, by name.
    pub fn frameworks(&self) -> Vec<FrameworkView> {
        let view = |(id, info): (&FrameworkId, &crate::FrameworkInfo)| FrameworkView {
            framework: id.clone(),
            title: info.title.clone(),
            edition: info.edition.clone(),
            replaced_by: info.replaced_by.clone(),
            controls: info.controls.len(),
        };
        self.catalogue.frameworks.iter().map(view).collect()
    }

    /// All controls of a catalogue in its order; `None` when there is no such catalogue.
    pub fn controls(&self, framework: &FrameworkId) -> Result<Option<Vec<ControlView>>, ReadError> {
        let Some(info) = self.catalogue.frameworks.get(framework) else { return Ok(None) };
        let states = self.link_states()?;
        let mut views = Vec::with_capacity(info.controls.len());
        for control in &info.controls {
            let row: Option<FindingRow> = fold::get(self.read.index().as_ref(), &key::finding(framework, &control.id))?;
            let links = states.iter().filter_map(|(state, entry)| {
                let check = self.catalogue.checks.get(&state.check)?;
                let mapping = check.mappings.iter().find(|m| m.framework == *framework && m.control == control.id)?;
                let stale = state.at.is_some_and(|at| self.now.since(at) > state.greatest_age);
                let state = LinkState { bearing: mapping.bearing, ..state.clone() };
                Some(LinkView { title: check.title.clone(), why: mapping.why.clone(), state, stale, entry: *entry })
            });
            let mut links: Vec<LinkView> = links.collect();
            links.sort_by(|a, b| a.state.bearing.cmp(&b.state.bearing).then(a.state.check.cmp(&b.state.check)));
            views.push(ControlView {
                framework: framework.clone(),
                control: control.id.clone(),
                title: control.title.clone(),
                edition: info.edition.clone(),
                roles: control.roles.clone(),
                corresponds: control.corresponds.clone(),
                value: row.as_ref().map_or(FindingValue::NotEvidenced, |row| row.value),
                reason: row.as_ref().map(|row| row.reason),
                entry: row.as_ref().map(|row| row.entry),
                since: row.as_ref().map(|row| row.at),
                links,
            });
        }
        Ok(Some(views))
    }

    /// What every check says on every source that can feed it or once did, and the entry that holds its rows; one state
    /// without a source where there is none. The bearing is left at *supports*: it belongs to the link, not to the check.
    pub fn link_states(&self) -> Result<Vec<(LinkState, Option<u64>)>, ReadError> {
        let mut open: std::collections::BTreeMap<(CheckId, domain::SourceId), u64> = Default::default();
        for row in self.deviation_rows()?.into_iter().filter(|row| row.state.open) {
            *open.entry((row.check, row.source)).or_default() += 1;
        }
        let streams = self.stream_rows()?;
        // What was once looked at keeps its say when it is taken out of the settings: its last word grows old, and what
        // deviated there stays open. Nothing comes to conform because somebody looked away.
        let watched = streams.iter().map(|row| row.stream.source());
        let sources: std::collections::BTreeSet<domain::SourceId> =
            self.catalogue.sources.keys().cloned().chain(watched).collect();
        let mut states = Vec::new();
        for (id, check) in &self.catalogue.checks {
            let none = LinkState {
                check: id.clone(),
                bearing: Bearing::Supports,
                source: None,
                counts: None,
                complete: false,
                open: 0,
                at: None,
                greatest_age: check.greatest_age,
            };
            let before = states.len();
            for source in sources.iter().filter(|source| source.kind() == check.source_kind) {
                let stream = source.stream(&check.collector);
                let observed = streams.iter().find(|row| row.stream == stream).and_then(|row| latest(row, id));
                if observed.is_none() && self.catalogue.stream_feeding(check, source).is_none() {
                    continue;
                }
                let open = open.get(&(id.clone(), source.clone())).copied().unwrap_or(0);
                let state = LinkState { source: Some(source.clone()), open, ..none.clone() };
                states.push(match observed {
                    Some((counts, complete, at, entry)) => {
                        (LinkState { counts: Some(counts), complete, at: Some(at), ..state }, Some(entry))
                    }
                    None => (state, None),
                });
            }
            if states.len() == before {
                states.push((none, None));
            }
        }
        Ok(states)
    }
}

/// The latest word of a check on a stream: counts, whether whole, when, and the entry with the rows.
fn latest(row: &StreamRow, check: &CheckId) -> Option<(CheckCounts, bool, Timestamp, u64)> {
    let observed = row.observed.as_ref()?;
    let line = observed.checks.iter().find(|line| line.check == *check)?;
    Some((line.counts.clone(), line.complete, observed.at, observed.rows_in))
}
