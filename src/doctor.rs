//! What whoever runs the daemon has to know of it, looked at from outside: beside a running daemon and without one.
//!
//! Nothing is changed and nobody outside is contacted. Every line has one state, and a remedy where there is one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use domain::entry::Fact;
use domain::{Clock, Duration, Timestamp, in_full};
use kit::SystemSecrets;
use ledger::{Disk as _, Reader, RealDisk, SignedCheckpoint};
use query::Query;
use serde::Serialize;
use store::rows::key;
use store::{IndexState, LEAST_ROOM, Layout, Offline, ReadError};

use crate::app;
use crate::config::{self, Settings};
use crate::knowledge::Knowledge;
use crate::loaded::Loaded;
use crate::serve::{self, OfIndex};

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    /// What.
    pub about: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub said: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should look after it.
    Warn,
    /// It does not work, or will not after the next start.
    Bad,
}

/// Below this many times the room that is needed somebody should look after the disk.
const PLENTY: u64 = 4;
/// Steps of the clock within this time are told.
const LATELY: Duration = Duration::from_secs(30 * 86_400);
/// Changes that are gone through in search of them.
const CHANGES: usize = 2000;

/// Looks at everything. `data` is the directory that was named, when the settings are not to say it.
pub fn examine(path: &Path, data: Option<&Path>, clock: &dyn Clock) -> Vec<Line> {
    let (mut lines, loaded) = settings(path);
    let settings = &loaded.as_ref().map_or_else(Settings::default, |loaded| loaded.settings.clone());
    let data = data.unwrap_or(&settings.data);
    let layout = Layout::new(data);
    if let Some(why) = layout.hidden() {
        let said = format!("{} cannot be looked into: {why}", data.display());
        lines.push(bad("data directory", said, "look as the user that runs the daemon"));
        return lines;
    }
    if !layout.is_initialised() {
        let remedy = "if this is a new installation: evidenced init; if not, a volume is not mounted";
        lines.push(bad("data directory", format!("there is no ledger in {}", data.display()), remedy));
        return lines;
    }
    if let Some(loaded) = &loaded
        && let Some(why) = app::of_another(data, &loaded.settings)
    {
        lines.push(bad("settings", why, "nothing is recorded here by these settings"));
    }
    lines.extend(directory(&layout));
    lines.push(space(&layout));
    let running = daemon(&layout, &mut lines);
    lines.push(ledger(&layout));
    lines.extend(guards(&layout, settings, running));
    lines.extend(keys(&layout, settings));
    lines.push(if running { index_of_daemon(&layout) } else { index(&layout, settings) });
    match said(&layout, loaded, settings, clock.now()) {
        Ok(said) => lines.extend(said),
        Err(why) => {
            let remedy = format!("evidenced verify {} says what is wrong with it", data.display());
            lines.push(bad("record", format!("what was recorded cannot be read: {why}"), remedy));
        }
    }
    lines
}

fn line(about: &'static str, state: State, said: impl Into<String>, remedy: Option<String>) -> Line {
    Line { about, state, said: said.into(), remedy }
}

fn ok(about: &'static str, said: impl Into<String>) -> Line {
    line(about, State::Ok, said, None)
}

fn warn(about: &'static str, said: impl Into<String>, remedy: impl Into<String>) -> Line {
    line(about, State::Warn, said, Some(remedy.into()))
}

fn bad(about: &'static str, said: impl Into<String>, remedy: impl Into<String>) -> Line {
    line(about, State::Bad, said, Some(remedy.into()))
}

fn settings(path: &Path) -> (Vec<Line>, Option<Loaded>) {
    let problem =
        |state, problem: &checks::Problem| line("settings", state, problem.headline(), problem.remedy.clone());
    match (config::load(path), Loaded::read(path)) {
        (Ok(configured), Ok(loaded)) => {
            let mut lines = vec![ok("settings", format!("{} is right in itself", path.display()))];
            let amiss = configured.secrets_amiss(&SystemSecrets);
            if amiss.is_empty() {
                lines.push(ok("secrets", "every secret of sources, receivers and pages lies where the settings say"));
            }
            // A variable may be the daemon's alone.
            let state = |certain| if certain { State::Bad } else { State::Warn };
            lines
                .extend(amiss.iter().map(|one| Line { about: "secrets", ..problem(state(one.certain), &one.problem) }));
            (lines, Some(loaded))
        }
        (Err(problems), _) | (_, Err(problems)) => {
            (problems.iter().map(|one| problem(State::Bad, one)).collect(), None)
        }
    }
}

