//! The life of a deviation: opened, regressed, resolved, gone.

use serde::{Deserialize, Serialize};

use crate::{ObservationValue, RowAddress, Timestamp};

/// A step in the life of a deviation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The resource deviates for the first time.
    Opened,
    /// It deviates again after it had been resolved.
    Regressed,
    /// Evidence shows that it conforms, or that the check no longer applies to it.
    Resolved,
    /// A complete population shows that the resource no longer exists.
    Gone,
}

impl Change {
    /// Whether the deviation is open after this step.
    pub fn opens(self) -> bool {
        matches!(self, Change::Opened | Change::Regressed)
    }

    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Opened => "opened",
            Change::Regressed => "regressed",
            Change::Resolved => "resolved",
            Change::Gone => "gone",
        }
    }
}

/// Where one check stands with one resource after its last step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviationState {
    /// Whether it is open.
    pub open: bool,
    /// Which opening this is, from 1. An incident is one episode.
    pub episode: u32,
    /// It was already so when this check first looked at this source; pages nobody.
    pub baseline: bool,
    /// The deviation entry of the episode's opening.
    pub opened_by: u64,
    /// When the episode opened.
    pub opened_at: Timestamp,
    /// The last deviation entry.
    pub last_entry: u64,
    /// The observation the last step rests on.
    pub observation: RowAddress,
}

/// Decides the step, if any, that an observation means.
///
/// `observed` is `None` when a *complete* population no longer holds the resource; callers must not ask on the word of
/// an incomplete one. An undetermined observation is never a step: what deviated still does, as far as anyone knows.
pub fn transition(before: Option<&DeviationState>, observed: Option<ObservationValue>) -> Option<Change> {
    let open = before.is_some_and(|state| state.open);
    match (observed, open) {
        (Some(ObservationValue::Deviates), false) if before.is_some() => Some(Change::Regressed),
        (Some(ObservationValue::Deviates), false) => Some(Change::Opened),
        (Some(ObservationValue::Conforms | ObservationValue::NotApplicable), true) => Some(Change::Resolved),
        (None, true) => Some(Change::Gone),
        (Some(ObservationValue::Deviates), true)
        | (Some(ObservationValue::Undetermined), _)
        | (Some(ObservationValue::Conforms | ObservationValue::NotApplicable) | None, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ObservationValue::{Conforms, Deviates, NotApplicable, Undetermined};

    fn state(open: bool) -> DeviationState {
        let observation = RowAddress { entry: 1, row: Some(0) };
        DeviationState {
            open,
            episode: 1,
            baseline: false,
            opened_by: 2,
            opened_at: Timestamp::default(),
            last_entry: 2,
            observation,
        }
    }

    #[test]
    fn every_pair_of_before_and_after_has_its_step() {
        let (open, closed) = (state(true), state(false));
        let table = [
            (None, Some(Conforms), None),
            (None, Some(Deviates), Some(Change::Opened)),
            (None, Some(Undetermined), None),
            (None, Some(NotApplicable), None),
            (None, None, None),
            (Some(&open), Some(Conforms), Some(Change::Resolved)),
            (Some(&open), Some(Deviates), None),
            (Some(&open), Some(Undetermined), None),
            (Some(&open), Some(NotApplicable), Some(Change::Resolved)),
            (Some(&open), None, Some(Change::Gone)),
            (Some(&closed), Some(Conforms), None),
            (Some(&closed), Some(Deviates), Some(Change::Regressed)),
            (Some(&closed), Some(Undetermined), None),
            (Some(&closed), Some(NotApplicable), None),
            (Some(&closed), None, None),
        ];
        for (before, observed, step) in table {
            assert_eq!(transition(before, observed), step, "{before:?} then {observed:?}");
        }
    }
}
