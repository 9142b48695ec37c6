//! Parses DLSNs in the forms in which people write them.

use core::fmt;

use distributedlog::Dlsn;

/// Parses a DLSN: `1,0,0`, the `DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0}` that commands
/// print, the base64 of `serialize-dlsn`, or `InitialDLSN`.
///
/// # Errors
/// [`DlsnTextError`] for anything else.
pub fn parse_dlsn(text: &str) -> Result<Dlsn, DlsnTextError> {
    let text = text.trim();
    let refuse = || DlsnTextError {
        text: text.chars().take(80).collect(),
    };
    if text == "InitialDLSN" {
        return Ok(Dlsn::INITIAL);
    }
    if let Some(fields) = text
        .strip_prefix("DLSN{")
        .and_then(|rest| rest.strip_suffix('}'))
    {
        return named_fields(fields).ok_or_else(refuse);
    }
    if text.contains(',') {
        return three_numbers(text.split(',')).ok_or_else(refuse);
    }
    text.parse().map_err(|_| refuse())
}

/// `logSegmentSequenceNo=1, entryId=0, slotId=0`
fn named_fields(fields: &str) -> Option<Dlsn> {
    let names = ["logSegmentSequenceNo=", "entryId=", "slotId="];
    let mut parts = fields.split(',');
    let mut numbers = [""; 3];
    for (number, name) in numbers.iter_mut().zip(names) {
        *number = parts.next()?.trim().strip_prefix(name)?;
    }
    if parts.next().is_some() {
        return None;
    }
    three_numbers(numbers.into_iter())
}

fn three_numbers<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<Dlsn> {
    let mut number = || parts.next()?.trim().parse::<i64>().ok();
    let dlsn = Dlsn::new(number()?, number()?, number()?);
    parts.next().is_none().then_some(dlsn)
}

/// Error of a text that is not a DLSN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DlsnTextError {
    text: String,
}

impl fmt::Display for DlsnTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a DLSN; write its three numbers (log segment, entry, slot) as in 1,0,0, \
             or the text or base64 that a command printed",
            self.text
        )
    }
}

impl core::error::Error for DlsnTextError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dlsn_is_read_in_every_form_that_a_command_prints() {
        let dlsn = Dlsn::new(3, 14, 159);
        for text in [
            "3,14,159",
            " 3, 14, 159 ",
            &dlsn.to_string(),
            "AQAAAAAAAAADAAAAAAAAAA4AAAAAAAAAnw==",
        ] {
            assert_eq!(parse_dlsn(text), Ok(dlsn), "{text}");
        }
        assert_eq!(parse_dlsn("InitialDLSN"), Ok(Dlsn::INITIAL));
        assert_eq!(parse_dlsn("0,-1,-1"), Ok(Dlsn::INVALID));
    }

    #[test]
    fn a_text_that_is_not_a_dlsn_is_refused_and_quoted() {
        for text in [
            "",
            "1",
            "1,2",
            "1,2,3,4",
            "a,b,c",
            "1,2,9223372036854775808",
            "DLSN{1,2,3}",
            "DLSN{logSegmentSequenceNo=1, entryId=0}",
            "AQ==",
        ] {
            let message = parse_dlsn(text).expect_err(text).to_string();
            assert!(
                message.starts_with(&format!("'{text}' is not a DLSN; write its three numbers")),
                "{message}"
            );
        }
    }
}
