//! The commands, as each of the three users types them: what they print, and how they exit.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use world::{Fault, Posture, Server, World};

use crate::support::{Setup, binary, now, served};

mod demo;
mod doctor;
mod wrong;

fn watched(posture: Posture) -> (World, Server, Setup) {
    let (world, server) = served(World::with_posture(7, 40, now().millis(), posture));
    let setup = Setup::of_world(&server);
    setup.write();
    (world, server, setup)
}

/// What a command printed and how it exited.
fn run(setup: &Setup, args: &[&str]) -> (i32, String, String) {
    told(&setup.command(args))
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn scan_says_what_deviates_and_exits_as_it_is_asked_to() {
    let (world, _server, setup) = watched(Posture::Mixed);
    let (code, out, err) = run(&setup, &["scan", "--init"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("keycloak.realm.password_rule"), "{out}");
    assert!(out.contains("nothing unread. Recorded as #"), "{out}");
    let (code, ..) = run(&setup, &["scan", "--fail-on", "deviates"]);
    assert_eq!(code, 1);
    // Incomplete evidence outranks what it found.
    world.revoke("view-users");
    let (code, out, _) = run(&setup, &["scan", "--source", "keycloak:acme", "--fail-on", "deviates"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("denied") && out.contains("view-users"), "{out}");
    assert!(out.contains("undetermined, not conforming"), "{out}");
    let (code, out) = setup.verify();
    assert_eq!(code, 0, "{out}");
}

#[test]
fn scan_of_a_well_kept_realm_finds_nothing_to_say() {
    let (_world, _server, setup) = watched(Posture::Good);
    let (code, out, err) = run(&setup, &["scan", "--init", "--json", "--fail-on", "deviates"]);
    assert_eq!(code, 0, "{out}{err}");
    let facts: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let checks: Vec<&Value> = facts.iter().flat_map(|fact| fact["checks"].as_array().unwrap()).collect();
    assert_eq!(checks.len(), 8);
    for check in checks {
        let counts = &check["counts"];
        assert_eq!((&counts["deviates"], &counts["undetermined"]), (&0.into(), &0.into()), "{check}");
        assert_eq!(check["complete"], true, "{check}");
    }
}

#[test]
fn plan_and_permissions_are_those_of_the_calls_and_ask_nobody() {
    let (world, server, setup) = watched(Posture::Mixed);
    let (code, out, err) = run(&setup, &["plan"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("1 sources, 3 collectors, ") || out.starts_with("1 source, 3 collectors, "), "{out}");
    assert!(out.contains("nothing has been contacted"), "{out}");
    let (code, out, _) = run(&setup, &["permissions", "keycloak"]);
    assert_eq!(code, 0);
    for role in world::READER_ROLES {
        assert!(out.contains(role), "{role} is not in\n{out}");
    }
    assert!(!out.contains("manage-"), "{out}");
    assert_eq!(world.calls().len(), 0, "somebody was asked");
    drop(server);
    let (code, _, err) = run(&setup, &["permissions", "keycloack"]);
    assert_eq!(code, 2);
    assert!(err.contains("keycloak"), "{err}");
}

#[test]
fn an_auditor_opens_everything_three_steps_from_a_control() {
    let (_world, _server, setup) = watched(Posture::Mixed);
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    let (code, out, _) = run(&setup, &["explain", "A.8.5"]);
    assert_eq!(code, 0);
    for part in
        ["A.8.5 Secure authentication", "nonconforming", "proves", "supports", "why:", "does not conclude for you"]
    {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let (_, out, _) = run(&setup, &["explain", "A.7.4"]);
    assert!(out.contains("not evidenced: no check speaks to it"), "{out}");
    let (_, out, _) = run(&setup, &["explain", "keycloak.realm.brute_force", "--json"]);
    let state: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(state["check"], "keycloak.realm.brute_force");

    let (_, out, _) = run(&setup, &["list", "deviations", "--json"]);
    let alert: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    let row = alert["is"]["address"].as_str().unwrap();
    let (code, out, _) = run(&setup, &["show", row]);
    assert_eq!(code, 0);
    assert!(out.contains("deviates") && out.contains("resource as it was read"), "{out}");
    // The run behind it, its first call, and that call's body as it was received.
    let run_entry = fs_run(&setup);
    let (_, out, _) = run(&setup, &["show", &run_entry.to_string()]);
    assert!(out.contains("calls:") && out.contains("c2sp.org/tlog-proof"), "{out}");
    let (_, out, _) = run(&setup, &["show", &format!("{run_entry}/1")]);
    assert!(out.contains("body as received, secrets redacted"), "{out}");
    let (code, _, err) = run(&setup, &["show", "99999"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no entry #99999"), "{err}");
    let (code, _, err) = run(&setup, &["explain", "A.8.55"]);
    assert_eq!(code, 2);
    assert!(err.contains("A.8.5"), "{err}");
    for what in ["checks", "controls", "sources", "deviations", "changes"] {
        let (code, out, err) = run(&setup, &["list", what]);
        assert!(code == 0 && !out.is_empty(), "list {what}: {err}");
    }
    // A number is of one edition, and what is said of it says which.
    for (number, parts) in [
        ("CLD.9.5.1", ["ISO/IEC 27017:2015, edition 1 (2015-12), withdrawn in July 2026", "taken by iso27017-2026"]),
        ("8.35", ["ISO/IEC 27017:2026, edition 2 (2026-07)", "iso27017-2015 CLD.9.5.1"]),
        ("8.2", ["nonconforming", "iso27017-2015 9.2.3"]),
    ] {
        let (code, out, err) = run(&setup, &["explain", number]);
        assert!(code == 0 && parts.iter().all(|part| out.contains(part)), "{number}: {out}{err}");
    }
    let (_, out, _) = run(&setup, &["list", "controls", "--framework", "iso27017-2026"]);
    assert!(out.starts_with("ISO/IEC 27017:2026, edition 2 (2026-07)\n") && out.contains("43 controls:"), "{out}");
    let (_, out, _) = run(&setup, &["list", "deviations"]);
    assert!(out.contains("control iso27001-2022 A."), "{out}");
    let (code, _, err) = run(&setup, &["explain", "8.2", "--framework", "iso27001-2022"]);
    assert!(code == 2 && err.contains("neither a control of iso27001-2022"), "{err}");
}

/// The entry of the first run.
fn fs_run(setup: &Setup) -> u64 {
    let (_, out, _) = run(setup, &["list", "sources", "--json"]);
    let view: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    view["last_run"]["entry"].as_u64().unwrap()
}

#[test]
fn a_ledger_is_verified_with_nothing_but_its_folder_and_what_you_kept() {
    let (_world, _server, setup) = watched(Posture::Mixed);
    let (code, out, _) = run(&setup, &["init"]);
    assert_eq!(code, 0);
    let key = out.lines().find_map(|line| line.strip_prefix("key ")).unwrap().trim().to_owned();
    assert_eq!(run(&setup, &["init"]).0, 2, "a ledger is begun once");
    let kept = setup.dir.path().join("kept");
    fs::copy(setup.data().join("ledger/checkpoint"), &kept).unwrap();
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);

    let kept = kept.display().to_string();
    let pinned = ["verify", "--pin", &kept, "--require", "pinned", "--key", &key];
    let (code, out, _) = run(&setup, &pinned);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("PINNED"), "{out}");
    assert_eq!(run(&setup, &["verify", "--require", "pinned"]).0, 20);
    let (code, out, _) = run(&setup, &["verify", "--require", "anchored"]);
    assert_eq!(code, 20, "{out}");

    let segment = fs::read_dir(setup.data().join("ledger/seg")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (code, out, _) = run(&setup, &["verify"]);
    assert_eq!(code, 40, "{out}");
    assert!(out.contains(segment.file_name().unwrap().to_str().unwrap()), "the file is named: {out}");
}

#[test]
fn nothing_starts_half_configured_and_each_fault_has_its_place() {
    let (_world, _server, setup) = watched(Posture::Mixed);
    let text = fs::read_to_string(setup.settings()).unwrap();
    assert_eq!(run(&setup, &["config", "validate"]).0, 0);
    fs::write(setup.settings(), text.replace("    realm:", "    reaml:").replace("every: 1s", "every: 1x")).unwrap();
    for args in [&["config", "validate"][..], &["run", "--init"], &["scan"], &["plan"]] {
        let (code, _, err) = run(&setup, args);
        assert_eq!(code, 2, "{args:?}");
        assert!(err.contains("evidenced.yaml:") && err.contains("did you mean realm?"), "{args:?}: {err}");
    }
    assert!(!setup.data().exists(), "a command that refuses its settings leaves nothing behind");
}

#[test]
fn a_daemon_begins_no_ledger_unless_it_is_told_to() {
    let (_world, _server, setup) = watched(Posture::Mixed);
    for command in ["run", "scan"] {
        let (code, _, err) = run(&setup, &[command]);
        assert_eq!(code, 2, "{command}");
        assert!(err.contains("evidenced init") && err.contains("not mounted"), "{command}: {err}");
    }
    assert!(!setup.data().exists());
    let (code, _, err) = run(&setup, &["run-now"]);
    assert_eq!(code, 2);
    assert!(err.contains("no daemon is running here"), "{err}");
}

#[test]
fn the_example_settings_and_the_examples_of_all_checks_hold() {
    let output = Command::new(binary()).args(["checks", "test"]).current_dir(std::env::temp_dir()).output().unwrap();
    let (code, out, err) = told(&output);
    assert_eq!(code, 0, "{err}");
    let last = out.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
    assert!(last.ends_with("checks: all hold") && !last.starts_with("0 "), "{out}");
    let output = Command::new(binary()).args(["config", "schema"]).output().unwrap();
    serde_json::from_slice::<Value>(&output.stdout).unwrap();
    for args in [&["--help"][..], &["verify", "--help"], &["scan", "--help"], &["run", "--help"]] {
        let output = Command::new(binary()).args(args).output().unwrap();
        assert!(output.status.success());
    }
}

#[test]
fn shells_are_told_of_every_command_and_option() {
    let help = Command::new(binary()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: Vec<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"scan") && commands.contains(&"completions"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(binary()).args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for word in commands.iter().copied().chain(["fail-on", "without-secrets", "require"]) {
            assert!(script.contains(word), "{word} is not in the script for {shell}");
        }
    }
    let (code, _, err) = told(&Command::new(binary()).args(["completions", "tcsh"]).output().unwrap());
    assert_eq!(code, 2);
    assert!(err.contains("possible values: bash, zsh, fish"), "{err}");
}

#[test]
fn run_now_is_answered_by_the_daemon_and_names_what_it_does_not_know() {
    let (world, _server, setup) = watched(Posture::Good);
    let setup = setup.every("every: 1h");
    let mut daemon = setup.start();
    daemon.wait("the first look", |api| {
        let views = api.streams();
        (views.len() == 3 && views.iter().all(|view| view.last_run.is_some())).then_some(())
    });
    world.fault("*", Fault::Denied);
    let (code, out, err) = run(&setup, &["run-now", "keycloak:acme/realm"]);
    assert_eq!((code, out.trim()), (0, "will run   keycloak:acme/realm"), "{err}");
    let lost = daemon.wait("the run", |api| api.stream("realm").filter(|view| view.coverage.is_some()));
    assert!(!lost.gaps.is_empty());
    let (code, _, err) = run(&setup, &["run-now", "keycloak:acme/relam"]);
    assert_eq!(code, 2);
    assert!(err.contains("keycloak:acme/realm"), "{err}");
}

#[test]
fn a_ledger_is_begun_once_and_only_the_expected_one_will_do_afterwards() {
    let (_world, _server, setup) = watched(Posture::Mixed);
    let (code, out, _) = run(&setup, &["init", "--once", "--json"]);
    assert_eq!(code, 0);
    let begun: Value = serde_json::from_str(&out).unwrap();
    let key = begun["verifier_key"].as_str().unwrap();
    for args in [&["init", "--once", "--json"][..], &["init", "--once", "--json", "--expect", key]] {
        let (code, out, err) = run(&setup, args);
        assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()), (0, begun.clone()), "{args:?}: {err}");
    }
    let (code, _, err) = run(&setup, &["init", "--once", "--expect", "evidenced/other+00000000+AbCd"]);
    assert!(code == 2 && err.contains("mount the right volume"), "{err}");
    fs::remove_dir_all(setup.data()).unwrap();
    let (code, _, err) = run(&setup, &["init", "--once", "--expect", key]);
    assert!(code == 2 && err.contains("mount its volume") && !setup.data().exists(), "{err}");
    assert_eq!(run(&setup, &["init", "--expect", key]).0, 2, "it is for --once only");
}

#[test]
fn what_could_not_be_printed_is_no_success() {
    let (_world, _server, setup) = watched(Posture::Mixed);
    assert_eq!(run(&setup, &["init"]).0, 0);
    for args in [&["ledger", "key"][..], &["verify"], &["config", "example"], &["list", "checks", "--json"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(binary());
        let output = command.arg("--config").arg(setup.settings()).args(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("could not be written"), "{args:?}: {said}");
    }
}

#[test]
fn a_beginning_that_was_killed_is_no_ledger_for_any_command_and_the_next_init_comes_to_its_end() {
    let (_world, _server, setup) = watched(Posture::Mixed);
    assert_eq!(run(&setup, &["init"]).0, 0);
    // As it is left by whoever was killed while the second of its keys was written.
    let data = setup.data();
    for made in ["ledger", "guard", "body"] {
        fs::remove_dir_all(data.join(made)).unwrap();
    }
    fs::write(data.join("keys").join("data.key"), "2b").unwrap();
    fs::write(data.join("beginning"), "").unwrap();
    let copy = setup.dir.path().join("copy");
    let backup = ["backup", "--to", copy.to_str().unwrap()];
    for args in [&["run"][..], &["list", "sources"], &["verify"], &["ledger", "key"], &backup] {
        let (code, _, err) = run(&setup, args);
        assert!(code == 2 && (err.contains("no ledger in") || err.contains("begins a ledger")), "{args:?}: {err}");
    }
    assert!(!copy.exists() && !copy.with_extension("part").exists(), "no part of a copy is left");
    let (code, out, err) = run(&setup, &["init", "--once", "--json"]);
    assert_eq!(code, 0, "{err}");
    let begun: Value = serde_json::from_str(&out).unwrap();
    let (code, out, _) = run(&setup, &["init", "--once", "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()), (0, begun));
    assert_eq!(run(&setup, &["scan"]).0, 0);
    assert_eq!(run(&setup, &["verify"]).0, 0);
}
