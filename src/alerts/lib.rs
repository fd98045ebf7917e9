//! Tells people: alerts go in, one notification per receiver and episode comes out, and every word is remembered.
//!
//! The stages stand in the order they are passed: silence → deduplicate → route → send → remember. The first three are
//! one pure function, [`decide`], which gives every pair of alert and receiver a verdict with a named reason. Sending
//! goes through a [`Receiver`] over a [`Transport`] that the daemon provides. What was sent is a fact of the ledger
//! ([`domain::entry::Delivery`]), and [`Remembered`] is nothing but a fold of those facts: the outbox is durable
//! without a store of its own, because what is pending is what should be told minus what was accepted.
//!
//! A receiver is told *at least once*, under an id that never changes from try to try, and never of two incidents for
//! one episode. To add a receiver, write one file like `webhook.rs` and name it in `receiver_kinds!` of `config.rs`.

mod alertmanager;
mod config;
mod decide;
mod dispatch;
mod notification;
mod pagerduty;
mod receiver;
mod remember;
pub mod text;
mod webhook;

#[cfg(test)]
mod samples;

pub use alertmanager::Settings as AlertmanagerSettings;
pub use config::{BuildError, Pattern, Problem, ReceiverSettings, Route, SecretRef, Settings, Silence};
pub use decide::{Decision, Manner, Plan, Reason, Verdict, decide};
pub use dispatch::{DeadLetter, Dispatcher, Round, Sent};
pub use notification::{Notification, Tells};
pub use pagerduty::Settings as PagerDutySettings;
pub use receiver::{Answer, Post, Receipt, Receiver, Refusal, SendError, Transport, TransportError};
pub use remember::{Remembered, Tries};
pub use webhook::Settings as WebhookSettings;
