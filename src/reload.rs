//! Changed settings are put in force without a restart; bad ones leave those before them in force, and people are told.
//!
//! Whether something changed is found by reading it every few seconds: bytes tell what a notification of a file system
//! may not, be it a mounted ConfigMap whose folder is exchanged by a link, a volume of another machine, or an editor
//! that writes a new file in the place of the old one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use checks::Problem;
use domain::entry::Genesis;
use domain::{TroubleIn, in_full};
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use web::Token;

use crate::app::{genesis, record_version};
use crate::config::Settings;
use crate::daemon::Daemon;
use crate::loaded::Loaded;
use crate::{serve, trouble};

/// How often the files are looked at.
const LOOK_FOR_CHANGES: Duration = Duration::from_secs(5);
/// Faults that are told with the alert; the log has all of them.
const FAULTS_TOLD: usize = 3;

/// What one look at the files found.
enum Look {
    /// What is in force is what they say.
    Same,
    /// They say something else, and it is right.
    Changed(Box<Loaded>),
    /// They say something that is not right; with the digest of them all, so that each is said once.
    Wrong(String, Vec<Problem>),
}

/// Looks at the settings, and at all that they name, every few seconds and on `hangup` (SIGHUP), until `stop` is
/// cancelled.
///
/// # Errors
/// A thread broke off.
pub async fn keep_fresh(
    daemon: Arc<Daemon>,
    path: PathBuf,
    token: Option<Token>,
    mut hangup: Signal,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ledger = daemon.blocking(|daemon| genesis(daemon.store.layout().data())).await?;
    let mut refused: Option<String> = None;
    let mut wrong: Option<String> = None;
    loop {
        let unread = renewed(&daemon, token.as_ref()).await?;
        // What a daemon before this one said of settings is ended here as well.
        tell(&daemon, wrong.as_deref().or(unread.as_deref())).await;
        let asked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = hangup.recv() => true,
            () = tokio::time::sleep(LOOK_FOR_CHANGES) => false,
        };
        let (known, from, ledger) = (daemon.loaded(), path.clone(), ledger.clone());
        match tokio::task::spawn_blocking(move || look(&known, &from, &ledger, asked)).await? {
            Look::Same => {
                if refused.take().is_some() {
                    daemon.metrics.reload_in_step(true);
                    tracing::info!("the settings in force are the latest again");
                }
                wrong = None;
            }
            Look::Wrong(files, problems) => {
                // Said once for each bad text, and again when somebody asks.
                if asked || refused.as_ref() != Some(&files) {
                    for problem in &problems {
                        tracing::error!(problem = problem.headline(), "the settings are not read");
                    }
                    tracing::error!(problems = problems.len(), "the settings in force stay as they were");
                    daemon.metrics.reload_in_step(false);
                }
                (refused, wrong) = (Some(files), Some(in_words(&problems)));
            }
            Look::Changed(loaded) => {
                if !put_in_force(&daemon, Arc::new(*loaded), &stop).await {
                    return Ok(());
                }
                (refused, wrong) = (None, None);
            }
        }
    }
}

fn look(known: &Loaded, path: &Path, ledger: &Genesis, asked: bool) -> Look {
    let files = known.files_now(path);
    if !asked && files == known.files {
        return Look::Same;
    }
    match Loaded::read(path) {
        Ok(loaded) => match loaded.settings.of_another(ledger) {
            Some(why) => Look::Wrong(files, vec![Problem::of_file(path.display().to_string(), why)]),
            None => Look::Changed(Box::new(loaded)),
        },
        Err(problems) => Look::Wrong(files, problems),
    }
}

/// The first faults, in words.
fn in_words(problems: &[Problem]) -> String {
    let first: Vec<String> = problems.iter().take(FAULTS_TOLD).map(Problem::headline).collect();
    let more = match problems.len().saturating_sub(FAULTS_TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}", first.join("; "))
}

/// Puts other settings in force, once there is room to record what they are; `false` when the daemon ends first.
async fn put_in_force(daemon: &Arc<Daemon>, loaded: Arc<Loaded>, stop: &CancellationToken) -> bool {
    let measures = loaded.clone();
    match daemon.once_there_is_room(stop, move |daemon| record_version(&daemon.store, &measures)).await {
        Ok(None) => return false,
        Ok(Some(())) => {
            if at_start(&daemon.loaded().settings) != at_start(&loaded.settings) {
                tracing::warn!(
                    "addresses, folders of data and guard, the data key, the index, the way to the network, log and telemetry are \
                     read at the start only: restart to change them"
                );
            }
            daemon.reload(loaded).await;
            daemon.metrics.reloaded(daemon.clock.now());
            tracing::info!("other settings are in force");
        }
        Err(error) => tracing::error!(error = in_full(&error), "the settings could not be recorded"),
    }
    true
}

/// What is read at the start only, as one text to compare.
fn at_start(settings: &Settings) -> String {
    let Settings { data, guard_dir, guard_copies, data_key, index, web, health, log, telemetry, network, .. } =
        settings;
    format!(
        "{data:?} {guard_dir:?} {guard_copies:?} {data_key:?} {index:?} {web:?} {health:?} {log:?} {telemetry:?} {network:?}"
    )
}

/// Lets people in by the token as it lies in its file now; or says why the last one still counts.
async fn renewed(daemon: &Daemon, token: Option<&Token>) -> anyhow::Result<Option<String>> {
    let (Some(token), Some(path)) = (token, daemon.loaded().settings.web.token_file.clone()) else { return Ok(None) };
    Ok(match tokio::task::spawn_blocking(move || serve::token_in(&path)).await? {
        Ok(secret) => {
            token.replace(secret);
            None
        }
        Err(why) => Some(format!("web.token_file: {why}")),
    })
}

/// Has ledger and alerts say what is amiss with the settings.
async fn tell(daemon: &Arc<Daemon>, amiss: Option<&str>) {
    let amiss = amiss.map(str::to_owned);
    let told = daemon.blocking(move |daemon| trouble::record(&daemon.store, TroubleIn::Settings, amiss.as_deref()));
    match told.await {
        Ok(false) => {}
        Ok(true) => daemon.news.notify_one(),
        // The deciding task sees by itself that the store stopped, and ends the daemon.
        Err(error) => tracing::error!(error = in_full(&error), "what is amiss with the settings could not be recorded"),
    }
}
