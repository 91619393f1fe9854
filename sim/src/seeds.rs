//! Everything random in a run comes from its seed, through a name: adding a consumer never moves another.

use peat_scenarios::plan::NodeIndex;

/// 32 bytes for the purpose `what` of one life of one host.
pub(crate) fn bytes(seed: u64, what: &str, host: NodeIndex, life: u32) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("peat-sim 2026 seeds");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&host.0.to_le_bytes());
    hasher.update(&life.to_le_bytes());
    hasher.update(what.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A number for the purpose `what` of a host over all its lives.
pub(crate) fn number(seed: u64, what: &str, host: NodeIndex) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes(seed, what, host, 0)[..8]);
    u64::from_le_bytes(first)
}
