//! Whoever comes from outside: what could not be looked at is a gap, and never an empty list or an approval.

use super::*;

const PEOPLE: &str = "/orgs/octo-org/outside_collaborators?per_page=100";
const APPS: &str = "/orgs/octo-org/installations?per_page=100&page=1";
const API: &str = "/repos/octo-org/api/collaborators?per_page=100&affiliation=outside";
const PERSON: &str = "github.outside_collaborator";
const APP: &str = "github.installation";

fn complete(run: &CollectionRun, kind: &str) -> bool {
    run.populations.iter().any(|population| population.kind.as_str() == kind && population.complete)
}

/// The recorded answer, changed.
fn changed(target: &str, change: impl Fn(&mut Value)) -> Fixture {
    let mut body: Value = serde_json::from_str(&fixture().answer("GET", target).unwrap().body).unwrap();
    change(&mut body);
    instead(target, 200, &body)
}

#[tokio::test]
async fn what_is_refused_or_hidden_is_denied_with_its_permission_and_never_nobody() {
    for (target, call, permission, kind, other) in [
        (PEOPLE, spec::OUTSIDE.name, "members:read", PERSON, APP),
        (API, spec::COLLABORATORS.name, "metadata:read", PERSON, APP),
        (APPS, spec::INSTALLATIONS.name, "organization_administration:read", APP, PERSON),
    ] {
        for (status, said) in [(403, "Must have push access to view repository collaborators."), (404, "Not Found")] {
            let run = harness_of(instead(target, status, &json!({"message": said}))).run("outside").await;
            let denied = gap(&run, call);
            assert_eq!((denied.reason, denied.permission.as_deref()), (GapReason::Denied, Some(permission)), "{said}");
            assert!(!complete(&run, kind) && complete(&run, other), "{call} {status}: {:#?}", run.gaps);
        }
    }
}

#[tokio::test]
async fn one_repository_that_is_refused_takes_no_word_from_the_others() {
    let said = json!({"message": "Must have push access to view repository collaborators."});
    let run = harness_of(instead(API, 403, &said)).run("outside").await;
    let found: Vec<String> = resources(&run, PERSON).into_keys().collect();
    assert_eq!(found, ["contractor@octo-org/tools", "contractor@octo-org/web-shop"]);
}

#[tokio::test]
async fn somebody_in_the_list_whom_no_repository_shows_has_not_been_seen_whole() {
    let two = changed(PEOPLE, |people| {
        let mut other = people[0].clone();
        other["node_id"] = json!("U_kgDOB00099");
        other["login"] = json!("ghost");
        people.as_array_mut().unwrap().push(other);
    });
    let run = harness_of(two).run("outside").await;
    let unseen = gap(&run, spec::COLLABORATORS.name);
    assert_eq!(unseen.reason, GapReason::Truncated);
    assert_eq!(unseen.detail, "1 of 2 people from outside are in no repository that was read");
    assert!(!complete(&run, PERSON));
}

#[tokio::test]
async fn without_anybody_from_outside_no_repository_is_asked() {
    let run = harness_of(instead(PEOPLE, 200, &json!([]))).run("outside").await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    let asked = |call: &str| run.exchanges.iter().any(|exchange| exchange.call == call);
    assert!(!asked(spec::REPOS.name) && !asked(spec::COLLABORATORS.name) && complete(&run, PERSON));
}

#[tokio::test]
async fn what_a_role_is_built_on_is_unread_where_it_is_not_said() {
    let fields = async |change: fn(&mut Value)| {
        let run = harness_of(changed(API, |people| change(&mut people[0]))).run("outside").await;
        resources(&run, PERSON)["contractor@octo-org/api"]["manages_repository"].clone()
    };
    assert_eq!(fields(|one| one["role_name"] = json!("maintain")).await, Field::Read(json!(true)));
    assert_eq!(fields(|one| one["permissions"]["admin"] = json!(true)).await, Field::Read(json!(true)));
    let own = |one: &mut Value| {
        one["role_name"] = json!("release manager");
        one["permissions"].as_object_mut().unwrap().remove("maintain");
    };
    assert_eq!(unread(&fields(own).await), GapReason::Malformed);
    let silent = |one: &mut Value| drop(one.as_object_mut().unwrap().remove("permissions"));
    assert_eq!(unread(&fields(silent).await), GapReason::Malformed);
}

#[tokio::test]
async fn an_app_whose_rights_or_suspension_are_not_said_has_them_unread() {
    let read = async |change: fn(&mut Value)| {
        let run = harness_of(changed(APPS, |apps| change(&mut apps["installations"][1]))).run("outside").await;
        resources(&run, APP)["renovate"].clone()
    };
    let silent = |app: &mut Value| drop(app.as_object_mut().unwrap().remove("suspended_at"));
    assert_eq!(unread(&read(silent).await["suspended_at"]), GapReason::Malformed);
    let hidden = |app: &mut Value| drop(app.as_object_mut().unwrap().remove("permissions"));
    assert_eq!(unread(&read(hidden).await["writes"]), GapReason::Malformed);
    let unknown = |app: &mut Value| app["permissions"]["contents"] = json!("everything");
    assert_eq!(unread(&read(unknown).await["writes"]), GapReason::Malformed);
}

#[tokio::test]
async fn apps_that_are_fewer_than_github_counts_are_not_all_of_them() {
    let last = "/orgs/octo-org/installations?per_page=100&page=2";
    let run = harness_of(changed(last, |apps| apps["total_count"] = json!(5))).run("outside").await;
    assert_eq!(gap(&run, spec::INSTALLATIONS.name).detail, "4 listed, 5 counted");
    let none = json!({"total_count": 0, "installations": []});
    let run = as_app(json!({}), instead(APPS, 200, &none)).run("outside").await;
    let impossible = gap(&run, spec::INSTALLATIONS.name);
    assert_eq!(impossible.detail, "no App is installed, though one asks");
}

#[tokio::test]
async fn without_a_register_nobody_is_approved_and_nobody_is_not() {
    let without = Harness::new(fixture(), |url| Box::new(Config { approved: None, ..config(url) }));
    let run = without.run("outside").await;
    assert_eq!(run.outcome, Outcome::Collected, "the organisation chose so: {:#?}", run.gaps);
    for fields in resources(&run, PERSON).values() {
        assert_eq!(unread(&fields["approved_until"]), GapReason::NotAsked);
    }
    for fields in resources(&run, APP).values() {
        assert_eq!(unread(&fields["approved"]), GapReason::NotAsked);
        assert_eq!(unread(&fields["approved_until"]), GapReason::NotAsked);
    }
}
