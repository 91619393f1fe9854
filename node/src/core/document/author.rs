//! Who signed a change: part of the actor id.
//!
//! A node draws an actor id at every start. Its first bytes are those of the node's endpoint id, so that every operation
//! says who made it without a byte more on the wire or on disk. It is a claim, not a proof: any member of the formation
//! can sign with any actor id, as it can put any content.
//!
//! **Rejected**: the name in the message of each change (20 bytes each, for ever), or in a register of the document (an
//! operation more, and a late edit of one node would look like the other's).

use std::fmt;

use automerge::ActorId;

use super::base::Stamp;

const AUTHOR_BYTES: usize = 5;
/// Bytes of an actor id. With 56 random bits, the same node would have to start 100 million times before two of its
/// actors are likely to be alike; each byte less is a byte less in every change on the wire.
pub const ACTOR_BYTES: usize = 12;

/// A node, by the beginning of its endpoint id: what logs show of it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author([u8; AUTHOR_BYTES]);

impl Author {
    /// Who draws actor ids like this, or began a document anew with it; `None`: no node.
    pub fn of(actor: &ActorId) -> Option<Self> {
        if let Some(writer) = Stamp::writer_of(actor) {
            return writer.first_chunk().copied().map(Self);
        }
        let bytes = actor.to_bytes();
        bytes.first_chunk().filter(|_| bytes.len() == ACTOR_BYTES).copied().map(Self)
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The actor id of one run of a node.
pub fn actor_of(endpoint: &[u8; 32], mut random: [u8; ACTOR_BYTES]) -> ActorId {
    random[..AUTHOR_BYTES].copy_from_slice(&endpoint[..AUTHOR_BYTES]);
    ActorId::from(random)
}

/// The actor id of a change that is carried over to a base: the same whoever does it, and its author's.
pub(super) fn carrier(author: &ActorId, base: &[u8; 32], change: &[u8; 32]) -> ActorId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(base).update(change);
    let mut id = [0; ACTOR_BYTES];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..ACTOR_BYTES]);
    match Author::of(author) {
        Some(Author(author)) => id[..AUTHOR_BYTES].copy_from_slice(&author),
        // Of a length that no node has: its author is not known.
        None => return ActorId::from(&id[AUTHOR_BYTES - 1..]),
    }
    ActorId::from(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_tells_whose_it_is() {
        let actor = actor_of(&[0xab; 32], [7; ACTOR_BYTES]);
        assert_eq!(Author::of(&actor).map(|author| author.to_string()).as_deref(), Some("ababababab"));
        assert_eq!(Author::of(&Stamp::next(None, [0xab; 32]).actor()), Author::of(&actor));
        assert_ne!(actor, actor_of(&[0xab; 32], [8; ACTOR_BYTES]));
        assert_eq!(Author::of(&ActorId::from([1; 16])), None);
    }
}
