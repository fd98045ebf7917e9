//! A small ledger, made by hand, in memory: what the pages are shown in these tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::entry::{
    CheckLine, ClockStep, Coverage, Deviation, DeviationDetail, Entry, Fact, Finding, Genesis, Intent, Missed,
    MissedReason, Observations, PopulationManifest, Run, Schedule, TreeHead, VERSION,
};
use domain::{
    Actor, BodyId, Change, CheckCounts, Duration, Exchange, Field, FindingReason, FindingValue, Gap, GapReason,
    Observation, ObservationValue, Outcome, Pseudonym, Reconciliation, Resource, ResourceKey, RowAddress, Severity,
    Slot, StreamId, Timestamp, Trigger, UnknownActor,
};
use query::{Catalogue, Query};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::index::{Index, MemoryIndex};
use store::read::ObservationLine;
use store::{Head, Read, ReadError, fold};
use web::{Backend, RunNow};

/// The names that outsiders choose.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) realm: String,
    pub(crate) person: String,
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) actor: String,
    pub(crate) detail: String,
    pub(crate) body: String,
}

impl Names {
    pub(crate) fn tame() -> Names {
        Names {
            realm: "acme".into(),
            person: "dora".into(),
            id: "5f1c0a52-7f0e-4f7e-9a53-2f61f5a0c7aa".into(),
            value: "external".into(),
            actor: "dora".into(),
            detail: "403 Forbidden".into(),
            body: r#"{"realm":"acme","bruteForceProtected":false,"failureFactor":5,"sslRequired":"none"}"#.into(),
        }
    }

    /// One text in the place of all of them.
    pub(crate) fn all(text: &str) -> Names {
        let text = text.to_owned();
        Names {
            realm: text.clone(),
            person: text.clone(),
            id: text.clone(),
            value: text.clone(),
            actor: text.clone(),
            detail: text.clone(),
            body: text,
        }
    }
}

/// A daemon that holds the sample.
pub(crate) struct Sample {
    pub(crate) ledger: Ledger,
    pub(crate) catalogue: Catalogue,
    pub(crate) now: Timestamp,
    pub(crate) ready: Result<(), String>,
}

impl Backend for Sample {
    fn with_query(&self, ask: &mut dyn FnMut(&Query<'_>)) {
        ask(&Query { read: &self.ledger, catalogue: &self.catalogue, now: self.now });
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }

    fn metrics(&self) -> Result<String, String> {
        Ok("# TYPE evidenced_runs_total counter\nevidenced_runs_total 7\n".into())
    }

    fn export(&self, _: &web::ExportAsked) -> Result<u64, String> {
        Ok(7)
    }

    fn erase(&self, asked: web::EraseAsked) -> web::Erasing<'_> {
        let record = |of: &ResourceKey| web::ErasedRecord {
            kind: of.kind.clone(),
            resource: Pseudonym::from_bytes([7; 16]),
            bodies: 1,
        };
        let erased = web::Erased {
            erased: asked.resources.iter().map(record).collect(),
            answers: 2,
            left: vec![web::LeftBodies { lists: true, bodies: 1, ..Default::default() }],
            held_by: [].into(),
            packages: vec![web::PackageSent { export: 5, recipient: "an auditor".to_owned() }],
            receivers: ["hook".to_owned()].into(),
            entries: vec![7],
            dry_run: false,
        };
        Box::pin(std::future::ready(Ok(erased)))
    }

    fn hold(&self, _: &web::HoldAsked) -> Result<u64, String> {
        Ok(7)
    }

    fn release(&self, _: &web::ReleaseAsked) -> Result<u64, String> {
        Ok(8)
    }

    fn run_now<'a>(&'a self, what: Option<&'a str>) -> RunNow<'a> {
        Box::pin(async move {
            let all = self.catalogue.sources.iter();
            let all = all.flat_map(|(id, info)| info.collectors.iter().map(|collector| id.stream(collector)));
            let chosen: Vec<StreamId> =
                all.filter(|s| what.is_none_or(|what| s.as_str() == what || s.source().as_str() == what)).collect();
            if chosen.is_empty() { Err("nothing is called that here".into()) } else { Ok(chosen) }
        })
    }
}

/// A ledger in memory. It proves nothing; the pages only pass its proofs on.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Vec<Vec<u8>>,
    bodies: HashMap<BodyId, Vec<u8>>,
    resources: HashMap<Pseudonym, ResourceKey>,
    index: Arc<MemoryIndex>,
}

