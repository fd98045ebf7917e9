//! Over a real store with runs recorded by hand: what is recorded of two sources gives a word on both, or none.

use std::process::Command;
use std::sync::Arc;

use domain::entry::Fact;
use domain::{
    CheckCounts, Clock, CollectionRun, Duration, Field, Gap, GapReason, Outcome, Population, Resource, ResourceKey,
    StreamId, Timestamp, Trigger, UnknownActor,
};
use evidenced::clock::SystemRandom;
use evidenced::loaded::Loaded;
use evidenced::{app, pipeline};
use query::Query;
use serde_json::{Value, json};
use store::{Read, Store};
use tempfile::TempDir;

use super::{CLOUD, CODE_HOST, HOLDERS, PEOPLE, sources};
use crate::support::binary;

const MEMBERS: &str = "github:acme/people";
const USERS: &str = "aws:prod/access";
const KEYS: &str = "aws:prod/credentials";

/// The time of the join's run.
struct Now(Timestamp);

impl Clock for Now {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A ledger into which runs of other sources are recorded by hand, and the join asked in between.
struct Desk {
    dir: TempDir,
    loaded: Loaded,
    store: Arc<Store>,
    now: Timestamp,
}

impl Desk {
    fn new() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let settings = dir.path().join("evidenced.yaml");
        let text = format!(
            "organisation: Acme\nsources:\n  keycloak:\n  - name: acme\n    owner: identity team\n    realm: acme\n    \
             url: https://id.example.com\n    client_id: reader\n    client_secret: {{env: SECRET}}\n{}",
            sources("https://elsewhere.example.com", dir.path(), "every: 1h"),
        );
        std::fs::write(dir.path().join("accounts.yaml"), "[]").unwrap();
        std::fs::write(&settings, text).unwrap();
        let loaded = Loaded::read(&settings).unwrap_or_else(|problems| panic!("{problems:?}"));
        let data = dir.path().join("data");
        app::init(&data, &loaded.settings).unwrap();
        let (store, _) = app::open_store(&data, &loaded.settings, &app::BadDisk::default()).unwrap();
        Desk { dir, loaded, store: Arc::new(store), now: "2026-07-01T12:00:00Z".parse().unwrap() }
    }

    fn later(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    /// Records that a source was asked: everybody in the list, or that the list was refused.
    fn asked(&mut self, stream: &str, kind: &str, listed: Result<&[(&str, Value)], GapReason>) {
        self.later(Duration::from_secs(60));
        let stream: StreamId = stream.parse().unwrap();
        let resource = |(id, fields): &(&str, Value)| Resource {
            key: ResourceKey { kind: kind.parse().unwrap(), id: (*id).to_owned() },
            name: (*id).to_owned(),
            fields: fields.as_object().unwrap().iter().map(|(k, v)| (k.clone(), Field::Read(v.clone()))).collect(),
            exchanges: Vec::new(),
        };
        let gap = |reason| Gap {
            reason,
            call: format!("GET /{kind}"),
            permission: None,
            types: vec![kind.parse().unwrap()],
            fields: Vec::new(),
            resources: 0,
            detail: "403 Forbidden".to_owned(),
            exchange: None,
        };
        let mut population = Population::new(kind.parse().unwrap());
        population.complete = listed.is_ok();
        population.extend(listed.iter().copied().flatten().map(resource));
        let run = CollectionRun {
            stream: stream.clone(),
            collector_version: 1,
            trigger: Trigger::Manual,
            started: self.now,
            ended: self.now.plus(Duration::from_secs(1)),
            caller: None,
            exchanges: Vec::new(),
            populations: vec![population],
            gaps: listed.err().map(gap).into_iter().collect(),
            changes: Err(UnknownActor { reason: "nobody was asked".to_owned() }),
            outcome: if listed.is_ok() { Outcome::Collected } else { Outcome::Failed },
        };
        self.record(&stream, &run);
    }

    fn people(&mut self, listed: Result<&[(&str, Value)], GapReason>) {
        self.asked(PEOPLE, "keycloak.user", listed);
    }

    /// Lets the join run.
    fn join(&mut self) -> CollectionRun {
        self.later(Duration::from_secs(60));
        let clock = Arc::new(Now(self.now));
        let around = app::surroundings(&self.loaded, self.store.clone(), clock, Arc::new(SystemRandom));
        let stream: StreamId = HOLDERS.parse().unwrap();
        let source = self.loaded.source(&stream.source()).unwrap();
        let collector = self.loaded.collector(&stream).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let run = runtime.block_on(kit::run(source, collector, &stream, Trigger::Manual, &around));
        self.record(&stream, &run);
        run
    }

    fn record(&self, stream: &StreamId, run: &CollectionRun) {
        let intent = pipeline::intend(&self.store, stream, Trigger::Manual).unwrap();
        pipeline::settle(&self.store, &self.loaded.knowledge, intent.entry, run, self.now).unwrap();
    }

    fn query(&self) -> Query<'_> {
        Query { read: self.store.as_ref(), catalogue: &self.loaded.knowledge.catalogue, now: self.now }
    }

