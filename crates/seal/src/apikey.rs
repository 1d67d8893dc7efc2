//! The two codes an API key is made of: base62 for its random part and CRC-32 for its checksum, which tells a
//! mistyped key from an unknown one without asking the store.

const ALPHABET: [char; 62] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K',
    'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// CRC-32 as in IEEE 802.3: reflected polynomial `edb88320`, all ones before and after. By table: every exchange
/// with an API key pays for it.
pub fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        let [low, ..] = (crc ^ u32::from(*byte)).to_le_bytes();
        (crc >> 8) ^ REMAINDERS.get(usize::from(low)).copied().unwrap_or_default()
    })
}

/// Of every byte.
static REMAINDERS: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let (mut remainder, mut bit) = (byte, 0);
        while bit < 8 {
            remainder = (remainder >> 1) ^ (if remainder & 1 == 1 { 0xedb8_8320 } else { 0 });
            bit += 1;
        }
        #[allow(clippy::indexing_slicing)] // In a constant: a wrong index would not compile.
        {
            table[byte as usize] = remainder;
        }
        byte += 1;
    }
    table
};

/// The bytes as one big-endian number in base 62 (`0-9A-Za-z`), zero-filled to the length that any number of so
/// many bytes fits: 4 bytes give 6 characters, 20 give 27, 32 give 43.
pub fn base62(bytes: &[u8]) -> String {
    let mut number = bytes.to_vec();
    let mut digits: Vec<char> = (0..base62_len(bytes.len()))
        .map(|_| ALPHABET.get(usize::from(divide_by_62(&mut number))).copied().unwrap_or_default())
        .collect();
    digits.reverse();
    digits.into_iter().collect()
}

/// Divides the big-endian number in place and gives the remainder.
fn divide_by_62(number: &mut [u8]) -> u8 {
    let mut remainder = 0_u16;
    for byte in number {
        let value = remainder << 8 | u16::from(*byte);
        *byte = u8::try_from(value / 62).unwrap_or_default();
        remainder = value % 62;
    }
    u8::try_from(remainder).unwrap_or_default()
}

/// 8 bits need 8 / log2(62) = 1.343590… characters.
const fn base62_len(bytes: usize) -> usize {
    bytes.saturating_mul(134_360).div_ceil(100_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn crc32_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn base62_known_answers() {
        assert_eq!(base62(&[]), "");
        assert_eq!(base62(&[0; 4]), "000000");
        assert_eq!(base62(&[0, 0, 0, 61]), "00000z");
        assert_eq!(base62(&[0, 0, 0, 62]), "000010");
        assert_eq!(base62(&[255; 4]), "4gfFC3");
        assert_eq!(base62(&[255; 16]), "7n42DGM5Tflk9n8mt7Fhc7");
    }

    #[test]
    fn the_length_is_the_smallest_that_fits() {
        for bytes in 1..=64_u32 {
            let exact = f64::from(bytes * 8) / 62_f64.log2();
            assert_eq!(base62_len(bytes as usize) as f64, exact.ceil(), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn order_and_length_are_kept(a: [u8; 20], b: [u8; 20]) {
            prop_assert_eq!(base62(&a).len(), 27);
            prop_assert_eq!(base62(&a).cmp(&base62(&b)), a.cmp(&b));
        }

        #[test]
        fn a_changed_character_changes_the_checksum(key in "[0-9A-Za-z]{30}", at in 0_usize..30) {
            let mut changed = key.clone().into_bytes();
            changed[at] ^= 1;
            prop_assert_ne!(crc32(key.as_bytes()), crc32(&changed));
        }
    }
}
