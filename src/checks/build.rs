//! Lists the files of config/checks and config/frameworks, so that adding a check is adding a file.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let mut list = String::new();
    for (name, folder) in [("CHECKS", "config/checks"), ("FRAMEWORKS", "config/frameworks")] {
        let mut files = Vec::new();
        collect(&root.join(folder), &mut files)?;
        files.sort();
        writeln!(list, "/// Name and text of every file in {folder}.")?;
        writeln!(list, "pub(crate) const {name}: &[(&str, &str)] = &[")?;
        for file in files {
            let name = file.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
            writeln!(list, "    ({name:?}, include_str!({file:?})),")?;
        }
        writeln!(list, "];")?;
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("embedded.rs"), list)?;
    Ok(())
}

/// The YAML files in a folder and below it. Cargo runs this again when one is added or taken away.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}
