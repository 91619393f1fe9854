//! `peat-node check`, `compact`, `export`, `import`, `rotate-key` and `backup`: what is done to a store.
//!
//! All but the last work on a store on which no node runs.

mod words;
mod work;

use std::fmt;
use std::path::PathBuf;

pub(crate) use words::{Words, parse};

use super::{Credentials, Exit, complain, json, print};
use crate::api::Listen;
use crate::store::StoreKey;

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct Upkeep {
    /// What is to be done.
    pub task: Task,
    /// Whether programs read the result.
    pub json: bool,
}

/// What is done to a store.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Verify it.
    Check(Place),
    /// Give unused space back.
    Compact(Place),
    /// Write the documents out as JSON lines.
    Export {
        /// From where.
        place: Place,
        /// Which collections; none: all.
        collections: Vec<String>,
        /// To which file; `None`: stdout.
        out: Option<PathBuf>,
    },
    /// Write documents from JSON lines.
    Import {
        /// To where.
        place: Place,
        /// Which collections; none: all.
        collections: Vec<String>,
        /// From which file; `None`: stdin.
        from: Option<PathBuf>,
    },
    /// Change the key, encrypt, or decrypt.
    RotateKey {
        /// Which store, with its present key.
        place: Place,
        /// The key that it is to have; `None`: it is to be encrypted no more.
        new: Option<StoreKey>,
        /// Whether every page is written anew.
        reencrypt: bool,
    },
    /// Copy the documents of a running node.
    Backup {
        /// Where its API listens.
        api: Listen,
        /// What it is shown.
        credentials: Credentials,
        /// The store that is made.
        out: PathBuf,
        /// What it is encrypted with.
        key: Option<StoreKey>,
    },
}

/// Which store.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its directory.
    pub data_dir: PathBuf,
    /// Its key.
    pub key: Option<StoreKey>,
}

/// What a task came to.
struct Done {
    text: String,
    json: serde_json::Value,
    well: bool,
    /// Stdout carries documents.
    quiet: bool,
}

/// Why a task could not be done.
struct Failed(String);

impl<E: fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Does it, says what came of it, and with which code to end. `now_ms`: what a document's changes are stamped with.
pub async fn run(upkeep: Upkeep, now_ms: u64) -> Exit {
    match work::work(upkeep.task, now_ms).await {
        Ok(done) => {
            let text = if upkeep.json { json(&done.json) } else { done.text };
            let told = if done.quiet { eprint(&text) } else { print(&text) };
            if let Err(error) = told {
                complain(&format!("cannot write: {error}"));
            }
            if done.well { Exit::Well } else { Exit::Unwell }
        }
        Err(Failed(why)) => {
            complain(&why);
            Exit::Unreachable
        }
    }
}

fn eprint(text: &str) -> std::io::Result<()> {
    std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes())
}

#[cfg(test)]
mod tests;
