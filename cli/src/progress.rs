//! How far a run is, in virtual time, on stderr.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use peat_scenarios::SimTime;
use peat_scenarios::report::Paint;
use peat_sim::Progress;

use crate::output;

/// The run that is going on, for whoever interrupts it.
static CURRENT: Mutex<Option<Meter>> = Mutex::new(None);

/// The progress of one run.
#[derive(Debug, Clone)]
pub struct Meter {
    bar: Option<ProgressBar>,
    label: String,
    reproduce: String,
    /// How far it is, for whoever interrupts it.
    reached: Option<String>,
}

impl Meter {
    /// Begins to show a run. `label` stands before the bar; `shown` is what the person asked for, and without
    /// a terminal there is no bar either way.
    pub fn start(label: String, reproduce: String, shown: bool) {
        let bar = (shown && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            bar.set_style(style());
            bar.set_prefix(label.clone());
            bar.tick();
            bar
        });
        *current() = Some(Meter { bar, label, reproduce, reached: None });
    }

    /// Moves on, in a simulation.
    pub fn advance(progress: &Progress) {
        Self::reach(progress.now, progress.end, &progress.phase);
    }

    /// Moves on.
    pub fn reach(now: SimTime, end: SimTime, phase: &str) {
        let mut current = current();
        let Some(meter) = current.as_mut() else { return };
        let (shown, last) = (whole_seconds(now), whole_seconds(end));
        meter.reached = Some(format!("at {shown} of {last}"));
        if let Some(bar) = &meter.bar {
            bar.set_length(end.as_nanos());
            bar.set_message(format!("{shown} of {last}  {phase}"));
            bar.set_position(now.as_nanos());
        }
    }

    /// Of many runs or whatever else, so many are over, and so many of those are not as they should be.
    pub fn count_of(done: u64, of: u64, things: &str, bad: u64, word: &str) {
        let mut current = current();
        let Some(meter) = current.as_mut() else { return };
        meter.reached = Some(format!("after {done} of {of} {things}"));
        if let Some(bar) = &meter.bar {
            let bad = if bad > 0 { format!("  {bad} {word}") } else { String::new() };
            bar.set_length(of);
            bar.set_message(format!("{done} of {of} {things}{bad}"));
            bar.set_position(done);
        }
    }

    /// The run is over: the line is gone when the report comes.
    pub fn finish() {
        if let Some(Meter { bar: Some(bar), .. }) = current().take() {
            bar.finish_and_clear();
        }
    }

    /// Clears the line and says how far the run was; `None` when there is none.
    pub fn interrupt() -> Option<String> {
        let meter = current().take()?;
        if let Some(bar) = &meter.bar {
            bar.finish_and_clear();
        }
        let (label, reproduce) = (&meter.label, &meter.reproduce);
        let place = format!("{label} {}", meter.reached.as_deref().unwrap_or("before its start"));
        Some(format!("{place}; not judged\nagain: {reproduce}"))
    }
}

fn current() -> MutexGuard<'static, Option<Meter>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The message is what shortens on a narrow terminal; name and bar are always whole.
fn style() -> ProgressStyle {
    let template = match output::stderr_paint() {
        Paint::Plain => "{prefix} {bar:24} {wide_msg}",
        Paint::Colour => "{prefix:.bold} {bar:24.cyan/dim} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸─")
}

/// `12m03s`: a bar that moves once per virtual second has no use for milliseconds.
fn whole_seconds(at: SimTime) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}s"),
        None => text,
    }
}
