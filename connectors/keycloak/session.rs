//! Signing in as the reader, and asking with its token.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::{Duration, GapReason, Timestamp};
use kit::view::{Mark, View};
use kit::{Answer, CallSpec, Pages, Recorder, Unread, Walked, http, walk_by_offset};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::Realm;
use crate::spec::TOKEN;

/// One run's dealings with a realm: a token of its own, since an old one keeps rights that were taken away.
pub(crate) struct Session<'a> {
    realm: &'a Realm,
    recorder: Arc<Recorder>,
    token: Mutex<Token>,
    /// Who the realm takes us for.
    pub(crate) caller: String,
}

struct Token {
    bearer: SecretString,
    /// When to fetch the next: before the realm stops taking this one.
    renew_at: Timestamp,
    /// What the reader may see, by the token's own word.
    rights: Rights,
}

/// The roles of `realm-management` that a token holds, composite ones resolved by Keycloak.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Rights(BTreeSet<String>);

impl Rights {
    /// Whether the reader truly sees what the role `view-…` shows; the role `manage-…` shows the same.
    fn may_view(&self, what: &str) -> bool {
        self.0.contains(&format!("view-{what}")) || self.0.contains(&format!("manage-{what}"))
    }
}

impl<'a> Session<'a> {
    /// Signs in. The exchange says when the token was issued; of the token itself nothing is kept.
    pub(crate) async fn open(realm: &'a Realm, recorder: Arc<Recorder>) -> Result<Self, Unread> {
        let issued = sign_in(realm, &recorder).await?;
        Ok(Session { realm, recorder, token: Mutex::new(issued.token), caller: issued.caller })
    }

    /// Asks below the realm's admin address. A token that the realm no longer takes is renewed once.
    pub(crate) async fn get(
        &self,
        call: &'static CallSpec,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, Unread> {
        let path: Vec<&str> =
            ["admin", "realms", &self.realm.realm].into_iter().chain(segments.iter().copied()).collect();
        let mut url = kit::joined(&self.realm.url, &path).ok_or_else(|| no_address(call))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let bearer = self.bearer(None).await?;
        match self.ask(call, &url, &bearer).await {
            Err(unread) if unread.reason == GapReason::Unauthenticated => {
                let bearer = self.bearer(Some(&bearer)).await?;
                self.ask(call, &url, &bearer).await
            }
            answered => answered,
        }
    }

    /// Walks a list to its end, page by page; `query` follows the page's own parameters, and `expected` is the realm's own
    /// count of the items, where it has one.
    pub(crate) async fn walk(
        &self,
        call: &'static CallSpec,
        segments: &[&str],
        query: &[(&str, &str)],
        expected: Option<u64>,
        each: impl FnMut(Value, Mark) + Send,
    ) -> Walked {
        let expected = expected.and_then(|count| usize::try_from(count).ok());
        let page = |first: usize, max: usize| async move {
            let (first, max) = (first.to_string(), max.to_string());
            let page = [("first", first.as_str()), ("max", max.as_str())];
            let asked: Vec<(&str, &str)> = page.into_iter().chain(query.iter().copied()).collect();
            self.get(call, segments, &asked).await
        };
        walk_by_offset(&self.recorder, call, self.realm.page, expected, page, each).await
    }

    /// The same for a list that is short by its nature, held whole.
    pub(crate) async fn list(&self, call: &'static CallSpec, segments: &[&str], query: &[(&str, &str)]) -> Pages {
        let mut items = Vec::new();
        let walked = self.walk(call, segments, query, None, |item, mark| items.push((item, mark))).await;
        Pages::of(items, walked)
    }

    /// A gap for an answer that came although the reader may not look: without the role `view-…` Keycloak answers 200 as
    /// well, with a stub or an empty list.
    pub(crate) async fn allowed(&self, what: &str, mark: Mark) -> Result<(), Unread> {
        if self.token.lock().await.rights.may_view(what) {
            return Ok(());
        }
        Err(mark.unread(GapReason::Denied, format!("answered, but the token holds no role view-{what}")))
    }

    /// The realm's name.
    pub(crate) fn realm_name(&self) -> &str {
        &self.realm.realm
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.recorder.now()
    }

