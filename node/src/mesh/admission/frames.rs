//! The three frames of admission. `docs/protocol.md` has the bytes, which are the same in every version.

use super::{AdmissionError, Refusal};
use crate::limits;

/// Versions of the protocol that this node speaks, the newest first.
pub const SPOKEN: &[u8] = &[1];

const WELCOME: u8 = 1;
const REFUSAL: u8 = 0;
const PROOF_BYTES: usize = 32;

/// Made with a formation key over one connection, see [`super::proof`].
pub type Proof = [u8; PROOF_BYTES];

/// What the dialer says of itself; both proofs cover it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Drawn anew at every start of the dialer.
    pub incarnation: u64,
    /// Versions that it speaks, descending, at least one.
    pub versions: Vec<u8>,
}

impl Offered {
    /// The bytes that the proofs cover.
    pub fn transcript(&self) -> Vec<u8> {
        [&self.incarnation.to_le_bytes()[..], &self.counted_versions()].concat()
    }

    fn counted_versions(&self) -> Vec<u8> {
        let count = u8::try_from(self.versions.len()).expect("an offer names at most 8 versions");
        [&[count], self.versions.as_slice()].concat()
    }

    /// The highest version that both sides speak.
    pub fn common_version(&self, spoken: &[u8]) -> Option<u8> {
        self.versions.iter().copied().find(|version| spoken.contains(version))
    }
}

/// The dialer's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What the proofs cover.
    pub offered: Offered,
    /// One by each key that the dialer holds, its own first.
    pub proofs: Vec<Proof>,
}

impl Offer {
    /// Payload without its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = self.offered.counted_versions();
        frame.extend_from_slice(&self.offered.incarnation.to_le_bytes());
        frame.push(u8::try_from(self.proofs.len()).expect("a node holds at most two keys"));
        self.proofs.iter().for_each(|proof| frame.extend_from_slice(proof));
        frame
    }

    /// Parses what a stranger sent.
    pub fn decode(payload: &[u8]) -> Result<Self, AdmissionError> {
        let mut rest = Reader(payload);
        let count = rest.byte("number of versions")?;
        within("versions", count, limits::MAX_OFFERED_VERSIONS)?;
        let versions = rest.take(usize::from(count), "versions")?.to_vec();
        if versions.contains(&0) || versions.windows(2).any(|pair| pair[0] <= pair[1]) {
            return Err(malformed(format!("versions {versions:?} are not descending and above 0")));
        }
        let incarnation = rest.u64("incarnation")?;
        let count = rest.byte("number of proofs")?;
        within("proofs", count, limits::MAX_FORMATION_KEYS)?;
        let proofs = (0..count).map(|_| rest.proof()).collect::<Result<_, _>>()?;
        rest.end()?;
        Ok(Self { offered: Offered { incarnation, versions }, proofs })
    }
}

/// The acceptor's frame when it admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// One of those that were offered.
    pub version: u8,
    /// Drawn anew at every start of the acceptor.
    pub incarnation: u64,
    /// Made with the key that one of the dialer's proofs was made with.
    pub proof: Proof,
}

/// The acceptor's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The dialer is admitted.
    Welcome(Welcome),
    /// The dialer is turned away.
    Refusal(Refusal),
}

impl Answer {
    /// Payload without its length.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome(Welcome { version, incarnation, proof }) => {
                [&[WELCOME, *version][..], &incarnation.to_le_bytes(), proof].concat()
            }
            Self::Refusal(refusal) => vec![REFUSAL, *refusal as u8],
        }
    }

    /// Parses what somebody who was dialled sent.
    pub fn decode(payload: &[u8]) -> Result<Self, AdmissionError> {
        let mut rest = Reader(payload);
        let answer = match rest.byte("kind of answer")? {
            WELCOME => Self::Welcome(Welcome {
                version: rest.byte("version")?,
                incarnation: rest.u64("incarnation")?,
                proof: rest.proof()?,
            }),
            REFUSAL => {
                let code = rest.byte("reason")?;
                let refusal = Refusal::from_code(code).ok_or_else(|| malformed(format!("unknown refusal {code}")))?;
                Self::Refusal(refusal)
            }
            kind => return Err(malformed(format!("unknown answer {kind}"))),
        };
        rest.end()?;
        Ok(answer)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize, what: &str) -> Result<&'a [u8], AdmissionError> {
        let (taken, rest) =
            self.0.split_at_checked(bytes).ok_or_else(|| malformed(format!("the frame ends before its {what}")))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self, what: &str) -> Result<u8, AdmissionError> {
        Ok(self.take(1, what)?[0])
    }

    fn u64(&mut self, what: &str) -> Result<u64, AdmissionError> {
        let bytes = self.take(8, what)?.try_into().expect("eight were taken");
        Ok(u64::from_le_bytes(bytes))
    }

    fn proof(&mut self) -> Result<Proof, AdmissionError> {
        Ok(self.take(PROOF_BYTES, "proof")?.try_into().expect("as many were taken"))
    }

    fn end(&self) -> Result<(), AdmissionError> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed(format!("{} bytes after the end", self.0.len()))) }
    }
}

