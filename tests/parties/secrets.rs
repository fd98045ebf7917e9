//! No secret of the real server, and none of the reader's, is kept anywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::gate::Gate;
use super::{Realm, collect, verdicts};
use crate::support::{Daemon, Setup};

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_no_secret_that_passed_the_wire_is_kept_logged_or_served() {
    let realm = Realm::seed("canary", "mixed", 40);
    let gate = Gate::to(&realm.url);
    let setup = realm.watched_at(&gate.url());
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    // Changes whose recorded details hold a client's secret and a password's hash.
    realm.play(&["drift", "wildcard-return-address", "--as", "dora"]);
    realm.play(&["drift", "administrator-without-factor", "--as", "dora"]);
    // The reader's secret is refused, and another is taken: both are secrets.
    let rotated = realm.play(&["rotate-secret"])["reader_secret"].as_str().unwrap().to_owned();
    collect(&mut daemon);
    fs::write(setup.dir.path().join("reader.secret"), &rotated).unwrap();
    collect(&mut daemon);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));

    let passed = gate.passed();
    let mut secrets: BTreeSet<String> = passed.iter().flat_map(|way| tokens(way)).collect();
    assert!(secrets.len() >= 6, "a token for every run that was let in: {}", secrets.len());
    secrets.extend(realm.truth.canaries.iter().cloned());
    secrets.insert(rotated);
    for secret in &secrets {
        assert!(
            passed.iter().any(|way| way.contains(secret.as_str())),
            "{secret} never passed, so its absence is no news"
        );
    }

    let (places, bodies) = are_nowhere(&secrets, daemon, &setup);
    assert!(bodies > 100, "{bodies} bodies");
    println!("{} secrets, none of them in {places} places, {bodies} bodies among these", secrets.len());
}

/// Looks for the secrets wherever the daemon keeps, logs or serves something, and ends it. Gives the number of places,
/// and of bodies among them.
pub(super) fn are_nowhere(secrets: &BTreeSet<String>, daemon: Daemon<'_>, setup: &Setup) -> (usize, usize) {
    let mut kept: Vec<(String, String)> = vec![("the log".to_owned(), daemon.log())];
    for view in daemon.api().entries(0) {
        let rows = (0..view.rows.max(view.exchanges.len() as u64)).map_while(|row| {
            daemon.api().get::<serde_json::Value>(&format!("entries/{}/{row}", view.entry)).map(|row| row.to_string())
        });
        let rows: Vec<String> = rows.collect();
        kept.push((format!("row of #{}", view.entry), rows.join("\n")));
        kept.push((format!("entry #{}", view.entry), serde_json::to_string(&view).unwrap()));
    }
    for path in ["overview", "streams", "deviations", "changes?limit=200", "controls/iso27001-2022"] {
        let answer = daemon.api().get::<serde_json::Value>(path).unwrap();
        kept.push((format!("/api/v1/{path}"), answer.to_string()));
    }
    assert_eq!(daemon.stop().0, Some(0));
    // Bodies are packed and sealed, so that a search of the files alone would prove little.
    let keys = store::record_keys(&setup.data(), None).unwrap();
    let bodies = ledger::BodyReader::open(&setup.data().join("body")).with_keys(keys);
    let mut count = 0;
    for found in bodies.scan(Default::default()).unwrap() {
        let (_, location) = found.unwrap();
        kept.push((
            format!("body {location:?}"),
            String::from_utf8_lossy(&bodies.read(location).unwrap()).into_owned(),
        ));
        count += 1;
    }
    files(&setup.data(), &mut kept);
    for (place, text) in &kept {
        for secret in secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {place}");
        }
    }
    (kept.len(), count)
}

/// The tokens of answers, by their middle and last parts: what tells one from another, and what makes it valid.
fn tokens(way: &str) -> Vec<String> {
    let bearers = way.split("\"access_token\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    bearers.flat_map(|token| token.split('.').skip(1).map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn files(dir: &Path, kept: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), kept);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            kept.push((entry.path().display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}
