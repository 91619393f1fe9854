//! Frames of the membership exchange and the record of one member; `docs/protocol.md` has the bytes.

use iroh::{PublicKey, SecretKey, Signature};
use serde::{Deserialize, Serialize};

use super::FrameError;
use crate::core::batch::PeerId;
use crate::core::relay_url::is_relay_url;
use crate::core::topology::Role;
use crate::limits;

/// First bytes of an endpoint id, enough to tell members apart.
pub type Prefix = [u8; 8];

/// What is signed begins with this.
const SIGNED_PREFIX: &[u8] = b"peat member record 1";
/// Parts that a table is summed up in.
pub const BUCKETS: usize = 64;

/// The prefix of an endpoint id.
pub fn prefix(id: &PeerId) -> Prefix {
    *id.first_chunk().expect("an id is longer")
}

/// Names a formation in what is signed, so that a record of one is worth nothing in another. Made of the app-id
/// alone: the shared key may change while records live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormationTag([u8; 32]);

impl FormationTag {
    /// The tag of an application id.
    pub fn new(app_id: &str) -> Self {
        Self(blake3::derive_key("peat 2026 formation tag of member records", app_id.as_bytes()))
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its endpoint id.
    pub id: PeerId,
    /// Counts its records; the highest is in force.
    pub issue: u64,
    /// What it is.
    pub role: Role,
    /// Where it may be found: `host:port`, or the URL of the relay that it is reached through.
    pub addresses: Vec<String>,
    #[serde(with = "serde_bytes")]
    signature: [u8; 64],
}

impl Record {
    /// Signs a record. The key decides the id.
    pub fn sign(key: &SecretKey, tag: &FormationTag, issue: u64, role: Role, addresses: Vec<String>) -> Self {
        let id = *key.public().as_bytes();
        let mut record = Self { id, issue, role, addresses, signature: [0; 64] };
        record.signature = key.sign(&record.signed(tag)).to_bytes();
        record
    }

    /// Whether the node with this id signed it for this formation. About 50 µs.
    pub fn is_genuine(&self, tag: &FormationTag) -> bool {
        PublicKey::from_bytes(&self.id)
            .is_ok_and(|key| key.verify(&self.signed(tag), &Signature::from_bytes(&self.signature)).is_ok())
    }

    fn signed(&self, tag: &FormationTag) -> Vec<u8> {
        let content = (&self.id, self.issue, self.role, &self.addresses);
        let content = postcard::to_stdvec(&content).expect("plain data");
        [SIGNED_PREFIX, &tag.0, &content].concat()
    }

    fn validate(&self) -> Result<(), FrameError> {
        if self.addresses.len() > limits::MAX_MEMBER_ADDRESSES {
            let (actual, limit) = (self.addresses.len(), limits::MAX_MEMBER_ADDRESSES);
            return Err(FrameError::Malformed(format!(
                "a member record with {actual} addresses; the limit is {limit}"
            )));
        }
        match self.addresses.iter().find(|address| !is_address(address) && !is_relay_url(address)) {
            Some(bad) => Err(FrameError::Malformed(format!("a member record with the address {bad:?}"))),
            None => Ok(()),
        }
    }
}

/// Whether a text has the shape `host:port`, with an IPv6 address in brackets.
pub fn is_address(text: &str) -> bool {
    text.len() <= limits::MAX_ADDRESS_BYTES
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
            !host.is_empty() && !bare_v6 && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
}

/// A record on its way, with its age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aged {
    /// What the member says of itself.
    pub record: Record,
    /// Seconds since it was issued, as far as the sender knows: grows at every holder and by one a hop.
    pub age_s: u32,
}

/// A record that the sender holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose.
    pub member: Prefix,
    /// Which.
    pub issue: u64,
}

