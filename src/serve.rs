//! Listening: the pages and the API, health and metrics on their own address, and the owner's control socket.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use domain::{StreamId, in_full};
use kit::http::{HeaderMap, HeaderValue, Method, header};
use kit::outbound::Outbound;
use kit::{SecretRef, Secrets, SystemSecrets};
use query::Query;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use web::{
    Access, Backend, Connections, EraseAsked, Erased, Erasing, ExportAnswer, ExportAsked, HoldAnswer, HoldAsked,
    ReleaseAsked, RunNow, Token,
};

use crate::app;
use crate::daemon::Daemon;
use crate::erasing;
use crate::watch;

/// The daemon, as pages and API see it.
struct Window(Arc<Daemon>);

impl Backend for Window {
    fn with_query(&self, ask: &mut dyn FnMut(&Query<'_>)) {
        let loaded = self.0.loaded();
        let now = self.0.clock.now();
        ask(&Query { read: self.0.store.as_ref(), catalogue: &loaded.knowledge.catalogue, now });
    }

    fn ready(&self) -> Result<(), String> {
        if let Some(why) = self.0.store.stopped() {
            return Err(why.to_owned());
        }
        let waiting = self.0.store.waiting_for_disk();
        if waiting >= LONGEST_WAIT_FOR_DISK {
            return Err(format!(
                "the disk has taken no entry for {} s; what was recorded before is whole",
                waiting.as_secs()
            ));
        }
        let nearly_full =
            |missing| format!("the disk is nearly full: {missing}; nothing is collected until there is room");
        self.0.room.missing().map_or(Ok(()), |missing| Err(nearly_full(missing)))
    }

    fn rebuilding(&self) -> bool {
        self.0.store.index_damage().is_some()
    }

    fn metrics(&self) -> Result<String, String> {
        watch::look(&self.0).map_err(|error| in_full(&error))?;
        self.0.metrics.text()
    }

    fn export(&self, export: &ExportAsked) -> Result<u64, String> {
        app::record_export(&self.0.store, export).map_err(|error| in_full(&error))
    }

    fn erase(&self, asked: EraseAsked) -> Erasing<'_> {
        Box::pin(erasing::erase_in(&self.0, asked))
    }

    fn hold(&self, asked: &HoldAsked) -> Result<u64, String> {
        let held = erasing::hold(&self.0.store, asked);
        held.map(|receipt| receipt.entry).map_err(|error| in_full(&error))
    }

    fn release(&self, asked: &ReleaseAsked) -> Result<u64, String> {
        let released = erasing::release(&self.0.store, asked);
        released.map(|receipt| receipt.entry).map_err(|error| in_full(&error))
    }

    fn run_now<'a>(&'a self, what: Option<&'a str>) -> RunNow<'a> {
        Box::pin(self.0.run_now(what))
    }
}

/// A disk that takes no entry for longer makes the daemon unready.
const LONGEST_WAIT_FOR_DISK: Duration = Duration::from_secs(30);

/// A daemon answers within this time.
const USUAL: Duration = Duration::from_secs(10);
/// Within this time it has erased, or waited until somebody else has.
const LONG: Duration = Duration::from_secs(3700);

/// Sockets that are open and not served yet.
pub struct Listening {
    pages: (TcpListener, Router),
    health: (TcpListener, Router),
    control: (UnixListener, Router),
    socket: PathBuf,
    /// The token of the pages, where there is one.
    pub token: Option<Token>,
}

/// Opens every socket, or none is served: an address in use is found out before anything runs.
pub async fn listen(daemon: &Arc<Daemon>) -> anyhow::Result<Listening> {
    let loaded = daemon.loaded();
    let backend: Arc<dyn Backend> = Arc::new(Window(daemon.clone()));
    let address = loaded.settings.web.listen;
    let access = match &loaded.settings.web.token_file {
        Some(path) => {
            let token = token_in(path).map_err(|why| anyhow::anyhow!("web.token_file: {why}"))?;
            Access::Token(Token::new(token))
        }
        None => Access::Loopback,
    };
    let token = match &access {
        Access::Token(token) => Some(token.clone()),
        Access::Loopback => None,
    };
    let pages = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (web.listen)"))?;
    tracing::info!(address = %pages.local_addr()?, "pages and API");
    let address = loaded.settings.health.listen;
    let health =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (health.listen)"))?;
    tracing::info!(address = %health.local_addr()?, "health and metrics");
    let socket = daemon.store.layout().socket();
    // Whoever holds the store's lock is the only daemon here, so a socket that is left over is nobody's.
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", socket.display()));
        }
        _ => {}
    }
    let control = UnixListener::bind(&socket).with_context(|| format!("cannot make {}", socket.display()))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listening {
        pages: (pages, web::pages(backend.clone(), access)),
        health: (health, web::health(backend.clone())),
        control: (control, web::control(backend)),
        socket,
        token,
    })
}

