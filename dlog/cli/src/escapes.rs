//! Bytes in arguments, which a shell cannot pass or that are awkward to type.

/// Parses a text with escapes: `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH`.
///
/// # Errors
/// A backslash is followed by something else.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16);
                let byte = byte.ok().filter(|_| digits.len() == 2);
                bytes.push(byte.ok_or_else(|| {
                    format!("\\x{digits} is no byte: write two hex digits, as in \\x1f")
                })?);
            }
            other => {
                let found = other.map(String::from).unwrap_or_default();
                return Err(format!(
                    "\\{found} is no escape: there are \\n, \\r, \\t, \\0, \\\\ and \\xHH"
                ));
            }
        }
    }
    Ok(bytes)
}

/// Parses a text with escapes that is not empty.
///
/// # Errors
/// As [`parse`]; also if there is nothing.
pub(crate) fn parse_some(text: &str) -> Result<Vec<u8>, String> {
    let bytes = parse(text)?;
    if bytes.is_empty() {
        return Err("write at least one character, or an escape such as \\n or \\0".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        for (text, bytes) in [
            ("", &b""[..]),
            (r"\n\n", b"\n\n"),
            (r"a\tb\r\0\\", b"a\tb\r\0\\"),
            (r"\x1f\xFf", b"\x1f\xff"),
            ("ü", "ü".as_bytes()),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(bytes), "{text}");
        }
        for (text, said) in [
            (r"\q", r"\q is no escape"),
            (r"\", "is no escape"),
            (r"\x1", "hex"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(parse_some("").is_err());
    }
}
