//! How peers are found that nobody named.
//!
//! Each way of discovery is a task that tells the mesh, whenever it changes, the whole of what it knows at that
//! moment ([`Mesh::set_found`](super::Mesh::set_found)); it never dials. Who of those found is wanted, and when it
//! is dialled, is decided where operator intent is (ADR 3).

/// A way of discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// DNS-SD on the local network.
    Mdns,
    /// A host name with many addresses.
    Dns,
    /// What connected peers know.
    Gossip,
}
