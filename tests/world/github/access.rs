//! Who asks GitHub: holders of tokens, and an App that signs in with its key; and how often each may ask.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::host::Host;
use crate::id;
use crate::organisation::CANARY;

/// The token of an owner of the organisation.
pub const GITHUB_TOKEN: &str = "canary-github-token-of-an-owner";
/// The token of a member who is no owner.
pub const GITHUB_MEMBER_TOKEN: &str = "canary-github-token-of-a-member";
/// The id of the App that reads.
pub const GITHUB_APP: u64 = 4711;
/// The id of its installation in the organisation.
pub const GITHUB_INSTALLATION: u64 = 815_815;

const OWNER: &str = "dora-acme";
const MEMBER: &str = "jana-acme";
/// Seconds that the token of an installation is good for, and the most that the App's own token may be.
const TOKEN_LIFE: i64 = 3600;
const APP_TOKEN_LIFE: i64 = 600;
/// What the installation was granted: reading, and no more.
const GRANTED: [&str; 6] =
    ["administration", "members", "metadata", "organization_administration", "organization_hooks", "security_events"];

/// Somebody whose token is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    Owner,
    Member,
    Installation,
}

impl Caller {
    /// The login of a person; an installation is none.
    pub(crate) fn login(&self) -> Option<&'static str> {
        match self {
            Caller::Owner => Some(OWNER),
            Caller::Member => Some(MEMBER),
            Caller::Installation => None,
        }
    }

    /// Whether it sees what administrators see.
    pub(crate) fn administers(&self) -> bool {
        *self != Caller::Member
    }
}

/// The caller whose token this is.
pub(crate) fn caller(seed: u64, token: &str, now: i64) -> Option<Caller> {
    match token {
        GITHUB_TOKEN => return Some(Caller::Owner),
        GITHUB_MEMBER_TOKEN => return Some(Caller::Member),
        _ => {}
    }
    let expires: i64 = token.rsplit('-').nth(1)?.parse().ok()?;
    (token == installation_token(seed, expires) && expires > now.div_euclid(1000)).then_some(Caller::Installation)
}

fn installation_token(seed: u64, expires: i64) -> String {
    format!("{CANARY}ghs-{expires}-{:016x}", id::hash(seed, &["github installation", &expires.to_string()]))
}

/// A new token for the installation.
pub(crate) fn issue(seed: u64, now: i64) -> Value {
    let expires = now.div_euclid(1000) + TOKEN_LIFE;
    let permissions: Value = GRANTED.iter().map(|name| ((*name).to_owned(), json!("read"))).collect();
    json!({
        "token": installation_token(seed, expires), "expires_at": super::answer::moment(expires * 1000),
        "permissions": permissions, "repository_selection": "all",
    })
}

/// The App's key; made when it is first asked for.
pub(crate) struct AppKey {
    pem: String,
    public: Vec<u8>,
}

impl AppKey {
    /// `None` when the machine has no random numbers to give.
    pub(crate) fn generate() -> Option<AppKey> {
        let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
        let private: Pkcs8V1Der = pair.as_der().ok()?;
        let public: PublicKeyX509Der = pair.public_key().as_der().ok()?;
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in STANDARD.encode(private.as_ref()).as_bytes().chunks(64) {
            let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Some(AppKey { pem, public: public.as_ref().to_vec() })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether this is a token that the App signed for itself, and that is good now: a JSON Web Token by RS256.
    ///
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
    pub(crate) fn signed(&self, token: &str, now: i64) -> bool {
        let claims = || {
            let (signed, mark) = token.rsplit_once('.')?;
            let mark = URL_SAFE_NO_PAD.decode(mark).ok()?;
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
            key.verify(signed.as_bytes(), &mark).ok()?;
            let (_, claims) = signed.split_once('.')?;
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
        };
        let now = now.div_euclid(1000);
        claims().is_some_and(|claims| {
            let issuer = claims["iss"].as_u64().or_else(|| claims["iss"].as_str()?.parse().ok());
            let (issued, expires) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
            issuer == Some(GITHUB_APP) && issued <= now + 60 && expires > now && expires <= now + APP_TOKEN_LIFE + 60
        })
    }
}

/// How often each token asked in its hour.
#[derive(Default)]
pub(crate) struct Usage {
    /// Calls an hour, where not as many as GitHub grants.
    pub(crate) quota: Option<u64>,
    /// By token: when its hour began, and the calls since then.
    hours: BTreeMap<String, (i64, u64)>,
}

/// What the headers of an answer say of the limit.
pub(crate) struct Standing {
    pub(crate) limit: u64,
    pub(crate) used: u64,
    /// In seconds since 1970.
    pub(crate) reset: i64,
}

impl Usage {
    const HOUR: i64 = 3_600_000;

    /// The standing of a token, after one more call when `counts`.
    pub(crate) fn standing(&mut self, host: &Host, caller: &Caller, token: &str, now: i64, counts: bool) -> Standing {
        let limit = self.quota.unwrap_or_else(|| granted(host, caller));
        let (began, used) = self.hours.entry(token.to_owned()).or_insert((now, 0));
        if now - *began >= Usage::HOUR {
            (*began, *used) = (now, 0);
        }
        *used += u64::from(counts);
        Standing { limit, used: *used, reset: (*began + Usage::HOUR).div_euclid(1000) }
    }
}

/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
fn granted(host: &Host, caller: &Caller) -> u64 {
    if *caller != Caller::Installation {
        return 5000;
    }
    let more = |count: u64| 50 * count.saturating_sub(20);
    (5000 + more(host.member_count()) + more(host.repository_count())).min(12_500)
}
