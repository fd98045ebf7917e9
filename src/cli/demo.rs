//! `demo`: a simulated organisation on loopback, the daemon beside it as a child, and plain words about what happens.
//!
//! The organisation lives in this process and the daemon in another, so that killing the daemon resets nothing at the
//! source. Everything told here is read back from the daemon's ledger, entry by entry.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use domain::entry::{self, Fact};
use domain::{Change, Clock, Outcome, RowAddress, StreamId};
use kit::http::{HeaderMap, Method, StatusCode};
use kit::outbound::Outbound;
use ledger::VerifyOptions;
use query::{Alert, EntryView};
use serde::de::DeserializeOwned;
use world::{Drift, World};

use super::Exit;
use super::args::{Cli, DemoArgs};
use super::output::{Output, Tone, tone_of_severity};
use crate::clock::SystemClock;
use crate::verify::meaning;
use crate::{app, config};

/// Which organisation: the same at every start, so that a demo can go on where it ended.
const SEED: u64 = 7;
/// The name of its ledger.
const LEDGER: &str = "acme-demo";
/// How often everything is collected here.
const BEAT: &str = "every: 5s";
/// How often what does not change here is collected again.
const SLOW_BEAT: &str = "every: 30s";
/// Calls an hour that the simulated GitHub grants: more than the real one, for nobody else collects every few seconds.
const QUOTA: u64 = 1_000_000;
/// How long the organisation is left in peace before something drifts, and before it is undone.
const PEACE: Duration = Duration::from_secs(4);
/// Nothing in the story takes longer than this, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who drifts.
const ACTOR: &str = "dora";

/// What the organisation says of accounts that no verified address links: services, and one that nobody remembers.
const ACCOUNTS: &str = "\
- {account: github:acme/acme-bot, service: true, owner: platform team, reason: merges updates of dependencies}
- {account: github:acme/ghost-gustav, identity: gustav@acme.example}
- {account: aws:acme/deploy-bot, service: true, owner: platform team, reason: puts releases onto the servers}
- {account: aws:acme/evidenced-reader, service: true, owner: cloud team, reason: reads for the evidence}
";
/// The account of somebody who has left; it is told by name.
const LEAVER: &str = "olaf-acme";

/// How often a daemon is started again because its port was taken in the moment before it listened.
const STARTS: usize = 5;

/// Somebody pressed Ctrl-C, or asked the process to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

/// `evidenced demo`
pub(super) fn demo(cli: &Cli, args: &DemoArgs, out: &Output) -> anyhow::Result<Exit> {
    let data = cli.data.clone().unwrap_or_else(|| PathBuf::from("evidenced-demo"));
    let resumed = prepare(&data, args.fresh)?;
    let world = World::new(SEED, args.people as usize, SystemClock.now().millis());
    world.follow(|| SystemClock.now().millis());
    world.set_github_quota(Some(QUOTA));
    let server = world.serve(0).context("the simulated organisation cannot listen on 127.0.0.1")?;
    let shown = data.display();
    out.line("evidenced demo: a simulated organisation, and the daemon that watches it");
    out.line("");
    let mut story = Story::begin(&data, &server.url(), &world.github_approved(), args.port, out)?;
    out.line(format!(
        "  organisation  acme: {} people, a Keycloak realm, an AWS account, a GitHub organisation, simulated on {}",
        args.people,
        server.url()
    ));
    let kept = if resumed {
        "as the last demo left it; --fresh starts over"
    } else {
        "embedded store; delete the folder to start over"
    };
    let Ports { page, health } = story.ports;
    out.line(format!("  data          {shown}        {kept}"));
    out.line(format!(
        "  page          http://127.0.0.1:{page}   API under /api/v1; metrics at http://127.0.0.1:{health}/metrics"
    ));
    out.line(format!(
        "  schedule      each collector every {} or {} here; 15 minutes to a day in real life",
        BEAT.trim_start_matches("every: "),
        SLOW_BEAT.trim_start_matches("every: ")
    ));
    out.line("");
    let interrupted = match story.tell(&world) {
        Err(error) if error.is::<Interrupted>() => true,
        told => {
            told?;
            false
        }
    };
    if args.stay && !interrupted {
        out.line(format!("staying up: the page is at http://127.0.0.1:{page}; Ctrl-C ends it"));
        story.stay()?;
    } else if interrupted {
        out.line("");
        out.fact(&serde_json::json!({ "interrupted": true }));
        story.line("", "interrupted: the story ends here, and the daemon in good order");
    }
    story.end()?;
    let verified = verified(&data, &story, out)?;
    out.line("");
    out.line(format!("Next:  evidenced verify {shown}"));
    if interrupted {
        out.line(format!("       evidenced demo --data {shown}     goes on from here; with --fresh it starts over"));
        return Ok(Exit::Interrupted);
    }
    out.line(format!("       evidenced explain A.8.5 --data {shown}"));
    if let Some(row) = story.telling {
        out.line(format!("       evidenced show {}/{} --data {shown}", row.entry, row.row.unwrap_or(0)));
    }
    if !args.stay {
        out.line(format!("       evidenced demo --stay --data {shown}     and open the page"));
    }
    Ok(verified)
}

