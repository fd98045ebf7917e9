//! JSON as the values of the check language.
//!
//! The language's own conversion makes every non-negative number unsigned, after which `age + 1` is an error; and its
//! maps go through their keys in another order every time, after which the same evidence could be judged differently
//! tomorrow. Here whole numbers are `int`, larger ones `double`, and maps keep the order of their keys.

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, FromVal, StaticVal, Val};
use regex::Regex;
use serde_json::Value;

/// A value that owns all it holds.
pub(crate) type Owned = Box<dyn Val>;

/// Turns JSON into a value; `longest` is raised to the length of the longest list or map in it.
pub(crate) fn convert(value: &Value, longest: &mut usize) -> Owned {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(b) => Box::new(CelBool::from(*b)),
        Value::Number(n) => match n.as_i64() {
            Some(whole) => Box::new(CelInt::from(whole)),
            // Every JSON number that is not an i64 has an f64 next to it.
            None => Box::new(CelDouble::from(n.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(s) => Box::new(CelString::from(s.clone())),
        Value::Array(items) => {
            *longest = (*longest).max(items.len());
            Box::new(CelList::from(items.iter().map(|item| convert(item, longest)).collect::<Vec<_>>()))
        }
        Value::Object(entries) => {
            *longest = (*longest).max(entries.len());
            let entries = entries.iter().map(|(key, value)| (CelString::from(key.clone()), convert(value, longest)));
            let mut entries: Vec<_> = entries.collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Box::new(Object(entries))
        }
    }
}

/// A JSON object: a map from text, sorted by its keys.
#[derive(Debug)]
pub(crate) struct Object(Vec<(CelString<'static>, Owned)>);

impl Object {
    fn find(&self, key: &dyn Val) -> Result<Option<&Owned>, ExecutionError> {
        let key = key.downcast_ref::<CelString<'_>>().ok_or_else(|| ExecutionError::UnexpectedType {
            got: key.get_type().name().to_owned(),
            want: "a text key".to_owned(),
        })?;
        let found = self.0.binary_search_by(|(name, _)| name.inner().cmp(key.inner()));
        Ok(found.ok().and_then(|at| self.0.get(at)).map(|(_, value)| value))
    }
}

impl Val for Object {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn into_indexer<'v>(self: Box<Self>) -> Option<Box<dyn Indexer + 'v>>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Object>().is_some_and(|other| {
            self.0.len() == other.0.len()
                && self.0.iter().zip(&other.0).all(|((k, v), (l, w))| k == l && v.equals(w.as_ref()))
        })
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Object(self.0.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Object {}

impl Container for Object {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.find(key)?.is_some())
    }
}

impl Indexer for Object {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match self.find(key)? {
            Some(value) => Ok(CowVal::Borrowed(value.as_ref())),
            None => Err(ExecutionError::no_such_key(CelString::from_val(key).map_or("", CelString::inner))),
        }
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Iterable for Object {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Keys(self.0.iter()))
    }
}

impl Sizer for Object {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

/// Goes through the keys in order.
struct Keys<'b>(std::slice::Iter<'b, (CelString<'static>, Owned)>);

impl<'b, 'v> CelIterator<'b, 'v> for Keys<'b> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|(key, _)| key as &(dyn Val + 'v))
    }
}

/// A regular expression, compiled when its check was loaded.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(pub(crate) Regex);

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        &cel::common::types::DYN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
