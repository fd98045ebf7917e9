//! Erasure, as the person who was asked to forget somebody types it; and what is left of them afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use domain::{BodyId, ResourceKey};
use ledger::{DataKey, KeyId, KeyStore, RealDisk};
use query::EntryView;
use serde_json::Value;
use store::{Offline, Read};
use world::{Drift, Posture, World};

use crate::support::{self, Api, Setup, binary, now, served};

/// Runs a command of the program: exit code, and all that it said.
fn run(setup: &Setup, args: &[&str]) -> (i32, String) {
    let output = setup.command(args);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn fact(setup: &Setup, args: &[&str]) -> Value {
    let output = setup.command(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => all.extend(files(&entry.path())),
            kind if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    all
}

/// Where one of these words stands: in a file of the folder, or in a body that any key which is left opens.
fn traces(data: &Path, words: &[&str]) -> Vec<String> {
    let holds = |bytes: &[u8]| words.iter().any(|word| bytes.windows(word.len()).any(|part| part == word.as_bytes()));
    let in_files = files(data).into_iter().filter(|path| holds(&fs::read(path).unwrap()));
    let mut found: Vec<String> = in_files.map(|path| path.display().to_string()).collect();
    let offline = Offline::open(data).unwrap();
    for (key, _) in offline.index().scan(b"b/", None, usize::MAX).unwrap() {
        let id = BodyId::from_bytes(key[2..].try_into().unwrap());
        if let Some(body) = offline.body(&id).unwrap().filter(|body| holds(body)) {
            found.push(String::from_utf8_lossy(&body).into_owned());
        }
    }
    found
}

/// The records in which a word stands, as the command takes them.
fn found(setup: &Setup, word: &str) -> Vec<String> {
    let found = fact(setup, &["erase", "--find", word])["found"].clone();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    found.as_array().unwrap().iter().map(|one| format!("{}/{}", text(one, "type"), text(one, "id"))).collect()
}

/// Holds every erasure against the runs around it: none was under way.
fn erased_between_runs(api: &Api) {
    let (mut under_way, mut erased) = (BTreeSet::new(), 0);
    for entry in api.entries(0) {
        match entry.kind.as_str() {
            "intent" => drop(under_way.insert(entry.entry)),
            "run" => drop(under_way.remove(&entry.fact["intent"].as_u64().unwrap())),
            "erase" => {
                assert!(under_way.is_empty(), "#{} while {under_way:?} were under way", entry.entry);
                erased += 1;
            }
            _ => {}
        }
    }
    assert!(erased > 0);
}

/// Both verifiers on a package: neither finds anything wrong. What a scan collects has no schedule, and they say so.
fn verifies(package: &Path) {
    let report = verifier::verify(package, &verifier::Asked::default());
    let unscheduled = |problem: &verifier::Problem| {
        problem.kind == verifier::Kind::Incomplete && problem.what.starts_with("no schedule of")
    };
    assert!(report.problems.iter().all(unscheduled), "{:?}", report.problems);
    let python = Command::new("python3").arg(package.join("verify.py")).output().unwrap();
    let expected = if report.problems.is_empty() { 0 } else { 50 };
    assert_eq!(python.status.code(), Some(expected), "{}", String::from_utf8_lossy(&python.stdout));
}

#[test]
fn invariant_19_what_was_erased_is_nowhere_and_every_old_proof_still_holds() {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), Posture::Good));
    let setup = Setup::of_world(&server);
    let dir = setup.dir.path().to_owned();
    let setup = setup.with(&format!("guard_dir: {}\n", dir.join("guard").display()));
    setup.write();
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    // Wilma comes, deviates, and changes something that deviates; then she is gone, and asks to be forgotten.
    world.drift(Drift::AdministratorWithoutFactor, "admin").unwrap();
    let id = world.user_id("wilma").unwrap();
    world.drift(Drift::TlsOff, "wilma").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    world.undo(Drift::AdministratorWithoutFactor, "admin").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    let (data, copy, before, after) = (setup.data(), dir.join("copy"), dir.join("before"), dir.join("after"));
    let package = |out: &Path| {
        let out = out.to_str().unwrap();
        run(&setup, &["package", "--all", "--period", "2020-01-01..", "--out", out, "--for", "Audit firm"])
    };
    // Scans keep no schedule: a slot that passes between them lacks its outcome, and then the code is 3.
    assert!([0, 3].contains(&package(&before).0));
    let words = ["wilma", id.as_str()];
    assert!(!traces(&data, &words).is_empty());
    support::copy(&data, &copy);
    let proofs: Vec<String> = {
        let offline = Offline::open(&data).unwrap();
        (0..offline.head().unwrap().size).map(|number| offline.proof(number).unwrap().unwrap()).collect()
    };

    let found = found(&setup, "wilma");
    let types: Vec<&str> = found.iter().filter_map(|one| one.split('/').next()).collect();
    assert_eq!(types, ["keycloak.admin", "keycloak.user"], "{found:?}");
    let resources: Vec<&str> = found.iter().map(String::as_str).collect();
    let with = |more: &[&'static str]| [&["erase"], resources.as_slice(), more].concat();
    let (code, said) = run(&setup, &with(&["--dry-run"]));
    assert!(code == 0 && said.contains("would be destroyed") && said.contains("went to Audit firm"), "{said}");
    assert!(!said.contains("stays "), "something else speaks of her: {said}");
    assert!(!traces(&data, &words).is_empty());
    for (args, word) in [
        (with(&[]), "--because"),
        (with(&["--because", "request 17", "--by", "Privacy office"]), "--yes"),
        (with(&["--because", "wilma asked", "--by", "Privacy office", "--yes"]), "names whom it is about"),
        (vec!["erase", "keycloak.user/nobody", "--dry-run"], "was ever seen here"),
        (vec!["erase", "wilma", "--dry-run"], "TYPE/ID"),
    ] {
        let (code, said) = run(&setup, &args);
        assert!(code == 2 && said.contains(word), "{args:?}: {said}");
    }
    let done = fact(&setup, &with(&["--because", "request 17", "--by", "Privacy office", "--yes"]));
    assert_eq!(done["left"], serde_json::json!([]), "{done}");
    assert_eq!(traces(&data, &words), Vec::<String>::new());

    // What says so, and that all else stands.
    let entry = done["entries"][0].as_u64().unwrap();
    let (code, said) = setup.verify();
    assert!(code == 0 && said.contains("were erased, as entries say"), "{said}");
    let offline = Offline::open(&data).unwrap();
    for (number, proof) in (0..).zip(proofs) {
        let proof: ledger::TlogProof = proof.parse().unwrap();
        let keys = offline.reader().key_ring().unwrap().unwrap().0.at(entry);
        proof.verify(&offline.entry_bytes(number).unwrap().unwrap(), &keys).unwrap();
    }
    let (code, said) = run(&setup, &["list", "changes", "--limit", "1000"]);
    assert!(code == 0 && said.contains("ERASED") && said.contains("erased ("), "{said}");
    let (code, said) = run(&setup, &["show", &entry.to_string()]);
    assert!(code == 0 && said.contains("request 17") && said.contains("Privacy office"), "{said}");
    let (code, said) = run(&setup, &["replay"]);
    assert!(code != 2 && said.contains("cannot be compared"), "{code} {said}");
    verifies(&before);
    assert!([0, 3].contains(&package(&after).0));
    verifies(&after);
    let holds =
        |path: &PathBuf| words.iter().any(|word| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(word));
    assert!(files(&before).iter().any(holds) && !files(&after).iter().any(holds));
    assert!(fs::read_to_string(after.join("withheld.txt")).unwrap().contains(" erased\n"));
    let said = fs::read_to_string(after.join("csv/rows.csv")).unwrap();
    assert!(said.contains("withheld: erased"), "{said}");

    // The daemon goes on, and its pages say it.
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    assert!(daemon.page().contains("ERASED") || daemon.api().changes().iter().any(|change| change.what == "ERASED"));
    assert_eq!(daemon.stop().0, Some(0));

    // An older copy in its place is refused, and tells of nobody once a start was tried.
    assert!(!traces(&copy, &words).is_empty());
    fs::rename(&data, dir.join("newer")).unwrap();
    fs::rename(&copy, &data).unwrap();
    let (code, said) = run(&setup, &["scan"]);
    assert!(code == 2 && said.contains("is not as long as it was"), "{said}");
    assert_eq!(traces(&data, &words), Vec::<String>::new());
}

