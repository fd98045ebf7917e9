//! What every connector stands on: the words it describes itself in, and the one client it may talk through.
//!
//! A connector asks; it cannot fail, cannot store, and cannot change anything at a source. It describes its questions
//! as static data ([`CollectorSpec`]), and [`run`] lets it ask one of them through a [`Recorder`], which keeps every
//! exchange, and a [`RunBuilder`], which keeps what was found and what could not be read.
//!
//! The modules in the order of a run: what is declared, how it is configured, how it is asked, what is kept.

mod spec;
pub use spec::{CallSpec, CollectorSpec, SecondCount, TypeSpec, action_asked};

mod secret;
pub use secret::{Credentials, SecretError, SecretRef, Secrets, SystemSecrets};

mod config;
pub use config::{
    AnySource, Common, ConnectError, FieldProblem, Kind, SourceConfig, address_problems, joined, nearest,
};

mod permissions;
pub use permissions::{Document, PermissionRow, Permissions};

mod connector;
pub use connector::{Connector, Surroundings, run};

mod limits;
pub use limits::{Jitter, Limits, Manners, Rate, by_status, throttles_by_headers};

mod budget;
pub use budget::{Budget, Budgets};

mod client;
pub use client::{Clients, Network, Proxy, Transport, TransportError};

mod body;
pub use body::{BodySink, Conditional, Earlier, SinkError};

mod evidence;
pub use evidence::{Evidence, EvidenceError, READ, Recorded};

mod recorder;
pub use recorder::{Answer, Recorder, Unread};

mod keeping;
pub use keeping::Arrived;

pub mod redact;
pub mod status;
pub mod view;

mod builder;
pub use builder::{Found, RunBuilder, outcome};

mod items;
mod page;
pub use page::{Pages, Walked, next_link, walk_by_link, walk_by_offset};

pub mod outbound;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod tests;

// Re-exported so that a connector needs no version of its own.
pub use async_trait::async_trait;
pub use http;
