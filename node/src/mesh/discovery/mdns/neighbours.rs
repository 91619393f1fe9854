//! Who is on the local network, by their own announcements. No socket, no clock: what may be believed, and how much of it
//! is kept. Everything here was said by anyone on the link.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use iroh::EndpointId;

use super::super::super::admission::FormationKey;
use crate::core::batch::PeerId;
use crate::core::session::Now;
use crate::limits;

/// What follows the instance name of a service.
pub(super) const SERVICE: &str = "_peat._udp.local.";
/// TXT keys.
pub(super) const TXT_APP: &str = "app";
pub(super) const TXT_ID: &str = "id";
pub(super) const TXT_PROOF: &str = "proof";

const PURPOSE: &[u8; 8] = b"mdns-id ";
/// Bytes of a proof that are announced: it must not be found by trial, and two of them must fit a short record.
const PROOF_BYTES: usize = 16;

/// One announced service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcement<'a> {
    /// `instance._peat._udp.local.`
    pub full_name: &'a str,
    pub app_id: Option<&'a str>,
    pub endpoint_id: Option<&'a str>,
    pub proof: Option<&'a str>,
    pub port: u16,
    pub addresses: Vec<IpAddr>,
}

/// What an announcement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A member, new here.
    Arrived(PeerId),
    /// A member that moved.
    Moved,
    /// Nothing new.
    Known,
    /// This node.
    Itself,
    /// Of another application, or of another key.
    Foreign,
    /// Not as a node announces itself.
    Malformed,
    /// A member without an address that is on the link.
    OffLink,
    /// One too many.
    Full,
}

#[derive(Debug)]
struct Neighbour {
    addresses: Vec<SocketAddr>,
    /// When it was last asked whether it is still there.
    verified: Now,
    /// Whether it had a session when last looked at.
    had_session: bool,
}

/// The members of the formation on the local network.
pub(super) struct Neighbours {
    me: EndpointId,
    app_id: String,
    keys: Vec<FormationKey>,
    members: BTreeMap<PeerId, Neighbour>,
}

impl Neighbours {
    pub fn new(me: EndpointId, app_id: String, keys: Vec<FormationKey>) -> Self {
        Self { me, app_id, keys, members: BTreeMap::new() }
    }

    pub fn me(&self) -> EndpointId {
        self.me
    }

    /// The TXT record of this node.
    pub fn own_record(&self) -> Vec<(&'static str, String)> {
        let proofs: Vec<String> = self.keys.iter().map(|key| proof(key, &self.me)).collect();
        vec![(TXT_APP, self.app_id.clone()), (TXT_ID, self.me.to_string()), (TXT_PROOF, proofs.join(","))]
    }

    /// Takes an announcement. `on_link` says whether an address belongs to a network that this machine is on.
    pub fn announced(&mut self, said: &Announcement<'_>, on_link: impl Fn(&IpAddr) -> bool, now: Now) -> Verdict {
        let Some(id) = endpoint_of(said.full_name) else { return Verdict::Malformed };
        if id == self.me {
            return Verdict::Itself;
        }
        if said.endpoint_id != Some(&id.to_string()) || said.port == 0 {
            return Verdict::Malformed;
        }
        if said.app_id != Some(&self.app_id) || !self.is_proved(&id, said.proof.unwrap_or_default()) {
            return Verdict::Foreign;
        }
        let addresses = dialable(said, on_link);
        if addresses.is_empty() {
            return Verdict::OffLink;
        }
        let is_full = self.members.len() >= limits::MAX_NEIGHBOURS;
        match self.members.get_mut(id.as_bytes()) {
            Some(known) if known.addresses == addresses => Verdict::Known,
            Some(known) => {
                known.addresses = addresses;
                Verdict::Moved
            }
            None if is_full => Verdict::Full,
            None => {
                let neighbour = Neighbour { addresses, verified: now, had_session: false };
                self.members.insert(*id.as_bytes(), neighbour);
                Verdict::Arrived(*id.as_bytes())
            }
        }
    }

    /// A service said goodbye, or its records ran out.
    pub fn left(&mut self, full_name: &str) -> Option<PeerId> {
        let id = *endpoint_of(full_name)?.as_bytes();
        self.members.remove(&id).map(|_| id)
    }

    /// The services of which to ask whether they are still there: those whose session has ended since the last time,
    /// at once, and those that never had one, now and then. A few at a time.
    pub fn take_doubtful(&mut self, has_session: impl Fn(&PeerId) -> bool, now: Now) -> Vec<String> {
        let mut doubtful = Vec::new();
        for (peer, neighbour) in &mut self.members {
            if doubtful.len() >= limits::MAX_VERIFIED_AT_ONCE {
                break;
            }
            let lost = neighbour.had_session;
            neighbour.had_session = has_session(peer);
            let silent_for = now.saturating_sub(neighbour.verified);
            if !neighbour.had_session && (lost || silent_for >= limits::NEIGHBOUR_VERIFY_INTERVAL) {
                neighbour.verified = now;
                doubtful.extend(EndpointId::from_bytes(peer).map(|id| full_name(&id)));
            }
        }
        doubtful
    }

