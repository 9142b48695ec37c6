//! Strict padded base64 of RFC 4648. It is written for little flash, and without any code that can
//! panic.

use super::{Dlsn, DlsnError};

/// Returns the character for six bits.
const fn character(bits: u8) -> u8 {
    match bits {
        0..=25 => b'A' + bits,
        26..=51 => b'a' + (bits - 26),
        52..=61 => b'0' + (bits - 52),
        62 => b'+',
        _ => b'/',
    }
}

/// Returns the six bits of a character, or `None` if it is not base64.
const fn bits(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Encodes the bytes of a position.
pub(super) fn encode(bytes: [u8; Dlsn::BYTES]) -> [u8; Dlsn::TEXT_BYTES] {
    let mut text = [b'='; Dlsn::TEXT_BYTES];
    for (group, target) in bytes.chunks(3).zip(text.chunks_exact_mut(4)) {
        let word = group
            .iter()
            .zip([16, 8, 0])
            .fold(0, |word, (byte, shift)| word | u32::from(*byte) << shift);
        // A group of n bytes has n + 1 characters; the rest of the four is padding.
        for (target, shift) in target.iter_mut().zip([18, 12, 6, 0]).take(group.len() + 1) {
            *target = character((word >> shift) as u8 & 0x3f);
        }
    }
    text
}

/// Decodes a text into `out`. Bytes beyond the length of `out` are checked and discarded.
pub(super) fn decode<'o>(text: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], DlsnError> {
    let symbols = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    let (mut targets, mut word, mut pending, mut count) = (out.iter_mut(), 0_u32, 0, 0);
    for (offset, &symbol) in symbols.iter().enumerate() {
        let Some(bits) = bits(symbol) else {
            return Err(DlsnError::NotBase64 {
                offset,
                found: Some(symbol),
            });
        };
        word = word << 6 | u32::from(bits);
        pending += 6;
        if pending >= 8 {
            pending -= 8;
            count += 1;
            if let Some(target) = targets.next() {
                *target = (word >> pending) as u8;
            }
        }
    }
    if !text.len().is_multiple_of(4) {
        return Err(DlsnError::NotBase64 {
            offset: text.len(),
            found: None,
        });
    }
    // Unused bits must be zero, so that each sequence of bytes has exactly one text.
    if word & !(u32::MAX << pending) != 0 {
        return Err(DlsnError::NotBase64 {
            offset: symbols.len() - 1,
            found: symbols.last().copied(),
        });
    }
    let length = out.len().min(count);
    Ok(out.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;

    use super::*;

    /// Compares the results of this module and the `base64` crate for a text.
    fn decode_both(text: &[u8]) {
        let (mut ours, mut theirs) = ([0; 201], [0; 201]);
        let expected = STANDARD
            .decode_slice(text, &mut theirs)
            .ok()
            .map(|length| &theirs[..length]);
        assert_eq!(
            decode(text, &mut ours).ok(),
            expected,
            "{}",
            text.escape_ascii()
        );
    }

    #[test]
    fn every_position_is_encoded_as_the_base64_crate_does_and_decoded_again() {
        for seed in 0..1_000_u64 {
            let word = |salt: u64| {
                (seed + salt)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .cast_signed()
            };
            let bytes = Dlsn::new(word(1), word(2), word(3)).to_bytes();
            let (text, mut expected) = (encode(bytes), [0; Dlsn::TEXT_BYTES]);
            assert_eq!(STANDARD.encode_slice(bytes, &mut expected), Ok(text.len()));
            assert_eq!(text, expected);
            let mut out = [0; Dlsn::BYTES];
            assert_eq!(decode(&text, &mut out), Ok(&bytes[..]));
        }
    }

    #[test]
    fn a_text_with_any_byte_at_any_offset_is_accepted_or_refused_as_by_the_base64_crate() {
        for length in 0..=12 {
            let plain = &b"AQAAAAAAAAAB"[..length];
            decode_both(plain);
            for offset in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = [0; 12];
                    text[..length].copy_from_slice(plain);
                    text[offset] = byte;
                    decode_both(&text[..length]);
                    // The same text with padding of each length, right or wrong.
                    for padding in offset + 1..length {
                        text[padding..length].fill(b'=');
                        decode_both(&text[..length]);
                        text[padding..length].copy_from_slice(&plain[padding..]);
                    }
                }
            }
        }
    }
}
