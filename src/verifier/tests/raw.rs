//! The reader of packages over folders of bytes that nobody meant. What must hold stands in `verifier::testing`.
#![allow(clippy::unwrap_used, reason = "test code, helpers included")]

use ledger::{Checkpoint, TlogProof, leaf_hash};
use proptest::collection::vec;
use proptest::prelude::*;
use verifier::testing::package;

/// Reads a package of such files, each by the number of its name; gives where there are problems.
fn read(files: &[(u8, &[u8])]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = vec![0];
    for (name, content) in files {
        bytes.push(*name);
        bytes.extend_from_slice(content);
        bytes.push(0xff);
    }
    package(dir.path(), &bytes).unwrap().problems.into_iter().map(|problem| problem.place).collect()
}

/// A package of one entry, whose checkpoints, policy and proof hold.
fn of_one_entry(entry: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let keys = ledger::testing::fuzz::keys();
    let key = keys.first().unwrap();
    let origin = key.name().to_owned();
    let signed = Checkpoint { origin, size: 1, root: leaf_hash(entry) }.sign(key).unwrap();
    let proof = TlogProof { extra: None, index: 0, path: vec![], checkpoint: signed.note.clone() }.to_string();
    let note = signed.note.into_bytes();
    let policy = format!("log {}\n", key.verifier()).into_bytes();
    let about = br#"{"controls":[],"streams":[],"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"}"#.to_vec();
    vec![(0, about), (1, policy), (4, note.clone()), (5, note), (7, entry.to_vec()), (8, proof.into_bytes())]
}

fn of(files: &[(u8, Vec<u8>)]) -> Vec<String> {
    read(&files.iter().map(|(name, content)| (*name, content.as_slice())).collect::<Vec<_>>())
}

#[test]
fn the_readers_behind_the_list_of_files_are_reached() {
    let files =
        of_one_entry(br#"{"v":1,"at":"2026-01-01T00:00:00Z","t":"genesis","origin":"o","key":"k","program":"p"}"#);
    assert!(
        !of(&files).iter().any(|place| place == "checkpoints" || place.starts_with("entries/")),
        "{:?}",
        of(&files)
    );
    assert_eq!(read(&[]), ["checkpoints"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reader_of_packages_falls_over_no_bytes(bytes in vec(any::<u8>(), 0..600)) {
        let dir = tempfile::tempdir().unwrap();
        package(dir.path(), &bytes).unwrap();
    }

    #[test]
    fn the_reader_of_packages_falls_over_no_list_of_files(list in "([0-9a-f]{64}  [a-z./]{1,20}\n){0,3}.{0,9}") {
        let dir = tempfile::tempdir().unwrap();
        package(dir.path(), &[[1].as_slice(), list.as_bytes()].concat()).unwrap();
    }

    #[test]
    fn the_reader_of_packages_falls_over_no_entry(
        kind in "genesis|run|intent|missed|observation|schedule|export|version|deviation|anchor",
        more in r#"(,"(stream|slot|first|last|count|trigger|populations|checks|manifest|at)":("[a-z:/0-9]{0,9}"|-?[0-9]{1,19}|null|\[\]|\{\})){0,5}"#,
    ) {
        of(&of_one_entry(format!(r#"{{"v":1,"at":"2026-01-01T00:00:00Z","t":"{kind}"{more}}}"#).as_bytes()));
    }

    #[test]
    fn the_reader_of_packages_falls_over_no_place_of_a_body(
        line in "[0-9a-f]{64} (whole|lines|shown) (-|[A-Za-z0-9+/=]{44}) (manifests|rows|answers|texts)/000001.(txt|jsonl|bin) [0-9]{1,17} [0-9]{1,17}\n",
        body in vec(any::<u8>().prop_filter("it separates files", |byte| *byte != 0xff), 0..80),
    ) {
        let mut files = of_one_entry(b"{}");
        files.extend([(2, line.into_bytes()), (9, body.clone()), (10, body.clone()), (11, body.clone()), (12, body)]);
        of(&files);
    }
}
