//! Writing for people and pipes: colours, errors, and readers that stop reading.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use comfy_table::Table;
use peat_scenarios::report::Paint;

/// What heads a table or a part.
pub const BOLD: Style = Style::new().bold();

const ERROR: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// Obeys `--color` from here on; `auto` leaves it to the environment.
pub fn choose_colour(choice: clap::ColorChoice) {
    let choice = match choice {
        clap::ColorChoice::Auto => ColorChoice::Auto,
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// Whether what goes to stdout is coloured: `--color`, NO_COLOR, CLICOLOR_FORCE, and whether it is a terminal.
pub fn stdout_paint() -> Paint {
    paint(anstream::AutoStream::choice(&io::stdout()))
}

/// The same for stderr.
pub fn stderr_paint() -> Paint {
    paint(anstream::AutoStream::choice(&io::stderr()))
}

fn paint(choice: ColorChoice) -> Paint {
    match choice {
        ColorChoice::Never => Paint::Plain,
        ColorChoice::Auto | ColorChoice::Always | ColorChoice::AlwaysAnsi => Paint::Colour,
    }
}

/// Prints a result. A reader that went away (`ddil list | head -1`) is no error of ours; any other trouble
/// (a full disk) is, because whoever redirected the output counts on it.
pub fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        complain(&format!("error: cannot write to stdout: {}\n", reason(&error)));
    }
}

/// Prints to stderr. Nobody is left to tell if that fails.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Prints errors to stderr, `error:` at the beginning of a line in red. Quoted lines of a file stand behind a
/// gutter and are never taken for one.
pub fn complain(text: &str) {
    match stderr_paint() {
        Paint::Plain => tell(text),
        Paint::Colour => {
            let red = |line: &str| match line.strip_prefix("error:") {
                Some(rest) => format!("{ERROR}error:{ERROR:#}{rest}"),
                None => line.to_owned(),
            };
            tell(&text.split_inclusive('\n').map(red).collect::<String>());
        }
    }
}

/// `No such file or directory`, without the number that the standard library adds for programmers.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A word as it is typed into a POSIX shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:@%,=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A style around a text, if there are colours.
pub fn styled(paint: Paint, style: Style, text: impl Display) -> String {
    match paint {
        Paint::Plain => text.to_string(),
        Paint::Colour => format!("{style}{text}{style:#}"),
    }
}

/// A table, its head in bold, without the blanks that it leaves at the end of a row.
pub fn rows(table: &Table, paint: Paint) -> String {
    let mut text = String::new();
    for (position, line) in table.to_string().lines().enumerate() {
        match position {
            0 => text.push_str(&styled(paint, BOLD, line.trim_end())),
            _ => text.push_str(line.trim_end()),
        }
        text.push('\n');
    }
    text
}

/// A text in at most `width` characters.
pub fn shortened(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}
