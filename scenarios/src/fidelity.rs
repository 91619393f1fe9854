//! How well a simulation predicted what a real world then did: the same scenario and seed in both, side by side.
//!
//! Both sides are records, and nothing else is read. What differs by more than a band is split into components
//! ([`why`]): a difference that the components account for is *explained*, and what is left is a fault of the model, or of
//! the world. `docs/fidelity.md` has the bands and the components.

mod components;
mod page;
mod phase;
mod side;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use components::Both;
pub use components::Component;
pub use text::markdown;

use crate::check::Verdict;
use crate::figures::Settled;
use crate::limits;
use crate::record::{Precision, RunRecord};
use crate::sweep::Unit;
use crate::time::SimTime;
use phase::Phase;
use side::Measured;

/// Connected latency may differ by this share: less than half of what two days on one kind of link differ by.
pub const LATENCY_SHARE: f64 = 0.15;

/// Or by this, in seconds: a commit on a disk that others use, and two processes that have to be woken.
pub const LATENCY_FLOOR_SECONDS: f64 = 0.002;

/// Convergence and reconnect may differ by this share. Where in its pause between two dials a node is when a link heals is
/// chance, and a real world throws other dice.
pub const RECOVERY_SHARE: f64 = 0.20;

/// Bytes may differ by this share.
pub const BYTES_SHARE: f64 = 0.20;

/// Fewest samples for a 99th percentile that says anything: of fewer, it is the greatest.
const P99_SAMPLES_MIN: u64 = 100;

/// Two runs side by side.
#[derive(Debug, Clone, Serialize)]
pub struct Fidelity {
    /// The scenario.
    pub scenario: String,
    /// One line from it.
    pub purpose: String,
    /// The seed.
    pub seed: u64,
    /// The prediction.
    pub sim: World,
    /// What happened.
    pub real: World,
    /// In order of time; the last is the whole run.
    pub phases: Vec<PhaseRows>,
    /// Phases that only one side had.
    pub unmatched: Vec<String>,
}

/// Where one side ran.
#[derive(Debug, Clone, Serialize)]
pub struct World {
    /// `sim/fabric`, `process`.
    pub name: String,
    /// How it was judged.
    pub verdict: Verdict,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// Median time from the issue of an operation to its acknowledgement, in seconds.
    pub write_p50: Option<f64>,
    /// How exactly it measured; absent in virtual time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

/// One phase on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseRows {
    /// What lasted during it.
    pub name: String,
    /// When, in the simulation.
    pub from: SimTime,
    /// Until when.
    pub until: SimTime,
    /// What was measured.
    pub rows: Vec<Row>,
}

/// One figure on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub measure: String,
    /// What its numbers mean.
    pub unit: Unit,
    /// In the simulation; infinite: never.
    #[serde(serialize_with = "crate::sweep::or_never")]
    pub sim: f64,
    /// In the real world.
    #[serde(serialize_with = "crate::sweep::or_never")]
    pub real: f64,
    /// By how much they may differ, in the figure's own unit.
    pub allowed: f64,
    /// What to make of it.
    pub standing: Standing,
    /// What it is made of, where it was looked at; the last is what nothing accounts for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
}

/// What to make of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Within the band.
    Within,
    /// Too few samples to say.
    TooFew,
    /// Beyond the band, and known components account for what is.
    Explained,
    /// Beyond the band, unexplained, and a tail: told, and not counted. What a real machine does once in a hundred times is not what a
    /// simulation of the mesh predicts.
    Tail,
    /// Beyond the band, and something else differs.
    Outside,
}

/// Why two records cannot be laid side by side.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FidelityError {
    /// They are of two scenarios, seeds, or fleets.
    #[error("the two runs are not of one plan: the {what} is {sim} in the simulation and {real} in the real world")]
    Mixed {
        /// What differs.
        what: &'static str,
        /// On the one side.
        sim: String,
        /// On the other.
        real: String,
    },
    /// The prediction has to be one.
    #[error("the first run is of world {0}, which is no simulation")]
    NoSimulation(String),
}

