//! `ddil new`: a scenario to begin with.

use std::fs::File;
use std::io::{ErrorKind, Write};

use peat_scenarios::library;

use crate::args::NewArgs;
use crate::exit::Exit;
use crate::output::{self, reason};

/// Writes `NAME.toml` into this directory; what is there already is never touched.
pub fn new(arguments: &NewArgs) -> Exit {
    let text = match library::starter(&arguments.name) {
        Ok(text) => text,
        Err(problem) => {
            output::complain(&format!("error: `{}` is no name for a scenario: {problem}\n", arguments.name));
            output::complain("  = help: lower-case letters, digits and dashes, such as `ship-loses-satellite`\n");
            return Exit::Usage;
        }
    };
    let path = format!("{}.toml", arguments.name);
    let written = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => {
            output::print(&format!("{path} is there. Try it, then change it:\n  ddil run {path}\n"));
            Exit::Pass
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            output::complain(&format!("error: `{path}` is there already, and is left alone\n"));
            Exit::Usage
        }
        Err(error) => {
            output::complain(&format!("error: cannot write `{path}`: {}\n", reason(&error)));
            Exit::Usage
        }
    }
}
