//! Names of things, each of its own type, so that a check can never stand where a control is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The article before a word.
fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// A name that does not have the form its kind asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {} {kind}: {text:?}; expected {form}", article(kind))]
pub struct IdError {
    kind: &'static str,
    form: &'static str,
    text: String,
}

/// Defines a text id: what it is, the form it must have in words, and the test of that form.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $form:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let test: fn(&str) -> bool = $test;
                if test(text) {
                    Ok($name(text.into()))
                } else {
                    Err(IdError { kind: $kind, form: $form, text: text.to_owned() })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 63 characters.
fn is_word(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
}

/// Words joined by dots, at least two of them.
fn is_dotted(text: &str) -> bool {
    text.contains('.') && text.split('.').all(|part| is_word(part) && !part.is_empty())
}

fn is_source(text: &str) -> bool {
    text.split_once(':').is_some_and(|(kind, name)| is_word(kind) && is_word(name))
}

text_id!(
    /// One configured outside system: `kind:name`, for example `keycloak:acme`.
    SourceId, "source", "kind:name, for example keycloak:acme (lower-case letters, digits, '-', '_', '.')", is_source);
text_id!(
    /// One coherent question that a connector can ask on a schedule, for example `realm`.
    CollectorName, "collector", "a word of lower-case letters, digits, '-', '_' and '.'", is_word);
text_id!(
    /// One collector of one source, the unit of scheduling: `kind:name/collector`.
    StreamId, "stream", "kind:name/collector, for example keycloak:acme/realm",
    |text| text.split_once('/').is_some_and(|(source, collector)| is_source(source) && is_word(collector)));
text_id!(
    /// An executable criterion: `keycloak.realm.brute_force`.
    CheckId, "check", "words joined by dots, for example keycloak.realm.brute_force", is_dotted);
text_id!(
    /// A kind of thing at a source that can be assessed: `keycloak.realm`.
    ResourceType, "resource type", "words joined by dots, for example keycloak.realm", is_dotted);
text_id!(
    /// A catalogue of controls in one edition: `iso27001-2022`.
    FrameworkId, "framework", "a word such as iso27001-2022", is_word);
text_id!(
    /// A measure by its number: `A.8.32`, `CLD.9.5.1`, `8.35`.
    ControlId, "control", "a number such as A.8.32 or CLD.9.5.1",
    |text| !text.is_empty() && text.len() <= 32 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')));
/// Defines an id of bytes, written as lower-case hexadecimal digits: what it is, and its number of bytes.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $kind:literal, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        pub struct $name(#[schemars(with = "String")] [u8; $bytes]);

        impl $name {
            /// The id of these bytes.
            pub fn from_bytes(bytes: [u8; $bytes]) -> Self {
                $name(bytes)
            }

            /// Its bytes.
            pub fn to_bytes(&self) -> [u8; $bytes] {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $bytes];
                let upper = text.contains(|c: char| c.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if !upper => Ok($name(bytes)),
                    _ => Err(IdError { kind: $kind, form: $form, text: text.to_owned() }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&hex::encode(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(
    /// A salted commitment to bytes kept beside the ledger: 64 hexadecimal digits.
    BodyId, 32, "body id", "64 hexadecimal digits");
hex_id!(
    /// A name for a person or resource that reveals nothing without the key kept beside the bodies: 32 hexadecimal digits.
    Pseudonym, 16, "pseudonym", "32 hexadecimal digits");

/// A control in the catalogue that holds it, written `iso27001-2022/A.8.5`: a number alone does not say which edition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ControlAddress {
    /// The catalogue.
    pub framework: FrameworkId,
    /// The control's number in it.
    pub control: ControlId,
}

impl fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.framework, self.control)
    }
}

impl FromStr for ControlAddress {
    type Err = IdError;

    fn from_str(text: &str) -> Result<ControlAddress, IdError> {
        // Without a slash the whole text is no catalogue's name, or the empty number is refused.
        let (framework, control) = text.split_once('/').unwrap_or((text, ""));
        Ok(ControlAddress { framework: framework.parse()?, control: control.parse()? })
    }
}

impl TryFrom<String> for ControlAddress {
    type Error = IdError;

    fn try_from(text: String) -> Result<ControlAddress, IdError> {
        text.parse()
    }
}

impl From<ControlAddress> for String {
    fn from(address: ControlAddress) -> String {
        address.to_string()
    }
}

impl SourceId {
    /// The kind of source, which is the connector's name: `keycloak` in `keycloak:acme`.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// The name it was given in the settings: `acme` in `keycloak:acme`.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }

    /// The stream of one of this source's collectors.
    pub fn stream(&self, collector: &CollectorName) -> StreamId {
        StreamId(format!("{}/{}", self.0, collector.0).into())
    }
}

impl StreamId {
    /// The source that is asked.
    pub fn source(&self) -> SourceId {
        SourceId(self.0.split_once('/').map_or("", |(source, _)| source).into())
    }

    /// The question that is asked of it.
    pub fn collector(&self) -> CollectorName {
        CollectorName(self.0.split_once('/').map_or("", |(_, collector)| collector).into())
    }
}

/// One thing at a source, by its type and the provider's own immutable id.
///
/// Where a provider gives a name only, a new creation date under an old name is another resource, so connectors put
/// the date into the id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ResourceKey {
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// The provider's immutable id.
    pub id: String,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The address of a fact: a ledger entry, or one row of its manifest. Written `#166` or `#166/1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^#[0-9]+(/[0-9]+)?$"))]
pub struct RowAddress {
    /// Index of the entry in the ledger, from 0.
    pub entry: u64,
    /// Row of the entry's manifest, from 0; `None` means the entry itself.
    pub row: Option<u32>,
}

impl fmt::Display for RowAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            Some(row) => write!(f, "#{}/{row}", self.entry),
            None => write!(f, "#{}", self.entry),
        }
    }
}

impl fmt::Debug for RowAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RowAddress {
    type Err = IdError;
    /// Reads `#166/1` and `166/1` alike, since shells take `#` for a comment.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused =
            || IdError { kind: "address", form: "an entry such as 166, or a row such as 166/1", text: text.to_owned() };
        let bare = text.strip_prefix('#').unwrap_or(text);
        let (entry, row) = match bare.split_once('/') {
            Some((entry, row)) => (entry, Some(row.parse().map_err(|_| refused())?)),
            None => (bare, None),
        };
        Ok(RowAddress { entry: entry.parse().map_err(|_| refused())?, row })
    }
}

