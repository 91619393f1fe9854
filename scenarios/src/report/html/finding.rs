//! Where in time, and at which node, a finding is: evidence is text, and a reader wants to be taken there.

use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::millis;
use crate::check::{CheckResult, Verdict};
use crate::plan::NodeIndex;
use crate::record::RunRecord;
use crate::time::SimTime;

/// A line of evidence.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    text: String,
    /// Milliseconds of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeIndex>,
}

/// What can be named in a text.
pub(super) struct Places<'r> {
    nodes: BTreeMap<&'r str, NodeIndex>,
    faults: BTreeMap<&'r str, SimTime>,
    documents: BTreeMap<String, (SimTime, NodeIndex)>,
}

impl<'r> Places<'r> {
    pub(super) fn of(record: &'r RunRecord) -> Self {
        let mut documents = BTreeMap::new();
        for operation in &record.operations {
            documents.entry(operation.key.to_string()).or_insert((operation.invoked, operation.node));
        }
        // What is said of a fault is mostly said of its end.
        let ends =
            |fault: &'r crate::record::FaultRecord| Some((fault.spec.name.as_str(), fault.healed.or(fault.applied)?));
        Places {
            nodes: record.topology.nodes.iter().map(|node| (node.name.as_str(), node.index)).collect(),
            faults: record.faults.iter().filter_map(ends).collect(),
            documents,
        }
    }

    /// The findings of a check: its evidence, or when it has none, what it says. None of a check that passed.
    pub(super) fn findings(&self, result: &CheckResult) -> Vec<Finding> {
        match (result.verdict, result.evidence.is_empty()) {
            (_, false) => result.evidence.iter().map(|text| self.find(text)).collect(),
            (Verdict::Pass, true) => Vec::new(),
            (_, true) => vec![self.find(&result.detail)],
        }
    }

    /// A time in the text comes first, then the first operation on a document that it names, then the end of a fault.
    fn find(&self, text: &str) -> Finding {
        let words = || text.split_whitespace().map(|word| word.trim_matches(|c: char| ",;:.()`'\"".contains(c)));
        let name = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let document = words().find_map(|word| self.documents.get(word));
        let node = text.split(name).find_map(|word| self.nodes.get(word).copied());
        let fault = words().find_map(|word| self.faults.get(word).copied());
        let at = words().find_map(time).or(document.map(|(at, _)| *at)).or(fault);
        let node = node.or(document.map(|(_, node)| *node));
        Finding { text: text.to_owned(), at: at.map(millis), node }
    }
}

/// Reads what [`SimTime`] prints: `12m03.250s`, `1h02m03.250s`.
fn time(word: &str) -> Option<SimTime> {
    let (whole, millis) = word.strip_suffix('s')?.split_once('.')?;
    let (minutes, seconds) = whole.split_once('m')?;
    let (hours, minutes) = minutes.split_once('h').unwrap_or(("0", minutes));
    let number = |digits: &str| digits.parse::<u64>().ok().filter(|number| *number < 1_000);
    let seconds = (number(hours)? * 60 + number(minutes)?) * 60 + number(seconds)?;
    Some(SimTime::from_millis(seconds * 1_000 + number(millis)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_printed() {
        for at in [0, 61_250, 3_599_999, 3_600_000, 90_061_001].map(SimTime::from_millis) {
            assert_eq!(time(&at.to_string()), Some(at));
        }
        for wrong in ["", "s", "12m03s", "m.s", "12:03.250s", "99999999999999999999m00.000s"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_finding_is_taken_to_its_time_and_node() {
        let (_, record) = crate::testing::good();
        let places = Places::of(&record);
        let first = &record.operations[5];
        let found = places.find(&format!("{} is missing at bravo-1", first.key));
        assert_eq!((found.at, found.node), (Some(millis(first.invoked)), Some(NodeIndex(3))));
        let found = places.find("at 05m01.300s, alpha-1: session lost");
        assert_eq!((found.at, found.node), (Some(301_300.0), Some(NodeIndex(1))));
        let found = places.find("after the heal of sat: 3 s");
        assert_eq!((found.at, found.node), (Some(300_000.0), None));
        assert_eq!(places.find("nothing to see").at, None);
    }
}
