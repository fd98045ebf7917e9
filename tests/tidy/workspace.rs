//! Crates: who depends on whom, what every manifest inherits, and what must never be built in.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::Faults;
use super::repository::{file, files, root};

const GOLDEN: &str = "tests/golden/dependencies.txt";

#[test]
fn crates_depend_on_each_other_only_in_the_directions_that_were_decided() {
    let members: BTreeSet<&str> = packages().map(name).collect();
    let mut text = String::from(
        "# Which of our crates depends on which, from cargo metadata. Change it only on purpose:\n\
         # BLESS=1 cargo test --test main tidy\n",
    );
    for (kind, heading) in [(None, ""), (Some("dev"), "\n# for tests and benches only\n")] {
        text.push_str(heading);
        for (package, depends) in ours_by_package(&members, kind) {
            if kind.is_none() || !depends.is_empty() {
                let depends: Vec<&str> = depends.into_iter().collect();
                text.push_str(format!("{package:<12}{}", depends.join(" ")).trim_end());
                text.push('\n');
            }
        }
    }
    let path = root().join(GOLDEN);
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let mut faults = Faults::default();
    for (number, pair) in (1..).zip(zip_longest(&golden, &text)) {
        if let (wanted, found) = pair
            && wanted != found
        {
            let what = format!("decided: {wanted:?}, found: {found:?}");
            faults.at(
                GOLDEN,
                number,
                what,
                "mend the Cargo.toml, or decide anew with BLESS=1 and say why in ARCHITECTURE.md",
            );
            break;
        }
    }
    faults.end();
}

#[test]
fn every_crate_inherits_version_edition_licence_and_lints() {
    let mut faults = Faults::default();
    for manifest in manifests() {
        let inherited =
            ["version", "edition", "rust-version", "license"].map(|key| ("package", format!("{key}.workspace = true")));
        let wanted = inherited.into_iter().chain([("lints", "workspace = true".to_owned())]);
        for (section, line) in wanted {
            if !manifest.has(section, &line) {
                faults.of(&manifest.path, format!("[{section}] lacks `{line}`"), "inherit it, so that it is said once");
            }
        }
        if manifest.sections.contains_key("lib") && !manifest.has("lib", "doctest = false") {
            faults.of(&manifest.path, "[lib] lacks `doctest = false`", "add it: doctests are linked one by one");
        }
    }
    faults.end();
}

#[test]
fn versions_of_dependencies_stand_in_the_workspace_table_only() {
    let mut faults = Faults::default();
    for manifest in manifests() {
        for (section, lines) in &manifest.sections {
            let listed = section.ends_with("dependencies") && section != "workspace.dependencies";
            for (number, line) in lines.iter().filter(|_| listed) {
                let own = line.split_once('=').is_some_and(|(_, value)| value.trim_start().starts_with('"'));
                if own || ["version =", "git =", "registry ="].iter().any(|key| line.contains(key)) {
                    let remedy =
                        "write it into [workspace.dependencies] of Cargo.toml, and `name.workspace = true` here";
                    faults.at(&manifest.path, *number, format!("a version of its own: {line}"), remedy);
                }
            }
        }
    }
    faults.end();
}

#[test]
fn no_second_tls_or_http_stack_is_built_in() {
    let banned = |name: &str, version: &str| match name {
        "ring" => Some("rustls stands on aws-lc here, and two providers in one process panic when they meet"),
        "openssl-sys" | "native-tls" => Some("TLS is rustls, so that a binary runs on any machine"),
        "hyper" | "http" if version.starts_with("0.") => Some("hyper 1 is the one HTTP stack"),
        _ => None,
    };
    let metadata = metadata();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).map(|node| (text(&node["id"]), node)).collect();
    let by_id: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).map(|package| (text(&package["id"]), package)).collect();
    let mut faults = Faults::default();
    let lock = file("Cargo.lock");
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<(&str, &str)> = packages().map(|package| (text(&package["id"]), "the workspace")).collect();
    while let Some((id, through)) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let (package, version) = (name(by_id[id]), text(&by_id[id]["version"]));
        if let Some(reason) = banned(package, version) {
            let what = format!("{package} {version} is built in, through {through}: {reason}");
            let line = lock.line_of(&format!("name = \"{package}\""));
            faults.at("Cargo.lock", line, what, "choose other features, or another crate");
        }
        let below = list(&nodes[id]["deps"]).map(|dependency| text(&dependency["pkg"]));
        let built = below.filter(|other| is_built(by_id[id], nodes[id], name(by_id[other])));
        waiting.extend(built.map(|other| (other, package)));
    }
    assert!(seen.len() > 100, "the resolved tree was not read");
    faults.end();
}

/// Who may hold an HTTP client of its own: crate, client, kind of dependency, reason.
const HTTP_CLIENTS: &[(&str, &str, &str, &str)] = &[
    ("kit", "reqwest", "", "the one client: it records, limits, redacts and cannot write"),
    ("evidenced", "reqwest", "dev", "the bare loop that a bench measures collecting against"),
    (
        "github",
        "octocrab",
        "",
        "signs requests and nothing else: built without a client, its one way out is the recorder",
    ),
    ("evidenced", "opentelemetry-otlp", "", "sends our own traces and metrics, and asks no source"),
    ("web", "hyper", "", "its server half alone: connections with a limit on how long a head may take"),
    ("web", "hyper-util", "", "its server half alone"),
    ("world", "reqwest", "dev", "asks the simulated organisation as a stranger would"),
];