#[test]
fn a_running_daemon_erases_and_holds_when_it_is_asked_and_whoever_is_still_there_is_somebody_new() {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), Posture::Good));
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    world.drift(Drift::AdministratorWithoutFactor, "admin").unwrap();
    let deviates = |api: &Api| api.deviations().into_iter().find(|one| one.subject.contains("wilma"));
    let opened = daemon.wait("her deviation", deviates);
    let found = found(&setup, "wilma");
    let resources: Vec<&str> = found.iter().map(String::as_str).collect();
    let user: ResourceKey = {
        let (kind, id) =
            found.iter().find_map(|one| one.strip_prefix("keycloak.admin/").map(|id| ("keycloak.admin", id))).unwrap();
        ResourceKey { kind: kind.parse().unwrap(), id: id.to_owned() }
    };
    let pseudonym = || Offline::open(&setup.data()).unwrap().pseudonym(&user);
    let before = pseudonym().unwrap();
    let why = ["--because", "request 21", "--by", "Privacy office", "--yes"];
    let erase = || [&["erase"], resources.as_slice(), &why].concat();

    let two = ["--because", "case 7", "--asked-by", "Legal", "--approved-by", "Board"];
    let hold = fact(&setup, &[&["hold", resources[0]], two.as_slice()].concat())["entry"].as_u64().unwrap();
    let (code, said) = run(&setup, &erase());
    assert!(code == 2 && said.contains(&format!("nothing was erased: it is under the legal hold #{hold}")), "{said}");
    let (code, said) = run(&setup, &[&["hold", "keycloak.user/nobody"], two.as_slice()].concat());
    assert!(code == 2 && said.contains("was ever seen here"), "{said}");
    let released = fact(&setup, &[&["release", &hold.to_string()], two.as_slice()].concat());
    assert_eq!(released["hold"], hold);
    let done = fact(&setup, &erase());
    let entry = done["entries"][0].as_u64().unwrap();

    // At once, for everybody who asks the daemon; and what it collects from now on stands under another pseudonym.
    let entries: Vec<Value> = daemon.api().facts("erase");
    assert_eq!(entries.len(), done["entries"].as_array().unwrap().len(), "{entries:?}");
    let then = daemon.api().get::<EntryView>(&format!("entries/{}", opened.opened_by)).unwrap();
    assert_eq!(then.detail, None, "{then:?}");
    assert!(daemon.api().changes().iter().any(|change| change.entry == entry && change.what == "ERASED"));
    let again = daemon.wait("her new deviation", |api| deviates(api).filter(|one| one.opened_by != opened.opened_by));
    assert!(again.opened_by > entry, "{again:?}");
    let subject = format!("erased ({before})");
    daemon
        .wait("the end of her old one", |api| api.deviations().iter().all(|one| one.subject != subject).then_some(()));
    assert!(
        daemon.api().changes().iter().any(|change| change.subject.contains(&subject)),
        "{:?}",
        daemon.api().changes()
    );
    let after = pseudonym().unwrap();
    assert_ne!(after, before);
    daemon.wait_for_runs(1);
    erased_between_runs(daemon.api());
    daemon.kill();
    assert_eq!(Offline::open(&setup.data()).unwrap().resource(&before), None);

    // The socket that a killed daemon left behind keeps nobody from it; and the answer has the same form.
    let done_here = fact(&setup, &erase());
    let names = |fact: &Value| fact.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&done_here), names(&done));
    let (code, said) = setup.verify();
    assert_eq!(code, 0, "{said}");
    assert_eq!(pseudonym(), None);
}

