//! The overlay as a whole: every node chooses by itself, and what comes out is looked at as a graph.

use proptest::prelude::*;

use super::*;

fn id(n: u32) -> PeerId {
    *blake3::hash(&n.to_le_bytes()).as_bytes()
}

/// Nodes and, for each, whether it is up and in which island; every node sees who is in its own island and up.
struct World {
    nodes: Vec<(PeerId, Topology)>,
    up: Vec<bool>,
    island: Vec<u8>,
}

impl World {
    fn new(topologies: impl IntoIterator<Item = Topology>) -> Self {
        let nodes: Vec<_> = (0u32..).map(id).zip(topologies).collect();
        let (up, island) = (vec![true; nodes.len()], vec![0; nodes.len()]);
        Self { nodes, up, island }
    }

    fn sees(&self, from: usize, to: usize) -> bool {
        self.up[from] && self.up[to] && self.island[from] == self.island[to]
    }

    fn choice(&self, from: usize, round: u64) -> Choice {
        let candidates = self.nodes.iter().enumerate().map(|(to, (id, topology))| {
            let reach = if self.sees(from, to) { Reach::Open } else { Reach::Dead };
            (*id, Candidate { role: topology.role(), reach })
        });
        let (me, topology) = self.nodes[from];
        choose(&me, topology, &candidates.collect(), round)
    }

    fn choices(&self, round: u64) -> Vec<BTreeSet<usize>> {
        let at: BTreeMap<PeerId, usize> = self.nodes.iter().enumerate().map(|(i, (id, _))| (*id, i)).collect();
        let chosen = |from| self.choice(from, round).wanted.iter().map(|id| at[id]).collect();
        (0..self.nodes.len()).map(|i| if self.up[i] { chosen(i) } else { BTreeSet::new() }).collect()
    }

    /// Sessions that come up: one side wants it and it can.
    fn sessions(&self, round: u64) -> Vec<BTreeSet<usize>> {
        let mut sessions = vec![BTreeSet::new(); self.nodes.len()];
        for (from, wanted) in self.choices(round).iter().enumerate() {
            for &to in wanted.iter().filter(|to| self.sees(from, **to)) {
                sessions[from].insert(to);
                sessions[to].insert(from);
            }
        }
        sessions
    }
}

/// Hops from a node to every node it reaches.
fn hops(sessions: &[BTreeSet<usize>], from: usize) -> BTreeMap<usize, usize> {
    let mut reached = BTreeMap::from([(from, 0)]);
    let mut front = vec![from];
    for hop in 1.. {
        let next: BTreeSet<usize> = front.iter().flat_map(|i| &sessions[*i]).copied().collect();
        front = next.into_iter().filter(|i| !reached.contains_key(i)).collect();
        if front.is_empty() {
            break;
        }
        reached.extend(front.iter().map(|i| (*i, hop)));
    }
    reached
}

fn is_one_piece(world: &World, sessions: &[BTreeSet<usize>], of: impl Fn(usize) -> bool) -> bool {
    let members: Vec<usize> = (0..world.nodes.len()).filter(|i| world.up[*i] && of(*i)).collect();
    let Some(first) = members.first() else { return true };
    let reached = hops(sessions, *first);
    members.iter().all(|i| reached.contains_key(i))
}

