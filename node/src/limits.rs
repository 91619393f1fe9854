//! Every limit and default of the node, each with its reason. Nothing else in the crate names a bound.

use std::time::Duration;

use crate::core::document::ConflictBounds;

/// How many failures are tolerated: so many at once, and so many a second for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// At once, after a long time without any.
    pub burst: u32,
    /// Forgiven per second.
    pub per_second: u32,
}

// ---- documents -----------------------------------------------------------------------------------

/// Longest collection name in bytes. Collections are few and chosen by programs.
pub const MAX_COLLECTION_BYTES: usize = 128;
/// Longest document id in bytes. Room for `{agent-id}:{image reference}` (a reference is at most 255).
pub const MAX_DOC_ID_BYTES: usize = 512;
/// Largest JSON text of one document in bytes. A document is the unit of transfer and of memory.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Deepest nesting of arrays and objects. Recursion over a document must fit the stack.
pub const MAX_JSON_DEPTH: usize = 64;
/// Largest API request in bytes: a document as a JSON string inside JSON may double in escapes.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;
/// What an operator may make of [`MAX_DOCUMENT_BYTES`]. Only less: every node of a formation must be able to take, in one
/// frame and within [`MAX_CHUNK_ROWS`](crate::core::document), what another one accepted from its client. Less than the
/// smallest would refuse typed records.
pub const DOCUMENT_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=MAX_DOCUMENT_BYTES;
/// What an operator may make of [`MAX_JSON_DEPTH`].
pub const JSON_DEPTHS: std::ops::RangeInclusive<usize> = 2..=MAX_JSON_DEPTH;
/// What an operator may make of [`MAX_REQUEST_BYTES`]: each of [`MAX_API_CONNECTIONS`] may hold one.
pub const REQUEST_BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=16 << 20;
/// Documents that one request may write. They are written under the node's one lock, at some 60 µs each, and nothing else
/// happens meanwhile.
pub const MAX_PUT_DOCUMENTS: usize = 1000;
/// Conflicts that a read lists: somebody is to look at them one by one. In bytes no more than a document.
pub const CONFLICTS: ConflictBounds = ConflictBounds { conflicts: 100, values: 64, bytes: MAX_DOCUMENT_BYTES };
/// Longest idempotency key in bytes: a UUID, a URL path or a hash with a prefix.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 128;
/// Receipts of requests with an idempotency key that are kept, the newest: half an hour at 5 requests a second.
pub const MAX_RECEIPTS: usize = 10_000;
/// What they may take in memory; one of a request that writes 1,000 documents takes 70 KB.
pub const MAX_RECEIPT_BYTES: usize = 8 << 20;
/// Receipts are kept for this time: a client that was cut off over night repeats its request in the morning.
pub const RECEIPT_AGE: Duration = Duration::from_secs(24 * 3600);

/// Heaps of the process (glibc). Work moves between threads, and what one heap has free is of no use to another.
pub const HEAPS: i32 = 1;
/// From this size on an allocation is mapped by itself (glibc), so that it goes back to the system when it is freed: large ones
/// are few and short-lived (a snapshot, a burst, a document's text), and holes of their size would be filled with small ones.
pub const MAPPED_FROM_BYTES: i32 = 32 << 10;

// ---- store ---------------------------------------------------------------------------------------

/// Largest document that is kept in its meta row: four of them still fit a page of the store, and a start, which reads every
/// meta row, reads at most ten times what it needs.
pub const MAX_CONTENT_IN_ROW_BYTES: usize = 1 << 10;

/// Page cache of the database in bytes. Small, because documents are also cached loaded, and the system has the file's pages in
/// its own cache: to read one anew from there costs a microsecond.
pub const STORE_CACHE_BYTES: usize = 8 << 20;
/// Bytes of change rows that a document gathers before it is folded into a snapshot; above this the
/// rows must also outweigh the snapshot, which makes the cost of folding amortised constant.
pub const TAIL_FOLD_BYTES: usize = 8 << 10;
/// The rows must also be this part of the unpacked history: folding costs what the whole history costs. At an eighth each change is packed
/// nine times however long the history gets; by the size of the snapshot alone, which packs a hundredfold, it was once every 8 KiB.
pub const TAIL_FOLD_SHARE: usize = 8;
/// Points in a document's history from which a peer can be brought up to date after a fold.
pub const MAX_CHECKPOINTS: usize = 8;
/// Loaded documents kept in memory, in bytes of estimated size (a small one costs about 16 KB).
pub const DOCUMENT_CACHE_BYTES: usize = 32 << 20;
/// Documents of one change that are not loaded, in bytes of estimated size (a small one about 1 KB). Few: to take one from the
/// store costs microseconds. They are kept for those that are written again and again.
pub const UNLOADED_CACHE_BYTES: usize = 3 << 20;
/// Texts of documents kept in memory, in bytes with 48 for each. At 200 bytes a document all of 100,000 fit, and a read
/// costs 1 µs instead of the 100 µs that loading the document takes.
pub const TEXT_CACHE_BYTES: usize = 28 << 20;
/// Longest text that is kept. Longer ones are few, and rendering them is not what their readers wait for.
pub const MAX_CACHED_TEXT_BYTES: usize = 4 << 10;
/// Bytes of changes that may wait for the disk before writers and peers are made to wait.
pub const MAX_UNCOMMITTED_BYTES: usize = 8 << 20;

