//! Same content everywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckResult, Findings, Verdict, brief};
use crate::model::KeptHistory;
use crate::plan::DocKey;
use crate::record::{FinalDoc, RunRecord};

/// Whether the replica knows the document, its text unless deleted, and its heads.
type Variant<'r> = (bool, Option<&'r str>, Option<&'r str>);

pub(super) fn check(record: &RunRecord) -> CheckResult {
    let name = "convergence";
    let replicas: Vec<_> = record.finals.iter().filter(|replica| replica.running).collect();
    if replicas.len() < 2 {
        let detail = format!("{} running replicas at the end: nothing to compare", replicas.len());
        return CheckResult::new(name, Verdict::Inconclusive, detail);
    }
    let keys: BTreeSet<&DocKey> = replicas.iter().flat_map(|replica| replica.docs.keys()).collect();
    // A window is moved on every minute, and may just have been where the run ends: the text stays, the heads are new.
    let is_windowed = |key: &DocKey| {
        let kept = record.topology.nodes.iter().filter_map(|node| node.history.get(&*key.collection));
        kept.into_iter().any(|kept| matches!(kept, KeptHistory::Window { .. }))
    };
    let mut findings = Findings::default();
    let formations: BTreeSet<&str> = record.topology.nodes.iter().map(|node| node.formation.as_str()).collect();
    for (key, formation) in keys.iter().flat_map(|key| formations.iter().map(move |formation| (key, *formation))) {
        let mut variants: BTreeMap<Variant<'_>, Vec<&str>> = BTreeMap::new();
        let concerned = |node| {
            let spec = record.topology.node(node);
            spec.formation == formation && spec.wants(key)
        };
        for replica in replicas.iter().filter(|replica| concerned(replica.node)) {
            let doc = replica.docs.get(*key);
            let json = doc.and_then(|doc| doc.json.as_deref());
            let heads = doc.and_then(|doc| doc.heads.as_deref()).filter(|_| !is_windowed(key));
            let node = record.topology.name(replica.node);
            variants.entry((doc.is_some(), json, heads)).or_default().push(node);
        }
        if variants.len() > 1 {
            findings.add(|| {
                let sides = variants.iter().map(|((present, json, heads), nodes)| {
                    let doc = present.then(|| FinalDoc { json: json.map(Into::into), heads: heads.map(Into::into) });
                    format!("{}: {}", nodes.join(", "), describe(doc.as_ref()))
                });
                format!("{key} — {}", sides.collect::<Vec<_>>().join("; "))
            });
        }
    }
    let good = format!("{} documents are equal on {} replicas", keys.len(), replicas.len());
    let bad = format!("of {} documents differ between replicas", keys.len());
    CheckResult::from_findings(name, findings, &bad, good)
}

fn describe(doc: Option<&FinalDoc>) -> String {
    match doc {
        None => "lacks it".to_owned(),
        Some(FinalDoc { json: None, heads }) => format!("deleted{}", digest(heads.as_deref())),
        Some(FinalDoc { json: Some(json), heads }) => format!("{}{}", brief(json), digest(heads.as_deref())),
    }
}

fn digest(heads: Option<&str>) -> String {
    heads.map(|heads| format!(" (heads {})", heads.get(..8).unwrap_or(heads))).unwrap_or_default()
}
