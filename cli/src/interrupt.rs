//! Ctrl-C.

use std::thread;

use crate::exit::INTERRUPTED;
use crate::output;
use crate::progress::Meter;

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
        let place = Meter::interrupt().map(|place| format!(": {place}")).unwrap_or_default();
        output::tell(&format!("interrupted{place}\n"));
        std::process::exit(INTERRUPTED.into());
    });
    drop(watcher);
}