/// After a write has failed the store is opened anew at once, so that it can be read; then after this pause.
pub const STORE_RETRY_FIRST: Duration = Duration::from_secs(1);
/// And then after pauses that double up to this one: reads wait while redb looks through a large store.
pub const STORE_RETRY_LAST: Duration = Duration::from_secs(30);
/// Failures that a node recovers from in one life; it remembers each. A disk that fails more often wants a person.
pub const MAX_FAILED_COMMITS: usize = 1024;
/// Bytes of a store that are copied at once when it is encrypted anew: whole pages.
pub const COPY_BYTES: usize = 256 << 10;
/// Bytes of rows in one message of a backup, more only for a single larger row; far below the largest message.
pub const BACKUP_CHUNK_BYTES: usize = 256 << 10;
/// A backup must have been taken within this time: while it is made, pages that are no longer needed cannot be used again, and the file
/// grows with every write.
pub const BACKUP_TIME: Duration = Duration::from_secs(600);
/// Longest line of an import in bytes: a document as a JSON string may double in escapes, and a key.
pub const MAX_IMPORT_LINE_BYTES: usize = MAX_REQUEST_BYTES;
/// Lines of an import that are refused one by one; of more only the number is told.
pub const MAX_REFUSED_LINES: usize = 100;
/// Bytes read of a file with a key: many times what 32 bytes take in base64.
pub const MAX_KEY_FILE_BYTES: u64 = 4096;
/// Pages of 4 KiB that opening a store for reading may change in memory: 64 MiB, the bookkeeping of some 100 GB.
pub const MAX_OVERLAY_PAGES: usize = 16_384;

/// Problems that a check of the store tells one by one; a store that is badly damaged has one for each row.
pub const MAX_CHECK_PROBLEMS: usize = 100;
/// Collections that may have a policy of their own, and as many again by configuration.
pub const MAX_POLICIES: usize = 256;
/// Superseded versions that are named in the log at once; all are counted.
pub const MAX_SUPERSEDED: usize = 16;
/// Shortest retention of a tombstone in seconds: below it a node that restarts would count as away for too long.
pub const MIN_RETENTION_S: u64 = 60;
/// Longest retention of a tombstone in seconds: a hundred years, which is as good as for ever.
pub const MAX_RETENTION_S: u64 = 100 * 366 * 86_400;
/// Time between two passes that forget tombstones. A member that acknowledged one before the last pass has nothing on its
/// way any more that it sent before it had it: a send window holds what a link carries in about a second.
pub const COLLECT_INTERVAL: Duration = Duration::from_secs(60);
/// Tombstones looked at in one pass of their collection; the next pass goes on from there.
pub const MAX_COLLECTED: usize = 4096;

/// Most changes that a window may keep: a million cost some 100 MB and seconds at each start.
pub const MAX_WINDOW_CHANGES: u64 = 1_000_000;
/// Shortest age of a window in seconds: they are looked at every [`COLLECT_INTERVAL`].
pub const MIN_WINDOW_S: u64 = 60;
/// Longest age of a window in seconds, as of a retention.
pub const MAX_WINDOW_S: u64 = MAX_RETENTION_S;
/// Documents that are begun anew at once before others get the lock: some 1 ms each with a thousand changes, and up to
/// 100 ms if one with ten thousand must be loaded.
pub const MAX_BEGUN: usize = 4;
/// Documents of collections with a window that one pass loads to see how long their history is, of those that were not
/// written since the start; some 0.1 ms each if there is none.
pub const MAX_MEASURED: usize = 256;

// ---- wire ----------------------------------------------------------------------------------------

