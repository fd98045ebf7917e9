//! Stand-ins for clock, store, chance and secrets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::{BodyId, Clock, IdError, SourceId, Timestamp};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::MemoryEvidence;
use crate::{
    AnySource, BodySink, Budgets, Clients, Common, ConnectError, Connector, FieldProblem, Jitter, Kind, Limits,
    Manners, Network, SecretError, SecretRef, Secrets, SinkError, SourceConfig, Surroundings, Transport,
};

/// A clock that always tells the same time.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Chance that always chooses the whole bound.
#[derive(Clone, Copy, Debug)]
pub struct FullWait;

impl Jitter for FullWait {
    fn below(&self, bound: Duration) -> Duration {
        bound
    }
}

/// Knows no secret.
#[derive(Clone, Copy, Debug)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn resolve(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        Err(SecretError::Empty(reference.clone()))
    }
}

/// Answers every reference with the same secret.
#[derive(Clone, Debug)]
pub struct OneSecret(pub SecretString);

impl Secrets for OneSecret {
    fn resolve(&self, _: &SecretRef) -> Result<SecretString, SecretError> {
        Ok(self.0.clone())
    }
}

/// Keeps bodies in memory, each under its SHA-256.
#[derive(Clone, Debug, Default)]
pub struct MemoryBodies(Arc<Mutex<BTreeMap<BodyId, Bytes>>>);

impl MemoryBodies {
    /// The bytes kept under an id.
    pub fn get(&self, id: &BodyId) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Everything kept, in the order of ids.
    pub fn all(&self) -> Vec<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl BodySink for MemoryBodies {
    fn put(&self, segments: &[Bytes]) -> Result<Vec<BodyId>, SinkError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids = Vec::new();
        for segment in segments {
            let id: BodyId = hex::encode(Sha256::digest(segment)).parse().map_err(|e| SinkError(Box::new(e)))?;
            kept.insert(id.clone(), segment.clone());
            ids.push(id);
        }
        Ok(ids)
    }
}

/// Surroundings with short waits between tries, the time standing still, and one secret for all.
///
/// The limits on an answer stay generous, since a busy machine is no reason for a gap.
pub fn surroundings(bodies: MemoryBodies) -> Surroundings {
    Surroundings {
        clock: Arc::new(FixedClock(Timestamp::from_millis(1_795_348_800_000))),
        secrets: Arc::new(OneSecret("a-secret-for-tests".into())),
        bodies: Arc::new(bodies),
        evidence: Arc::new(MemoryEvidence::default()),
        jitter: Arc::new(FullWait),
        conditional: None,
        network: Network::default(),
        clients: Clients::default(),
        budgets: Budgets::default(),
        limits: Limits {
            tries: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(4),
            ..Limits::default()
        },
        cancel: CancellationToken::new(),
    }
}

/// Makes the connector of a source in a way of a test's own.
type Connect<C> = dyn Fn(&C, &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError> + Send + Sync;

/// A source whose connector a test makes in its own way: with smaller pages, or a key that is made there. All else is as
/// its settings say.
pub struct ConnectedBy<C> {
    config: C,
    connect: Box<Connect<C>>,
}

impl<C> ConnectedBy<C> {
    /// The source of these settings, connected by `connect`.
    pub fn new(
        config: C,
        connect: impl Fn(&C, &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError> + Send + Sync + 'static,
    ) -> Self {
        ConnectedBy { config, connect: Box::new(connect) }
    }
}

impl<C: SourceConfig> AnySource for ConnectedBy<C> {
    fn kind(&self) -> Kind {
        self.config.kind()
    }
    fn id(&self) -> Result<SourceId, IdError> {
        self.config.id()
    }
    fn common(&self) -> Common<'_> {
        AnySource::common(&self.config)
    }
    fn problems(&self) -> Vec<FieldProblem> {
        self.config.problems()
    }
    fn manners(&self) -> Manners {
        self.config.manners()
    }
    fn transport(&self) -> Transport {
        AnySource::transport(&self.config)
    }
    fn connect(&self, secrets: &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError> {
        (self.connect)(&self.config, secrets)
    }
}
