//! The same story in less time: for worlds whose time is real.

use std::time::Duration;

use super::{
    Away, Composite, End, Fault, FaultKind, LinkSchedule, LinkShape, LinkSpec, Scenario, ScenarioError, When, Workload,
    WorkloadKind,
};

/// A part of real time.
#[derive(Debug, Clone, Copy)]
struct Scale(f64);

impl Scale {
    /// Whole microseconds, so that texts stay short, and no span vanishes that was there.
    fn span(self, span: Duration) -> Duration {
        let micros = (span.as_secs_f64() * 1e6 * self.0).round();
        let least = if span.is_zero() { 0.0 } else { 1.0 };
        Duration::from_micros(micros.max(least) as u64)
    }

    fn fault(self, fault: &mut Fault) {
        match &mut fault.when {
            When::At(at) => *at = self.span(*at),
            When::Within(from, to) => (*from, *to) = (self.span(*from), self.span(*to)),
            When::On { after, .. } => *after = self.span(*after),
        }
        if let End::After(span) = &mut fault.end {
            *span = self.span(*span);
        }
        if let Some(repeat) = &mut fault.repeat {
            repeat.every = self.span(repeat.every);
        }
        let spans: [Option<&mut Duration>; 2] = match &mut fault.kind {
            FaultKind::Flap { period, down, .. } => [Some(period), Some(down)],
            FaultKind::Composite(Composite::Churn { every, down, .. }) => [Some(every), Some(down)],
            FaultKind::Composite(Composite::DataMule { stay, travel, .. }) => [Some(stay), Some(travel)],
            FaultKind::Degrade { shape, forward, back, .. } => {
                self.shapes(shape, [forward, back]);
                [None, None]
            }
            _ => [None, None],
        };
        spans.into_iter().flatten().for_each(|span| *span = self.span(*span));
    }

    fn workload(self, workload: &mut Workload) {
        workload.start = self.span(workload.start);
        workload.until = workload.until.map(|until| self.span(until));
        let every = match &mut workload.kind {
            WorkloadKind::Heartbeat { every }
            | WorkloadKind::Put { every, .. }
            | WorkloadKind::Edit { every, .. }
            | WorkloadKind::Burst { every, .. }
            | WorkloadKind::Command { every, .. } => every,
            WorkloadKind::Delete { every, from, .. } => {
                *from = from.map(|from| self.span(from));
                every
            }
            WorkloadKind::Agent { every, away, .. } => {
                *away = away.map(|Away { from, lasts }| Away { from: self.span(from), lasts: self.span(lasts) });
                every
            }
        };
        *every = self.span(*every);
    }

    fn link(self, link: &mut LinkSpec) {
        self.shapes(&mut link.shape, [&mut link.forward, &mut link.back]);
    }

    fn shapes(self, shape: &mut LinkShape, more: [&mut Option<Box<LinkShape>>; 2]) {
        let more = more.into_iter().flatten().map(Box::as_mut);
        for schedule in std::iter::once(shape).chain(more).filter_map(|shape| shape.schedule.as_mut()) {
            match schedule {
                LinkSchedule::Contacts { contacts, every } => {
                    for contact in contacts {
                        (contact.at, contact.lasts) = (self.span(contact.at), self.span(contact.lasts));
                    }
                    *every = every.map(|every| self.span(every));
                }
                LinkSchedule::DutyCycle { up, every, offset } => {
                    (*up, *every, *offset) = (self.span(*up), self.span(*every), self.span(*offset));
                }
                // What was recorded is what a link is like, not a story.
                LinkSchedule::Trace(_) => {}
            }
        }
    }
}

impl Scenario {
    /// The same story in `factor` of its time, which must be above 0: `docs/worlds.md` has the list of what is shorter then. The nature of
    /// links (latency, jitter, rates, loss, recorded traces), the nodes' own timers and the bounds of `[expect]` are not.
    ///
    /// # Errors
    ///
    /// What the validation of files says of the shorter scenario, whose text the positions refer to.
    pub fn scaled(&self, factor: f64) -> Result<Scenario, ScenarioError> {
        let scale = Scale(factor);
        let mut scaled = self.clone();
        (scaled.duration, scaled.settle) = (scale.span(self.duration), scale.span(self.settle));
        for group in scaled.clusters.iter_mut().flat_map(|cluster| &mut cluster.groups) {
            group.joins_at = group.joins_at.map(|at| scale.span(at));
        }
        scaled.links.iter_mut().for_each(|link| scale.link(link));
        scaled.workloads.iter_mut().for_each(|workload| scale.workload(workload));
        scaled.faults.iter_mut().for_each(|fault| scale.fault(fault));
        let traces = |path: &str| {
            let shapes = self.links.iter().flat_map(|link| {
                [Some(&link.shape), link.forward.as_deref(), link.back.as_deref()].into_iter().flatten()
            });
            let mut schedules = shapes.filter_map(|shape| shape.schedule.as_ref());
            let text = schedules.find_map(|schedule| match schedule {
                LinkSchedule::Trace(trace) if trace.path() == path => Some(trace.text().to_owned()),
                _ => None,
            });
            text.ok_or_else(|| "no link has this trace".to_owned())
        };
        let name = format!("{} in {factor} of its time", self.name);
        // Once more through the validation: what is shorter may be too short. The seed may be larger than a file can say.
        let seed = std::mem::replace(&mut scaled.seed, 0);
        Scenario::parse_with(&name, &scaled.to_toml(), &traces).map(|valid| Scenario { seed, ..valid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::library;
    use crate::plan::expand;

    #[test]
    fn the_whole_library_can_be_told_in_half_of_its_time() {
        for shipped in library() {
            let whole = shipped.scenario().unwrap();
            let half = whole.scaled(0.5).unwrap_or_else(|error| panic!("{}: {error}", whole.name));
            assert_eq!(half.duration * 2, whole.duration);
            let (of_half, of_whole) = (expand(&half, 7), expand(&whole, 7));
            assert_eq!(of_half.faults.len(), of_whole.faults.len(), "{}", whole.name);
            assert_eq!(of_half.topology.groups, of_whole.topology.groups);
            for (pair, link) in &of_half.topology.links {
                assert_eq!(link.latency, of_whole.topology.links[pair].latency, "{}", whole.name);
            }
            assert_eq!(whole.scaled(1.0).unwrap(), whole, "{}", whole.name);
        }
    }

    #[test]
    fn a_story_that_gets_too_short_is_refused_with_the_field() {
        let whole = crate::library::find("outage-1m").unwrap().scenario().unwrap();
        insta::assert_snapshot!(whole.scaled(0.001).unwrap_err());
    }
}
