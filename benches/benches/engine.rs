//! What an event of a simulation costs: whole nodes with QUIC, TLS and Automerge, from event to event.
//! `cargo bench -p peat-benches --bench engine`. A program of its own, since the simulator answers for the clock of the
//! whole process it is in.

// Real time is the point here.
#![allow(clippy::disallowed_methods)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use peat_scenarios::library;
use peat_sim::{Engine, RunOptions, run, run_with_events};

fn engine(c: &mut Criterion) {
    for (name, engine) in [("line-of-five", Engine::Fabric), ("line-of-five", Engine::Turmoil)] {
        let scenario = library::find(name).expect("shipped").scenario().expect("valid");
        let options = || RunOptions::seed(1).engine(engine);
        let (_, events) = run_with_events(&scenario, options()).expect("a run");
        let mut group = c.benchmark_group(format!("engine {}", engine.name()));
        // Each event is a datagram, a write, an event of an application, a fault: what the trace has. Time per element
        // is time per event.
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(format!("{name}, {} events", events.len()), |b| {
            b.iter(|| run(&scenario, options()).expect("a run"));
        });
        // Of which the calendar alone would be this.
        let times: Vec<u64> = events.iter().map(|event| event.at.as_nanos()).collect();
        group.bench_function("floor: as many events through a heap", |b| b.iter(|| calendar(black_box(&times))));
        group.finish();
    }
}

/// Every event waits beside fifty others, as many as a few nodes have timers.
fn calendar(times: &[u64]) -> u64 {
    let (mut heap, mut sum) = (BinaryHeap::new(), 0u64);
    for time in times {
        heap.push(Reverse(*time));
        if heap.len() > 50 {
            sum ^= heap.pop().map_or(0, |Reverse(time)| time);
        }
    }
    sum
}

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    engine(&mut criterion);
    criterion.final_summary();
}
