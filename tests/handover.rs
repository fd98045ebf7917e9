//! What an auditor is handed of the ledger: its key, a copy as tiles, and the proof of one entry.

use std::fs;

use ledger::{TlogProof, VerifierKey};
use serde_json::Value;
use world::World;

use crate::support::{Setup, now, served};

fn told(setup: &Setup, args: &[&str]) -> (i32, String) {
    let output = setup.command(args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

#[test]
fn key_tiles_and_proofs_are_handed_over_beside_a_running_daemon() {
    let (_world, server) = served(World::new(7, 40, now().millis()));
    let setup = Setup::of_world(&server).every("every: 1s");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);

    let (code, key) = told(&setup, &["ledger", "key"]);
    assert_eq!((code, key.lines().count()), (0, 1), "{key}");
    let known: VerifierKey = key.trim_end().parse().unwrap();

    let out = setup.dir.path().join("tiles");
    let export = ["ledger", "export", "--tiles", out.to_str().unwrap()];
    assert_eq!(told(&setup, &export).0, 0);
    let first = fs::read_to_string(out.join("checkpoint")).unwrap();
    let first = ledger::SignedCheckpoint::verify(first.as_bytes(), std::slice::from_ref(&known)).unwrap().checkpoint;
    assert!(first.size > 5 && out.join("tile/entries").is_dir());
    daemon.wait_for_runs(2);
    let (code, said) = told(&setup, &["--json", "ledger", "export", "--tiles", out.to_str().unwrap()]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["before"]), (0, &first.size.into()), "{said}");
    assert!(said["entries"].as_u64().unwrap() > first.size && said["written"].as_u64().unwrap() > 0, "{said}");

    let file = setup.dir.path().join("entry-4.json");
    let prove = ["show", "4", "--proof", file.to_str().unwrap()];
    assert_eq!(told(&setup, &prove).0, 0);
    let entry = fs::read(&file).unwrap();
    let proof = fs::read_to_string(setup.dir.path().join("entry-4.json.tlog-proof")).unwrap();
    let proof: TlogProof = proof.parse().unwrap();
    assert!(proof.verify(&entry, std::slice::from_ref(&known)).unwrap().size > 4);
    assert!(proof.verify(b"another entry", std::slice::from_ref(&known)).is_err());
    // The first bundle is whole once there are 256 entries, which is when the daemon got that far.
    let partial = fs::read_dir(out.join("tile/entries/000.p")).ok().and_then(|mut files| files.next());
    let bundle = partial.map_or_else(|| out.join("tile/entries/000"), |file| file.unwrap().path());
    let bundle = fs::read(bundle).unwrap();
    assert!(bundle.windows(entry.len()).any(|window| window == entry), "the entry is the one in the bundle");

    let (code, said) = told(&setup, &prove);
    assert!(code == 2 && said.contains("is there already"), "{said}");
    let (code, said) = told(&setup, &["show", "99999", "--proof", "nowhere"]);
    assert!(code == 2 && said.contains("there is no entry #99999"), "{said}");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn an_export_into_a_folder_that_is_no_export_of_this_ledger_is_refused() {
    let world = World::new(7, 10, now().millis());
    let server = world.serve(0).unwrap();
    let (setup, other) = (Setup::of_world(&server), Setup::of_world(&server));
    for setup in [&setup, &other] {
        setup.write();
        assert_eq!(told(setup, &["init"]).0, 0);
    }
    let tiles = setup.dir.path().join("tiles");
    let export = ["ledger", "export", "--tiles", tiles.to_str().unwrap()];
    assert_eq!(told(&setup, &export).0, 0);
    // Both have the same name: their first entries tell them apart.
    let (code, said) = told(&other, &export);
    assert!(code == 2 && said.contains("contradicts this ledger"), "{said}");
    let data = setup.data();
    for folder in [data.clone(), data.join("ledger"), data.join("keys")] {
        let (code, said) = told(&setup, &["ledger", "export", "--tiles", folder.to_str().unwrap()]);
        assert!(code == 2 && said.contains("no part of an export"), "{said}");
    }
    assert_eq!(setup.verify().0, 0);
    let nothing = setup.dir.path().join("nothing");
    let (code, said) = told(&setup, &["ledger", "key", "--data", nothing.to_str().unwrap()]);
    assert!(code == 2 && said.contains("no ledger in"), "{said}");
}
