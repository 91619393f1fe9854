//! A plan as people read it.

use std::fmt;

use super::{Act, Event, Host, Phase, Plan, Step};
use crate::edge;

/// Columns before what a line reads.
const INDENT: &str = "        ";

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = &self.places;
        writeln!(f, "{}, seed {}, world k3d: what would be made and run, as {}\n", self.scenario, self.seed, self.run)?;
        writeln!(f, "CLUSTERS")?;
        for (at, cluster) in places.clusters.iter().enumerate() {
            let host = match &cluster.host {
                Host::K3d { cluster, .. } => format!("k3d makes {cluster}"),
                Host::Context { context } => format!("context {context}"),
            };
            let nodes: Vec<&str> =
                places.nodes.iter().filter(|node| node.cluster == at).map(|node| node.name.as_str()).collect();
            writeln!(f, "  {:<14} {host}, namespace {}, edge at {}", cluster.name, cluster.namespace, cluster.edge)?;
            writeln!(f, "  {:<14} {}", "", nodes.join(", "))?;
        }
        writeln!(f, "\nOBJECTS")?;
        for object in self.objects() {
            let inside = if object.cluster.is_empty() { String::new() } else { format!("  in {}", object.cluster) };
            writeln!(f, "  {:<22} {}{inside}", object.kind, object.name)?;
        }
        writeln!(
            f,
            "\nVARIABLES\n  DIR: a folder of this run; KEY…: 32 random bytes in base64; others are set by the lines below"
        )?;
        let (times, pause) = (super::TRIES, super::PAUSE.as_secs());
        writeln!(
            f,
            "\nA line that fails is tried {times} times, {pause} s apart at first and then twice that; what it may have made outside of\n\
             clusters is taken away before."
        )?;
        let mut number = 0;
        for phase in &self.set_up {
            writeln!(f, "\nSET UP: {}", phase.name)?;
            write_phase(f, phase, &mut number)?;
        }
        writeln!(f, "\nWHILE THE SCENARIO RUNS")?;
        for event in &self.timeline {
            write_event(f, event, &mut number)?;
        }
        if self.timeline.is_empty() {
            writeln!(f, "  nothing goes wrong")?;
        }
        writeln!(f, "\nCOLLECT: {}", self.collect.name)?;
        write_phase(f, &self.collect, &mut number)?;
        match self.keep {
            true => writeln!(f, "\nCLEAN UP: not done because of --keep; by hand")?,
            false => writeln!(f, "\nCLEAN UP: whatever happened before, also after Ctrl-C")?,
        }
        write_phase(f, &self.clean_up, &mut number)
    }
}

fn write_phase(f: &mut fmt::Formatter<'_>, phase: &Phase, number: &mut usize) -> fmt::Result {
    phase.steps.iter().try_for_each(|step| write_step(f, step, number))
}

fn write_event(f: &mut fmt::Formatter<'_>, event: &Event, number: &mut usize) -> fmt::Result {
    writeln!(f, "  {}: {}", event.when, event.what)?;
    event.steps.iter().try_for_each(|step| write_step(f, step, number))
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Step, number: &mut usize) -> fmt::Result {
    *number += 1;
    write!(f, "{number:>5}. ")?;
    match &step.act {
        Act::Run(line) => {
            writeln!(f, "{line}")?;
            line.input.iter().flat_map(|input| input.lines()).try_for_each(|line| writeln!(f, "{INDENT}| {line}"))
        }
        Act::Keep { port, line, .. } => writeln!(f, "{line} &   # sets {port} to the port that it prints"),
        Act::Call { node, method, message, sets } => {
            let sets = sets.as_ref().map(|sets| format!("   # sets {sets} to its endpoint id")).unwrap_or_default();
            writeln!(f, "call {node} {method} {message}{sets}")
        }
        Act::Open { edge, line, ports } => {
            writeln!(f, "{line} &   # the edge of {edge}, {} ports", ports.len())?;
            for port in ports {
                let roams = if port.roams { ", or where it was heard last" } else { "" };
                writeln!(f, "{INDENT}| {:<36} {} for {}{roams}", port.way, port.listen, port.node)?;
            }
            Ok(())
        }
        Act::Links { edge, step } => writeln!(f, "tell the edge of {edge} to {}", edge::words(step)),
    }
}