/// Largest frame that a peer may send, in bytes. One change of the largest document fits twice.
pub const MAX_FRAME_BYTES: usize = 4 << 20;
/// Largest frame before admission: a stranger gets no buffer worth attacking.
pub const MAX_ADMISSION_FRAME_BYTES: usize = 512;
/// Changes of one document are cut into frames of about this many bytes, so that one large document
/// cannot hold up a session for longer than it must.
pub const UPDATE_FRAME_BYTES: usize = 256 << 10;
/// Updates from this size on are deflated: below it the gain is less than a packet's framing.
pub const DEFLATE_FROM_BYTES: usize = 512;
/// Bytes handed to QUIC at once before the outbox is asked again: small enough that what is queued
/// behind a slow link is still coalesced, large enough to fill packets.
pub const SEND_BURST_BYTES: usize = 32 << 10;
/// Acknowledgements and lone claims wait this long for company: they carry no urgency, only lag figures. A little less than
/// [`KEEP_ALIVE`], so that on a quiet link they take the place of a keep-alive packet and cost next to nothing.
pub const ACK_DELAY: Duration = Duration::from_millis(2500);
/// A peer says how much it has received whenever it has taken this much more: often enough to steer a link of a few
/// kilobytes a second, rare enough to cost it little.
pub const RECEIPT_EVERY_BYTES: u64 = 2 << 10;
/// What may be on its way to a peer is what the link carries in this time: the most that a command waits behind
/// telemetry, and long enough for the receipts of any terrestrial link.
pub const SEND_WINDOW_TARGET: Duration = Duration::from_secs(1);
/// Bytes that may be on their way before anything is known of the link: two seconds of 32 kbit/s.
pub const FIRST_SEND_WINDOW: u64 = 8 << 10;
/// The same where the packets of the handshake took longer than [`SLOW_HANDSHAKE`]: half a second of 32 kbit/s, and enough for
/// the peer's first receipt ([`RECEIPT_EVERY_BYTES`]).
pub const FIRST_SEND_WINDOW_OF_A_SLOW_LINK: u64 = 2 << 10;
/// Longer than a satellite takes. Packets of the handshake have 1,200 bytes, so such a link is either thin or very long, and on a
/// very long one a smaller first window costs one round trip.
pub const SLOW_HANDSHAKE: Duration = Duration::from_millis(750);
/// Smallest send window in bytes: above [`RECEIPT_EVERY_BYTES`], or both sides would wait for each other.
pub const MIN_SEND_WINDOW: u64 = 4 << 10;
/// Largest send window in bytes. A peer that stops reading holds this much of our memory at most; less than QUIC's window
/// of one stream, so that a class never waits for another to be read.
pub const MAX_SEND_WINDOW: u64 = 1 << 20;
/// Collections that may have a class of their own.
pub const MAX_CLASSED_COLLECTIONS: usize = 256;
/// Selectors of an interest. Each is compared with every change.
pub const MAX_INTEREST_SELECTORS: usize = 64;

// ---- reconciliation ------------------------------------------------------------------------------

/// Documents up to which the first message lists them all: as many bytes as the sketch that it is otherwise.
pub const RECONCILE_OPENING_IDS: u64 = 200;
/// Cells of the sketch in the first message, 1.7 KB: 80 names that differ can be read from it, and from more the
/// size of the next sketch is estimated within an eighth.
pub const RECONCILE_OPENING_CELLS: usize = 128;
/// Smallest sketch. Below it, 4 cells a name leave no room.
pub const MIN_RECONCILE_CELLS: usize = 16;
/// Largest sketch, in cells: about 900 KB on the wire, 1.5 MB in memory while it is read. Larger differences are cut
/// into parts.
pub const MAX_RECONCILE_CELLS: usize = 1 << 16;
/// Longest list of documents, by their names of 8 bytes: 1 MB. Longer ones are cut into parts. A side remembers at
/// most this many pairs of names until it has asked about them.
pub const MAX_RECONCILE_IDS: usize = 1 << 17;
/// A set is cut into at most 2 to this power parts: enough for 26 million documents, far more than an index in memory.
pub const MAX_RECONCILE_PART_BITS: u8 = 8;
/// Documents of one message whose versions are compared: each is loaded, at some 50 µs for a small one, and nothing
/// else happens on the node meanwhile.
pub const MAX_RECONCILE_PAIRS: usize = 1024;
/// Stored bytes of documents that are loaded for one message: a history costs up to 0.7 µs a byte, so 0.2 s at worst.
/// The versions of further ones are not compared, which may cost a needless copy of each.
pub const MAX_RECONCILE_LOAD_BYTES: u64 = 256 << 10;
/// Changes by which one side describes its version of a document: the heads and some steps back. A document with
/// more heads is described by none, and sent whole.
pub const MAX_RECONCILE_MARKS: usize = 64;
/// Sketches of one part that are tried before its documents are listed; more than one is too small by bad luck only.
pub const RECONCILE_SKETCHES: u8 = 3;
/// Turns that a peer may make us answer, besides one for each [`RECONCILE_TURN_DOCUMENTS`] of our documents.
pub const RECONCILE_TURNS: usize = 64;
/// Documents that earn a peer one more turn: half of what one turn deals with, as two sketches may be needed.
pub const RECONCILE_TURN_DOCUMENTS: usize = MAX_RECONCILE_PAIRS / 2;

// ---- mesh ----------------------------------------------------------------------------------------

