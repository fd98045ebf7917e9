//! What the daemon says of itself: figures, log lines, and the dashboard that rests on them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use world::World;

use crate::support::{Setup, now, served};

/// A daemon's settings for fifty sources of three kinds, all of them the simulated organisation under other names.
pub(crate) fn fifty_sources(world: &World, server: &world::Server) -> Setup {
    let mut sources = String::new();
    let url = server.url();
    for (kind, count) in [("keycloak", 30), ("aws", 10), ("github", 10)] {
        sources.push_str(&format!("  {kind}:\n"));
        for number in 0..count {
            sources.push_str(&format!("  - name: unit-{number}\n    owner: its team\n"));
            sources.push_str(&match kind {
                "keycloak" => format!(
                    "    url: {url}\n    realm: {}\n    client_id: {}\n    client_secret: {{file: DIR/reader.secret}}\n",
                    world::REALM,
                    world::READER
                ),
                "aws" => format!(
                    "    endpoint_url: {url}\n    cloudtrail: true\n    access_key: {{id: {}, secret: {{file: DIR/aws.secret}}}}\n",
                    world::AWS_KEY_ID
                ),
                _ => format!(
                    "    url: {url}/api/v3\n    organisation: {}\n    token: {{file: DIR/github.token}}\n    approved: {}\n",
                    world::GITHUB_ORG,
                    world.github_approved()
                ),
            });
        }
    }
    let setup = Setup::of_sources(&sources, world::READER_SECRET).every("every: 12h");
    fs::write(setup.dir.path().join("aws.secret"), world::AWS_SECRET_KEY).unwrap();
    fs::write(setup.dir.path().join("github.token"), world::GITHUB_TOKEN).unwrap();
    setup
}

#[test]
fn fifty_sources_make_no_more_than_two_thousand_series_and_no_label_says_who() {
    let (world, server) = served(World::new(7, 12, now().millis()));
    let setup = fifty_sources(&world, &server).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait("a look at everything", |api| {
        let streams = api.streams();
        (streams.len() >= 170 && streams.iter().all(|view| view.last_run.is_some())).then_some(())
    });
    daemon.wait("what is told of it", |api| (!api.facts("delivery").is_empty()).then_some(()));
    let text = daemon.metrics().0;
    let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    println!("{series} series for 50 sources, {} streams", daemon.api().streams().len());
    assert!((200..=2000).contains(&series), "{series} series:\n{text}");
    let people = ["dora", "@", "arn:"];
    assert!(people.iter().all(|person| !text.contains(person)), "{text}");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn log_lines_are_json_where_no_terminal_reads_them_and_plain_where_the_settings_say_so() {
    let world = World::new(7, 12, now().millis());
    let server = world.serve(0).unwrap();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    let log = daemon.log();
    assert_eq!(daemon.stop().0, Some(0));
    for line in log.lines() {
        let said: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(said["timestamp"].is_string() && said["level"].is_string() && said["message"].is_string(), "{line}");
    }
    let plain = Setup::of_world(&server).with("log: {format: plain}\n");
    let mut daemon = plain.start();
    daemon.wait_for_runs(1);
    assert!(daemon.log().lines().all(|line| !line.starts_with('{')), "{}", daemon.log());
    assert_eq!(daemon.stop().0, Some(0));
}

/// The names of metrics in a text, without what a histogram adds to its own.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("evidenced_") && word.len() > "evidenced_".len());
    let bare = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()
    };
    ours.map(bare).collect()
}

/// Every file below `deploy` with one of these endings.
fn deployed(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let ends = path.extension().is_some_and(|end| endings.contains(&end.to_str().unwrap()));
            if path.is_dir() {
                folders.push(path);
            } else if ends {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn every_query_of_the_dashboard_and_of_the_rules_names_metrics_that_there_are() {
    let known: BTreeSet<String> = names_in(&evidenced::telemetry::every_metric().unwrap());
    assert!(known.contains("evidenced_runs_total") && known.contains("evidenced_run_duration_seconds"), "{known:?}");
    let mut asked = BTreeSet::new();
    for path in deployed(&["json"]) {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut queries = Vec::new();
        let mut open = vec![&dashboard];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    queries.extend(map.get("expr").and_then(Value::as_str));
                    open.extend(map.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        asked.extend(queries.into_iter().flat_map(names_in));
    }
    let dashboard = asked.len();
    assert!(dashboard >= 15, "the dashboard asks for {asked:?}");
    for path in deployed(&["yaml", "yml", "tpl"]) {
        let text = fs::read_to_string(&path).unwrap();
        asked.extend(text.lines().filter(|line| line.trim_start().starts_with("expr:")).flat_map(names_in));
    }
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "there is no {unknown:?}; there is {known:?}");
}
