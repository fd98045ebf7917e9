//! What the join promises, through its public door.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::{CollectionRun, Duration, Field, GapReason, Outcome, Resource, Timestamp};
use kit::testing::{Harness, MemoryEvidence, check_kind};
use kit::{AnySource, Recorded};
use serde_json::{Value, json};

use super::*;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn config() -> Config {
    Config {
        name: "acme".to_owned(),
        owner: "identity team".to_owned(),
        schedules: None,
        runbook: None,
        identities: vec!["keycloak:acme".parse().unwrap()],
        accounts: vec!["github:acme".parse().unwrap(), "aws:prod".parse().unwrap()],
        mapping: Some(PathBuf::from("fixtures/accounts.yaml")),
        max_age: None,
    }
}

/// Tests of a crate run in its folder, so that the path of the mapping file in the evidence is the same everywhere.
fn evidence() -> MemoryEvidence {
    MemoryEvidence::read(format!("{HERE}/fixtures"))
}

async fn joined(evidence: MemoryEvidence, config: Config) -> CollectionRun {
    Harness::of_evidence(evidence, move || Box::new(config.clone())).run("holders").await
}

/// The fields of every resource of a run, by name.
fn by_name(run: &CollectionRun) -> BTreeMap<String, BTreeMap<String, Field>> {
    run.populations.iter().flat_map(|p| p.resources()).map(|r| (r.name, r.fields)).collect()
}

/// What is said of an account: the identity and whether it is active, whether it is a service, and by what.
fn said(fields: &BTreeMap<String, Field>) -> Result<Value, (GapReason, String)> {
    let mut all = Vec::new();
    for name in ["idp_account_id", "idp_active", "is_bot", "matched_by"] {
        match &fields[name] {
            Field::Read(value) => all.push(value.clone()),
            Field::Unread(reason, why) => return Err((*reason, why.clone())),
        }
    }
    Ok(Value::Array(all))
}

#[test]
fn what_it_says_of_itself_holds_together() {
    check_kind(&kit::Kind::of::<Config>());
}

#[tokio::test]
async fn a_good_day_says_of_every_account_whose_it_is_or_why_that_is_not_known() {
    let harness = Harness::of_evidence(evidence(), || Box::new(config()));
    harness.good_day("holders", format!("{HERE}/expected/holders.json")).await;
}

#[tokio::test]
async fn whatever_is_wrong_with_either_side_there_is_a_gap_and_no_word_from_nowhere() {
    Harness::of_evidence(evidence(), || Box::new(config())).bad_evidence("holders").await;
}

#[tokio::test]
async fn an_account_is_linked_by_a_verified_address_or_the_mapping_file_and_never_by_a_guess() {
    let run = joined(evidence(), config()).await;
    let found = by_name(&run);
    let known = |name: &str| said(&found[name]).unwrap();
    assert_eq!(
        known("octo-mona"),
        json!(["keycloak:acme/u-1", true, false, "verified address"]),
        "spaces and capitals"
    );
    assert_eq!(known("leo-codes"), json!(["keycloak:acme/u-2", false, false, "verified address"]), "disabled");
    assert_eq!(known("stranger"), json!([null, null, false, "nothing"]));
    assert_eq!(known("Acme-Build"), json!([null, null, true, "mapping file"]), "names are not told apart by case");
    assert_eq!(known("vera-too"), json!(["keycloak:acme/u-3", true, false, "mapping file"]), "a person has said so");
    assert_eq!(known("forgotten"), json!([null, null, false, "nothing"]), "mapped to an address that nobody has");
    assert_eq!(
        known("olga-o"),
        json!(["keycloak:acme/u-7", true, false, "verified address"]),
        "a claim changes nothing"
    );
    for (name, why) in [
        ("vera-v", "an identity has this address, and it is not verified"),
        ("the-team", "more than one identity has this address"),
        ("silent", "no address is known of it, and no line of the mapping file names it"),
    ] {
        assert_eq!(said(&found[name]), Err((GapReason::Unmatched, why.to_owned())), "{name}");
    }
    assert_eq!(said(&found["hidden"]).unwrap_err().0, GapReason::Denied, "the reason it was not read for");
    assert_eq!(said(&found["unasked"]).unwrap_err().0, GapReason::Unmatched, "no gap at the source, and one here");
    assert_eq!(run.outcome, Outcome::Partial);
}

