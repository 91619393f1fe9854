//! The key of a store: a random data key, wrapped by the operator's key, in two places so that changing the operator's key is
//! safe at any moment and rewrites nothing else.

use std::io;

use redb::StorageBackend;
use ring::aead::{Aad, Tag};

use super::record::{cipher, nonce};
use super::{Entropy, Lasting};

/// What an encrypted store begins with.
pub(in crate::store) const MAGIC: [u8; 16] = *b"peat-encrypted\r\n";
/// Version of the encryption's layout.
const VERSION: u32 = 1;
/// Where the slots are: each in a block of its own.
pub(in crate::store) const SLOT_AT: [u64; 2] = [0, 4096];
const SLOT_BYTES: usize = 128;

/// The operator's key: 32 bytes. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// From `--encryption-key`.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(not shown)")
    }
}

/// Why a key does not open a store.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum KeyTrouble {
    /// It is another store's, or an old one.
    #[error("it is not the key of this store")]
    WrongKey,
    /// Of a later version.
    #[error("it is encrypted in layout {0}, this version knows {VERSION}; use the version that wrote it")]
    Layout(u32),
    /// Not a matter of the key.
    #[error("{0} are damaged; restore a backup")]
    Damaged(&'static str),
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a slot yields to the right key.
pub(super) struct Unlocked {
    pub data_key: [u8; 32],
    pub store_id: [u8; 16],
    slot: usize,
}

/// Makes a data key and a name for the store, and writes both slots.
pub(super) fn create(backend: &Lasting, key: &StoreKey, entropy: &Entropy) -> io::Result<()> {
    let (mut data_key, mut store_id) = ([0; 32], [0; 16]);
    entropy(&mut data_key);
    entropy(&mut store_id);
    SLOT_AT.into_iter().try_for_each(|at| backend.write(at, &wrap(key, &data_key, &store_id, entropy)))
}

pub(super) fn unlock(backend: &Lasting, key: &StoreKey) -> Result<Unlocked, KeyTrouble> {
    let mut trouble = KeyTrouble::Damaged("both key slots");
    for (slot, at) in SLOT_AT.into_iter().enumerate() {
        let mut bytes = [0; SLOT_BYTES];
        if backend.len()? < at + SLOT_BYTES as u64 {
            continue;
        }
        backend.read(at, &mut bytes)?;
        match unwrap(&bytes, key) {
            Ok((data_key, store_id)) => return Ok(Unlocked { data_key, store_id, slot }),
            // The other slot is what it was before a change that was cut short.
            Err(KeyTrouble::Damaged(_)) => {}
            Err(other) => trouble = other,
        }
    }
    Err(trouble)
}

/// Changes the operator's key. Until it returns the old one may open the store, the new one may too, and one of them does.
pub(in crate::store) fn rewrap(
    backend: &Lasting,
    old: &StoreKey,
    new: &StoreKey,
    entropy: &Entropy,
) -> Result<(), KeyTrouble> {
    let Unlocked { data_key, store_id, slot } = unlock(backend, old)?;
    // The slot that the old key opens stays until the other one is durable.
    for slot in [1 - slot, slot] {
        backend.write(SLOT_AT[slot], &wrap(new, &data_key, &store_id, entropy))?;
        backend.sync_data()?;
    }
    Ok(())
}

/// magic 16, version 4, zero 4, store id 16, salt 24, wrapped data key 32, tag 16, checksum 16.
fn wrap(key: &StoreKey, data_key: &[u8; 32], store_id: &[u8; 16], entropy: &Entropy) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..16].copy_from_slice(&MAGIC);
    slot[16..20].copy_from_slice(&VERSION.to_le_bytes());
    slot[24..40].copy_from_slice(store_id);
    entropy(&mut slot[40..64]);
    let (head, tail) = slot.split_at_mut(64);
    tail[..32].copy_from_slice(data_key);
    let tag = cipher(&wrapping_key(key, head))
        .seal_in_place_separate_tag(nonce(), Aad::from(&*head), &mut tail[..32])
        .expect("a key is far below what the cipher takes");
    tail[32..48].copy_from_slice(tag.as_ref());
    let checksum = checksum(&slot);
    slot[112..].copy_from_slice(&checksum);
    slot
}

fn unwrap(slot: &[u8; SLOT_BYTES], key: &StoreKey) -> Result<([u8; 32], [u8; 16]), KeyTrouble> {
    if slot[..16] != MAGIC || slot[112..] != checksum(slot) {
        return Err(KeyTrouble::Damaged("both key slots"));
    }
    let version = u32::from_le_bytes(*slot[16..].first_chunk().expect("a slot is longer than that"));
    if version != VERSION {
        return Err(KeyTrouble::Layout(version));
    }
    let (head, tail) = slot.split_at(64);
    let mut wrapped: [u8; 32] = *tail.first_chunk().expect("a slot is longer than that");
    let tag: [u8; 16] = *tail[32..].first_chunk().expect("a slot is longer than that");
    let data_key = cipher(&wrapping_key(key, head))
        .open_in_place_separate_tag(nonce(), Aad::from(head), Tag::from(tag), &mut wrapped, 0..)
        .map_err(|ring::error::Unspecified| KeyTrouble::WrongKey)?;
    let data_key = data_key.try_into().expect("as long as what was sealed");
    Ok((data_key, *head[24..].first_chunk().expect("a slot is longer than that")))
}

/// A key for one slot: its head has a random salt.
fn wrapping_key(key: &StoreKey, head: &[u8]) -> [u8; 32] {
    let key = blake3::derive_key("peat-node store 2026 key slot", &key.0);
    *blake3::keyed_hash(&key, head).as_bytes()
}

/// Tells a slot that is torn from a key that is wrong.
fn checksum(slot: &[u8; SLOT_BYTES]) -> [u8; 16] {
    *blake3::hash(&slot[..112]).as_bytes().first_chunk().expect("a hash is longer than that")
}
