//! What is known of each address that a name has. No socket, no clock: a table, and when to ask whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::core::batch::PeerId;
use crate::core::session::Now;
use crate::limits;

/// Why an address has not told who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody answered, or nobody who speaks this protocol.
    NoAnswer,
    /// It is of another formation.
    Stranger,
}

/// Who is at an address, as far as it has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unknown,
    /// Asked again when its peer has no session: the address may have passed to another node.
    Member(PeerId),
    /// It is this node.
    Itself,
}

#[derive(Debug)]
struct Entry {
    standing: Standing,
    /// When to ask it, unless that is under way or not needed.
    due: Option<Now>,
    asked: u32,
}

/// The addresses of a name.
#[derive(Debug)]
pub(super) struct Roster {
    me: PeerId,
    port: u16,
    entries: BTreeMap<IpAddr, Entry>,
    /// Those that are being asked, even if the name has lost them since.
    asking: BTreeSet<IpAddr>,
}

impl Roster {
    pub fn new(me: PeerId, port: u16) -> Self {
        Self { me, port, entries: BTreeMap::new(), asking: BTreeSet::new() }
    }

    /// The addresses that the name has now, of those families for which there was an answer. Returns how many of them
    /// are over the limit and left out.
    pub fn resolved(&mut self, v4: Option<&[IpAddr]>, v6: Option<&[IpAddr]>, now: Now) -> usize {
        let named: BTreeSet<IpAddr> = v4.into_iter().chain(v6).flatten().copied().filter(is_dialable).collect();
        let answered = |address: &IpAddr| if address.is_ipv4() { v4.is_some() } else { v6.is_some() };
        self.entries.retain(|address, _| named.contains(address) || !answered(address));
        let mut left_out = 0;
        for address in named {
            if self.entries.contains_key(&address) {
                continue;
            }
            if self.entries.len() >= limits::MAX_DISCOVERY_ADDRESSES {
                left_out += 1;
                continue;
            }
            self.entries.insert(address, Entry { standing: Standing::Unknown, due: Some(now), asked: 0 });
        }
        left_out
    }

    /// Has the addresses of members without a session asked anew.
    pub fn recheck(&mut self, has_session: impl Fn(&PeerId) -> bool, now: Now) {
        for (address, entry) in &mut self.entries {
            if let Standing::Member(peer) = &entry.standing
                && entry.due.is_none()
                && !self.asking.contains(address)
                && !has_session(peer)
            {
                entry.due = Some(now);
            }
        }
    }

    /// Takes the next address that is to be asked, if one is due and not too many are being asked. Those that were
    /// asked least come first: a crowd of dead addresses must not keep a new one waiting.
    pub fn take_due(&mut self, now: Now) -> Option<SocketAddr> {
        if self.asking.len() >= limits::MAX_IDENTIFYING {
            return None;
        }
        let due = self
            .entries
            .iter_mut()
            .filter(|(address, entry)| entry.due.is_some_and(|due| due <= now) && !self.asking.contains(*address));
        let (address, entry) = due.min_by_key(|(_, entry)| (entry.asked, entry.due))?;
        entry.due = None;
        entry.asked += 1;
        self.asking.insert(*address);
        Some(SocketAddr::new(*address, self.port))
    }

    /// What came of asking.
    pub fn told(&mut self, address: IpAddr, who: Result<PeerId, Silence>, now: Now) {
        self.asking.remove(&address);
        let Some(entry) = self.entries.get_mut(&address) else { return };
        match who {
            Ok(peer) if peer == self.me => entry.standing = Standing::Itself,
            Ok(peer) => entry.standing = Standing::Member(peer),
            // A member that is out of reach is still a member.
            Err(Silence::NoAnswer) => entry.due = Some(now + limits::IDENTIFY_AGAIN),
            Err(Silence::Stranger) => {
                entry.standing = Standing::Unknown;
                entry.due = Some(now + limits::REDIAL_REFUSED);
            }
        }
        if who.is_ok() {
            entry.asked = 0;
        }
    }

