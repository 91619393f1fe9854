//! Several simulations at a time, each on threads of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Does `work` on every item, `jobs` at a time (default: as many as there are processors), and hands what comes of it to
/// `each` on the thread of the caller, in the order in which it comes.
///
/// Items are begun in their order: the longest first keep all processors busy to the end.
pub fn crew<T: Sync, R: Send>(jobs: Option<u32>, items: &[T], work: impl Fn(&T) -> R + Sync, mut each: impl FnMut(R)) {
    let jobs = jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), |jobs| jobs as usize);
    let next = AtomicUsize::new(0);
    let (done, finished) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()) {
            let (done, next, work) = (done.clone(), &next, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The receiver is gone when `each` panicked.
                    if done.send(work(item)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        finished.into_iter().for_each(&mut each);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_by_any_number() {
        let items: Vec<u32> = (0..50).collect();
        for jobs in [Some(1), Some(3), Some(500), None] {
            let mut done = Vec::new();
            crew(jobs, &items, |item| item * 2, |result| done.push(result));
            done.sort_unstable();
            assert_eq!(done, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
        crew(None, &[], |(): &()| (), |()| panic!("there is nothing to do"));
    }
}