    async fn ask(&self, call: &'static CallSpec, url: &Url, bearer: &SecretString) -> Result<Answer, Unread> {
        let header = format!("Bearer {}", bearer.expose_secret());
        let request = http::Request::get(url.as_str()).header(http::header::AUTHORIZATION, header).body(Bytes::new());
        self.recorder.exchange(call, request.map_err(|_| no_address(call))?).await
    }

    /// The token to ask with: a new one when its time is near, or when `refused` is still the one at hand.
    async fn bearer(&self, refused: Option<&SecretString>) -> Result<SecretString, Unread> {
        let mut token = self.token.lock().await;
        let still_refused = refused.is_some_and(|r| r.expose_secret() == token.bearer.expose_secret());
        if still_refused || self.recorder.now() >= token.renew_at {
            *token = sign_in(self.realm, &self.recorder).await?.token;
        }
        Ok(token.bearer.clone())
    }
}

/// What signing in gave.
struct Issued {
    token: Token,
    caller: String,
}

async fn sign_in(realm: &Realm, recorder: &Recorder) -> Result<Issued, Unread> {
    let path = ["realms", &realm.realm, "protocol", "openid-connect", "token"];
    let url = kit::joined(&realm.url, &path).ok_or_else(|| no_address(&TOKEN))?;
    let request = http::Request::post(url.as_str())
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form(realm))
        .map_err(|_| no_address(&TOKEN))?;
    let asked = recorder.now();
    let answer = recorder.exchange(&TOKEN, request).await?;
    let value = answer.json()?;
    let view = View::object(&value, answer.mark)?;
    let bearer = view.text("access_token")?;
    let claims = claims(bearer).ok_or_else(|| answer.mark.malformed("the token's claims cannot be read"))?;
    // A fifth of the life is left for calls under way.
    let life = Duration::from_secs(u64::try_from(view.number("expires_in")?).unwrap_or(0));
    let renew_at = asked.plus(Duration::from_millis(life.millis() / 5 * 4));
    let caller = claims.get("preferred_username").and_then(|v| v.as_str()).unwrap_or(&realm.client_id).to_owned();
    let rights = rights(&claims, management_client(&realm.realm));
    Ok(Issued { token: Token { bearer: bearer.into(), renew_at, rights }, caller })
}

fn form(realm: &Realm) -> Bytes {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.append_pair("client_id", &realm.client_id);
    form.append_pair("client_secret", realm.client_secret.expose_secret());
    form.finish().into()
}

/// The claims of a token: its middle part. The signature is the realm's business; we only read what it told us.
fn claims(token: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The client whose roles rule over a realm.
pub(crate) fn management_client(realm: &str) -> &'static str {
    if realm == "master" { "master-realm" } else { "realm-management" }
}

fn rights(claims: &Value, management: &str) -> Rights {
    let client = claims.get("resource_access").and_then(|clients| clients.get(management));
    let roles = client.and_then(|client| client.get("roles")).and_then(|roles| roles.as_array());
    Rights(roles.into_iter().flatten().filter_map(|role| role.as_str()).map(str::to_owned).collect())
}

fn no_address(call: &'static CallSpec) -> Unread {
    Unread::unsent(call, GapReason::Refused, "no address could be made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_view_or_manage_role_itself_lets_the_reader_look() {
        let of = |claims: Value| rights(&claims, "realm-management");
        let with = |roles: &[&str]| of(json!({"resource_access": {"realm-management": {"roles": roles}}}));
        assert!(with(&["view-users"]).may_view("users"));
        assert!(with(&["manage-users"]).may_view("users"));
        assert!(!with(&["query-users", "view-realm"]).may_view("users"));
        assert!(!of(json!({"resource_access": {"account": {"roles": ["view-users"]}}})).may_view("users"));
        assert!(!of(json!({})).may_view("users"));
    }

    #[test]
    fn claims_are_read_without_the_signature() {
        let token = format!("x.{}.[redacted]", URL_SAFE_NO_PAD.encode(r#"{"azp":"a"}"#));
        assert_eq!(claims(&token), Some(json!({"azp": "a"})));
        assert_eq!(claims("opaque"), None);
    }
}
