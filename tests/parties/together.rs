//! One drift, from the real server to the real Alertmanager.

use domain::Timestamp;
use query::EntryView;
use serde_json::{Value, json};
use world::World;

use super::alertmanager::Manager;
use super::{Realm, verdicts};
use crate::support::{Api, now, served};

const CHECK: &str = "keycloak.realm.brute_force";

#[test]
#[ignore = "needs a real Keycloak and a real Alertmanager: run by tests/all"]
fn party_keycloak_and_alertmanager_a_drift_is_seen_at_the_next_slot_told_once_and_resolved_when_undone() {
    let manager = Manager::listen();
    let realm = Realm::seed("story", "mixed", 40);
    let (hook, server) = served(World::new(1, 12, now().millis()));
    let secret = "whsec_dGVzdHMgb25seTogbm90IGEgc2VjcmV0IGF0IGFsbA==";
    let setup = realm.watched().every("every: 3s");
    let file = setup.dir.path().join("hook.secret");
    std::fs::write(&file, secret).unwrap();
    let url = format!("{}/hook", server.url());
    let setup = setup.with(&format!(
        "alerts:\n  receivers:\n{}  - name: hook\n    webhook: {{url: '{url}', secret: {{file: {}}}, allow_private: true}}\n",
        manager.settings(),
        file.display()
    ));
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    assert_eq!(daemon.api().deviations().len(), realm.deviating());

    let played = realm.play(&["drift", "brute-force-off", "--as", "dora"]);
    let alert = daemon.wait("the deviation", |api| api.deviation(CHECK));
    assert_eq!(alert.was.as_ref().unwrap().values["brute_force"], json!(true));
    assert_eq!(alert.is.as_ref().unwrap().values["brute_force"], json!(false));
    let who = alert.who.as_ref().unwrap();
    assert_eq!((who.name.as_str(), who.from.as_deref()), ("dora (realm story)", Some("127.0.0.1")));
    assert_eq!(alert.subject, "story");
    assert!(!alert.baseline);
    seen_at_the_next_slot(daemon.api(), "keycloak:acme/realm", alert.opened_by, &played);
    manager.wait_told(&mut daemon, &alert.key, &["firing"]);
    let held = manager.holds(&alert.key).unwrap();
    println!("{held:#}");
    assert_eq!(held["status"]["state"], "active");
    daemon.wait("the webhook", |_| (told(&hook) == ["deviation.firing"]).then_some(()));

    realm.play(&["undo", "brute-force-off", "--as", "dora"]);
    daemon.wait("the resolve", |api| api.deviation(CHECK).is_none().then_some(()));
    manager.wait_told(&mut daemon, &alert.key, &["firing", "resolved"]);
    daemon.wait("its end", |_| manager.holds(&alert.key).is_none().then_some(()));
    daemon.wait("the webhook", |_| (told(&hook) == ["deviation.firing", "deviation.resolved"]).then_some(()));
    for message in messages(&hook) {
        println!("{}", message["data"]["text"].as_str().unwrap());
    }

    let of_check = |step: &String| step.starts_with(CHECK);
    let steps: Vec<String> = verdicts::steps(daemon.api()).into_iter().filter(of_check).collect();
    assert_eq!(steps, [format!("{CHECK} opened"), format!("{CHECK} resolved")], "both in the ledger, each once");
    let deliveries = daemon.wait("every delivery", |api| {
        // The two receivers' firing and resolved, and the webhook's baseline of each of the three streams.
        Some(api.facts("delivery")).filter(|all| all.len() >= 7)
    });
    let count = |receiver: &str, tells: &str| {
        deliveries.iter().filter(|fact| fact["receiver"] == receiver && fact["tells"] == tells).count()
    };
    for receiver in ["manager", "hook"] {
        assert_eq!((count(receiver, "firing"), count(receiver, "resolved")), (1, 1), "{receiver}: {deliveries:#?}");
    }
    assert_eq!(daemon.stop().0, Some(0));
    let (exit, said) = setup.verify();
    println!("{said}");
    assert_eq!(exit, 0, "{said}");
}

/// The run that saw it is the first of its stream that was due after the change was made.
pub(super) fn seen_at_the_next_slot(api: &Api, stream: &str, opened_by: u64, played: &Value) {
    let entries = api.entries(0);
    let opened = &entries[usize::try_from(opened_by).unwrap()];
    let observation = opened.fact["is"].as_str().unwrap().split('/').next().unwrap().trim_start_matches('#').to_owned();
    let run = entries[observation.parse::<usize>().unwrap()].fact["run"].as_u64().unwrap();
    let slot = |view: &EntryView| -> Timestamp {
        view.fact["trigger"]["slot"].as_str().unwrap_or_else(|| panic!("{:#}", view.fact)).parse().unwrap()
    };
    let changed = Timestamp::from_millis(played["between"][1].as_i64().unwrap());
    let of_stream = entries.iter().filter(|view| view.kind == "run" && view.fact["stream"] == stream);
    let next = of_stream.filter(|view| view.fact["trigger"]["slot"].is_string()).find(|view| slot(view) >= changed);
    // A run whose slot came before the change may still have started after it: then it is even earlier than the next.
    assert!(run <= next.map_or(run, |next| next.entry), "seen by #{run}, the next slot's run is {next:?}");
}

/// What the webhook was told of drifts, by type, each message once.
fn told(hook: &World) -> Vec<String> {
    messages(hook).iter().map(|message| message["type"].as_str().unwrap().to_owned()).collect()
}

fn messages(hook: &World) -> Vec<Value> {
    let messages = hook.received().into_iter().map(|message| message.json());
    messages.filter(|message| message["type"].as_str().unwrap().starts_with("deviation.")).collect()
}
