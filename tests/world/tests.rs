//! The world's own tests of its AWS account and its GitHub organisation, held to what the vendors publish.

mod aws;
mod github;
mod service_model;
