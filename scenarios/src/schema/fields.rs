//! Every field of a scenario file: its shape, and a line for the person who is about to write it.

use crate::limits;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Text,
    Name,
    Duration,
    Bound,
    Bandwidth,
    Size,
    Whole(i64, i64),
    Number(f64, Option<f64>),
    Pair,
    Groups,
    Texts,
    Tables(&'static str),
    Table(&'static str),
    Profile,
    Peering,
    Discovery,
    WorkloadKind,
    FaultKind,
    Islands,
    Classes,
    Histories,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

const fn must(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, required: true, about }
}

const fn may(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, required: false, about }
}

const MANY: i64 = u32::MAX as i64;

/// Tables by name, the file itself first. The order is that in which people write them.
pub(super) const TABLES: &[(&str, &[Field])] = &[
    (
        "scenario",
        &[
            must("name", Shape::Name, "What it is called; for a shipped one, the name of its file."),
            must("purpose", Shape::Text, "One line: what it is there to show."),
            must("duration", Shape::Duration, "Length of the run, of scenario time: 1s to 7 days."),
            may(
                "settle",
                Shape::Duration,
                "Time at the end in which nothing is written; default a tenth of the run, at most 1m.",
            ),
            may("seed", Shape::Whole(0, i64::MAX), "Everything random follows from it; default 1, `--seed` overrides."),
            must("cluster", Shape::Tables("cluster"), "A place with nodes that are near each other."),
            may(
                "link",
                Shape::Tables("link"),
                "How two groups are linked. Inside of a group there is a lan unless a link says otherwise.",
            ),
            may("workload", Shape::Tables("workload"), "Who writes what, and when."),
            may("fault", Shape::Tables("fault"), "What goes wrong, and when."),
            may(
                "expect",
                Shape::Table("expect"),
                "How fast and how cheap it must be. That nothing is lost is checked always.",
            ),
        ],
    ),
    (
        "cluster",
        &[
            must("name", Shape::Name, "Name of the cluster."),
            may("group", Shape::Tables("group"), "Nodes that are equal."),
        ],
    ),
    (
        "group",
        &[
            must("name", Shape::Name, "Name of the group; its nodes are NAME-0, NAME-1, …"),
            must("count", Shape::Whole(1, limits::NODES as i64), "How many nodes."),
            may("joins_at", Shape::Duration, "They start only then, empty."),
            may(
                "interest",
                Shape::Texts,
                "What they ask their peers for: collections, beginnings of ids (`commands/ship-7`); default everything.",
            ),
            may("discovery", Shape::Discovery, "How they find peers besides those that `peering` names."),
            may("classes", Shape::Classes, "The class of traffic of collections that have not their usual one."),
            may(
                "history",
                Shape::Histories,
                "How much history collections keep: `full`, `latest`, `window:20`, `window:300s`, `window:20:300s`.",
            ),
        ],
    ),
    (
        "link",
        &[
            may("between", Shape::Pair, "The two groups; a group named twice is the link inside it."),
            may("profile", Shape::Profile, "A named link to begin with."),
            may("latency", Shape::Duration, "One way; at most 1m."),
            may("jitter", Shape::Duration, "Extra delay of each datagram, uniform from zero; may reorder."),
            may("loss", Shape::Number(0.0, Some(1.0)), "Probability that a datagram is lost; 1 % is 0.01."),
            may("bandwidth", Shape::Bandwidth, "Bits per second on the wire, headers included."),
            may("queue", Shape::Size, "Bytes that may wait; what does not fit is dropped."),
            may(
                "peering",
                Shape::Peering,
                "Who is given whom as peer; the group declared earlier dials. Default `full`.",
            ),
        ],
    ),
    (
        "workload",
        &[
            must("kind", Shape::WorkloadKind, "What is written."),
            must("on", Shape::Groups, "The group, or groups, that write."),
            may("start", Shape::Duration, "When it begins; default at once."),
            may("until", Shape::Duration, "When it ends; default where `settle` begins."),
            may(
                "only_during",
                Shape::Name,
                "Confines the writes to the fault with this id, whose times are known beforehand.",
            ),
            may(
                "every",
                Shape::Duration,
                "Time between two operations of a node; of `delete`, between two over all nodes.",
            ),
            may("collection", Shape::Text, "Where the documents are."),
            may(
                "documents",
                Shape::Whole(1, limits::DOCUMENTS as i64),
                "How many documents (edit, delete, burst), or packages (agent).",
            ),
            may("from", Shape::Duration, "delete: when the first is deleted."),
            may(
                "contended_by",
                Shape::Name,
                "delete: the first node of this group edits each document at the moment of its delete.",
            ),
            may("versions", Shape::Whole(1, limits::VERSIONS as i64), "burst: how often each document is written."),
            may("to", Shape::Name, "command: the group whose nodes get them."),
            may("away_from", Shape::Duration, "agent: from then on none of the agents answers."),
            may("away_for", Shape::Duration, "agent: for so long."),
        ],
    ),
    (
        "fault",
        &[
            must("kind", Shape::FaultKind, "What goes wrong, or ends."),
            may("id", Shape::Name, "Its name, for `ends` and `only_during` and for reports."),
            may(
                "at",
                Shape::Text,
                "When: `5m`, or `4m..6m` for a moment that the seed chooses. Either this or `when`.",
            ),
            may("when", Shape::Text, "The event that it waits for: `converged`, `writes:200` or `session`."),
            may("of", Shape::Groups, "Of `when`: the group that writes, or one or two groups that the session joins."),
            may("after", Shape::Duration, "So long after the event."),
            may("for", Shape::Text, "It ends by itself after that, or `ever`: it is there at the end of the run."),
            may("repeat", Shape::Whole(1, limits::REPEAT as i64), "How often it comes; with `every`."),
            may("every", Shape::Duration, "Time from one beginning to the next; churn: on average."),
            may("between", Shape::Pair, "partition, reset, clog, flap, degrade and others: the two groups."),
            may("from", Shape::Name, "one-way-cut: the group that is no longer heard."),
            may("to", Shape::Name, "one-way-cut: the group that no longer hears."),
            may("group", Shape::Name, "blackout, churn, reconnect-storm: the group."),
            may("groups", Shape::Texts, "rolling-outage, swizzle: the groups."),
            may("node", Shape::Name, "The node that it happens to."),
            may("ends", Shape::Name, "heal: the id of the fault that ends."),
            may("profile", Shape::Profile, "degrade: the link becomes this one."),
            may("latency", Shape::Duration, "degrade: one way; at most 1m."),
            may("jitter", Shape::Duration, "degrade: extra delay of each datagram."),
            may("loss", Shape::Number(0.0, Some(1.0)), "degrade: probability that a datagram is lost."),
            may("bandwidth", Shape::Bandwidth, "degrade: bits per second."),
            may("queue", Shape::Size, "degrade, bufferbloat: bytes that may wait."),
            may("period", Shape::Duration, "flap: from one drop to the next."),
            may("down", Shape::Duration, "flap: how long each drop lasts; churn: how long a node is down."),
            may("sync", Shape::Duration, "disk-slow: how much longer each sync takes."),
            may("by", Shape::Text, "clock-jump: how far the calendar is out, `+5m` or `-2h`."),
            may(
                "rate",
                Shape::Number(-1.0, Some(limits::CLOCK_RATE_MAX)),
                "clock-skew: seconds gained each second; 0.05 is 5 % fast.",
            ),
            may("share", Shape::Number(0.0, Some(1.0)), "swizzle: which part of the nodes; default 0.5."),
            may("mule", Shape::Name, "data-mule: the group that travels."),
            may("stops", Shape::Texts, "data-mule: the groups where it calls, in turn."),
            may("stay", Shape::Duration, "data-mule: how long it stays at a stop."),
            may("travel", Shape::Duration, "data-mule: how long it has no link in between; default not at all."),
            may("islands", Shape::Islands, "island-merge: lists of groups, in the order in which they join."),
        ],
    ),
    (
        "expect",
        &[
            may(
                "converge_within",
                Shape::Duration,
                "After each heal, restart and join: all that was acknowledged before is visible wherever a path leads.",
            ),
            may("reconnect_within", Shape::Duration, "After each heal: every lost session is up again at both ends."),
            may(
                "first_byte_within",
                Shape::Bound,
                "After each heal of a cut, in each direction: the first waiting write is visible.",
            ),
            may(
                "connected_within",
                Shape::Duration,
                "After the start, each heal, restart and join: sessions join whom links join.",
            ),
            may(
                "dials_in_first_second_max",
                Shape::Whole(0, MANY),
                "Dials of any one node in the second after a heal.",
            ),
            may(
                "connected_latency_p50_max_ratio",
                Shape::Number(1.0, None),
                "Median latency over the one-way delay of the shortest path.",
            ),
            may("connected_p99_within", Shape::Duration, "99th percentile of the latency of connected writes."),
            may(
                "bytes_per_operation_max",
                Shape::Number(0.0, None),
                "Payload bytes on all links per acknowledged write.",
            ),
            may(
                "idle_bytes_per_second_max",
                Shape::Number(0.0, None),
                "Per node, in the second half of the settle time.",
            ),
            may("latency", Shape::Tables("latency"), "Bounds on the latency of one collection."),
        ],
    ),
    (
        "latency",
        &[
            must("collection", Shape::Text, "Which collection."),
            may("p50", Shape::Duration, "Median."),
            may("p99", Shape::Duration, "99th percentile."),
            may("max", Shape::Duration, "The slowest."),
        ],
    ),
];