const OUT: usize = limits::RING_NEIGHBOURS + limits::SHORTCUT_NEIGHBOURS + limits::DEAD_DIALLED;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_is_up_is_in_one_piece_and_wants_a_bounded_number(up in prop::collection::vec(any::<bool>(), 1..120)) {
        let mut world = World::new(up.iter().map(|_| Topology::Auto));
        world.up = up;
        prop_assert!(is_one_piece(&world, &world.sessions(0), |_| true));
        for wanted in world.choices(0) {
            let bound = OUT.max(limits::FULL_MESH_NODES - 1);
            prop_assert!(wanted.len() <= bound, "{} wanted", wanted.len());
        }
    }

    #[test]
    fn hubs_peers_and_spokes_are_in_one_piece_while_any_hub_is_up(
        kinds in prop::collection::vec((0u8..3, any::<bool>()), 1..80)
    ) {
        let topologies = kinds.iter().map(|(kind, _)| match kind {
            0 => Topology::Auto,
            1 => Topology::Hub,
            _ => Topology::Spoke,
        });
        let mut world = World::new(topologies.chain([Topology::Hub]));
        world.up = kinds.iter().map(|(_, up)| *up).chain([true]).collect();
        let sessions = world.sessions(0);
        prop_assert!(is_one_piece(&world, &sessions, |_| true));
        for (i, with) in sessions.iter().enumerate().filter(|(i, _)| world.nodes[*i].1 == Topology::Spoke) {
            prop_assert!(with.len() <= limits::HUBS_PER_SPOKE, "spoke {i} with {with:?}");
            prop_assert!(with.iter().all(|to| world.nodes[*to].1 == Topology::Hub));
        }
    }

    #[test]
    fn two_islands_dial_each_other_all_the_time(cut in prop::collection::vec(any::<bool>(), 16..80), round: u64) {
        let mut world = World::new(cut.iter().map(|_| Topology::Auto));
        world.island = cut.iter().map(|far| u8::from(*far)).collect();
        let across = |world: &World, round| -> usize {
            let choices = world.choices(round);
            let crosses = |(from, wanted): (usize, &BTreeSet<usize>)| wanted.iter().filter(|to| cut[from] != cut[**to]).count();
            choices.iter().enumerate().map(crosses).sum()
        };
        let islands = [false, true].map(|far| cut.iter().filter(|c| **c == far).count());
        prop_assume!(islands[0] > 0 && islands[1] > 0);
        prop_assert!(is_one_piece(&world, &world.sessions(round), |i| cut[i]));
        prop_assert!(is_one_piece(&world, &world.sessions(round), |i| !cut[i]));
        prop_assert!(across(&world, round) >= cut.len(), "every node dials at least one of the other island");
        prop_assert!(across(&world, round) <= cut.len() * limits::DEAD_DIALLED);
        world.island = vec![0; cut.len()];
        prop_assert!(is_one_piece(&world, &world.sessions(round), |_| true), "healed");
    }
}

#[test]
fn every_dead_node_has_its_turn() {
    let mut world = World::new([Topology::Auto; 40]);
    (1..40).for_each(|i| world.up[i] = false);
    let dialled: BTreeSet<PeerId> = (0..200).flat_map(|round| world.choice(0, round).wanted).collect();
    assert_eq!(dialled.len(), 39);
}

#[test]
fn a_node_that_joins_moves_few_sessions() {
    let before = World::new([Topology::Auto; 200]).choices(0);
    let after = World::new([Topology::Auto; 201]).choices(0);
    let moved: usize = before.iter().zip(&after).map(|(b, a)| b.symmetric_difference(a).count()).sum();
    assert!((1..=24).contains(&moved), "{moved} wishes changed");
}

#[test]
fn a_thousand_nodes_hold_a_few_thousand_sessions_with_short_ways() {
    let world = World::new([Topology::Auto; 1000]);
    let sessions = world.sessions(0);
    let total: usize = sessions.iter().map(BTreeSet::len).sum::<usize>() / 2;
    let most = sessions.iter().map(BTreeSet::len).max().expect("some");
    let ways: Vec<usize> = (0..1000).step_by(100).flat_map(|from| hops(&sessions, from).into_values()).collect();
    let longest = ways.iter().max().expect("some");
    let mean_tenths = 10 * ways.iter().sum::<usize>() / ways.len();
    // docs/topology.md quotes these figures.
    assert_eq!((total, most, *longest, mean_tenths), (3991, 14, 5, 37));

    let hubs = World::new((0..1000).map(|i| if i < 10 { Topology::Hub } else { Topology::Spoke }));
    let sessions = hubs.sessions(0);
    let total: usize = sessions.iter().map(BTreeSet::len).sum::<usize>() / 2;
    let most = sessions.iter().map(BTreeSet::len).max().expect("some");
    let longest = hops(&sessions, 500).into_values().max().expect("some");
    assert_eq!((total, most, longest), (2014, 227, 3));
}
