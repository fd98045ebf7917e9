//! What AWS says with an error code, where others use a status.

use domain::GapReason;
use kit::http::HeaderMap;
use kit::{Answer, Unread};

/// *Slow down*, in the words of its services: the SDK's own list, and what IAM and STS answer.
const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// *I know you, and no*: <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>.
const DENIED: &[&str] = &["AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"];

/// *I do not take this credential*, most of them with the status 403 as well.
const NOT_SIGNED_IN: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "IDPCommunicationError",
    "IDPRejectedClaim",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorizedException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// *Not yet*: the credential report is being made or was thrown away. Asked again, it is there.
const NOT_YET: &[&str] = &["ReportExpired", "ReportInProgress", "ReportNotPresent"];

/// What an answer means by its error code; the status decides where the code says nothing of this kind.
pub(crate) fn meaning(status: u16, _: &HeaderMap, body: &[u8]) -> Option<GapReason> {
    let code = if status < 400 { return None } else { code_in(body)? };
    let among = |codes: &[&str]| codes.contains(&code.as_str());
    match () {
        () if among(THROTTLED) => Some(GapReason::Throttled),
        () if among(DENIED) => Some(GapReason::Denied),
        () if among(NOT_YET) => Some(GapReason::SourceFault),
        () if among(NOT_SIGNED_IN) => Some(GapReason::Unauthenticated),
        () => None,
    }
}

/// The error code of an answer that says no: `NoSuchEntity`.
pub(crate) fn code(unread: &Unread) -> Option<String> {
    let answer: &Answer = unread.answer.as_deref()?;
    code_in(&answer.body)
}

/// The code in an error of the Query protocol (`<Error>…<Code>`) or of a JSON protocol (`__type`, its last part).
fn code_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim_start();
    let code = if text.starts_with('<') {
        text.split_once("<Error>")?.1.split_once("<Code>")?.1.split_once("</Code>")?.0.to_owned()
    } else {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        value.get("__type")?.as_str()?.rsplit('#').next()?.to_owned()
    };
    // A word, and nothing a person could be named with.
    let plain = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    plain.then_some(code)
}

/// The same gap, in the source's own word.
pub(crate) fn told(unread: Unread) -> Unread {
    let status = unread.answer.as_ref().map(|answer| answer.status);
    match (status, code(&unread)) {
        (Some(status), Some(code)) => Unread { detail: format!("{status} {code}"), ..unread },
        _ => unread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_before_the_status() {
        let xml = |code: &str| {
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
            )
        };
        let json = r#"{"__type":"com.amazonaws.cloudtrail#ThrottlingException","Message":"Rate exceeded"}"#.to_owned();
        for (status, body, reason) in [
            (400, xml("Throttling"), Some(GapReason::Throttled)),
            (400, json, Some(GapReason::Throttled)),
            (403, xml("AccessDenied"), Some(GapReason::Denied)),
            (403, xml("ExpiredToken"), Some(GapReason::Unauthenticated)),
            (403, xml("InvalidClientTokenId"), Some(GapReason::Unauthenticated)),
            (404, xml("NoSuchEntity"), None),
            (500, "<html>".to_owned(), None),
            (200, xml("Throttling"), None),
        ] {
            assert_eq!(meaning(status, &HeaderMap::new(), body.as_bytes()), reason, "{status} {body}");
        }
        assert_eq!(code_in(xml("a person &amp; more").as_bytes()), None);
    }
}