    /// What a check says of the latest join.
    fn counts(&self, check: &str) -> CheckCounts {
        let views = self.query().streams().unwrap();
        let view = views.into_iter().find(|view| view.stream.as_str() == HOLDERS).unwrap();
        view.checks.into_iter().find(|view| view.check.as_str() == check).unwrap().counts
    }

    /// Open deviations, by check and name, and whether they could be looked at again.
    fn open(&self) -> Vec<(String, String, bool)> {
        let open = self.query().open_deviations().unwrap().into_iter();
        open.map(|alert| (alert.check.unwrap().to_string(), alert.subject, alert.unread_since.is_some())).collect()
    }

    /// The facts of one kind.
    fn facts(&self, kind: &str) -> Vec<Fact> {
        let size = self.store.head().unwrap().size;
        let all = (0..size).map(|number| self.store.entry(number).unwrap().unwrap().fact);
        all.filter(|fact| fact.kind() == kind).collect()
    }
}

fn person(email: &str, enabled: bool) -> Value {
    json!({"email": email, "email_verified": true, "enabled": enabled})
}

fn member(email: &str) -> Value {
    json!({"email": email})
}

fn user(email: &str, console_access: bool) -> Value {
    json!({"email": email, "arn": email, "console_access": console_access})
}

fn counts(conforms: u64, deviates: u64, undetermined: u64) -> CheckCounts {
    CheckCounts { conforms, deviates, undetermined, not_applicable: 0 }
}

/// Mona and Leo have identities, are members at the code host and users of the cloud account.
fn with_everybody_in_order() -> Desk {
    let mut desk = Desk::new();
    desk.asked(
        MEMBERS,
        "github.member",
        Ok(&[("mona-gh", member("mona@acme.example")), ("leo-gh", member("Leo@acme.example"))]),
    );
    desk.asked(KEYS, "aws.iam.access_key", Ok(&[("key", json!({"user_arn": "leo@acme.example", "active": true}))]));
    desk.asked(
        USERS,
        "aws.iam.user",
        Ok(&[("mona-aws", user("mona@acme.example", true)), ("leo-aws", user("leo@acme.example", false))]),
    );
    desk.people(Ok(&[("u1", person("mona@acme.example", true)), ("u2", person("leo@acme.example", true))]));
    assert_eq!(desk.join().outcome, Outcome::Collected);
    assert_eq!((desk.counts(CODE_HOST), desk.counts(CLOUD)), (counts(2, 0, 0), counts(2, 0, 0)));
    desk
}

