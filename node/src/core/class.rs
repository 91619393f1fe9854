//! Classes of traffic: what overtakes what on a thin link.
//!
//! Collections map to classes by configuration. Each class has a data stream, an outbox and a watermark of its own,
//! so that a backlog in one class neither delays another nor is sent again because another was interrupted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::key::check_collection;
use crate::limits;

/// A class of documents, the most urgent first. Membership, which ranks after commands, travels on the control
/// stream and is not a class of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Orders to somebody: few, small, urgent.
    Command = 0,
    /// What an application decides by. The default.
    State = 2,
    /// Measurements: many, soon replaced by newer ones.
    Telemetry = 3,
    /// Large and patient.
    Blob = 4,
}

impl Class {
    /// All classes of documents, the most urgent first.
    pub const ALL: [Self; CLASSES] = [Self::Command, Self::State, Self::Telemetry, Self::Blob];

    /// The byte that begins a data stream.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The class that a stream's first byte names.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// Position in [`Class::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Command => 0,
            Self::State => 1,
            Self::Telemetry => 2,
            Self::Blob => 3,
        }
    }

    /// Share of a contended link, relative to the others' that have something to send.
    pub fn weight(self) -> u64 {
        match self {
            Self::Command => 16,
            Self::State => 8,
            Self::Telemetry => 4,
            Self::Blob => 1,
        }
    }

    /// The name in configuration, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::State => "state",
            Self::Telemetry => "telemetry",
            Self::Blob => "blob",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many classes of documents there are.
pub const CLASSES: usize = 4;

/// One value per class of documents, in the order of [`Class::ALL`].
pub type PerClass<T> = [T; CLASSES];

/// Which class each collection is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap(BTreeMap<String, Class>);

impl Default for ClassMap {
    /// `commands` are commands, `tracks` are telemetry, everything else is state.
    fn default() -> Self {
        Self([("commands".into(), Class::Command), ("tracks".into(), Class::Telemetry)].into())
    }
}

impl ClassMap {
    /// The class of a collection.
    pub fn of(&self, collection: &str) -> Class {
        self.0.get(collection).copied().unwrap_or(Class::State)
    }

    /// Puts a collection into a class.
    pub fn set(&mut self, collection: &str, class: Class) -> Result<(), ClassMapError> {
        check_collection(collection).map_err(|e| ClassMapError::Collection(e.to_string()))?;
        self.0.insert(collection.into(), class);
        if self.0.len() > limits::MAX_CLASSED_COLLECTIONS {
            return Err(ClassMapError::TooMany { limit: limits::MAX_CLASSED_COLLECTIONS });
        }
        Ok(())
    }

    /// Tells one map from another: watermarks of a class are worth something only to the map that they were made with.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for (collection, class) in &self.0 {
            hasher
                .update(&(collection.len() as u32).to_le_bytes())
                .update(collection.as_bytes())
                .update(&[class.code()]);
        }
        u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("a hash is longer"))
    }
}

/// Why a collection cannot be put into a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassMapError {
    /// Not a collection.
    #[error("{0}")]
    Collection(String),
    /// Not a class.
    #[error("{given:?} is not a class; the classes are command, state, telemetry and blob")]
    Class {
        /// What was given.
        given: String,
    },
    /// More than the limit.
    #[error("more than {limit} collections have a class of their own; leave those in state out")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl FromStr for Class {
    type Err = ClassMapError;

    fn from_str(given: &str) -> Result<Self, ClassMapError> {
        let found = Self::ALL.into_iter().find(|class| class.name() == given);
        found.ok_or_else(|| ClassMapError::Class { given: given.chars().take(40).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_code_name_and_position() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!((class.index(), Class::from_code(class.code())), (index, Some(class)));
            assert_eq!(class.name().parse(), Ok(class));
        }
        assert_eq!(Class::from_code(1), None, "membership has no data stream");
        assert!("urgent".parse::<Class>().is_err());
    }

    #[test]
    fn maps_that_differ_have_different_fingerprints() {
        let mut other = ClassMap::default();
        assert_eq!(other.fingerprint(), ClassMap::default().fingerprint());
        other.set("tracks", Class::Blob).expect("a collection");
        assert_ne!(other.fingerprint(), ClassMap::default().fingerprint());
        assert_eq!((other.of("tracks"), other.of("plans")), (Class::Blob, Class::State));
    }
}
