//! One error type per operation. `api::error` maps each to a status, in one place.

use crate::core::document::JsonError;
use crate::core::documents::Refusal;
use crate::core::filter::FilterError;
use crate::core::key::KeyError;
use crate::core::policy::PolicyError;
use crate::core::receipts::KeyReused;
use crate::core::transaction::VersionMismatch;
use crate::core::version::VersionError;
use crate::core::watch::CursorError;

/// Why a Put or Delete was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The collection or document id is not acceptable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The document text is not acceptable.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The policy of the collection forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The text of a merge patch is not acceptable.
    #[error(transparent)]
    Patch(JsonError),
    /// A merge patch would make something of the document that is not acceptable.
    #[error(transparent)]
    Patched(JsonError),
    /// `expected_version` is not a version.
    #[error("expected_version: {0}")]
    Version(#[from] VersionError),
    /// The document changed since the version that was expected.
    #[error("{0}, not the expected_version: read it again and decide anew")]
    Changed(VersionMismatch),
    /// There is a document, and none was expected.
    #[error("{0}, and the expected_version is empty, which means that there must be no such document")]
    Exists(VersionMismatch),
    /// An idempotency key came with another request before.
    #[error(transparent)]
    KeyReused(#[from] KeyReused),
    /// Not the number of documents that one request may write.
    #[error("documents has {actual} items; give it between 1 and {limit}, and the rest in another request")]
    Count {
        /// How many were given.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// One request writes a document twice.
    #[error("names the same document as documents[{first}]; write each document once")]
    Twice {
        /// Where it is written first.
        first: usize,
    },
    /// One of several writes cannot be made, and so none was.
    #[error("documents[{index}]: {error}")]
    Item {
        /// Which.
        index: usize,
        /// Why.
        error: Box<WriteError>,
    },
    /// The store could not make the write durable. It is not applied, here or on any peer.
    #[error("the write is not durable and was not applied: {0}")]
    NotDurable(String),
    /// The stored document cannot be read back.
    #[error("stored document {key} is damaged: {detail}")]
    Damaged {
        /// Which document.
        key: String,
        /// What was found.
        detail: String,
    },
    /// The node is stopping.
    #[error("the node is shutting down; retry against it after its restart")]
    ShuttingDown,
}

/// Why SetCollection was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum SetCollectionError {
    /// The policy is not acceptable.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The collection or document id is not acceptable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store could not be read.
    #[error("the store cannot be read: {0}")]
    Storage(String),
    /// The stored document cannot be read back.
    #[error("stored document {key} is damaged: {detail}")]
    Damaged {
        /// Which document.
        key: String,
        /// What was found.
        detail: String,
    },
    /// Not a version.
    #[error("min_version: {source}")]
    Version {
        /// What is wrong with it.
        source: VersionError,
    },
    /// A version that is asked for is not here.
    #[error(
        "{key} does not contain the version asked for, after {waited_ms} ms: its changes are not here yet; raise wait_ms, or try again"
    )]
    NotYet {
        /// Which document.
        key: String,
        /// How long was waited.
        waited_ms: u32,
    },
    /// A wait longer than the limit.
    #[error("wait_ms is {given_ms}; the limit is {limit_ms}: wait in several requests")]
    WaitTooLong {
        /// What was given.
        given_ms: u32,
        /// The limit.
        limit_ms: u32,
    },
    /// A page larger than the limit.
    #[error("page_size is {given}; the limit is {limit}: ask for several pages")]
    PageSize {
        /// What was given.
        given: u32,
        /// The limit.
        limit: usize,
    },
    /// A prefix longer than any id.
    #[error("doc_id_prefix has {actual} bytes; an id has at most {limit}: choose a shorter one")]
    Prefix {
        /// Bytes that were given.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a page token.
    #[error("page_token is no page token, but some other text: give back next_page_token as it came, or none")]
    PageToken,
    /// A page token of another list.
    #[error(
        "page_token is of a list of something else: ask for the same collection, prefix and filter as before, or leave page_token out"
    )]
    PageTokenOfAnother,
    /// More ids than fit into an answer.
    #[error("the ids of the collection have more than {limit} bytes: give a page_size, and ask for page after page")]
    ListTooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not a cursor.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Not a filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// More subscriptions or collections than the limit.
    #[error("too many {what}: {actual}, the limit is {limit}; {remedy}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there would be.
        actual: usize,
        /// The limit.
        limit: usize,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// Why ConnectPeer or DisconnectPeer was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not 64 hex digits of an ed25519 public key.
    #[error(
        "endpoint_id {given:?} is not an endpoint id ({detail}); give the 64 hex digits that GetStatus shows as endpoint_addr"
    )]
    EndpointId {
        /// What was given, cut to a printable length.
        given: String,
        /// Why it was refused.
        detail: String,
    },
    /// The peer is this node.
    #[error("endpoint_id {0} is this node itself; name another one")]
    Itself(String),
    /// An address is not `host:port`.
    #[error("addresses[{index}] {given:?} is not host:port; write for example 10.0.0.7:7777 or [fd00::7]:7777")]
    Address {
        /// Position in the list.
        index: usize,
        /// What was given.
        given: String,
    },
    /// Neither an address nor a remembered one.
    #[error("no address is known for this peer; give at least one host:port in addresses, or a relay_url")]
    NoAddress,
    /// The URL of a relay is none.
    #[error("relay_url {given:?} is not the URL of a relay: {detail}; write for example https://relay.fleet.example")]
    RelayUrl {
        /// What was given, cut to a printable length.
        given: String,
        /// Why it was refused.
        detail: String,
    },
    /// A relay was asked for, and this node has no means to reach one.
    #[error(
        "the relay {given} cannot be used: this node was started without relays; start it with --relay {given}, or give \
         addresses alone"
    )]
    NoRelay {
        /// Its URL.
        given: String,
    },
    /// More than the limit.
    #[error("too many {what}: {actual}, the limit is {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there would be.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The intent could not be made durable.
    #[error("the peer list could not be made durable: {0}")]
    NotDurable(String),
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be opened or read.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The mesh endpoint could not be bound.
    #[error(transparent)]
    Mesh(#[from] crate::mesh::BindError),
    /// The commit thread could not be started.
    #[error("the commit thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
    /// A peer of the configuration is not acceptable.
    #[error("--peer: {0}")]
    Peer(#[from] ConnectError),
}
