//! `doctor`: what is in order is said to be, and each thing that is not is named with its remedy.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use world::Posture;

use super::{run, watched};
use crate::support::Setup;

/// What was looked at: state and words by what it is about, several of one kind joined; and the exit code.
fn looked(setup: &Setup) -> (i32, BTreeMap<String, (String, String)>) {
    let (code, out, err) = run(setup, &["doctor", "--json"]);
    assert!(err.is_empty(), "{err}");
    let mut lines: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        assert!(line["state"] == "ok" || !word("remedy").is_empty(), "what is amiss has a remedy: {line}");
        let kept = lines.entry(word("about")).or_default();
        let worse = |state: &str| ["ok", "warn", "bad"].iter().position(|known| *known == state);
        if worse(&word("state")) > worse(&kept.0) {
            kept.0 = word("state");
        }
        kept.1.push_str(&format!("{} [{}]\n", word("said"), word("remedy")));
    }
    (code, lines)
}

#[test]
fn doctor_finds_a_data_directory_in_order_beside_a_daemon_and_without_one() {
    let (_world, _server, setup) = watched(Posture::Good);
    let (code, lines) = looked(&setup);
    assert_eq!((code, lines["data directory"].0.as_str()), (2, "bad"), "{lines:?}");
    assert!(lines["data directory"].1.contains("evidenced init"), "{lines:?}");
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    let states = |lines: &BTreeMap<String, (String, String)>| -> String {
        lines.iter().map(|(about, (state, _))| format!("{about}: {state}\n")).collect()
    };
    let (code, lines) = looked(&setup);
    let expected = "clock: ok\ndaemon: ok\ndata directory: ok\ndata key: warn\nfree space: ok\nguard: warn\nindex: ok\n\
                    last anchor: warn\nlast checkpoint: ok\nscrub: ok\nsecrets: ok\nsettings: ok\nsigning key: ok\n";
    assert_eq!((code, states(&lines).as_str()), (0, expected), "{lines:#?}");
    assert!(
        lines["daemon"].1.contains("none runs here") && lines["index"].1.contains("in step, in sled"),
        "{lines:#?}"
    );

    let mut daemon = setup.start_as_written(&[]);
    daemon.wait_for_runs(1);
    let (code, lines) = looked(&setup);
    assert_eq!((code, states(&lines).as_str()), (0, expected), "{lines:#?}");
    assert!(lines["daemon"].1.contains(&format!("process {}", daemon.child.id())), "{lines:#?}");
    assert!(lines["index"].1.contains("the daemon answers from it"), "{lines:#?}");
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));
    let (_, out, _) = run(&setup, &["doctor"]);
    assert!(out.contains("ok    settings") && out.contains("warn  guard") && out.contains(" looked at, "), "{out}");
}

#[test]
fn doctor_names_each_thing_that_is_not_in_order_and_exits_with_2_where_it_is_bad() {
    let (_world, _server, setup) = watched(Posture::Good);
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    let (data, kept) = (setup.data(), setup.dir.path().join("kept"));
    let amiss = |about: &str, state: &str, words: &str| {
        let (code, lines) = looked(&setup);
        assert_eq!((lines[about].0.as_str(), code), (state, if state == "bad" { 2 } else { 0 }), "{about}: {lines:#?}");
        assert!(lines[about].1.contains(words), "{about}: {lines:#?}");
    };
    // Each is taken away, looked for, and put back.
    let without = |file: &str, about: &str, words: &str| {
        fs::rename(data.join(file), &kept).unwrap();
        amiss(about, "bad", words);
        fs::rename(&kept, data.join(file)).unwrap();
    };
    without("keys/ledger.seed", "signing key", "ledger.seed");
    without("keys/data.key", "data key", "data key");
    without("guard/high-water", "guard", "cannot be read");
    without("ledger/checkpoint", "last checkpoint", "evidenced verify");

    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    amiss("data directory", "warn", "chmod go=");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();

    fs::remove_dir_all(data.join("index")).unwrap();
    amiss("index", "ok", "the next start builds it");
    assert_eq!(run(&setup, &["scan"]).0, 0);
    let settings = fs::read_to_string(setup.settings()).unwrap();
    fs::write(setup.settings(), format!("{settings}\nindex: redb\n")).unwrap();
    amiss(
        "index",
        "warn",
        "it was made by sled, and the settings name redb [nothing is lost: the next start builds it",
    );
    assert_eq!(run(&setup, &["scan"]).0, 0);
    amiss("index", "ok", "in step, in redb");
    fs::write(setup.settings(), settings).unwrap();

    let secret = setup.dir.path().join("reader.secret");
    fs::rename(&secret, &kept).unwrap();
    amiss("secrets", "bad", "reader.secret");
    fs::rename(&kept, &secret).unwrap();

    let text = fs::read_to_string(setup.settings()).unwrap();
    fs::write(setup.settings(), text.replace("organisation:", "organization:")).unwrap();
    let (code, out, _) = run(&setup, &["doctor", "--json", "--data", data.to_str().unwrap()]);
    assert!(code == 2 && out.contains("organization") && out.contains("last checkpoint"), "{out}");
}
