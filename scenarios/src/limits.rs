//! Every limit and default of a scenario, each with its reason.

use std::time::Duration;

/// Length of a scenario file. A hand-written scenario is a few KB; 256 KiB leaves room for
/// generated ones and keeps error reporting instant.
pub const FILE_BYTES: usize = 256 * 1024;

/// Characters in a name. Names become DNS labels in real clusters, where 63 is the limit, and nodes
/// append `-<index>` to theirs.
pub const NAME_CHARS: usize = 48;

/// Nodes in a scenario. The fastest engine reaches 5,000 and more; this leaves a factor of two.
pub const NODES: u32 = 10_000;

/// Shortest scenario: below a second nothing can connect, write and converge.
pub const DURATION_MIN: Duration = Duration::from_secs(1);

/// Longest scenario: a week of virtual time. Traffic slices and logs grow with it.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Operations of an expanded scenario. A record of that many, seen by six nodes, still fits 1 GB.
pub const OPERATIONS: u64 = 200_000;

/// Least spacing of a repeated operation of one node. One durable commit takes 0.3 ms on a quiet
/// disk; more often than each millisecond measures the disk, not the mesh.
pub const EVERY_MIN: Duration = Duration::from_millis(1);

/// Documents of an `edit` or `delete` workload.
pub const DOCUMENTS: u32 = 10_000;

/// Documents of a `burst` unless given: what a platform gathers in half an hour out of sight, one a second.
pub const BURST_DOCUMENTS: u32 = 2_000;

/// Versions of each document of a `burst`. A backlog that is overwritten a thousand times shows nothing that a
/// hundred do not, and operations are bounded anyway.
pub const VERSIONS: u32 = 100;

/// Parts of an interest. An edge asks for a handful of collections, its own documents, and its commands.
pub const INTERESTS: usize = 32;

/// Repetitions of one flapping fault.
pub const REPEAT: u32 = 1_000;

/// Mean number of crashes of one `churn`. Each life of a node needs an endpoint that is bound before the start, at
/// about a millisecond and 100 KB.
pub const CHURN: u32 = 200;

/// Part of the nodes that a `swizzle` picks unless given.
pub const SWIZZLE_SHARE: f64 = 0.5;

/// Queue of a `bufferbloat` unless given: what cable modems were found with, 2 s at 4 Mbit/s (Gettys and Nichols,
/// "Bufferbloat: dark buffers in the Internet", 2012).
pub const BLOATED_QUEUE: u64 = 1 << 20;

/// Payload bytes that a clogged link holds in one direction; what comes on top is lost. As much as ten seconds of 50 Mbit/s.
pub const CLOG_BYTES: usize = 64 << 20;

/// Wait in a queue from which a `bufferbloat` has bitten: ten times what a LAN takes, and less than any satellite.
pub const BLOAT_BITES: Duration = Duration::from_millis(10);

/// Furthest that a clock may jump: a century, beyond any certificate and any retention.
pub const CLOCK_JUMP_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Fastest clock, in seconds gained each second: 100 makes a minute of a run almost two hours.
pub const CLOCK_RATE_MAX: f64 = 100.0;

/// Latency and jitter of a link. Light needs 22 min to Mars; this is about DDIL on and around Earth, where a
/// minute is already a store-and-forward link that QUIC cannot use.
pub const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Least bandwidth, bits per second: below 1 kbit/s one full QUIC datagram takes ten seconds,
/// which is the idle time-out.
pub const BANDWIDTH_MIN: u64 = 1_000;

/// Least queue: one full QUIC datagram (1,452 bytes of payload) with its headers must fit, or the
/// link carries nothing.
pub const QUEUE_MIN: u64 = 1_500;

/// Least MTU, with IP and UDP headers: QUIC pads its handshake to 1,200 bytes of payload (RFC 9000, section 14.1), and a
/// link that drops those never carries a connection.
pub const MTU_MIN: u64 = 1_228;

/// Largest MTU: an IP datagram cannot be longer.
pub const MTU_MAX: u64 = 65_535;

