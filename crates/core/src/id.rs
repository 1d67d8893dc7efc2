//! Ids of exchanges and actions: UUIDs of version 7 (RFC 9562 §5.7), in order of time.

use crate::{Entropy, Timestamp};
use std::fmt;

/// Identifies one exchange: a UUID of version 7 (RFC 9562 §5.7), so that ids sort by time. It is the
/// correlation id that callers see in refusals and operators find in the audit trail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ExchangeId(u128);

impl ExchangeId {
    /// The random bits that version and variant leave over are taken from `random`.
    pub fn new(at: Timestamp, random: [u8; 10]) -> ExchangeId {
        let millis = u128::from(at.micros() / 1000) & 0xffff_ffff_ffff;
        let mut tail = [0u8; 16];
        tail[6..].copy_from_slice(&random);
        let random = u128::from_be_bytes(tail);
        let version = 0x7u128 << 76;
        let variant = 0x2u128 << 62;
        let kept = random & !(0xfu128 << 76) & !(0x3u128 << 62);
        ExchangeId((millis << 80) | kept | version | variant)
    }

    /// As a number, for storage.
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// From the number that [`ExchangeId::to_u128`] gave.
    pub const fn from_u128(raw: u128) -> ExchangeId {
        ExchangeId(raw)
    }

    /// The id in its 36-character form, without allocating.
    pub fn encode(self, buffer: &mut [u8; 36]) -> &str {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bytes = self.0.to_be_bytes();
        let mut digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, slot) in buffer.iter_mut().enumerate() {
            *slot = match place {
                8 | 13 | 18 | 23 => b'-',
                _ => digits.next().and_then(|digit| HEX.get(usize::from(digit))).copied().unwrap_or(b'0'),
            };
        }
        std::str::from_utf8(buffer).unwrap_or_default()
    }

    /// Reads the 36-character form.
    pub fn parse(text: &str) -> Option<ExchangeId> {
        if text.len() != 36 {
            return None;
        }
        let mut raw = 0u128;
        for (place, byte) in text.bytes().enumerate() {
            match place {
                8 | 13 | 18 | 23 if byte == b'-' => {}
                8 | 13 | 18 | 23 => return None,
                _ => raw = (raw << 4) | u128::from(char::from(byte).to_digit(16)?),
            }
        }
        Some(ExchangeId(raw))
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; 36]))
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes ids; one per core, so that it needs no lock. Randomness is drawn in blocks because one draw per
/// exchange costs as much as a rate limit.
#[derive(Debug)]
pub struct IdSource {
    pool: Box<[u8; 1000]>,
    used: usize,
}

impl Default for IdSource {
    fn default() -> Self {
        IdSource { pool: Box::new([0; 1000]), used: 1000 }
    }
}

impl IdSource {
    /// A new id, later than every one before it, from the time and from chance.
    pub fn next(&mut self, at: Timestamp, entropy: &dyn Entropy) -> ExchangeId {
        if self.used >= self.pool.len() {
            entropy.fill(self.pool.as_mut_slice());
            self.used = 0;
        }
        let mut random = [0u8; 10];
        if let Some(fresh) = self.pool.get(self.used..self.used + 10) {
            random.copy_from_slice(fresh);
        }
        self.used += 10;
        ExchangeId::new(at, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;
    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for (i, b) in buffer.iter_mut().enumerate() {
                *b = u8::try_from(i % 251).unwrap();
            }
        }
    }

    #[test]
    fn ids_are_uuid_version_7_and_read_back() {
        let mut source = IdSource::default();
        let id = source.next(Timestamp::from_seconds(1_780_000_000), &Counting);
        let text = id.to_string();
        assert_eq!(&text[14..15], "7", "{text}");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        assert_eq!(ExchangeId::parse(&text), Some(id));
        assert_eq!(u128::from_str_radix(&text[..8], 16).unwrap() << 16, (1_780_000_000_000u128 >> 16) << 16);
        assert_ne!(id, source.next(Timestamp::from_seconds(1_780_000_000), &Counting));
    }

    #[test]
    fn malformed_ids_are_not_read() {
        for text in ["", "x", "00000000-0000-0000-0000-00000000000", "00000000x0000-0000-0000-000000000000"] {
            assert_eq!(ExchangeId::parse(text), None, "{text}");
        }
    }
}
