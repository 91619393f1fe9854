//! What the agent answered, read from JSON into types that cannot be wrong.
//!
//! Only the fields of `docs/agent.md` are read at all: whatever else an answer has (settings, credentials, pods) is
//! skipped by the parser and never reaches memory that outlives it. A field of the wrong type is
//! [`Leaf::Unreadable`] and spoils only the item that it is in; what is no JSON, or has another shape than the
//! contract's, spoils the whole answer.

mod leaf;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::limits;
pub use leaf::Leaf;
use leaf::{LeafType, Object};

/// Why an answer says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not JSON, or not of the contract's shape. Has no text of the answer, which may be secret.
    #[error("the answer is not what this call answers: {what} at line {line}, column {column}")]
    Malformed {
        /// Which kind of mistake.
        what: &'static str,
        /// Where the parser was.
        line: usize,
        /// Where the parser was.
        column: usize,
    },
    /// An answer without its list that has other things: it may be an error in disguise, and nothing is removed for it.
    #[error("the answer has fields, but no {list}: it is not taken for an empty list")]
    NoList {
        /// The list's field.
        list: &'static str,
    },
    /// More items than the limit.
    #[error("the answer has more than {limit} {what}, which is the limit")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Answer of `GET /status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct StatusAnswer {
    pub version: Leaf<String>,
    pub architecture: Leaf<String>,
    pub classification: Leaf<String>,
    pub k8s_version: Leaf<String>,
    pub k8s_node_status: Leaf<String>,
    pub zarf_version: Leaf<String>,
    pub run_mode: Leaf<String>,
    pub system_time: Leaf<String>,
}

impl StatusAnswer {
    /// Reads it.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        let Object(answer) = parse::<Object<Self>>(body)?;
        if answer == Self::default() {
            // Every agent has a version: this is somebody else.
            return Err(AnswerError::Malformed { what: "no field of a status", line: 1, column: 1 });
        }
        Ok(answer)
    }

    /// Whether every field could be read.
    pub fn is_whole(&self) -> bool {
        let node = [&self.version, &self.architecture, &self.classification, &self.run_mode];
        let others = [&self.k8s_version, &self.k8s_node_status, &self.zarf_version, &self.system_time];
        !node.into_iter().chain(others).any(Leaf::is_unreadable)
    }
}

/// One package of ListPackages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct DeployedPackage {
    pub name: Leaf<String>,
    pub version: Leaf<String>,
    pub status: Leaf<i64>,
    pub flavor: Leaf<String>,
    pub namespace_override: Leaf<String>,
    pub annotations: Leaf<Annotations>,
}

impl DeployedPackage {
    /// Whether every field could be read.
    pub fn is_whole(&self) -> bool {
        let texts = [&self.name, &self.version, &self.flavor, &self.namespace_override];
        !texts.into_iter().any(Leaf::is_unreadable) && !self.status.is_unreadable() && !self.annotations.is_unreadable()
    }

    /// Reads the answer of ListPackages.
    pub fn parse_list(body: &[u8]) -> Result<Vec<Self>, AnswerError> {
        parse::<Envelope<PackagesField, Self>>(body)?.into_items()
    }
}

/// One registry of ListPulledPackages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Registry {
    pub name: Leaf<String>,
    pub host: Leaf<String>,
    pub packages: List<PulledPackage>,
}

/// One package of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct PulledPackage {
    pub repo_name: Leaf<String>,
    pub package_name: Leaf<String>,
    pub tags: List<PulledTag>,
}

/// One tag of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct PulledTag {
    pub reference: Leaf<String>,
    pub arch: Leaf<String>,
    pub version: Leaf<String>,
    pub total_bytes: Leaf<i64>,
    pub pull_info: PullInfo,
}

/// How far a pull is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct PullInfo {
    pub downloaded_bytes: Leaf<i64>,
    pub status: Leaf<Level>,
}

/// A status that is a number, or an enum's name as proto3 JSON writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// The number.
    Number(i64),
    /// The name.
    Name(String),
}

impl Registry {
    /// Whether the fields of the registry itself could be read.
    pub fn is_whole(&self) -> bool {
        !self.name.is_unreadable() && !self.host.is_unreadable()
    }

    /// Reads the answer of ListPulledPackages.
    pub fn parse_list(body: &[u8]) -> Result<Vec<Self>, AnswerError> {
        parse::<Envelope<RegistriesField, Self>>(body)?.into_items()
    }
}

impl PulledPackage {
    /// Whether the fields of the package itself could be read.
    pub fn is_whole(&self) -> bool {
        !self.repo_name.is_unreadable() && !self.package_name.is_unreadable()
    }
}

impl PulledTag {
    /// Whether every field could be read.
    pub fn is_whole(&self) -> bool {
        let texts = [&self.reference, &self.arch, &self.version];
        let numbers = [&self.total_bytes, &self.pull_info.downloaded_bytes];
        !texts.into_iter().any(Leaf::is_unreadable)
            && !numbers.into_iter().any(Leaf::is_unreadable)
            && !self.pull_info.status.is_unreadable()
    }
}

/// Annotations whose key and value are short texts, and how many others there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// By key.
    pub texts: BTreeMap<String, String>,
    /// How many were left out: no text, too long, or too many.
    pub left_out: u32,
}

fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, AnswerError> {
    // Lists within lists multiply: three bytes of `{},` must not become a hundred of memory without end.
    if body.iter().filter(|byte| **byte == b'{').count() > limits::MAX_AGENT_OBJECTS {
        return Err(AnswerError::TooMany { what: "objects", limit: limits::MAX_AGENT_OBJECTS });
    }
    serde_json::from_slice(body).map_err(|error| {
        use serde_json::error::Category;
        // The parser's own words repeat what it read.
        let what = match error.classify() {
            Category::Data => "a field of the wrong type, or twice,",
            Category::Eof => "cut short",
            Category::Syntax | Category::Io => "not JSON",
        };
        AnswerError::Malformed { what, line: error.line(), column: error.column() }
    })
}

/// A list of at most [`limits::MAX_AGENT_DOCUMENTS`] items; beyond that only how many is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    /// The items, up to the limit.
    pub items: Vec<T>,
    /// Whether there were more.
    pub overflown: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), overflown: false }
    }
}

/// Names the only field of a list's answer.
trait ListField {
    const NAME: &'static str;
}

struct PackagesField;
impl ListField for PackagesField {
    const NAME: &'static str = "packages";
}

struct RegistriesField;
impl ListField for RegistriesField {
    const NAME: &'static str = "registries";
}

/// An object with one list, and whether it had anything else.
struct Envelope<F, T> {
    list: Option<List<T>>,
    others: bool,
    field: PhantomData<F>,
}

impl<F: ListField, T> Envelope<F, T> {
    fn into_items(self) -> Result<Vec<T>, AnswerError> {
        match self.list {
            None if self.others => Err(AnswerError::NoList { list: F::NAME }),
            Some(list) if list.overflown => {
                Err(AnswerError::TooMany { what: F::NAME, limit: limits::MAX_AGENT_DOCUMENTS })
            }
            list => Ok(list.unwrap_or_default().items),
        }
    }
}

impl<'de, F: ListField, T: Deserialize<'de>> Deserialize<'de> for Envelope<F, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<F, T>(PhantomData<(F, T)>);
        impl<'de, F: ListField, T: Deserialize<'de>> Visitor<'de> for Fields<F, T> {
            type Value = Envelope<F, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with {}", F::NAME)
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut envelope = Envelope { list: None, others: false, field: PhantomData };
                while let Some(IsName(wanted)) = map.next_key_seed(NameIs(F::NAME))? {
                    if !wanted {
                        map.next_value::<IgnoredAny>()?;
                        envelope.others = true;
                    } else if envelope.list.replace(map.next_value()?).is_some() {
                        return Err(M::Error::duplicate_field(F::NAME));
                    }
                }
                Ok(envelope)
            }
        }
        from.deserialize_map(Fields(PhantomData))
    }
}

/// Compares a key without keeping it.
struct NameIs(&'static str);
struct IsName(bool);

impl<'de> DeserializeSeed<'de> for NameIs {
    type Value = IsName;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<IsName, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for NameIs {
    type Value = IsName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<IsName, E> {
        Ok(IsName(key == self.0))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array or null")
            }

            /// Go's JSON has null for a list that was never made.
            fn visit_unit<E: Error>(self) -> Result<List<T>, E> {
                Ok(List::default())
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<List<T>, S::Error> {
                let mut list = List::default();
                while list.items.len() < limits::MAX_AGENT_DOCUMENTS {
                    let Some(Object(item)) = seq.next_element()? else { return Ok(list) };
                    list.items.push(item);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.overflown = true;
                }
                Ok(list)
            }
        }
        from.deserialize_any(Items(PhantomData))
    }
}

impl LeafType for Level {
    fn from_text(text: &str) -> Leaf<Self> {
        match text.parse() {
            Ok(number) => Leaf::Is(Self::Number(number)),
            Err(_) if text.len() <= limits::MAX_AGENT_TEXT_BYTES => Leaf::Is(Self::Name(text.into())),
            Err(_) => Leaf::Unreadable,
        }
    }

    fn from_integer(number: i64) -> Leaf<Self> {
        Leaf::Is(Self::Number(number))
    }
}

impl LeafType for Annotations {
    fn from_map<'de, M: MapAccess<'de>>(mut map: M) -> Result<Leaf<Self>, M::Error> {
        let mut read = Self::default();
        while let Some(key) = map.next_key::<Leaf<String>>()? {
            let (Leaf::Is(key), Leaf::Is(value)) = (key, map.next_value::<Leaf<String>>()?) else {
                read.left_out = read.left_out.saturating_add(1);
                continue;
            };
            // Which are kept must not depend on the order in which the agent sends them: the least keys.
            read.texts.insert(key, value);
            if read.texts.len() > limits::MAX_AGENT_ANNOTATIONS {
                read.texts.pop_last();
                read.left_out = read.left_out.saturating_add(1);
            }
        }
        Ok(Leaf::Is(read))
    }
}

impl<'de> Deserialize<'de> for PullInfo {
    /// `null` as Go writes an absent message.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Fields {
            downloaded_bytes: Leaf<i64>,
            status: Leaf<Level>,
        }
        let Fields { downloaded_bytes, status } =
            Option::<Object<Fields>>::deserialize(from)?.map(|Object(fields)| fields).unwrap_or_default();
        Ok(Self { downloaded_bytes, status })
    }
}

#[cfg(test)]
mod tests;
