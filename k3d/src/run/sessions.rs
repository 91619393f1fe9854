//! Sessions and dials, as the nodes tell of them. The API has no stream of them: nodes are asked, but each answer says since when,
//! so that the times are exact although the looks are rare.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use peat_proto::client::{ListPeersRequest, PeerInfo};
use peat_scenarios::SimTime;
use peat_scenarios::drive::{Client, Logbook as _};
use peat_scenarios::plan::NodeIndex;
use tokio::time::Instant;

use super::journal::Journal;

/// Between two looks: one look costs a node a fraction of a millisecond.
const EVERY: Duration = Duration::from_millis(100);
/// While the timeline waits for a session.
const EVERY_WANTED: Duration = Duration::from_millis(20);

/// Who is behind which endpoint id, over all lives.
pub(super) type Directory = Rc<RefCell<BTreeMap<String, NodeIndex>>>;

/// What a node said last of one peer.
#[derive(Default)]
struct Last {
    up: bool,
    sessions: u32,
    attempts: u32,
    /// Time of the last event: they never go back.
    at: SimTime,
}

/// Looks at a node's sessions for as long as it is polled: one life of the node.
pub(super) async fn watch(
    node: NodeIndex,
    mut client: Client,
    journal: Journal,
    directory: Directory,
    wanted: Rc<Cell<bool>>,
) {
    // By endpoint id: a node that lost its key is somebody else from then on, and the old session ends all the same.
    let mut last: BTreeMap<String, Last> = BTreeMap::new();
    loop {
        let asked = Instant::now();
        if let Ok(answer) = client.list_peers(ListPeersRequest {}).await {
            journal.called(asked.elapsed());
            for peer in answer.into_inner().peers {
                let known = directory.borrow().get(&peer.endpoint_id).copied();
                if let Some(of) = known {
                    note(node, of, &peer, last.entry(peer.endpoint_id.clone()).or_default(), &journal);
                }
            }
        }
        tokio::time::sleep(if wanted.get() { EVERY_WANTED } else { EVERY }).await;
    }
}

fn note(node: NodeIndex, peer: NodeIndex, said: &PeerInfo, last: &mut Last, journal: &Journal) {
    let now = journal.now();
    let ago = |seconds: Option<f64>| {
        let span = Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default();
        SimTime::from(now.as_duration().saturating_sub(span))
    };
    let (since, until) = (ago(said.connected_seconds), ago(said.away_seconds));
    let came = said.sessions != last.sessions || (said.connected && !last.up);
    let mut event = |at: SimTime, up: bool| {
        last.at = at.max(last.at);
        journal.write(|record, _| record.session(last.at, node, peer, up));
        let name = journal.write(|record, _| record.topology.name(peer).to_owned());
        match up {
            true => journal.tell_of(node, &format!("session with {name} is up since {}", last.at)),
            false => {
                journal.tell_of(node, &format!("session with {name} is lost since {}: {}", last.at, said.last_error))
            }
        }
        if up {
            journal.stir();
        }
    };
    match (last.up, said.connected) {
        (false, true) => event(since, true),
        (true, false) => event(until, false),
        // Another one came between two looks.
        (true, true) if came => {
            event(since, false);
            event(since, true);
        }
        (false, false) if came && last.sessions != said.sessions => {
            event(until, true);
            event(until, false);
        }
        _ => {}
    }
    // Attempts are counted since the last session: those that led to one are known by it.
    let failed = said.attempts.saturating_sub(if came { 0 } else { last.attempts });
    let dials = journal.write(|record, _| record.topology.node(node).peers.contains(&peer));
    let made = u32::from(came && said.connected && dials && last.attempts == 0);
    for _ in 0..failed + made {
        journal.write(|record, _| record.dial(if came { since } else { now }, node, peer));
    }
    (last.up, last.sessions, last.attempts) = (said.connected, said.sessions, said.attempts);
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::journal;
    use super::*;

    const A: NodeIndex = NodeIndex(0);
    const B: NodeIndex = NodeIndex(1);

    fn away(sessions: u32, attempts: u32) -> PeerInfo {
        PeerInfo { away_seconds: (sessions > 0).then_some(0.0), sessions, attempts, ..Default::default() }
    }

    fn up(sessions: u32) -> PeerInfo {
        PeerInfo { connected: true, connected_seconds: Some(0.0), sessions, ..Default::default() }
    }

    /// What is in the record after a node has said these things of its peer, one at each look.
    fn noted(said: &[PeerInfo]) -> (String, usize) {
        let journal = journal();
        let mut last = Last::default();
        for peer in said {
            note(A, B, peer, &mut last, &journal);
        }
        journal.write(|record, _| {
            let sign = |up| if up { '+' } else { '-' };
            (record.sessions.iter().map(|event| sign(event.up)).collect(), record.dials.len())
        })
    }

    #[test]
    fn no_session_is_missed_between_two_looks() {
        assert_eq!(noted(&[away(0, 0), up(1), up(1), away(1, 0), up(2)]).0, "+-+");
        // It ended and another came.
        assert_eq!(noted(&[up(1), up(2)]).0, "+-+");
        // It came and ended.
        assert_eq!(noted(&[away(0, 1), away(1, 0)]).0, "+-");
        assert_eq!(noted(&[up(1), away(1, 0), away(2, 0)]).0, "+-+-");
    }

    #[test]
    fn dials_in_vain_are_counted_and_so_is_one_that_led_to_a_session_at_once() {
        assert_eq!(noted(&[away(0, 1), away(0, 1), away(0, 3)]).1, 3);
        assert_eq!(noted(&[away(0, 0), up(1)]).1, 1);
        assert_eq!(noted(&[away(0, 2), up(1), up(1)]).1, 2);
    }
}