#[test]
fn a_deviation_of_somebody_who_was_erased_ends_with_the_next_complete_run() {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), Posture::Good));
    let setup = Setup::of_world(&server);
    setup.write();
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    world.drift(Drift::AdministratorWithoutFactor, "admin").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    let found = found(&setup, "wilma");
    let open = || run(&setup, &["list", "deviations"]).1;
    assert!(open().contains("wilma"), "{}", open());
    let resources: Vec<&str> = found.iter().map(String::as_str).collect();
    let why = ["--because", "request 18", "--by", "Privacy office", "--yes"];
    let (code, said) = run(&setup, &[&["erase"], resources.as_slice(), &why].concat());
    assert_eq!(code, 0, "{said}");
    assert!(open().contains("erased (") && !open().contains("wilma"), "{}", open());
    world.undo(Drift::AdministratorWithoutFactor, "admin").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    assert!(!open().contains("erased ("), "{}", open());
    let output = Command::new(binary()).arg("verify").arg(setup.data()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_deviation_of_somebody_whose_key_is_lost_stays_open() {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), Posture::Good));
    let setup = Setup::of_world(&server);
    setup.write();
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    world.drift(Drift::AdministratorWithoutFactor, "admin").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    let open = || Offline::open(&setup.data()).unwrap().index().scan(b"d/", None, usize::MAX).unwrap();
    let before = open();
    assert!(before.iter().any(|(_, row)| String::from_utf8_lossy(row).contains("\"open\":true")), "{before:?}");
    // Nobody erased her: no entry says so, and what is left of her key tells nothing.
    let keys = setup.data().join("keys");
    let data_key = DataKey::parse(&fs::read_to_string(keys.join("data.key")).unwrap()).unwrap();
    let id = world.user_id("wilma").unwrap();
    let mut hers = Vec::new();
    let mut learn = |key: KeyId, label: Option<&[u8]>| {
        if label.is_some_and(|label| String::from_utf8_lossy(label).contains(&id)) {
            hers.push(key);
        }
    };
    let store = KeyStore::open(RealDisk::shared(), &keys.join("records"), &data_key, true, &mut learn).unwrap();
    assert_eq!(store.destroy(&hers).unwrap(), hers.len());
    drop(store);
    world.undo(Drift::AdministratorWithoutFactor, "admin").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    assert_eq!(open(), before, "it was not seen to end");
}

