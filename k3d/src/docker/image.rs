//! The images, from nothing: a binary, the libraries that it names, and neither shell nor package manager.
//!
//! The files are those of `deploy/image.sh`, which is also how the image for production is made where no base image can be
//! pulled; it and the Dockerfiles are part of this program, so that it needs no sources beside it.

use std::path::Path;

use testcontainers::runners::AsyncBuilder as _;
use testcontainers::{GenericBuildableImage, GenericImage};

use crate::ground::GroundError;
use crate::tool::Line;
use crate::tool::process::Processes;

const SCRIPT: &str = include_str!("../../../deploy/image.sh");
const OF_NODE: &str = include_str!("../../../deploy/Dockerfile.scratch");
const OF_HARNESS: &str = include_str!("../../../deploy/Dockerfile.ddil-scratch");

/// Name of the nodes' image.
const NODE: &str = "peat-node";
/// Name of the emulator's image.
const HARNESS: &str = "ddil";

/// The images that a run may have made.
pub fn of_run(run: &str) -> [String; 2] {
    [NODE, HARNESS].map(|name| format!("{name}:{run}"))
}

/// Builds the image of the nodes.
pub async fn node(run: &str, binary: &Path) -> Result<GenericImage, GroundError> {
    build(NODE, run, OF_NODE, binary).await
}

/// Builds the image of the nodes from sources.
pub async fn from_sources(run: &str, base: &str) -> Result<GenericImage, GroundError> {
    let line = crate::cluster::from_sources(base, &format!("{NODE}:{run}"));
    let built = Processes::default().run(&line).await;
    built.map_err(|error| GroundError::of("the image cannot be built from sources", error))?;
    Ok(GenericImage::new(NODE, run))
}

/// Builds the image of the emulator.
pub async fn harness(run: &str, binary: &Path) -> Result<GenericImage, GroundError> {
    build(HARNESS, run, OF_HARNESS, binary).await
}

async fn build(name: &str, run: &str, dockerfile: &str, binary: &Path) -> Result<GenericImage, GroundError> {
    let failed = |why: &dyn std::fmt::Display| {
        GroundError::of(format!("the image {name}:{run} cannot be made of {}", binary.display()), why)
    };
    let folder = tempfile::Builder::new().prefix("ddil-image-").tempdir().map_err(|error| failed(&error))?;
    let (program, files) = (folder.path().join(name), folder.path().join("files"));
    // The script goes by the name.
    std::fs::copy(binary, &program).map_err(|error| failed(&error))?;
    let (program, context) = (program.to_string_lossy(), files.to_string_lossy());
    let line = Line::new("sh", ["-s", "--", "files", &program, &context]).reading(SCRIPT.into());
    Processes::default().run(&line).await.map_err(|error| failed(&error))?;
    let mut image = GenericBuildableImage::new(name, run).with_dockerfile_string(dockerfile);
    for part in ["root", "data"] {
        image = image.with_file(files.join(part), part);
    }
    image.build_image().await.map_err(|error| failed(&error))
}
