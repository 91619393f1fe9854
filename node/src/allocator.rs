//! How the process asks the system for memory: `docs/adr/0014`. Of the binary only; in a simulation the world decides.

/// Makes the system's allocator give back what is free. Must be called before other threads allocate.
///
/// Documents come and go in pieces of every size. With glibc's defaults each thread keeps a heap of its own, and a heap
/// shrinks only at its end: a node whose documents do not fit its cache held three times what it used.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn tune() {
    use peat_node::limits::{HEAPS, MAPPED_FROM_BYTES};
    // SAFETY: no thread but this one exists yet, which is all that `mallopt` asks for. A refused setting returns 0 and
    // changes nothing: the defaults waste memory, but work.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    }
}

/// Other allocators have no such settings, or do not need them.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn tune() {}
