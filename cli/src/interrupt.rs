//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::exit::INTERRUPTED;
use crate::output;
use crate::progress::Meter;

/// Ctrl-C was pressed, and the process is about to end.
static HAPPENED: AtomicBool = AtomicBool::new(false);

/// True once Ctrl-C was pressed: begin nothing new.
pub fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}

/// Returns, unless Ctrl-C was pressed: then this thread has nothing more to say, and waits for the end.
pub fn wait_if_it_happened() {
    while happened() {
        thread::park();
    }
}

/// What is to be put in order before the process ends.
static BEFORE_LEAVING: Mutex<Option<fn()>> = Mutex::new(None);

/// Has `tidy` called when Ctrl-C ends the process.
pub fn before_leaving(tidy: fn()) {
    *BEFORE_LEAVING.lock().unwrap_or_else(PoisonError::into_inner) = Some(tidy);
}

/// From now on Ctrl-C clears the progress bar, says how far the run was and exits with 130.
///
/// A simulation has no files, processes or sockets to put in order, so it is simply left; what was printed for
/// earlier scenarios stays. If the handler cannot be installed, Ctrl-C kills as it always does.
pub fn watch() {
    let watcher = thread::Builder::new().name("ctrl-c".into()).spawn(|| {
        // A runtime of its own: the one of the simulation has no real time to wait in.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_err() {
            return;
        }
        HAPPENED.store(true, Ordering::SeqCst);
        let tidy = BEFORE_LEAVING.lock().unwrap_or_else(PoisonError::into_inner).take();
        tidy.iter().for_each(|tidy| tidy());
        let place = Meter::interrupt().map(|place| format!(": {place}")).unwrap_or_default();
        output::tell(&format!("interrupted{place}\n"));
        std::process::exit(INTERRUPTED.into());
    });
    drop(watcher);
}

/// From now on Ctrl-C is for the program that this one waits for.
pub fn leave_to_another() {
    let watcher = thread::Builder::new().name("ctrl-c".into()).spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {}
    });
    drop(watcher);
}
