//! The smallest connector that passes the harness. Copy the folder, rename it, and change one thing at a time.
//!
//! It reads an imaginary door register: a list of doors in pages, and a count. Three parts, as in every connector: what
//! it asks (static data), how it is configured (`config.rs`), and how it asks (one function per collector).

use bytes::Bytes;
use domain::CollectorName;
use kit::{CallSpec, CollectorSpec, Connector, Found, RunBuilder, SecondCount, TypeSpec, http, link_pages};
use secrecy::{ExposeSecret, SecretString};
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
        let Some(first) = kit::joined(&self.url, &["v1", "doors"]) else { return };
        let pages = link_pages(&recorder, &LIST, first, |url| self.get(url)).await;
        for (item, mark) in &pages.items {
            // A reader of a value names what is missing or of another kind; an item without an id cannot be a resource.
            match kit::view::View::object(item, *mark).and_then(|door| Ok((door.text("id")?, door))) {
                Ok((id, door)) => {
                    let mut found = Found::new(DOOR, id, door.text("name").unwrap_or(id));
                    found.from(*mark).set("locked", door.bool("locked"));
                    run.found(found);
                }
                Err(unread) => run.missing(&unread, &[DOOR]),
            }
        }
        // Not having reached the end is never silent: the population is complete only when the collector says so.
        match pages.stopped {
            Some(unread) => run.missing(&unread, &[DOOR]),
            None => run.complete(DOOR),
        }
        let count = match kit::joined(&self.url, &["v1", "doors", "count"]).and_then(|url| self.get(&url)) {
            Some(request) => recorder.exchange(&COUNT, request).await,
            None => return,
        };
        let counted = count.and_then(|answer| {
            let value = answer.json()?;
            let number = kit::view::View::object(&value, answer.mark)?.number("count")?;
            Ok((answer.mark, number))
        });
        match counted {
            Ok((mark, number)) => run.count(DOOR, mark, u64::try_from(number).unwrap_or(0)),
            Err(unread) => run.missing(&unread, &[DOOR]),
        }
    }
}

impl Doors {
    fn get(&self, url: &Url) -> Option<http::Request<Bytes>> {
        let bearer = format!("Bearer {}", self.token.expose_secret());
        http::Request::get(url.as_str()).header(http::header::AUTHORIZATION, bearer).body(Bytes::new()).ok()
    }
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
