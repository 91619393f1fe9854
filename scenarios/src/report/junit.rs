//! JUnit XML, as CI servers read it: a suite for each scenario, a case for each check.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::{Summary, format::span};
use crate::check::{CheckResult, Verdict};

/// One file over some runs.
pub fn junit(runs: &[Summary]) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut xml, runs).expect("invariant: writing to a vector cannot fail");
    let mut text = String::from_utf8(xml.into_inner()).expect("invariant: only texts were written");
    text.push('\n');
    text
}

type Out = Writer<Vec<u8>>;

fn write(xml: &mut Out, runs: &[Summary]) -> std::io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all = runs.iter().flat_map(|run| &run.checks);
    let wall: f64 = runs.iter().map(|run| run.wall.as_secs_f64()).sum();
    let root = with_counts(BytesStart::new("testsuites"), all, wall);
    xml.write_event(Event::Start(root))?;
    for run in runs {
        suite(xml, run)?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuites")))
}

fn suite(xml: &mut Out, run: &Summary) -> std::io::Result<()> {
    let meta = &run.meta;
    let start = attribute(BytesStart::new("testsuite"), "name", &meta.scenario);
    xml.write_event(Event::Start(with_counts(start, run.checks.iter(), run.wall.as_secs_f64())))?;
    xml.write_event(Event::Start(BytesStart::new("properties")))?;
    let figures = &run.figures;
    let seed = meta.seed.to_string();
    let connected = (figures.connected.count > 0).then(|| (span(figures.connected.p50), span(figures.connected.p99)));
    let mut properties = vec![("seed", seed), ("world", meta.world.clone()), ("engine", meta.engine.clone())];
    properties.push(("verdict", run.verdict.word().to_owned()));
    properties.extend(run.trace_hash.clone().map(|hash| ("trace", hash)));
    properties.extend(connected.into_iter().flat_map(|(p50, p99)| [("connected p50", p50), ("connected p99", p99)]));
    properties.push(("bytes", figures.bytes.to_string()));
    properties.push(("reproduce", run.reproduce.clone()));
    for (name, value) in &properties {
        let property = attribute(attribute(BytesStart::new("property"), "name", name), "value", value);
        xml.write_event(Event::Empty(property))?;
    }
    xml.write_event(Event::End(BytesEnd::new("properties")))?;
    for result in &run.checks {
        case(xml, run, result)?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuite")))
}

fn case(xml: &mut Out, run: &Summary, result: &CheckResult) -> std::io::Result<()> {
    let start = attribute(BytesStart::new("testcase"), "classname", &run.meta.scenario);
    let start = attribute(start, "name", &result.name);
    let Some(kind) = trouble(result.verdict) else { return xml.write_event(Event::Empty(start)) };
    xml.write_event(Event::Start(start))?;
    let problem = attribute(BytesStart::new(kind), "type", result.verdict.word());
    xml.write_event(Event::Start(attribute(problem, "message", &result.detail)))?;
    let evidence = result.evidence.iter().map(|finding| format!("- {finding}"));
    let lines = [result.detail.clone()].into_iter().chain(evidence);
    let text = lines.chain([format!("reproduce: {}", run.reproduce)]).collect::<Vec<_>>().join("\n");
    xml.write_event(Event::Text(BytesText::new(&clean(&text))))?;
    xml.write_event(Event::End(BytesEnd::new(kind)))?;
    xml.write_event(Event::End(BytesEnd::new("testcase")))
}

/// What a verdict that is not good counts as. A fault that did not bite, or too little to judge, must not be green.
fn trouble(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Fail | Verdict::SloBreach | Verdict::Inconclusive | Verdict::Vacuous => Some("failure"),
        Verdict::InfraError | Verdict::Nondeterministic => Some("error"),
    }
}

fn with_counts<'x, 'c>(
    start: BytesStart<'x>,
    checks: impl Iterator<Item = &'c CheckResult>,
    wall: f64,
) -> BytesStart<'x> {
    let kinds: Vec<Option<&str>> = checks.map(|result| trouble(result.verdict)).collect();
    let count = |kind: &str| kinds.iter().filter(|of| **of == Some(kind)).count().to_string();
    let start = attribute(start, "tests", &kinds.len().to_string());
    let start = attribute(attribute(start, "failures", &count("failure")), "errors", &count("error"));
    attribute(start, "time", &format!("{wall:.3}"))
}

fn attribute<'x>(mut start: BytesStart<'x>, name: &str, value: &str) -> BytesStart<'x> {
    start.push_attribute((name, &*clean(value)));
    start
}

/// Without the characters that XML 1.0 cannot have, escaped or not.
fn clean(text: &str) -> String {
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;
    use crate::testing::good;

    #[test]
    fn a_run_that_passed_and_one_that_did_not() {
        let (scenario, record) = good();
        let mut broken = record.clone();
        broken.meta.scenario = "bro<k>en".to_owned();
        broken.visibility.retain(|event| event.node.0 != 3 || !event.key.id.contains("-w2"));
        let (one, other) = (Report::of(&scenario, &record), Report::of(&scenario, &broken));
        insta::assert_snapshot!(junit(&[one.summary(), other.summary()]));
    }

    #[test]
    fn whatever_a_finding_says_the_file_is_xml() {
        let (scenario, record) = good();
        let mut report = Report::of(&scenario, &record);
        let mut result = crate::check::same_trace(["a", "b"]);
        result.detail = "]]></failure>\u{0}\u{1b}[31m\"'&<".to_owned();
        report.add(result);
        let text = junit(&[report.summary()]);
        let mut reader = quick_xml::Reader::from_str(&text);
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                Event::Start(start) | Event::Empty(start) => assert!(start.attributes().all(|of| of.is_ok())),
                _ => {}
            }
        }
        assert!(!text.contains(['\u{0}', '\u{1b}']));
    }
}
