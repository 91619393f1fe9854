//! What a loaded document really costs, counted by the allocator: the bound of the document cache is one of bytes only
//! if [`Document::approximate_bytes`] is right.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use peat_node::core::document::{ActorId, Document, JsonLimits, JsonObject};

struct Counting;

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // While a thread ends there is nothing left to count for.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `make` leaves behind in memory, and what it made.
fn cost<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    let made = make();
    (made, usize::try_from(HELD.get() - before).expect("something was made"))
}

fn actor(number: u8) -> ActorId {
    ActorId::from([number; 16])
}

/// Writes fields whose values have `length` bytes.
fn put(document: &mut Document, fields: u64, length: usize, n: u64) -> Vec<u8> {
    let value = |field: u64| format!("{}{}", field * 1000 + n, "-".repeat(length.saturating_sub(4)));
    let pairs: Vec<String> = (0..fields).map(|field| format!(r#""field-{field}":"{}""#, value(field))).collect();
    let json = JsonObject::parse(&format!("{{{}}}", pairs.join(",")), &JsonLimits::default()).expect("JSON");
    document.put(&json, 0).expect("a document takes it").expect("a change")
}

/// Too low, and the cache takes more memory than it is allowed; too high, and it holds less than it could.
#[test]
fn a_loaded_document_is_never_taken_for_less_than_it_costs() {
    let mut told = String::new();
    let mut wrong = 0;
    for (fields, length, changes) in
        [(1, 10, 1), (8, 10, 1), (8, 10, 20), (8, 10, 120), (8, 1000, 20), (1, 100_000, 3), (100, 10, 20)]
    {
        let mut log = Vec::new();
        let (written, with_log) = cost(|| {
            let mut document = Document::new(actor(1));
            log.extend((0..changes).map(|n| put(&mut document, fields, length, n)));
            document
        });
        let logged = log.capacity() * size_of::<Vec<u8>>() + log.iter().map(Vec::capacity).sum::<usize>();
        let saved = written.clone().save();
        let whole = || Document::load(actor(2), Some(&saved), std::iter::empty()).expect("it was saved");
        let in_changes = || Document::load(actor(2), None, log.iter().map(Vec::as_slice)).expect("they were written");
        let received = || {
            let mut document = Document::new(actor(3));
            log.iter().for_each(|change| assert!(document.apply(change).expect("acceptable").is_some()));
            document
        };
        let kinds = [
            ("written", (written, with_log - logged)),
            ("loaded", cost(whole)),
            ("loaded in changes", cost(in_changes)),
            ("received", cost(received)),
        ];
        for (kind, (document, truth)) in kinds {
            let estimate = document.approximate_bytes();
            let truth = truth + size_of::<Document>();
            wrong += usize::from(estimate < truth * 9 / 10 || estimate > truth * 4);
            told += &format!(
                "{fields} fields of {length} bytes, {changes} changes, {kind}: {estimate} estimated, {truth} in truth\n"
            );
        }
    }
    assert_eq!(wrong, 0, "\n{told}");
}
