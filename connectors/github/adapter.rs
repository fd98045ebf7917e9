//! octocrab over the kit's recorder: octocrab signs requests, the recorder sends them and keeps what came.
//!
//! No client of octocrab's own is built. What it hands over has a path and an authorization header; what it gets back is
//! the answer as kept, with the recorder's own word riding along.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::GapReason;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use kit::{Answer, CallSpec, Recorder, Unread, http};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use tower_service::Service;
use url::Url;

/// Asks through octocrab, signed as `auth` says.
pub(crate) struct Signed(Octocrab);

impl Signed {
    pub(crate) fn new(recorder: Arc<Recorder>, auth: AuthState) -> Self {
        let built = OctocrabBuilder::new_empty().with_service(Recorded(recorder)).with_auth(auth).build();
        let Ok(octocrab) = built;
        Signed(octocrab)
    }

    /// Makes a declared call.
    pub(crate) async fn ask(
        &self,
        call: &'static CallSpec,
        method: http::Method,
        url: &Url,
        body: Bytes,
    ) -> Result<Answer, Unread> {
        let unsent = |why: &str| Unread::unsent(call, GapReason::Refused, why);
        // octocrab signs what names no host; the recorder refuses every host but the source's own.
        let path = format!("{}{}", url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default());
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", version(url));
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(OctoBody::from(body)).map_err(|_| unsent("no address could be made"))?;
        request.extensions_mut().insert(Wanted { call, url: url.clone() });
        let mut answered = self.0.execute(request).await.map_err(|_| unsent("the request could not be signed"))?;
        let outcome = answered.extensions_mut().remove::<Outcome>();
        outcome.ok_or_else(|| unsent("the recorder's word was lost"))?.0
    }
}

/// The version of the REST API. Enterprise servers learn new ones later than github.com.
///
/// <https://docs.github.com/en/rest/about-the-rest-api/api-versions>
fn version(url: &Url) -> &'static str {
    match url.host_str() {
        Some("api.github.com") => "2026-03-10",
        _ => "2022-11-28",
    }
}

/// Which call a request is, and where it goes.
#[derive(Clone)]
struct Wanted {
    call: &'static CallSpec,
    url: Url,
}

/// What the recorder said, beside the answer that octocrab sees.
#[derive(Clone)]
struct Outcome(Result<Answer, Unread>);

/// The recorder as the service that octocrab sends through.
#[derive(Clone)]
struct Recorded(Arc<Recorder>);

impl Service<http::Request<OctoBody>> for Recorded {
    type Response = http::Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<OctoBody>) -> Self::Future {
        let recorder = Arc::clone(&self.0);
        Box::pin(async move {
            let outcome = send(&recorder, request).await;
            // octocrab is not asked to understand anything, so it sees an empty success whatever came.
            let mut response = http::Response::new(Full::default());
            if let Some(outcome) = outcome {
                response.extensions_mut().insert(Outcome(outcome));
            }
            Ok(response)
        })
    }
}

/// `None` when the request is none of ours.
async fn send(recorder: &Recorder, request: http::Request<OctoBody>) -> Option<Result<Answer, Unread>> {
    let (mut parts, body) = request.into_parts();
    let Wanted { call, url } = parts.extensions.remove::<Wanted>()?;
    let refused = || Unread::unsent(call, GapReason::Refused, "the request could not be read");
    let (Ok(uri), Ok(body)) = (url.as_str().parse(), body.collect().await) else { return Some(Err(refused())) };
    parts.uri = uri;
    Some(recorder.exchange(call, http::Request::from_parts(parts, body.to_bytes())).await)
}
