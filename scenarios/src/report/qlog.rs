//! qlog of what the network saw, one file for each pair of nodes.
//!
//! JSON text sequences as in draft-ietf-quic-qlog-main-schema, datagram events as in
//! draft-ietf-quic-qlog-quic-events. The network sees ciphertext, so there are no packets or frames in them: ADR 27.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Report;
use crate::plan::NodeIndex;
use crate::record::Flight;

/// Begins every record of a JSON text sequence (RFC 7464).
const RECORD_SEPARATOR: char = '\u{1e}';

impl Report<'_> {
    /// Files by name, `A--B.sqlog`, from A's side. At most as many as there are pairs that exchanged datagrams.
    pub fn qlogs(&self) -> Vec<(String, String)> {
        let mut pairs: BTreeMap<(NodeIndex, NodeIndex), Vec<&Flight>> = BTreeMap::new();
        for flight in &self.record.flights.list {
            pairs.entry((flight.from.min(flight.to), flight.from.max(flight.to))).or_default().push(flight);
        }
        pairs.into_iter().map(|((a, b), flights)| (self.file_name(a, b), self.qlog(a, b, &flights))).collect()
    }

    /// Names come from a record, which may be hostile: a file name has neither separators nor dots in it.
    fn file_name(&self, a: NodeIndex, b: NodeIndex) -> String {
        let safe = |node: NodeIndex| -> String {
            let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let name: String = self.record.topology.name(node).chars().take(64).map(allowed).collect();
            // Two names may become one by that; a position is never another's.
            if name == self.record.topology.name(node) { name } else { format!("{name}-{}", node.0) }
        };
        format!("{}--{}.sqlog", safe(a), safe(b))
    }

    fn qlog(&self, a: NodeIndex, b: NodeIndex, flights: &[&Flight]) -> String {
        let (meta, name) = (&self.record.meta, |node| self.record.topology.name(node));
        let merged = self.record.flights.merged_within;
        let title = format!("{} and {} in {}, seed {}", name(a), name(b), meta.scenario, meta.seed);
        let header = json!({
            "file_schema": "urn:ietf:params:qlog:file:sequential",
            "serialization_format": "application/qlog+json-seq",
            "title": title,
            "trace": {
                "title": title,
                "description": format!(
                    "Datagrams as the network saw them, merged within {} ms: count and raw.length are of all together.",
                    merged.as_secs_f64() * 1e3
                ),
                "vantage_point": { "name": name(a), "type": "network", "flow": "client" },
                "common_fields": {
                    "time_format": "relative_to_epoch",
                    "reference_time": { "clock_type": "monotonic", "epoch": "unknown" },
                },
                "event_schemas": ["urn:ietf:params:qlog:events:quic-12"],
            },
        });
        let mut events: Vec<(u64, Value)> = Vec::new();
        for flight in flights {
            let data = || json!({ "count": flight.datagrams, "raw": [{ "length": flight.bytes }] });
            let outgoing = flight.from == a;
            let (event, at) = match (outgoing, flight.arrives) {
                (_, None) => ("quic:udp_datagram_dropped", Some(flight.sent)),
                (true, Some(_)) => ("quic:udp_datagrams_sent", Some(flight.sent)),
                (false, arrives) => ("quic:udp_datagrams_received", arrives),
            };
            let Some(at) = at else { continue };
            let mut data = data();
            data["direction"] = json!(if outgoing { "sent" } else { "received" });
            events.push((at.as_nanos(), json!({ "name": event, "data": data })));
        }
        events.sort_by_key(|(at, _)| *at);
        let mut out = format!("{RECORD_SEPARATOR}{header}\n");
        for (at, event) in events {
            let mut line = json!({ "time": at as f64 / 1e6 });
            let fields = event.as_object().into_iter().flatten();
            fields.for_each(|(field, value)| line[field] = value.clone());
            out.push_str(&format!("{RECORD_SEPARATOR}{line}\n"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::good;
    use crate::time::SimTime;

    #[test]
    fn a_pair_reads_like_this() {
        let (scenario, mut record) = good();
        let at = SimTime::from_millis;
        record.flight(at(10), NodeIndex(0), NodeIndex(2), 1_200, Some(at(310)));
        record.flight(at(12), NodeIndex(2), NodeIndex(0), 80, Some(at(312)));
        record.flight(at(400), NodeIndex(0), NodeIndex(2), 1_200, None);
        record.flight(at(500), NodeIndex(3), NodeIndex(1), 40, Some(at(800)));
        record.topology.nodes[1].name = "../../etc/x".to_owned();
        let files = Report::of(&scenario, &record).qlogs();
        let shown: Vec<String> =
            files.iter().map(|(name, text)| format!("{name}\n{}", text.replace('\u{1e}', "␞"))).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
