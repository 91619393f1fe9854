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
    When,
    Classes,
    Histories,
    Spread,
    Discipline,
    Flag,
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
            may("latency", Shape::Duration, "One way: the least; at most 1m."),
            may("jitter", Shape::Duration, "Extra delay of each datagram, besides the latency."),
            may("loss", Shape::Number(0.0, Some(1.0)), "Probability that a datagram is lost; 1 % is 0.01."),
            may("bandwidth", Shape::Bandwidth, "Bits per second on the wire, headers included."),
            may("queue", Shape::Size, "Bytes that may wait; what does not fit is dropped."),
            may(
                "spread",
                Shape::Spread,
                "How the extra delay is distributed; default `uniform` from zero to the jitter.",
            ),
            may("reorder", Shape::Flag, "May a datagram overtake an earlier one? Default true."),
            may("bursts", Shape::Table("bursts"), "Losses in bursts, besides the others."),
            may(
                "discipline",
                Shape::Discipline,
                "What keeps the queue short; default `drop-tail`: nothing but its end.",
            ),
            may("duplicate", Shape::Number(0.0, Some(1.0)), "Probability of a second copy of a datagram."),
            may("corrupt", Shape::Number(0.0, Some(1.0)), "Probability that bits of a copy are flipped."),
            may("mtu", Shape::Size, "Longest datagram that passes, headers included; at least 1228B."),
            may(
                "schedule",
                Shape::Table("schedule"),
                "When the link is there: contacts, a duty cycle, or a recorded trace.",
            ),
            may("forward", Shape::Table("shape"), "What differs from the first group to the second."),
            may("back", Shape::Table("shape"), "What differs from the second group to the first."),
            may(
                "peering",
                Shape::Peering,
                "Who is given whom as peer; the group declared earlier dials. Default `full`.",
            ),
        ],
    ),
    (
        "shape",
        &[
            may("profile", Shape::Profile, "A named link to begin with."),
            may("latency", Shape::Duration, "One way: the least; at most 1m."),
            may("jitter", Shape::Duration, "Extra delay of each datagram, besides the latency."),
            may("loss", Shape::Number(0.0, Some(1.0)), "Probability that a datagram is lost; 1 % is 0.01."),
            may("bandwidth", Shape::Bandwidth, "Bits per second on the wire, headers included."),
            may("queue", Shape::Size, "Bytes that may wait; what does not fit is dropped."),
            may(
                "spread",
                Shape::Spread,
                "How the extra delay is distributed; default `uniform` from zero to the jitter.",
            ),
            may("reorder", Shape::Flag, "May a datagram overtake an earlier one? Default true."),
            may("bursts", Shape::Table("bursts"), "Losses in bursts, besides the others."),
            may(
                "discipline",
                Shape::Discipline,
                "What keeps the queue short; default `drop-tail`: nothing but its end.",
            ),
            may("duplicate", Shape::Number(0.0, Some(1.0)), "Probability of a second copy of a datagram."),
            may("corrupt", Shape::Number(0.0, Some(1.0)), "Probability that bits of a copy are flipped."),
            may("mtu", Shape::Size, "Longest datagram that passes, headers included; at least 1228B."),
            may(
                "schedule",
                Shape::Table("schedule"),
                "When the link is there: contacts, a duty cycle, or a recorded trace.",
            ),
        ],
    ),
    (
        "bursts",
        &[
            must("enter", Shape::Number(0.0, Some(1.0)), "Probability per datagram that a burst begins."),
            must(
                "leave",
                Shape::Number(0.0, Some(1.0)),
                "Probability per datagram that it ends: 0.1 for ten on average.",
            ),
            may("loss", Shape::Number(0.0, Some(1.0)), "Probability of loss in a burst; default 1."),
        ],
    ),
    (
        "schedule",
        &[
            may("contacts", Shape::Tables("contact"), "A contact plan, in order of time; `every` repeats it."),
            may("up", Shape::Duration, "A duty cycle: so long it is there, of every `every`."),
            may("every", Shape::Duration, "contacts, up: everything begins again after this."),
            may("offset", Shape::Duration, "up: when in the period it comes."),
            may("trace", Shape::Text, "A recorded trace: a file beside the scenario, mahimahi or `.csv`."),
            may("repeat", Shape::Flag, "trace: a CSV trace begins again at its last line."),
        ],
    ),
    (
        "contact",
        &[
            must("at", Shape::Duration, "When it begins."),
            must("for", Shape::Duration, "How long it lasts."),
            may("bandwidth", Shape::Bandwidth, "Bits per second, if not those of the link."),
            may("latency", Shape::Duration, "Latency, if not that of the link."),
            may("loss", Shape::Number(0.0, Some(1.0)), "Probability of loss, if not that of the link."),
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
            may("at", Shape::Duration, "When. Either this or `when`."),
            may("when", Shape::When, "The event that it waits for."),
            may("after", Shape::Duration, "So long after the event."),
            may("for", Shape::Duration, "It ends by itself after that."),
            may("repeat", Shape::Whole(1, limits::REPEAT as i64), "How often it comes; with `every`."),
            may("every", Shape::Duration, "Time from one beginning to the next."),
            may("between", Shape::Pair, "partition, degrade: the two groups."),
            may("from", Shape::Name, "one-way-cut: the group that is no longer heard."),
            may("to", Shape::Name, "one-way-cut: the group that no longer hears."),
            may("group", Shape::Name, "blackout: the group that loses its links to all others."),
            may("node", Shape::Name, "crash, restart: the node."),
            may("ends", Shape::Name, "heal: the id of the fault that ends."),
            may("profile", Shape::Profile, "degrade: the link becomes this one."),
            may("latency", Shape::Duration, "degrade: one way; at most 1m."),
            may("jitter", Shape::Duration, "degrade: extra delay of each datagram."),
            may("loss", Shape::Number(0.0, Some(1.0)), "degrade: probability that a datagram is lost."),
            may("bandwidth", Shape::Bandwidth, "degrade: bits per second."),
            may("queue", Shape::Size, "degrade: bytes that may wait."),
            may("spread", Shape::Spread, "degrade: how the extra delay is distributed."),
            may("reorder", Shape::Flag, "degrade: may a datagram overtake an earlier one?"),
            may("bursts", Shape::Table("bursts"), "degrade: losses in bursts."),
            may("discipline", Shape::Discipline, "degrade: what keeps the queue short."),
            may("duplicate", Shape::Number(0.0, Some(1.0)), "degrade: probability of a second copy of a datagram."),
            may("corrupt", Shape::Number(0.0, Some(1.0)), "degrade: probability that bits of a copy are flipped."),
            may("mtu", Shape::Size, "degrade: longest datagram that passes, headers included."),
            may("forward", Shape::Table("shape"), "degrade: what differs from the first group to the second."),
            may("back", Shape::Table("shape"), "degrade: what differs from the second group to the first."),
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
    ("starlink-leo", "10 ms with jitter, 15 Mbit/s up, 150 Mbit/s down, bursts of losses"),
    ("satcom-geo", "300 ms, 2 Mbit/s"),
    ("geo", "270 ms with jitter, 2 Mbit/s up, 20 Mbit/s down"),
    ("iridium-like", "250 ms with jitter, 176 kbit/s, a gap of 30 s in nine minutes"),
    ("tactical-radio", "80 ms with jitter, 3 % loss, 64 kbit/s"),
    ("tactical-mesh", "30 ms with heavy-tailed jitter, 6 % loss in bursts, 1 Mbit/s"),
    ("hf-radio", "700 ms with jitter, 6 % loss in bursts, 9.6 kbit/s"),
    ("mule", "2.5 Mbit/s for 150 s in every half hour"),
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
    ("crash", "a node stops without a farewell; its disk keeps what it synced"),
    ("heal", "ends a link fault"),
    ("restart", "ends a crash"),
];
