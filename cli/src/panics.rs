//! Panics, told in our own words.
//!
//! A panic inside a simulation is caught by the simulator and becomes an error; one in a task of a node is
//! caught by tokio, and the run goes on. Neither may write over the progress bar, so they are noted here and
//! told when the run is over. With `RUST_BACKTRACE` set the standard message comes as well, at once.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use crate::output;

/// Notes that are kept: a task that panics again and again says nothing new.
const NOTES: usize = 10;

static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes over from the standard hook.
pub fn install() {
    let standard = std::panic::take_hook();
    let backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |info| {
        note(info);
        if backtrace {
            standard(info);
        }
    }));
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "somewhere".to_owned(), |at| format!("{}:{}", at.file(), at.line()));
    let text = info.payload_as_str().unwrap_or("(no message)");
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.len() < NOTES {
        noted.push(format!("{place}: {text}"));
    }
}

/// What panicked since the last time, a line each.
pub fn take() -> Vec<String> {
    std::mem::take(&mut NOTED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Tells of what panicked in a place: `a simulation`.
pub fn tell(place: &str) {
    for note in take() {
        output::complain(&format!("error: panic in {place}\n  --> {note}\n"));
    }
}

/// Tells about a panic in `ddil` itself.
pub fn confess() {
    let mut text = String::from("error: this is a bug in ddil\n");
    for note in take() {
        text.push_str(&format!("  --> {note}\n"));
    }
    text.push_str("  = help: run it again with RUST_BACKTRACE=1 and report what it prints\n");
    output::complain(&text);
}