/// Whose the files are, and who else may read them.
fn directory(layout: &Layout) -> Vec<Line> {
    let about = "data directory";
    let us = rustix::process::geteuid().as_raw();
    let mut wrong = Vec::new();
    let own_key = Some(layout.data_key()).filter(|path| path.exists());
    for path in [layout.data().to_owned(), layout.keys(), layout.signing_key()].into_iter().chain(own_key) {
        match fs::metadata(&path) {
            Err(error) => wrong.push(bad(about, format!("{}: {error}", path.display()), "put it back from a copy")),
            Ok(there) => {
                if there.uid() != us {
                    let said = format!("{} belongs to user {}, and this is user {us}", path.display(), there.uid());
                    wrong.push(warn(about, said, "look at it as the user that runs the daemon"));
                }
                let (mode, shown) = (there.mode() & 0o7777, path.display());
                let remedy = format!("chmod go= {shown}");
                if mode & 0o022 != 0 {
                    wrong.push(bad(about, format!("{shown} may be changed by others: mode {mode:o}"), remedy));
                } else if mode & 0o055 != 0 {
                    wrong.push(warn(about, format!("{shown} may be read by others: mode {mode:o}"), remedy));
                }
            }
        }
    }
    if layout.closing().exists() {
        wrong.push(bad(about, "the ledger is being closed", "bring it to its end: evidenced ledger close"));
    }
    if wrong.is_empty() {
        wrong.push(ok(about, format!("{}, its owner's alone", layout.data().display())));
    }
    wrong
}

fn space(layout: &Layout) -> Line {
    let about = "free space";
    let free = match RealDisk.free_space(&layout.bodies()) {
        Ok(free) => free,
        Err(error) => return bad(about, format!("the disk does not say: {error}"), "see whether it is mounted"),
    };
    let said = format!("{} MiB; below {} MiB nothing is collected", free >> 20, LEAST_ROOM >> 20);
    let remedy = format!("make room on the volume of {}", layout.data().display());
    match free {
        free if free < LEAST_ROOM => bad(about, said, remedy),
        free if free < LEAST_ROOM * PLENTY => warn(about, said, remedy),
        _ => ok(about, said),
    }
}

/// Whether one runs here.
fn daemon(layout: &Layout, lines: &mut Vec<Line>) -> bool {
    let about = "daemon";
    match ledger::held_by(&layout.ledger()) {
        Ok(None) => {
            lines.push(ok(about, "none runs here"));
            false
        }
        Ok(Some(process)) => {
            lines.push(ok(about, format!("runs as process {process}")));
            true
        }
        Err(error) => {
            lines.push(bad(
                about,
                format!("its lock cannot be read: {error}"),
                "look as the user that runs the daemon",
            ));
            false
        }
    }
}

