//! What belongs to the repository: every file that git does not ignore.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file of the repository.
pub(super) struct File {
    /// Its path from the root, with `/`.
    pub(super) path: String,
    /// Its text; empty when it is none.
    pub(super) text: String,
}

impl File {
    /// The last part of the path behind the last dot.
    pub(super) fn ending(&self) -> &str {
        self.path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, ending)| ending)
    }

    /// Whether it holds tests, benches, or what only those use.
    pub(super) fn is_test(&self) -> bool {
        let path = self.path.as_str();
        path.starts_with("tests/") && !path.starts_with("tests/world/")
            || path.contains("/tests/")
            || path.contains("/testing")
            || path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs")
    }

    /// Its lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().zip(1..).map(|(line, number)| (number, line))
    }

    /// The lines that are neither comments nor part of the tests at the end of the file.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            matches!(pair, [attribute, module] if *attribute == "#[cfg(test)]" && module.starts_with("mod ") && module.ends_with('{'))
        });
        self.lines().take(tests.unwrap_or(lines.len())).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The number of the first line that holds `text`; 1 when none does.
    pub(super) fn line_of(&self, text: &str) -> usize {
        self.lines().find(|(_, line)| line.contains(text)).map_or(1, |(number, _)| number)
    }
}

/// The folder of the repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file, sorted by path.
pub(super) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
        let ignored: Vec<&str> = ignored.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let mut files = Vec::new();
        walk(root(), &ignored, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    })
}

/// A file that must be there.
pub(super) fn file(path: &str) -> &'static File {
    files().iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path}:1: there is no such file; write it"))
}

/// Every Rust file.
pub(super) fn rust() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.ending() == "rs")
}

/// Whether a path from the root names a file or folder of the repository.
pub(super) fn exists(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let below = format!("{path}/");
    files().iter().any(|file| file.path == path || file.path.starts_with(&below))
}

/// The folders and files in a folder.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn walk(folder: &Path, ignored: &[&str], files: &mut Vec<File>) {
    for path in entries(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && ![".ci", ".gitignore"].contains(&name.as_str());
        let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        let skipped = ignored.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some(ending) => name.ends_with(ending),
            None => relative == pattern.trim_matches('/'),
        });
        if hidden || skipped || name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            walk(&path, ignored, files);
        } else {
            let text = std::fs::read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            files.push(File { path: relative, text });
        }
    }
}
