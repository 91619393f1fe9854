//! Discovery as an operator meets it: real processes, real DNS over loopback, real multicast in network namespaces that
//! the test makes for itself.

#[path = "discovery/dns.rs"]
mod dns;
#[path = "discovery/mdns.rs"]
mod mdns;
#[path = "discovery/process.rs"]
pub mod process;
