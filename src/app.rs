//! Build, start, stop: how the parts of the daemon come together.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use domain::entry::{Export, ExportDetail, Fact, Genesis, Version};
use domain::{Clock, in_full};
use kit::{Budgets, Clients, Secrets, Surroundings, SystemSecrets};
use ledger::{DataKey, Progress, Reader};
use query::Query;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use store::rows::key;
use store::{Layout, OpenError, Options, Random, Read, ReadError, Recovered, Starting, Store, StoreError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::anchoring::Anchoring;
use crate::clock::{SystemClock, SystemRandom};
use crate::config::Settings;
use crate::daemon::Daemon;
use crate::earlier::Recorded;
use crate::evidence::Joined;
use crate::loaded::Loaded;
use crate::pipeline::Bodies;
use crate::serve::{self, Front};
use crate::telemetry::{Metrics, Telemetry};
use crate::witnessing::Witnessing;
use crate::{expiring, notify, reload, scrubbing, watch};

/// What the program calls itself in the ledger.
pub const PROGRAM: &str = concat!("evidenced ", env!("CARGO_PKG_VERSION"));

/// Begins a ledger in a data directory, and says its name.
pub fn init(data: &Path, settings: &Settings) -> anyhow::Result<String> {
    let origin = settings.origin();
    Store::init(&options(data, settings, None)?, &origin, PROGRAM)?;
    Ok(origin)
}

/// Gives the ledger of a data directory another signing key. No daemon may hold it.
pub fn rotate_key(data: &Path, settings: &Settings) -> anyhow::Result<store::Rotated> {
    Ok(store::rotate_key(options(data, settings, None)?)?)
}

/// The data key, where the settings say that it lies elsewhere than in the data directory.
pub fn data_key(settings: &Settings) -> anyhow::Result<Option<DataKey>> {
    let Some(reference) = &settings.data_key else { return Ok(None) };
    let secret = SystemSecrets.resolve(reference).context("the data key cannot be read")?;
    let key = DataKey::parse(secret.expose_secret());
    let remedy = || format!("{reference} should hold the data key, 64 hexadecimal digits: openssl rand -hex 32");
    key.map(Some).with_context(remedy)
}

/// Ends the ledger of a data directory and begins the one that continues it. No daemon may hold it.
pub fn close(data: &Path, settings: &Settings, because: &str) -> anyhow::Result<store::Closed> {
    Ok(store::close(&options(data, settings, None)?, because, PROGRAM)?)
}

/// Opens the store of a data directory.
pub fn open_store(data: &Path, settings: &Settings, bad: &BadDisk) -> anyhow::Result<(Store, Recovered)> {
    Ok(begin_store(data, settings, bad)?.finish(&mut tell_log())?)
}

/// Opens it as far as its ledger.
fn begin_store(data: &Path, settings: &Settings, bad: &BadDisk) -> anyhow::Result<Starting> {
    let disk = bad.is_wanted().then(|| bad_disk(bad)).transpose()?;
    Ok(Store::begin(options(data, settings, disk)?)?)
}

/// Says in the log now and then how far an index is.
fn tell_log() -> impl FnMut(Progress) {
    let mut told = 0;
    move |progress| {
        let (done, of) = match progress {
            Progress::Bodies { done } => (done, None),
            Progress::Entries { done, total } => (done, Some(total)),
        };
        if done < told {
            told = 0;
        }
        if done - told >= TELL_EVERY {
            told = done;
            match of {
                None => tracing::info!(bodies = done, "the index is brought up to date"),
                Some(of) => tracing::info!(entries = done, of, "the index is brought up to date"),
            }
        }
    }
}

/// Of so many bodies or entries there is a word in the log.
const TELL_EVERY: u64 = 50_000;

/// For tests only: how the disk behaves worse than it does.
#[derive(Clone, Debug, Default)]
pub struct BadDisk {
    /// The process aborts at that step.
    pub crash_at: Option<String>,
    /// The free space is what this file says, in bytes, while it is there.
    pub room_in: Option<PathBuf>,
    /// Every step waits for as many milliseconds as this file says.
    pub slow_in: Option<PathBuf>,
    /// Nothing can be written while this file is there.
    pub read_only_by: Option<PathBuf>,
}

impl BadDisk {
    fn is_wanted(&self) -> bool {
        let BadDisk { crash_at, room_in, slow_in, read_only_by } = self;
        crash_at.is_some() || [room_in, slow_in, read_only_by].into_iter().any(Option::is_some)
    }
}

fn options(data: &Path, settings: &Settings, disk: Option<ledger::SharedDisk>) -> anyhow::Result<Options> {
    own_ledger(data, settings)?;
    Ok(Options {
        data: data.to_owned(),
        guard: settings.guard_dir.clone(),
        guard_copies: settings.guard_copies.clone(),
        data_key: data_key(settings)?,
        longest_body: ledger::GREATEST_BODY,
        index: settings.index,
        disk: disk.unwrap_or_else(ledger::RealDisk::shared),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    })
}

#[cfg(feature = "demo")]
fn bad_disk(bad: &BadDisk) -> anyhow::Result<ledger::SharedDisk> {
    let BadDisk { crash_at, room_in, slow_in, read_only_by } = bad.clone();
    let crash = crash_at.as_deref().map(str::parse).transpose().map_err(|e| anyhow::anyhow!("--crash-at: {e}"))?;
    Ok(ledger::testing::BadDisk::shared(ledger::testing::Ill { crash, room_in, slow_in, read_only_by }))
}

#[cfg(not(feature = "demo"))]
fn bad_disk(_: &BadDisk) -> anyhow::Result<ledger::SharedDisk> {
    bail!("this build has no bad disks")
}

/// What every run needs.
pub fn surroundings(
    loaded: &Loaded,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Surroundings {
    Surroundings {
        clock,
        secrets: Arc::new(SystemSecrets),
        bodies: Arc::new(Bodies(store.clone())),
        evidence: Arc::new(Joined(store.clone())),
        jitter: Arc::new(Spread(random)),
        conditional: Some(Arc::new(Recorded::new(store))),
        network: loaded.settings.network.way(),
        clients: Clients::default(),
        budgets: Budgets::default(),
        limits: loaded.settings.limits.of_a_run(),
        cancel: CancellationToken::new(),
    }
}

/// Spreads waits by the machine's random numbers.
pub struct Spread(pub Arc<dyn Random>);

impl Spread {
    /// Any number.
    pub fn number(&self) -> u64 {
        // Without random numbers waits are not spread, which is unkind to a source and nothing worse.
        let bytes = self.0.bytes().unwrap_or_default();
        bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

impl kit::Jitter for Spread {
    fn below(&self, bound: Duration) -> Duration {
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.number().checked_rem(nanos).unwrap_or(0))
    }
}

/// Refuses settings of another organisation than that of the ledger in a data directory, before anything is recorded or
/// destroyed there.
pub fn own_ledger(data: &Path, settings: &Settings) -> anyhow::Result<()> {
    match of_another(data, settings) {
        Some(why) => bail!("nothing was recorded: {why}"),
        None => Ok(()),
    }
}

/// Why nothing is recorded in a data directory by these settings, where it holds the ledger of another organisation.
pub fn of_another(data: &Path, settings: &Settings) -> Option<String> {
    // What does not read is for whoever opens it to say.
    settings.of_another(&genesis(data).ok()?)
}

/// How the ledger in a data directory begins.
pub fn genesis(data: &Path) -> anyhow::Result<Genesis> {
    let ledger = Reader::open(&Layout::new(data).ledger());
    store::genesis(&ledger).with_context(|| format!("the ledger in {} does not read", data.display()))
}

/// Records what measures, when it is not what measured last.
pub fn record_version(store: &Store, loaded: &Loaded) -> Result<(), StoreError> {
    let failed = |e: ReadError| StoreError::Stopped(in_full(&e));
    let checks = serde_json::to_string(&loaded.knowledge.checks.recorded());
    let checks = checks.map_err(|e| StoreError::Unwritable(e.to_string()))?;
    let body = store.put_body(checks.as_bytes())?;
    let version = Version {
        program: PROGRAM.to_owned(),
        binary: digest_of_binary(),
        settings: loaded.settings.digest(),
        checks: loaded.knowledge.checks.checks_digest(),
        frameworks: loaded.knowledge.checks.frameworks_digest(),
        checks_body: Some(body),
    };
    let last = store.index().get(&key::latest("version")).map_err(|e| failed(e.into()))?;
    let last = last.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    let last = last.map(|entry| store.entry(entry)).transpose().map_err(failed)?.flatten().map(|entry| entry.fact);
    if last != Some(Fact::Version(version.clone())) {
        store.record_one(Fact::Version(version))?;
    }
    Ok(())
}

/// Records that a package was made, and says in which entry.
pub fn record_export(store: &Store, made: &web::ExportAsked) -> Result<u64, StoreError> {
    let detail = store.put_json(&ExportDetail { recipient: made.recipient.clone() })?;
    let export = Export {
        of: made.of.clone(),
        from: made.from,
        to: made.to,
        entries: made.entries,
        rows: made.rows,
        withheld: made.withheld,
        hidden: made.hidden.clone(),
        digest: made.digest.clone(),
        detail,
    };
    Ok(store.record_one(Fact::Export(export))?.entry)
}

/// SHA-256 of the running program; `unknown` where it cannot be read.
fn digest_of_binary() -> String {
    let digest = || {
        let mut file = std::fs::File::open(std::env::current_exe()?)?;
        let mut digest = Sha256::new();
        std::io::copy(&mut file, &mut Writer(&mut digest))?;
        Ok::<_, std::io::Error>(hex::encode(digest.finalize()))
    };
    digest().unwrap_or_else(|_| "unknown".to_owned())
}

struct Writer<'a>(&'a mut Sha256);

impl std::io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a daemon is started with.
pub struct Start {
    /// The settings file, read again when it changes.
    pub path: PathBuf,
    /// What it says.
    pub loaded: Arc<Loaded>,
    /// The data directory.
    pub data: PathBuf,
    /// For tests: how the disk misbehaves.
    pub disk: BadDisk,
    /// Stop when standard input ends.
    pub until_stdin_ends: bool,
}

/// Runs a daemon until it is asked to stop, or until its store stops.
pub fn run(start: Start, telemetry: Telemetry, metrics: Metrics) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("evidenced").build()?;
    let ended = runtime.block_on(async {
        let ended = begin_and_live(&start, Arc::new(metrics)).await;
        if let Err(error) = &ended
            && let Some(refused) = error.downcast_ref::<OpenError>()
            && let Some(news) = Unrecorded::of(refused)
            && let Err(why) = tell_of_refused(&start, news, refused).await
        {
            tracing::error!(why, "nobody could be told that nothing is recorded");
        }
        ended
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(telemetry);
    ended
}

/// A daemon's life from the beginning: its ledger, then its index, then its tasks.
async fn begin_and_live(start: &Start, metrics: Arc<Metrics>) -> anyhow::Result<()> {
    let Start { loaded, data, .. } = start;
    let unusable = || format!("cannot use {}", data.display());
    let starting = begin_store(data, &loaded.settings, &start.disk).with_context(unusable)?;
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let began = clock.now();
    metrics.reloaded(began);
    // Before anybody is told that it is ready: a signal that nobody waits for ends a process without order.
    let (hangup, ending) = (signal(SignalKind::hangup())?, Ending::new()?);
    let stop = CancellationToken::new();
    let signals = tokio::spawn(ending.wait(stop.clone(), start.until_stdin_ends));
    let front = Front::new(loaded.clone(), Layout::new(data), starting.meanwhile(), metrics.clone());
    let listening = serve::listen(&front).await?;
    let (token, door) = (listening.token.clone(), Arc::new(Notify::new()));
    let serving = tokio::spawn(serve::serve(listening, door.clone(), stop.clone()));
    let ended = match finished(starting, &door, &stop).await.with_context(unusable) {
        Ok(Some((store, recovered, late))) => {
            for note in &recovered.notes {
                tracing::warn!(note, "recovered");
            }
            tracing::info!(data = %data.display(), entries = store.head()?.size, folded = recovered.folded, "the ledger is open");
            let store = Arc::new(store);
            let around = surroundings(loaded, store.clone(), clock.clone(), random);
            let daemon = Daemon::new(clock, store, metrics, around, loaded.clone(), late.then_some(began));
            let opened = || {
                front.open(daemon.clone());
                door.notify_one();
            };
            let reloading = |daemon| reload::keep_fresh(daemon, start.path.clone(), token, hangup, stop.clone());
            live(daemon.clone(), opened, reloading, &stop).await
        }
        Ok(None) => {
            tracing::info!("ended before the index was there: the next start goes on with it");
            Ok(())
        }
        Err(error) => Err(error),
    };
    stop.cancel();
    signals.abort();
    // It ends by itself now, or is ended with the runtime.
    drop(tokio::time::timeout(SOON, serving).await);
    ended
}

/// The store once its index is there, and whether that was not soon: then whoever asks is let in meanwhile, and told how
/// far it is, and `stop` ends the wait: `None`.
async fn finished(
    starting: Starting,
    door: &Notify,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Store, Recovered, bool)>> {
    let meanwhile = starting.meanwhile();
    let (done, mut finished) = oneshot::channel();
    // A thread of its own, which ends with the process wherever it is: a runtime would wait for it.
    let finish = move || drop(done.send(starting.finish(&mut tell_log())));
    std::thread::Builder::new().name("index".into()).spawn(finish)?;
    let (mut soon, mut late) = (pin!(tokio::time::sleep(SOON)), false);
    loop {
        tokio::select! {
            finished = &mut finished => {
                let (store, recovered) = finished.context("opening the index broke off")??;
                return Ok(Some((store, recovered, late)));
            }
            () = stop.cancelled(), if late => return Ok(None),
            () = &mut soon, if !late => {
                tracing::warn!("nothing is collected yet: {}", meanwhile.said());
                door.notify_one();
                late = true;
            }
        }
    }
}

/// How long a start waits for its index before anybody is let in, and an end for what still answers.
const SOON: Duration = Duration::from_secs(1);

/// What no ledger can say itself.
#[derive(Clone, Copy)]
enum Unrecorded {
    /// It is not what it was.
    Older,
    /// The disk takes nothing.
    Stopped,
}

impl Unrecorded {
    /// What is to be told of a store that does not open. That another daemon holds it, or that there is none, is for
    /// whoever started this one.
    fn of(refused: &OpenError) -> Option<Unrecorded> {
        if matches!(refused, OpenError::Older { .. }) {
            return Some(Unrecorded::Older);
        }
        let causes = std::iter::successors(Some(refused as &dyn std::error::Error), |error| error.source());
        let mut said = causes.filter_map(|error| error.downcast_ref::<std::io::Error>());
        said.any(|error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem).then_some(Unrecorded::Stopped)
    }
}

/// Tells people that nothing is recorded, which the ledger cannot say itself.
async fn tell_of(news: Unrecorded, loaded: &Loaded, read: &dyn Read, why: &str) -> Result<(), String> {
    let query = Query { read, catalogue: &loaded.knowledge.catalogue, now: SystemClock.now() };
    let alert = match news {
        Unrecorded::Older => query.older_alert(why),
        Unrecorded::Stopped => query.stopped_alert(why),
    };
    let alert = alert.map_err(|e| in_full(&e))?;
    notify::tell_once(&loaded.settings, alert, &SystemClock).await
}

/// The same where no store is open.
async fn tell_of_refused(start: &Start, news: Unrecorded, refused: &OpenError) -> Result<(), String> {
    let data_key = data_key(&start.loaded.settings).map_err(|e| format!("{e:#}"))?;
    let offline = store::Offline::open_with(&start.data, data_key.as_ref()).map_err(|e| in_full(&e))?;
    tell_of(news, &start.loaded, &offline, &in_full(refused)).await
}

/// The life of a daemon that has its store: its tasks, until `stop`. Whoever asks is let in by `opened`; `reloading` keeps
/// its settings fresh.
async fn live<R: Future<Output = anyhow::Result<()>> + Send + 'static>(
    daemon: Arc<Daemon>,
    opened: impl FnOnce(),
    reloading: impl FnOnce(Arc<Daemon>) -> R,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // Witnesses remember what a guard that was put back does not, so they are asked before anything is recorded.
    let mut witnessing = Witnessing::new(daemon.clone())?;
    if let Err(StoreError::Stopped(why)) = witnessing.round().await {
        let told = tell_of(Unrecorded::Older, &daemon.loaded(), daemon.store.as_ref(), &why).await;
        if let Err(error) = told {
            tracing::error!(error, "nobody could be told of it");
        }
        bail!("{why}");
    }
    opened();
    let anchoring = Anchoring::new(daemon.clone(), Arc::new(SystemRandom))?;
    let anchoring = tokio::spawn(anchoring.keep_dated(stop.clone()));
    let reloading = tokio::spawn(reloading(daemon.clone()));
    let watching = tokio::spawn(watch::keep_looking(daemon.clone(), stop.clone()));
    let expiring = needed("expiring", stop, expiring::keep_expiring(daemon.clone(), stop.clone()));
    let scrubbing = needed("scrubbing", stop, scrubbing::keep_scrubbed(daemon.clone(), stop.clone()));
    let told = needed("telling", stop, notify::tell(daemon.clone(), stop.clone()));
    let witnessing = needed("witnessing", stop, witnessing.keep_witnessed(stop.clone()));
    let decided = match daemon.once_there_is_room(stop, |daemon| record_version(&daemon.store, &daemon.loaded())).await
    {
        Ok(Some(())) => daemon.decide_and_run(stop.clone()).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    stop.cancel();
    let told = ended_soon(told).await;
    let mut decided = decided;
    for task in [witnessing, scrubbing, expiring] {
        decided = decided.and(ended_soon(task).await);
    }
    // What the last runs recorded is dated too, as long as the store takes it.
    if let (Ok(()), Ok(Ok(anchoring))) = (&decided, anchoring.await) {
        anchoring.at_the_end().await;
    }
    let ended = decided.and(told);
    // Each of them ends by itself now, or is ended with the runtime.
    drop(tokio::time::timeout(SOON, async { (reloading.await, watching.await) }).await);
    // The last figures that are sent are those of the end, not of a look some seconds before it.
    watch::look_if_pushed(&daemon).await;
    match ended {
        Ok(()) => {
            tracing::info!("ended");
            Ok(())
        }
        Err(error) => {
            let (loaded, said) = (daemon.loaded(), error.to_string());
            let told = tell_of(Unrecorded::Stopped, &loaded, daemon.store.as_ref(), &said).await;
            if let Err(why) = told {
                tracing::error!(why, "nobody could be told that nothing is recorded");
            }
            bail!("{error}; start again to recover")
        }
    }
}

/// Begins a task without which the daemon does not go on: it ends early only when the store has stopped, or nobody can be
/// told, and then everything ends in order.
fn needed(
    what: &'static str,
    stop: &CancellationToken,
    task: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> JoinHandle<Result<(), StoreError>> {
    let (task, stop) = (tokio::spawn(task), stop.clone());
    tokio::spawn(async move {
        let ended = task.await.unwrap_or_else(|e| Err(StoreError::Stopped(format!("{what} broke off: {e}"))));
        stop.cancel();
        ended
    })
}

/// How a task ended that was asked to end. One that takes longer is ended with the runtime.
async fn ended_soon(task: JoinHandle<Result<(), StoreError>>) -> Result<(), StoreError> {
    match tokio::time::timeout(Duration::from_secs(2), task).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

/// The signals that end a daemon in good order.
struct Ending {
    term: Signal,
    int: Signal,
}

impl Ending {
    /// From here on they wait to be heard.
    fn new() -> std::io::Result<Ending> {
        Ok(Ending { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the order to stop, and passes it on.
    async fn wait(mut self, stop: CancellationToken, until_stdin_ends: bool) {
        let stdin_ends = async {
            if until_stdin_ends {
                // A thread of its own: a blocking read would keep the runtime from ending.
                let (ended, end) = oneshot::channel();
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
                    ended.send(()).ok();
                });
                drop(end.await);
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            _ = self.term.recv() => tracing::info!("asked to stop"),
            _ = self.int.recv() => tracing::info!("interrupted"),
            () = stdin_ends => tracing::info!("the parent is gone"),
        }
        stop.cancel();
    }
}