#[test]
fn http_clients_are_built_in_kit_only() {
    const CLIENTS: &[&str] = &[
        "attohttpc",
        "awc",
        "curl",
        "hyper",
        "hyper-util",
        "isahc",
        "octocrab",
        "opentelemetry-otlp",
        "reqwest",
        "surf",
        "ureq",
    ];
    let mut faults = Faults::default();
    let mut used = BTreeSet::new();
    for package in packages() {
        for dependency in list(&package["dependencies"]) {
            let (client, kind) = (name(dependency), dependency["kind"].as_str().unwrap_or(""));
            if !CLIENTS.contains(&client) {
                continue;
            }
            let known = (name(package), client, kind);
            if HTTP_CLIENTS.iter().any(|(a, b, c, _)| (*a, *b, *c) == known) {
                used.insert(known);
            } else {
                let manifest = manifest_path(package);
                let line = file(&manifest).line_of(client);
                let what = format!("{} depends on the HTTP client {client}", name(package));
                faults.at(
                    &manifest,
                    line,
                    what,
                    "go through kit: kit::Recorder for sources, kit::outbound for the rest",
                );
            }
        }
    }
    for (a, b, c, reason) in HTTP_CLIENTS.iter().filter(|(a, b, c, _)| !used.contains(&(*a, *b, *c))) {
        let what = format!("the exception for {a}, {b} {c} ({reason}) covers nothing");
        faults.of("tests/tidy/workspace.rs", what, "take it out of HTTP_CLIENTS");
    }
    faults.end();
}

#[test]
fn every_package_comes_from_the_one_public_registry() {
    const FROM: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");
    let mut faults = Faults::default();
    let lock = file("Cargo.lock");
    let sources = lock.lines().filter_map(|(number, line)| Some((number, line.strip_prefix("source = ")?)));
    for (number, source) in sources.filter(|(_, source)| source.trim_matches('"') != FROM) {
        faults.at("Cargo.lock", number, format!("a package from {source}"), "take it from the public registry");
    }
    faults.end();
}

/// Every package of the workspace, as cargo metadata tells it.
pub(super) fn packages() -> impl Iterator<Item = &'static Value> {
    list(&metadata()["packages"]).filter(|package| package["source"].is_null())
}

/// The folder of a package of ours, from the root; empty for the root package.
pub(super) fn folder(package: &Value) -> String {
    manifest_path(package).trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned()
}

/// Whether a package is built with one of its dependencies: it is not optional, or a feature in force asks for it.
/// Cargo metadata lists an optional one as soon as a feature only says what it should be built with (`ring?/std`).
fn is_built(package: &Value, node: &Value, dependency: &str) -> bool {
    list(&package["dependencies"]).filter(|declared| name(declared) == dependency).any(|declared| {
        let called = declared["rename"].as_str().unwrap_or(dependency);
        let asks = |asked: &Value| {
            let asked = text(asked);
            asked.strip_prefix("dep:") == Some(called) || asked.split_once('/').is_some_and(|(name, _)| name == called)
        };
        let in_force = list(&node["features"]).map(text);
        declared["optional"] == false
            || in_force.into_iter().any(|feature| feature == called || list(&package["features"][feature]).any(asks))
    })
}

/// The name of a package or of a dependency.
pub(super) fn name(package: &Value) -> &str {
    text(&package["name"])
}

fn manifest_path(package: &Value) -> String {
    let path = std::path::Path::new(text(&package["manifest_path"]));
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // Packages for other platforms were never fetched, and `--offline` would miss them.
        let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-gnu" };
        let platform = format!("{}-{system}", std::env::consts::ARCH);
        let output = Command::new(cargo)
            .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", &platform])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

/// For every package of ours the others it depends on.
fn ours_by_package(members: &BTreeSet<&str>, kind: Option<&str>) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let depends = |package: &'static Value| {
        let ours = list(&package["dependencies"]).filter(|dependency| dependency["kind"].as_str() == kind);
        ours.map(name).filter(|other| members.contains(other) && *other != name(package)).collect()
    };
    packages().map(|package| (name(package), depends(package))).collect()
}

/// A Cargo.toml, line by line and by section.
struct Manifest {
    path: String,
    sections: BTreeMap<String, Vec<(usize, String)>>,
}

impl Manifest {
    fn has(&self, section: &str, line: &str) -> bool {
        self.sections.get(section).is_some_and(|lines| lines.iter().any(|(_, own)| own == line))
    }
}

fn manifests() -> impl Iterator<Item = Manifest> {
    // The fuzz targets need a nightly compiler, and are a workspace of their own.
    let ours = |path: &str| path == "Cargo.toml" || path.ends_with("/Cargo.toml") && path != "tests/fuzz/Cargo.toml";
    files().iter().filter(move |file| ours(&file.path)).map(|file| {
        let mut sections: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
        let mut section = String::new();
        for (number, line) in file.lines().filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty()) {
            match line.strip_prefix('[') {
                Some(name) => section = name.trim_matches(['[', ']']).to_owned(),
                None => sections.entry(section.clone()).or_default().push((number, line.trim().to_owned())),
            }
        }
        Manifest { path: file.path.clone(), sections }
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn zip_longest<'a>(a: &'a str, b: &'a str) -> impl Iterator<Item = (Option<&'a str>, Option<&'a str>)> {
    let (mut a, mut b) = (a.lines(), b.lines());
    std::iter::from_fn(move || match (a.next(), b.next()) {
        (None, None) => None,
        pair => Some(pair),
    })
}
