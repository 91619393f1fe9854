//! Processors that are never idle.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Threads that compute for as long as this lives: two for each processor, so that a simulation has to wait for its
/// turn, and whatever depends on when it gets one shows.
pub struct Load(Arc<AtomicBool>);

impl Load {
    /// Starts them.
    pub fn start() -> Self {
        let running = Arc::new(AtomicBool::new(true));
        for _ in 0..2 * thread::available_parallelism().map_or(1, usize::from) {
            let running = running.clone();
            thread::spawn(move || {
                let mut number = 1_u64;
                while running.load(Ordering::Relaxed) {
                    number = hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                }
            });
        }
        Self(running)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
