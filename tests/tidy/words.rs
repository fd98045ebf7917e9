//! Words that must not stand anywhere: what only an auditor may conclude, what is unfinished, and where somebody works.

use super::Faults;
use super::repository::{File, files};

/// What the program must never say, in lower case. A person concludes; the program shows evidence.
const CONCLUSIONS: &[&str] = &["compliant", "certified", "passed the audit", "passes the audit"];

/// Where the rule itself is stated or tested: a part of the line that may hold the words.
const THE_RULE: &[(&str, &str)] = &[
    ("ARCHITECTURE.md", "says *compliant*, *certified* or *passed the audit*"),
    ("README.md", "never says *compliant* or *certified*"),
    ("src/web/tests/pages.rs", "for word in [\"compliant\""),
];

#[test]
fn the_program_never_concludes() {
    let mut faults = Faults::default();
    let mut stated = 0;
    for (file, number, line) in said() {
        let states = THE_RULE.iter().any(|(path, part)| file.path == *path && line.contains(part));
        stated += usize::from(states);
        let low = line.to_lowercase();
        if let Some(word) = CONCLUSIONS.iter().find(|word| !states && low.contains(**word)) {
            faults.at(
                &file.path,
                number,
                format!("it says {word:?}"),
                "say what was observed: conforms, deviates, undetermined",
            );
        }
    }
    if stated != THE_RULE.len() {
        faults.of(
            "tests/tidy/words.rs",
            "the rule is not stated where THE_RULE says",
            "state it there again, or mend THE_RULE",
        );
    }
    faults.end();
}

#[test]
fn nothing_is_left_for_later() {
    let later = ["TODO", "FIXME", "HACK:", "XXX:", "todo!(", "unimplemented!("];
    let mut faults = Faults::default();
    for (file, number, line) in said() {
        if let Some(word) = later.iter().find(|word| line.contains(**word)) {
            faults.at(&file.path, number, format!("it says {word:?}"), "do it, or write an issue and take it out");
        }
    }
    faults.end();
}

#[test]
fn nothing_names_the_machine_of_whoever_wrote_it() {
    // Put together here, so that this file does not name them either.
    let folders = ["home", "Users", "root", "work", "workspace", "builds", "tmp"].map(|name| format!("/{name}/"));
    let hosts: [&[&str]; 11] = [
        &["crates", "io"],
        &["static", "rust-lang", "org"],
        &["maven", "org"],
        &["maven", "apache", "org"],
        &["pypi", "org"],
        &["pythonhosted", "org"],
        &["npmjs", "org"],
        &["proxy", "golang", "org"],
        &["deb", "debian", "org"],
        &["docker", "io"],
        &["ghcr", "io"],
    ];
    let hosts = hosts.map(|parts| parts.join("."));
    let mut faults = Faults::default();
    for (file, number, line) in said() {
        let folder = folders.iter().find(|folder| begins_a_path(line, folder));
        if let Some(folder) = folder {
            faults.at(
                &file.path,
                number,
                format!("a path on somebody's machine: {folder}"),
                "make it relative, or an argument",
            );
        }
        if let Some(host) = hosts.iter().find(|host| line.contains(host.as_str())) {
            faults.at(
                &file.path,
                number,
                format!("the host of a package registry: {host}"),
                "leave it to the tool's own settings",
            );
        }
    }
    faults.end();
}

/// Whether `folder` stands in the line as the beginning of a path, not as a part of one.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(place, _)| {
        let before = line.get(..place).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-~}>)*/".contains(c))
    })
}

/// Every line that somebody may read. What sources once answered is theirs, and the lock file is Cargo's.
fn said() -> impl Iterator<Item = (&'static File, usize, &'static str)> {
    let theirs = |file: &&File| {
        let recorded = file.path.contains("/fixtures/") && file.ending() == "json";
        recorded || file.path.starts_with("tests/tidy/") || ["Cargo.lock", "LICENSE"].contains(&file.path.as_str())
    };
    files()
        .iter()
        .filter(move |file| !theirs(file))
        .flat_map(|file| file.lines().map(move |(number, line)| (file, number, line)))
}
