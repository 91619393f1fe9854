//! Who is at an address: a handshake with a mesh port whose endpoint id nobody told us. `docs/discovery.md` has the
//! bytes, ADR 10 the reasons.
//!
//! iroh dials ids, not addresses. So the asking side is a plain QUIC client on the library under iroh: it takes
//! whatever key the other side's TLS shows, and believes it only once both sides have proved, on that very TLS session,
//! that they hold the key of the formation. The answering side is the mesh's own endpoint, under a second ALPN.
//!
//! The asker shows a key that it made at its start, not the node's: whoever has taken over an address learns nothing of
//! this node, and the answering endpoint does not take the asker's socket for a path to the node.

mod asker;

use iroh::EndpointId;
use iroh::endpoint::Connection;

use super::super::admission::{AdmissionError, FormationKey, Refusal};
use super::super::peers::CloseCode;
use crate::limits;

pub(super) use asker::{AskError, Asker};

/// Names the handshake in TLS.
pub(in crate::mesh) const ALPN: &[u8] = b"peat-id/1";

const EXPORT_LABEL: &[u8] = b"peat identify";
const QUESTION: &[u8; 8] = b"id-asks ";
const ANSWER: &[u8; 8] = b"id-tells";
/// Keys that one asker may hold: the formation's and, during a change of it, the previous one.
const MAX_KEYS: usize = 2;
const PROOF_BYTES: usize = 32;

/// What both proofs are bound to.
struct Binding {
    exported: [u8; 32],
    /// The key that the asker made for asking.
    asker: [u8; 32],
    answerer: [u8; 32],
}

impl Binding {
    fn proof(&self, role: &[u8; 8], key: &FormationKey) -> blake3::Hash {
        key.seal(role, &[&self.exported, &self.asker, &self.answerer])
    }

    /// `u8 k`, then a proof by each of the asker's `k` keys.
    fn question(&self, keys: &[FormationKey]) -> Vec<u8> {
        let keys = &keys[..keys.len().min(MAX_KEYS)];
        let mut question = vec![u8::try_from(keys.len()).expect("at most MAX_KEYS")];
        keys.iter().for_each(|key| question.extend_from_slice(self.proof(QUESTION, key).as_bytes()));
        question
    }

    /// The proof that answers a question, made with the key of ours that the asker holds, too.
    fn answer(&self, question: &[u8], keys: &[FormationKey]) -> Result<blake3::Hash, AdmissionError> {
        let malformed = || AdmissionError::Malformed(format!("{} bytes are no question", question.len()));
        let (&count, proofs) = question.split_first().ok_or_else(malformed)?;
        let (proofs, rest) = proofs.as_chunks::<PROOF_BYTES>();
        if !rest.is_empty() || proofs.len() != usize::from(count) || !(1..=MAX_KEYS).contains(&proofs.len()) {
            return Err(malformed());
        }
        let holds = |key: &&FormationKey| {
            let due = self.proof(QUESTION, key);
            // Every proof is compared, in constant time (blake3::Hash), whichever holds.
            proofs.iter().fold(false, |found, proof| found | (due == *proof))
        };
        let key = keys.iter().find(holds).ok_or(AdmissionError::WeRefused(Refusal::Formation))?;
        Ok(self.proof(ANSWER, key))
    }

    /// Whether an answer proves that the answerer holds one of our keys.
    fn is_answered_by(&self, answer: &[u8], keys: &[FormationKey]) -> bool {
        let Ok(answer) = <[u8; PROOF_BYTES]>::try_from(answer) else { return false };
        keys.iter().any(|key| self.proof(ANSWER, key) == answer)
    }
}

/// The answering side, on a connection under [`ALPN`]. The caller bounds its time and number. A stranger gets no
/// byte on the stream; [`AdmissionError::WeRefused`] says that it asked with a wrong proof.
pub(in crate::mesh) async fn answer(
    connection: &Connection,
    me: EndpointId,
    keys: &[FormationKey],
) -> Result<(), AdmissionError> {
    let answered = answer_question(connection, me, keys).await;
    match &answered {
        Ok(()) => CloseCode::Goodbye.close(connection),
        Err(AdmissionError::WeRefused(refusal)) => CloseCode::Refused(*refusal).close(connection),
        Err(_) => CloseCode::Protocol.close(connection),
    }
    answered
}

