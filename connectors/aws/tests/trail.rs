//! Who changed what, by CloudTrail's word.

use super::*;

/// The target of CloudTrail's call a day before the time of the tests, or of its page that begins at a token.
fn lookup(token: &str) -> String {
    let token = if token.is_empty() { String::new() } else { format!(",\"NextToken\":\"{token}\"") };
    let source = "{\"AttributeKey\":\"EventSource\",\"AttributeValue\":\"iam.amazonaws.com\"}";
    format!("/?{{\"LookupAttributes\":[{source}],\"MaxResults\":50{token},\"StartTime\":1795262400}}")
}

/// One event after CloudTrail's reference: anna did something an hour before the time of the tests.
fn event(id: &str, name: &str, reads: bool, parameters: &str, rest: &str) -> Value {
    let record = format!(
        "{{\"userIdentity\":{{\"type\":\"IAMUser\",\"userName\":\"anna\",\"principalId\":\"AIDAANNA\"}},\
         \"sourceIPAddress\":\"192.0.2.7\",\"requestParameters\":{parameters}{rest}}}"
    );
    serde_json::json!({"EventId": id, "EventName": name, "ReadOnly": reads.to_string(), "EventTime": 1_795_345_200.0,
        "Username": "anna", "CloudTrailEvent": record})
}

async fn with_cloudtrail(collector: &str, events: Fixture) -> CollectionRun {
    let harness =
        Harness::new(events.then(fixture("mixed")), |url| Box::new(Config { cloudtrail: true, ..config(url) }));
    harness.run(collector).await
}

#[tokio::test]
async fn with_cloudtrail_it_is_known_who_changed_what() {
    let first = serde_json::json!({"NextToken": "more", "Events": [
        event("e1", "AttachUserPolicy", false, r#"{"userName": "no-keys", "policyArn": "arn:aws:iam::aws:policy/A"}"#, ""),
        event("e2", "GetUser", true, r#"{"userName": "no-keys"}"#, ""),
        event("e3", "DetachUserPolicy", false, r#"{"userName": "no-keys"}"#, ",\"errorCode\": \"AccessDenied\""),
    ]});
    let second = serde_json::json!({"Events": [event("e4", "UpdateRole", false, r#"{"roleName": "support"}"#, "")]});
    let pages = Fixture::default().with("POST", &lookup(""), 200, &first.to_string()).with(
        "POST",
        &lookup("more"),
        200,
        &second.to_string(),
    );
    let run = with_cloudtrail("access", pages).await;
    assert_eq!(run.outcome, Outcome::Collected, "{:#?}", run.gaps);
    let (users, roles) = (resources(&run, spec::USER), resources(&run, spec::ROLE));
    let id_of = |all: &BTreeMap<String, BTreeMap<String, Field>>, arn: &str| -> String {
        all.iter().find(|(_, fields)| value(fields, "arn").as_str().unwrap().ends_with(arn)).unwrap().0.clone()
    };
    let told: Vec<_> = run
        .changes
        .as_ref()
        .unwrap()
        .iter()
        .map(|change| {
            let touches: Vec<&str> = change.touches.iter().map(|key| key.id.as_str()).collect();
            (change.operation.as_str(), change.actor.as_ref().unwrap().name.as_str(), touches)
        })
        .collect();
    let (user, role) = (id_of(&users, "user/machines/no-keys"), id_of(&roles, "role/support"));
    assert_eq!(
        told,
        [("AttachUserPolicy", "anna", vec![user.as_str(), NUMBER]), ("UpdateRole", "anna", vec![role.as_str()])]
    );
}

#[tokio::test]
async fn a_cloudtrail_that_says_no_names_nobody_and_blinds_nothing() {
    let refused =
        r#"{"__type":"AccessDeniedException","Message":"not authorized to perform: cloudtrail:LookupEvents"}"#;
    let run = with_cloudtrail("access", Fixture::default().with("POST", &lookup(""), 400, refused)).await;
    assert_eq!(run.changes.as_ref().unwrap_err().reason, "CloudTrail's events could not be read");
    let gap = gap(&run, "cloudtrail:LookupEvents");
    assert_eq!((gap.reason, gap.permission.as_deref()), (GapReason::Denied, Some("cloudtrail:LookupEvents")));
    assert_eq!((run.outcome, complete(&run).len()), (Outcome::Partial, 4));

    let run = harness("mixed").run("access").await;
    assert_eq!(run.changes.unwrap_err().reason, "CloudTrail is not asked: cloudtrail is off in the settings");
}
