//! The nouns of evidenced, one word for one thing.
//!
//! Nothing here does I/O, waits, or reads a clock: time, randomness and identity come in as arguments. Every other
//! crate speaks in these types. The order of the modules is the order of the story: when, what, what was asked, what
//! was found, what a check says of it, what follows, and how all of it is written into the ledger.

mod error;
pub use error::in_full;

mod time;
pub use time::{Clock, Duration, ParseDurationError, ParseTimestampError, Timestamp};

mod id;
pub use id::{
    BodyId, CheckId, CollectorName, ControlAddress, ControlId, FrameworkId, IdError, Pseudonym, ResourceKey,
    ResourceType, RowAddress, SourceId, StreamId,
};

mod run;
pub use run::{
    Actor, ChangeEvent, CollectionRun, Exchange, Field, Gap, GapReason, Outcome, Resource, Slot, Trigger, Try,
    UnknownActor,
};

mod population;
pub use population::{Added, Population, Reconciliation};

mod check;
pub use check::{
    Bearing, CheckCounts, Finding, FindingReason, FindingValue, LinkState, Mapping, Observation, ObservationValue,
    Severity,
};

mod deviation;
pub use deviation::{Change, DeviationState, transition};

mod trouble;
pub use trouble::{Trouble, TroubleIn};

pub mod entry;
