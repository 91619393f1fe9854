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
/// TODO
pub const MAX_CHUNK_ROWS: u64 = DEFAULT_MAX_JSON_BYTES as u64;

/// Most changes that a snapshot may claim.
pub const MAX_SNAPSHOT_CHANGES: u64 = 1 << 20;

/// Most bytes that the columns of one chunk may unpack to.
pub const MAX_UNPACKED_BYTES: u64 = 4 * MAX_APPLY_BYTES as u64;

/// Most bytes of text that the runs of one chunk may stand for.
pub const MAX_REPEATED_BYTES: u64 = 8 * MAX_APPLY_BYTES as u64;

/// Longest actor id in bytes.
pub const MAX_ACTOR_BYTES: u64 = 64;
