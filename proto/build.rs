//! Compiles the contract without `protoc`: protox makes one descriptor set, from which the Connect server
//! (buffa messages) and the tonic client (prost messages) are generated, so the two cannot drift apart.

use std::env;
use std::fs;
use std::path::PathBuf;

use prost::Message as _;

const ROOT: &str = "proto";
const CONTRACT: &str = "peat/sidecar/v1/sidecar.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    // The Connect client would be a second client beside tonic's: its gate is a feature that nobody has.
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"client\"))");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let descriptors = protox::compile([CONTRACT], [ROOT])?;
    let descriptor_file = out.join("sidecar.binpb");
    fs::write(&descriptor_file, descriptors.encode_to_vec())?;

    connectrpc_build::Config::new()
        .descriptor_set(&descriptor_file)
        .files(&[CONTRACT])
        .emit_rerun_directives(false)
        .gate_client_feature(true)
        .include_file("server.rs")
        .compile()?;

    let client = out.join("client");
    fs::create_dir_all(&client)?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_client(true)
        // The transport is the caller's: a simulator has no sockets.
        .build_transport(false)
        .out_dir(&client)
        .compile_fds(descriptors)?;
    Ok(())
}
