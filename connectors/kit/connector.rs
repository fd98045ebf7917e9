//! Letting a connector ask one question, whatever happens to it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Clock, CollectionRun, CollectorName, GapReason, StreamId, Trigger, in_full};
use futures::FutureExt;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    AnySource, BodySink, Budgets, Clients, CollectorSpec, Conditional, Evidence, Jitter, Limits, Network, Recorder,
    RunBuilder, Secrets,
};

/// How long a collector may take to wind up after its time is over or the run is cancelled.
const GRACE: Duration = Duration::from_secs(1);

/// Code that can read one kind of source.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Asks one question and tells the builder what it found and what it could not read.
    ///
    /// It cannot fail and cannot store. `collector` is one of those its settings declare.
    async fn collect(&self, collector: &CollectorName, run: &mut RunBuilder);
}

/// What a run needs from the daemon around it.
#[derive(Clone)]
pub struct Surroundings {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Fetches secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Keeps bodies.
    pub bodies: Arc<dyn BodySink>,
    /// Knows what was recorded before, for connectors that join it.
    pub evidence: Arc<dyn Evidence>,
    /// Spreads waits.
    pub jitter: Arc<dyn Jitter>,
    /// Knows earlier bodies, for sources that answer *not modified*.
    pub conditional: Option<Arc<dyn Conditional>>,
    /// The way to sources.
    pub network: Network,
    /// HTTP clients, kept from run to run.
    pub clients: Clients,
    /// The sources' budgets, kept from run to run.
    pub budgets: Budgets,
    /// The limits of the run.
    pub limits: Limits,
    /// Ends the run early.
    pub cancel: CancellationToken,
}

/// Lets the connector of `source` ask one question, and gives back what came of it.
///
/// It always gives a run: secrets that cannot be read, a connector that panics or hangs, a run out of time or cancelled
/// each end in gaps. What was found before stays, in populations that are not complete.
///
/// `stream` is that of the source ([`AnySource::id`]) and of `collector`, one of its kind's.
pub async fn run(
    source: &dyn AnySource,
    collector: &'static CollectorSpec,
    stream: &StreamId,
    trigger: Trigger,
    around: &Surroundings,
) -> CollectionRun {
    let started = around.clock.now();
    let (manners, transport) = (source.manners(), source.transport());
    let connector = source.connect(around.secrets.as_ref());
    let connector = connector.map_err(|error| (GapReason::Unauthenticated, in_full(&error)));
    let client = around.clients.get(&transport, &around.network, around.limits.connect);
    let client = client.map_err(|error| (GapReason::Unreachable, in_full(&error)));
    let recorder = Arc::new(Recorder {
        stream: stream.clone(),
        calls: collector.calls,
        transport,
        client: client.as_ref().ok().cloned(),
        limits: around.limits,
        budget: around.budgets.of(&stream.source(), &manners),
        manners,
        clock: Arc::clone(&around.clock),
        bodies: Arc::clone(&around.bodies),
        evidence: Arc::clone(&around.evidence),
        jitter: Arc::clone(&around.jitter),
        conditional: around.conditional.clone(),
        cancel: around.cancel.clone(),
        deadline: Instant::now() + around.limits.run,
        log: Mutex::default(),
        last_length: AtomicUsize::default(),
        knows_earlier: OnceCell::new(),
    });
    let mut builder = RunBuilder::new(stream.clone(), collector, trigger, started, Arc::clone(&recorder));
    let stopped = match client.and(connector) {
        Ok(connector) => ask(connector.as_ref(), &stream.collector(), &mut builder, &recorder).await,
        Err(stopped) => Some(stopped),
    };
    if let Some((reason, why)) = stopped {
        tracing::warn!(%stream, reason = reason.as_str(), why, "the collector was stopped");
        builder.stopped(reason, &why);
    }
    builder.finish(around.clock.now())
}

/// Asks, and says why the collector did not come to its own end.
async fn ask(
    connector: &dyn Connector,
    collector: &CollectorName,
    builder: &mut RunBuilder,
    recorder: &Recorder,
) -> Option<(GapReason, String)> {
    let work = AssertUnwindSafe(connector.collect(collector, builder)).catch_unwind();
    // The recorder ends every call in time by itself; the other two branches are for a collector that hangs elsewhere.
    let cancelled = async {
        recorder.cancel.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let (reason, why) = tokio::select! {
        done = work => match done {
            Ok(()) => return None,
            Err(_) => (GapReason::Interrupted, "the collector broke off, a defect of this program"),
        },
        () = cancelled => (GapReason::Cancelled, "the run was cancelled"),
        () = tokio::time::sleep_until(recorder.deadline + GRACE) => (GapReason::TimedOut, "the run's time was over"),
    };
    Some((reason, why.to_owned()))
}
