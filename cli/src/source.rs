//! Which scenario was meant: a name of the library, or a file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use peat_scenarios::library::{self, UnknownScenario};
use peat_scenarios::{Scenario, ScenarioError, limits};

use crate::output::{self, reason};

/// A scenario that can be run, and what was typed to name it.
#[derive(Debug)]
pub struct Sourced {
    /// What was typed.
    pub argument: String,
    /// What it says.
    pub scenario: Scenario,
}

/// Why there is no scenario.
#[derive(Debug)]
pub enum SourceError {
    /// No shipped scenario has that name, and no file either.
    Unknown(UnknownScenario),
    /// The file cannot be read.
    Unreadable {
        /// The path.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The file is too long to be a scenario.
    TooLong {
        /// The path.
        path: String,
    },
    /// The file is not a scenario.
    Invalid(ScenarioError),
}

/// Finds and validates a scenario. A shipped name wins over a file of that name; `./name` is always the file.
pub fn find(argument: &str) -> Result<Sourced, SourceError> {
    let scenario = match library::find(argument) {
        Ok(shipped) => shipped.scenario().map_err(SourceError::Invalid)?,
        Err(unknown) if !names_a_file(argument) => return Err(SourceError::Unknown(unknown)),
        Err(_) => read(argument)?,
    };
    Ok(Sourced { argument: argument.to_owned(), scenario })
}

/// Finds and validates several; `None`: something is not a scenario, which was told.
pub fn find_all(arguments: &[String]) -> Option<Vec<Sourced>> {
    let found =
        arguments.iter().map(|argument| find(argument).inspect_err(|error| output::complain(&error.to_string())));
    // All of them are looked at: better to be told of two slips at once.
    let found: Vec<_> = found.collect();
    found.into_iter().collect::<Result<_, _>>().ok()
}

/// Reads and validates a file.
pub fn read(path: &str) -> Result<Scenario, SourceError> {
    let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    let limit = limits::FILE_BYTES as u64;
    // One more than the limit: otherwise a file that is too long would be judged by its first half.
    file.take(limit + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > limit {
        return Err(SourceError::TooLong { path: path.to_owned() });
    }
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let traces = |name: &str| trace(&folder.join(name)).map_err(|error| reason(&error));
    Scenario::parse_with(path, &text, &traces).map_err(SourceError::Invalid)
}

/// The text of a trace file; its path has been judged by the reader of the scenario.
fn trace(path: &Path) -> io::Result<String> {
    let limit = limits::TRACE_BYTES as u64;
    let mut text = String::new();
    // A pipe or a device may never end, or never begin.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn names_a_file(argument: &str) -> bool {
    argument.contains(std::path::MAIN_SEPARATOR) || argument.ends_with(".toml") || Path::new(argument).exists()
}

/// Like a compiler: `error:`, then where, then what helps. Ends with a newline.
impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Unknown(UnknownScenario { name, suggestion }) => {
                writeln!(f, "error: no scenario is called `{name}`")?;
                match suggestion {
                    Some(right) => writeln!(f, "  = help: did you mean `{right}`?"),
                    None => writeln!(f, "  = help: `ddil list` shows the shipped ones; a file needs its path"),
                }
            }
            SourceError::Unreadable { path, error } => {
                writeln!(f, "error: cannot read `{path}`: {}", reason(error))?;
                let name = path.strip_suffix(".toml").unwrap_or(path);
                match library::find(name) {
                    Ok(shipped) => writeln!(f, "  = help: `{}` is shipped: name it without `.toml`", shipped.name),
                    Err(_) => Ok(()),
                }
            }
            SourceError::TooLong { path } => {
                writeln!(f, "error: `{path}` is longer than {} KiB", limits::FILE_BYTES / 1024)?;
                writeln!(f, "  = help: a scenario is a few KB of TOML; is this the right file?")
            }
            SourceError::Invalid(error) => write!(f, "{error}"),
        }
    }
}
