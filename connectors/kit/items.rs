//! The items of a list, each with the members that its call says are read: most of what a source sends about somebody is
//! passed over without a copy of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Answer, Unread};

/// The items of an answer that is a list; malformed otherwise.
pub(crate) fn items(mut answer: Answer) -> Result<Vec<Value>, Unread> {
    if let Some(items) = answer.items.take().or_else(|| read(&answer.body, answer.mark.call.reads)) {
        return Ok(items);
    }
    // Whatever is not a list of objects, or wanted whole, is read as it is.
    match answer.json()? {
        Value::Array(items) => Ok(items),
        _ => Err(answer.mark.malformed("the answer is not a list")),
    }
}

/// The named members of every object of a list. `None` of anything else, and when no member is named.
pub(crate) fn read(body: &[u8], members: &'static [&'static str]) -> Option<Vec<Value>> {
    if members.is_empty() {
        return None;
    }
    let mut document = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
    let items = Items(members).deserialize(&mut document).ok()?;
    document.end().ok().map(|()| items)
}

struct Items(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Vec<Value>, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Value>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Item(self.0))? {
            items.push(item);
        }
        Ok(items)
    }
}

struct Item(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Item {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Item {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key_seed(Name(self.0))? {
            match name {
                Some(name) => drop(members.insert(name.to_owned(), map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(members))
    }
}

/// Knows a member by its name.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().copied().find(|known| *known == name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_each_item_the_members_that_are_read_are_the_same_as_in_the_whole_and_the_others_are_not_there() {
        let body =
            r#"[ {"id":1,"x":{"id":2,"y":[{}]},"n":null}, {"\u0069d":"\u00e4","x":1e999}, {}, {"id":1,"id":[7]} ]"#;
        let read = read(body.as_bytes(), &["id", "n"]);
        assert_eq!(read, Some(vec![json!({"id": 1, "n": null}), json!({"id": "ä"}), json!({}), json!({"id": [7]})]));
    }

    #[test]
    fn what_is_no_list_of_objects_or_wanted_whole_is_left_to_be_read_as_it_is() {
        for body in ["{}", "[1]", "[{}", "[{}] x", "", "[{\"id\":}]", "[null]"] {
            assert_eq!(read(body.as_bytes(), &["id"]), None, "{body}");
        }
        assert_eq!(read(b"[{\"x\":\"\xff\"}]", &["id"]), None);
        assert_eq!(read(b"[{}]", &[]), None);
    }
}
