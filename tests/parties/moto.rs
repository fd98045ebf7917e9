//! An AWS account whose faults are known, on moto under our wrapper: all of them are found and nothing else, what cannot
//! be read is said, a drift is told.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use domain::{GapReason, ObservationValue, Outcome};
use serde_json::{Value, json};

use super::gate::Gate;
use super::unread::{self, Before, Expected};
use super::{Checks, collect, needed, verdicts};
use crate::support::{Api, Daemon, Setup};

const REPORT_CHECKS: &[&str] = &[
    "aws.iam.access_key.in_use",
    "aws.iam.access_key.rotated",
    "aws.iam.root.not_used",
    "aws.iam.user.console_dormant",
    "aws.iam.user.console_mfa",
    "aws.iam.user.humans_federated",
];
const ACCESS_CHECKS: &[&str] = &[
    "aws.iam.admin_principals.limited",
    "aws.iam.policy.no_full_admin",
    "aws.iam.role.ci_trust_scoped",
    "aws.iam.role.trust_not_public",
    "aws.iam.role.vendor_external_id",
];
const DRIFT: &str = "aws.iam.admin_principals.limited";

/// An account on moto that a test has for itself.
pub(super) struct Account {
    url: String,
    pub(super) number: &'static str,
    truth: Truth,
}

/// What the seeding script says of the account it made.
#[derive(serde::Deserialize)]
struct Truth {
    checks: Checks,
    reader: Reader,
    counts: BTreeMap<String, u64>,
    canaries: Vec<String>,
}

/// Whom the daemon signs in as: a user with a key, or the role.
#[derive(serde::Deserialize)]
struct Reader {
    access_key_id: String,
    secret_access_key: String,
    arn: String,
    role_arn: String,
    external_id: String,
}

impl Account {
    /// Makes the account `number` anew.
    pub(super) fn seed(number: &'static str, posture: &str, more: &[&str]) -> Account {
        let url = needed("MOTO_URL");
        let made = script(&url, number, &[&["seed", "--posture", posture], more].concat(), None);
        Account { url, number, truth: serde_json::from_value(made).unwrap() }
    }

    /// Has the script do something to the account; gives what it says about it.
    pub(super) fn play(&self, what: &[&str]) -> Value {
        script(&self.url, self.number, what, None)
    }

