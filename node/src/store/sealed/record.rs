//! One encrypted record: 24 bytes of salt, the ciphertext, 16 bytes of tag.
//!
//! Every record has a key of its own, derived from the data key, what the record is and its salt, so that no nonce is ever used
//! twice: ChaCha20-Poly1305 is then safe with the nonce zero. The salt is a keyed hash of fresh randomness *and* of the
//! content. Randomness that repeats, as after a virtual machine is cloned, then only tells that the same content was written to the
//! same place.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};

const SALT_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What a record is longer than its content.
pub(super) const OVERHEAD_BYTES: usize = SALT_BYTES + TAG_BYTES;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A copy of redb's header.
    Header = 1,
    /// A page.
    Page = 2,
}

/// Fails authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unauthentic;

/// Seals and opens the records of one store.
pub(super) struct Sealer {
    store_id: [u8; 16],
    record_key: [u8; 32],
    salt_key: [u8; 32],
}

impl Sealer {
    pub(super) fn new(data_key: &[u8; 32], store_id: [u8; 16]) -> Self {
        Self {
            store_id,
            record_key: blake3::derive_key("peat-node store 2026 record key", data_key),
            salt_key: blake3::derive_key("peat-node store 2026 record salt", data_key),
        }
    }

    /// Appends the record. `number` is a page's, or a header copy's.
    pub(super) fn seal(&self, kind: Kind, number: u64, content: &[u8], entropy: &dyn Fn(&mut [u8]), out: &mut Vec<u8>) {
        let mut random = [0; 32];
        entropy(&mut random);
        let mut hasher = blake3::Hasher::new_keyed(&self.salt_key);
        hasher.update(&random).update(&self.place(kind, number)).update(content);
        let salt: [u8; SALT_BYTES] = *hasher.finalize().as_bytes().first_chunk().expect("a hash is longer than a salt");
        out.extend_from_slice(&salt);
        let at = out.len();
        out.extend_from_slice(content);
        let (key, place) = (self.key(kind, number, &salt), self.place(kind, number));
        let tag = key
            .seal_in_place_separate_tag(nonce(), Aad::from(place), &mut out[at..])
            .expect("a page is far below what the cipher takes");
        out.extend_from_slice(tag.as_ref());
    }

    /// Decrypts into `out`. A record that was never written, all zero, opens as zeros. Garbles `record`.
    pub(super) fn open(&self, kind: Kind, number: u64, record: &mut [u8], out: &mut [u8]) -> Result<(), Unauthentic> {
        if kind == Kind::Page && record.iter().all(|byte| *byte == 0) {
            out.fill(0);
            return Ok(());
        }
        let (salt, rest) = record.split_first_chunk_mut().ok_or(Unauthentic)?;
        let (content, tag) = rest.split_last_chunk_mut::<TAG_BYTES>().ok_or(Unauthentic)?;
        let key = self.key(kind, number, salt);
        let place = Aad::from(self.place(kind, number));
        let plain = key
            .open_in_place_separate_tag(nonce(), place, Tag::from(*tag), content, 0..)
            .map_err(|ring::error::Unspecified| Unauthentic)?;
        out.copy_from_slice(plain);
        Ok(())
    }

    /// What a record is bound to: it does not open in any other place or store.
    fn place(&self, kind: Kind, number: u64) -> [u8; 25] {
        let mut place = [kind as u8; 25];
        place[1..9].copy_from_slice(&number.to_le_bytes());
        place[9..].copy_from_slice(&self.store_id);
        place
    }

    fn key(&self, kind: Kind, number: u64, salt: &[u8; SALT_BYTES]) -> LessSafeKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.record_key);
        hasher.update(&self.place(kind, number)).update(salt);
        cipher(hasher.finalize().as_bytes())
    }
}

/// A cipher for one message.
pub(super) fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("the cipher takes 32 bytes"))
}

/// Every key seals one message.
pub(super) fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
