//! What every connector must keep to, asked of it through its public door.
#![allow(clippy::panic, clippy::expect_used, reason = "test support: a broken promise ends the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::{CollectionRun, Field, GapReason, Outcome, ResourceKey, ResourceType, StreamId, Trigger};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::{Day, Fixture, MemoryBodies, MemoryEvidence, Replay, Wrong, surroundings};
use crate::{AnySource, CallSpec, Clients, CollectorSpec, Conditional, Earlier, Kind, READ, SecondCount};

/// Makes the configured source for the address where the answers are replayed.
type MakeSource = dyn Fn(Url) -> Box<dyn AnySource>;

/// Replays a fixture to a connector.
pub struct Harness {
    fixture: Fixture,
    source: Box<MakeSource>,
    may_be_empty: Vec<&'static str>,
    evidence: MemoryEvidence,
    clients: Clients,
}

impl Harness {
    /// A harness for the source that `source` makes of an address.
    pub fn new(fixture: Fixture, source: impl Fn(Url) -> Box<dyn AnySource> + 'static) -> Self {
        let (may_be_empty, evidence, clients) = (Vec::new(), MemoryEvidence::default(), Clients::default());
        Harness { fixture, source: Box::new(source), may_be_empty, evidence, clients }
    }

    /// A harness for a source that joins what was recorded before, and asks nobody.
    pub fn of_evidence(evidence: MemoryEvidence, source: impl Fn() -> Box<dyn AnySource> + 'static) -> Self {
        Harness { evidence, ..Harness::new(Fixture::default(), move |_| source()) }
    }

