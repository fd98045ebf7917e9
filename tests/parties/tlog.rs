//! Other people's verifiers of tile logs, held against the export of a ledger that the daemon made: aics-tlog in Python,
//! and Tessera's fsck in Go. What they accept is accepted by nobody's word but theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ledger::Reader;
use serde_json::Value;
use world::{Drift, World};

use super::needed;
use crate::support::{Setup, now, served};

/// A ledger of more than one bundle, exported while the daemon ran and again after its end.
struct Handed {
    setup: Setup,
    key: PathBuf,
    tiles: PathBuf,
    /// The checkpoint of the first export.
    kept: PathBuf,
    size: u64,
}

fn hand_over() -> Handed {
    let (world, server) = served(World::new(7, 20, now().millis()));
    let setup = Setup::of_world(&server).every("every: 1s");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let dir = setup.dir.path();
    let (key, tiles, kept) = (dir.join("log.vkey"), dir.join("tiles"), dir.join("kept"));
    let told = |args: &[&str]| {
        let output = setup.command(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    fs::write(&key, told(&["ledger", "key"])).unwrap();
    let export = ["ledger", "export", "--tiles", tiles.to_str().unwrap()];
    told(&export);
    fs::copy(tiles.join("checkpoint"), &kept).unwrap();
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    let reader = Reader::open(&setup.data().join("ledger"));
    daemon.wait("more than one bundle of entries", |_| (reader.size().unwrap() > 300).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));
    told(&export);
    let size = reader.size().unwrap();
    Handed { setup, key, tiles, kept, size }
}

impl Handed {
    fn entry(&self, index: u64) -> Vec<u8> {
        Reader::open(&self.setup.data().join("ledger")).entry(index).unwrap()
    }

    /// Changes one byte in the middle of every tile and bundle that a reader of the whole log needs, one file at a time;
    /// and asks whether that is refused.
    fn each_changed(&self, refused: impl Fn(&Path) -> Result<(), String>) {
        let mut changed = 0;
        let full = |name: &'static str, count: u64| (0..count / 256).map(move |n| format!("{name}/{n:03}"));
        let partial = |name: &str, count: u64| {
            (!count.is_multiple_of(256)).then(|| format!("{name}/{:03}.p/{}", count / 256, count % 256))
        };
        let names = full("0", self.size)
            .chain(partial("0", self.size))
            .chain(partial("1", self.size / 256))
            .chain(full("entries", self.size))
            .chain(partial("entries", self.size));
        for name in names {
            let file = self.tiles.join("tile").join(&name);
            let whole = fs::read(&file).unwrap();
            let mut bytes = whole.clone();
            bytes[whole.len() / 2] ^= 1;
            fs::write(&file, bytes).unwrap();
            if let Err(said) = refused(&self.tiles) {
                panic!("{name} was changed and accepted: {said}");
            }
            fs::write(&file, whole).unwrap();
            changed += 1;
        }
        println!("{changed} files of {} entries were changed by one byte each, and refused", self.size);
        assert_eq!(changed, 5);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
#[ignore = "needs aics-tlog: run by tests/all"]
fn party_aics_tlog_accepts_an_export_and_refuses_every_changed_file() {
    let program = needed("AICS_TLOG_URL");
    let handed = hand_over();
    let ask = |command: &str, more: &[&str]| {
        let (tiles, key) = (handed.tiles.as_os_str(), handed.key.as_os_str());
        let mut asked = Command::new(&program);
        asked.arg(command).arg("--tiles").arg(tiles).arg("--vkey-file").arg(key).args(more).output().unwrap()
    };
    let accepted = |command: &str, more: &[&str]| {
        let output = ask(command, more);
        let fact: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert!(output.status.success() && fact["ok"] == true, "{fact}");
        assert_eq!(fact["size"], handed.size, "{fact}");
    };
    accepted("verify-checkpoint", &[]);
    accepted("verify-consistency", &["--old-checkpoint", handed.kept.to_str().unwrap()]);
    let proven = handed.setup.dir.path().join("proven");
    for index in [0, 1, 255, 256, handed.size - 1] {
        accepted("verify-inclusion", &["--index", &index.to_string(), "--entry-out", proven.to_str().unwrap()]);
        assert_eq!(fs::read(&proven).unwrap(), handed.entry(index), "{index}");
    }
    // It looks only at what a question needs, so every bundle is asked for.
    handed.each_changed(|_| {
        let answers = ["100", &(handed.size - 1).to_string()].map(|n| ask("verify-inclusion", &["--index", n]));
        let refused = answers.iter().any(|answer| answer.status.code() == Some(1));
        if refused { Ok(()) } else { Err(said(&answers[0])) }
    });
    accepted("verify-checkpoint", &[]);
}

#[test]
#[ignore = "needs tessera: run by tests/all"]
fn party_tessera_accepts_an_export_and_refuses_every_changed_file() {
    let program = needed("TESSERA_URL");
    let handed = hand_over();
    // It exits with 0 whatever it finds, so its words count; and with few workers it waits for ever after a tile that
    // is wrong, when more are to come than it has workers.
    let accepts = |tiles: &Path| {
        let url = format!("--storage_url=file://{}/", tiles.display());
        let mut asked = Command::new(&program);
        let output = asked.args([&url, "--ui=false", "-N=64", "--public_key"]).arg(&handed.key).output().unwrap();
        let said = said(&output);
        let good = said.contains(&format!("Successfully fsck'd log with size {}", handed.size));
        let bad = said.contains("fsck failed");
        assert!(good != bad, "it says neither, or both: {said}");
        (good, said)
    };
    let (good, said) = accepts(&handed.tiles);
    assert!(good, "{said}");
    handed.each_changed(|tiles| match accepts(tiles) {
        (true, said) => Err(said),
        (false, _) => Ok(()),
    });
    assert!(accepts(&handed.tiles).0);
}
