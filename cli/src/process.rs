//! `--world process`, as far as a person at a terminal meets it: which programs are the nodes, and the way into namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use peat_k3d::adapter::Adapter;
use peat_k3d::process::{Servers, inside};
use peat_scenarios::plan;

use crate::exit::{Exit, INTERRUPTED};
use crate::interrupt;
use crate::output::{self, reason};
use crate::place::Place;
use crate::source::Sourced;

/// Length of an adapter file that is read: more is none.
const ADAPTER_BYTES: u64 = 1 << 20;

/// The servers that were asked for, or what is wrong with that.
pub fn servers(place: &Place) -> Result<Servers, String> {
    let mut usual = None;
    let mut by_group = BTreeMap::new();
    for typed in &place.adapter {
        let (group, path) = match typed.split_once('=') {
            Some((group, path)) => (Some(group), path),
            None => (None, typed.as_str()),
        };
        let unreadable = |error: &std::io::Error| format!("error: cannot read `{path}`: {}\n", reason(error));
        let mut text = String::new();
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        file.take(ADAPTER_BYTES).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
        let adapter = Adapter::parse(path, &text).map_err(|error| format!("error: {error}\n"))?;
        match group {
            Some(group) => drop(by_group.insert(group.to_owned(), adapter)),
            None => usual = Some(adapter),
        }
    }
    let usual = match usual {
        Some(adapter) => adapter,
        None => Adapter::peat_node(&node(place)?),
    };
    Ok(Servers { usual, by_group })
}

fn node(place: &Place) -> Result<PathBuf, String> {
    let path = match &place.node {
        Some(path) => path.clone(),
        None => std::env::current_exe().map_err(|error| format!("error: {error}\n"))?.with_file_name("peat-node"),
    };
    // From inside a directory of its own it must be found, too.
    std::path::absolute(&path).ok().filter(|path| path.is_file()).ok_or_else(|| {
        let help = "build it with `cargo build --release -p peat-node`, or name another with --node PATH";
        format!("error: there is no node at {}\n  = help: {help}\n", path.display())
    })
}

/// Everything that the servers lack for the scenarios. True if it is nothing.
pub fn admit(sources: &[Sourced], servers: &Servers) -> bool {
    let mut good = true;
    for Sourced { scenario, .. } in sources {
        let lacks = servers.lacks(scenario, &plan::expand(scenario, scenario.seed));
        if !lacks.is_empty() {
            good = false;
            let lines: String = lacks.iter().map(|line| format!("\n  {line}")).collect();
            output::complain(&format!("error: {} cannot run in world process:{lines}\n", scenario.name));
        }
    }
    good
}

/// Where this program is.
pub enum Side {
    /// In namespaces of its own, with a directory for data.
    Inside(PathBuf),
    /// Another one was inside, and is done.
    Done(Exit),
    /// There is no way in, and why.
    Barred(String),
}

/// Goes inside, unless this is the one that is.
pub fn enter() -> Side {
    let leave = || -> ! { std::process::exit(INTERRUPTED.into()) };
    if let Some(data) = inside::entered(leave) {
        return Side::Inside(data);
    }
    interrupt::leave_to_another();
    match inside::enter(std::env::args_os().skip(1)) {
        Ok(status) => match status.code() {
            Some(code) if code == i32::from(INTERRUPTED) => std::process::exit(code),
            Some(code) if Exit::from_code(code).is_some() => Side::Done(Exit::from_code(code).unwrap_or(Exit::Usage)),
            _ => {
                output::complain(&format!("error: the run in its namespaces ended by itself: {status}\n"));
                Side::Done(Exit::Infrastructure)
            }
        },
        Err(error) => Side::Barred(error.to_string()),
    }
}