/// Makes the data directory, or takes the one that is there; says which.
fn prepare(data: &Path, fresh: bool) -> anyhow::Result<bool> {
    let layout = store::Layout::new(data);
    let known = layout.is_initialised();
    if let Some(process) =
        ledger::held_by(&layout.ledger()).with_context(|| format!("cannot read {}", data.display()))?
    {
        let which = if process == 0 { "another process".to_owned() } else { format!("process {process}") };
        bail!(
            "{} is in use by {which}: a demo that is still running. End it first, or name another folder with --data",
            data.display()
        );
    }
    if fresh && data.exists() {
        // Only what a demo made is deleted: somebody may have named another folder by mistake.
        let ours = known && data.join("settings.yaml").exists() && data.join("demo.secret").exists();
        anyhow::ensure!(ours, "{} was not made by a demo, so it is not deleted", data.display());
        fs::remove_dir_all(data).with_context(|| format!("cannot delete {}", data.display()))?;
    } else if known {
        anyhow::ensure!(data.join("demo.secret").exists(), "{} holds a ledger that no demo made", data.display());
        write_files(data)?;
        return Ok(true);
    }
    let ledger = config::LedgerSettings { origin: Some(LEDGER.to_owned()) };
    app::init(data, &config::Settings { ledger, ..config::Settings::default() })?;
    write_files(data)?;
    Ok(false)
}

fn write_files(data: &Path) -> std::io::Result<()> {
    fs::write(data.join("demo.secret"), world::READER_SECRET)?;
    fs::write(data.join("demo.aws"), world::AWS_SECRET_KEY)?;
    fs::write(data.join("demo.github"), world::GITHUB_TOKEN)?;
    fs::write(data.join("demo.accounts"), ACCOUNTS)?;
    // The receiver's secret, in the form of Standard Webhooks; nothing but this demo's own receiver knows it.
    fs::write(data.join("demo.hook"), "whsec_ZGVtbyBvbmx5OiBub3QgYSBzZWNyZXQgYXQgYWxs")
}

fn settings_text(data: &Path, url: &str, approved: &serde_json::Value, ports: Ports) -> String {
    let (data, Ports { page, health }) = (data.display(), ports);
    format!(
        "# Written by `evidenced demo`.\n\
         organisation: acme\n\
         ledger: {{origin: {LEDGER}}}\n\
         data: {data}\n\
         web: {{listen: '127.0.0.1:{page}'}}\n\
         health: {{listen: '127.0.0.1:{health}'}}\n\
         schedules: {{default: '{BEAT}'}}\n\
         sources:\n  keycloak:\n  - name: acme\n    owner: identity team\n    url: {url}\n    realm: {}\n    \
         client_id: {}\n    client_secret: {{file: {data}/demo.secret}}\n  \
         aws:\n  - name: acme\n    owner: cloud team\n    endpoint_url: {url}\n    cloudtrail: true\n    \
         access_key: {{id: {}, secret: {{file: {data}/demo.aws}}}}\n    \
         schedules: {{account: '{SLOW_BEAT}', credentials: '{SLOW_BEAT}'}}\n  \
         github:\n  - name: acme\n    owner: platform team\n    url: {url}/api/v3\n    organisation: {}\n    \
         token: {{file: {data}/demo.github}}\n    audit_log: true\n    verified_emails: true\n    \
         approved: {approved}\n    \
         schedules: {{organisation: '{SLOW_BEAT}', people: '{SLOW_BEAT}', outside: '{SLOW_BEAT}', \
         repositories: '{SLOW_BEAT}'}}\n  \
         accounts:\n  - name: acme\n    owner: identity team\n    identities: [keycloak:acme]\n    \
         accounts: [github:acme, aws:acme]\n    mapping: {data}/demo.accounts\n    \
         schedules: {{holders: '{SLOW_BEAT}'}}\n\
         alerts:\n  receivers:\n  - name: demo-receiver\n    webhook:\n      url: {url}/hook\n      \
         secret: {{file: {data}/demo.hook}}\n      allow_private: true\n",
        world::REALM,
        world::READER,
        world::AWS_KEY_ID,
        world::GITHUB_ORG,
    )
}

