//! The words of a task, and what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Place, Task, Upkeep};
use crate::config::flags::{BadFlag, example, store_key};
use crate::ops::cli::ask::api;
use crate::ops::cli::credentials;

const CHECK: &str = "\
Looks at every page, every row, and whether every document loads and is what the index says. Changes
nothing. The node must not be running.

Exit codes:
  0  the store is sound
  1  something is wrong with it
  2  a flag or variable is wrong
  3  it cannot be looked at: there is none, a node runs on it, the key is wrong";

const EXITS: &str = "\
Exit codes:
  0  done
  2  a flag or variable is wrong
  3  it could not be done, and nothing was lost";

const EXPORT: &str = "\
One line for each document, sorted by collection and id:
  {\"collection\":\"c\",\"doc_id\":\"d\",\"json_data\":\"{\\\"text\\\":\\\"of the document\\\"}\"}
Deleted documents and history are not in it. The node must not be running.

Exit codes:
  0  done
  2  a flag or variable is wrong
  3  it could not be done; what was written is not all";

const IMPORT: &str = "\
Takes what export writes. Documents are written as by an application: what differs is changed, what is
not named stays. Makes a store if there is none. The node must not be running.

Exit codes:
  0  everything was written
  1  lines were refused, and are named; the others were written
  2  a flag or variable is wrong
  3  it could not be done; what was written before is durable";

const ROTATE: &str = "\
The store's pages are encrypted with a data key, and that with the key given here; so a new key costs
two small writes, and a cut at any moment leaves a store that the old or the new key opens. Whoever
has an old copy of the file and the old key can still read new pages: --reencrypt writes every page anew
with a new data key. So it does for a store that is not encrypted yet, and with --decrypt for one that
shall not be any more. The node must not be running.

Examples:
  PEAT_NODE_ENCRYPTION_KEY=file:/run/old PEAT_NODE_NEW_ENCRYPTION_KEY=file:/run/new \\
    peat-node rotate-key --data-dir ./data

Exit codes:
  0  done
  2  a flag or variable is wrong
  3  it could not be done; the store is as it was, or opens with one of the two keys";

const BACKUP: &str = "\
Asks a running node for every document of one moment with its history, and makes a store of it. It has
no private key: put into the data directory of a node as peat.redb it makes a new node with the
same documents.

Exit codes:
  0  done
  2  a flag or variable is wrong
  3  it could not be done; there is no file";

/// The subcommands, as clap splits them.
#[derive(Subcommand)]
pub(crate) enum Words {
    /// Verify the store of a node that is not running
    #[command(after_long_help = CHECK)]
    Check(Where),
    /// Give space that the store does not need back to the file system
    #[command(after_long_help = EXITS)]
    Compact(Where),
    /// Write the documents of a store out as JSON lines
    #[command(after_long_help = EXPORT)]
    Export {
        #[command(flatten)]
        place: Where,
        /// Only these collections, with commas or repeated
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        collection: Vec<String>,
        /// File to write, which must not exist [default: stdout]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write documents from JSON lines into a store
    #[command(after_long_help = IMPORT)]
    Import {
        #[command(flatten)]
        place: Where,
        /// Only these collections, with commas or repeated
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        collection: Vec<String>,
        /// File to read [default: stdin]
        #[arg(long = "in", value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Change the key that a store is encrypted with, or encrypt it
    #[command(after_long_help = ROTATE)]
    RotateKey {
        #[command(flatten)]
        place: Where,
        /// Key that the store is to have: as --encryption-key
        #[arg(long, env = "PEAT_NODE_NEW_ENCRYPTION_KEY", value_name = "KEY")]
        new_encryption_key: Option<String>,
        /// Write every page anew, under a new data key
        #[arg(long)]
        reencrypt: bool,
        /// Write every page anew, unencrypted
        #[arg(long, conflicts_with_all = ["new_encryption_key", "reencrypt"])]
        decrypt: bool,
    },
    /// Copy the documents of a running node into a new store
    #[command(after_long_help = BACKUP)]
    Backup {
        /// Where the node's API listens: tcp://host:port or unix:///path
        #[arg(long, env = "PEAT_NODE_LISTEN", value_name = "URL", default_value = "tcp://127.0.0.1:50051")]
        api: String,
        #[command(flatten)]
        credentials: credentials::Words,
        /// File to make, which must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Key that it is encrypted with: 32 bytes in base64, or file:PATH [default: it is not]
        #[arg(long, env = "PEAT_NODE_ENCRYPTION_KEY", value_name = "KEY")]
        encryption_key: Option<String>,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
}

/// Which store, and how to tell.
#[derive(Args)]
pub(crate) struct Where {
    /// Directory of the store
    #[arg(long, env = "PEAT_NODE_DATA_DIR", value_name = "DIR", default_value = "/data/peat-node")]
    #[arg(value_parser = clap::builder::ValueParser::os_string())]
    data_dir: OsString,

    /// Key that the store is encrypted with: 32 bytes in base64, or file:PATH of a file with them
    #[arg(long, env = "PEAT_NODE_ENCRYPTION_KEY", value_name = "KEY")]
    encryption_key: Option<String>,

    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// Checks every word; the error has all that are bad.
pub(crate) fn parse(words: Words) -> Result<Upkeep, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let mut key = |flag, given: Option<String>| {
        let key = given.map(|given| store_key(flag, &given)).transpose();
        key.unwrap_or_else(|wrong| {
            bad.push(wrong);
            None
        })
    };
    const KEY: &str = "--encryption-key";
    const NEW_KEY: &str = "--new-encryption-key";
    let mut place =
        |given: Where| (Place { data_dir: given.data_dir.into(), key: key(KEY, given.encryption_key) }, given.json);
    let (task, json) = match words {
        Words::Check(given) => {
            let (place, json) = place(given);
            (Task::Check(place), json)
        }
        Words::Compact(given) => {
            let (place, json) = place(given);
            (Task::Compact(place), json)
        }
        Words::Export { place: given, collection, out } => {
            let (place, json) = place(given);
            (Task::Export { place, collections: collection, out }, json)
        }
        Words::Import { place: given, collection, from } => {
            let (place, json) = place(given);
            (Task::Import { place, collections: collection, from }, json)
        }
        Words::RotateKey { place: given, new_encryption_key, reencrypt, decrypt } => {
            let given_new = new_encryption_key.is_some();
            let (place, json) = place(given);
            let new = key(NEW_KEY, new_encryption_key);
            if !given_new && !decrypt {
                let remedy =
                    "give the new key as --new-encryption-key or PEAT_NODE_NEW_ENCRYPTION_KEY, or say --decrypt";
                bad.push(example(NEW_KEY, "there is none".into(), remedy));
            }
            // A store without a key has no data key that could be wrapped anew.
            let reencrypt = reencrypt || decrypt || place.key.is_none();
            (Task::RotateKey { place, new, reencrypt }, json)
        }
        Words::Backup { api: given, credentials: words, out, encryption_key, json } => {
            let key = key(KEY, encryption_key);
            let api = api(&given).map_err(|flag| bad.push(flag)).ok();
            let credentials = credentials::parse(words, api.as_ref()).map_err(|flags| bad.extend(flags)).ok();
            let (Some(api), Some(credentials)) = (api, credentials) else { return Err(bad) };
            (Task::Backup { api, credentials, out, key }, json)
        }
    };
    if bad.is_empty() { Ok(Upkeep { task, json }) } else { Err(bad) }
}
