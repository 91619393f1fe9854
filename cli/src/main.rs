//! `ddil` puts mesh nodes on trial under denied, degraded, intermittent and limited links.
//!
//! The binary is thin: a scenario is read by `peat-scenarios`, run by `peat-sim` or `peat-k3d`, judged and told by
//! `peat-scenarios` again. What is here is what a person at a terminal meets: arguments ([`args`]), which
//! scenario was meant ([`source`]), whether the world can run it ([`admission`]), progress ([`progress`]), colours
//! ([`output`]), exit codes ([`exit`]), and what happens when someone presses Ctrl-C ([`interrupt`]) or something panics
//! ([`panics`]).

mod admission;
mod args;
mod check;
mod clusters;
mod diff;
mod document;
mod emulator;
mod engine;
mod engines;
mod exit;
mod explain;
mod fidelity;
mod interrupt;
mod links;
mod list;
mod new;
mod output;
mod outputs;
mod panics;
mod place;
mod plants;
mod process;
mod progress;
mod replay;
mod report;
mod run;
mod schema;
mod source;
mod sweep;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Exit;

/// A run spends a fifth of its time in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::choose_colour(cli.color);
    panics::install();
    let command = std::panic::catch_unwind(|| match &cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Sweep(arguments) => sweep::sweep(arguments),
        Command::Replay(arguments) => replay::replay(arguments),
        Command::Engines(arguments) => engines::engines(arguments),
        Command::Report(arguments) => report::report(arguments),
        Command::Plants(arguments) => plants::plants(arguments),
        Command::Explain(arguments) => explain::explain(arguments),
        Command::Diff(arguments) => diff::diff(arguments),
        Command::Fidelity(arguments) => fidelity::fidelity(arguments),
        Command::List(arguments) => list::list(arguments),
        Command::Links(arguments) => links::links(arguments),
        Command::New(arguments) => new::new(arguments),
        Command::Schema(_) => schema::schema(),
        Command::Check(arguments) => check::check(arguments),
        Command::Emulator(arguments) => emulator::emulator(arguments),
    });
    let exit = command.unwrap_or_else(|_| {
        panics::confess();
        Exit::Infrastructure
    });
    exit.into()
}