/// A frame of the membership exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembersFrame {
    /// Sums the sender's table up. The first frame of the exchange; who never sends one takes no part in it.
    Digest {
        /// The sum.
        sum: u64,
    },
    /// The same in parts, from the dialer, because the two sums differ.
    Buckets(Vec<u64>),
    /// Everything that the sender holds in the named parts: the answer to [`MembersFrame::Buckets`].
    List {
        /// Which parts, one bit each.
        buckets: u64,
        /// What is in them.
        held: Vec<Held>,
    },
    /// The sender holds these since a while ago.
    Have(Vec<Held>),
    /// Asks for records.
    Want(Vec<Prefix>),
    /// Answers [`MembersFrame::Want`].
    Records {
        /// Those that the sender still holds.
        records: Vec<Aged>,
        /// Those it does not.
        missing: Vec<Prefix>,
    },
    /// Whether the sender has a use for this session beyond what it carries now. Until the first of these it has.
    Wish {
        /// It has.
        wanted: bool,
    },
}

impl MembersFrame {
    /// Checks everything but signatures.
    pub fn validate(&self) -> Result<(), FrameError> {
        let (what, actual, limit) = match self {
            Self::Digest { .. } | Self::Wish { .. } => return Ok(()),
            Self::Buckets(sums) if sums.len() == BUCKETS => return Ok(()),
            Self::Buckets(sums) => return Err(FrameError::Malformed(format!("{} buckets", sums.len()))),
            Self::List { held, .. } => ("listed members", held.len(), limits::MAX_MEMBERS),
            Self::Have(held) => ("announced members", held.len(), limits::MAX_MEMBERS_ANNOUNCED),
            Self::Want(wanted) => ("wanted members", wanted.len(), limits::MAX_RECORDS_WANTED),
            Self::Records { records, missing } => {
                records.iter().try_for_each(|aged| aged.record.validate())?;
                ("records", records.len() + missing.len(), limits::MAX_RECORDS_WANTED)
            }
        };
        if actual > limit {
            return Err(FrameError::Malformed(format!("{actual} {what}; the limit is {limit}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_worth_nothing_once_anything_of_it_changed() {
        let (key, tag) = (SecretKey::from_bytes(&[7; 32]), FormationTag::new("fleet"));
        let record = Record::sign(&key, &tag, 3, Role::Hub, vec!["10.0.0.7:7777".into()]);
        assert!(record.is_genuine(&tag));
        assert!(!record.is_genuine(&FormationTag::new("other")));
        let other = *SecretKey::from_bytes(&[8; 32]).public().as_bytes();
        for forged in [
            Record { id: other, ..record.clone() },
            Record { issue: 4, ..record.clone() },
            Record { role: Role::Peer, ..record.clone() },
            Record { addresses: vec!["10.0.0.8:7777".into()], ..record.clone() },
        ] {
            assert!(!forged.is_genuine(&tag), "{forged:?}");
        }
    }

    #[test]
    fn a_record_is_laid_out_as_documented() {
        let (key, tag) = (SecretKey::from_bytes(&[7; 32]), FormationTag::new("fleet"));
        let record = Record::sign(&key, &tag, 300, Role::Spoke, vec!["h:1".into()]);
        let bytes = postcard::to_stdvec(&Aged { record: record.clone(), age_s: 5 }).expect("plain data");
        let mut expected = record.id.to_vec();
        expected.extend([0xac, 2, 2, 1, 3, b'h', b':', b'1', 64]);
        expected.extend(record.signature);
        expected.push(5);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_over_a_limit_is_refused() {
        let (key, tag) = (SecretKey::from_bytes(&[7; 32]), FormationTag::new("fleet"));
        let with = |addresses| {
            let record = Record::sign(&key, &tag, 1, Role::Peer, addresses);
            MembersFrame::Records { records: vec![Aged { record, age_s: 0 }], missing: vec![] }.validate()
        };
        assert_eq!(with(vec!["[fd00::7]:7777".into(), "ship.local:1".into()]), Ok(()));
        assert_eq!(with(vec!["https://relay.example/".into()]), Ok(()));
        assert!(with(vec!["h:1".into(); limits::MAX_MEMBER_ADDRESSES + 1]).is_err());
        for bad in ["h", "h:0", ":1", "h:65536", "fd00::7:1", "a b:1", "h\n:1", "https://r", "ftp://r/"] {
            assert!(with(vec![bad.into()]).is_err(), "{bad:?}");
        }
        assert!(MembersFrame::Buckets(vec![0; 3]).validate().is_err());
        assert!(MembersFrame::Want(vec![[0; 8]; limits::MAX_RECORDS_WANTED + 1]).validate().is_err());
    }
}
