//! Reading values out of an answer, each absence named.

use domain::GapReason;
use serde_json::Value;

use crate::{CallSpec, Unread};

/// Which exchange of the run an answer came from.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The declared call.
    pub call: &'static CallSpec,
    /// Its place in the run.
    pub seq: u32,
}

impl Mark {
    /// Something this answer should have held and did not.
    pub fn unread(&self, reason: GapReason, detail: impl Into<String>) -> Unread {
        Unread {
            reason,
            call: self.call.name,
            permission: self.call.permission_text(),
            detail: detail.into(),
            exchange: Some(self.seq),
            answer: None,
        }
    }

    /// The answer is not what the source's own description promises.
    pub fn malformed(&self, detail: impl Into<String>) -> Unread {
        Unread { permission: None, ..self.unread(GapReason::Malformed, detail) }
    }
}

/// A JSON object of an answer. Every reader says what is missing or of another kind; `null` counts as missing.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    value: &'a Value,
    /// The members that were laid out, where not all were: the call's list of what is read of each item.
    laid_out: &'static [&'static str],
    /// Where it came from.
    pub mark: Mark,
}

impl<'a> View<'a> {
    /// Looks at an object; anything else is malformed.
    pub fn object(value: &'a Value, mark: Mark) -> Result<Self, Unread> {
        View::of(value, mark.call.reads, mark)
    }

    fn of(value: &'a Value, laid_out: &'static [&'static str], mark: Mark) -> Result<Self, Unread> {
        if value.is_object() {
            Ok(View { value, laid_out, mark })
        } else {
            Err(mark.malformed("the answer is not an object"))
        }
    }

    /// Looks at a list of objects; anything else is malformed.
    pub fn list(value: &'a Value, mark: Mark) -> Result<Vec<Self>, Unread> {
        let items = value.as_array().ok_or_else(|| mark.malformed("the answer is not a list"))?;
        items.iter().map(|item| View::object(item, mark)).collect()
    }

    /// The member, when it is there and not null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        // A member that was never laid out would look like one that the source left out.
        debug_assert!(
            self.laid_out.is_empty() || self.laid_out.contains(&name),
            "{} does not declare that it reads {name}",
            self.mark.call.name
        );
        self.value.get(name).filter(|v| !v.is_null())
    }

    /// A truth value.
    pub fn bool(&self, name: &str) -> Result<bool, Unread> {
        self.typed(name, "a truth value", Value::as_bool)
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Result<i64, Unread> {
        self.typed(name, "a whole number", Value::as_i64)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<&'a str, Unread> {
        self.typed(name, "a text", Value::as_str)
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<&'a str>, Unread> {
        self.typed(name, "a list of texts", |v| v.as_array()?.iter().map(Value::as_str).collect())
    }

    /// An object within the object.
    pub fn inner(&self, name: &str) -> Result<View<'a>, Unread> {
        let value = self.typed(name, "an object", |v| v.is_object().then_some(v))?;
        Ok(View { value, laid_out: &[], mark: self.mark })
    }

    /// A list of objects within the object.
    pub fn inner_list(&self, name: &str) -> Result<Vec<View<'a>>, Unread> {
        let items = self.typed(name, "a list", Value::as_array)?;
        items.iter().map(|item| View::of(item, &[], self.mark)).collect()
    }

    fn typed<T>(&self, name: &str, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T, Unread> {
        let value = self.get(name).ok_or_else(|| self.mark.malformed(format!("{name} is missing from the answer")))?;
        read(value).ok_or_else(|| self.mark.malformed(format!("{name} is not {kind}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PEOPLE: CallSpec = CallSpec::new("GET /people", &[], "").reading(&["id", "of"]);

    #[test]
    fn a_member_within_one_that_is_read_needs_no_word_of_its_own() {
        let item = json!({"id": "a", "of": {"x": 1}});
        let view = View::object(&item, Mark { call: &PEOPLE, seq: 0 }).unwrap();
        assert_eq!(view.text("id").unwrap(), "a");
        assert_eq!(view.inner("of").unwrap().number("x").unwrap(), 1);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "GET /people does not declare that it reads name"))]
    fn a_member_that_was_not_laid_out_is_a_mistake_of_the_collector_and_not_an_absence() {
        let item = json!({"id": "a"});
        let view = View::object(&item, Mark { call: &PEOPLE, seq: 0 }).unwrap();
        assert!(view.get("name").is_none());
    }
}
