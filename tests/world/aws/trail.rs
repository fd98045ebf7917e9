//! CloudTrail's `LookupEvents`: who changed what in the account.
//!
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>

use http::StatusCode;
use serde_json::{Value, json};

use super::account::Account;
use super::xml::moment;
use crate::fault::Fault;
use crate::id;
use crate::reply::Reply;

const JSON: &str = "application/x-amz-json-1.1";
/// Events of one page, at the most.
const MOST: usize = 50;

/// The action that the header `x-amz-target` names, where it is one of CloudTrail's.
pub(crate) fn action(target: &str) -> Option<&str> {
    let (service, action) = target.rsplit_once('.')?;
    service.ends_with("CloudTrail_20131101").then_some(action)
}

/// The events that were asked for, newest first.
pub(crate) fn lookup(account: &Account, body: &[u8]) -> Reply {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return refused("SerializationException", "The request body is no JSON");
    };
    let most = asked["MaxResults"].as_u64().map_or(MOST, |most| usize::try_from(most).unwrap_or(MOST)).min(MOST);
    let from = asked["NextToken"].as_str().map_or(Ok(0), str::parse::<usize>);
    let Ok(from) = from else { return refused("InvalidNextTokenException", "The token is not valid") };
    let since = asked["StartTime"].as_f64().unwrap_or(0.0);
    let wanted = |event: &&Value| {
        let attributes = asked["LookupAttributes"].as_array().into_iter().flatten();
        let mut attributes =
            attributes.filter_map(|one| one["AttributeKey"].as_str().zip(one["AttributeValue"].as_str()));
        event["EventTime"].as_f64() >= Some(since) && attributes.all(|(key, value)| event[key] == value)
    };
    let found: Vec<&Value> = account.events.iter().rev().filter(wanted).collect();
    let mut answer = json!({ "Events": found.iter().skip(from).take(most).collect::<Vec<_>>() });
    if from + most < found.len() {
        answer["NextToken"] = json!((from + most).to_string());
    }
    Reply::whole(StatusCode::OK, JSON, answer.to_string())
}

/// What a bad day answers instead; `None` where the answer is as usual.
pub(crate) fn struck(fault: &Fault) -> Option<Reply> {
    let why = "User is not authorized to perform: cloudtrail:LookupEvents";
    match fault {
        Fault::Denied => Some(refused("AccessDeniedException", why)),
        Fault::Unauthenticated => Some(refused("UnrecognizedClientException", "The security token is invalid.")),
        Fault::Throttled { .. } | Fault::EveryNthThrottled { .. } => {
            Some(refused("ThrottlingException", "Rate exceeded"))
        }
        Fault::Status(status) => {
            let mut reply = refused("InternalFailure", "An unexpected error occurred");
            reply.status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some(reply)
        }
        Fault::Body(body) => Some(Reply::whole(StatusCode::OK, JSON, body.clone())),
        _ => None,
    }
}

/// A refusal in the form of services that speak JSON.
pub(crate) fn refused(kind: &str, why: &str) -> Reply {
    Reply::whole(StatusCode::BAD_REQUEST, JSON, json!({ "__type": kind, "message": why }).to_string())
}

/// Keeps one change of the account that a user made.
pub(crate) fn write(account: &mut Account, actor: &str, now: i64, name: &str, parameters: &Value) {
    let number = account.events.len().to_string();
    let id = id::uuid(account.seed, "trail event", &number);
    let at = moment(now);
    let record = json!({
        "eventVersion": "1.11", "eventID": id, "eventTime": at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "eventSource": "iam.amazonaws.com", "eventName": name, "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1", "userAgent": "console.amazonaws.com", "readOnly": false,
        "eventType": "AwsApiCall", "recipientAccountId": account.id, "requestParameters": parameters,
        "responseElements": null,
        "userIdentity": {
            "type": "IAMUser", "principalId": account.unique_id("AIDA", actor), "arn": account.user_arn(actor),
            "accountId": account.id, "userName": actor,
        },
    });
    account.events.push(json!({
        "EventId": id, "EventName": name, "EventTime": at.timestamp(), "EventSource": "iam.amazonaws.com",
        "ReadOnly": "false", "Username": actor, "Resources": [], "CloudTrailEvent": record.to_string(),
    }));
}
