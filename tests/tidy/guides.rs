//! Guides: what they name is there, and what is there they name.

use std::collections::BTreeSet;

use super::Faults;
use super::repository::{File, entries, exists, file, files, root};
use super::workspace::{folder, packages};

/// The map of the house.
const MAP: &str = "ARCHITECTURE.md";

/// Files that the guides speak of and that users make, or the program makes for them.
const OF_USERS: &[&str] = &["evidenced.yaml", "auditor.vkey", "checkpoint.kept", "VERIFY.md"];

#[test]
fn every_path_in_a_guide_exists() {
    let mut faults = Faults::default();
    let mut looked = 0;
    for guide in guides() {
        for (number, path) in paths(guide) {
            looked += 1;
            if !exists(&path) && !stands_below(guide, &path) {
                faults.at(&guide.path, number, format!("there is no {path}"), "name what is there, or make it");
            }
        }
    }
    assert!(looked > 50, "only {looked} paths were found in the guides");
    faults.end();
}

#[test]
fn the_map_names_every_crate_and_every_folder() {
    let map = file(MAP);
    let mut faults = Faults::default();
    // What a path is for stands in the row that begins with it; a mention elsewhere does not say it.
    let first_cells: Vec<&str> =
        map.lines().filter_map(|(_, line)| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let mut missing = |path: &str, what: &str| {
        if !first_cells.iter().any(|cell| cell.contains(&format!("`{path}`"))) {
            faults.of(MAP, format!("the {what} {path} has no row in a table"), "say in one line what it is for");
        }
    };
    for package in packages() {
        // The root package is the house itself.
        match folder(package).as_str() {
            "" => {}
            folder => missing(folder, "crate"),
        }
    }
    let top: BTreeSet<&str> = files().iter().filter_map(|file| Some(file.path.split_once('/')?.0)).collect();
    for folder in top {
        missing(folder, "folder");
    }
    for path in entries(&root().join("src")).into_iter().filter(|path| path.is_file()) {
        missing(&format!("src/{}", path.file_name().unwrap().to_string_lossy()), "file of the daemon's wiring");
    }
    faults.end();
}

#[test]
fn only_folders_that_were_decided_stand_at_the_top() {
    let mut faults = Faults::default();
    let decided = [".ci", "config", "connectors", "deploy", "src", "tests"];
    let top: BTreeSet<&str> = files().iter().filter_map(|file| Some(file.path.split_once('/')?.0)).collect();
    for folder in top.into_iter().filter(|folder| !decided.contains(folder)) {
        faults.of(folder, "a new folder at the top", "put it into one of those that are there");
    }
    faults.end();
}

/// Whether a path is one from the guide's own folder, or from a folder below it.
fn stands_below(guide: &File, path: &str) -> bool {
    let folder = guide.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (tail, path) = (format!("/{}", path.trim_end_matches('/')), path.trim_end_matches('/'));
    exists(&format!("{folder}/{path}"))
        || !folder.is_empty()
            && files().iter().any(|file| file.path.starts_with(&format!("{folder}/")) && file.path.ends_with(&tail))
}

fn guides() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.ending() == "md")
}

/// Every word of a guide that names a file or folder: in backticks, in links, and in blocks of commands.
fn paths(guide: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in guide.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced || line.starts_with("    ") {
            let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
            let words = words.map(|word| word.trim_matches(['"', '\'', '(', ')', ',', '|']).trim_start_matches("./"));
            found.extend(words.filter(|word| in_a_top_folder(word)).map(|word| (number, word.to_owned())));
            continue;
        }
        for word in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            found.push((number, word.trim_start_matches("./").to_owned()));
        }
        for link in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if !link.contains("://") && !link.starts_with('#') {
                found.push((number, link.split('#').next().unwrap_or(link).to_owned()));
            }
        }
    }
    found
}

/// Whether a word in backticks names a file or folder of the repository.
fn is_path(word: &str) -> bool {
    const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".yaml", ".json", ".lock", ".txt", ".png", ".py"];
    if word.contains(|c: char| c.is_whitespace() || "<>*{}$…=\"()".contains(c)) || word.contains("://") {
        return false;
    }
    let ends = ENDINGS.iter().any(|ending| word.ends_with(ending) && word.len() > ending.len());
    let ours = word.starts_with("./") && !word.starts_with("./evidenced-");
    !OF_USERS.contains(&word.trim_start_matches("./"))
        && !word.starts_with('/')
        && (ends || ours || in_a_top_folder(word))
}

/// Whether a word begins with one of the folders at the top.
fn in_a_top_folder(word: &str) -> bool {
    let plain = !word.contains(|c: char| "<>*{}$…".contains(c));
    let top = word.split_once('/').map(|(top, _)| top);
    plain && top.is_some_and(|top| [".ci", "config", "connectors", "deploy", "src", "tests"].contains(&top))
}
