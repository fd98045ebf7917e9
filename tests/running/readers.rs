//! What a reader is granted: the documents below `deploy/readers` are those that the program prints, and grant what the
//! collectors declare and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::binary;

fn printed(args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(binary()).arg("permissions").args(args).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files below a folder, by their paths from there.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.strip_prefix(folder).unwrap().display().to_string())),
            }
        }
    }
    found
}

#[test]
fn the_documents_that_grant_a_reader_its_rights_are_those_the_program_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/readers");
    let documents: Vec<_> = connectors::kinds().flat_map(|kind| kind.documents).collect();
    for document in &documents {
        let (file, text) = (folder.join(document.file), printed(&["--format", document.format]));
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == text, "{} is not fresh: run this test with BLESS=1, and read what changed", file.display());
    }
    let wanted: BTreeSet<String> = documents.iter().map(|document| document.file.to_owned()).collect();
    assert_eq!(files_below(&folder), wanted, "nothing else lies there");
}

#[test]
fn a_document_grants_every_permission_that_a_call_declares_and_no_other() {
    for kind in connectors::kinds() {
        let declared: BTreeSet<&str> = kind.collectors.iter().flat_map(|collector| collector.permissions()).collect();
        for document in kind.documents {
            let text = printed(&["--format", document.format]);
            let granted: BTreeSet<String> = match kind.name {
                "aws" => {
                    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':');
                    let action = |word: &&str| word.starts_with("iam:") || word.starts_with("cloudtrail:");
                    words.filter(action).filter(|word| !word.starts_with("iam::")).map(str::to_owned).collect()
                }
                "github" => {
                    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
                    let granted = manifest["default_permissions"].as_object().unwrap().clone();
                    granted.iter().map(|(name, access)| format!("{name}:{}", access.as_str().unwrap())).collect()
                }
                "keycloak" => {
                    let import: serde_json::Value = serde_json::from_str(&text).unwrap();
                    let roles = import["users"][0]["clientRoles"]["realm-management"].as_array().unwrap().clone();
                    roles.iter().map(|role| format!("realm-management role {}", role.as_str().unwrap())).collect()
                }
                other => panic!("say here how a document for {other} is read"),
            };
            // That one is granted in the reader's own account: the role's trust is what speaks of it.
            let declared: BTreeSet<String> =
                declared.iter().filter(|action| **action != "sts:AssumeRole").map(|&name| name.to_owned()).collect();
            assert_eq!(granted, declared, "{}", document.format);
        }
    }
}

#[test]
fn permissions_are_had_as_json_and_a_form_of_another_kind_is_refused() {
    let all: Vec<serde_json::Value> = serde_json::from_str(&printed(&["--format", "json"])).unwrap();
    let kinds: BTreeSet<&str> = all.iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, connectors::kinds().map(|kind| kind.name).collect());
    let refused = Command::new(binary()).args(["permissions", "github", "--format", "iam-policy"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("iam-policy grants what is read of aws, not of github"), "{said}");
}
