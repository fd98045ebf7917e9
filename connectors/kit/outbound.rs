//! Plain HTTP for what is not evidence: posting to alert receivers, and asking the daemon through its socket.

use std::error::Error;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::client::{Network, TransportError, plain};

/// The greatest answer that is read, in bytes.
const GREATEST_ANSWER: usize = 16 * 1024 * 1024;

/// A request that got no whole answer. It names no address, since those of receivers hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is longer than anything we would read.
    #[error("an answer of more than {GREATEST_ANSWER} bytes")]
    TooLong,
    /// The name leads to an address of a private range, which this client does not connect to.
    #[error("a private address")]
    PrivateAddress,
    /// The name has no address.
    #[error("the name cannot be resolved")]
    Unresolved,
    /// The other side's certificate does not hold.
    #[error("the certificate does not hold")]
    Certificate(#[source] reqwest::Error),
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] TransportError),
    /// No connection, or one that broke.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
}

/// A client without redirects, with limits on time and size.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
    public_only: bool,
}

impl Outbound {
    /// A client for the network, by the given way.
    pub fn network(way: &Network) -> Result<Self, AskError> {
        Ok(Outbound { client: plain(way)?.build().map_err(AskError::Connection)?, public_only: false })
    }

    /// A client for the network that connects to no address of a private, loopback or link-local range. It judges the
    /// addresses that it connects to, so that a name cannot lead it elsewhere afterwards. Behind a proxy it is the proxy
    /// that looks names up: there this judges only addresses that are written out.
    pub fn public_only(way: &Network) -> Result<Self, AskError> {
        let mut builder = plain(way)?;
        if way.proxy.is_none() {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        }
        Ok(Outbound { client: builder.build().map_err(AskError::Connection)?, public_only: true })
    }

    /// A client whose every request goes over a Unix socket, whatever host its address names.
    #[cfg(unix)]
    pub fn over_socket(path: &Path) -> Result<Self, AskError> {
        let way = Network::default();
        Ok(Outbound {
            client: plain(&way)?.unix_socket(path).build().map_err(AskError::Connection)?,
            public_only: false,
        })
    }

    /// Sends a request and reads the whole answer; a redirect is an answer.
    pub async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response<Bytes>, AskError> {
        // An address that is written out is never looked up, so the resolver does not see it.
        let written = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            _ => None,
        };
        if self.public_only && written.is_some_and(|address| !is_public(address)) {
            return Err(AskError::PrivateAddress);
        }
        let mut request = reqwest::Request::new(method, url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        let whole = async {
            let mut answer = self.client.execute(request).await.map_err(named)?;
            let mut body = Vec::new();
            while let Some(piece) = answer.chunk().await.map_err(named)? {
                if body.len() + piece.len() > GREATEST_ANSWER {
                    return Err(AskError::TooLong);
                }
                body.extend_from_slice(&piece);
            }
            let mut whole = Response::new(Bytes::from(body));
            *whole.status_mut() = answer.status();
            *whole.headers_mut() = answer.headers().clone();
            Ok(whole)
        };
        tokio::time::timeout(timeout, whole).await.map_err(|_| AskError::TimedOut(timeout))?
    }
}

/// Names what went wrong by what caused it, the innermost cause first: the others only repeat it in wider words.
fn named(error: reqwest::Error) -> AskError {
    let error = error.without_url();
    let mut causes: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    let says = |words: &str| causes.iter().any(|cause| cause.contains(words));
    match () {
        () if says(REFUSED) => AskError::PrivateAddress,
        () if says("dns error") => AskError::Unresolved,
        () if says("invalid peer certificate") => AskError::Certificate(error),
        () => AskError::Connection(error),
    }
}

/// The resolver's own refusal; it comes back inside the client's error, as text.
const REFUSED: &str = "the name leads to a private address";

/// Looks names up and keeps back every address that is not public.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(REFUSED.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address can be anybody's on the Internet: not of this machine, this network or a carrier's.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let carrier = a == 100 && (64..128).contains(&b);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified();
            !(special || carrier || v4.is_broadcast() || v4.is_documentation() || v4.is_multicast() || a == 0)
        }
        IpAddr::V6(v6) => match v6.to_ipv4() {
            // Mapped and compatible addresses lead to the IPv4 address inside; ::1 and :: are among them.
            Some(v4) if v6 != Ipv6Addr::LOCALHOST => is_public(IpAddr::V4(v4)),
            _ => {
                let special = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast();
                !(special || v6.is_unique_local() || v6.is_unicast_link_local())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_all_their_spellings() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
        ];
        for text in private {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_guarded_client_connects_to_no_private_address_by_number_or_by_name() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = Outbound::public_only(&Network::default()).unwrap();
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let url: Url = format!("http://{host}:{port}/hook").parse().unwrap();
            let asked = client.ask(Method::POST, &url, HeaderMap::new(), Bytes::new(), Duration::from_secs(5)).await;
            assert!(matches!(asked, Err(AskError::PrivateAddress)), "{host}: {asked:?}");
        }
    }
}
