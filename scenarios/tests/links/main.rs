//! The plots and the table of `docs/links.md`: drawn by the model itself, so that they cannot say anything else.

#![allow(clippy::unwrap_used)]

mod figures;
mod plot;
mod table;

use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Writes a file when asked to, and demands that it is as it would be written.
fn hold(path: &Path, wanted: &str) {
    if std::env::var_os("PEAT_WRITE_DOCS").is_some() {
        std::fs::write(path, wanted).unwrap();
    }
    let held = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.file_name().unwrap().to_string_lossy();
    assert!(held == wanted, "docs: {name} is not what the model says: run this test with PEAT_WRITE_DOCS=1");
}

#[test]
fn the_plots_are_those_of_the_model() {
    for (name, plot) in figures::all() {
        hold(&docs().join("links").join(format!("{name}.svg")), &plot.svg());
    }
}

#[test]
fn the_table_of_profiles_is_that_of_the_code() {
    let path = docs().join("links.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(table::BEGIN).expect("the page has the mark of its table");
    let (_, after) = rest.split_once(table::END).expect("the page has the end of its table");
    hold(&path, &format!("{before}{}{}{}{after}", table::BEGIN, table::rows(), table::END));
}
