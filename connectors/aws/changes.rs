//! Who changed what lately, from CloudTrail's last ninety days of events, where the settings allow to ask.
//!
//! Events name the actor and are never evidence of the state. They reach back a day, or less when there are very many.
//! The call: <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use domain::{Actor, ChangeEvent, GapReason, ResourceKey, Timestamp, UnknownActor};
use kit::view::View;
use kit::{RunBuilder, Unread, http};
use serde_json::{Value, json};

use crate::session::{Session, system_time};
use crate::spec::{ACCOUNT, LOOKUP};
use crate::{Estate, words};

/// How far back events are read.
const REACH: domain::Duration = domain::Duration::from_secs(24 * 3600);
/// How far they must reach at least; if the pages allowed do not get there, that is a gap.
const LEAST_REACH: domain::Duration = domain::Duration::from_secs(2 * 3600);
/// Events of one page, the most that CloudTrail gives.
const PAGE: usize = 50;
/// Pages of one run and account.
const PAGES: usize = 10;
/// CloudTrail answers two of these calls a second, of all who ask.
const SPACING: Duration = Duration::from_millis(500);
const TARGET: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";

/// What an event can be about, as its own parameters name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Subject {
    /// A user, by name.
    User(String),
    /// A role, by name.
    Role(String),
    /// A managed policy, by ARN.
    Policy(String),
}

/// Which of the resources found are about whom.
#[derive(Default)]
pub(crate) struct Index {
    found: BTreeMap<Subject, Vec<(&'static str, String)>>,
    /// The events, by the beginning of their names, that change what this collector reads of the account as a whole.
    account: &'static [&'static str],
}

impl Index {
    pub(crate) fn new(account: &'static [&'static str]) -> Self {
        Index { found: BTreeMap::new(), account }
    }

    /// Notes a resource.
    pub(crate) fn add(&mut self, subject: Subject, kind: &'static str, id: &str) {
        self.found.entry(subject).or_default().push((kind, id.to_owned()));
    }
}

/// What the accounts of one run gave.
#[derive(Default)]
pub(crate) struct Changes {
    events: Vec<ChangeEvent>,
    answered: bool,
}

impl Changes {
    /// Asks one account, when the settings allow it.
    pub(crate) async fn collect(&mut self, estate: &Estate, session: &Session, index: &Index, run: &mut RunBuilder) {
        if !estate.cloudtrail {
            return;
        }
        match events(estate, session, run).await {
            Ok(rows) => {
                self.answered = true;
                self.events.extend(rows.iter().filter_map(|row| change(row, &session.account, index)));
            }
            Err(unread) => run.missing(&words::told(unread), &[]),
        }
    }

    /// What to tell the builder.
    pub(crate) fn told(self, estate: &Estate) -> Result<Vec<ChangeEvent>, UnknownActor> {
        let unknown = |reason: &str| Err(UnknownActor { reason: reason.to_owned() });
        match (estate.cloudtrail, self.answered) {
            (false, _) => unknown("CloudTrail is not asked: cloudtrail is off in the settings"),
            (true, false) => unknown("CloudTrail's events could not be read"),
            (true, true) => Ok(self.events),
        }
    }
}

/// One event, as far as we look at it.
#[derive(Clone, PartialEq, Debug)]
struct Event {
    id: String,
    at: Timestamp,
    name: String,
    /// The event itself: who, from where, with what parameters.
    record: Value,
}

/// Newest first; those that only read, and those that failed, left out.
async fn events(estate: &Estate, session: &Session, run: &mut RunBuilder) -> Result<Vec<Event>, Unread> {
    let recorder = run.recorder();
    let since = recorder.now().minus(REACH);
    let mut all = Vec::new();
    let mut oldest = recorder.now();
    let mut token: Option<String> = None;
    for page in 0..PAGES {
        if page > 0 {
            tokio::time::sleep(SPACING).await;
        }
        let mut body = json!({
            "LookupAttributes": [{"AttributeKey": "EventSource", "AttributeValue": "iam.amazonaws.com"}],
            "StartTime": since.seconds(),
            "MaxResults": PAGE,
        });
        if let (Some(token), Some(body)) = (&token, body.as_object_mut()) {
            body.insert("NextToken".to_owned(), Value::from(token.as_str()));
        }
        let request = signed(estate, session, recorder.now(), body.to_string().into())
            .ok_or_else(|| Unread::unsent(&LOOKUP, GapReason::Malformed, "the request could not be signed"))?;
        let answer = recorder.exchange(&LOOKUP, request).await?;
        let value = answer.json()?;
        let view = View::object(&value, answer.mark)?;
        for row in view.inner_list("Events")? {
            let (event, writes) = read(&row)?;
            oldest = oldest.min(event.at);
            if writes && event.record.get("errorCode").is_none() {
                all.push(event);
            }
        }
        token = view.text("NextToken").ok().map(str::to_owned);
        let reach = recorder.now().since(oldest);
        if token.is_none() {
            return Ok(all);
        }
        if page + 1 == PAGES && reach < LEAST_REACH {
            let detail = format!("{} of CloudTrail's events reach back {reach} only", PAGES * PAGE);
            let unread = Unread { permission: None, ..answer.mark.unread(GapReason::OverLimit, detail) };
            run.missing(&unread, &[]);
        }
    }
    Ok(all)
}

/// An event, and whether it is one that changes something.
fn read(row: &View<'_>) -> Result<(Event, bool), Unread> {
    let seconds = row.get("EventTime").and_then(Value::as_f64);
    let seconds = seconds.ok_or_else(|| row.mark.malformed("EventTime is missing from the answer"))?;
    let record = serde_json::from_str(row.text("CloudTrailEvent")?);
    let event = Event {
        id: row.text("EventId")?.to_owned(),
        at: Timestamp::from_millis((seconds * 1000.0) as i64),
        name: row.text("EventName")?.to_owned(),
        record: record.map_err(|_| row.mark.malformed("CloudTrailEvent is not JSON"))?,
    };
    Ok((event, row.text("ReadOnly")? == "false"))
}

