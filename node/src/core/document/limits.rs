//! Every bound of the document layer, each with its reason.

/// Deepest nesting of a document that is written or rendered; the root object is level 1.
///
/// Reading and writing recurse, so this bounds the stack on input that nobody here wrote. 128 is
/// what common JSON parsers accept by default.
pub const MAX_DEPTH: usize = 128;

/// Largest JSON text of one document in bytes, unless the caller sets another limit.
///
/// Documents are fleet state, not blobs; a change of this size takes 30 s on a 2 Mbit/s link.
pub const DEFAULT_MAX_JSON_BYTES: usize = 8 * 1024 * 1024;

/// Largest input of one [`Document::apply`](super::Document::apply) in bytes.
///
/// Twice the largest document, so that a snapshot with some history still passes in one piece.
pub const MAX_APPLY_BYTES: usize = 2 * DEFAULT_MAX_JSON_BYTES;

/// Largest key order hint in bytes. Beyond it a map is rendered in sorted order.
///
/// The hint is rewritten whole when the order of its keys changes, so it must stay small against
/// the fields it orders. 16 KiB is roughly a thousand keys out of order.
pub const MAX_ORDER_HINT_BYTES: usize = 16 * 1024;

/// Largest table of a list alignment (old length times new length, after trimming what both share
/// at either end).
///
/// The alignment is quadratic when nothing matches: 2^20 is 1,024 replaced by 1,024 elements, some
/// 10 ms. Longer runs are matched by position.
pub const MAX_LIST_ALIGNMENT: usize = 1 << 20;

/// Highest operation counter accepted from a peer.
///
/// Automerge counts operations of a document in 32 bits. A change that jumps close to the end would
/// leave no room for local edits; half the range is out of reach of honest use.
pub const MAX_OPERATION_COUNTER: u64 = (u32::MAX / 2) as u64;

/// Most rows that a column of one chunk (a change, or the history in a snapshot) may claim.
///
/// A change expands to some 200 bytes of memory an operation, so this is 400 MiB at worst. A node takes
/// JSON of at most 1 MiB, and an element of an array takes two bytes of it: 2^19 operations, and as many
/// again to remove what was there. This is twice that.
pub const MAX_CHUNK_ROWS: u64 = 1 << 21;

/// Most changes that a snapshot may claim.
///
/// Two bytes of a snapshot can stand for a change, which takes 2 to 3 KB while it is loaded (measured at
/// 65,536 changes): 700 MiB at worst. This is three days of one change a second. A longer history is sent
/// as changes, see [`Document::travels_whole`](super::Document::travels_whole).
pub const MAX_SNAPSHOT_CHANGES: u64 = 1 << 18;

/// Most bytes that the columns of one chunk may unpack to, in total.
///
/// Deflate packs up to a thousand bytes into one. Four times what `apply` takes unpacked: an honest
/// snapshot shrinks to a quarter or less, but one that is sent whole is not near `MAX_APPLY_BYTES`.
pub const MAX_UNPACKED_BYTES: u64 = 4 * MAX_APPLY_BYTES as u64;

/// Most bytes of text that the runs of one chunk may stand for, in total.
///
/// A run repeats a key for each operation, and Automerge copies it into each that it expands. The keys of
/// [`MAX_CHUNK_ROWS`] operations at 64 bytes each.
pub const MAX_REPEATED_BYTES: u64 = 64 * MAX_CHUNK_ROWS;

/// Longest actor id in bytes.
///
/// Automerge copies it into each operation that it expands. A node draws 12 bytes, Automerge itself 16.
pub const MAX_ACTOR_BYTES: u64 = 64;

/// Most changes that are carried over to a new base one by one, when it takes the place of a document that has changes which
/// it does not know.
///
/// Each costs up to what an `apply` does, so some 2 s at worst, and nothing else happens meanwhile. More become one change, of
/// which nobody can tell any more whether another node carried over a part of them.
pub const MAX_CARRIED: usize = 256;

/// Most bases whose changes the base of a window names: how many of them a node may skip before its own changes cannot be
/// told from those that are contained.
pub const MAX_RECORD_BASES: usize = 8;

/// Most actors that the base of a window names, 15 bytes each. An actor is a run of a node that wrote the document.
pub const MAX_RECORD_ACTORS: usize = 1024;

/// Longest message of a change that is read: a base that names [`MAX_RECORD_ACTORS`], of up to 64 bytes each, in base64.
pub const MAX_RECORD_CHARACTERS: usize = 128 * MAX_RECORD_ACTORS;
