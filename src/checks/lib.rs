//! Checks as data, and the pure judgement they give: resources and checks in, observations and findings out.
//!
//! Nothing here reads a file, a network or a clock. Texts are handed in, and so is the time.

mod problem;
pub use problem::{Excerpt, Problem, did_you_mean, nearest};

mod discretion;
pub use discretion::Discretion;

pub mod yaml;

mod definition;
pub use definition::{Example, FieldSource, Kind, Needs, Param};

mod check;
pub use check::Check;

mod expression;
mod functions;
mod value;

mod evaluate;
pub use evaluate::{Prepared, Reason, Verdict, evaluate, verdict};

mod framework;
pub use framework::{Automation, Control, Framework, Role, Theme};

mod load;
mod set;
pub use set::{CheckSet, Params, Texts};

mod examples;
pub use examples::{ExampleOutcome, run_examples};

mod conclude;
pub use conclude::{CheckState, conclude, weigh};
