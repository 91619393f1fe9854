//! Every limit and default of the node, each with its reason. Nothing else in the crate names a bound.

use std::time::Duration;

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

// ---- store ---------------------------------------------------------------------------------------

/// Page cache of the database in bytes. Small, because documents are also cached loaded.
pub const STORE_CACHE_BYTES: usize = 16 << 20;
/// Bytes of change rows that a document gathers before it is folded into a snapshot; above this the
/// rows must also outweigh the snapshot, which makes the cost of folding amortised constant.
pub const TAIL_FOLD_BYTES: usize = 8 << 10;
/// Points in a document's history from which a peer can be brought up to date after a fold.
pub const MAX_CHECKPOINTS: usize = 8;
/// Loaded documents kept in memory, in bytes of estimated size (a small one costs about 16 KB).
pub const DOCUMENT_CACHE_BYTES: usize = 32 << 20;
/// Bytes of changes that may wait for the disk before writers and peers are made to wait.
pub const MAX_UNCOMMITTED_BYTES: usize = 8 << 20;

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
/// Items in one reconciliation message. Bounds its size: 256 ranges or leaves of about 100 bytes.
pub const MAX_RECONCILE_ITEMS: usize = 256;
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
/// Smallest send window in bytes: above [`RECEIPT_EVERY_BYTES`], or both sides would wait for each other.
pub const MIN_SEND_WINDOW: u64 = 4 << 10;
/// Largest send window in bytes. A peer that stops reading holds this much of our memory at most; less than QUIC's window
/// of one stream, so that a class never waits for another to be read.
pub const MAX_SEND_WINDOW: u64 = 1 << 20;
/// Collections that may have a class of their own.
pub const MAX_CLASSED_COLLECTIONS: usize = 256;
/// Selectors of an interest. Each is compared with every change.
pub const MAX_INTEREST_SELECTORS: usize = 64;
/// Heads that a document may have on the wire: more concurrent branches than any formation has nodes.
pub const MAX_HEADS: usize = 4096;

// ---- mesh ----------------------------------------------------------------------------------------

/// A peer must complete admission within this time: three round trips over a geostationary link
/// with room for one lost datagram.
pub const ADMISSION_TIMEOUT: Duration = Duration::from_secs(6);
/// Admission handshakes under way at once. A stranger can hold one for `ADMISSION_TIMEOUT`.
pub const MAX_PENDING_ADMISSIONS: usize = 256;
/// Sessions held at once.
pub const MAX_SESSIONS: usize = 1024;
/// Peers that an operator may name.
pub const MAX_WANTED_PEERS: usize = 4096;
/// Addresses that one peer may have.
pub const MAX_PEER_ADDRESSES: usize = 16;
/// A peer that does not answer is dialled anew at this interval, however long it has been away: time to recover
/// must not depend on that. QUIC repeats the first packet of an attempt after 1 s and then ever later, so
/// with a new attempt every 2 s a packet leaves every second.
pub const DIAL_INTERVAL: Duration = Duration::from_millis(2000);
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
/// A peer that refused us is asked again only after this pause: a wrong key does not mend in a second.
pub const REDIAL_REFUSED: Duration = Duration::from_secs(10);
/// A peer that asked us to come back is asked again after this pause.
pub const REDIAL_BUSY: Duration = Duration::from_secs(2);
/// Time between two look-ups of peers.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
/// A stranger that is refused is logged once in this time.
pub const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Strangers remembered for that; further ones are not logged until one is forgotten.
pub const MAX_REFUSAL_LOG: usize = 1024;
/// A silent connection is given up after this time.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of keep-alive packets on a quiet connection: two may be lost before the idle timeout.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Two connections of one pair that were opened within this time of each other are a race, and both
/// sides keep the one that the smaller endpoint id dialled.
pub const DIAL_RACE: Duration = Duration::from_secs(3);

// ---- api -----------------------------------------------------------------------------------------

/// API connections served at once.
pub const MAX_API_CONNECTIONS: usize = 1024;
/// Subscriptions served at once. Each costs its dirty set, at worst one key a document.
pub const MAX_SUBSCRIPTIONS: usize = 256;
/// Collections that one subscription may name.
pub const MAX_SUBSCRIBED_COLLECTIONS: usize = 256;
/// On shutdown, requests under way are given this long to finish.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
