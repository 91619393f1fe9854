//! A simulation and the threads that it starts take turns.
//!
//! tokio's pool for blocking calls is the only one there is: netwatch, which every iroh endpoint starts, reads a file in
//! it. What such a call returns is the same every time; *when* it returns is not, and tokio counts how often a runtime
//! looked for work to decide where it looks next. So one call that took a little longer while an endpoint was bound
//! let two tasks change places minutes of virtual time later.
//!
//! Here such a thread runs only while the simulation waits, and the simulation goes on only when all of them are
//! blocked or wait for their turn. So a call is out until the simulation has nothing else to do, and is over with all
//! that belongs to it (tokio wakes who asked for it first, and lets its clock go on after) before the simulation does
//! anything. Of several calls that are out at once any number may be over then; netwatch makes one after the other.
//!
//! The hooks of `futex`, `pthread_create` and `pthread_join` call this ([`super::symbols`]), so nothing here may lock,
//! allocate or panic.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Looks at the other side before it is taken for stuck, at 20 µs each: two seconds. A thread that neither rests nor
/// ends (a busy loop of somebody's test) then costs repeatability and not the run.
const LOOKS_MAX: u32 = 100_000;
/// Time between two looks, in nanoseconds.
const LOOK_NS: libc::c_long = 20_000;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The simulation waits for something that is not virtual, or is over.
    waits: AtomicBool,
    /// Threads that have their turn.
    running: AtomicU32,
}

thread_local! {
    /// On a thread that a simulation started: that simulation's.
    static HELPER_OF: Cell<*const Turns> = const { Cell::new(std::ptr::null()) };
}

impl Turns {
    /// The simulation's thread begins to wait.
    pub(super) fn wait(&self) {
        self.waits.store(true, Ordering::SeqCst);
    }

    /// The simulation's thread would go on: it does when nobody runs any more.
    pub(super) fn go_on(&self) {
        self.waits.store(false, Ordering::SeqCst);
        look_until(|| self.running.load(Ordering::SeqCst) == 0);
    }

    /// Has its turn as soon as the simulation waits.
    fn take(&self) {
        let taken = look_until(|| {
            if !self.waits.load(Ordering::SeqCst) {
                return false;
            }
            self.running.fetch_add(1, Ordering::SeqCst);
            // The simulation may have stopped waiting in between, having seen nobody run.
            let mine = self.waits.load(Ordering::SeqCst);
            if !mine {
                self.running.fetch_sub(1, Ordering::SeqCst);
            }
            mine
        });
        if !taken {
            self.running.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn rest(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// False when it was looked at often enough.
fn look_until(mut done: impl FnMut() -> bool) -> bool {
    // SAFETY: the location is this thread's own. What was called before this has its answer there.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    for _ in 0..LOOKS_MAX {
        if done() {
            // SAFETY: as above.
            unsafe { *errno = before };
            return true;
        }
        let nap = libc::timespec { tv_sec: 0, tv_nsec: LOOK_NS };
        // SAFETY: the request is valid, and the rest of an interrupted nap is not asked for.
        unsafe { libc::nanosleep(&nap, std::ptr::null_mut()) };
    }
    false
}

/// What a thread that a simulation starts does before and after its own work.
pub(super) fn help<T>(turns: Arc<Turns>, work: impl FnOnce() -> T) -> T {
    let _ = HELPER_OF.try_with(|of| of.set(Arc::as_ptr(&turns)));
    turns.take();
    let done = work();
    turns.rest();
    let _ = HELPER_OF.try_with(|of| of.set(std::ptr::null()));
    done
}

/// Makes a system call that may block. If this is such a thread, it rests meanwhile, and has its next turn after.
pub(super) fn around<T>(call: impl FnOnce() -> T) -> T {
    let of = HELPER_OF.try_with(Cell::get).unwrap_or(std::ptr::null());
    // SAFETY: null, or set by `help`, which keeps it alive for as long as it is set.
    let Some(turns) = (unsafe { of.as_ref() }) else { return call() };
    turns.rest();
    let done = call();
    turns.take();
    done
}