fn ledger(layout: &Layout) -> Line {
    let about = "last checkpoint";
    let found = || -> Result<String, ReadFailed> {
        let reader = Reader::open(&layout.ledger());
        let head = reader.head()?.ok_or("nothing was ever signed")?;
        let (ring, _) = reader.key_ring()?.ok_or("the first entry names no key")?;
        SignedCheckpoint::verify_by(head.note.as_bytes(), &ring)?;
        // A start reads all of it; here it is enough that it can.
        let log = layout.ledger().join("checkpoints.log");
        fs::File::open(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let size = head.checkpoint.size;
        let last = store::read::parse_entry(size - 1, &reader.entry(size.saturating_sub(1))?)?;
        Ok(format!("{} over {size} entries, the last of {}", head.checkpoint.origin, last.at.to_the_second()))
    };
    match found() {
        Ok(said) => ok(about, said),
        Err(error) => {
            let remedy = format!("evidenced verify {} says how far the ledger holds", layout.data().display());
            bad(about, in_full(error.as_ref()), remedy)
        }
    }
}

type ReadFailed = Box<dyn std::error::Error + Send + Sync>;

fn guards(layout: &Layout, settings: &Settings, running: bool) -> Vec<Line> {
    let about = "guard";
    let own = settings.guard_dir.clone().unwrap_or_else(|| layout.guard());
    let mut lines = Vec::new();
    let size = match Reader::open(&layout.ledger()).size() {
        Ok(size) => size,
        Err(error) => {
            let said = format!("whether it is in step cannot be said: {}", in_full(&error));
            return vec![bad(about, said, "see what is said of the last checkpoint")];
        }
    };
    for (place, dir) in std::iter::once(&own).chain(&settings.guard_copies).enumerate() {
        let shown = dir.display();
        lines.push(match ledger::high_water(dir) {
            // The mark moves before the checkpoint is published, so beside a daemon it may be ahead by what is under way.
            Ok(mark) if mark.size == size || (running && mark.size > size) => {
                ok(about, format!("in step, at {} entries, in {shown}", mark.size))
            }
            Ok(mark) if mark.size > size => bad(
                about,
                format!("the mark in {shown} remembers {} entries, and {size} are signed for here", mark.size),
                "the next start finishes an append that was cut off, or refuses an older copy: then put the newest one back",
            ),
            Ok(mark) => warn(
                about,
                format!("the mark in {shown} stands at {} entries, and the ledger has {size}", mark.size),
                "see whether the volume was out of reach; the next start brings it in step",
            ),
            Err(error) => {
                let said = format!("the mark in {shown} cannot be read: {}", in_full(&error));
                let remedy = "mount the volume; without the mark nothing is signed";
                if place == 0 { bad(about, said, remedy) } else { warn(about, said, "mount the volume") }
            }
        });
    }
    if settings.guard_dir.is_none() && settings.guard_copies.is_empty() {
        let remedy = "name a folder on another volume in the settings: guard_dir, or guard_copies";
        lines.push(warn(about, "it lies in the data directory only, and goes back together with it", remedy));
    }
    lines
}

fn keys(layout: &Layout, settings: &Settings) -> Vec<Line> {
    let signing = match store::examine_signing_key(layout.data()) {
        Ok(origin) => ok("signing key", format!("signs for {origin}")),
        Err(why) => bad("signing key", why, "put keys/ledger.seed back; without it nothing is signed"),
    };
    let given = app::data_key(settings).map_err(|e| format!("{e:#}"));
    let opened = given.and_then(|given| store::examine_data_key(layout.data(), given.as_ref()));
    let data = match (opened, &settings.data_key) {
        (Ok(()), Some(_)) => ok("data key", "opens the keys of records, and lies outside of the data directory"),
        (Ok(()), None) => {
            let remedy = "protects packs that are copied without it, and no more; to keep it elsewhere: evidenced ledger rewrap --key FILE";
            warn("data key", "opens the keys of records, and lies beside them", remedy)
        }
        (Err(why), _) => {
            bad("data key", why, "put it where the settings say (data_key); without it no body can be read")
        }
    };
    vec![signing, data]
}

fn index(layout: &Layout, settings: &Settings) -> Line {
    let about = "index";
    match store::examine_index(layout.data(), settings.index) {
        Ok(IndexState::InStep(done, size)) if done == size => ok(about, format!("in step, in {}", settings.index)),
        Ok(IndexState::InStep(done, size)) => {
            ok(about, format!("holds {done} of {size} entries; the next start folds the rest"))
        }
        Ok(IndexState::Missing) => ok(about, "there is none; the next start builds it from the ledger"),
        Ok(IndexState::Unusable(why)) => {
            let remedy = "nothing is lost: the next start builds it again from the ledger, which takes its time";
            warn(about, format!("it cannot be used: {why}"), remedy)
        }
        Ok(IndexState::InUse) => ok(about, "a daemon that is just starting holds it"),
        Err(why) => bad(about, why, "evidenced verify says how far the ledger holds"),
    }
}

/// A daemon has the index to itself, so it is asked for an answer that rests on it.
fn index_of_daemon(layout: &Layout) -> Line {
    let about = "index";
    let size = match Reader::open(&layout.ledger()).size() {
        Ok(size) => size,
        Err(error) => {
            let said = format!("whether it is in step cannot be said: {}", in_full(&error));
            return bad(about, said, "see what is said of the last checkpoint");
        }
    };
    match serve::ask_for_size(&layout.socket()) {
        // It goes on recording between the two questions.
        Ok(OfIndex::Answers(answered)) if answered >= size => {
            ok(about, format!("in step: the daemon answers from it, at {answered} entries"))
        }
        Ok(OfIndex::Building(so_far)) => {
            warn(about, so_far, "nothing is lost: it is collected again once the index is there")
        }
        Ok(OfIndex::Answers(answered)) => warn(
            about,
            format!("the daemon answers at {answered} entries, and the ledger has {size}"),
            "ask again; when it stays behind, see the daemon's log",
        ),
        Err(error) => bad(about, format!("the daemon does not answer from it: {error:#}"), "see the daemon's log"),
    }
}

/// What the ledger itself says: anchors, clock, scrub, damage.
fn said(layout: &Layout, loaded: Option<Loaded>, settings: &Settings, now: Timestamp) -> Result<Vec<Line>, String> {
    let data_key = app::data_key(settings).unwrap_or(None);
    let (offline, _) = Offline::open_even_sealed(layout.data(), data_key.as_ref()).map_err(|e| in_full(&e))?;
    let knowledge = match loaded {
        Some(loaded) => loaded.knowledge,
        None => Knowledge::embedded()?,
    };
    let query = Query { read: &offline, catalogue: &knowledge.catalogue, now };
    let lines = || -> Result<Vec<Line>, ReadError> {
        let mut lines = anchors(&query)?;
        lines.push(clock(&query)?);
        lines.extend(scrub(&query, settings)?);
        Ok(lines)
    };
    lines().map_err(|e| in_full(&e))
}

fn anchors(query: &Query<'_>) -> Result<Vec<Line>, ReadError> {
    let about = "last anchor";
    let mut lines = Vec::new();
    for row in query.authorities()?.into_iter().filter(|row| row.every.is_some()) {
        let name = &row.name;
        let last = row.last.as_ref().map(|last| (last.anchor.time.to_the_second(), last.anchor.head.size));
        let said = match &last {
            Some((time, size)) => format!("{name} dated {size} entries at {time}"),
            None => format!("{name} has dated nothing yet"),
        };
        lines.push(match row.silence.filter(|silence| silence.lost) {
            Some(silence) => bad(
                about,
                format!("{said}, and is silent: {}", silence.detail),
                "see whether this machine reaches it, and whether its certificate still leads to `ca` (anchors)",
            ),
            None if last.is_none() => warn(about, said, "it is asked by the running daemon"),
            None => ok(about, said),
        });
    }
    if lines.is_empty() {
        let remedy = "name a time-stamping authority in the settings (anchors): evidenced config example";
        lines.push(warn(about, "nobody outside dates the ledger", remedy));
    }
    Ok(lines)
}

fn clock(query: &Query<'_>) -> Result<Line, ReadError> {
    let mut steps = Vec::new();
    let changes = query.read.index().scan_back(key::CHANGES, None, CHANGES)?;
    // Where there are more changes than are gone through, what is said reaches back as far as they do.
    let (mut back_to, more) = ("in the last 30 days".to_owned(), changes.len() == CHANGES);
    for (place, (name, _)) in changes.iter().enumerate() {
        let Some(number) = name.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)) else { continue };
        let Some(entry) = query.read.entry(number)? else { continue };
        if query.now.since(entry.at) > LATELY {
            break;
        }
        if more && place + 1 == CHANGES {
            back_to = format!("since {}, in the last {CHANGES} changes", entry.at.to_the_second());
        }
        if let Fact::Clock(step) = entry.fact {
            steps.push(format!("#{number} to {}, by {}", step.shown.to_the_second(), step.by));
        }
    }
    Ok(match steps.first() {
        None => ok("clock", format!("no step was noticed {back_to}")),
        Some(last) => {
            let times = if steps.len() == 1 { "once".to_owned() } else { format!("{} times", steps.len()) };
            let said = format!("stepped {times} {back_to}; the last: {last}");
            warn("clock", said, "see that one time service keeps it, and slews instead of stepping")
        }
    })
}

