//! Reports in files: what `ddil run` and `ddil report` write besides the text on the terminal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use peat_scenarios::Scenario;
use peat_scenarios::report::{Report, Summary, junit, markdown};

use crate::output::{self, reason};

/// Where reports go; `-` is stdout.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Reports (`-` as FILE: stdout, instead of the text)")]
pub struct Outputs {
    /// One self-contained page with the timeline
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// A summary for a pull request, over all scenarios
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// JUnit XML for a CI server, over all scenarios
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// The event log, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,

    /// A trace for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub perfetto: Option<PathBuf>,

    /// The run itself, for `ddil report`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// One qlog for each pair of nodes
    #[arg(long, value_name = "DIR")]
    pub qlog: Option<PathBuf>,

    /// All of these but qlog, under their usual names
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// A judged run and what it was judged by.
pub struct Judged<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The report.
    pub report: &'a Report<'a>,
}

impl Outputs {
    /// Is anything asked for?
    pub fn any(&self) -> bool {
        self.files().iter().any(|(_, path)| path.is_some()) || self.qlog.is_some() || self.out.is_some()
    }

    /// Does one of them go to stdout? Then nothing else may.
    pub fn take_stdout(&self) -> bool {
        self.to_stdout().next().is_some()
    }

    fn to_stdout(&self) -> impl Iterator<Item = &'static str> {
        let files = self.files();
        files.into_iter().filter(|(_, path)| path.is_some_and(is_stdout)).map(|(option, _)| option)
    }

    fn files(&self) -> [(&'static str, Option<&Path>); 6] {
        [
            ("--html", self.html.as_deref()),
            ("--events", self.events.as_deref()),
            ("--perfetto", self.perfetto.as_deref()),
            ("--record", self.record.as_deref()),
            ("--markdown", self.markdown.as_deref()),
            ("--junit", self.junit.as_deref()),
        ]
    }

    /// What cannot be asked for together, told before anything runs.
    pub fn check(&self, scenarios: usize, json: bool) -> Result<(), String> {
        let stdout: Vec<&str> = self.to_stdout().chain(json.then_some("--json")).collect();
        if stdout.len() > 1 {
            let both = stdout.join(" and ");
            return Err(format!("error: {both} cannot share stdout\n  = help: give all but one of them a file\n"));
        }
        let single = self.files().into_iter().take(4).chain([("--qlog", self.qlog.as_deref())]);
        match single.filter(|(_, path)| path.is_some()).map(|(option, _)| option).next() {
            Some(option) if scenarios > 1 => Err(format!(
                "error: {option} takes one scenario, and there are {scenarios}\n\
                 \x20 = help: --out DIR makes a directory for each\n"
            )),
            _ => Ok(()),
        }
    }

    /// Writes what concerns one run. `several`: there are others, so `--out` has a directory for each. False when
    /// something could not be written; the rest is written all the same.
    pub fn write_one(&self, run: &Judged<'_>, several: bool) -> bool {
        let Judged { scenario, report } = run;
        let mut good = true;
        let mut put =
            |path: Option<&Path>, text: &dyn Fn() -> String| good &= path.is_none_or(|path| write(path, &text()));
        put(self.html.as_deref(), &|| report.html());
        put(self.events.as_deref(), &|| report.events());
        put(self.perfetto.as_deref(), &|| report.perfetto());
        put(self.record.as_deref(), &|| report.saved(scenario));
        if let Some(out) = &self.out {
            let place = if several { out.join(&scenario.name) } else { out.clone() };
            if !make(&place) {
                return false;
            }
            put(Some(&place.join("report.html")), &|| report.html());
            put(Some(&place.join("events.jsonl")), &|| report.events());
            put(Some(&place.join("trace.json")), &|| report.perfetto());
            put(Some(&place.join("record.json")), &|| report.saved(scenario));
        }
        if let Some(directory) = &self.qlog {
            if !make(directory) {
                return false;
            }
            for (name, text) in report.qlogs() {
                put(Some(&directory.join(name)), &|| text.clone());
            }
        }
        good
    }

    /// Writes what is over all runs.
    pub fn write_all(&self, runs: &[Summary]) -> bool {
        let mut good = true;
        let mut put =
            |path: Option<&Path>, text: &dyn Fn() -> String| good &= path.is_none_or(|path| write(path, &text()));
        put(self.markdown.as_deref(), &|| markdown(runs));
        put(self.junit.as_deref(), &|| junit(runs));
        if let Some(out) = &self.out {
            if !make(out) {
                return false;
            }
            put(Some(&out.join("summary.md")), &|| markdown(runs));
            put(Some(&out.join("junit.xml")), &|| junit(runs));
        }
        good
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn make(directory: &Path) -> bool {
    told(directory, fs::create_dir_all(directory))
}

fn write(path: &Path, text: &str) -> bool {
    if is_stdout(path) {
        output::print(text);
        return true;
    }
    told(path, fs::write(path, text))
}

fn told(path: &Path, done: io::Result<()>) -> bool {
    if let Err(error) = &done {
        output::complain(&format!("error: cannot write `{}`: {}\n", path.display(), reason(error)));
    }
    done.is_ok()
}
