//! Why a store cannot be used.

use std::fmt::Display;

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
    pub(super) fn at(at: &str, doing: &'static str, error: &impl Display) -> Self {
        Self::Database { at: at.to_owned(), doing, detail: error.to_string() }
    }
}
