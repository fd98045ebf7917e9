//! An older copy in the place of the ledger: refused by whatever remembers more, and the one way out of that.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ledger::Reader;
use serde_json::Value;
use world::World;

use crate::support::{Setup, binary, copy, now, served};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_older_copy_of_the_ledger_is_refused_and_told_of_until_it_is_closed_with_a_reason() {
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let (receiver, hook) = served(World::new(1, 12, now().millis()));
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", hook.url()));
    let dir = setup.dir.path();
    let (guard, elsewhere, unmounted) = (dir.join("guard"), dir.join("elsewhere"), dir.join("unmounted"));
    fs::create_dir(&elsewhere).unwrap();
    let setup = setup.with(&format!(
        "guard_dir: {}\nguard_copies: [{}, {}]\n",
        guard.display(),
        elsewhere.display(),
        unmounted.display()
    ));
    let (data, old_data, old_guard) =
        (setup.data(), setup.dir.path().join("old-data"), setup.dir.path().join("old-guard"));
    let size = || Reader::open(&data.join("ledger")).size().unwrap();
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let log = daemon.log();
    assert_eq!(daemon.stop().0, Some(0));
    assert!(log.contains("unmounted is out of reach"), "{log}");
    assert!(!unmounted.exists(), "a folder that is not there is not made");
    copy(&data, &old_data);
    copy(&guard, &old_guard);
    let kept = size();
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    assert_eq!(daemon.stop().0, Some(0));
    let known = size();
    assert!(known > kept);

    // The ledger alone put back; then its guard together with it, so that only the copy elsewhere remembers.
    copy(&old_data, &data);
    let named = setup.command(&["verify", data.to_str().unwrap()]);
    assert_eq!(named.status.code(), Some(30), "the guard of the settings counts: {}", said(&named));
    for (what, with_guard) in [("the ledger", false), ("the ledger with its guard", true)] {
        if with_guard {
            copy(&old_guard, &guard);
        }
        let words = setup.refused();
        for part in ["nothing is signed", "Put the newest copy back", "evidenced ledger close --because", "rolled back"]
        {
            assert!(words.contains(part), "{what}: no {part:?} in {words}");
        }
        assert_eq!(size(), kept, "{what}");
    }
    let told = receiver.received().into_iter().map(|one| one.json());
    let alert =
        told.map(|said| said["data"].clone()).find(|data| data["subject"] == "the ledger of evidenced").unwrap();
    assert_eq!(alert["severity"], "critical", "{alert}");
    // Reading goes on.
    assert_eq!(setup.command(&["show", "0"]).status.code(), Some(0));

    // No way out without a reason, and an interrupted one is brought to its end by the next.
    let output = setup.command(&["ledger", "close"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("say why"), "{output:?}");
    fs::write(data.join("closed"), "in the way").unwrap();
    let reason = ["ledger", "close", "--because", "the disk broke, and the last backup was old", "--json"];
    let output = setup.command(&reason);
    assert!(output.status.code() == Some(2) && said(&output).contains("do it again"), "{output:?}");
    let words = setup.refused();
    assert!(words.contains("is being closed"), "{words}");
    fs::remove_file(data.join("closed")).unwrap();
    let output = setup.command(&["ledger", "close", "--json"]);
    let fact: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!((&fact["entries"], &fact["missing"]), (&known.into(), &(known - kept).into()), "{fact}");
    assert_eq!((&fact["origin"], &fact["closed"]), (&"evidenced/acme/2".into(), &"evidenced/acme".into()));

    // The continuation says what it continues, and goes on; the old one is there as it was.
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    assert_eq!(daemon.stop().0, Some(0));
    let output = setup.command(&["verify"]);
    let words = said(&output);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let missing = known - kept;
    let line = format!(
        "closed at {known} entries of which {missing} are missing: the disk broke, and the last backup was old"
    );
    assert!(words.contains(&line), "{words}");
    let closed = Command::new(binary()).arg("verify").arg(data.join("closed").join("1")).output().unwrap();
    assert_eq!(closed.status.code(), Some(30), "its guard remembers more: {}", said(&closed));
    assert!(said(&closed).contains(&format!("entries    {kept} hash to the root")), "{}", said(&closed));
}

#[test]
fn a_copy_made_beside_the_running_daemon_verifies_where_it_is_restored_and_goes_on_as_its_guard_allows() {
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let setup = Setup::of_world(&server);
    let guard = setup.dir.path().join("guard");
    let setup = setup.with(&format!("guard_dir: {}\n", guard.display()));
    let (file, last) = (setup.dir.path().join("copy.tar"), setup.dir.path().join("last.tar"));
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    let to = |file: &Path| setup.command(&["backup", "--to", file.to_str().unwrap(), "--json"]);
    let output = to(&file);
    let fact: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let again = to(&file);
    assert!(again.status.code() == Some(2) && said(&again).contains("is there already"), "{again:?}");
    let streamed = setup.command(&["backup", "--to", "-"]);
    assert!(streamed.status.success() && streamed.stdout.starts_with(b"evidenced-backup.json"));
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
    assert!(to(&last).status.success());
    let listed = Command::new("tar").arg("-tf").arg(&file).output().unwrap();
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success() && names.contains("ledger/checkpoint\n"), "{names}");
    assert!(!names.contains("seed") && !names.contains("guard"), "{names}");

    let restore = |file: &Path, to: &Path| {
        let mut command = Command::new(binary());
        command.arg("restore").arg(file).arg("--data").arg(to).arg("--verify").output().unwrap()
    };
    let elsewhere = setup.dir.path().join("elsewhere");
    let output = restore(&file, &elsewhere);
    assert!(output.status.success() && said(&output).contains(", and verified"), "{}", said(&output));
    assert_eq!(Reader::open(&elsewhere.join("ledger")).size().unwrap(), fact["entries"].as_u64().unwrap());
    let output = restore(&file, &elsewhere);
    let words = said(&output);
    assert!(output.status.code() == Some(2) && words.contains("is not empty, and nothing was changed"), "{words}");

    // As one stream into another process: a machine in between needs neither tar nor room.
    let (streams, stream) = (setup.dir.path().join("streamed"), setup.dir.path().join("stream.tar"));
    fs::write(&stream, &streamed.stdout).unwrap();
    let mut command = Command::new(binary());
    command.args(["restore", "--from", "-", "--verify", "--data"]).arg(&streams);
    let output = command.stdin(fs::File::open(&stream).unwrap()).output().unwrap();
    assert!(output.status.success() && said(&output).contains(", and verified"), "{}", said(&output));
    let verified = Command::new(binary()).arg("verify").arg(&streams).output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));

    // In the place of the ledger: the older copy is refused, the newest goes on once its key is back.
    let seed = fs::read(setup.data().join("keys").join("ledger.seed")).unwrap();
    for (copy, goes_on) in [(&file, false), (&last, true)] {
        fs::remove_dir_all(setup.data()).unwrap();
        assert!(restore(copy, &setup.data()).status.success());
        let words = if goes_on { String::new() } else { setup.refused() };
        fs::write(setup.data().join("keys").join("ledger.seed"), &seed).unwrap();
        if goes_on {
            let mut daemon = setup.start();
            daemon.wait_for_runs(1);
            assert_eq!(daemon.stop().0, Some(0));
            assert_eq!(setup.verify().0, 0);
        } else {
            assert!(words.contains("ledger.seed"), "it says which key is missing: {words}");
            let words = setup.refused();
            assert!(words.contains("evidenced ledger close --because"), "{words}");
        }
    }

    // Without its guard no copy goes on; it is closed, and continued under another key.
    let lost = setup.dir.path().join("lost");
    assert!(restore(&file, &lost).status.success());
    let alone = |args: &[&str]| Command::new(binary()).args(args).arg("--data").arg(&lost).output().unwrap();
    let output = alone(&["ledger", "close", "--because", "the machine burnt down"]);
    assert!(output.status.success(), "{}", said(&output));
    // What came after the copy is not here, and nothing remembers how much that was: no count is made up.
    let unknown = "no high-water mark";
    assert!(said(&output).contains("0 of them missing") && said(&output).contains(unknown), "{}", said(&output));
    let output = alone(&["verify"]);
    assert!(output.status.code() == Some(0) && said(&output).contains(unknown), "{}", said(&output));
    // What it is continued by could go on: closing that as well is asked for, or meant.
    let output = alone(&["ledger", "close", "--because", "by mistake"]);
    let words = said(&output);
    assert!(
        output.status.code() == Some(2) && words.contains("it can go on as it is") && words.contains("--yes"),
        "{words}"
    );
    assert!(said(&alone(&["ledger", "key"])).contains("/2+"), "it was not closed");
    let output = alone(&["ledger", "close", "--because", "the key was seen by a stranger", "--yes"]);
    let words = said(&output);
    assert!(output.status.success() && words.contains("0 of them missing") && !words.contains(unknown), "{words}");

    // A copy that was tampered with, cut off or is none is not said to be restored.
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let at = whole.windows(8).position(|window| window == b"\"t\":\"run").unwrap();
    changed[at + 6] ^= 1;
    for (n, bytes) in
        [changed, whole[..whole.len() / 2].to_vec(), b"no archive".to_vec(), Vec::new()].iter().enumerate()
    {
        let (bad, to) = (setup.dir.path().join(format!("bad-{n}")), setup.dir.path().join(format!("to-{n}")));
        fs::write(&bad, bytes).unwrap();
        let output = restore(&bad, &to);
        assert_eq!(output.status.code(), Some(2), "{n}: {}", said(&output));
        assert!(!said(&output).contains("and verified"), "{n}: {}", said(&output));
        assert!(said(&output).contains("nothing of it was kept"), "{n}: {}", said(&output));
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "{n}: nothing is left");
        assert!(restore(&file, &to).status.success(), "{n}: the same folder takes a whole copy");
    }
}