#[test]
fn a_leaver_who_keeps_accounts_is_found_and_what_cannot_be_read_opens_and_closes_nothing() {
    let mut desk = with_everybody_in_order();
    assert_eq!(desk.open(), []);

    desk.people(Ok(&[("u1", person("mona@acme.example", true)), ("u2", person("leo@acme.example", false))]));
    desk.join();
    let found = |unread| {
        [(CLOUD, "leo-aws"), (CODE_HOST, "leo-gh")].map(|(check, who)| (check.to_owned(), who.to_owned(), unread))
    };
    let mut open = desk.open();
    open.sort();
    assert_eq!(open, found(false));
    let steps = desk.facts("deviation").len();
    assert_eq!(steps, 2);

    // Mona is disabled as well, and nobody may see it.
    desk.people(Err(GapReason::Denied));
    let run = desk.join();
    assert_eq!((desk.counts(CODE_HOST), desk.counts(CLOUD)), (counts(0, 0, 2), counts(0, 0, 2)));
    let mut open = desk.open();
    open.sort();
    assert_eq!(open, found(true), "what was open stays open, and it is said that nobody could look");
    assert_eq!(desk.facts("deviation").len(), steps, "nothing is opened and nothing closed");
    assert_eq!(run.gaps[0].reason, GapReason::Denied, "for the reason that the people were not read");

    desk.people(Ok(&[("u1", person("mona@acme.example", true)), ("u2", person("leo@acme.example", true))]));
    desk.join();
    assert_eq!(desk.open(), [], "Leo is back");

    let verified = Command::new(binary()).arg("verify").arg(desk.dir.path().join("data")).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_code_host_that_could_not_be_read_leaves_its_accounts_undetermined_and_those_of_the_cloud_judged() {
    let mut desk = with_everybody_in_order();
    desk.asked(MEMBERS, "github.member", Err(GapReason::Throttled));
    desk.people(Ok(&[("u1", person("mona@acme.example", true))]));
    desk.join();
    assert_eq!((desk.counts(CODE_HOST), desk.counts(CLOUD)), (counts(0, 0, 2), counts(1, 1, 0)));
    assert_eq!(desk.open(), [(CLOUD.to_owned(), "leo-aws".to_owned(), false)]);
}

#[test]
fn evidence_that_is_too_old_says_nothing_of_anybody() {
    let mut desk = with_everybody_in_order();
    desk.later(Duration::from_secs(25 * 3600));
    let run = desk.join();
    assert!(run.gaps.iter().all(|gap| gap.reason == GapReason::NoEvidence), "{:#?}", run.gaps);
    assert_eq!((desk.counts(CODE_HOST), desk.counts(CLOUD)), (counts(0, 0, 2), counts(0, 0, 2)));
    assert_eq!(desk.open(), []);
}

#[test]
fn a_row_of_the_join_leads_to_the_entries_of_both_sides_and_nothing_new_is_kept_when_nothing_changed() {
    let mut desk = with_everybody_in_order();
    let run_of = |desk: &Desk, stream: &str| {
        let size = desk.store.head().unwrap().size;
        let runs = (0..size).filter(|number| {
            matches!(desk.store.entry(*number).unwrap().unwrap().fact, Fact::Run(run) if run.stream.as_str() == stream)
        });
        runs.max().unwrap()
    };
    let (join, members, people) = (run_of(&desk, HOLDERS), run_of(&desk, MEMBERS), run_of(&desk, PEOPLE));
    let view = desk.query().entry_view(join).unwrap().unwrap();
    let urls: Vec<&str> = view.exchanges.iter().map(|view| view.exchange.url.as_str()).collect();
    assert!(urls.contains(&format!("evidence:{MEMBERS}#{members}").as_str()), "{urls:?}");
    assert!(urls.contains(&format!("evidence:{PEOPLE}#{people}").as_str()), "{urls:?}");
    let row = desk.query().row_view(domain::RowAddress { entry: join, row: Some(1) }).unwrap().unwrap();
    assert_eq!(row.line, "READ /populations/keycloak.user read");
    let kept: Value = serde_json::from_str(&row.body.unwrap()).unwrap();
    assert_eq!((&kept["run"], &kept["count"], &kept["incomplete"]), (&json!(people), &json!(2), &Value::Null));
    let Fact::Run(entry) = desk.store.entry(people).unwrap().unwrap().fact else { panic!("not a run") };
    assert_eq!(kept["manifest"], json!(entry.populations[0].manifest), "the commitment to every row of it");

    desk.people(Ok(&[("u1", person("mona@acme.example", true)), ("u2", person("leo@acme.example", true))]));
    desk.join();
    let Some(Fact::Observation(last)) = desk.facts("observation").pop() else { panic!("nothing was observed") };
    assert!(last.same_as.is_some(), "{last:?}");
}

#[test]
fn before_anything_was_collected_the_join_says_so() {
    let mut desk = Desk::new();
    let run = desk.join();
    assert_eq!(run.outcome, Outcome::Failed);
    let details: Vec<&str> = run.gaps.iter().map(|gap| gap.detail.as_str()).collect();
    assert!(details.contains(&"keycloak:acme has recorded none yet"), "{details:?}");
    assert_eq!(desk.open(), []);
}