impl Fidelity {
    /// Lays two runs of one plan side by side, each with the verdict that it was judged to have.
    pub fn of(sim: (&RunRecord, Verdict), real: (&RunRecord, Verdict)) -> Result<Self, FidelityError> {
        one_plan(sim.0, real.0)?;
        let (a, b) = (Measured::of(sim.0), Measured::of(real.0));
        let mut others: BTreeMap<String, Phase> =
            b.phases().into_iter().map(|phase| (phase.name.clone(), phase)).collect();
        let measured = Both { sim: &a, real: &b };
        let (mut phases, mut unmatched) = (Vec::new(), Vec::new());
        for phase in a.phases() {
            match others.remove(&phase.name) {
                Some(other) => phases.push(rows(measured, Both { sim: &phase, real: &other })),
                None => unmatched.push(format!("{} (sim only)", phase.name)),
            }
        }
        unmatched.extend(others.into_keys().map(|name| format!("{name} (real only)")));
        phases.push(whole(measured));
        let world = |measured: &Measured<'_>, verdict| World {
            name: match measured.record.meta.engine.as_str() {
                "" => measured.record.meta.world.clone(),
                engine => format!("{}/{engine}", measured.record.meta.world),
            },
            verdict,
            acknowledged: measured.figures.operations.ok,
            write_p50: measured.write_p50,
            precision: measured.record.precision,
        };
        Ok(Fidelity {
            scenario: sim.0.meta.scenario.clone(),
            purpose: sim.0.meta.purpose.clone(),
            seed: sim.0.meta.seed,
            sim: world(&a, sim.1),
            real: world(&b, real.1),
            phases,
            unmatched,
        })
    }

    /// How many rows stand like this.
    pub fn rows(&self, standing: Standing) -> usize {
        self.phases.iter().flat_map(|phase| &phase.rows).filter(|row| row.standing == standing).count()
    }

    /// Was the prediction good: the same verdict, and nothing beyond its band without an explanation?
    pub fn holds(&self) -> bool {
        self.sim.verdict == self.real.verdict && self.rows(Standing::Outside) == 0
    }
}

fn one_plan(sim: &RunRecord, real: &RunRecord) -> Result<(), FidelityError> {
    if sim.meta.world != "sim" {
        return Err(FidelityError::NoSimulation(sim.meta.world.clone()));
    }
    let nodes =
        |record: &RunRecord| record.topology.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
    let faults =
        |record: &RunRecord| record.faults.iter().map(|fault| fault.spec.name.as_str()).collect::<Vec<_>>().join(", ");
    let pairs = [
        ("scenario", sim.meta.scenario.clone(), real.meta.scenario.clone()),
        ("seed", sim.meta.seed.to_string(), real.meta.seed.to_string()),
        ("time scale", sim.meta.time_scale.to_string(), real.meta.time_scale.to_string()),
        ("length", sim.meta.duration.to_string(), real.meta.duration.to_string()),
        ("fleet", nodes(sim), nodes(real)),
        ("storm", faults(sim), faults(real)),
    ];
    match pairs.into_iter().find(|(_, sim, real)| sim != real) {
        Some((what, sim, real)) => Err(FidelityError::Mixed { what, sim, real }),
        None => Ok(()),
    }
}