/// A peer must complete admission within this time: three round trips over a geostationary link
/// with room for one lost datagram.
pub const ADMISSION_TIMEOUT: Duration = Duration::from_secs(6);
/// Admission handshakes of strangers under way at once. One can be held for [`ADMISSION_TIMEOUT`], so that many strangers
/// hold at most this many tasks and [`ADMISSION_WINDOW_BYTES`] each: 4 MiB.
pub const MAX_PENDING_ADMISSIONS: usize = 256;
/// The same for one source: a site that comes back at once behind one address is let in within a few rounds, and
/// one hostile address leaves three quarters to the others.
pub const MAX_PENDING_PER_SOURCE: usize = 64;
/// Admission handshakes under way at once of addresses where a member was lately: all sessions may come back
/// at once, and no stranger can take their place.
pub const MAX_PENDING_FRIENDS: usize = MAX_SESSIONS;
/// Versions that an offer may name: more than will be alive at once, and the frame stays small.
pub const MAX_OFFERED_VERSIONS: usize = 8;
/// Formation keys that a node holds: its own, and the previous one during a change-over.
pub const MAX_FORMATION_KEYS: usize = 2;
/// Flow control of a connection that is not admitted yet: an offer and an answer fit many times.
pub const ADMISSION_WINDOW_BYTES: u32 = 16 << 10;
/// Flow control of an admitted connection: what a peer may have sent that the disk has not taken yet. Four of
/// the largest frames; a peer that floods its session holds no more memory than that.
pub const SESSION_WINDOW_BYTES: u32 = 16 << 20;
/// Data streams that an admitted peer may have open: one a class, with room for as many again.
pub const MAX_DATA_STREAMS: u32 = 16;
/// Handshakes that may fail in a row from one socket (address and port) before further ones are not answered, and
/// how many a second are forgiven. A member behind a one-way link fails once in 2 s, a member with
/// a wrong key once in 10 s: neither is ever throttled.
pub const SOCKET_FAILURES: Allowance = Allowance { burst: 8, per_second: 1 };
/// The same for all sockets of one source (IPv4 address, IPv6 /64, relay): a site behind one address.
pub const SOURCE_FAILURES: Allowance = Allowance { burst: 64, per_second: 4 };
/// The same for all strangers together. A handshake costs about a millisecond of a core, so strangers get less than a tenth
/// of one, however many addresses they have.
pub const STRANGER_FAILURES: Allowance = Allowance { burst: 256, per_second: 64 };
/// Sockets, and sources, whose failures are remembered: about 100 B each. When full, the one forgiven most is forgotten.
pub const MAX_THROTTLED: usize = 4096;
/// Addresses remembered where a member was lately: all wanted peers.
pub const MAX_FRIENDS: usize = MAX_WANTED_PEERS;
/// They are remembered for this time: an outage of a day must not make a friend a stranger.
pub const FRIEND_FOR: Duration = Duration::from_secs(25 * 3600);
/// Endpoint ids on an allow-list: several times the peers that a node may want.
pub const MAX_ALLOWED: usize = 16_384;
/// Size of an allow-list file in bytes: the ids with a comment on each line.
pub const MAX_ALLOW_LIST_BYTES: usize = 4 << 20;
/// An allow-list is read again at this interval: how long a revocation takes at most.
pub const ALLOW_LIST_INTERVAL: Duration = Duration::from_secs(2);
/// Sessions held at once.
pub const MAX_SESSIONS: usize = 1024;
/// Peers that an operator may name.
pub const MAX_WANTED_PEERS: usize = 4096;
/// Addresses that one peer may have.
pub const MAX_PEER_ADDRESSES: usize = 16;
/// Relays that a node may be given: it asks each how far it is, and keeps a connection to the nearest.
pub const MAX_RELAYS: usize = 8;
/// Longest token for relays in bytes: a JSON web token with some claims.
pub const MAX_RELAY_TOKEN_BYTES: usize = 4096;
/// Largest file of authorities that relays' certificates may come from, in bytes: a bundle like a system's.
pub const MAX_RELAY_CA_BYTES: u64 = 1 << 20;
/// While the home relay is out of reach, all relays are asked anew at this interval, so that another takes its place. The
/// stack below would do so every 20 to 26 s only. Without an answer one takes 3 s.
pub const RELAY_REVIEW: Duration = Duration::from_secs(5);
/// A peer that does not answer is dialled anew at this interval, however long it has been away: time to recover
/// must not depend on that. QUIC repeats the first packet of an attempt after 1 s and then ever later. With an attempt
/// every 2 s a packet would leave every second, were it not that iroh forgets after each minute without a connection
/// where the peer is, and the repeat with it: then 2 s pass without one. So attempts themselves are this dense.
pub const DIAL_INTERVAL: Duration = Duration::from_millis(1300);
/// What an operator may make of it: less would not let QUIC repeat its first packet, more is no reconnecting.
pub const DIAL_INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// An attempt is given up after this time, a little after the next one began, so that answers on their way are
/// not thrown away, and just before QUIC would repeat its packet a second time.
pub const DIAL_TIMEOUT: Duration = Duration::from_millis(2900);
/// Every fourth attempt is given this time instead, for links whose round trip is longer than
/// [`DIAL_TIMEOUT`].
pub const SLOW_DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Which attempts are slow ones.
pub const SLOW_DIAL_EVERY: u32 = 4;
/// A lost peer is dialled after at most this pause: both sides notice at the same moment, and many peers that lose
/// one hub must not come back in one instant.
pub const REDIAL_PAUSE: Duration = Duration::from_millis(100);
/// After a sign of life a peer is dialled at once, but never more often than this: whoever gives signs of life must
/// not be able to make us flood.
pub const REDIAL_HASTY: Duration = Duration::from_millis(500);
/// Attempts to dial under way at once, over all peers. Each costs some kilobytes of memory and three packets. An
/// attempt lasts 4.7 s on average and begins every 1.3 s, so about 50 peers that do not answer fill the part below.
pub const MAX_DIALS: usize = 256;
/// Of those, what peers may hold that have not answered lately: the rest is there at once for one that may.
pub const MAX_COLD_DIALS: usize = 192;
/// A host name in a peer's address must resolve within this time, or the attempt goes on without it.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that refused us is asked again only after this pause: a wrong key does not mend in a second.
pub const REDIAL_REFUSED: Duration = Duration::from_secs(10);
/// A peer that asked us to come back is asked again after this pause.
pub const REDIAL_BUSY: Duration = Duration::from_secs(2);
/// Time between two look-ups of peers.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
/// Longest time between two look-ups that may be asked for: a day.
pub const MAX_DISCOVERY_INTERVAL: Duration = Duration::from_secs(86_400);
/// Look-ups are spread by up to this part of the interval, so that a fleet that started at once does not ask at once.
pub const DISCOVERY_JITTER: f64 = 0.1;
/// A look-up is given up after this time. The resolver asks each server for up to 6 s.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);
/// Addresses taken from one name: as many as sessions can be held.
pub const MAX_DISCOVERY_ADDRESSES: usize = 1024;
/// Addresses asked at once who they are. Each costs a TLS handshake; with a dead half and a limit of
/// [`ADMISSION_TIMEOUT`] for each, a thousand are through in about three minutes, live ones first.
pub const MAX_IDENTIFYING: usize = 16;
/// An address that did not say who it is gets asked again after this pause: a pod is named before it listens.
pub const IDENTIFY_AGAIN: Duration = Duration::from_secs(2);
/// Members taken from announcements on the local network. Each costs a dial every [`DIAL_INTERVAL`] at worst.
pub const MAX_NEIGHBOURS: usize = 512;
/// Records that the mDNS daemon may hold, with its timers: about 8 MB. A service has some ten of both; anyone on the link
/// can make it hold more, and then it is started anew.
pub const MAX_MDNS_RECORDS: i64 = 32_768;
/// Pause before the mDNS daemon is started again.
pub const MDNS_RESTART_PAUSE: Duration = Duration::from_secs(10);
/// The mDNS daemon answers within this time, or not at all.
pub const MDNS_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked at which neighbours fell silent.
pub const NEIGHBOUR_TICK: Duration = Duration::from_secs(2);
/// A neighbour without a session is asked at this interval whether it is still there: a service record lives 120 s.
pub const NEIGHBOUR_VERIFY_INTERVAL: Duration = Duration::from_secs(30);
/// A neighbour that does not answer within this time is gone. RFC 6762 (10.4) would have 10 s; on a link where announcements
/// take longer than this, sessions would not stand either.
pub const NEIGHBOUR_VERIFY_TIMEOUT: Duration = Duration::from_secs(3);
/// Neighbours asked in one tick: a segment that drops out must not cause a burst of multicast.
pub const MAX_VERIFIED_AT_ONCE: usize = 16;
/// Comings and goings on the local network that are logged in a minute.
pub const MAX_NEIGHBOUR_LINES: usize = 32;
/// A source of which somebody is refused is logged once in this time; the others are counted.
pub const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Sources remembered for that; those of further ones are counted together.
pub const MAX_REFUSAL_LOG: usize = 1024;
/// A silent connection is given up after this time.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of keep-alive packets on a quiet connection: two may be lost before the idle timeout.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// What an operator may make of it: less is noise, more is longer than most address translators remember a path.
pub const KEEP_ALIVES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// A connection on which nothing came for this many keep-alives is lost.
pub const IDLE_KEEP_ALIVES: u32 = 3;
/// Two connections of one pair that were opened within this time of each other are a race, and both
/// sides keep the one that the smaller endpoint id dialled.
pub const DIAL_RACE: Duration = Duration::from_secs(3);

