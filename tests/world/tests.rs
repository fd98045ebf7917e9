//! The world's own tests of its AWS account, held to what the vendor publishes.

mod aws;
mod service_model;