fn within(what: &str, count: u8, limit: usize) -> Result<(), AdmissionError> {
    if (1..=limit).contains(&usize::from(count)) {
        return Ok(());
    }
    Err(malformed(format!("{count} {what}; there must be 1 to {limit}")))
}

fn malformed(detail: String) -> AdmissionError {
    AdmissionError::Malformed(detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(versions: &[u8], proofs: usize) -> Offer {
        let offered = Offered { incarnation: 0x0102_0304_0506_0708, versions: versions.to_vec() };
        Offer { offered, proofs: vec![[9; 32]; proofs] }
    }

    #[test]
    fn the_frames_are_laid_out_as_documented() {
        let mut expected = vec![2, 5, 1, 8, 7, 6, 5, 4, 3, 2, 1, 2];
        expected.extend([9; 64]);
        assert_eq!(offer(&[5, 1], 2).encode(), expected);
        let mut expected = vec![1, 5, 8, 7, 6, 5, 4, 3, 2, 1];
        expected.extend([9; 32]);
        let welcome = Welcome { version: 5, incarnation: 0x0102_0304_0506_0708, proof: [9; 32] };
        assert_eq!(Answer::Welcome(welcome).encode(), expected);
        assert_eq!(Answer::Refusal(Refusal::Busy).encode(), [0, 3]);
    }

    #[test]
    fn an_offer_that_cannot_be_is_explained() {
        let good = offer(&[2, 1], 1).encode();
        let cases = [
            (vec![], "the frame ends before its number of versions"),
            (vec![0], "0 versions; there must be 1 to 8"),
            (vec![9; 60], "9 versions; there must be 1 to 8"),
            (vec![2, 1], "the frame ends before its versions"),
            (offer(&[1, 2], 1).encode(), "versions [1, 2] are not descending and above 0"),
            (offer(&[1, 0], 1).encode(), "versions [1, 0] are not descending and above 0"),
            (offer(&[1], 0).encode(), "0 proofs; there must be 1 to 2"),
            (offer(&[1], 3).encode(), "3 proofs; there must be 1 to 2"),
            (good[..good.len() - 1].to_vec(), "the frame ends before its proof"),
            ([good.as_slice(), &[0]].concat(), "1 bytes after the end"),
        ];
        for (payload, detail) in cases {
            match Offer::decode(&payload) {
                Err(AdmissionError::Malformed(told)) => assert_eq!(told, detail),
                other => panic!("{payload:?} gave {other:?}"),
            }
        }
        for answer in [&[][..], &[2], &[0], &[0, 99], &[0, 3, 0], &[1, 1]] {
            assert!(matches!(Answer::decode(answer), Err(AdmissionError::Malformed(_))), "{answer:?}");
        }
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        let offered = |versions: &[u8]| offer(versions, 1).offered;
        assert_eq!(offered(&[3, 2, 1]).common_version(&[2, 1]), Some(2));
        assert_eq!(offered(&[1]).common_version(&[2, 1]), Some(1));
        assert_eq!(offered(&[4, 3]).common_version(&[2, 1]), None);
    }

    proptest! {
        #[test]
        fn frames_survive_the_way(incarnation: u64, versions in prop::collection::btree_set(1u8.., 1..=8),
                                  proofs in prop::collection::vec(any::<[u8; 32]>(), 1..=2), version: u8) {
            let versions = versions.into_iter().rev().collect();
            let offer = Offer { offered: Offered { incarnation, versions }, proofs: proofs.clone() };
            prop_assert_eq!(Offer::decode(&offer.encode()).expect("valid"), offer);
            let welcome = Answer::Welcome(Welcome { version, incarnation, proof: proofs[0] });
            prop_assert_eq!(Answer::decode(&welcome.encode()).expect("valid"), welcome);
        }
    }
}
