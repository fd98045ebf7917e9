//! Replacing secret values in JSON and addresses, every other byte kept as it came.
//!
//! A path names members by name, separated by dots; `[]` stands for every item of a list, `*` for every member of an
//! object, and `**` for any depth: `secret`, `[].credentialData`, `smtpServer.password`, `**.clientSecret`. A name that
//! holds a dot stands in quotes: `attributes."client.secret"`. A path that ends in `|origin` names addresses, of which
//! scheme, host and port are kept: the rest of a webhook's address often lets anybody post to it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use url::Url;

/// What stands in the place of a secret value: a JSON string, so that the document stays one.
const REPLACEMENT: &[u8] = b"\"[redacted]\"";

/// Values nest no deeper than this; a document that does is not looked through, and so not kept.
const GREATEST_DEPTH: usize = 64;

/// Query parameters whose values never stand in evidence, in lower case.
const SECRET_PARAMETERS: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "client_secret",
    "code",
    "id_token",
    "key",
    "password",
    "private_token",
    "refresh_token",
    "secret",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
];

/// A document without its secret values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redacted {
    /// The document; the same bytes as received where no path matched.
    pub body: Bytes,
    /// The paths that matched something, sorted.
    pub paths: Vec<String>,
}

/// The document is not JSON or nests too deep: its secrets cannot be found, so it may not be kept.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not JSON, so its secrets cannot be told from the rest")]
pub struct NotJson;

/// Replaces the values at `paths`.
pub fn json(body: &Bytes, paths: &[&str]) -> Result<Redacted, NotJson> {
    if paths.is_empty() {
        return Ok(Redacted { body: body.clone(), paths: Vec::new() });
    }
    let text = std::str::from_utf8(body).map_err(|_| NotJson)?;
    let root: &RawValue = serde_json::from_str(text).map_err(|_| NotJson)?;
    let mut spans: BTreeMap<(usize, usize), Cow<'_, [u8]>> = BTreeMap::new();
    let mut matched = BTreeSet::new();
    for path in paths {
        let of_addresses = path.strip_suffix("|origin");
        let steps = steps_of(of_addresses.unwrap_or(path));
        let mut found = Vec::new();
        walk(root, &steps, 0, &mut found)?;
        if !found.is_empty() {
            matched.insert((*path).to_owned());
        }
        // Both point into `text`, so the difference is the value's place in it.
        let place = |value: &RawValue| value.get().as_ptr() as usize - text.as_ptr() as usize;
        for value in found {
            let span = (place(value), value.get().len());
            match of_addresses.and_then(|_| origin(value)) {
                // A path that hides the whole value goes before one that keeps its beginning.
                Some(origin) => drop(spans.entry(span).or_insert(Cow::Owned(origin))),
                None => drop(spans.insert(span, Cow::Borrowed(REPLACEMENT))),
            }
        }
    }
    let mut kept = Vec::with_capacity(body.len());
    let mut done = 0;
    for ((start, length), instead) in spans {
        if start < done {
            continue; // It lies inside a value that is replaced already.
        }
        kept.extend_from_slice(body.get(done..start).unwrap_or_default());
        kept.extend_from_slice(&instead);
        done = start + length;
    }
    kept.extend_from_slice(body.get(done..).unwrap_or_default());
    Ok(Redacted { body: kept.into(), paths: matched.into_iter().collect() })
}

/// What is kept of a value that is an address, as JSON: scheme, host and port.
fn origin(value: &RawValue) -> Option<Vec<u8>> {
    let address: String = serde_json::from_str(value.get()).ok()?;
    let origin = Url::parse(&address).ok()?.origin();
    let kept = format!("{}/[redacted]", origin.is_tuple().then(|| origin.ascii_serialization())?);
    serde_json::to_vec(&kept).ok()
}

/// The address as evidence keeps it: no credentials, no fragment, no secret parameter.
pub fn address(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail for addresses that cannot have credentials, which is as good.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    let is_secret = |name: &str| SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str());
    if url.query_pairs().any(|(name, _)| is_secret(&name)) {
        let cleaned = url.query_pairs().map(|(name, value)| {
            let value = if is_secret(&name) { Cow::Borrowed("[redacted]") } else { value };
            (name, value)
        });
        shown.query_pairs_mut().clear().extend_pairs(cleaned);
    }
    shown.into()
}

/// The steps of a path; `users[]` is the member `users` and then every item of it.
fn steps_of(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None if rest.starts_with("[]") => rest.split_at(2),
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        steps.push(step);
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

/// Collects the values at the end of `steps`.
fn walk<'a>(value: &'a RawValue, steps: &[&str], depth: usize, found: &mut Vec<&'a RawValue>) -> Result<(), NotJson> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value);
        return Ok(());
    };
    if depth > GREATEST_DEPTH {
        return Err(NotJson);
    }
    let inner: Inner<'a> = serde_json::from_str(value.get()).map_err(|_| NotJson)?;
    if *step == "**" {
        walk(value, rest, depth + 1, found)?;
    }
    match inner {
        Inner::Items(items) if matches!(*step, "[]" | "**") => {
            let rest = if *step == "**" { steps } else { rest };
            items.into_iter().try_for_each(|item| walk(item, rest, depth + 1, found))
        }
        Inner::Members(members) => {
            let rest = if *step == "**" { steps } else { rest };
            let wanted = |name: &str| matches!(*step, "*" | "**") || name == *step;
            members.into_iter().filter(|(name, _)| wanted(name)).try_for_each(|(_, v)| walk(v, rest, depth + 1, found))
        }
        Inner::Items(_) | Inner::Other => Ok(()),
    }
}

