//! Payloads on a byte stream: a length before each.

use super::FrameError;

/// Puts the length before a payload.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 4);
    let mut rest = payload.len() as u64;
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend_from_slice(payload);
    out
}

/// Cuts a byte stream into payloads. Holds at most one frame.
#[derive(Debug)]
pub struct Deframer {
    limit: usize,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that were already handed out.
    taken: usize,
}

impl Deframer {
    /// Refuses frames over `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), taken: 0 }
    }

    /// Accepts frames of another size from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes as they come from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a frame has begun that has not ended.
    pub fn is_inside_frame(&self) -> bool {
        self.taken < self.buffer.len()
    }

    /// The next whole payload; `None` until more bytes come.
    pub fn next_payload(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let mut length = 0u64;
        for (i, byte) in rest.iter().enumerate() {
            if i == 5 {
                return Err(FrameError::Malformed("length longer than 5 bytes".into()));
            }
            length |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 != 0 {
                continue;
            }
            if length > self.limit as u64 {
                return Err(FrameError::TooLarge { actual: length, limit: self.limit });
            }
            let start = self.taken + i + 1;
            let end = start + length as usize;
            if self.buffer.len() < end {
                return Ok(None);
            }
            self.taken = end;
            return Ok(Some(&self.buffer[start..end]));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_survive_any_cut(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
                                  cut in 1usize..64) {
            let stream: Vec<u8> = payloads.iter().flat_map(|p| frame(p)).collect();
            let mut deframer = Deframer::new(300);
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                deframer.push(piece);
                while let Some(payload) = deframer.next_payload().expect("within the limit") {
                    got.push(payload.to_vec());
                }
            }
            prop_assert!(!deframer.is_inside_frame());
            prop_assert_eq!(got, payloads);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut deframer = Deframer::new(128);
            deframer.push(&bytes);
            while let Ok(Some(_)) = deframer.next_payload() {}
        }
    }
}
