//! The sidecar contract, `peat.sidecar.v1`, as Rust code.
//!
//! Both sides are generated from the one definition in `proto/peat/sidecar/v1/sidecar.proto`:
//!
//! - [`server`] for the node: Connect, gRPC and gRPC-Web through the `connectrpc` crate;
//! - [`client`] for everything that calls a node: gRPC through `tonic`, over any channel. That the two
//!   come from different stacks makes every call between them an interoperability test.

/// Messages and service trait for the serving side (`connectrpc` and `buffa`).
pub mod server {
    pub use generated::peat::sidecar::v1::*;

    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used, unused)]
    mod generated {
        connectrpc::include_generated!("server.rs");
    }
}

/// Messages and client for the calling side (`tonic` and `prost`).
pub mod client {
    pub use generated::peat_sidecar_client::PeatSidecarClient;
    pub use generated::*;

    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used)]
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/client/peat.sidecar.v1.rs"));
    }
}

/// Full name of the service, the first part of every request path.
pub const SERVICE_NAME: &str = "peat.sidecar.v1.PeatSidecar";

/// The compiled definition with its comments, a serialized `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sidecar.binpb"));