/// What words mean that a field may have.
pub(super) const WORDS: &[(&str, &str)] = &[
    ("lan", "250 µs, 1 Gbit/s"),
    ("wan", "25 ms, 100 Mbit/s"),
    ("lte", "35 ms with jitter, 10 Mbit/s"),
    ("satcom-leo", "25 ms with jitter, 20 Mbit/s"),
    ("satcom-geo", "300 ms, 2 Mbit/s"),
    ("tactical-radio", "80 ms with jitter, 3 % loss, 64 kbit/s"),
    ("full", "every node with every node"),
    ("gateway", "the first node of each group; inside a group a star"),
    ("ring", "each node with the one at the same position; inside a group with the next"),
    ("none", "nobody"),
    ("gossip", "connected peers tell each other whom they know"),
    ("command", "orders: what cannot wait"),
    ("state", "what applications share"),
    ("telemetry", "what is measured again and again"),
    ("blob", "what is large"),
    ("heartbeat", "each node rewrites platforms/<node>"),
    ("put", "each node writes new documents"),
    ("edit", "the nodes edit shared documents in turn"),
    ("delete", "the nodes delete shared documents in turn"),
    ("burst", "each node writes many documents at once, and again"),
    ("agent", "each node watches an agent whose packages change"),
    ("partition", "nothing passes between two groups"),
    ("one-way-cut", "nothing passes one way"),
    ("blackout", "a group loses its links to all others"),
    ("degrade", "a link becomes another"),
    ("dial-only-partition", "no connection can be opened, those that are open live"),
    ("reset", "nothing passes, and both ends of every session are told at once"),
    ("clog", "the link holds everything and lets it go in one burst"),
    ("flap", "the link drops out again and again"),
    ("bufferbloat", "the link gets narrow, with a queue far too deep"),
    ("crash", "a node stops without a farewell; its disk keeps what it synced"),
    ("torn-write", "a node stops in the middle of a sync, and writes are half done"),
    ("unsynced-loss", "a node stops in the middle of a sync, of which nothing arrives"),
    ("data-loss", "a node stops and comes back on an empty disk"),
    ("pause", "a node does not run for a while, but is not gone"),
    ("disk-full", "nothing more can be written to a node's disk"),
    ("disk-slow", "each sync of a node's disk takes longer"),
    ("read-error", "nothing can be read from a node's disk"),
    ("clock-jump", "a node's calendar is out"),
    ("clock-skew", "a node's calendar runs too fast or too slow"),
    ("churn", "nodes of a group crash at random and come back"),
    ("rolling-outage", "groups lose all links one by one and get them back in another order"),
    ("swizzle", "a random part of the nodes lose all links one by one and get them back in another order"),
    ("reconnect-storm", "all sessions of a group end at once, and all dial again"),
    ("data-mule", "a group has a link to one of its stops at a time"),
    ("island-merge", "islands that know nothing of each other join one after the other"),
    ("heal", "ends a link fault"),
    ("restart", "ends a crash"),
];
