//! `ddil report`: a saved run, judged and drawn again.

use std::fs::File;
use std::io::Read;

use peat_scenarios::limits;
use peat_scenarios::report::SavedRun;

use crate::args::ReportArgs;
use crate::document::{self, Document};
use crate::exit::Exit;
use crate::output::{self, reason};
use crate::outputs::Judged;

/// Reads the file, judges it anew, and writes what was asked for; without any wish, the text.
pub fn report(arguments: &ReportArgs) -> Exit {
    if let Err(error) = arguments.outputs.check(1, arguments.json) {
        output::complain(&error);
        return Exit::Usage;
    }
    let saved = match read(&arguments.file) {
        Ok(saved) => saved,
        Err(error) => {
            output::complain(&format!("error: `{}`: {error}\n", arguments.file));
            output::complain("  = help: `ddil run NAME --record FILE` makes such a file\n");
            return Exit::Usage;
        }
    };
    let report = saved.report();
    let good = arguments.outputs.write_one(&Judged { scenario: &saved.scenario, report: &report }, false)
        & arguments.outputs.write_all(&[report.summary()]);
    if arguments.json {
        let document = Document::new([report.verdict].into_iter(), vec![document::judged(&report)]);
        output::print(&document::pretty(&document));
    } else if !arguments.outputs.any() {
        output::print(&report.text(output::stdout_paint()));
    }
    if good { Exit::of(report.verdict) } else { Exit::Usage }
}

/// Reads a saved run.
pub fn read(path: &str) -> Result<SavedRun, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {}", reason(&error)))?;
    // One more than the limit: what is too long is told so, and not cut.
    file.take(limits::SAVED_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {}", reason(&error)))?;
    SavedRun::parse(&text).map_err(|error| error.to_string())
}
