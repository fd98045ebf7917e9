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
    /// Where it came from.
    pub mark: Mark,
}

impl<'a> View<'a> {
    /// Looks at an object; anything else is malformed.
    pub fn object(value: &'a Value, mark: Mark) -> Result<Self, Unread> {
        if value.is_object() { Ok(View { value, mark }) } else { Err(mark.malformed("the answer is not an object")) }
    }

    /// Looks at a list of objects; anything else is malformed.
    pub fn list(value: &'a Value, mark: Mark) -> Result<Vec<Self>, Unread> {
        let items = value.as_array().ok_or_else(|| mark.malformed("the answer is not a list"))?;
        items.iter().map(|item| View::object(item, mark)).collect()
    }

    /// The member, when it is there and not null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
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
        Ok(View { value, mark: self.mark })
    }

    /// A list of objects within the object.
    pub fn inner_list(&self, name: &str) -> Result<Vec<View<'a>>, Unread> {
        let items = self.typed(name, "a list", Value::as_array)?;
        items.iter().map(|item| View::object(item, self.mark)).collect()
    }

    fn typed<T>(&self, name: &str, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T, Unread> {
        let value = self.get(name).ok_or_else(|| self.mark.malformed(format!("{name} is missing from the answer")))?;
        read(value).ok_or_else(|| self.mark.malformed(format!("{name} is not {kind}")))
    }
}
