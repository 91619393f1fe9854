//! The core as a whole under random operations: several cores, disks that lose what is not synced, and a network
//! between them that cuts, loses, repeats and overtakes.

mod documents;
mod hostile;
mod lag;
mod latest;
mod random;
mod traffic;
mod transactions;
mod watching;
mod world;
