//! Who calls: requests signed by Signature Version 4, checked as the service checks them.
//!
//! The rules: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::account::{AWS_ACCOUNT, AWS_READER, AWS_SECOND_ACCOUNT};
use crate::id;
use crate::organisation::CANARY;

/// The id of the reader's own access key.
pub const AWS_KEY_ID: &str = "AKIAEVIDENCEDREADER0";
/// The secret of the reader's own access key.
pub const AWS_SECRET_KEY: &str = "canary-aws-secret-key-of-the-reader";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the clocks of caller and service may be apart, in seconds.
const SKEW: i64 = 300;

/// Somebody whose signature is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    pub(crate) account: &'static str,
    /// The name of its session, where it is a role that was assumed.
    pub(crate) session: Option<String>,
}

impl Caller {
    pub(crate) fn arn(&self) -> String {
        match &self.session {
            Some(session) => format!("arn:aws:sts::{}:assumed-role/{AWS_READER}/{session}", self.account),
            None => format!("arn:aws:iam::{}:user/{AWS_READER}", self.account),
        }
    }
}

/// Why a caller is nobody: the code and the words of the service.
pub(crate) type Refusal = (&'static str, &'static str);

/// Keys that end: those of a role that was assumed.
pub(crate) struct Temporary {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
}

/// Keys for the reader's role in an account; everything about them follows from what they say.
pub(crate) fn temporary(seed: u64, account: &str, session: &str, expires: i64) -> Temporary {
    let says = URL_SAFE_NO_PAD.encode(format!("{account}/{session}/{expires}"));
    let mark = |what: &str| format!("{:016X}", id::hash(seed, &["aws session", what, &says]));
    Temporary {
        key_id: format!("ASIA{}", mark("key")),
        secret: format!("{CANARY}aws-session-secret-{}", mark("secret")),
        token: format!("{CANARY}aws-session-token.{says}.{}", mark("token")),
    }
}

/// Who signed this request, when somebody did.
pub(crate) fn caller(
    seed: u64,
    method: &str,
    target: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<Caller, Refusal> {
    let missing = ("MissingAuthenticationToken", "Request is missing Authentication Token");
    let incomplete = ("IncompleteSignature", "The request signature does not conform to AWS standards.");
    let unknown = ("InvalidClientTokenId", "The security token included in the request is invalid.");
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = header("authorization").ok_or(missing)?.strip_prefix(ALGORITHM).ok_or(incomplete)?;
    let part = |name: &str| {
        authorization.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).ok_or(incomplete)
    };
    let (credential, signed, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let (key_id, scope) = credential.split_once('/').ok_or(incomplete)?;

    let (secret, caller) = match header("x-amz-security-token") {
        None if key_id == AWS_KEY_ID => (AWS_SECRET_KEY.to_owned(), Caller { account: AWS_ACCOUNT, session: None }),
        None => return Err(unknown),
        Some(token) => {
            let (secret, caller, expires) = session(seed, key_id, token).ok_or(unknown)?;
            if expires <= now.div_euclid(1000) {
                return Err(("ExpiredToken", "The security token included in the request is expired"));
            }
            (secret, caller)
        }
    };

    let date = header("x-amz-date").ok_or(incomplete)?;
    let when = chrono::NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| incomplete)?;
    if (when.and_utc().timestamp() - now.div_euclid(1000)).abs() > SKEW {
        return Err(("SignatureDoesNotMatch", "Signature expired: the time of the request is not that of the service"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut canonical = format!("{method}\n{path}\n{query}\n");
    for name in signed.split(';') {
        canonical.push_str(&format!("{name}:{}\n", header(name).ok_or(incomplete)?.trim()));
    }
    canonical.push_str(&format!("\n{signed}\n{}", hex(&Sha256::digest(body))));
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = authenticate(&key, part.as_bytes());
    }
    if hex(&authenticate(&key, text.as_bytes())) != signature {
        let why = "The request signature we calculated does not match the signature you provided.";
        return Err(("SignatureDoesNotMatch", why));
    }
    Ok(caller)
}

/// The secret, the caller and the end (in seconds since 1970) that belong to a session token.
fn session(seed: u64, key_id: &str, token: &str) -> Option<(String, Caller, i64)> {
    let (_, rest) = token.split_once('.')?;
    let (says, _) = rest.split_once('.')?;
    let says = String::from_utf8(URL_SAFE_NO_PAD.decode(says).ok()?).ok()?;
    let mut parts = says.splitn(3, '/');
    let (account, session, expires) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
    let account = [AWS_ACCOUNT, AWS_SECOND_ACCOUNT].into_iter().find(|known| *known == account)?;
    let issued = temporary(seed, account, session, expires);
    if issued.token != token || issued.key_id != key_id {
        return None;
    }
    Some((issued.secret, Caller { account, session: Some(session.to_owned()) }, expires))
}

fn authenticate(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Any length of key is taken, so that there is always an authenticator.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