#[tokio::test]
async fn a_cloud_user_signs_in_by_console_or_key_and_without_either_that_is_known_only_if_both_were_read() {
    let run = joined(evidence(), config()).await;
    let found = by_name(&run);
    let signs_in = |name: &str| found[name]["can_sign_in"].clone();
    assert_eq!(signs_in("mona"), Field::Read(json!(true)), "by the console");
    assert_eq!(signs_in("leo"), Field::Read(json!(true)), "by a key");
    assert_eq!(signs_in("old"), Field::Read(json!(false)));
    assert!(matches!(signs_in("dim"), Field::Unread(GapReason::Malformed, _)), "{:?}", signs_in("dim"));
    assert_eq!(said(&found["deploy"]).unwrap(), json!([null, null, true, "mapping file"]), "by its id");
    assert_eq!(said(&found["old"]).unwrap(), json!([null, null, false, "nothing, and it cannot sign in"]));
}

#[tokio::test]
async fn when_identities_were_not_read_whole_accounts_are_there_and_nothing_is_said_of_whose_they_are() {
    let denied = evidence().wrong(&"keycloak.user".parse().unwrap(), kit::testing::Wrong::Incomplete);
    let run = joined(denied, config()).await;
    let why = "keycloak:acme/people did not read it completely";
    for (name, fields) in by_name(&run) {
        assert_eq!(said(&fields), Err((GapReason::Denied, why.to_owned())), "{name}");
    }
    assert!(run.populations.iter().all(|p| p.complete && !p.is_empty()), "every account is still there");
}

#[tokio::test]
async fn when_accounts_were_not_read_whole_the_population_is_not_complete_and_the_other_one_is() {
    let denied = evidence().wrong(&"github.member".parse().unwrap(), kit::testing::Wrong::Incomplete);
    let run = joined(denied, config()).await;
    let complete: Vec<(&str, bool, usize)> =
        run.populations.iter().map(|p| (p.kind.as_str(), p.complete, p.len())).collect();
    assert_eq!(complete, [("x.cloud_user", true, 5), ("x.code_host_account", false, 0)]);
}

#[tokio::test]
async fn the_exchanges_name_the_entries_that_both_sides_were_read_from() {
    let run = joined(evidence(), config()).await;
    let urls: Vec<&str> = run.exchanges.iter().map(|e| e.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "file:fixtures/accounts.yaml",
            "evidence:keycloak:acme/people#166",
            "evidence:github:acme/people#171",
            "evidence:aws:prod/access#175",
            "evidence:aws:prod/credentials#174",
        ]
    );
    let mona = run.populations.iter().flat_map(|p| p.resources()).find(|r| r.name == "octo-mona").unwrap();
    assert_eq!(mona.exchanges, [0, 1, 2]);
}

/// Somebody new, in a population of members that began at `began`.
fn members(run: u64, began: &str, who: &[(&str, &str)]) -> (Recorded, Vec<Resource>) {
    let started: Timestamp = began.parse().unwrap();
    let resource = |(id, email): &(&str, &str)| Resource {
        key: domain::ResourceKey { kind: "github.member".parse().unwrap(), id: (*id).to_owned() },
        name: (*id).to_owned(),
        fields: [("email".to_owned(), Field::Read(json!(email)))].into(),
        exchanges: vec![7],
    };
    let recorded = Recorded {
        stream: "github:acme/people".parse().unwrap(),
        run,
        collector_version: 1,
        started,
        ended: started.plus(Duration::from_secs(5)),
        kind: "github.member".parse().unwrap(),
        count: who.len() as u64,
        incomplete: None,
        manifest: None,
    };
    (recorded, who.iter().map(resource).collect())
}

