//! The C symbols that stand in front of the C library's.
//!
//! Each looks at the thread it is called on and otherwise calls the next definition of its symbol in the
//! link order (`dlsym(RTLD_NEXT, …)`), that is, the C library's own. None of them allocates, locks or
//! panics on an ordinary thread.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::{active, calendar, draw, monotonic, turns, waiting};

type Getrandom = unsafe extern "C" fn(*mut c_void, usize, u32) -> isize;
type Getentropy = unsafe extern "C" fn(*mut c_void, usize) -> c_int;
type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;
type Socket = unsafe extern "C" fn(c_int, c_int, c_int) -> c_int;
type ClockGettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type PthreadCreate =
    unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;
type PthreadJoin = unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> c_int;
type Getifaddrs = unsafe extern "C" fn(*mut *mut libc::ifaddrs) -> c_int;

/// Makes the linker take this module's symbols: an archive member that nobody refers to is left out.
pub(super) fn keep() {
    let symbols: [*const (); 8] = [
        getrandom as Getrandom as *const (),
        getentropy as Getentropy as *const (),
        syscall as *const (),
        socket as Socket as *const (),
        clock_gettime as ClockGettime as *const (),
        getifaddrs as Getifaddrs as *const (),
        pthread_create as PthreadCreate as *const (),
        pthread_join as PthreadJoin as *const (),
    ];
    std::hint::black_box(symbols);
}

/// The next definition of a symbol, looked up once.
struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Null when there is no such symbol, as in a static program; then `errno` says so.
    fn get(&self) -> *mut c_void {
        let known = self.found.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name is a terminated string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr().cast::<c_char>()) };
        if found.is_null() {
            set_errno(libc::ENOSYS);
        }
        self.found.store(found, Ordering::Relaxed);
        found
    }
}

fn set_errno(value: c_int) {
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() = value };
}

/// Draws for the simulation on this thread, if there is one.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes.
unsafe fn drawn(buffer: *mut c_void, length: usize) -> bool {
    if length == 0 || !active() {
        return false;
    }
    // SAFETY: promised by the caller; bytes need no alignment.
    draw(unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) });
    true
}

/// `getrandom(2)`: std's hash maps, and the getrandom crate from 0.3 on, which looks the symbol up by name.
///
/// # Safety
/// As the C function: `buffer` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: u32) -> isize {
    static NEXT: Next = Next::new(c"getrandom");
    // SAFETY: the caller's promise.
    if unsafe { drawn(buffer, length) } {
        return isize::try_from(length).unwrap_or(isize::MAX);
    }
    let next = NEXT.get();
    if next.is_null() {
        return -1;
    }
    // SAFETY: the symbol of this name has this type.
    unsafe { std::mem::transmute::<*mut c_void, Getrandom>(next)(buffer, length, flags) }
}

/// `getentropy(3)`.
///
/// # Safety
/// As the C function: `buffer` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(buffer: *mut c_void, length: usize) -> c_int {
    static NEXT: Next = Next::new(c"getentropy");
    // SAFETY: the caller's promise.
    if length <= 256 && unsafe { drawn(buffer, length) } {
        return 0;
    }
    let next = NEXT.get();
    if next.is_null() {
        return -1;
    }
    // SAFETY: the symbol of this name has this type.
    unsafe { std::mem::transmute::<*mut c_void, Getentropy>(next)(buffer, length) }
}

/// `syscall(2)`: ring draws through getrandom 0.2, which calls `syscall(SYS_getrandom, …)`.
///
/// Variadic in C. A definition with fixed arguments takes the same registers on the ABIs of Linux on
/// x86_64, aarch64 and riscv64, and no system call has more than six arguments.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    static NEXT: Next = Next::new(c"syscall");
    if number == libc::SYS_getrandom {
        let length = usize::try_from(b).unwrap_or(0);
        // SAFETY: for this number `a` is a buffer of `b` bytes.
        if unsafe { drawn(a as *mut c_void, length) } {
            return b;
        }
    }
    let next = NEXT.get();
    if next.is_null() {
        return -1;
    }
    // SAFETY: the symbol of this name has this type.
    let next = unsafe { std::mem::transmute::<*mut c_void, Syscall>(next) };
    // SAFETY: the arguments are the caller's own, but for a longer wait.
    let call = |d: c_long| unsafe { next(number, a, b, c, d, e, f) };
    if number != libc::SYS_futex {
        return call(d);
    }
    match c_int::try_from(b).unwrap_or(0) & libc::FUTEX_CMD_MASK {
        command @ (libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET) if active() => {
            let limit = (d != 0).then(|| longest_wait(command == libc::FUTEX_WAIT_BITSET));
            waiting(|| call(limit.as_ref().map_or(0, |limit| std::ptr::from_ref(limit) as c_long)))
        }
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => turns::around(|| call(d)),
        _ => call(d),
    }
}