impl Serialize for RowAddress {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_knows_its_source_and_its_collector() {
        let stream: StreamId = "keycloak:acme/realm".parse().unwrap();
        assert_eq!(stream.source().as_str(), "keycloak:acme");
        assert_eq!(stream.source().kind(), "keycloak");
        assert_eq!(stream.collector().as_str(), "realm");
        assert_eq!(stream.source().stream(&stream.collector()), stream);
    }

    #[test]
    fn names_of_the_wrong_form_are_refused_with_the_form() {
        assert!("keycloak".parse::<SourceId>().unwrap_err().to_string().contains("keycloak:acme"));
        for bad in ["", "a b", "A:b", "a:b:c/d", "keycloak:acme/"] {
            assert!(bad.parse::<StreamId>().is_err(), "{bad}");
        }
        for bad in ["ab", &"AB".repeat(16), &"a".repeat(33), &"g".repeat(32)] {
            assert!(bad.parse::<Pseudonym>().is_err(), "{bad}");
        }
        assert_eq!("0a".repeat(16).parse::<Pseudonym>().unwrap(), Pseudonym::from_bytes([10; 16]));
        assert!("brute_force".parse::<CheckId>().is_err());
        assert!("a..b".parse::<CheckId>().is_err());
        assert!("<script>".parse::<ControlId>().is_err());
    }

    #[test]
    fn a_control_is_named_with_its_catalogue() {
        let address: ControlAddress = "iso27017-2026/8.2".parse().unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), "\"iso27017-2026/8.2\"");
        for wrong in ["8.2", "iso27017-2026", "iso27017-2026/", "/8.2", "iso27017-2026/8.2/1"] {
            assert!(wrong.parse::<ControlAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_reads_with_and_without_its_sign() {
        let row: RowAddress = "#166/1".parse().unwrap();
        assert_eq!(row, "166/1".parse().unwrap());
        assert_eq!(row.to_string(), "#166/1");
        assert_eq!("7".parse::<RowAddress>().unwrap().to_string(), "#7");
        assert!("166/".parse::<RowAddress>().is_err());
    }
}