/// The event as a change of resources that were found; `None` when it is about none of them.
fn change(event: &Event, account: &str, index: &Index) -> Option<ChangeEvent> {
    let parameter = |name: &str| event.record.pointer("/requestParameters")?.get(name)?.as_str().map(str::to_owned);
    let subjects = [
        parameter("userName").map(Subject::User),
        parameter("roleName").map(Subject::Role),
        parameter("policyArn").map(Subject::Policy),
    ];
    let about = subjects.iter().flatten().filter_map(|subject| index.found.get(subject)).flatten();
    let mut touched: Vec<(&str, String)> = about.cloned().collect();
    if index.account.iter().any(|begin| event.name.starts_with(begin)) {
        touched.push((ACCOUNT, account.to_owned()));
    }
    let key = |(kind, id): (&str, String)| Some(ResourceKey { kind: kind.parse().ok()?, id });
    let touches: Vec<ResourceKey> = touched.into_iter().filter_map(key).collect();
    (!touches.is_empty()).then(|| ChangeEvent {
        id: event.id.clone(),
        at: event.at,
        actor: actor(&event.record),
        operation: event.name.clone(),
        touches,
    })
}

/// Who did it: <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>.
fn actor(record: &Value) -> Result<Actor, UnknownActor> {
    let text = |path: &str| record.pointer(path).and_then(Value::as_str);
    let from = text("/sourceIPAddress").map(str::to_owned);
    let kind = text("/userIdentity/type").unwrap_or("an identity of no kind");
    let session = text("/userIdentity/arn").and_then(|arn| arn.rsplit_once('/')).map(|(_, session)| session);
    let role = text("/userIdentity/sessionContext/sessionIssuer/userName");
    let name = match kind {
        "IAMUser" => text("/userIdentity/userName").map(str::to_owned),
        "Root" => Some("the root user".to_owned()),
        "AssumedRole" => session.zip(role).map(|(session, role)| format!("{session} (role {role})")),
        _ => None,
    };
    match (name, text("/userIdentity/principalId")) {
        (Some(name), Some(id)) => Ok(Actor { name, id: id.to_owned(), from }),
        _ => {
            let from = from.as_deref().unwrap_or("an address that is not recorded");
            Err(UnknownActor { reason: format!("CloudTrail names {kind} only, from {from}") })
        }
    }
}

/// The call, signed as AWS asks (Signature Version 4).
fn signed(estate: &Estate, session: &Session, now: Timestamp, body: Bytes) -> Option<http::Request<Bytes>> {
    let address = estate.addresses.cloudtrail.as_str();
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", TARGET)];
    let identity = Identity::from(session.credentials.clone());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(estate.partition.home)
        .name("cloudtrail")
        .time(system_time(now))
        .settings(SigningSettings::default())
        .build()
        .ok()?;
    let signable = SignableRequest::new("POST", address, headers.into_iter(), SignableBody::Bytes(&body)).ok()?;
    let (instructions, _) = sign(signable, &params.into()).ok()?.into_parts();
    let mut request = http::Request::post(address);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(body.clone()).ok()?;
    instructions.apply_to_request_http1x(&mut request);
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_a_user_the_root_user_or_a_session_of_a_role() {
        let named = |identity: Value| actor(&json!({"userIdentity": identity, "sourceIPAddress": "192.0.2.7"}));
        let user = named(json!({"type": "IAMUser", "userName": "anna", "principalId": "AIDA1"})).unwrap();
        assert_eq!((user.name.as_str(), user.id.as_str(), user.from.as_deref()), ("anna", "AIDA1", Some("192.0.2.7")));
        let session = named(json!({
            "type": "AssumedRole", "principalId": "AROA1:anna@acme.example",
            "arn": "arn:aws:sts::111122223333:assumed-role/ops/anna@acme.example",
            "sessionContext": {"sessionIssuer": {"userName": "ops"}},
        }));
        assert_eq!(session.unwrap().name, "anna@acme.example (role ops)");
        assert_eq!(named(json!({"type": "Root", "principalId": "1"})).unwrap().name, "the root user");
        let unknown = named(json!({"type": "AWSService", "invokedBy": "sso.amazonaws.com"})).unwrap_err();
        assert_eq!(unknown.reason, "CloudTrail names AWSService only, from 192.0.2.7");
    }

    #[test]
    fn an_event_touches_what_its_parameters_name_and_the_account_where_it_matters_to_it() {
        let mut index = Index::new(&["Attach"]);
        index.add(Subject::User("anna".to_owned()), crate::spec::USER, "AIDA1");
        let event = |name: &str, parameters: Value| Event {
            id: "e".to_owned(),
            at: Timestamp::from_millis(0),
            name: name.to_owned(),
            record: json!({"requestParameters": parameters}),
        };
        let touched = |event: &Event| {
            let change = change(event, "111122223333", &index);
            change.map(|change| change.touches.into_iter().map(|key| key.id).collect::<Vec<_>>())
        };
        assert_eq!(
            touched(&event("AttachUserPolicy", json!({"userName": "anna", "policyArn": "arn:x"}))),
            Some(vec!["AIDA1".to_owned(), "111122223333".to_owned()])
        );
        assert_eq!(touched(&event("TagUser", json!({"userName": "anna"}))), Some(vec!["AIDA1".to_owned()]));
        assert_eq!(touched(&event("TagUser", json!({"userName": "someone else"}))), None);
        assert_eq!(touched(&event("TagRole", Value::Null)), None);
    }
}
