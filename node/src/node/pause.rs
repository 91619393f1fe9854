//! Keeping a node from running without ending it, as SIGSTOP does to a process.
//!
//! Only a simulated world has use for it: in production the system stops processes by itself, and nothing of this is
//! made. It costs one look at a flag for each time that a task of the node is polled.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Holds the tasks of a node. Clones hold the same tasks.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    begun: bool,
    /// Tasks that were woken meanwhile, in that order.
    waiting: Vec<Waker>,
}

impl Pause {
    /// From now on no task makes a step. What wakes them meanwhile (a timer, a datagram) is not lost.
    pub fn begin(&self) {
        self.state(|state| state.begun = true);
    }

    /// Tasks go on, in the order in which they would have.
    pub fn end(&self) {
        let waiting = self.state(|state| {
            state.begun = false;
            std::mem::take(&mut state.waiting)
        });
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The same future, held while the pause lasts.
    pub fn hold<F: Future>(&self, future: F) -> Held<F> {
        Held { pause: self.clone(), future: Box::pin(future) }
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// See [`Pause::hold`].
#[derive(Debug)]
pub struct Held<F> {
    pause: Pause,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Held<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let held = self.pause.state(|state| {
            if state.begun && !state.waiting.iter().any(|waiting| waiting.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            state.begun
        });
        if held {
            return Poll::Pending;
        }
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fell_due_meanwhile_happens_at_the_end_of_the_pause() {
        let pause = Pause::default();
        let began = Instant::now();
        let sleeper = tokio::task::JoinSet::from_iter([pause.hold(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            began.elapsed()
        })]);
        tokio::task::yield_now().await;
        pause.begin();
        tokio::time::sleep(Duration::from_secs(5)).await;
        pause.end();
        assert_eq!(sleeper.join_all().await, [Duration::from_secs(5)]);
    }
}
