//! The one read layer: pages, API, exports and alerts all see the answers given here.

mod alert;
pub use alert::{Alert, AlertClass, AlertState, Seen};
