//! The documents of `deploy/readers`, taken by those they are for: what they make reads everything, and may do nothing else.

use std::collections::BTreeSet;

use domain::Outcome;
use serde_json::Value;

use super::moto::Account;
use super::{Realm, verdicts};
use crate::deploy::path;
use crate::support::{Daemon, Setup};

const POLICY: &str = "deploy/readers/aws/iam-policy.json";
const TEMPLATE: &str = "deploy/readers/aws/cloudformation.yaml";
const IMPORT: &str = "deploy/readers/keycloak/reader.json";

fn file(name: &str) -> String {
    path(name).display().to_string()
}

/// The actions that a policy allows.
fn allowed(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// The actions that were asked for since last time, as they were answered: allowed, and refused.
fn asked(account: &Account) -> [BTreeSet<String>; 2] {
    let calls = account.play(&["calls"]);
    let answered = |refused: bool| {
        let calls = calls.as_array().unwrap().iter().filter(|call| (call["status"] == 403) == refused);
        let actions = calls.map(|call| call["action"].as_str().unwrap().to_owned());
        actions.filter(|action| !action.starts_with("sts:")).collect()
    };
    [answered(false), answered(true)]
}

/// One run of every collector, which reads all that there is.
fn all_is_read(setup: &Setup) -> Daemon<'_> {
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    for view in daemon.api().streams() {
        assert_eq!(view.last_run.unwrap().outcome, Outcome::Collected, "{}: {:?}", view.stream, view.gaps);
    }
    daemon
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_takes_the_iam_policy_as_it_stands_and_every_call_is_allowed_by_it() {
    let account = Account::seed("100000000013", "good", &[]);
    account.play(&["attach", &file(POLICY)]);
    let setup = account.watched();
    drop(all_is_read(&setup));
    let policy: Value = serde_json::from_str(&crate::deploy::text(POLICY)).unwrap();
    let [made, refused] = asked(&account);
    let mut allowed = allowed(&policy);
    // Who changed what is asked only where the settings say so, and moto knows nothing of it.
    assert!(allowed.remove("cloudtrail:LookupEvents"));
    assert_eq!(made, allowed, "no call without a permission, and no permission without a call");
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_the_role_of_the_cloudformation_template_reads_everything_and_is_for_one_caller_only() {
    let (hub, account) = (Account::seed("100000000014", "good", &[]), Account::seed("100000000015", "good", &[]));
    let caller = hub.caller();
    let parameters =
        [format!("TrustedPrincipal={caller}"), "ExternalId=acme-7f3a".into(), "RoleName=by-template".into()];
    let template = file(TEMPLATE);
    let stack: Vec<&str> =
        ["stack", template.as_str()].into_iter().chain(parameters.iter().map(String::as_str)).collect();
    let made = account.play(&stack);
    assert_eq!(made["status"], "CREATE_COMPLETE", "{made:#}");
    let role = made["outputs"]["RoleArn"].as_str().unwrap();
    assert_eq!(role, format!("arn:aws:iam::{}:role/by-template", account.number));
    let policies = made["policies"].as_object().unwrap();
    let mut granted: BTreeSet<String> = policies.values().flat_map(allowed).collect();

    hub.grant(&["sts:AssumeRole"]);
    let through = |external_id: &str| {
        let mut setup = hub.watched();
        let entry = format!("    - {{id: '{}', role_arn: '{role}', external_id: {external_id}}}\n", account.number);
        setup.sources = setup.sources.map(|sources| format!("{sources}    accounts:\n{entry}"));
        setup
    };
    let setup = through("acme-7f3a");
    drop(all_is_read(&setup));
    let [read, refused] = asked(&account);
    assert!(granted.remove("cloudtrail:LookupEvents"));
    assert_eq!(read, granted, "no call without a permission, and no permission without a call");
    assert!(refused.is_empty(), "{refused:?}");

    // Without the word that was agreed on, the role is for nobody, and that is a gap.
    let setup = through("guessed");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    for view in daemon.api().streams() {
        assert_eq!(view.last_run.unwrap().outcome, Outcome::Partial, "{}", view.stream);
        assert!(view.gaps.iter().any(|gap| gap.call == "sts:AssumeRole"), "{}: {:?}", view.stream, view.gaps);
    }
}

#[test]
#[ignore = "needs a real Keycloak: run by tests/all"]
fn party_keycloak_takes_the_partial_import_and_what_it_makes_reads_everything() {
    let mut realm = Realm::seed("imported", "good", 40);
    let made = realm.play(&["import", &file(IMPORT)]);
    assert_eq!(made["added"], 2, "a client, and its service account: {made:#}");
    realm.truth.reader = serde_json::from_value(made).unwrap();
    let setup = realm.watched();
    let daemon = all_is_read(&setup);
    let statuses = daemon.api().entries(0).into_iter().flat_map(|view| view.exchanges);
    assert!(statuses.map(|one| one.exchange.status).all(|status| status == Some(200)), "no call was refused");
    let import: Value = serde_json::from_str(&crate::deploy::text(IMPORT)).unwrap();
    let wanted = import["users"][0]["clientRoles"]["realm-management"].as_array().unwrap();
    let wanted: BTreeSet<&str> = wanted.iter().map(|role| role.as_str().unwrap()).collect();
    assert_eq!(realm.truth.reader.roles.iter().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
}
