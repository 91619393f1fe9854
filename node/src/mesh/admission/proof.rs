//! Proofs of membership: made with the formation's key, over one connection and what was said on it.

use iroh::EndpointId;
use iroh::endpoint::Connection;

use super::AdmissionError;
use super::frames::{Offer, Offered, Proof, Welcome};
use crate::config::Formation;
use crate::node::{Plant, Plants};

const ROLE_DIALER: &[u8; 8] = b"dialer  ";
const ROLE_ACCEPTOR: &[u8; 8] = b"acceptor";
const KEY_CONTEXT: &str = "peat 2026 formation key";
const EXPORT_LABEL: &[u8] = b"peat admission";

/// Proves membership of a formation without showing its key.
#[derive(Clone)]
pub struct FormationKey([u8; 32]);

impl FormationKey {
    /// Derives the key that proofs are made with.
    pub fn new(app_id: &str, shared_key: [u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(&shared_key).update(app_id.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// A keyed hash for another protocol of the formation: `purpose` keeps the protocols apart. The parts must be of
    /// fixed lengths but for the last.
    pub fn seal(&self, purpose: &[u8; 8], parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(purpose);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }

    fn dialer_proof(&self, binding: &Binding, offered: &Offered) -> blake3::Hash {
        self.hasher(ROLE_DIALER, binding, offered).finalize()
    }

    /// Made by the acceptor with the key that [`Keyring::recognise`] found.
    pub fn acceptor_proof(&self, binding: &Binding, offered: &Offered, version: u8, incarnation: u64) -> Proof {
        let mut hasher = self.hasher(ROLE_ACCEPTOR, binding, offered);
        hasher.update(&[version]).update(&incarnation.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    fn hasher(&self, role: &[u8; 8], binding: &Binding, offered: &Offered) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(role).update(&binding.exported);
        hasher.update(binding.dialer.as_bytes()).update(binding.acceptor.as_bytes());
        hasher.update(&offered.transcript());
        hasher
    }
}

/// The keys that a node holds: its own and, during a change-over, the previous one.
#[derive(Clone)]
pub struct Keyring(Vec<FormationKey>, Plants);

impl Keyring {
    /// Derives the keys that proofs are made with.
    pub fn new(formation: &Formation) -> Self {
        let own = formation.shared_key.unwrap_or([0; 32]);
        let keys = std::iter::once(own).chain(formation.previous_key);
        Self(keys.map(|key| FormationKey::new(&formation.app_id, key)).collect(), Plants::default())
    }

    /// With bugs.
    pub(crate) fn planted(self, plants: Plants) -> Self {
        Self(self.0, plants)
    }

    /// Our own key first.
    pub fn keys(&self) -> &[FormationKey] {
        &self.0
    }

    /// What a dialer sends: a proof by each key it holds.
    pub fn offer(&self, binding: &Binding, offered: Offered) -> Offer {
        let proofs = self.0.iter().map(|key| *key.dialer_proof(binding, &offered).as_bytes()).collect();
        Offer { offered, proofs }
    }

    /// The key that one of the dialer's proofs was made with: our own if possible. `None`: a stranger.
    pub fn recognise(&self, binding: &Binding, offer: &Offer) -> Option<&FormationKey> {
        self.0.iter().find(|key| {
            let due = key.dialer_proof(binding, &offer.offered);
            // blake3::Hash compares in constant time.
            offer.proofs.iter().any(|proof| due == *proof) || self.1.has(Plant::WrongFormation)
        })
    }

    /// Whether the acceptor proved itself with one of the keys that we offered.
    pub fn accepts(&self, binding: &Binding, offered: &Offered, welcome: &Welcome) -> bool {
        let Welcome { version, incarnation, proof } = welcome;
        let holds = |key: &FormationKey| {
            let due = blake3::Hash::from_bytes(key.acceptor_proof(binding, offered, *version, *incarnation));
            due == *proof
        };
        self.0.iter().any(holds) || self.1.has(Plant::WrongFormation)
    }
}

/// What a proof is bound to: worth nothing on another connection, between others, or the other way round.
#[derive(Clone)]
pub struct Binding {
    exported: [u8; 32],
    dialer: EndpointId,
    acceptor: EndpointId,
}

impl Binding {
    /// Exports keying material of the TLS session.
    pub fn new(connection: &Connection, dialer: EndpointId, acceptor: EndpointId) -> Result<Self, AdmissionError> {
        let mut exported = [0; 32];
        connection
            .export_keying_material(&mut exported, EXPORT_LABEL, b"")
            .map_err(|_| AdmissionError::Malformed("no keying material can be exported".into()))?;
        Ok(Self { exported, dialer, acceptor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(app_id: &str, own: Option<u8>, previous: Option<u8>) -> Keyring {
        let key = |k: u8| [k; 32];
        let (shared_key, previous_key) = (own.map(key), previous.map(key));
        Keyring::new(&Formation { app_id: app_id.into(), shared_key, previous_key })
    }

    fn binding(exported: u8) -> Binding {
        let id = |k: u8| iroh::SecretKey::from_bytes(&[k; 32]).public();
        Binding { exported: [exported; 32], dialer: id(1), acceptor: id(2) }
    }

    fn offered() -> Offered {
        Offered { incarnation: 3, versions: vec![2, 1] }
    }

    #[test]
    fn a_proof_holds_for_one_formation_connection_pair_and_offer() {
        let member = keyring("fleet", Some(1), None);
        let offer = member.offer(&binding(7), offered());
        assert!(member.recognise(&binding(7), &offer).is_some());
        for stranger in [keyring("fleet", Some(2), None), keyring("fleet", None, None), keyring("app", Some(1), None)] {
            assert!(stranger.recognise(&binding(7), &offer).is_none());
        }
        let reversed = Binding { dialer: binding(7).acceptor, acceptor: binding(7).dialer, ..binding(7) };
        for elsewhere in [binding(8), reversed] {
            assert!(member.recognise(&elsewhere, &offer).is_none());
        }
        for altered in [Offered { versions: vec![1], ..offered() }, Offered { incarnation: 4, ..offered() }] {
            let altered = Offer { offered: altered, ..offer.clone() };
            assert!(member.recognise(&binding(7), &altered).is_none(), "nobody may lower what was offered");
        }
    }

    #[test]
    fn an_answer_holds_for_what_was_offered_and_chosen() {
        let member = keyring("fleet", Some(1), None);
        let proof = member.0[0].acceptor_proof(&binding(7), &offered(), 2, 9);
        let welcome = Welcome { version: 2, incarnation: 9, proof };
        assert!(member.accepts(&binding(7), &offered(), &welcome));
        assert!(!member.accepts(&binding(8), &offered(), &welcome));
        assert!(!member.accepts(&binding(7), &Offered { versions: vec![1], ..offered() }, &welcome));
        assert!(!member.accepts(&binding(7), &offered(), &Welcome { version: 1, ..welcome.clone() }));
        assert!(!member.accepts(&binding(7), &offered(), &Welcome { incarnation: 8, ..welcome.clone() }));
        let reflected = Welcome { proof: member.offer(&binding(7), offered()).proofs[0], ..welcome };
        assert!(!member.accepts(&binding(7), &offered(), &reflected), "a proof of the other role is none");
    }

    /// The states of a change-over from key 1 to key 2, as `docs/security.md` has them.
    #[test]
    fn two_nodes_meet_exactly_when_they_have_a_key_in_common() {
        let old = || keyring("fleet", Some(1), None);
        let both = || keyring("fleet", Some(2), Some(1));
        let new = || keyring("fleet", Some(2), None);
        let back = || keyring("fleet", Some(1), Some(2));
        let cases = [
            (old(), old(), true),
            (old(), both(), true),
            (both(), both(), true),
            (both(), new(), true),
            (new(), new(), true),
            (back(), both(), true),
            (old(), new(), false),
            (both(), keyring("fleet", None, None), false),
            (both(), keyring("app", Some(2), Some(1)), false),
        ];
        for (number, (a, b, meet)) in cases.iter().enumerate() {
            for (dialer, acceptor) in [(a, b), (b, a)] {
                let offer = dialer.offer(&binding(7), offered());
                let answered = acceptor.recognise(&binding(7), &offer).map(|key| {
                    let proof = key.acceptor_proof(&binding(7), &offered(), 1, 9);
                    dialer.accepts(&binding(7), &offered(), &Welcome { version: 1, incarnation: 9, proof })
                });
                assert_eq!(answered.unwrap_or(false), *meet, "case {number}");
                assert_eq!(answered.is_some(), *meet, "case {number}: both sides come to the same answer");
            }
        }
    }

    #[test]
    fn the_newer_key_is_used_as_soon_as_both_have_it() {
        let both = keyring("fleet", Some(2), Some(1));
        let offer = both.offer(&binding(7), offered());
        let used = both.recognise(&binding(7), &offer).expect("a member");
        assert_eq!(used.0, keyring("fleet", Some(2), None).0[0].0);
    }
}
