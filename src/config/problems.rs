//! What can be wrong with settings of the right shape.

use std::path::{Component, Path, PathBuf};

use alerts::Pattern;
use checks::yaml::Document;
use checks::{CheckSet, Problem, Texts, did_you_mean};
use domain::{CheckId, Duration};
use kit::SecretRef;
use serde_json::Value;

use super::manual::Manual;
use super::{Amiss, Configured, Settings, in_order};
use crate::schedule::Schedule;

/// The greatest number of files that a folder of checks may hold.
const MOST_FILES: usize = 10_000;

/// All of it, in the order of the file.
pub(super) fn all(settings: &Settings, document: &Document) -> Vec<Problem> {
    let mut found = Findings { document, problems: Vec::new() };
    names(settings, &mut found);
    schedules(settings, &mut found);
    sources(settings, &mut found);
    secrets(&mut found);
    receivers(settings, &mut found);
    addresses(settings, &mut found);
    limits(settings, &mut found);
    for (path, what, remedy) in super::outside::problems(settings) {
        found.add(path, what, remedy);
    }
    for (path, what, remedy) in super::anchors::problems(settings) {
        found.add(&path, what, remedy);
    }
    in_order(found.problems)
}

/// The checks in force by these settings: those of this program, over them those of `checks_dir` and `frameworks_dir`,
/// with the thresholds of `params`.
///
/// # Errors
/// What cannot be read or does not hold in them, thresholds of checks or parameters that do not exist, and routes that
/// name a check that does not exist.
pub fn check_set(settings: &Settings, document: &Document) -> Result<CheckSet, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut own = Texts::default();
    let folders = [
        ("checks_dir", &settings.checks_dir, &mut own.checks),
        ("frameworks_dir", &settings.frameworks_dir, &mut own.frameworks),
    ];
    for (key, folder, texts) in folders {
        let Some(folder) = folder.as_ref().filter(|folder| !folder.as_os_str().is_empty()) else { continue };
        match texts_in(folder) {
            Ok(read) => *texts = read,
            Err((path, error)) => {
                let message = format!("{key}: cannot read {}: {error}", path.display());
                problems.push(document.problem(key, message).with_remedy("name a folder that the daemon may read"));
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let set = CheckSet::load(&[Texts::embedded(), own])?;
    problems.extend(unknown_checks(settings, document, &set));
    match set.with_params(&settings.params, document, "params") {
        Ok(set) if problems.is_empty() => Ok(set),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(in_order(problems))
        }
    }
}

/// Problems, gathered.
struct Findings<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    /// The value at `path` is wrong.
    fn add(&mut self, path: &str, message: impl std::fmt::Display, remedy: impl Into<String>) {
        self.problems.push(self.document.problem(path, format!("{path}: {message}")).with_remedy(remedy));
    }

    /// The value at `path` should be a schedule.
    fn schedule(&mut self, path: &str, text: &str, zone: Option<&str>) {
        let Err(error) = Schedule::parse(text, zone) else { return };
        let characters = |part: &str| part.chars().count();
        let offset = text.get(..error.span.start).map_or(0, characters);
        let width = text.get(error.span.clone()).map_or(1, characters);
        let place = self.document.inside(path, text, offset, width);
        self.problems.push(self.document.problem_at(place, format!("{path}: {error}")).with_remedy(error.remedy));
    }
}

fn names(settings: &Settings, found: &mut Findings<'_>) {
    if settings.organisation.trim().is_empty() {
        found.add("organisation", "is missing or empty", "write the organisation's name: organisation: Acme Ltd");
    }
    let origin = settings.ledger.origin.as_deref();
    let wrong = |text: &str| {
        text.is_empty() || text.len() > 255 || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
    };
    if origin.is_some_and(wrong) {
        found.add(
            "ledger.origin",
            "not a ledger's name",
            "1 to 255 characters without spaces and '+', for example evidenced/acme",
        );
    }
    let paths = [
        ("data", &Some(settings.data.clone())),
        ("guard_dir", &settings.guard_dir),
        ("checks_dir", &settings.checks_dir),
        ("frameworks_dir", &settings.frameworks_dir),
        ("web.token_file", &settings.web.token_file),
    ];
    for (path, value) in paths {
        if value.as_ref().is_some_and(|value| value.as_os_str().is_empty()) {
            found.add(path, "is empty", "name a path, or leave the setting out");
        }
    }
    let bare = |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    if settings.guard_dir.as_ref().is_some_and(|guard| bare(guard).starts_with(bare(&settings.data))) {
        let message = "lies in the data directory, so it would go back together with it";
        found.add("guard_dir", message, "name another volume, or leave the setting out");
    }
}

