//! What the last run of a stream said of one resource.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use domain::ObservationValue;
use store::ReadError;
use store::read::{ObservationLine, observation_lines};
use store::rows::{DeviationRow, ObservedRow};

use crate::Query;

/// The observations of the streams' last runs, each list read once however many deviations are asked for.
#[derive(Default)]
pub(crate) struct LastRows(RefCell<BTreeMap<u64, Rc<Vec<ObservationLine>>>>);

impl LastRows {
    /// Whether the check could not look at the resource of a deviation in the stream's last judged run: it says
    /// *undetermined* of it, or does not speak of it because the population was not read completely.
    pub(crate) fn unread(
        &self,
        query: &Query<'_>,
        observed: Option<&ObservedRow>,
        row: &DeviationRow,
    ) -> Result<bool, ReadError> {
        let Some(observed) = observed else { return Ok(true) };
        let lines = self.lines(query, observed)?;
        let place = lines.binary_search_by(|line| (&line.check, &line.resource).cmp(&(&row.check, &row.resource)));
        let said = place.ok().and_then(|place| lines.get(place));
        Ok(match said {
            Some(line) => line.value == ObservationValue::Undetermined,
            None => observed.checks.iter().find(|line| line.check == row.check).is_none_or(|line| !line.complete),
        })
    }

    fn lines(&self, query: &Query<'_>, observed: &ObservedRow) -> Result<Rc<Vec<ObservationLine>>, ReadError> {
        if let Some(known) = self.0.borrow().get(&observed.rows_in) {
            return Ok(known.clone());
        }
        let body = observed.manifest.as_ref().map(|manifest| query.read.body(manifest)).transpose()?.flatten();
        let lines = Rc::new(body.map(|body| observation_lines(&body)).transpose()?.unwrap_or_default());
        self.0.borrow_mut().insert(observed.rows_in, lines.clone());
        Ok(lines)
    }
}
