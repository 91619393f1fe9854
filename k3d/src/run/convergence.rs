//! Do all running nodes show the same documents? Seen in their Subscribe streams, as they come.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use peat_scenarios::SimTime;
use peat_scenarios::drive::Logbook;
use peat_scenarios::plan::{DocKey, NodeIndex};
use peat_scenarios::record::{Change, Visible};

use super::journal::Journal;

/// What each node has shown last, kept up by what is new in the record.
#[derive(Default)]
pub(super) struct Convergence {
    shown: BTreeMap<NodeIndex, Shown>,
    /// Entries of the record that were looked at.
    read: usize,
    equal: Option<bool>,
}

/// The documents of one node, and the sum of their hashes: equal nodes have equal sums, whatever came first.
#[derive(Default)]
struct Shown {
    docs: BTreeMap<DocKey, u64>,
    sum: u64,
}

impl Shown {
    fn see(&mut self, event: &Visible) {
        let was = match &event.change {
            Change::Upsert(json) => {
                let hash = hash(&event.key, json);
                self.sum = self.sum.wrapping_add(hash);
                self.docs.insert(event.key.clone(), hash)
            }
            Change::Delete => self.docs.remove(&event.key),
        };
        self.sum = self.sum.wrapping_sub(was.unwrap_or_default());
    }
}

fn hash(key: &DocKey, json: &Arc<str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, json).hash(&mut hasher);
    hasher.finish()
}

impl Convergence {
    /// The node has lost everything.
    pub(super) fn forget(&mut self, node: NodeIndex) {
        self.shown.remove(&node);
    }

    /// Looks at what is new. `compared` are the nodes that ought to be equal, by formation; `None`: one of them does not serve.
    pub(super) fn look(&mut self, now: SimTime, compared: Option<&[(NodeIndex, &str)]>, journal: &Journal) -> bool {
        journal.write(|record, _| {
            for event in &record.visibility[self.read..] {
                self.shown.entry(event.node).or_default().see(event);
            }
            self.read = record.visibility.len();
        });
        // That empty nodes are equal is not what a timeline waits for.
        let equal = self.read > 0 && compared.is_some_and(|nodes| self.all_equal(nodes));
        if self.equal != Some(equal) && (self.equal.is_some() || equal) {
            if equal {
                journal.write(|record, _| record.convergences.push(now));
            }
            journal.tell(if equal { "all nodes show the same" } else { "nodes differ" });
        }
        self.equal = Some(equal);
        equal
    }

    fn all_equal(&self, nodes: &[(NodeIndex, &str)]) -> bool {
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        nodes.iter().all(|(node, formation)| {
            let sum = self.shown.get(node).map_or(0, |shown| shown.sum);
            *first.entry(formation).or_insert(sum) == sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::journal;
    use super::*;

    const A: NodeIndex = NodeIndex(0);
    const B: NodeIndex = NodeIndex(1);

    #[test]
    fn nodes_converge_when_their_streams_have_said_the_same_in_whatever_order() {
        let journal = journal();
        let see = |node, id: &str, json: Option<&str>| {
            journal.write(|record, now| record.see(now, node, "plans", id, json));
        };
        let mut convergence = Convergence::default();
        let both = [(A, ""), (B, "")];
        let look = |convergence: &mut Convergence| convergence.look(SimTime::ZERO, Some(&both), &journal);
        assert!(!look(&mut convergence), "empty nodes are equal, and that is no convergence");
        see(A, "x", Some("1"));
        see(A, "y", Some("1"));
        assert!(!look(&mut convergence));
        see(B, "y", Some("0"));
        see(B, "x", Some("1"));
        assert!(!look(&mut convergence));
        see(B, "y", Some("1"));
        assert!(look(&mut convergence));
        see(A, "x", None);
        assert!(!look(&mut convergence));
        see(B, "x", None);
        assert!(look(&mut convergence));
        // One of them is not there.
        assert!(!convergence.look(SimTime::ZERO, None, &journal));
        // Strangers are not compared.
        see(A, "z", Some("1"));
        assert!(convergence.look(SimTime::ZERO, Some(&[(A, ""), (B, "other")]), &journal));
        convergence.forget(A);
        assert!(!look(&mut convergence));
        assert_eq!(journal.write(|record, _| record.convergences.len()), 3);
    }
}