/// Where a demo's daemon listens on 127.0.0.1.
#[derive(Clone, Copy)]
struct Ports {
    page: u16,
    health: u16,
}

impl Ports {
    /// The usual ports where they are free, and any others that are where they are not. What is free now may be taken
    /// before the daemon listens, so that is no promise.
    fn choose(page: Option<u16>, usual: bool) -> anyhow::Result<Ports> {
        let (first, second) = if usual { (8461, 8462) } else { (0, 0) };
        // Both are held until both are known, so that they are two.
        let free = |wanted: u16| {
            TcpListener::bind(("127.0.0.1", wanted))
                .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
                .context("no port is free on 127.0.0.1")
        };
        let (for_page, health) = (page.is_none().then(|| free(first)).transpose()?, free(second)?);
        let chosen =
            for_page.as_ref().map(|listener| listener.local_addr().map(|address| address.port())).transpose()?;
        Ok(Ports { page: page.or(chosen).unwrap_or(first), health: health.local_addr()?.port() })
    }
}

/// The end of what a daemon said: why it ended, where it says so.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.iter().rposition(|line| line.starts_with("error: ")).unwrap_or(lines.len().saturating_sub(3));
    let said = lines.iter().skip(from).map(|line| line.trim().trim_start_matches("error: "));
    alerts::text::clean(&said.collect::<Vec<_>>().join("; "), 600)
}

/// The daemon, and how far its ledger has been told.
struct Story<'a> {
    daemon: Child,
    ports: Ports,
    log: PathBuf,
    interrupted: Arc<AtomicBool>,
    client: Outbound,
    runtime: tokio::runtime::Runtime,
    began: Instant,
    next: u64,
    baseline: u64,
    first_looks: BTreeSet<StreamId>,
    pending: Vec<(u64, Instant)>,
    telling: Option<RowAddress>,
    out: &'a Output,
}

