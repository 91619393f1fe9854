//! Errors that point: file, line, column, field, what is wrong, what is allowed.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

/// Everything that is wrong with a scenario, as far as one pass can tell; at most
/// [`crate::limits::DIAGNOSTICS`] are shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ScenarioError {
    /// The file, or `<builder>`.
    pub file: String,
    /// What is wrong, in order of position; never empty.
    pub diagnostics: Vec<Diagnostic>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where; `None` for a scenario built in Rust.
    pub location: Option<Location>,
    /// The field: `fault[2].between`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or what was probably meant.
    pub help: Option<String>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Characters to underline, at least 1, all on this line.
    pub width: usize,
    /// The line.
    pub text: String,
}

impl Location {
    /// The place of a byte range of `source`.
    pub(super) fn of(source: &str, span: Range<usize>) -> Location {
        let start = floor(source, span.start.min(source.len()));
        let end = floor(source, span.end.clamp(start, source.len()));
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |newline| start + newline);
        Location {
            line: source[..start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            width: source[start..end.min(line_end).max(start)].trim_end().chars().count().max(1),
            text: source[line_start..line_end].trim_end().to_owned(),
        }
    }
}

fn floor(source: &str, mut at: usize) -> usize {
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.diagnostics.len().min(crate::limits::DIAGNOSTICS);
        for (position, diagnostic) in self.diagnostics[..shown].iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            diagnostic.write(&self.file, f)?;
        }
        if self.diagnostics.len() > shown {
            writeln!(f, "\n… and {} more", self.diagnostics.len() - shown)?;
        }
        Ok(())
    }
}

impl Diagnostic {
    fn write(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        let gutter = match &self.location {
            None => {
                writeln!(f, "  --> {file}")?;
                1
            }
            Some(at) => {
                let number = at.line.to_string();
                let gutter = number.len();
                let (empty, line, column) = (" ".repeat(gutter), at.line, at.column);
                writeln!(f, "{empty}--> {file}:{line}:{column}")?;
                writeln!(f, "{empty} |")?;
                writeln!(f, "{number} | {}", at.text)?;
                let indent = " ".repeat(at.column - 1);
                writeln!(f, "{empty} | {indent}{}", "^".repeat(at.width))?;
                gutter
            }
        };
        let empty = " ".repeat(gutter);
        if !self.path.is_empty() {
            writeln!(f, "{empty} = field: {}", self.path)?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{empty} = help: {help}")?;
        }
        Ok(())
    }
}
