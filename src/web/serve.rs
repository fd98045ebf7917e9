//! Connections: how many there may be at once, and how long one may take to say what it wants.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// Within this time the head of a request must be there, counted from the end of the one before it or from the
    /// beginning of the connection; otherwise the connection is closed.
    pub head_within: Duration,
    /// This many at once; more of them wait until one of these ends.
    pub at_once: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Connections { head_within: Duration::from_secs(10), at_once: 256 }
    }
}

/// Serves a router until `stop` is ready, and then until requests under way are answered.
pub async fn serve<L: Listener>(mut listener: L, router: Router, limits: Connections, stop: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_within);
    let turns = Arc::new(Semaphore::new(limits.at_once));
    let under_way = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let next = async { (turns.clone().acquire_owned().await, listener.accept().await) };
        let (turn, (stream, _)) = tokio::select! {
            () = &mut stop => break,
            next = next => next,
        };
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = under_way.watch(connection);
        tokio::spawn(async move {
            // An asker that went away or took too long is no fault of ours.
            drop(connection.await);
            drop(turn);
        });
    }
    drop(listener);
    under_way.shutdown().await;
}