/// Tail indices of heavy-tailed jitter. At 1 and below there is no mean; above 100 the distribution is exponential to
/// the eye.
pub const PARETO_SHAPE: (f64, f64) = (1.0, 100.0);

/// Bytes of a trace file. An hour of a 10 Mbit/s link in mahimahi's format is 20 MB, half a minute of it 170 kB; a trace
/// repeats, so what matters is its texture, not its length.
pub const TRACE_BYTES: usize = 4 << 20;

/// Entries of a trace file: 4 MiB of short lines, and 4 MB in memory.
pub const TRACE_ENTRIES: usize = 500_000;

/// Characters of the path of a trace file.
pub const TRACE_PATH_CHARS: usize = 200;

/// Contacts of a plan. A day of passes of one satellite is a dozen; a hand-written plan is shorter.
pub const CONTACTS: usize = 1_000;

/// Shortest repetition of a schedule: below, it is jitter, and every datagram would walk many pieces.
pub const SCHEDULE_PERIOD_MIN: Duration = Duration::from_millis(100);

/// Contacts that begin or end in one run, as far as figures look at them: who could reach whom is worked out anew at each.
pub const CONTACT_CHANGES: usize = 10_000;

/// Time without writes at the end of a run: a tenth of it, but at most this. It must hold one
/// reconnect after an idle time-out (10 s to notice, then backoff) and the last catch-up.
pub const SETTLE_DEFAULT_MAX: Duration = Duration::from_secs(60);

/// Default spacing of heartbeats: what the agents of the intended fleet do.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);

/// Default spacing of the other operations of one node.
pub const OPERATION_EVERY: Duration = Duration::from_secs(10);

/// Default number of shared documents: few, so that edits collide.
pub const SHARED_DOCUMENTS: u32 = 5;

/// Default number of packages of an agent.
pub const AGENT_PACKAGES: u32 = 20;

/// Most packages of an agent: an application waits for each of them on a stream of its own.
pub const AGENT_PACKAGES_MAX: u32 = 200;

/// Errors shown for one file. A typo in a group name repeats at each use; more than this is noise.
pub const DIAGNOSTICS: usize = 10;

/// Least one-way delay for which a latency is judged as a multiple of it. Below, the node's own
/// commit and the machine's scheduler weigh as much as the link.
pub const RATIO_DELAY_MIN: Duration = Duration::from_millis(5);

/// Runs of one side of a comparison: ten sweeps of a thousand seeds.
pub const DIFF_RUNS: usize = 10_000;

/// Runs of a sweep: a thousand seeds of every shipped scenario, twice. Each keeps 10 kB of figures.
pub const SWEEP_RUNS: u32 = 100_000;

/// Scenarios of a sweep: twenty times the library.
pub const SWEEP_SCENARIOS: usize = 1_000;

/// Shards of a sweep. Of more, each would have 25 runs of the longest sweep, and starting it would cost more than they.
pub const SHARDS: u32 = 4_096;

/// The result of a shard: 25,000 runs at 10 kB.
pub const SHARD_BYTES: usize = 256 << 20;

/// Fewest samples for a verdict about a percentile.
pub const SAMPLES_MIN: u64 = 10;

/// A session that was up at the heal may not have noticed yet that its path is dead. One that goes
/// down within this time of the heal counts as lost to the fault: QUIC idle time-outs are 10-30 s.
pub const LATE_LOSS: Duration = Duration::from_secs(30);

/// Flights of a record: 40,000 are 4 MB of JSON and 1 MB of a page, and more arrows than anybody looks at.
pub const FLIGHTS: usize = 40_000;

/// A saved run. The largest shipped scenario makes 60 MB; eight times that still fits the memory of a laptop, parsed.
pub const SAVED_BYTES: usize = 512 * 1024 * 1024;

/// Nodes times changes of sessions, lives and faults of a saved run: each costs 8 bytes while it is judged, so 1.6
/// GB. A thousand nodes may have 200,000 changes.
pub const REACH_CELLS: usize = 200_000_000;