fn schedules(settings: &Settings, found: &mut Findings<'_>) {
    let zone = settings.schedules.zone.as_deref();
    if let Some(Err(error)) = zone.map(|zone| Schedule::parse("0 0 * * *", Some(zone))) {
        found.add("schedules.zone", &error, error.remedy.clone());
    }
    if let Some(text) = &settings.schedules.default {
        found.schedule("schedules.default", text, None);
    }
    for (place, source) in settings.sources.all() {
        for (collector, text) in source.common().schedules.into_iter().flatten() {
            found.schedule(&format!("sources.{place}.schedules.{collector}"), text, None);
        }
    }
}

fn sources(settings: &Settings, found: &mut Findings<'_>) {
    if settings.sources.all().is_empty() {
        let kinds: Vec<&str> = connectors::kinds().map(|kind| kind.name).collect();
        let remedy = format!("add one; `evidenced config example` shows how; kinds: {}", kinds.join(", "));
        found.add("sources", "there is none, so nothing would be watched", remedy);
    }
    for problem in settings.sources.problems() {
        let path = format!("sources.{}", problem.path);
        found.add(&path, problem.message, problem.remedy);
    }
}

/// References that lead nowhere. Whether there is a secret where they lead is seen when it is needed.
fn secrets(found: &mut Findings<'_>) {
    let value: Value = found.document.parse().unwrap_or(Value::Null);
    for (path, reference) in Manual::the().secrets(&value) {
        for (key, place) in reference.as_object().into_iter().flatten() {
            let (place, key_path) = (place.as_str().unwrap_or_default(), format!("{path}.{key}"));
            if place.trim().is_empty() {
                found.add(&key_path, "is empty", "name the file or variable in which the secret lies");
            } else if key == "env" && !is_variable(place) {
                found.add(&key_path, "is no name of a variable", "write the variable's name, not what is in it");
            }
        }
    }
}

/// Whether an environment variable can have this name: letters, digits and underscores, no digit first (POSIX).
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// References that lead to no secret that can be read now.
pub(super) fn secrets_amiss(configured: &Configured, secrets: &dyn kit::Secrets) -> Vec<Amiss> {
    let document = &configured.document;
    let value: Value = document.parse().unwrap_or(Value::Null);
    let mut wanted: Vec<(String, SecretRef)> = Manual::the()
        .secrets(&value)
        .into_iter()
        .filter_map(|(path, reference)| {
            let reference: SecretRef = serde_json::from_value(reference.clone()).ok()?;
            let key = if matches!(reference, SecretRef::File(_)) { "file" } else { "env" };
            Some((format!("{path}.{key}"), reference))
        })
        .collect();
    let token = configured.settings.web.token_file.clone();
    wanted.extend(token.map(|path| ("web.token_file".to_owned(), SecretRef::File(path))));
    let mut amiss: Vec<Amiss> = wanted
        .iter()
        .filter_map(|(path, reference)| {
            let error = secrets.resolve(reference).err()?;
            let certain = matches!(reference, SecretRef::File(_));
            let remedy = match certain {
                true => "put the secret there, readable by whoever runs the daemon",
                false => "see that the daemon has it in its environment",
            };
            let problem = document.problem(path, format!("{path}: {}", domain::in_full(&error)));
            Some(Amiss { problem: problem.with_remedy(remedy), certain })
        })
        .collect();
    amiss.sort_by_key(|amiss| (amiss.problem.line, amiss.problem.column));
    amiss
}

fn receivers(settings: &Settings, found: &mut Findings<'_>) {
    let names = || settings.alerts.receivers.iter().map(|receiver| receiver.name.as_str());
    for problem in settings.alerts.problems() {
        let path = format!("alerts.{}", problem.path);
        // A name that does not exist gets its neighbour; everything else says itself what was expected.
        let unknown = problem.message.strip_prefix("there is no receiver of the name ");
        let (message, remedy) = match (unknown, problem.message.split_once("; ")) {
            (Some(_), _) if settings.alerts.receivers.is_empty() => (
                problem.message.clone(),
                "there are none at all: add one below alerts.receivers, or leave this out".to_owned(),
            ),
            (Some(name), _) => (problem.message.clone(), did_you_mean(name.trim_matches('"'), names())),
            (None, Some((message, remedy))) => (message.to_owned(), remedy.to_owned()),
            (None, None) => {
                (problem.message.clone(), "`evidenced config example` shows receivers and routes".to_owned())
            }
        };
        found.add(&path, message, remedy);
    }
    let ids: Vec<String> =
        settings.sources.all().iter().filter_map(|(_, source)| Some(source.id().ok()?.to_string())).collect();
    for (path, pattern) in patterns(settings, Limit::Sources) {
        if !ids.iter().any(|id| pattern.matches(id)) {
            let name = String::from(pattern);
            found.add(
                &path,
                format!("no source is called {name:?}"),
                did_you_mean(&name, ids.iter().map(String::as_str)),
            );
        }
    }
}

