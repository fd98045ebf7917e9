//! Who may read: whoever is on this machine, or whoever has the token.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// Who may read the pages and the API.
#[derive(Clone, Debug)]
pub enum Access {
    /// Anybody who can connect; for listeners on a loopback address. The request must name a loopback host, so that a
    /// page elsewhere cannot have its own name resolve to this machine and read along.
    Loopback,
    /// Whoever shows this token, as `Authorization: Bearer …`, or as the password of HTTP Basic with any user name,
    /// which is what a browser asks for by itself. An empty token lets nobody in.
    Token(Token),
}

/// A token that can be replaced while it is in use.
#[derive(Clone)]
pub struct Token(Arc<RwLock<SecretString>>);

impl Token {
    /// The token that lets people in from now on; spaces and line breaks around it do not count.
    pub fn new(secret: SecretString) -> Self {
        Token(Arc::new(RwLock::new(secret)))
    }

    /// Replaces it everywhere that it is in use.
    pub fn replace(&self, secret: SecretString) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    fn is(&self, shown: &str) -> bool {
        is_token(&self.0.read().unwrap_or_else(PoisonError::into_inner), shown)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What an asker without the token is told to show. Browsers know the second one.
pub(crate) const CHALLENGES: [&str; 2] = ["Bearer realm=\"evidenced\"", "Basic realm=\"evidenced\", charset=\"UTF-8\""];

/// Lets a request pass, or refuses it.
pub(crate) async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.judge(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl Access {
    fn judge(&self, request: &Request) -> Result<(), Problem> {
        match self {
            Access::Loopback => {
                let hosts = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or(""));
                let authority = request.uri().authority().map(|authority| authority.as_str());
                let named: Vec<&str> = hosts.chain(authority).collect();
                if !named.is_empty() && named.iter().all(|name| is_loopback(name)) {
                    return Ok(());
                }
                Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "these pages answer to a loopback address only, and the request names another host",
                    "open them by 127.0.0.1, [::1] or localhost; to serve other hosts, set a token file",
                ))
            }
            Access::Token(token) => {
                let shown = request.headers().get(header::AUTHORIZATION).and_then(shown_secret);
                if shown.is_some_and(|shown| token.is(&shown)) {
                    return Ok(());
                }
                Err(Problem::new(
                    StatusCode::UNAUTHORIZED,
                    "these pages want the token",
                    "send Authorization: Bearer TOKEN; in a browser, give any user name and the token as the password",
                ))
            }
        }
    }
}

/// The token, or the password of HTTP Basic.
fn shown_secret(value: &HeaderValue) -> Option<String> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

/// Compares digests, in a time that tells neither where the two differ nor how long the token is.
fn is_token(token: &SecretString, shown: &str) -> bool {
    let token = token.expose_secret().trim();
    let equal = Sha256::digest(token).as_slice().ct_eq(Sha256::digest(shown).as_slice());
    !token.is_empty() && bool::from(equal)
}

/// Whether a `Host` names this machine by a loopback name or address, whatever its port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => return false,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for good in ["localhost", "LOCALHOST:8461", "127.0.0.1", "127.0.0.1:8461", "127.1.2.3:1", "[::1]", "[::1]:8461"]
        {
            assert!(is_loopback(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8461",
            "10.0.0.1:8461",
            "0.0.0.0",
            "[::1]evil.example",
            "[::2]:8461",
            "notlocalhost",
            "localhost:8461:evil",
            "::1",
        ] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