/// The token in a file, as it is now.
pub fn token_in(path: &Path) -> Result<SecretString, String> {
    SystemSecrets.resolve(&SecretRef::File(path.to_owned())).map_err(|error| in_full(&error))
}

/// Serves until `stop` is cancelled.
pub async fn serve(listening: Listening, stop: CancellationToken) {
    let Listening { pages, health, control, socket, .. } = listening;
    let limits = Connections::default();
    tokio::join!(
        web::serve(pages.0, pages.1, limits, stop.cancelled()),
        web::serve(health.0, health.1, limits, stop.cancelled()),
        web::serve(control.0, control.1, limits, stop.cancelled()),
    );
    drop(std::fs::remove_file(socket));
}

/// Asks the daemon that holds a data directory to run something now.
pub fn ask_to_run(socket: &Path, what: Option<&str>) -> anyhow::Result<Vec<StreamId>> {
    let answer: web::RunNowAnswer = ask(socket, "run-now", &serde_json::json!({ "what": what }), USUAL)?;
    Ok(answer.streams)
}

/// Has the daemon that holds a data directory record that a package was made, and says in which entry.
pub fn ask_to_record(socket: &Path, export: &ExportAsked) -> anyhow::Result<u64> {
    let answer: ExportAnswer = ask(socket, "exports", export, USUAL)?;
    Ok(answer.entry)
}

/// Has the daemon that holds a data directory erase something, as soon as no run is under way, and waits for it.
pub fn ask_to_erase(socket: &Path, asked: &EraseAsked) -> anyhow::Result<Erased> {
    ask(socket, "erasures", asked, LONG)
}

/// Has the daemon that holds a data directory hold something, and says in which entry.
pub fn ask_to_hold(socket: &Path, asked: &HoldAsked) -> anyhow::Result<u64> {
    let answer: HoldAnswer = ask(socket, "holds", asked, LONG)?;
    Ok(answer.entry)
}

/// Has the daemon that holds a data directory release a hold, and says in which entry.
pub fn ask_to_release(socket: &Path, asked: &ReleaseAsked) -> anyhow::Result<u64> {
    let answer: HoldAnswer = ask(socket, "releases", asked, LONG)?;
    Ok(answer.entry)
}

/// Whether a daemon answers at a control socket; one that was killed leaves it behind.
pub fn is_answered(socket: &Path) -> bool {
    let answered = || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = Outbound::over_socket(socket)?;
            let url = "http://localhost/api/v1/checkpoint".parse()?;
            client.ask(Method::GET, &url, HeaderMap::new(), bytes::Bytes::new(), USUAL).await?;
            Ok(())
        })
    };
    socket.exists() && answered().is_ok()
}

/// Asks the daemon behind a control socket how many entries its index holds.
pub fn ask_for_size(socket: &Path) -> anyhow::Result<u64> {
    anyhow::ensure!(socket.exists(), "there is no {}", socket.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Outbound::over_socket(socket)?;
        let url = "http://localhost/api/v1/overview".parse()?;
        let answer =
            client.ask(Method::GET, &url, HeaderMap::new(), bytes::Bytes::new(), Duration::from_secs(10)).await?;
        if !answer.status().is_success() {
            let error: web::ErrorBody =
                serde_json::from_slice(answer.body()).context("an answer that does not read")?;
            anyhow::bail!("{}", error.error);
        }
        let overview: query::Overview =
            serde_json::from_slice(answer.body()).context("an answer that does not read")?;
        Ok(overview.ledger.size)
    })
}

/// Posts something to the daemon behind a control socket.
fn ask<T: DeserializeOwned>(socket: &Path, path: &str, what: &impl Serialize, within: Duration) -> anyhow::Result<T> {
    anyhow::ensure!(socket.exists(), "no daemon is running here: there is no {}", socket.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Outbound::over_socket(socket)?;
        let url = format!("http://localhost/api/v1/{path}").parse()?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = serde_json::to_vec(what)?;
        let answer = client.ask(Method::POST, &url, headers, body.into(), within).await;
        let answer = answer.with_context(|| format!("no daemon answers at {}", socket.display()))?;
        if !answer.status().is_success() {
            let error: web::ErrorBody =
                serde_json::from_slice(answer.body()).context("an answer that does not read")?;
            anyhow::bail!("{}", error.error);
        }
        serde_json::from_slice(answer.body()).context("an answer that does not read")
    })
}