    /// Where they are.
    pub fn members(&self) -> BTreeMap<PeerId, Vec<String>> {
        let text = |addresses: &Vec<SocketAddr>| addresses.iter().map(SocketAddr::to_string).collect();
        self.members.iter().map(|(peer, neighbour)| (*peer, text(&neighbour.addresses))).collect()
    }

    fn is_proved(&self, id: &EndpointId, proofs: &str) -> bool {
        let due: Vec<String> = self.keys.iter().map(|key| proof(key, id)).collect();
        proofs.split(',').take(2).any(|proof| due.iter().any(|due| due == proof))
    }
}

/// The instance name of a node is its endpoint id in z-base-32, since a label has 63 bytes and the id 64 hex digits. It is
/// unique by itself, so no probing for conflicts is needed (RFC 6762, section 8.1).
pub(super) fn instance(id: &EndpointId) -> String {
    id.to_z32()
}

fn full_name(id: &EndpointId) -> String {
    format!("{}.{SERVICE}", instance(id))
}

fn endpoint_of(full_name: &str) -> Option<EndpointId> {
    EndpointId::from_z32(full_name.strip_suffix(SERVICE)?.strip_suffix('.')?).ok()
}

/// A stranger cannot make one for an id of its own making. It can repeat a member's, which brings it no session.
fn proof(key: &FormationKey, id: &EndpointId) -> String {
    let sealed = key.seal(PURPOSE, &[id.as_bytes()]);
    sealed.to_hex()[..2 * PROOF_BYTES].into()
}