#[tokio::test]
async fn somebody_who_joined_after_the_identities_were_read_is_not_taken_for_a_stranger() {
    // Identities were read at 11:07; the later reading of members waits for the next reading of identities.
    let (later, people) = members(180, "2026-11-22T11:20:00Z", &[("new", "new@acme.example")]);
    let run = joined(evidence().with(later.clone(), people.clone()), config()).await;
    assert!(!by_name(&run).contains_key("new") && by_name(&run).contains_key("octo-mona"));
    assert!(run.exchanges.iter().any(|e| e.url.ends_with("people#180")), "that there is a later one is on record");

    // With nothing read before, nothing is said at all.
    let kind = "github.member".parse().unwrap();
    let only = evidence().wrong(&kind, kit::testing::Wrong::Never).with(later, people);
    let run = joined(only, config()).await;
    let gap = run.gaps.iter().find(|gap| gap.types == ["x.code_host_account".parse().unwrap()]).unwrap();
    assert_eq!(gap.reason, GapReason::NoEvidence);
    assert!(gap.detail.contains("read only after the identities"), "{gap:?}");
}

#[tokio::test]
async fn evidence_older_than_it_may_be_says_nothing() {
    let hour_old = Config { max_age: Some(Duration::from_secs(30 * 60)), ..config() };
    let run = joined(evidence(), hour_old).await;
    assert_eq!(run.outcome, Outcome::Failed);
    assert!(run.gaps.iter().all(|gap| gap.reason == GapReason::NoEvidence), "{:#?}", run.gaps);
}

/// The join with a mapping file of this text.
async fn with_mapping(text: &str) -> (tempfile::TempDir, CollectionRun) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts.yaml");
    std::fs::write(&path, text).unwrap();
    (dir, joined(evidence(), Config { mapping: Some(path), ..config() }).await)
}

#[tokio::test]
async fn a_bad_line_of_the_mapping_file_is_told_with_its_place_and_a_remedy_and_makes_nobody_deviate() {
    for (line, column, text, told) in [
        (2, 12, "- account: github:acne/zoe\n  identity: a@b.example", "did you mean github:acme?"),
        (2, 12, "- account: zoe\n  identity: a@b.example", "write source and account: github:acme/octocat"),
        (3, 13, "- account: github:acme/zoe\n  identity: zoe", "write the address that the identity has"),
        (3, 12, "- account: github:acme/zoe\n  service: true\n  owner: me", "write owner: and reason:"),
        (3, 12, "- account: github:acme/zoe\n  service: false", "write identity: with an address instead"),
        (2, 12, "- account: github:acme/zoe", "write {account:"),
        (4, 12, "- account: github:acme/zoe\n  identity: a@b.example\n  service: true", "keep one of them"),
        (3, 3, "- account: github:acme/zoe\n  identiy: a@b.example", "write {account:"),
    ] {
        let (dir, run) = with_mapping(&format!("# a comment\n{text}\n")).await;
        let gap =
            run.gaps.iter().find(|gap| gap.call == MAPPING.name).unwrap_or_else(|| panic!("{text}: {:#?}", run.gaps));
        assert_eq!(gap.reason, GapReason::Malformed, "{text}");
        assert!(gap.detail.contains(&format!("accounts.yaml:{line}:{column}: ")), "{text}: {}", gap.detail);
        assert!(gap.detail.contains(told), "{text}: {}", gap.detail);
        assert!(!gap.detail.contains("zoe") && !gap.detail.contains("a@b"), "a gap names nobody: {}", gap.detail);
        assert!(by_name(&run).values().all(|fields| said(fields).is_err()), "{text}");
        let config = Config { mapping: Some(dir.path().join("accounts.yaml")), ..config() };
        let told_before = AnySource::file_problems(&config);
        assert!(told_before.iter().any(|problem| gap.detail.contains(problem)), "{told_before:?}, then {}", gap.detail);
    }
    let (_dir, run) = with_mapping("- {account: github:acme/A, identity: a@b.example}\n- {account: github:acme/a, service: true, owner: x, reason: y}\n").await;
    assert!(run.gaps[0].detail.contains("accounts.yaml:2:13: this account has a line already"), "{:#?}", run.gaps);
}

