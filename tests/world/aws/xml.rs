//! XML as AWS writes it: elements and text, escaped by a library, in pieces that can be sent one by one.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;

use super::account::DAY;

/// A part of a document. Writing into memory cannot fail, so that nothing here does.
pub(crate) struct Xml(Writer<Vec<u8>>);

impl Xml {
    pub(crate) fn new() -> Xml {
        Xml(Writer::new(Vec::new()))
    }

    /// What was written, as one piece.
    pub(crate) fn piece(write: impl FnOnce(&mut Xml)) -> Bytes {
        let mut xml = Xml::new();
        write(&mut xml);
        xml.bytes()
    }

    pub(crate) fn bytes(self) -> Bytes {
        Bytes::from(self.0.into_inner())
    }

    pub(crate) fn open(&mut self, name: &str) {
        let _ = self.0.write_event(Event::Start(BytesStart::new(name)));
    }

    /// Opens an element in a namespace of its own.
    pub(crate) fn open_in(&mut self, name: &str, namespace: &str) {
        let start = BytesStart::new(name).with_attributes([("xmlns", namespace)]);
        let _ = self.0.write_event(Event::Start(start));
    }

    pub(crate) fn close(&mut self, name: &str) {
        let _ = self.0.write_event(Event::End(BytesEnd::new(name)));
    }

    /// An element that holds what `inside` writes.
    pub(crate) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Xml)) {
        self.open(name);
        inside(self);
        self.close(name);
    }

    /// An element that holds a text.
    pub(crate) fn text(&mut self, name: &str, text: impl AsRef<str>) {
        self.element(name, |xml| drop(xml.0.write_event(Event::Text(BytesText::new(text.as_ref())))));
    }

    /// An element that holds a moment, in milliseconds since 1970: `2026-11-22T10:00:00Z`.
    pub(crate) fn moment(&mut self, name: &str, millis: i64) {
        self.text(name, moment(millis).to_rfc3339_opts(SecondsFormat::Secs, true));
    }

    /// An element that holds a policy, percent-encoded as the service does it.
    pub(crate) fn document(&mut self, name: &str, policy: &Value) {
        let encoded: String = url::form_urlencoded::byte_serialize(policy.to_string().as_bytes()).collect();
        self.text(name, encoded.replace('+', "%20").replace('*', "%2A"));
    }

    /// A list: an element with one `member` for each item.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Xml, T),
    ) {
        self.element(name, |xml| {
            for item in items {
                xml.element("member", |xml| write(xml, item));
            }
        });
    }
}

/// Whole seconds, which is all that AWS keeps.
pub(crate) fn moment(millis: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(millis.div_euclid(1000), 0).unwrap_or_default()
}

/// A moment as the credential report writes it: `2026-11-22T10:00:00+00:00`.
pub(crate) fn report_moment(millis: i64) -> String {
    moment(millis).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// The end of a life of 398 days that began then: certificates live no longer.
pub(crate) fn expiry(millis: i64) -> i64 {
    millis + 398 * DAY
}
