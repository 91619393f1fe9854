//! A run in a file, to be judged and drawn again. `docs/reports.md` has the format.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Report;
use crate::check::CheckResult;
use crate::head::{Head, HeadError};
use crate::limits;
use crate::model::{Scenario, ScenarioError};
use crate::record::{RecordFault, RunRecord};

/// Names the format.
pub const FORMAT: &str = "ddil.run";

/// Version of the format. It rises when a field changes its meaning or goes; a new field with a default leaves it.
pub const SCHEMA: u32 = 1;

/// A run that can be judged again.
#[derive(Debug)]
pub struct SavedRun {
    /// What it is judged by.
    pub scenario: Scenario,
    /// What happened.
    pub record: RunRecord,
    /// Results of checks that looked at more than this run.
    pub across: Vec<CheckResult>,
}

/// Why a file is no saved run.
#[derive(Debug, Error)]
pub enum SavedError {
    /// Too long.
    #[error("it has {actual} bytes; at most {} are read", limits::SAVED_BYTES)]
    TooLong {
        /// Its length.
        actual: usize,
    },
    /// No JSON, or JSON of something else.
    #[error("it is not a saved run: {0}")]
    Json(#[from] serde_json::Error),
    /// Something else, or a version that this program does not know.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The record contradicts itself.
    #[error("record: {0}")]
    Record(#[from] RecordFault),
    /// The scenario in it is not valid.
    #[error("its scenario is not valid\n{0}")]
    Scenario(#[from] ScenarioError),
}

#[derive(Deserialize)]
struct Body {
    scenario: String,
    #[serde(default)]
    across: Vec<CheckResult>,
    record: RunRecord,
}

#[derive(Serialize)]
struct Whole<'a> {
    format: &'static str,
    schema: u32,
    scenario: String,
    across: Vec<&'a CheckResult>,
    record: &'a RunRecord,
}

impl SavedRun {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, SavedError> {
        if text.len() > limits::SAVED_BYTES {
            return Err(SavedError::TooLong { actual: text.len() });
        }
        serde_json::from_str::<Head>(text)?.expect(FORMAT, SCHEMA)?;
        let body: Body = serde_json::from_str(text)?;
        body.record.verify()?;
        let scenario = Scenario::parse("scenario", &body.scenario)?;
        Ok(SavedRun { scenario, record: body.record, across: body.across })
    }

    /// Judges it, with the checks of this program.
    pub fn report(&self) -> Report<'_> {
        let mut report = Report::of(&self.scenario, &self.record);
        self.across.iter().for_each(|result| report.add(result.clone()));
        report
    }
}

impl Report<'_> {
    /// The text of a file from which the run can be judged again.
    pub fn saved(&self, scenario: &Scenario) -> String {
        let whole = Whole {
            format: FORMAT,
            schema: SCHEMA,
            scenario: scenario.to_toml(),
            across: self.across.iter().collect(),
            record: self.record,
        };
        serde_json::to_string(&whole).expect("invariant: a record has text keys only")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::check::{Verdict, same_trace};
    use crate::model::{Fault, LinkSpec, Peering, Workload};
    use crate::profiles::Profile;
    use crate::report::Paint;
    use crate::testing::{good, library_runs, run, secs};

    #[test]
    fn what_was_saved_is_judged_as_it_was() {
        // The long ones have the same fields, a hundred times.
        let short = |scenario: &Scenario| scenario.nodes() <= 12 && scenario.duration <= Duration::from_secs(30 * 60);
        for (scenario, record) in library_runs().iter().filter(|(scenario, _)| short(scenario)) {
            let report = Report::of(scenario, record);
            let text = report.saved(scenario);
            let saved = SavedRun::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
            assert_eq!(&saved.scenario, scenario);
            let again = saved.report();
            assert_eq!(again.text(Paint::Plain), report.text(Paint::Plain));
            assert!(again.saved(&saved.scenario) == text, "{}: the second file differs from the first", scenario.name);
        }
    }

    #[test]
    fn what_was_found_over_several_runs_stays_found() {
        let (scenario, record) = good();
        let mut report = Report::of(&scenario, &record);
        report.add(same_trace(["one", "other"]));
        let saved = SavedRun::parse(&report.saved(&scenario)).unwrap();
        assert_eq!(saved.report().verdict, Verdict::Nondeterministic);
    }

    fn changed(change: impl FnOnce(&mut Value)) -> String {
        let (scenario, record) = good();
        let mut value: Value = serde_json::from_str(&Report::of(&scenario, &record).saved(&scenario)).unwrap();
        change(&mut value);
        SavedRun::parse(&value.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = [
            changed(|file| file["format"] = json!("har")),
            changed(|file| file["schema"] = json!(2)),
            changed(|file| file["record"]["operations"][3]["node"] = json!(99)),
            changed(|file| file["record"]["faults"][0]["spec"]["pairs"][0] = json!([0, 4])),
            changed(|file| file["record"]["visibility"][1]["at"] = json!(u64::MAX)),
            changed(|file| file["record"]["topology"]["nodes"][1]["index"] = json!(0)),
            changed(|file| file["record"]["traffic"]["by_group"][0][0] = json!([0, 7])),
            changed(|file| file["record"]["traffic"]["sent"]["bytes"] = json!(u64::MAX)),
            changed(|file| file["record"]["meta"]["writes_end"] = json!(u64::MAX)),
            changed(|file| drop(file["record"].as_object_mut().unwrap().remove("finals"))),
        ];
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_record_without_the_newer_fields_is_read() {
        let (scenario, record) = good();
        let mut value: Value = serde_json::from_str(&Report::of(&scenario, &record).saved(&scenario)).unwrap();
        value["record"].as_object_mut().unwrap().remove("flights");
        value["record"]["traffic"].as_object_mut().unwrap().remove("by_class");
        value["record"]["of_a_later_version"] = json!({});
        assert!(SavedRun::parse(&value.to_string()).is_ok());
    }

    /// Whatever a single field says instead: it is refused, or judged and told without a panic. One entry of a list
    /// stands for all that have the same fields.
    #[test]
    fn a_hostile_field_is_refused_or_harmless() {
        // Short, for it is judged and told some hundred times.
        let scenario = Scenario::builder("short")
            .duration(secs(90))
            .settle(secs(20))
            .cluster("east", |cluster| cluster.group("alpha", 2))
            .cluster("west", |cluster| cluster.group("bravo", 2))
            .link(LinkSpec::new("alpha", "bravo", Profile::SatcomGeo).peering(Peering::Gateway))
            .workload(Workload::edit(["alpha", "bravo"], secs(20), 2).start(secs(5)))
            .workload(Workload::delete(["alpha"], secs(10), 4).only_during("sat").contended_by("bravo"))
            .fault(Fault::partition("sat", "alpha", "bravo").at(secs(20)).lasting(secs(30)))
            .fault(Fault::crash("power", "alpha-1").at(secs(25)).lasting(secs(10)))
            .build()
            .unwrap();
        let record = run(&scenario);
        let saved: Value = serde_json::from_str(&Report::of(&scenario, &record).saved(&scenario)).unwrap();
        let mut places = Vec::new();
        leaves(&saved["record"], &mut String::new(), &mut places);
        let mut shapes = BTreeSet::new();
        places.retain(|place| shapes.insert(place.replace(|c: char| c.is_ascii_digit(), "")));
        assert!(places.len() > 100, "{} places", places.len());
        let lies = [json!(1u64 << 40), json!(u64::MAX), json!("</script><img src=x>|`\n")];
        let (mut refused, mut told) = (0, 0);
        for (place, lie) in places.iter().flat_map(|place| lies.iter().map(move |lie| (place, lie))) {
            let mut lying = saved.clone();
            *lying["record"].pointer_mut(place).unwrap() = lie.clone();
            let Ok(saved) = SavedRun::parse(&lying.to_string()) else {
                refused += 1;
                continue;
            };
            let outputs = std::panic::catch_unwind(|| {
                let report = saved.report();
                [report.text(Paint::Plain), report.html(), report.events(), report.perfetto()]
            });
            let outputs = outputs.unwrap_or_else(|_| panic!("{place} as {lie}"));
            assert!(outputs.iter().all(|output| !output.is_empty()), "{place} as {lie}");
            told += 1;
        }
        assert!(refused > 50 && told > 50, "{refused} refused, {told} told");
    }

    fn leaves(value: &Value, path: &mut String, found: &mut Vec<String>) {
        let mut below = |name: &str, value: &Value| {
            let length = path.len();
            path.push('/');
            path.push_str(&name.replace('~', "~0").replace('/', "~1"));
            leaves(value, path, found);
            path.truncate(length);
        };
        match value {
            Value::Array(items) => {
                items.iter().take(40).enumerate().for_each(|(at, item)| below(&at.to_string(), item));
            }
            Value::Object(fields) => fields.iter().for_each(|(name, field)| below(name, field)),
            _ => found.push(path.clone()),
        }
    }
}
