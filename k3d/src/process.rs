//! World `process`: real binaries on this machine, each in a network of its own, with the emulator between them.

pub mod child;
pub mod networks;
