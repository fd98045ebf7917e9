//! What the pages ask of the daemon, and how they ask without holding up its threads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::StatusCode;
use domain::StreamId;
use query::Query;
use tokio::sync::Semaphore;

use crate::api::ExportAsked;
use crate::privacy::{EraseAsked, Erased, HoldAsked, ReleaseAsked};
use crate::problem::Problem;

/// The streams that will run, or why none will.
pub type RunNow<'a> = Pin<Box<dyn Future<Output = Result<Vec<StreamId>, String>> + Send + 'a>>;

/// What was erased, or why nothing was.
pub type Erasing<'a> = Pin<Box<dyn Future<Output = Result<Erased, String>> + Send + 'a>>;

/// What serves the pages: the daemon, or whatever holds recorded evidence.
pub trait Backend: Send + Sync + 'static {
    /// Puts one question to the read layer, as of now. Calls `ask` exactly once; may wait for the disk, and is called
    /// on a thread that may wait.
    fn with_query(&self, ask: &mut dyn FnMut(&Query<'_>));

    /// Whether the store is open and the scheduler runs; otherwise what is amiss, in one line.
    fn ready(&self) -> Result<(), String>;

    /// While the index is being built, how far that is, in one line: questions that need it fail for now, and nothing can be
    /// asked to be done.
    fn building(&self) -> Option<String> {
        None
    }

    /// The metrics in Prometheus' text format 0.0.4. May wait for the disk.
    fn metrics(&self) -> Result<String, String>;

    /// Records that a package was made, and says in which entry. May wait for the disk. Only the owner can ask it.
    fn export(&self, _: &ExportAsked) -> Result<u64, String> {
        Err("nothing is recorded here".to_owned())
    }

    /// Erases records, once no run is under way. Only the owner can ask it.
    fn erase(&self, _: EraseAsked) -> Erasing<'_> {
        Box::pin(std::future::ready(Err("nothing is kept here".to_owned())))
    }

    /// Holds records, and says in which entry. May wait for the disk, and for an erasure. Only the owner can ask it.
    fn hold(&self, _: &HoldAsked) -> Result<u64, String> {
        Err("nothing is kept here".to_owned())
    }

    /// Releases a hold, and says in which entry. May wait as [`Backend::hold`] does. Only the owner can ask it.
    fn release(&self, _: &ReleaseAsked) -> Result<u64, String> {
        Err("nothing is kept here".to_owned())
    }

    /// Makes a stream, all streams of a source, or everything (`None`) due now.
    fn run_now<'a>(&'a self, what: Option<&'a str>) -> RunNow<'a>;
}

/// Questions answered at once; more of them wait for their turn, as long as a request may last.
const AT_ONCE: usize = 8;

/// A backend and the turns to ask it.
#[derive(Clone)]
pub(crate) struct Asked {
    backend: Arc<dyn Backend>,
    turns: Arc<Semaphore>,
}

impl Asked {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Asked { backend, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    /// Refuses, while the index is being built, what the owner asks to be done.
    pub(crate) fn can_do(&self) -> Result<(), Problem> {
        self.backend.building().map_or(Ok(()), |so_far| Err(Problem::for_now(so_far)))
    }

    /// Puts a question to the read layer, on a thread that may wait.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Query<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.blocking(move |backend| {
            let (mut question, mut answer) = (Some(question), None);
            backend.with_query(&mut |query| {
                if let Some(question) = question.take() {
                    answer = Some(question(query));
                }
            });
            answer.unwrap_or_else(|| Err(Problem::broken("the daemon did not answer")))
        })
        .await
    }

    /// Runs something that may wait for the disk, in its turn. The turn ends with the work, not with the request: a
    /// reader who gives up does not let another one in too early.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Problem::broken("the daemon is ending"))?;
        let backend = self.backend.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = work(backend.as_ref());
            drop(turn);
            result.map_err(|problem| match backend.building() {
                Some(so_far) if problem.status == StatusCode::INTERNAL_SERVER_ERROR => Problem::for_now(so_far),
                _ => problem,
            })
        });
        done.await.unwrap_or_else(|error| Err(Problem::broken(&format!("answering broke off: {error}"))))
    }
}
