//! Plain HTTP for what is not evidence: posting to alert receivers, and asking the daemon through its socket.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

use crate::client::plain;

/// The greatest answer that is read, in bytes.
const GREATEST_ANSWER: usize = 16 * 1024 * 1024;

/// A request that got no whole answer. It names no address, since those of receivers hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is longer than anything we would read.
    #[error("an answer of more than {GREATEST_ANSWER} bytes")]
    TooLong,
    /// No connection, or one that broke.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
}

/// Posts one message to one address.
#[async_trait]
pub trait Post: Send + Sync {
    /// Sends `body` and gives back status and body of the answer, redirects included as they are.
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(u16, Bytes), PostError>;
}

/// A client without redirects, with limits on time and size.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
}

impl Outbound {
    /// A client for the network.
    pub fn network() -> Result<Self, PostError> {
        Ok(Outbound { client: plain().build().map_err(PostError::Connection)? })
    }

    /// A client whose every request goes over a Unix socket, whatever host its address names.
    #[cfg(unix)]
    pub fn over_socket(path: &Path) -> Result<Self, PostError> {
        Ok(Outbound { client: plain().unix_socket(path).build().map_err(PostError::Connection)? })
    }

    /// Sends any request and reads the whole answer.
    pub async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(u16, Bytes), PostError> {
        let mut request = reqwest::Request::new(method, url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        let whole = async {
            let mut response = self.client.execute(request).await.map_err(bare)?;
            let mut answer = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(bare)? {
                if answer.len() + piece.len() > GREATEST_ANSWER {
                    return Err(PostError::TooLong);
                }
                answer.extend_from_slice(&piece);
            }
            Ok((response.status().as_u16(), Bytes::from(answer)))
        };
        tokio::time::timeout(timeout, whole).await.map_err(|_| PostError::TimedOut(timeout))?
    }
}

fn bare(error: reqwest::Error) -> PostError {
    PostError::Connection(error.without_url())
}

#[async_trait]
impl Post for Outbound {
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(u16, Bytes), PostError> {
        self.ask(Method::POST, url, headers, body, timeout).await
    }
}
