//! Brings the ledger in line with what is amiss with the daemon itself, so that pages, API and alerts tell it.

use domain::entry::Fact;
use domain::{Trouble, TroubleIn};
use store::rows::{TroubleRow, key};
use store::{Read, Store, StoreError, fold};

/// The greatest length of what is told of a trouble, in characters.
const GREATEST_DETAIL: usize = 1000;

/// Records that something is amiss in a place, and what, or (`None`) that nothing is; unless the ledger says so already.
/// Gives back whether something was recorded. Where the disk has no room for it nothing is: ask again later.
///
/// # Errors
/// The store stopped.
pub fn record(store: &Store, place: TroubleIn, amiss: Option<&str>) -> Result<bool, StoreError> {
    let _decided_once = store.deciding();
    let said: Option<TroubleRow> = fold::get(store.index().as_ref(), &key::trouble(place))
        .map_err(|e| StoreError::Stopped(domain::in_full(&e)))?
        .filter(|row: &TroubleRow| row.amiss);
    let detail: Option<String> = amiss.map(|text| text.chars().take(GREATEST_DETAIL).collect());
    let (amiss, detail, opened_by) = match (detail, said) {
        (Some(detail), Some(row)) if row.detail == detail => return Ok(false),
        (Some(detail), said) => (true, detail, said.map(|row| row.opened_by)),
        (None, Some(row)) => (false, "it is right again".to_owned(), Some(row.opened_by)),
        (None, None) => return Ok(false),
    };
    match store.record_one(Fact::Trouble(Trouble { place, amiss, detail, opened_by })) {
        Ok(_) => Ok(true),
        Err(StoreError::DiskFull(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
