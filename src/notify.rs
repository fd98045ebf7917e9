//! Telling people: the loop around [`alerts::Dispatcher`], its way to the network, and its memory in the ledger.
//!
//! What waits to be told is never stored apart: it is what the ledger says must be told, minus what the ledger says was
//! accepted. So nothing is lost when the process dies between a deviation and its alert.

use std::sync::Arc;

use alerts::{Answer, Dispatcher, Post, Reason, Remembered, SecretRef, Transport, TransportError, Verdict};
use bytes::Bytes;
use domain::entry::Fact;
use domain::{Duration, in_full};
use kit::Secrets;
use kit::http::{HeaderMap, HeaderName, HeaderValue};
use kit::outbound::{AskError, Outbound};
use query::Query;
use secrecy::{ExposeSecret, SecretString};
use store::rows::{DeliveryRow, key};
use store::{Read, ReadError, Store, StoreError, fold};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::daemon::Daemon;

/// An alert that ended stays worth telling for this long; after that a receiver that was down all the time is not told.
const NEWS_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Deliveries that are kept in mind at most while the disk has no room for them; then nobody is told until it has.
const MOST_UNRECORDED: usize = 1000;
/// A secret that takes longer to read is not to be had.
const LONGEST_READ: std::time::Duration = std::time::Duration::from_secs(5);
/// Alerts are looked at again at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Tells people until `stop` is cancelled.
///
/// # Errors
/// The store stopped.
pub async fn tell(daemon: Arc<Daemon>, stop: CancellationToken) -> Result<(), StoreError> {
    let network = Network::new(&daemon.around.network).map_err(|e| StoreError::Stopped(in_full(&e)))?;
    let mut loaded = daemon.loaded();
    let remembered = daemon.blocking(|daemon| remembered(&daemon.store)).await?;
    let mut dispatcher = Dispatcher::build(&loaded.settings.alerts, remembered)
        .map_err(|error| StoreError::Stopped(format!("receivers cannot be set up: {}", in_full(&error))))?;
    warn_of_unready(&dispatcher, &network).await;
    let mut unrecorded = Vec::new();
    while !stop.is_cancelled() {
        let fresh = daemon.loaded();
        if !Arc::ptr_eq(&fresh, &loaded) {
            match Dispatcher::build(&fresh.settings.alerts, dispatcher.remembered().clone()) {
                Ok(built) => {
                    dispatcher = built;
                    warn_of_unready(&dispatcher, &network).await;
                }
                Err(error) => {
                    tracing::error!(error = in_full(&error), "the receivers stay as they were");
                    daemon.metrics.reload_in_step(false);
                }
            }
            loaded = fresh;
        }
        let next = round(&daemon, &mut dispatcher, &network, &mut unrecorded).await?;
        let now = daemon.clock.now();
        let wait = next.map_or(LOOK_EVERY, |next| next.since(now).min(LOOK_EVERY));
        tokio::select! {
            () = stop.cancelled() => break,
            () = daemon.news.notified() => {}
            () = tokio::time::sleep(wait.to_std()) => {}
        }
    }
    Ok(())
}

/// Tells of something that no ledger can hold, once, as the settings would have it. What nobody takes is tried again by
/// whatever starts the daemon again: the incident stays the same.
pub async fn tell_once(settings: &Settings, alert: query::Alert, clock: &dyn domain::Clock) -> Result<(), String> {
    let network = Network::new(&settings.network.way()).map_err(|e| in_full(&e))?;
    let mut dispatcher = Dispatcher::build(&settings.alerts, Remembered::default()).map_err(|e| in_full(&e))?;
    let round = dispatcher.round(&[alert], &network, clock, &mut || 0).await;
    for sent in &round.sent {
        let receiver = &sent.notification.receiver;
        match &sent.result {
            Ok(receipt) => tracing::info!(receiver, answer = receipt.answer, "told"),
            Err(error) => tracing::warn!(receiver, %error, detail = error.detail, "could not tell"),
        }
    }
    Ok(())
}

