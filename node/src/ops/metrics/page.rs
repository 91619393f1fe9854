//! A page of metrics under construction. The library sees to names, units, escapes and the order of things.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a sample.
pub type Labels = Vec<(&'static str, String)>;

/// A value.
#[derive(Debug, Clone, Copy)]
pub enum Sample {
    Whole(u64),
    Seconds(f64),
}

impl From<bool> for Sample {
    fn from(is: bool) -> Self {
        Self::Whole(is.into())
    }
}

impl From<u64> for Sample {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<Duration> for Sample {
    fn from(time: Duration) -> Self {
        Self::Seconds(time.as_secs_f64())
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
    Info,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: Kind,
    samples: Vec<(Labels, Sample)>,
}

/// Families in the order in which they were added. A name has no unit and no `_total`: they are appended.
#[derive(Debug, Default)]
pub struct Page(Vec<Family>);

impl Page {
    pub fn info(&mut self, name: &'static str, help: &'static str, labels: Labels) {
        self.add(name, help, None, Kind::Info, vec![(labels, Sample::Whole(1))]);
    }

    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, None, Kind::Gauge, one(value.into()));
    }

    pub fn gauges(&mut self, name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) {
        self.add(name, help, None, Kind::Gauge, whole(values));
    }

    pub fn samples(&mut self, name: &'static str, help: &'static str, samples: Vec<(Labels, Sample)>) {
        self.add(name, help, None, Kind::Gauge, samples);
    }

    pub fn bytes(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, Some(Unit::Bytes), Kind::Gauge, one(value.into()));
    }

    pub fn seconds(&mut self, name: &'static str, help: &'static str, time: Duration) {
        self.add(name, help, Some(Unit::Seconds), Kind::Gauge, one(time.into()));
    }

    pub fn seconds_each(&mut self, name: &'static str, help: &'static str, samples: Vec<(Labels, Sample)>) {
        self.add(name, help, Some(Unit::Seconds), Kind::Gauge, samples);
    }

    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, None, Kind::Counter, one(value.into()));
    }

    pub fn counters(&mut self, name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) {
        self.add(name, help, None, Kind::Counter, whole(values));
    }

    pub fn byte_counters(&mut self, name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) {
        self.add(name, help, Some(Unit::Bytes), Kind::Counter, whole(values));
    }

    pub fn byte_counters_each(&mut self, name: &'static str, help: &'static str, samples: Vec<(Labels, Sample)>) {
        self.add(name, help, Some(Unit::Bytes), Kind::Counter, samples);
    }

    /// The text. A string takes everything that is written to it.
    pub fn into_text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string can be written to");
        text
    }

    fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        unit: Option<Unit>,
        kind: Kind,
        samples: Vec<(Labels, Sample)>,
    ) {
        self.0.push(Family { name, help, unit, kind, samples });
    }
}

fn one(sample: Sample) -> Vec<(Labels, Sample)> {
    vec![(Labels::new(), sample)]
}

fn whole(values: Vec<(Labels, u64)>) -> Vec<(Labels, Sample)> {
    values.into_iter().map(|(labels, value)| (labels, value.into())).collect()
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Gauge => MetricType::Gauge,
                Kind::Counter => MetricType::Counter,
                Kind::Info => MetricType::Info,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, family.unit.as_ref(), kind)?;
            for (labels, sample) in &family.samples {
                let labels = LabelSet(labels);
                match family.kind {
                    Kind::Info => metric.encode_info(&labels)?,
                    Kind::Gauge | Kind::Counter if labels.0.is_empty() => write(&mut metric, family.kind, sample)?,
                    Kind::Gauge | Kind::Counter => write(&mut metric.encode_family(&labels)?, family.kind, sample)?,
                }
            }
        }
        Ok(())
    }
}

fn write(metric: &mut MetricEncoder, kind: Kind, sample: &Sample) -> fmt::Result {
    match (kind, *sample) {
        (Kind::Counter, Sample::Whole(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (Kind::Counter, Sample::Seconds(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (_, Sample::Whole(value)) => metric.encode_gauge(&value),
        (_, Sample::Seconds(value)) => metric.encode_gauge(&value),
    }
}

/// Labels whose names are known at compile time and whose values are not.
#[derive(Debug)]
struct LabelSet<'a>(&'a [(&'static str, String)]);

impl EncodeLabelSet for LabelSet<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> fmt::Result {
        self.0.encode(encoder)
    }
}
