//! The API: the methods of `peat.sidecar.v1` over a [`NodeHandle`](crate::NodeHandle), spoken as
//! Connect, gRPC and gRPC-Web, over HTTP/1.1 and HTTP/2, on any byte stream.
//!
//! - [`Listen`] and [`Server`] bind a TCP port or a Unix socket and accept connections: the binary.
//! - [`serve_connection`] serves one connection that somebody else made: a simulator, a test.
//!
//! [`access`] decides who may call.
//!
//! `service` answers requests, `typed` maps platforms, cells, tracks and commands to documents, and
//! `error` is the one place where an error of the node becomes a status that a client sees.

pub mod access;
mod collections;
mod error;
mod health;
mod listen;
mod operator;
mod reads;
mod serve;
mod server;
mod service;
mod typed;
mod writes;

pub use listen::{BindError, Listen, ListenError};
pub(crate) use listen::{Listener, SOCKET_MODE, check_host_port};
pub use serve::serve_connection;
pub use server::Server;
