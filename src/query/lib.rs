//! The one read layer: pages, API, exports and alerts all see the answers given here.
//!
//! A [`Query`] looks at what is recorded ([`store::Read`]) through what is known ([`Catalogue`]: checks, controls,
//! owners) at one moment. It changes nothing and hides nothing: every answer names the entries it rests on.

mod alert;
mod catalogue;
mod changes;
mod controls;
mod damage;
mod deviations;
mod last_rows;
mod older;
mod ourselves;
mod room;
mod show;
mod silence;
mod streams;
mod trouble;

pub use alert::{Alert, AlertClass, AlertState, Seen};
pub use catalogue::{Catalogue, CheckInfo, ControlInfo, FrameworkInfo, SourceInfo};
pub use changes::ChangeView;
pub use controls::{ControlView, FrameworkView, LinkView};
pub use room::RoomView;
pub use show::{EXCHANGES, EntryView, ExchangeView, RowView};
pub use streams::{CheckView, CoverageView, StreamView};
pub use trouble::TroubleView;

use domain::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::rows::{Watermark, key};
use store::{Read, ReadError, fold};

/// Questions about what is recorded, as of one moment.
pub struct Query<'a> {
    /// What is recorded.
    pub read: &'a dyn Read,
    /// What is known.
    pub catalogue: &'a Catalogue,
    /// The moment that ages are counted from.
    pub now: Timestamp,
}

/// The ledger as signed last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LedgerView {
    /// Its name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root, hexadecimal.
    pub root: String,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Everything the first page shows, in its order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// Who is watched.
    pub organisation: String,
    /// As of when.
    pub now: Timestamp,
    /// The ledger.
    pub ledger: LedgerView,
    /// The disk is nearly full: nothing is collected until there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomView>,
    /// What is amiss with the daemon itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<TroubleView>,
    /// What changed lately, newest first.
    pub changes: Vec<ChangeView>,
    /// What deviates, the worst first, then the oldest.
    pub deviations: Vec<Alert>,
    /// Sources and how fresh they are; each carries what could not be seen.
    pub streams: Vec<StreamView>,
}

impl Query<'_> {
    /// The ledger as signed last.
    pub fn ledger(&self) -> Result<LedgerView, ReadError> {
        let head = self.read.head()?;
        Ok(LedgerView { origin: head.origin, size: head.size, root: head.root, checkpoint: head.note })
    }

    /// How many entries of the ledger the index holds.
    pub fn indexed(&self) -> Result<u64, ReadError> {
        let mark: Option<Watermark> = fold::get(self.read.index().as_ref(), key::WATERMARK)?;
        Ok(mark.map_or(0, |mark| mark.head.size))
    }

    /// What the first page shows; at most `changes` changes.
    pub fn overview(&self, changes: usize) -> Result<Overview, ReadError> {
        Ok(Overview {
            organisation: self.catalogue.organisation.clone(),
            now: self.now,
            ledger: self.ledger()?,
            room: self.room()?.filter(|row| row.lost).map(RoomView::from),
            troubles: self.troubles()?,
            changes: self.changes(None, changes)?,
            deviations: self.open_deviations()?,
            streams: self.streams()?,
        })
    }
}