impl<'a> Story<'a> {
    /// Writes the settings, starts the daemon and waits until it answers. Ports that were taken in between are chosen
    /// anew, unless they were asked for.
    fn begin(
        data: &Path,
        url: &str,
        approved: &serde_json::Value,
        page: Option<u16>,
        out: &'a Output,
    ) -> anyhow::Result<Story<'a>> {
        for start in 1.. {
            let ports = Ports::choose(page, start == 1)?;
            let settings = data.join("settings.yaml");
            fs::write(&settings, settings_text(data, url, approved, ports))?;
            let mut story = Story::start(data, &settings, ports, out)?;
            match story.wait_until_up() {
                Ok(()) => return Ok(story),
                Err(error) if start < STARTS && last_words(&story.log).contains("cannot listen on") => {
                    anyhow::ensure!(
                        page.is_none_or(|port| !last_words(&story.log).contains(&format!(":{port}"))),
                        error
                    );
                }
                Err(error) => return Err(error),
            }
        }
        bail!("the daemon does not start")
    }

    fn start(data: &Path, settings: &Path, ports: Ports, out: &'a Output) -> anyhow::Result<Story<'a>> {
        let next = store::Read::head(&store::Offline::open(data)?)?.size;
        let log = data.join("daemon.log");
        let daemon = std::process::Command::new(std::env::current_exe()?)
            .args(["run", "--until-stdin-ends", "--config"])
            .arg(settings)
            .arg("--data")
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            // A group of its own: Ctrl-C is for the demo, which then ends the daemon in good order.
            .process_group(0)
            .spawn()
            .context("the daemon does not start")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(async { Outbound::over_socket(&data.join("control.sock")) })?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        runtime.spawn(async move {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut term) = signal(SignalKind::terminate()) else { return };
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
                _ = term.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
        });
        let (began, pending) = (Instant::now(), Vec::new());
        Ok(Story {
            daemon,
            ports,
            log,
            interrupted,
            client,
            runtime,
            began,
            next,
            baseline: 0,
            first_looks: BTreeSet::new(),
            pending,
            telling: None,
            out,
        })
    }

    fn wait_until_up(&mut self) -> anyhow::Result<()> {
        let waiting = Instant::now();
        while self.get::<serde_json::Value>("streams")?.is_none() {
            self.still_lives()?;
            anyhow::ensure!(waiting.elapsed() < PATIENCE, "the daemon does not answer: {}", last_words(&self.log));
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// An error that says why, once the daemon has ended or somebody wants the demo to.
    fn still_lives(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.daemon.try_wait()? {
            bail!("the daemon ended ({status}): {} (all of it: {})", last_words(&self.log), self.log.display());
        }
        if self.is_interrupted() {
            bail!(Interrupted);
        }
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The story: a first look at every source, two drifts, their alerts, the drifts undone, the resolves.
    fn tell(&mut self, world: &World) -> anyhow::Result<()> {
        let first = self.next;
        let watched = ["keycloak", "aws", "github", "accounts"];
        let kinds = connectors::KINDS.iter().filter(|kind| watched.contains(&kind.name));
        let streams: usize = kinds.map(|kind| kind.collectors.len()).sum();
        let mut seen = BTreeSet::new();
        self.follow("the first look", |fact| {
            if let Fact::Run(run) = fact {
                seen.insert(run.stream.clone());
            }
            seen.len() >= streams
        })?;
        self.rest(Duration::from_secs(1))?;
        if self.baseline > 0 {
            let n = self.baseline;
            self.line(
                "baseline",
                &format!("{n} deviations were already here: recorded, one summary sent for each stream, nobody paged"),
            );
        }
        self.leaver()?;
        let written = self.next - first;
        self.line(
            "ledger",
            &format!("{written} entries, each batch signed by acme-demo and held against what is on disk"),
        );
        self.rest(PEACE)?;
        for (drift, what) in [
            (Drift::BruteForceOff, "switches brute-force protection off in the Keycloak realm"),
            (Drift::ForcePushesAllowed, "lets the history of acme/payments be rewritten on GitHub"),
        ] {
            self.out.line("");
            self.line("", &format!("now something drifts: {ACTOR} {what}"));
            self.out.line("");
            world.drift(drift, ACTOR).context("the organisation refuses to drift")?;
            let opens = |fact: &Fact| matches!(fact, Fact::Deviation(d) if d.change.opens() && !d.baseline);
            self.follow("the deviation", opens)?;
            self.follow("the alert", |fact| matches!(fact, Fact::Delivery(d) if d.accepted))?;
        }
        self.rest(PEACE)?;
        self.out.line("");
        self.line("", "now both are undone, at their sources");
        self.out.line("");
        for drift in [Drift::BruteForceOff, Drift::ForcePushesAllowed] {
            world.undo(drift, ACTOR).context("the organisation refuses to mend")?;
        }
        let (mut resolved, mut told) = (0, 0);
        self.follow("the resolves", |fact| {
            match fact {
                Fact::Deviation(deviation) if deviation.change == Change::Resolved => resolved += 1,
                Fact::Delivery(delivery) if delivery.accepted && delivery.tells == "resolved" => told += 1,
                _ => {}
            }
            resolved >= 2 && told >= 2
        })
    }

    /// Tells entries as they come, until one is of the kind that is waited for.
    fn follow(&mut self, what: &str, mut until: impl FnMut(&Fact) -> bool) -> anyhow::Result<()> {
        let waiting = Instant::now();
        loop {
            if let Some((view, fact)) = self.entry()? {
                self.told(&view, &fact)?;
                if until(&fact) {
                    return Ok(());
                }
                continue;
            }
            self.still_lives()?;
            if waiting.elapsed() > PATIENCE {
                bail!(
                    "{what} did not come within {} s; the daemon's words are in {}",
                    PATIENCE.as_secs(),
                    self.log.display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Tells entries for a while.
    fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.still_lives()?;
            match self.entry()? {
                Some((view, fact)) => self.told(&view, &fact)?,
                None => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        Ok(())
    }

    /// Stays up until Ctrl-C, still telling.
    fn stay(&mut self) -> anyhow::Result<()> {
        loop {
            match self.rest(Duration::from_millis(300)) {
                Err(error) if error.is::<Interrupted>() => return Ok(()),
                rested => rested?,
            }
        }
    }

    /// Ends the daemon in order: its standard input ends, and it stops by itself.
    fn end(&mut self) -> anyhow::Result<()> {
        drop(self.daemon.stdin.take());
        let waiting = Instant::now();
        while self.daemon.try_wait()?.is_none() {
            if waiting.elapsed() > Duration::from_secs(15) {
                self.daemon.kill()?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The next entry, once there is one.
    fn entry(&mut self) -> anyhow::Result<Option<(EntryView, Fact)>> {
        let Some(view) = self.get::<EntryView>(&format!("entries/{}", self.next))? else { return Ok(None) };
        self.next += 1;
        let entry: entry::Entry = serde_json::from_value(view.fact.clone()).context("an entry does not read")?;
        Ok(Some((view, entry.fact)))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let url = format!("http://localhost/api/v1/{path}").parse()?;
        let ask = self.client.ask(Method::GET, &url, HeaderMap::new(), Default::default(), Duration::from_secs(10));
        // No answer yet: the daemon is starting, or it has ended, which the caller finds out.
        let Ok(answer) = self.runtime.block_on(ask) else { return Ok(None) };
        match answer.status() {
            StatusCode::OK => Ok(Some(serde_json::from_slice(answer.body()).context("an answer does not read")?)),
            // Not there, or not yet: its index is being built again.
            StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => Ok(None),
            status => bail!("the daemon answers {status} for {path}: {}", String::from_utf8_lossy(answer.body())),
        }
    }

    /// Tells one entry in plain words, if it is worth any.
    fn told(&mut self, view: &EntryView, fact: &Fact) -> anyhow::Result<()> {
        self.out.fact(view);
        match fact {
            Fact::Run(run) if run.outcome != Outcome::Collected || self.first_looks.insert(run.stream.clone()) => {
                let resources: u64 = run.populations.iter().map(|population| population.count).sum();
                let gaps = run.gaps.len() as u64 + run.more_gaps;
                let took = run.ended.since(run.started);
                let said = format!(
                    "{:<26}{:>3} calls {resources:>5} resources {gaps:>2} gaps  {took}   #{}",
                    run.stream.as_str(),
                    run.calls,
                    view.entry
                );
                self.line(run.outcome.as_str(), &said);
                for gap in &run.gaps {
                    self.line("", &format!("could not read {}: {} ({})", gap.call, gap.detail, gap.reason.as_str()));
                }
            }
            Fact::Deviation(deviation) if deviation.baseline => self.baseline += 1,
            Fact::Deviation(deviation) if deviation.change.opens() => {
                self.telling = Some(deviation.is);
                self.pending.push((view.entry, Instant::now()));
                match self.alert(view.entry)? {
                    Some(alert) => self.deviates(&alert),
                    None => self.line("DEVIATES", &format!("{}   #{}", deviation.check, view.entry)),
                }
            }
            Fact::Deviation(deviation) => {
                self.pending.push((view.entry, Instant::now()));
                let opened = deviation
                    .opened_by
                    .map(|entry| self.get::<EntryView>(&format!("entries/{entry}")))
                    .transpose()?
                    .flatten();
                let open_for =
                    opened.map_or_else(String::new, |opened| format!(", open for {}", view.at.since(opened.at)));
                let name = view.detail.as_ref().and_then(|detail| detail["name"].as_str()).unwrap_or("").to_owned();
                let word = deviation.change.as_str().to_uppercase();
                self.line(&word, &format!("{}  {name}{open_for}   #{}", deviation.check, view.entry));
            }
            Fact::Delivery(delivery) if delivery.tells != "baseline" => {
                let since =
                    self.pending.iter().find(|(entry, _)| delivery.about.contains(entry)).map(|(_, at)| at.elapsed());
                let after = since.map_or_else(String::new, |since| format!(" after {:.1} s", since.as_secs_f32()));
                let word = if delivery.accepted { "alerted" } else { "not told" };
                let did = if delivery.accepted { "accepted" } else { "refused" };
                self.line(
                    word,
                    &format!(
                        "{} {did} it{after} ({}, {})   #{}",
                        delivery.receiver, delivery.tells, delivery.answer, view.entry
                    ),
                );
            }
            Fact::Missed(missed) => {
                let (count, reason) = (missed.count, missed.reason.as_str());
                self.line("missed", &format!("{count} slots of {}: {reason}   #{}", missed.stream, view.entry));
            }
            Fact::Coverage(coverage) => {
                let word = if coverage.lost { "UNREADABLE" } else { "readable" };
                self.line(word, &format!("{}   #{}", coverage.stream, view.entry));
            }
            _ => {}
        }
        Ok(())
    }

    /// The open deviation that an entry opened. The entry is there a moment before the index knows of it.
    fn alert(&self, entry: u64) -> anyhow::Result<Option<Alert>> {
        for _ in 0..20 {
            let open =
                self.get::<web::Listing<Alert>>("deviations?limit=1000")?.map(|list| list.items).unwrap_or_default();
            if let Some(alert) = open.into_iter().find(|alert| alert.entry == entry) {
                return Ok(Some(alert));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(None)
    }

    /// Tells of one who was there before: somebody left, and an account of theirs stayed.
    fn leaver(&self) -> anyhow::Result<()> {
        let open = self.get::<web::Listing<Alert>>("deviations?limit=1000")?.map(|list| list.items).unwrap_or_default();
        if let Some(alert) =
            open.iter().find(|alert| alert.subject == LEAVER && alert.stream.source().kind() == "accounts")
        {
            let at = alert.is.as_ref().map_or_else(String::new, |is| format!("   {}", is.address));
            let said =
                format!("olaf can no longer sign in at Keycloak, and his account {LEAVER} is still on GitHub{at}");
            self.line("leaver", &said);
        }
        Ok(())
    }

    fn deviates(&self, alert: &Alert) {
        let check = alert.check.as_ref().map_or("", |check| check.as_str());
        let controls = alerts::text::controls(&alert.controls);
        let severity = self.out.toned(tone_of_severity(alert.severity), alert.severity.as_str());
        self.line("DEVIATES", &format!("{check}  {}   {severity}   {}", alert.subject, controls));
        let values = |seen: &query::Seen| {
            let shown: Vec<String> = seen.values.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("{:<50} {}  {}", shown.join(", "), seen.address, seen.at.clock_face())
        };
        if let Some(was) = &alert.was {
            self.line("", &format!("was   {}", values(was)));
        }
        if let Some(is) = &alert.is {
            self.line("", &format!("is    {}", values(is)));
        }
        let who = match &alert.who {
            Ok(actor) => {
                let from = actor.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
                let at = alert.changed_at.map_or_else(String::new, |at| format!(", at {}", at.clock_face()));
                format!("{}{from}{at}", actor.name)
            }
            Err(unknown) => format!("unknown: {}", unknown.reason),
        };
        self.line("", &format!("who   {who}"));
        self.line("", &format!("first {}", alert.first_action));
    }

    fn line(&self, word: &str, said: &str) {
        let elapsed = self.began.elapsed().as_secs();
        let time =
            if word.is_empty() { "     ".to_owned() } else { format!("{:02}:{:02}", elapsed / 60, elapsed % 60) };
        let tone = match word {
            "DEVIATES" | "not told" => Tone::Bad,
            "RESOLVED" | "GONE" | "collected" | "alerted" => Tone::Good,
            "partial" | "failed" | "missed" | "UNREADABLE" => Tone::Unseen,
            _ => Tone::Plain,
        };
        self.out.line(format!(
            "{}  {}  {said}",
            self.out.toned(Tone::Faint, time),
            self.out.toned(tone, format!("{word:<10}"))
        ));
        drop(std::io::stdout().flush());
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        // Only when the story broke off: a daemon must not outlive its demo.
        if matches!(self.daemon.try_wait(), Ok(None)) {
            drop(self.daemon.kill());
            drop(self.daemon.wait());
        }
    }
}

/// Verifies what the demo leaves behind, and says so in one line.
fn verified(data: &Path, story: &Story<'_>, out: &Output) -> anyhow::Result<Exit> {
    let layout = store::Layout::new(data);
    let keys = store::Offline::open(data)?.record_keys();
    let (bodies, guard) = (Some(layout.bodies()), Some(layout.guard()));
    let options = VerifyOptions { bodies, keys, guard, ..VerifyOptions::default() };
    let report = ledger::verify(&layout.ledger(), &options, &mut |_| {});
    let meaning = meaning(data)?;
    if report.problems.is_empty() && meaning.problems.is_empty() {
        story.line(
            "verified",
            &format!(
                "{} entries, {} checkpoints, {} populations recounted: nothing altered, nothing missing",
                report.entries, report.checkpoints, meaning.populations
            ),
        );
        return Ok(Exit::Ok);
    }
    for problem in &report.problems {
        out.note(format!("{}: {}", problem.file.display(), problem.what));
    }
    for problem in &meaning.problems {
        out.note(format!("#{}: {}", problem.entry, problem.what));
    }
    bail!("the ledger that the demo wrote does not verify; please tell us")
}