// ---- membership and topology ----------------------------------------------------------------------

/// Members that are known. Four times the largest formation that was tried; about 400 bytes each.
pub const MAX_MEMBERS: usize = 4096;
/// Addresses in a member's record: a few interfaces, not every one a container host has.
pub const MAX_MEMBER_ADDRESSES: usize = 8;
/// Longest address as text: a DNS name of 253 bytes, a colon and a port; also the longest URL of a relay.
pub const MAX_ADDRESS_BYTES: usize = 259;
/// A record is forgotten at this age. A node that is gone for good is dialled now and then for so long; an island that
/// is apart for longer is found again only by those that name a peer of it.
pub const MEMBER_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// Its issuer signs a new one after at most this time: six more chances before it is forgotten. With 1,000 nodes one record
/// changes every 80 s, 8 kB an hour on a link.
pub const MEMBER_REFRESH: Duration = Duration::from_secs(86_400);
/// Records of one member are taken no faster than this: nobody can keep a whole formation busy with news of itself.
pub const MEMBER_MIN_INTERVAL: Duration = Duration::from_secs(1);
/// News of members is gathered for this time per session: less than anyone notices, and a formation that starts at
/// once tells most of it in a few frames.
pub const MEMBER_NEWS_PAUSE: Duration = Duration::from_millis(100);
/// A record that was asked of one neighbour is asked of another only after this time: two round trips over a
/// geostationary link and a margin.
pub const MEMBER_PATIENCE: Duration = Duration::from_secs(2);
/// Members in one announcement: about 5 kB.
pub const MAX_MEMBERS_ANNOUNCED: usize = 512;
/// Records asked for and not yet answered, per session.
pub const MAX_RECORDS_WANTED: usize = 64;
/// Records in one frame, at most 35 kB: a control stream must not be held up for long.
pub const MAX_RECORDS_SENT: usize = 16;
/// Records that are asked for per session and second, each costing a signature check of about 50 µs, and one in advance
/// for every member of a full table: a hostile member buys 0.2 % of a core.
pub const MEMBER_CHECKS_PER_SECOND: f64 = 32.0;
/// See [`MEMBER_CHECKS_PER_SECOND`].
pub const MEMBER_CHECKS_BURST: f64 = MAX_MEMBERS as f64;
/// Nodes up to which everyone has a session with everyone. A change crosses every session, so a full mesh of n
/// sends it about n(n-1) times instead of the n-1 that are needed: 56 at 8. Beyond, a node has about as many
/// sessions as it had here.
pub const FULL_MESH_NODES: usize = 8;
/// Successors on the ring that a node wants: with two, the ring holds while any one of two neighbours is not yet
/// known to be gone.
pub const RING_NEIGHBOURS: usize = 2;
/// Neighbours drawn by hash: with two, 1,000 nodes are five hops across.
pub const SHORTCUT_NEIGHBOURS: usize = 2;
/// Hubs that a spoke wants: one may be lost without a gap.
pub const HUBS_PER_SPOKE: usize = 2;
/// Nodes that do not answer and that nobody named, which a node dials at a time. Each costs up to 3.7 kB/s at the default
/// interval (four packets of 1,200 bytes in 1.3 s).
pub const DEAD_DIALLED: usize = 3;
/// Unanswered attempts after which a node that nobody named is passed over.
pub const DEAD_AFTER_ATTEMPTS: u32 = 3;
/// Dial intervals after which other dead nodes have their turn: one slow attempt is among so many.
pub const DEAD_ROUND_INTERVALS: u32 = 8;
/// A session that neither side has a use for is ended at this age, once every neighbour that was chosen has one.
pub const SURPLUS_SESSION_AGE: Duration = Duration::from_secs(30);
/// Neighbours are chosen anew at most this often, however fast news of members comes.
pub const CHOICE_PAUSE: Duration = Duration::from_millis(20);
/// What is learned of members is kept durably after this time, in which more may come.
pub const MEMBERS_KEPT_AFTER: Duration = Duration::from_secs(1);
/// And at most this often: a disk must not pay for every piece of gossip.
pub const MEMBERS_KEPT_EVERY: Duration = Duration::from_secs(5);
/// Ages alone are written down at this interval.
pub const MEMBER_AGES_KEPT: Duration = Duration::from_secs(3600);
/// The node's own addresses are looked at again at this interval.
pub const ADDRESS_INTERVAL: Duration = Duration::from_secs(10);
/// They are listed some milliseconds after binding; whoever has none after this time says so.
pub const ADDRESSES_LISTED_WITHIN: Duration = Duration::from_secs(1);
/// Former neighbours that a node knocks at after a restart.
pub const MAX_KNOCKS: usize = 256;
/// Time between two of those knocks, so that all of them take a second.
pub const KNOCK_PAUSE: Duration = Duration::from_millis(4);
/// Addresses kept of one peer from its sessions, newest first.
pub const MAX_KEPT_ADDRESSES: usize = 4;

