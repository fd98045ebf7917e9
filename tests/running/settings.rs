//! Settings and secrets that change while the daemon runs, as a cluster changes them: all at once, by exchanging a link.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use domain::Outcome;
use kit::http::Method;
use serde_json::Value;
use world::World;

use crate::support::{Api, Daemon, Setup, now, served};

/// A folder as the kubelet mounts a ConfigMap or Secret: names are links into `..data`, itself a link to a folder that
/// holds one version of all of them, and an update exchanges that one link
/// (<https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/volume/util/atomic_writer.go>).
struct Volume {
    dir: PathBuf,
    versions: u32,
}

impl Volume {
    fn at(setup: &Setup) -> Volume {
        Volume { dir: setup.dir.path().to_owned(), versions: 0 }
    }

    fn put(&mut self, files: &[(&str, &str)]) {
        self.versions += 1;
        let (before, now) = (format!("..{}", self.versions - 1), format!("..{}", self.versions));
        fs::create_dir(self.dir.join(&now)).unwrap();
        for (name, text) in files {
            fs::write(self.dir.join(&now).join(name), text).unwrap();
        }
        symlink(&now, self.dir.join("..data_tmp")).unwrap();
        fs::rename(self.dir.join("..data_tmp"), self.dir.join("..data")).unwrap();
        for (name, _) in files {
            let link = self.dir.join(name);
            if fs::symlink_metadata(&link).is_ok_and(|file| file.is_file()) {
                fs::remove_file(&link).unwrap();
            }
            if fs::symlink_metadata(&link).is_err() {
                symlink(format!("..data/{name}"), &link).unwrap();
            }
        }
        if self.versions > 1 {
            fs::remove_dir_all(self.dir.join(before)).unwrap();
        }
    }
}

fn metric(api: &Api, health: &str, name: &str) -> Option<f64> {
    let (_, text) = api.fetch(Method::GET, &format!("{health}/metrics"), "")?;
    Some(crate::support::Metrics(text).sum(name, &[]))
}

fn troubles(api: &Api) -> Vec<Value> {
    let overview: Option<Value> = api.get("overview");
    overview.and_then(|now| now["troubles"].as_array().cloned()).unwrap_or_default()
}

#[test]
fn a_config_map_that_is_exchanged_is_in_force_and_one_that_is_wrong_is_told_and_left_out() {
    let (world, server) = served(World::new(7, 12, now().millis()));
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url()));
    setup.write();
    let mut good = fs::read_to_string(setup.settings()).unwrap();
    let mut volume = Volume::at(&setup);
    volume.put(&[("evidenced.yaml", &good)]);
    let mut daemon = setup.start_as_written(&[]);
    let (page, health) = (daemon.page(), daemon.health());
    daemon.wait_for_runs(1);

    for every in ["every: 2s", "every: 1s"] {
        let before = if every == "every: 2s" { "every: 1s" } else { "every: 2s" };
        good = good.replace(before, every);
        volume.put(&[("evidenced.yaml", &good)]);
        daemon.wait("the new schedule", |api| (api.stream("realm")?.schedule?.expression? == every).then_some(()));
    }

    volume.put(&[("evidenced.yaml", &good.replace("every: 1s", "every: 1 fortnight"))]);
    let trouble = daemon.wait("the word of it", |api| troubles(api).pop());
    assert_eq!(trouble["in"], "settings");
    assert!(trouble["detail"].as_str().unwrap().contains("schedules.default"), "{trouble:#}");
    let (_, shown) = daemon.api().fetch(Method::GET, &format!("{page}/"), "").unwrap();
    assert!(shown.contains("The changed settings are not right"), "{shown}");
    assert_eq!(metric(daemon.api(), &health, "evidenced_config_last_reload_successful"), Some(0.0));
    let told = |kind: &str, what: &str| {
        let said = world.received();
        said.iter()
            .any(|one| one.json()["type"] == kind && one.json()["data"]["title"].as_str().unwrap().contains(what))
    };
    daemon.wait("the alert", |_| told("coverage.firing", "The changed settings are not right").then_some(()));
    daemon.wait_for_runs(1);

    volume.put(&[("evidenced.yaml", &good)]);
    daemon.wait("its end", |api| troubles(api).is_empty().then_some(()));
    daemon.wait("the resolve", |_| told("coverage.resolved", "The settings are right again").then_some(()));
    assert_eq!(metric(daemon.api(), &health, "evidenced_config_last_reload_successful"), Some(1.0));
    let words: Vec<_> = daemon.api().facts("trouble").iter().map(|fact| fact["amiss"].clone()).collect();
    assert_eq!(words, [true, false], "each is said once");
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn secrets_that_are_exchanged_count_from_then_on_without_a_restart() {
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let setup = Setup::of_world(&server);
    setup.write();
    let token = setup.dir.path().join("token");
    let with_token = fs::read_to_string(setup.settings()).unwrap().replacen(
        "web: {",
        &format!("web: {{token_file: {}, ", token.display()),
        1,
    );
    let mut volume = Volume::at(&setup);
    let mut put = |reader: &str, token: &str| {
        volume.put(&[("evidenced.yaml", &with_token), ("reader.secret", reader), ("token", token)]);
    };
    put("outdated", "first-token\n");
    let mut daemon = setup.start_as_written(&[]);
    let page = format!("{}/api/v1/overview", daemon.page());
    let failed = |api: &Api| api.stream("realm")?.last_run.filter(|run| run.outcome == Outcome::Failed).map(drop);
    daemon.wait("a run that may not sign in", failed);
    let admits = |api: &Api, token: &str| api.status_with(token, &page);
    let admitted = |daemon: &Daemon<'_>, token: &str| admits(daemon.api(), token) == Some(200);
    assert!(admitted(&daemon, "first-token") && !admitted(&daemon, "second-token"));

    put(world::READER_SECRET, "second-token\n");
    daemon.wait("a run that signs in", |api| api.stream("realm")?.last_collected.map(drop));
    daemon.wait("the new token", |api| (admits(api, "second-token") == Some(200)).then_some(()));
    assert!(!admitted(&daemon, "first-token"));

    put(world::READER_SECRET, "\n");
    daemon.wait("the word of it", |api| (!troubles(api).is_empty()).then_some(()));
    assert!(admitted(&daemon, "second-token"), "the last one counts as long as there is none");
    put(world::READER_SECRET, "third-token\n");
    daemon.wait("its end", |api| troubles(api).is_empty().then_some(()));
    assert!(admitted(&daemon, "third-token") && !admitted(&daemon, "second-token"));
    assert_eq!(daemon.stop().0, Some(0));
}
