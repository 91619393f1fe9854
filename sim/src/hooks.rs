//! Virtual clock and seeded randomness for one thread, under code that asks the C library.
//!
//! iroh, rustls, ring and std read the monotonic clock and draw entropy by themselves, and none of them
//! offers a seam. So this crate defines the C symbols they call ([`symbols`]); the linker prefers a
//! definition in the program to the one in `libc.so`. The definitions do nothing special on an ordinary
//! thread: they call on to the C library. On a thread that *entered* a simulation
//!
//! - the monotonic clocks follow tokio's paused clock, and the calendar is a fixed epoch plus the time
//!   that passed there;
//! - entropy comes from a seeded stream;
//! - no socket can be opened and the machine has no network interfaces, so that nothing of the real
//!   network can reach a run;
//! - threads that it starts take turns with it ([`turns`]).
//!
//! Rejected: a Cargo `[patch]` of the crates concerned reaches the production binary of this workspace;
//! `mad-turmoil` hooks neither `syscall` (ring draws through it) nor more than one seed a process.
//!
//! Whether the hooks took effect depends on the linker, so [`self_check`] tries them once per process
//! before the first simulation.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod symbols;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod turns;
/// Elsewhere nothing is intercepted, and [`self_check`] says so.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod symbols {
    pub(super) fn keep() {}
}
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod turns {
    #[derive(Debug, Default)]
    pub(super) struct Turns;
    impl Turns {
        pub(super) fn wait(&self) {}
    }
}

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use turns::Turns;

/// What the monotonic clock shows when a simulation begins. Far from zero, so that code which subtracts
/// an hour from now does not fall off the start of time.
const MONOTONIC_START: Duration = Duration::from_secs(1_000_000);
/// What the calendar shows when a simulation begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

// `const` initialisers without destructors: usable from inside a C hook at any moment of a thread's life.
thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static STREAM: Cell<u64> = const { Cell::new(0) };
    static DRAWS: Cell<u64> = const { Cell::new(0) };
    static ASKING_TOKIO: Cell<bool> = const { Cell::new(false) };
    static ELAPSED_NS: Cell<u64> = const { Cell::new(0) };
    static BASE: Cell<Option<Instant>> = const { Cell::new(None) };
    static TURNS: Cell<*const Turns> = const { Cell::new(std::ptr::null()) };
}

/// The hooks are not in effect in this program.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HookError {
    /// A hook was by-passed.
    #[error(
        "simulations are not repeatable in this program: {what} does not pass through the simulator's hooks \
         (they need Linux with glibc and a dynamically linked C library)"
    )]
    Bypassed {
        /// Which service of the system.
        what: &'static str,
    },
    /// The check itself could not run.
    #[error("the check of the simulator's hooks could not run: {0}")]
    Check(String),
}

/// While it lives, the current thread is inside a simulation.
pub(crate) struct Entered {
    turns: Arc<Turns>,
    not_send: PhantomData<*const ()>,
}

/// Enters a simulation on this thread. Use a fresh thread: std and rand keep thread-local generators,
/// which must be seeded from this stream.
#[expect(clippy::disallowed_methods, reason = "this is the clock that the others are kept from")]
pub(crate) fn enter(seed: u64) -> Entered {
    symbols::keep();
    STREAM.set(scramble(seed));
    DRAWS.set(0);
    ELAPSED_NS.set(0);
    BASE.set(None);
    let turns = Arc::new(Turns::default());
    TURNS.set(Arc::as_ptr(&turns));
    ACTIVE.set(true);
    // The clock answers MONOTONIC_START here, since no tokio runtime exists on this thread yet.
    BASE.set(Some(Instant::now()));
    Entered { turns, not_send: PhantomData }
}

impl Drop for Entered {
    fn drop(&mut self) {
        ACTIVE.set(false);
        TURNS.set(std::ptr::null());
        // Whoever is left need not wait any more.
        self.turns.wait();
    }
}

/// Starts the random stream anew: what was drawn before no longer matters.
pub(crate) fn reseed(seed: u64) {
    STREAM.set(scramble(seed));
    DRAWS.set(0);
}

/// How often entropy was drawn on this thread since the stream was started.
pub(crate) fn draws() -> u64 {
    DRAWS.get()
}

/// Virtual time since the simulation on this thread began.
pub(crate) fn elapsed() -> Duration {
    Duration::from_nanos(elapsed_ns())
}

fn active() -> bool {
    ACTIVE.try_with(Cell::get).unwrap_or(false)
}

/// Whose turn it is, on the thread of a simulation.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn turns_here() -> Option<Arc<Turns>> {
    let turns = TURNS.try_with(Cell::get).unwrap_or(std::ptr::null());
    if turns.is_null() {
        return None;
    }
    // SAFETY: it came from an `Arc` that `Entered` holds for as long as this is set.
    unsafe {
        Arc::increment_strong_count(turns);
        Some(Arc::from_raw(turns))
    }
}

/// On the thread of a simulation: calls what waits for something that is not virtual.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn waiting<T>(call: impl FnOnce() -> T) -> T {
    let Some(turns) = turns_here() else { return call() };
    turns.wait();
    let done = call();
    turns.go_on();
    done
}

/// Virtual nanoseconds since entering; stands still between runtimes.
fn elapsed_ns() -> u64 {
    // Outside a runtime tokio asks std, which comes back here.
    if ASKING_TOKIO.get() {
        return ELAPSED_NS.get();
    }
    let Some(base) = BASE.get() else { return 0 };
    ASKING_TOKIO.set(true);
    let now = tokio::time::Instant::now().into_std();
    ASKING_TOKIO.set(false);
    let elapsed = u64::try_from(now.saturating_duration_since(base).as_nanos()).unwrap_or(u64::MAX);
    ELAPSED_NS.set(elapsed);
    elapsed
}

