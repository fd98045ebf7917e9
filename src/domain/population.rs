//! All resources of one type of one run, held so that a hundred thousand of them fit.

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use indexmap::map::Entry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::run::{ReadOf, UnreadOf};
use crate::{Field, GapReason, Resource, ResourceKey, ResourceType};

/// Two independent counts of one population.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The call that gave the second count.
    pub call: String,
    /// What that call said.
    pub count: u64,
    /// Whether it equals the number of resources listed.
    pub agrees: bool,
}

/// All resources of one type of one run, each id once.
///
/// A resource is a line of JSON until it is asked for: a few hundred bytes, where its fields laid out one by one take
/// several times as much.
#[derive(Clone, PartialEq)]
pub struct Population {
    /// What kind of thing it holds.
    pub kind: ResourceType,
    /// Whether everything there is, is here. Nothing is ever *gone* by the word of an incomplete population.
    pub complete: bool,
    /// The second count, where one exists.
    pub reconciled: Option<Reconciliation>,
    /// By id, and sorted when they are asked for: each is looked for among a hundred thousand others as it comes, and the
    /// sorted list is wanted once.
    resources: IndexMap<Box<str>, Sealed>,
}

/// What is held of a resource under its id.
#[derive(Clone, PartialEq)]
struct Sealed {
    /// The exchanges it was read from, apart: they are renumbered when the run ends.
    exchanges: Box<[u32]>,
    /// [`Written`] as JSON. Equal resources have equal bytes, since the fields are sorted.
    line: Box<[u8]>,
}

/// Name, fields that were read, fields that were not.
#[derive(Deserialize)]
struct Line(String, BTreeMap<String, Value>, BTreeMap<String, (GapReason, String)>);

/// The same as it is written.
#[derive(Serialize)]
struct Written<'a>(&'a str, ReadOf<'a>, UnreadOf<'a>);

/// What became of a resource that was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// It was not there before.
    New,
    /// It was there, with the same name and fields; it now names the exchanges of both.
    Same,
    /// It was there, with other values, which were kept.
    Differs,
}

impl Population {
    /// A population in which nothing was found yet, and of which nothing is known.
    pub fn new(kind: ResourceType) -> Self {
        Population { kind, complete: false, reconciled: None, resources: IndexMap::new() }
    }

    /// Adds a resource of this kind.
    pub fn add(&mut self, resource: Resource) -> Added {
        let (id, sealed) = seal(resource);
        match self.resources.entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(sealed);
                Added::New
            }
            Entry::Occupied(mut occupied) => {
                let earlier = occupied.get_mut();
                let mut both = [&*earlier.exchanges, &*sealed.exchanges].concat();
                both.sort_unstable();
                both.dedup();
                earlier.exchanges = both.into();
                if earlier.line == sealed.line { Added::Same } else { Added::Differs }
            }
        }
    }

    /// How many resources were found.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Whether a resource with this id was found.
    pub fn holds(&self, id: &str) -> bool {
        self.resources.contains_key(id)
    }

    /// The resources, sorted by id, each made when it is its turn.
    pub fn resources(&self) -> impl Iterator<Item = Resource> + '_ {
        let mut sorted: Vec<_> = self.resources.iter().collect();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        sorted.into_iter().map(|(id, sealed)| open(&self.kind, id, sealed))
    }

    /// Gives the exchanges that resources were read from other numbers.
    pub fn renumber(&mut self, place: impl Fn(u32) -> u32) {
        for sealed in self.resources.values_mut() {
            sealed.exchanges.iter_mut().for_each(|seq| *seq = place(*seq));
            sealed.exchanges.sort_unstable();
        }
    }
}

impl Extend<Resource> for Population {
    fn extend<T: IntoIterator<Item = Resource>>(&mut self, resources: T) {
        for resource in resources {
            self.add(resource);
        }
    }
}

impl fmt::Debug for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Population")
            .field("kind", &self.kind)
            .field("complete", &self.complete)
            .field("reconciled", &self.reconciled)
            .field("resources", &self.resources().collect::<Vec<_>>())
            .finish()
    }
}

fn seal(resource: Resource) -> (Box<str>, Sealed) {
    let line = Written(&resource.name, ReadOf(&resource.fields), UnreadOf(&resource.fields));
    let bytes = serde_json::to_vec(&line).unwrap_or_else(|_| unreachable!("texts and values can be written"));
    (resource.key.id.into(), Sealed { exchanges: resource.exchanges.into(), line: bytes.into() })
}

fn open(kind: &ResourceType, id: &str, sealed: &Sealed) -> Resource {
    let line = serde_json::from_slice(&sealed.line);
    let Line(name, read, unread) = line.unwrap_or_else(|_| unreachable!("what was written can be read"));
    let read = read.into_iter().map(|(name, value)| (name, Field::Read(value)));
    let unread = unread.into_iter().map(|(name, (reason, why))| (name, Field::Unread(reason, why)));
    Resource {
        key: ResourceKey { kind: kind.clone(), id: id.to_owned() },
        name,
        fields: read.chain(unread).collect(),
        exchanges: sealed.exchanges.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn door(id: &str, fields: &[(&str, Field)], exchanges: &[u32]) -> Resource {
        Resource {
            key: ResourceKey { kind: "example.door".parse().unwrap(), id: id.to_owned() },
            name: format!("the door {id}"),
            fields: fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone())).collect(),
            exchanges: exchanges.to_vec(),
        }
    }

    #[test]
    fn what_was_put_in_comes_out_by_its_id_with_every_field_read_and_unread() {
        let unread = Field::Unread(GapReason::Denied, "403 Forbidden".to_owned());
        let values =
            json!([null, true, -7, 18_446_744_073_709_551_615_u64, 0.1, "\u{0}\u{fe0f} \"", {"b": [], "a": {}}]);
        let doors = [
            door("b", &[("value", Field::Read(values)), ("locked", unread)], &[3, 9]),
            door("a", &[("value", Field::Read(Value::Null))], &[]),
        ];
        let mut population = Population::new("example.door".parse().unwrap());
        population.extend(doors.clone());
        let [b, a] = doors;
        assert_eq!(population.resources().collect::<Vec<_>>(), [a, b]);
        assert!(population.len() == 2 && population.holds("a") && !population.holds("c"));
    }

    #[test]
    fn the_same_resource_twice_is_one_that_names_the_exchanges_of_both() {
        let locked = |value: bool| [("locked", Field::Read(value.into()))];
        let mut population = Population::new("example.door".parse().unwrap());
        assert_eq!(population.add(door("a", &locked(true), &[4])), Added::New);
        assert_eq!(population.add(door("a", &locked(true), &[2, 4])), Added::Same);
        assert_eq!(population.add(door("a", &locked(false), &[7])), Added::Differs);
        assert_eq!(population.resources().collect::<Vec<_>>(), [door("a", &locked(true), &[2, 4, 7])]);
        population.renumber(|seq| 10 - seq);
        assert_eq!(population.resources().collect::<Vec<_>>(), [door("a", &locked(true), &[3, 6, 8])]);
    }
}
