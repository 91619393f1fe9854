//! `peat-node token new`: makes a token. It knows no node and no file: what it prints is everything there is.

use clap::{Subcommand, ValueEnum};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Exit, complain, print};
use crate::api::access::Scope;
use crate::api::access::tokens::NewToken;
use crate::config::flags::{BadFlag, example};

const NEW: &str = "\
Prints the token on the first line: nobody can print it again. The second line is for the file that
the node is given with --tokens; it has only a hash of the token.

Examples:
  peat-node token new --name dashboard --scope read --collection tracks --collection 'team-a.*'
  peat-node token new --name loader --scope write | { read -r token; cat >> tokens; echo \"$token\"; }

Exit codes:
  0  done
  2  a flag is wrong
  3  the system gives no randomness, or takes no output";

/// What is done with tokens.
#[derive(Subcommand)]
pub(crate) enum Words {
    /// Make a token for the API and its line for the file of tokens
    #[command(after_long_help = NEW)]
    New {
        /// Name of the token, for people
        #[arg(long, value_name = "NAME")]
        name: String,

        /// What it may do: read, write (and read), or admin (and write)
        #[arg(long, value_name = "SCOPE")]
        scope: ScopeWord,

        /// Collections that it is for, repeated: a name, or a prefix that ends in * [default: all]
        #[arg(long, value_name = "COLLECTION")]
        collection: Vec<String>,

        /// When its time is over, as in RFC 3339: 2027-01-01T00:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
}

/// A scope as clap reads it.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ScopeWord {
    Read,
    Write,
    Admin,
}

/// Checks every word.
pub(crate) fn parse(words: Words) -> Result<NewToken, Vec<BadFlag>> {
    let Words::New { name, scope, collection, expires } = words;
    let scope = match scope {
        ScopeWord::Read => Scope::Read,
        ScopeWord::Write => Scope::Write,
        ScopeWord::Admin => Scope::Admin,
    };
    let new = NewToken { name, scope, collections: Some(collection).filter(|names| !names.is_empty()), expires };
    match new.clone().make([0; 32]) {
        Ok(_) => Ok(new),
        Err(problem) => {
            let (field, problem) = problem.split_once(": ").unwrap_or(("name", &problem));
            let flag = match field {
                "collections" => "--collection",
                "expires" => "--expires",
                _ => "--name",
            };
            Err(vec![example(flag, problem.into(), "see: peat-node token new --help")])
        }
    }
}

/// Makes it and prints it.
pub fn run(new: NewToken) -> Exit {
    let mut random = [0; 32];
    if SystemRandom::new().fill(&mut random).is_err() {
        complain("the system gives no randomness");
        return Exit::Unreachable;
    }
    let told = new.make(random).map_err(|problem| problem.to_string());
    match told.and_then(|(token, line)| print(&format!("{token}\n{line}\n")).map_err(|e| format!("cannot write: {e}")))
    {
        Ok(()) => Exit::Well,
        Err(problem) => {
            complain(&problem);
            Exit::Unreachable
        }
    }
}