    /// Calls whose answer may truly be empty, with nothing at the source to tell that from a lost list.
    pub fn may_be_empty(mut self, calls: &[&'static str]) -> Self {
        self.may_be_empty.extend(calls);
        self
    }

    /// Lets one collector ask on a good day.
    pub async fn run(&self, collector: &str) -> CollectionRun {
        self.run_on(collector, Day::Good, None).await.run
    }

    /// Whatever is wrong with any population that was read, there is a gap, and nothing that was not read has a value.
    pub async fn bad_evidence(&self, collector: &str) {
        let good = self.run(collector).await;
        let mut broken = Vec::new();
        let mut looked = 0;
        for kind in self.evidence.kinds() {
            for wrong in Wrong::ALL {
                looked += 1;
                let evidence = self.evidence.clone().wrong(&kind, wrong);
                let bad = self.run_with(collector, Day::Good, None, evidence, None).await.run;
                let gap = bad.gaps.iter().any(|gap| gap.call == format!("{READ} /populations/{kind}"));
                let verdict = match (gap, bad.outcome) {
                    (false, _) => Err("no gap names the population".to_owned()),
                    (true, Outcome::Collected) => Err("the run says that everything was collected".to_owned()),
                    (true, _) => no_invention(&good, &bad),
                };
                broken.extend(verdict.err().map(|promise| format!("{kind} {wrong:?}: {promise}\n{:#?}", bad.gaps)));
            }
        }
        assert!(looked > 0, "{collector}: no evidence to spoil");
        assert!(broken.is_empty(), "{collector}: {} promises broken\n{}", broken.len(), broken.join("\n"));
    }

    /// On a good day the run is what `expected` says. `BLESS=1` in the environment writes the file instead.
    pub async fn good_day(&self, collector: &str, expected: impl AsRef<Path>) {
        let done = self.run_on(collector, Day::Good, None).await;
        assert_eq!(done.unknown, Vec::<String>::new(), "{collector}: asked for what is not recorded");
        check_estimates(done.spec, &done.run);
        check_secrets(done.spec, &done);
        check_fields(done.spec, &done.run);
        compare(expected.as_ref(), &shown(&done.run, &done.url));
    }

    /// Asked again with nothing changed, a source that tags its answers confirms them, and the run is told like the first.
    pub async fn confirmed(&self, collector: &str) {
        let first = self.run_on(collector, Day::Good, None).await;
        let earlier = Arc::new(Confirmed { run: first.run.clone(), bodies: first.bodies.clone() });
        let again = self.run_with(collector, Day::Good, None, self.evidence.clone(), Some(earlier)).await.run;
        let tagged = first.run.exchanges.iter().filter(|e| e.etag.is_some() && e.status == Some(200)).count();
        let confirmed = again.exchanges.iter().filter(|e| e.not_modified && e.etag.is_some()).count();
        assert!(tagged > 0, "{collector}: no recorded answer has a tag");
        assert_eq!(confirmed, tagged, "{collector}: answers confirmed and answers that had a tag");
        let told = |run: &CollectionRun| (run.populations.clone(), run.gaps.clone(), run.outcome, run.changes.clone());
        assert_eq!(told(&again), told(&first.run), "{collector}: an unchanged source is told otherwise");
    }

    /// On every bad day, for every call, there is a gap, and nothing that was not read has a value.
    pub async fn bad_days(&self, collector: &str) {
        let good = self.run_on(collector, Day::Good, None).await;
        let asked = |call: &&CallSpec| good.run.exchanges.iter().any(|exchange| exchange.call == call.name);
        let cases = good.spec.calls.iter().filter(asked).flat_map(|call| Day::BAD.iter().map(move |day| (call, *day)));
        let verdicts = cases.map(|(call, day)| self.bad_day(collector, &good.run, call, day));
        let verdicts: Vec<_> = futures::stream::iter(verdicts).buffered(4).collect().await;
        let broken: Vec<String> = verdicts.into_iter().filter_map(Result::err).collect();
        assert!(broken.is_empty(), "{collector}: {} promises broken\n{}", broken.len(), broken.join("\n"));
    }

    async fn bad_day(
        &self,
        collector: &str,
        good: &CollectionRun,
        call: &'static CallSpec,
        day: Day,
    ) -> Result<(), String> {
        let bad = self.run_on(collector, day, Some(call)).await;
        check_secrets(bad.spec, &bad);
        if bad.elsewhere_asked {
            return Err(format!("{} on {day:?}: another host was asked", call.name));
        }
        // Some answers have no second page and no link that could be lost, and some may be empty.
        if bad.affected == 0 || day == Day::Empty && self.may_be_empty.contains(&call.name) {
            return Ok(());
        }
        judge(good, &bad.run, call, day)
            .map_err(|promise| format!("{} on {day:?}: {promise}\n  gaps {:#?}", call.name, bad.run.gaps))
    }

    async fn run_on(&self, collector: &str, day: Day, call: Option<&'static CallSpec>) -> Done {
        self.run_with(collector, day, call, self.evidence.clone(), None).await
    }

    async fn run_with(
        &self,
        collector: &str,
        day: Day,
        call: Option<&'static CallSpec>,
        evidence: MemoryEvidence,
        conditional: Option<Arc<dyn Conditional>>,
    ) -> Done {
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = elsewhere.local_addr().expect("an address");
        let elsewhere_url = Url::parse(&format!("http://{address}/")).expect("an address is a URL");
        let affects = move |method: &str, path: &str, action: Option<&str>| {
            call.is_none_or(|call| call.matches(method, path, action))
        };
        let replay = Replay::start(self.fixture.clone(), day, &elsewhere_url, affects).await.expect("a free port");
        let source = (self.source)(replay.url().clone());
        assert_eq!(source.problems(), Vec::new(), "the settings of the test have problems");
        let id = source.id().expect("a source has an id");
        let kind = source.kind();
        let spec = kind.collectors.iter().find(|c| c.name == collector).expect("a declared collector");
        let stream = id.stream(&collector.parse().expect("a collector's name"));
        let bodies = MemoryBodies::default();
        let mut around = surroundings(bodies.clone());
        around.clients = self.clients.clone();
        around.evidence = Arc::new(evidence);
        around.conditional = conditional;
        if day == Day::Hangs {
            around.limits.headers = Duration::from_millis(60);
            around.limits.tries = 2;
        }
        let run = crate::run(source.as_ref(), spec, &stream, Trigger::Manual, &around).await;
        let elsewhere_asked = tokio::time::timeout(Duration::from_millis(1), elsewhere.accept()).await.is_ok();
        let (unknown, affected, url) = (replay.unknown(), replay.affected(), replay.url().clone());
        Done { run, spec, url, bodies, unknown, affected, elsewhere_asked }
    }
}

/// A run and what the replay saw of it.
struct Done {
    run: CollectionRun,
    spec: &'static CollectorSpec,
    url: Url,
    bodies: MemoryBodies,
    unknown: Vec<String>,
    affected: u32,
    elsewhere_asked: bool,
}

/// The answers of an earlier run, each under its path: the source stands at another address by now.
struct Confirmed {
    run: CollectionRun,
    bodies: MemoryBodies,
}

impl Conditional for Confirmed {
    fn earlier(&self, _: &StreamId, url: &str) -> Option<Earlier> {
        let asked = Url::parse(url).ok()?;
        let elsewhere = |earlier: &str| {
            let mut there = Url::parse(earlier).ok()?;
            there.set_port(asked.port()).ok()?;
            Some(there)
        };
        let exchange = self.run.exchanges.iter().find(|e| elsewhere(&e.url).as_ref() == Some(&asked))?;
        let id = exchange.body.first().filter(|_| exchange.status == Some(200))?;
        Some(Earlier {
            etag: exchange.etag.clone()?,
            body: self.bodies.get(id)?,
            ids: exchange.body.clone(),
            redacted: exchange.redacted.clone(),
            next: exchange.next.as_deref().and_then(elsewhere).map(String::from),
        })
    }
}

/// Whether the bad day was told as it was.
fn judge(good: &CollectionRun, bad: &CollectionRun, call: &CallSpec, day: Day) -> Result<(), String> {
    if day == Day::ThrottledOnce {
        let tried = bad.exchanges.iter().any(|e| e.call == call.name && !e.tries.is_empty());
        // A second try moves the calls after it, so the places of exchanges in the run may differ.
        let told = |run: &CollectionRun| {
            let mut populations = run.populations.clone();
            populations.iter_mut().for_each(|population| population.renumber(|_| 0));
            (populations, run.outcome, run.changes.clone())
        };
        let same = told(bad) == told(good);
        return match (tried, same) {
            (true, true) => Ok(()),
            (false, _) => Err("the try that was throttled is not recorded".to_owned()),
            (_, false) => Err("throttled once and then answered, but not told like a good day".to_owned()),
        };
    }
    // A list that ends too early is known by its count, which is another call.
    let by_count = matches!(day, Day::Empty | Day::LaterPagesLost);
    let mut new = bad.gaps.iter().filter(|gap| !good.gaps.contains(gap));
    let gap = new.find(|gap| gap.call == call.name || by_count).ok_or("no gap names the call")?;
    let named: &[GapReason] = match day {
        Day::Status(401) => &[GapReason::Unauthenticated],
        Day::Status(403) => &[GapReason::Denied],
        Day::Status(500 | 503) => &[GapReason::SourceFault],
        Day::Throttled => &[GapReason::Throttled],
        Day::CutOff => &[GapReason::Unreachable],
        Day::Hangs => &[GapReason::TimedOut],
        Day::Redirect | Day::NextLinkElsewhere => &[GapReason::Refused],
        Day::Html | Day::BadJson | Day::ErrorObject => &[GapReason::Malformed, GapReason::Denied],
        _ => &[],
    };
    if !named.is_empty() && !named.contains(&gap.reason) {
        return Err(format!("the gap says {:?}", gap.reason));
    }
    if bad.outcome == Outcome::Collected {
        return Err("the run says that everything was collected".to_owned());
    }
    no_invention(good, bad)
}

/// Nothing stands in the bad run that the good one did not hold, and nothing is missing without a word.
fn no_invention(good: &CollectionRun, bad: &CollectionRun) -> Result<(), String> {
    let fields = |run: &CollectionRun| -> BTreeMap<ResourceKey, BTreeMap<String, Field>> {
        let resources = run.populations.iter().flat_map(|p| p.resources());
        resources.map(|r| (r.key, r.fields)).collect()
    };
    let (known, found) = (fields(good), fields(bad));
    for (key, got) in &found {
        let Some(true_fields) = known.get(key) else { return Err(format!("{key} was invented")) };
        for (name, field) in got {
            if matches!(field, Field::Read(_)) && true_fields.get(name) != Some(field) {
                return Err(format!("{key} {name} became {field:?} instead of {:?}", true_fields.get(name)));
            }
        }
    }
    let complete = |run: &CollectionRun| -> Vec<ResourceType> {
        run.populations.iter().filter(|p| p.complete).map(|p| p.kind.clone()).collect()
    };
    for kind in complete(bad) {
        let lost = known.keys().find(|key| key.kind == kind && !found.contains_key(*key));
        if let Some(key) = lost {
            return Err(format!("{key} is gone from a population that is said to be complete"));
        }
    }
    Ok(())
}

/// The number of calls lies within what the collector said of itself, so that `plan` is true.
fn check_estimates(spec: &CollectorSpec, run: &CollectionRun) {
    for call in spec.calls {
        let made = run.exchanges.iter().filter(|e| e.call == call.name).count();
        let (least, most) = call.per_run;
        let within = u32::try_from(made).is_ok_and(|made| (least..=most).contains(&made));
        assert!(within, "{} was made {made} times, estimated {least} to {most}", call.name);
    }
}

/// No secret of the test stands anywhere in what was kept.
fn check_secrets(spec: &CollectorSpec, done: &Done) {
    let secret = "a-secret-for-tests";
    let mut kept: Vec<String> = done.bodies.all().iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
    kept.push(format!("{:?}", done.run));
    assert!(!kept.iter().any(|text| text.contains(secret)), "{}: the secret was kept", spec.name);
    for call in spec.calls.iter().filter(|call| call.secret_body) {
        for exchange in done.run.exchanges.iter().filter(|e| e.call == call.name) {
            assert!(
                exchange.body.is_empty() && exchange.request_body.is_none(),
                "{}: a secret body was kept",
                call.name
            );
        }
    }
}

/// Every resource has exactly the declared fields.
fn check_fields(spec: &CollectorSpec, run: &CollectionRun) {
    for population in &run.populations {
        let declared =
            spec.type_spec(population.kind.as_str()).unwrap_or_else(|| panic!("{} is undeclared", population.kind));
        let mut names: Vec<&str> = declared.fields.to_vec();
        names.sort_unstable();
        for resource in population.resources() {
            let got: Vec<&str> = resource.fields.keys().map(String::as_str).collect();
            assert_eq!(got, names, "{}: fields found and fields declared", resource.key);
        }
    }
}

/// What a kind says of itself holds together.
pub fn check_kind(kind: &Kind) {
    for collector in kind.collectors {
        assert!(collector.name.parse::<domain::CollectorName>().is_ok(), "{} is no name", collector.name);
        assert!(!collector.about.is_empty() && !collector.default_schedule.is_empty(), "{}", collector.name);
        assert!(!collector.calls.is_empty() && !collector.yields.is_empty(), "{}", collector.name);
        for call in collector.calls {
            let (method, path) = call.method_and_path();
            assert!(matches!(method, "GET" | "POST" | "HEAD" | READ), "{}: not a read", call.name);
            assert!(path.starts_with('/') && !call.purpose.is_empty(), "{}", call.name);
            assert!(call.per_run.0 <= call.per_run.1, "{}: least above most", call.name);
        }
        for yielded in collector.yields {
            assert!(yielded.kind.parse::<ResourceType>().is_ok(), "{} is no type", yielded.kind);
            // What is joined from several sources is of no single kind; it begins with `x`.
            let topic = yielded.kind.split('.').next();
            assert!(topic == Some(kind.name) || topic == Some("x"), "{} is of another kind", yielded.kind);
            assert!(!yielded.fields.is_empty() && !yielded.about.is_empty(), "{}", yielded.kind);
            match yielded.second_count {
                SecondCount::Call(call) => {
                    assert!(collector.calls.iter().any(|c| c.name == call), "{call} is undeclared")
                }
                SecondCount::None(why) => assert!(!why.is_empty(), "{}: no count and no reason", yielded.kind),
            }
        }
    }
}

/// A run without what differs from time to time: address, body ids, and the order of calls that were under way at once.
/// Exchanges stand in the order of their addresses, and are numbered so wherever they are named.
fn shown(run: &CollectionRun, url: &Url) -> Value {
    let target =
        |shown: &str| shown.strip_prefix(url.as_str()).map_or_else(|| shown.to_owned(), |rest| format!("/{rest}"));
    let mut in_order: Vec<_> = run.exchanges.iter().map(|e| (target(&e.url), e)).collect();
    in_order.sort_by(|a, b| (&a.0, a.1.seq).cmp(&(&b.0, b.1.seq)));
    let places: BTreeMap<u32, usize> = in_order.iter().enumerate().map(|(place, (_, e))| (e.seq, place)).collect();
    let renumbered = |value: Value| {
        let place = value.as_u64().and_then(|seq| places.get(&u32::try_from(seq).ok()?));
        place.map_or(value, |place| json!(place))
    };
    let exchanges: Vec<Value> = in_order
        .iter()
        .map(|(target, e)| json!({"call": e.call, "target": target, "status": e.status, "redacted": e.redacted, "error": e.error}))
        .collect();
    let resource = |resource: domain::Resource| {
        let mut shown = json!(resource);
        for place in shown.get_mut("exchanges").and_then(Value::as_array_mut).into_iter().flatten() {
            *place = renumbered(place.take());
        }
        if let Some(places) = shown.get_mut("exchanges").and_then(Value::as_array_mut) {
            places.sort_by_key(Value::as_u64);
        }
        shown
    };
    let population = |p: &domain::Population| {
        let resources: Vec<Value> = p.resources().map(resource).collect();
        json!({"type": p.kind, "complete": p.complete, "reconciled": p.reconciled, "resources": resources})
    };
    let gap = |gap: &domain::Gap| {
        let mut shown = json!(gap);
        if let Some(place) = shown.get_mut("exchange") {
            *place = renumbered(place.take());
        }
        shown
    };
    let changes = match &run.changes {
        Ok(events) => json!(events.iter().map(event).collect::<Vec<_>>()),
        Err(unknown) => json!({"unknown": unknown.reason}),
    };
    json!({
        "outcome": run.outcome,
        "caller": run.caller,
        "populations": run.populations.iter().map(population).collect::<Vec<_>>(),
        "gaps": run.gaps.iter().map(gap).collect::<Vec<_>>(),
        "changes": changes,
        "exchanges": exchanges,
    })
}

fn event(event: &domain::ChangeEvent) -> Value {
    let actor = match &event.actor {
        Ok(actor) => json!(actor),
        Err(unknown) => json!({"unknown": unknown.reason}),
    };
    json!({"id": event.id, "at": event.at, "actor": actor, "operation": event.operation, "touches": event.touches})
}

/// Compares with the file, or writes it when blessed.
fn compare(path: &Path, got: &Value) {
    let mut text = serde_json::to_string_pretty(got).expect("a value can be written");
    text.push('\n');
    if std::env::var_os("BLESS").is_some_and(|v| v == "1") {
        std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        return;
    }
    let expected =
        std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}; BLESS=1 writes it", path.display()));
    if expected != text {
        let line = expected.lines().zip(text.lines()).position(|(a, b)| a != b);
        let line = line.unwrap_or_else(|| expected.lines().count().min(text.lines().count()));
        let around = |all: &str| all.lines().skip(line.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
        panic!(
            "{} differs from line {}; BLESS=1 accepts the run\nexpected\n{}\ngot\n{}",
            path.display(),
            line + 1,
            around(&expected),
            around(&text),
        );
    }
}
