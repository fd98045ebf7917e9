//! Alerts, a network and a clock to test with.
