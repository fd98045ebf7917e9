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

/// The way from here to everything outside. Variables of the environment (`HTTPS_PROXY` and its like) do not count: what
/// is asked through whom should stand in the settings, which are evidence.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Network {
    /// The proxy that everything outside is reached through; this machine never is.
    pub proxy: Option<Proxy>,
    /// A file of certificates (PEM) of authorities to trust beside the system's, whoever is asked.
    pub ca_file: Option<PathBuf>,
}

/// A proxy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Proxy {
    /// Where it is.
    pub url: Url,
    /// Who is reached without it: names (with all names below them), addresses, networks (`10.0.0.0/8`), or `*`.
    pub except: Vec<String>,
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
    /// There are no certificates in the file of authorities.
    #[error("{} holds no certificates in PEM", .0.display())]
    NoCertificates(PathBuf),
    /// The client could not be built.
    #[error("cannot build an HTTP client")]
    Build(#[source] reqwest::Error),
}

/// Makes and keeps HTTP clients, so that connections are used again from run to run.
#[derive(Clone, Default)]
pub struct Clients {
    kept: Arc<Mutex<BTreeMap<Key, reqwest::Client>>>,
}

/// What makes two clients different: authorities (with their bytes, since files are renewed), the way, whether it leaves
/// this machine, and the limit on connecting.
type Key = (Vec<Vec<u8>>, Network, bool, Duration);

impl Clients {
    /// The client for a source.
    pub(crate) fn get(
        &self,
        transport: &Transport,
        network: &Network,
        connect: Duration,
    ) -> Result<reqwest::Client, TransportError> {
        let files = [&transport.ca_file, &network.ca_file].into_iter().flatten();
        let authorities = files.map(|file| read_authorities(file)).collect::<Result<Vec<_>, _>>()?;
        let key = (authorities, network.clone(), transport.is_local(), connect);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.get(&key) {
            return Ok(client.clone());
        }
        let mut builder = plain(network)?.connect_timeout(connect);
        if let Some(file) = &transport.ca_file {
            builder = builder.tls_certs_merge(authorities_in(file)?);
        }
        if transport.is_local() {
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

fn authorities_in(path: &Path) -> Result<Vec<reqwest::Certificate>, TransportError> {
    let found = reqwest::Certificate::from_pem_bundle(&read_authorities(path)?).map_err(TransportError::Build)?;
    if found.is_empty() { Err(TransportError::NoCertificates(path.to_owned())) } else { Ok(found) }
}

/// What all clients have in common: a redirect is an answer to record, never to follow with a token.
pub(crate) fn plain(network: &Network) -> Result<reqwest::ClientBuilder, TransportError> {
    let policy = reqwest::redirect::Policy::none();
    let mut builder = reqwest::Client::builder().user_agent(USER_AGENT).redirect(policy).referer(false).no_proxy();
    if let Some(file) = &network.ca_file {
        builder = builder.tls_certs_merge(authorities_in(file)?);
    }
    if let Some(Proxy { url, except }) = &network.proxy {
        let mut direct = except.clone();
        direct.extend(["localhost", "127.0.0.0/8", "::1"].map(str::to_owned));
        let proxy = reqwest::Proxy::all(url.clone()).map_err(TransportError::Build)?;
        builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&direct.join(","))));
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_outside_is_reached_through_the_proxy_of_the_settings_and_this_machine_without() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            // Answers with the line it was asked by.
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = vec![0; 4096];
                let length = stream.read(&mut asked).await.unwrap();
                let line = String::from_utf8_lossy(&asked[..length]).lines().next().unwrap_or_default().to_owned();
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{line}", line.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let network = Network {
            proxy: Some(Proxy { url: here.clone(), except: vec!["direct.invalid".to_owned()] }),
            ca_file: None,
        };
        let clients = Clients::default();
        let ask = async |address: &str| {
            let transport = Transport { addresses: vec![address.parse().unwrap()], ca_file: None };
            let client = clients.get(&transport, &network, Duration::from_secs(5)).unwrap();
            client.get(address).send().await.ok()?.text().await.ok()
        };
        assert_eq!(ask("http://id.invalid/a").await.as_deref(), Some("GET http://id.invalid/a HTTP/1.1"));
        assert_eq!(ask(&format!("{here}a")).await.as_deref(), Some("GET /a HTTP/1.1"));
        assert_eq!(
            ask("http://direct.invalid/a").await,
            None,
            "there is no such name, and nobody else is asked for it"
        );
    }

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
