//! `ddil schema`: the JSON Schema of scenario files.

use peat_scenarios::schema;

use crate::exit::Exit;
use crate::output;

/// Prints it.
pub fn schema() -> Exit {
    output::print(&schema::text());
    Exit::Pass
}