// ---- operator view -------------------------------------------------------------------------------

/// Moments kept to tell the age of a change from its number: 16 bytes each. With one in 7 % of a change's age
/// this reaches from [`LAG_RESOLUTION`] to years.
pub const MAX_LAG_MARKS: usize = 512;
/// Commits within this time of each other share a mark. Finer would say more than the lazy acknowledgements do.
pub const LAG_RESOLUTION: Duration = Duration::from_millis(100);
/// Peers that are away whose last acknowledgement is remembered: every one that an operator may name.
pub const MAX_LAG_PEERS: usize = MAX_WANTED_PEERS;
/// Peers whose sessions and failures are remembered, 300 bytes each. Only peers that were dialled or admitted.
pub const MAX_LEDGER_PEERS: usize = MAX_WANTED_PEERS + MAX_SESSIONS;
/// Longest remembered reason of a failure in bytes: a peer may have written it.
pub const MAX_REASON_BYTES: usize = 200;
/// Peers that get metrics of their own, by endpoint id: ten series each, and more would burden whoever scrapes. How
/// many are left out is a metric too.
pub const MAX_METRIC_PEERS: usize = 1024;
/// Connections to the metrics listener at once: a scraper, the probes, and a person.
pub const MAX_METRICS_CONNECTIONS: usize = 32;
/// A request to the metrics listener must have come within this time, and its answer be taken within it.
pub const METRICS_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of such a request in bytes; it has no body. The least that the HTTP library allows.
pub const MAX_METRICS_REQUEST_BYTES: usize = 8 << 10;