fn rows(measured: Both<&Measured<'_>>, phase: Both<&Phase>) -> PhaseRows {
    let mut rows = Vec::new();
    let (mine, theirs) = (measured.sim.connected(phase.sim), measured.real.connected(phase.real));
    for (measure, quantile, least) in
        [("sync latency p50", 0.5, limits::SAMPLES_MIN), ("sync latency p99", 0.99, P99_SAMPLES_MIN)]
    {
        let (Some(sim), Some(real)) = (mine.at(quantile), theirs.at(quantile)) else { continue };
        let allowed = (LATENCY_SHARE * sim).max(LATENCY_FLOOR_SECONDS);
        let few = (mine.len().min(theirs.len()) as u64) < least;
        let split = || components::of_latency(measured, Both { sim: &mine, real: &theirs }, quantile);
        let mut row = Row::judged(measure.to_owned(), Unit::Seconds, (sim, real), allowed, few, split);
        if quantile > 0.9 {
            row.allow_for_a_tail();
        }
        rows.push(row);
    }
    let others = measured.real.recoveries(phase.real);
    for (name, recovery) in measured.sim.recoveries(phase.sim) {
        let Some((_, same)) = others.iter().find(|(other, _)| *other == name) else { continue };
        let kinds = [
            ("converged", recovery.converged, same.converged),
            ("reconnected", recovery.reconnected, same.reconnected),
        ];
        for (what, sim, real) in kinds {
            let (Some(sim), Some(real)) = (after(sim), after(real)) else { continue };
            let allowed = (RECOVERY_SHARE * sim).max(LATENCY_FLOOR_SECONDS);
            let split = || components::of_recovery(measured, Both { sim: recovery, real: same }, what == "converged");
            let measure = format!("{what} after {name}");
            rows.push(Row::judged(measure, Unit::Seconds, (sim, real), allowed, false, split));
        }
    }
    let bytes = (measured.sim.bytes_per_second(phase.sim), measured.real.bytes_per_second(phase.real));
    if let (Some(sim), Some(real)) = bytes {
        let split = || components::of_bytes(measured, phase);
        let measure = "bytes per second".to_owned();
        rows.push(Row::judged(measure, Unit::Bytes, (sim, real), BYTES_SHARE * sim, false, split));
    }
    let Phase { name, from, until } = phase.sim.clone();
    PhaseRows { name, from, until, rows }
}

/// What cannot be told by phases.
fn whole(measured: Both<&Measured<'_>>) -> PhaseRows {
    let run = |measured: &Measured<'_>| Phase::whole(measured.record);
    let mut rows = rows(measured, Both { sim: &run(measured.sim), real: &run(measured.real) });
    // Recoveries stand in their phases.
    rows.rows.retain(|row| !row.measure.contains(" after "));
    rows
}

/// Seconds; infinite for never, `None` for what says nothing.
fn after(settled: Settled) -> Option<f64> {
    match settled {
        Settled::After(after) | Settled::Interrupted { after, .. } => Some(after.as_secs_f64()),
        Settled::Never { .. } => Some(f64::INFINITY),
        Settled::Nothing | Settled::Unmeasured => None,
    }
}

impl Row {
    fn judged(
        measure: String,
        unit: Unit,
        (sim, real): (f64, f64),
        allowed: f64,
        few: bool,
        split: impl FnOnce() -> Vec<Component>,
    ) -> Self {
        let difference = real - sim;
        let mut row = Row { measure, unit, sim, real, allowed, standing: Standing::Within, components: Vec::new() };
        // Both never: the same. One of them never: no band is wide enough, and there is nothing to split.
        if sim == real || difference.abs() <= allowed {
            return row;
        }
        row.standing = Standing::Outside;
        if difference.is_finite() {
            row.components = split();
            let known: f64 = row.components.iter().map(Component::difference).sum();
            let rest = difference - known;
            row.components.retain(|component| component.difference() != 0.0);
            if rest.abs() <= allowed {
                row.standing = Standing::Explained;
            }
            row.components.push(Component::rest(rest));
        }
        if few {
            row.standing = Standing::TooFew;
        }
        row
    }

    /// What several sources add at their worst they seldom add at once: of a tail the components say how much there may be.
    fn allow_for_a_tail(&mut self) {
        if self.standing != Standing::Outside {
            return;
        }
        let difference = self.real - self.sim;
        let known: f64 = self.components.iter().filter(|of| of.known).map(Component::difference).sum();
        self.standing = match (0.0..=known + self.allowed).contains(&difference) {
            true => Standing::Explained,
            false => Standing::Tail,
        };
    }

    /// `+12 %`; nothing where there is nothing to compare with.
    pub fn error(&self) -> Option<f64> {
        let error = (self.real - self.sim) / self.sim;
        error.is_finite().then_some(error)
    }
}
