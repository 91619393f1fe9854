//! Before anything starts: can the world do what the scenarios ask for?

use peat_scenarios::Capabilities;

use crate::output;
use crate::source::Sourced;

/// Complains of every scenario that the world cannot run, with everything that it lacks. True if it can run them all:
/// better to know before the first ten minutes than after.
pub fn admit(sources: &[Sourced], world: &Capabilities) -> bool {
    let refusals = refusals(sources, world);
    refusals.iter().for_each(|refusal| output::complain(refusal));
    refusals.is_empty()
}

fn refusals(sources: &[Sourced], world: &Capabilities) -> Vec<String> {
    let refused = sources.iter().filter_map(|sourced| world.admit(&sourced.scenario).err());
    refused.map(|unsupported| format!("error: {unsupported}\n")).collect()
}

#[cfg(test)]
mod tests {
    use peat_scenarios::Capability;

    use super::*;
    use crate::source;

    #[test]
    fn a_world_that_only_cuts_links_refuses_what_a_disk_must_do_and_names_it() {
        let sources =
            ["two-cluster-blackout", "disk-full", "torn-write"].map(|name| source::find(name).expect("shipped"));
        let lesser = Capabilities::only("sim/core", [Capability::CutLinks, Capability::CrashNodes]);
        let refusals = refusals(&sources, &lesser);
        assert_eq!(refusals.len(), 2, "{refusals:?}");
        assert_eq!(
            refusals[0],
            "error: disk-full cannot run in world sim/core:\n  fault `full` (disk-full): it cannot fill disks\n"
        );
        assert!(!admit(&sources, &lesser));
        assert!(admit(&sources, &peat_sim::Engine::Fabric.capabilities()));
    }
}