#[test]
fn invariant_20_a_legal_hold_stands_before_erasure_until_two_people_release_it() {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), Posture::Good));
    let setup = Setup::of_world(&server);
    setup.write();
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    let find = |word: &str| found(&setup, word).into_iter().find(|one| one.starts_with("keycloak.user/")).unwrap();
    world.drift(Drift::AdministratorWithoutFactor, "admin").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    let (wilma, ivan) = (find("wilma"), find("ivan"));
    let erase = |who: &str| run(&setup, &["erase", who, "--because", "request 19", "--by", "Privacy office", "--yes"]);
    let two = ["--asked-by", "Legal", "--approved-by", "Board"];
    for (args, word) in [
        (vec!["hold", &wilma, "--because", "case 7", "--asked-by", "Legal", "--approved-by", " legal"], "name two"),
        (vec!["hold", &wilma, "--because", "case 7", "--asked-by", "Legal"], "--approved-by"),
        ([&["hold", "keycloak.user/nobody", "--because", "case 7"], two.as_slice()].concat(), "was ever seen here"),
        ([&["hold", "--because", "case 7"], two.as_slice()].concat(), "<TYPE/ID>"),
        ([&["release", "0", "--because", "case 7"], two.as_slice()].concat(), "no hold that is in force"),
    ] {
        let (code, said) = run(&setup, &args);
        assert!(code == 2 && said.contains(word), "{args:?}: {said}");
    }
    let hold = |of: &str| {
        let done = fact(&setup, &[&["hold", of, "--because", "case 7"], two.as_slice()].concat());
        done["entry"].as_u64().unwrap().to_string()
    };
    let release = |hold: &str| fact(&setup, &[&["release", hold, "--because", "settled"], two.as_slice()].concat());
    let size = || Offline::open(&setup.data()).unwrap().head().unwrap().size;
    // One hold of her, one of everything: each forbids it alone, and she is what both were asked about.
    let (hers, all) = (hold(&wilma), hold("--all"));
    let before = size();
    for (ended, still) in [(None, format!("#{hers}, #{all}")), (Some(&all), format!("#{hers};"))] {
        ended.map(|ended: &String| release(ended));
        let (code, said) = erase(&wilma);
        assert!(code == 2 && said.contains(&still), "{said}");
    }
    // The pages on which both stand are hers too.
    let (code, said) = erase(&ivan);
    assert!(code == 2 && said.contains(&format!("legal hold #{hers}")), "{said}");
    let (_, said) = run(&setup, &["erase", &wilma, "--dry-run"]);
    assert!(said.contains("held") && said.contains(&format!("#{hers}")), "{said}");
    assert_eq!(size(), before + 1, "nothing but the release was recorded");
    // An index that is built again knows of it.
    fs::remove_dir_all(setup.data().join("index")).unwrap();
    assert_eq!(erase(&wilma).0, 2);
    release(&hers);
    assert_eq!(erase(&wilma).0, 0);
    let (_, said) = run(&setup, &["list", "changes"]);
    assert!(said.contains("HELD") && said.contains("RELEASED"), "{said}");
    let (code, said) = run(&setup, &["show", &hers]);
    assert!(code == 0 && said.contains("Board"), "{said}");
    let (code, said) = setup.verify();
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_expires_by_the_settings_is_missed_by_neither_the_present_nor_any_verifier() {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), Posture::Good));
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    // Wilma comes, deviates and goes: the present rests on neither her nor those answers. A deviation is open besides.
    world.drift(Drift::AdministratorWithoutFactor, "admin").unwrap();
    daemon.wait("a deviation", |api| (!api.deviations().is_empty()).then_some(()));
    let wilma = found(&setup, "wilma");
    world.undo(Drift::AdministratorWithoutFactor, "admin").unwrap();
    daemon.wait("its end", |api| api.deviations().is_empty().then_some(()));
    world.drift(Drift::TlsOff, "admin").unwrap();
    let opened = daemon.wait("another", |api| api.deviations().into_iter().next());
    daemon.wait_for_runs(2);
    assert_eq!(daemon.stop().0, Some(0));
    let (code, said) = run(&setup, &["retention"]);
    assert!(code == 0 && said.contains("for ever"), "{said}");

    let setup = setup.with("retention: {answers: 1s, records: 1s}\n");
    setup.write();
    let package = |name: &str| {
        let out = setup.dir.path().join(name);
        let args = ["--all", "--period", "2020-01-01..", "--out", out.to_str().unwrap(), "--for", "Audit firm"];
        let (code, said) = run(&setup, &[&["package"], args.as_slice()].concat());
        assert_eq!(code, 0, "{said}");
        out
    };
    let before = package("before");
    let (code, said) = run(&setup, &["retention", "--json"]);
    assert_eq!(code, 0, "{said}");
    let listed: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [answers, records] = listed.as_slice() else { panic!("{said}") };
    assert!(answers["due"].as_u64().unwrap() > 0 && answers["kept"][0]["for"] == "present", "{answers}");
    assert_eq!(answers["kept"][1]["for"], "open_deviation", "{answers}");
    assert!(records["due"].as_u64().unwrap() >= wilma.len() as u64, "{records}");
    let mut daemon = setup.start();
    let expired = daemon.wait("what expires", |api| {
        let expired = api.facts("erase");
        expired.iter().any(|fact| fact["expired"]["class"] == "records").then_some(expired)
    });
    assert_eq!((&expired[0]["expired"]["class"], &expired[0]["expired"]["after"]), (&"answers".into(), &"1s".into()));
    let looks = setup.data().join("looks");
    daemon.wait("the memory of both looks", |_| {
        let looks: Value = serde_json::from_slice(&fs::read(&looks).ok()?).ok()?;
        (looks["answers"]["after"] == "1s" && looks["records"]["after"] == "1s").then_some(())
    });
    assert!(expired[0].get("of").is_none() && !expired[0]["keys"].as_array().unwrap().is_empty(), "{expired:?}");
    assert!(daemon.api().changes().iter().any(|change| change.what == "EXPIRED"), "{:?}", daemon.api().changes());
    daemon.wait_for_runs(2);
    erased_between_runs(daemon.api());
    let still = daemon.api().deviations().into_iter().next().unwrap();
    assert_eq!((still.opened_by, still.is, still.who), (opened.opened_by, opened.is, opened.who));
    assert_eq!(daemon.stop().0, Some(0));

    let (code, said) = setup.verify();
    assert!(code == 0 && said.contains("were erased, as entries say"), "{said}");
    assert_eq!(found(&setup, "wilma"), Vec::<String>::new());
    assert_ne!(run(&setup, &["replay"]).0, 2, "nothing came out otherwise");
    verifies(&before);
    let after = package("after");
    verifies(&after);
    assert!(fs::read_to_string(after.join("withheld.txt")).unwrap().contains(" erased\n"));
}