impl Read for Ledger {
    fn index(&self) -> Arc<dyn Index> {
        self.index.clone()
    }

    fn head(&self) -> Result<Head, ReadError> {
        let (origin, size, root) = ("acme".to_owned(), self.entries.len() as u64, digest("root"));
        let note = format!("{origin}\n{size}\nroot\n\n— acme signature\n");
        Ok(Head { origin, size, root, note })
    }

    fn entry_bytes(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.entries.get(number as usize).cloned())
    }

    fn proof(&self, number: u64) -> Result<Option<String>, ReadError> {
        let known = (number as usize) < self.entries.len();
        let hashes: String = (0..3).map(|n| digest(&format!("{number} {n}")) + "\n").collect();
        Ok(known.then(|| format!("c2sp.org/tlog-proof@v1\nindex {number}\n{hashes}\n{}", self.head().unwrap().note)))
    }

    fn body(&self, id: &BodyId) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.bodies.get(id).cloned())
    }

    fn resource(&self, pseudonym: &Pseudonym) -> Option<ResourceKey> {
        self.resources.get(pseudonym).cloned()
    }

    fn pseudonym(&self, resource: &ResourceKey) -> Option<Pseudonym> {
        self.resources.iter().find(|(_, known)| *known == resource).map(|(pseudonym, _)| pseudonym.clone())
    }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Ledger {
    fn record(&mut self, at: Timestamp, fact: Fact) -> u64 {
        let (number, entry) = (self.entries.len() as u64, Entry { v: VERSION, at, fact });
        self.index.apply(fold::fold(self.index.as_ref(), number, &entry).unwrap()).unwrap();
        self.entries.push(serde_json::to_vec(&entry).unwrap());
        number
    }

    /// The pseudonym of a resource. It follows from the order of meeting, so that rows keep their order under any name.
    fn meet(&mut self, resource: &ResourceKey) -> Pseudonym {
        let fresh = || digest(&self.resources.len().to_string())[..32].parse().unwrap();
        let pseudonym = self.pseudonym(resource).unwrap_or_else(fresh);
        self.resources.insert(pseudonym.clone(), resource.clone());
        pseudonym
    }

    fn keep(&mut self, bytes: &[u8]) -> BodyId {
        let id = BodyId::from_bytes(Sha256::digest(bytes).into());
        self.bodies.insert(id.clone(), bytes.to_vec());
        id
    }

    fn keep_json(&mut self, value: &impl serde::Serialize) -> BodyId {
        self.keep(&serde_json::to_vec(value).unwrap())
    }

    /// Forgets a body, as an erasure does.
    pub(crate) fn erase_observations_of(&mut self, check: &str) {
        let speaks = |bytes: &[u8]| serde_json::from_slice(bytes).is_ok_and(|o: Observation| o.check.as_str() == check);
        self.bodies.retain(|_, bytes| !speaks(bytes));
    }

    fn exchange(&mut self, seq: u32, call: &str, sent: Timestamp, answer: Result<&str, &str>) -> Exchange {
        let body = answer.ok().map(|body| self.keep(body.as_bytes()));
        Exchange {
            seq,
            call: call.into(),
            method: "GET".into(),
            url: format!("https://id.acme.example{}", call.trim_start_matches("GET ").replace("{realm}", "acme")),
            request_body: None,
            sent,
            ended: sent.plus(Duration::from_millis(120)),
            tries: Vec::new(),
            status: Some(if answer.is_ok() { 200 } else { 403 }),
            request_id: Some(format!("req-{seq}")),
            date: Some("Sun, 22 Nov 2026 19:30:01 GMT".into()),
            etag: None,
            not_modified: false,
            next: None,
            bytes: answer.map_or(21, str::len) as u64,
            body: body.into_iter().collect(),
            redacted: vec!["[].credentialData".into()],
            error: answer.err().map(str::to_owned),
        }
    }

    fn run(
        &mut self,
        stream: &str,
        ended: Timestamp,
        found: &[(&str, bool, Vec<Resource>)],
        calls: Vec<Exchange>,
        gaps: Vec<Gap>,
    ) -> u64 {
        let stream: StreamId = stream.parse().unwrap();
        let trigger = Trigger::Slot(Slot(ended.minus(Duration::from_millis(2100))));
        let (started, after) = (ended.minus(Duration::from_millis(2100)), TreeHead { size: 1, root: digest("root") });
        let intent = self.record(started, Fact::Intent(Intent { stream: stream.clone(), trigger, after }));
        let populations = found.iter().map(|(kind, complete, resources)| {
            let mut lines: Vec<String> = Vec::new();
            for resource in resources {
                lines.push(format!("{} {}\n", self.meet(&resource.key), self.keep_json(resource)));
            }
            lines.sort();
            let count = resources.len() as u64;
            let reconciled = complete.then(|| Reconciliation {
                call: "GET /admin/realms/{realm}/users/count".into(),
                count,
                agrees: true,
            });
            let manifest = (!lines.is_empty()).then(|| self.keep(lines.concat().as_bytes()));
            PopulationManifest { kind: kind.parse().unwrap(), count, complete: *complete, manifest, reconciled }
        });
        let populations = populations.collect();
        let list: String = calls.iter().map(|call| serde_json::to_string(call).unwrap() + "\n").collect();
        let outcome = if gaps.is_empty() { Outcome::Collected } else { Outcome::Partial };
        let exchanges = Some(self.keep(list.as_bytes()));
        let (calls, prev) = (calls.len() as u32, None);
        let run = Run {
            stream,
            intent,
            prev,
            trigger,
            collector_version: 1,
            started,
            ended,
            outcome,
            caller: None,
            calls,
            exchanges,
            populations,
            changes: None,
            gaps,
            more_gaps: 0,
        };
        self.record(ended, Fact::Run(run))
    }

    /// Records observations, each check's population complete or not; answers with the address of each, in order.
    fn judge(&mut self, stream: &str, run: u64, at: Timestamp, complete: bool, all: &[Observation]) -> Vec<RowAddress> {
        let mut lines = Vec::new();
        let mut counts: BTreeMap<_, CheckCounts> = BTreeMap::new();
        for observation in all {
            let body = self.keep_json(observation);
            let (check, resource) = (observation.check.clone(), self.meet(&observation.resource));
            counts.entry(check.clone()).or_default().add(observation.value);
            lines.push(ObservationLine { check, resource, value: observation.value, body });
        }
        lines.sort_by(|a, b| (&a.check, &a.resource).cmp(&(&b.check, &b.resource)));
        let text: String = lines.iter().map(|line| line.write() + "\n").collect();
        let checks = counts.into_iter().map(|(check, counts)| CheckLine {
            check,
            version: "00112233aabbccdd".into(),
            complete,
            counts,
        });
        let observations = Observations {
            stream: stream.parse().unwrap(),
            run,
            prev: None,
            same_as: None,
            checks: checks.collect(),
            rows: lines.len() as u64,
            manifest: Some(self.keep(text.as_bytes())),
            unkept: None,
        };
        let entry = self.record(at, Fact::Observation(observations));
        let row = |o: &Observation| {
            lines.iter().position(|l| l.check == o.check && Some(&l.resource) == self.pseudonym(&o.resource).as_ref())
        };
        all.iter().map(|o| RowAddress { entry, row: row(o).map(|row| row as u32) }).collect()
    }

    #[allow(clippy::too_many_arguments)]
    fn deviation(
        &mut self,
        at: Timestamp,
        severity: Severity,
        change: Change,
        baseline: bool,
        (is, was): (RowAddress, Option<RowAddress>),
        before: Value,
        seen: &Observation,
        actor: Result<Actor, UnknownActor>,
    ) -> u64 {
        let detail = DeviationDetail {
            resource: seen.resource.clone(),
            name: seen.name.clone(),
            before: serde_json::from_value(before).unwrap(),
            before_at: was.map(|_| at.minus(Duration::from_secs(900))),
            after: seen.fields.clone(),
            after_at: at.minus(Duration::from_secs(1)),
            changed_at: actor.is_ok().then(|| at.minus(Duration::from_secs(240))),
            actor,
        };
        let (detail, resource) = (self.keep_json(&detail), self.meet(&seen.resource));
        let stream = "keycloak:acme".parse().unwrap();
        self.record(
            at,
            Fact::Deviation(Deviation {
                check: seen.check.clone(),
                source: stream,
                kind: seen.resource.kind.clone(),
                resource,
                change,
                episode: 1,
                severity,
                baseline,
                is,
                was,
                opened_by: None,
                detail,
            }),
        )
    }
}

