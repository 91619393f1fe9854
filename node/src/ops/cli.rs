//! `peat-node status`, `peers` and `lag`: asks a running node over its API and says what it heard.
//!
//! [`ask`] has the words, [`client`] the call, [`view`] what is told as data (`--json`), [`table`] the same for
//! people.

pub mod ask;
mod client;
pub mod credentials;
mod table;
pub mod token;
pub mod upkeep;
mod view;

use std::io::{self, Write};

pub use ask::{Ask, Question};
pub use credentials::Credentials;
use table::Paint;
pub use upkeep::Upkeep;

/// What a question ends with. The numbers are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Well = 0,
    /// The node answered, and something is not as it should be: not ready, a wanted peer away, a peer behind.
    Unwell = 1,
    /// Nobody answered, or not to the question.
    Unreachable = 3,
}

/// Asks, prints, and says what to end with.
pub async fn run(ask: Ask) -> Exit {
    let answer = match client::answer(&ask).await {
        Ok(answer) => answer,
        Err(error) => {
            complain(&error);
            return Exit::Unreachable;
        }
    };
    let paint = Paint::for_stdout(ask.color);
    let (text, well) = told(&ask, &answer, paint);
    if let Err(error) = print(&text) {
        complain(&format!("cannot write to stdout: {error}"));
    }
    if well { Exit::Well } else { Exit::Unwell }
}

/// The text, and whether all is well.
fn told(ask: &Ask, answer: &client::Answer, paint: Paint) -> (String, bool) {
    match ask.question {
        Question::Status => {
            let view = view::Status::of(answer);
            let text = if ask.json { json(&view) } else { table::status(&view, paint) };
            (text, view.ready)
        }
        Question::Peers => {
            let view = view::Peers::of(answer);
            let text = if ask.json { json(&view) } else { table::peers(&view, paint) };
            (text, view.away == 0)
        }
        Question::Lag(limit) => {
            let view = view::LagView::of(answer, limit);
            let text = if ask.json { json(&view) } else { table::lag(&view, paint) };
            (text, view.behind == 0)
        }
    }
}

fn json(view: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(view).expect("numbers, strings and lists have a JSON form");
    text.push('\n');
    text
}

/// A reader that went away (`peat-node peers | head -1`) is no error of ours.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {text}");
}

#[cfg(test)]
mod tests;
