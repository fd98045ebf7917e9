//! alerts.
