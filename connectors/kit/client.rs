//! The HTTP clients. They are built here and nowhere else: no redirects, rustls, limits set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use crate::config::is_loopback;

/// What we call ourselves towards others.
const USER_AGENT: &str = concat!("evidenced/", env!("CARGO_PKG_VERSION"));

/// The addresses that belong to a source, and how to reach them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transport {
    /// Scheme, host, port and leading path. A request to anything else is refused.
    pub addresses: Vec<Url>,
    /// A file of certificates (PEM) of authorities to trust beside the system's, for a private authority.
    pub ca_file: Option<PathBuf>,
}

impl Transport {
    /// The path below one of the source's addresses, when `url` lies below one.
    pub fn path_below<'a>(&self, url: &'a Url) -> Option<&'a str> {
        self.addresses.iter().find_map(|address| {
            let same_origin = address.origin() == url.origin() && address.origin().is_tuple();
            let below = url.path().strip_prefix(address.path().trim_end_matches('/'))?;
            (same_origin && below.starts_with('/')).then_some(below)
        })
    }

    /// Proxies are for the world outside; this machine is never reached through one.
    fn is_local(&self) -> bool {
        self.addresses.iter().all(|a| a.host().is_some_and(|h| is_loopback(&h)))
    }
}

/// No client could be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The file of authorities could not be read.
    #[error("cannot read the certificates in {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The client could not be built.
    #[error("cannot build an HTTP client")]
    Build(#[source] reqwest::Error),
}

/// Makes and keeps HTTP clients, so that connections are used again from run to run.
#[derive(Clone, Default)]
pub struct Clients {
    kept: Arc<Mutex<BTreeMap<Key, reqwest::Client>>>,
}

/// What makes two clients different: authorities (with their bytes, since files are renewed), proxy, connect limit.
type Key = (Option<Vec<u8>>, bool, Duration);

impl Clients {
    /// The client for a source.
    pub(crate) fn get(&self, transport: &Transport, connect: Duration) -> Result<reqwest::Client, TransportError> {
        let authorities = transport.ca_file.as_deref().map(read_authorities).transpose()?;
        let key = (authorities, transport.is_local(), connect);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.get(&key) {
            return Ok(client.clone());
        }
        let mut builder = plain().connect_timeout(connect);
        if let Some(pem) = &key.0 {
            let authorities = reqwest::Certificate::from_pem_bundle(pem).map_err(TransportError::Build)?;
            builder = builder.tls_certs_merge(authorities);
        }
        if key.1 {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(TransportError::Build)?;
        kept.insert(key, client.clone());
        Ok(client)
    }
}

fn read_authorities(path: &Path) -> Result<Vec<u8>, TransportError> {
    std::fs::read(path).map_err(|cause| TransportError::CaFile { path: path.to_owned(), cause })
}

/// What all clients have in common: a redirect is an answer to record, never to follow with a token.
pub(crate) fn plain() -> reqwest::ClientBuilder {
    reqwest::Client::builder().user_agent(USER_AGENT).redirect(reqwest::redirect::Policy::none()).referer(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_the_sources_own_address_is_its_own() {
        let transport = Transport { addresses: vec!["https://id.example.com/auth/".parse().unwrap()], ca_file: None };
        let below = |text: &str| transport.path_below(&text.parse().unwrap()).map(str::to_owned);
        assert_eq!(below("https://id.example.com/auth/admin/realms/a").as_deref(), Some("/admin/realms/a"));
        for foreign in [
            "http://id.example.com/auth/admin",
            "https://id.example.com:8443/auth/admin",
            "https://id.example.com.evil.test/auth/admin",
            "https://id.example.com/authority",
            "https://id.example.com/auth/../admin",
            "https://id.example.com@evil.test/auth/admin",
        ] {
            assert_eq!(below(foreign), None, "{foreign}");
        }
    }
}
