//! Tasks of the simulated world. All of them end with the runtime of the run at the latest.

use std::future::Future;

use tokio::task::AbortHandle;

/// A task that ends when this is dropped.
pub(crate) struct Owned(AbortHandle);

impl Owned {
    #[expect(clippy::disallowed_methods, reason = "this is how the world owns a task")]
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task).abort_handle())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a task that nobody waits for: what is left to do behind a host that is gone.
#[expect(clippy::disallowed_methods, reason = "it belongs to the run, which ends with its runtime")]
pub(crate) fn leave_behind(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
