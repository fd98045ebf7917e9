//! Listening: the pages and the API, health and metrics on their own address, and the owner's control socket.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use domain::{Clock, StreamId, in_full};
use kit::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kit::outbound::Outbound;
use kit::{SecretRef, Secrets, SystemSecrets};
use query::Query;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Layout, Meanwhile};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use web::{
    Access, Backend, Connections, EraseAsked, Erased, Erasing, ExportAnswer, ExportAsked, HoldAnswer, HoldAsked,
    ReleaseAsked, RunNow, Token,
};

use crate::app;
use crate::clock::SystemClock;
use crate::daemon::Daemon;
use crate::erasing;
use crate::loaded::Loaded;
use crate::telemetry::Metrics;
use crate::watch;

/// What stands behind pages, API and health: the ledger alone until the daemon is there, and then the daemon.
pub struct Front {
    loaded: Arc<Loaded>,
    layout: Layout,
    meanwhile: Arc<Meanwhile>,
    metrics: Arc<Metrics>,
    daemon: OnceLock<Arc<Daemon>>,
}

impl Front {
    /// That of a daemon whose store is starting.
    pub fn new(loaded: Arc<Loaded>, layout: Layout, meanwhile: Arc<Meanwhile>, metrics: Arc<Metrics>) -> Arc<Front> {
        Arc::new(Front { loaded, layout, meanwhile, metrics, daemon: OnceLock::new() })
    }

    /// The daemon is there.
    pub fn open(&self, daemon: Arc<Daemon>) {
        // There is one in the life of a process.
        drop(self.daemon.set(daemon));
    }

    /// The daemon, for whoever asks it to do something.
    fn daemon(&self) -> Result<&Arc<Daemon>, String> {
        self.daemon.get().ok_or_else(|| self.meanwhile.said())
    }
}

impl Backend for Front {
    fn with_query(&self, ask: &mut dyn FnMut(&Query<'_>)) {
        match self.daemon.get() {
            Some(daemon) => {
                let (loaded, now) = (daemon.loaded(), daemon.clock.now());
                ask(&Query { read: daemon.store.as_ref(), catalogue: &loaded.knowledge.catalogue, now });
            }
            None => {
                let catalogue = &self.loaded.knowledge.catalogue;
                ask(&Query { read: self.meanwhile.as_ref(), catalogue, now: SystemClock.now() });
            }
        }
    }

    fn ready(&self) -> Result<(), String> {
        let daemon = self.daemon()?;
        if let Some(why) = daemon.store.stopped() {
            return Err(why.to_owned());
        }
        if let Some(so_far) = daemon.store.rebuilding() {
            return Err(so_far);
        }
        let waiting = daemon.store.waiting_for_disk();
        if waiting >= LONGEST_WAIT_FOR_DISK {
            return Err(format!(
                "the disk has taken no entry for {} s; what was recorded before is whole",
                waiting.as_secs()
            ));
        }
        let nearly_full =
            |missing| format!("the disk is nearly full: {missing}; nothing is collected until there is room");
        daemon.room.missing().map_or(Ok(()), |missing| Err(nearly_full(missing)))
    }

    fn building(&self) -> Option<String> {
        match self.daemon.get() {
            Some(daemon) => daemon.store.rebuilding(),
            None => Some(self.meanwhile.said()),
        }
    }

    fn metrics(&self) -> Result<String, String> {
        let looked = match self.daemon.get() {
            Some(daemon) => watch::look(daemon),
            None => watch::look_meanwhile(&self.meanwhile, &self.metrics),
        };
        looked.map_err(|error| in_full(&error))?;
        self.metrics.text()
    }

    fn export(&self, export: &ExportAsked) -> Result<u64, String> {
        app::record_export(&self.daemon()?.store, export).map_err(|error| in_full(&error))
    }

    fn erase(&self, asked: EraseAsked) -> Erasing<'_> {
        match self.daemon() {
            Ok(daemon) => Box::pin(erasing::erase_in(daemon, asked)),
            Err(why) => Box::pin(std::future::ready(Err(why))),
        }
    }

    fn hold(&self, asked: &HoldAsked) -> Result<u64, String> {
        let held = erasing::hold(&self.daemon()?.store, asked);
        held.map(|receipt| receipt.entry).map_err(|error| in_full(&error))
    }

    fn release(&self, asked: &ReleaseAsked) -> Result<u64, String> {
        let released = erasing::release(&self.daemon()?.store, asked);
        released.map(|receipt| receipt.entry).map_err(|error| in_full(&error))
    }

    fn run_now<'a>(&'a self, what: Option<&'a str>) -> RunNow<'a> {
        Box::pin(async move { self.daemon()?.run_now(what).await })
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
pub async fn listen(front: &Arc<Front>) -> anyhow::Result<Listening> {
    let settings = &front.loaded.settings;
    let backend: Arc<dyn Backend> = front.clone();
    let address = settings.web.listen;
    let access = match &settings.web.token_file {
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
    let address = settings.health.listen;
    let health =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (health.listen)"))?;
    tracing::info!(address = %health.local_addr()?, "health and metrics");
    let socket = front.layout.socket();
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

/// Serves from when the `door` is opened until `stop` is cancelled; whoever comes earlier waits.
pub async fn serve(listening: Listening, door: Arc<Notify>, stop: CancellationToken) {
    tokio::select! {
        () = door.notified() => {}
        () = stop.cancelled() => {}
    }
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

/// What a daemon says that was asked for something that rests on its index.
pub enum OfIndex {
    /// It answers, as of so many entries.
    Answers(u64),
    /// It is building it, and how far that is.
    Building(String),
}

/// Asks the daemon behind a control socket how many entries its index holds.
pub fn ask_for_size(socket: &Path) -> anyhow::Result<OfIndex> {
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
            anyhow::ensure!(answer.status() == StatusCode::SERVICE_UNAVAILABLE, "{}", error.error);
            return Ok(OfIndex::Building(error.error));
        }
        let overview: query::Overview =
            serde_json::from_slice(answer.body()).context("an answer that does not read")?;
        Ok(OfIndex::Answers(overview.ledger.size))
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