/// One round: look, tell, record. Returns when the next is due.
#[tracing::instrument(name = "alert", level = "debug", skip_all)]
async fn round(
    daemon: &Arc<Daemon>,
    dispatcher: &mut Dispatcher,
    network: &Network,
    unrecorded: &mut Vec<Fact>,
) -> Result<Option<domain::Timestamp>, StoreError> {
    let alerts = daemon
        .blocking(|daemon| {
            let loaded = daemon.loaded();
            let query =
                Query { read: daemon.store.as_ref(), catalogue: &loaded.knowledge.catalogue, now: daemon.clock.now() };
            query.alerts(NEWS_FOR).map_err(|e| StoreError::Stopped(in_full(&e)))
        })
        .await?;
    keep(daemon, unrecorded).await?;
    if unrecorded.len() >= MOST_UNRECORDED {
        return Ok(None);
    }
    let longest = std::time::Duration::from_nanos(u64::MAX);
    let mut random = || u64::try_from(daemon.around.jitter.below(longest).as_nanos()).unwrap_or(0);
    let round = dispatcher.round(&alerts, network, daemon.clock.as_ref(), &mut random).await;
    for sent in &round.sent {
        let (receiver, tells) = (&sent.notification.receiver, sent.notification.tells.as_str());
        let about = &sent.notification.alert.title;
        match &sent.result {
            Ok(receipt) if !sent.repeat => tracing::info!(receiver, tells, about, answer = receipt.answer, "told"),
            Ok(_) => {}
            Err(error) => {
                let detail = &error.detail;
                tracing::warn!(receiver, tells, about, %error, detail, "could not tell; it is tried again");
            }
        }
        if !sent.repeat {
            daemon.metrics.delivery(receiver, sent.result.is_ok());
        }
    }
    let waits = |verdict: &Verdict| matches!(verdict, Verdict::Send(_) | Verdict::Hold(Reason::NotDue { .. }));
    let now = daemon.clock.now();
    let decisions = dispatcher.decide(&alerts, now);
    let pending: Vec<_> = decisions.iter().filter(|decision| waits(&decision.verdict)).collect();
    let oldest = pending.iter().map(|decision| decision.alert.at).min();
    daemon.metrics.outbox(pending.len() as u64, oldest, now);
    unrecorded.extend(round.deliveries.into_iter().map(Fact::Delivery));
    keep(daemon, unrecorded).await?;
    Ok(round.next)
}

/// Records what people were told. What there is no room for is kept in mind and tried again in the next round; a daemon
/// that dies before that tells it again, under the same id.
async fn keep(daemon: &Arc<Daemon>, unrecorded: &mut Vec<Fact>) -> Result<(), StoreError> {
    let facts = unrecorded.clone();
    match daemon.blocking(move |daemon| daemon.store.record(facts)).await {
        Ok(_) => unrecorded.clear(),
        Err(StoreError::DiskFull(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What the ledger knows of deliveries.
fn remembered(store: &Store) -> Result<Remembered, StoreError> {
    let mut remembered = Remembered::default();
    let pairs =
        store.index().scan(key::DELIVERIES, None, usize::MAX).map_err(|e| StoreError::Stopped(e.to_string()))?;
    for (_, bytes) in pairs {
        let row: DeliveryRow = fold::read(&bytes).map_err(|e| StoreError::Stopped(ReadError::from(e).to_string()))?;
        remembered.fold(&row.delivery);
    }
    Ok(remembered)
}

/// Says early what would otherwise be found out with the first alert.
async fn warn_of_unready(dispatcher: &Dispatcher, network: &Network) {
    for (receiver, why) in dispatcher.unready(network).await {
        tracing::error!(receiver, why, "nothing can be sent to this receiver until its secret is there");
    }
}

/// The secret behind a reference.
fn secret(reference: &SecretRef) -> Result<SecretString, String> {
    let reference = match reference {
        SecretRef::File(path) => kit::SecretRef::File(path.clone()),
        SecretRef::Env(name) => kit::SecretRef::Env(name.clone()),
    };
    let secret = kit::SystemSecrets.resolve(&reference).map_err(|error| in_full(&error))?;
    Ok(SecretString::from(secret.expose_secret().trim_end_matches(['\n', '\r'])))
}

/// The network, for receivers: with a guard against private addresses, and without.
struct Network {
    anywhere: Outbound,
    public_only: Outbound,
}

impl Network {
    fn new(way: &kit::Network) -> Result<Self, AskError> {
        Ok(Network { anywhere: Outbound::network(way)?, public_only: Outbound::public_only(way)? })
    }
}

#[async_trait::async_trait]
impl Transport for Network {
    async fn secret(&self, reference: &SecretRef) -> Result<SecretString, String> {
        // A mounted secret may lie on a disk that hangs: nobody else waits for it, and not for ever.
        let reference = reference.clone();
        let read = tokio::task::spawn_blocking(move || secret(&reference));
        let read = tokio::time::timeout(LONGEST_READ, read).await;
        read.map_err(|_| format!("it could not be read within {} s", LONGEST_READ.as_secs()))?
            .map_err(|error| error.to_string())?
    }

    async fn post(&self, post: Post) -> Result<Answer, TransportError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &post.headers {
            // A header that cannot be sent would be a defect of the receiver's code; the answer would tell.
            let Ok(mut value) = HeaderValue::from_str(value) else { continue };
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        let client = if post.allow_private { &self.anywhere } else { &self.public_only };
        let sent =
            client.ask(kit::http::Method::POST, &post.url, headers, Bytes::from(post.body), post.timeout.to_std());
        let answer = sent.await.map_err(|error| match error {
            AskError::TimedOut(_) => TransportError::TimedOut,
            AskError::Unresolved => TransportError::Unresolved,
            AskError::Certificate(_) => TransportError::Certificate,
            AskError::PrivateAddress => TransportError::PrivateAddress,
            AskError::TooLong | AskError::Connection(_) | AskError::Client(_) => TransportError::Unreachable,
        })?;
        let retry_after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = answer.body().get(..answer.body().len().min(GREATEST_ANSWER)).unwrap_or_default();
        let body = String::from_utf8_lossy(body).into_owned();
        Ok(Answer { status: answer.status().as_u16(), retry_after, body })
    }
}

/// Of an answer's body, this many bytes are looked at.
const GREATEST_ANSWER: usize = 2048;