#[test]
fn a_legal_hold_goes_on_in_the_ledger_that_continues_a_closed_one() {
    let (world, server) = served(World::with_posture(7, 20, now().millis(), Posture::Good));
    let setup = Setup::of_world(&server);
    setup.write();
    assert_eq!(run(&setup, &["scan", "--init"]).0, 0);
    world.drift(Drift::AdministratorWithoutFactor, "admin").unwrap();
    assert_eq!(run(&setup, &["scan"]).0, 0);
    let wilma = found(&setup, "wilma").into_iter().find(|one| one.starts_with("keycloak.user/")).unwrap();
    let why = ["--because", "case 7", "--asked-by", "Legal", "--approved-by", "Board"];
    assert_eq!(run(&setup, &[&["hold", &wilma], why.as_slice()].concat()).0, 0);
    let closed = fact(&setup, &["ledger", "close", "--because", "the volume was lost", "--yes"]);
    let hold = closed["holds"][0].as_u64().unwrap().to_string();
    let erase = || run(&setup, &["erase", &wilma, "--because", "request 20", "--by", "Privacy office", "--yes"]);
    let (code, said) = erase();
    assert!(code == 2 && said.contains(&format!("legal hold #{hold}")), "{said}");
    let (code, said) = run(&setup, &[&["release", &hold], why.as_slice()].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = erase();
    assert_eq!(code, 0, "{said}");
}
