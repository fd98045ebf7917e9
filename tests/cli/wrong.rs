//! What commands say when something is wrong: enough to mend it, once, and never a secret.

use std::fs;

use world::Posture;

use super::{run, watched};
use crate::support::signal;

/// A secret that somebody wrote into the settings by mistake.
const CANARY: &str = "Hunter2-canary";

#[test]
fn a_secret_in_the_settings_reaches_no_output_and_no_log() {
    let (_world, _server, setup) = watched(Posture::Good);
    let good = fs::read_to_string(setup.settings()).unwrap();
    let reference = good.lines().find(|line| line.trim_start().starts_with("client_secret:")).unwrap();
    let written = |secret: &str| good.replace(reference, &format!("    {}", secret.replace('C', CANARY)));
    let mistakes = [
        "client_secert: C",
        "client_secret: {value: C}",
        "client_secret: {C}",
        "client_secret: 'C",
        "client_secret: {file: /x}\n    client_secret: C",
        "client_secret: C",
        "client_secret:\n    C",
    ];
    for mistake in mistakes {
        fs::write(setup.settings(), written(mistake)).unwrap();
        for args in [&["config", "validate"][..], &["config", "validate", "--json"], &["run", "--init"], &["scan"]] {
            let (code, out, err) = run(&setup, args);
            assert_eq!(code, 2, "{mistake}: {err}");
            assert!(!out.contains("Hunter2") && !err.contains("Hunter2"), "{mistake}: {out}{err}");
            assert!(err.contains("evidenced.yaml:"), "the place is named: {err}");
        }
    }
    // A daemon that runs and is handed such settings says no more.
    fs::write(setup.settings(), &good).unwrap();
    let mut daemon = setup.start_as_written(&[]);
    daemon.wait("the first look", |api| (api.streams().len() == 3).then_some(()));
    for mistake in mistakes {
        let refusals = daemon.log().matches("the settings in force stay as they were").count();
        fs::write(setup.settings(), written(mistake)).unwrap();
        signal(&daemon.child, "HUP");
        while daemon.log().matches("the settings in force stay as they were").count() == refusals {
            daemon.wait("an answer", |api| (!api.streams().is_empty()).then_some(()));
        }
        assert!(!daemon.log().contains("Hunter2"), "{mistake}");
    }
}

