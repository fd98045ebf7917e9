//! Answers before they are sent: a status, headers, and a body that is made piece by piece.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// Pieces of a body are sent in chunks of about so many bytes.
const CHUNK: usize = 32 << 10;

/// The bytes of a body, made when they are asked for.
pub(crate) type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

/// One answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// A body that is there, or one that is made while it is sent.
pub(crate) enum Body {
    Whole(Bytes),
    Made(Pieces),
}

impl Reply {
    /// A body that is there.
    pub(crate) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
        Reply::new(status, kind, Body::Whole(body.into()))
    }

    /// A body that is made while it is sent, in pieces of any length.
    pub(crate) fn made(status: StatusCode, kind: &'static str, pieces: Pieces) -> Reply {
        Reply::new(status, kind, Body::Made(Box::new(Chunks { pieces })))
    }

    fn new(status: StatusCode, kind: &'static str, body: Body) -> Reply {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        Reply { status, headers, body }
    }

    /// With one more header; a value that no header can hold is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Reply {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// The bytes of a JSON list, item by item.
pub(crate) fn json_list(items: impl Iterator<Item = Value> + Send + 'static) -> Pieces {
    let items = items.enumerate().map(|(at, item)| {
        let separator = if at == 0 { "" } else { "," };
        Bytes::from(format!("{separator}{item}"))
    });
    let (open, close) = (Bytes::from_static(b"["), Bytes::from_static(b"]"));
    Box::new(std::iter::once(open).chain(items).chain(std::iter::once(close)))
}

/// Small pieces put together until they are worth sending.
struct Chunks {
    pieces: Pieces,
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut chunk = BytesMut::with_capacity(CHUNK + 4096);
        while chunk.len() < CHUNK {
            match self.pieces.next() {
                Some(piece) => chunk.extend_from_slice(&piece),
                None if chunk.is_empty() => return None,
                None => break,
            }
        }
        Some(chunk.freeze())
    }
}