async fn answer_question(connection: &Connection, me: EndpointId, keys: &[FormationKey]) -> Result<(), AdmissionError> {
    let lost = |e: &dyn std::fmt::Display| AdmissionError::Lost(e.to_string());
    let mut exported = [0; 32];
    connection
        .export_keying_material(&mut exported, EXPORT_LABEL, b"")
        .map_err(|_| AdmissionError::Malformed("no keying material can be exported".into()))?;
    let binding = Binding { exported, asker: *connection.remote_id().as_bytes(), answerer: *me.as_bytes() };
    let (mut send, mut receive) = connection.accept_bi().await.map_err(|e| lost(&e))?;
    let question = receive.read_to_end(limits::MAX_ADMISSION_FRAME_BYTES).await.map_err(|e| lost(&e))?;
    let answer = binding.answer(&question, keys)?;
    send.write_all(answer.as_bytes()).await.map_err(|e| lost(&e))?;
    send.finish().map_err(|e| lost(&e))?;
    // The asker closes when it has the answer.
    connection.closed().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Formation;

    fn key(app_id: &str, secret: u8) -> FormationKey {
        FormationKey::new(&Formation { app_id: app_id.into(), shared_key: Some([secret; 32]) })
    }

    fn binding(exported: u8) -> Binding {
        Binding { exported: [exported; 32], asker: [1; 32], answerer: [2; 32] }
    }

    #[test]
    fn members_of_one_formation_answer_each_other() {
        let (ours, theirs) = ([key("fleet", 1)], [key("fleet", 1)]);
        let answer = binding(7).answer(&binding(7).question(&ours), &theirs).expect("a member asks");
        assert!(binding(7).is_answered_by(answer.as_bytes(), &ours));
    }

    #[test]
    fn during_a_change_of_the_key_one_key_in_common_is_enough() {
        let (new, both) = ([key("fleet", 2)], [key("fleet", 2), key("fleet", 1)]);
        for (asker, answerer) in [(&new[..], &both[..]), (&both[..], &new[..]), (&both[1..], &both[..])] {
            let answer = binding(7).answer(&binding(7).question(asker), answerer).expect("a key in common");
            assert!(binding(7).is_answered_by(answer.as_bytes(), asker));
        }
    }

    #[test]
    fn strangers_get_no_answer() {
        let ours = [key("fleet", 1)];
        let reversed = Binding { asker: [2; 32], answerer: [1; 32], ..binding(7) };
        for question in [
            binding(7).question(&[key("fleet", 2)]),
            binding(7).question(&[key("other", 1)]),
            // Replayed on another connection, or the other way round.
            binding(8).question(&ours),
            reversed.question(&ours),
        ] {
            let refused = binding(7).answer(&question, &ours).expect_err("a stranger");
            assert!(matches!(refused, AdmissionError::WeRefused(Refusal::Formation)), "{refused}");
        }
    }

    #[test]
    fn a_question_sent_back_is_no_answer() {
        let ours = [key("fleet", 1)];
        assert!(!binding(7).is_answered_by(&binding(7).question(&ours)[1..], &ours));
        assert!(!binding(7).is_answered_by(&[], &ours));
        assert!(!binding(7).is_answered_by(binding(7).proof(ANSWER, &key("fleet", 2)).as_bytes(), &ours));
    }

    /// Both families, over real sockets, against an endpoint of the mesh.
    #[tokio::test]
    async fn an_address_tells_members_who_is_there() {
        for ip in ["127.0.0.1", "::1"] {
            let address = std::net::SocketAddr::new(ip.parse().expect("an address"), 0);
            let underlay = crate::mesh::Underlay::Udp(address);
            let secret = iroh::SecretKey::from_bytes(&[9; 32]);
            let bound = crate::mesh::bind(secret, underlay, &crate::config::Timing::default()).await;
            // A machine may have no IPv6, but every machine has IPv4.
            let Ok(endpoint) = bound else {
                assert!(address.is_ipv6());
                continue;
            };
            let address = endpoint.bound_sockets()[0];
            let answers = async {
                while let Some(incoming) = endpoint.accept().await {
                    let connection = incoming.accept().expect("not refused").await.expect("a handshake");
                    assert_eq!(connection.alpn(), ALPN);
                    assert_ne!(connection.remote_id(), endpoint.id());
                    // The asker is told, or closed on.
                    let _ = answer(&connection, endpoint.id(), &[key("fleet", 1)]).await;
                }
            };
            let asker = Asker::new(&iroh::SecretKey::from_bytes(&[8; 32])).expect("sockets");
            let asks = async {
                for _ in 0..3 {
                    assert_eq!(asker.ask(address, &[key("fleet", 1)]).await, Ok(endpoint.id()));
                }
                assert_eq!(asker.ask(address, &[key("fleet", 2)]).await, Err(AskError::Stranger));
                assert_eq!(asker.ask(address, &[key("fleet", 2), key("fleet", 1)]).await, Ok(endpoint.id()));
            };
            tokio::select! {
                biased;
                () = asks => {}
                () = answers => panic!("the endpoint is closed"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_refused(question in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
            proptest::prop_assert!(binding(7).answer(&question, &[key("fleet", 1)]).is_err());
            proptest::prop_assert!(!binding(7).is_answered_by(&question, &[key("fleet", 1)]));
        }
    }
}