/// Addresses that can be dialled and are on the link: an announcement must not make this node send anything elsewhere.
/// IPv6 link-local ones are left out: they mean nothing without their interface, which iroh does not keep, so that a
/// handshake with one is answered and never completed.
fn dialable(said: &Announcement<'_>, on_link: impl Fn(&IpAddr) -> bool) -> Vec<SocketAddr> {
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let one_node = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast();
    let usable = said.addresses.iter().filter(|ip| one_node(ip) && !link_local(ip) && on_link(ip));
    let mut addresses: Vec<SocketAddr> = usable.map(|ip| SocketAddr::new(*ip, said.port)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(limits::MAX_PEER_ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Formation;

    fn id(name: u16) -> EndpointId {
        let mut secret = [7; 32];
        secret[..2].copy_from_slice(&name.to_le_bytes());
        iroh::SecretKey::from_bytes(&secret).public()
    }

    fn key(secret: u8) -> FormationKey {
        FormationKey::new(&Formation { app_id: "fleet".into(), shared_key: Some([secret; 32]) })
    }

    fn neighbours(name: u16, app_id: &str, keys: &[u8]) -> Neighbours {
        Neighbours::new(id(name), app_id.into(), keys.iter().map(|secret| key(*secret)).collect())
    }

    /// What another node announces, and how this one takes it.
    fn hear(ours: &mut Neighbours, theirs: &Neighbours, change: impl Fn(&mut Announcement<'_>)) -> Verdict {
        let (record, full_name) = (theirs.own_record(), full_name(&theirs.me));
        let value = |key: &str| record.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
        let mut said = Announcement {
            full_name: &full_name,
            app_id: value(TXT_APP),
            endpoint_id: value(TXT_ID),
            proof: value(TXT_PROOF),
            port: 7777,
            addresses: vec![[10, 0, 0, 2].into()],
        };
        change(&mut said);
        ours.announced(&said, |ip| matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 10), Now::ZERO)
    }

    #[test]
    fn a_member_comes_moves_and_leaves() {
        let (mut ours, theirs) = (neighbours(1, "fleet", &[1]), neighbours(2, "fleet", &[1]));
        let peer = *theirs.me.as_bytes();
        assert_eq!(hear(&mut ours, &theirs, |_| ()), Verdict::Arrived(peer));
        assert_eq!(hear(&mut ours, &theirs, |_| ()), Verdict::Known);
        assert_eq!(hear(&mut ours, &theirs, |said| said.port = 8888), Verdict::Moved);
        assert_eq!(ours.members(), [(peer, vec!["10.0.0.2:8888".into()])].into());
        assert_eq!(ours.left(&full_name(&theirs.me)), Some(peer));
        assert_eq!(ours.left(&full_name(&theirs.me)), None);
        assert!(ours.members().is_empty());
    }

    #[test]
    fn strangers_are_not_taken() {
        let mut ours = neighbours(1, "fleet", &[1]);
        assert_eq!(hear(&mut ours, &neighbours(2, "other", &[1]), |_| ()), Verdict::Foreign);
        assert_eq!(hear(&mut ours, &neighbours(2, "fleet", &[2]), |_| ()), Verdict::Foreign);
        let member = neighbours(2, "fleet", &[1]);
        assert_eq!(hear(&mut ours, &member, |said| said.proof = None), Verdict::Foreign);
        assert_eq!(hear(&mut ours, &member, |said| said.proof = Some("")), Verdict::Foreign);
        // A member's proof under another name.
        let stranger = full_name(&id(3));
        let lie = hear(&mut ours, &member, |said| {
            said.full_name = Box::leak(stranger.clone().into_boxed_str());
            said.endpoint_id = Some(Box::leak(id(3).to_string().into_boxed_str()));
        });
        assert_eq!(lie, Verdict::Foreign);
        assert!(ours.members().is_empty());
    }

    #[test]
    fn one_key_in_common_is_enough() {
        for (ours, theirs) in [(&[2][..], &[2, 1][..]), (&[1], &[2, 1]), (&[2, 1], &[1])] {
            let verdict = hear(&mut neighbours(1, "fleet", ours), &neighbours(2, "fleet", theirs), |_| ());
            assert!(matches!(verdict, Verdict::Arrived(_)));
        }
    }

    #[test]
    fn nothing_is_dialled_beyond_the_link() {
        let (mut ours, theirs) = (neighbours(1, "fleet", &[1]), neighbours(2, "fleet", &[1]));
        let far = ["192.0.2.7", "127.0.0.1", "0.0.0.0", "224.0.0.251", "2001:db8::7", "::1", "fe80::7"];
        let far = far.map(|ip| ip.parse().expect("an address"));
        assert_eq!(hear(&mut ours, &theirs, |said| said.addresses = far.to_vec()), Verdict::OffLink);
        let both = || [&far[..], &[[10, 0, 0, 9].into()]].concat();
        assert!(matches!(hear(&mut ours, &theirs, |said| said.addresses = both()), Verdict::Arrived(_)));
        assert_eq!(ours.members()[theirs.me.as_bytes()], ["10.0.0.9:7777"]);
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut ours = neighbours(1, "fleet", &[1]);
        let many = u16::try_from(limits::MAX_NEIGHBOURS).expect("few") + 3;
        let verdicts: Vec<Verdict> =
            (2..2 + many).map(|name| hear(&mut ours, &neighbours(name, "fleet", &[1]), |_| ())).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Full).count(), 3);
        assert_eq!(ours.members().len(), limits::MAX_NEIGHBOURS);
        let addresses = (0..=255).map(|last| [10, 0, 1, last].into()).collect::<Vec<IpAddr>>();
        hear(&mut ours, &neighbours(2, "fleet", &[1]), |said| said.addresses = addresses.clone());
        assert_eq!(ours.members()[id(2).as_bytes()].len(), limits::MAX_PEER_ADDRESSES);
    }

    #[test]
    fn who_lost_its_session_is_asked_at_once_and_who_never_had_one_now_and_then() {
        let mut ours = neighbours(1, "fleet", &[1]);
        hear(&mut ours, &neighbours(2, "fleet", &[1]), |_| ());
        let soon = Now::from_secs(1);
        assert!(ours.take_doubtful(|_| false, soon).is_empty());
        assert!(ours.take_doubtful(|_| true, soon).is_empty());
        assert_eq!(ours.take_doubtful(|_| false, soon), [full_name(&id(2))]);
        assert!(ours.take_doubtful(|_| false, soon).is_empty(), "once is enough");
        let later = soon + limits::NEIGHBOUR_VERIFY_INTERVAL;
        assert_eq!(ours.take_doubtful(|_| false, later), [full_name(&id(2))]);
    }

    proptest! {
        #[test]
        fn garbage_is_never_a_member(
            name in "\\PC{0,80}", app in proptest::option::of("\\PC{0,20}"), hex in proptest::option::of("[0-9a-f]{0,70}"),
            proof in proptest::option::of("[0-9a-f,]{0,70}"), port: u16, ip: [u8; 16],
        ) {
            let mut ours = neighbours(1, "fleet", &[1]);
            for full_name in [name.clone(), format!("{name}.{SERVICE}"), full_name(&id(2))] {
                let said = Announcement {
                    full_name: &full_name, app_id: app.as_deref(), endpoint_id: hex.as_deref(), proof: proof.as_deref(),
                    port, addresses: vec![ip.into()],
                };
                ours.announced(&said, |_| true, Now::ZERO);
                ours.left(&full_name);
            }
            prop_assert!(ours.members().is_empty());
        }
    }
}