#[test]
fn settings_are_not_said_to_be_right_when_a_secret_is_not_there() {
    let (_world, _server, setup) = watched(Posture::Good);
    assert_eq!(run(&setup, &["config", "validate"]).0, 0);
    fs::remove_file(setup.dir.path().join("reader.secret")).unwrap();
    let (code, _, err) = run(&setup, &["config", "validate"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("client_secret.file: cannot read ") && err.contains("--without-secrets"), "{err}");
    assert_eq!(run(&setup, &["config", "validate", "--without-secrets"]).0, 0);
    // A variable may be the daemon's alone.
    let text = fs::read_to_string(setup.settings()).unwrap();
    let reference = text.lines().find(|line| line.contains("client_secret:")).unwrap();
    fs::write(setup.settings(), text.replace(reference, "    client_secret: {env: SET_FOR_NOBODY}")).unwrap();
    let (code, _, err) = run(&setup, &["config", "validate"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("warning: ") && err.contains("SET_FOR_NOBODY is not set"), "{err}");
}

#[test]
fn a_secret_that_stands_where_its_place_belongs_is_not_repeated() {
    let (_world, _server, setup) = watched(Posture::Good);
    let text = fs::read_to_string(setup.settings()).unwrap();
    let reference = text.lines().find(|line| line.contains("client_secret:")).unwrap();
    for (written, code, said) in [
        ("{env: Hunter2-and-more}", 2, "client_secret.env: is no name of a variable"),
        ("{env: Hunter2}", 0, "the environment variable that is named here is not set"),
        ("{file: Hunter2-and-more}", 2, "client_secret.file: cannot read the file that is named here"),
    ] {
        fs::write(setup.settings(), text.replace(reference, &format!("    client_secret: {written}"))).unwrap();
        let (exit, out, err) = run(&setup, &["config", "validate"]);
        assert_eq!(exit, code, "{written}: {err}");
        assert!(err.contains("evidenced.yaml:") && err.contains(said), "{written}: {err}");
        assert!(!out.contains("Hunter2") && !err.contains("Hunter2"), "{written}: {out}{err}");
    }
}

#[test]
fn nobody_is_pointed_to_the_connector_that_is_there_to_learn_from() {
    let (_world, _server, setup) = watched(Posture::Good);
    let (code, _, err) = run(&setup, &["permissions", "nosuch"]);
    assert_eq!(code, 2);
    assert!(err.contains("keycloak") && !err.contains("example"), "{err}");
    let text = fs::read_to_string(setup.settings()).unwrap();
    fs::write(setup.settings(), text.replace("  keycloak:\n", "  directory: []\n  keycloak:\n")).unwrap();
    let (_, _, err) = run(&setup, &["config", "validate"]);
    assert!(err.contains("known here: ") && !err.contains("example,"), "{err}");
    let (_, out, _) = run(&setup, &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(schema["$defs"]["Sources"]["properties"]["keycloak"].is_object());
    assert!(schema["$defs"]["Sources"]["properties"]["example"].is_null());
}

#[test]
fn a_population_that_was_not_read_has_no_numbers() {
    let (world, _server, setup) = watched(Posture::Good);
    world.revoke("view-clients");
    let (code, out, _) = run(&setup, &["scan", "--init"]);
    assert_eq!(code, 3, "{out}");
    let row = out.lines().find(|line| line.starts_with("  keycloak.client.hardened ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["keycloak.client.hardened", "-", "-", "-", "-", "not", "read:", "undetermined"], "{out}");
}

#[test]
fn verify_says_once_that_a_key_is_wrong_and_what_was_not_opened_without_the_data_key() {
    let (_world, _server, setup) = watched(Posture::Good);
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    let (_, out, _) = run(&setup, &["verify"]);
    let published = fs::read_to_string(setup.data().join("ledger/checkpoint")).unwrap();
    assert!(out.contains(published.lines().nth(2).unwrap()), "the root, as the checkpoint has it: {out}");
    assert!(!out.contains("names  "), "{out}");

    let other = tempfile::tempdir().unwrap();
    let made = setup.command(&["init", "--data", &other.path().display().to_string()]);
    let made = String::from_utf8(made.stdout).unwrap();
    let key = made.lines().find_map(|line| line.strip_prefix("key ")).unwrap().trim();
    let (code, out, _) = run(&setup, &["verify", "--key", key]);
    assert_eq!(code, 40, "{out}");
    assert_eq!(out.matches("invalid: ").count(), 2, "the checkpoint, and all that came before it in one line: {out}");
    assert!(out.contains("more of the same in this file"), "{out}");

    let (key, elsewhere) = (setup.data().join("keys/data.key"), other.path().join("the-key"));
    fs::rename(&key, &elsewhere).unwrap();
    let (code, out, _) = run(&setup, &["verify"]);
    assert_eq!(code, 50, "{out}");
    assert!(out.contains("bodies were not opened: the data key "), "{out}");
    assert!(out.contains("keys/data.key does not hold it"), "{out}");
    assert!(out.contains(published.lines().nth(2).unwrap()), "the root all the same: {out}");
    assert!(!out.contains("invalid: ") && !out.contains("missing: "), "{out}");
    let (code, _, err) = run(&setup, &["list", "deviations"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("`data_key` in the settings says where it lies"), "{err}");
    let (code, _, err) = run(&setup, &["scan"]);
    assert_eq!(code, 2, "nothing is begun that nobody could read: {err}");

    let settings = fs::read_to_string(setup.settings()).unwrap();
    fs::write(setup.settings(), format!("{settings}\ndata_key: {{file: {}}}\n", elsewhere.display())).unwrap();
    let (code, out, _) = run(&setup, &["verify"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(run(&setup, &["list", "deviations"]).0, 0);

    // The data key changes: into the folder of keys and out of it again, and no pack changes with it.
    let pack = || fs::read(setup.data().join("body/pack-00000000")).unwrap();
    let before = pack();
    let (code, out, err) = run(&setup, &["ledger", "rewrap"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("take data_key out of them"), "{out}");
    assert_eq!(run(&setup, &["verify"]).0, 50, "the settings name the former key");
    fs::write(setup.settings(), &settings).unwrap();
    assert_eq!(run(&setup, &["verify"]).0, 0);
    let third = other.path().join("third");
    fs::write(&third, "not a key").unwrap();
    let (code, _, err) = run(&setup, &["ledger", "rewrap", "--key", &third.display().to_string()]);
    assert!(code == 2 && err.contains("64 hexadecimal digits"), "{err}");
    fs::write(&third, format!("{}\n", "5a".repeat(32))).unwrap();
    let (code, out, err) = run(&setup, &["ledger", "rewrap", "--key", &third.display().to_string()]);
    assert!(code == 0 && out.contains("settings   from now on: data_key: {file: "), "{out}{err}");
    assert!(!setup.data().join("keys/data.key").exists());
    fs::write(setup.settings(), format!("{settings}\ndata_key: {{file: {}}}\n", third.display())).unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    assert_eq!(run(&setup, &["verify"]).0, 0);
    assert!(pack().starts_with(&before));
}

#[test]
fn a_control_is_found_however_its_letters_are_written() {
    let (_world, _server, setup) = watched(Posture::Good);
    assert_eq!(run(&setup, &["init"]).0, 0);
    let (code, out, err) = run(&setup, &["explain", "a.8.5"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("A.8.5 Secure authentication"), "{out}");
    assert_eq!(run(&setup, &["explain", "Keycloak.Realm.Brute_force"]).0, 0);
    let (code, _, err) = run(&setup, &["show", "nothing"]);
    assert_eq!(code, 2);
    assert!(err.contains("not an address"), "{err}");
}