// ---- api -----------------------------------------------------------------------------------------

/// API connections served at once.
pub const MAX_API_CONNECTIONS: usize = 1024;
/// Subscriptions served at once. Each costs at most [`MAX_WATCH_PLACES`] keys, and with a filter [`MAX_WATCH_VIEW`].
pub const MAX_SUBSCRIPTIONS: usize = 256;
/// Collections that one subscription may name.
pub const MAX_SUBSCRIBED_COLLECTIONS: usize = 256;
/// Documents that keep their place in a subscription although they change faster than it is read; further ones are told
/// when they come to rest, or when there is room. Each is a key in memory and up to 3 bytes in every cursor.
pub const MAX_WATCH_PLACES: usize = 64;
/// Documents that a subscription passes over at once before others get the lock: about 0.2 ms.
pub const MAX_WATCH_STEPS: usize = 1024;
/// Documents that a filter is tried on at once before others get the lock: a cold one costs 0.1 ms.
pub const MAX_FILTER_READS: usize = 16;
/// Documents of which a subscription with a filter remembers whether its reader has them, 8 bytes each and as much
/// again. Beyond, a reader may be told of documents leaving that it never had.
pub const MAX_WATCH_VIEW: usize = 16_384;
/// Longest cursor in characters: the places, each with the longest number.
pub const MAX_CURSOR_BYTES: usize = 1024;
/// Levels of a filter. Its evaluation recurses.
pub const MAX_FILTER_DEPTH: usize = 8;
/// Conditions of a filter, each of which is tried on every document.
pub const MAX_FILTER_CONDITIONS: usize = 64;
/// Longest path of a filter in bytes.
pub const MAX_FILTER_PATH_BYTES: usize = 512;
/// Longest value of a filter in bytes of JSON text. It is compared, not kept: longer ones belong into a hash.
pub const MAX_FILTER_VALUE_BYTES: usize = 1024;
/// Documents of one page of a list.
pub const MAX_PAGE_DOCUMENTS: usize = 10_000;
/// Documents of a page if the request does not say, and content or a filter makes each of them cost something.
pub const DEFAULT_PAGE_DOCUMENTS: usize = 1_000;
/// Documents that one page of a list with a filter may look at, some 0.1 ms each at worst; the page may then be short.
pub const MAX_FILTERED_PER_PAGE: usize = 10_000;
/// Bytes of texts in one answer: with ids and framing below the 4 MiB that gRPC clients take by default. One document is
/// always answered.
pub const MAX_ANSWER_BYTES: usize = 3 << 20;
/// Bytes of ids in the answer to a list that asked for no pages: some 1,000,000 ids.
pub const MAX_LIST_BYTES: usize = 32 << 20;
/// Ids that a list takes at once before others get the lock: about 0.3 ms.
pub const MAX_LIST_STEPS: usize = 4096;
/// Documents that are read at once before others get the lock: 0.1 ms each if they must be loaded.
pub const MAX_READS_AT_ONCE: usize = 16;
/// Documents of one GetDocuments, and versions that one list waits for.
pub const MAX_DOCUMENTS_READ: usize = 1_000;
/// Longest that a read waits for a version.
pub const MAX_READ_WAIT: Duration = Duration::from_secs(60);
/// Reads that wait for a version at once, a key each.
pub const MAX_READ_WAITS: usize = 1024;
/// Files of tokens and certificates are looked at at this interval. With a second for the streams that are then cut, a
/// revocation takes effect within three.
pub const API_FILES_INTERVAL: Duration = Duration::from_secs(2);
/// Tokens in a file: one for each application of a large platform. About 300 bytes each.
pub const MAX_API_TOKENS: usize = 1024;
/// Largest file of tokens in bytes: a kilobyte for each. A Secret of Kubernetes has no more either.
pub const MAX_API_TOKENS_BYTES: u64 = 1 << 20;
/// Origins whose pages may call: each answer to a browser looks through them.
pub const MAX_ORIGINS: usize = 64;
/// How long a browser may remember that a page may call, so that not every call costs two; browsers bound it themselves.
pub const PREFLIGHT_AGE: Duration = Duration::from_secs(600);
/// Longest name of a token in bytes: it stands in log lines and errors.
pub const MAX_TOKEN_NAME_BYTES: usize = 128;
/// Collections and prefixes of one token. Each is compared with every collection of a request.
pub const MAX_TOKEN_COLLECTIONS: usize = 64;
/// Length of a token in bytes. Below, it could be found; above, it is none of ours, and hashing is not free.
pub const API_TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=512;
/// Largest certificate, key or authority file of the API in bytes: a bundle of all public authorities has some 250 kB.
pub const MAX_API_PEM_BYTES: u64 = 1 << 20;
/// A TLS handshake on the API's port must be over within this time: two round trips and a margin for a busy machine.
pub const API_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// TLS handshakes under way on the API's port, each about 40 kB. Less than [`MAX_API_CONNECTIONS`], so that those who shake hands
/// cannot take the memory that is meant for requests.
pub const MAX_API_HANDSHAKES: usize = 256;
/// Bytes that are read of a request that came without TLS where TLS is spoken, so that its sender can read the answer.
pub const MAX_PLAIN_DRAIN_BYTES: u64 = 64 << 10;
/// The body of a request that is refused for want of a token is taken off the wire for this time, and up to
/// [`MAX_REQUEST_BYTES`], without keeping any of it.
pub const REFUSED_BODY_TIME: Duration = Duration::from_millis(500);
/// On shutdown, requests under way are given this long to finish.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

