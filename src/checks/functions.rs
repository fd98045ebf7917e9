//! What the check language can call beyond its standard: lengths of time, and patterns compiled beforehand.
//!
//! All of them are relative to the time of evaluation, which is the end of the run that read the evidence. There is no
//! function that reads a clock, so the same evidence gives the same word for ever.

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelInt, CelString, CelTimestamp};
use cel::{Context, Env, ExecutionError, FunctionContext, Value};
use domain::Timestamp;

use crate::value::Pattern;

/// The name under which an evaluation's time is found.
pub(crate) const NOW: &str = "@now";

/// The name that calls of `matches` are given once their pattern is compiled.
pub(crate) const MATCHES: &str = "@matches";

/// The functions of our own, by name, with how many arguments they take.
pub(crate) const OURS: [(&str, usize); 7] = [
    ("days_since", 1),
    ("days_until", 1),
    ("days_between", 2),
    ("hours_since", 1),
    ("hours_between", 2),
    ("minutes_since", 1),
    ("minutes_between", 2),
];

/// The standard's functions that a check may call. Macros (`has`, `all`, `exists`, `exists_one`, `map`, `filter`) and
/// operators are no functions.
pub(crate) const STANDARD: [&str; 23] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "double",
    "string",
    "bool",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "hasValue",
    "orValue",
    "value",
];

/// The standard environment: what a name means while compiling and while evaluating.
pub(crate) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The context that every evaluation stands on: the standard and our functions, no variables. Made once, since making
/// it costs as much as several hundred evaluations.
pub(crate) static ROOT: LazyLock<Context<'static, 'static>> = LazyLock::new(|| {
    let mut root = Context::with_env(Arc::clone(&ENV));
    // A name can only be refused if the standard has it already; the tests call every one of them.
    for (name, _) in OURS {
        let (unit, relative) = name.split_once('_').unwrap_or_default();
        let millis = match unit {
            "days" => 86_400_000.0,
            "hours" => 3_600_000.0,
            _ => 60_000.0,
        };
        let order: Order = match relative {
            "since" => |f| Ok((moment(f, 0)?, now(f)?)),
            "until" => |f| Ok((now(f)?, moment(f, 0)?)),
            _ => |f| Ok((moment(f, 0)?, moment(f, 1)?)),
        };
        let added = root.add_function(name, move |f: &FunctionContext<'_, '_>| {
            let (from, to) = order(f)?;
            Ok::<_, ExecutionError>(Value::Float((to.millis() as f64 - from.millis() as f64) / millis))
        });
        debug_assert!(added.is_ok(), "{name} is a function of the standard");
    }
    let added = root.add_function(MATCHES, matches);
    debug_assert!(added.is_ok());
    root
});

/// Which moment a length begins at and which it ends at.
type Order = fn(&FunctionContext<'_, '_>) -> Result<(Timestamp, Timestamp), ExecutionError>;

/// The time of evaluation.
fn now(f: &FunctionContext<'_, '_>) -> Result<Timestamp, ExecutionError> {
    let now = f.ptx.get_variable(NOW);
    let millis = now.as_ref().and_then(|now| now.downcast_ref::<CelInt>()).map(|millis| *millis.inner());
    millis.map(Timestamp::from_millis).ok_or_else(|| f.error("there is no time of evaluation"))
}

/// An argument as a moment: RFC 3339 text, a bare date, or a `timestamp`.
fn moment(f: &FunctionContext<'_, '_>, place: usize) -> Result<Timestamp, ExecutionError> {
    let argument = f.args.get(place).ok_or_else(|| f.error("a moment is missing"))?;
    if let Some(text) = argument.downcast_ref::<CelString<'_>>() {
        return text.inner().parse().map_err(|refused| f.error(refused));
    }
    match argument.downcast_ref::<CelTimestamp>() {
        Some(t) => Ok(Timestamp::from_millis(t.inner().timestamp_millis())),
        None => Err(f.error(format_args!("expected a moment, found {}", argument.get_type().name()))),
    }
}

/// `text.matches(pattern)` or `matches(text, pattern)` with the pattern compiled.
fn matches(f: &FunctionContext<'_, '_>) -> Result<Value, ExecutionError> {
    let text = f.this.as_ref().or_else(|| f.args.first());
    let text = text.and_then(|text| text.downcast_ref::<CelString<'_>>());
    let pattern = f.args.last().and_then(|pattern| pattern.downcast_ref::<Pattern>());
    match (text, pattern) {
        (Some(text), Some(pattern)) => Ok(Value::Bool(pattern.0.is_match(text.inner()))),
        _ => Err(f.error("matches is for text")),
    }
}