#[test]
fn a_mapping_file_has_as_many_lines_as_a_source_may_have_accounts_and_one_more_is_told() {
    let line = |n: usize| format!("- {{account: 'github:acme/bot-{n}', identity: b@acme.example}}\n");
    let accounts = ["github:acme".parse().unwrap()];
    let mut text: String = (0..mapping::MOST_LINES).map(line).collect();
    let mapping = Mapping::read(&text, &accounts).unwrap();
    let last = mapping.of(&accounts[0], "id", "BOT-99999");
    assert_eq!(last, Some(&mapping::Word::Identity("b@acme.example".to_owned())));
    text.push_str(&line(mapping::MOST_LINES));
    let told: Vec<String> = Mapping::read(&text, &accounts).unwrap_err().iter().map(ToString::to_string).collect();
    let remedy = "leave out those that a verified address links";
    assert_eq!(told, [format!("100001:13: more than 100000 accounts stand in the file; {remedy}")]);
}

#[test]
fn a_user_whose_name_was_recorded_as_empty_has_keys_that_cannot_be_told() {
    let (mut fields, key) = (BTreeMap::new(), "aws.iam.user".parse().unwrap());
    for (field, value) in [("console_access", json!(false)), ("arn", json!(null)), ("email", json!(null))] {
        fields.insert(field.to_owned(), Field::Read(value));
    }
    let key = domain::ResourceKey { kind: key, id: "AIDA1".to_owned() };
    let user = Resource { key, name: "nameless".to_owned(), fields, exchanges: vec![] };
    let side = ACCOUNTS.iter().find(|side| side.source == "aws").unwrap();
    let account = Account::of(side, &Keys::none(), user);
    assert_eq!(account.can_sign_in.unwrap_err().reason, GapReason::Malformed);
}

#[tokio::test]
async fn an_empty_mapping_file_maps_nothing_and_a_missing_one_is_a_gap() {
    let (_dir, run) = with_mapping("").await;
    assert_eq!(said(&by_name(&run)["octo-mona"]).unwrap()[3], "verified address");
    let run = joined(evidence(), Config { mapping: Some(PathBuf::from("there/is/none.yaml")), ..config() }).await;
    let gap = run.gaps.iter().find(|gap| gap.call == MAPPING.name).unwrap();
    assert!(gap.detail.contains("No such file"), "{gap:?}");
}

#[test]
fn settings_that_cannot_be_right_are_told_with_what_to_write() {
    let bad = Config {
        identities: Vec::new(),
        accounts: ["github:acme", "gitlab:acme", "github:acme"].map(|id| id.parse().unwrap()).to_vec(),
        max_age: Some(Duration::from_secs(1)),
        mapping: Some(PathBuf::new()),
        ..config()
    };
    let told: Vec<(String, String)> = AnySource::problems(&bad).into_iter().map(|p| (p.path, p.remedy)).collect();
    let said = |path: &str, remedy: &str| (path.to_owned(), remedy.to_owned());
    assert_eq!(
        told,
        [
            said("identities", "name a source of the kind keycloak"),
            said("accounts[1]", "one of github, aws"),
            said("accounts[2]", "name it once"),
            said("mapping", "name a file, or leave the setting out"),
            said("max_age", "1m to 366d"),
        ]
    );
    let joins: Vec<String> = AnySource::joins(&config()).iter().map(|(at, id)| format!("{at} {id}")).collect();
    let expected = ["accounts[0] github:acme", "accounts[1] aws:prod", "identities[0] keycloak:acme"];
    assert_eq!(joins, expected, "accounts are best read before identities");
}
