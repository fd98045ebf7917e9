//! octocrab over the kit's recorder: octocrab signs requests, the recorder sends them and keeps what came.
//!
//! No client of octocrab's own is built. What it hands over has a path and an authorization header; what it gets back is
//! the answer as kept, with the recorder's own word riding along.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::GapReason;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use kit::{Arrived, CallSpec, Recorder, Unread, http};
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

    /// Makes a declared call; see [`Recorder::ask`].
    pub(crate) async fn ask(
        &self,
        call: &'static CallSpec,
        method: http::Method,
        url: &Url,
        body: Bytes,
    ) -> Result<Arrived, Unread> {
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
        let outcome = Outcome::default();
        request.extensions_mut().insert(Wanted { call, url: url.clone(), outcome: Arc::clone(&outcome) });
        self.0.execute(request).await.map_err(|_| unsent("the request could not be signed"))?;
        let said = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.ok_or_else(|| unsent("the recorder's word was lost"))?
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

/// Which call a request is, where it goes, and where to leave what the recorder said.
#[derive(Clone)]
struct Wanted {
    call: &'static CallSpec,
    url: Url,
    outcome: Outcome,
}

/// What the recorder said, beside the answer that octocrab sees.
type Outcome = Arc<Mutex<Option<Result<Arrived, Unread>>>>;

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
            send(&recorder, request).await;
            // octocrab is not asked to understand anything, so it sees an empty success whatever came.
            Ok(http::Response::new(Full::default()))
        })
    }
}

/// Sends a request, unless it is none of ours.
async fn send(recorder: &Recorder, request: http::Request<OctoBody>) {
    let (mut parts, body) = request.into_parts();
    let Some(Wanted { call, url, outcome }) = parts.extensions.remove::<Wanted>() else { return };
    let said = match (url.as_str().parse(), body.collect().await) {
        (Ok(uri), Ok(body)) => {
            parts.uri = uri;
            recorder.ask(call, http::Request::from_parts(parts, body.to_bytes())).await
        }
        _ => Err(Unread::unsent(call, GapReason::Refused, "the request could not be read")),
    };
    *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
}
