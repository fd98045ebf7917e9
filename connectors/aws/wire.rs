//! The SDK's way to the network: every request becomes an exchange of the recorder, and nothing else leaves.
//!
//! The SDK signs and reads; the recorder sends, keeps, tries again and refuses. So the raw answer is the evidence, and
//! the SDK's typed answer is made from the same bytes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use kit::{Answer, Recorder, Unread, http};
use xmlparser::{ElementEnd, Token, Tokenizer};

/// Carries requests of the SDK. It remembers what came of the last one, so calls that share it are made one by one.
#[derive(Clone)]
pub(crate) struct Wire {
    recorder: Arc<Recorder>,
    last: Arc<Mutex<Option<Result<Answer, Unread>>>>,
}

impl Wire {
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Wire { recorder, last: Arc::default() }
    }

    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// What came of the last request, once; `None` when there was none.
    pub(crate) fn take_last(&self) -> Option<Result<Answer, Unread>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (parts, body) = request.into_parts();
        let body = body.bytes().map(Bytes::copy_from_slice);
        let body = body.ok_or_else(|| ConnectorError::user("a body that is not in memory".into()))?;
        let answered = self.recorder.send(http::Request::from_parts(parts, body)).await;
        let answered = answered.and_then(|answer| whole(&answer).map(|()| answer));
        // An answer that says no is the SDK's to read as well; only what is no answer at all is a broken connection.
        let reply = match &answered {
            Ok(answer) => Ok(answer.clone()),
            Err(unread) => unread.answer.as_deref().cloned().ok_or_else(|| unread.detail.clone()),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
        let answer = reply.map_err(|why| ConnectorError::other(why.into(), None))?;
        let mut reply = http::Response::builder().status(answer.status);
        if let Some(headers) = reply.headers_mut() {
            *headers = answer.headers;
        }
        let reply =
            reply.body(SdkBody::from(answer.body)).map_err(|error| ConnectorError::other(error.into(), None))?;
        HttpResponse::try_from(reply).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move { wire.exchange(request).await })
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Whether an answer is the whole XML document that the action answers with.
///
/// The SDK's own reader takes what it finds and stops without a word where a document is cut off, so a list that was
/// cut off would be a shorter list.
fn whole(answer: &Answer) -> Result<(), Unread> {
    let Some(action) = answer.mark.call.action() else { return Ok(()) };
    let text = std::str::from_utf8(&answer.body).map_err(|_| answer.mark.malformed("the answer is not text"))?;
    match root_of(text) {
        Some(root) if root.strip_suffix("Response") == Some(action) => Ok(()),
        Some(_) => Err(answer.mark.malformed("the answer is not the one that the action gives")),
        None => Err(answer.mark.malformed("the answer is not a whole XML document")),
    }
}

/// The name of the outermost element of a document whose elements are all closed.
fn root_of(text: &str) -> Option<&str> {
    let mut open: Vec<&str> = Vec::new();
    let mut root = None;
    for token in Tokenizer::from(text) {
        match token.ok()? {
            Token::ElementStart { local, .. } => {
                if open.is_empty() && root.replace(local.as_str()).is_some() {
                    return None;
                }
                open.push(local.as_str());
            }
            Token::ElementEnd { end: ElementEnd::Close(_, local), .. } if open.pop() != Some(local.as_str()) => {
                return None;
            }
            Token::ElementEnd { end: ElementEnd::Empty, .. } => {
                open.pop();
            }
            _ => {}
        }
    }
    root.filter(|_| open.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_cut_off_anywhere_is_not_whole() {
        let whole = "<?xml version=\"1.0\"?>\n<AResponse xmlns=\"x\"><B a=\"1\"><C/>t</B><B>u</B></AResponse>\n";
        assert_eq!(root_of(whole), Some("AResponse"));
        let end = whole.trim_end().len();
        for length in 0..end {
            assert_eq!(root_of(&whole[..length]), None, "{}", &whole[..length]);
        }
        for broken in ["<A><B></A></B>", "<A/><B/>", "</A>", "<A></A></A>", "{}", "", "<A>{"] {
            assert_eq!(root_of(broken), None, "{broken}");
        }
    }
}