/// One level of a document, each part as the bytes it stands in. A name may occur twice; both are looked at.
enum Inner<'a> {
    Items(Vec<&'a RawValue>),
    Members(Vec<(Cow<'a, str>, &'a RawValue)>),
    Other,
}

impl<'de> Deserialize<'de> for Inner<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Level;
        impl<'de> Visitor<'de> for Level {
            type Value = Inner<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Inner::Items(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((Cow::Owned(name), value));
                }
                Ok(Inner::Members(members))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Inner::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Inner::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Inner::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Inner::Other)
            }
            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Inner::Other)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Inner::Other)
            }
        }
        d.deserialize_any(Level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(body: &'static str, paths: &[&str]) -> (String, Vec<String>) {
        let done = json(&Bytes::from_static(body.as_bytes()), paths).unwrap();
        (String::from_utf8(done.body.to_vec()).unwrap(), done.paths)
    }

    #[test]
    fn only_the_bytes_of_the_value_change() {
        let body = "[ {\"id\":1,\n\t\"credentialData\" : \"{\\\"hashIterations\\\":5}\" ,\"u\":\"\\u00e4\"},\r\n{\"id\":2} ]\n";
        let (kept, paths) = redacted(body, &["[].credentialData", "[].secretData"]);
        assert_eq!(kept, "[ {\"id\":1,\n\t\"credentialData\" : \"[redacted]\" ,\"u\":\"\\u00e4\"},\r\n{\"id\":2} ]\n");
        assert_eq!(paths, ["[].credentialData"]);
    }

    #[test]
    fn objects_lists_depths_and_repeated_names_are_all_found() {
        let table = [
            (r#"{"a":{"b":1},"c":2}"#, &["a.b"][..], r#"{"a":{"b":"[redacted]"},"c":2}"#),
            (r#"{"a":[1,[2]]}"#, &["a[]"], r#"{"a":["[redacted]","[redacted]"]}"#),
            (r#"{"a":{"x":1,"y":{}}}"#, &["a.*"], r#"{"a":{"x":"[redacted]","y":"[redacted]"}}"#),
            (r#"{"k":1,"k":2}"#, &["k"], r#"{"k":"[redacted]","k":"[redacted]"}"#),
            (r#"[{"k":1},[{"z":{"k":null}}]]"#, &["**.k"], r#"[{"k":"[redacted]"},[{"z":{"k":"[redacted]"}}]]"#),
            (r#"{"a":{"k":1}}"#, &["a", "a.k"], r#"{"a":"[redacted]"}"#),
            (r#"{"\u006b":1}"#, &["k"], r#"{"\u006b":"[redacted]"}"#),
            (r#"{"a":1}"#, &["a.b", "[].a"], r#"{"a":1}"#),
            (r#"{"a":{"x.y":1,"x":{"y":2}}}"#, &["a.\"x.y\""], r#"{"a":{"x.y":"[redacted]","x":{"y":2}}}"#),
            (r#"{"u":"https://me:pw@h:8443/x?t=1"}"#, &["u|origin"], r#"{"u":"https://h:8443/[redacted]"}"#),
            (r#"{"u":"https://h/[redacted]"}"#, &["u|origin"], r#"{"u":"https://h/[redacted]"}"#),
            (r#"{"u":"tok","v":{"u":7}}"#, &["**.u|origin"], r#"{"u":"[redacted]","v":{"u":"[redacted]"}}"#),
            (r#"{"u":"https://h/x"}"#, &["u", "u|origin"], r#"{"u":"[redacted]"}"#),
            (r#"{"a":[[{"b":1}]]}"#, &["a[][].b"], r#"{"a":[[{"b":"[redacted]"}]]}"#),
        ];
        for (body, paths, kept) in table {
            assert_eq!(redacted(body, paths).0, kept, "{body} {paths:?}");
        }
    }

    #[test]
    fn what_is_not_json_cannot_be_redacted() {
        for body in ["<html>secret</html>", "{\"a\":1", "", "\u{feff}{}"] {
            assert!(json(&Bytes::from_static(body.as_bytes()), &["a"]).is_err(), "{body}");
        }
        assert!(json(&Bytes::from(format!("{}1{}", "[".repeat(100), "]".repeat(100))), &["**.a"]).is_err());
    }

    #[test]
    fn an_address_loses_credentials_and_secret_parameters() {
        let shown = |text: &str| address(&text.parse().unwrap());
        assert_eq!(shown("https://u:p@h/a?first=0&max=2#f"), "https://h/a?first=0&max=2");
        assert_eq!(shown("https://h/a?x=1&Access_Token=abc"), "https://h/a?x=1&Access_Token=%5Bredacted%5D");
    }
}
