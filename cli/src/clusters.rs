//! `--world docker` and `--world k3d`, as far as a person at a terminal meets them: options, the plan that is printed, and what is
//! taken away after Ctrl-C.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use peat_k3d::cluster::{self, Options, Plan};
use peat_k3d::docker;
use peat_k3d::run::{Event, Watching};
use peat_scenarios::plan::expand;
use peat_scenarios::{RunRecord, Scenario};

use crate::document;
use crate::exit::Exit;
use crate::output::{self, quoted};
use crate::place::Place;
use crate::source::Sourced;

/// What only containers and clusters have.
#[derive(Debug, Clone, Default, Args)]
pub struct Clusters {
    /// With --world k3d: print what would be made and run, in order, and do nothing
    #[arg(long)]
    pub plan: bool,

    /// With --world k3d: a cluster that exists, by its context, in place of one that k3d makes
    #[arg(long, value_name = "CLUSTER=CONTEXT", value_parser = context)]
    pub context: Vec<(String, String)>,

    /// With --world docker or k3d: an image of the nodes that is there, in place of one made from --node
    #[arg(long, value_name = "NAME:TAG")]
    pub image: Option<String>,

    /// With --world docker or k3d: build the nodes' image by deploy/Dockerfile, on this base image
    #[arg(long, value_name = "IMAGE", conflicts_with = "image")]
    pub build_on: Option<String>,

    /// With --world k3d: an image with ddil, in place of one made from this program
    #[arg(long, value_name = "NAME:TAG")]
    pub emulator_image: Option<String>,

    /// With --world k3d: the chart [default: deploy/chart/peat-node]
    #[arg(long, value_name = "PATH")]
    pub chart: Option<PathBuf>,

    /// With --world k3d: put logs, events and metrics there [default: ddil-collected]
    #[arg(long, value_name = "FOLDER")]
    pub collect: Option<PathBuf>,

    /// With --world docker or k3d: leave everything as it is in the end, to look at it
    #[arg(long)]
    pub keep: bool,
}

fn context(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(cluster, context)| !cluster.is_empty() && !context.is_empty());
    let (cluster, context) =
        pair.ok_or("give the name of a cluster of the scenario and a context, as in east=my-context")?;
    Ok((cluster.to_owned(), context.to_owned()))
}

impl Clusters {
    /// What was typed, each option after a space. What has no bearing on the run is left out.
    pub fn typed(&self) -> String {
        let mut typed = String::new();
        for (cluster, context) in &self.context {
            typed.push_str(&format!(" --context {}", quoted(&format!("{cluster}={context}"))));
        }
        let images = [("image", &self.image), ("build-on", &self.build_on), ("emulator-image", &self.emulator_image)];
        for (option, image) in images {
            if let Some(image) = image {
                typed.push_str(&format!(" --{option} {}", quoted(image)));
            }
        }
        if let Some(chart) = &self.chart {
            typed.push_str(&format!(" --chart {}", quoted(&chart.to_string_lossy())));
        }
        typed
    }

    /// The option that was given although the world has none of these, or not this one.
    pub fn misplaced(&self, docker: bool, k3d: bool) -> Option<(&'static str, &'static str)> {
        let of_k3d = [
            (self.plan, "--plan"),
            (!self.context.is_empty(), "--context"),
            (self.emulator_image.is_some(), "--emulator-image"),
            (self.chart.is_some(), "--chart"),
            (self.collect.is_some(), "--collect"),
        ];
        let of_both =
            [(self.image.is_some(), "--image"), (self.build_on.is_some(), "--build-on"), (self.keep, "--keep")];
        let given = |options: &[(bool, &'static str)]| options.iter().find(|(given, _)| *given).map(|(_, name)| *name);
        if let Some(option) = given(&of_k3d).filter(|_| !k3d) {
            return Some((option, "k3d"));
        }
        given(&of_both).filter(|_| !docker && !k3d).map(|option| (option, "docker"))
    }

    /// As the world wants it; `node` is the program for the image.
    pub fn options(&self, node: &Path) -> Options {
        let usual = Options::default();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let harness = std::env::current_exe().map_or(usual.harness, |path| text(&path));
        Options {
            contexts: self.context.iter().cloned().collect::<BTreeMap<_, _>>(),
            image: self.image.clone(),
            base: self.build_on.clone(),
            edge_image: self.emulator_image.clone(),
            binary: text(node),
            harness,
            chart: self.chart.as_deref().map_or(usual.chart, text),
            image_script: usual.image_script,
            keep: self.keep,
        }
    }
}

/// Everything that clusters lack for the scenarios. True if it is nothing.
pub fn admit(sources: &[Sourced], options: &Options) -> bool {
    let refusals = sources.iter().filter_map(|Sourced { scenario, .. }| {
        cluster::admit::admit(scenario, &expand(scenario, scenario.seed), options).err()
    });
    let refusals: Vec<_> = refusals.collect();
    refusals.iter().for_each(|refusal| output::complain(&format!("error: {refusal}\n")));
    refusals.is_empty()
}

/// `--plan`: prints what would be done for each scenario.
pub fn print(sources: &[Sourced], seed: Option<u64>, options: &Options, json: bool) -> Exit {
    let plans: Vec<Plan> = sources.iter().map(|Sourced { scenario, .. }| plan(scenario, seed, options)).collect();
    match (json, plans.as_slice()) {
        (true, [plan]) => output::print(&document::pretty(plan)),
        (true, plans) => output::print(&document::pretty(&plans)),
        (false, plans) => plans.iter().for_each(|plan| output::print(&format!("{plan}\n"))),
    }
    Exit::Pass
}

fn plan(scenario: &Scenario, seed: Option<u64>, options: &Options) -> Plan {
    Plan::new(scenario, &expand(scenario, seed.unwrap_or(scenario.seed)), options)
}

/// Does it make the nodes' image of a binary?
pub fn needs_binary(place: &Place) -> bool {
    place.clusters.image.is_none() && place.clusters.build_on.is_none()
}

/// Ctrl-C in world docker.
pub fn leave_containers() {
    output::tell("interrupted: taking containers and networks away\n");
    docker::leave();
}

/// Ctrl-C in world k3d.
pub fn leave_clusters() {
    output::tell("interrupted: taking away what was made\n");
    cluster::ground::leave();
}

/// Runs a scenario in containers.
pub fn in_containers(
    place: &Place,
    (scenario, seed, source): (&Scenario, u64, String),
    node: &Path,
    watching: Watching<'_>,
) -> Result<(RunRecord, Vec<Event>), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let image = match (&place.clusters.image, &place.clusters.build_on) {
        (Some(image), _) => docker::Image::Ready(image),
        (None, Some(base)) => docker::Image::Sources(base),
        (None, None) => docker::Image::Binary(node),
    };
    let keep = place.clusters.keep;
    let trial = docker::Trial { scenario, seed, source, image, program: &program, keep };
    docker::run(trial, watching).map_err(|error| error.to_string())
}

/// Runs a scenario on clusters.
pub fn on_clusters(
    place: &Place,
    (scenario, seed, source): (&Scenario, u64, String),
    options: &Options,
    watching: Watching<'_>,
) -> Result<(RunRecord, Vec<Event>), String> {
    let collect = place.clusters.collect.clone().unwrap_or_else(|| PathBuf::from("ddil-collected"));
    let collect = collect.join(&scenario.name);
    let trial = cluster::ground::Trial { scenario, seed, source, options, collect };
    cluster::ground::run(trial, watching).map_err(|error| error.to_string())
}
