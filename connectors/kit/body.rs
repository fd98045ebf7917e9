//! Where the bytes of answers go, and where earlier ones come from.

use bytes::Bytes;
use domain::{BodyId, StreamId};

/// Takes the bytes of an answer out of memory as they come. The daemon's store is one.
pub trait BodySink: Send + Sync {
    /// Keeps the segments of one body, in order, and says under which ids. May block on a disk.
    fn put(&self, segments: &[Bytes]) -> Result<Vec<BodyId>, SinkError>;
}

/// A body could not be kept, so its answer may not be used: there would be no evidence behind it.
#[derive(Debug, thiserror::Error)]
#[error("an answer could not be kept")]
pub struct SinkError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Earlier answers, for sources that answer *not modified*.
pub trait Conditional: Send + Sync {
    /// Whether there is any such answer from this stream. It is asked once a run, before anything else. May block on a disk.
    fn knows(&self, stream: &StreamId) -> bool {
        let _ = stream;
        true
    }

    /// The last answer that carried an entity tag, from this stream and this address. May block on a disk.
    fn earlier(&self, stream: &StreamId, url: &str) -> Option<Earlier>;

    /// Lets go of what is held in memory: something was erased.
    fn forget(&self) {}
}

/// An earlier answer and its entity tag.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The `ETag`, verbatim.
    pub etag: String,
    /// The body as it was kept, redactions included.
    pub body: Bytes,
    /// The ids under which it was kept.
    pub ids: Vec<BodyId>,
    /// The paths that were redacted in it.
    pub redacted: Vec<String>,
    /// The next page that it named. An answer that only confirms it may leave that out, as GitHub does.
    pub next: Option<String>,
}
