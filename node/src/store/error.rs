//! Why a store cannot be used.

use std::fmt::Display;

use super::sealed::KeyTrouble;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database itself.
    #[error("the store at {at} cannot be {doing}: {detail}")]
    Database {
        /// Path, or the name of the backend.
        at: String,
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        detail: String,
    },
    /// Written by another version.
    #[error("the store at {at} has format {found}, this version knows {known}; use the version that wrote it")]
    Format {
        /// Path, or the name of the backend.
        at: String,
        /// What was found.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// Somebody else has it open.
    #[error("the store at {at} is in use: a node, or another command, runs on it; stop that first")]
    InUse {
        /// Path, or the name of the backend.
        at: String,
    },
    /// Encrypted, and no key was given.
    #[error("the store at {at} is encrypted: give its key with --encryption-key or PEAT_NODE_ENCRYPTION_KEY")]
    NoKey {
        /// Path, or the name of the backend.
        at: String,
    },
    /// Not encrypted, and a key was given.
    #[error(
        "the store at {at} is not encrypted, but a key was given: leave out --encryption-key (PEAT_NODE_ENCRYPTION_KEY), \
         or encrypt the store with peat-node rotate-key"
    )]
    NotEncrypted {
        /// Path, or the name of the backend.
        at: String,
    },
    /// The key does not open it.
    #[error("the key given as --encryption-key does not open the store at {at}: {detail}")]
    Key {
        /// Path, or the name of the backend.
        at: String,
        /// Why.
        detail: String,
    },
    /// A row that every store has is missing.
    #[error("the store at {at} has no {name}: it is not a store of this program, or damaged")]
    Incomplete {
        /// Path, or the name of the backend.
        at: String,
        /// Which row.
        name: &'static str,
    },
}

impl StoreError {
    pub(super) fn key(at: &str, trouble: &KeyTrouble) -> Self {
        let (at, detail) = (at.to_owned(), trouble.to_string());
        match trouble {
            KeyTrouble::WrongKey => Self::Key { at, detail },
            _ => Self::Database { at, doing: "opened", detail },
        }
    }

    pub(super) fn at(at: &str, doing: &'static str, error: &impl Display) -> Self {
        Self::Database { at: at.to_owned(), doing, detail: error.to_string() }
    }
}
