//! Access tokens: they say what their holder may do, and keep saying it until they expire.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::id;
use crate::organisation::{MANAGEMENT, Organisation, READER, REALM, expand};

/// A new token for the reader, and the whole answer of the token endpoint.
pub(crate) fn issue(organisation: &Organisation, now: i64, host: &str) -> Value {
    let reader = &organisation.reader;
    let lifetime = reader.token_seconds.unwrap_or(organisation.settings.access_token);
    let issued = now.div_euclid(1000);
    let account = organisation.by_name(&format!("service-account-{READER}"));
    let mut claims = json!({
        "exp": issued.saturating_add_unsigned(lifetime), "iat": issued,
        "jti": format!("trrtcc:{}", id::uuid(organisation.seed, "token", &now.to_string())),
        "iss": format!("http://{host}/realms/{REALM}"), "aud": "account",
        "sub": account.map(|a| a.id), "typ": "Bearer", "azp": READER, "acr": "1",
        "realm_access": { "roles": [organisation.default_role(), "offline_access", "uma_authorization"] },
        "resource_access": { "account": { "roles": ["manage-account", "manage-account-links", "view-profile"] } },
        "scope": "profile email", "email_verified": false, "preferred_username": format!("service-account-{READER}"),
    });
    let roles = expand(reader.roles.iter().map(String::as_str));
    if !roles.is_empty() {
        claims["aud"] = json!([MANAGEMENT, "account"]);
        claims["resource_access"][MANAGEMENT] = json!({ "roles": roles });
    }
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "of-the-simulated-realm" });
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    json!({
        "access_token": format!("{signed}.{}", signature(organisation.seed, &signed)), "expires_in": lifetime,
        "refresh_expires_in": 0, "token_type": "Bearer", "not-before-policy": 0, "scope": "profile email",
    })
}

/// The roles of `realm-management` in a token, when the token is one of ours and has not expired.
pub(crate) fn roles(organisation: &Organisation, token: &str, now: i64) -> Option<BTreeSet<String>> {
    let (signed, mark) = token.rsplit_once('.')?;
    if mark != signature(organisation.seed, signed) {
        return None;
    }
    let (_, claims) = signed.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    if claims["exp"].as_i64()? <= now.div_euclid(1000) {
        return None;
    }
    let roles = claims["resource_access"][MANAGEMENT]["roles"].as_array();
    Some(roles.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// No real signature, but nobody outside this world can make one; it carries the mark of every secret here.
fn signature(seed: u64, signed: &str) -> String {
    format!("canary-token-{:016x}", id::hash(seed, &["token", signed]))
}
