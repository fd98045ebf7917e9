//! The smallest connector that passes the harness. Copy the folder, rename it, and change one thing at a time.
//!
//! It reads an imaginary door register: a list of doors in pages, and a count. Three parts, as in every connector: what
//! it asks (static data), how it is configured (`config.rs`), and how it asks (one function per collector).

use bytes::Bytes;
use domain::{CollectorName, GapReason};
use kit::view::{Mark, View};
use kit::{
    Arrived, CallSpec, CollectorSpec, Connector, Found, Recorder, RunBuilder, SecondCount, TypeSpec, Unread, http,
    walk_by_link,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

mod config;
pub use config::Config;

/// Every call is declared, with the permission it needs in the source's own words; all others are refused.
static LIST: CallSpec = CallSpec::new("GET /v1/doors", &["doors:read"], "the doors and their locks").times(1, 20);
static COUNT: CallSpec = CallSpec::new("GET /v1/doors/count", &["doors:read"], "proves that the list is whole");

/// The fields are named here once, and stand in every resource, read or unread.
static COLLECTORS: &[CollectorSpec] = &[CollectorSpec {
    name: "doors",
    version: 1,
    about: "Reads every door and whether it is locked.",
    default_schedule: "every: 1h",
    calls: &[LIST, COUNT],
    yields: &[TypeSpec {
        kind: DOOR,
        about: "A door of the building.",
        fields: &["locked"],
        second_count: SecondCount::Call("GET /v1/doors/count"),
    }],
}];

const DOOR: &str = "example.door";

/// What is left of the settings once the secrets are read: all that one run needs.
struct Doors {
    url: Url,
    token: SecretString,
}

#[kit::async_trait]
impl Connector for Doors {
    async fn collect(&self, _: &CollectorName, run: &mut RunBuilder) {
        let recorder = run.recorder();
        let (list, count) = (["v1", "doors"], ["v1", "doors", "count"]);
        let (Some(first), Some(count)) = (kit::joined(&self.url, &list), kit::joined(&self.url, &count)) else {
            return;
        };
        // Page by page, however long the list: the next is on its way while one is kept and read.
        let ask = |url| self.ask(&recorder, &LIST, url);
        let walked = walk_by_link(&recorder, &LIST, first, ask, |item, mark| match door(&item, mark) {
            Ok(found) => run.found(found),
            Err(unread) => run.missing(&unread, &[DOOR]),
        })
        .await;
        // Not having reached the end is never silent: the population is complete only when the collector says so.
        match walked.stopped {
            Some(unread) => run.missing(&unread, &[DOOR]),
            None => run.complete(DOOR),
        }
        match self.count(&recorder, count).await {
            Ok((mark, number)) => run.count(DOOR, mark, u64::try_from(number).unwrap_or(0)),
            Err(unread) => run.missing(&unread, &[DOOR]),
        }
    }
}

impl Doors {
    async fn count(&self, recorder: &Recorder, url: Url) -> Result<(Mark, i64), Unread> {
        let answer = recorder.kept(self.ask(recorder, &COUNT, url).await?).await?;
        let value = answer.json()?;
        let number = View::object(&value, answer.mark)?.number("count")?;
        Ok((answer.mark, number))
    }

    async fn ask(&self, recorder: &Recorder, call: &'static CallSpec, url: Url) -> Result<Arrived, Unread> {
        let bearer = format!("Bearer {}", self.token.expose_secret());
        let request = http::Request::get(url.as_str()).header(http::header::AUTHORIZATION, bearer).body(Bytes::new());
        let no_address = |_| Unread::unsent(call, GapReason::Refused, "no address could be made");
        recorder.ask(call, request.map_err(no_address)?).await
    }
}

/// A reader of a value names what is missing or of another kind; an item without an id cannot be a resource.
fn door(item: &Value, mark: Mark) -> Result<Found, Unread> {
    let door = View::object(item, mark)?;
    let id = door.text("id")?;
    let mut found = Found::new(DOOR, id, door.text("name").unwrap_or(id));
    found.from(mark).set("locked", door.bool("locked"));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::testing::{Fixture, Harness, check_kind};

    /// The fixture is what a source once answered, the expected file what the run makes of it: `BLESS=1 cargo test` writes
    /// it, and a person reads the difference.
    fn harness() -> Harness {
        let fixture = Fixture::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
        Harness::new(fixture, |url| {
            let token = kit::SecretRef::Env("DOORS_TOKEN".to_owned());
            let (name, owner) = ("office".to_owned(), "facilities".to_owned());
            Box::new(Config { name, owner, schedules: None, runbook: None, url, token })
        })
    }

    #[test]
    fn what_it_says_of_itself_holds_together() {
        check_kind(&kit::Kind::of::<Config>());
    }

    #[tokio::test]
    async fn a_good_day_gives_every_door_and_says_what_it_could_not_read() {
        harness().good_day("doors", concat!(env!("CARGO_MANIFEST_DIR"), "/expected/doors.json")).await;
    }

    #[tokio::test]
    async fn on_every_bad_day_there_is_a_gap_and_no_value_from_nowhere() {
        harness().bad_days("doors").await;
    }
}