    /// Lets the reader do these actions and nothing else.
    pub(super) fn grant(&self, actions: &[&str]) {
        let policy = json!({"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]});
        script(&self.url, self.number, &["grant", "-"], Some(&policy.to_string()));
    }

    /// ARN of the user that the daemon signs in as.
    pub(super) fn caller(&self) -> &str {
        &self.truth.reader.arn
    }

    /// From now on these faults are played: see tests/parties/moto_server.py.
    fn fault(&self, faults: &Value) {
        self.play(&["fault", &faults.to_string()]);
    }

    /// The actions that were asked for since last time, in order.
    fn calls(&self) -> Vec<String> {
        let calls = self.play(&["calls"]);
        calls.as_array().unwrap().iter().map(|call| call["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Settings of a daemon that watches the account, and collects at its start and then only when it is asked to.
    pub(super) fn watched(&self) -> Setup {
        self.watched_at(&self.url)
    }

    /// The same, with AWS at another address.
    fn watched_at(&self, url: &str) -> Setup {
        let Reader { access_key_id, secret_access_key, .. } = &self.truth.reader;
        let sources = format!(
            "  aws:\n  - name: acme\n    owner: cloud team\n    endpoint_url: {url}\n    \
             access_key: {{id: {access_key_id}, secret: {{file: DIR/reader.secret}}}}\n"
        );
        Setup::of_sources(&sources, secret_access_key).every("every: 12h")
    }

    /// How many resources deviate, over all checks.
    fn deviating(&self) -> usize {
        self.truth.checks.values().map(|verdicts| verdicts["deviates"].len()).sum()
    }
}

fn script(url: &str, account: &str, what: &[&str], input: Option<&str>) -> Value {
    let mut command = Command::new(needed("MOTO_PYTHON"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parties/aws_seed.py"));
    command.args(["--url", url, "--account", account]).args(what);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, input.unwrap_or_default().as_bytes()).unwrap();
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{what:?}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// What is said of the checks that the script knows the truth of; other checks may read the same account.
fn recorded(account: &Account, api: &Api) -> verdicts::Verdicts {
    let mut found = verdicts::recorded(api);
    found.retain(|check, _| account.truth.checks.contains_key(check));
    found
}

/// Watches the account for one run of every collector, and holds every verdict and every count against the truth.
fn all_is_found_and_nothing_else<'a>(account: &Account, setup: &'a Setup, title: &str) -> Daemon<'a> {
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    let api = daemon.api();
    let found = recorded(account, api);
    let title = format!("{title}, on moto under our wrapper");
    println!("{}", verdicts::table(&title, &account.truth.checks, &found));
    let wrong = verdicts::differences(&account.truth.checks, &verdicts::expected(&account.truth.checks), &found);
    assert!(wrong.is_empty(), "{title}: {wrong:#?}");
    let undetermined = found.values().flat_map(|of_check| of_check.values());
    assert_eq!(undetermined.filter(|value| **value == ObservationValue::Undetermined).count(), 0);
    for view in api.streams() {
        assert_eq!(view.last_run.unwrap().outcome, Outcome::Collected, "{}: {:?}", view.stream, view.gaps);
        assert!(view.checks.iter().all(|check| check.complete), "{}", view.stream);
    }
    let runs = api.facts("run");
    let populations = runs.iter().flat_map(|run| run["populations"].as_array().unwrap());
    let counted: BTreeMap<&str, u64> =
        populations.map(|one| (one["type"].as_str().unwrap(), one["count"].as_u64().unwrap())).collect();
    for (kind, count) in &account.truth.counts {
        assert_eq!(counted.get(kind.as_str()), Some(count), "{kind}: {counted:?}");
    }
    daemon
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_of_a_mixed_account_all_faults_are_found_and_nothing_else() {
    let account = Account::seed("100000000001", "mixed", &[]);
    assert!(account.deviating() > 20, "an account with faults");
    let setup = account.watched();
    let daemon = all_is_found_and_nothing_else(&account, &setup, "mixed posture");
    unread::ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_of_a_good_account_nothing_deviates_and_nothing_is_undetermined() {
    let account = Account::seed("100000000002", "good", &[]);
    assert_eq!(account.deviating(), 0, "an account without faults");
    let setup = account.watched();
    let daemon = all_is_found_and_nothing_else(&account, &setup, "good posture");
    assert_eq!(daemon.api().deviations().len(), 0, "of any check: {:#?}", daemon.api().deviations());
    let all = verdicts::recorded(daemon.api());
    let undetermined = |of_check: &BTreeMap<String, ObservationValue>| {
        of_check.values().any(|value| *value == ObservationValue::Undetermined)
    };
    assert!(!all.values().any(undetermined), "{all:#?}");
    unread::ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_of_a_bad_account_every_check_deviates() {
    let account = Account::seed("100000000003", "bad", &[]);
    assert!(account.truth.checks.values().all(|verdicts| !verdicts["deviates"].is_empty()), "with every fault");
    let setup = account.watched();
    let daemon = all_is_found_and_nothing_else(&account, &setup, "bad posture");
    unread::ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_of_500_users_all_are_read_in_fewer_than_20_calls() {
    let account = Account::seed("100000000004", "mixed", &["--users", "500"]);
    assert_eq!(account.truth.counts["aws.iam.user"], 500);
    let setup = account.watched();
    let daemon = all_is_found_and_nothing_else(&account, &setup, "mixed posture, 500 users");
    let calls = account.calls();
    println!("500 users in {} calls, signing in included: {}", calls.len(), calls.join(", "));
    assert!(calls.len() < 20);
    unread::ends_well(daemon, &setup);
}

/// Makes a fault, and holds that everything the checks `blind` rest on is unsaid, that the gap is named, and that all is
/// well once the fault is over.
fn during(number: &'static str, faults: &Value, blind: &[&str], gap: &Expected<'_>) {
    let account = Account::seed(number, "mixed", &[]);
    let (world, server) = unread::listener();
    let setup = account.watched().with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    let before = unread::first_look(&account.truth.checks, &mut daemon);
    let blind: BTreeSet<&str> = blind.iter().copied().collect();

    account.fault(faults);
    collect(&mut daemon);
    unread::nothing_is_claimed(&account.truth.checks, &daemon, &before, &blind, &[]);
    unread::the_gap_is_named(&mut daemon, &world, &blind, gap);

    account.fault(&json!([]));
    collect(&mut daemon);
    unread::all_is_well_again(&account.truth.checks, &mut daemon, &world, &before);
    unread::ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_without_the_credential_report_what_rests_on_it_is_undetermined() {
    let faults = json!([{"action": "iam:GetCredentialReport", "kind": "deny"}]);
    let gap = Expected { reason: GapReason::Denied, permission: Some("iam:GetCredentialReport") };
    during("100000000005", &faults, REPORT_CHECKS, &gap);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_while_every_call_of_a_kind_is_throttled_what_rests_on_it_is_undetermined() {
    let faults = json!([{"action": "iam:GetAccountAuthorizationDetails", "kind": "throttle"}]);
    let gap = Expected { reason: GapReason::Throttled, permission: None };
    during("100000000006", &faults, ACCESS_CHECKS, &gap);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_while_it_is_down_everything_is_undetermined() {
    // Of a good account, where nothing but the outage stands against conforming.
    let account = Account::seed("100000000007", "good", &[]);
    let (world, server) = unread::listener();
    let mut gate = Gate::to(&account.url);
    let setup = account.watched_at(&gate.url()).with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    let before: Before = unread::first_look(&account.truth.checks, &mut daemon);
    let all: BTreeSet<&str> = account.truth.checks.keys().map(String::as_str).collect();

    gate.close();
    collect(&mut daemon);
    unread::nothing_is_claimed(&account.truth.checks, &daemon, &before, &all, &[]);
    let gap = Expected { reason: GapReason::Unreachable, permission: None };
    unread::the_gap_is_named(&mut daemon, &world, &all, &gap);

    gate.open();
    collect(&mut daemon);
    unread::all_is_well_again(&account.truth.checks, &mut daemon, &world, &before);
    unread::ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_throttled_every_fifth_call_all_is_read_with_its_tries_recorded() {
    let account = Account::seed("100000000008", "mixed", &[]);
    account.fault(&json!([{"action": "*", "kind": "throttle", "every": 5}]));
    let setup = account.watched();
    let daemon = all_is_found_and_nothing_else(&account, &setup, "mixed posture, every fifth call throttled");
    let runs = daemon.api().entries(0).into_iter().filter(|view| view.kind == "run");
    let made: Vec<_> = runs.flat_map(|run| run.exchanges.into_iter().map(|one| one.exchange)).collect();
    let again: Vec<_> = made.iter().filter(|exchange| !exchange.tries.is_empty()).collect();
    println!("{} exchanges, {} of them after a refusal: {:?}", made.len(), again.len(), again[0].tries);
    assert!(!again.is_empty(), "a call that was throttled was made again, and both are in the ledger");
    unread::ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_a_policy_attached_is_seen_at_the_next_slot_told_once_and_resolved_when_it_is_detached() {
    let account = Account::seed("100000000009", "good", &[]);
    let (world, server) = unread::listener();
    let setup = account.watched().every("every: 3s").with_webhook(&format!("{}/hook", server.url()));
    let mut daemon = setup.start();
    daemon.wait_for_runs(2);
    assert_eq!(daemon.api().deviations().len(), 0);

    let played = account.play(&["drift", "admin-attached"]);
    let alert = daemon.wait("the deviation", |api| api.deviation(DRIFT));
    let names = |seen: &Option<query::Seen>| seen.as_ref().unwrap().values["admin_principal_arns"].clone();
    let added = played["principal"].clone();
    assert!(!names(&alert.was).as_array().unwrap().contains(&added), "{alert:#?}");
    assert!(names(&alert.is).as_array().unwrap().contains(&added), "{alert:#?}");
    assert_eq!(alert.subject, account.number);
    assert!(!alert.baseline);
    super::together::seen_at_the_next_slot(daemon.api(), "aws:acme/access", alert.opened_by, &played);
    daemon.wait("the webhook", |_| (unread::received(&world, "deviation.firing").len() == 1).then_some(()));

    account.play(&["undo", "admin-attached"]);
    daemon.wait("the resolve", |api| api.deviation(DRIFT).is_none().then_some(()));
    daemon.wait("the webhook", |_| (unread::received(&world, "deviation.resolved").len() == 1).then_some(()));
    for kind in ["deviation.firing", "deviation.resolved"] {
        let told = unread::received(&world, kind);
        assert_eq!(told.len(), 1, "told once: {told:#?}");
        println!("{}", told[0]["text"].as_str().unwrap());
    }
    assert_eq!(verdicts::steps(daemon.api()), [format!("{DRIFT} opened"), format!("{DRIFT} resolved")]);
    unread::ends_well(daemon, &setup);
}

/// What `evidenced permissions aws` prints: by call, the permissions it needs.
fn declared(setup: &Setup) -> BTreeMap<String, BTreeSet<String>> {
    let printed = setup.command(&["--json", "permissions", "aws"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in printed["permissions"].as_array().unwrap() {
        for call in one["calls"].as_object().unwrap().keys() {
            calls.entry(call.clone()).or_default().insert(one["permission"].as_str().unwrap().to_owned());
        }
    }
    calls
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_the_permissions_printed_are_those_of_the_calls_made_and_enough() {
    let account = Account::seed("100000000010", "mixed", &[]);
    let setup = account.watched();
    setup.write();
    let declared = declared(&setup);
    // Signing in through a role, and asking who changed what, are for settings that this account does not have.
    let optional = ["sts:AssumeRole", "cloudtrail:LookupEvents"];
    let wanted: BTreeSet<&String> =
        declared.iter().filter(|(call, _)| !optional.contains(&call.as_str())).flat_map(|(_, all)| all).collect();
    // The reader gets what is printed and nothing else; what is not granted is denied.
    let policy =
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": wanted, "Resource": "*"}]});
    script(&account.url, account.number, &["grant", "-"], Some(&policy.to_string()));
    let daemon = all_is_found_and_nothing_else(&account, &setup, "mixed posture, with the permissions printed");
    let made: BTreeSet<String> = account.calls().into_iter().collect();
    println!("printed {wanted:?}\nmade    {made:?}");
    let made: BTreeSet<&String> = made.iter().filter(|call| *call != "sts:GetCallerIdentity").collect();
    assert_eq!(made, wanted, "an action of AWS is the permission to ask for it");
    unread::ends_well(daemon, &setup);
}

#[test]
#[ignore = "needs moto: run by tests/all"]
fn party_moto_accounts_are_read_through_a_role_each_and_one_that_cannot_be_reached_is_listed() {
    let hub = Account::seed("444455556666", "good", &[]);
    let gate = Gate::to(&hub.url);
    hub.grant(&["sts:AssumeRole"]);
    let (open, closed) = (Account::seed("100000000011", "mixed", &[]), Account::seed("100000000012", "mixed", &[]));
    let role = |account: &Account, external_id: &str| {
        format!(
            "    - {{id: '{}', role_arn: '{}', external_id: {external_id}}}\n",
            account.number, account.truth.reader.role_arn
        )
    };
    let mut setup = hub.watched_at(&gate.url());
    let (open_role, closed_role) = (role(&open, &open.truth.reader.external_id), role(&closed, "not-agreed"));
    setup.sources = setup.sources.map(|sources| format!("{sources}    accounts:\n{open_role}{closed_role}"));
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("judgements", |api| verdicts::all_judged(api).then_some(()));
    let found = recorded(&open, daemon.api());
    // What is said of the account that can be reached is all true; of the other, nothing is.
    for (check, wanted) in verdicts::expected(&open.truth.checks) {
        for (id, value) in wanted {
            assert_eq!(found[&check].get(&id), Some(&value), "{check} of {id}");
        }
    }
    let of_closed: Vec<ObservationValue> = found.values().filter_map(|all| all.get(closed.number)).copied().collect();
    assert!(!of_closed.is_empty(), "the account is listed");
    assert!(of_closed.iter().all(|value| *value == ObservationValue::Undetermined), "{of_closed:?}");
    for view in daemon.api().streams() {
        assert_eq!(view.last_run.unwrap().outcome, Outcome::Partial, "{}", view.stream);
        let named = view.gaps.iter().any(|gap| gap.reason == GapReason::Denied && gap.call == "sts:AssumeRole");
        assert!(named, "{}: {:#?}", view.stream, view.gaps);
    }
    // The role's keys came over the wire, three times of one run each.
    let within = |way: &str, tag: &str| -> Vec<String> {
        way.split(&format!("<{tag}>")).skip(1).filter_map(|rest| rest.split('<').next()).map(str::to_owned).collect()
    };
    let tags = ["SecretAccessKey", "SessionToken"];
    let passed = gate.passed();
    let mut secrets: BTreeSet<String> =
        passed.iter().flat_map(|way| tags.iter().flat_map(|tag| within(way, tag))).collect();
    assert_eq!(secrets.len(), 6, "a key and a token for each of three runs");
    secrets.extend([&hub, &open, &closed].iter().flat_map(|account| account.truth.canaries.iter().cloned()));
    let (places, bodies) = super::secrets::are_nowhere(&secrets, daemon, &setup);
    println!("{} secrets, none of them in {places} places, {bodies} bodies among these", secrets.len());
    let (exit, said) = setup.verify();
    assert_eq!(exit, 0, "{said}");
}