/// What a route or a silence is limited to.
#[derive(Clone, Copy)]
enum Limit {
    Sources,
    Checks,
}

/// All patterns of routes and silences for sources, or for checks, with their paths.
fn patterns(settings: &Settings, of: Limit) -> Vec<(String, Pattern)> {
    let routes = settings.alerts.routes.iter().map(|route| (&route.sources, &route.checks)).enumerate();
    let silences = settings.alerts.silences.iter().map(|silence| (&silence.sources, &silence.checks)).enumerate();
    let all = routes.map(|item| ("routes", item)).chain(silences.map(|item| ("silences", item)));
    let mut found = Vec::new();
    for (list, (place, (sources, checks))) in all {
        let (key, patterns) = match of {
            Limit::Sources => ("sources", sources),
            Limit::Checks => ("checks", checks),
        };
        let path = |at| format!("alerts.{list}[{place}].{key}[{at}]");
        found.extend(patterns.iter().enumerate().map(|(at, pattern)| (path(at), pattern.clone())));
    }
    found
}

fn addresses(settings: &Settings, found: &mut Findings<'_>) {
    let (web, health) = (settings.web.listen, settings.health.listen);
    if !web.ip().is_loopback() && settings.web.token_file.is_none() {
        let message = format!("{web} can be reached from other machines, and nothing keeps them out");
        found.add("web.listen", message, "add web.token_file, or listen on 127.0.0.1");
    }
    if web == health && web.port() != 0 {
        found.add(
            "health.listen",
            format!("{health} is the address of the page"),
            "give it a port of its own, such as 8462",
        );
    }
}

fn limits(settings: &Settings, found: &mut Findings<'_>) {
    let limits = &settings.limits;
    let numbers = [
        ("limits.runs_at_once", limits.runs_at_once, 1024),
        ("limits.calls", limits.calls, 500_000),
        ("limits.pages", limits.pages, 100_000),
        ("limits.answer_mib", limits.answer_mib, 512),
        ("scrub.mib_per_second", settings.scrub.mib_per_second, 1024),
    ];
    for (path, value, most) in numbers {
        if !(1..=most).contains(&value) {
            found.add(path, format!("{value} is out of range"), format!("1 to {most}"));
        }
    }
    if !(Duration::from_secs(1)..=Duration::from_secs(6 * 3600)).contains(&limits.run) {
        found.add("limits.run", format!("{} is out of range", limits.run), "1s to 6h");
    }
    let kept = [("retention.answers", settings.retention.answers), ("retention.records", settings.retention.records)];
    for (path, after) in kept.into_iter().filter_map(|(path, after)| Some((path, after?))) {
        if !(Duration::from_secs(1)..=Duration::from_secs(36_500 * 86_400)).contains(&after) {
            found.add(path, format!("{after} is out of range"), "1s to 36500d; leave it out to keep them for ever");
        }
    }
    let every = settings.scrub.every;
    if !(Duration::from_secs(1)..=Duration::from_secs(90 * 86_400)).contains(&every) {
        found.add("scrub.every", format!("{every} is out of range"), "1s to 90d");
    }
}

/// Routes and silences that name a check there is not.
fn unknown_checks(settings: &Settings, document: &Document, set: &CheckSet) -> Vec<Problem> {
    let known: Vec<&CheckId> = set.checks().map(|check| check.id()).collect();
    let mut found = Findings { document, problems: Vec::new() };
    for (path, pattern) in patterns(settings, Limit::Checks) {
        if !known.iter().any(|id| pattern.matches(id.as_str())) {
            let name = String::from(pattern);
            found.add(
                &path,
                format!("no check is called {name:?}"),
                did_you_mean(&name, known.iter().map(|id| id.as_str())),
            );
        }
    }
    found.problems
}

/// The YAML files of a folder and of those within it, sorted by path, with their texts.
///
/// # Errors
/// The first file or folder that cannot be read. At most 10,000 files are.
pub fn texts_in(folder: &Path) -> Result<Vec<(String, String)>, (PathBuf, std::io::Error)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| (folder.clone(), error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // A mounted ConfigMap holds its files behind links, and a second time in a folder whose name begins with dots.
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                files.push(path);
            }
            if files.len() + folders.len() > MOST_FILES {
                return Err((folder, std::io::Error::other(format!("more than {MOST_FILES} files"))));
            }
        }
    }
    files.sort();
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => Err((path, error)),
    };
    files.into_iter().map(read).collect()
}