fn monotonic() -> Duration {
    MONOTONIC_START + Duration::from_nanos(elapsed_ns())
}

fn calendar() -> Duration {
    EPOCH + Duration::from_nanos(elapsed_ns())
}

/// The finaliser of splitmix64: neighbouring seeds give unrelated streams.
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Fills `out` from the stream (splitmix64; secrecy is of no concern here).
fn draw(out: &mut [u8]) {
    let mut state = STREAM.get();
    for chunk in out.chunks_mut(8) {
        let word = scramble(state);
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    STREAM.set(state);
    DRAWS.set(DRAWS.get() + 1);
}

/// Tries every hook on two fresh threads, once per process.
pub fn self_check() -> Result<(), HookError> {
    static RESULT: OnceLock<Result<(), HookError>> = OnceLock::new();
    RESULT.get_or_init(check).clone()
}

/// What one thread of the check saw.
#[derive(PartialEq, Eq)]
struct Sample {
    std_hasher: u64,
    generator: u64,
    os_generator: [u8; 16],
    system_call: [u8; 16],
    monotonic: Duration,
    calendar: Duration,
    refused: bool,
}

fn check() -> Result<(), HookError> {
    let first = sample_on_a_thread(7)?;
    let again = sample_on_a_thread(7)?;
    let other = sample_on_a_thread(8)?;
    let bypassed = |what| Err(HookError::Bypassed { what });
    if first.std_hasher != again.std_hasher || first.std_hasher == other.std_hasher {
        return bypassed("the randomness of std's hash maps");
    }
    if first.generator != again.generator || first.generator == other.generator {
        return bypassed("the randomness of the rand crate's thread generator");
    }
    if first.os_generator != again.os_generator || first.os_generator == other.os_generator {
        return bypassed("the randomness of the getrandom crate");
    }
    if first.system_call != again.system_call || first.system_call == other.system_call {
        return bypassed("the randomness behind syscall(SYS_getrandom)");
    }
    if first.monotonic != Duration::from_secs(3600) {
        return bypassed("the monotonic clock");
    }
    if first.calendar != EPOCH + Duration::from_secs(3600) {
        return bypassed("the calendar clock");
    }
    if !first.refused {
        return bypassed("the opening of sockets");
    }
    Ok(())
}

fn sample_on_a_thread(seed: u64) -> Result<Sample, HookError> {
    let failed = |detail: String| HookError::Check(detail);
    let thread = std::thread::Builder::new().name("sim-self-check".into()).spawn(move || sample(seed));
    let joined = thread.map_err(|e| failed(e.to_string()))?.join();
    joined.map_err(|_| failed("the thread of the check panicked".into()))?.map_err(failed)
}

/// Entropy as ring draws it.
fn system_call_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    #[cfg(target_os = "linux")]
    // SAFETY: the buffer is valid for the given length; the call writes at most that.
    unsafe {
        libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0)
    };
    bytes
}

#[expect(clippy::disallowed_methods, reason = "what everyone else must not call is what is to be tried")]
fn sample(seed: u64) -> Result<Sample, String> {
    use rand::{Rng, TryRng};
    use std::hash::BuildHasher;

    let _entered = enter(seed);
    let mut os_generator = [0; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut os_generator).map_err(|e| e.to_string())?;
    let system_call = system_call_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|e| e.to_string())?;
    let (monotonic, calendar) = runtime.block_on(async {
        let before = Instant::now();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        (before.elapsed(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    });
    Ok(Sample {
        std_hasher: std::hash::RandomState::new().hash_one(0_u8),
        generator: rand::rng().next_u64(),
        os_generator,
        system_call,
        monotonic,
        calendar,
        refused: std::net::UdpSocket::bind("127.0.0.1:0").is_err(),
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    #[test]
    fn hooks_are_in_effect_and_leave_other_threads_alone() {
        self_check().unwrap();
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(5));
        assert!(before.elapsed() >= Duration::from_millis(5));
        assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
        assert!(SystemTime::now().duration_since(UNIX_EPOCH).unwrap() > Duration::from_secs(1_000_000_000));
    }

    /// A runtime looks for work as often as it did last time, however long a call on another thread takes. Otherwise
    /// tokio looks elsewhere first, some day.
    #[test]
    fn a_call_on_another_thread_takes_its_turn() {
        let parks = |real: Duration| {
            let thread = std::thread::spawn(move || {
                let _entered = enter(1);
                let parks = Arc::new(AtomicU32::new(0));
                let counted = parks.clone();
                let mut builder = tokio::runtime::Builder::new_current_thread();
                builder.enable_time().start_paused(true).on_thread_park(move || {
                    counted.fetch_add(1, SeqCst);
                });
                builder.build().unwrap().block_on(async {
                    let each = async {
                        for _ in 0..20 {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    let call = async {
                        for _ in 0..10 {
                            tokio::task::spawn_blocking(move || std::thread::sleep(real)).await.unwrap();
                        }
                    };
                    tokio::join!(each, call);
                });
                parks.load(SeqCst)
            });
            thread.join().unwrap()
        };
        let at_once = parks(Duration::ZERO);
        for millis in [1, 7, 30] {
            assert_eq!(parks(Duration::from_millis(millis)), at_once, "with calls of {millis} ms");
        }
    }

    #[test]
    fn reseeding_repeats_the_stream() {
        let _entered = enter(1);
        let mut first = [0; 24];
        let mut again = [0; 24];
        reseed(5);
        draw(&mut first);
        reseed(5);
        draw(&mut again);
        assert_eq!(first, again);
    }
}