    /// When [`Roster::take_due`] may have something, if nothing else happens.
    pub fn deadline(&self) -> Option<Now> {
        if self.asking.len() >= limits::MAX_IDENTIFYING {
            return None;
        }
        let waiting = self.entries.iter().filter(|(address, _)| !self.asking.contains(*address));
        waiting.filter_map(|(_, entry)| entry.due).min()
    }

    /// The members among the addresses.
    pub fn members(&self) -> BTreeMap<PeerId, Vec<String>> {
        let mut members: BTreeMap<PeerId, Vec<String>> = BTreeMap::new();
        for (address, entry) in &self.entries {
            if let Standing::Member(peer) = entry.standing {
                let addresses = members.entry(peer).or_default();
                if addresses.len() < limits::MAX_PEER_ADDRESSES {
                    addresses.push(SocketAddr::new(*address, self.port).to_string());
                }
            }
        }
        members
    }
}

/// An address at which one node can be.
fn is_dialable(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const ME: PeerId = [0; 32];

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn peer(name: u8) -> PeerId {
        [name; 32]
    }

    fn resolve(roster: &mut Roster, last: &[u8], now: Now) -> usize {
        let addresses: Vec<IpAddr> = last.iter().map(|last| ip(*last)).collect();
        roster.resolved(Some(&addresses), Some(&[]), now)
    }

    fn ask_all(roster: &mut Roster, now: Now) -> Vec<u8> {
        let due = std::iter::from_fn(|| roster.take_due(now)).collect::<Vec<_>>();
        due.into_iter()
            .map(|address| address.to_string().split(['.', ':']).nth(3).map_or(0, |n| n.parse().expect("u8")))
            .collect()
    }

    fn found(roster: &Roster) -> Vec<(u8, Vec<String>)> {
        roster.members().into_iter().map(|(peer, addresses)| (peer[0], addresses)).collect()
    }

    #[test]
    fn members_come_and_go_with_the_answers() {
        let mut roster = Roster::new(ME, 7777);
        resolve(&mut roster, &[1, 2, 3], Now::ZERO);
        assert_eq!(ask_all(&mut roster, Now::ZERO), [1, 2, 3]);
        roster.told(ip(1), Ok(ME), Now::ZERO);
        roster.told(ip(2), Ok(peer(2)), Now::ZERO);
        roster.told(ip(3), Ok(peer(3)), Now::ZERO);
        assert_eq!(found(&roster), [(2, vec!["10.0.0.2:7777".into()]), (3, vec!["10.0.0.3:7777".into()])]);
        resolve(&mut roster, &[1, 3, 4], Now::ZERO);
        assert_eq!(found(&roster), [(3, vec!["10.0.0.3:7777".into()])]);
        assert_eq!(ask_all(&mut roster, Now::ZERO), [4], "who is known is not asked again");
    }

    #[test]
    fn a_family_without_an_answer_keeps_its_addresses() {
        let mut roster = Roster::new(ME, 7777);
        resolve(&mut roster, &[2], Now::ZERO);
        ask_all(&mut roster, Now::ZERO);
        roster.told(ip(2), Ok(peer(2)), Now::ZERO);
        roster.resolved(None, Some(&["fd00::5".parse().expect("an address")]), Now::ZERO);
        assert_eq!(found(&roster).len(), 1);
        assert_eq!(roster.take_due(Now::ZERO).map(|a| a.to_string()), Some("[fd00::5]:7777".into()));
    }

    #[test]
    fn an_address_that_passed_to_another_node_is_noticed_once_its_session_is_gone() {
        let mut roster = Roster::new(ME, 7777);
        resolve(&mut roster, &[2], Now::ZERO);
        ask_all(&mut roster, Now::ZERO);
        roster.told(ip(2), Ok(peer(2)), Now::ZERO);
        roster.recheck(|_| true, Now::ZERO);
        assert_eq!(ask_all(&mut roster, Now::ZERO), [0; 0]);
        roster.recheck(|_| false, Now::ZERO);
        assert_eq!(ask_all(&mut roster, Now::ZERO), [2]);
        roster.told(ip(2), Err(Silence::NoAnswer), Now::ZERO);
        assert_eq!(found(&roster).len(), 1, "out of reach is not gone");
        assert_eq!(ask_all(&mut roster, limits::IDENTIFY_AGAIN), [2]);
        roster.told(ip(2), Ok(peer(9)), limits::IDENTIFY_AGAIN);
        assert_eq!(found(&roster), [(9, vec!["10.0.0.2:7777".into()])]);
    }

    #[test]
    fn a_new_address_is_asked_before_the_dead_ones() {
        let mut roster = Roster::new(ME, 7777);
        let crowd: Vec<u8> = (1..=2 * u8::try_from(limits::MAX_IDENTIFYING).expect("few")).collect();
        resolve(&mut roster, &crowd, Now::ZERO);
        let mut now = Now::ZERO;
        let mut round = |roster: &mut Roster| {
            let asked = ask_all(roster, now);
            asked.iter().for_each(|last| roster.told(ip(*last), Err(Silence::NoAnswer), now));
            now += limits::IDENTIFY_AGAIN;
            asked
        };
        assert_eq!(round(&mut roster).len(), limits::MAX_IDENTIFYING, "so many at once and no more");
        round(&mut roster);
        resolve(&mut roster, &[&crowd[..], &[200]].concat(), Now::ZERO);
        assert!(round(&mut roster).contains(&200));
    }

    #[test]
    fn what_cannot_be_one_node_is_not_asked() {
        let mut roster = Roster::new(ME, 7777);
        let odd = ["0.0.0.0", "255.255.255.255", "224.0.0.251"].map(|a| a.parse().expect("an address"));
        assert_eq!(roster.resolved(Some(&odd), Some(&["ff02::fb".parse().expect("an address")]), Now::ZERO), 0);
        assert_eq!(roster.take_due(Now::ZERO), None);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Resolve(Vec<u8>),
        Fail,
        Ask,
        Told(u8, Option<u8>),
        Recheck(bool),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::collection::vec(1..40u8, 0..40).prop_map(Step::Resolve),
            Just(Step::Fail),
            Just(Step::Ask),
            (1..40u8, proptest::option::of(0..6u8)).prop_map(|(last, who)| Step::Told(last, who)),
            any::<bool>().prop_map(Step::Recheck),
            (0..5u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn only_named_and_proved_addresses_are_found(steps in proptest::collection::vec(step(), 0..200)) {
            let mut roster = Roster::new(ME, 7777);
            let mut now = Now::ZERO;
            let (mut named, mut proved) = (BTreeSet::new(), BTreeMap::new());
            let mut asking = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Resolve(last) => {
                        resolve(&mut roster, &last, now);
                        named = last.into_iter().map(ip).collect();
                        proved.retain(|address, _| named.contains(address));
                    }
                    Step::Fail => drop(roster.resolved(None, None, now)),
                    Step::Ask => {
                        while let Some(address) = roster.take_due(now) {
                            prop_assert!(asking.insert(address.ip()), "asked twice at once");
                        }
                        prop_assert!(asking.len() <= limits::MAX_IDENTIFYING);
                    }
                    Step::Told(last, who) => if asking.remove(&ip(last)) {
                        roster.told(ip(last), who.map(peer).ok_or(Silence::Stranger), now);
                        if named.contains(&ip(last)) {
                            match who.map(peer) {
                                Some(peer) if peer != ME => drop(proved.insert(ip(last), peer)),
                                _ => drop(proved.remove(&ip(last))),
                            }
                        }
                    },
                    Step::Recheck(has_session) => roster.recheck(|_| has_session, now),
                    Step::Wait(seconds) => now += Duration::from_secs(seconds),
                }
                let mut due: BTreeMap<PeerId, Vec<String>> = BTreeMap::new();
                for (address, peer) in &proved {
                    due.entry(*peer).or_default().push(format!("{address}:7777"));
                }
                due.values_mut().for_each(|addresses| addresses.truncate(limits::MAX_PEER_ADDRESSES));
                prop_assert_eq!(roster.members(), due);
            }
        }
    }
}