fn scrub(query: &Query<'_>, settings: &Settings) -> Result<Vec<Line>, ReadError> {
    let about = "scrub";
    let mut lines = Vec::new();
    for row in query.damages()?.into_iter().filter(|row| row.lost) {
        let said = format!("{} is not what was written, since {}: {}", row.file, row.since.to_the_second(), row.detail);
        let remedy = "stop the daemon and put the file of the newest copy that verifies in its place; it is put right by nobody else";
        lines.push(bad(about, said, remedy));
    }
    let every = settings.scrub.every;
    let began = query.read.entry(0)?.map_or(query.now, |genesis| genesis.at);
    lines.push(match query.last_scrub()? {
        Some(last) => {
            let scrub = &last.scrub;
            let what = match scrub.unread.is_empty() {
                true => "everything was read again".to_owned(),
                false => format!("all was read again but {}", scrub.unread.join(", ")),
            };
            let said = format!(
                "{what} by {}: {} entries, {} bodies, {} MiB, {} damaged",
                last.at.to_the_second(),
                scrub.entries,
                scrub.bodies,
                scrub.bytes >> 20,
                if scrub.damaged == 1 { "1 file".to_owned() } else { format!("{} files", scrub.damaged) },
            );
            match scrub.unread.is_empty() {
                true => late(about, said, query.now.since(scrub.began), every),
                false => {
                    let remedy = "mount what is out of reach, mend what is damaged; the next pass reads it again";
                    warn(about, said, remedy)
                }
            }
        }
        None => late(
            about,
            format!("not everything was read again yet; that is due every {every}"),
            query.now.since(began),
            every,
        ),
    });
    Ok(lines)
}

/// A pass that is late by a whole period is not getting through.
fn late(about: &'static str, said: String, ago: Duration, every: Duration) -> Line {
    match ago > every.times(2) {
        true => warn(about, said, "let the daemon run, or let it read faster: scrub.mib_per_second"),
        false => ok(about, said),
    }
}
