//! Checks as data, and the pure judgement they give: resources and checks in, observations and findings out.
//!
//! Nothing here reads a file, a network or a clock. Texts are handed in, and so is the time.

mod problem;
pub use problem::{Excerpt, Problem, did_you_mean, nearest};

pub mod yaml;