fn resource(kind: &str, id: &str, name: &str, fields: Value, exchanges: &[u32]) -> Resource {
    let fields: BTreeMap<String, Value> = serde_json::from_value(fields).unwrap();
    Resource {
        key: ResourceKey { kind: kind.parse().unwrap(), id: id.into() },
        name: name.into(),
        fields: fields.into_iter().map(|(name, value)| (name, Field::Read(value))).collect(),
        exchanges: exchanges.to_vec(),
    }
}

fn observe(check: &str, of: &Resource, value: ObservationValue) -> Observation {
    let fields = of.fields.iter().filter_map(|(name, field)| match field {
        Field::Read(value) => Some((name.clone(), value.clone())),
        Field::Unread(..) => None,
    });
    let unread = of.fields.iter().filter(|(_, field)| matches!(field, Field::Unread(..))).map(|(name, _)| name.clone());
    Observation {
        check: check.parse().unwrap(),
        version: "00112233aabbccdd".into(),
        resource: of.key.clone(),
        name: of.name.clone(),
        value,
        reason: None,
        fields: fields.collect(),
        unread: unread.collect(),
    }
}

/// The sample: an organisation with two Keycloak realms, one of which was never read.
pub(crate) fn sample(names: &Names, people: usize) -> Sample {
    use ObservationValue::{Conforms, Deviates, NotApplicable, Undetermined};
    let mut ledger = Ledger::default();
    let begin = at("2026-11-20T08:00:00Z");
    let program = "evidenced 0.1.0".to_owned();
    ledger.record(
        begin,
        Fact::Genesis(Genesis { origin: "acme".into(), key: "acme+00000000+AAAA".into(), program, continues: None }),
    );
    for (stream, expression) in [
        ("keycloak:acme/realm", "3,18,33,48 * * * *"),
        ("keycloak:acme/people", "every: 6h"),
        ("keycloak:lab/realm", "7 * * * *"),
    ] {
        let zone = expression.contains('*').then(|| "UTC".to_owned());
        ledger.record(
            begin,
            Fact::Schedule(Schedule {
                stream: stream.parse().unwrap(),
                expression: Some(expression.into()),
                zone,
                from: begin,
            }),
        );
    }
    let realm = |protected: bool| {
        resource(
            "keycloak.realm",
            &names.id,
            &names.realm,
            json!({"bruteForceProtected": protected, "failureFactor": 5, "sslRequired": names.value}),
            &[0],
        )
    };
    let who_not = || Err(UnknownActor { reason: "it was so before anyone looked".into() });

    // The first look: the realm is fine but for TLS; three administrators lack a second factor, one could not be read.
    let first = at("2026-11-20T08:03:02Z");
    let call = ledger.exchange(0, "GET /admin/realms/{realm}", first, Ok(&names.body));
    let run =
        ledger.run("keycloak:acme/realm", first, &[("keycloak.realm", true, vec![realm(true)])], vec![call], vec![]);
    let good = observe("keycloak.realm.brute_force", &realm(true), Conforms);
    let tls = observe("keycloak.realm.tls_required", &realm(true), Deviates);
    let rows = ledger.judge("keycloak:acme/realm", run, first, true, &[good.clone(), tls.clone()]);
    let was_good = rows[0];
    ledger.deviation(first, Severity::High, Change::Opened, true, (rows[1], None), json!({}), &tls, who_not());

    let then = at("2026-11-20T08:04:10Z");
    let mut admins: Vec<Resource> = (0..people)
        .map(|n| {
            let types = if n < 3 { json!(["password"]) } else { json!(["password", "otp"]) };
            let name = if n == 0 { names.person.clone() } else { format!("person-{n:03}") };
            resource(
                "keycloak.admin",
                &format!("{}-{n}", names.id),
                &name,
                json!({"credential_types": types, "enabled": n != 4}),
                &[1],
            )
        })
        .collect();
    let refused = Field::Unread(GapReason::Denied, "403 Forbidden".into());
    admins.last_mut().unwrap().fields.insert("credential_types".into(), refused);
    let calls = vec![
        ledger.exchange(0, "GET /admin/realms/{realm}/users", then, Ok(r#"[{"username":"dora"}]"#)),
        ledger.exchange(1, "GET /admin/realms/{realm}/users/{id}/credentials", then, Ok(&names.body)),
    ];
    let gap = Gap {
        reason: GapReason::Denied,
        call: "GET /admin/realms/{realm}/users/{id}/credentials".into(),
        permission: Some("view-users".into()),
        types: vec![],
        fields: vec!["keycloak.admin.credential_types".into()],
        resources: 1,
        detail: names.detail.clone(),
        exchange: Some(1),
    };
    let run =
        ledger.run("keycloak:acme/people", then, &[("keycloak.admin", true, admins.clone())], calls, vec![gap.clone()]);
    let mut seen: Vec<Observation> = admins
        .iter()
        .enumerate()
        .map(|(n, admin)| {
            let value = match n {
                n if n + 1 == people => Undetermined,
                4 => NotApplicable,
                n if n < 3 => Deviates,
                _ => Conforms,
            };
            observe("keycloak.admin.second_factor", admin, value)
        })
        .collect();
    let rows = ledger.judge("keycloak:acme/people", run, then, true, &seen);
    for n in 0..3 {
        ledger.deviation(
            then,
            Severity::Critical,
            Change::Opened,
            true,
            (rows[n], None),
            json!({}),
            &seen[n],
            who_not(),
        );
    }
    let lost = Coverage {
        stream: "keycloak:acme/people".parse().unwrap(),
        lost: true,
        episode: 1,
        by: run,
        reason: Some(GapReason::Denied),
        blind: vec!["keycloak.admin.second_factor".parse().unwrap()],
        opened_by: None,
    };
    ledger.record(then, Fact::Coverage(lost));
    conclude(&mut ledger, then, "A.8.5", FindingValue::Nonconforming, FindingReason::Deviates, None);
    conclude(&mut ledger, then, "A.5.17", FindingValue::Conforming, FindingReason::AllProvingConform, None);

    // Two days on: the daemon was away for a night, its clock was stepped, one administrator enrolled, and somebody
    // switched brute-force protection off.
    let back = at("2026-11-22T06:48:00Z");
    let (first, last) = (Slot(at("2026-11-21T22:03:00Z")), Slot(at("2026-11-22T06:33:00Z")));
    let stream: StreamId = "keycloak:acme/realm".parse().unwrap();
    ledger.record(back, Fact::Missed(Missed { stream, first, last, count: 35, reason: MissedReason::NotRunning }));
    ledger.record(
        back,
        Fact::Clock(ClockStep {
            expected: back,
            shown: back.plus(Duration::from_secs(42)),
            by: Duration::from_secs(42),
        }),
    );
    let before = json!(seen[2].fields);
    admins[2].fields.insert("credential_types".into(), Field::Read(json!(["password", "otp"])));
    let calls = vec![
        ledger.exchange(0, "GET /admin/realms/{realm}/users", back, Ok(r#"[{"username":"dora"}]"#)),
        ledger.exchange(1, "GET /admin/realms/{realm}/users/{id}/credentials", back, Err("403 Forbidden")),
    ];
    let run = ledger.run("keycloak:acme/people", back, &[("keycloak.admin", true, admins.clone())], calls, vec![gap]);
    seen[2] = observe("keycloak.admin.second_factor", &admins[2], Conforms);
    let now = ledger.judge("keycloak:acme/people", run, back, true, &seen);
    let actor = Ok(Actor { name: names.actor.clone(), id: "p-1".into(), from: None });
    ledger.deviation(
        back,
        Severity::Critical,
        Change::Resolved,
        false,
        (now[2], Some(rows[2])),
        before,
        &seen[2],
        actor,
    );

    let drift = at("2026-11-22T19:30:02Z");
    let call = ledger.exchange(0, "GET /admin/realms/{realm}", drift, Ok(&names.body));
    let run =
        ledger.run("keycloak:acme/realm", drift, &[("keycloak.realm", true, vec![realm(false)])], vec![call], vec![]);
    let bad = observe("keycloak.realm.brute_force", &realm(false), Deviates);
    let rows = ledger.judge("keycloak:acme/realm", run, drift, true, &[bad.clone(), tls]);
    let actor = Actor { name: names.actor.clone(), id: "p-1".into(), from: Some("10.1.2.3".into()) };
    ledger.deviation(
        drift,
        Severity::High,
        Change::Opened,
        false,
        (rows[0], Some(was_good)),
        json!(good.fields),
        &bad,
        Ok(actor),
    );
    conclude(
        &mut ledger,
        drift,
        "A.5.17",
        FindingValue::Nonconforming,
        FindingReason::Deviates,
        Some(FindingValue::Conforming),
    );

    Sample { ledger, catalogue: crate::catalogue::catalogue(), now: at("2026-11-22T19:36:00Z"), ready: Ok(()) }
}

fn conclude(
    ledger: &mut Ledger,
    at: Timestamp,
    control: &str,
    value: FindingValue,
    reason: FindingReason,
    was: Option<FindingValue>,
) {
    let rests_on = vec![6];
    ledger.record(
        at,
        Fact::Finding(Finding {
            framework: "iso27001-2022".parse().unwrap(),
            control: control.parse().unwrap(),
            value,
            reason,
            was,
            rests_on,
        }),
    );
}
