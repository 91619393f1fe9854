//! The page as text. What it does in a browser is tested in `cli/tests/browser.rs`.

use serde_json::Value;

use super::*;
use crate::testing::good;

fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_page_asks_nobody_for_anything() {
    let (scenario, record) = good();
    let page = Report::of(&scenario, &record).html();
    for word in
        ["http://", "https://", "//cdn", "@import", "url(", "src=", "fetch(", "XMLHttpRequest", "innerHTML", "eval("]
    {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("{{"), "a placeholder is left");
}

#[test]
fn everything_of_the_run_is_in_it() {
    let (scenario, record) = good();
    let report = Report::of(&scenario, &record);
    let data = data(&report.html());
    assert_eq!(data["verdict"], "PASS");
    assert_eq!(data["reproduce"], "ddil run small-blackout --seed 7");
    assert_eq!(data["nodes"].as_array().unwrap().len(), 4);
    assert_eq!(data["checks"].as_array().unwrap().len(), report.checks.len());
    assert_eq!(data["faults"][0]["name"], "sat");
    assert_eq!(data["faults"][0]["nodes"], serde_json::json!([0, 1, 2, 3]));
    // alpha-1 starts, crashes at 200 s and comes back at 220 s.
    let lives: Vec<f64> = data["lives"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    let second: Vec<&[f64]> = lives.chunks(3).filter(|life| life[1] == 1.0).collect();
    assert_eq!(second, [&[0.0, 1.0, 0.0], &[200_000.0, 1.0, 1.0], &[220_000.0, 1.0, 2.0]]);
    let operations = &data["operations"];
    assert_eq!(operations["at"].as_array().unwrap().len(), record.operations.len());
    let samples = crate::figures::arrivals(&record).0.len();
    let arrows: usize = operations["to"].as_array().unwrap().iter().map(|to| to.as_array().unwrap().len() / 3).sum();
    assert_eq!(arrows, samples);
}

#[test]
fn a_finding_can_be_jumped_to() {
    let (scenario, mut record) = good();
    let key = record.operations.iter().find(|op| op.key.id.starts_with("alpha-0-w2")).unwrap().key.clone();
    record.finals[2].docs.remove(&key);
    let data = data(&Report::of(&scenario, &record).html());
    let lost = data["checks"].as_array().unwrap().iter().find(|check| check["name"] == "no-lost-write").unwrap();
    assert_eq!(lost["findings"][0]["node"], 2);
    assert!(lost["findings"][0]["at"].as_f64().unwrap() > 180_000.0);
}

/// Names come from files, ids from applications, log lines from peers: none of them may become part of the page.
#[test]
fn hostile_texts_stay_texts() {
    const EVIL: [&str; 5] = [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "\"};alert(1);//",
        "{{script}} {{nonce}}",
        "\u{2028}<img src=x onerror=alert(1)>&lt;",
    ];
    let (scenario, record) = good();
    let calm = Report::of(&scenario, &record).html();
    for evil in EVIL {
        let mut record = record.clone();
        record.meta.scenario = evil.to_owned();
        record.meta.purpose = evil.to_owned();
        record.meta.source = evil.to_owned();
        record.topology.nodes[0].name = evil.to_owned();
        record.topology.groups[0].name = evil.to_owned();
        record.faults[0].spec.description = evil.to_owned();
        record.logs.insert(evil.to_owned(), vec![evil.to_owned()]);
        let key = record.key(evil, evil);
        record.operations[0].key = key;
        let page = Report::of(&scenario, &record).html();
        // Every tag there is, is one of the shell: the same ones, and as many of each.
        let tags = |page: &str| page.matches('<').count();
        assert_eq!(tags(&page), tags(&calm), "{evil}");
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<img") && !page.contains("alert(1)</script>"));
        let data = data(&page);
        assert_eq!(data["title"], evil);
        assert_eq!(data["nodes"][0]["name"], evil);
        assert_eq!(data["operations"]["documents"][0], format!("{evil}/{evil}"));
    }
}

#[test]
fn the_nonce_follows_from_the_data() {
    assert_eq!(nonce("a"), nonce("a"));
    assert_ne!(nonce("a"), nonce("b"));
    assert_eq!(nonce("").len(), 16);
}

#[test]
fn sessions_end_when_their_node_crashes() {
    let (_, record) = good();
    let (ends, cut) = sessions(&record);
    assert!(!cut);
    // alpha-1 crashes at 200 s without a word.
    for triple in ends[1].chunks(3) {
        assert!(triple[2] <= 200_000.0 || triple[1] >= 200_000.0, "{triple:?}");
        assert!(triple[1] < triple[2], "{triple:?}");
    }
}

/// Ten thousand nodes are the most that a scenario may have; the page stays one that a browser opens.
#[test]
fn a_page_is_bounded() {
    let (scenario, mut record) = good();
    let node = record.topology.nodes[3].clone();
    for index in 4..10_000 {
        let name = format!("node-{index}");
        record.topology.nodes.push(crate::plan::NodeSpec {
            index: crate::plan::NodeIndex(index),
            name,
            ..node.clone()
        });
    }
    for n in 0..200_000u64 {
        let at = crate::SimTime::from_millis(n * 3);
        let node = crate::plan::NodeIndex((n % 10_000) as u32);
        let peer = crate::plan::NodeIndex(((n * 7) % 10_000) as u32);
        record.flight(at, node, peer, 1_200, Some(at));
        record.dial(at, node, peer);
    }
    for n in 0..50_000 {
        let (a, b) = (crate::plan::NodeIndex(n % 10_000), crate::plan::NodeIndex((n + 1) % 10_000));
        record.session(crate::SimTime::from_secs(590), a, b, n % 2 == 0);
    }
    record.logs.insert("node-7".into(), vec!["x".repeat(10_000); 10_000]);
    let page = block(&page::Page::of(&Report { record: &record, ..Report::of(&scenario, &good().1) }));
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
}
