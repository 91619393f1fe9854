//! What a test does at a terminal: folders of its own, the built binary, and what it says.

// Not every test file needs all of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory of its own for each test, so that file names in messages are the same everywhere.
pub fn directory(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The same, without what an earlier run of the test left there.
pub fn fresh(test: &str) -> PathBuf {
    let _ = fs::remove_dir_all(Path::new(env!("CARGO_TARGET_TMPDIR")).join(test));
    directory(test)
}

pub fn ddil(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddil"));
    // Nothing of the developer's terminal: clap takes the width from any stream that is one.
    command.args(arguments).stdin(Stdio::null()).current_dir(directory("empty"));
    for variable in ["COLUMNS", "LINES", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Exit code, stdout and stderr as a person sees them.
pub fn seen(output: &Output) -> String {
    let code = output.status.code().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let mut seen = format!("exit {code}\n");
    for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
        if !text.is_empty() {
            seen.push_str(&format!("--- {name}\n{text}"));
        }
    }
    seen
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub fn ran(arguments: &[&str]) -> Output {
    ddil(arguments).output().unwrap()
}

#[track_caller]
pub fn exits(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", seen(output));
}

/// A minute on an island, in a second or two of a debug build.
pub const ISLAND: &str = r#"
name = "island"
purpose = "an island loses its link for ten seconds"
duration = "1m"
settle = "20s"

[[cluster]]
name = "shore"
[[cluster.group]]
name = "shore-edge"
count = 1

[[cluster]]
name = "island"
[[cluster.group]]
name = "island-edge"
count = 1

[[link]]
between = ["shore-edge", "island-edge"]
profile = "wan"

[[workload]]
kind = "put"
on = ["shore-edge", "island-edge"]
every = "5s"

[[fault]]
kind = "partition"
id = "storm"
between = ["shore-edge", "island-edge"]
at = "20s"
for = "10s"
"#;