/// How long a simulation waits at most when it gave a limit of its own. It waits only for a thread that it started, its
/// clock stands still meanwhile, and how often it woke up in vain would decide what it does next.
fn longest_wait(absolute: bool) -> libc::timespec {
    const SECONDS: libc::time_t = 5;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let next = NEXT_CLOCK.get();
    if absolute && !next.is_null() {
        // SAFETY: the symbol of this name has this type, and the time is valid for a write.
        unsafe { std::mem::transmute::<*mut c_void, ClockGettime>(next)(libc::CLOCK_MONOTONIC, &mut time) };
    }
    libc::timespec { tv_sec: time.tv_sec + SECONDS, ..time }
}

/// Starts a thread. Those of a simulation take turns with it.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    static NEXT: Next = Next::new(c"pthread_create");
    let next = NEXT.get();
    if next.is_null() {
        return libc::EAGAIN;
    }
    // SAFETY: the symbol of this name has this type.
    let next = unsafe { std::mem::transmute::<*mut c_void, PthreadCreate>(next) };
    let Some(turns) = super::turns_here() else {
        // SAFETY: the caller's own arguments.
        return unsafe { next(thread, attributes, start, argument) };
    };
    let helper = Box::into_raw(Box::new(Helper { turns, start, argument }));
    // SAFETY: the caller's own arguments, and a helper that the new thread alone takes.
    let result = unsafe { next(thread, attributes, help, helper.cast()) };
    if result != 0 {
        // SAFETY: there is no new thread.
        drop(unsafe { Box::from_raw(helper) });
    }
    result
}

/// What a thread of a simulation was started for.
struct Helper {
    turns: Arc<turns::Turns>,
    start: Start,
    argument: *mut c_void,
}

extern "C" fn help(helper: *mut c_void) -> *mut c_void {
    // SAFETY: made by `pthread_create` for this thread alone.
    let Helper { turns, start, argument } = *unsafe { Box::from_raw(helper.cast::<Helper>()) };
    turns::help(turns, || start(argument))
}

/// Waits for the end of a thread.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_join(thread: libc::pthread_t, value: *mut *mut c_void) -> c_int {
    static NEXT: Next = Next::new(c"pthread_join");
    let next = NEXT.get();
    if next.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: the symbol of this name has this type, and the arguments are the caller's own.
    let call = || unsafe { std::mem::transmute::<*mut c_void, PthreadJoin>(next)(thread, value) };
    match active() {
        true => waiting(call),
        false => turns::around(call),
    }
}

/// `socket(2)`: a simulation has no sockets. netwatch, which every iroh endpoint starts, would open
/// netlink sockets and bring real-time events into the run.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    static NEXT: Next = Next::new(c"socket");
    if active() && matches!(domain, libc::AF_NETLINK | libc::AF_INET | libc::AF_INET6) {
        set_errno(libc::EAFNOSUPPORT);
        return -1;
    }
    let next = NEXT.get();
    if next.is_null() {
        return -1;
    }
    // SAFETY: the symbol of this name has this type.
    unsafe { std::mem::transmute::<*mut c_void, Socket>(next)(domain, kind, protocol) }
}

/// `getifaddrs(3)`: a simulated machine has no interfaces. The number of them would otherwise decide how
/// many hash maps netwatch makes, and with that the seeds of all later ones.
///
/// # Safety
/// As the C function: `list` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getifaddrs(list: *mut *mut libc::ifaddrs) -> c_int {
    static NEXT: Next = Next::new(c"getifaddrs");
    if active() {
        // SAFETY: the caller's promise. A null list is empty, and `freeifaddrs` accepts it.
        unsafe { list.write(std::ptr::null_mut()) };
        return 0;
    }
    let next = NEXT.get();
    if next.is_null() {
        return -1;
    }
    // SAFETY: the symbol of this name has this type.
    unsafe { std::mem::transmute::<*mut c_void, Getifaddrs>(next)(list) }
}

static NEXT_CLOCK: Next = Next::new(c"clock_gettime");

/// `clock_gettime(2)`: `std::time`, and through it QUIC, TLS and every crate that asks for the time.
///
/// # Safety
/// As the C function: `time` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    if active() {
        let virtual_time = match clock {
            libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => {
                Some(monotonic())
            }
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Some(calendar()),
            // CPU time of the process or thread: real, and nobody decides by it.
            _ => None,
        };
        if let Some(since_start) = virtual_time {
            let value = libc::timespec {
                tv_sec: libc::time_t::try_from(since_start.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: c_long::from(since_start.subsec_nanos()),
            };
            // SAFETY: the caller's promise.
            unsafe { time.write(value) };
            return 0;
        }
    }
    let next = NEXT_CLOCK.get();
    if next.is_null() {
        return -1;
    }
    // SAFETY: the symbol of this name has this type.
    unsafe { std::mem::transmute::<*mut c_void, ClockGettime>(next)(clock, time) }
}