// ---- the watched agent ---------------------------------------------------------------------------

/// Time between two polls of the agent unless another is asked for: what `--agent-poll-interval` documents.
pub const AGENT_POLL_INTERVAL: Duration = Duration::from_secs(10);
/// What an operator may make of it: less is a load on the agent that nobody notices the benefit of, more is not watching.
pub const AGENT_POLL_INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Polls are spread by up to this part of the interval, so that a fleet that started at once does not write at once.
pub const AGENT_POLL_JITTER: f64 = 0.1;
/// A poll, connecting included, is over after this part of the interval at the latest: less than the shortest pause
/// between two that the jitter makes.
pub const AGENT_POLL_PART: f64 = 0.8;
/// And after this time however long the interval is: the agent is next door.
pub const AGENT_POLL_TIMEOUT: Duration = Duration::from_secs(5);
/// Polls in a row that must fail before the mesh is told: one lost answer is not worth a change on every node.
pub const AGENT_STALE_POLLS: u32 = 3;
/// Largest answer of one call in bytes: a thousand packages with an icon of 4 kB each among the annotations.
pub const MAX_AGENT_ANSWER_BYTES: usize = 4 << 20;
/// Documents of one collection that an agent may have: ten times what a large cluster runs.
pub const MAX_AGENT_DOCUMENTS: usize = 1024;
/// JSON objects in one answer: a document takes up to five (registry, package, tag, pull, annotations), with room for
/// three times as many. Bounds the memory of an answer that is all empty objects to a few megabytes.
pub const MAX_AGENT_OBJECTS: usize = 16 * MAX_AGENT_DOCUMENTS;
/// Longest text taken from the agent in bytes: an image reference has at most 255. Icons in annotations are longer, and
/// are not for thin links.
pub const MAX_AGENT_TEXT_BYTES: usize = 512;
/// Annotations of one package that are taken, the least keys first: 16 kB at worst.
pub const MAX_AGENT_ANNOTATIONS: usize = 16;
/// Documents written in one transaction: about 3 ms under the node's lock.
pub const AGENT_WRITE_BATCH: usize = 32;
/// The same trouble with the agent is logged once in this time.
pub const AGENT_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Largest head of an answer in bytes.
pub const MAX_AGENT_HEADER_BYTES: u32 = 16 << 10;
/// Largest certificate, key or authority file in bytes: a bundle of all public authorities has some 250 kB.
pub const MAX_AGENT_PEM_BYTES: u64 = 1 << 20;
